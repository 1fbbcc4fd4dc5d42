"""How several labels become a final answer, and several votes one verdict."""

from __future__ import annotations

import numpy as np
import pytest

from review.stats.consensus import (
    ORDERS,
    UNRESOLVED,
    VERDICTS,
    apply_rules,
    combine_votes,
    final_answers,
    majority,
)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([3, 0, 0], 0), ([1, 2, 0], 1), ([1, 1, 0], UNRESOLVED), ([1, 1, 1], UNRESOLVED), ([0, 0, 0], UNRESOLVED)],
)
def test_majority_needs_more_than_half(counts: list[int], expected: int) -> None:
    assert majority(np.array([counts])).tolist() == [expected]


def test_an_adjudication_outweighs_the_majority_and_settles_a_split() -> None:
    counts = np.array([[3, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]])
    assert final_answers(counts, np.array([2, 1, UNRESOLVED])).tolist() == [2, 1, UNRESOLVED]


W = {"old": 0, "new": 1, "tie": 2, None: 3}
S = {"old": 0, "new": 1, None: 2}


@pytest.mark.parametrize(
    ("votes", "verdict", "order"),
    [
        ([("old", "old"), ("new", "old")], "old", "consistent"),
        ([("old", "tie"), ("new", "tie")], "tie", "consistent"),
        ([("old", "old"), ("new", "new")], "inconsistent", "to_first"),
        ([("old", "new"), ("new", "old")], "inconsistent", "to_second"),
        ([("old", "tie"), ("new", "old")], "inconsistent", "mixed"),
        ([("old", "old"), ("new", None)], "unparsable", None),
        ([("old", "old")] * 3, "old", None),
        ([("old", "old"), ("old", "old"), ("old", "new")], "old", None),
        ([("old", "old"), ("old", "new"), ("old", "tie")], "unresolved", None),
        ([("old", "old"), ("old", None), ("old", None)], "old", None),
        ([("old", None)], "unparsable", None),
        ([(None, "new"), (None, "new"), (None, "old")], "new", None),
        ([("old", "new"), (None, "new")], "new", None),
        ([("old", "old"), ("old", "new"), ("new", "new")], "new", None),
        ([("old", "old"), ("new", "tie"), ("new", "old")], "old", None),
        ([("old", "old"), ("old", "tie"), ("new", "new")], "unresolved", None),
        ([("old", "old"), ("old", "new"), ("new", "new"), ("new", "old")], "unresolved", None),
        ([("old", "old"), ("old", "new"), ("new", None)], "unparsable", None),
        ([("old", "old"), ("old", "old"), ("new", "new")], "inconsistent", "to_first"),
        ([], "absent", None),
    ],
)
def test_votes_become_one_verdict(votes: list[tuple[str | None, str | None]], verdict: str, order: str | None) -> None:
    counts = np.zeros((1, 3, 4), dtype=np.int64)
    for first, winner in votes:
        counts[0, S[first], W[winner]] += 1
    result = combine_votes(counts)
    assert VERDICTS[result.verdict[0]] == verdict
    assert (ORDERS[result.order[0]] if result.order[0] < len(ORDERS) else None) == order


def test_rules_move_the_states_they_name_and_no_other() -> None:
    verdict = np.arange(7)
    as_tie, keep = apply_rules(verdict, "tie", "tie")
    assert as_tie.tolist() == [0, 1, 2, 2, 4, 2, 6]
    assert keep.tolist() == [True] * 6 + [False]
    own, keep = apply_rules(verdict, "dropped", "own")
    assert own.tolist() == list(range(7))
    assert keep.tolist() == [True, True, True, True, True, False, False]
    assert apply_rules(verdict, "wrong", "own")[1].tolist() == [True] * 6 + [False]
