"""Adjudication: what reviewers contradict each other on, decided blind to sides, authors and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from review.domain.blinding import card_id, shown_first
from review.domain.card import Answers, Card, to_answers, to_label
from review.domain.serving import Issued
from review.domain.types import Label
from review.errors import BadInput, Conflict, NotAllowed, NotFound
from review.services.rounds import has_open_slots
from review.services.workspace import Workspace
from review.store import rounds as store

Question = Literal["error_left", "error_right", "better"]
QUESTIONS: tuple[Question, ...] = ("error_left", "error_right", "better")
_DIMENSIONS = ("preference", "error_old", "error_new")


@dataclass(frozen=True)
class Disputed:
    """A pair on which current labels of different reviewers differ, in old/new terms of the dimension only."""

    round_id: str
    pair_id: str
    dimensions: tuple[str, ...]


@dataclass(frozen=True)
class Docket:
    """A round's disputed pairs: those this person may decide, those they labelled themselves, those decided."""

    decidable: tuple[Disputed, ...]
    own: int
    decided: int


@dataclass(frozen=True)
class Case:
    """One disputed pair as the adjudicator sees it: sides in random order, the values in dispute but not whose.

    Attributes:
        card: the pair with its shown order; its id belongs to this adjudicator.
        values: for each disputed question the distinct values, in left/right terms, sorted.
    """

    card: Card
    values: Mapping[Question, tuple[str, ...]]


def conflicts(workspace: Workspace, round_id: str, adjudicator: str) -> list[Disputed]:
    """The disputed pairs of a round that this person may decide now, in drawn order.

    Not those they labelled themselves, and none while they have pairs to label in the round.
    """
    return list(docket(workspace, round_id, adjudicator).decidable)


def docket(workspace: Workspace, round_id: str, adjudicator: str) -> Docket:
    """The disputed pairs of a round and what stands in the way of deciding them."""
    cursor = workspace.database.cursor()
    decided = store.adjudicated(cursor, round_id)
    disputed = _disputed(cursor, round_id)
    waiting = {pair_id: labels for pair_id, labels in disputed.items() if pair_id not in decided}
    own = {pair_id for pair_id, labels in waiting.items() if any(label.reviewer == adjudicator for label in labels)}
    blocked = bool(waiting) and has_open_slots(workspace, adjudicator, round_id)
    decidable = () if blocked else tuple(pair_id for pair_id in waiting if pair_id not in own)
    return Docket(
        tuple(Disputed(round_id, pair_id, _dimensions(waiting[pair_id])) for pair_id in decidable),
        len(own),
        len(decided),
    )


def case(workspace: Workspace, round_id: str, pair_id: str, adjudicator: str) -> Case:
    """One disputed pair, blind.

    Raises:
        NotFound: the pair is not disputed in this round.
        NotAllowed: the adjudicator labelled it, or has pairs to label in the round.
        Conflict: it is decided already.
    """
    cursor = workspace.database.cursor()
    labels = _check(workspace, cursor, round_id, pair_id, adjudicator)
    card = _card(workspace, cursor, round_id, pair_id, adjudicator)
    said = [to_answers(label, card) for label in labels]
    values: dict[Question, tuple[str, ...]] = {}
    for question in QUESTIONS:
        distinct = {getattr(answers, question) for answers in said} - {None}
        if len(distinct) > 1:
            values[question] = tuple(sorted(distinct))
    return Case(card, values)


def decide(workspace: Workspace, round_id: str, pair_id: str, adjudicator: str, answers: Answers, now: datetime) -> str:
    """Store the decision as a row of its own kind, once a pair and round; returns its label id. Safe to repeat.

    Raises:
        BadInput: a disputed question has no answer.
        NotFound, NotAllowed, Conflict: as `case`.
    """

    def work(cursor: store.Cursor) -> str:
        if store.adjudicated(cursor, round_id).get(pair_id) == answers.label_id:
            return answers.label_id
        _check(workspace, cursor, round_id, pair_id, adjudicator)
        label = to_label(answers, this.card, adjudicator).model_copy(
            update={"kind": "adjudication", "supersedes": None, "labelled_at": now}
        )
        store.insert_label(cursor, label, now)
        store.insert_adjudication(cursor, round_id, pair_id, answers.label_id)
        return answers.label_id

    if store.adjudicated(workspace.database.cursor(), round_id).get(pair_id) == answers.label_id:
        return answers.label_id
    this = case(workspace, round_id, pair_id, adjudicator)
    if missing := [question for question in this.values if getattr(answers, question) is None]:
        raise BadInput(f"Please decide every disputed question; {len(missing)} of {len(this.values)} are open.")
    return store.write(workspace.database, work)


def _check(
    workspace: Workspace, cursor: store.Cursor, round_id: str, pair_id: str, adjudicator: str
) -> Sequence[Label]:
    """The labels in dispute, when this person may decide them."""
    labels = _disputed(cursor, round_id).get(pair_id)
    if labels is None:
        raise NotFound("Reviewers do not contradict each other on this pair in this round.")
    if pair_id in store.adjudicated(cursor, round_id):
        raise Conflict("Somebody else has decided this pair already.")
    if any(label.reviewer == adjudicator for label in labels):
        raise NotAllowed("You labelled this pair yourself; somebody else has to decide.")
    if has_open_slots(workspace, adjudicator, round_id):
        raise NotAllowed("You still have pairs to label in this round; finish them before you adjudicate.")
    return labels


def _disputed(cursor: store.Cursor, round_id: str) -> dict[str, list[Label]]:
    """The labels of each pair on which different reviewers differ, in drawn order."""
    by_pair: dict[str, list[Label]] = {slot.pair_id: [] for slot in store.read_slots(cursor, round_id)}
    for label in store.round_labels(cursor, round_id):
        by_pair[label.pair_id].append(label)
    return {pair_id: labels for pair_id, labels in by_pair.items() if _dimensions(labels)}


def _dimensions(labels: Sequence[Label]) -> tuple[str, ...]:
    """The dimensions on which labels differ; an absent answer contradicts nothing."""
    return tuple(name for name in _DIMENSIONS if len({getattr(label, name) for label in labels} - {None}) > 1)


def _card(workspace: Workspace, cursor: store.Cursor, round_id: str, pair_id: str, adjudicator: str) -> Card:
    seed = store.read_round(cursor, round_id).seed
    # A draw of its own: what this person saw as a reviewer elsewhere says nothing here. No reviewer's name has a tab.
    name = f"adjudicator\t{adjudicator}"
    issued = Issued(
        card_id=card_id(workspace.key, round_id, pair_id, name, 0),
        pair_id=pair_id,
        reviewer=adjudicator,
        occurrence=0,
        shown_first=shown_first(workspace.key, seed, round_id, pair_id, name, 0),
        issued=0,
    )
    return store.to_card(round_id, issued, store.read_pairs(cursor, [pair_id])[pair_id])
