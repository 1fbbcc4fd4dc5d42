"""Prediction-powered inference: a judge's verdicts on all pairs, corrected by people's labels on the drawn ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from review.stats.estimate import Estimate, NotEstimable
from review.stats.intervals import Bools, Floats, Ints, compact, normal_quantile, t_quantile
from review.stats.score import score_limits

PRIOR_DEGREES = 1.0
FOLDS = 5
_DECIMALS = 2


@dataclass(frozen=True)
class JudgeCorrected:
    """A mean estimated from labels and verdicts together.

    Attributes:
        estimate: The mean with its interval; `n` counts labelled rows and `clusters` their prompts.
        lam: How far the verdicts are used, 0 (labels alone) to 1 (verdicts in full); the mean over the folds.
        correlation: Of verdicts and labels within the strata; 1 - correlation^2 of the labels' variance is left when
            many more pairs have verdicts than labels. What labels_needed wants.
    """

    estimate: Estimate
    lam: float
    correlation: float | NotEstimable


def ppi_mean(
    labelled: Floats,
    predicted_labelled: Floats,
    predicted_unlabelled: Floats,
    lam: float | None = None,
    level: float = 0.95,
) -> JudgeCorrected | NotEstimable:
    """The textbook prediction-powered mean of independent units, with its large-sample interval.

    For comparison with published values; what the app shows is stratified_ppi.

    Args:
        labelled: People's value of each labelled unit, shape (n,).
        predicted_labelled: The judge's value of the same units, shape (n,).
        predicted_unlabelled: The judge's value of the units without a label, shape (N,).
        lam: 1 is PPI, 0 labels alone; None tunes it for the shortest interval within 0 to 1 (PPI++).
        level: Confidence level.

    Source: Angelopoulos et al. 2023 (Science 382:669); Angelopoulos, Duchi & Zrnic 2023
    (arXiv:2311.01453).
    """
    n, others = len(labelled), len(predicted_unlabelled)
    if len(predicted_labelled) != n:
        raise ValueError(f"{n} labels need {n} verdicts on the same units, got {len(predicted_labelled)}")
    if n < 2 or others < 2:
        return NotEstimable(f"at least two units with and two without labels are needed, got {n} and {others}")
    missing = sum(int(np.count_nonzero(np.isnan(part))) for part in (predicted_labelled, predicted_unlabelled))
    if missing:
        return NotEstimable(f"the judge has no verdict on {missing} of {n + others} units")
    if lam is None:
        verdicts: Floats = np.concatenate([predicted_labelled, predicted_unlabelled])
        together = float(verdicts.var(ddof=1))
        covariance = float((labelled - labelled.mean()) @ (predicted_labelled - predicted_labelled.mean())) / (n - 1)
        lam = min(1.0, max(0.0, covariance / ((1 + n / others) * together))) if together > 0 else 0.0
    rest = labelled - lam * predicted_labelled
    value = lam * float(predicted_unlabelled.mean()) + float(rest.mean())
    variance = float(rest.var()) / n + lam**2 * float(predicted_unlabelled.var()) / others
    half = normal_quantile(level) * math.sqrt(variance)
    method = "prediction-powered, normal, independent units"
    estimate = Estimate(value, value - half, value + half, level, n, n, method)
    return JudgeCorrected(estimate, lam, _correlation(labelled, predicted_labelled, np.ones(n), np.zeros(n, np.int64)))


@dataclass(frozen=True)
class _Drawn:
    """The labelled rows; arrays of shape (n,) but `shares` and `sizes`, which have shape (strata,).

    `pull` is what a row contributes to the mean: the stratum's share times its weight within the stratum.
    """

    values: Floats
    predicted: Floats
    prompts: Ints
    strata: Ints
    weights: Floats
    pull: Floats
    shares: Floats
    sizes: Floats


def stratified_ppi(
    values: Floats,
    labelled: Ints,
    predicted: Floats,
    clusters: Ints,
    strata: Ints,
    *,
    rng: np.random.Generator,
    sizes: Floats | None = None,
    weights: Floats | None = None,
    traffic: Floats | None = None,
    known_size: float = 0.0,
    known_value: float = 0.0,
    bounds: tuple[float, float] = (0.0, 1.0),
    finite: bool = False,
    level: float = 0.95,
    exclusions: Mapping[str, int] | None = None,
) -> JudgeCorrected | NotEstimable:
    """A mean over all traffic: verdicts on every pair of the frame, corrected by the labels on the drawn pairs.

    With e_i = y_i - lam f_i on the labelled and F_h the judge's mean over all pairs of a stratum, labelled ones
    included, the value is sum_h W_h (lam F_h + mean_h(e)). lam is the slope of labels on verdicts pooled over the
    strata, shrunk by its own uncertainty, kept within 0 to 1, and for each row computed from other prompts (folds).
    The labelled pairs belong to the frame; a prompt's influence is the sum of its labelled rows' e and of its frame
    rows' lam f, so their covariance counts. Shares of the strata are taken as known.

    Args:
        values: People's value of each labelled row, shape (n,), within bounds.
        labelled: Position in the frame of each labelled row, shape (n,); a pair may stand there several times.
        predicted: The judge's value of every pair of the frame, shape (N,), within bounds; NaN where it has none.
        clusters: The prompt of every pair of the frame as a code from 0, shape (N,).
        strata: The stratum of every pair of the frame as a code from 0, shape (N,).
        rng: Splits the prompts into folds.
        sizes: How much traffic each stratum stands for, shape (strata,); by default its pairs in the frame.
        weights: Design weight of each labelled row within its stratum, shape (n,), such as 1 / (pi x labels).
        traffic: How much each pair of the frame stands for within its stratum, above 0, shape (N,), such as 1 / pi of
            the sample that its trace came from; by default all count alike.
        known_size: Traffic beyond the strata whose value is known, such as identical outputs.
        known_value: That value, such as 0 for the difference of identical outputs.
        bounds: (0, 1) for a rate, (-1, 1) for a difference new minus old.
        finite: True where the claim is about this frame only; by default it is about traffic to come.
        level: Two-sided confidence level; for a one-sided test at alpha pass 1 - 2 alpha.
        exclusions: What the caller left out, printed with the estimate.

    Raises:
        ValueError: If shapes, codes, weights or values do not fit.

    Source: Fisch et al. 2024 (arXiv:2406.04291); PPI++ as in ppi_mean; review/docs/statistics.md, "Labels and
    verdicts together".
    """
    n = len(values)
    if n == 0:
        return NotEstimable("no pair of the frame has a label")
    missing = int(np.count_nonzero(np.isnan(predicted)))
    if missing:
        return NotEstimable(f"the judge has no verdict on {missing} of {len(predicted)} pairs of the frame")
    weight = np.ones(n) if weights is None else weights
    part = np.ones(len(predicted)) if traffic is None else traffic
    held = np.bincount(strata, part).astype(np.float64) if sizes is None else np.asarray(sizes, dtype=np.float64)
    _check(values, labelled, predicted, clusters, strata, weight, held, known_size, bounds)
    if len(part) != len(predicted) or not np.all(part > 0):
        raise ValueError("each pair of the frame stands for some traffic, above 0")
    empty = int(np.count_nonzero((np.bincount(strata[labelled], minlength=len(held)) == 0) & (held > 0)))
    if empty:
        return NotEstimable(f"{empty} of {len(held)} strata have no labels; draw pairs there, or merge strata")
    prompts = compact(clusters)
    count = len(np.unique(prompts[labelled]))
    if count < 2:
        return NotEstimable("there is only one labelled prompt, and an interval needs at least two")
    drawn = _drawn(values, labelled, predicted, prompts, strata, weight, held)
    lams = _cross_fitted(drawn, rng)
    lam, value, low, high = _limits(lams, drawn, predicted, prompts, strata, part, bounds, finite, count, level)
    reach = float(held.sum()) / (float(held.sum()) + known_size)
    constant = (1 - reach) * known_value
    value, low, high = (constant + reach * min(bounds[1], max(bounds[0], found)) for found in (value, low, high))
    method = "labels corrected by verdicts (PPI++, stratified), score interval at the effective sample size, by prompt"
    estimate = Estimate(value, low, high, level, n, count, method, dict(exclusions or {}))
    correlation = _correlation(drawn.values, drawn.predicted, drawn.pull**2, drawn.strata)
    return JudgeCorrected(estimate, lam, correlation)


def _limits(
    lams: Floats,
    drawn: _Drawn,
    predicted: Floats,
    prompts: Ints,
    strata: Ints,
    part: Floats,
    bounds: tuple[float, float],
    finite: bool,
    count: int,
    level: float,
) -> tuple[float, float, float, float]:
    """The mean lam, the value within the strata, and its limits, when the rows use these lams."""
    used = np.bincount(drawn.strata, drawn.pull * lams, len(drawn.shares))  # W_h times the mean lam of the stratum
    total = np.maximum(np.bincount(strata, part, len(used)), 1e-300)
    centres = np.bincount(strata, part * predicted, len(used)) / total
    rest = drawn.values - lams * drawn.predicted
    moved = used[strata] * (predicted - centres[strata]) * part / total[strata]
    frame = np.bincount(prompts, moved).astype(np.float64)
    below, above = _halves(drawn, rest, lams, frame, bounds, finite, count, level)
    value = float(drawn.pull @ rest) + float(used @ centres)
    return float(drawn.pull @ lams), value, value - below, value + above


def _check(
    values: Floats,
    labelled: Ints,
    predicted: Floats,
    clusters: Ints,
    strata: Ints,
    weights: Floats,
    sizes: Floats,
    known_size: float,
    bounds: tuple[float, float],
) -> None:
    """Refuse what would give a wrong number."""
    n, total = len(values), len(predicted)
    if not len(labelled) == len(weights) == n:
        raise ValueError(f"rows differ: {n} values, {len(labelled)} positions, {len(weights)} weights")
    if not len(clusters) == len(strata) == total:
        raise ValueError(f"the frame differs: {total} verdicts, {len(clusters)} clusters, {len(strata)} strata")
    if labelled.min() < 0 or labelled.max() >= total:
        raise ValueError(f"a labelled row's position lies in 0..{total - 1}, got {labelled.min()}..{labelled.max()}")
    if strata.min() < 0 or strata.max() >= len(sizes):
        raise ValueError(f"strata are codes from 0 to {len(sizes) - 1}, got {strata.min()} to {strata.max()}")
    if np.any(weights <= 0) or np.any(sizes < 0) or sizes.sum() <= 0 or known_size < 0:
        raise ValueError("design weights are above 0, sizes of strata 0 or more and not all 0")
    if bounds not in ((0.0, 1.0), (-1.0, 1.0)):
        raise ValueError(f"bounds are (0, 1) or (-1, 1), got {bounds}")
    for name, given in (("label", values), ("verdict", predicted)):
        if not np.all((given >= bounds[0]) & (given <= bounds[1])):
            raise ValueError(f"a {name}'s value lies in {bounds[0]:g}..{bounds[1]:g}")


def _drawn(
    values: Floats, labelled: Ints, predicted: Floats, prompts: Ints, strata: Ints, weights: Floats, traffic: Floats
) -> _Drawn:
    codes = strata[labelled]
    shares = traffic / traffic.sum()
    total = np.bincount(codes, weights, len(traffic))
    pull = shares[codes] * weights / total[codes]
    sizes = np.bincount(strata, minlength=len(traffic)).astype(np.float64)
    return _Drawn(values, predicted[labelled], prompts[labelled], codes, weights, pull, shares, sizes)


def _cross_fitted(drawn: _Drawn, rng: np.random.Generator) -> Floats:
    """The lam of each labelled row, computed without its prompt's fold."""
    seen = compact(drawn.prompts)
    folds = rng.permutation(int(seen.max()) + 1)[seen] % FOLDS
    lams = np.zeros(len(folds))
    for fold in range(FOLDS):
        lams[folds == fold] = _slope(drawn, folds != fold)
    return lams


def _slope(drawn: _Drawn, rows: Bools) -> float:
    """The slope of labels on verdicts within strata that gives the shortest interval, shrunk by its own variance.

    Shrinking by 1 - (se / slope)^2 keeps a useless judge from costing what its noisy slope would cost.
    """
    square = drawn.pull[rows] ** 2
    y = _centred(drawn.values[rows], drawn.weights[rows], drawn.strata[rows])
    f = _centred(drawn.predicted[rows], drawn.weights[rows], drawn.strata[rows])
    spread = float(square @ (f * f))
    slope = float(square @ (f * y)) / spread if spread > 1e-15 else 0.0
    if slope <= 0:
        return 0.0
    scores = np.bincount(compact(drawn.prompts[rows]), square * f * (y - slope * f))
    variance = float(scores @ scores) / spread**2
    return min(1.0, slope * max(0.0, 1 - variance / slope**2))


def _centred(values: Floats, weights: Floats, codes: Ints) -> Floats:
    """Values minus their stratum's weighted mean."""
    means = np.bincount(codes, weights * values) / np.maximum(np.bincount(codes, weights), 1e-300)
    return values - means[codes]


def _correlation(y: Floats, f: Floats, weights: Floats, codes: Ints) -> float | NotEstimable:
    """The pooled correlation within strata."""
    dy, df = _centred(y, weights, codes), _centred(f, weights, codes)
    product = math.sqrt(float(weights @ dy**2) * float(weights @ df**2))
    if product <= 1e-15:
        return NotEstimable("labels or verdicts do not vary within the strata")
    return min(1.0, max(-1.0, float(weights @ (dy * df)) / product))


def _halves(
    drawn: _Drawn,
    rest: Floats,
    lams: Floats,
    frame: Floats,
    bounds: tuple[float, float],
    finite: bool,
    prompts: int,
    level: float,
) -> tuple[float, float]:
    """How far the limits lie below and above the value.

    Labels: a score interval for the mean of e at its effective sample size, so that a judge whose errors happen to be
    unseen in these labels is not taken for a perfect one. Frame: cluster-robust, added in quadrature (MOVER).
    """
    quantile = t_quantile(level, prompts - 1)
    centred = _centred(rest, drawn.weights, drawn.strata)
    own = np.bincount(drawn.prompts, drawn.pull * centred, len(frame)).astype(np.float64)
    overlap = 0.0 if finite else max(0.0, 2 * float(own @ frame))
    atoms, where = np.unique(np.round(rest, _DECIMALS), return_inverse=True)
    found = np.bincount(where, drawn.pull).astype(np.float64)
    spread = float(found @ atoms**2) - float(found @ atoms) ** 2
    size = _effective_size(drawn, rest, centred, own, spread, overlap, finite)
    steps, counts = _with_ends(atoms, found * size, float(lams.max()), bounds)
    low, high = score_limits(counts, steps, quantile)
    about = float(found @ atoms)
    other = 0.0 if finite else quantile * math.sqrt(float(frame @ frame))
    return math.hypot(about - min(low, about), other), math.hypot(max(high, about) - about, other)


def _with_ends(atoms: Floats, counts: Floats, lam: float, bounds: tuple[float, float]) -> tuple[Floats, Floats]:
    """The values of e seen, and the ends that a single unseen error of the judge could reach."""
    bottom, top = (-lam if bounds[0] == 0 else -1.0), 1.0
    if atoms[0] > bottom:
        atoms, counts = np.append(bottom, atoms), np.append(0.0, counts)
    if atoms[-1] < top:
        atoms, counts = np.append(atoms, top), np.append(counts, 0.0)
    return atoms, counts


def _effective_size(
    drawn: _Drawn, rest: Floats, centred: Floats, own: Floats, spread: float, overlap: float, finite: bool
) -> float:
    """How many independent pairs would tell as much about the mean of e; at most twice those labelled.

    As in stratified_difference: each stratum borrows PRIOR_DEGREES degrees of freedom from all of them, and the
    variance is inflated by the design effect of the prompts, at least 1.
    """
    strata, n = len(drawn.shares), len(rest)
    left = 1 - min(1.0, n / float(drawn.sizes.sum())) if finite else 1.0
    most = 2.0 * n / max(left, 1e-9)
    used = drawn.shares > 0
    total = np.maximum(np.bincount(drawn.strata, drawn.weights, strata), 1e-300)
    labels = np.maximum(total**2 / np.maximum(np.bincount(drawn.strata, drawn.weights**2, strata), 1e-300), 1e-300)
    pairs = np.unique(drawn.strata * len(own) + drawn.prompts) // len(own)
    prompts = np.bincount(pairs, minlength=strata).astype(np.float64)
    if spread <= 1e-12:
        # No error of the judge was seen; those unseen are taken to share prompts as the labels do.
        own_values = _centred(drawn.values, drawn.weights, drawn.strata)
        told = labels / _design_effect(drawn, own_values, prompts)
        return min(most, float((np.maximum(np.minimum(prompts, labels), told)[used] / drawn.shares[used]).min()))
    squares = np.bincount(drawn.strata, drawn.weights * centred**2, strata) / total * labels
    pooled = float(rest.var()) * n / (n - 1)
    variances = (squares + PRIOR_DEGREES * pooled) / (np.maximum(labels - 1, 0) + PRIOR_DEGREES)
    if finite:
        variances = variances * (1 - np.minimum(1.0, np.bincount(drawn.strata, minlength=strata) / drawn.sizes))
    variance = float((drawn.shares**2 * variances / labels)[used].sum())
    return min(most, spread / max(variance * _design_effect(drawn, centred, prompts) + overlap, 1e-300))


def _design_effect(drawn: _Drawn, centred: Floats, prompts: Floats) -> float:
    """How much more the mean of e varies because rows share prompts; at least 1."""
    rows = np.bincount(drawn.strata, minlength=len(prompts)).astype(np.float64)
    influence = np.where(prompts[drawn.strata] >= 2, drawn.pull * centred, 0.0)
    alone = np.sqrt(rows / np.maximum(rows - 1, 1))[drawn.strata] * influence
    together = np.bincount(
        compact(drawn.prompts), np.sqrt(prompts / np.maximum(prompts - 1, 1))[drawn.strata] * influence
    )
    plain = float(alone @ alone)
    return max(1.0, float(together @ together) / plain) if plain > 0 else len(centred) / len(together)
