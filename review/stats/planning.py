"""How many labels a claim still needs, and in which strata the next ones tell most."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from statistics import NormalDist

from review.stats.estimate import Estimate, NotEstimable
from review.stats.intervals import normal_quantile

_NORMAL = NormalDist()
MOST = 10_000_000


def spread(estimate: Estimate) -> float:
    """The variance that one labelled row adds to an estimate: n x (half-width / z)^2.

    It carries whatever the interval carries: discordance, strata, weights, the design effect of prompts, and the
    share of traffic that can differ at all.
    """
    half = (estimate.high - estimate.low) / 2
    return estimate.n * (half / normal_quantile(estimate.level)) ** 2


def discordance_spread(discordant: float, frame_share: float = 1.0, design_effect: float = 1.0) -> float:
    """The same from first principles: W^2 x discordant x deff.

    Args:
        discordant: Share of labelled pairs of which exactly one side is right.
        frame_share: Share W of traffic that can differ; the rest is identical and adds zero.
        design_effect: Variance inflation where prompts repeat.
    """
    return frame_share**2 * discordant * design_effect


def labels_needed(
    spread: float,
    margin: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    difference: float = 0.0,
    correlation: float = 0.0,
) -> int | NotEstimable:
    """Labelled rows with which the lower limit of new minus old lies above -margin with the given power.

    n = (z_alpha + z_power)^2 x spread x (1 - correlation^2) / (margin + difference)^2. With 10 % discordant pairs of
    all traffic and a margin of .015 that is 6.18 x .10 / .000225 = 2,750. Where only 10 % of traffic can differ, and
    all of the discordance lies there, the spread is .1^2 x 1 and not .10: 275.

    Args:
        spread: Variance that one row adds, see spread() and discordance_spread().
        margin: Above 0, in the units of the difference.
        alpha: One-sided.
        power: Probability of success if the true difference is `difference`.
        difference: The true new minus old that is supposed.
        correlation: Of a judge's verdicts with labels, where verdicts cover all pairs; 1 - correlation^2 of the
            variance is left.

    Source: Chow, Shao & Wang 2008, ch. 3.1 (non-inferiority of a mean); review/docs/statistics.md, "Labels missing".
    """
    room = margin + difference
    if room <= 0:
        return NotEstimable(
            "the difference supposed lies beyond the margin; more labels would rather show a regression"
        )
    if not (0 < alpha < 0.5 and 0.5 <= power < 1):
        raise ValueError(f"alpha lies in (0, .5) and power in [.5, 1), got {alpha} and {power}")
    quantiles = _NORMAL.inv_cdf(1 - alpha) + _NORMAL.inv_cdf(power)
    needed = quantiles**2 * spread * (1 - min(0.999, abs(correlation)) ** 2) / room**2
    if needed > MOST:
        return NotEstimable("more labels than anybody can give; the margin is too narrow for this spread")
    return max(1, math.ceil(needed - 1e-9))


def further_labels(
    estimate: Estimate, margin: float, *, alpha: float, power: float, correlation: float = 0.0
) -> int | NotEstimable:
    """Labelled rows beyond those of an estimate, if old and new are equally good.

    Where that many are there already, because the estimate lies low by chance or in truth, the true difference is
    supposed to be the one seen.
    """
    row = spread(estimate)
    for supposed in (0.0, min(0.0, estimate.value)):
        needed = labels_needed(row, margin, alpha=alpha, power=power, difference=supposed, correlation=correlation)
        if isinstance(needed, NotEstimable) or needed > estimate.n:
            return needed if isinstance(needed, NotEstimable) else needed - estimate.n
    return NotEstimable("enough labels for this margin are there already; a few more may decide it either way")


def neyman(sizes: Sequence[int], spreads: Sequence[float], total: int, left: Sequence[int] | None = None) -> list[int]:
    """Rows a stratum, adding up to `total` where so many are left: each goes where it shrinks the variance most.

    The variance of a stratified mean is sum_h (N_h S_h)^2 / n_h; its exact optimum in whole numbers takes rows one by
    one where (N_h S_h)^2 / (n_h (n_h + 1)) is largest, two a stratum first.

    Args:
        sizes: Pairs of each stratum.
        spreads: Standard deviation of the outcome in each stratum.
        total: Rows to give.
        left: Most that each stratum can give; its size by default.

    Source: Neyman 1934; Wright 2012, Stat Probab Lett 82:1900 (exact optimal allocation).
    """
    most = [min(size, cap) for size, cap in zip(sizes, left if left is not None else sizes, strict=True)]
    given = [0] * len(most)

    def worth(at: int) -> float:
        n = given[at]
        weight = (sizes[at] * max(spreads[at], 1e-9)) ** 2
        return weight / (n * (n + 1)) if n >= 2 else weight * 1e12 * (2 - n)

    queue = [(-worth(at), at) for at in range(len(most)) if most[at] > 0]
    heapq.heapify(queue)
    for _ in range(min(total, sum(most))):
        _, at = heapq.heappop(queue)
        given[at] += 1
        if given[at] < most[at]:
            heapq.heappush(queue, (-worth(at), at))
    return given
