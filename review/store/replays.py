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

# Where things stand in their tables. Texts are read by it, some at a time in this order: a table's texts are packed by
# the thousand, and reading scattered ones unpacks everything.
PLACES: Any = pa.schema(
    [("trace_id", pa.string()), *((name, pa.int64()) for name in ("trace", "old_answer", "new_answer"))]
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
_NOISE: Any = pa.schema(
    [
        *((name, pa.string()) for name in ("trace_id", "stack")),
        ("identical", pa.bool_()),
        ("structured_differs", pa.bool_()),
    ]
)
# What a sample replays: its first `limit` traces; where only stripped texts may be sent, no others.
_CHOSEN = """
    SELECT s.trace_id, s.position, s.stratum, s.pi, t.rowid AS place, t.prompt_id, t.response IS NOT NULL AS logged
    FROM sampled s JOIN trace t USING (trace_id)
    WHERE s.sample_id = $sample AND s.purpose = 'replay' AND (NOT $stripped OR t.redactions IS NOT NULL OR t.synthetic)
    QUALIFY row_number() OVER (ORDER BY s.position) <= $limit
"""
_EVERYTHING = 2**31 - 1
_JSON = frozenset({"messages", "tools", "parameters", "response"})


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


def waiting(cursor: Cursor, scope: Scope, stack: str, after: int, limit: int) -> Any:
    """Traces that wait for this stack's answer: PLACES in order, after one of them."""
    return _places(
        cursor,
        f"""
        SELECT c.trace_id, c.place AS trace, NULL AS old_answer, NULL AS new_answer FROM ({_CHOSEN}) c
        WHERE c.place > $after
          AND NOT EXISTS (SELECT 1 FROM response r WHERE r.trace_id = c.trace_id AND r.stack = $stack)
        ORDER BY c.place LIMIT $some
        """,  # noqa: S608 (a constant of this module)
        {**scope.arguments, "stack": stack, "after": after, "some": limit},
    )


def unmeasured(cursor: Cursor, scope: Scope, stack: str, after: int, limit: int) -> Any:
    """Traces with a logged answer that this stack's own was not compared with: PLACES in order, after one of them."""
    return _places(
        cursor,
        f"""
        SELECT c.trace_id, c.place AS trace, r.rowid AS old_answer, NULL AS new_answer FROM ({_CHOSEN}) c
        JOIN response r ON r.trace_id = c.trace_id AND r.stack = $stack
        WHERE c.place > $after AND c.logged AND NOT EXISTS (
            SELECT 1 FROM replay_noise n WHERE n.trace_id = c.trace_id AND n.stack = $stack
        ) ORDER BY c.place LIMIT $some
        """,  # noqa: S608 (a constant of this module)
        {**scope.arguments, "stack": stack, "after": after, "some": limit},
    )


def unpaired(cursor: Cursor, scope: Scope, old: str, new: str, after: int, limit: int) -> Any:
    """Traces that both stacks have answered and that are no pair yet: PLACES in order, after one of them."""
    return _places(
        cursor,
        f"""
        SELECT c.trace_id, c.place AS trace, o.rowid AS old_answer, n.rowid AS new_answer FROM ({_CHOSEN}) c
        JOIN response o ON o.trace_id = c.trace_id AND o.stack = $old
        JOIN response n ON n.trace_id = c.trace_id AND n.stack = $new
        WHERE c.place > $after AND NOT EXISTS (
            SELECT 1 FROM pair_origin p
            WHERE p.trace_id = c.trace_id AND p.old_stack = $old AND p.new_stack = $new
        ) ORDER BY c.place LIMIT $some
        """,  # noqa: S608 (a constant of this module)
        {**scope.arguments, "old": old, "new": new, "after": after, "some": limit},
    )


def _places(cursor: Cursor, query: str, values: Mapping[str, Any]) -> Any:
    untyped: Any = cursor
    return untyped.sql(query, params=values).to_arrow_table().cast(PLACES)


def documents(cursor: Cursor, places: Any, columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Columns of traces that stand at these places, by id; JSON as text. One that has moved since is left out."""
    chosen = ", ".join(f"{name}::VARCHAR" if name in _JSON else name for name in columns)
    rows = cursor.execute(
        f"SELECT trace_id, {chosen} FROM trace WHERE rowid IN (SELECT unnest($places::BIGINT[]))",  # noqa: S608 (ours)
        {"places": places["trace"].to_pylist()},
    ).fetchall()
    wanted = set(places["trace_id"].to_pylist())
    return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in rows if row[0] in wanted}


def answers(cursor: Cursor, places: Any, name: str, stack: str) -> dict[str, str]:
    """Outputs that stand at the places of column `name`, by trace id. One that has moved since is left out."""
    rows = cursor.execute(
        "SELECT trace_id, output::VARCHAR FROM response WHERE rowid IN (SELECT unnest($places::BIGINT[])) "
        "AND stack = $stack",
        {"places": places[name].to_pylist(), "stack": stack},
    ).fetchall()
    return dict(rows)


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


def measure(cursor: Cursor, rows: Sequence[tuple[str, str, bool, bool]]) -> None:
    """Write comparisons with the log: (trace_id, stack, identical, structured_differs)."""
    names = ("trace_id", "stack", "identical", "structured_differs")
    # One statement: as many as there are rows would take a millisecond each.
    staged = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], _NOISE)
    with _visible(cursor, staged):
        cursor.execute("INSERT INTO replay_noise BY NAME SELECT * FROM staged ON CONFLICT DO NOTHING")


def noise(cursor: Cursor, scope: Scope, stack: str) -> Any:
    """The sample's replayed traces of this stack with their design: an arrow table.

    Columns: trace_id, prompt_id, stratum, pi, identical, structured_differs; the last two are NULL without a log.
    """
    untyped: Any = cursor
    found: Any = untyped.sql(
        f"""
        SELECT c.trace_id, c.prompt_id, c.stratum, c.pi, n.identical, n.structured_differs
        FROM ({_CHOSEN}) c
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


def paired(cursor: Cursor, ids: Sequence[str], old: str, new: str) -> set[str]:
    """Which of these traces are a pair of these stacks already."""
    rows = cursor.execute(
        "SELECT trace_id FROM pair_origin WHERE old_stack = $old AND new_stack = $new "
        "AND trace_id IN (SELECT unnest($ids::VARCHAR[]))",
        {"old": old, "new": new, "ids": list(ids)},
    ).fetchall()
    return {row[0] for row in rows}


def originate(cursor: Cursor, origins: Sequence[tuple[str, str]], sample: str, old: str, new: str) -> None:
    """Write where pairs came from: (pair_id, trace_id)."""
    columns = {name: [row[at] for row in origins] for at, name in enumerate(("pair_id", "trace_id"))}
    staged = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    with _visible(cursor, staged):
        cursor.execute(
            "INSERT INTO pair_origin BY NAME SELECT pair_id, trace_id, $sample AS sample_id, $old AS old_stack, "
            "$new AS new_stack FROM staged",
            {"sample": sample, "old": old, "new": new},
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
