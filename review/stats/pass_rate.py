"""A pass rate over cases that were asked several times and judged with known errors, and how many cases are missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from review.stats.corrected import judge_corrected_rate
from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Bools, Floats, Ints, cluster_se, clustered_mean, compact, effective_size
from review.stats.planning import MOST, labels_needed


@dataclass(frozen=True)
class JudgeErrors:
    """What people said about a judge's verdicts "passed" and "failed".

    Attributes:
        true_positive: Answers that pass, by people, and by the judge.
        positives: Answers that pass, by people.
        true_negative: Answers that fail, by people, and by the judge.
        negatives: Answers that fail, by people.
    """

    true_positive: int
    positives: int
    true_negative: int
    negatives: int


def pass_rate(
    passes: Floats,
    clusters: Ints,
    by_judge: Bools,
    errors: JudgeErrors | None,
    *,
    level: float = 0.95,
    exclusions: Mapping[str, int] | None = None,
) -> Result:
    """The share of cases that pass, with repeats, the judge's errors and repeated prompts in the interval.

    Cases that a judge decided are corrected by Rogan and Gladen at their effective number, which repeats of one case
    do not raise; the others stand as they are. Both are joined with their shares (MOVER).

    Args:
        passes: Of each case the share of its repeats that pass, shape (cases,).
        clusters: The prompt of each case as a code from 0, shape (cases,).
        by_judge: Whether a judge decided it, shape (cases,).
        errors: The judge's; needed where it decided any case.
        level: Confidence level.
        exclusions: What the caller left out.
    """
    n = len(passes)
    if n == 0:
        return NotEstimable("no case was decided")
    if by_judge.any() and errors is None:
        return NotEstimable("people have said of no answer whether the judge decided it rightly")
    parts: list[tuple[float, Result]] = []
    if (~by_judge).any():
        plain = clustered_mean(passes[~by_judge], compact(clusters[~by_judge]), level)
        parts.append((float((~by_judge).mean()), plain))
    if errors is not None and by_judge.any():
        judged = _corrected(passes[by_judge], compact(clusters[by_judge]), errors, level)
        parts.append((float(by_judge.mean()), judged))
    whole = mixture(parts, n, len(np.unique(clusters)), level)
    return whole if isinstance(whole, NotEstimable) else replace(whole, exclusions=dict(exclusions or {}))


def _corrected(passes: Floats, clusters: Ints, errors: JudgeErrors, level: float) -> Result:
    """The judged cases at their effective number, corrected for the judge's errors."""
    n, groups = len(passes), int(clusters.max()) + 1
    mean = float(passes.mean())
    se = cluster_se(passes - mean, clusters) * math.sqrt(groups / max(1, groups - 1))
    # Repeats make a case's own share sharper, not more cases; a judge's errors may be the same in all of them.
    size = min(effective_size(mean, se, n, groups), float(groups))
    counts = (errors.true_positive, errors.positives, errors.true_negative, errors.negatives)
    return judge_corrected_rate(mean * size, size, *counts, level=level)


def mixture(
    parts: Sequence[tuple[float, Result]],
    n: int,
    clusters: int,
    level: float,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Result:
    """A mixture of independent estimates by their shares, which add up to 1; all at the same level.

    Source: Zou & Donner 2008, Stat Med 27:1693 (MOVER).
    """
    found = [(share, each) for share, each in parts if isinstance(each, Estimate)]
    for _, each in parts:
        if isinstance(each, NotEstimable):
            return each
    value = sum(share * each.value for share, each in found)
    below = math.sqrt(sum((share * (each.value - each.low)) ** 2 for share, each in found))
    above = math.sqrt(sum((share * (each.high - each.value)) ** 2 for share, each in found))
    methods = " and ".join(dict.fromkeys(each.method for _, each in found))
    return Estimate(value, max(bounds[0], value - below), min(bounds[1], value + above), level, n, clusters, methods)


def further_cases(rate: Estimate, floor: float, *, alpha: float, power: float) -> int | NotEstimable:
    """Cases beyond those of `rate` with which its lower limit lies above the floor, if the rate stays what it is.

    Each further case is supposed to narrow the interval as the present ones did: (half-width / z)^2 falls with 1 / n.
    """
    from review.stats.intervals import normal_quantile

    room = rate.value - floor
    if room <= 0:
        return NotEstimable("the rate seen is not above the floor; more cases would rather show a failure")
    half = max(rate.value - rate.low, 1e-9)
    row = rate.n * (half / normal_quantile(rate.level)) ** 2
    needed = labels_needed(row, room, alpha=alpha, power=power)
    if isinstance(needed, NotEstimable):
        return NotEstimable(f"more than {MOST:,} cases: the rate lies too close to the floor")
    # The interval of a rate near 1 falls with 1 / n and not with its root: then fewer do.
    return max(1, needed - rate.n)
