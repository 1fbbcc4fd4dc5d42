"""Precision, recall and F1 of a judge against people, and tests that both used the classes equally often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from review.stats.estimate import NotEstimable


@dataclass(frozen=True)
class MacroScores:
    """Means over the classes that people used; a class the judge never named has precision 0, as in scikit-learn."""

    precision: float
    recall: float
    f1: float


def macro_scores(table: npt.ArrayLike) -> MacroScores | NotEstimable:
    """Macro precision, recall and F1 of a square table, rows people (the truth), columns the judge."""
    counts = np.asarray(table, dtype=np.float64)
    used: npt.NDArray[np.bool_] = (counts.sum(axis=0) + counts.sum(axis=1)) > 0
    if not used.any():
        return NotEstimable("no pair has both a label and a verdict")
    hits = np.diag(counts)[used]
    named, true = counts.sum(axis=0)[used], counts.sum(axis=1)[used]
    precision = hits / np.maximum(named, 1)
    recall = hits / np.maximum(true, 1)
    f1 = 2 * hits / (named + true)
    return MacroScores(float(precision.mean()), float(recall.mean()), float(f1.mean()))


@dataclass(frozen=True)
class ChiSquare:
    """A chi-square statistic with its degrees of freedom and p value."""

    statistic: float
    degrees: int
    p: float


def bowker(table: npt.ArrayLike) -> ChiSquare | NotEstimable:
    """Bowker's test that a square table is symmetric; cells that are empty both ways count no degree of freedom.

    Source: Bowker 1948; statsmodels SquareTable(shift_zeros=False).symmetry().
    """
    counts = np.asarray(table, dtype=np.float64)
    upper, lower = np.triu_indices(len(counts), 1)
    there, back = counts[upper, lower], counts[lower, upper]
    seen = there + back > 0
    if not seen.any():
        return NotEstimable("all pairs lie on the diagonal")
    statistic = float(((there - back)[seen] ** 2 / (there + back)[seen]).sum())
    return _chi_square(statistic, int(seen.sum()))


def stuart_maxwell(table: npt.ArrayLike) -> ChiSquare | NotEstimable:
    """The Stuart-Maxwell test that rows and columns of a square table use the classes equally often.

    Source: Stuart 1955, Maxwell 1970; statsmodels SquareTable(shift_zeros=False).homogeneity().
    """
    counts = np.asarray(table, dtype=np.float64)
    used: npt.NDArray[np.bool_] = (counts.sum(axis=0) + counts.sum(axis=1)) > 0
    counts = counts[used][:, used]
    if len(counts) < 2:
        return NotEstimable("fewer than two classes were used")
    gap: npt.NDArray[np.float64] = (counts.sum(axis=1) - counts.sum(axis=0))[:-1]
    margins: npt.NDArray[np.float64] = counts.sum(axis=1) + counts.sum(axis=0)
    covariance: npt.NDArray[np.float64] = (np.diag(margins) - counts - counts.T)[:-1, :-1]
    if np.linalg.matrix_rank(covariance) < len(gap):
        return NotEstimable("too few pairs off the diagonal")
    return _chi_square(float(gap @ np.linalg.solve(covariance, gap)), len(gap))


def _chi_square(statistic: float, degrees: int) -> ChiSquare:
    """The statistic with its upper tail."""
    from scipy.special import chdtrc  # imported here: scipy takes longer to load than a page to draw

    return ChiSquare(statistic, degrees, float(chdtrc(degrees, statistic)))
