"""How much an estimate changed between two groups of observations, from both estimates' own intervals."""

from __future__ import annotations

import math

from review.stats.estimate import Estimate, NotEstimable, Result


def change(before: Result, after: Result) -> Result:
    """after - before with an interval made of both intervals (MOVER); the groups share no observation.

    Where the groups share prompts, what they have in common makes the true spread smaller, so the interval is then
    somewhat too wide, never too narrow.

    Source: Zou & Donner 2008, Stat Med 27:1693; for plain rates it is Newcombe's hybrid score interval.
    """
    if isinstance(before, NotEstimable):
        return before
    if isinstance(after, NotEstimable):
        return after
    if before.level != after.level:
        raise ValueError(f"both intervals need one level, got {before.level} and {after.level}")
    value = after.value - before.value
    return Estimate(
        value=value,
        low=value - math.hypot(after.value - after.low, before.high - before.value),
        high=value + math.hypot(after.high - after.value, before.value - before.low),
        level=after.level,
        n=before.n + after.n,
        clusters=before.clusters + after.clusters,
        method="both intervals combined (MOVER)",
    )
