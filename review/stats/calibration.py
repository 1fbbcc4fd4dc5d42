"""Whether confidences mean what they say: ECE, Brier and its parts, the reliability curve, thresholds, old against new.

A system is three arrays of one length: `confidence` (the stated probability of being right, 0 to 1), `correct` (0 or 1)
and `clusters` (the prompt of each answer as a code from 0). Two systems are compared on the same answers, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Floats, Ints, cluster_se, clustered_mean, compact, t_quantile

BINS = 10
BIN_RULE = "10 bins of equal width, closed on the right: [0, .1], (.1, .2], …, (.9, 1]"
# As numpy spells these numbers; the published tables were made with exactly these edges.
EDGES = np.linspace(0, 1, BINS + 1)[1:-1]
THRESHOLDS = tuple(step / 20 for step in range(21))

POINTS = 100
BAND_RULE = (
    "Where the line of a system whose confidences are all true would lie 95 % of the time, point by point: outcomes "
    "drawn anew from the confidences, answers to one prompt as alike as they are here"
)
EMPTY = "there is no answer with both a confidence and a known correctness"
ONE_PROMPT = "there is only one prompt, and an interval needs at least two"


@dataclass(frozen=True)
class Bin:
    """One bin that holds something: its limits, how many answers, their mean confidence and the share correct."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float

    def to_json(self) -> dict[str, object]:
        """The bin as plain JSON values."""
        return {
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "confidence": self.confidence,
            "accuracy": self.accuracy,
        }


@dataclass(frozen=True)
class Ece:
    """The expected calibration error: 0 is perfect, 1 the worst. Descriptive; biased upwards when n is small."""

    value: float
    n: int
    rule: str
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, object]:
        """The error with its bin rule as plain JSON values."""
        return {"value": self.value, "n": self.n, "rule": self.rule, "bins": [each.to_json() for each in self.bins]}


@dataclass(frozen=True)
class Murphy:
    """Brier = reliability - resolution + uncertainty + within, on the bins of `rule`.

    Attributes:
        reliability: How far the bins' confidences are from the shares correct; 0 is perfect.
        resolution: How far the bins' shares correct are from the overall one; more is better.
        uncertainty: The overall share correct times its complement: the task's part, not the system's.
        within: What is left because confidences differ inside a bin.
        rule: The bins.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float
    rule: str

    def to_json(self) -> dict[str, object]:
        """The parts as plain JSON values."""
        return {
            "reliability": self.reliability,
            "resolution": self.resolution,
            "uncertainty": self.uncertainty,
            "within": self.within,
            "rule": self.rule,
        }


@dataclass(frozen=True)
class Corp:
    """Brier = miscalibration - discrimination + uncertainty, by isotonic regression; needs no bins.

    Attributes:
        miscalibration: What recalibration would win; 0 is perfect.
        discrimination: What the recalibrated confidences win over always saying the mean; more is better.
        uncertainty: The Brier score of always saying the mean.
    """

    miscalibration: float
    discrimination: float
    uncertainty: float

    def to_json(self) -> dict[str, object]:
        """The parts as plain JSON values."""
        return {
            "miscalibration": self.miscalibration,
            "discrimination": self.discrimination,
            "uncertainty": self.uncertainty,
            "rule": "isotonic regression (CORP)",
        }


@dataclass(frozen=True)
class CurvePoint:
    """One confidence of the reliability curve: the isotonic share correct there, and the band under calibration."""

    confidence: float
    correct: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, object]:
        """The point as plain JSON values."""
        return {
            "confidence": self.confidence,
            "correct": self.correct,
            "low": self.low,
            "high": self.high,
            "n": self.n,
        }


@dataclass(frozen=True)
class MeanChange:
    """A difference with its standard error, test statistic and two-sided p value."""

    estimate: Estimate
    se: float
    z: float
    p: float

    def to_json(self) -> dict[str, object]:
        """The difference as plain JSON values."""
        return {**self.estimate.to_json(), "se": self.se, "z": self.z, "p": self.p}


@dataclass(frozen=True)
class Routed:
    """What happens when the machine answers only from a confidence on: share answered, share wrong of the answered."""

    coverage: Result
    error: Result


@dataclass(frozen=True)
class Threshold:
    """One threshold: old, new and new minus old. A side that there is not is None, and so is the change then."""

    at: float
    old: Routed | None
    new: Routed | None
    coverage_change: Result | None
    error_change: Result | None

    def to_json(self) -> dict[str, object]:
        """The threshold as plain JSON values."""
        document: dict[str, object] = {"at": self.at}
        for name, routed in (("old", self.old), ("new", self.new)):
            if routed is not None:
                document[name] = {"coverage": routed.coverage.to_json(), "error": routed.error.to_json()}
        if self.coverage_change is not None and self.error_change is not None:
            document["change"] = {
                "coverage": self.coverage_change.to_json(),
                "error": self.error_change.to_json(),
            }
        return document


def expected_calibration_error(confidence: Floats, correct: Floats) -> Ece | NotEstimable:
    """The mean distance between confidence and share correct over the bins, weighted by their sizes.

    Args:
        confidence: Shape (n,), each in [0, 1].
        correct: Shape (n,), each 0 or 1.

    Source: Guo et al. 2017, eq. 5; golden vector "llm_confidence_ece" for the bins. Bins closed on the left give other
    numbers, because stated confidences sit on the edges (.8, .9).
    """
    n = len(confidence)
    if n == 0:
        return NotEstimable(EMPTY)
    index = np.digitize(confidence, EDGES, right=True)
    sizes = np.bincount(index, minlength=BINS)
    says, right = (np.bincount(index, weights=values, minlength=BINS) for values in (confidence, correct))
    bins = tuple(
        Bin(k / BINS, (k + 1) / BINS, int(sizes[k]), float(says[k] / sizes[k]), float(right[k] / sizes[k]))
        for k in range(BINS)
        if sizes[k]
    )
    return Ece(float(np.abs(says - right).sum()) / n, n, BIN_RULE, bins)


def brier(confidence: Floats, correct: Floats, clusters: Ints, level: float = 0.95) -> Result:
    """The mean squared distance of the confidence from 0 or 1, clustered by prompt; 0 is perfect, .25 always saying .5.

    Source: Brier 1950.
    """
    if len(confidence) == 0:
        return NotEstimable(EMPTY)
    return clustered_mean((confidence - correct) ** 2, clusters, level)


def murphy(confidence: Floats, correct: Floats) -> Murphy | NotEstimable:
    """Murphy's parts of the Brier score on the bins of the ECE, and what the bins leave over.

    Source: Murphy 1973; Stephenson, Coelho & Jolliffe 2008, Weather and Forecasting 23:752, for the within-bin part.
    """
    binned = expected_calibration_error(confidence, correct)
    if isinstance(binned, NotEstimable):
        return binned
    mean = float(correct.mean())
    share = [each.n / binned.n for each in binned.bins]
    parts = list(zip(share, binned.bins, strict=True))
    reliability = sum(w * (each.confidence - each.accuracy) ** 2 for w, each in parts)
    resolution = sum(w * (each.accuracy - mean) ** 2 for w, each in parts)
    uncertainty = mean * (1 - mean)
    score = float(((confidence - correct) ** 2).mean())
    within = score - (reliability - resolution + uncertainty)
    return Murphy(reliability, resolution, uncertainty, within, BIN_RULE)


def corp(confidence: Floats, correct: Floats) -> Corp | NotEstimable:
    """The Brier score's parts against the isotonic recalibration.

    Source: Dimitriadis, Gneiting & Jordan 2021, PNAS 118(8), eq. 4.
    """
    if len(confidence) == 0:
        return NotEstimable(EMPTY)
    groups = _groups(confidence)
    recalibrated = _isotonic(np.bincount(groups.code, weights=correct) / groups.sizes, groups.sizes)[groups.code]
    mean = float(correct.mean())
    score, best = (float(((values - correct) ** 2).mean()) for values in (confidence, recalibrated))
    uncertainty = mean * (1 - mean)
    # Isotonic regression is at least as good as either; rounding may leave it worse by 1e-17.
    return Corp(max(0.0, score - best), max(0.0, uncertainty - best), uncertainty)


def reliability_curve(
    confidence: Floats,
    correct: Floats,
    clusters: Ints,
    rng: np.random.Generator,
    resamples: int | None = None,
    level: float = 0.95,
) -> tuple[CurvePoint, ...]:
    """The isotonic share correct at each confidence, with the band in which a calibrated system's would lie.

    The band is a consistency band: outcomes are drawn anew as if every confidence were true, each answer by its
    prompt's common draw with probability sqrt(rho) and else by its own, so that two answers to one prompt correlate by
    the rho that the residuals show. More than POINTS different confidences are pooled into POINTS groups of neighbours.

    Args:
        confidence: Shape (n,), each in [0, 1].
        correct: Shape (n,), each 0 or 1.
        clusters: Shape (n,), codes from 0.
        rng: Makes the band repeatable.
        resamples: How many sets of outcomes are drawn; by default 300, and fewer from 20,000 answers on, whose band is
            thin anyhow.
        level: Of the band, point by point.

    Returns:
        Points by rising confidence; none when there is no answer.

    Source: Dimitriadis, Gneiting & Jordan 2021, PNAS 118(8), consistency bands, with clustering added.
    """
    if len(confidence) == 0:
        return ()
    groups = _groups(confidence, POINTS)
    found = _isotonic(np.bincount(groups.code, weights=correct) / groups.sizes, groups.sizes)
    prompts = compact(clusters)
    common = math.sqrt(_alike(found[groups.code], correct, prompts))
    order = np.argsort(groups.code, kind="stable")
    says, starts = confidence[order].astype(np.float32), np.cumsum(groups.sizes) - groups.sizes
    shared = np.flatnonzero(rng.random(len(says)) < common)
    prompt, many = prompts[order][shared], int(prompts.max()) + 1
    lines = np.empty((resamples or min(300, max(60, 6_000_000 // len(says))), len(starts)))
    for line in lines:
        draw = rng.random(len(says), dtype=np.float32)
        if common:
            draw[shared] = rng.random(many, dtype=np.float32)[prompt]
        line[:] = _isotonic(np.add.reduceat(draw < says, starts, dtype=np.int64) / groups.sizes, groups.sizes)
    low, high = np.quantile(lines, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return tuple(
        CurvePoint(float(mean), float(share), float(lower), float(upper), int(size))
        for mean, share, lower, upper, size in zip(groups.means, found, low, high, groups.sizes, strict=True)
    )


def brier_difference(
    old: tuple[Floats, Floats], new: tuple[Floats, Floats], clusters: Ints, level: float = 0.95
) -> MeanChange | NotEstimable:
    """The Brier score of new minus that of old over the same answers; negative means that new is better.

    Args:
        old: Confidence and correctness of old, shape (n,) each.
        new: The same of new, row by row.
        clusters: The prompt of each row, shape (n,).
        level: Confidence level.
    """
    return mean_difference((new[0] - new[1]) ** 2 - (old[0] - old[1]) ** 2, clusters, level)


def mean_difference(values: Floats, clusters: Ints, level: float = 0.95) -> MeanChange | NotEstimable:
    """The mean of paired differences, with a cluster-robust t interval and test on G-1 degrees of freedom.

    The standard error counts one prompt more than was seen, whose answers moved as far as is usual where any did, all
    the same way. With the plain one, intervals from 17 prompts of which few moved cover 91 %; where many moved it makes
    no difference.

    Args:
        values: New minus old, one a row, shape (n,).
        clusters: The prompt of each row, shape (n,).
        level: Confidence level.

    Source: Liang & Zeger 1986, with G/(G-1); Cameron & Miller 2015, J Human Resources 50:317, for the t quantile;
    Agresti & Min 2005, Stat Med 24:729, for the pseudo-observation.
    """
    n = len(values)
    if n == 0:
        return NotEstimable("no answer can be compared between old and new")
    codes = compact(clusters)
    groups = int(codes.max()) + 1
    if groups < 2:
        return NotEstimable(ONE_PROMPT)
    moved = np.bincount(codes, weights=np.abs(values))
    moved = moved[moved > 0]
    if not len(moved):
        return NotEstimable("old and new do not differ on any answer, so nothing shows how far chance could move it")
    mean = float(values.mean())
    seen = cluster_se(values - mean, codes) ** 2 * groups / (groups - 1)
    se = math.sqrt(seen + _dot(moved, moved) / len(moved) / n**2)
    half = t_quantile(level, groups - 1) * se
    estimate = Estimate(mean, mean - half, mean + half, level, n, groups, "cluster-robust t, by prompt")
    return MeanChange(estimate, se, mean / se, _p_value(mean / se, groups - 1))


def thresholds(
    old: tuple[Floats, Floats] | None,
    new: tuple[Floats, Floats] | None,
    clusters: Ints,
    at: Sequence[float] = THRESHOLDS,
    level: float = 0.95,
) -> tuple[Threshold, ...]:
    """What is answered and how much of it is wrong, if answers below a confidence go to a person.

    Args:
        old: Confidence and correctness of old, shape (n,) each; None when there is only new.
        new: The same of new, row by row.
        clusters: The prompt of each row, shape (n,).
        at: The thresholds; an answer is given when its confidence is at least the threshold.
        level: Confidence level.
    """
    rows: list[Threshold] = []
    clusters = compact(clusters)
    for threshold in at:
        sides = [None if side is None else _route(side, clusters, threshold, level) for side in (old, new)]
        first, second = sides
        coverage = error = None
        if first is not None and second is not None:
            coverage = _change(first.coverage, second.coverage, less=0.5)
            error = _change(first.error, second.error)
        rows.append(
            Threshold(
                threshold,
                None if first is None else Routed(first.coverage.result, first.error.result),
                None if second is None else Routed(second.coverage.result, second.error.result),
                coverage,
                error,
            )
        )
    return tuple(rows)


@dataclass(frozen=True)
class _Rate:
    """A rate and, per prompt, what its rows together add to the rate's error (times n)."""

    result: Result
    sums: Floats


@dataclass(frozen=True)
class _Route:
    coverage: _Rate
    error: _Rate


def _route(side: tuple[Floats, Floats], clusters: Ints, threshold: float, level: float) -> _Route:
    confidence, correct = side
    answered = confidence >= threshold
    inside = np.flatnonzero(answered)
    all_rows, n = np.bincount(clusters), max(1, len(confidence))
    rows, share = np.bincount(clusters[inside], minlength=len(all_rows)), len(inside) / n
    coverage = _Rate(clustered_mean(answered.astype(np.float64), clusters, level), rows - share * all_rows)
    if not len(inside):
        nothing = NotEstimable(f"no answer has a confidence of {threshold:g} or more")
        return _Route(coverage, _Rate(nothing, np.zeros(len(all_rows))))
    wrong, prompts = 1 - correct[inside], clusters[inside]
    excess = np.bincount(prompts, weights=wrong, minlength=len(all_rows)) - float(wrong.mean()) * rows
    return _Route(coverage, _Rate(clustered_mean(wrong, prompts, level), excess / share))


def _change(old: _Rate, new: _Rate, less: float = 0.0) -> Result:
    """New minus old of two rates over the same rows, from their own limits and their correlation (MOVER).

    Unlike a normal interval it keeps its width where a rate is 0 or 1. A positive correlation may be taken `less` rows
    smaller: for shares of all rows Newcombe's half a row, without which the intervals of small samples are too narrow.

    Source: Newcombe 1998, Stat Med 17:2635, method 10; Zou & Donner 2008, Stat Med 27:1693.
    """
    for rate in (old, new):
        if isinstance(rate.result, NotEstimable):
            return rate.result
    a, b = old.result, new.result
    assert isinstance(a, Estimate)
    assert isinstance(b, Estimate)
    spread = math.sqrt(_dot(old.sums, old.sums) * _dot(new.sums, new.sums))
    product = _dot(old.sums, new.sums)
    product = max(0.0, product - less) if product > 0 else product
    together = min(1.0, max(-1.0, product / spread)) if spread > 0 else 0.0
    down, up = b.value - b.low, b.high - b.value
    down_old, up_old = a.value - a.low, a.high - a.value
    change = b.value - a.value
    low = change - math.sqrt(max(0.0, down**2 + up_old**2 - 2 * together * down * up_old))
    high = change + math.sqrt(max(0.0, up**2 + down_old**2 - 2 * together * up * down_old))
    method = "from the limits of both rates and their correlation, by prompt (MOVER)"
    return Estimate(change, low, high, a.level, max(a.n, b.n), max(a.clusters, b.clusters), method)


@dataclass(frozen=True)
class _Groups:
    """Equal confidences (or neighbours) as groups by rising confidence: each row's group, sizes, mean confidences."""

    code: Ints
    sizes: Ints
    means: Floats


def _groups(confidence: Floats, most: int | None = None) -> _Groups:
    """Rows of equal confidence together; with `most`, neighbours too until there are at most so many groups."""
    values, code, sizes = np.unique(confidence, return_inverse=True, return_counts=True)
    if most is not None and len(values) > most:
        # The group in which the middle of a value's rows falls, when all rows are dealt out evenly.
        middle = np.cumsum(sizes) - (sizes + 1) / 2
        merged = compact((middle * most / len(confidence)).astype(np.int64))
        code = merged[code]
        sizes = np.bincount(code)
        values = np.bincount(code, weights=confidence) / sizes
    return _Groups(code.astype(np.int64), sizes.astype(np.int64), values)


def _isotonic(shares: Floats, sizes: Ints) -> Floats:
    """The rising sequence nearest to the shares, weighted by the sizes (pool adjacent violators)."""
    from scipy.optimize import isotonic_regression  # imported here: scipy loads slowly

    fit = cast(Any, isotonic_regression)(shares, weights=sizes)  # its result carries no types
    return np.clip(fit.x, 0.0, 1.0)


def _alike(expected: Floats, correct: Floats, clusters: Ints) -> float:
    """How much two answers to one prompt correlate beyond their expected values, 0 to 1."""
    residual, scale = correct - expected, np.sqrt(np.clip(expected * (1 - expected), 0, None))
    together = np.bincount(clusters, weights=residual)
    scales = np.bincount(clusters, weights=scale)
    pairs = _dot(scales, scales) - _dot(scale, scale)
    if pairs <= 1e-12:
        return 0.0
    return min(1.0, max(0.0, (_dot(together, together) - _dot(residual, residual)) / pairs))


def _dot(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """The inner product without BLAS, whose threads are slow to start on a busy machine."""
    return float((one * other).sum())


def _p_value(statistic: float, degrees: int) -> float:
    from scipy.special import stdtr  # imported here: scipy loads slowly

    return float(2 * stdtr(degrees, -abs(statistic)))
