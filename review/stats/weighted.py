"""Rates and means over a population of which only some pairs were drawn: Hájek and post-stratified estimates.

Both are weighted means with the linearised variance of stratified draws. `clusters` says what is independent: the
prompt where the claim is about traffic to come; the pair itself, together with fpc, where it is about the pairs of the
frame, because those were drawn pair by pair. Prompts together with fpc give an interval that is wider than needed.

Limits are Wilson's for values in 0 to 1, and those of the score test for other bounds, each at the effective sample
size and with Student's t on Satterthwaite's degrees of freedom. tests/unit/test_stats_weighted.py simulates coverage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Floats, Ints, compact, t_quantile, wilson_limits
from review.stats.score import score_limits

PRIOR_DEGREES = 2.0
MOST_STEPS = 40
# Chance alone never lets n rows count for more than this many times n.
MOST_GAIN = 2.0
LARGEST_TABLE = 10_000_000


@dataclass(frozen=True)
class _Sample:
    """Labelled rows of strata that are not known.

    Arrays of shape (n,), one element a row: `values` within the bounds; `pull`, the row's part in the mean, adding up
    to 1; `clusters` and `strata` as codes without gaps. Arrays of shape (strata,): `left`, the share of the stratum
    that nobody labelled (1 without correction), and `prompts`, how many clusters it has.
    """

    values: Floats
    pull: Floats
    clusters: Ints
    strata: Ints
    left: Floats
    prompts: Floats

    @property
    def groups(self) -> int:
        return int(self.clusters.max()) + 1


def hajek(
    values: Floats,
    weights: Floats,
    clusters: Ints,
    *,
    strata: Ints | None = None,
    sizes: Floats | None = None,
    fpc: bool = False,
    units: Ints | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
    exclusions: Mapping[str, int] | None = None,
) -> Result:
    """The weighted mean sum(w y) / sum(w) of drawn pairs, for the population they were drawn from.

    Args:
        values: One value a label or pair, within bounds, shape (n,).
        weights: Design weight of each row, above 0, shape (n,): 1 / (pi x labels on the pair).
        clusters: What is independent, as codes from 0, shape (n,): the prompt; the pair, where fpc is asked for.
        strata: The stratum each row was drawn from as a code from 0, shape (n,); without it the draw had one.
        sizes: Pairs in each stratum, shape (strata,); needed for fpc only.
        fpc: Finite-population correction: the claim is about the pairs of the frame and not about traffic to come.
        units: The pair of each row as a code, shape (n,), where pairs have several rows; for fpc only.
        bounds: The least and the largest possible value.
        level: Confidence level.
        exclusions: What the caller left out, printed with the estimate.

    Raises:
        ValueError: If shapes, weights, strata or bounds do not fit.

    Source: Hájek 1971; Särndal, Swensson & Wretman 1992, 5.7; golden vector "pandalm_biased_sample".
    """
    n = len(values)
    if n == 0:
        return NotEstimable("nothing was observed")
    codes = np.zeros(n, dtype=np.int64) if strata is None else strata
    if fpc and sizes is None:
        raise ValueError("a finite-population correction needs the sizes of the strata")
    portions = None if sizes is None else np.asarray(sizes, dtype=np.float64)
    _check(values, weights, clusters, codes, portions, bounds)
    sample = _sample(values, weights / weights.sum(), clusters, codes, portions, fpc, units)
    return _estimate(sample, 0.0, 1.0, bounds, level, "Hájek", exclusions)


def post_stratified(
    values: Floats,
    weights: Floats,
    clusters: Ints,
    strata: Ints,
    sizes: Floats,
    *,
    known: Mapping[int, float] | None = None,
    fpc: bool = False,
    units: Ints | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
    exclusions: Mapping[str, int] | None = None,
) -> Result:
    """The population's mean sum_h W_h mean_h, W_h the known shares of the strata and mean_h weighted within them.

    Args:
        values: One value a label or pair, within bounds, shape (n,).
        weights: Weight of each row within its stratum, above 0, shape (n,): 1 / (pi x labels on the pair).
        clusters: What is independent, as codes from 0, shape (n,); see hajek. One may have rows in several strata.
        strata: The stratum of each row as a code from 0, shape (n,).
        sizes: Pairs of the population in each stratum, shape (strata,).
        known: The mean of strata that need no label, by code, such as 0 for identical outputs. Rows there are left out
            and counted.
        fpc: Finite-population correction, a stratum at a time; see hajek.
        units: The pair of each row as a code, shape (n,), where pairs have several rows; for fpc only.
        bounds: The least and the largest possible value.
        level: Confidence level.
        exclusions: What the caller left out, printed with the estimate.

    Returns:
        NotEstimable where a stratum that is not known has pairs but no label.

    Raises:
        ValueError: If shapes, weights, strata or bounds do not fit.

    Source: Cochran 1977, ch. 5 and 5A.9; golden vector "pandalm_biased_sample".
    """
    portions, fixed = np.asarray(sizes, dtype=np.float64), dict(known or {})
    if len(values):
        _check(values, weights, clusters, strata, portions, bounds)
    missing = _without_rows(strata, portions, fixed)
    if missing:
        return missing
    total = float(portions.sum())
    settled = np.zeros(len(portions), dtype=np.bool_)
    settled[list(fixed)] = True
    offset = sum(portions[code] / total * value for code, value in fixed.items())
    share = float(portions[~settled].sum()) / total
    inside = ~settled[strata]
    left_out = dict(exclusions or {})
    if not inside.all():
        left_out["value_known_without_label"] = int((~inside).sum())
    if share <= 0:
        groups = len(np.unique(clusters))
        return Estimate(offset, offset, offset, level, len(values), groups, "known without labels", left_out)
    codes, weight = strata[inside], weights[inside]
    within = np.bincount(codes, weight, len(portions))
    pull = portions[codes] / (share * total) * weight / within[codes]
    sample = _sample(
        values[inside], pull, clusters[inside], codes, portions, fpc, None if units is None else units[inside]
    )
    return _estimate(sample, offset, share, bounds, level, "post-stratified", left_out)


def post_stratified_se(
    values: Floats,
    weights: Floats,
    clusters: Ints,
    strata: Ints,
    sizes: Floats,
    *,
    fpc: bool = False,
    units: Ints | None = None,
) -> float | NotEstimable:
    """The plain linearised standard error of the post-stratified mean, arguments as in post_stratified.

    sqrt(sum_c (sum_h sqrt((1 - f_h) m_h / (m_h - 1)) sum_i a_i (y_i - mean_h))^2), m_h clusters in stratum h. The
    intervals here add to it what small strata cannot know of their own spread.
    """
    portions = np.asarray(sizes, dtype=np.float64)
    missing = _without_rows(strata, portions, {})
    if missing:
        return missing
    within = np.bincount(strata, weights, len(portions))
    pull = portions[strata] / portions.sum() * weights / within[strata]
    sample = _sample(values, pull, clusters, strata, portions, fpc, units)
    if np.any((sample.prompts < 2) & (sample.left > 0)):
        return NotEstimable("a stratum has one cluster only, which says nothing about its spread")
    return math.sqrt(_clustered(sample, _residuals(sample), sample.left))


def _check(
    values: Floats,
    weights: Floats,
    clusters: Ints,
    strata: Ints,
    sizes: Floats | None,
    bounds: tuple[float, float],
) -> None:
    """Refuse what would give a wrong number."""
    n = len(values)
    if not len(weights) == len(clusters) == len(strata) == n:
        raise ValueError(
            f"rows differ: {n} values, {len(weights)} weights, {len(clusters)} clusters, {len(strata)} strata"
        )
    if not np.all(np.isfinite(weights) & (weights > 0)):
        raise ValueError("a design weight is finite and above 0; a row that could not be drawn has none")
    low, high = bounds
    if not low < high or not np.all((values >= low) & (values <= high)):
        raise ValueError(f"values lie within {low} to {high}, got {values.min()} to {values.max()}")
    if sizes is None:
        return
    if strata.min() < 0 or strata.max() >= len(sizes):
        raise ValueError(f"strata are codes from 0 to {len(sizes) - 1}, got {strata.min()} to {strata.max()}")
    if np.any(sizes < 0) or np.any(sizes[strata] <= 0):
        raise ValueError("a stratum with rows has at least one pair, and no size is negative")


def _without_rows(strata: Ints, sizes: Floats, known: Mapping[int, float]) -> NotEstimable | None:
    """The reason why the population has no estimate, if a part of it was never looked at."""
    if sizes.sum() <= 0:
        return NotEstimable("the population is empty")
    seen = np.bincount(strata, minlength=len(sizes)) > 0
    seen[list(known)] = True
    empty = ~seen & (sizes > 0)
    if not empty.any():
        return None
    share = float(sizes[empty].sum() / sizes.sum())
    return NotEstimable(
        f"{int(empty.sum())} of {int((sizes > 0).sum())} strata, {share:.1%} of the population, have no label; "
        "draw pairs there, or merge strata"
    )


def _sample(
    values: Floats,
    pull: Floats,
    clusters: Ints,
    strata: Ints,
    sizes: Floats | None,
    fpc: bool,
    units: Ints | None,
) -> _Sample:
    """The rows with codes renumbered, and the two facts of each stratum."""
    codes, groups = compact(strata), compact(clusters)
    left = np.ones(int(codes.max()) + 1)
    if fpc and sizes is not None:
        drawn = _distinct(codes, np.arange(len(values)) if units is None else compact(units))
        left = np.maximum(0.0, 1 - drawn / sizes[np.flatnonzero(np.bincount(strata))])
    return _Sample(values.astype(np.float64), pull, groups, codes, left, _distinct(codes, groups))


def _distinct(strata: Ints, codes: Ints) -> Floats:
    """How many different codes each stratum has, shape (strata,)."""
    span, size = int(codes.max()) + 1, int(strata.max()) + 1
    cells = strata * span + codes
    if span * size > LARGEST_TABLE:
        return np.bincount(np.unique(cells) // span, minlength=size).astype(np.float64)
    # Several times faster than sorting, as long as the table of all combinations is small.
    return np.count_nonzero(np.bincount(cells, minlength=span * size).reshape(size, span), axis=1).astype(np.float64)


def _residuals(sample: _Sample) -> Floats:
    """What each row pulls the mean away from its stratum's mean, shape (n,)."""
    total = np.bincount(sample.strata, sample.pull)
    means = np.bincount(sample.strata, sample.pull * sample.values) / total
    return sample.pull * (sample.values - means[sample.strata])


def _clustered(sample: _Sample, residuals: Floats, left: Floats) -> float:
    """The linearised variance; a cluster's residuals of several strata are added before they are squared."""
    factor = np.sqrt(left * sample.prompts / np.maximum(sample.prompts - 1, 1))
    sums = np.bincount(sample.clusters, factor[sample.strata] * residuals)
    return float(sums @ sums)


@dataclass(frozen=True)
class _Spread:
    """The variance of the mean before and after the finite-population correction, and its degrees of freedom."""

    before: float
    after: float
    degrees: int
    borrowed: bool


def _spread(sample: _Sample, pooled: float) -> _Spread:
    """The variance by strata, each borrowing PRIOR_DEGREES degrees of freedom from all rows, times the design effect.

    A stratum of a few rows that happen to agree has no spread of its own, though its pairs may; a stratum of one row
    never has. Degrees of freedom are Satterthwaite's, so that one large stratum with few labels widens the interval.
    """
    strata, pull = sample.strata, sample.pull
    total = np.bincount(strata, pull)
    rows = total**2 / np.bincount(strata, pull**2)
    means = np.bincount(strata, pull * sample.values) / total
    squares = np.bincount(strata, pull * (sample.values - means[strata]) ** 2) / total * rows
    prior = PRIOR_DEGREES if len(total) > 1 else 0.0
    own = np.maximum(rows - 1, 0.0)
    parts = total**2 * (squares + prior * pooled) / np.maximum(own + prior, 1e-300) / rows
    residuals = _residuals(sample)
    effect = _design_effect(sample, residuals)
    prompts = np.maximum(np.minimum(sample.prompts, rows) - 1, 0.0) + prior / 4
    degrees = float(parts.sum()) ** 2 / float((parts**2 / np.maximum(prompts, 1e-300)).sum())
    few = int(max(1, min(round(degrees), sample.groups - 1)))
    before = effect * float(parts.sum())
    return _Spread(before, effect * float((parts * sample.left).sum()), few, bool(np.any(sample.prompts < 2)))


def _design_effect(sample: _Sample, residuals: Floats) -> float:
    """How much more the mean varies because rows share clusters; at least 1.

    Strata with one cluster say nothing about it and are left out.
    """
    if len(residuals) == sample.groups:
        return 1.0
    told = residuals * (sample.prompts >= 2)[sample.strata]
    rows = np.bincount(sample.strata).astype(np.float64)
    alone = np.sqrt(rows / np.maximum(rows - 1, 1))[sample.strata] * told
    plain = float(alone @ alone)
    if plain <= 0:
        return len(residuals) / sample.groups
    return max(1.0, _clustered(sample, told, np.ones(len(rows))) / plain)


def _estimate(
    sample: _Sample,
    offset: float,
    share: float,
    bounds: tuple[float, float],
    level: float,
    name: str,
    exclusions: Mapping[str, int] | None,
) -> Result:
    """offset + share x the mean of the rows, with its interval."""
    n, groups = len(sample.values), sample.groups
    if groups < 2:
        return NotEstimable("there is only one prompt, and an interval needs at least two")
    mean = min(bounds[1], max(bounds[0], float(sample.pull @ sample.values)))
    if not sample.left.any():
        low, high, method = mean, mean, "every pair has a label"
    else:
        low, high, method = _limits(sample, mean, bounds, level)
    value = offset + share * mean
    return Estimate(
        value,
        min(value, offset + share * low),
        max(value, offset + share * high),
        level,
        n,
        groups,
        f"{name}, {method}",
        dict(exclusions or {}),
    )


def _limits(sample: _Sample, mean: float, bounds: tuple[float, float], level: float) -> tuple[float, float, str]:
    """Limits of the rows' mean, and how they were made."""
    low, high = bounds
    rate = bounds == (0.0, 1.0)
    observed = float(sample.pull @ (sample.values - mean) ** 2)
    if observed <= 1e-15:
        return (*_no_spread(sample, mean, bounds, level), "no spread seen")
    pooled = float(sample.values.var()) * len(sample.values) / (len(sample.values) - 1)
    spread = _spread(sample, pooled)
    quantile = t_quantile(level, spread.degrees)
    kept = spread.after / spread.before
    suffix = "; strata with one prompt borrow the spread of all" * spread.borrowed + "; finite population" * (kept < 1)
    if rate:
        size = min(mean * (1 - mean) / spread.before, MOST_GAIN * len(sample.values)) / kept
        return (*wilson_limits(mean, size, quantile), "Wilson at the effective sample size" + suffix)
    size = min(observed / spread.before, MOST_GAIN * len(sample.values)) / kept
    steps = np.unique(np.append(sample.values, bounds))
    if len(steps) <= MOST_STEPS:
        counts = np.bincount(np.searchsorted(steps, sample.values), sample.pull * size, len(steps))
        limits = score_limits(counts.astype(np.float64), steps, quantile)
        return (*limits, "score at the effective sample size" + suffix)
    half = quantile * math.sqrt(observed / size)
    return max(low, mean - half), min(high, mean + half), "normal with t" + suffix


def _no_spread(sample: _Sample, mean: float, bounds: tuple[float, float], level: float) -> tuple[float, float]:
    """Limits where all rows say the same: the stratum with the fewest clusters for its part of the mean decides."""
    total = np.bincount(sample.strata, sample.pull)
    unlabelled = sample.left > 0
    size = float((sample.prompts / (total * np.maximum(sample.left, 1e-300)))[unlabelled].min())
    quantile = t_quantile(level, sample.groups - 1)
    low, high = bounds
    if bounds == (0.0, 1.0) and mean in (0.0, 1.0):
        return wilson_limits(mean, size, quantile)
    steps = np.unique(np.array([low, mean, high]))
    counts = np.where(steps == mean, size, 0.0)
    return score_limits(counts, steps, quantile)
