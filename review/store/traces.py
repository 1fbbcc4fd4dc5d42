"""The traces: what stands already, new ones in, one batch at a time, and reading them by id, time or keyed hash."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import duckdb
import pyarrow

pa: Any = pyarrow  # it carries no types
Cursor = duckdb.DuckDBPyConnection

# A batch that is handed in. JSON columns are text; `redactions` is NULL where nothing was looked for.
SCHEMA: Any = pa.schema(
    [
        *((name, pa.string()) for name in ("trace_id", "content_hash", "prompt_id", "source", "task")),
        *((name, pa.string()) for name in ("messages", "tools", "parameters", "response", "reference")),
        *((name, pa.string()) for name in ("customer", "conversation", "ticket", "metadata")),
        ("happened_at", pa.timestamp("us", tz="UTC")),
        ("synthetic", pa.bool_()),
        ("redactions", pa.string()),
    ]
)
JSON = frozenset({"messages", "tools", "parameters", "response", "metadata", "redactions"})
COLUMNS = (*SCHEMA.names, "imported_at")
# A trace without a time of its own counts from its import.
_TIME = "coalesce(happened_at, imported_at)"


@contextmanager
def _visible(cursor: Cursor, staged: Any) -> Generator[None]:
    cursor.register("staged", staged)
    try:
        yield
    finally:
        # An error has ended the transaction already, and DuckDB refuses everything until it is rolled back.
        with suppress(duckdb.TransactionException):
            cursor.unregister("staged")


def hashes(cursor: Cursor, ids: Any) -> dict[str, str]:
    """The content hashes of those of the traces that stand.

    Args:
        cursor: of the database.
        ids: a pyarrow.Table with a column `trace_id`.
    """
    with _visible(cursor, ids):
        found = cursor.execute(
            "SELECT trace_id, content_hash FROM trace WHERE trace_id IN (SELECT trace_id FROM staged)"
        ).fetchall()
    return dict(found)


def add(cursor: Cursor, rows: Any, now: datetime) -> int:
    """Write rows of SCHEMA, none of which stands; returns how many."""
    names = ", ".join(SCHEMA.names)
    with _visible(cursor, rows):
        counted = cursor.execute(
            f"INSERT INTO trace BY NAME SELECT {names}, $now AS imported_at FROM staged",  # noqa: S608 (our names)
            {"now": now},
        ).fetchall()
    return int(counted[0][0])


def count(cursor: Cursor) -> dict[str, Any]:
    """How many traces stand, how many of them synthetic or never stripped, and from when to when."""
    found = cursor.execute(
        f"""
        SELECT count(*), count(*) FILTER (synthetic), count(*) FILTER (redactions IS NULL),
               count(*) FILTER (response IS NOT NULL), min({_TIME}), max({_TIME})
        FROM trace
        """  # noqa: S608 (our own expression)
    ).fetchall()[0]
    return dict(zip(("traces", "synthetic", "unstripped", "answered", "first", "last"), found, strict=True))


def by_id(cursor: Cursor, ids: Sequence[str], columns: Sequence[str]) -> Any:
    """The traces of these ids as a pyarrow.Table, by id; those that are not there are left out."""
    with _visible(cursor, pa.table({"trace_id": pa.array(list(ids), pa.string())})):
        found: Any = cursor.sql(
            f"SELECT {_selected(columns)} FROM trace WHERE trace_id IN (SELECT trace_id FROM staged) "  # noqa: S608
            "ORDER BY trace_id"
        )
        return found.to_arrow_table()


def page(
    cursor: Cursor,
    columns: Sequence[str],
    *,
    start: datetime | None,
    end: datetime | None,
    after: str,
    limit: int,
) -> Any:
    """The next `limit` traces of a window by id, as a pyarrow.Table. `start` belongs to the window, `end` does not."""
    # The ids first: sorting whole documents to keep a few would read all of them.
    found: Any = cursor.sql(
        f"""
        SELECT {_selected(columns)} FROM trace WHERE trace_id IN (
            SELECT trace_id FROM trace
            WHERE trace_id > $after AND ($start IS NULL OR {_TIME} >= $start) AND ($end IS NULL OR {_TIME} < $end)
            ORDER BY trace_id LIMIT $limit
        ) ORDER BY trace_id
        """,  # noqa: S608 (our own names)
        params={"start": start, "end": end, "after": after, "limit": limit},
    )
    return found.to_arrow_table()


def find(cursor: Cursor, hashed: Mapping[str, str], limit: int) -> list[dict[str, Any]]:
    """Traces by keyed hashes of ticket, customer and conversation, latest first, with the pairs made of them."""
    wanted = {name: hashed.get(name) for name in ("ticket", "customer", "conversation")}
    rows = cursor.execute(
        f"""
        SELECT trace_id, task, source, {_TIME} AS moment,
               (SELECT list(pair_id ORDER BY pair_id) FROM pair_origin WHERE pair_origin.trace_id = trace.trace_id)
        FROM trace
        WHERE ($ticket IS NULL OR ticket = $ticket) AND ($customer IS NULL OR customer = $customer)
          AND ($conversation IS NULL OR conversation = $conversation)
        ORDER BY moment DESC, trace_id LIMIT $limit
        """,  # noqa: S608 (our own expression)
        {**wanted, "limit": limit},
    ).fetchall()
    names = ("trace_id", "task", "source", "at", "pairs")
    return [dict(zip(names, (*row[:4], row[4] or []), strict=True)) for row in rows]


def _selected(columns: Sequence[str]) -> str:
    """Columns of the table for SELECT, JSON as text. Only names of ours pass."""
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise ValueError(unknown[0])
    return ", ".join(f"{name}::VARCHAR AS {name}" if name in JSON else name for name in columns)
