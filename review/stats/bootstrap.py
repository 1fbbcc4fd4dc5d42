"""Cluster bootstrap: draw prompts again, keep all their rows, and see how far ratios of sums move.

A resample is a row of multinomial counts times the clusters' sums, so no row is ever copied. Clusters with the same
sums are interchangeable; where few different sums occur, as with 0/1 labels, counting kinds of clusters instead of
clusters is the same distribution at a hundredth of the work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Floats, Ints, compact, t_quantile

# Counts times columns at once: fits the cache, and is below the size from which BLAS starts threads of its own.
CELLS = 250_000
WORKERS = 2
# A binomial of numpy takes about as long as this many draws of an index.
BINOMIAL = 10
# From so many clusters on, Poisson counts are quicker than draws one by one.
FEW = 1_000
# Fewer do not show their own tail: with ten skewed values of a hundred other than 0 coverage fell to 92 %.
FEWEST_MOVED = 15
# Sums closer than this share of the largest are the same; their last bits depend on the order of the rows.
_GRAIN = 2.0**-36


@dataclass(frozen=True)
class _Stratum:
    """Clusters drawn together.

    `sums` are the different ones that occur, shape (kinds, columns); `clusters` says how many clusters have each.
    """

    sums: Floats
    clusters: Ints

    @property
    def size(self) -> int:
        return int(self.clusters.sum())


def cluster_bootstrap(
    numerators: Floats,
    denominators: Floats | None,
    clusters: Ints,
    *,
    resamples: int,
    rng: np.random.Generator,
    strata: Ints | None = None,
) -> Floats:
    """Ratios sum(numerator) / sum(denominator) in resamples of whole clusters.

    From a stratum of m clusters m - 1 are drawn with replacement, each counting m / (m - 1) times: with all m the
    spread would come out too small by that factor (Rao & Wu 1988, JASA 83:231).

    Args:
        numerators: Shape (n, k) or (n,): w y for a weighted mean.
        denominators: Shape (n,): w for a weighted mean; None counts rows.
        clusters: The prompt of each row as a code from 0, shape (n,).
        resamples: How many.
        rng: The only source of randomness. Order of rows and names of clusters do not matter.
        strata: The stratum of each row as a code from 0, shape (n,). Where a cluster has rows in two strata, or a
            stratum has a single cluster, those strata are drawn from together.

    Returns:
        Shape (resamples, k). Where a resample's denominator is 0, the ratio of all rows stands in.

    Raises:
        ValueError: If shapes do not fit or there are fewer than two clusters.
    """
    columns = np.asarray(numerators, dtype=np.float64).reshape(len(clusters), -1)
    below = np.ones(len(columns)) if denominators is None else np.asarray(denominators, dtype=np.float64)
    if len(below) != len(columns):
        raise ValueError(f"{len(columns)} numerators need as many denominators, got {len(below)}")
    sums = _sums(np.column_stack([columns, below]), compact(clusters))
    if len(sums) < 2:
        raise ValueError("resampling needs at least two clusters")
    totals = np.zeros((resamples, sums.shape[1]))
    for members in _drawn_together(compact(clusters), strata):
        size = len(members)
        totals += _resampled(_kinds(sums[members]), size - 1, resamples, rng) * (size / (size - 1))
    whole = sums.sum(axis=0)
    empty = np.abs(totals[:, -1]) <= _GRAIN * abs(whole[-1])
    totals[empty] = whole
    return totals[:, :-1] / totals[:, -1:]


def bootstrap_interval(
    values: Floats,
    clusters: Ints,
    *,
    rng: np.random.Generator,
    weights: Floats | None = None,
    strata: Ints | None = None,
    resamples: int = 10_000,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    level: float = 0.95,
    exclusions: Mapping[str, int] | None = None,
) -> Result:
    """A weighted mean with an interval from the studentised cluster bootstrap.

    For means without an interval of their own: lengths, Brier differences. For rates and steps the score intervals of
    stats.weighted hold at the edge of the scale too, where resampling equal values shows no spread.

    Each resample's distance from the mean is measured in its own standard errors; the limits are the quantiles of
    those distances, neither side shorter than Student's t. So a long tail widens its own side and narrows none.

    Args:
        values: Shape (n,).
        clusters: The prompt of each row as a code from 0, shape (n,).
        rng: The only source of randomness.
        weights: Shape (n,), above 0; equal by default.
        strata: See cluster_bootstrap.
        resamples: How many.
        bounds: The limits never leave them.
        level: Confidence level.
        exclusions: What the caller left out, printed with the estimate.

    Source: Efron & Tibshirani 1993, 12.5; Hall 1988, Ann Stat 16:927. Percentile and BCa intervals cover less;
    review/docs/decisions.md, "Cluster bootstrap", has the numbers.
    """
    return bootstrap_intervals(
        values,
        clusters,
        rng=rng,
        weights=weights,
        strata=strata,
        resamples=resamples,
        bounds=bounds,
        exclusions=exclusions,
    )(level)


def bootstrap_intervals(
    values: Floats,
    clusters: Ints,
    *,
    rng: np.random.Generator,
    weights: Floats | None = None,
    strata: Ints | None = None,
    resamples: int = 10_000,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    exclusions: Mapping[str, int] | None = None,
) -> Callable[[float], Result]:
    """The intervals of bootstrap_interval at every level, from one set of resamples; arguments as there."""
    n = len(values)
    if n == 0:
        return lambda _level: NotEstimable("nothing was observed")
    weight = np.ones(n) if weights is None else weights
    groups = compact(clusters)
    prompts = int(groups.max()) + 1
    if prompts < 2:
        return lambda _level: NotEstimable("there is only one prompt, and an interval needs at least two")
    moved = _moved(values, groups)
    if moved < min(FEWEST_MOVED, prompts - 1):
        return lambda _level: NotEstimable(
            f"only {moved} of {prompts} prompts have a value other than the commonest; resampling them says too little"
        )
    above, below = _sums(np.column_stack([weight * values, weight]), groups).T
    columns = np.column_stack([above, below, above**2, above * below, below**2])
    layers = [columns[members] for members in _drawn_together(groups, strata)]
    sizes = [len(layer) for layer in layers]
    (value,), (se,) = _ratio_and_se([layer.sum(axis=0)[None] for layer in layers], sizes)
    drawn = [_resampled(_kinds(layer), len(layer), resamples, rng) for layer in layers]
    ratios, errors = _ratio_and_se(drawn, sizes)
    usable = errors > _GRAIN * se
    distances = (ratios[usable] - value) / errors[usable]

    def at(level: float) -> Result:
        quantile = t_quantile(level, prompts - len(layers))
        low, high = np.quantile(distances, [0.5 - level / 2, 0.5 + level / 2]).tolist()
        return Estimate(
            float(value),
            max(bounds[0], float(value - max(high, quantile) * se)),
            min(bounds[1], float(value - min(low, -quantile) * se)),
            level,
            n,
            prompts,
            f"studentised cluster bootstrap, {resamples:,} resamples",
            dict(exclusions or {}),
        )

    return at


def _ratio_and_se(totals: list[Floats], sizes: list[int]) -> tuple[Floats, Floats]:
    """sum(a) / sum(b) and its linearised standard error, each of shape (rows,).

    Args:
        totals: For each stratum the sums over clusters of a, b, a^2, a b and b^2, shape (rows, 5).
        sizes: How many clusters each stratum has.
    """
    whole = np.sum(totals, axis=0)
    ratio = whole[:, 0] / whole[:, 1]
    variance = np.zeros(len(ratio))
    for part, size in zip(totals, sizes, strict=True):
        residuals = part[:, 0] - ratio * part[:, 1]
        squares = part[:, 2] - 2 * ratio * part[:, 3] + ratio**2 * part[:, 4]
        variance += size / (size - 1) * np.maximum(squares - residuals**2 / size, 0.0)
    return ratio, np.sqrt(variance) / np.abs(whole[:, 1])


def _moved(values: Floats, groups: Ints) -> int:
    """How many clusters have a value that is not the commonest one."""
    found, times = np.unique(values, return_counts=True)
    return len(np.unique(groups[values != found[times.argmax()]]))


def _sums(columns: Floats, groups: Ints) -> Floats:
    """Each column summed by cluster, shape (clusters, columns)."""
    return np.column_stack([np.bincount(groups, column) for column in columns.T]).astype(np.float64)


def _drawn_together(groups: Ints, strata: Ints | None) -> list[Ints]:
    """The clusters of each stratum; strata that share a cluster are one, and so are those with a single cluster."""
    prompts = int(groups.max()) + 1
    if strata is None:
        return [np.arange(prompts)]
    joined = _components(groups, compact(strata))
    sizes = np.bincount(joined)
    order = np.argsort(sizes, kind="stable")
    single = int((sizes == 1).sum())
    # A single stratum of one cluster takes the next smallest in.
    merged = order[: max(single, 2)] if single else order[:0]
    code = joined.copy()
    code[np.isin(joined, merged)] = merged[0] if len(merged) else -1
    return [np.flatnonzero(code == each) for each in np.unique(code)]


def _components(groups: Ints, strata: Ints) -> Ints:
    """For each cluster the smallest stratum that it is connected with over shared clusters, renumbered."""
    root = list(range(int(strata.max()) + 1))

    def find(code: int) -> int:
        while root[code] != code:
            code = root[code]
        return code

    first = np.full(int(groups.max()) + 1, -1, dtype=np.int64)
    first[groups[::-1]] = strata[::-1]
    for one, other in np.unique(np.column_stack([first[groups], strata]), axis=0).tolist():
        a, b = find(one), find(other)
        root[max(a, b)] = min(a, b)
    names = np.array([find(code) for code in range(len(root))], dtype=np.int64)
    return compact(names[first])


def _kinds(sums: Floats) -> _Stratum:
    """Clusters by their sums, sorted, so that neither names nor the order of rows matter."""
    grain = np.maximum(np.abs(sums).max(axis=0), 1e-300) * _GRAIN
    _, first, counts = np.unique(np.rint(sums / grain), axis=0, return_index=True, return_counts=True)
    return _Stratum(sums[first], counts.astype(np.int64))


def _resampled(stratum: _Stratum, number: int, resamples: int, rng: np.random.Generator) -> Floats:
    """Totals of `number` clusters drawn with replacement, shape (resamples, columns)."""
    size, kinds = stratum.size, len(stratum.clusters)
    by_kind = kinds * BINOMIAL < size
    sums = stratum.sums if by_kind else np.repeat(stratum.sums, stratum.clusters, axis=0)
    rows = max(1, CELLS // sums.size)
    chunks = [min(rows, resamples - start) for start in range(0, resamples, rows)]

    def chunk(times: int, source: np.random.Generator) -> Floats:
        if by_kind:
            counts = source.multinomial(number, stratum.clusters / size, size=times)
        elif size < FEW:
            counts = _counts_by_draw(size, number, times, source)
        else:
            counts = _counts_by_chance(size, number, times, source)
        return counts.astype(np.float64) @ sums

    sources = rng.spawn(len(chunks))
    if len(chunks) == 1:
        return chunk(chunks[0], sources[0])
    # Each chunk has its own generator: how many run at once changes nothing but the time.
    with ThreadPoolExecutor(WORKERS) as pool:
        return np.concatenate(list(pool.map(chunk, chunks, sources)))


def _counts_by_draw(size: int, number: int, times: int, rng: np.random.Generator) -> Ints:
    """How often each of `size` clusters comes up in `number` draws, shape (times, size)."""
    drawn = rng.integers(0, size, size=(times, number), dtype=np.int64)
    drawn += np.arange(times)[:, None] * size
    return np.bincount(drawn.ravel(), minlength=times * size).reshape(times, size)


def _counts_by_chance(size: int, number: int, times: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The same, several times faster where there are many clusters.

    Independent Poisson counts given their total are multinomial. So each cluster gets a Poisson count, its chances
    rounded to 2^-16, whose total stays a little short of `number`; the rest are drawn one by one.
    """
    # Four standard deviations short: a row in 30,000 exceeds `number`.
    mean = (number - 4 * math.sqrt(number)) / size
    chances = rng.integers(0, 2**64, size=times * size // 4 + 1, dtype=np.uint64).view(np.uint16)[: times * size]
    counts = np.zeros(times * size, dtype=np.uint8)
    for threshold in _poisson_thresholds(mean):
        counts += (chances >= threshold).view(np.uint8)
    counts = counts.reshape(times, size)
    missing = number - counts.sum(axis=1, dtype=np.int64)
    for row in np.flatnonzero(missing < 0):
        counts[row] = _counts_by_draw(size, number, 1, rng)[0]
    missing = np.maximum(missing, 0)
    extra = rng.integers(0, size, size=int(missing.sum()), dtype=np.int64)
    np.add.at(counts.ravel(), extra + np.repeat(np.arange(times) * size, missing), np.uint8(1))
    return counts


def _poisson_thresholds(mean: float) -> list[np.uint16]:
    """A uniform 16-bit number passes as many of these as a Poisson variable of this mean counts."""
    found: list[np.uint16] = []
    chance = below = math.exp(-mean)
    while round(below * 65536) < 65536:
        found.append(np.uint16(round(below * 65536)))
        chance *= mean / len(found)
        below += chance
    return found
