"""Clusters and who belongs to them: traces, prompts of suites, inputs of pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow

from review.store.database import Database

pa: Any = pyarrow  # it carries no types
Cursor = duckdb.DuckDBPyConnection
NOISE = "noise"

CLUSTERS = pa.schema(
    [
        ("cluster_id", pa.string()),
        ("name", pa.string()),
        ("terms", pa.list_(pa.string())),
        ("examples", pa.list_(pa.string())),
        ("centroid", pa.list_(pa.float32())),
        ("x", pa.float32()),
        ("y", pa.float32()),
    ]
)
ASSIGNMENTS = pa.schema(
    [
        ("trace_id", pa.string()),
        ("cluster_id", pa.string()),
        ("similarity", pa.float32()),
        ("x", pa.float32()),
        ("y", pa.float32()),
    ]
)
INPUTS = pa.schema([("input_id", pa.string()), ("cluster_id", pa.string()), ("similarity", pa.float32())])
SUITE = pa.schema(
    [("suite_prompt_id", pa.string()), ("suite", pa.string()), ("text", pa.string()), ("redactions", pa.string())]
)

# When a trace happened, as far as it says.
_WHEN = "coalesce(t.happened_at, t.imported_at)"


@dataclass(frozen=True)
class State:
    """How far clustering is, within the window.

    Attributes:
        window_from: the earliest moment that counts; None without traces.
        window_to: the newest trace's moment.
        traces: in the window.
        unassigned: of them, without a cluster and not known as noise.
        noise: of them, known to fit nowhere.
        runs: finished runs of clustering.
        clusters: current ones.
        unfinished: the run that placed traces and did not end, if any.
        unfinished_first: it is the one that made all current clusters.
        model: whose space the clusters live in; None without clusters.
    """

    window_from: datetime | None
    window_to: datetime | None
    traces: int
    unassigned: int
    noise: int
    runs: int
    clusters: int
    unfinished: str | None
    unfinished_first: bool
    model: str | None


def state(database: Database, window_days: int) -> State:
    """Count."""
    cursor = database.cursor()
    newest = _one(cursor, f"SELECT max({_WHEN}) FROM trace t")[0]  # noqa: S608 (a constant)
    since = _one(cursor, "SELECT $newest::TIMESTAMPTZ - to_days($days::INTEGER)", newest=newest, days=window_days)[0]
    traces, unassigned, noise = _one(
        cursor,
        f"""
        SELECT count(*), count(*) FILTER (a.trace_id IS NULL), count(*) FILTER (a.cluster_id = 'noise')
        FROM trace t LEFT JOIN assignment a USING (trace_id) WHERE {_WHEN} >= $since""",  # noqa: S608 (a constant)
        since=since,
    )
    runs = _one(cursor, "SELECT count(*) FROM clustering")[0]
    unfinished = _one(
        cursor,
        """
        SELECT max(clustering_id) FROM (SELECT DISTINCT clustering_id FROM assignment)
        ANTI JOIN clustering USING (clustering_id)""",
    )[0]
    clusters, model, of_it = _one(
        cursor,
        """
        SELECT count(*), any_value(model), coalesce(bool_and(born_in = $run), false)
        FROM cluster ANTI JOIN cluster_retired USING (cluster_id)""",
        run=unfinished,
    )
    return State(
        *(since, newest, int(traces), int(unassigned), int(noise), int(runs), int(clusters)),
        *(unfinished, bool(of_it), model),
    )


def current(database: Database) -> Any:
    """The current clusters in order of their ids: a pyarrow.Table of the schema CLUSTERS and `born_in`."""
    return (
        database.cursor()
        .sql(
            """
            SELECT cluster_id, name, terms, examples, centroid, x, y, born_in
            FROM cluster ANTI JOIN cluster_retired USING (cluster_id) ORDER BY cluster_id"""
        )
        .to_arrow_table()
    )


def trace_ids(
    database: Database, since: datetime, after: str, limit: int, *, noise: bool, everything: bool
) -> list[str]:
    """Ids of traces in the window that have no cluster, in order; with `noise` also those that fitted nowhere.

    Args:
        since: the window's beginning.
        after: only ids behind this one; "" for the first page.
        limit: at most so many.
        noise: also those that fitted nowhere.
        everything: assigned ones too.
    """
    rows = (
        database.cursor()
        .execute(
            f"""
            SELECT t.trace_id FROM trace t LEFT JOIN assignment a USING (trace_id)
            WHERE t.trace_id > $after AND {_WHEN} >= $since
                AND ($everything OR a.trace_id IS NULL OR ($noise AND a.cluster_id = 'noise'))
            ORDER BY t.trace_id LIMIT $limit""",  # noqa: S608 (a constant)
            {"after": after, "since": since, "limit": limit, "noise": noise, "everything": everything},
        )
        .fetchall()
    )
    return [str(row[0]) for row in rows]


def trace_messages(database: Database, ids: Sequence[str]) -> list[tuple[str, list[Any]]]:
    """Messages of traces, by id, in order of the ids."""
    rows = (
        database.cursor()
        .execute(
            "SELECT trace_id, messages FROM trace WHERE trace_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY trace_id",
            {"ids": list(ids)},
        )
        .fetchall()
    )
    return [(str(row[0]), json.loads(row[1])) for row in rows]


def loose_inputs(database: Database, limit: int) -> list[tuple[str, str | None, list[Any] | None]]:
    """Inputs without a cluster: (id, text, None) of a suite, (prompt_id, None, messages) of golden items and of pairs
    that were drawn or flagged.

    What has the input of a trace takes the trace's cluster and is not among them.
    """
    rows = (
        database.cursor()
        .execute(
            """
            SELECT suite_prompt_id, text, NULL FROM suite_prompt s
            WHERE NOT EXISTS (SELECT 1 FROM input_cluster WHERE input_id = s.suite_prompt_id)
            UNION ALL
            SELECT prompt_id, NULL, any_value(messages) FROM golden_item g
            WHERE NOT EXISTS (SELECT 1 FROM input_cluster WHERE input_id = g.prompt_id)
                AND NOT EXISTS (SELECT 1 FROM trace WHERE trace.prompt_id = g.prompt_id)
            GROUP BY prompt_id
            UNION ALL
            SELECT prompt_id, NULL, any_value(messages) FROM pair p
            WHERE pair_id IN (SELECT pair_id FROM slot UNION SELECT pair_id FROM adversarial_entry)
                AND NOT EXISTS (SELECT 1 FROM input_cluster WHERE input_id = p.prompt_id)
                AND NOT EXISTS (SELECT 1 FROM trace WHERE trace.prompt_id = p.prompt_id)
                AND NOT EXISTS (SELECT 1 FROM pair_origin o WHERE o.pair_id = p.pair_id)
                AND NOT EXISTS (SELECT 1 FROM golden_item g WHERE g.prompt_id = p.prompt_id)
            GROUP BY prompt_id
            ORDER BY 1 LIMIT $limit""",
            {"limit": limit},
        )
        .fetchall()
    )
    return [(str(row[0]), row[1], None if row[2] is None else json.loads(row[2])) for row in rows]


def retire(cursor: Cursor, run: str, now: datetime) -> int:
    """Put the current clusters out of use, except those of this very run, and forget who belonged to them."""
    rows = cursor.execute(
        """
        INSERT INTO cluster_retired
        SELECT cluster_id, $now FROM cluster ANTI JOIN cluster_retired USING (cluster_id) WHERE born_in <> $run
        RETURNING cluster_id""",
        {"run": run, "now": now},
    ).fetchall()
    if rows:
        cursor.execute("DELETE FROM assignment WHERE clustering_id <> $run", {"run": run})
        cursor.execute("DELETE FROM input_cluster")
    return len(rows)


def add_clusters(cursor: Cursor, table: Any, run: str, model: str) -> None:
    """Add clusters; one that is there stays as it is."""
    cursor.register("incoming", table)
    try:
        cursor.execute(
            """
            INSERT INTO cluster
            SELECT cluster_id, $run, name, terms, examples, $model, centroid, x, y FROM incoming
            ON CONFLICT DO NOTHING""",
            {"run": run, "model": model},
        )
    finally:
        cursor.unregister("incoming")


def assign(cursor: Cursor, table: Any, run: str, now: datetime) -> None:
    """Put traces into clusters; one that has a cluster keeps it, noise may find one."""
    cursor.register("incoming", table)
    try:
        cursor.execute(
            """
            INSERT INTO assignment
            SELECT trace_id, cluster_id, similarity, x, y, $run, $now FROM incoming SEMI JOIN trace USING (trace_id)
            ON CONFLICT (trace_id) DO UPDATE SET
                cluster_id = excluded.cluster_id, similarity = excluded.similarity, x = excluded.x, y = excluded.y,
                clustering_id = excluded.clustering_id, assigned_at = excluded.assigned_at
            WHERE assignment.cluster_id = 'noise' AND excluded.cluster_id <> 'noise'""",
            {"run": run, "now": now},
        )
    finally:
        cursor.unregister("incoming")


def assign_inputs(cursor: Cursor, table: Any, now: datetime) -> None:
    """Put inputs that are no traces into clusters; one that has a cluster keeps it."""
    cursor.register("incoming", table)
    try:
        cursor.execute(
            """
            INSERT INTO input_cluster SELECT input_id, cluster_id, similarity, $now FROM incoming
            ON CONFLICT DO NOTHING""",
            {"now": now},
        )
    finally:
        cursor.unregister("incoming")


def release_noise_inputs(cursor: Cursor) -> None:
    """Forget that inputs fitted nowhere: new clusters are there, and they are looked at again."""
    cursor.execute("DELETE FROM input_cluster WHERE cluster_id = 'noise'")


def finish(cursor: Cursor, row: Mapping[str, Any]) -> None:
    """Record that a run ended; the same run is recorded once."""
    cursor.execute(
        """
        INSERT INTO clustering VALUES ($clustering_id, $model, $settings, $traces, $noise, $made_by, $made_at)
        ON CONFLICT DO NOTHING""",
        dict(row),
    )


def add_suite(cursor: Cursor, table: Any, by: str, now: datetime) -> int:
    """Add prompts of a suite; returns how many are new."""
    cursor.register("incoming", table)
    try:
        rows = cursor.execute(
            """
            INSERT INTO suite_prompt
            SELECT suite_prompt_id, any_value(suite), any_value(text), any_value(redactions), $by, $now
            FROM incoming GROUP BY suite_prompt_id
            ON CONFLICT DO NOTHING RETURNING suite_prompt_id""",
            {"by": by, "now": now},
        ).fetchall()
    finally:
        cursor.unregister("incoming")
    return len(rows)


def _one(cursor: Cursor, query: str, **values: Any) -> tuple[Any, ...]:
    row = cursor.execute(query, values).fetchone()
    assert row is not None
    return row
