"""Samples of traffic: the window's traces by stratum and customer, choosing within them, and what was drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from duckdb import DuckDBPyConnection as Cursor

UNCLUSTERED = "unclustered"

# Trace, stratum and inclusion probability.
Chosen = list[tuple[str, str, float]]

# Where a trace does not say when it happened, the time of its import stands for it.
_FRAME = f"""
    SELECT t.trace_id, t.customer, coalesce(a.cluster_id, '{UNCLUSTERED}') AS stratum
    FROM trace t LEFT JOIN assignment a USING (trace_id)
    WHERE t.synthetic = $synthetic AND coalesce(t.happened_at, t.imported_at) BETWEEN $from AND $to
"""  # noqa: S608 - a constant of this module


@dataclass(frozen=True)
class Window:
    """Which traces a sample can draw: those that happened from `since` to `until`, real ones or synthetic ones."""

    since: datetime
    until: datetime
    synthetic: bool

    @property
    def arguments(self) -> dict[str, object]:
        return {"from": self.since, "to": self.until, "synthetic": self.synthetic}


@dataclass(frozen=True)
class Extent:
    """What a window holds.

    Attributes:
        traces: in the window.
        alone: of those, traces without a customer.
        undated: of those, traces that do not say when they happened.
        later: traces after the window's end (a clock that runs ahead).
        hash: over every trace of the window with its stratum and customer, whatever their order.
    """

    traces: int
    alone: int
    undated: int
    later: int
    hash: str


@dataclass(frozen=True)
class CellRow:
    """Traces of one stratum and one customer; customer None holds all whom the cap cannot touch."""

    stratum: str
    customer: str | None
    traces: int


@dataclass(frozen=True)
class Taken:
    """How many traces a cell gives, and the probability of each of its traces."""

    stratum: str
    customer: str | None
    drawn: int
    pi: float


@dataclass(frozen=True)
class SampleRow:
    """One sample as stored."""

    sample_id: str
    number: int
    seed: int
    spec: dict[str, Any]
    window_from: datetime
    window_to: datetime
    frame: int
    frame_hash: str
    strata: list[dict[str, Any]]
    notes: list[str]
    drawn_by: str
    drawn_at: datetime


def window(cursor: Cursor, days: int, synthetic: bool, now: datetime) -> Window | None:
    """The days up to the newest trace that has happened by `now`; None without any trace."""
    row = cursor.execute(
        """
        SELECT max(coalesce(happened_at, imported_at)) FROM trace
        WHERE synthetic = $synthetic AND coalesce(happened_at, imported_at) <= $now
        """,
        {"synthetic": synthetic, "now": now},
    ).fetchone()
    if row is None or row[0] is None:
        return None
    return Window(row[0] - timedelta(days=days), row[0], synthetic)


def traces(cursor: Cursor, synthetic: bool) -> int:
    """How many real or synthetic traces there are."""
    row = cursor.execute("SELECT count(*) FROM trace WHERE synthetic = ?", [synthetic]).fetchone()
    assert row is not None
    return int(row[0])


def extent(cursor: Cursor, window: Window) -> Extent:
    """What the window holds. The hash adds up digests, so that no million lines have to be sorted."""
    row = cursor.execute(
        f"""
        WITH frame AS ({_FRAME}), line AS (
            SELECT customer, trace_id || chr(31) || stratum || chr(31) || coalesce(customer, '') AS line FROM frame
        )
        SELECT count(*), count(*) FILTER (customer IS NULL), coalesce(sum(md5_number_lower(line)), 0)::VARCHAR
        FROM line
        """,  # noqa: S608 - a constant of this module
        window.arguments,
    ).fetchone()
    other = cursor.execute(
        """
        SELECT count(*) FILTER (happened_at IS NULL AND imported_at BETWEEN $from AND $to),
               count(*) FILTER (coalesce(happened_at, imported_at) > $to)
        FROM trace WHERE synthetic = $synthetic
        """,
        window.arguments,
    ).fetchone()
    assert row is not None
    assert other is not None
    mark = hashlib.sha256(f"{row[0]}\x1f{row[2]}".encode()).hexdigest()
    return Extent(int(row[0]), int(row[1]), int(other[0]), int(other[1]), mark)


def customer_sizes(cursor: Cursor, window: Window) -> list[tuple[int, int]]:
    """How many customers have each number of traces, as (traces, customers)."""
    return cursor.execute(
        f"""
        WITH frame AS ({_FRAME}),
             size AS (SELECT count(*) AS traces FROM frame WHERE customer IS NOT NULL GROUP BY customer)
        SELECT traces, count(*) FROM size GROUP BY traces ORDER BY traces
        """,  # noqa: S608 - a constant of this module
        window.arguments,
    ).fetchall()


def cells(cursor: Cursor, window: Window, above: int) -> list[CellRow]:
    """The window's traces by stratum, and by customer where one has more than `above` of them; sorted."""
    rows = cursor.execute(
        f"""
        WITH frame AS ({_FRAME}),
             large AS (SELECT customer FROM frame WHERE customer IS NOT NULL GROUP BY customer HAVING count(*) > $above)
        SELECT stratum, l.customer, count(*) FROM frame f LEFT JOIN large l ON l.customer = f.customer
        GROUP BY stratum, l.customer ORDER BY stratum, l.customer NULLS FIRST
        """,  # noqa: S608 - a constant of this module
        {**window.arguments, "above": above},
    ).fetchall()
    return [CellRow(*row) for row in rows]


def choose(cursor: Cursor, seed: int, window: Window, wanted: Sequence[Taken]) -> Chosen:
    """Choose traces at random within cells.

    Each trace has a random key, the MD5 of seed and id, and those with the smallest keys of a cell are taken: equally
    likely, the same for the same seed, and in whatever order the traces stand.

    Args:
        cursor: outside a transaction: choosing among very many takes a while, and writers need not wait for it.
        seed: the sample's.
        window: the sample's.
        wanted: all cells of the strata that are wanted now, also those that give nothing.
    """
    rows = cursor.execute(
        f"""
        WITH cell AS (
            SELECT unnest($strata::VARCHAR[]) AS stratum, unnest($customers::VARCHAR[]) AS customer,
                   unnest($drawn::INTEGER[]) AS drawn, unnest($pi::DOUBLE[]) AS pi
        ), here AS (
            SELECT * FROM ({_FRAME}) WHERE stratum IN (SELECT unnest($strata::VARCHAR[]))
        ), placed AS (
            SELECT h.trace_id, h.stratum, own.customer, CASE WHEN own.stratum IS NULL THEN rest.drawn ELSE own.drawn END
                   AS drawn, CASE WHEN own.stratum IS NULL THEN rest.pi ELSE own.pi END AS pi
            FROM here h LEFT JOIN cell own ON own.stratum = h.stratum AND own.customer = h.customer
                 LEFT JOIN cell rest ON rest.stratum = h.stratum AND rest.customer IS NULL
        )
        SELECT trace_id, stratum, pi FROM placed WHERE drawn > 0
        QUALIFY row_number() OVER (
            PARTITION BY stratum, customer ORDER BY md5_number_lower($seed || ':' || trace_id), trace_id
        ) <= drawn
        """,  # noqa: S608 - a constant of this module
        {
            **window.arguments,
            "seed": str(seed),
            "strata": [each.stratum for each in wanted],
            "customers": [each.customer for each in wanted],
            "drawn": [each.drawn for each in wanted],
            "pi": [each.pi for each in wanted],
        },
    ).fetchall()
    return [(trace_id, stratum, pi) for trace_id, stratum, pi in rows]


def choose_audit(cursor: Cursor, seed: int, window: Window, size: int, frame: int) -> Chosen:
    """Choose `size` of the window's `frame` traces, all equally likely, for people to read."""
    rows = cursor.execute(
        """
        WITH chosen AS (
            SELECT trace_id FROM trace
            WHERE synthetic = $synthetic AND coalesce(happened_at, imported_at) BETWEEN $from AND $to
            ORDER BY md5_number_lower($seed || ':audit:' || trace_id), trace_id LIMIT $size
        )
        SELECT trace_id, coalesce(a.cluster_id, $none) FROM chosen LEFT JOIN assignment a USING (trace_id)
        """,
        {**window.arguments, "seed": str(seed), "size": size, "none": UNCLUSTERED},
    ).fetchall()
    return [(trace_id, stratum, min(1.0, size / frame)) for trace_id, stratum in rows]


def keep(cursor: Cursor, sample_id: str, purpose: str, chosen: Chosen) -> int:
    """Keep traces for a sample that is not finished yet; what is there stays. Returns how many are new."""
    row = cursor.execute(
        """
        INSERT INTO sampled
        SELECT $sample, trace_id, $purpose, 0, stratum, pi FROM (
            SELECT unnest($traces::VARCHAR[]) AS trace_id, unnest($strata::VARCHAR[]) AS stratum,
                   unnest($pis::DOUBLE[]) AS pi
        ) WHERE trace_id NOT IN (SELECT trace_id FROM sampled WHERE sample_id = $sample AND purpose = $purpose)
        """,
        {
            "sample": sample_id,
            "purpose": purpose,
            "traces": [each[0] for each in chosen],
            "strata": [each[1] for each in chosen],
            "pis": [each[2] for each in chosen],
        },
    ).fetchone()
    return int(row[0]) if row else 0


def counts(cursor: Cursor, sample_id: str) -> dict[tuple[str, str], int]:
    """How many traces are kept for a sample, by purpose and stratum."""
    rows = cursor.execute(
        "SELECT purpose, stratum, count(*) FROM sampled WHERE sample_id = ? GROUP BY ALL", [sample_id]
    ).fetchall()
    return {(purpose, stratum): count for purpose, stratum, count in rows}


def most_of_one_customer(cursor: Cursor, sample_id: str) -> int:
    """The most traces that one customer gives to the replay."""
    row = cursor.execute(
        """
        SELECT coalesce(max(traces), 0) FROM (
            SELECT count(*) AS traces FROM sampled JOIN trace t USING (trace_id)
            WHERE sample_id = ? AND purpose = 'replay' AND t.customer IS NOT NULL GROUP BY t.customer
        )
        """,
        [sample_id],
    ).fetchone()
    assert row is not None
    return int(row[0])


def forget(cursor: Cursor, sample_id: str) -> None:
    """Drop what was kept for a sample that is not finished."""
    cursor.execute(
        "DELETE FROM sampled WHERE sample_id = $sample AND $sample NOT IN (SELECT sample_id FROM sample)",
        {"sample": sample_id},
    )


def finish(cursor: Cursor, row: SampleRow) -> None:
    """Put what was kept into a random order and store the sample. A run that stops early is a random part of it."""
    cursor.execute(
        """
        UPDATE sampled SET position = placed.position FROM (
            SELECT trace_id, purpose, row_number() OVER (
                PARTITION BY purpose ORDER BY md5_number_lower($seed || ':order:' || trace_id), trace_id
            ) - 1 AS position
            FROM sampled WHERE sample_id = $sample
        ) AS placed
        WHERE sampled.sample_id = $sample AND sampled.trace_id = placed.trace_id AND sampled.purpose = placed.purpose
        """,
        {"sample": row.sample_id, "seed": str(row.seed)},
    )
    cursor.execute(
        "INSERT INTO sample VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            row.sample_id,
            row.number,
            row.seed,
            json.dumps(row.spec),
            row.window_from,
            row.window_to,
            row.frame,
            row.frame_hash,
            json.dumps(row.strata),
            row.notes,
            row.drawn_by,
            row.drawn_at,
        ],
    )


def next_number(cursor: Cursor) -> int:
    """The number of the next sample, from 1."""
    row = cursor.execute("SELECT coalesce(max(number), 0) + 1 FROM sample").fetchone()
    assert row is not None
    return int(row[0])


_SAMPLE = """
    SELECT sample_id, number, seed, spec, window_from, window_to, frame, frame_hash, strata, notes, drawn_by, drawn_at
    FROM sample
"""


def _sample(row: tuple[Any, ...]) -> SampleRow:
    values = list(row)
    values[3], values[8] = json.loads(row[3]), json.loads(row[8])
    return SampleRow(*values)


def read(cursor: Cursor, sample_id: str) -> SampleRow | None:
    """One finished sample."""
    row = cursor.execute(_SAMPLE + "WHERE sample_id = ?", [sample_id]).fetchone()
    return None if row is None else _sample(row)


def read_all(cursor: Cursor) -> list[SampleRow]:
    """All finished samples, newest first."""
    return [_sample(row) for row in cursor.execute(_SAMPLE + "ORDER BY number DESC").fetchall()]


def cluster_names(cursor: Cursor) -> Mapping[str, str]:
    """The name of each cluster."""
    return dict(cursor.execute("SELECT cluster_id, name FROM cluster").fetchall())
