"""What a report says of its data: which pairs, whose labels, which judges and rounds, and examples of a failure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from review.store.stamp import count, stamp

# Pairs a report is about: those of a run's sources, else those drawn into a round, else all of traffic.
_IN_SCOPE = """(
    CASE WHEN $sources IS NOT NULL THEN list_contains($sources, p.source)
         WHEN $round IS NOT NULL THEN p.pair_id IN (SELECT s.pair_id FROM slot s WHERE s.round_id = $round)
         ELSE of_traffic(p.source) END
)"""
_LABELS = f"""
    FROM current_label l JOIN pair p USING (pair_id)
    WHERE l.kind <> 'skip' AND ($round IS NULL OR l.round_id = $round) AND {_IN_SCOPE}
"""
# Rounds r that drew any of them.
_DREW = f"""(($round IS NULL OR r.round_id = $round) AND EXISTS (
    SELECT 1 FROM slot s JOIN pair p USING (pair_id) WHERE s.round_id = r.round_id AND {_IN_SCOPE}
))"""  # noqa: S608 - only a fixed expression of this module is inserted


@dataclass(frozen=True)
class Scope:
    """Which facts a report is about: a round, a run's sources, or everything of traffic."""

    round_id: str | None
    sources: tuple[str, ...] | None

    def parameters(self) -> dict[str, Any]:
        """For the queries of this module."""
        return {"round": self.round_id, "sources": None if self.sources is None else list(self.sources)}


Row = dict[str, Any]


def version(cursor: duckdb.DuckDBPyConnection) -> str:
    """A text that changes whenever a fact that a report shows is added."""
    tables = ("pair", "verdict", "label", "slot", "structured_outcome", "anchor_vote", "look", "round", "round_end")
    tables += ("adversarial_entry", "adversarial_event", "adversarial_text", "run", "run_part")
    tables += ("gate", "contract_version", "contract_signature", "adversarial_check")
    return stamp(cursor, *count(*tables))


def pairs(cursor: duckdb.DuckDBPyConnection, scope: Scope) -> Row:
    """How many pairs, prompts and tasks; how many answered the same; when they came in."""
    return _rows(
        cursor,
        f"""
        SELECT count(*) AS pairs, count(DISTINCT p.prompt_id) AS prompts, count(DISTINCT p.task) AS tasks,
               count(*) FILTER (p.identical) AS identical,
               min(p.imported_at) AS first, max(p.imported_at) AS last
        FROM pair p WHERE {_IN_SCOPE}
        """,  # noqa: S608 - only fixed expressions of this module are inserted
        scope,
    )[0]


def sources(cursor: duckdb.DuckDBPyConnection, scope: Scope) -> list[Row]:
    """Where the pairs came from, the largest first."""
    return _rows(
        cursor,
        f"""
        SELECT p.source, count(*) AS pairs, min(p.imported_at) AS first, max(p.imported_at) AS last
        FROM pair p WHERE {_IN_SCOPE} GROUP BY p.source ORDER BY pairs DESC, p.source
        """,  # noqa: S608 - only fixed expressions of this module are inserted
        scope,
    )


def models(cursor: duckdb.DuckDBPyConnection, scope: Scope) -> list[Row]:
    """What the answers themselves say made them: side, model, pairs; the model that made the most first."""
    return _rows(
        cursor,
        f"""
        SELECT side, model, count(*) AS pairs FROM (
            SELECT unnest([{{side: 'old', model: p.old ->> '$.model'}}, {{side: 'new', model: p.new ->> '$.model'}}],
                          recursive := true)
            FROM pair p WHERE {_IN_SCOPE}
        ) GROUP BY side, model ORDER BY side DESC, pairs DESC, model NULLS LAST
        """,  # noqa: S608 - only fixed expressions of this module are inserted
        scope,
    )


def reviewers(cursor: duckdb.DuckDBPyConnection, scope: Scope) -> list[Row]:
    """Who labelled or adjudicated how many, and when; by name."""
    return _rows(
        cursor,
        f"""
        SELECT l.reviewer AS name, count(*) FILTER (l.kind = 'label') AS labels,
               count(*) FILTER (l.kind = 'adjudication') AS adjudications, bool_or(l.simulated) AS simulated,
               min(coalesce(l.labelled_at, l.received_at)) AS first,
               max(coalesce(l.labelled_at, l.received_at)) AS last
        {_LABELS} GROUP BY l.reviewer ORDER BY l.reviewer
        """,
        scope,
    )


def blind(cursor: duckdb.DuckDBPyConnection, scope: Scope) -> Row:
    """How many labels were given on the app's blind cards, on whose left which side stood, and how many came in."""
    return _rows(
        cursor,
        f"""
        SELECT count(*) AS labels, count(*) FILTER (l.source = 'app') AS blind,
               count(*) FILTER (l.source = 'app' AND l.shown_first = 'old') AS old_left,
               count(*) FILTER (l.source = 'app' AND l.shown_first = 'new') AS new_left,
               count(*) FILTER (l.source <> 'app') AS imported, count(*) FILTER (l.simulated) AS simulated
        {_LABELS}
        """,
        scope,
    )[0]


def judges(cursor: duckdb.DuckDBPyConnection, scope: Scope) -> list[Row]:
    """Which judges gave how many votes on how many of the pairs."""
    return _rows(
        cursor,
        f"""
        SELECT v.judge, count(*) AS votes, count(DISTINCT v.pair_id) AS pairs,
               min(v.imported_at) AS first, max(v.imported_at) AS last
        FROM verdict v JOIN pair p USING (pair_id) WHERE {_IN_SCOPE} GROUP BY v.judge ORDER BY pairs DESC, v.judge
        """,  # noqa: S608 - only fixed expressions of this module are inserted
        scope,
    )


def rounds(cursor: duckdb.DuckDBPyConnection, scope: Scope) -> list[Row]:
    """The rounds that drew any of the pairs, oldest first, with everything that repeats the draw."""
    return _rows(
        cursor,
        f"""
        SELECT r.number, r.name, r.seed::VARCHAR AS seed, r.size, r.overlap, r.stratified_by, r.audit, r.source,
               r.identical, r.judged_tie, r.disagreement, r.frame_hash, r.drawn_by, r.drawn_at,
               (SELECT count(*) FROM slot s WHERE s.round_id = r.round_id) AS drawn
        FROM round r
        WHERE {_DREW}
        ORDER BY r.number
        """,  # noqa: S608 - only fixed expressions of this module are inserted
        scope,
    )


def newest(cursor: duckdb.DuckDBPyConnection, scope: Scope) -> datetime | None:
    """When the newest pair, vote, label, draw or event of the adversarial set came in; None without any."""
    row = cursor.execute(
        f"""
        SELECT greatest(
            (SELECT max(p.imported_at) FROM pair p WHERE {_IN_SCOPE}),
            (SELECT max(l.received_at) {_LABELS}),
            (SELECT max(v.imported_at) FROM verdict v JOIN pair p USING (pair_id) WHERE {_IN_SCOPE}),
            (SELECT max(r.drawn_at) FROM round r WHERE {_DREW}),
            (SELECT max(acted_at) FROM adversarial_entry),
            (SELECT max(acted_at) FROM adversarial_event)
        )
        """,  # noqa: S608 - only fixed expressions of this module are inserted
        scope.parameters(),
    ).fetchone()
    return row[0] if row else None


def example_ids(
    cursor: duckdb.DuckDBPyConnection, scope: Scope, category: str, side: str, limit: int
) -> tuple[int, list[str]]:
    """How many pairs have labels that find `category` on `side` alone, and some: those whose ids have the least MD5.

    Args:
        cursor: An open cursor.
        scope: Which pairs and labels.
        category: A failure category.
        side: "old" or "new".
        limit: At most so many ids.
    """
    here, there = ("categories_new", "categories_old") if side == "new" else ("categories_old", "categories_new")
    found = cursor.execute(
        f"""
        SELECT l.pair_id {_LABELS} AND l.kind = 'label' AND l.occurrence = 0 AND NOT l.surplus
            AND list_contains(coalesce(l.{here}, []), $category)
            AND NOT list_contains(coalesce(l.{there}, []), $category)
        GROUP BY l.pair_id ORDER BY md5(l.pair_id), l.pair_id
        """,
        {**scope.parameters(), "category": category},
    ).fetchall()
    return len(found), [row[0] for row in found[:limit]]


def texts(cursor: duckdb.DuckDBPyConnection, pair_id: str) -> Row:
    """One pair: task, messages, old and new as parsed JSON."""
    row = cursor.execute(
        "SELECT task, messages, old, new FROM pair WHERE pair_id = $pair", {"pair": pair_id}
    ).fetchone()
    task, *documents = row or (None, "[]", "{}", "{}")
    messages, old, new = (json.loads(each) for each in documents)
    return {"task": task, "messages": messages, "old": old, "new": new}


def said(cursor: duckdb.DuckDBPyConnection, scope: Scope, pair_ids: Sequence[str]) -> list[Row]:
    """What people said about these pairs, by pair and reviewer."""
    found = cursor.execute(
        f"""
        SELECT l.pair_id, l.reviewer, l.preference, l.error_old, l.error_new, l.comment
        {_LABELS} AND l.kind = 'label' AND l.occurrence = 0 AND list_contains($pairs, l.pair_id)
        ORDER BY l.pair_id, l.reviewer, l.received_at, l.label_id
        """,
        {**scope.parameters(), "pairs": list(pair_ids)},
    )
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _rows(cursor: duckdb.DuckDBPyConnection, query: str, scope: Scope) -> list[Row]:
    # Only what a query names: DuckDB refuses further parameters.
    given = {name: value for name, value in scope.parameters().items() if f"${name}" in query}
    found = cursor.execute(query, given)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def reviewer_names(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """Everybody who ever labelled, skipped or adjudicated, by name."""
    return [row[0] for row in cursor.execute("SELECT DISTINCT reviewer FROM label ORDER BY reviewer").fetchall()]
