"""The mean paired difference new minus old over all traffic: stratified, clustered by prompt, with a score interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Floats, Ints, compact, normal_quantile, t_quantile
from review.stats.score import score_limits

PRIOR_DEGREES = 2.0


@dataclass(frozen=True)
class _Strata:
    """Rows summed up by stratum; each array has shape (strata,).

    `labels` is Kish's effective number of rows, which is their number where the weights within a stratum agree.
    """

    shares: Floats
    means: Floats
    squares: Floats
    labels: Floats
    rows: Floats
    prompts: Floats


def stratified_difference(
    values: Floats,
    clusters: Ints,
    *,
    strata: Ints | None = None,
    shares: Floats | None = None,
    weights: Floats | None = None,
    known_zero: float = 0.0,
    largest_step: int = 1,
    level: float = 0.95,
    exclusions: Mapping[str, int] | None = None,
) -> Result:
    """The difference sum_h W_h mean_h(new - old) over all traffic to come (no finite-population correction).

    Args:
        values: New minus old of each labelled pair, shape (n,): whole numbers from -largest_step to largest_step.
        clusters: The prompt of each row as a code from 0, shape (n,).
        strata: The stratum of each row as a code from 0, shape (n,); without it there is one.
        shares: Share of all traffic in each stratum, shape (strata,). Together with known_zero they add up to 1.
        weights: Design weight of each row within its stratum, shape (n,), such as 1 / (pi x labels on the pair).
        known_zero: Share of all traffic that cannot differ, such as identical outputs. Its difference is 0.
        largest_step: 1 where an outcome is right or wrong, 2 where it can move from one end of a scale to the other.
        level: Two-sided confidence level; for a one-sided test at alpha pass 1 - 2 alpha.
        exclusions: What the caller left out, printed with the estimate.

    Returns:
        An estimate whose `n` counts rows and `clusters` prompts.

    Raises:
        ValueError: If shapes, shares or values do not fit.

    Source: the score interval that Tango 1998 (Stat Med 17:891) gives for steps of one, for steps up to
    `largest_step` and at the effective counts of the design, with Student's t; it is Tango's own where there is one
    stratum of independent pairs that count alike; review/docs/statistics.md, "Paired difference".
    """
    n = len(values)
    if n == 0:
        return NotEstimable("no pair has labels for both old and new")
    codes = np.zeros(n, dtype=np.int64) if strata is None else strata
    portions = np.array([1.0 - known_zero]) if shares is None else np.asarray(shares, dtype=np.float64)
    weight = np.ones(n) if weights is None else weights
    _check(values, clusters, codes, portions, weight, known_zero, largest_step)
    empty = int(np.count_nonzero((np.bincount(codes, minlength=len(portions)) == 0) & (portions > 0)))
    if empty:
        return NotEstimable(f"{empty} of {len(portions)} strata have no labels; draw pairs there, or merge strata")
    groups = compact(clusters)
    prompts = int(groups.max()) + 1
    if prompts < 2:
        return NotEstimable("there is only one prompt, and an interval needs at least two")
    if prompts == n and len(portions) == 1 and largest_step == 1 and np.ptp(weight) <= 1e-9 * weight.max():
        return _tango(values, 1 - known_zero, level, dict(exclusions or {}))
    parts = _strata(values, groups, codes, portions, weight)
    steps = np.arange(-largest_step, largest_step + 1)
    found = _step_shares(values, codes, portions, weight, steps, known_zero)
    reach = largest_step * (1 - known_zero)
    value = min(reach, max(-reach, float(found @ steps)))
    size = _effective_size(values, groups, codes, weight, parts, float(found @ steps**2) - value * value)
    possible = (np.abs(steps) <= 1) | (found > 0) | (np.count_nonzero(found) < 2)
    low, high = score_limits((found * size)[possible], steps[possible], t_quantile(level, prompts - 1))
    return Estimate(
        value,
        min(value, max(low, -reach)),
        max(value, min(high, reach)),
        level,
        n,
        prompts,
        "score interval at the effective sample size, stratified, by prompt",
        dict(exclusions or {}),
    )


def _tango(values: Floats, share: float, level: float, exclusions: dict[str, int]) -> Estimate:
    """Tango's own interval for one stratum of independent pairs that count alike, times the stratum's share."""
    steps = np.array([-1, 0, 1], dtype=np.int64)
    counts = np.array([np.count_nonzero(values == step) for step in steps], dtype=np.float64)
    low, high = score_limits(counts, steps, normal_quantile(level))
    value, n = float(values.mean()), len(values)
    method = "Tango score" if share == 1 else "Tango score, times the share of traffic that can differ"
    return Estimate(share * value, share * min(low, value), share * max(high, value), level, n, n, method, exclusions)


def _check(
    values: Floats, clusters: Ints, codes: Ints, shares: Floats, weights: Floats, known_zero: float, largest_step: int
) -> None:
    """Refuse what would give a wrong number."""
    n = len(values)
    if not len(clusters) == len(codes) == len(weights) == n:
        raise ValueError(
            f"rows differ: {n} values, {len(clusters)} clusters, {len(codes)} strata, {len(weights)} weights"
        )
    if not np.all((values == np.rint(values)) & (np.abs(values) <= largest_step)):
        raise ValueError(f"a difference is a whole number from {-largest_step} to {largest_step}")
    if np.any(weights <= 0):
        raise ValueError("a design weight is above 0")
    if codes.min() < 0 or codes.max() >= len(shares):
        raise ValueError(f"strata are codes from 0 to {len(shares) - 1}, got {codes.min()} to {codes.max()}")
    total = float(shares.sum()) + known_zero
    if np.any(shares < 0) or not 0 <= known_zero < 1 or abs(total - 1) > 1e-6:
        raise ValueError(f"shares of all traffic and known_zero add up to 1, got {total}")


def _strata(values: Floats, groups: Ints, codes: Ints, shares: Floats, weights: Floats) -> _Strata:
    """Means, sums of squares and sizes by stratum."""
    size = len(shares)
    total = np.maximum(np.bincount(codes, weights, size), 1e-300)
    means = np.bincount(codes, weights * values, size) / total
    labels = total**2 / np.maximum(np.bincount(codes, weights**2, size), 1e-300)
    spread = np.bincount(codes, weights * (values - means[codes]) ** 2, size) / total * labels
    pairs = np.unique(codes * (int(groups.max()) + 1) + groups) // (int(groups.max()) + 1)
    prompts = np.bincount(pairs, minlength=size).astype(np.float64)
    rows = np.bincount(codes, minlength=size).astype(np.float64)
    return _Strata(shares, means, spread, labels, rows, prompts)


def _step_shares(
    values: Floats, codes: Ints, shares: Floats, weights: Floats, steps: Ints, known_zero: float
) -> Floats:
    """The share of all traffic that each step has, shape (steps,)."""
    total = np.bincount(codes, weights, len(shares))
    of_traffic = shares[codes] * weights / total[codes]
    found = np.bincount((values - steps[0]).astype(np.int64), of_traffic, len(steps))
    found[-steps[0]] += known_zero
    return found.astype(np.float64)


def _effective_size(values: Floats, groups: Ints, codes: Ints, weights: Floats, parts: _Strata, spread: float) -> float:
    """How many independent pairs drawn from all traffic would tell as much.

    The variance is the stratified one times the design effect of the prompts. A stratum in which nothing happened to
    move has no variance of its own, though some of its traffic may; so each borrows PRIOR_DEGREES degrees of freedom
    from all strata together. Where all rows
    say the same, such as that nothing moved, the stratum with the fewest prompts for its share decides.
    """
    used = parts.shares > 0
    pooled = float(values.var()) * len(values) / (len(values) - 1)
    if min(spread, pooled) <= 1e-12:
        return float((np.minimum(parts.prompts, parts.labels)[used] / parts.shares[used]).min())
    variances = (parts.squares + PRIOR_DEGREES * pooled) / (np.maximum(parts.labels - 1, 0) + PRIOR_DEGREES)
    variance = float((parts.shares**2 * variances / np.maximum(parts.labels, 1e-300))[used].sum())
    return spread / (variance * _design_effect(values, groups, codes, weights, parts))


def _design_effect(values: Floats, groups: Ints, codes: Ints, weights: Floats, parts: _Strata) -> float:
    """How much more the estimate varies because rows share prompts; at least 1.

    Strata with one prompt say nothing about it and are left out.
    """
    total = np.bincount(codes, weights, len(parts.shares))
    told = parts.prompts >= 2
    scale = np.where(told, parts.shares / np.maximum(total, 1e-300), 0.0)
    influence = scale[codes] * weights * (values - parts.means[codes])
    alone = np.sqrt(parts.rows / np.maximum(parts.rows - 1, 1))[codes] * influence
    together = np.bincount(groups, np.sqrt(parts.prompts / np.maximum(parts.prompts - 1, 1))[codes] * influence)
    plain = float(alone @ alone)
    if plain <= 0:
        return float(len(values) / len(together))
    return max(1.0, float(together @ together) / plain)
