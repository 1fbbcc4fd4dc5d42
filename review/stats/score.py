"""Score tests and limits for the mean of a few whole steps, such as new minus old; steps -1, 0, 1 are Tango's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

from review.stats.intervals import Floats, Ints


def score_z(counts: Floats, steps: Ints | Floats, mean: float) -> float | None:
    """How many standard errors the mean seen lies above a supposed one; None where the supposed mean leaves no spread.

    Args:
        counts: How often each step was seen, shape (steps,).
        steps: The possible steps, rising, shape (steps,).
        mean: The supposed mean, between the first and the last step.
    """
    number = float(counts.sum())
    seen = [(float(step), float(count)) for step, count in zip(steps, counts, strict=True) if count > 0]
    variance = _restricted_variance(seen, (float(steps[0]), float(steps[-1])), number, mean)
    if variance <= 0:
        return None
    return (float(counts @ steps) / number - mean) * math.sqrt(number / variance)


def score_limits(counts: Floats, steps: Ints | Floats, quantile: float) -> tuple[float, float]:
    """Limits between which the score test at this quantile does not reject a supposed mean.

    Args:
        counts: How often each step was seen, shape (steps,); effective counts need not be whole.
        steps: The possible steps, rising, shape (steps,); one that was not seen can still happen.
        quantile: Such as 1.96.

    Source: Tango 1998, Stat Med 17:891, whose limits these are for steps -1, 0 and 1.
    """
    low = -_upper_limit(counts[::-1], -steps[::-1], quantile)
    return low, _upper_limit(counts, steps, quantile)


def _upper_limit(counts: Floats, steps: Ints | Floats, quantile: float) -> float:
    """The largest mean that the score test does not reject."""
    number, top = float(counts.sum()), float(steps[-1])
    mean = float(counts @ steps) / number
    seen = [(float(step), float(count)) for step, count in zip(steps, counts, strict=True) if count > 0]
    ends = (float(steps[0]), top)

    def excess(mean_then: float) -> float:
        variance = _restricted_variance(seen, ends, number, mean_then)
        return number * (mean_then - mean) ** 2 - quantile * quantile * variance

    last = top - 1e-9
    if mean + 1e-9 >= last or excess(last) <= 0:
        return top
    return _root(excess, mean + 1e-9, last)


def _restricted_variance(
    seen: list[tuple[float, float]], ends: tuple[float, float], number: float, mean: float
) -> float:
    """The variance of a step under the most likely shares whose mean is the given one.

    The shares are count / (number (1 + t (step - mean))), Lagrange's solution, with t at its bound and the rest at
    the end of the scale where that end was not seen.
    """
    bottom, top = ends
    low, high = -1 / (top - mean), 1 / (mean - bottom)

    def pull(t: float) -> float:
        # Falls through 0 at the solution; the factors take away its poles at both bounds.
        return (t - low) * (high - t) * sum(count * (step - mean) / (1 + t * (step - mean)) for step, count in seen)

    margin = 1e-12 * (high - low)
    if pull(low + margin) <= 0:
        t, end = low, top
    elif pull(high - margin) >= 0:
        t, end = high, bottom
    else:
        t, end = _root(pull, low + margin, high - margin), mean
    shares = [(step, count / (number * (1 + t * (step - mean)))) for step, count in seen if step != end]
    rest = max(0.0, 1 - sum(share for _, share in shares))
    return sum(share * (step - mean) ** 2 for step, share in shares) + rest * (end - mean) ** 2


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function between two values of opposite sign is 0."""
    # Imported here: scipy takes longer to load than a page to draw.
    from scipy.optimize import brentq  # pyright: ignore[reportUnknownVariableType]  # scipy types no callback

    solve = cast("Callable[..., float]", brentq)
    return float(solve(function, low, high, xtol=1e-10))
