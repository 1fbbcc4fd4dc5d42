"""Two systems, or two judges, on the same pairs: McNemar, Tango, the sign test, and their unpaired neighbours.

Every difference of paired outcomes is new minus old: above 0, new is right (or preferred) more often. Two judges are
compared by calling one of them old.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Floats, Ints, clustered_mean, compact, normal_quantile, wilson, wilson_limits
from review.stats.score import score_limits, score_z
from review.stats.stratified import stratified_difference

STEPS = np.array([-1, 0, 1])
LARGEST_EXACT = 5000


@dataclass(frozen=True)
class McNemar:
    """McNemar's test that old and new are right equally often; only pairs right on one side alone count.

    Attributes:
        old_only: Pairs that only old has right.
        new_only: Pairs that only new has right.
        chi2: (old_only - new_only)^2 / (old_only + new_only), one degree of freedom, no continuity correction.
        p: Two-sided p value of chi2.
        p_exact: Two-sided exact p value, binomial at 1/2; never anti-conservative.
        p_midp: The exact one with half the weight on what was seen; closer to its nominal level.
    """

    old_only: int
    new_only: int
    chi2: float
    p: float
    p_exact: float
    p_midp: float


def mcnemar(both: int, old_only: int, new_only: int, neither: int) -> McNemar | NotEstimable:
    """McNemar's test of the paired table [[both, old_only], [new_only, neither]], rows old right, columns new right.

    Args:
        both: Pairs on which both are right.
        old_only: Pairs on which only old is right.
        new_only: Pairs on which only new is right.
        neither: Pairs on which none is right.

    Source: McNemar 1947; mid-p from Fagerland, Lydersen & Laake 2013, BMC Med Res Methodol 13:91.
    """
    from scipy.special import bdtr, chdtrc  # imported here: scipy takes longer to load than a page to draw

    _counts(both, old_only, new_only, neither)
    discordant, fewer = old_only + new_only, min(old_only, new_only)
    if discordant == 0:
        return NotEstimable("no pair is right on one side only")
    chi2 = (old_only - new_only) ** 2 / discordant
    tail = float(bdtr(fewer, discordant, 0.5))
    at = tail - (float(bdtr(fewer - 1, discordant, 0.5)) if fewer else 0.0)
    return McNemar(
        old_only, new_only, chi2, float(chdtrc(1, chi2)), min(1.0, 2 * tail), min(1.0, max(0.0, 2 * tail - at))
    )


def tango(both: int, old_only: int, new_only: int, neither: int, level: float = 0.95) -> Result:
    """The share right on new minus the share right on old, from independent pairs, with Tango's score interval.

    At difference 0 the score test behind it is McNemar's without correction. Without any pair right on one side only
    the interval is z^2 / (n + z^2) to both sides, not 0. For repeated prompts or strata: stratified_difference.

    Args:
        both: Pairs on which both are right.
        old_only: Pairs on which only old is right.
        new_only: Pairs on which only new is right.
        neither: Pairs on which none is right.
        level: Two-sided confidence level; for non-inferiority at a one-sided alpha pass 1 - 2 alpha.

    Source: Tango 1998, Stat Med 17:891; Fagerland, Lydersen & Laake 2014, Stat Med 33:2850.
    """
    n = _counts(both, old_only, new_only, neither)
    if n == 0:
        return NotEstimable("no pair has an outcome on both sides")
    value = (new_only - old_only) / n
    counts = np.array([old_only, both + neither, new_only], dtype=np.float64)
    low, high = score_limits(counts, STEPS, normal_quantile(level))
    return Estimate(value, min(low, value), max(high, value), level, n, n, "Tango score, new minus old")


def tango_p(both: int, old_only: int, new_only: int, neither: int, margin: float) -> float | NotEstimable:
    """One-sided p value that new is worse than old by the margin or more; small says "not worse than that".

    The null hypothesis is new - old <= -margin. One minus this is the p value for "worse by more than the margin".

    Args:
        both: Pairs on which both are right.
        old_only: Pairs on which only old is right.
        new_only: Pairs on which only new is right.
        neither: Pairs on which none is right.
        margin: The tolerance as a share, such as .015; in [0, 1).
    """
    from scipy.special import ndtr  # imported here: scipy takes longer to load than a page to draw

    if not 0 <= margin < 1:
        raise ValueError(f"a margin lies in [0, 1), got {margin}")
    if _counts(both, old_only, new_only, neither) == 0:
        return NotEstimable("no pair has an outcome on both sides")
    counts = np.array([old_only, both + neither, new_only], dtype=np.float64)
    z = score_z(counts, STEPS, -margin)
    return NotEstimable("no pair is right on one side only") if z is None else float(ndtr(-z))


def newcombe_difference(k1: int, n1: int, k2: int, n2: int, level: float = 0.95) -> Result:
    """k1/n1 - k2/n2 of two independent groups with Newcombe's hybrid score interval.

    For groups that share no pairs and no prompts; never for old against new on the same pairs.

    Source: Newcombe 1998, Stat Med 17:873, method 10.
    """
    if n1 <= 0 or n2 <= 0:
        return NotEstimable("one of the two groups is empty")
    if not (0 <= k1 <= n1 and 0 <= k2 <= n2):
        raise ValueError(f"counts lie in 0..n, got {k1} of {n1} and {k2} of {n2}")
    first, second, z = k1 / n1, k2 / n2, normal_quantile(level)
    low1, high1 = wilson_limits(first, n1, z)
    low2, high2 = wilson_limits(second, n2, z)
    value = first - second
    low = value - math.hypot(first - low1, high2 - second)
    high = value + math.hypot(high1 - first, second - low2)
    return Estimate(value, low, high, level, n1 + n2, n1 + n2, "Newcombe hybrid score")


@dataclass(frozen=True)
class SignTest:
    """Which side people prefer.

    Attributes:
        old: Times old was preferred.
        new: Times new was preferred.
        ties: Times neither was.
        p: Two-sided p value that preferences are balanced; `p_method` says how.
        p_method: The test in words.
        share: New's share of the decided ones, with its interval; .5 is balance.
        difference: Share preferring new minus share preferring old, ties counted in n; 0 is balance.
    """

    old: int
    new: int
    ties: int
    p: float
    p_method: str
    share: Result
    difference: Result


def sign_test(preferences: Ints, clusters: Ints, level: float = 0.95) -> SignTest | NotEstimable:
    """The paired sign test, exact also where prompts repeat.

    Under balance each prompt's preferences could as well have been the other way round, all at once. The exact p value
    counts all 2^prompts ways; with one row a prompt that is the binomial sign test. Beyond 5,000 decided rows the
    normal limit takes its place.

    Args:
        preferences: -1 old, 0 tie, 1 new, shape (n,).
        clusters: The prompt of each row as a code from 0, shape (n,).
        level: Confidence level of both intervals.

    Source: Dixon & Mood 1946; sign flips of whole clusters as in Datta & Satten 2008 (Biometrics 64:501).
    """
    if np.any(np.abs(preferences) > 1):
        raise ValueError("a preference is -1 (old), 0 (tie) or 1 (new)")
    if len(preferences) == 0:
        return NotEstimable("nothing was observed")
    decided = preferences != 0
    old, new = int((preferences < 0).sum()), int((preferences > 0).sum())
    sums = np.abs(np.bincount(compact(clusters), preferences)).astype(np.int64)
    p, method = _flip_p(sums, abs(new - old))
    share = clustered_mean((preferences[decided] > 0).astype(np.float64), compact(clusters[decided]), level)
    difference = stratified_difference(preferences.astype(np.float64), clusters, level=level)
    return SignTest(old, new, len(preferences) - old - new, p, method, share, difference)


def _flip_p(sums: Ints, seen: int) -> tuple[float, str]:
    """The share of sign flips of the clusters' sums that end as far from 0 as what was seen, or farther."""
    from scipy.special import ndtr  # imported here: scipy takes longer to load than a page to draw

    total = int(sums.sum())
    if total > LARGEST_EXACT:
        return float(2 * ndtr(-seen / np.sqrt(float(sums @ sums)))), "sign flips of prompts, normal limit"
    # After each cluster: the chance that the sums flipped so far add up to -total, ..., total.
    chances: Floats = np.zeros(2 * total + 1)
    chances[total] = 1.0
    for size in sums[sums > 0]:
        chances = (np.roll(chances, int(size)) + np.roll(chances, -int(size))) / 2
    far = np.abs(np.arange(-total, total + 1)) >= seen
    return min(1.0, float(chances[far].sum())), "exact, sign flips of prompts"


@dataclass(frozen=True)
class BinomialTest:
    """An exact two-sided p value beside the rate with Wilson's interval; both may disagree at the edge of the level."""

    p: float
    rate: Estimate


def binomial_test(k: int, n: int, p: float = 0.5, level: float = 0.95) -> BinomialTest | NotEstimable:
    """Did k of n independent events differ from the rate p, such as a judge's order flips to the first position?

    The exact p value adds up every outcome that is at most as likely as k.

    Source: Clopper & Pearson's binomial; scipy binomtest(alternative="two-sided").
    """
    from scipy.special import gammaln, xlog1py, xlogy  # imported here: scipy takes longer to load than a page to draw

    if not 0 <= p <= 1:
        raise ValueError(f"a rate lies in [0, 1], got {p}")
    rate = wilson(k, n, level)
    if isinstance(rate, NotEstimable):
        return rate
    x = np.arange(n + 1)
    logs = gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1) + xlogy(x, p) + xlog1py(n - x, -p)
    # The slack of scipy: equally likely outcomes on both sides differ in their last bits.
    return BinomialTest(min(1.0, float(np.exp(logs[logs <= logs[k] + 1e-7]).sum())), rate)


def _counts(both: int, old_only: int, new_only: int, neither: int) -> int:
    """The number of pairs, after a look at the cells."""
    cells = (both, old_only, new_only, neither)
    if min(cells) < 0:
        raise ValueError(f"counts are 0 or more, got {cells}")
    return sum(cells)
