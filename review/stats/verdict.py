"""Three-valued verdicts from intervals, and the p value of a claim of harm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from review.stats.estimate import Estimate, NotEstimable, Result

Verdict = Literal["parity", "regression", "inconclusive"]
_SMALLEST_P = 1e-6
# Holm multiplies a p value by the number of claims; at the tiny alpha of an early look it must still fit below.
_MOST_CLAIMS = 1000
_STEPS = 10


def joined(verdicts: Iterable[Verdict]) -> Verdict:
    """Any regression is a regression; else any inconclusive is inconclusive; nothing at all is inconclusive.

    That all parts hold is an intersection-union claim: each part at alpha keeps the whole at alpha.
    """
    found = set(verdicts)
    if "regression" in found:
        return "regression"
    return "parity" if found == {"parity"} else "inconclusive"


def no_worse(difference: Result, tolerance: float, *, harmed: bool) -> Verdict:
    """Whether new minus old stays above -tolerance.

    Args:
        difference: With an interval at level 1 - 2 alpha.
        tolerance: Above 0.
        harmed: Whether the claim that it lies below -tolerance stands, after adjustment for several such claims.
    """
    if harmed:
        return "regression"
    if isinstance(difference, NotEstimable):
        return "inconclusive"
    return "parity" if difference.low > -tolerance else "inconclusive"


def harm_p(at: Callable[[float], Result], harmful: Callable[[Estimate], bool], alpha: float) -> float:
    """The smallest one-sided alpha at which an interval lies wholly on the harmful side; 1 where it does not at alpha.

    Found by bisection on the logarithm, to within 2 %; not below 1e-6 or, where that is less, a thousandth of alpha.

    Args:
        at: The estimate at a two-sided level.
        harmful: Whether an interval lies wholly beyond the margin.
        alpha: The one-sided alpha of the claim.
    """

    def holds(level: float) -> bool:
        found = at(1 - 2 * level)
        return isinstance(found, Estimate) and harmful(found)

    if not holds(alpha):
        return 1.0
    floor = min(_SMALLEST_P, alpha / _MOST_CLAIMS)
    if holds(floor):
        return floor
    low, high = floor, alpha
    for _ in range(_STEPS):
        middle = (low * high) ** 0.5
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
