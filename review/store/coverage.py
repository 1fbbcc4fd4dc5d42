"""What the Coverage page counts: traffic by cluster, and what of it rounds, the adversarial set and the suite touch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from review.store.database import Database
from review.store.stamp import count, stamp

# When a trace happened, as far as it says. Synthetic traces are no traffic.
_WHEN = "coalesce(t.happened_at, t.imported_at)"

# The cluster of a pair: of the trace it came from, else of a trace with the same input, else as an input of its own.
_OF_PAIRS = """
    SELECT p.pair_id, coalesce(o.cluster_id, same.cluster_id, i.cluster_id) AS cluster_id
    FROM wanted w JOIN pair p USING (pair_id)
    LEFT JOIN (SELECT pair_id, any_value(cluster_id) AS cluster_id
               FROM pair_origin JOIN assignment USING (trace_id) GROUP BY pair_id) o USING (pair_id)
    LEFT JOIN (SELECT prompt_id, any_value(cluster_id) AS cluster_id
               FROM trace JOIN assignment USING (trace_id)
               WHERE prompt_id IN (SELECT prompt_id FROM pair SEMI JOIN wanted USING (pair_id)) GROUP BY prompt_id
              ) same ON same.prompt_id = p.prompt_id
    LEFT JOIN input_cluster i ON i.input_id = p.prompt_id"""


@dataclass(frozen=True)
class ClusterRow:
    """A current cluster. `traces` and `before`: real traffic in the window, and in one as long before it."""

    cluster_id: str
    name: str
    terms: tuple[str, ...]
    x: float
    y: float
    born_at: datetime | None
    first_run: bool
    traces: int
    before: int


@dataclass(frozen=True)
class Traffic:
    """Real traffic of the window (`traces`) and clustered traffic of one as long before it (`before`)."""

    window_from: datetime | None
    window_to: datetime | None
    traces: int
    before: int
    noise: int
    unclustered: int
    last_run: datetime | None


@dataclass(frozen=True)
class TraceLine:
    """A trace of a cluster."""

    trace_id: str
    happened_at: datetime
    similarity: float
    synthetic: bool
    messages: list[Any]


def data_version(database: Database) -> str:
    """A text that changes whenever a number of the Coverage page can change."""
    return stamp(
        database.cursor(),
        "SELECT count(*) || ':' || max(assigned_at)::VARCHAR FROM assignment",
        "SELECT max(number) FROM golden_event",
        *count("trace", "cluster", "clustering", "cluster_retired", "input_cluster", "suite_prompt"),
        *count("slot", "pair_origin", "adversarial_entry", "adversarial_event"),
    )


def traffic(database: Database, days: int) -> Traffic:
    """Real traffic of the newest `days`, and of as many before."""
    row = (
        database.cursor()
        .execute(
            f"""
            WITH newest AS (SELECT max({_WHEN}) AS moment FROM trace t WHERE NOT synthetic),
                real AS (
                    SELECT {_WHEN} >= moment - to_days($days::INTEGER) AS inside, a.cluster_id
                    FROM trace t CROSS JOIN newest LEFT JOIN assignment a USING (trace_id)
                    WHERE NOT synthetic AND {_WHEN} >= moment - to_days(2 * $days::INTEGER))
            SELECT (SELECT moment - to_days($days::INTEGER) FROM newest), (SELECT moment FROM newest),
                count(*) FILTER (inside), count(*) FILTER (NOT inside AND cluster_id IS NOT NULL),
                count(*) FILTER (inside AND cluster_id = 'noise'), count(*) FILTER (inside AND cluster_id IS NULL),
                (SELECT max(made_at) FROM clustering)
            FROM real""",  # noqa: S608 (a constant)
            {"days": days},
        )
        .fetchone()
    )
    assert row is not None
    return Traffic(row[0], row[1], int(row[2]), int(row[3]), int(row[4]), int(row[5]), row[6])


def clusters(database: Database, found: Traffic, days: int) -> list[ClusterRow]:
    """The current clusters with their traffic, the most frequent first."""
    rows = (
        database.cursor()
        .execute(
            f"""
            WITH counted AS (
                SELECT a.cluster_id, count(*) FILTER ({_WHEN} >= $since) AS traces,
                    count(*) FILTER ({_WHEN} < $since) AS before
                FROM trace t JOIN assignment a USING (trace_id)
                WHERE NOT synthetic AND {_WHEN} >= $since::TIMESTAMPTZ - to_days($days::INTEGER) GROUP BY a.cluster_id),
                living AS (SELECT * FROM cluster ANTI JOIN cluster_retired USING (cluster_id))
            SELECT c.cluster_id, c.name, c.terms, c.x, c.y, r.made_at,
                r.made_at IS NOT DISTINCT FROM (
                    SELECT min(made_at) FROM clustering WHERE clustering_id IN (SELECT born_in FROM living)),
                coalesce(n.traces, 0), coalesce(n.before, 0)
            FROM living c LEFT JOIN clustering r ON r.clustering_id = c.born_in LEFT JOIN counted n USING (cluster_id)
            ORDER BY 8 DESC, c.name""",  # noqa: S608 (a constant)
            {"since": found.window_from, "days": days},
        )
        .fetchall()
    )
    return [
        ClusterRow(ids, name, tuple(terms), float(x), float(y), born_at, bool(first), int(traces), int(before))
        for ids, name, terms, x, y, born_at, first, traces, before in rows
    ]


def in_rounds(database: Database) -> Mapping[str | None, int]:
    """Different pairs of all rounds, by cluster; None where the cluster is not known yet."""
    return _by_cluster(database, "SELECT DISTINCT pair_id FROM slot")


def in_adversarial_set(database: Database) -> Mapping[str | None, int]:
    """Entries of the adversarial set that are not erased, by cluster."""
    return _by_cluster(
        database,
        """
        SELECT pair_id FROM adversarial_entry e
        WHERE NOT EXISTS (SELECT 1 FROM adversarial_event v WHERE v.entry_id = e.entry_id AND v.kind = 'erasure')""",
    )


def in_suite(database: Database) -> Mapping[str | None, int]:
    """Prompts of imported suites, by cluster."""
    rows = (
        database.cursor()
        .execute(
            """
            SELECT cluster_id, count(*) FROM suite_prompt
            LEFT JOIN input_cluster ON input_id = suite_prompt_id GROUP BY cluster_id"""
        )
        .fetchall()
    )
    return dict(rows)


def dots(database: Database, since: datetime, limit: int) -> list[tuple[float, float]]:
    """Places of some traces of the window on the map, the same ones each time."""
    rows = (
        database.cursor()
        .execute(
            f"""
            SELECT a.x, a.y FROM assignment a JOIN trace t USING (trace_id)
            WHERE a.x IS NOT NULL AND {_WHEN} >= $since ORDER BY hash(trace_id) LIMIT $limit""",  # noqa: S608
            {"since": since, "limit": limit},
        )
        .fetchall()
    )
    return [(float(x), float(y)) for x, y in rows]


def traces(database: Database, cluster_id: str, limit: int, offset: int) -> list[TraceLine]:
    """Traces of a cluster, those nearest to its centre first."""
    rows = (
        database.cursor()
        .execute(
            f"""
            WITH page AS (
                SELECT trace_id, similarity FROM assignment WHERE cluster_id = $cluster_id
                ORDER BY similarity DESC, trace_id LIMIT $limit OFFSET $offset)
            SELECT t.trace_id, {_WHEN}, page.similarity, t.synthetic, t.messages
            FROM page JOIN trace t USING (trace_id) ORDER BY page.similarity DESC, t.trace_id""",  # noqa: S608
            {"cluster_id": cluster_id, "limit": limit, "offset": offset},
        )
        .fetchall()
    )
    return [
        TraceLine(str(trace_id), when, float(similarity), bool(synthetic), json.loads(messages))
        for trace_id, when, similarity, synthetic, messages in rows
    ]


def count_traces(database: Database, cluster_id: str) -> int:
    """Traces of a cluster, of all times."""
    row = (
        database.cursor()
        .execute("SELECT count(*) FROM assignment WHERE cluster_id = $cluster_id", {"cluster_id": cluster_id})
        .fetchone()
    )
    return int(row[0]) if row else 0


def _by_cluster(database: Database, wanted: str) -> Mapping[str | None, int]:
    rows = (
        database.cursor()
        .execute(
            f"WITH wanted AS ({wanted}), placed AS ({_OF_PAIRS}) "  # noqa: S608 (constants)
            "SELECT cluster_id, count(*) FROM placed GROUP BY cluster_id"
        )
        .fetchall()
    )
    return dict(rows)
