"""Agreement beyond chance between two raters: raw, Cohen's kappa (weighted too) and Gwet's AC1 with intervals.

Classes are integer codes. Kappa depends on the orientation of the classes, so they are always old/new, never
left/right. Every coefficient here is (observed - expected) / (1 - expected); its interval is the interval of the
observed agreement stretched by the ratio of both cluster-robust standard errors. That keeps the skew of a rate near
1, which a plus-minus interval loses (simulated in tests/unit/test_stats_coverage.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Floats, Ints, cluster_se, clustered_mean


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
    counts = np.asarray(table, dtype=np.float64)
    total = float(counts.sum())
    if total <= 0:
        return NotEstimable("no pair was rated by both")
    p = counts / total
    w = np.eye(len(p)) if weights is None else weights
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    expected = float(rows @ w @ columns)
    expected_influence = (w @ columns)[:, None] + (rows @ w)[None, :] - 2 * expected
    return _corrected(p, w, expected, expected_influence, total)


def gwet_ac1(table: npt.ArrayLike) -> Coefficient | NotEstimable:
    """Gwet's AC1 of a square table of counts; classes that nobody used do not count.

    Source: Gwet 2008, Br J Math Stat Psychol 61:29; irrCAC (CAC.gwet).
    """
    counts = np.asarray(table, dtype=np.float64)
    total = float(counts.sum())
    if total <= 0:
        return NotEstimable("no pair was rated by both")
    p = counts / total
    share = (p.sum(axis=1) + p.sum(axis=0)) / 2
    used = int(np.count_nonzero(share))
    if used < 2:
        return NotEstimable("both used one class only, so agreement by chance cannot be told apart")
    expected = float(share @ (1 - share)) / (used - 1)
    slope = -(share[:, None] + share[None, :]) / (used - 1)
    return _corrected(p, np.eye(len(p)), expected, slope - float((p * slope).sum()), total)


def _corrected(
    p: Floats, w: Floats, expected: float, expected_influence: Floats, total: float
) -> Coefficient | NotEstimable:
    """(observed - expected) / (1 - expected) with the delta method applied to both."""
    if expected >= 1 - 1e-12:
        return NotEstimable("both used one class only, so agreement by chance cannot be told apart")
    observed = float((p * w).sum())
    value = (observed - expected) / (1 - expected)
    influence = (w - observed) / (1 - expected) - (1 - observed) / (1 - expected) ** 2 * expected_influence
    se = math.sqrt(float((p * influence**2).sum()) / total)
    return Coefficient(value, observed, expected, se, influence, w)


def raw_estimate(rows: Ints, columns: Ints, clusters: Ints, level: float = 0.95) -> Result:
    """The share of pairs on which both gave the same class, clustered by prompt."""
    return clustered_mean((rows == columns).astype(np.float64), clusters, level)


def coefficient_estimate(
    coefficient: Coefficient | NotEstimable, rows: Ints, columns: Ints, clusters: Ints, level: float = 0.95
) -> Result:
    """A coefficient of the table of these rows and columns with its interval, clustered by prompt.

    Args:
        coefficient: What cohen_kappa or gwet_ac1 gave for contingency(rows, columns).
        rows: One rater's classes, shape (n,).
        columns: The other's, shape (n,).
        clusters: Prompt codes from 0, shape (n,).
        level: Confidence level.
    """
    if isinstance(coefficient, NotEstimable):
        return coefficient
    agreement, influence = coefficient.agreement[rows, columns], coefficient.influence[rows, columns]
    se = cluster_se(influence, clusters)
    return stretched(coefficient.value, coefficient.expected, se, agreement, clusters, level)


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
