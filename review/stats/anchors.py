"""Did a judge change between two runs? Permutation tests over the votes on the same pairs in both."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from review.stats.estimate import NotEstimable
from review.stats.intervals import Ints

_WINNERS = 4
_AT_ONCE = 4_000_000  # random numbers in memory
# What a vote says, with old first and with new first, for each winner: it prefers new, it prefers what stands first, it
# is a tie, it cannot be read.
_SAYS = np.array(
    [
        [[-1, 1, 0, 0], [1, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        [[-1, 1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    ]
)


@dataclass(frozen=True)
class Changed:
    """How far two runs lie apart on the same pairs.

    Attributes:
        p: Chance of a distance as large or larger when each pair's votes come from one and the same judge.
        distance: Mean share of votes that would have to change, 0 (the same) to 1 (all of them).
        cells: Pairs and orders that have votes in both runs.
        one_way: Each cell has one vote a run, so that only votes that moved one way count as evidence.
    """

    p: float
    distance: float
    cells: int
    one_way: bool = False


def votes_changed(
    reference: Ints, current: Ints, rng: np.random.Generator, permutations: int = 4999
) -> Changed | NotEstimable:
    """Exact up to simulation: votes on one pair in one order are exchanged between the runs, all pairs at once.

    A pair on which the judge wavers wavers in the exchanged runs too, so what a judge at a temperature changes from run
    to run by itself is no evidence.

    With one vote a run on every pair and order (judges.votes 1 or 2) an exchange changes no distance, and that test is
    blind. Then the direction tells: the two votes of a cell come in either order equally often while the judge is the
    same, so moves towards new, towards what stands first, to ties or to what cannot be read balance those away. The
    statistic is the largest of these four, |sum| / sqrt(sum of squares), against random signs. It takes `fewest_moves`
    votes that moved one way; a judge that moves as many votes one way as the other is not seen.

    Args:
        reference: Votes, shape (pairs, 2 orders, 4 winners: old, new, tie, unparsable).
        current: The same pairs in the other run.
        rng: The source of the exchanges.
        permutations: How many; the smallest p value is 1 / (permutations + 1).

    Source: Fisher 1935; Phipson & Smyth 2010 on counting what was seen among the permutations.
    """
    if reference.shape != current.shape or reference.shape[1:] != (2, _WINNERS):
        raise ValueError(f"votes have shape (pairs, 2, {_WINNERS}), got {reference.shape} and {current.shape}")
    before, after = reference.reshape(-1, _WINNERS), current.reshape(-1, _WINNERS)
    both = (before.sum(axis=1) > 0) & (after.sum(axis=1) > 0)
    if not both.any():
        return NotEstimable("no anchor pair has votes in both runs")
    order = np.arange(len(both))[both] % 2
    before, after = before[both], after[both]
    if before.sum(axis=1).max() == after.sum(axis=1).max() == 1:
        p = _one_way(before.argmax(axis=1), after.argmax(axis=1), order, rng, permutations)
        return Changed(p, float((before != after).any(axis=1).mean()), len(before), one_way=True)
    seen = _distances(before, after).sum()
    simulated = np.zeros(permutations)
    sizes = np.stack([before.sum(axis=1), after.sum(axis=1)], axis=1)
    for size in np.unique(sizes, axis=0):
        alike = (sizes == size).all(axis=1)
        simulated += _exchanged(before[alike] + after[alike], int(size[0]), int(size[1]), rng, permutations)
    p = (1 + int((simulated >= seen - 1e-9).sum())) / (permutations + 1)
    return Changed(p, float(seen / len(before)), len(before))


def fewest_moves(alpha: float) -> int:
    """How many votes have to move, all one way, until single votes (see votes_changed) give a p value of `alpha`.

    All signs equal, up or down, in either of two statistics: the side preferred, and the place.
    """
    return math.ceil(math.log2(4 / alpha))


def _one_way(before: Ints, after: Ints, order: Ints, rng: np.random.Generator, permutations: int) -> float:
    """The p value of moves one way; winners of one vote a cell, and which side stood first (0 old, 1 new)."""
    moves = _SAYS[order, :, after] - _SAYS[order, :, before]
    moves = moves[moves.any(axis=1)].astype(np.float64)
    scale = np.sqrt((moves**2).sum(axis=0))
    moves = moves[:, scale > 0] / scale[scale > 0]
    if not len(moves):
        return 1.0
    seen = float(np.abs(moves.sum(axis=0)).max())
    signs = rng.integers(0, 2, size=(permutations, len(moves))) * 2.0 - 1.0
    simulated = np.abs(signs @ moves).max(axis=1)
    return (1 + int((simulated >= seen - 1e-9).sum())) / (permutations + 1)


def _distances(before: Ints, after: Ints) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Total variation between two shares of votes, shape (..., 4) to (...)."""
    shares = before / before.sum(axis=-1, keepdims=True) - after / after.sum(axis=-1, keepdims=True)
    return np.abs(shares).sum(axis=-1) / 2


def _exchanged(
    pooled: Ints, first: int, second: int, rng: np.random.Generator, permutations: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The summed distance of cells of one size, for each permutation.

    Args:
        pooled: Votes of both runs, shape (cells, 4), each row first + second votes.
        first: Votes that go to the reference.
        second: Votes that go to the current run.
        rng: The source of the exchanges.
        permutations: How many.
    """
    cells, size = len(pooled), first + second
    votes = np.stack([np.repeat(np.arange(_WINNERS), row) for row in pooled])
    sums: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []
    at_once = max(1, _AT_ONCE // (cells * size))
    for start in range(0, permutations, at_once):
        count = min(at_once, permutations - start)
        order = rng.random((count, cells, size)).argsort(axis=-1)
        mixed = np.take_along_axis(np.broadcast_to(votes, (count, cells, size)), order, axis=-1)
        one_hot = mixed[..., None] == np.arange(_WINNERS)
        before = one_hot[:, :, :first].sum(axis=2).astype(np.int64)
        after = one_hot[:, :, first:].sum(axis=2).astype(np.int64)
        sums.append(_distances(before, after).sum(axis=1))
    return np.concatenate(sums)
