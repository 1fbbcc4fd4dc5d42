"""Alerts go out: a webhook with a signature, e-mail by SMTP, a line in a file. One attempt a call; callers retry."""

from __future__ import annotations

import json
import os
import smtplib
import ssl
from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx

from review.domain.watch import Channel, Email, Watch, Webhook, signature
from review.errors import BadSettings, ReviewError

Document = Mapping[str, Any]


class NotDelivered(ReviewError):
    """An alert did not reach its channel. Says why, without addresses, keys or what the other side wrote."""


def deliver(channel: Channel, config: Watch, message: Document, now: datetime, environ: Mapping[str, str]) -> None:
    """Send a message through a channel that is configured.

    Args:
        channel: one of the configuration's.
        config: the section watch.
        message: as services.alerts.message makes it: alert_id, subject, lines, document.
        now: signed along with the message.
        environ: where keys and passwords are.

    Raises:
        NotDelivered: it did not arrive, or nobody knows.
        BadSettings: a key or password is not in the environment.
    """
    if channel == "webhook" and config.webhook is not None:
        _post(config.webhook, message, now, environ)
    elif channel == "email" and config.email is not None:
        _mail(config.email, message, environ)
    elif channel == "file" and config.file is not None:
        _append(Path(config.file), message)


def slack(message: Document) -> dict[str, Any]:
    """The message as Slack and those who speak like it take it, and as JSON for everybody else.

    Names of tasks and clusters come from outside: they go as plain text, and what Slack reads as markup is escaped.
    """
    lines = [_escaped(each) for each in message["lines"]]
    heading = {"type": "plain_text", "text": str(message["subject"])[:150], "emoji": False}
    body = {"type": "plain_text", "text": "\n".join(message["lines"])[:2900], "emoji": False}
    return {
        "text": "\n".join([_escaped(message["subject"]), *lines]),
        "blocks": [{"type": "header", "text": heading}, {"type": "section", "text": body}],
        "alert": dict(message["document"]),
    }


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _post(config: Webhook, message: Document, now: datetime, environ: Mapping[str, str]) -> None:
    body = json.dumps(slack(message), ensure_ascii=True, allow_nan=False).encode()
    # The id lets a receiver drop what it has: whether a message arrived is not always known here.
    headers = {"Content-Type": "application/json", "X-Review-Alert": str(message["alert_id"])}
    if config.secret_env is not None:
        stamp = str(int(now.timestamp()))
        headers["X-Review-Timestamp"] = stamp
        headers["X-Review-Signature"] = signature(_secret(config.secret_env, environ).encode(), stamp, body)
    try:
        # Redirects are not followed: the body goes to the address that was configured.
        answer = httpx.post(config.url, content=body, headers=headers, timeout=config.timeout_seconds)
    except httpx.HTTPError as error:
        raise NotDelivered(f"The webhook did not answer ({type(error).__name__}).") from error
    if not answer.is_success:
        raise NotDelivered(f"The webhook answered with status {answer.status_code}.")


def _mail(config: Email, message: Document, environ: Mapping[str, str]) -> None:
    mail = EmailMessage()
    mail["Subject"] = " ".join(str(message["subject"]).split())[:200]
    mail["From"], mail["To"] = config.sender, ", ".join(config.recipients)
    mail["Message-ID"] = f"<{message['alert_id']}@{config.sender.rpartition('@')[2]}>"
    mail.set_content("\n".join(message["lines"]) + "\n")
    password = None if config.password_env is None else _secret(config.password_env, environ)
    context = ssl.create_default_context()
    try:
        if config.tls == "tls":
            server = smtplib.SMTP_SSL(config.host, config.port, timeout=config.timeout_seconds, context=context)
        else:
            server = smtplib.SMTP(config.host, config.port, timeout=config.timeout_seconds)
        with server:
            if config.tls == "starttls":
                server.starttls(context=context)
            if config.user is not None and password is not None:
                server.login(config.user, password)
            server.send_message(mail)
    except (OSError, smtplib.SMTPException) as error:
        raise NotDelivered(f"The mail server did not take the message ({type(error).__name__}).") from error


def _append(path: Path, message: Document) -> None:
    """A line a message; one that stands is not written again, whenever the process died."""
    alert_id = str(message["alert_id"])
    line = json.dumps({"alert_id": alert_id, **message["document"]}, ensure_ascii=True, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.seek(0)
            before = file.read()
            if any(_id_of(each) == alert_id for each in before.splitlines()):
                return
            # What a dying process left without its end becomes a line of its own.
            file.write((b"" if not before or before.endswith(b"\n") else b"\n") + line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise NotDelivered(f"The file of alerts could not be written ({type(error).__name__}).") from error


def _id_of(line: bytes) -> object:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found.get("alert_id") if isinstance(found, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] any JSON


def _secret(name: str, environ: Mapping[str, str]) -> str:
    found = environ.get(name)
    if not found:
        raise BadSettings(f"The environment variable {name} is not set; the configuration's section watch names it.")
    return found
