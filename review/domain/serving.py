"""Who is shown which pair next: leases, expiry, hidden repeats, skips. Pure decisions over a round's state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from review.domain.types import Side

LEASE = timedelta(minutes=30)
# A prefetched pair waits behind the shown one, whose half hour may run out in full before its own begins.
PREFETCHED = 2 * LEASE
REPEAT_AFTER = 10
# At the end of a round a repeat may come sooner, but not while the first showing is still in mind.
REPEAT_AFTER_AT_END = 5

Outcome = Literal["placed", "surplus", "repeat", "skip"]


class Slot(NamedTuple):
    """A drawn pair that asks for `places` different reviewers."""

    pair_id: str
    places: int


class Lease(NamedTuple):
    """The latest holder of a place; `ended` when it was given back."""

    pair_id: str
    place: int
    generation: int
    reviewer: str
    leased_at: datetime
    ended: bool = False


class Issued(NamedTuple):
    """A card that a reviewer was given; `issued` counts the reviewer's cards of the round from 0."""

    card_id: str
    pair_id: str
    reviewer: str
    occurrence: int
    shown_first: Side
    issued: int


class Answered(NamedTuple):
    """Where a reviewer stands with a card: the label that counts now and what became of it."""

    pair_id: str
    reviewer: str
    occurrence: int
    outcome: Outcome
    label_id: str
    answered_at: datetime


@dataclass
class RoundState:
    """Everything that decides who may label what in one round.

    Attributes:
        slots: in drawn order.
        leases: the latest lease of each (pair, place).
        completed: who filled each (pair, place).
        answers: by (pair, reviewer, occurrence), oldest first.
        cards: by (pair, reviewer, occurrence), in order of issue.
        shown: when a (reviewer, pair) was last in sight.
        ended: a lead has ended the round.
    """

    slots: list[Slot]
    leases: dict[tuple[str, int], Lease] = field(default_factory=dict[tuple[str, int], Lease])
    completed: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    answers: dict[tuple[str, str, int], Answered] = field(default_factory=dict[tuple[str, str, int], Answered])
    cards: dict[tuple[str, str, int], Issued] = field(default_factory=dict[tuple[str, str, int], Issued])
    shown: dict[tuple[str, str], datetime] = field(default_factory=dict[tuple[str, str], datetime])
    ended: bool = False


def is_live(state: RoundState, lease: Lease, now: datetime) -> bool:
    """Whether a lease still keeps others out.

    Half an hour from when the pair was last in sight; a prefetched one as long as its holder is at work.
    """
    if lease.ended:
        return False
    seen = state.shown.get((lease.reviewer, lease.pair_id))
    if seen is not None and seen >= lease.leased_at:
        return now < seen + LEASE
    return now < max(lease.leased_at, _last_seen(state, lease.reviewer) or lease.leased_at) + PREFETCHED


def _last_seen(state: RoundState, reviewer: str) -> datetime | None:
    return max((moment for (who, _), moment in state.shown.items() if who == reviewer), default=None)


def held_by(state: RoundState, reviewer: str) -> dict[str, Lease]:
    """The reviewer's leases by pair that nobody has taken over and that wait for an answer (expired ones too)."""
    return {
        lease.pair_id: lease
        for lease in state.leases.values()
        if lease.reviewer == reviewer
        and not lease.ended
        and (lease.pair_id, lease.place) not in state.completed
        and (lease.pair_id, reviewer, 0) not in state.answers
    }


def free_place(state: RoundState, slot: Slot, reviewer: str, now: datetime) -> tuple[int, int] | None:
    """A (place, generation) of `slot` that `reviewer` may claim, or None: one never leased, given back or expired."""
    for place in range(slot.places):
        if (slot.pair_id, place) in state.completed:
            continue
        lease = state.leases.get((slot.pair_id, place))
        if lease is None:
            return place, 0
        if not is_live(state, lease, now) or lease.reviewer == reviewer:
            return place, lease.generation + 1
    return None


def place_for_label(state: RoundState, slot: Slot, reviewer: str, now: datetime) -> int | None:
    """The place that a label of `reviewer` fills: the one held, else one that nobody holds; None is surplus."""
    if reviewer in (state.completed.get((slot.pair_id, place)) for place in range(slot.places)):
        return None
    for place in range(slot.places):
        lease = state.leases.get((slot.pair_id, place))
        if lease is not None and lease.reviewer == reviewer and (slot.pair_id, place) not in state.completed:
            return place
    found = free_place(state, slot, reviewer, now)
    return None if found is None else found[0]


def waiting(state: RoundState, reviewer: str) -> list[str]:
    """Pairs that the reviewer has not answered and whose places are not all filled, held by others or not."""
    return [
        slot.pair_id
        for slot in state.slots
        if (slot.pair_id, reviewer, 0) not in state.answers
        and any((slot.pair_id, place) not in state.completed for place in range(slot.places))
    ]


def open_cards(state: RoundState, reviewer: str) -> list[Issued]:
    """The reviewer's cards that wait for an answer, in the order they were given: held pairs and issued repeats."""
    held = held_by(state, reviewer)
    return [
        card
        for key, card in state.cards.items()
        if card.reviewer == reviewer and key not in state.answers and (card.occurrence > 0 or card.pair_id in held)
    ]


def repeats_to_come(state: RoundState, reviewer: str, comes_back: Callable[[int], bool]) -> list[str]:
    """Pairs that the reviewer labelled, that are among those shown again, and whose repeat is not issued yet."""
    return [
        answer.pair_id
        for answer in state.answers.values()
        if answer.reviewer == reviewer
        and answer.occurrence == 0
        and answer.outcome == "placed"
        and (answer.pair_id, reviewer, 1) not in state.cards
        and comes_back(_ordinal(state, reviewer, answer.pair_id))
    ]


def _ordinal(state: RoundState, reviewer: str, pair_id: str) -> int:
    """Which of the reviewer's first showings this pair was; never changes, unlike the order of answers."""
    card = state.cards[(pair_id, reviewer, 0)]
    return sum(
        1
        for each in state.cards.values()
        if each.reviewer == reviewer and each.occurrence == 0 and each.issued < card.issued
    )


class Offer(NamedTuple):
    """A card to issue: a first showing with the (place, generation) to claim, or a repeat with None."""

    pair_id: str
    occurrence: int
    claim: tuple[int, int] | None


def next_offers(
    state: RoundState, reviewer: str, count: int, now: datetime, comes_back: Callable[[int], bool]
) -> Iterator[Offer]:
    """Up to `count` new cards to follow the reviewer's open ones."""
    held = held_by(state, reviewer)
    fresh = (
        Offer(slot.pair_id, 0, claim)
        for slot in state.slots
        if (slot.pair_id, reviewer, 0) not in state.answers
        and slot.pair_id not in held
        and (claim := free_place(state, slot, reviewer, now)) is not None
    )
    repeats = repeats_to_come(state, reviewer, comes_back)
    ahead = len(open_cards(state, reviewer))
    for _ in range(count):
        due = [pair for pair in repeats if _answered_since(state, reviewer, pair) + ahead >= REPEAT_AFTER]
        offer = None if due else next(fresh, None)
        if offer is None:
            due = due or [p for p in repeats if _answered_since(state, reviewer, p) + ahead >= REPEAT_AFTER_AT_END]
            if not due:
                return
            repeats.remove(due[0])
            offer = Offer(due[0], 1, None)
        ahead += 1
        yield offer


def _answered_since(state: RoundState, reviewer: str, pair_id: str) -> int:
    """How many other cards the reviewer answered after this one."""
    mine = [answer.pair_id for answer in state.answers.values() if answer.reviewer == reviewer]
    return len(mine) - 1 - mine.index(pair_id)


def repeats_ahead(state: RoundState, reviewer: str, comes_back: Callable[[int], bool]) -> list[str]:
    """The repeats that will still be shown: at the very end of a round one that is too fresh in mind is left out."""
    repeats = repeats_to_come(state, reviewer, comes_back)
    if waiting(state, reviewer) or open_cards(state, reviewer):
        return repeats
    return [pair for pair in repeats if _answered_since(state, reviewer, pair) >= REPEAT_AFTER_AT_END]


def has_open(state: RoundState, reviewer: str, comes_back: Callable[[int], bool]) -> bool:
    """Whether a person who takes part still has something to label in the round, or may get it back from others.

    Who was never given a card, or gave everything back unanswered, takes no part.
    """
    if state.ended:
        return False
    if open_cards(state, reviewer):
        return True
    if not any(answer.reviewer == reviewer for answer in state.answers.values()):
        return False
    return bool(waiting(state, reviewer) or repeats_ahead(state, reviewer, comes_back))
