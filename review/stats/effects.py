"""How much a measured trait changed from old to new, and whether the change goes with what people said.

Every interval is clustered by prompt and analytic, so that a page needs no resampling. tests/unit/test_stats_effects.py
simulates the coverage at 50 to 100 pairs, three a prompt, with the skewed differences that word counts have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import (
    Bools,
    Floats,
    Ints,
    cluster_se,
    effective_size,
    t_quantile,
    wilson_limits,
)
from review.stats.multiple import holm

# Below this many differing pairs (or labels of either kind) the simulated intervals miss too often to be shown.
FEWEST = 5
FEWEST_STANDARDISED = 25


def mean_difference(differences: Floats, clusters: Ints, level: float = 0.95) -> Result:
    """The mean of paired differences new - old, with the cluster-robust t interval on G - 1 degrees of freedom.

    Args:
        differences: Shape (n,), one pair each, in the trait's own unit.
        clusters: The prompt of each pair as a code from 0, shape (n,).
        level: Confidence level.

    Source: Liang & Zeger 1986 with the factor G/(G-1); the t quantile as in Cameron & Miller 2015, J Hum Resour 50:317.
    """
    if (reason := _too_little(differences, clusters)) is not None:
        return reason
    mean = float(differences.mean())
    return _t_interval(mean, differences - mean, clusters, level, "cluster-robust t, by prompt")


def standardised_difference(differences: Floats, clusters: Ints, level: float = 0.95) -> Result:
    """d_z with Hedges' correction: the mean paired difference in standard deviations of the differences.

    0 is no change, -1 that the new side lies one standard deviation of the pairs' differences lower. The interval is
    cluster-robust from the influence values of d_z. It covers where differences are roughly symmetric; on raw word
    counts it covers only 88 %, so lengths belong on the log scale and rates on the root scale first.

    Args:
        differences: Shape (n,), on a scale where differences are roughly symmetric.
        clusters: The prompt of each pair as a code from 0, shape (n,).
        level: Confidence level.

    Source: Lakens 2013, Front Psychol 4:863, eq. 6 (d_z); Hedges 1981, J Educ Stat 6:107 (J = 1 - 3/(4 df - 1)).
    """
    if (reason := _too_little(differences, clusters, FEWEST_STANDARDISED)) is not None:
        return reason
    n, spread = len(differences), float(differences.std(ddof=1))
    if spread <= 1e-12 * float(np.abs(differences).max()):
        return NotEstimable("every pair differs by the same amount")
    correction = 1 - 3 / (4 * (n - 1) - 1)
    scaled = (differences - differences.mean()) / spread
    plain = float(differences.mean()) / spread
    influence = scaled - plain / 2 * (scaled**2 - (n - 1) / n)
    return _t_interval(correction * plain, correction * influence, clusters, level, "d_z, cluster-robust t, by prompt")


def median_difference(differences: Floats, clusters: Ints, level: float = 0.95) -> Result:
    """The median paired difference with Woodruff's interval, which no outlier moves.

    The share of differences below the median gets Wilson's interval at its effective sample size; the differences at
    those two shares are the limits. Conservative where many differences are equal.

    Args:
        differences: Shape (n,), one pair each, in the trait's own unit.
        clusters: The prompt of each pair as a code from 0, shape (n,).
        level: Confidence level.

    Source: Woodruff 1952, J Am Stat Assoc 47:635; Korn & Graubard 1998, Surv Methodol 24:193, for the effective size.
    """
    if (reason := _too_few(differences, clusters)) is not None:
        return reason
    ordered, n = np.sort(differences), len(differences)
    median = float(np.median(ordered))
    # Values that equal the median stand half below it, so that many equal ones do not feign a small spread.
    below = (differences < median) + 0.5 * (differences == median)
    groups = int(clusters.max()) + 1
    robust = cluster_se(below - below.mean(), clusters) * math.sqrt(groups / (groups - 1))
    # Never more than n: pairs of one prompt that happen to balance are no better than independent ones.
    size = min(0.25 / robust**2, float(n)) if robust > 0 else float(groups)
    low, high = wilson_limits(0.5, size, t_quantile(level, groups - 1))
    # One order statistic outwards on each side: the steps between them must not cost coverage.
    first, last = max(math.floor(low * n) - 1, 0), min(math.ceil(high * n), n - 1)
    return Estimate(
        median, float(ordered[first]), float(ordered[last]), level, n, groups, "Woodruff at the effective sample size"
    )


@dataclass(frozen=True)
class Association:
    """Whether a trait's change differs between pairs where people preferred old and those where they preferred new.

    Attributes:
        value: Rank-biserial correlation in [-1, 1]. Above 0: the trait grew more (or fell less) where old was
            preferred; the share of (old, new) comparisons in which it did is (value + 1) / 2.
        old: Pairs where old was preferred.
        new: Pairs where new was preferred.
        p: Two-sided, from the same interval: below 1 - level where it leaves 0 out.
        adjusted: Holm's p over the traits that were tested together; p itself until then.
    """

    value: Estimate
    old: int
    new: int
    p: float
    adjusted: float


def association(
    differences: Floats, prefers_old: Bools, clusters: Ints, level: float = 0.95
) -> Association | NotEstimable:
    """Compare a trait's differences between pairs that people gave to old and to new.

    The probability that a difference from an "old" pair exceeds one from a "new" pair (ties half), with Wilson's
    interval at the effective sample size from the clustered placement values, rescaled to the rank-biserial.
    Conservative beyond about ±.9.

    Args:
        differences: Shape (n,), one pair each.
        prefers_old: True where people preferred old, False where new, shape (n,); pairs without a side are left out.
        clusters: The prompt of each pair as a code from 0, shape (n,).
        level: Confidence level.

    Source: Obuchowski 1997, Biometrics 53:567 (clustered AUC); Cureton 1956 (rank-biserial = 2 AUC - 1).
    """
    old, new = int(prefers_old.sum()), int((~prefers_old).sum())
    if min(old, new) < FEWEST:
        return NotEstimable(
            f"people preferred old on {old} pairs and new on {new}, and at least {FEWEST} are needed of each"
        )
    if float(np.ptp(differences)) == 0:
        return NotEstimable("the trait changed equally in all of these pairs")
    of_old, of_new = differences[prefers_old], differences[~prefers_old]
    above, below = _placements(of_old, of_new), 1 - _placements(of_new, of_old)
    area = float(above.mean())
    spread = _two_sample_variance(above - area, below - area, clusters[prefers_old], clusters[~prefers_old])
    if isinstance(spread, NotEstimable):
        return spread
    variance, degrees = spread
    # Apart without an exception: no spread is seen, and each prompt of the rarer answer counts once.
    size = effective_size(area, math.sqrt(variance), 2 * min(old, new), min(old, new, degrees + 1))
    low, high = wilson_limits(area, size, t_quantile(level, degrees))
    estimate = Estimate(
        2 * area - 1,
        2 * low - 1,
        2 * high - 1,
        level,
        len(differences),
        int(clusters.max()) + 1,
        "rank-biserial, Wilson at the effective sample size, by prompt",
    )
    from scipy.special import stdtr  # imported here: scipy takes longer to load than a page to draw

    p = min(1.0, 2 * float(stdtr(degrees, -2 * abs(area - 0.5) * math.sqrt(size))))
    return Association(estimate, old, new, p, p)


def holm_adjusted(found: Sequence[Association | NotEstimable]) -> list[Association | NotEstimable]:
    """The same associations, each p adjusted for all that could be tested."""
    adjusted = iter(holm([each.p for each in found if isinstance(each, Association)]))
    return [replace(each, adjusted=next(adjusted)) if isinstance(each, Association) else each for each in found]


def _placements(values: Floats, others: Floats) -> Floats:
    """For each value the share of the others that it exceeds, equal ones half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(others))


def _two_sample_variance(one: Floats, two: Floats, of_one: Ints, of_two: Ints) -> tuple[float, int] | NotEstimable:
    """Variance of the sum of two means of residuals that share clusters, and Welch's degrees of freedom for it."""
    groups = int(max(of_one.max(), of_two.max())) + 1
    first = np.bincount(of_one, weights=one, minlength=groups) / len(one)
    second = np.bincount(of_two, weights=two, minlength=groups) / len(two)
    counts = [len(np.unique(of_one)), len(np.unique(of_two))]
    if min(counts) < 2:
        return NotEstimable("one of the two answers comes from a single prompt, and an interval needs at least two")
    parts = [float(sums @ sums) * count / (count - 1) for sums, count in zip((first, second), counts, strict=True)]
    variance = max(0.0, sum(parts) + 2 * float(first @ second))
    total = sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    degrees = int(sum(parts) ** 2 / total) if total > 0 else min(counts) - 1
    return variance, max(degrees, 1)


def _t_interval(value: float, influence: Floats, clusters: Ints, level: float, method: str) -> Estimate:
    groups = int(clusters.max()) + 1
    robust = cluster_se(influence, clusters) * math.sqrt(groups / (groups - 1))
    half = t_quantile(level, groups - 1) * robust
    return Estimate(value, value - half, value + half, level, len(influence), groups, method)


def _too_few(differences: Floats, clusters: Ints) -> NotEstimable | None:
    """Why no interval can be given at all, if so."""
    if len(differences) == 0:
        return NotEstimable("nothing was observed")
    if not np.isfinite(differences).all():
        raise ValueError("every difference must be finite")
    if len(np.unique(clusters)) < 2:
        return NotEstimable("there is only one prompt, and an interval needs at least two")
    return None


def _too_little(differences: Floats, clusters: Ints, fewest: int = FEWEST) -> NotEstimable | None:
    """Why a mean's interval cannot be given: too few pairs, or too few that differ."""
    if (reason := _too_few(differences, clusters)) is not None:
        return reason
    differing = int(np.count_nonzero(differences))
    if differing == 0:
        return NotEstimable("no pair differs")
    if differing < fewest:
        return NotEstimable(f"only {differing} of {len(differences)} pairs differ, {fewest} are needed")
    return None
