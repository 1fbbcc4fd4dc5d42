"""The hash chain of the permanent adversarial set: canonical bytes, digests, and what does not fit.

Every row (an entry or an event on it) is one link. A link's digest is SHA-256 over the digest before it and the
canonical JSON of its public record, so that no row can be altered, removed or reordered unseen. Texts stay outside the
record: it holds only their salted digest, so that a text can be erased and the chain still fits. The salt is what makes
the erasure real, because nobody can test a guess at the erased text against the digest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SALT_BYTES = 32
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class SaltedText:
    """An erasable text: `content` is canonical JSON, `salt` 32 random bytes. Both go when it is erased."""

    salt: bytes
    content: str

    @property
    def digest(self) -> str:
        """SHA-256 over salt and content, 64 hexadecimal digits."""
        return hashlib.sha256(self.salt + self.content.encode("utf-8")).hexdigest()


@dataclass(frozen=True)
class Link:
    """One row of the chain.

    Attributes:
        seq: position, from 1 without a gap.
        entry_id: the entry that the row makes or speaks about.
        kind: "entry", "report", "confirmation", "correction" or "erasure".
        record: the public fields that the digest covers, `seq`, `entry_id` and `kind` among them.
        text: the erasable text, or None when the row has none or it was erased.
        previous: digest of the link before, or `genesis` for the first.
        digest: this link's own digest.
    """

    seq: int
    entry_id: str
    kind: str
    record: Mapping[str, Any]
    text: SaltedText | None
    previous: str
    digest: str


@dataclass(frozen=True)
class Misfit:
    """The first link that does not fit: where, which entry, and why, in words for people."""

    seq: int
    entry_id: str
    reason: str


def canonical(value: object) -> str:
    """JSON with sorted keys, without spaces, non-ASCII kept; the same value always gives the same text.

    Lone surrogates, which no UTF-8 file can hold, stand as their \\u escape.

    Raises:
        ValueError: `value` contains NaN or an infinity.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text if text.isascii() else _SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def genesis(chain_id: str) -> str:
    """What the first link has as its `previous`: it binds the chain to one database."""
    return hashlib.sha256(f"review adversarial set {chain_id}".encode()).hexdigest()


def digest(previous: str, record: Mapping[str, Any]) -> str:
    """The digest of the link with `record` that follows the link with digest `previous`."""
    return hashlib.sha256(f"{previous}\n{canonical(record)}".encode()).hexdigest()


def link(previous: str, record: Mapping[str, Any], text: SaltedText | None) -> Link:
    """Make the link with `record` (with `seq`, `entry_id`, `kind`) and `text` that follows `previous`."""
    whole = {**record, "text_digest": text.digest if text else None}
    return Link(
        seq=record["seq"],
        entry_id=record["entry_id"],
        kind=record["kind"],
        record=whole,
        text=text,
        previous=previous,
        digest=digest(previous, whole),
    )


def verify(chain_id: str, links: Iterable[Link], erased: Collection[str]) -> Misfit | None:
    """The first of `links` that does not fit the ones before it, or None when all fit.

    Checks position, both digests, every text against its salted digest, that an event speaks of an entry that exists,
    and that a text is absent exactly where its entry was erased.

    Args:
        chain_id: the database's id.
        links: in order of `seq`; read once, so that a long chain need not be in memory.
        erased: ids of the entries that have an erasure anywhere in the chain.
    """
    known: set[str] = set()
    previous = genesis(chain_id)
    for expected, each in enumerate(links, start=1):
        reason = (
            _misplaced(each, expected, previous) or _orphan(each, known) or _text_misfit(each, each.entry_id in erased)
        )
        if reason:
            return Misfit(each.seq, each.entry_id, reason)
        known.add(each.entry_id)
        previous = each.digest
    return None


def _misplaced(each: Link, expected: int, previous: str) -> str | None:
    if each.seq != expected:
        return f"row {expected} is missing before it" if each.seq > expected else f"row {each.seq} stands there twice"
    if each.previous != previous:
        return "it does not follow the row before it: one of the two was altered or replaced"
    if each.digest != digest(previous, each.record):
        return "its content does not match its digest: it was altered"
    if (each.record.get("seq"), each.record.get("entry_id"), each.record.get("kind")) != (
        each.seq,
        each.entry_id,
        each.kind,
    ):
        return "its position, entry or kind does not match its record"
    return None


def _orphan(each: Link, known: set[str]) -> str | None:
    if each.kind == "entry":
        return "an entry with this id stands before it" if each.entry_id in known else None
    return None if each.entry_id in known else "it speaks of an entry that is not in the set"


def _text_misfit(each: Link, erased: bool) -> str | None:
    expected = each.record.get("text_digest")
    if each.text is None:
        return "its text is missing and no erasure explains it" if expected and not erased else None
    if erased:
        return "its text is still there although it was erased"
    if expected is None:
        return "it has a text that its record does not know"
    return None if each.text.digest == expected else "its text does not match its digest: it was altered"
