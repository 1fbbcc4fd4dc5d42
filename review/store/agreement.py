"""What the agreement numbers are made of: labels and votes as columns of codes, and the story of one pair."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from review.domain.types import CALIBRATIONS, ERROR_DIRECTIONS, PREFERENCES, TONES

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Every question that people and judges answer, with its answers in code order. The keys are column names.
DIMENSIONS: dict[str, tuple[str, ...]] = {
    "preference": PREFERENCES,
    "error_old": ERROR_DIRECTIONS,
    "error_new": ERROR_DIRECTIONS,
    "tone": TONES,
    "calibration_old": CALIBRATIONS,
    "calibration_new": CALIBRATIONS,
}
WINNERS = ("old", "new", "tie")
ORDERS = ("old", "new")
# Only rows on pairs from some sources, those of a run; a label whose pair never came in is from none of them.
_FROM = "($sources IS NULL OR list_contains($sources::VARCHAR[], p.source))"


@dataclass(frozen=True)
class LabelRows:
    """Labels and adjudications that no later row supersedes, one element a row.

    Attributes:
        pair: Row number of the pair; -1 where the pair was never imported.
        reviewer: Index into `reviewers`.
        round: Number of the round, -1 for labels of none.
        adjudication: True for an adjudication, False for a label.
        repeat: A hidden repeat (occurrence 1 and more).
        surplus: Beyond the round's overlap.
        simulated: Made by the demo.
        latest: The newest row of this reviewer for this pair (of all adjudicators for an adjudication).
        answers: Per dimension the code of the answer, -1 where it was not given.
        reviewers: Names.
    """

    pair: Ints
    reviewer: Ints
    round: Ints
    adjudication: Bools
    repeat: Bools
    surplus: Bools
    simulated: Bools
    latest: Bools
    answers: dict[str, Ints]
    reviewers: tuple[str, ...]

    def only(self, which: Bools) -> LabelRows:
        """The rows where `which` holds."""
        columns = {each: getattr(self, each)[which] for each in _ROW_COLUMNS}
        return replace(self, **columns, answers={name: codes[which] for name, codes in self.answers.items()})


_ROW_COLUMNS = ("pair", "reviewer", "round", "adjudication", "repeat", "surplus", "simulated", "latest")


@dataclass(frozen=True)
class VoteRows:
    """A judge's votes, one element a vote.

    Attributes:
        pair: Row number of the pair.
        judge: Index into `judges`.
        shown_first: 0 old, 1 new, 2 unknown.
        winner: 0 old, 1 new, 2 tie, 3 unparsable.
        answers: Per other dimension the code, -1 where the judge did not give it.
        judges: Names.
    """

    pair: Ints
    judge: Ints
    shown_first: Ints
    winner: Ints
    answers: dict[str, Ints]
    judges: tuple[str, ...]


def data_version(cursor: duckdb.DuckDBPyConnection) -> str:
    """A text that changes whenever a pair, verdict, structured outcome, anchor's vote, label or slot is added."""
    row = cursor.execute(
        "SELECT (SELECT count(*) FROM pair), (SELECT count(*) FROM verdict), (SELECT count(*) FROM label),"
        " (SELECT count(*) FROM slot), (SELECT count(*) FROM structured_outcome),"
        " (SELECT count(*) FROM anchor_vote)"
    ).fetchone()
    return "-".join(str(count) for count in row or ())


def round_names(cursor: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Rounds, newest first: id to a name for people."""
    rows = cursor.execute("SELECT round_id, number, name FROM round ORDER BY number DESC").fetchall()
    return {round_id: name or f"Round {number}" for round_id, number, name in rows}


def judge_names(cursor: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Every judge with a verdict."""
    return _names(cursor, "SELECT DISTINCT judge FROM verdict ORDER BY judge")


def round_numbers(cursor: duckdb.DuckDBPyConnection) -> list[tuple[int, str]]:
    """Rounds, oldest first: number and a name for people."""
    rows = cursor.execute("SELECT number, name FROM round ORDER BY number").fetchall()
    return [(number, f"{number} · {name}" if name else f"Round {number}") for number, name in rows]


def prompts(cursor: duckdb.DuckDBPyConnection) -> Ints:
    """The prompt of every pair as a code, indexed by row number."""
    columns = cursor.execute("SELECT rowid AS pair, hash(prompt_id) AS prompt FROM pair").fetchnumpy()
    rows = columns["pair"].astype(np.int64)
    codes = np.full(int(rows.max()) + 1 if len(rows) else 0, -1, dtype=np.int64)
    codes[rows] = np.unique(columns["prompt"], return_inverse=True)[1]
    return codes


def label_rows(
    cursor: duckdb.DuckDBPyConnection, round_id: str | None, sources: tuple[str, ...] | None = None
) -> LabelRows:
    """The labels of one round, or all of them; with `sources`, those on pairs from there alone."""
    names = _names(cursor, "SELECT DISTINCT reviewer FROM label WHERE kind <> 'skip' ORDER BY reviewer")
    answers = ", ".join(_code(f"l.{name}", name) for name in DIMENSIONS)
    columns = cursor.execute(
        f"""
        SELECT coalesce(p.rowid, -1) AS pair,
               list_position($reviewers, l.reviewer) - 1 AS reviewer,
               coalesce(r.number, -1) AS round,
               l.kind = 'adjudication' AS adjudication,
               l.occurrence > 0 AS repeat,
               l.surplus,
               l.simulated,
               row_number() OVER (
                   PARTITION BY l.pair_id, l.kind, l.occurrence,
                                CASE l.kind WHEN 'adjudication' THEN '' ELSE l.reviewer END
                   ORDER BY coalesce(l.labelled_at, l.received_at) DESC, l.received_at DESC, l.label_id DESC
               ) = 1 AS latest,
               {answers}
        FROM current_label l LEFT JOIN pair p USING (pair_id) LEFT JOIN round r ON r.round_id = l.round_id
        WHERE l.kind <> 'skip' AND ($round IS NULL OR l.round_id = $round) AND {_FROM}
        """,  # noqa: S608 - only names and codes of this module are inserted
        {"reviewers": list(names), "round": round_id, "sources": _listed(sources), **_answer_lists()},
    ).fetchnumpy()
    return LabelRows(
        pair=columns["pair"].astype(np.int64),
        reviewer=columns["reviewer"].astype(np.int64),
        round=columns["round"].astype(np.int64),
        adjudication=columns["adjudication"].astype(np.bool_),
        repeat=columns["repeat"].astype(np.bool_),
        surplus=columns["surplus"].astype(np.bool_),
        simulated=columns["simulated"].astype(np.bool_),
        latest=columns["latest"].astype(np.bool_),
        answers={name: columns[name].astype(np.int64) for name in DIMENSIONS},
        reviewers=names,
    )


def vote_rows(
    cursor: duckdb.DuckDBPyConnection, round_id: str | None, sources: tuple[str, ...] | None = None
) -> VoteRows:
    """The votes on one round's pairs, or all of them; with `sources`, those on pairs from there alone."""
    names = judge_names(cursor)
    others = [name for name in DIMENSIONS if name != "preference"]
    answers = ", ".join(_code(f"v.{name}", name) for name in others)
    columns = cursor.execute(
        f"""
        SELECT p.rowid AS pair,
               list_position($judges, v.judge) - 1 AS judge,
               coalesce(list_position($orders, v.shown_first) - 1, 2) AS shown_first,
               coalesce(list_position($winners, v.winner) - 1, 3) AS winner,
               {answers}
        FROM verdict v JOIN pair p USING (pair_id)
        WHERE ($round IS NULL OR v.pair_id IN (SELECT pair_id FROM slot WHERE round_id = $round)) AND {_FROM}
        """,  # noqa: S608 - only names and codes of this module are inserted
        {
            "judges": list(names),
            "orders": list(ORDERS),
            "winners": list(WINNERS),
            "round": round_id,
            "sources": _listed(sources),
            **_answer_lists(skip="preference"),
        },
    ).fetchnumpy()
    return VoteRows(
        pair=columns["pair"].astype(np.int64),
        judge=columns["judge"].astype(np.int64),
        shown_first=columns["shown_first"].astype(np.int64),
        winner=columns["winner"].astype(np.int64),
        answers={name: columns[name].astype(np.int64) for name in others},
        judges=names,
    )


def _names(cursor: duckdb.DuckDBPyConnection, query: str) -> tuple[str, ...]:
    return tuple(row[0] for row in cursor.execute(query).fetchall())


def _listed(sources: tuple[str, ...] | None) -> list[str] | None:
    """As the parameter of _FROM."""
    return None if sources is None else list(sources)


def _code(column: str, dimension: str) -> str:
    """SQL for the code of an answer; its answers arrive as the parameter of the same name."""
    return f"coalesce(list_position(${dimension}, {column}) - 1, -1) AS {dimension}"


def _answer_lists(skip: str | None = None) -> dict[str, list[str]]:
    return {name: list(answers) for name, answers in DIMENSIONS.items() if name != skip}


def skipped_and_superseded(
    cursor: duckdb.DuckDBPyConnection, round_id: str | None, sources: tuple[str, ...] | None = None
) -> tuple[int, int]:
    """How many current rows are skips, and how many rows a later one replaced."""
    row = cursor.execute(
        f"""
        SELECT count(*) FILTER (WHERE c.label_id IS NOT NULL AND l.kind = 'skip'),
               count(*) FILTER (WHERE c.label_id IS NULL)
        FROM label l LEFT JOIN current_label c USING (label_id) LEFT JOIN pair p ON p.pair_id = l.pair_id
        WHERE ($round IS NULL OR l.round_id = $round) AND {_FROM}
        """,  # noqa: S608 - only a condition of this module is inserted
        {"round": round_id, "sources": _listed(sources)},
    ).fetchone()
    return (row[0], row[1]) if row else (0, 0)


@dataclass(frozen=True)
class PairLine:
    """One pair in a list."""

    row: int
    pair_id: str
    task: str | None
    ask: str


def pair_lines(cursor: duckdb.DuckDBPyConnection, rows: list[int], limit: int) -> list[PairLine]:
    """The first `limit` of these pairs by id, with the start of the last message that was sent."""
    found = cursor.execute(
        """
        WITH first AS (
            SELECT rowid AS row FROM pair WHERE rowid IN (SELECT unnest($rows)) ORDER BY pair_id LIMIT $limit
        )
        SELECT rowid, pair_id, task, coalesce(json_extract_string(messages, '$[#-1].content'), '')[:160]
        FROM pair WHERE rowid IN (SELECT row FROM first) ORDER BY pair_id
        """,
        {"rows": rows, "limit": limit},
    ).fetchall()
    return [PairLine(*line) for line in found]


@dataclass(frozen=True)
class PairStory:
    """Everything known about one pair: its parts as parsed JSON, labels and votes as rows of plain values."""

    pair_id: str
    prompt_id: str
    task: str | None
    source: str
    reference: str | None
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    old: dict[str, Any]
    new: dict[str, Any]
    metadata: dict[str, Any] | None
    labels: list[dict[str, Any]]
    votes: list[dict[str, Any]]


def pair_story(cursor: duckdb.DuckDBPyConnection, pair_id: str) -> PairStory | None:
    """One pair with all its labels (superseded ones too) and votes, oldest first; None when there is no such pair."""
    pairs = _records(cursor, "SELECT * FROM pair WHERE pair_id = $pair", {"pair": pair_id})
    if not pairs:
        return None
    pair = pairs[0]
    labels = _records(
        cursor,
        """
        SELECT l.*, NOT EXISTS (SELECT 1 FROM current_label c WHERE c.label_id = l.label_id) AS superseded
        FROM label l WHERE l.pair_id = $pair ORDER BY l.received_at, l.reviewer, l.label_id
        """,
        {"pair": pair_id},
    )
    votes = _records(cursor, "SELECT * FROM verdict WHERE pair_id = $pair ORDER BY judge, vote", {"pair": pair_id})
    return PairStory(
        pair_id=pair["pair_id"],
        prompt_id=pair["prompt_id"],
        task=pair["task"],
        source=pair["source"],
        reference=pair["reference"],
        messages=json.loads(pair["messages"]),
        tools=json.loads(pair["tools"]) if pair["tools"] else None,
        old=json.loads(pair["old"]),
        new=json.loads(pair["new"]),
        metadata=json.loads(pair["metadata"]) if pair["metadata"] else None,
        labels=labels,
        votes=votes,
    )


def _records(cursor: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    found = cursor.execute(query, parameters)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
