"""The test for a judge that changed: its level under wavering votes, its power, its undefined cases."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from review.stats.anchors import Changed, fewest_moves, votes_changed
from review.stats.estimate import NotEstimable

Votes = npt.NDArray[np.int64]


def run(chances: npt.NDArray[np.float64], rng: np.random.Generator) -> Votes:
    """Three votes a pair, two of them in the first order: shape (pairs, 2, 4)."""
    return np.stack([rng.multinomial(2, chances), rng.multinomial(1, chances)], axis=1).astype(np.int64)


def test_a_judge_that_only_wavers_is_accused_as_rarely_as_promised() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(600):
        chances = rng.dirichlet([0.4, 0.4, 0.3, 0.05], size=20)
        result = votes_changed(run(chances, rng), run(chances, rng), rng, 99)
        assert isinstance(result, Changed)
        found.append(result.p)
    assert np.mean(np.array(found) <= 0.05) <= 0.075  # promised .05, simulated with sd .009
    assert np.mean(np.array(found) <= 0.01) <= 0.025


def test_a_judge_that_turned_on_a_quarter_of_the_pairs_is_found() -> None:
    rng = np.random.default_rng(7)
    sure = np.zeros((20, 4))
    sure[:, 0] = 1
    turned = sure.copy()
    turned[:5] = [0, 1, 0, 0]
    result = votes_changed(run(sure, rng), run(turned, rng), rng)
    assert isinstance(result, Changed)
    assert result.p == pytest.approx((1 / 3) ** 5, abs=0.003)
    assert result.distance == 0.25
    assert result.cells == 40


def test_equal_runs_are_no_evidence_and_empty_ones_no_answer() -> None:
    rng = np.random.default_rng(1)
    votes = run(np.full((10, 4), 0.25), rng)
    same = votes_changed(votes, votes, rng)
    assert isinstance(same, Changed)
    assert (same.p, same.distance) == (1.0, 0.0)
    assert isinstance(votes_changed(votes, np.zeros_like(votes), rng), NotEstimable)
    with pytest.raises(ValueError, match="shape"):
        votes_changed(votes, votes[:5], rng)


def single(chances: npt.NDArray[np.float64], orders: int, rng: np.random.Generator) -> Votes:
    """One vote a pair and order: in both orders, or in one, by turns."""
    votes = np.stack([rng.multinomial(1, chances), rng.multinomial(1, chances)], axis=1).astype(np.int64)
    if orders == 1:
        votes[::2, 0] = votes[1::2, 1] = 0
    return votes


@pytest.mark.parametrize("orders", [1, 2])
def test_single_votes_accuse_a_judge_that_only_wavers_as_rarely_as_promised(orders: int) -> None:
    rng = np.random.default_rng(9)
    found = []
    for _ in range(600):
        chances = rng.dirichlet([0.4, 0.4, 0.3, 0.05], size=30)
        result = votes_changed(single(chances, orders, rng), single(chances, orders, rng), rng, 199)
        assert isinstance(result, Changed)
        found.append(result.p)
    assert np.mean(np.array(found) <= 0.05) <= 0.075  # promised .05, simulated with sd .009
    assert np.mean(np.array(found) <= 0.01) <= 0.025


def moved(count: int, to: int, orders: int = 1) -> Changed:
    """A sure judge of 20 pairs that prefers old, and `count` of them moved."""
    rng = np.random.default_rng(2)
    sure = np.zeros((20, 4))
    sure[:, 0] = 1
    other = sure.copy()
    other[:count] = np.eye(4)[to]
    result = votes_changed(single(sure, orders, rng), single(other, orders, rng), rng)
    assert isinstance(result, Changed)
    return result


def test_single_votes_that_move_one_way_tell_a_change() -> None:
    least = fewest_moves(0.01)
    assert least == 9
    for to in (1, 2, 3):
        assert moved(least, to).p <= 0.01
        assert moved(least - 3, to).p > 0.01
    assert moved(5, 1, orders=2).p <= 0.01  # ten votes of five pairs
    assert moved(9, 1).one_way
    assert moved(9, 1).distance == 0.45


def test_single_votes_that_move_both_ways_tell_none() -> None:
    rng = np.random.default_rng(4)
    sure = np.zeros((20, 4))
    sure[::2, 0] = sure[1::2, 1] = 1
    turned = sure[:, [1, 0, 2, 3]]
    result = votes_changed(single(sure, 2, rng), single(turned, 2, rng), rng)
    assert isinstance(result, Changed)
    assert result.p > 0.01  # a balanced change is not seen, which `review config check` says
