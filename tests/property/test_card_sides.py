"""What a reviewer says of A and B is stored of old and new, and comes back as it was said."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from review.domain.card import Answers, BetterAnswer, Card, ToneAnswer, to_answers, to_label
from review.domain.types import Calibration, ErrorDirection, Message, Output, Pair, Side

PAIR = Pair(messages=[Message(role="user", content="Hi")], old=Output(content="a"), new=Output(content="b"))


def one_of(kind: object) -> st.SearchStrategy[str | None]:
    return st.one_of(st.none(), st.sampled_from(get_args(kind)))


ANSWERS = st.builds(
    Answers,
    label_id=st.just("label-0001"),
    card_id=st.just("card-0001"),
    better=one_of(BetterAnswer),
    error_left=one_of(ErrorDirection),
    error_right=one_of(ErrorDirection),
    calibration_left=one_of(Calibration),
    calibration_right=one_of(Calibration),
    tone=one_of(ToneAnswer),
    categories_left=st.lists(st.sampled_from(["refusal", "other"]), max_size=2),
    categories_right=st.lists(st.sampled_from(["refusal", "other"]), max_size=2),
    comment=st.one_of(st.none(), st.text(min_size=1, max_size=20)),
)


@given(ANSWERS, st.sampled_from(get_args(Side)))
def test_there_and_back(said: Answers, first: Side) -> None:
    card = Card("card-0001", "round-1", "p1", 0, first, PAIR)
    assert to_answers(to_label(said, card, "Mara"), card) == said


@given(ANSWERS)
def test_swapping_the_sides_swaps_what_is_stored(said: Answers) -> None:
    left_old = to_label(said, Card("card-0001", "round-1", "p1", 0, "old", PAIR), "Mara")
    left_new = to_label(said, Card("card-0001", "round-1", "p1", 0, "new", PAIR), "Mara")
    assert (left_old.error_old, left_old.categories_new) == (left_new.error_new, left_new.categories_old)
    assert (left_old.calibration_new, left_old.calibration_old) == (left_new.calibration_old, left_new.calibration_new)
    swapped = {"old": "new", "new": "old"}
    assert left_new.preference == swapped.get(left_old.preference or "", left_old.preference)
    assert left_new.tone == swapped.get(left_old.tone or "", left_old.tone)
    if said.better in ("left", "right"):
        assert left_old.preference == {"left": "old", "right": "new"}[said.better]
