"""How far two runs of the same system come out apart by chance alone, from asking it again."""

from __future__ import annotations

import math

from review.stats.estimate import NotEstimable
from review.stats.intervals import Floats, Ints, normal_quantile

FEWEST = 10


def noise_floor(sums: Floats, counts: Ints, level: float = 0.95) -> float | NotEstimable:
    """The distance that the rates of two runs over these examples keep below, with the given probability.

    z sqrt(sum_c s_c^2) / n, s_c the sum of (again - first) over the examples of a prompt: nothing is taken off for a
    mean, because between two runs of the same system the true difference is 0.

    Args:
        sums: Of each prompt the sum of (again - first), shape (prompts,).
        counts: How many differences are in each sum, shape (prompts,).
        level: Such as .95.
    """
    if len(sums) < FEWEST:
        return NotEstimable(f"only {len(sums)} prompts were asked again; {FEWEST} are needed")
    return normal_quantile(level) * math.sqrt(float((sums**2).sum())) / float(counts.sum())
