"""The cluster bootstrap: names and order do not matter, its spread is the analytical one, its intervals cover."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from review.stats import bootstrap
from review.stats.bootstrap import bootstrap_interval, cluster_bootstrap
from review.stats.estimate import Estimate, NotEstimable

REPETITIONS = 1000
UPPER = 0.97 + 2 * math.sqrt(0.95 * 0.05 / REPETITIONS)


def spread(values: np.ndarray, weights: np.ndarray, clusters: np.ndarray, strata: np.ndarray | None = None) -> float:
    """The linearised standard error of sum(w y) / sum(w), with m / (m - 1) a stratum."""
    ratio = (weights * values).sum() / weights.sum()
    sums = np.bincount(clusters, weights * (values - ratio)) / weights.sum()
    layer = np.zeros(len(sums), np.int64) if strata is None else strata[np.unique(clusters, return_index=True)[1]]
    total = 0.0
    for each in np.unique(layer):
        mine = sums[layer == each]
        total += len(mine) / (len(mine) - 1) * float(((mine - mine.mean()) ** 2).sum())
    return math.sqrt(total)


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values, weights, prompts and strata of 4 to 40 rows; prompts may cross strata."""
    n = draw(st.integers(4, 40))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, draw(st.integers(2, n)), n)
    clusters[:2] = 0, 1
    values = rng.integers(0, 2, n) * 1.0 if draw(st.booleans()) else rng.normal(size=n)
    weights = rng.choice([1.0, 1 / 3, 2.7], n)
    return values, weights, clusters, rng.integers(0, draw(st.integers(1, 5)), n)


@settings(max_examples=60, deadline=None)
@given(labelled(), st.integers(0, 2**32 - 1), st.booleans())
def test_order_and_names_change_nothing(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], seed: int, layered: bool
) -> None:
    values, weights, clusters, strata = rows
    other = np.random.default_rng(seed)
    order = other.permutation(len(values))
    names = other.permutation(clusters.max() + 5)

    def drawn(order: np.ndarray, clusters: np.ndarray) -> np.ndarray:
        return cluster_bootstrap(
            (weights * values)[order], weights[order], clusters[order], resamples=50,
            rng=np.random.default_rng(seed), strata=strata[order] if layered else None,
        )  # fmt: skip

    same = np.arange(len(values))
    assert drawn(same, clusters) == pytest.approx(drawn(order, names[clusters]), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(labelled(), st.integers(0, 2**32 - 1))
def test_a_ratio_stays_within_its_values(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], seed: int
) -> None:
    values, weights, clusters, strata = rows
    rng = np.random.default_rng(seed)
    both = np.column_stack([weights * values, weights])
    drawn = cluster_bootstrap(both, weights, clusters, resamples=50, rng=rng, strata=strata)
    assert drawn.shape == (50, 2)
    assert np.all((drawn[:, 0] >= values.min() - 1e-9) & (drawn[:, 0] <= values.max() + 1e-9))
    assert drawn[:, 1] == pytest.approx(1.0)


@pytest.mark.parametrize("prompts", [40, 400, 1500])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("layers", [1, 4])
def test_the_spread_is_the_analytical_one(prompts: int, binary: bool, layers: int) -> None:
    """Each way to count (kinds of clusters, draws, Poisson counts) resamples the same thing."""
    rng = np.random.default_rng(5)
    clusters = rng.integers(0, prompts, prompts * 3)
    clusters[:prompts] = np.arange(prompts)
    strata = clusters * layers // prompts
    values = (rng.random(prompts * 3) < 0.3 + 0.1 * strata) * 1.0 if binary else rng.exponential(size=prompts * 3)
    weights = np.array([1.0, 2.0, 0.5, 4.0])[strata]
    layered = None if layers == 1 else strata
    drawn = cluster_bootstrap(weights * values, weights, clusters, resamples=6_000, rng=rng, strata=layered)[:, 0]
    assert drawn.std() == pytest.approx(spread(values, weights, clusters, layered), rel=0.05)
    assert drawn.mean() == pytest.approx((weights * values).sum() / weights.sum(), abs=4 * drawn.std() / 70)


@pytest.mark.parametrize("size", [1_000, 4_096])
def test_counts_by_chance_are_multinomial(size: int) -> None:
    counts = bootstrap._counts_by_chance(size, size - 1, 400, np.random.default_rng(1)).astype(np.int64)  # pyright: ignore[reportPrivateUsage]  # two ways to one distribution
    assert (counts.sum(axis=1) == size - 1).all()
    mean = (size - 1) / size
    assert counts.var() == pytest.approx(mean * (1 - 1 / size), rel=0.01)
    share = np.bincount(counts.ravel(), minlength=8)[:8] / counts.size
    poisson = [math.exp(-mean) * mean**k / math.factorial(k) for k in range(8)]
    assert share == pytest.approx(poisson, abs=0.002)
    # Every place comes up as often as any other, and two places together as if drawn without memory.
    assert abs(counts.mean(axis=0) - mean).max() < 6 * math.sqrt(mean / 400)
    assert np.mean(counts[:, 0::2] * counts[:, 1::2]) == pytest.approx(mean**2, rel=0.02)


def test_strata_that_cannot_be_drawn_from_alone_are_joined() -> None:
    """A prompt in two strata joins them; strata of one prompt join each other, or the smallest other one."""
    clusters = np.array([0, 0, 1, 2, 3, 4, 5, 6])
    strata = np.array([0, 1, 1, 2, 3, 4, 4, 4])
    groups = bootstrap._drawn_together(clusters, strata)  # pyright: ignore[reportPrivateUsage]  # the joining is the claim
    assert sorted(sorted(each.tolist()) for each in groups) == [[0, 1], [2, 3], [4, 5, 6]]
    alone = bootstrap._drawn_together(np.arange(6), np.array([0, 0, 0, 1, 2, 2]))  # pyright: ignore[reportPrivateUsage]  # as above
    assert sorted(sorted(each.tolist()) for each in alone) == [[0, 1, 2], [3, 4, 5]]


def test_what_cannot_be_resampled() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at least two clusters"):
        cluster_bootstrap(np.ones(3), None, np.zeros(3, np.int64), resamples=10, rng=rng)
    with pytest.raises(ValueError, match="as many denominators"):
        cluster_bootstrap(np.ones(3), np.ones(2), np.arange(3), resamples=10, rng=rng)
    none = np.array([], dtype=np.int64)
    assert isinstance(bootstrap_interval(none * 1.0, none, rng=rng), NotEstimable)
    assert isinstance(bootstrap_interval(np.arange(3.0), np.zeros(3, np.int64), rng=rng), NotEstimable)
    rare = bootstrap_interval(np.append(np.ones(5), np.zeros(95)), np.arange(100), rng=rng)
    assert isinstance(rare, NotEstimable)
    assert "5 of 100 prompts" in rare.reason


def test_the_same_seed_gives_the_same_interval() -> None:
    values, clusters = np.random.default_rng(1).exponential(size=90), np.arange(90) // 3
    one, other = (bootstrap_interval(values, clusters, rng=np.random.default_rng(9)) for _ in range(2))
    assert one == other
    assert isinstance(one, Estimate)
    assert one.low < one.value < one.high
    assert one.high - one.value > one.value - one.low  # the longer tail of the data


def outcomes(rng: np.random.Generator, kind: str, prompts: int, each: int) -> tuple[np.ndarray, float]:
    """Values of REPETITIONS samples, shape (repetitions, prompts * each), and their true mean."""
    shape, common = (REPETITIONS, prompts, each), rng.normal(size=(REPETITIONS, prompts, 1))
    if kind == "normal":
        values: Any = common + rng.normal(size=shape)
        truth = 0.0
    elif kind == "lognormal":
        values, truth = np.exp(0.5 * common + 0.5 * rng.normal(size=shape)), math.exp(0.25)
    else:  # the difference of two Brier scores; P(y) is the first confidence, so only the noise of the second costs
        confidence = rng.beta(5, 2, (REPETITIONS, prompts, 1))
        right = rng.random(shape) < confidence
        values = (confidence + rng.normal(0, 0.1, shape) - right) ** 2 - (confidence - right) ** 2
        truth = 0.01
    return values.reshape(REPETITIONS, -1), truth


@pytest.mark.parametrize(
    ("kind", "prompts", "each"),
    [("normal", 17, 3), ("lognormal", 17, 3), ("lognormal", 50, 1), ("brier", 17, 3), ("brier", 33, 3)],
)
def test_coverage(kind: str, prompts: int, each: int) -> None:
    rng = np.random.default_rng(20260303)
    values, truth = outcomes(rng, kind, prompts, each)
    clusters = np.repeat(np.arange(prompts), each)
    results = [bootstrap_interval(row, clusters, rng=rng, resamples=999) for row in values]
    hits = [found.low <= truth <= found.high for found in results if isinstance(found, Estimate)]
    assert len(hits) == REPETITIONS
    assert 0.93 <= np.mean(hits) <= UPPER, np.mean(hits)


def test_coverage_in_ten_strata() -> None:
    """Five prompts of two pairs in each of ten strata that differ, with weights that undo an unequal draw."""
    rng = np.random.default_rng(20260304)
    values, truth = outcomes(rng, "lognormal", 50, 2)
    clusters, strata = np.repeat(np.arange(50), 2), np.repeat(np.arange(10), 10)
    weights, shift = rng.uniform(0.3, 3, 10)[strata], 2 * rng.random(10)[strata]
    aim = truth + float(weights @ shift / weights.sum())
    results = [
        bootstrap_interval(row + shift, clusters, rng=rng, weights=weights, strata=strata, resamples=399)
        for row in values
    ]
    hits = [found.low <= aim <= found.high for found in results if isinstance(found, Estimate)]
    assert len(hits) == REPETITIONS
    assert 0.93 <= np.mean(hits) <= UPPER, np.mean(hits)
