"""Confidence intervals for rates and means, plain and clustered by prompt.

One family serves everything a page shows. The mean of n values in [0, 1] from G prompts gets

* Wilson's interval where the values are 0/1 and each prompt occurs once;
* else Wilson's interval at the effective sample size m(1-m)/se^2, se the cluster-robust standard error, with a
  t quantile on G-1 degrees of freedom;
* the plain cluster-robust normal interval once there are 100 prompts and the effective sample holds at least 30
  of the rarer outcome, where both agree and the plain one is what the literature prints.

tests/unit/test_stats_coverage.py simulates the coverage at 50 to 100 pairs.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from review.stats.estimate import Estimate, NotEstimable, Result

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LARGE_CLUSTERS = 100
LARGE_RARER = 30.0


def normal_quantile(level: float) -> float:
    """The two-sided normal quantile of a confidence level: 1.96 for .95."""
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, got {level}")
    return NormalDist().inv_cdf(0.5 + level / 2)


def t_quantile(level: float, degrees: int) -> float:
    """The two-sided Student t quantile of a confidence level."""
    from scipy.special import stdtrit  # imported here: scipy takes longer to load than a page to draw

    return float(stdtrit(degrees, 0.5 + level / 2))


def wilson_limits(rate: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's score limits for a rate seen in n (possibly effective) observations.

    Source: Wilson 1927; Newcombe 1998, Stat Med 17:857, method 3.
    """
    square = quantile * quantile
    centre = (rate + square / (2 * n)) / (1 + square / n)
    half = quantile / (1 + square / n) * math.sqrt(rate * (1 - rate) / n + square / (4 * n * n))
    low = 0.0 if rate <= 0 else max(0.0, centre - half)
    high = 1.0 if rate >= 1 else min(1.0, centre + half)
    return low, high


def wilson(count: int, n: int, level: float = 0.95) -> Result:
    """A rate of independent 0/1 outcomes with Wilson's interval."""
    if n <= 0:
        return NotEstimable("nothing was observed")
    if not 0 <= count <= n:
        raise ValueError(f"count must lie in 0..{n}, got {count}")
    low, high = wilson_limits(count / n, n, normal_quantile(level))
    return Estimate(count / n, low, high, level, n, n, "Wilson")


def zero_events_upper(n: int, level: float = 0.95) -> float:
    """The largest rate that is still compatible with seeing none in n: 1 - (1-level)^(1/n).

    Source: Hanley & Lippman-Hand 1983, JAMA 249:1743.
    """
    if n <= 0:
        raise ValueError(f"n must be at least 1, got {n}")
    return 1 - (1 - level) ** (1 / n)


def cluster_se(influence: Floats, clusters: Ints) -> float:
    """The cluster-robust standard error of a mean: sqrt(sum_c (sum_i e_ic)^2) / n.

    Args:
        influence: One influence value per row, shape (n,); for a mean the residual from it.
        clusters: One code per row, shape (n,), from 0.

    Source: Liang & Zeger 1986 for the intercept-only model, without a small-sample factor.
    """
    sums = np.bincount(clusters, weights=influence)
    # Not sums @ sums: BLAS starts threads for it, which on a busy machine takes a hundred times as long.
    return math.sqrt(float(np.square(sums).sum())) / len(influence)


def compact(codes: Ints) -> Ints:
    """Codes renumbered to 0, 1, 2 … without gaps, in the same order; faster than numpy.unique."""
    if len(codes) == 0:
        return codes
    seen = np.bincount(codes) > 0
    return (np.cumsum(seen) - 1)[codes].astype(np.int64)


def clustered_mean(values: Floats, clusters: Ints, level: float = 0.95) -> Result:
    """The mean of values in [0, 1] with the interval that the module's first lines describe.

    Args:
        values: Shape (n,), each in [0, 1].
        clusters: The prompt of each value as a code from 0, shape (n,).
        level: Confidence level.
    """
    n = len(values)
    if n == 0:
        return NotEstimable("nothing was observed")
    groups = int(np.count_nonzero(np.bincount(clusters)))
    if groups < 2:
        return NotEstimable("there is only one prompt, and an interval needs at least two")
    mean = min(1.0, max(0.0, float(values.mean())))
    low, high, method = mean_limits(values, mean, clusters, groups, level)
    return Estimate(mean, low, high, level, n, groups, method)


def mean_limits(values: Floats, mean: float, clusters: Ints, groups: int, level: float) -> tuple[float, float, str]:
    """Limits and method for a mean of values in [0, 1] from at least two clusters."""
    n = len(values)
    z = normal_quantile(level)
    binary = bool(np.all((values == 0) | (values == 1)))
    if groups == n and binary:
        low, high = wilson_limits(mean, n, z)
        return low, high, "Wilson"
    robust = cluster_se(values - mean, clusters)
    size = effective_size(mean, robust * math.sqrt(groups / (groups - 1)), n, groups)
    if groups >= LARGE_CLUSTERS and robust > 0 and mean * (1 - mean) / robust**2 * min(mean, 1 - mean) >= LARGE_RARER:
        return max(0.0, mean - z * robust), min(1.0, mean + z * robust), "cluster-robust normal, by prompt"
    low, high = wilson_limits(mean, size, t_quantile(level, groups - 1))
    return low, high, "Wilson at the effective sample size, by prompt"


def effective_size(mean: float, se: float, n: int, groups: int) -> float:
    """How many independent 0/1 observations would give this standard error.

    Without any spread the design effect is unknown, and each prompt counts once; chance alone never lets n rows
    count for more than 2n.
    """
    if mean <= 0 or mean >= 1:
        return float(groups)
    if se <= 0:
        return 2.0 * n
    return min(mean * (1 - mean) / se**2, 2.0 * n)
