"""Replayed responses: which traces of a sample wait for one, what came, what failed, how far old is from itself."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow

pa: Any = pyarrow  # it carries no types
Cursor = duckdb.DuckDBPyConnection

WORK: Any = pa.schema(
    [("position", pa.int32()), *((name, pa.string()) for name in ("trace_id", "messages", "tools", "parameters"))]
)
RESPONSES: Any = pa.schema(
    [
        *((name, pa.string()) for name in ("trace_id", "stack", "output", "served")),
        ("attempts", pa.int32()),
        ("cost_usd", pa.float64()),
        ("replayed_at", pa.timestamp("us", tz="UTC")),
    ]
)
FAILURES: Any = pa.schema(
    [
        *((name, pa.string()) for name in ("trace_id", "stack", "kind")),
        ("attempts", pa.int32()),
        ("failed_at", pa.timestamp("us", tz="UTC")),
    ]
)
# What a sample replays: its first `limit` traces; where only stripped texts may be sent, no others.
_CHOSEN = """
    SELECT s.trace_id, s.position, s.stratum, s.pi FROM sampled s JOIN trace t USING (trace_id)
    WHERE s.sample_id = $sample AND s.purpose = 'replay' AND (NOT $stripped OR t.redactions IS NOT NULL OR t.synthetic)
    QUALIFY row_number() OVER (ORDER BY s.position) <= $limit
"""
_EVERYTHING = 2**31 - 1


@dataclass(frozen=True)
class Scope:
    """What is replayed: a sample, only stripped traces or all, the first `limit` or all."""

    sample: str
    stripped: bool
    limit: int | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        return {"sample": self.sample, "stripped": self.stripped, "limit": self.limit or _EVERYTHING}


@contextmanager
def _visible(cursor: Cursor, staged: Any) -> Generator[None]:
    cursor.register("staged", staged)
    try:
        yield
    finally:
        # An error has ended the transaction already, and DuckDB refuses everything until it is rolled back.
        with suppress(duckdb.TransactionException):
            cursor.unregister("staged")


def newest(cursor: Cursor) -> str | None:
    """The newest sample that has traces to replay."""
    found: list[tuple[str]] = cursor.execute(
        "SELECT sample_id FROM sample WHERE sample_id IN (SELECT sample_id FROM sampled WHERE purpose = 'replay') "
        "ORDER BY number DESC LIMIT 1"
    ).fetchall()
    return found[0][0] if found else None


def exists(cursor: Cursor, sample: str) -> bool:
    """There is such a sample."""
    return cursor.execute("SELECT 1 FROM sample WHERE sample_id = ?", [sample]).fetchone() is not None


def work(cursor: Cursor, scope: Scope, stack: str, after: int, limit: int, size: int) -> Any:
    """Traces that wait for this stack's answer, after a position: at most `limit`, and about `size` bytes, but one."""
    untyped: Any = cursor
    found: Any = untyped.sql(
        f"""
        WITH waiting AS (
            SELECT trace_id, position FROM ({_CHOSEN}) c
            WHERE position > $after
              AND NOT EXISTS (SELECT 1 FROM response r WHERE r.trace_id = c.trace_id AND r.stack = $stack)
            ORDER BY position LIMIT $some
        )
        SELECT w.position, w.trace_id, t.messages::VARCHAR AS messages, t.tools::VARCHAR AS tools,
               t.parameters::VARCHAR AS parameters
        FROM waiting w JOIN trace t USING (trace_id)
        QUALIFY coalesce(sum(strlen(t.messages::VARCHAR) + coalesce(strlen(t.tools::VARCHAR), 0))
            OVER (ORDER BY w.position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) < $size
        ORDER BY w.position
        """,  # noqa: S608 (a constant of this module)
        params={**scope.arguments, "stack": stack, "after": after, "some": limit, "size": size},
    ).to_arrow_table()
    return found


def adopt(cursor: Cursor, scope: Scope, stack: str, now: datetime) -> int:
    """Take the logged answers as this stack's, where the trace came in as it was asked; returns how many."""
    counted = cursor.execute(
        f"""
        INSERT INTO response BY NAME
        SELECT t.trace_id, $stack AS stack, t.response AS output, t.response->>'model' AS served, 0 AS attempts,
               0.0 AS cost_usd, $now AS replayed_at
        FROM ({_CHOSEN}) c JOIN trace t USING (trace_id)
        WHERE t.response IS NOT NULL AND t.redactions IS NULL
          AND NOT EXISTS (SELECT 1 FROM response r WHERE r.trace_id = t.trace_id AND r.stack = $stack)
        """,  # noqa: S608 (a constant of this module)
        {**scope.arguments, "stack": stack, "now": now},
    ).fetchall()
    return int(counted[0][0])


def put(cursor: Cursor, rows: Any) -> int:
    """Write responses of traces that stand (one may have been erased meanwhile); returns how many were new."""
    names = ", ".join(RESPONSES.names)
    with _visible(cursor, rows):
        counted = cursor.execute(
            f"""
            INSERT INTO response BY NAME
            SELECT {names} FROM staged s
            WHERE trace_id IN (SELECT trace_id FROM trace)
              AND NOT EXISTS (SELECT 1 FROM response r WHERE r.trace_id = s.trace_id AND r.stack = s.stack)
            QUALIFY row_number() OVER (PARTITION BY trace_id, stack) = 1
            """  # noqa: S608 (our own names)
        ).fetchall()
    return int(counted[0][0])


def fail(cursor: Cursor, rows: Any) -> int:
    """Write what failed; returns how many were new."""
    names = ", ".join(FAILURES.names)
    with _visible(cursor, rows):
        counted = cursor.execute(
            f"""
            INSERT INTO replay_failure BY NAME
            SELECT {names} FROM staged s
            WHERE trace_id IN (SELECT trace_id FROM trace) AND NOT EXISTS (
                SELECT 1 FROM replay_failure f
                WHERE f.trace_id = s.trace_id AND f.stack = s.stack AND f.failed_at = s.failed_at
            )
            """  # noqa: S608 (our own names)
        ).fetchall()
    return int(counted[0][0])


def unmeasured(cursor: Cursor, scope: Scope, stack: str, limit: int) -> list[tuple[str, str, str]]:
    """Traces whose replayed answer was not yet compared with the logged one: (trace_id, logged, replayed) as JSON."""
    return cursor.execute(
        f"""
        SELECT c.trace_id, t.response::VARCHAR, r.output::VARCHAR
        FROM ({_CHOSEN}) c JOIN trace t USING (trace_id)
        JOIN response r ON r.trace_id = c.trace_id AND r.stack = $stack
        WHERE t.response IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM replay_noise n WHERE n.trace_id = c.trace_id AND n.stack = $stack
        ) ORDER BY c.position LIMIT $some
        """,  # noqa: S608 (a constant of this module)
        {**scope.arguments, "stack": stack, "some": limit},
    ).fetchall()


def measure(cursor: Cursor, rows: Sequence[tuple[str, str, bool, bool]]) -> None:
    """Write comparisons with the log: (trace_id, stack, identical, structured_differs)."""
    if rows:
        cursor.executemany("INSERT INTO replay_noise VALUES (?, ?, ?, ?)", [list(row) for row in rows])


def noise(cursor: Cursor, scope: Scope, stack: str) -> Any:
    """The sample's replayed traces of this stack with their design: an arrow table.

    Columns: trace_id, prompt_id, stratum, pi, identical, structured_differs; the last two are NULL without a log.
    """
    untyped: Any = cursor
    found: Any = untyped.sql(
        f"""
        SELECT c.trace_id, t.prompt_id, c.stratum, c.pi, n.identical, n.structured_differs
        FROM ({_CHOSEN}) c JOIN trace t USING (trace_id)
        JOIN response r ON r.trace_id = c.trace_id AND r.stack = $stack
        LEFT JOIN replay_noise n ON n.trace_id = c.trace_id AND n.stack = $stack
        ORDER BY c.position
        """,  # noqa: S608 (a constant of this module)
        params={**scope.arguments, "stack": stack},
    ).to_arrow_table()
    return found


def state(cursor: Cursor, scope: Scope, old: str, new: str) -> dict[str, int]:
    """How many traces of the sample there are, may be sent, are answered by each stack, and are pairs."""
    row = cursor.execute(
        f"""
        WITH chosen AS ({_CHOSEN})
        SELECT (SELECT count(*) FROM sampled WHERE sample_id = $sample AND purpose = 'replay'),
               count(*), count(o.trace_id), count(n.trace_id), count(p.pair_id)
        FROM chosen c
        LEFT JOIN response o ON o.trace_id = c.trace_id AND o.stack = $old
        LEFT JOIN response n ON n.trace_id = c.trace_id AND n.stack = $new
        LEFT JOIN pair_origin p ON p.trace_id = c.trace_id AND p.old_stack = $old AND p.new_stack = $new
        """,  # noqa: S608 (a constant of this module)
        {**scope.arguments, "old": old, "new": new},
    ).fetchall()[0]
    return dict(zip(("sampled", "chosen", "old", "new", "pairs"), row, strict=True))


def failing(cursor: Cursor, scope: Scope, stack: str) -> dict[str, int]:
    """The last error's kind of traces that this stack has not answered: how many of each kind."""
    rows = cursor.execute(
        f"""
        SELECT kind, count(*) FROM (
            SELECT f.trace_id, arg_max(f.kind, f.failed_at) AS kind
            FROM replay_failure f JOIN ({_CHOSEN}) c USING (trace_id)
            WHERE f.stack = $stack
              AND NOT EXISTS (SELECT 1 FROM response r WHERE r.trace_id = f.trace_id AND r.stack = $stack)
            GROUP BY f.trace_id
        ) GROUP BY kind ORDER BY count(*) DESC, kind
        """,  # noqa: S608 (a constant of this module)
        {**scope.arguments, "stack": stack},
    ).fetchall()
    return dict(rows)


def ready(cursor: Cursor, scope: Scope, old: str, new: str, after: int, limit: int) -> list[Mapping[str, Any]]:
    """Traces after a position that both stacks have answered and that are no pair yet; JSON as text."""
    names = ("position", "trace_id", "prompt_id", "task", "messages", "tools", "reference", "synthetic", "old", "new")
    rows = cursor.execute(
        f"""
        SELECT c.position, t.trace_id, t.prompt_id, t.task, t.messages::VARCHAR, t.tools::VARCHAR, t.reference,
               t.synthetic, o.output::VARCHAR, n.output::VARCHAR
        FROM ({_CHOSEN}) c JOIN trace t USING (trace_id)
        JOIN response o ON o.trace_id = c.trace_id AND o.stack = $old
        JOIN response n ON n.trace_id = c.trace_id AND n.stack = $new
        WHERE c.position > $after AND NOT EXISTS (
            SELECT 1 FROM pair_origin p
            WHERE p.trace_id = c.trace_id AND p.old_stack = $old AND p.new_stack = $new
        ) ORDER BY c.position LIMIT $some
        """,  # noqa: S608 (a constant of this module)
        {**scope.arguments, "old": old, "new": new, "after": after, "some": limit},
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]


def originate(cursor: Cursor, origins: Sequence[tuple[str, str]], sample: str, old: str, new: str) -> None:
    """Write where pairs came from: (pair_id, trace_id)."""
    if origins:
        cursor.executemany(
            "INSERT INTO pair_origin VALUES (?, ?, ?, ?, ?)",
            [[pair_id, trace_id, sample, old, new] for pair_id, trace_id in origins],
        )


def anything(cursor: Cursor) -> bool:
    """Some response stands."""
    return cursor.execute("SELECT 1 FROM response LIMIT 1").fetchone() is not None


def samples(cursor: Cursor, limit: int) -> list[tuple[str, int]]:
    """The newest samples of whose traces some were replayed: (sample_id, number)."""
    found: list[tuple[str, int]] = cursor.execute(
        "SELECT sample_id, number FROM sample WHERE sample_id IN "
        "(SELECT s.sample_id FROM sampled s JOIN response r USING (trace_id) WHERE s.purpose = 'replay') "
        "ORDER BY number DESC LIMIT ?",
        [limit],
    ).fetchall()
    return found
