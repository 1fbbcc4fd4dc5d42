"""Labelling: hand out cards, take answers once, correct, give back, and say how far a reviewer is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Literal
from weakref import WeakKeyDictionary

from review.domain.blinding import card_id, shown_first
from review.domain.card import Answers, Card, to_answers, to_label
from review.domain.serving import (
    Answered,
    Issued,
    Lease,
    Offer,
    Outcome,
    RoundState,
    held_by,
    next_offers,
    open_cards,
    place_for_label,
    repeats_ahead,
    waiting,
)
from review.domain.types import Label, Pair
from review.errors import NotFound
from review.services.rounds import repeat_rule
from review.services.workspace import Workspace
from review.store import rounds as store
from review.store.database import Database
from review.store.rounds import Cursor, RoundRow

Status = Literal["stored", "duplicate", "surplus", "refused"]

# A card in sight is reported often; once a minute is enough to renew half an hour.
_RENEW_AFTER = timedelta(minutes=1)
_CACHED_PAIRS = 500


@dataclass(frozen=True)
class Receipt:
    """What became of one sent answer. Every status is final: the browser may drop the answer from its outbox.

    Attributes:
        label_id: the browser's id.
        status: stored; duplicate (was there already); surplus (stored, beyond the overlap); refused (not stored).
        reason: for people, when refused.
    """

    label_id: str
    status: Status
    reason: str | None = None


@dataclass(frozen=True)
class Progress:
    """How far one reviewer and the round are.

    Attributes:
        mine_done: cards that the reviewer labelled, repeats among them.
        mine_skipped: cards that the reviewer skipped.
        mine_open: cards that the reviewer has or may still get.
        held_by_others: of those, the ones that other reviewers hold now.
        all_done: places filled, over all reviewers.
        all_total: places asked for.
        ended: nothing more is handed out.
    """

    mine_done: int
    mine_skipped: int
    mine_open: int
    held_by_others: int
    all_done: int
    all_total: int
    ended: bool

    @property
    def mine_total(self) -> int:
        return self.mine_done + self.mine_open


@dataclass(frozen=True)
class Summary:
    """A reviewer's end of a round; repeats are among the labelled.

    Attributes:
        with_error: labels that find an error in at least one answer.
        both_bad: labels whose overall answer is "both bad".
        same: labels whose overall answer is "same".
        round_open: places of the round that are still to be filled by others.
    """

    labelled: int
    skipped: int
    surplus: int
    with_error: int
    both_bad: int
    same: int
    median_seconds: float | None
    round_open: int


def queue(workspace: Workspace, reviewer: str, round_id: str, want: int, now: datetime) -> list[Card]:
    """The reviewer's next cards: those still open from before, then newly leased ones, at most `want`.

    Prefetched cards are leased at once; their half hour starts with `shown`.

    Raises:
        NotFound: there is no such round.
    """
    cursor = workspace.database.cursor()
    row = store.read_round(cursor, round_id)
    state = store.snapshot(workspace.database, round_id)
    cards = open_cards(state, reviewer)[:want]
    if len(cards) < want and not state.ended and any(_offers(workspace, row, state, reviewer, 1, now)):
        claimed = store.write(
            workspace.database,
            lambda cursor: _claim(workspace, cursor, row, reviewer, want, now),
            changes=[round_id],
        )
        cards = claimed[:want]
    pairs = _pairs(workspace.database, cursor, [card.pair_id for card in cards])
    return [store.to_card(round_id, card, pairs[card.pair_id]) for card in cards]


def shown(workspace: Workspace, reviewer: str, card_id: str, now: datetime) -> bool:
    """The card is in sight: start or renew its half hour. False when it is no longer the reviewer's to label.

    A label for it would still be kept, as surplus.
    """
    if not renew(workspace, reviewer, card_id, now):
        return False
    cursor = workspace.database.cursor()
    found = store.read_card(cursor, card_id)
    if found is None:
        return False
    round_id, card = found
    return card.occurrence > 0 or card.pair_id in held_by(store.snapshot(workspace.database, round_id), reviewer)


def renew(workspace: Workspace, reviewer: str, card_id: str, now: datetime) -> bool:
    """`shown` without its look at the whole round. False when the card was never the reviewer's."""
    cursor = workspace.database.cursor()
    found = store.read_card(cursor, card_id)
    if found is None or found[1].reviewer != reviewer:
        return False
    round_id, card = found
    last = store.last_shown(cursor, round_id, card.pair_id, reviewer)
    if last is None or now - last >= _RENEW_AFTER:
        store.write(
            workspace.database,
            lambda cursor: store.insert_showing(cursor, round_id, card.pair_id, reviewer, now),
            changes=[round_id],
        )
    return True


def submit(
    workspace: Workspace, reviewer: str, answers: Sequence[Answers], now: datetime, *, simulated: bool = False
) -> list[Receipt]:
    """Store answers; safe to repeat. One receipt an answer, in order; a refused one does not hold up the others.

    Raises:
        Conflict: the database is busy; nothing of the failing part was stored, send again.
    """
    receipts: list[Receipt] = []
    for part in _without_repeated_cards(answers):
        states: dict[str, RoundState] = {}
        receipts += store.write(
            workspace.database,
            lambda cursor, part=part, states=states: _store(
                workspace, cursor, states, reviewer, part, now, simulated=simulated
            ),
            changes=states,
        )
    return receipts


def release(workspace: Workspace, reviewer: str, now: datetime, round_id: str | None = None) -> int:
    """Give back every pair the reviewer holds unanswered (in one round, or all); returns how many."""

    rounds = [each for each in store.rounds_of(workspace.database.cursor(), reviewer) if round_id in (None, each)]

    def work(cursor: Cursor) -> int:
        given = 0
        for each in rounds:
            leases = held_by(store.read_state(cursor, each), reviewer).values()
            for lease in leases:
                store.insert_lease_end(cursor, each, lease, now)
            given += len(leases)
        return given

    return store.write(workspace.database, work, changes=rounds)


def recent(workspace: Workspace, reviewer: str, round_id: str, count: int = 5) -> list[tuple[Card, Answers]]:
    """The reviewer's last answers in the round, newest first, as they count now, to be reopened and corrected.

    To correct, submit new answers with a new `label_id` and `supersedes` set to the old one.
    """
    cursor = workspace.database.cursor()
    state = store.snapshot(workspace.database, round_id)
    mine = [answer for answer in state.answers.values() if answer.reviewer == reviewer][::-1][:count]
    labels = store.read_labels(cursor, [answer.label_id for answer in mine])
    pairs = _pairs(workspace.database, cursor, [answer.pair_id for answer in mine])
    issued = [state.cards[(answer.pair_id, reviewer, answer.occurrence)] for answer in mine]
    cards = [store.to_card(round_id, card, pairs[card.pair_id]) for card in issued]
    return [(card, to_answers(labels[answer.label_id], card)) for card, answer in zip(cards, mine, strict=True)]


def last(workspace: Workspace, reviewer: str, round_id: str) -> tuple[Card, Answers] | None:
    """The reviewer's last answer in the round, or None."""
    found = recent(workspace, reviewer, round_id, 1)
    return found[0] if found else None


def card(workspace: Workspace, reviewer: str, card_id: str) -> Card:
    """The card behind an id that the browser sent, for flagging.

    Raises:
        NotFound: the reviewer was never given such a card.
    """
    cursor = workspace.database.cursor()
    found = store.read_card(cursor, card_id)
    if found is None or found[1].reviewer != reviewer:
        raise NotFound("This card does not exist, or is somebody else's. Reload the page.")
    round_id, issued = found
    return store.to_card(round_id, issued, _pairs(workspace.database, cursor, [issued.pair_id])[issued.pair_id])


def progress(workspace: Workspace, reviewer: str, round_id: str) -> Progress:
    """How far the reviewer and the round are.

    Raises:
        NotFound: there is no such round.
    """
    cursor = workspace.database.cursor()
    row = store.read_round(cursor, round_id)
    state = store.snapshot(workspace.database, round_id)
    outcomes = [answer.outcome for answer in state.answers.values() if answer.reviewer == reviewer]
    unanswered = waiting(state, reviewer)
    held = held_by(state, reviewer)
    repeats = sum(card.occurrence > 0 for card in open_cards(state, reviewer))
    to_come = len(repeats_ahead(state, reviewer, repeat_rule(workspace, row, reviewer)))
    others = {place for place, lease in state.leases.items() if lease.reviewer != reviewer and not lease.ended}
    available = {slot.pair_id for slot in state.slots if _place_left(state, slot.pair_id, slot.places, others)}
    return Progress(
        mine_done=len(outcomes) - outcomes.count("skip"),
        mine_skipped=outcomes.count("skip"),
        mine_open=0 if state.ended else len(unanswered) + repeats + to_come,
        held_by_others=len(set(unanswered) - set(held) - available),
        all_done=len(state.completed),
        all_total=sum(slot.places for slot in state.slots),
        ended=state.ended,
    )


def summary(workspace: Workspace, reviewer: str, round_id: str) -> Summary:
    """What the reviewer did in the round, without anything that tells sides.

    Raises:
        NotFound: there is no such round.
    """
    cursor = workspace.database.cursor()
    store.read_round(cursor, round_id)
    state = store.snapshot(workspace.database, round_id)
    mine = [answer for answer in state.answers.values() if answer.reviewer == reviewer]
    labels = store.read_labels(cursor, [answer.label_id for answer in mine if answer.outcome != "skip"]).values()
    seconds = [label.seconds for label in labels if label.seconds is not None]
    return Summary(
        labelled=len(labels),
        skipped=len(mine) - len(labels),
        surplus=sum(answer.outcome == "surplus" for answer in mine),
        with_error=sum(_finds_error(label) for label in labels),
        both_bad=sum(label.preference == "both_bad" for label in labels),
        same=sum(label.preference == "tie" for label in labels),
        median_seconds=median(seconds) if seconds else None,
        round_open=sum(slot.places for slot in state.slots) - len(state.completed),
    )


def _finds_error(label: Label) -> bool:
    return any(direction in ("cautious", "confident", "other") for direction in (label.error_old, label.error_new))


def _place_left(state: RoundState, pair_id: str, places: int, held: set[tuple[str, int]]) -> bool:
    """Whether a place is neither filled nor in `held`."""
    return any((pair_id, place) not in state.completed and (pair_id, place) not in held for place in range(places))


def _offers(
    workspace: Workspace, row: RoundRow, state: RoundState, reviewer: str, count: int, now: datetime
) -> list[Offer]:
    return list(next_offers(state, reviewer, count, now, repeat_rule(workspace, row, reviewer)))


def _claim(
    workspace: Workspace, cursor: Cursor, row: RoundRow, reviewer: str, want: int, now: datetime
) -> list[Issued]:
    """Lease what is missing to `want` open cards; the lease's key decides between reviewers."""
    state = store.read_state(cursor, row.round_id)
    cards = open_cards(state, reviewer)
    count = sum(card.reviewer == reviewer for card in state.cards.values())
    for offer in _offers(workspace, row, state, reviewer, want - len(cards), now):
        if offer.claim is not None:
            place, generation = offer.claim
            store.insert_lease(cursor, row.round_id, Lease(offer.pair_id, place, generation, reviewer, now))
        issued = state.cards.get((offer.pair_id, reviewer, offer.occurrence))
        if issued is None:
            issued = _issue(workspace, row, reviewer, offer, count)
            store.insert_card(cursor, row.round_id, issued, now)
            count += 1
        cards.append(issued)
    return cards


def _issue(workspace: Workspace, row: RoundRow, reviewer: str, offer: Offer, number: int) -> Issued:
    key, pair, occurrence = workspace.key, offer.pair_id, offer.occurrence
    return Issued(
        card_id=card_id(key, row.round_id, pair, reviewer, occurrence),
        pair_id=pair,
        reviewer=reviewer,
        occurrence=occurrence,
        shown_first=shown_first(key, row.seed, row.round_id, pair, reviewer, occurrence),
        issued=number,
    )


def _without_repeated_cards(answers: Sequence[Answers]) -> Iterator[list[Answers]]:
    """Runs of answers in order, no card twice in one: a key that was deleted cannot come back in one transaction."""
    part: list[Answers] = []
    for answer in answers:
        if any(answer.card_id == before.card_id for before in part):
            yield part
            part = []
        part.append(answer)
    if part:
        yield part


def _store(
    workspace: Workspace,
    cursor: Cursor,
    states: dict[str, RoundState],
    reviewer: str,
    answers: Sequence[Answers],
    now: datetime,
    *,
    simulated: bool,
) -> list[Receipt]:
    """One transaction: each answer is stored, recognised, or refused with a reason.

    Fills `states` with the rounds it changes, anew at each attempt.
    """
    states.clear()
    receipts: list[Receipt] = []
    for answer in answers:
        owner = store.label_owner(cursor, answer.label_id)
        found = store.read_card(cursor, answer.card_id)
        if owner is not None:
            receipts.append(_known(answer, owner, reviewer))
        elif found is None or found[1].reviewer != reviewer:
            receipts.append(Receipt(answer.label_id, "refused", "This pair is not in your round any more."))
        else:
            round_id, card = found
            if round_id not in states:
                states[round_id] = store.read_state(cursor, round_id)
            receipts.append(
                _store_one(workspace, cursor, states[round_id], round_id, card, answer, now, simulated=simulated)
            )
    return receipts


def _known(answer: Answers, owner: tuple[str, bool], reviewer: str) -> Receipt:
    if owner[0] != reviewer:
        return Receipt(answer.label_id, "refused", "Another label has this id already.")
    return Receipt(answer.label_id, "duplicate")


def _store_one(
    workspace: Workspace,
    cursor: Cursor,
    state: RoundState,
    round_id: str,
    card: Issued,
    answer: Answers,
    now: datetime,
    *,
    simulated: bool,
) -> Receipt:
    before = state.answers.get((card.pair_id, card.reviewer, card.occurrence))
    if answer.supersedes is not None and not _same_card(cursor, card, round_id, answer.supersedes):
        return Receipt(answer.label_id, "refused", "It corrects a label that is not yours, or of another pair.")
    outcome, place = _outcome(state, card, answer, before, now)
    pair = _pairs(workspace.database, cursor, [card.pair_id])[card.pair_id]
    label = to_label(answer, store.to_card(round_id, card, pair), card.reviewer).model_copy(
        update={
            # The chain of corrections stays a line, also when two tabs of one reviewer answered the same card.
            "supersedes": before.label_id if before is not None else None,
            "labelled_at": _moment(answer.labelled_at, now),
            "surplus": outcome == "surplus",
            "simulated": simulated,
        }
    )
    store.insert_label(cursor, label, now)
    if before is not None and before.outcome == "placed" and outcome != "placed":
        _empty_place(cursor, state, round_id, card)
    if place is not None:
        store.insert_completion(cursor, round_id, card.pair_id, place, card.reviewer)
        state.completed[(card.pair_id, place)] = card.reviewer
    if outcome == "skip":
        _give_back(cursor, state, round_id, card, now)
    after = Answered(card.pair_id, card.reviewer, card.occurrence, outcome, answer.label_id, now)
    store.put_answer(cursor, round_id, after, first=before is None)
    state.answers[(card.pair_id, card.reviewer, card.occurrence)] = after
    return Receipt(answer.label_id, "surplus" if outcome == "surplus" else "stored")


def _outcome(
    state: RoundState, card: Issued, answer: Answers, before: Answered | None, now: datetime
) -> tuple[Outcome, int | None]:
    """What becomes of an answer, and the place it fills now (None: none, or the one it fills already)."""
    if answer.kind == "skip":
        return "skip", None
    if card.occurrence > 0:
        return "repeat", None
    if before is not None and before.outcome in ("placed", "surplus"):
        return before.outcome, None
    slot = next(slot for slot in state.slots if slot.pair_id == card.pair_id)
    place = place_for_label(state, slot, card.reviewer, now)
    return ("surplus", None) if place is None else ("placed", place)


def _same_card(cursor: Cursor, card: Issued, round_id: str, label_id: str) -> bool:
    label = store.read_labels(cursor, [label_id]).get(label_id)
    return label is not None and (label.round_id, label.pair_id, label.reviewer, label.occurrence) == (
        round_id, card.pair_id, card.reviewer, card.occurrence,
    )  # fmt: skip


def _empty_place(cursor: Cursor, state: RoundState, round_id: str, card: Issued) -> None:
    """A label became a skip: its place is for others again."""
    store.delete_completion(cursor, round_id, card.pair_id, card.reviewer)
    state.completed = {
        place: who for place, who in state.completed.items() if (place[0], who) != (card.pair_id, card.reviewer)
    }


def _give_back(cursor: Cursor, state: RoundState, round_id: str, card: Issued, now: datetime) -> None:
    """A skip ends the reviewer's lease at once, so that others need not wait for its end."""
    for place, lease in list(state.leases.items()):
        mine = lease.pair_id == card.pair_id and lease.reviewer == card.reviewer
        if mine and not lease.ended and card.occurrence == 0:
            store.insert_lease_end(cursor, round_id, lease, now)
            state.leases[place] = lease._replace(ended=True)


def _moment(by_browser: datetime | None, now: datetime) -> datetime:
    """The browser's time where it names a moment; a time without an offset does not."""
    return by_browser if by_browser is not None and by_browser.tzinfo is not None else now


# Pairs never change, and a long conversation takes longer to parse than a label to store.
_parsed: WeakKeyDictionary[Database, dict[str, Pair]] = WeakKeyDictionary()


def _pairs(database: Database, cursor: Cursor, pair_ids: Sequence[str]) -> dict[str, Pair]:
    """The named pairs, from memory where they were parsed before."""
    kept = _parsed.setdefault(database, {})
    if len(kept) > _CACHED_PAIRS:
        kept.clear()
    if missing := [pair_id for pair_id in pair_ids if pair_id not in kept]:
        kept.update(store.read_pairs(cursor, missing))
    return {pair_id: kept[pair_id] for pair_id in pair_ids}
