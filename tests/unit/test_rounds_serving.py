"""Serving a round: when leases run out, what a skip does, when repeats come, how a round ends, who may see sides."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from review.domain.card import Answers, Card
from review.domain.serving import REPEAT_AFTER
from review.errors import Conflict, NotAllowed, NotFound
from review.services import adjudicate, label, rounds
from review.services.workspace import Workspace
from tests.conftest import NOW
from tests.unit.test_frame import add

Draw = Callable[..., str]


def minutes(count: float) -> datetime:
    return NOW + timedelta(minutes=count)


@pytest.fixture
def draw(workspace: Workspace) -> Draw:
    """A round of `size` disagreements without repeats, unless told."""

    def make(size: int, **spec: float | int) -> str:
        for n in range(size):
            add(workspace, f"p{n}", "t", "disagreement")
        return rounds.draw(
            workspace, rounds.DrawSpec(size=size, seed=3, **{"repeat": 0.0, **spec}), "lead", NOW
        ).round_id  # pyright: ignore[reportArgumentType]

    return make


def said(card: Card, kind: str = "label", **more: object) -> Answers:
    given = {"label_id": f"{kind}-{card.card_id}", "card_id": card.card_id, "kind": kind}
    return Answers.model_validate(given | ({"better": "left"} if kind == "label" else {}) | more)


def submit(workspace: Workspace, who: str, card: Card, now: datetime = NOW, kind: str = "label") -> str:
    return label.submit(workspace, who, [said(card, kind)], now)[0].status


def test_the_half_hour_starts_when_a_pair_is_shown(workspace: Workspace, draw: Draw) -> None:
    round_id = draw(3)
    first, second, third = label.queue(workspace, "Ana", round_id, 3, NOW)
    label.shown(workspace, "Ana", first.card_id, NOW)
    submit(workspace, "Ana", first, minutes(29))
    assert label.shown(workspace, "Ana", second.card_id, minutes(29))
    # Prefetched half an hour ago, in sight for 29 minutes: still Ana's, and so is what waits behind it.
    assert label.queue(workspace, "Ben", round_id, 3, minutes(58)) == []
    # Activity renews it.
    assert label.shown(workspace, "Ana", second.card_id, minutes(58))
    assert label.queue(workspace, "Ben", round_id, 3, minutes(87)) == []
    # Gone for good: both come back, the one in sight first.
    assert [card.pair_id for card in label.queue(workspace, "Ben", round_id, 3, minutes(89))] == [second.pair_id]
    assert {card.pair_id for card in label.queue(workspace, "Ben", round_id, 3, minutes(119))} == {
        second.pair_id,
        third.pair_id,
    }
    assert not label.shown(workspace, "Ana", third.card_id, minutes(120))


def test_the_order_shown_differs_between_people_and_the_ids_tell_nothing(workspace: Workspace, draw: Draw) -> None:
    round_id = draw(30, overlap=2)
    cards = {who: label.queue(workspace, who, round_id, 30, NOW) for who in ("Ana", "Ben")}
    sides = {who: [card.shown_first for card in cards[who]] for who in cards}
    assert sides["Ana"] != sides["Ben"]
    assert 5 < Counter(sides["Ana"])["old"] < 25
    ids = [card.card_id for who in cards for card in cards[who]]
    assert len(set(ids)) == 60
    assert not any(card.pair_id in card.card_id or round_id in card.card_id for card in cards["Ana"])


def test_a_skip_goes_to_others_and_never_back(workspace: Workspace, draw: Draw) -> None:
    round_id = draw(1)
    (card,) = label.queue(workspace, "Ana", round_id, 1, NOW)
    assert submit(workspace, "Ana", card, kind="skip") == "stored"
    assert label.queue(workspace, "Ana", round_id, 1, minutes(200)) == []
    assert label.progress(workspace, "Ana", round_id).mine_open == 0
    assert not rounds.has_open_slots(workspace, "Ana", round_id)
    assert rounds.progress(workspace, round_id).stuck == 1
    (other,) = label.queue(workspace, "Ben", round_id, 1, NOW)
    assert submit(workspace, "Ben", other) == "stored"
    found = rounds.progress(workspace, round_id)
    assert (found.state, found.stuck, found.skips, found.reviewers) == ("finished", 0, 1, {"Ana": 0, "Ben": 1})


def test_a_round_that_everybody_skipped_is_ended_by_a_lead(workspace: Workspace, draw: Draw) -> None:
    round_id = draw(2)
    cards = {who: label.queue(workspace, who, round_id, 1, NOW)[0] for who in ("Ana", "Ben")}
    submit(workspace, "Ana", cards["Ana"], kind="skip")
    rounds.end(workspace, round_id, "lead", NOW)
    with pytest.raises(Conflict):
        rounds.end(workspace, round_id, "lead", NOW)
    assert label.queue(workspace, "Chloe", round_id, 5, NOW) == []
    assert not rounds.has_open_slots(workspace, "Ben", round_id)
    assert label.progress(workspace, "Ben", round_id).mine_open == 0
    # What was on its way still arrives.
    assert submit(workspace, "Ben", cards["Ben"]) == "stored"
    assert rounds.progress(workspace, round_id).state == "ended"


def test_repeats_keep_their_distance(workspace: Workspace, draw: Draw) -> None:
    round_id = draw(40, repeat=0.25)
    order: list[tuple[str, int]] = []
    while cards := label.queue(workspace, "Ana", round_id, 4, NOW):
        order.append((cards[0].pair_id, cards[0].occurrence))
        submit(workspace, "Ana", cards[0], NOW + timedelta(seconds=len(order)))
    again = [pair for pair, occurrence in order if occurrence == 1]
    assert len(again) == len(set(again)) == pytest.approx(10, abs=1)
    gaps = [order.index((pair, 1)) - order.index((pair, 0)) for pair in again]
    assert all(gap > REPEAT_AFTER for pair, gap in zip(again, gaps, strict=True) if order.index((pair, 1)) < 40)
    assert min(gaps) > 5
    assert rounds.progress(workspace, round_id).done == 40
    done = label.summary(workspace, "Ana", round_id)
    assert (done.labelled, done.round_open) == (len(order), 0)


def test_giving_back_frees_the_pairs_and_takes_no_part(workspace: Workspace, draw: Draw) -> None:
    round_id = draw(4)
    label.queue(workspace, "Lea", round_id, 4, NOW)
    assert rounds.open_pairs_of(workspace, "Lea") == {f"p{n}" for n in range(4)}
    assert rounds.open_rounds_of(workspace, "Lea") == [round_id]
    with pytest.raises(NotAllowed):
        rounds.seed_of(workspace, round_id, "Lea")
    assert label.release(workspace, "Lea", NOW) == 4
    assert rounds.open_pairs_of(workspace, "Lea") == frozenset()
    assert rounds.seed_of(workspace, round_id, "Lea") == 3
    assert len(label.queue(workspace, "Ana", round_id, 9, NOW)) == 4


def test_who_takes_part_stays_blind_while_others_hold_pairs(workspace: Workspace, draw: Draw) -> None:
    """A pair that Ben holds may come to Ana when his lease runs out."""
    round_id = draw(2)
    (mine,) = label.queue(workspace, "Ana", round_id, 1, NOW)
    (his,) = label.queue(workspace, "Ben", round_id, 1, NOW)
    submit(workspace, "Ana", mine)
    assert label.queue(workspace, "Ana", round_id, 1, NOW) == []
    progress = label.progress(workspace, "Ana", round_id)
    assert (progress.mine_done, progress.mine_open, progress.held_by_others) == (1, 1, 1)
    assert rounds.has_open_slots(workspace, "Ana")
    submit(workspace, "Ben", his)
    assert not rounds.has_open_slots(workspace, "Ana")


def test_a_bad_answer_holds_up_no_other(workspace: Workspace, draw: Draw) -> None:
    round_id = draw(3)
    first, second, third = label.queue(workspace, "Ana", round_id, 3, NOW)
    answers = [
        said(first),
        said(second, card_id="0" * 32, label_id="unknown-card"),
        said(second, supersedes="no-such-label", label_id="wrong-chain"),
        said(third),
    ]
    receipts = label.submit(workspace, "Ana", answers, NOW)
    assert [receipt.status for receipt in receipts] == ["stored", "refused", "refused", "stored"]
    assert all((receipt.reason is None) == (receipt.status == "stored") for receipt in receipts)
    assert workspace.database.cursor().execute("SELECT count(*) FROM label").fetchone() == (2,)


def test_the_last_answers_can_be_reopened(workspace: Workspace, draw: Draw) -> None:
    round_id = draw(3)
    assert label.last(workspace, "Ana", round_id) is None
    for second in range(3):
        (card,) = label.queue(workspace, "Ana", round_id, 1, NOW)
        answers = said(card, better="right", error_left="cautious", categories_left=["refusal"], comment="[x](y)\x00")
        label.submit(workspace, "Ana", [answers], NOW + timedelta(seconds=second))
    found = label.last(workspace, "Ana", round_id)
    assert found is not None
    assert (found[0].card_id, found[1].card_id) == (card.card_id, card.card_id)
    kept = {"better", "error_left", "error_right", "categories_left", "comment", "label_id"}
    assert found[1].model_dump(include=kept) == answers.model_dump(include=kept)
    assert len(label.recent(workspace, "Ana", round_id)) == 3


def test_a_card_of_somebody_else_or_a_round_that_is_not_there(workspace: Workspace, draw: Draw) -> None:
    round_id = draw(1)
    (card,) = label.queue(workspace, "Ana", round_id, 1, NOW)
    assert not label.shown(workspace, "Ben", card.card_id, NOW)
    with pytest.raises(NotFound):
        label.card(workspace, "Ben", card.card_id)
    assert label.card(workspace, "Ana", card.card_id) == card
    with pytest.raises(NotFound, match="no round"):
        label.queue(workspace, "Ana", "round-9", 1, NOW)


@pytest.mark.parametrize("overlap", [1, 2])
def test_the_keys_alone_hold_without_the_write_lock(
    workspace: Workspace, draw: Draw, monkeypatch: pytest.MonkeyPatch, overlap: int
) -> None:
    """Transactions that really overlap: DuckDB's keys refuse what the lock would have prevented."""
    monkeypatch.setattr(workspace.database, "_write_lock", contextlib.nullcontext())
    round_id = draw(12, overlap=overlap)
    begin, failed = threading.Barrier(6), list[str]()

    def work(who: str) -> None:
        begin.wait()
        try:
            while cards := label.queue(workspace, who, round_id, 2, NOW):
                for card in cards:
                    if submit(workspace, who, card) not in ("stored", "surplus"):
                        failed.append(card.pair_id)
        except Exception as error:  # a thread's exception would vanish
            failed.append(repr(error))

    threads = [threading.Thread(target=work, args=(f"person-{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    rows = workspace.database.cursor().execute("SELECT pair_id, reviewer FROM label WHERE NOT surplus").fetchall()
    assert Counter(pair for pair, _ in rows) == {f"p{n}": overlap for n in range(12)}
    assert len(set(rows)) == len(rows)


def test_conflicts_are_decided_by_somebody_who_took_no_part(workspace: Workspace, draw: Draw) -> None:
    round_id = draw(3, overlap=2)
    sides: dict[str, list[str]] = {}
    for who, error in (("Ana", "cautious"), ("Ben", "confident")):
        for card in label.queue(workspace, who, round_id, 3, NOW):
            better = "left" if card.shown_first == "old" else "right"  # both prefer the old one
            wrong = error if card.pair_id == "p0" else "none"
            answers = said(card, better=better, error_left=wrong, error_right=wrong)
            label.submit(workspace, who, [answers], NOW)
            sides.setdefault(card.pair_id, []).append(card.shown_first)
    (disputed,) = adjudicate.conflicts(workspace, round_id, "Lea")
    assert (disputed.pair_id, disputed.dimensions) == ("p0", ("error_old", "error_new"))
    assert adjudicate.conflicts(workspace, round_id, "Ana") == []
    assert adjudicate.docket(workspace, round_id, "Ana").own == 1
    case = adjudicate.case(workspace, round_id, "p0", "Lea")
    assert case.values == {"error_left": ("cautious", "confident"), "error_right": ("cautious", "confident")}
    decision = said(case.card, better=None, error_left="cautious", error_right="none", label_id="decision-1")
    with pytest.raises(NotAllowed, match="yourself"):
        adjudicate.decide(workspace, round_id, "p0", "Ben", decision, NOW)
    for _ in range(2):  # a button pressed twice
        assert adjudicate.decide(workspace, round_id, "p0", "Lea", decision, NOW) == "decision-1"
    with pytest.raises(Conflict, match="decided this pair already"):
        adjudicate.decide(workspace, round_id, "p0", "Mo", said(case.card, label_id="decision-2"), NOW)
    old_first = case.card.shown_first == "old"
    stored = workspace.database.cursor().execute(
        "SELECT reviewer, error_old, error_new, shown_first FROM label WHERE kind = 'adjudication'"
    )
    expected = ("cautious", "none") if old_first else ("none", "cautious")
    assert stored.fetchall() == [("Lea", *expected, case.card.shown_first)]
    assert adjudicate.docket(workspace, round_id, "Lea").decided == 1
