"""The content-addressed cache beside the database: what models answered, kept the moment it arrives.

A file of its own, so that a command has it while the app owns the database; several processes may use it at once.
"""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    kind TEXT NOT NULL, key TEXT NOT NULL, owner TEXT, value BLOB NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entry_owner ON entry (owner) WHERE owner IS NOT NULL;
"""
_MANY = 500


class Cache:
    """Bytes by kind and key. `owner` names the trace or pair a value came from, so that it can be erased with it."""

    def __init__(self, path: Path) -> None:
        """Open or make `path`, mode 0600."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # After kill -9 everything that was put is there. secure_delete overwrites what is erased.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA secure_delete = ON")
        self._connection.executescript(_SCHEMA)

    def get(self, kind: str, keys: Sequence[str]) -> dict[str, bytes]:
        """The values that are there, by key."""
        found: dict[str, bytes] = {}
        with self._lock:
            for start in range(0, len(keys), _MANY):
                some = keys[start : start + _MANY]
                marks = ",".join("?" * len(some))
                rows = self._connection.execute(
                    f"SELECT key, value FROM entry WHERE kind = ? AND key IN ({marks})",  # noqa: S608 (marks only)
                    [kind, *some],
                )
                found.update((key, zlib.decompress(value)) for key, value in rows)
        return found

    def put(self, kind: str, values: Mapping[str, bytes], owners: Mapping[str, str] | None = None) -> None:
        """Store values; a key that is there keeps its value. On return they survive the process."""
        rows = [(kind, key, (owners or {}).get(key), zlib.compress(value, 1)) for key, value in values.items()]
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany("INSERT OR IGNORE INTO entry VALUES (?, ?, ?, ?)", rows)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def forget(self, owners: Iterable[str]) -> int:
        """Erase everything that came from these traces or pairs, in the journal too; returns how many values."""
        count = 0
        with self._lock:
            for owner in owners:
                count += self._connection.execute("DELETE FROM entry WHERE owner = ?", [owner]).rowcount
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    def forget_with(self, has: Callable[[bytes], bool]) -> int:
        """Erase every value of which `has` is true, in the journal too; returns how many. Reads the whole cache."""
        gone: list[tuple[str, str]] = []
        with self._lock:
            for kind, key, value in self._connection.execute("SELECT kind, key, value FROM entry"):
                if has(zlib.decompress(value)):
                    gone.append((kind, key))
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("DELETE FROM entry WHERE kind = ? AND key = ?", gone)
            self._connection.execute("COMMIT")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return len(gone)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
