"""The terms and shapes of clusters: how many turns, how long, which tools. No text of a trace leaves this module."""

from __future__ import annotations

from dataclasses import dataclass

from duckdb import DuckDBPyConnection as Cursor

_SHAPES = 200  # of a cluster; more tell nothing new


@dataclass(frozen=True)
class ClusterShape:
    """What synthetic traces of a cluster are made from.

    Attributes:
        cluster_id: names it.
        terms: distinctive words, most so first.
        traces: real traces in it.
        shapes: of some of its real traces: turns of the person, and characters of a turn on average.
        tools: names of tools at hand, with the share of traces that have each.
    """

    cluster_id: str
    terms: list[str]
    traces: int
    shapes: list[tuple[int, int]]
    tools: list[tuple[str, float]]


def cluster_shapes(cursor: Cursor) -> list[ClusterShape]:
    """Every cluster that has real traces, largest first."""
    rows = cursor.execute(
        """
        WITH turn AS (
            SELECT a.cluster_id, t.trace_id, count(*) AS turns,
                   avg(length(coalesce(m.message ->> '$.content', '')))::INTEGER AS characters
            FROM assignment a JOIN trace t USING (trace_id),
                 (SELECT unnest(t.messages::JSON[]) AS message) m
            WHERE NOT t.synthetic AND (m.message ->> '$.role') = 'user' GROUP BY ALL
        ), shape AS (
            SELECT cluster_id, count(*) AS traces, list([turns, characters] ORDER BY md5(trace_id))[1:$most] AS shapes
            FROM turn GROUP BY cluster_id
        )
        SELECT c.cluster_id, c.terms, s.traces, s.shapes
        FROM cluster c JOIN shape s USING (cluster_id) ORDER BY s.traces DESC, c.cluster_id
        """,
        {"most": _SHAPES},
    ).fetchall()
    tools = _tools(cursor)
    return [
        ClusterShape(
            cluster_id, list(terms), traces, [(turns, size) for turns, size in shapes], tools.get(cluster_id, [])
        )
        for cluster_id, terms, traces, shapes in rows
    ]


def _tools(cursor: Cursor) -> dict[str, list[tuple[str, float]]]:
    """The tools at hand in each cluster, the commonest first."""
    rows = cursor.execute(
        """
        WITH held AS (
            SELECT a.cluster_id, t.trace_id, list_distinct(json_extract_string(t.tools, '$[*].function.name')) AS names
            FROM assignment a JOIN trace t USING (trace_id) WHERE NOT t.synthetic
        ), size AS (SELECT cluster_id, count(*) AS traces FROM held GROUP BY cluster_id)
        SELECT h.cluster_id, h.name, count(*) / any_value(s.traces)
        FROM (SELECT cluster_id, unnest(names) AS name FROM held) h JOIN size s USING (cluster_id)
        WHERE h.name IS NOT NULL GROUP BY h.cluster_id, h.name ORDER BY h.cluster_id, 3 DESC, h.name
        """
    ).fetchall()
    found: dict[str, list[tuple[str, float]]] = {}
    for cluster_id, name, share in rows:
        found.setdefault(cluster_id, []).append((str(name)[:80], float(share)))
    return found
