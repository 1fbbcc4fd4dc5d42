"""Rows of the weekly audit: which traces are to be read, their texts, and what people said about each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from duckdb import DuckDBPyConnection as Cursor

from review.domain.single import SingleAnswers
from review.domain.trace import Trace
from review.domain.types import Side


@dataclass(frozen=True)
class LabelRow:
    """One label or skip that nothing supersedes."""

    label_id: str
    sample_id: str
    trace_id: str
    reviewer: str
    kind: str
    error: str | None
    seconds: float | None


def traces_of(cursor: Cursor, sample_id: str) -> list[str]:
    """The traces of an audit that have a logged answer, in their random order."""
    rows = cursor.execute(
        """
        SELECT trace_id FROM sampled JOIN trace t USING (trace_id)
        WHERE sample_id = ? AND purpose = 'audit' AND t.response IS NOT NULL ORDER BY position
        """,
        [sample_id],
    )
    return [row[0] for row in rows.fetchall()]


def without_answer(cursor: Cursor, sample_id: str) -> int:
    """How many traces of an audit have no logged answer to read, or are gone."""
    row = cursor.execute(
        """
        SELECT count(*) FROM sampled LEFT JOIN trace t USING (trace_id)
        WHERE sample_id = ? AND purpose = 'audit' AND t.response IS NULL
        """,
        [sample_id],
    ).fetchone()
    assert row is not None
    return int(row[0])


def read_traces(cursor: Cursor, trace_ids: Sequence[str]) -> dict[str, Trace]:
    """The named traces as typed values, without their keys and metadata."""
    rows = cursor.execute(
        """
        SELECT trace_id, json_object('trace_id', trace_id, 'task', task, 'messages', messages, 'tools', tools,
               'response', response, 'reference', reference, 'synthetic', synthetic)
        FROM trace WHERE trace_id IN (SELECT unnest($ids::VARCHAR[]))
        """,
        {"ids": list(trace_ids)},
    )
    return {trace_id: Trace.model_validate_json(document) for trace_id, document in rows.fetchall()}


def clusters_of(cursor: Cursor, trace_ids: Sequence[str]) -> dict[str, str]:
    """The clusters of the named traces that have one."""
    rows = cursor.execute(
        """
        SELECT trace_id, cluster_id FROM assignment
        WHERE cluster_id IS NOT NULL AND trace_id IN (SELECT unnest($ids::VARCHAR[]))
        """,
        {"ids": list(trace_ids)},
    )
    return dict(rows.fetchall())


def served(cursor: Cursor, trace_id: str, unsaid: Side) -> Side:
    """Which stack gave a trace's logged answer: old, unless it is live; `unsaid` where live traffic does not say it."""
    row = cursor.execute("SELECT served FROM live_trace WHERE trace_id = ?", [trace_id]).fetchone()
    if row is None:
        return "old"
    side: Side = row[0] or unsaid
    return side


_CURRENT = """
    SELECT label_id, sample_id, trace_id, reviewer, kind, error, seconds FROM trace_label l
    WHERE NOT EXISTS (SELECT 1 FROM trace_label later WHERE later.supersedes = l.label_id)
"""


def labels(cursor: Cursor, sample_id: str | None = None) -> list[LabelRow]:
    """What people say now, oldest first; of one audit or of all."""
    rows = cursor.execute(
        _CURRENT + "AND ($sample IS NULL OR sample_id = $sample) ORDER BY received_at, label_id", {"sample": sample_id}
    )
    return [LabelRow(*row) for row in rows.fetchall()]


def insert(cursor: Cursor, sample_id: str, trace_id: str, answers: SingleAnswers, reviewer: str, now: datetime) -> None:
    """Append one row; the keys refuse the same id twice and a second correction of one row."""
    cursor.execute(
        "INSERT INTO trace_label VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            answers.label_id,
            sample_id,
            trace_id,
            reviewer,
            answers.kind,
            answers.error_left,
            answers.calibration_left,
            answers.tone,
            answers.categories_left or None,
            answers.comment,
            answers.seconds,
            None,
            answers.labelled_at or now,
            now,
            answers.supersedes,
        ],
    )


def owner(cursor: Cursor, label_id: str) -> str | None:
    """Who wrote a label; None when there is none of the id."""
    row = cursor.execute("SELECT reviewer FROM trace_label WHERE label_id = ?", [label_id]).fetchone()
    return None if row is None else str(row[0])


def superseded(cursor: Cursor, label_id: str) -> bool:
    """Whether a later row stands in a label's place."""
    return cursor.execute("SELECT 1 FROM trace_label WHERE supersedes = ?", [label_id]).fetchone() is not None


def read_label(cursor: Cursor, label_id: str) -> tuple[str, dict[str, object]]:
    """The trace of a label, and what it says, by the names of SingleAnswers without the card's."""
    row = cursor.execute(
        """
        SELECT trace_id, json_object('label_id', label_id, 'kind', kind, 'error_left', error,
               'calibration_left', calibration, 'tone', tone, 'categories_left', coalesce(categories, []),
               'comment', comment, 'seconds', seconds)
        FROM trace_label WHERE label_id = ?
        """,
        [label_id],
    ).fetchone()
    assert row is not None
    return str(row[0]), json.loads(row[1])
