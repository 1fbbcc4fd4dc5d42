"""Paired outcomes: published vectors, oracles from statsmodels and scipy, and exact coverage."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as oracle_mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep

from review.stats.estimate import Estimate, NotEstimable
from review.stats.intervals import normal_quantile
from review.stats.paired import STEPS, binomial_test, mcnemar, newcombe_difference, sign_test, tango, tango_p
from review.stats.score import score_limits

TABLES = [(59, 6, 16, 80), (101, 121, 59, 33), (0, 1, 0, 0), (3, 4, 4, 2), (40, 0, 9, 1), (1, 300, 260, 1)]


def given(result: Any) -> Any:
    assert not isinstance(result, NotEstimable)
    return result


@pytest.mark.parametrize("cells", TABLES, ids=str)
def test_mcnemar_is_statsmodels(cells: tuple[int, int, int, int]) -> None:
    got, table = given(mcnemar(*cells)), np.array(cells).reshape(2, 2)
    plain, exact = oracle_mcnemar(table, exact=False, correction=False), oracle_mcnemar(table, exact=True)
    assert (got.chi2, got.p, got.p_exact) == pytest.approx((plain.statistic, plain.pvalue, exact.pvalue))
    at = stats.binom.pmf(min(cells[1:3]), cells[1] + cells[2], 0.5)
    assert got.p_midp == pytest.approx(2 * stats.binom.cdf(min(cells[1:3]), cells[1] + cells[2], 0.5) - at)


def tango_z(n: int, old_only: int, new_only: int, difference: float) -> float:
    """Tango's statistic in his closed form, for old minus new."""
    b = -old_only - new_only + (2 * n - old_only + new_only) * difference
    c = -new_only * difference * (1 - difference)
    q21 = (math.sqrt(b * b - 8 * n * c) - b) / (4 * n)
    return (old_only - new_only - n * difference) / math.sqrt(n * (2 * q21 + difference * (1 - difference)))


@pytest.mark.parametrize("cells", [*TABLES, (50, 0, 0, 0), (96, 3, 1, 0), (2, 7, 0, 1)], ids=str)
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_tango_solves_his_closed_form(cells: tuple[int, int, int, int], level: float) -> None:
    got, n, z = given(tango(*cells, level)), sum(cells), normal_quantile(level)
    if got.high < 1:
        assert tango_z(n, cells[1], cells[2], -got.high) == pytest.approx(z, abs=1e-5)
    if got.low > -1:
        assert tango_z(n, cells[1], cells[2], -got.low) == pytest.approx(-z, abs=1e-5)
    # Non-inferiority at margin -low is exactly at its level.
    if -1 < got.low < 0:
        assert given(tango_p(*cells, -got.low)) == pytest.approx((1 - level) / 2, abs=1e-6)


def test_tango_at_margin_0_is_mcnemar_and_swapping_mirrors() -> None:
    one_sided = given(tango_p(59, 6, 16, 80, 0.0))
    assert one_sided == pytest.approx(given(mcnemar(59, 6, 16, 80)).p / 2)
    there, back = given(tango(59, 6, 16, 80)), given(tango(59, 16, 6, 80))
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert there.value > 0  # only new is right more often


def test_nothing_discordant_is_no_zero_width() -> None:
    got, z = given(tango(60, 0, 0, 40)), normal_quantile(0.95)
    assert (got.low, got.value, got.high) == pytest.approx((-z * z / (100 + z * z), 0, z * z / (100 + z * z)))
    assert isinstance(mcnemar(60, 0, 0, 40), NotEstimable)
    assert isinstance(tango_p(60, 0, 0, 40, 0.0), NotEstimable)
    assert 0.01 < given(tango_p(60, 0, 0, 40, 0.05)) < 0.05
    assert isinstance(tango(0, 0, 0, 0), NotEstimable)
    with pytest.raises(ValueError, match="0 or more"):
        tango(1, -1, 0, 0)


@pytest.mark.parametrize("n", [50, 100])
@pytest.mark.parametrize("shares", [(0.05, 0.05), (0.02, 0.08), (0.1, 0.2), (0.01, 0.03)], ids=str)
def test_tango_covers(n: int, shares: tuple[float, float]) -> None:
    """Coverage summed over every table that can happen, so no simulation error; conservative where few pairs differ."""
    old, new = shares
    total = 0.0
    for old_only in range(n + 1):
        chances = stats.multinomial.pmf(
            [[old_only, new_only, n - old_only - new_only] for new_only in range(n - old_only + 1)],
            n,
            [old, new, 1 - old - new],
        )
        for new_only in np.flatnonzero(chances > 1e-5):
            got = given(tango(0, old_only, int(new_only), n - old_only - int(new_only)))
            total += float(chances[new_only]) * (got.low <= new - old <= got.high)
    assert 0.93 <= total <= (0.97 if n * (old + new) >= 10 else 0.995), total


def test_newcombe_where_statsmodels_score_is_wrong() -> None:
    """The published 56/70 - 48/80; the "score" method of statsmodels gives other limits than Miettinen and Nurminen."""
    got = given(newcombe_difference(56, 70, 48, 80))
    oracle = confint_proportions_2indep(56, 70, 48, 80, method="newcomb", compare="diff")
    wrong = [
        confint_proportions_2indep(56, 70, 48, 80, method="score", compare="diff", correction=correction)
        for correction in (True, False)
    ]
    assert (got.low, got.high) == pytest.approx(oracle)
    assert got.high == pytest.approx(0.3339, abs=5e-5)
    # Maximising the likelihood by hand gives Miettinen and Nurminen .3382; statsmodels says .344.
    assert all(high > 0.343 for _, high in wrong)
    assert all(got.high < high - 0.009 for _, high in wrong)
    assert isinstance(newcombe_difference(0, 0, 1, 2), NotEstimable)


def test_sign_test_with_one_pair_a_prompt_is_binomial() -> None:
    preferences = np.repeat([-1, 0, 1], [9, 20, 21])
    got = given(sign_test(preferences, np.arange(50)))
    assert (got.old, got.ties, got.new) == (9, 20, 21)
    assert got.p == pytest.approx(stats.binomtest(21, 30).pvalue)
    assert given(got.difference).low == pytest.approx(given(tango(0, 9, 21, 20)).low, abs=0.01)
    assert given(got.share).value == pytest.approx(0.7)


def test_sign_test_counts_whole_prompts() -> None:
    """Thirty rows from ten prompts that agree with themselves are ten votes."""
    preferences = np.repeat([1, 1, 1, 1, 1, 1, 1, 1, 1, -1], 3)
    got = given(sign_test(preferences, np.repeat(np.arange(10), 3)))
    assert got.p == pytest.approx(stats.binomtest(9, 10).pvalue)
    alone = given(sign_test(preferences, np.arange(30)))
    assert alone.p < got.p
    assert given(alone.share).low > given(got.share).low


def test_sign_test_at_the_edges() -> None:
    assert isinstance(sign_test(np.array([], dtype=np.int64), np.array([], dtype=np.int64)), NotEstimable)
    ties = given(sign_test(np.zeros(20, dtype=np.int64), np.arange(20)))
    assert ties.p == 1.0
    assert isinstance(ties.share, NotEstimable)
    assert given(ties.difference).low < -0.05
    many = np.where(np.arange(12_000) % 100 < 51, 1, -1)
    large = given(sign_test(many, np.arange(12_000)))
    assert large.p == pytest.approx(stats.binomtest(6120, 12_000).pvalue, abs=0.002)
    assert "limit" in large.p_method


def test_sign_test_keeps_its_level_where_prompts_repeat() -> None:
    """No preference at all, but three pairs a prompt mostly agree: the binomial test is fooled, this one is not."""
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(25), 3)
    ours = fooled = share = difference = 0
    for _ in range(1000):
        towards = rng.beta(0.8, 0.8, 25)[clusters]
        preferences = np.where(rng.random(75) < 0.2, 0, np.where(rng.random(75) < towards, 1, -1))
        got = given(sign_test(preferences, clusters))
        ours += got.p <= 0.05
        fooled += stats.binom.cdf(min(got.old, got.new), got.old + got.new, 0.5) <= 0.025
        share += given(got.share).low <= 0.5 <= given(got.share).high
        difference += given(got.difference).low <= 0 <= given(got.difference).high
    assert ours <= 60 < fooled
    assert 930 <= share <= 984
    assert 930 <= difference <= 984


@pytest.mark.parametrize(("k", "n", "p"), [(16, 18, 0.5), (9, 18, 0.5), (0, 12, 0.5), (3, 40, 0.2), (500, 1000, 0.47)])
def test_binomial_test_is_scipy(k: int, n: int, p: float) -> None:
    got = given(binomial_test(k, n, p))
    assert got.p == pytest.approx(stats.binomtest(k, n, p).pvalue)
    oracle = stats.binomtest(k, n, p).proportion_ci(method="wilson")
    assert (got.rate.low, got.rate.high) == pytest.approx((oracle.low, oracle.high))
    assert isinstance(binomial_test(0, 0), NotEstimable)


def test_one_score_core_for_tango_and_longer_steps() -> None:
    """A step of two that was not seen widens only where likelihood asks for it."""
    seen = np.array([5.0, 85.0, 10.0])
    low, high = score_limits(seen, STEPS, 1.96)
    low2, high2 = score_limits(np.array([0.0, 5.0, 85.0, 10.0, 0.0]), np.arange(-2, 3), 1.96)
    assert low2 <= low + 1e-9
    assert high2 >= high - 1e-9
    assert isinstance(tango(0, 5, 10, 85), Estimate)
