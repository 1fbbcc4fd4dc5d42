"""Watching after the cutover: its configuration, and what one answer shows without asking anybody."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from review.domain.pipeline import EnvironmentName, Name, Section
from review.domain.types import Output, Side

AlertKind = Literal["regression", "judge"]
Channel = Literal["webhook", "email", "file"]

CHANNELS: tuple[Channel, ...] = ("webhook", "email", "file")
# Waits after failed deliveries, in seconds; the last one repeats.
WAITS = (30.0, 120.0, 600.0, 3600.0, 6 * 3600.0)

Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]
Address = Annotated[str, StringConstraints(pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$", max_length=254)]


# What a live answer is checked against where the configuration does not say it otherwise.
CRITERION = (
    "The answer does what the user asks for: it is correct as far as the conversation and general knowledge show, "
    "leaves out nothing that the user needs, and makes nothing up. Declining is right only where the request must be "
    "declined."
)

_SOURCE = r"^(shadow|production|metrics)(:[A-Za-z0-9._-]{1,60})?$"


class Webhook(Section):
    """Where alerts are posted.

    Attributes:
        url: Slack's, or any that takes JSON with "text" and "blocks".
        secret_env: the environment variable with the key of the HMAC-SHA256 signature; unsigned without it.
        timeout_seconds: for one attempt.
    """

    url: Url
    secret_env: EnvironmentName | None = None
    timeout_seconds: float = Field(default=10.0, gt=0, le=120)


class Email(Section):
    """How alerts are mailed.

    Attributes:
        host, port: the SMTP server.
        tls: starttls, tls from the first byte, or none.
        user: who signs in; nobody by default.
        password_env: the environment variable with the password.
        sender, recipients: addresses.
        timeout_seconds: for one attempt.
    """

    host: Name
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: Name | None = None
    password_env: EnvironmentName | None = None
    sender: Address
    recipients: tuple[Address, ...] = Field(min_length=1, strict=False)
    timeout_seconds: float = Field(default=20.0, gt=0, le=120)


class Watch(Section):
    """What is watched, how often, and who hears of a regression.

    Attributes:
        folder: where files of traffic arrive; files and folders below it are taken in, each once.
        source: what its traffic is: shadow, production or metrics (without texts), and a name, as in shadow:gateway.
        interval_minutes: between two rounds of `review watch`.
        served: who answered production traffic whose records do not say so, where one answer alone is there.
        sample_per_task: pairs of a task that a judge scores in a round; and single answers of new.
        baseline_per_task: old's answers that a judge scores once, where new's answers come alone.
        criterion: what a judge checks a single answer against; `criteria` has other words for tasks by their name.
        false_alarms: probability of any false alarm of any task in a year of watching, all looks together.
        webhook, email: where alerts go; nowhere by default.
        file: a JSONL file that alerts are appended to.
        app_url: of the app, so that an alert can link to its Drift page.
    """

    folder: Name | None = None
    source: Annotated[str, StringConstraints(pattern=_SOURCE)] = "shadow"
    interval_minutes: float = Field(default=60.0, gt=0, le=10_080)
    served: Side = "new"
    sample_per_task: int = Field(default=50, ge=1, le=5000)
    baseline_per_task: int = Field(default=2000, ge=30, le=20_000)
    criterion: Annotated[str, StringConstraints(min_length=1, max_length=4000)] = CRITERION
    criteria: dict[str, Annotated[str, StringConstraints(min_length=1, max_length=4000)]] = Field(default_factory=dict)
    false_alarms: float = Field(default=0.05, gt=0, le=0.5)
    webhook: Webhook | None = None
    email: Email | None = None
    file: Name | None = None
    app_url: Url | None = None

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels that are configured."""
        given = {"webhook": self.webhook, "email": self.email, "file": self.file}
        return tuple(each for each in CHANNELS if given[each] is not None)


def wait_before(attempt: int) -> float:
    """Seconds before attempt number `attempt` (the first is 1) after the one before failed."""
    return 0.0 if attempt <= 1 else WAITS[min(attempt - 2, len(WAITS) - 1)]


def signature(key: bytes, timestamp: str, body: bytes) -> str:
    """The signature header of a webhook: HMAC-SHA256 over "TIMESTAMP.BODY", as Slack and Stripe sign.

    The time is signed too, so that a receiver can refuse what was recorded and is sent again later.
    """
    return "v1=" + hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


# Openings by which assistants decline. Bounded look-ahead: linear whatever the text.
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:unable|not able|not allowed) to\b"
    r"|i(?:'m| am) (?:sorry|afraid)\b.{0,40}?\bi (?:can(?:no|')t|cannot|won't|am unable|am not able)\b"
    r"|i (?:can(?:no|')t|cannot|won't|will not|am unable to|am not able to|must decline) "
    r"(?:help|assist|do|provide|share|give|discuss|answer|comply|fulfil|continue|support|process|make|create)"
    r"|(?:sorry|unfortunately), (?:but )?i (?:can(?:no|')t|cannot|won't|am unable)"
    r"|as an ai(?: language model)?,? i (?:can(?:no|')t|cannot|am not))",
    re.I,
)
_HEAD = 400


def refuses(output: Output) -> bool:
    """Whether an answer declines, by how it opens; English only. One that calls a tool does not."""
    if output.tool_calls or not output.content:
        return False
    return _REFUSAL.search(output.content[:_HEAD].replace("\u2019", "'")) is not None


def truncated(output: Output) -> bool | None:
    """Whether an answer was cut off at the length limit; None where the server did not say why it ended."""
    reason = output.finish_reason
    return None if reason is None else reason in ("length", "max_tokens", "model_length", "MAX_TOKENS")


def signs(output: Output) -> dict[str, Any]:
    """What an answer shows by itself, as columns of an observation: never a text."""
    usage = output.usage or {}
    tokens = usage.get("completion_tokens", usage.get("output_tokens"))
    return {
        "right": output.correct,
        "refused": refuses(output),
        "cut": truncated(output),
        "confidence": output.confidence,
        "latency_ms": output.latency_ms,
        "tokens": int(tokens) if isinstance(tokens, int) and not isinstance(tokens, bool) else None,
        "characters": len(output.content or ""),
        "finish": _word(output.finish_reason),
    }


def _word(reason: str | None) -> str | None:
    """A finish reason, which is one word; anything longer is nobody's business here."""
    return reason if reason is None or re.fullmatch(r"[\w.-]{1,40}", reason) else "other"
