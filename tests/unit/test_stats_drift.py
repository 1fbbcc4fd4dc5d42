"""The statistics that are looked at again and again: their promises hold at every look; what cannot be is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.stats.drift import beta_binomial_e_value, cusum, normal_mixture_half_width, normal_mixture_rho

REPETITIONS, STEPS = 2000, 1000
# Two simulation standard errors above the promised 5 %.
UPPER = 0.05 + 2 * math.sqrt(0.05 * 0.95 / REPETITIONS)


@pytest.mark.parametrize("p", [0.5, 0.1])
def test_the_confidence_sequence_holds_at_all_times_at_once(p: float) -> None:
    rng = np.random.default_rng(20260303)
    means = np.cumsum(rng.random((REPETITIONS, STEPS)) < p, axis=1) / np.arange(1, STEPS + 1)
    rho = normal_mixture_rho(100 / 4)
    half = np.array([normal_mixture_half_width(n, n / 4, rho) for n in range(1, STEPS + 1)])
    ever_missed = (np.abs(means - p) > half).any(axis=1).mean()
    # Conservative by nature: it promises at most 5 %, for ever and for every variable in [0, 1].
    assert ever_missed <= UPPER
    # The ordinary interval, looked at as often, misses many times over; so the test can tell the two apart.
    ordinary = 1.96 * math.sqrt(p * (1 - p)) / np.sqrt(np.arange(1, STEPS + 1))
    assert (np.abs(means - p) > ordinary)[:, 19:].any(axis=1).mean() > 0.3


def test_the_confidence_sequence_is_not_needlessly_wide() -> None:
    """Sub-Gaussian with exactly its variance: missed by some, so that no constant was lost on the way."""
    rng = np.random.default_rng(5)
    steps = np.arange(1, STEPS + 1)
    means = np.cumsum(rng.standard_normal((REPETITIONS, STEPS)), axis=1) / steps
    rho = normal_mixture_rho(20.0)
    half = np.array([normal_mixture_half_width(n, n, rho) for n in range(1, STEPS + 1)])
    assert 0.015 <= (np.abs(means) > half).any(axis=1).mean() <= UPPER


def test_the_e_value_seldom_reaches_20_when_nothing_changed() -> None:
    rng = np.random.default_rng(3)
    counts = np.cumsum(rng.random((REPETITIONS, 300)) < 0.3, axis=1)
    table = np.array([[beta_binomial_e_value(s, n, 0.3) if s <= n else 0.0 for s in range(301)] for n in range(1, 301)])
    largest = table[np.arange(300)[None, :], counts].max(axis=1)
    assert 0.005 <= (largest >= 20).mean() <= UPPER
    shifted = np.cumsum(rng.random((REPETITIONS, 300)) < 0.45, axis=1)
    assert (table[np.arange(300)[None, :], shifted].max(axis=1) >= 20).mean() > 0.9


def test_the_best_rho_is_the_best() -> None:
    best = normal_mixture_rho(25.0)
    assert best == pytest.approx(25 / (2 * math.log(20) + math.log1p(2 * math.log(20))), rel=0.05)
    here = normal_mixture_half_width(100, 25.0, best)
    assert all(here <= normal_mixture_half_width(100, 25.0, best * factor) for factor in (0.5, 0.97, 1.03, 2.0))


@given(st.integers(0, 400), st.integers(0, 400), st.floats(0.001, 0.999))
def test_the_e_value_is_finite_and_has_two_mirror_sides(hits: int, misses: int, p0: float) -> None:
    e = beta_binomial_e_value(hits, hits + misses, p0)
    assert math.isfinite(e)
    assert e >= 0
    assert beta_binomial_e_value(misses, hits + misses, 1 - p0) == pytest.approx(e, rel=1e-6)


def test_overwhelming_evidence_stays_a_number() -> None:
    assert 1e300 < beta_binomial_e_value(100_000, 100_000, 0.001) < math.inf
    assert beta_binomial_e_value(0, 0, 0.5) == pytest.approx(1.0)


@given(st.lists(st.floats(-1e3, 1e3), max_size=40), st.floats(-10, 10), st.floats(0, 5))
def test_cusum_is_its_recursion(values: list[float], target: float, k: float) -> None:
    chart = cusum(np.array(values, dtype=np.float64), target, k, 20.0)
    high = low = 0.0
    for index, value in enumerate(values):
        high, low = max(0.0, high + value - target - k), max(0.0, low + target - k - value)
        assert (chart.high[index], chart.low[index]) == (pytest.approx(high, abs=1e-7), pytest.approx(low, abs=1e-7))
    assert len(chart.high) == len(values)


def test_a_shift_is_found_and_where() -> None:
    values = np.array([0.0] * 10 + [2.0] * 10)
    assert cusum(values, 0.0, 0.5, 4.0).alarm_at == 12
    assert cusum(-values, 0.0, 0.5, 4.0).alarm_at == 12
    assert cusum(values[:10], 0.0, 0.5, 4.0).alarm_at is None


def test_what_cannot_be_is_refused() -> None:
    for refused in (
        lambda: beta_binomial_e_value(3, 2, 0.5),
        lambda: beta_binomial_e_value(1, 2, 1.0),
        lambda: beta_binomial_e_value(1, 2, 0.5, a=0),
        lambda: normal_mixture_half_width(0, 1.0, 1.0),
        lambda: normal_mixture_half_width(1, 1.0, 0.0),
        lambda: normal_mixture_half_width(1, 1.0, 1.0, alpha=1.0),
        lambda: normal_mixture_rho(0.0),
        lambda: cusum(np.array([1.0]), 0.0, -1.0, 1.0),
        lambda: cusum(np.array([math.nan]), 0.0, 1.0, 1.0),
    ):
        with pytest.raises(ValueError, match="must"):
            refused()
