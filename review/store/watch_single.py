"""Rows of watching single answers: traces that new alone answered, verdicts on them, old's answers as a baseline."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import duckdb
import pyarrow

pa: Any = pyarrow  # it carries no types
Cursor = duckdb.DuckDBPyConnection

VERDICTS: Any = pa.schema(
    [
        *((name, pa.string()) for name in ("answer_id", "side", "way", "task", "prompt_id", "cluster_id")),
        ("happened_at", pa.timestamp("us", tz="UTC")),
        ("verdict", pa.string()),
    ]
)
# Live traces that one stack alone answered, by whom; one that does not say it was served by $served.
_ALONE = """
    SELECT l.trace_id FROM live_trace l
    WHERE l.pair_id IS NULL AND coalesce(l.served, $served) = 'new'
"""
# One value a prompt and day, as the detectors count; any of them, always the same.
_BLOCK = "row_number() OVER (PARTITION BY prompt_id, date_trunc('day', happened_at) ORDER BY answer_id) = 1"
# Old's answers to a task, one a prompt and day. Live traffic first; only where it has none the pairs of replays,
# thinned so that each trace is as likely as every other.
_OLD = f"""
    WITH pool AS (
        SELECT p.pair_id AS answer_id, true AS paired, t.trace_id, p.prompt_id,
               coalesce(t.happened_at, p.imported_at) AS happened_at, 1.0 AS pi, 1 AS turn
        FROM pair p LEFT JOIN pair_origin g USING (pair_id) LEFT JOIN trace t USING (trace_id)
        WHERE regexp_matches(p.source, '^(shadow|production):') AND coalesce(p.task, '') = $task
        UNION ALL
        SELECT t.trace_id, false, t.trace_id, t.prompt_id, coalesce(t.happened_at, t.imported_at), 1.0, 1
        FROM live_trace l JOIN trace t USING (trace_id)
        WHERE l.pair_id IS NULL AND l.served = 'old' AND NOT t.synthetic AND coalesce(t.task, '') = $task
        UNION ALL
        SELECT p.pair_id, true, t.trace_id, p.prompt_id, coalesce(t.happened_at, p.imported_at), s.pi, 2
        FROM pair p JOIN pair_origin g USING (pair_id) JOIN trace t USING (trace_id)
             JOIN sampled s ON s.sample_id = g.sample_id AND s.trace_id = g.trace_id AND s.purpose = 'replay'
        WHERE NOT t.synthetic AND coalesce(p.task, '') = $task
    ), usable AS (
        SELECT * FROM pool WHERE turn = (SELECT min(turn) FROM pool)
    ), thinned AS (
        SELECT *, md5_number_lower('order ' || $seed || answer_id) AS lot FROM usable
        QUALIFY md5_number_lower($seed || answer_id) / 18446744073709551616.0 * pi <= min(pi) OVER ()
    ), block AS (
        SELECT * FROM thinned WHERE true QUALIFY {_BLOCK}
    )
"""  # noqa: S608 (constants of this module)


@contextmanager
def _visible(cursor: Cursor, staged: Any) -> Generator[None]:
    cursor.register("staged", staged)
    try:
        yield
    finally:
        # An error has ended the transaction already, and DuckDB refuses everything until it is rolled back.
        with suppress(duckdb.TransactionException):
            cursor.unregister("staged")


# New's answers.


def waiting(cursor: Cursor, served: str) -> list[tuple[str, int, int, int]]:
    """Traces that new alone answered and that were not observed, by task: (task, traces, undecided, known)."""
    return cursor.execute(
        f"""
        WITH fresh AS (
            SELECT coalesce(t.task, '') AS task, TRY_CAST(t.response ->> '$.correct' AS BOOLEAN) IS NOT NULL AS known
            FROM ({_ALONE}) l JOIN trace t USING (trace_id) ANTI JOIN observation o ON o.observed_id = l.trace_id
            WHERE t.response IS NOT NULL AND NOT t.synthetic
        )
        SELECT task, count(*), count(*) FILTER (NOT known), count(*) FILTER (known) FROM fresh GROUP BY task ORDER BY 1
        """,  # noqa: S608 (a constant of this module)
        {"served": served},
    ).fetchall()


def fresh(cursor: Cursor, served: str, limit: int) -> Any:
    """Such traces: a table of ids, task, cluster, source, time and the answer."""
    untyped: Any = cursor
    return untyped.sql(
        f"""
        WITH fresh AS (
            SELECT trace_id FROM ({_ALONE}) l ANTI JOIN observation o ON o.observed_id = l.trace_id
            SEMI JOIN (SELECT trace_id FROM trace WHERE response IS NOT NULL AND NOT synthetic) USING (trace_id)
            ORDER BY trace_id LIMIT $limit
        )
        SELECT t.trace_id, t.prompt_id, coalesce(t.task, '') AS task, a.cluster_id, l.source,
               coalesce(t.happened_at, t.imported_at) AS happened_at, t.response::VARCHAR AS new
        FROM fresh JOIN trace t USING (trace_id) JOIN live_trace l USING (trace_id)
             LEFT JOIN assignment a USING (trace_id)
        ORDER BY t.trace_id
        """,  # noqa: S608 (a constant of this module)
        params={"served": served, "limit": limit},
    ).to_arrow_table()


def add_known(cursor: Cursor, limit: int, now: datetime) -> int:
    """Write the next verdicts on new's chosen answers whose correctness came with them. Returns how many are new."""
    return _numbered(
        cursor,
        """
        SELECT o.observed_id AS answer_id, 'new' AS side, 'known' AS way, o.task, o.prompt_id, o.cluster_id,
               o.happened_at, CASE WHEN o.new_right THEN 'passed' ELSE 'failed' END AS verdict
        FROM observation o ANTI JOIN (SELECT answer_id FROM watch_verdict WHERE side = 'new') v
             ON v.answer_id = o.observed_id
        WHERE o.pair_id IS NULL AND o.chosen AND o.new_right IS NOT NULL
        ORDER BY o.happened_at, o.observed_id LIMIT $limit
        """,
        {"now": now, "limit": limit},
    )


def unjudged(cursor: Cursor, limit: int) -> Any:
    """New's chosen answers without a verdict, in the order in which they happened: a table with their texts."""
    untyped: Any = cursor
    return untyped.sql(
        """
        WITH open AS (
            SELECT o.observed_id, o.task, o.prompt_id, o.cluster_id, o.happened_at
            FROM observation o ANTI JOIN (SELECT answer_id FROM watch_verdict WHERE side = 'new') v
                 ON v.answer_id = o.observed_id
            WHERE o.pair_id IS NULL AND o.chosen AND o.new_right IS NULL
            ORDER BY o.happened_at, o.observed_id LIMIT $limit
        )
        SELECT o.observed_id AS answer_id, 'new' AS side, o.task, o.prompt_id, o.cluster_id, o.happened_at,
               o.observed_id AS owner, t.messages::VARCHAR AS messages, t.tools::VARCHAR AS tools,
               t.response::VARCHAR AS answer
        FROM open o JOIN trace t ON t.trace_id = o.observed_id ORDER BY o.happened_at, o.observed_id
        """,
        params={"limit": limit},
    ).to_arrow_table()


def add(cursor: Cursor, rows: Any, now: datetime) -> int:
    """Write verdicts of VERDICTS; one that stands stays as it is. Returns how many are new."""
    with _visible(cursor, rows):
        return _numbered(cursor, "SELECT * FROM staged", {"now": now})


def _numbered(cursor: Cursor, rows: str, values: Mapping[str, Any]) -> int:
    """Write verdicts that a query gives, without those that stand, with the next places of their task and side."""
    counted = cursor.execute(
        f"""
        WITH last AS (SELECT task, side, max(place) AS place FROM watch_verdict GROUP BY task, side)
        INSERT INTO watch_verdict BY NAME
        SELECT r.*, $now AS judged_at,
               coalesce(l.place, 0) + row_number() OVER (
                   PARTITION BY r.task, r.side ORDER BY r.happened_at, r.answer_id) AS place
        FROM ({rows}) r LEFT JOIN last l ON l.task = r.task AND l.side = r.side
             ANTI JOIN watch_verdict v ON v.answer_id = r.answer_id AND v.side = r.side AND v.way = r.way
        """,  # noqa: S608 (queries of this module)
        dict(values),
    ).fetchall()
    return int(counted[0][0])


def recent_ways(cursor: Cursor, newest: int) -> dict[str, dict[str, int]]:
    """By task, how the newest verdicts on new were reached: {way: how many}."""
    found: dict[str, dict[str, int]] = {}
    for task, way, count in cursor.execute(
        """
        SELECT task, way, count(*) FROM (
            SELECT task, way FROM watch_verdict WHERE side = 'new'
            QUALIFY row_number() OVER (PARTITION BY task ORDER BY place DESC) <= $newest
        ) GROUP BY ALL ORDER BY task, count(*) DESC, way
        """,
        {"newest": newest},
    ).fetchall():
        found.setdefault(task, {})[way] = count
    return found


def undecided(cursor: Cursor) -> dict[str, int]:
    """New's chosen single answers without a verdict, by task."""
    return dict(
        cursor.execute(
            """
            SELECT o.task, count(*)
            FROM observation o ANTI JOIN (SELECT answer_id FROM watch_verdict WHERE side = 'new') v
                 ON v.answer_id = o.observed_id
            WHERE o.pair_id IS NULL AND o.chosen GROUP BY o.task
            """
        ).fetchall()
    )


def tallies(cursor: Cursor) -> dict[tuple[str, str], dict[str, Any]]:
    """Of new's verdicts by task and way: how many, how many passed, blocks, from when to when."""
    rows = cursor.execute(
        """
        SELECT task, way, count(*), count(*) FILTER (verdict = 'passed'),
               count(DISTINCT (prompt_id, date_trunc('day', happened_at))), min(happened_at), max(happened_at)
        FROM watch_verdict WHERE side = 'new' GROUP BY task, way ORDER BY task, way
        """
    ).fetchall()
    names = ("scores", "passed", "blocks", "first_at", "last_at")
    return {(row[0], row[1]): dict(zip(names, row[2:], strict=True)) for row in rows}


def values_after(cursor: Cursor, task: str, way: str, place: int, limit: int) -> list[tuple[int, str, float, datetime]]:
    """The next verdicts on new of a task and way: (place, prompt_id, 1 where it passed, when it happened)."""
    return cursor.execute(
        """
        SELECT place, prompt_id, (verdict = 'passed')::DOUBLE, happened_at FROM watch_verdict
        WHERE side = 'new' AND task = $task AND way = $way AND place > $place ORDER BY place LIMIT $limit
        """,
        {"task": task, "way": way, "place": place, "limit": limit},
    ).fetchall()


def prompts_of_days(
    cursor: Cursor, task: str, way: str, place: int, days: Sequence[datetime]
) -> set[tuple[str, datetime]]:
    """(prompt_id, day) of the task's verdicts on new up to a place, on these days."""
    return set(
        cursor.execute(
            """
            SELECT DISTINCT prompt_id, date_trunc('day', happened_at) FROM watch_verdict
            WHERE side = 'new' AND task = $task AND way = $way AND place <= $place
                  AND date_trunc('day', happened_at) IN (SELECT unnest($days::TIMESTAMPTZ[]))
            """,
            {"task": task, "way": way, "place": place, "days": list(days)},
        ).fetchall()
    )


# Old's answers.


def old_answers(cursor: Cursor, task: str, way: str, seed: str, most: int, limit: int) -> Any:
    """The next of old's answers to a task that are to be judged in this way: a table as of unjudged().

    Together the `most` first of a random order, which is the same for a seed.
    """
    untyped: Any = cursor
    return untyped.sql(
        _OLD  # noqa: S608 (constants of this module)
        + """
        , wanted AS (SELECT * FROM block ORDER BY lot, answer_id LIMIT $most), next AS (
            SELECT w.* FROM wanted w
            ANTI JOIN (SELECT answer_id FROM watch_verdict WHERE side = 'old' AND way = $way) v USING (answer_id)
            ORDER BY w.lot, w.answer_id LIMIT $limit
        )
        SELECT n.answer_id, 'old' AS side, $task AS task, n.prompt_id, coalesce(a.cluster_id, i.cluster_id)
               AS cluster_id, n.happened_at, coalesce(n.trace_id, n.answer_id) AS owner,
               CASE WHEN n.paired THEN p.messages ELSE t.messages END::VARCHAR AS messages,
               CASE WHEN n.paired THEN p.tools ELSE t.tools END::VARCHAR AS tools,
               CASE WHEN n.paired THEN p.old ELSE t.response END::VARCHAR AS answer
        FROM next n LEFT JOIN pair p ON n.paired AND p.pair_id = n.answer_id
             LEFT JOIN trace t ON t.trace_id = n.trace_id LEFT JOIN assignment a ON a.trace_id = n.trace_id
             LEFT JOIN input_cluster i ON i.input_id = n.prompt_id
        WHERE CASE WHEN n.paired THEN p.old ELSE t.response END IS NOT NULL
        ORDER BY n.lot, n.answer_id
        """,
        params={"task": task, "way": way, "seed": seed, "most": most, "limit": limit},
    ).to_arrow_table()


def add_old_known(cursor: Cursor, task: str, seed: str, now: datetime) -> int:
    """Write verdicts on old's answers to a task whose correctness came with them. Returns how many are new."""
    return _numbered(
        cursor,
        _OLD  # noqa: S608 (constants of this module)
        + """
        SELECT n.answer_id, 'old' AS side, 'known' AS way, $task AS task, n.prompt_id,
               coalesce(a.cluster_id, i.cluster_id) AS cluster_id, n.happened_at,
               CASE WHEN TRY_CAST(CASE WHEN n.paired THEN p.old ELSE t.response END ->> '$.correct' AS BOOLEAN)
                    THEN 'passed' ELSE 'failed' END AS verdict
        FROM block n LEFT JOIN pair p ON n.paired AND p.pair_id = n.answer_id
             LEFT JOIN trace t ON t.trace_id = n.trace_id LEFT JOIN assignment a ON a.trace_id = n.trace_id
             LEFT JOIN input_cluster i ON i.input_id = n.prompt_id
        WHERE TRY_CAST(CASE WHEN n.paired THEN p.old ELSE t.response END ->> '$.correct' AS BOOLEAN) IS NOT NULL
        """,
        {"task": task, "seed": seed, "now": now},
    )


def baselines(cursor: Cursor) -> dict[tuple[str, str], tuple[int, int]]:
    """Old's verdicts by task and way, one a prompt and day: (how many, how many passed)."""
    rows = cursor.execute(
        """
        WITH block AS (SELECT task, way, verdict FROM watch_verdict WHERE side = 'old' QUALIFY row_number() OVER (
            PARTITION BY task, way, prompt_id, date_trunc('day', happened_at) ORDER BY answer_id) = 1)
        SELECT task, way, count(*), count(*) FILTER (verdict = 'passed') FROM block GROUP BY task, way
        """
    ).fetchall()
    return {(task, way): (count, passed) for task, way, count, passed in rows}


# What an alert says.


def verdicts(
    cursor: Cursor, task: str, way: str, side: str, start: datetime | None = None, end: datetime | None = None
) -> Any:
    """Verdicts of a task, way and side in a span of traffic's time, in order: a table; `passed` is 0 or 1."""
    untyped: Any = cursor
    return untyped.sql(
        """
        SELECT place, answer_id, prompt_id, cluster_id, happened_at, (verdict = 'passed')::DOUBLE AS passed, verdict
        FROM watch_verdict
        WHERE task = $task AND way = $way AND side = $side AND ($start IS NULL OR happened_at >= $start)
              AND ($end IS NULL OR happened_at < $end)
        ORDER BY place
        """,
        params={"task": task, "way": way, "side": side, "start": start, "end": end},
    ).to_arrow_table()


def cluster_means(
    cursor: Cursor, task: str, way: str, start: datetime | None, end: datetime | None
) -> dict[str, tuple[int, float]]:
    """Of new's verdicts in a span of time, by cluster: how many, and the share that passed."""
    rows = cursor.execute(
        """
        SELECT cluster_id, count(*), avg((verdict = 'passed')::DOUBLE) FROM watch_verdict
        WHERE side = 'new' AND task = $task AND way = $way AND cluster_id IS NOT NULL
              AND ($start IS NULL OR happened_at >= $start) AND ($end IS NULL OR happened_at < $end)
        GROUP BY 1 ORDER BY 1
        """,
        {"task": task, "way": way, "start": start, "end": end},
    ).fetchall()
    return {name: (count, mean) for name, count, mean in rows}


def pass_rate(cursor: Cursor, task: str, way: str, start: datetime | None, end: datetime | None) -> float | None:
    """The share of new's answers that passed in a span of time; None without any."""
    rows = cursor.execute(
        """
        SELECT avg((verdict = 'passed')::DOUBLE) FROM watch_verdict
        WHERE side = 'new' AND task = $task AND way = $way AND ($start IS NULL OR happened_at >= $start)
              AND ($end IS NULL OR happened_at < $end)
        """,
        {"task": task, "way": way, "start": start, "end": end},
    ).fetchall()
    return None if rows[0][0] is None else float(rows[0][0])


def daily(cursor: Cursor, days: int) -> list[tuple[str, str, datetime, int, int]]:
    """New's verdicts by task, way and day, of the newest `days`: (task, way, day, how many, how many passed)."""
    return cursor.execute(
        """
        SELECT task, way, date_trunc('day', happened_at) AS day, count(*), count(*) FILTER (verdict = 'passed')
        FROM watch_verdict WHERE side = 'new'
             AND happened_at >= (SELECT max(happened_at) FROM observation) - to_days($days::INTEGER)
        GROUP BY ALL ORDER BY task, way, day
        """,
        {"days": days},
    ).fetchall()


def of_alert(cursor: Cursor, alert_id: str) -> tuple[int, list[str]]:
    """Live traffic of an alert's task from the change until it was raised: how many pairs, and new's single answers."""
    rows = cursor.execute(
        """
        SELECT o.pair_id IS NOT NULL, o.trace_id FROM watch_alert a JOIN observation o
            ON o.task = a.task AND o.happened_at >= a.since AND o.observed_at <= a.raised_at
        WHERE a.alert_id = ? AND a.kind = 'regression' ORDER BY o.trace_id
        """,
        [alert_id],
    ).fetchall()
    return sum(paired for paired, _ in rows), [trace for paired, trace in rows if not paired]


def judged_before(cursor: Cursor, task: str, way: str, end: datetime, seed: str, limit: int) -> Any:
    """A random sample of new's answers that were judged in this way and are from before a moment: a table."""
    untyped: Any = cursor
    return untyped.sql(
        """
        WITH newest AS (
            SELECT * FROM watch_verdict
            WHERE side = 'new' AND task = $task AND way = $way AND happened_at < $end
            QUALIFY row_number() OVER (PARTITION BY prompt_id ORDER BY happened_at DESC, answer_id) = 1
            ORDER BY happened_at DESC, answer_id LIMIT 2000
        ), drawn AS (SELECT * FROM newest ORDER BY sha256($seed || answer_id), answer_id LIMIT $limit)
        SELECT d.answer_id, d.verdict, d.answer_id AS owner, d.task, t.messages::VARCHAR AS messages,
               t.tools::VARCHAR AS tools, t.response::VARCHAR AS answer
        FROM drawn d JOIN trace t ON t.trace_id = d.answer_id ORDER BY d.answer_id
        """,
        params={"task": task, "way": way, "end": end, "seed": seed, "limit": limit},
    ).to_arrow_table()


def archive(cursor: Cursor, task: str, start: datetime | None, end: datetime | None, seed: str, limit: int) -> Any:
    """As store.watch.archive, of single answers: `pair_id` is the trace's id."""
    untyped: Any = cursor
    return untyped.sql(
        """
        WITH newest AS (
            SELECT o.trace_id FROM observation o JOIN trace t USING (trace_id)
            WHERE o.task = $task AND o.pair_id IS NULL AND coalesce(t.redactions::VARCHAR, '{}') = '{}'
                  AND ($start IS NULL OR o.happened_at >= $start) AND ($end IS NULL OR o.happened_at < $end)
            QUALIFY row_number() OVER (PARTITION BY o.prompt_id ORDER BY o.happened_at DESC, o.observed_id) = 1
            ORDER BY o.happened_at DESC, o.observed_id LIMIT 2000
        ), drawn AS (SELECT * FROM newest ORDER BY sha256($seed || trace_id), trace_id LIMIT $limit)
        SELECT t.trace_id AS pair_id, t.trace_id, t.messages::VARCHAR AS messages, t.tools::VARCHAR AS tools,
               t.parameters::VARCHAR AS parameters, t.response::VARCHAR AS answer
        FROM drawn d JOIN trace t USING (trace_id) ORDER BY t.trace_id
        """,
        params={"task": task, "start": start, "end": end, "seed": seed, "limit": limit},
    ).to_arrow_table()
