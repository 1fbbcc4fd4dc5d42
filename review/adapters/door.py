"""The way into a running app: how operations travel over HTTP, where the app says that it is, and the caller's side."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from review import errors
from review.errors import BadInput, ModelFailed, Rejected, RejectedRecords, ReviewError

Document = dict[str, Any]

PREFIX = "/review/api/v1"
MEDIA = "application/vnd.parity-review.operation"
# Seconds. An operation is short, but it may wait for others, and for a checkpoint.
_PATIENCE = 300.0
_LENGTH = 4


def pack(document: Mapping[str, Any], table: Any | None) -> bytes:
    """A body: the length of the JSON (4 bytes, big endian), the JSON, and an Arrow stream where there is a table."""
    head = json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
    parts = [len(head).to_bytes(_LENGTH, "big"), head]
    if table is not None:
        pa = _arrow()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        parts.append(sink.getvalue())
    return b"".join(parts)


def unpack(body: bytes) -> tuple[Document, Any | None]:
    """The document and the pyarrow.Table of a body; the table's texts are checked to be whole UTF-8.

    Raises:
        BadInput: it is not what `pack` makes.
    """
    length = int.from_bytes(body[:_LENGTH], "big")
    head, rest = body[_LENGTH : _LENGTH + length], memoryview(body)[_LENGTH + length :]
    try:
        document = json.loads(head.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise BadInput(
            "The body is not 4 bytes of length, JSON of that length, and an Arrow stream or none."
        ) from error
    if len(body) < _LENGTH or len(head) != length or not isinstance(document, dict):
        raise BadInput("The body does not begin with the length of a JSON object, and that object.")
    return cast(Document, document), _table(rest) if rest else None


def _table(stream: memoryview) -> Any:
    pa = _arrow()
    try:
        table = pa.ipc.open_stream(pa.py_buffer(stream)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"What follows the JSON is not an Arrow stream ({type(error).__name__}).") from error
    return table


def _arrow() -> Any:
    """pyarrow, which carries no types."""
    import pyarrow

    return pyarrow


def failure(error: ReviewError) -> Document:
    """An error of ours as JSON: its class, its message, and what else it carries."""
    document: Document = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, RejectedRecords):
        rejected = [[each.line, each.field, each.reason] for each in error.rejected]
        document |= {"file": error.file, "read": error.read, "rejected": rejected}
    if isinstance(error, ModelFailed):
        document |= {"kind": error.kind, "attempts": error.attempts}
    return document


def raised(document: Mapping[str, Any]) -> ReviewError:
    """The error again, as the same class where there is one of that name."""
    name, message = str(document.get("error")), str(document.get("message"))
    if name == "RejectedRecords":
        rejected = [Rejected(*each) for each in document["rejected"]]
        return RejectedRecords(document["file"], rejected, document["read"])
    found = getattr(errors, name, ReviewError)
    kind = found if isinstance(found, type) and issubclass(found, ReviewError) else ReviewError
    if issubclass(kind, ModelFailed):
        return kind(message, document["kind"], document["attempts"])
    return kind(message)


def token_of(key: bytes) -> str:
    """The bearer token of a database: the same after every start, and nothing without the key."""
    return hmac.new(key, b"bearer token of the HTTP API, 1", hashlib.sha256).hexdigest()


def proof(token: str, nonce: str) -> str:
    """Shows that whoever answers knows the token, before the token is sent to them."""
    return hmac.new(token.encode(), b"hello " + nonce.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Address:
    """Where a running app is, as it says itself in a file beside its database."""

    url: str
    token: str
    pid: int
    version: str

    def __repr__(self) -> str:
        return f"Address({self.url})"


def write_address(path: Path, address: Address) -> None:
    """Write the file at once and for its owner alone (mode 0600)."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(address), file)
    draft.replace(path)


def read_address(path: Path) -> Address | None:
    """What the file says; None where there is none, or none of ours."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        address = Address(**{name: found[name] for name in ("url", "token", "pid", "version")})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return address if isinstance(address.url, str) and isinstance(address.token, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]  (read from a file)


def remove_address(path: Path, pid: int) -> None:
    """Take the file away, unless another process has written it since."""
    if (found := read_address(path)) is not None and found.pid == pid:
        path.unlink(missing_ok=True)


class Unreachable(Exception):
    """No answer came. `sent`: the app may have done what it was asked, or not."""

    def __init__(self, sent: bool) -> None:
        self.sent = sent
        super().__init__("the app does not answer")


@dataclass(frozen=True)
class Hello:
    """How an app answers: its version, its process and the digest of the configuration it runs with."""

    version: str
    pid: int
    config: str


class Door:
    """The caller's side of a running app."""

    def __init__(self, address: Address) -> None:
        import httpx  # here, as below: only a command that meets an app waits for it to load

        self.address = address
        # No proxy stands between two processes of one machine, whatever the environment says.
        self._client = httpx.Client(
            base_url=address.url + PREFIX, timeout=httpx.Timeout(_PATIENCE, connect=3.0), trust_env=False
        )

    def hello(self) -> Hello | None:
        """How the app answers; None where nobody does, or somebody who does not know this database's token."""
        import httpx

        nonce = secrets.token_hex(16)
        try:
            answer = self._client.get("/hello", params={"nonce": nonce}, timeout=10.0)
            found = answer.raise_for_status().json()
            known = hmac.compare_digest(str(found["proof"]), proof(self.address.token, nonce))
            return Hello(str(found["version"]), int(found["pid"]), str(found["config"])) if known else None
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None

    def ask(self, name: str, arguments: Mapping[str, Any], table: Any | None, by: str) -> tuple[Document, Any | None]:
        """Run an operation in the app.

        Raises:
            ReviewError: what the operation raised there, as the same class.
            Unreachable: no answer came.
        """
        import httpx

        body = pack({"arguments": arguments, "by": by}, table)
        headers = {"authorization": f"Bearer {self.address.token}", "content-type": MEDIA}
        try:
            answer = self._client.post(f"/operations/{name}", content=body, headers=headers)
        except httpx.HTTPError as error:
            raise Unreachable(sent=not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)) from error
        if answer.status_code == 200:
            return unpack(answer.content)
        try:
            raise raised(answer.json())
        except (ValueError, KeyError, TypeError) as error:
            raise Unreachable(sent=True) from error

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()
