"""Agreement among several raters with missing ratings: Krippendorff's alpha, Gwet's AC1, Fleiss' kappa.

Ratings come as counts, shape (units, classes): how many raters put the unit into the class. Units that fewer than
two people rated say nothing about agreement; what each coefficient does with them stands with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from review.stats.agreement import stretched
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import Floats, Ints, cluster_se

Metric = Literal["nominal", "ordinal", "interval", "ratio"]


@dataclass(frozen=True)
class RaterCoefficient:
    """A coefficient among several raters.

    Attributes:
        value: 1 is perfect, 0 is what chance gives.
        expected: Agreement expected by chance, below 1.
        se: Standard error for independent units.
        influence: Influence of each unit, shape (units,).
        agreement: Observed agreement of each unit, shape (units,), in [0, 1]; of no meaning where not paired.
        paired: Which units at least two people rated, shape (units,).
    """

    value: float
    expected: float
    se: float
    influence: Floats
    agreement: Floats
    paired: npt.NDArray[np.bool_]


def estimate(coefficient: RaterCoefficient | NotEstimable, clusters: Ints, level: float = 0.95) -> Result:
    """The coefficient with its interval, clustered by prompt; `clusters` has a code per unit, shape (units,)."""
    if isinstance(coefficient, NotEstimable):
        return coefficient
    agreement, paired = coefficient.agreement, coefficient.paired
    se = cluster_se(coefficient.influence, clusters)
    return stretched(coefficient.value, coefficient.expected, se, agreement[paired], clusters[paired], level)


def krippendorff_alpha(
    counts: Ints, metric: Metric = "nominal", values: Floats | None = None
) -> RaterCoefficient | NotEstimable:
    """Krippendorff's alpha: 1 - observed / expected disagreement. Units with one rating are left out.

    Args:
        counts: Shape (units, classes).
        metric: How far two classes lie apart.
        values: The numbers the classes stand for, shape (classes,); their order by default.

    Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability"; the krippendorff package.
    """
    c = counts.astype(np.float64)
    sizes = c.sum(axis=1)
    paired = sizes >= 2
    c, sizes = np.where(paired[:, None], c, 0.0), np.where(paired, sizes, 0.0)
    total = float(sizes.sum())
    if total == 0:
        return NotEstimable("no pair was labelled by two people")
    marginal = c.sum(axis=0)
    delta = _distances(metric, marginal, values)
    expected = float(marginal @ delta @ marginal) / (total * (total - 1))
    if expected <= 0:
        return NotEstimable("everybody gave one answer only, so agreement by chance cannot be told apart")
    scale = float(delta.max())
    # A unit of m ratings holds m(m-1) ordered pairs, each with weight 1/(m-1).
    unit = np.einsum("uc,cd,ud->u", c, delta, c) / np.maximum(sizes - 1, 1)
    observed = float(unit.sum()) / total
    value = 1 - observed / expected
    # First order: each unit moves the observed and the expected disagreement and the number of ratings.
    expected_move = (2 * c @ delta @ marginal - 2 * sizes * float(marginal @ delta @ marginal) / total) / total**2
    observed_move = (unit - observed * sizes) / total
    influence = len(c) * (observed / expected**2 * expected_move - observed_move / expected)
    agreement = 1 - unit / np.maximum(sizes, 1) / scale
    return RaterCoefficient(value, 1 - expected / scale, _plain_se(influence), influence, agreement, paired)


def _distances(metric: Metric, marginal: Floats, values: Floats | None) -> Floats:
    """Squared distances between classes, shape (classes, classes)."""
    v = np.arange(1, len(marginal) + 1, dtype=np.float64) if values is None else values
    gap = v[:, None] - v[None, :]
    if metric == "nominal":
        return (gap != 0).astype(np.float64)
    if metric == "interval":
        return gap**2
    if metric == "ratio":
        whole = v[:, None] + v[None, :]
        return np.square(np.divide(gap, whole, out=np.zeros_like(gap), where=whole != 0))
    upto = np.cumsum(marginal)
    rank = upto - marginal / 2
    return np.square(rank[:, None] - rank[None, :])


def gwet_ac1(counts: Ints) -> RaterCoefficient | NotEstimable:
    """Gwet's AC1 for several raters. Units with one rating count for the base rates, not for the agreement.

    Source: Gwet 2014, Handbook of Inter-Rater Reliability, ch. 5; irrCAC (CAC.gwet on raw ratings).
    """
    c = counts.astype(np.float64)
    sizes = c.sum(axis=1)
    if len(c) and sizes.min() < 1:
        raise ValueError("every unit needs at least one rating; leave out the others first")
    paired = sizes >= 2
    if not paired.any():
        return NotEstimable("no pair was labelled by two people")
    share = (c / sizes[:, None]).mean(axis=0)
    used = int(np.count_nonzero(share))
    if used < 2:
        return NotEstimable("everybody gave one answer only, so agreement by chance cannot be told apart")
    unit = (c * (c - 1)).sum(axis=1) / np.where(paired, sizes * (sizes - 1), 1)
    observed = float(unit[paired].mean())
    expected = float(share @ (1 - share)) / (used - 1)
    value = (observed - expected) / (1 - expected)
    lift = len(c) / int(paired.sum())
    unit_expected = (c @ (1 - share)) / sizes / (used - 1)
    linear = lift * np.where(paired, unit - expected, 0.0) / (1 - expected)
    linear = linear - 2 * (1 - value) * (unit_expected - expected) / (1 - expected)
    influence = linear - value
    return RaterCoefficient(value, expected, _plain_se(influence), influence, unit, paired)


def fleiss_kappa(counts: Ints) -> float | NotEstimable:
    """Fleiss' kappa; every unit needs the same number of ratings, at least two.

    Source: Fleiss 1971, Psychol Bull 76:378; statsmodels fleiss_kappa.
    """
    c = counts.astype(np.float64)
    sizes = np.unique(c.sum(axis=1))
    if len(sizes) != 1 or sizes[0] < 2:
        return NotEstimable("Fleiss' kappa needs the same number of labels, at least two, on every pair")
    m = float(sizes[0])
    share = c.sum(axis=0) / c.sum()
    observed = float(((c * (c - 1)).sum(axis=1) / (m * (m - 1))).mean())
    expected = float(share @ share)
    if expected >= 1 - 1e-12:
        return NotEstimable("everybody gave one answer only, so agreement by chance cannot be told apart")
    return (observed - expected) / (1 - expected)


def _plain_se(influence: Floats) -> float:
    """The standard error for independent units, with n(n-1) as in irrCAC."""
    n = len(influence)
    return math.sqrt(float(influence @ influence) / (n * (n - 1))) if n > 1 else 0.0
