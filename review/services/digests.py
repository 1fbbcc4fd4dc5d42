"""What an erasure leaves of digests: those of content that was erased become keyed, wherever they stand.

A plain SHA-256 of a text lets a guess at the text be tested, also at one that is gone. An erasure therefore renames

- the hashes of golden items that held the words, and the versions of frozen sets that hold such an item: a version is
  taken anew over its items' hashes, so it still verifies, and all other sets keep theirs;
- the data hashes of benchmarks and of the adversarial set in runs, the hashes of files that were watched, and the
  gate's digests over such parts: what comes in again is still known, by the keyed hash of its hash;
- the keys of the judge's calls about pairs that held the words; the marks between which a judge saw them.

Ids of pairs, prompts, traces, answers and tickets are keyed from the start; the adversarial chain's digests of texts
are salted, and the salt goes with the text. What stays plain: the digest of a signed contract, which names it in
verdicts and covers no traffic; and in the chain, which nothing may change, the report ids of failures that were
promoted with words of their own before report ids were keyed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection

from review.domain import golden as rules
from review.store import digests as store
from review.store.digests import Cursor


def keyed(key: bytes, digest: str) -> str:
    """What stands instead of a digest; the same for the same digest. A keyed one is not keyed again."""
    if digest.startswith(store.KEYED):
        return digest
    return store.KEYED + _hashed(key, digest)[:32]


def same(key: bytes, stored: str, digest: str) -> bool:
    """Whether a stored digest, keyed or not, is that of what has this digest."""
    return stored in (digest, keyed(key, digest))


def hide(cursor: Cursor, key: bytes, *, items: Collection[str] = (), pairs: Collection[str] = ()) -> None:
    """Rename the digests of what was erased, within the erasure's transaction.

    Args:
        cursor: of the transaction.
        key: the workspace's.
        items: hashes of the golden items that held the words.
        pairs: ids of pairs that held the words.
    """
    names = {each: _hashed(key, each) for each in items}
    for version, members in store.sets_with(cursor, items).items():
        renamed = rules.set_hash(names.get(each, each) for each in members)
        names |= {version: renamed, rules.short(version): rules.short(renamed)}
    runs = store.runs_of_sets(cursor, names)
    for run, digest in store.content_digests(cursor):
        names[digest] = keyed(key, digest)
        runs.add(run)
    names |= {each: keyed(key, each) for each in store.gate_digests(cursor, runs)}
    store.rename(cursor, names)
    store.rename_files(cursor, {each: keyed(key, each) for each in store.file_digests(cursor)})
    store.rename_calls(cursor, {each: keyed(key, each) for each in store.call_keys(cursor, pairs)})
    store.drop_marks(cursor, pairs)


def _hashed(key: bytes, digest: str) -> str:
    return hmac.new(key, f"digest of what was erased\0{digest}".encode(), hashlib.sha256).hexdigest()
