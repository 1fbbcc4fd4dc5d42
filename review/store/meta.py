"""What the database says about itself: who built it, and what is done already."""

from __future__ import annotations

from review.store.database import Database


def read(database: Database, key: str) -> str | None:
    """The value of `key`, or None."""
    row = database.cursor().execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
    return None if row is None else str(row[0])


def write(database: Database, key: str, value: str) -> None:
    """Set `key` to `value`."""
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", [key, value]
        )
