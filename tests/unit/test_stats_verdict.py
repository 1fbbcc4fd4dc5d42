"""Three-valued verdicts, and the p value that an interval implies."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest

from review.stats.estimate import Estimate, NotEstimable
from review.stats.multiple import holm
from review.stats.verdict import harm_p, joined, no_worse


def estimate(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 0.9, 80, 80, "test")


def test_any_regression_is_one_and_parity_needs_all() -> None:
    assert joined(["parity", "inconclusive", "regression"]) == "regression"
    assert joined(["parity", "inconclusive"]) == "inconclusive"
    assert joined(["parity", "parity"]) == "parity"
    assert joined([]) == "inconclusive"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.014, 0.02, "parity"), (-0.015, 0.02, "inconclusive"), (-0.3, 0.2, "inconclusive"), (0.01, 0.2, "parity")],
)
def test_parity_needs_the_lower_limit_above_the_tolerance(low: float, high: float, verdict: str) -> None:
    assert no_worse(estimate(low, high), 0.015, harmed=False) == verdict


def test_what_cannot_be_estimated_is_inconclusive_and_harm_is_a_regression() -> None:
    assert no_worse(NotEstimable("no labels"), 0.015, harmed=False) == "inconclusive"
    assert no_worse(estimate(-0.3, -0.1), 0.015, harmed=True) == "regression"


@pytest.mark.parametrize("z", [1.7, 2.5, 3.5])
def test_the_p_value_of_harm_is_that_of_the_interval(z: float) -> None:
    normal = NormalDist()

    def at(level: float) -> Estimate:
        half = normal.inv_cdf(0.5 + level / 2)
        return Estimate(-z, -z - half, -z + half, level, 10, 10, "normal, unit variance")

    found = harm_p(at, lambda seen: seen.high < 0, 0.05)
    assert math.isclose(found, 1 - normal.cdf(z), rel_tol=0.03)


def test_no_harm_at_alpha_is_p_one_and_clear_harm_has_a_floor() -> None:
    assert harm_p(lambda _: estimate(-1, 1), lambda seen: seen.high < 0, 0.05) == 1.0
    assert harm_p(lambda _: estimate(-9, -8), lambda seen: seen.high < 0, 0.05) == 1e-6
    assert harm_p(lambda _: NotEstimable("no"), lambda seen: seen.high < 0, 0.05) == 1.0


@pytest.mark.parametrize("alpha", [0.05, 1e-4, 1e-6, 1e-9])
def test_clear_harm_stands_after_holm_at_the_alpha_of_an_early_look(alpha: float) -> None:
    found = harm_p(lambda _: estimate(-9, -8), lambda seen: seen.high < 0, alpha)
    assert max(holm([found] * 60)) <= alpha
