"""Rows of watching: files taken in, observations, scores, detectors, alerts, answers to them, deliveries, rounds."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow

from review.store.stamp import count, stamp

pa: Any = pyarrow  # it carries no types
Cursor = duckdb.DuckDBPyConnection
Row = Mapping[str, Any]

_SIDED = (
    ("right", pa.bool_()),
    ("refused", pa.bool_()),
    ("cut", pa.bool_()),
    ("confidence", pa.float64()),
    ("latency_ms", pa.float64()),
    ("tokens", pa.int64()),
    ("characters", pa.int64()),
    ("finish", pa.string()),
)
OBSERVATIONS: Any = pa.schema(
    [
        *((name, pa.string()) for name in ("observed_id", "trace_id", "pair_id", "prompt_id", "task", "cluster_id")),
        ("source", pa.string()),
        ("happened_at", pa.timestamp("us", tz="UTC")),
        ("identical", pa.bool_()),
        ("chosen", pa.bool_()),
        *((f"{side}_{name}", kind) for name, kind in _SIDED for side in ("old", "new")),
        ("traits", pa.string()),
    ]
)
SCORES: Any = pa.schema(
    [
        ("observed_id", pa.string()),
        ("task", pa.string()),
        ("place", pa.int64()),
        ("difference", pa.float64()),
        ("decided_by", pa.string()),
    ]
)
# Pairs of live traffic, and traces of it that are no pair.
_LIVE = "regexp_matches(p.source, '^(shadow|production):')"


@dataclass(frozen=True)
class PlanRow:
    """How a task is watched; see the table."""

    task: str
    number: int
    batch: int
    tolerance: float
    discordance: float
    per_day: float
    plan: dict[str, Any]
    delay: dict[str, Any]
    made_at: datetime
    baseline: dict[str, Any] | None = None


@dataclass(frozen=True)
class DetectorRow:
    """A task's detector as it stands; see the table."""

    task: str
    plan: int
    number: int
    last: int
    seen_to: datetime
    n: int
    total: float
    evidence: float
    state: dict[str, Any]
    made_at: datetime


@contextmanager
def _visible(cursor: Cursor, staged: Any) -> Generator[None]:
    cursor.register("staged", staged)
    try:
        yield
    finally:
        # An error has ended the transaction already, and DuckDB refuses everything until it is rolled back.
        with suppress(duckdb.TransactionException):
            cursor.unregister("staged")


def data_version(cursor: Cursor) -> str:
    """A text that changes whenever something of watching can have changed."""
    tables = ("observation", "watch_score", "watch_detector", "watch_alert", "watch_answer", "watch_attempt_end")
    return stamp(cursor, *count(*tables, "watch_round", "assignment", "live_metric", "watch_verdict"))


# Files.


def has_file(cursor: Cursor, file: str, content: str) -> bool:
    """This file with this content was read to its end."""
    found = cursor.execute("SELECT 1 FROM watch_file WHERE file = ? AND content_hash = ?", [file, content])
    return found.fetchone() is not None


def add_file(cursor: Cursor, row: Row) -> None:
    """Note a file that was read; once."""
    _insert(cursor, "watch_file", [row], "ON CONFLICT DO NOTHING")


# Observations.


def waiting(cursor: Cursor) -> list[tuple[str, int, int, int]]:
    """New pairs of live traffic by task: (task, pairs, undecided, known).

    Undecided pairs differ, and their correctness did not come with both answers; known ones came with it.
    """
    return cursor.execute(
        f"""
        WITH fresh AS (
            SELECT coalesce(p.task, '') AS task, p.identical,
                   TRY_CAST(p.old ->> '$.correct' AS BOOLEAN) IS NOT NULL
                   AND TRY_CAST(p.new ->> '$.correct' AS BOOLEAN) IS NOT NULL AS known
            FROM pair p ANTI JOIN observation o ON o.observed_id = p.pair_id WHERE {_LIVE}
        )
        SELECT task, count(*), count(*) FILTER (NOT identical AND NOT known), count(*) FILTER (known)
        FROM fresh GROUP BY task ORDER BY task
        """  # noqa: S608 (a constant of this module)
    ).fetchall()


def fresh_pairs(cursor: Cursor, limit: int) -> Any:
    """Pairs of live traffic that were not observed: a table of ids, task, cluster, source, time and both answers."""
    untyped: Any = cursor
    return untyped.sql(
        f"""
        WITH fresh AS (
            SELECT p.rowid AS place FROM pair p ANTI JOIN observation o ON o.observed_id = p.pair_id
            WHERE {_LIVE} ORDER BY p.rowid LIMIT $limit
        )
        SELECT p.pair_id, t.trace_id, p.prompt_id, coalesce(p.task, '') AS task,
               coalesce(a.cluster_id, i.cluster_id) AS cluster_id, p.source,
               coalesce(t.happened_at, p.imported_at) AS happened_at, p.identical,
               p.old::VARCHAR AS old, p.new::VARCHAR AS new
        FROM pair p LEFT JOIN pair_origin g USING (pair_id) LEFT JOIN trace t USING (trace_id)
             LEFT JOIN assignment a USING (trace_id) LEFT JOIN input_cluster i ON i.input_id = p.prompt_id
        WHERE p.rowid IN (SELECT place FROM fresh) ORDER BY p.pair_id
        """,  # noqa: S608 (a constant of this module)
        params={"limit": limit},
    ).to_arrow_table()


def observe(cursor: Cursor, rows: Any, now: datetime) -> int:
    """Write observations of OBSERVATIONS; one that stands stays as it is. Returns how many were new."""
    names = ", ".join(OBSERVATIONS.names)
    with _visible(cursor, rows):
        counted = cursor.execute(
            f"""
            INSERT INTO observation BY NAME
            SELECT {names}, $now AS observed_at FROM staged s ANTI JOIN observation o USING (observed_id)
            QUALIFY row_number() OVER (PARTITION BY observed_id) = 1
            """,  # noqa: S608 (our own names)
            {"now": now},
        ).fetchall()
    return int(counted[0][0])


# Scores and detectors.


def decidable(cursor: Cursor, recipe: str, limit: int) -> list[dict[str, Any]]:
    """Chosen observations without a score that can have one now, in the order in which they happened."""
    return _records(
        cursor,
        """
        WITH open AS (
            SELECT * FROM observation ANTI JOIN watch_score USING (observed_id) WHERE chosen
        ), compared AS (
            SELECT pair_id, arg_max(s.outcome, s.made_at) AS outcome, arg_max(s.settled, s.made_at) AS settled,
                   arg_max(s.differs, s.made_at) AS differs,
                   arg_max(s.detail ->> '$.sides', s.made_at) AS sides
            FROM structured_outcome s SEMI JOIN open USING (pair_id) GROUP BY pair_id
        )
        SELECT o.observed_id, o.pair_id, o.task, o.happened_at, o.identical, o.old_right, o.new_right,
               c.judge, s.outcome, s.settled, s.differs, s.sides
        FROM open o LEFT JOIN compared s USING (pair_id)
             LEFT JOIN judge_comparison c ON c.pair_id = o.pair_id AND c.recipe = $recipe
        WHERE o.identical OR (o.old_right IS NOT NULL AND o.new_right IS NOT NULL) OR c.judge IS NOT NULL
              OR s.settled OR s.differs
        ORDER BY o.happened_at, o.observed_id LIMIT $limit
        """,
        {"recipe": recipe, "limit": limit},
    )


def undecided(cursor: Cursor) -> dict[str, int]:
    """Chosen observations without a score, by task."""
    return dict(
        cursor.execute(
            """
            SELECT task, count(*) FROM observation ANTI JOIN watch_score USING (observed_id)
            WHERE chosen AND pair_id IS NOT NULL GROUP BY task
            """
        ).fetchall()
    )


def add_scores(cursor: Cursor, rows: Any, now: datetime) -> None:
    """Write scores of SCORES, none of which stands."""
    with _visible(cursor, rows):
        cursor.execute("INSERT INTO watch_score BY NAME SELECT *, $now AS scored_at FROM staged", {"now": now})


def last_places(cursor: Cursor) -> dict[str, int]:
    """The place of each task's last score."""
    return dict(cursor.execute("SELECT task, max(place) FROM watch_score GROUP BY task").fetchall())


def plans(cursor: Cursor, *, single: bool = False) -> dict[str, PlanRow]:
    """Each task's plan in force, for its pairs or for its single answers."""
    rows = _records(
        cursor,
        """
        SELECT * FROM watch_plan WHERE (baseline IS NOT NULL) = $single
        QUALIFY row_number() OVER (PARTITION BY task ORDER BY number DESC) = 1
        """,
        {"single": single},
    )
    texts = ("plan", "delay", "baseline")
    return {
        row["task"]: PlanRow(**{**row, **{name: json.loads(row[name]) for name in texts if row[name] is not None}})
        for row in rows
    }


def last_numbers(cursor: Cursor) -> dict[str, int]:
    """The number of each task's last plan."""
    return dict(cursor.execute("SELECT task, max(number) FROM watch_plan GROUP BY task").fetchall())


def next_batch(cursor: Cursor) -> int:
    """The number of the next batch of plans, from 1."""
    return int(cursor.execute("SELECT coalesce(max(batch), 0) + 1 FROM watch_plan").fetchall()[0][0])


def add_plan(cursor: Cursor, row: Row) -> None:
    """Write a plan."""
    texts = {
        name: json.dumps(row[name], allow_nan=False)
        for name in ("plan", "delay", "baseline")
        if row.get(name) is not None
    }
    _insert(cursor, "watch_plan", [{**row, **texts}])


def detectors(cursor: Cursor, *, single: bool = False) -> dict[str, DetectorRow]:
    """Each task's detector of pairs, or of single answers, under its newest plan."""
    rows = _records(
        cursor,
        """
        SELECT d.* FROM watch_detector d JOIN watch_plan p ON p.task = d.task AND p.number = d.plan
        WHERE (p.baseline IS NOT NULL) = $single
        QUALIFY row_number() OVER (PARTITION BY d.task ORDER BY d.plan DESC, d.number DESC) = 1
        """,
        {"single": single},
    )
    return {row["task"]: DetectorRow(**{**row, "state": json.loads(row["state"])}) for row in rows}


def add_detector(cursor: Cursor, row: Row) -> None:
    """Write where a detector is now."""
    _insert(cursor, "watch_detector", [{**row, "state": json.dumps(row["state"], allow_nan=False)}])


def add_alarm(cursor: Cursor, row: Row) -> None:
    """Write an alarm of a detector, with the task's next number."""
    number = cursor.execute("SELECT coalesce(max(number), 0) + 1 FROM watch_alarm WHERE task = ?", [row["task"]])
    _insert(cursor, "watch_alarm", [{**row, "number": int(number.fetchall()[0][0])}])


def alarms(cursor: Cursor) -> list[dict[str, Any]]:
    """All alarms, by task, oldest first."""
    return _records(cursor, "SELECT * FROM watch_alarm ORDER BY task, number")


def scores_after(cursor: Cursor, task: str, place: int, limit: int) -> list[tuple[int, str, float, datetime]]:
    """The next scores of a task: (place, prompt_id, difference, when it happened), in the order of their places."""
    return cursor.execute(
        """
        SELECT s.place, o.prompt_id, s.difference, o.happened_at
        FROM watch_score s JOIN observation o USING (observed_id)
        WHERE s.task = $task AND s.place > $place ORDER BY s.place LIMIT $limit
        """,
        {"task": task, "place": place, "limit": limit},
    ).fetchall()


def prompts_of_days(cursor: Cursor, task: str, place: int, days: Sequence[datetime]) -> set[tuple[str, datetime]]:
    """(prompt_id, day) of the task's scores up to a place, on these days."""
    return set(
        cursor.execute(
            """
            SELECT DISTINCT o.prompt_id, date_trunc('day', o.happened_at)
            FROM watch_score s JOIN observation o USING (observed_id)
            WHERE s.task = $task AND s.place <= $place
                  AND date_trunc('day', o.happened_at) IN (SELECT unnest($days::TIMESTAMPTZ[]))
            """,
            {"task": task, "place": place, "days": list(days)},
        ).fetchall()
    )


def tallies(cursor: Cursor) -> list[dict[str, Any]]:
    """Of each task's scores: how many, how many of them not 0, and from when to when."""
    return _records(
        cursor,
        """
        SELECT s.task, count(*) AS scores, count(*) FILTER (s.difference <> 0) AS moved, max(s.place) AS last,
               count(DISTINCT (o.prompt_id, date_trunc('day', o.happened_at))) AS blocks,
               min(o.happened_at) AS first_at, max(o.happened_at) AS last_at
        FROM watch_score s JOIN observation o USING (observed_id) GROUP BY s.task ORDER BY s.task
        """,
    )


def daily(cursor: Cursor, days: int) -> list[tuple[str, datetime, int, float]]:
    """Scores and their sum by task and day, of the newest `days`."""
    return cursor.execute(
        """
        SELECT s.task, date_trunc('day', o.happened_at) AS day, count(*), sum(s.difference)
        FROM watch_score s JOIN observation o USING (observed_id)
        WHERE o.happened_at >= (SELECT max(happened_at) FROM observation) - to_days($days::INTEGER)
        GROUP BY ALL ORDER BY s.task, day
        """,
        {"days": days},
    ).fetchall()


def scored(cursor: Cursor, task: str, start: datetime | None, end: datetime | None) -> Any:
    """Scores of a task in a span of traffic's time, in order, with what was observed: a table."""
    untyped: Any = cursor
    return untyped.sql(
        """
        SELECT s.place, s.difference, s.decided_by, o.* EXCLUDE (task, traits)
        FROM watch_score s JOIN observation o USING (observed_id)
        WHERE s.task = $task AND ($start IS NULL OR o.happened_at >= $start)
              AND ($end IS NULL OR o.happened_at < $end)
        ORDER BY s.place
        """,
        params={"task": task, "start": start, "end": end},
    ).to_arrow_table()


# Alerts.


def alerts(cursor: Cursor) -> list[dict[str, Any]]:
    """All alerts, newest first, with the acknowledgement of each, where there is one."""
    rows = _records(
        cursor,
        """
        SELECT a.*, k.answered_by, k.answered_at, k.comment
        FROM watch_alert a LEFT JOIN (
            SELECT * FROM watch_answer WHERE kind = 'acknowledge'
            QUALIFY row_number() OVER (PARTITION BY alert_id ORDER BY answered_at) = 1
        ) k USING (alert_id) ORDER BY a.number DESC
        """,
    )
    return [{**row, "document": json.loads(row["document"])} for row in rows]


def add_alert(cursor: Cursor, row: Row) -> bool:
    """Write an alert; False where it stands."""
    if cursor.execute("SELECT 1 FROM watch_alert WHERE alert_id = ?", [row["alert_id"]]).fetchall():
        return False
    number = cursor.execute("SELECT coalesce(max(number), 0) + 1 FROM watch_alert").fetchall()[0][0]
    document = json.dumps(row["document"], allow_nan=False)
    _insert(cursor, "watch_alert", [{**row, "number": number, "document": document}])
    return True


def silences(cursor: Cursor) -> list[dict[str, Any]]:
    """All silences, newest first."""
    return _records(cursor, "SELECT * FROM watch_answer WHERE kind = 'silence' ORDER BY answered_at DESC, answer_id")


def add_answer(cursor: Cursor, row: Row) -> None:
    """Write an acknowledgement or a silence; once."""
    # DuckDB takes no ON CONFLICT on a table with triggers.
    if not cursor.execute("SELECT 1 FROM watch_answer WHERE answer_id = ?", [row["answer_id"]]).fetchall():
        _insert(cursor, "watch_answer", [row])


# Deliveries.


def deliveries(cursor: Cursor) -> list[dict[str, Any]]:
    """Every attempt to deliver an alert: alert_id, channel, attempt, claimed_at, ended_at (None: it has no end)."""
    return _records(
        cursor,
        """
        SELECT alert_id, channel, attempt, claimed_at, ended_at, problem
        FROM watch_attempt LEFT JOIN watch_attempt_end USING (alert_id, channel, attempt)
        ORDER BY alert_id, channel, attempt
        """,
    )


def claim(cursor: Cursor, row: Row) -> None:
    """Note that an attempt begins."""
    _insert(cursor, "watch_attempt", [row])


def end_attempt(cursor: Cursor, row: Row) -> None:
    """Note how an attempt ended; once."""
    _insert(cursor, "watch_attempt_end", [row], "ON CONFLICT DO NOTHING")


# Rounds.


def add_round(cursor: Cursor, row: Row) -> int:
    """Note a round that came to its end; returns its number."""
    number = int(cursor.execute("SELECT coalesce(max(number), 0) + 1 FROM watch_round").fetchall()[0][0])
    _insert(cursor, "watch_round", [{**row, "number": number}])
    return number


def rounds(cursor: Cursor, limit: int) -> list[dict[str, Any]]:
    """The newest rounds."""
    return _records(cursor, "SELECT * FROM watch_round ORDER BY number DESC LIMIT $limit", {"limit": limit})


# What the numbers of a task are, by window.


def windows(cursor: Cursor, unit: str, task: str | None, limit: int) -> list[dict[str, Any]]:
    """What was observed by hour or day and task, newest first: counts and sums, and scores where there are any."""
    if unit not in ("hour", "day"):
        raise ValueError(unit)
    return _records(
        cursor,
        f"""
        SELECT date_trunc('{unit}', o.happened_at) AS begins, o.task, count(*) AS traces, count(o.pair_id) AS pairs,
               count(coalesce(s.observed_id, v.answer_id)) AS scored, avg(s.difference) AS difference,
               avg((v.verdict = 'passed')::INTEGER) AS new_passed,
               avg((s.difference > 0)::INTEGER + 0.5 * (s.difference = 0)::INTEGER) AS win_rate,
               avg(o.old_right::INTEGER) AS old_right, avg(o.new_right::INTEGER) AS new_right,
               avg(o.old_refused::INTEGER) AS old_refused, avg(o.new_refused::INTEGER) AS new_refused,
               avg(o.old_cut::INTEGER) AS old_cut, avg(o.new_cut::INTEGER) AS new_cut,
               avg(o.old_confidence) AS old_confidence, avg(o.new_confidence) AS new_confidence,
               avg(o.old_latency_ms) AS old_latency_ms, avg(o.new_latency_ms) AS new_latency_ms,
               avg(o.old_characters) AS old_characters, avg(o.new_characters) AS new_characters
        FROM observation o LEFT JOIN watch_score s USING (observed_id)
             LEFT JOIN watch_verdict v ON v.answer_id = o.observed_id AND v.side = 'new'
        WHERE $task IS NULL OR o.task = $task
        GROUP BY ALL ORDER BY begins DESC, o.task LIMIT $limit
        """,  # noqa: S608 (one of two words of ours)
        {"task": task, "limit": limit},
    )


def signs(cursor: Cursor, task: str, traits: Sequence[str], days: int) -> list[dict[str, Any]]:
    """What a task's answers showed by day, of the newest `days`: means of old and new, and how many scores.

    Returns:
        [{day, traces, scored, new_won, old_passed, new_passed, old_refused …, and old_ and new_ of each trait}]; None
        where no answer of the day tells.
    """
    keys = {f"trait_{at}": f"$.{name}" for at, name in enumerate(traits)}
    means = "".join(
        f", avg(TRY_CAST(o.traits -> ${key} ->> {place} AS DOUBLE)) AS {side}_{name}"
        for (key, _), name in zip(keys.items(), traits, strict=True)
        for place, side in enumerate(("old", "new"))
    )
    return _records(
        cursor,
        f"""
        SELECT date_trunc('day', o.happened_at) AS day, count(*) AS traces,
               count(coalesce(s.observed_id, v.answer_id)) AS scored,
               avg((s.difference > 0)::INTEGER + 0.5 * (s.difference = 0)::INTEGER) AS new_won,
               avg(o.old_right::INTEGER) AS old_passed,
               avg(coalesce(v.verdict = 'passed', o.new_right)::INTEGER) AS new_passed,
               avg(o.old_refused::INTEGER) AS old_refused, avg(o.new_refused::INTEGER) AS new_refused,
               avg(o.old_cut::INTEGER) AS old_cut, avg(o.new_cut::INTEGER) AS new_cut,
               avg(o.old_confidence) AS old_confidence, avg(o.new_confidence) AS new_confidence {means}
        FROM observation o LEFT JOIN watch_score s USING (observed_id)
             LEFT JOIN watch_verdict v ON v.answer_id = o.observed_id AND v.side = 'new'
        WHERE o.task = $task
              AND o.happened_at >= (SELECT max(happened_at) FROM observation) - to_days($days::INTEGER)
        GROUP BY day ORDER BY day
        """,  # noqa: S608 (names of traits and sides are ours)
        {"task": task, "days": days, **keys},
    )


def shares(cursor: Cursor, start: datetime | None, end: datetime | None, *, task: str | None = None) -> dict[str, int]:
    """Observations by cluster, of those that have one, in a span of time."""
    return dict(
        cursor.execute(
            """
            SELECT cluster_id, count(*) FROM observation
            WHERE cluster_id IS NOT NULL AND ($task IS NULL OR task = $task)
                  AND ($start IS NULL OR happened_at >= $start) AND ($end IS NULL OR happened_at < $end)
            GROUP BY 1 ORDER BY 2 DESC, 1
            """,
            {"task": task, "start": start, "end": end},
        ).fetchall()
    )


def cluster_means(
    cursor: Cursor, task: str, start: datetime | None, end: datetime | None
) -> dict[str, tuple[int, float]]:
    """Of a task's scores in a span of time, by cluster: how many, and their mean."""
    rows = cursor.execute(
        """
        SELECT o.cluster_id, count(*), avg(s.difference) FROM watch_score s JOIN observation o USING (observed_id)
        WHERE s.task = $task AND o.cluster_id IS NOT NULL
              AND ($start IS NULL OR o.happened_at >= $start) AND ($end IS NULL OR o.happened_at < $end)
        GROUP BY 1 ORDER BY 1
        """,
        {"task": task, "start": start, "end": end},
    ).fetchall()
    return {name: (count, mean) for name, count, mean in rows}


def mean_score(cursor: Cursor, task: str, start: datetime | None, end: datetime | None) -> float | None:
    """The mean of a task's scores in a span of time; None without any."""
    rows = cursor.execute(
        """
        SELECT avg(s.difference) FROM watch_score s JOIN observation o USING (observed_id)
        WHERE s.task = $task AND ($start IS NULL OR o.happened_at >= $start)
              AND ($end IS NULL OR o.happened_at < $end)
        """,
        {"task": task, "start": start, "end": end},
    ).fetchall()
    return None if rows[0][0] is None else float(rows[0][0])


def judges_of(cursor: Cursor, task: str, since: datetime) -> list[str]:
    """The judges that decided a task's scores since a moment."""
    rows = cursor.execute(
        """
        SELECT DISTINCT s.decided_by[7:] FROM watch_score s JOIN observation o USING (observed_id)
        WHERE s.task = $task AND o.happened_at >= $since AND starts_with(s.decided_by, 'judge ') ORDER BY 1
        """,
        {"task": task, "since": since},
    ).fetchall()
    return [row[0] for row in rows]


def archive(cursor: Cursor, task: str, start: datetime | None, end: datetime | None, seed: str, limit: int) -> Any:
    """A random sample of what was asked and what new answered in a span of time, the same for a seed: a table.

    One pair a prompt, out of the 2,000 newest of the span, and none in which personal data was replaced: what is stored
    of it is not what the model was asked.
    """
    untyped: Any = cursor
    return untyped.sql(
        """
        WITH newest AS (
            SELECT o.pair_id, o.trace_id FROM observation o LEFT JOIN trace t USING (trace_id)
            WHERE o.task = $task AND o.pair_id IS NOT NULL AND coalesce(t.redactions::VARCHAR, '{}') = '{}'
                  AND ($start IS NULL OR o.happened_at >= $start) AND ($end IS NULL OR o.happened_at < $end)
            QUALIFY row_number() OVER (PARTITION BY o.prompt_id ORDER BY o.happened_at DESC, o.observed_id) = 1
            ORDER BY o.happened_at DESC, o.observed_id LIMIT 2000
        ), drawn AS (
            SELECT * FROM newest ORDER BY sha256($seed || pair_id), pair_id LIMIT $limit
        )
        SELECT d.pair_id, d.trace_id, p.messages::VARCHAR AS messages, p.tools::VARCHAR AS tools,
               t.parameters::VARCHAR AS parameters, p.new::VARCHAR AS answer
        FROM drawn d JOIN pair p USING (pair_id) LEFT JOIN trace t USING (trace_id) ORDER BY d.pair_id
        """,
        params={"task": task, "start": start, "end": end, "seed": seed, "limit": limit},
    ).to_arrow_table()


def judged_before(cursor: Cursor, task: str, end: datetime, recipe: str, seed: str, limit: int) -> list[str]:
    """A random sample of a task's pairs from before a moment that a judge was asked about itself, one a prompt: ids."""
    rows = cursor.execute(
        """
        WITH judged AS (
            SELECT o.pair_id FROM observation o JOIN judge_comparison c USING (pair_id)
            WHERE o.task = $task AND o.happened_at < $end AND c.recipe = $recipe AND c.source <> 'semantic'
            QUALIFY row_number() OVER (PARTITION BY o.prompt_id ORDER BY o.happened_at DESC, o.observed_id) = 1
            ORDER BY o.happened_at DESC, o.observed_id LIMIT 2000
        )
        SELECT pair_id FROM judged ORDER BY sha256($seed || pair_id), pair_id LIMIT $limit
        """,
        {"task": task, "end": end, "recipe": recipe, "seed": seed, "limit": limit},
    )
    return [row[0] for row in rows.fetchall()]


def cluster_names(cursor: Cursor) -> dict[str, str]:
    """Names of clusters by id."""
    return dict(cursor.execute("SELECT cluster_id, name FROM cluster").fetchall())


def _records(cursor: Cursor, query: str, values: Row | None = None) -> list[dict[str, Any]]:
    done = cursor.execute(query, dict(values or {}))
    names = [each[0] for each in done.description or ()]
    return [dict(zip(names, row, strict=True)) for row in done.fetchall()]


def _insert(cursor: Cursor, table: str, rows: Sequence[Row], conflict: str = "") -> None:
    if not rows:
        return
    names = list(rows[0])
    values = ", ".join(f"${name}" for name in names)
    for row in rows:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values}) {conflict}",  # noqa: S608 (names of ours)
            dict(row),
        )
