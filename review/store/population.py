"""What a population is made of: every pair's kind, task, prompt and traffic, and the strata and slots of the rounds."""

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
        cluster: Index into `clusters`, of the trace the pair came from.
        traffic: How many traces of traffic the pair stands for: 1 / (how likely a sample draws its trace and the replay
            makes a pair of it), over all samples; 1 for a pair that came from no sample.
        sampled: The pair came from a sample.
        synthetic: Its trace is synthetic.
    """

    kind: Ints
    task: Ints
    prompt: Ints
    source: Ints
    imported: Ints
    tasks: tuple[str | None, ...]
    sources: tuple[str, ...]
    cluster: Ints
    clusters: tuple[str | None, ...]
    traffic: Floats
    sampled: Bools
    synthetic: Bools


@dataclass(frozen=True)
class DrawnRound:
    """A round's window on the pairs; moments in microseconds since 1970, None where it is open.

    Nothing that was imported after `until` stood in its frame: the draw, or the latest import among what was drawn
    where the clocks of import and draw disagree.
    """

    round_id: str
    by: str
    cluster: str | None
    source: str | None
    imported_from: int | None
    imported_to: int | None
    alerted: list[int] | None
    until: int


@dataclass(frozen=True)
class DrawnStratum:
    """One stratum of a round: `drawn` of `frame` pairs. `row` is its number in the table; `tasks` may be clusters."""

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
    """Kind (the rule of domain.frame.kind_of), task, prompt, source, time, cluster and traffic of every pair."""
    tasks = tuple(
        row[0] for row in cursor.execute("SELECT DISTINCT task FROM pair ORDER BY task NULLS LAST").fetchall()
    )
    sources = tuple(row[0] for row in cursor.execute("SELECT DISTINCT source FROM pair ORDER BY 1").fetchall())
    named = cursor.execute(
        "SELECT DISTINCT a.cluster_id FROM pair_origin o JOIN assignment a USING (trace_id) ORDER BY 1"
    ).fetchall()
    clusters = (*(row[0] for row in named), None)
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
               hash(p.prompt_id) AS prompt, epoch_us(p.imported_at) AS imported,
               coalesce(list_position($clusters::VARCHAR[], a.cluster_id), $nowhere) - 1 AS cluster
        FROM pair p LEFT JOIN judged j USING (pair_id) LEFT JOIN structured s USING (pair_id)
             LEFT JOIN pair_origin o USING (pair_id) LEFT JOIN assignment a USING (trace_id)
        """,
        {
            "tasks": [task for task in tasks if task is not None],
            "sources": list(sources),
            "none": len(tasks),
            "clusters": list(clusters[:-1]),
            "nowhere": len(clusters),
        },
    ).fetchnumpy()
    rows = columns["row"].astype(np.int64)
    size = int(rows.max()) + 1 if len(rows) else 0
    placed: dict[str, Ints] = {}
    for name in ("kind", "task", "source", "imported", "cluster"):
        placed[name] = np.full(size, -1, dtype=np.int64)
        placed[name][rows] = columns[name].astype(np.int64)
    prompt = np.full(size, -1, dtype=np.int64)
    prompt[rows] = np.unique(columns["prompt"], return_inverse=True)[1]
    traffic, sampled, synthetic = _traffic(cursor, size)
    return PairColumns(
        kind=placed["kind"],
        task=placed["task"],
        prompt=prompt,
        source=placed["source"],
        imported=placed["imported"],
        tasks=tasks,
        sources=sources,
        cluster=placed["cluster"],
        clusters=clusters,
        traffic=traffic,
        sampled=sampled,
        synthetic=synthetic,
    )


def _traffic(cursor: duckdb.DuckDBPyConnection, size: int) -> tuple[Floats, Bools, Bools]:
    """`traffic`, `sampled` and `synthetic` of every pair, by row number.

    A trace that stands in the windows of several samples counts once, with P = 1 - prod_s (1 - pi_s rho_s); rho_s is
    the share of the sample's traces of that stratum that became pairs by now. Where a sample did not draw the trace,
    its pi comes from what the sample stored: the rate of its stratum times the factor of its customer.
    """
    found = cursor.execute(
        """
        WITH origin AS (
            SELECT p.rowid AS pair, o.trace_id, o.sample_id, t.synthetic, t.customer,
                   coalesce(a.cluster_id, 'unclustered') AS stratum, coalesce(t.happened_at, t.imported_at) AS moment
            FROM pair_origin o JOIN pair p USING (pair_id) JOIN trace t USING (trace_id)
                 LEFT JOIN assignment a USING (trace_id)
        ), drawn AS (
            SELECT s.sample_id, s.trace_id, s.stratum, s.pi, o.trace_id IS NOT NULL AS paired
            FROM sampled s LEFT JOIN (
                SELECT DISTINCT trace_id FROM pair_origin SEMI JOIN sample USING (sample_id)
            ) o USING (trace_id)
            WHERE s.purpose = 'replay'
        ), answered AS (
            SELECT sample_id, stratum, avg(paired::INT) AS rho FROM drawn GROUP BY ALL
        ), chance AS (
            SELECT o.pair, coalesce(d.pi, (s.spec -> 'rates' ->> o.stratum)::DOUBLE
                   * coalesce((s.spec -> 'factors' ->> o.customer)::DOUBLE, 1)) * r.rho AS chance
            FROM origin o JOIN sample s ON o.moment BETWEEN s.window_from AND s.window_to
                 LEFT JOIN drawn d ON d.sample_id = s.sample_id AND d.trace_id = o.trace_id
                 JOIN answered r ON r.sample_id = s.sample_id AND r.stratum = coalesce(d.stratum, o.stratum)
            WHERE coalesce((s.spec ->> 'synthetic')::BOOLEAN, false) = o.synthetic
              -- Live traffic was drawn by nobody: every exchange that came is there and stands for itself.
              AND o.sample_id IN (SELECT sample_id FROM sample)
        ), likely AS (
            SELECT pair, 1 - product(1 - chance) AS chance FROM chance WHERE chance > 0 GROUP BY pair
        )
        SELECT o.pair, o.synthetic, coalesce(l.chance, 1) AS chance, l.pair IS NOT NULL AS sampled
        FROM origin o LEFT JOIN likely l USING (pair)
        """
    ).fetchnumpy()
    rows = found["pair"].astype(np.int64)
    traffic = np.ones(size)
    sampled, synthetic = np.zeros(size, dtype=np.bool_), np.zeros(size, dtype=np.bool_)
    traffic[rows] = 1 / found["chance"].astype(np.float64)
    sampled[rows] = found["sampled"].astype(np.bool_)
    synthetic[rows] = found["synthetic"].astype(np.bool_)
    return traffic, sampled, synthetic


def drawn_rounds(cursor: duckdb.DuckDBPyConnection, round_id: str | None) -> list[DrawnRound]:
    """One round, or all, oldest first."""
    rows = cursor.execute(
        """
        WITH latest AS (
            SELECT s.round_id, max(p.imported_at) AS imported_at FROM slot s JOIN pair p USING (pair_id) GROUP BY ALL
        )
        SELECT r.round_id, r.stratified_by, r.cluster, r.source, epoch_us(r.imported_from), epoch_us(r.imported_to),
               CASE WHEN r.alert IS NOT NULL THEN (
                   SELECT coalesce(list(p.rowid), []) FROM pair p JOIN alert_pair a USING (pair_id)
                   WHERE a.alert_id = r.alert
               ) END,
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
