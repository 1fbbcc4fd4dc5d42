"""Direction of error: what D must catch, what it may not claim, and the coverage of its interval at 50 to 100 pairs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from review.stats.estimate import Estimate, NotEstimable
from review.stats.intervals import normal_quantile
from review.stats.shift import ERRORS, direction_shift, direction_verdict, move_tests
from review.stats.stratified import stratified_difference

NONE, CAUTIOUS, CONFIDENT, OTHER = range(4)
REPETITIONS = 1000
UPPER = 0.97 + 2 * math.sqrt(0.95 * 0.05 / REPETITIONS)
STEPS = np.arange(-2, 3)


def given(result: Any) -> Any:
    assert not isinstance(result, NotEstimable)
    return result


def moves(*counted: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Errors of old and new, from (old, new, times)."""
    return tuple(np.repeat([move[side] for move in counted], [move[2] for move in counted]) for side in (0, 1))


def test_equal_score_with_swapped_directions_is_a_regression() -> None:
    """Ten cautious became right and ten right ones confident: as many right answers, and worse ones wrong."""
    old, new = moves((NONE, NONE, 70), (CAUTIOUS, NONE, 10), (NONE, CONFIDENT, 10), (CONFIDENT, CONFIDENT, 10))
    prompts = np.arange(100)
    shift, tests = given(direction_shift(old, new, prompts)), given(move_tests(old, new, prompts, np.ones(100)))
    assert (old == NONE).sum() == (new == NONE).sum() == 80
    assert given(tests.correct).p_exact == 1.0
    assert shift.balance.value == pytest.approx(0.2)
    assert shift.moved == 20
    assert direction_verdict(shift.balance, 0.05) == "towards_confident"
    assert direction_verdict(given(direction_shift(new, old, prompts)).balance, 0.05) == "towards_cautious"
    assert given(tests.symmetry).p < 0.001
    assert given(tests.margins).p < 0.001
    assert not tests.repeated


def test_the_verdict_against_the_margin() -> None:
    def balance(low: float, high: float) -> Estimate:
        return Estimate((low + high) / 2, low, high, 0.9, 100, 100, "test")

    assert direction_verdict(balance(-0.04, 0.04), 0.05) == "preserved"
    assert direction_verdict(balance(0.01, 0.04), 0.05) == "preserved"  # beyond chance, within the margin
    assert direction_verdict(balance(0.01, 0.09), 0.05) == "inconclusive"
    assert direction_verdict(balance(0.06, 0.2), 0.05) == "towards_confident"
    assert direction_verdict(balance(-0.2, -0.06), 0.05) == "towards_cautious"
    assert direction_verdict(NotEstimable("one prompt"), 0.05) == "inconclusive"
    with pytest.raises(ValueError, match="margin"):
        direction_verdict(balance(0, 0.1), 0.0)


def test_the_table_is_weighted_to_all_traffic() -> None:
    """A tenth of traffic disagrees and was labelled ten times as densely as the ties; the rest is identical."""
    old, new = moves((NONE, CONFIDENT, 20), (NONE, NONE, 60), (CAUTIOUS, CAUTIOUS, 20))
    strata = np.repeat([0, 1], [80, 20])
    shift = given(direction_shift(old, new, np.arange(100), strata=strata, shares=np.array([0.1, 0.3]), known_zero=0.6))
    assert shift.table[NONE, CONFIDENT] == pytest.approx(0.1 * 20 / 80)
    assert shift.table[CAUTIOUS, CAUTIOUS] == pytest.approx(0.3)
    assert shift.table.sum() == pytest.approx(0.4)
    assert shift.balance.value == pytest.approx(0.025)
    towards = np.array([0, -1, 1, 0])
    assert (shift.table * (towards[None, :] - towards[:, None])).sum() == pytest.approx(shift.balance.value)
    assert len(shift.to_json()["errors"]) == len(ERRORS)


def test_weights_within_a_stratum_give_the_hajek_mean() -> None:
    old, new = moves((NONE, CONFIDENT, 10), (NONE, NONE, 90))
    weights = np.repeat([1.0, 3.0], [10, 90])
    shift = given(direction_shift(old, new, np.arange(100), weights=weights))
    assert shift.balance.value == pytest.approx(10 / 280)
    reason = move_tests(old, new, np.arange(100), weights)
    assert isinstance(reason, NotEstimable)
    assert "not self-weighting" in reason.reason
    assert given(move_tests(old, new, np.arange(100) // 2, np.full(100, 0.3))).repeated


@pytest.mark.parametrize("n", [50, 100])
@pytest.mark.parametrize("strata", [1, 10])
def test_nothing_moved_still_has_width(n: int, strata: int) -> None:
    """None of n moved: still compatible with a share of moves near zero_events_upper, each of up to two steps."""
    same = np.zeros(n, dtype=np.int64)
    layers = np.arange(n) % strata
    shift = given(direction_shift(same, same, np.arange(n), strata=layers, shares=np.full(strata, 1 / strata)))
    unseen = 1 - 0.025 ** (1 / n)
    assert shift.balance.value == 0
    assert -shift.balance.low == pytest.approx(shift.balance.high)
    assert unseen < shift.balance.high < 2.3 * unseen
    assert direction_verdict(shift.balance, 0.05) == "inconclusive"


def test_only_three_moved() -> None:
    old, new = moves((NONE, CONFIDENT, 3), (NONE, NONE, 97))
    balance = given(direction_shift(old, new, np.arange(100))).balance
    assert balance.value == pytest.approx(0.03)
    assert balance.low < 0.012
    assert 0.08 < balance.high < 0.1
    one_prompt = np.concatenate([np.zeros(3, dtype=np.int64), np.arange(1, 98)])
    assert given(direction_shift(old, new, one_prompt)).balance.high > balance.high + 0.02


def test_an_audit_stratum_where_nothing_moved_adds_doubt() -> None:
    """Twenty ties for 30 % of traffic: seeing none move cannot make the interval that of the disagreements alone."""
    old, new = moves((NONE, CONFIDENT, 8), (NONE, NONE, 92))
    strata = np.repeat([0, 1], [80, 20])
    audited = given(
        direction_shift(old, new, np.arange(100), strata=strata, shares=np.array([0.1, 0.3]), known_zero=0.6)
    )
    certain = given(direction_shift(old[:80], new[:80], np.arange(80), known_zero=0.9))
    assert audited.balance.value == pytest.approx(certain.balance.value)
    assert audited.balance.high > 1.5 * certain.balance.high
    assert audited.balance.low < 0 < certain.balance.low


def test_reasons_and_refusals() -> None:
    old, new = moves((NONE, CONFIDENT, 3), (NONE, NONE, 7))
    prompts, shares = np.arange(10), np.array([0.5, 0.5])
    assert isinstance(direction_shift(old[:0], new[:0], prompts[:0]), NotEstimable)
    one = given(direction_shift(old, new, np.zeros(10, dtype=np.int64))).balance
    assert isinstance(one, NotEstimable)
    empty = given(direction_shift(old, new, prompts, strata=np.zeros(10, dtype=np.int64), shares=shares)).balance
    assert isinstance(empty, NotEstimable)
    assert "1 of 2 strata" in empty.reason
    with pytest.raises(ValueError, match="add up to 1"):
        direction_shift(old, new, prompts, strata=prompts % 2, shares=shares, known_zero=0.2)
    with pytest.raises(ValueError, match="position"):
        direction_shift(old, new + 3, prompts)
    with pytest.raises(ValueError, match="rows differ"):
        direction_shift(old, new, prompts[:5])
    with pytest.raises(ValueError, match="above 0"):
        direction_shift(old, new, prompts, weights=np.zeros(10))
    with pytest.raises(ValueError, match="whole number"):
        stratified_difference(np.full(10, 0.5), prompts)


def test_all_moved_stays_within_reach() -> None:
    """Thirty-one weights that do not add up to a round number: D is still not beyond the share that can move."""
    weights = np.exp(np.random.default_rng(4).normal(size=31))
    got = given(
        direction_shift(*moves((CAUTIOUS, CONFIDENT, 31)), np.arange(31), weights=weights, known_zero=0.4)
    ).balance
    assert (got.value, got.high) == (1.2, 1.2)
    assert 0.7 < got.low < 1.1


def test_many_rows_come_close_to_the_normal_interval() -> None:
    rng = np.random.default_rng(1)
    values = rng.choice(STEPS, 20_000, p=[0.02, 0.06, 0.8, 0.09, 0.03]).astype(float)
    got = given(stratified_difference(values, np.arange(20_000), largest_step=2))
    half = normal_quantile(0.95) * values.std() / math.sqrt(20_000)
    assert (got.low, got.high) == pytest.approx((got.value - half, got.value + half), abs=3e-4)


# Shares of steps -2 … 2 among all pairs of a stratum.
STEADY, RARE = (0.02, 0.06, 0.8, 0.09, 0.03), (0, 0, 0.97, 0.03, 0)
BOTH_WAYS, BUSY, FAR = (0, 0.05, 0.9, 0.05, 0), (0.05, 0.1, 0.6, 0.2, 0.05), (0, 0, 0.98, 0, 0.02)
AUDIT = ((0.1, 80, (0, 0.04, 0.86, 0.08, 0.02)), (0.3, 20, (0, 0.01, 0.95, 0.04, 0)))


def ten(n: int, steps: tuple[float, ...]) -> tuple[tuple[float, int, tuple[float, ...]], ...]:
    return ((0.1, n // 10, steps),) * 10


SCENARIOS = {
    # name: strata of (share, pairs, steps), pairs a prompt, correlation within a prompt, known zero, few events
    "50 pairs": (((1.0, 50, STEADY),), 1, 0.0, 0.0, False),
    "50 pairs, 3 a prompt": (((1.0, 50, STEADY),), 3, 0.3, 0.0, False),
    "100 pairs, 10 strata": (ten(100, BOTH_WAYS), 1, 0.0, 0.0, False),
    "100 pairs, 10 strata, 3 a prompt": (ten(100, BUSY), 3, 0.3, 0.0, False),
    "100 pairs, 3 move": (ten(100, RARE), 1, 0.0, 0.0, True),
    "100 pairs, 2 move from end to end": (((1.0, 100, FAR),), 1, 0.0, 0.0, True),
    "disagreements, audited ties, the rest identical": (AUDIT, 3, 0.2, 0.6, True),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_balance_covers(name: str) -> None:
    """Between 93 and 97 %; where about three pairs move, or a stratum has none, it is conservative."""
    strata, each, spread, known_zero, few = SCENARIOS[name]
    rng = np.random.default_rng(20260302)
    shares = np.array([share for share, _, _ in strata])
    codes = np.repeat(np.arange(len(strata)), [pairs for _, pairs, _ in strata])
    inside = np.concatenate([np.arange(pairs) // each for _, pairs, _ in strata])
    prompts = codes * 1000 + inside
    truth = sum(share * float(np.array(steps) @ STEPS) for share, _, steps in strata)
    drawn = []
    for _, pairs, steps in strata:
        likely = np.broadcast_to(np.array(steps, dtype=float), (REPETITIONS, pairs, 5))
        if spread:
            strength = np.maximum(steps, 1e-9) * (1 - spread) / spread
            likely = rng.dirichlet(strength, (REPETITIONS, pairs))[:, np.arange(pairs) // each]
        drawn.append((rng.random((REPETITIONS, pairs, 1)) > likely.cumsum(-1)[..., :-1]).sum(-1) - 2.0)
    covered = 0
    for values in np.concatenate(drawn, axis=1):
        got = given(
            stratified_difference(values, prompts, strata=codes, shares=shares, known_zero=known_zero, largest_step=2)
        )
        covered += got.low <= truth <= got.high
    assert 0.93 <= covered / REPETITIONS <= (1.0 if few else UPPER), covered / REPETITIONS


def test_prompts_may_cross_strata() -> None:
    """Three pairs of a prompt in three of ten strata, each with a weight of its own."""
    rng = np.random.default_rng(5)
    prompts, n, covered, truth = 17, 51, 0, float(np.array(STEADY) @ STEPS)
    clusters, strength = np.repeat(np.arange(prompts), 3), np.array(STEADY) * 0.7 / 0.3
    for _ in range(REPETITIONS):
        likely = rng.dirichlet(strength, prompts)[clusters]
        values = (rng.random((n, 1)) > likely.cumsum(1)[:, :-1]).sum(1) - 2.0
        strata, weights = rng.permutation(np.arange(n) % 10), rng.choice([0.5, 1.0, 2.0], n)
        got = given(
            stratified_difference(
                values, clusters, strata=strata, shares=np.full(10, 0.1), weights=weights, largest_step=2
            )
        )
        covered += got.low <= truth <= got.high
    assert 0.93 <= covered / REPETITIONS <= UPPER, covered / REPETITIONS


@pytest.mark.parametrize("prompts", [33, 100])
def test_preserved_is_rarely_said_at_the_margin(prompts: int) -> None:
    """D lies on the margin of .03, so "preserved" at a one-sided .05 would be false, and "towards" an exaggeration."""
    rng = np.random.default_rng(31)
    steps = np.array([0.0, 0.01, 0.95, 0.04, 0.0])
    clusters = np.repeat(np.arange(prompts), 300 // prompts)
    said = []
    for _ in range(REPETITIONS):
        likely = rng.dirichlet(np.maximum(steps, 1e-9) * 9, prompts)[clusters]
        values = (rng.random((len(clusters), 1)) > likely.cumsum(1)[:, :-1]).sum(1) - 2.0
        got = stratified_difference(values, clusters, largest_step=2, level=0.9)
        said.append(direction_verdict(got, 0.03))
    assert said.count("preserved") <= 0.06 * REPETITIONS
    assert said.count("towards_confident") <= 0.08 * REPETITIONS
    assert "towards_cautious" not in said
