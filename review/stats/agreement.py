"""Agreement beyond chance between two raters: raw, Cohen's kappa (weighted too) and Gwet's AC1 with intervals.

Classes are integer codes. Kappa depends on the orientation of the classes, so they are always old/new, never
left/right. Every coefficient here is (observed - expected) / (1 - expected); its interval is the interval of the
observed agreement stretched by the ratio of both cluster-robust standard errors. That keeps the skew of a rate near
1, which a plus-minus interval loses (simulated in tests/unit/test_stats_coverage.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import LARGE_CLUSTERS, Floats, Ints, cluster_se, clustered_mean

ONE_CLASS = "both used one answer only, so agreement by chance cannot be told apart"


@dataclass(frozen=True)
class Coefficient:
    """A chance-corrected coefficient of one table, with its first-order influence in each cell.

    Attributes:
        value: The coefficient; 1 is perfect, 0 is what chance gives.
        observed: Observed (weighted) agreement, in [0, 1].
        expected: Agreement expected by chance, below 1.
        se: Standard error for independent pairs (delta method).
        influence: What one more pair in a cell does to the value, shape (k, k).
        agreement: The weight of each cell as agreement, shape (k, k); the identity when unweighted.
    """

    value: float
    observed: float
    expected: float
    se: float
    influence: Floats
    agreement: Floats


def contingency(rows: Ints, columns: Ints, size: int) -> npt.NDArray[np.int64]:
    """The square table of counts, shape (size, size), rows by the first rater."""
    cells = np.bincount(rows * size + columns, minlength=size * size)
    return cells.reshape(size, size).astype(np.int64)


def linear_weights(size: int) -> Floats:
    """Agreement weights for ordered classes: 1 on the diagonal, 0 at the far corners."""
    codes = np.arange(size, dtype=np.float64)
    return 1 - np.abs(codes[:, None] - codes[None, :]) / max(size - 1, 1)


def cohen_kappa(table: npt.ArrayLike, weights: Floats | None = None) -> Coefficient | NotEstimable:
    """Cohen's kappa of a square table of counts (or proportions).

    Args:
        table: Shape (k, k), rows one rater, columns the other.
        weights: Agreement weights with 1 on the diagonal, shape (k, k); None counts only the diagonal.

    Returns:
        The coefficient, or why there is none: chance agreement is 1 when both used one class only.

    Source: Cohen 1960, 1968; variance of Fleiss, Cohen & Everitt 1969, as in statsmodels cohens_kappa.
    """
    p, total = _proportions(table)
    if total <= 0:
        return NotEstimable("no pair was rated by both")
    w = np.eye(len(p)) if weights is None else weights
    expected = float(_kappa_chance(p, w))
    slope = (w @ p.sum(axis=0))[:, None] + (p.sum(axis=1) @ w)[None, :]
    return _corrected(p, w, expected, slope - 2 * expected, total)


def gwet_ac1(table: npt.ArrayLike) -> Coefficient | NotEstimable:
    """Gwet's AC1 of a square table of counts; classes that nobody used do not count.

    Source: Gwet 2008, Br J Math Stat Psychol 61:29; irrCAC (CAC.gwet).
    """
    p, total = _proportions(table)
    if total <= 0:
        return NotEstimable("no pair was rated by both")
    share = (p.sum(axis=1) + p.sum(axis=0)) / 2
    used = int(np.count_nonzero(share))
    if used < 2:
        return NotEstimable(ONE_CLASS)
    slope = -(share[:, None] + share[None, :]) / (used - 1)
    return _corrected(p, np.eye(len(p)), float(_ac1_chance(p)), slope - float((p * slope).sum()), total)


def _proportions(table: npt.ArrayLike) -> tuple[Floats, float]:
    """A table as shares of its total, and the total."""
    counts = np.asarray(table, dtype=np.float64)
    total = float(counts.sum())
    return counts / max(total, 1e-300), total


def _kappa_chance(p: Floats, w: Floats) -> Floats:
    """Chance agreement of kappa for tables of shape (..., k, k)."""
    return np.einsum("...i,ij,...j->...", p.sum(axis=-1), w, p.sum(axis=-2))


def _ac1_chance(p: Floats) -> Floats:
    """Chance agreement of AC1 for tables of shape (..., k, k)."""
    share = (p.sum(axis=-1) + p.sum(axis=-2)) / 2
    used = np.count_nonzero(share, axis=-1)
    return (share * (1 - share)).sum(axis=-1) / np.maximum(used - 1, 1)


def _corrected(
    p: Floats, w: Floats, expected: float, expected_influence: Floats, total: float
) -> Coefficient | NotEstimable:
    """(observed - expected) / (1 - expected) with the delta method applied to both."""
    if expected >= 1 - 1e-12:
        return NotEstimable(ONE_CLASS)
    observed = float((p * w).sum())
    value = (observed - expected) / (1 - expected)
    influence = (w - observed) / (1 - expected) - (1 - observed) / (1 - expected) ** 2 * expected_influence
    se = math.sqrt(float((p * influence**2).sum()) / total)
    return Coefficient(value, observed, expected, se, influence, w)


def raw_estimate(rows: Ints, columns: Ints, clusters: Ints, level: float = 0.95) -> Result:
    """The share of pairs on which both gave the same class, clustered by prompt."""
    return clustered_mean((rows == columns).astype(np.float64), clusters, level)


def kappa_estimate(
    rows: Ints, columns: Ints, size: int, clusters: Ints, level: float = 0.95, weights: Floats | None = None
) -> Result:
    """Cohen's kappa of two raters' classes with its interval, clustered by prompt.

    With less than 100 prompts the standard error comes from leaving out one prompt after the other, because the
    first-order one is too small where one class is rare.

    Args:
        rows: One rater's classes, codes below `size`, shape (n,).
        columns: The other's, shape (n,).
        size: Number of classes.
        clusters: Prompt codes from 0, shape (n,).
        level: Confidence level.
        weights: Agreement weights of ordered classes, shape (size, size).
    """
    w = np.eye(size) if weights is None else weights
    coefficient = cohen_kappa(contingency(rows, columns, size), w)
    return _estimate(coefficient, lambda p: _kappa_chance(p, w), rows, columns, clusters, level)


def ac1_estimate(rows: Ints, columns: Ints, size: int, clusters: Ints, level: float = 0.95) -> Result:
    """Gwet's AC1 of two raters' classes with its interval; arguments as in kappa_estimate."""
    coefficient = gwet_ac1(contingency(rows, columns, size))
    return _estimate(coefficient, _ac1_chance, rows, columns, clusters, level)


def _estimate(
    coefficient: Coefficient | NotEstimable,
    chance: Callable[[Floats], Floats],
    rows: Ints,
    columns: Ints,
    clusters: Ints,
    level: float,
) -> Result:
    """A coefficient with its interval: jackknife over few prompts, first order over many."""
    if isinstance(coefficient, NotEstimable):
        return coefficient
    agreement = coefficient.agreement[rows, columns]
    groups = int(clusters.max()) + 1
    se = cluster_se(coefficient.influence[rows, columns], clusters)
    if groups < LARGE_CLUSTERS:
        left_out = _leave_one_out(rows, columns, clusters, groups, coefficient.agreement, chance)
        if len(left_out) == groups:
            # cluster_se carries no G/(G-1); neither may this one, because both are divided by each other.
            se = math.sqrt(float(np.square(left_out - left_out.mean()).sum())) * (groups - 1) / groups
    return stretched(coefficient.value, coefficient.expected, se, agreement, clusters, level)


def _leave_one_out(
    rows: Ints, columns: Ints, clusters: Ints, groups: int, w: Floats, chance: Callable[[Floats], Floats]
) -> Floats:
    """The coefficient without each prompt in turn, shape (groups,); shorter where one of them has no value."""
    size = len(w)
    cells = np.bincount((clusters * size + rows) * size + columns, minlength=groups * size * size)
    tables = cells.reshape(groups, size, size).astype(np.float64)
    rest = tables.sum(axis=0) - tables
    totals = rest.sum(axis=(1, 2))
    p = rest[totals > 0] / totals[totals > 0, None, None]
    expected = chance(p)
    usable = expected < 1 - 1e-12
    observed = (p * w).sum(axis=(1, 2))
    return (observed[usable] - expected[usable]) / (1 - expected[usable])


def stretched(value: float, expected: float, se: float, agreement: Floats, clusters: Ints, level: float) -> Result:
    """The interval of the observed agreement carried over to (observed - expected) / (1 - expected).

    Args:
        value: The coefficient.
        expected: Agreement expected by chance, below 1.
        se: Cluster-robust standard error of the coefficient.
        agreement: Observed agreement of each row, in [0, 1], shape (n,).
        clusters: Prompt codes of these rows from 0, shape (n,).
        level: Confidence level.
    """
    observed = clustered_mean(agreement, clusters, level)
    if isinstance(observed, NotEstimable):
        return observed
    spread = cluster_se(agreement - observed.value, clusters)
    # Where agreement is perfect there is no spread to compare: a change of the observed share counts 1/(1-expected).
    ratio = se / spread if spread > 1e-12 else 1 / (1 - expected)
    return Estimate(
        value=value,
        low=min(value, max(-1.0, value - ratio * (observed.value - observed.low))),
        high=max(value, min(1.0, value + ratio * (observed.high - observed.value))),
        level=level,
        n=observed.n,
        clusters=observed.clusters,
        method=f"{observed.method}, stretched to the coefficient",
    )
