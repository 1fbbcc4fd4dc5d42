"""The adversarial set's mirror: one JSONL file beside the database that says what the set held.

The first line names the chain; every further line is one link with its text. The mirror is behind the database for a
moment after each commit, so what is missing at its end is written later; what contradicts the database is never
overwritten, because then the file may be the only witness.

Every write makes a whole new file and renames it over the old one, so that nobody ever reads half a line. Measured with
lines of 3 kB: 4 ms at 100 lines, 12 ms at 1,000, 76 ms at 10,000; appending in place would take 0.3 ms, but a flag is
something a person does once in a while.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain as joined
from pathlib import Path
from typing import Any, Literal, cast

from review.domain.chain import Link, SaltedText, canonical, digest, genesis

FORMAT = "review adversarial set 1"
State = Literal["current", "recreated", "repaired", "foreign", "ahead", "altered", "unwritable"]
HEALTHY: frozenset[State] = frozenset({"current", "recreated", "repaired"})

_CHUNK = 1 << 20
_writing = threading.Lock()


@dataclass(frozen=True)
class MirrorState:
    """How the mirror stands after a write or a check.

    Attributes:
        state: "current", or was missing and is "recreated", was behind and is "repaired"; or it was left alone:
            "foreign" (another database's), "ahead" (holds rows that the database lacks), "altered", "unwritable".
        message: one line for people.
        entry_id: the first entry that does not fit, for "ahead" and "altered".
    """

    state: State
    message: str
    entry_id: str | None = None

    @property
    def ok(self) -> bool:
        return self.state in HEALTHY


_CURRENT = MirrorState("current", "The mirror has every row.")


def line_of(link: Link) -> str:
    """One line of the mirror, without its end."""
    text = {"salt": link.text.salt.hex(), "text": json.loads(link.text.content)} if link.text else {}
    return canonical({**link.record, "previous": link.previous, "digest": link.digest, **text})


def append(path: Path, chain_id: str, new: Link, whole: Callable[[], Iterable[Link]]) -> MirrorState:
    """Add the link that was just committed.

    Args:
        path: the mirror.
        chain_id: the database's id.
        new: the link that the commit added.
        whole: reads the whole chain, for when adding at the end is not enough.
    """
    with _writing:
        try:
            # An erasure has to take its texts out of lines that stand already.
            if new.kind == "erasure" or _last_digest(path, chain_id) != new.previous:
                return _reconcile(path, chain_id, whole)
            with path.open("rb") as file:
                _replace(path, joined(iter(lambda: file.read(_CHUNK), b""), [_encode(new)]))
            return _CURRENT
        except OSError as error:
            return _unwritable(path, error)


def check(path: Path, chain_id: str, whole: Callable[[], Iterable[Link]]) -> MirrorState:
    """Compare every line with the chain; write what is missing, leave alone what contradicts it."""
    with _writing:
        try:
            return _reconcile(path, chain_id, whole)
        except OSError as error:
            return _unwritable(path, error)


def set_aside(path: Path) -> Path | None:
    """Rename the mirror so that a new database may begin its own; nothing is deleted. Returns the new path.

    For a deliberate new start, as `review demo --reset` is.
    """
    if not path.exists():
        return None
    number = 1
    while (target := path.with_name(f"{path.stem}.old-{number}{path.suffix}")).exists():
        number += 1
    path.rename(target)
    return target


def _reconcile(path: Path, chain_id: str, whole: Callable[[], Iterable[Link]]) -> MirrorState:
    if not path.exists():
        _rewrite(path, chain_id, whole())
        return MirrorState("recreated", f"{path.name} was missing and was written anew.")
    found = _compare(path, chain_id, whole())
    if found is not None and found.state == "repaired":
        _rewrite(path, chain_id, whole())
    return found or _CURRENT


def _compare(path: Path, chain_id: str, links: Iterable[Link]) -> MirrorState | None:
    """What is wrong with the mirror; "repaired" stands for what a rewrite mends; None when nothing is."""
    with path.open("rb") as file:
        header = _parse(file.readline())
        if header is None or header.get("format") != FORMAT:
            return MirrorState(
                "altered", f"{path} does not begin as a mirror does. Move it away; the next check writes it anew."
            )
        if header.get("chain_id") != chain_id:
            return MirrorState(
                "foreign",
                f"{path} is the mirror of another database ({str(header.get('chain_id'))[:40]!r}, this one is "
                f"{chain_id!r}). It was left as it is. Move it away, or "
                "set eval_config.adversarial.path to another file.",
            )
        stale = False
        last = 0
        for each in links:
            raw = file.readline()
            if not raw.endswith(b"\n"):
                return MirrorState("repaired", f"{path.name} lacked what came after row {last} and was completed.")
            if raw != _encode(each):
                if not _only_unerased(raw, each):
                    return MirrorState(
                        "altered",
                        f"{path} line {each.seq + 1} ({each.entry_id}) does not match the database. "
                        "It was left as it is.",
                        each.entry_id,
                    )
                stale = True
            last = each.seq
        if raw := file.readline():
            beyond = _parse(raw)
            if beyond is None:
                return MirrorState("repaired", f"{path.name} ended in half a line, which was removed.")
            entry_id = str(beyond.get("entry_id"))[:60]
            return MirrorState(
                "ahead",
                f"{path} holds rows that the database lacks, from row {last + 1} ({entry_id!r}) on: the database "
                "lost rows or was restored from a backup. The file was left as it is.",
                entry_id,
            )
    return MirrorState("repaired", f"{path.name} still had an erased text and was written anew.") if stale else None


def _only_unerased(raw: bytes, each: Link) -> bool:
    """Whether the line differs from the link only by a text that was erased since."""
    line = _parse(raw)
    if line is None or each.text is not None or "text" not in line:
        return False
    try:
        text = SaltedText(bytes.fromhex(line.pop("salt")), canonical(line.pop("text")))
    except (KeyError, TypeError, ValueError):
        return False
    return text.digest == each.record["text_digest"] and canonical(line) == line_of(each)


def _parse(raw: bytes) -> dict[str, Any] | None:
    """One line as an object; None when it is torn or no object."""
    try:
        value: Any = json.loads(raw) if raw.endswith(b"\n") else None
    except ValueError:
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None


def _last_digest(path: Path, chain_id: str) -> str | None:
    """The digest that a next line must follow; None when the file is not there, not ours or does not end whole."""
    try:
        with path.open("rb") as file:
            header = _parse(file.readline())
            if header is None or header.get("format") != FORMAT or header.get("chain_id") != chain_id:
                return None
            body, position = file.tell(), file.seek(0, os.SEEK_END)
            if position == body:
                return genesis(chain_id)
            tail = b""
            # The last line may be long: read backwards until the end of the line before it.
            while b"\n" not in tail[:-1] and position > body:
                position = max(body, position - _CHUNK)
                file.seek(position)
                tail = file.read()
    except FileNotFoundError:
        return None
    last = _parse(tail[tail.rfind(b"\n", 0, -1) + 1 :])
    if last is None or not last.keys() >= {"previous", "digest"}:
        return None
    record = {key: value for key, value in last.items() if key not in ("previous", "digest", "salt", "text")}
    return str(last["digest"]) if digest(str(last["previous"]), record) == last["digest"] else None


def _rewrite(path: Path, chain_id: str, links: Iterable[Link]) -> None:
    header = canonical({"format": FORMAT, "chain_id": chain_id}).encode("utf-8") + b"\n"
    _replace(path, joined([header], map(_encode, links)))


def _encode(link: Link) -> bytes:
    return line_of(link).encode("utf-8") + b"\n"


def _replace(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a new file beside `path` and rename it over; whole and on disk, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    with draft.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unwritable(path: Path, error: OSError) -> MirrorState:
    return MirrorState(
        "unwritable",
        f"{path} cannot be written ({error.strerror}). The entry is in the database; mend the folder, then verify.",
    )
