"""The final label of one pair and how it came about: adjudicated, else the majority, else unresolved."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from review.store.agreement import DIMENSIONS, PairStory

How = Literal["adjudicated", "majority", "unresolved", "unlabelled"]


@dataclass(frozen=True)
class FinalLabel:
    """The answer to one question that counts, and why.

    Attributes:
        answer: The answer; None where it is unresolved or nobody answered.
        how: What made it final.
        votes: How many people gave each answer: their newest labels, without hidden repeats and surplus ones.
        by: Who adjudicated, None otherwise.
    """

    answer: str | None
    how: How
    votes: dict[str, int]
    by: str | None = None

    def in_words(self) -> str:
        """How it came about, in a few words."""
        counted = ", ".join(f"{count} × {answer}" for answer, count in self.votes.items())
        if self.how == "adjudicated":
            return f"adjudicated by {self.by}" + (f" (labels: {counted})" if counted else "")
        if self.how == "majority":
            most = self.votes[self.answer or ""]
            return f"majority, {most} of {sum(self.votes.values())}" if len(self.votes) > 1 or most > 1 else "one label"
        return f"unresolved: {counted}" if self.how == "unresolved" else "nobody answered this"


def final_labels(story: PairStory) -> dict[str, FinalLabel]:
    """The final label of every question, by dimension, by the rules that the agreement numbers follow."""
    rows = [row for row in story.labels if not row["superseded"]]
    # Imported labels may come twice from one person; the newest counts.
    labels = _newest([row for row in rows if row["kind"] == "label" and row["occurrence"] == 0], by="reviewer")
    labels = [row for row in labels if not row["surplus"]]
    rulings = _newest([row for row in rows if row["kind"] == "adjudication"], by="kind")
    return {name: _final(name, labels, rulings) for name in DIMENSIONS}


def _newest(rows: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """The newest row of each value of the column `by`."""
    newest: dict[str, dict[str, Any]] = {}
    for row in sorted(
        rows, key=lambda row: (row["labelled_at"] or row["received_at"], row["received_at"], row["label_id"])
    ):
        newest[row[by]] = row
    return list(newest.values())


def _final(name: str, labels: list[dict[str, Any]], rulings: list[dict[str, Any]]) -> FinalLabel:
    """The final label of one question."""
    given = Counter(row[name] for row in labels)
    votes = {answer: given[answer] for answer in DIMENSIONS[name] if given[answer]}
    for ruling in rulings:
        if ruling[name] is not None:
            return FinalLabel(ruling[name], "adjudicated", votes, ruling["reviewer"])
    if not votes:
        return FinalLabel(None, "unlabelled", votes)
    answer = max(votes, key=votes.__getitem__)
    if 2 * votes[answer] > sum(votes.values()):
        return FinalLabel(answer, "majority", votes)
    return FinalLabel(None, "unresolved", votes)
