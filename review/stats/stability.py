"""Has the traffic itself changed: shares of clusters against earlier ones, and rates and means of what is measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from review.stats.change import change
from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Floats, Ints, cluster_se, clustered_mean, t_quantile

# The usual words for an index of population stability: below .1 nothing, above .25 a lot.
MODERATE = 0.1
_DRAWS = 2000
_SEED = 20_260_302

Population = Literal["stable", "shifted", "too few"]


@dataclass(frozen=True)
class Stability:
    """How far shares are from earlier ones.

    Attributes:
        psi: The index, sum of (after - before) log(after / before): 0 the same shares, without an upper end.
        by_chance: What it is on average between two samples of this size from one population.
        upper: What it exceeds by chance in a share `alpha` of such samples.
        p: How often chance alone gives an index this large.
        verdict: "shifted" where it is beyond chance, and what is left of it without chance is at least MODERATE; "too
            few" where chance alone would often give as much, so that a shift could not be told; else "stable".
        shares: By name: (before, after).
        new: Names that did not occur before and are beyond chance, by how often they occur now.
        n_before: Observations before.
        n_after: Observations after.
    """

    psi: float
    by_chance: float
    upper: float
    p: float
    verdict: Population
    shares: dict[str, tuple[float, float]]
    new: dict[str, int]
    n_before: int
    n_after: int

    def to_json(self) -> dict[str, Any]:
        """The index as plain JSON values."""
        return {
            "psi": self.psi,
            "by_chance": self.by_chance,
            "upper": self.upper,
            "p": self.p,
            "verdict": self.verdict,
            "shares": {name: list(both) for name, both in self.shares.items()},
            "new": self.new,
            "n_before": self.n_before,
            "n_after": self.n_after,
        }


def psi(
    before: Mapping[str, int],
    after: Mapping[str, int],
    *,
    alpha: float = 0.001,
    design_effect: float = 1.0,
    seed: int = _SEED,
) -> Stability | NotEstimable:
    """The population stability index of counts, held against what two samples of one population would show.

    Both samples are pooled and parted anew at random 2,000 times (a permutation test, exact but for the number of
    draws), so a small sample or a rare cluster alarms no more often than a large one. Half an observation is added to
    each count, because a share of 0 has no logarithm.

    Args:
        before: Observations by name (a cluster) of the reference.
        after: The same of the traffic that is watched; names of either may lack in the other.
        alpha: How often chance alone may be called a shift, at one look. Small, because one looks often.
        design_effect: By how much observations that belong together (a conversation) count for less than one each.
        seed: Of the draws; the same gives the same.

    Source: Siddiqi 2006, Credit Risk Scorecards, ch. 10, for the index; Yurdakul & Naranjo 2020, J Risk Model Valid
    14(4), for its distribution.
    """
    if design_effect < 1 or not 0 < alpha < 1:
        raise ValueError(f"design_effect is at least 1 and alpha in (0, 1), got {design_effect} and {alpha}")
    names = sorted({*before, *after})
    counts = np.array([[each.get(name, 0) for name in names] for each in (before, after)], dtype=np.int64)
    if (counts < 0).any():
        raise ValueError("counts must not be negative")
    if not names or counts.sum(axis=1).min() < 2:
        return NotEstimable("there are no two observations before and after")
    if len(names) < 2:
        return NotEstimable("there is only one cluster, so its share cannot move")
    effective = np.floor(counts / design_effect + 0.5).astype(np.int64)
    effective[counts > 0] = np.maximum(effective[counts > 0], 1)
    rng = np.random.default_rng(seed)
    pooled = effective.sum(axis=0)
    draws = rng.multivariate_hypergeometric(pooled, int(effective[1].sum()), size=_DRAWS, method="marginals")
    by_chance = _index(pooled - draws, draws)
    value = float(_index(effective[:1], effective[1:])[0])
    p = (1 + int((by_chance >= value).sum())) / (1 + _DRAWS)
    mean, upper = float(by_chance.mean()), float(np.quantile(by_chance, 1 - alpha))
    verdict: Population = "stable"
    if p <= alpha and value - mean >= MODERATE:
        verdict = "shifted"
    elif upper - mean > MODERATE:
        verdict = "too few"
    shares = counts / counts.sum(axis=1, keepdims=True)
    return Stability(
        psi=value,
        by_chance=mean,
        upper=upper,
        p=p,
        verdict=verdict,
        shares={name: (float(one), float(other)) for name, one, other in zip(names, *shares, strict=True)},
        new=_new(names, effective, counts, alpha),
        n_before=int(counts[0].sum()),
        n_after=int(counts[1].sum()),
    )


def _index(before: Ints, after: Ints) -> Floats:
    """The index of each row, shape (rows,), from counts of shape (rows, names)."""
    one, other = before + 0.5, after + 0.5
    one, other = one / one.sum(axis=1, keepdims=True), other / other.sum(axis=1, keepdims=True)
    return ((other - one) * np.log(other / one)).sum(axis=1)


def _new(names: list[str], effective: Ints, counts: Ints, alpha: float) -> dict[str, int]:
    """Names of now alone, though a share alpha of chances over all names would have shown them before."""
    before, after = effective.sum(axis=1)
    # Parted at random, all k observations of a name come to lie in the second sample with about (after / all)^k.
    needed = math.log(alpha / len(names)) / math.log(after / (before + after))
    found = {
        name: int(counts[1, place])
        for place, name in enumerate(names)
        if effective[0, place] == 0 and effective[1, place] >= needed
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def rate_change(
    before: Floats, before_clusters: Ints, after: Floats, after_clusters: Ints, level: float = 0.95
) -> Result:
    """How much a rate or a mean in [0, 1] (refusals, truncations, agreement) moved, after - before, with its interval.

    Args:
        before: Values of the reference, each in [0, 1], shape (n,).
        before_clusters: What belongs together there (prompt, conversation), as codes from 0, shape (n,).
        after: The same of the traffic that is watched.
        after_clusters: The same of its clusters.
        level: Two-sided confidence level.

    Source: stats/change.py (MOVER) from two clustered intervals.
    """
    return change(clustered_mean(before, before_clusters, level), clustered_mean(after, after_clusters, level))


def mean_change(
    before: Floats, before_clusters: Ints, after: Floats, after_clusters: Ints, level: float = 0.95
) -> Result:
    """The same of a trait without bounds, such as words or exclamation marks an answer: clustered t intervals."""
    return change(_mean(before, before_clusters, level), _mean(after, after_clusters, level))


def _mean(values: Floats, clusters: Ints, level: float) -> Result:
    groups = int(np.count_nonzero(np.bincount(clusters))) if len(values) else 0
    if groups < 2:
        return NotEstimable("there are fewer than two prompts, and an interval needs at least two")
    mean = float(values.mean())
    half = t_quantile(level, groups - 1) * cluster_se(values - mean, clusters) * math.sqrt(groups / (groups - 1))
    return Estimate(mean, mean - half, mean + half, level, len(values), groups, "clustered t interval")
