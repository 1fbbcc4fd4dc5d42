"""Rows of judging: what is to be compared, runs, calls, verdicts, structured outcomes, anchors, audits, costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import duckdb
import pyarrow

pa: Any = pyarrow  # it carries no types
Cursor = duckdb.DuckDBPyConnection
Row = Mapping[str, Any]

_TEXTS = "VARCHAR[]"
# The pairs of a sample, of the watched traffic's ('watch'), or all; not identical: those have nothing to compare.
_CHOSEN = """
    SELECT p.pair_id FROM pair p
    WHERE NOT p.identical
      AND ($sample IS NULL OR p.pair_id IN (SELECT pair_id FROM pair_origin WHERE sample_id = $sample)
           OR $sample = 'watch' AND p.pair_id IN (
               SELECT pair_id FROM observation WHERE chosen AND (old_right IS NULL OR new_right IS NULL)))
"""
# Pairs that every recipe judges by itself: adversarial, labelled, anchors, and those with structured parts.
_EXEMPT = """
    SELECT pair_id FROM adversarial_entry UNION SELECT pair_id FROM label UNION SELECT pair_id FROM anchor
    UNION SELECT pair_id FROM structured_outcome
"""


def newest_sample(cursor: Cursor) -> str | None:
    """The newest sample that has pairs."""
    row = cursor.execute(
        "SELECT sample_id FROM sample SEMI JOIN pair_origin USING (sample_id) ORDER BY number DESC LIMIT 1"
    ).fetchone()
    return None if row is None else str(row[0])


def has_sample(cursor: Cursor, sample_id: str) -> bool:
    """Whether there is such a sample; 'watch' is that of watched traffic."""
    return (
        sample_id == "watch"
        or cursor.execute("SELECT 1 FROM sample WHERE sample_id = ?", [sample_id]).fetchone() is not None
    )


def counts(cursor: Cursor, sample: str | None, recipe: str, version: str) -> dict[str, int]:
    """How many pairs are chosen, identical, and judged or compared already.

    Args:
        cursor: where.
        sample: Only its pairs.
        recipe: Of judging; a pair counts as done when it is judged by it.
        version: Of structured comparison; a pair counts as done when that settled it, or found that it differs.
    """
    row = cursor.execute(
        f"""
        WITH chosen AS ({_CHOSEN})
        SELECT (SELECT count(*) FROM pair p WHERE p.identical AND ($sample IS NULL
                   OR p.pair_id IN (SELECT pair_id FROM pair_origin WHERE sample_id = $sample))),
               count(*),
               count(*) FILTER (WHERE pair_id IN ({_DONE}))
        FROM chosen
        """,  # noqa: S608  names of ours
        {"sample": sample, "recipe": recipe, "version": version},
    ).fetchone()
    assert row is not None
    return {"identical": row[0], "chosen": row[1], "done": row[2]}


# Judged by this recipe, or compared to an end by this version: nothing is left to ask.
_DONE = """
    SELECT pair_id FROM judge_comparison WHERE recipe = $recipe
    UNION SELECT pair_id FROM structured_outcome
    WHERE version = $version AND (settled OR (outcome <> 'same' AND arguments_same IS DISTINCT FROM true))
"""


def todo(cursor: Cursor, sample: str | None, recipe: str, version: str, after: str, limit: int) -> Any:
    """The next pairs to compare, by id, as a pyarrow.Table: pair_id, document (Pair as JSON), exempt, anchor."""
    found: Any = cursor.sql(
        f"""
        WITH chosen AS ({_CHOSEN} AND p.pair_id > $after AND p.pair_id NOT IN ({_DONE})
                        ORDER BY p.pair_id LIMIT $limit)
        SELECT pair_id, {_DOCUMENT} AS document,
               pair_id IN ({_EXEMPT}) AS exempt, pair_id IN (SELECT pair_id FROM anchor) AS anchor
        FROM pair WHERE pair_id IN (SELECT pair_id FROM chosen) ORDER BY pair_id
        """,  # noqa: S608  names of ours
        params={"sample": sample, "recipe": recipe, "version": version, "after": after, "limit": limit},
    )
    return found.to_arrow_table()


_DOCUMENT = """
    json_object('pair_id', pair_id, 'prompt_id', prompt_id, 'task', task, 'messages', messages, 'tools', tools,
                'reference', reference, 'old', old, 'new', new)::VARCHAR
"""


def documents(cursor: Cursor, pair_ids: Collection[str]) -> dict[str, str]:
    """The named pairs as JSON text; unknown ids are absent."""
    rows = cursor.execute(
        f"SELECT pair_id, {_DOCUMENT} FROM pair WHERE pair_id IN (SELECT unnest($ids::{_TEXTS}))",  # noqa: S608
        {"ids": list(pair_ids)},
    )
    return dict(rows.fetchall())


def open_run(cursor: Cursor, recipe: str) -> dict[str, Any] | None:
    """The newest run of this recipe that was never ended, or None."""
    rows = _records(
        cursor,
        """
        SELECT run_id, (SELECT coalesce(sum(cost_usd), 0) FROM judge_call c WHERE c.run_id = r.run_id) AS spent_usd
        FROM judge_run r ANTI JOIN judge_run_end USING (run_id)
        WHERE recipe = $recipe ORDER BY started_at DESC LIMIT 1
        """,
        {"recipe": recipe},
    )
    return rows[0] if rows else None


def insert_run(cursor: Cursor, row: Row) -> None:
    """Begin a run."""
    _insert(cursor, "judge_run", [row])


def end_run(cursor: Cursor, row: Row) -> None:
    """End a run; once."""
    _insert(cursor, "judge_run_end", [row], "ON CONFLICT DO NOTHING")


def anchors(cursor: Cursor) -> list[str]:
    """The anchor set in its order."""
    return [row[0] for row in cursor.execute("SELECT pair_id FROM anchor ORDER BY position").fetchall()]


def choose_anchors(cursor: Cursor, seed: str, wanted: int, now: datetime) -> None:
    """Fill the anchor set up to `wanted` pairs, by a seeded hash; pairs with structured parts cannot be anchors."""
    missing = wanted - len(anchors(cursor))
    if missing <= 0:
        return
    cursor.execute(
        """
        WITH first AS (
            SELECT pair_id, sha256($seed || pair_id) AS place FROM pair
            WHERE NOT identical AND pair_id NOT IN (SELECT pair_id FROM anchor)
              AND pair_id NOT IN (SELECT pair_id FROM structured_outcome)
            ORDER BY place LIMIT 2000 + $missing
        ), answer AS MATERIALIZED (  -- or the JSON of all pairs would be read
            SELECT pair_id, place, old, new FROM pair JOIN first USING (pair_id)
        )
        INSERT INTO anchor
        SELECT pair_id, (SELECT count(*) FROM anchor) + row_number() OVER (ORDER BY place), $now
        FROM (
            SELECT pair_id, place FROM answer
            WHERE coalesce(json_array_length(old, '$.tool_calls'), 0) = 0
              AND coalesce(json_array_length(new, '$.tool_calls'), 0) = 0
              AND NOT regexp_matches(coalesce(old ->> '$.content', ''), '^\\s*(\\{|```)')
              AND NOT regexp_matches(coalesce(new ->> '$.content', ''), '^\\s*(\\{|```)')
            ORDER BY place LIMIT $missing
        )
        """,
        {"seed": seed, "missing": missing, "now": now},
    )


def originals(cursor: Cursor, recipe: str, after: str, limit: int) -> list[str]:
    """Pairs whose own verdict by this recipe may answer for near-duplicates, by id."""
    rows = cursor.execute(
        f"""
        SELECT pair_id FROM judge_comparison
        WHERE recipe = $recipe AND source <> 'semantic' AND pair_id > $after AND pair_id NOT IN ({_EXEMPT})
        ORDER BY pair_id LIMIT $limit
        """,  # noqa: S608  names of ours
        {"recipe": recipe, "after": after, "limit": limit},
    )
    return [row[0] for row in rows.fetchall()]


def votes_of(cursor: Cursor, recipe: str, pair_ids: Collection[str]) -> list[dict[str, Any]]:
    """The votes of these pairs' verdicts by this recipe, and what each verdict cost."""
    return _records(
        cursor,
        f"""
        SELECT v.* EXCLUDE (imported_at), n.served, c.cost_usd AS paid FROM judge_comparison c
        JOIN verdict v USING (pair_id, judge) JOIN judge_name n USING (judge)
        WHERE c.recipe = $recipe AND c.pair_id IN (SELECT unnest($ids::{_TEXTS})) ORDER BY pair_id, vote
        """,  # noqa: S608  a type's name
        {"recipe": recipe, "ids": list(pair_ids)},
    )


def judge_name(cursor: Cursor, served: str, way: str) -> str:
    """The name under which verdicts of a model served in a way stand; given once and kept."""
    # Results are read to their end: an open one would stop what the transaction does next.
    given = cursor.execute("SELECT judge FROM judge_name WHERE served = ? AND way = ?", [served, way]).fetchall()
    if given:
        return str(given[0][0])
    taken = cursor.execute(
        "SELECT 1 FROM judge_name WHERE judge = $name UNION ALL SELECT 1 FROM verdict WHERE judge = $name LIMIT 1",
        {"name": served},
    ).fetchall()
    name = served if not taken else f"{served} ({way[:8]})"
    cursor.execute("INSERT INTO judge_name VALUES (?, ?, ?)", [name, served, way])
    return name


def insert(cursor: Cursor, table: str, rows: Sequence[Row]) -> None:
    """Append facts that may stand already: verdict, structured_outcome, judge_comparison, judge_call, judge_failure,
    anchor_vote, judge_audit."""
    _insert(cursor, table, rows, "ON CONFLICT DO NOTHING")


def audits(cursor: Cursor, recipe: str) -> list[dict[str, Any]]:
    """Audited near-duplicates of this recipe: one an original, the first, because they hang together."""
    return _records(
        cursor,
        """
        SELECT cached, fresh, again FROM judge_audit WHERE recipe = $recipe
        QUALIFY row_number() OVER (PARTITION BY original ORDER BY made_at, pair_id) = 1
        """,
        {"recipe": recipe},
    )


def anchor_votes(cursor: Cursor) -> list[dict[str, Any]]:
    """Every anchor vote with its run, the oldest run first."""
    return _records(
        cursor,
        """
        SELECT a.run_id, r.started_at, a.judge, a.pair_id, a.vote, a.shown_first, a.winner
        FROM anchor_vote a JOIN judge_run r USING (run_id) ORDER BY r.started_at, a.run_id, a.pair_id, a.vote
        """,
    )


def judges_and_models(cursor: Cursor) -> list[dict[str, Any]]:
    """Each judge of ours with the models whose answers it judged, by side; out of 500 of its pairs, by a hash."""
    return _records(
        cursor,
        """
        WITH few AS (
            SELECT judge, pair_id FROM judge_comparison
            QUALIFY row_number() OVER (PARTITION BY judge ORDER BY hash(pair_id)) <= 500
        ), answer AS (
            SELECT pair_id, old ->> '$.model' AS old, new ->> '$.model' AS new FROM pair SEMI JOIN few USING (pair_id)
        )
        SELECT s.judge, n.served, side, model, count(*) AS pairs
        FROM few s JOIN judge_name n USING (judge) JOIN (
            SELECT pair_id, 'old' AS side, old AS model FROM answer UNION ALL SELECT pair_id, 'new', new FROM answer
        ) USING (pair_id)
        WHERE model IS NOT NULL GROUP BY ALL ORDER BY ALL
        """,
    )


def costs_by_run(cursor: Cursor, limit: int) -> list[dict[str, Any]]:
    """The newest runs: verdicts, calls, cost, what was saved, and how each ended."""
    return _records(
        cursor,
        """
        WITH call AS (
            SELECT run_id, count(*) AS calls, sum(cost_usd) AS cost_usd,
                   sum(coalesce(input_tokens, 0)) AS input_tokens, sum(coalesce(output_tokens, 0)) AS output_tokens
            FROM judge_call GROUP BY run_id
        ), verdict AS (
            SELECT run_id, count(*) AS verdicts, count(*) FILTER (WHERE source = 'exact') AS exact,
                   count(*) FILTER (WHERE source = 'semantic') AS semantic, sum(saved_usd) AS saved_usd
            FROM judge_comparison GROUP BY run_id
        )
        SELECT r.run_id, r.started_at, r.model, e.reason, e.semantic AS semantic_cache,
               coalesce(v.verdicts, 0) AS verdicts, coalesce(c.calls, 0) AS calls,
               coalesce(c.input_tokens, 0)::BIGINT AS input_tokens,
               coalesce(c.output_tokens, 0)::BIGINT AS output_tokens,
               coalesce(v.exact, 0) AS exact_hits, coalesce(v.semantic, 0) AS semantic_hits,
               coalesce(c.cost_usd, 0) AS cost_usd, coalesce(v.saved_usd, 0) AS saved_usd
        FROM judge_run r LEFT JOIN call c USING (run_id) LEFT JOIN verdict v USING (run_id)
             LEFT JOIN judge_run_end e USING (run_id)
        ORDER BY r.started_at DESC LIMIT $limit
        """,
        {"limit": limit},
    )


def costs_by_week(cursor: Cursor, limit: int) -> list[dict[str, Any]]:
    """The newest weeks (Monday first, UTC): calls, what they cost by purpose, and what was saved."""
    return _records(
        cursor,
        """
        WITH call AS (
            SELECT date_trunc('week', called_at)::DATE AS week, count(*) AS calls, sum(cost_usd) AS cost_usd,
                   coalesce(sum(cost_usd) FILTER (WHERE purpose IN ('anchor', 'audit')), 0) AS checks_usd
            FROM judge_call GROUP BY 1
        ), saved AS (
            SELECT date_trunc('week', made_at)::DATE AS week, count(*) AS verdicts, sum(saved_usd) AS saved_usd
            FROM judge_comparison GROUP BY 1
        )
        SELECT week, coalesce(verdicts, 0) AS verdicts, coalesce(calls, 0) AS calls,
               coalesce(cost_usd, 0) AS cost_usd, coalesce(checks_usd, 0) AS checks_usd,
               coalesce(saved_usd, 0) AS saved_usd
        FROM call FULL JOIN saved USING (week) ORDER BY week DESC LIMIT $limit
        """,
        {"limit": limit},
    )


def outcomes(cursor: Cursor, sample: str | None) -> dict[str, int]:
    """How many pairs have each structured outcome; arguments that mean the same count as same."""
    rows = cursor.execute(
        """
        SELECT CASE WHEN arguments_same THEN 'same' ELSE outcome END, count(*) FROM (
            SELECT * FROM structured_outcome QUALIFY row_number() OVER (PARTITION BY pair_id ORDER BY made_at DESC) = 1
        ) WHERE $sample IS NULL OR pair_id IN (SELECT pair_id FROM pair_origin WHERE sample_id = $sample)
        GROUP BY 1
        """,
        {"sample": sample},
    )
    return dict(rows.fetchall())


def _insert(cursor: Cursor, table: str, rows: Sequence[Row], conflict: str = "") -> None:
    if not rows:
        return
    names = list(rows[0])
    # One statement for all rows: a row at a time takes milliseconds each on a table of some size.
    cursor.register("handed_in", pa.table({name: [row[name] for row in rows] for name in names}))
    try:
        # Names only of ours.
        cursor.execute(f"INSERT INTO {table} BY NAME SELECT {', '.join(names)} FROM handed_in {conflict}")  # noqa: S608
    finally:
        with suppress(duckdb.TransactionException):  # after an error DuckDB refuses everything until the rollback
            cursor.unregister("handed_in")


def _records(cursor: Cursor, query: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    found = cursor.execute(query, parameters or {})
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
