"""The database file: open, migrate, lock down, hand out cursors and transactions."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

import duckdb

from review.errors import DatabaseBroken, DatabaseLocked
from review.store import compact

# Seconds.
_CLOSING = 30.0
_HOLDER = re.compile(r"held in (?:.*/)?([^/]+) \(PID (\d+)\)")


class Database:
    """One open database file. One process owns it; threads share it through `cursor()`.

    DuckDB's file lock is exclusive, so a process holds one `Database` a file for its lifetime. After opening, SQL can
    reach no other file and no setting: an imported text can never become a path.
    """

    def __init__(self, path: Path, *, memory_limit: str = "450MB") -> None:
        """Open or create `path` and bring its schema up to date.

        Raises:
            DatabaseLocked: another process has the file open.
            DatabaseBroken: the file is no DuckDB database, or was written by a later version.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        compact.if_due(path)
        try:
            # One file, one set of settings: a second connect in this process must match them.
            self._connection = duckdb.connect(str(path), config={"memory_limit": memory_limit})
        except duckdb.IOException as error:
            raise _explain(path, error) from error
        # Appending facts is quick; several tables in one transaction must not interleave with another writer's.
        self._write_lock = threading.RLock()
        _migrate(self._connection, path)
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor of its own for the calling thread; autocommits."""
        return self._connection.cursor()

    @contextmanager
    def transaction(self) -> Generator[duckdb.DuckDBPyConnection]:
        """A cursor inside one transaction: committed on exit, rolled back on any error. One writer at a time."""
        with self._write_lock:
            cursor = self.cursor()
            cursor.execute("BEGIN TRANSACTION")
            try:
                yield cursor
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            else:
                cursor.execute("COMMIT")
            finally:
                cursor.close()

    def begin(self) -> Transaction:
        """A transaction that stays open over several calls, beside everybody else's writing: for appending alone."""
        return Transaction(self.cursor())

    def close(self) -> None:
        """Checkpoint and release the file, once calls of other threads that are under way are done.

        Raises:
            duckdb.ResourceInUseException: one of them takes longer than 30 s.
        """
        give_up = time.monotonic() + _CLOSING
        while True:
            try:
                self._connection.close()
            except duckdb.ResourceInUseException:  # DuckDB refuses to wait
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
            else:
                return


class Transaction:
    """A transaction of its own, until it is committed or rolled back."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self.cursor = cursor
        cursor.execute("BEGIN TRANSACTION")

    def commit(self) -> bool:
        """False when somebody has stored one of the same facts since it began; nothing is stored then."""
        try:
            self.cursor.execute("COMMIT")
        except (duckdb.TransactionException, duckdb.ConstraintException):
            return False
        finally:
            self.cursor.close()
        return True

    def rollback(self) -> None:
        """Leave nothing."""
        with suppress(duckdb.Error):  # an error in it has rolled it back already
            self.cursor.execute("ROLLBACK")
        self.cursor.close()


def scratch(*, memory_limit: str = "450MB") -> duckdb.DuckDBPyConnection:
    """A connection to no file at all, for what DuckDB checks and computes outside of the review database."""
    connection = duckdb.connect(config={"memory_limit": memory_limit})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _explain(path: Path, error: duckdb.IOException) -> DatabaseLocked | DatabaseBroken:
    text = str(error)
    if "lock" in text.lower():
        found = _HOLDER.search(text)
        holder = f"process {found.group(2)} ({found.group(1)})" if found else "another process"
        return DatabaseLocked(
            f"{path} is in use by {holder}, and no app of this database answers. "
            "Wait until that process is done, or stop it, then try again."
        )
    return DatabaseBroken(f"{path} is not a review database. Name another file with --db, or move this one away.")


def _migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Run each numbered .sql file that the database has not seen; file and record commit together."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migration (name VARCHAR PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL)"
    )
    applied = {row[0] for row in connection.execute("SELECT name FROM migration").fetchall()}
    folder = resources.files("review.store") / "migrations"
    known = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    if unknown := applied - set(known):
        raise DatabaseBroken(f"{path} was written by a later version ({max(unknown)}). Update this installation.")
    for name in known:
        if name in applied:
            continue
        connection.execute("BEGIN TRANSACTION")
        try:
            connection.execute((folder / name).read_text(encoding="utf-8"))
            connection.execute("INSERT INTO migration VALUES (?, now())", [name])
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
