"""What a round of n pairs can show, before anybody has labelled one."""

from __future__ import annotations

import math
from statistics import NormalDist

from review.stats.estimate import NotEstimable
from review.stats.intervals import normal_quantile, wilson_limits


def half_width(n: int, p: float = 0.5, level: float = 0.95, design_effect: float = 1.0) -> float:
    """Half the width of Wilson's interval for a rate near p from n labels.

    Args:
        n: Labels, at least 1.
        p: The rate expected; .5 is the widest.
        level: Confidence level.
        design_effect: Variance inflation where prompts repeat; n counts as n / design_effect.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    low, high = wilson_limits(p, n / design_effect, normal_quantile(level))
    return (high - low) / 2


def labels_needed_wilson(p: float, half: float, level: float = 0.95, design_effect: float = 1.0) -> int:
    """The smallest n whose Wilson half-width at rate p is at most `half`.

    Source: golden vectors "labels_needed_wilson"; multiply by the design effect where prompts repeat.
    """
    if not 0 < half < 0.5:
        raise ValueError(f"a half-width lies between 0 and .5, got {half}")
    low, high = 1, 2
    while half_width(high, p, level) > half:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if half_width(middle, p, level) <= half:
            high = middle
        else:
            low = middle + 1
    return math.ceil(low * design_effect)


def shift_half_width(n: int, discordant: float = 0.1, level: float = 0.95, frame_share: float = 1.0) -> float:
    """Half the width of the interval of a paired difference old against new from n pairs.

    Args:
        n: Labelled pairs.
        discordant: Share of labelled pairs in which exactly one side is right.
        level: Confidence level.
        frame_share: Share of all traffic that the frame covers; the rest is identical and adds zero.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    return frame_share * normal_quantile(level) * math.sqrt(discordant / n)


def smallest_visible_shift(
    n: int, discordant: float = 0.1, level: float = 0.95, power: float = 0.8, frame_share: float = 1.0
) -> float | NotEstimable:
    """The smallest true paired difference old against new that n pairs find with the given power.

    A two-sided McNemar-type test: (z_level + z_power) * sqrt(discordant / n), as a share of all traffic. A shift
    cannot be larger than the share of discordant pairs, so with few pairs none is visible.

    Source: Connor 1987, Biometrics 43:207, with the variance under no shift (slightly conservative).
    """
    shift = (normal_quantile(level) + NormalDist().inv_cdf(power)) * math.sqrt(discordant / max(n, 1))
    if n < 1 or shift > discordant:
        return NotEstimable(f"{n} pairs are too few to show a shift when the outcome differs in {discordant:.0%}")
    return frame_share * shift
