"""Weighted rates: what they claim, what they refuse, and their coverage at 50 to 100 pairs in 10 strata.

Coverage of frames drawn anew: the truth is that of traffic to come, except with the finite-population correction, where
it is the mean of the frame. The upper bound has two simulation standard errors; where strata of few pairs differ from
the rest, the borrowed spread makes the interval conservative, and only the lower bound is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from review.stats.allocation import allocate
from review.stats.estimate import Estimate, NotEstimable
from review.stats.intervals import clustered_mean, wilson
from review.stats.weighted import hajek, post_stratified, post_stratified_se

REPETITIONS = 1000
UPPER = 0.97 + 2 * math.sqrt(0.95 * 0.05 / REPETITIONS)


def given(result: Any) -> Estimate:
    assert isinstance(result, Estimate), result
    return result


def codes(*counts: int) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


def test_equal_weights_and_one_prompt_each_is_wilson() -> None:
    y = np.repeat([1.0, 0.0], [30, 20])
    prompts = np.arange(50)
    expected = given(clustered_mean(y, prompts))
    for found in (
        given(hajek(y, np.full(50, 7.0), prompts)),
        given(post_stratified(y, np.ones(50), prompts, np.zeros(50, np.int64), np.array([400.0]))),
    ):
        assert found.value == pytest.approx(expected.value)
        # Wilson on n, with t in place of z and n - 1 in place of n.
        assert found.low == pytest.approx(expected.low, abs=0.006)
        assert found.high == pytest.approx(expected.high, abs=0.006)


def test_the_weights_undo_the_draw() -> None:
    """Ten in each of two strata of 900 and 100 pairs: 2 of 10 against 8 of 10."""
    y = np.array([1.0] * 2 + [0.0] * 8 + [1.0] * 8 + [0.0] * 2)
    strata, prompts = codes(10, 10), np.arange(20)
    weights, sizes = np.repeat([90.0, 10.0], 10), np.array([900.0, 100.0])
    assert given(hajek(y, weights, prompts, strata=strata)).value == pytest.approx(0.26)
    assert given(post_stratified(y, weights, prompts, strata, sizes)).value == pytest.approx(0.26)
    # Within strata only the ratio of weights matters to the post-stratified mean.
    assert given(post_stratified(y, np.ones(20), prompts, strata, sizes)).value == pytest.approx(0.26)
    expected = math.sqrt(0.9**2 * 0.16 / 9 + 0.1**2 * 0.16 / 9)
    assert post_stratified_se(y, weights, prompts, strata, sizes) == pytest.approx(expected)
    cut = math.sqrt(0.9**2 * 0.16 / 9 * (1 - 10 / 900) + 0.1**2 * 0.16 / 9 * 0.9)
    assert post_stratified_se(y, weights, prompts, strata, sizes, fpc=True) == pytest.approx(cut)


def test_a_prompt_in_two_strata_is_one_cluster() -> None:
    """With every prompt's pairs alike the two strata tell the same twice: their deviations add before squaring."""
    half = np.tile([1.0, 0.0, 1.0], 8)
    y, strata, sizes = np.concatenate([half, half]), codes(24, 24), np.array([50.0, 50.0])
    shared, apart = np.tile(np.arange(24), 2), np.arange(48)
    together = post_stratified_se(y, np.ones(48), shared, strata, sizes)
    alone = post_stratified_se(y, np.ones(48), apart, strata, sizes)
    assert isinstance(together, float)
    assert isinstance(alone, float)
    assert together == pytest.approx(alone * math.sqrt(2))
    wide, narrow = (given(post_stratified(y, np.ones(48), at, strata, sizes)) for at in (shared, apart))
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)
    assert (wide.clusters, narrow.clusters) == (24, 48)


def test_identical_outputs_contribute_what_is_known() -> None:
    y, prompts, strata = np.array([1.0] * 6 + [0.0] * 14), np.arange(20), np.ones(20, np.int64)
    sizes = np.array([900.0, 100.0])
    found = given(post_stratified(y, np.ones(20), prompts, strata, sizes, known={0: 0.0}))
    alone = given(post_stratified(y, np.ones(20), prompts, np.zeros(20, np.int64), np.array([100.0])))
    assert found.value == pytest.approx(0.03)
    assert (found.low, found.high) == pytest.approx((0.1 * alone.low, 0.1 * alone.high))
    mixed = np.append(strata[1:], 0)
    assert given(post_stratified(y, np.ones(20), prompts, mixed, sizes, known={0: 0.0})).exclusions == {
        "value_known_without_label": 1
    }
    settled = given(post_stratified(y, np.ones(20), prompts, strata, sizes, known={0: 1.0, 1: 0.5}))
    assert settled.low == settled.value == settled.high == pytest.approx(0.95)


def test_a_stratum_without_labels_is_no_estimate() -> None:
    y, prompts, strata = np.array([1.0, 0.0] * 10), np.arange(20), np.ones(20, np.int64)
    nothing = post_stratified(y, np.ones(20), prompts, strata, np.array([300.0, 100.0]))
    assert isinstance(nothing, NotEstimable)
    assert "75.0% of the population" in nothing.reason
    assert isinstance(post_stratified_se(y, np.ones(20), prompts, strata, np.array([300.0, 100.0])), NotEstimable)
    # An empty stratum asks for none.
    assert given(post_stratified(y, np.ones(20), prompts, strata, np.array([0.0, 100.0]))).value == 0.5
    none = np.array([], dtype=np.int64)
    assert isinstance(post_stratified(none * 1.0, none * 1.0, none, none, np.array([5.0])), NotEstimable)
    assert isinstance(hajek(none * 1.0, none * 1.0, none), NotEstimable)
    assert isinstance(hajek(y, np.ones(20), np.zeros(20, np.int64)), NotEstimable)


def test_a_census_is_exact_and_a_large_share_is_sharper() -> None:
    y, pairs, strata = np.array([1.0, 0.0, 1.0, 1.0] * 10), np.arange(40), codes(20, 20)
    whole = given(post_stratified(y, np.ones(40), pairs, strata, np.array([20.0, 20.0]), fpc=True))
    assert whole.low == whole.value == whole.high == pytest.approx(0.75)
    assert "every pair has a label" in whole.method
    widths = [
        (lambda found: found.high - found.low)(
            given(post_stratified(y, np.ones(40), pairs, strata, np.array([size, size]), fpc=True))
        )
        for size in (25.0, 40.0, 100.0, 1e9)
    ]
    assert widths == sorted(widths)
    free = given(post_stratified(y, np.ones(40), pairs, strata, np.array([1e9, 1e9])))
    assert widths[-1] == pytest.approx(free.high - free.low)
    # Two labels on a pair are one drawn pair.
    twice = given(
        post_stratified(
            np.repeat(y, 2), np.full(80, 0.5), np.repeat(pairs, 2), np.repeat(strata, 2),
            np.array([40.0, 40.0]), fpc=True, units=np.repeat(pairs, 2),
        )
    )  # fmt: skip
    assert twice.high - twice.low == pytest.approx(widths[1], rel=0.03)


def test_nothing_seen_is_not_nothing_there() -> None:
    """None in 50 equally drawn pairs: near the rule of three; the stratum with the fewest labels decides otherwise."""
    none, pairs = np.zeros(50), np.arange(50)
    even = given(post_stratified(none, np.ones(50), pairs, codes(25, 25), np.array([100.0, 100.0])))
    limits = given(wilson(0, 50))
    assert even.low == 0
    assert even.high == pytest.approx(limits.high, abs=0.01)
    uneven = given(post_stratified(none, np.ones(50), pairs, codes(45, 5), np.array([100.0, 100.0])))
    assert uneven.high > 2 * even.high
    steps = given(post_stratified(none, np.ones(50), pairs, codes(25, 25), np.array([1.0, 1.0]), bounds=(-1.0, 1.0)))
    assert -steps.low == pytest.approx(steps.high)
    assert even.high < steps.high < 2 * even.high


def test_a_single_pair_in_a_stratum_borrows_the_spread_of_all() -> None:
    y, strata = np.array([1.0] + [1.0, 0.0] * 20), codes(1, 40)
    found = given(post_stratified(y, np.ones(41), np.arange(41), strata, np.array([100.0, 100.0])))
    assert "borrow" in found.method
    assert found.high - found.low > 0.5
    assert isinstance(post_stratified_se(y, np.ones(41), np.arange(41), strata, np.array([100.0, 100.0])), NotEstimable)


def test_swapping_old_and_new_mirrors_a_difference() -> None:
    rng = np.random.default_rng(3)
    steps, prompts, strata = rng.choice([-1.0, 0.0, 1.0], 60, p=[0.2, 0.7, 0.1]), codes(*[3] * 20), codes(20, 30, 10)
    weights, sizes, bounds = 1 / rng.uniform(0.1, 1, 60), np.array([300.0, 100.0, 50.0]), (-1.0, 1.0)
    for values in (steps, steps * rng.uniform(0.3, 1, 60)):
        one = given(post_stratified(values, weights, prompts, strata, sizes, bounds=bounds))
        other = given(post_stratified(-values, weights, prompts, strata, sizes, bounds=bounds))
        assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low), abs=1e-7)
        order = rng.permutation(60)
        again = given(
            post_stratified(values[order], weights[order], 99 - prompts[order], strata[order], sizes, bounds=bounds)
        )
        assert (one.low, one.high) == pytest.approx((again.low, again.high), abs=1e-9)


def test_what_would_give_a_wrong_number_is_refused() -> None:
    y, ones, prompts, strata = np.array([0.0, 1.0]), np.ones(2), np.arange(2), np.zeros(2, np.int64)
    with pytest.raises(ValueError, match="design weight"):
        hajek(y, np.array([1.0, math.inf]), prompts)
    with pytest.raises(ValueError, match="values lie within"):
        hajek(y * 2, ones, prompts)
    with pytest.raises(ValueError, match="sizes of the strata"):
        hajek(y, ones, prompts, fpc=True)
    with pytest.raises(ValueError, match="rows differ"):
        post_stratified(y, ones[:1], prompts, strata, np.array([1.0]))
    with pytest.raises(ValueError, match="codes from 0 to 0"):
        post_stratified(y, ones, prompts, strata + 1, np.array([1.0]))
    with pytest.raises(ValueError, match="at least one pair"):
        post_stratified(y, ones, prompts, strata, np.array([0.0, 4.0]))


@dataclass(frozen=True)
class Scenario:
    """A frame of 10 strata, three pairs a prompt, and a share `ties` of judged ties, of which `audit` are drawn."""

    n: int
    frame: int = 1800
    base: float = 0.75
    spread: float = 0.15
    common: float = 0.3
    ties: float = 0.0
    audit: int = 0
    of_ties: float = 0.6
    whole_prompts: bool = False
    nested: bool = True
    missing: float = 0.0
    difference: bool = False
    finite: bool = False
    conservative: bool = False


SCENARIOS = [
    Scenario(50),
    Scenario(100),
    Scenario(60, base=0.9, spread=0.05, conservative=True),
    Scenario(60, whole_prompts=True),
    Scenario(90, nested=False, common=0.5),
    Scenario(100, ties=0.4, audit=10),
    Scenario(100, ties=0.4, audit=10, of_ties=0.95, conservative=True),
    Scenario(60, missing=0.15),
    Scenario(60, frame=300, finite=True),
    Scenario(60, difference=True),
    Scenario(99, difference=True, whole_prompts=True),
]


def frames(rng: np.random.Generator, case: Scenario) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, np.ndarray]:
    """Outcomes of REPETITIONS frames, each pair's prompt and stratum, the truth to come, and the sizes."""
    shares = rng.dirichlet(np.full(10, 4.0)) * case.frame * (1 - case.ties)
    sizes = np.maximum(np.rint(shares / 3), 3).astype(np.int64) * 3
    rates = np.clip(rng.normal(case.base, case.spread, 10), 0.05, 0.97)
    if case.ties:
        sizes, rates = np.append(sizes, int(case.frame * case.ties / 3) * 3), np.append(rates, case.of_ties)
    strata, pairs = codes(*sizes), int(sizes.sum())
    prompts = np.arange(pairs) // 3
    if not case.nested:
        prompts = rng.permutation(prompts)
    own = rng.random((REPETITIONS, pairs))
    common = rng.random((REPETITIONS, prompts.max() + 1))[:, prompts]
    latent = np.where(rng.random((REPETITIONS, pairs)) < math.sqrt(case.common), common, own)
    rate = rates[strata]
    if case.difference:
        worse, better = 0.04 + 0.1 * (1 - rate), 0.08 * rate
        outcomes = (latent > 1 - better) * 1.0 - (latent < worse)
        truth = better - worse
    else:
        outcomes, truth = (latent < rate) * 1.0, rate
    return outcomes, prompts, strata, float(truth.mean()), sizes


def sample(rng: np.random.Generator, case: Scenario, prompts: np.ndarray, strata: np.ndarray, sizes: np.ndarray) -> Any:
    """Row numbers of one draw, as a round draws: proportional, at least two a stratum."""
    drawn = allocate(sizes[:10].tolist(), case.n - case.audit) + [case.audit] * bool(case.ties)
    ends = np.cumsum(sizes)
    taken = []
    for size, end, count in zip(sizes, ends, drawn, strict=True):
        if case.whole_prompts:
            picked = rng.permutation(size // 3)[: max(2, round(count / 3))]
            taken.append(end - size + (picked[:, None] * 3 + np.arange(3)).ravel())
        else:
            taken.append(end - size + rng.permutation(size)[:count])
    rows = np.concatenate(taken)
    pi = (np.bincount(strata[rows]) / sizes)[strata[rows]]
    keep = rng.random(len(rows)) >= case.missing
    return rows[keep], 1 / pi[keep]


@pytest.mark.parametrize("case", SCENARIOS, ids=str)
def test_coverage(case: Scenario) -> None:
    rng = np.random.default_rng(20260302)
    outcomes, prompts, strata, truth, sizes = frames(rng, case)
    bounds = (-1.0, 1.0) if case.difference else (0.0, 1.0)
    hits: list[bool] = []
    values: list[float] = []
    for frame in outcomes:
        rows, weights = sample(rng, case, prompts, strata, sizes)
        y, clusters = frame[rows], rows if case.finite else prompts[rows]
        found = post_stratified(
            y, weights, clusters, strata[rows], sizes * 1.0, fpc=case.finite, bounds=bounds
        )  # fmt: skip
        if isinstance(found, NotEstimable):
            continue
        aim = float(frame.mean()) if case.finite else truth
        hits.append(found.low - 1e-12 <= aim <= found.high + 1e-12)
        values.append(found.value - aim)
        if not case.missing and len(hits) % 100 == 1:
            other = given(hajek(y, weights, clusters, strata=strata[rows], bounds=bounds))
            assert other.value == pytest.approx(found.value)
    assert len(hits) > 0.97 * REPETITIONS
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(len(values))
    share = float(np.mean(hits))
    assert 0.93 <= share <= (1.0 if case.conservative else UPPER), share
