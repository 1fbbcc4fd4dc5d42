"""Several numbers about the whole database in one statement, and the text that changes whenever one of them does."""

from __future__ import annotations

from typing import Any

import duckdb


def values(cursor: duckdb.DuckDBPyConnection, *selects: str) -> list[Any]:
    """The one value of each SELECT, as text or None, read together so that they belong together.

    As scalar subqueries beside each other, ten of them take 40 ms and not 3: DuckDB looks for the best order in which
    to join their single rows.

    Args:
        cursor: Where to read.
        selects: SQL of ours, as "SELECT count(*) FROM pair"; no text of anybody else's.
    """
    every = (f"SELECT {place} AS place, ({each})::VARCHAR AS value" for place, each in enumerate(selects))
    return [value for _, value in cursor.execute(" UNION ALL ".join(every) + " ORDER BY place").fetchall()]


def stamp(cursor: duckdb.DuckDBPyConnection, *selects: str) -> str:
    """A text that changes whenever one of the values does; arguments as in values()."""
    return "-".join(str(each) for each in values(cursor, *selects))


def count(*tables: str) -> list[str]:
    """How many rows each table has, for values() and stamp()."""
    return [f"SELECT count(*) FROM {each}" for each in tables]  # noqa: S608 (tables are named by our own code)
