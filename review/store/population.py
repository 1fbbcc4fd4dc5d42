"""What a population is made of: every pair's kind, task and prompt, and the strata and slots of the rounds."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt

from review.domain.frame import Kind
from review.store.database import Database

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PairColumns:
    """Every pair, indexed by row number; a number without a pair has kind -1.

    Attributes:
        kind: Position in domain.frame.KINDS, by the verdicts of today.
        task: Index into `tasks`.
        prompt: A code per prompt.
        source: Index into `sources`.
        imported: Microseconds since 1970.
    """

    kind: Ints
    task: Ints
    prompt: Ints
    source: Ints
    imported: Ints
    tasks: tuple[str | None, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class DrawnRound:
    """A round's window on the pairs; moments in microseconds since 1970, None where it is open.

    Nothing that was imported after `until` stood in its frame: the draw, or the latest import among what was drawn
    where the clocks of import and draw disagree.
    """

    round_id: str
    by_task: bool
    source: str | None
    imported_from: int | None
    imported_to: int | None
    until: int


@dataclass(frozen=True)
class DrawnStratum:
    """One stratum of a round: `drawn` of `frame` pairs. `row` is its number in the table."""

    row: int
    round_id: str
    kind: Kind
    tasks: tuple[str | None, ...]
    frame: int
    drawn: int


@dataclass(frozen=True)
class SlotColumns:
    """Drawn pairs, one element a pair and round.

    Attributes:
        pair: Row number.
        round: Index into the rounds that were asked for.
        stratum: Row of its stratum.
        pi: Inclusion probability in this round.
        labelled: It has a label of this round that counts: a first showing that no later row replaced or skipped.
    """

    pair: Ints
    round: Ints
    stratum: Ints
    pi: Floats
    labelled: Bools


@dataclass(frozen=True)
class Frame:
    """Pairs, rounds, strata and slots as of one moment."""

    pairs: PairColumns
    rounds: list[DrawnRound]
    strata: list[DrawnStratum]
    slots: SlotColumns


def read(database: Database, round_id: str | None) -> Frame:
    """All pairs, with one round or all of them; a label that arrives in between stands in no part of it."""
    cursor = database.cursor()
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    try:
        rounds = drawn_rounds(cursor, round_id)
        slots = slot_columns(cursor, [each.round_id for each in rounds])
        return Frame(pair_columns(cursor), rounds, drawn_strata(cursor, round_id), slots)
    finally:
        cursor.execute("ROLLBACK")


def pair_columns(cursor: duckdb.DuckDBPyConnection) -> PairColumns:
    """Kind (the rule of domain.frame.kind_of), task, prompt, source and time of every pair."""
    tasks = tuple(
        row[0] for row in cursor.execute("SELECT DISTINCT task FROM pair ORDER BY task NULLS LAST").fetchall()
    )
    sources = tuple(row[0] for row in cursor.execute("SELECT DISTINCT source FROM pair ORDER BY 1").fetchall())
    columns = cursor.execute(
        """
        WITH judged AS (
            SELECT pair_id, bool_and(winner IS NOT DISTINCT FROM 'tie') AS all_tie FROM verdict GROUP BY pair_id
        )
        SELECT p.rowid AS row,
               CASE WHEN p.identical THEN 0
                    WHEN NOT coalesce(s.differs, p.structured_differs) AND coalesce(j.all_tie, s.settled, false) THEN 1
                    ELSE 2 END AS kind,
               coalesce(list_position($tasks::VARCHAR[], p.task), $none) - 1 AS task,
               list_position($sources::VARCHAR[], p.source) - 1 AS source,
               hash(p.prompt_id) AS prompt, epoch_us(p.imported_at) AS imported
        FROM pair p LEFT JOIN judged j USING (pair_id) LEFT JOIN structured s USING (pair_id)
        """,
        {"tasks": [task for task in tasks if task is not None], "sources": list(sources), "none": len(tasks)},
    ).fetchnumpy()
    rows = columns["row"].astype(np.int64)
    size = int(rows.max()) + 1 if len(rows) else 0
    placed: dict[str, Ints] = {}
    for name in ("kind", "task", "source", "imported"):
        placed[name] = np.full(size, -1, dtype=np.int64)
        placed[name][rows] = columns[name].astype(np.int64)
    prompt = np.full(size, -1, dtype=np.int64)
    prompt[rows] = np.unique(columns["prompt"], return_inverse=True)[1]
    return PairColumns(placed["kind"], placed["task"], prompt, placed["source"], placed["imported"], tasks, sources)


def drawn_rounds(cursor: duckdb.DuckDBPyConnection, round_id: str | None) -> list[DrawnRound]:
    """One round, or all, oldest first."""
    rows = cursor.execute(
        """
        WITH latest AS (
            SELECT s.round_id, max(p.imported_at) AS imported_at FROM slot s JOIN pair p USING (pair_id) GROUP BY ALL
        )
        SELECT r.round_id, r.stratified_by = 'task', r.source, epoch_us(r.imported_from), epoch_us(r.imported_to),
               epoch_us(greatest(r.drawn_at, latest.imported_at))
        FROM round r LEFT JOIN latest USING (round_id)
        WHERE $round IS NULL OR r.round_id = $round ORDER BY r.number
        """,
        {"round": round_id},
    ).fetchall()
    return [DrawnRound(*row) for row in rows]


def drawn_strata(cursor: duckdb.DuckDBPyConnection, round_id: str | None) -> list[DrawnStratum]:
    """The strata of one round, or of all."""
    rows = cursor.execute(
        """
        SELECT rowid, round_id, kind, tasks, frame, drawn FROM stratum
        WHERE $round IS NULL OR round_id = $round ORDER BY rowid
        """,
        {"round": round_id},
    ).fetchall()
    return [
        DrawnStratum(row, where, kind, tuple(tasks), frame, drawn) for row, where, kind, tasks, frame, drawn in rows
    ]


def slot_columns(cursor: duckdb.DuckDBPyConnection, round_ids: list[str]) -> SlotColumns:
    """The slots of these rounds."""
    columns = cursor.execute(
        """
        WITH told AS (
            SELECT DISTINCT round_id, pair_id FROM current_label
            WHERE kind = 'label' AND occurrence = 0 AND round_id IN (SELECT unnest($rounds::VARCHAR[]))
        )
        SELECT p.rowid AS pair, list_position($rounds::VARCHAR[], s.round_id) - 1 AS round, st.rowid AS stratum, s.pi,
               told.pair_id IS NOT NULL AS labelled
        FROM slot s JOIN pair p USING (pair_id) JOIN stratum st USING (round_id, stratum)
             LEFT JOIN told ON told.round_id = s.round_id AND told.pair_id = s.pair_id
        WHERE list_contains($rounds::VARCHAR[], s.round_id)
        """,
        {"rounds": round_ids},
    ).fetchnumpy()
    return SlotColumns(
        columns["pair"].astype(np.int64),
        columns["round"].astype(np.int64),
        columns["stratum"].astype(np.int64),
        columns["pi"].astype(np.float64),
        columns["labelled"].astype(np.bool_),
    )
