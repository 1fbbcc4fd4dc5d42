"""Direction of error: how many pairs moved between none, cautious and confident from old to new, and the balance D."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from review.stats.classification import ChiSquare, bowker, stuart_maxwell
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import Floats, Ints, compact
from review.stats.paired import McNemar, mcnemar
from review.stats.stratified import stratified_difference

ERRORS = ("none", "cautious", "confident", "other")
TOWARDS = np.array([0.0, -1.0, 1.0, 0.0])

Direction = Literal["preserved", "towards_confident", "towards_cautious", "inconclusive"]


@dataclass(frozen=True)
class DirectionShift:
    """Where errors went from old to new.

    Attributes:
        table: Share of all traffic that moved from a row (old) to a column (new), classes as in ERRORS, shape (4, 4).
            It adds up to 1 - known_zero.
        known_zero: Share of all traffic that cannot have moved and has no label, such as identical outputs.
        moved: How many labelled rows lie off the diagonal.
        balance: D = (confident - cautious on new) - (confident - cautious on old), as shares of all traffic: from -2
            (all moved from confident to cautious) over 0 to 2. NotEstimable where no interval can be given.
    """

    table: Floats
    known_zero: float
    moved: int
    balance: Result

    def to_json(self) -> dict[str, object]:
        """The shift as plain JSON values."""
        return {
            "errors": list(ERRORS),
            "table": self.table.tolist(),
            "known_zero": self.known_zero,
            "moved": self.moved,
            "balance": self.balance.to_json(),
        }


def direction_shift(
    old: Ints,
    new: Ints,
    clusters: Ints,
    *,
    strata: Ints | None = None,
    shares: Floats | None = None,
    weights: Floats | None = None,
    known_zero: float = 0.0,
    level: float = 0.95,
    exclusions: Mapping[str, int] | None = None,
) -> DirectionShift | NotEstimable:
    """The table and the balance D of labelled pairs, weighted to all traffic.

    Args:
        old: The error of old in each row as a position in ERRORS, shape (n,). Rows somebody could not tell are left
            out before, and counted in `exclusions`.
        new: The same of new, shape (n,).
        clusters: The prompt of each row as a code from 0, shape (n,).
        strata: The stratum of each row as a code from 0, shape (n,); without it there is one.
        shares: Share of all traffic in each stratum, shape (strata,). Together with known_zero they add up to 1.
        weights: Design weight of each row within its stratum, shape (n,), such as 1 / (pi x labels on the pair).
        known_zero: Share of all traffic that cannot differ.
        level: Two-sided confidence level; for a verdict at a one-sided alpha pass 1 - 2 alpha.
        exclusions: What was left out and how often, by reason.

    Raises:
        ValueError: If a code, a shape or a share does not fit.

    Source: review/docs/statistics.md, "Direction of error".
    """
    if len(old) == 0:
        return NotEstimable("no pair has an error direction for both old and new")
    if len(old) != len(new):
        raise ValueError(f"{len(old)} errors of old beside {len(new)} of new")
    if min(old.min(), new.min()) < 0 or max(old.max(), new.max()) >= len(ERRORS):
        raise ValueError(f"an error is a position in {ERRORS}")
    balance = stratified_difference(
        TOWARDS[new] - TOWARDS[old],
        clusters,
        strata=strata,
        shares=shares,
        weights=weights,
        known_zero=known_zero,
        largest_step=2,
        level=level,
        exclusions=exclusions,
    )
    return DirectionShift(
        _table(old, new, strata, shares, weights, known_zero), known_zero, int((old != new).sum()), balance
    )


def _table(
    old: Ints, new: Ints, strata: Ints | None, shares: Floats | None, weights: Floats | None, known_zero: float
) -> Floats:
    """Shares of all traffic by old (rows) and new (columns); strata without a row stand for as much as the others."""
    size = len(ERRORS)
    codes = np.zeros(len(old), dtype=np.int64) if strata is None else strata
    weight = np.ones(len(old)) if weights is None else weights
    portions = np.array([1.0 - known_zero]) if shares is None else shares
    totals = np.bincount(codes, weight, len(portions))
    of_traffic = portions[codes] * weight / totals[codes]
    table = np.bincount(old * size + new, of_traffic, size * size).reshape(size, size)
    return (table * ((1 - known_zero) / table.sum())).astype(np.float64)


def direction_verdict(balance: Result, margin: float) -> Direction:
    """What the interval of D says against the contract's margin.

    "preserved" where the whole interval lies inside (-margin, margin); "towards_confident" where all of it lies above
    the margin, "towards_cautious" where all of it lies below -margin; else, and without an interval, "inconclusive".
    So a shift that is beyond chance but not yet beyond the margin is inconclusive, and asks for more labels. With an
    interval at level 1 - 2 alpha each of the three is false with a probability of about alpha.

    Raises:
        ValueError: If the margin is not above 0; at 0 nothing could ever be preserved.
    """
    if not 0 < margin <= 2:
        raise ValueError(f"a direction margin lies in (0, 2], got {margin}")
    if isinstance(balance, NotEstimable):
        return "inconclusive"
    if balance.low > margin:
        return "towards_confident"
    if balance.high < -margin:
        return "towards_cautious"
    return "preserved" if -margin < balance.low and balance.high < margin else "inconclusive"


@dataclass(frozen=True)
class MoveTests:
    """Tests on the unweighted counts that accompany D; none of them decides.

    Attributes:
        symmetry: Bowker's: is each move as frequent as the one back?
        margins: Stuart-Maxwell's: does new make each kind of error as often as old?
        correct: McNemar's on none against any error: is new right as often as old? Blind to direction.
        repeated: Whether prompts repeat. The tests take rows for independent, so their p values are then too small.
    """

    symmetry: ChiSquare | NotEstimable
    margins: ChiSquare | NotEstimable
    correct: McNemar | NotEstimable
    repeated: bool


def move_tests(old: Ints, new: Ints, clusters: Ints, weights: Floats) -> MoveTests | NotEstimable:
    """Bowker, Stuart-Maxwell and McNemar, where every row stands for as much traffic as any other.

    Args:
        old: The error of old in each row as a position in ERRORS, shape (n,).
        new: The same of new, shape (n,).
        clusters: The prompt of each row as a code from 0, shape (n,).
        weights: How much traffic each row stands for, shape (n,).
    """
    if len(old) == 0:
        return NotEstimable("no pair has an error direction for both old and new")
    least, most = float(weights.min()), float(weights.max())
    if most - least > 1e-6 * most:
        return NotEstimable(
            "the draw was not self-weighting: one pair stands for up to "
            f"{most / least:.3g} times as much traffic as another, so "
            "plain counts describe the sample and not the traffic"
        )
    size = len(ERRORS)
    table = np.bincount(old * size + new, minlength=size * size).reshape(size, size)
    right_old, right_new = old == 0, new == 0
    return MoveTests(
        bowker(table),
        stuart_maxwell(table),
        mcnemar(
            int((right_old & right_new).sum()),
            int((right_old & ~right_new).sum()),
            int((~right_old & right_new).sum()),
            int((~right_old & ~right_new).sum()),
        ),
        int(compact(clusters).max()) + 1 < len(old),
    )
