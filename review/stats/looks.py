"""Alpha spending: which alpha a look at a growing round may use, so that all looks together keep the contract's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from review.stats.intervals import Floats

LOOKS = 3
_NORMAL = NormalDist()
_SPACING = 0.1
_REACH = 8.0
_LEAST_GROWTH = 0.005
_NEGLIGIBLE = 1e-13


def spending(alpha: float, fraction: float) -> float:
    """The one-sided alpha that may be spent up to an information fraction: 2 - 2 Phi(z_(1 - alpha/2) / sqrt(t)).

    Almost nothing early, all of it at 1. Source: Lan & DeMets 1983, Biometrika 70:659, O'Brien-Fleming type.
    """
    if fraction <= 0:
        return 0.0
    return math.erfc(_NORMAL.inv_cdf(1 - alpha / 2) / math.sqrt(2 * min(1.0, fraction)))


def spent(alpha: float, looks: int, taken: Sequence[float]) -> float:
    """The nominal one-sided alpha to use at this look, the last in `taken`.

    A verdict at this look uses a two-sided level of 1 - 2 x this alpha, for "parity" and for "regression" alike. The
    last planned look spends all that is left, also when the round ended short of its plan.

    Args:
        alpha: The contract's one-sided alpha for all looks together, such as .05.
        looks: How many looks the contract plans, such as 3.
        taken: Information fractions (labelled pairs / planned pairs) of the looks taken so far and of this one,
            rising by at least .005. Above 1 is an overshoot, and everything is spent there.

    Raises:
        ValueError: If more looks are taken than planned, or after all alpha is spent; then no further verdict is
            possible from this round: draw a new round. Also if the fractions do not rise or alpha is no alpha.

    Source: boundaries by the recursive integration of Armitage, McPherson & Rowe 1969 (JRSS A 132:235) for the
    fractions actually taken; one boundary only, so a stop for "regression" makes "parity" rarer, never more frequent.
    """
    _check(alpha, looks, taken)
    return _nominal(alpha, looks, taken)[-1]


def _check(alpha: float, looks: int, taken: Sequence[float]) -> None:
    if not 0 < alpha < 0.5:
        raise ValueError(f"a one-sided alpha lies between 0 and .5, got {alpha}")
    if looks < 1:
        raise ValueError(f"a contract plans at least one look, got {looks}")
    if not taken:
        raise ValueError("no look was taken; give the information fraction of this look")
    if len(taken) > looks:
        raise ValueError(
            f"the contract plans {looks} looks and this would be look {len(taken)}; its alpha is spent. "
            "Draw a new round for a new verdict"
        )
    if any(fraction >= 1 for fraction in taken[:-1]):
        raise ValueError("all alpha was spent at the look at the full plan; draw a new round for a new verdict")
    if taken[0] <= 0 or any(later <= earlier for earlier, later in pairwise(taken)):
        raise ValueError(f"information fractions rise and are above 0, got {list(taken)}")
    if any(later - earlier < _LEAST_GROWTH for earlier, later in pairwise([0.0, *taken])):
        raise ValueError(
            f"information fractions {list(taken)} grow by less than {_LEAST_GROWTH:.1%} of the plan; "
            "label more pairs before looking again"
        )


def _nominal(alpha: float, looks: int, taken: Sequence[float]) -> list[float]:
    """The nominal alpha of each look taken.

    The sum process S(t) has variance t. `density` holds where S stands on `grid` among the rounds without a verdict
    yet; a look moves it on by a normal step and cuts it off at the boundary, which is set so that what is cut off is
    the alpha for this look.
    """
    nominal: list[float] = []
    gone, before = 0.0, 0.0
    spacing = _SPACING * math.sqrt(min(later - earlier for earlier, later in pairwise([0.0, *taken])))
    grid, density = np.zeros(1), np.ones(1)
    for number, at in enumerate(taken, start=1):
        due = alpha if number == looks else spending(alpha, at)
        share, gone = due - gone, due
        step = math.sqrt(at - before)
        boundary = _boundary(grid, density, step, share, math.sqrt(at))
        # A share too small to integrate is its own nominal alpha: the chance to cross can only be smaller.
        nominal.append(share if math.isinf(boundary) else 1 - _NORMAL.cdf(boundary / math.sqrt(at)))
        grid, density = _moved(grid, density, step, boundary, spacing, math.sqrt(at))
        before = at
    return nominal


def _boundary(grid: Floats, density: Floats, step: float, share: float, scale: float) -> float:
    """The value of S that a share of all rounds passes at this look and not before; infinite for a negligible share."""
    from scipy.special import ndtr  # imported here: scipy takes longer to load than a page to draw

    if share < _NEGLIGIBLE:
        return math.inf
    low, high = -_REACH * scale, _REACH * scale
    for _ in range(60):
        middle = (low + high) / 2
        if float(density @ ndtr((grid - middle) / step)) > share:
            low = middle
        else:
            high = middle
    return high


def _moved(
    grid: Floats, density: Floats, step: float, boundary: float, spacing: float, scale: float
) -> tuple[Floats, Floats]:
    """The weighted grid below the boundary after a look, by Simpson's rule."""
    bottom, top = -_REACH * scale, min(boundary, _REACH * scale)
    intervals = 2 * math.ceil((top - bottom) / (2 * spacing))
    points = np.linspace(bottom, top, intervals + 1)
    simpson = np.full(intervals + 1, 2.0)
    simpson[1::2] = 4.0
    simpson[[0, -1]] = 1.0
    heights = np.exp(-0.5 * ((points[:, None] - grid[None, :]) / step) ** 2) @ density
    return points, simpson * (points[1] - points[0]) / 3 * heights / (step * math.sqrt(2 * math.pi))
