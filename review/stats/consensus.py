"""How several labels, or several votes of a judge, become one answer.

Answers are codes; UNRESOLVED is a state of its own, never a tie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from review.stats.intervals import Ints

UNRESOLVED = -1

# The codes of a judge's one verdict on a pair.
OLD, NEW, TIE = 0, 1, 2
INCONSISTENT, SPLIT, UNPARSABLE, ABSENT = 3, 4, 5, 6
VERDICTS = ("old", "new", "tie", "inconsistent", "unresolved", "unparsable", "absent")

# What a judge's votes in both orders show, per pair.
CONSISTENT, TO_FIRST, TO_SECOND, MIXED, NOT_BOTH_ORDERS = 0, 1, 2, 3, 4
ORDERS = ("consistent", "to_first", "to_second", "mixed")


def majority(counts: Ints) -> Ints:
    """The class that more than half of a unit's labels name, else UNRESOLVED.

    Args:
        counts: Labels per class, shape (units, classes).

    Returns:
        Codes, shape (units,).
    """
    top = counts.argmax(axis=1)
    most = np.take_along_axis(counts, top[:, None], axis=1)[:, 0]
    return np.where(2 * most > counts.sum(axis=1), top, UNRESOLVED).astype(np.int64)


def final_answers(counts: Ints, adjudicated: Ints) -> Ints:
    """The final answer per unit: adjudicated, else the majority, else UNRESOLVED.

    Args:
        counts: Labels per class, shape (units, classes).
        adjudicated: The adjudicated class or UNRESOLVED where there was none, shape (units,).
    """
    return np.where(adjudicated != UNRESOLVED, adjudicated, majority(counts))


@dataclass(frozen=True)
class JudgeVerdicts:
    """One verdict per pair, and what the order of the answers did to it.

    Attributes:
        verdict: Codes OLD .. ABSENT, shape (pairs,).
        order: Codes CONSISTENT .. NOT_BOTH_ORDERS, shape (pairs,).
    """

    verdict: Ints
    order: Ints


def combine_votes(votes: npt.NDArray[np.int64]) -> JudgeVerdicts:
    """One verdict of a judge per pair, from all of its votes.

    Within an order the majority of the parsable votes decides, else the order is split. With votes in both orders,
    equal ones are that verdict, different ones are inconsistent; an order without a parsable vote makes the pair
    unparsable. A split order leaves it unresolved, unless the other order's verdict is also the majority of all votes:
    of three votes, two in one order, that is the 2-1 that does not follow the order. Where only one order was judged,
    all votes are pooled.

    Args:
        votes: Counts, shape (pairs, 3, 4): shown first (old, new, unknown) by winner (old, new, tie, unparsable).
    """
    pooled = _one_order(votes.sum(axis=1))
    first, second = _one_order(votes[:, 0]), _one_order(votes[:, 1])
    both = (first != ABSENT) & (second != ABSENT)
    known = both & (first <= TIE) & (second <= TIE)
    joined = np.where(first == second, first, INCONSISTENT)
    either_split = (first == SPLIT) | (second == SPLIT)
    backed = (pooled <= TIE) & ((first == pooled) | (second == pooled))
    joined = np.where(either_split, np.where(backed, pooled, SPLIT), joined)
    joined = np.where((first == UNPARSABLE) | (second == UNPARSABLE), UNPARSABLE, joined)
    order = np.full(len(votes), NOT_BOTH_ORDERS)
    order[known] = MIXED
    order[known & (first == second)] = CONSISTENT
    order[known & (first == OLD) & (second == NEW)] = TO_FIRST
    order[known & (first == NEW) & (second == OLD)] = TO_SECOND
    return JudgeVerdicts(np.where(both, joined, pooled).astype(np.int64), order.astype(np.int64))


def _one_order(votes: Ints) -> Ints:
    """The verdict of votes that count alike, shape (pairs, 4) to (pairs,)."""
    parsable = votes[:, :3]
    winner = majority(parsable)
    verdict = np.where(winner == UNRESOLVED, SPLIT, winner)
    verdict = np.where(parsable.sum(axis=1) == 0, UNPARSABLE, verdict)
    return np.where(votes.sum(axis=1) == 0, ABSENT, verdict).astype(np.int64)


Unparsable = Literal["tie", "wrong", "dropped"]
Inconsistent = Literal["own", "tie"]


def apply_rules(
    verdict: Ints, unparsable: Unparsable, inconsistent: Inconsistent
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """The verdicts under the rules chosen, and which pairs stay.

    Unparsable verdicts become ties, stay as a class nobody can agree with, or are left out; inconsistent ones stay
    as such a class or become ties. Unresolved ones stay as such a class; absent ones are left out.
    """
    ruled = verdict.copy()
    if unparsable == "tie":
        ruled[verdict == UNPARSABLE] = TIE
    if inconsistent == "tie":
        ruled[verdict == INCONSISTENT] = TIE
    keep = verdict != ABSENT
    if unparsable == "dropped":
        keep &= verdict != UNPARSABLE
    return ruled, keep
