"""Reading facts back as records of the import format, in a stable order, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from review.store.database import Database

Kind = Literal["pairs", "verdicts", "labels"]
_BATCH = 2000
_JSON = {"messages", "tools", "old", "new", "metadata"}

_PAIRS = """
    SELECT pair_id, prompt_id, task, messages, tools, reference, old, new, metadata FROM pair
    WHERE $round IS NULL OR pair_id IN (SELECT pair_id FROM slot WHERE round_id = $round)
    ORDER BY pair_id
"""
_VERDICTS = """
    SELECT pair_id, judge, vote, shown_first, winner, raw, rationale, cost_usd,
           error_old, error_new, tone, calibration_old, calibration_new FROM verdict
    WHERE $round IS NULL OR pair_id IN (SELECT pair_id FROM slot WHERE round_id = $round)
    ORDER BY pair_id, judge, vote
"""
_LABELS = """
    SELECT label_id, pair_id, reviewer, kind, round_id, occurrence, shown_first, preference, error_old, error_new,
           tone, calibration_old, calibration_new, categories_old, categories_new, comment,
           strftime(labelled_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%f+00:00') AS labelled_at,
           supersedes, seconds, surplus, simulated FROM label
    WHERE $round IS NULL OR round_id = $round
    ORDER BY received_at, label_id
"""
_QUERIES: dict[Kind, str] = {"pairs": _PAIRS, "verdicts": _VERDICTS, "labels": _LABELS}


def records(database: Database, kind: Kind, round_id: str | None) -> Iterator[dict[str, Any]]:
    """Every row as columns by name; JSON columns as their text under their own name."""
    cursor = database.cursor().execute(_QUERIES[kind], {"round": round_id})
    names = [column[0] for column in cursor.description or []]
    while rows := cursor.fetchmany(_BATCH):
        for row in rows:
            yield dict(zip(names, row, strict=True))


def count(database: Database, kind: Kind, round_id: str | None) -> int:
    """How many records `records` yields."""
    query = f"SELECT count(*) FROM ({_QUERIES[kind]})"  # noqa: S608 (a query of ours)
    return database.cursor().execute(query, {"round": round_id}).fetchall()[0][0]


def json_columns() -> frozenset[str]:
    """The columns whose text is JSON."""
    return frozenset(_JSON)
