"""Writes the database file anew after an erasure: DuckDB keeps what was deleted in free blocks of the old one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import duckdb


def if_due(path: Path) -> None:
    """Write the file anew if something was erased since it last was. A file in use, or of no use, is left to others.

    The new file takes the old one's place in one step, so an interruption leaves the one or the other, whole.
    """
    # Beside the database, and only where an erasure put it: no file is opened twice for nothing.
    if not due(path).exists():
        return
    draft = path.with_name(path.name + ".compact")
    for leftover in (draft, draft.with_name(draft.name + ".wal")):
        leftover.unlink(missing_ok=True)
    try:
        with duckdb.connect() as connection:
            connection.execute("SET memory_limit = '450MB'")
            connection.execute(f"ATTACH '{_quoted(path)}' AS old")
            connection.execute(f"ATTACH '{_quoted(draft)}' AS new")
            connection.execute("COPY FROM DATABASE old TO new")
            triggers = connection.execute("SELECT sql FROM duckdb_triggers() WHERE database_name = 'old'").fetchall()
            connection.execute("USE new")
            for (statement,) in triggers:
                connection.execute(statement)
            connection.execute("UPDATE erasure SET compacted = true")
            connection.execute("CHECKPOINT new")
            connection.execute("DETACH old")
            connection.execute("USE memory")
            connection.execute("DETACH new")
    except duckdb.IOException:
        # In use: whoever has it open goes on with it, and the next one to open it does this.
        draft.unlink(missing_ok=True)
        return
    draft.chmod(path.stat().st_mode & 0o777)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    # The old file's log may hold what was erased, and belongs to no file any more.
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        due(path).unlink()


def due(path: Path) -> Path:
    """The mark that an erasure leaves beside the database."""
    return path.with_name(path.name + ".erased")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
