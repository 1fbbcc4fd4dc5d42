"""Alerts arrive: signed at a real HTTP server, as mail at a real SMTP server, in a file; once, whatever dies."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from review.adapters.delivery import NotDelivered, deliver
from review.domain.watch import Email, Watch, Webhook, signature, wait_before
from review.errors import BadSettings

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MESSAGE = {
    "alert_id": "alert-1",
    "subject": "Regression in refund <!channel>\nBcc: x@example.org",
    "lines": ["New minus old is -5.3 points & more.", "Carried by: <b>Refunds</b>."],
    "document": {"kind": "regression", "task": "refund", "pairs": ["p1"]},
}


@contextmanager
def hook(*statuses: int) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A web server that answers with these statuses in turn, the last one for ever; 0 hangs up without an answer."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((dict(self.headers), body))
            status = statuses[min(len(got), len(statuses)) - 1]
            if status:
                self.send_response(status)
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", got
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def post_office(deaths: int = 0) -> Iterator[tuple[int, list[str]]]:
    """An SMTP server (RFC 5321, without TLS) that hangs up in the middle of the first `deaths` messages."""
    mails: list[str] = []
    dying = [deaths]

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 ready\r\n")
            while line := self.rfile.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    if dying[0]:
                        dying[0] -= 1
                        return
                    self.wfile.write(b"354 go on\r\n")
                    text = b""
                    while not text.endswith(b"\r\n.\r\n"):
                        text += self.rfile.readline()
                    mails.append(text.decode())
                if verb == b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                self.wfile.write(b"250 fine\r\n")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], mails
    finally:
        server.shutdown()
        server.server_close()


def mailing(port: int) -> Watch:
    mail = Email(host="127.0.0.1", port=port, tls="none", sender="a@example.org", recipients=("b@example.org",))
    return Watch(email=mail)


def test_a_webhook_is_signed_over_its_time_and_body_and_shows_foreign_names_as_text() -> None:
    with hook(200) as (url, got):
        config = Watch(webhook=Webhook(url=url, secret_env="HOOK_KEY"))
        deliver("webhook", config, MESSAGE, NOW, {"HOOK_KEY": "secret"})
    headers, body = got[0]
    stamp = headers["X-Review-Timestamp"]
    assert int(stamp) == int(NOW.timestamp())
    assert headers["X-Review-Signature"] == signature(b"secret", stamp, body)
    assert headers["X-Review-Signature"] != signature(b"secret", stamp, body + b" ")
    assert headers["X-Review-Alert"] == "alert-1"
    said = json.loads(body)
    assert "<" not in said["text"]
    assert "&lt;!channel&gt;" in said["text"]
    assert {each["text"]["type"] for each in said["blocks"]} == {"plain_text"}
    assert said["alert"]["pairs"] == ["p1"]


@pytest.mark.parametrize(("status", "said"), [(500, "status 500"), (302, "status 302"), (0, "did not answer")])
def test_a_webhook_that_fails_says_how_and_never_where(status: int, said: str) -> None:
    with hook(status) as (url, _):
        config = Watch(webhook=Webhook(url=url))
        with pytest.raises(NotDelivered, match=said) as failed:
            deliver("webhook", config, MESSAGE, NOW, {})
    assert "127.0.0.1" not in str(failed.value)


def test_a_key_that_is_not_in_the_environment_is_named() -> None:
    config = Watch(webhook=Webhook(url="http://127.0.0.1:9/x", secret_env="HOOK_KEY"))
    with pytest.raises(BadSettings, match="HOOK_KEY"):
        deliver("webhook", config, MESSAGE, NOW, {})


def test_mail_arrives_after_a_server_that_died_and_a_name_adds_no_header() -> None:
    with post_office(deaths=1) as (port, mails):
        with pytest.raises(NotDelivered, match="mail server"):
            deliver("email", mailing(port), MESSAGE, NOW, {})
        deliver("email", mailing(port), MESSAGE, NOW, {})
    head, _, text = mails[0].partition("\r\n\r\n")
    assert len(mails) == 1
    assert "Message-ID: <alert-1@example.org>" in head
    assert "\nBcc" not in head
    assert "-5.3 points & more" in text


def test_a_file_has_a_line_an_alert_even_after_a_death_in_the_middle_of_one(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "alerts.jsonl"
    config = Watch(file=str(file))
    deliver("file", config, MESSAGE, NOW, {})
    deliver("file", config, MESSAGE, NOW, {})
    with file.open("a") as torn:
        torn.write('{"alert_id": "ale')
    deliver("file", config, {**MESSAGE, "alert_id": "alert-2"}, NOW, {})
    lines = file.read_text().splitlines()
    assert [json.loads(each)["alert_id"] for each in (lines[0], lines[2])] == ["alert-1", "alert-2"]
    assert len(lines) == 3


def test_waits_grow_and_then_stay() -> None:
    waits = [wait_before(attempt) for attempt in range(1, 9)]
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[-1] == waits[-2] == 6 * 3600
