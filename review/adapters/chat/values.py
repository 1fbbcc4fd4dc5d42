"""What goes into a chat client and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from review.domain.types import Output

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """One question to a model.

    Attributes:
        messages: OpenAI chat format; what a dialect lacks is translated.
        tools: OpenAI format.
        parameters: as logged or as a judge wants them: temperature, top_p, max_tokens, stop, seed, response_format …;
            what is no sampling parameter (stream, user, metadata) is not sent. The endpoint's own parameters win.
        response_schema: the JSON schema that the answer is bound to, where the server can.
        schema_name: how the schema is called there.
        logprobs: ask for token probabilities, where the server gives them.
    """

    messages: Sequence[Document]
    tools: Sequence[Document] | None = None
    parameters: Document | None = None
    response_schema: Document | None = None
    schema_name: str = "answer"
    logprobs: bool = True


@dataclass(frozen=True)
class Completion:
    """What a model answered.

    Attributes:
        output: text, tool calls, confidence, finish reason, latency, usage.
        served: the model's name as the server gave it; it may be another than the one asked for.
        usage: token counts by OpenAI's names, as far as the server gave them.
        latency_ms: of the attempt that succeeded, without any waiting before it.
        attempts: requests sent, the successful one included.
        cost_usd: of the successful attempt, by the price table, or by the gateway's own count where the table has none.
        bound: the server took the schema; without it the answer's form is only what the prompt asked for.
        dropped: parameters that the server refused, and that the answer was given without.
    """

    output: Output
    served: str | None
    usage: Document
    latency_ms: float
    attempts: int
    cost_usd: float
    bound: bool = False
    dropped: tuple[str, ...] = ()


Kind = Literal[
    "timeout",
    "rate_limited",
    "server_error",
    "connection",
    "bad_body",
    "refused",
    "context_length",
    "bad_request",
    "unsupported",
    "auth",
    "bad_model",
    "quota",
]
# May pass by itself. bad_body: cut off, no JSON, or without an answer.
TRANSIENT: frozenset[Kind] = frozenset({"timeout", "rate_limited", "server_error", "connection", "bad_body"})
# The same for every request: asking on would be asking in vain.
FATAL: frozenset[Kind] = frozenset({"auth", "bad_model", "quota"})


@dataclass(frozen=True)
class Refusal:
    """Why an answer is none.

    Attributes:
        kind: what it means for us.
        code: the server's own short word for it, or "".
        status: the HTTP status, 0 where there was none.
        retry_after: seconds the server asks to wait, or None.
        names: parameters that it does not take.
    """

    kind: Kind
    code: str = ""
    status: int = 0
    retry_after: float | None = None
    names: tuple[str, ...] = ()


class BadBody(Exception):
    """The body is no answer."""


@dataclass(frozen=True)
class Answer:
    """A body read: the output without what only the client knows (latency)."""

    content: str | None
    tool_calls: list[dict[str, Any]] | None
    finish_reason: str | None
    confidence: float | None
    served: str | None
    usage: dict[str, Any] = field(default_factory=dict[str, Any])


def confidence(logprobs: Iterable[object]) -> float | None:
    """The mean token probability, mean_i exp(logprob_i), of the tokens that were generated; None without any.

    The arithmetic mean of the probabilities of the chosen tokens, 0 to 1, not the geometric one (which is the inverse
    perplexity and never larger). Tokens of a reasoning part count where the server lists them. A server that rounds
    may give a logprob a little above 0; it counts as 1. Servers write -inf as -9999 (vLLM), which counts as 0.
    """
    chances = [math.exp(min(0.0, value)) for value in logprobs if isinstance(value, int | float) and value == value]
    return sum(chances) / len(chances) if chances else None
