"""Looking again and again at a growing round, and several claims on one page."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from review.stats.looks import spending, spent
from review.stats.multiple import holm
from review.stats.paired import tango_p

Z = NormalDist()


def plan(alpha: float, fractions: list[float]) -> list[float]:
    """The nominal alpha of each look, asked for as the page asks: one look after the other."""
    return [spent(alpha, len(fractions), fractions[: at + 1]) for at in range(len(fractions))]


@pytest.mark.parametrize(
    ("looks", "published"),
    [(3, [3.7103, 2.5114, 1.9930]), (5, [4.8769, 3.3569, 2.6803, 2.2898, 2.0310])],
)
def test_boundaries_are_the_published_ones(looks: int, published: list[float]) -> None:
    """Lan-DeMets O'Brien-Fleming at one-sided .025 and equal steps, as ldbounds and gsDesign print them."""
    nominal = plan(0.025, [(look + 1) / looks for look in range(looks)])
    assert [Z.inv_cdf(1 - p) for p in nominal] == pytest.approx(published, abs=2e-4)


@pytest.mark.parametrize("fractions", [[1 / 3, 2 / 3, 1], [0.2, 0.9, 1], [0.5, 0.55, 1.3], [0.3, 0.5, 0.7]], ids=str)
def test_false_parity_stays_at_alpha(fractions: list[float]) -> None:
    """At the margin itself, whatever the fractions turn out to be, the last of them short of the plan or over it."""
    rng = np.random.default_rng(17)
    steps = np.diff([0.0, *fractions])
    walk = (rng.standard_normal((400_000, 3)) * np.sqrt(steps)).cumsum(1) / np.sqrt(fractions)
    bounds = [Z.inv_cdf(1 - p) for p in plan(0.05, fractions)]
    assert np.mean((walk > bounds).any(1)) == pytest.approx(0.05, abs=0.0011)


@pytest.mark.parametrize(("looks", "inflated"), [(3, 0.11), (5, 0.13)])
def test_unplanned_looks_inflate_and_spending_does_not(looks: int, inflated: float) -> None:
    """Real pairs by Tango's test: outcomes differ on one in five, new is worse by the margin itself, a look every
    third or fifth of 500 pairs."""
    rng = np.random.default_rng(23)
    margin, size, times = 0.05, 500, 20_000
    ends = [round(size * (look + 1) / looks) for look in range(looks)]
    blocks = [rng.multinomial(n, [0.1 + margin / 2, 0.1 - margin / 2, 0.8], times)[:, :2] for n in np.diff([0, *ends])]
    naive, planned = np.zeros(times, dtype=bool), np.zeros(times, dtype=bool)
    for look, (end, counts) in enumerate(zip(ends, np.cumsum(blocks, axis=0), strict=True)):
        tables, which = np.unique(counts, axis=0, return_inverse=True)
        p = np.array([tango_p(end - old - new, old, new, 0, margin) for old, new in tables.tolist()])[which]
        naive |= p < 0.05
        planned |= p < spent(0.05, looks, [stop / size for stop in ends[: look + 1]])
    assert naive.mean() == pytest.approx(inflated, abs=0.015)
    assert planned.mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / times)


def test_one_look_spends_everything_and_early_ones_almost_nothing() -> None:
    assert spent(0.05, 1, [1.0]) == pytest.approx(0.05)
    assert spent(0.05, 1, [0.4]) == pytest.approx(0.05)  # the last planned look, though short of its plan
    assert spent(0.05, 3, [0.02]) < 1e-20
    assert spending(0.05, 1.0) == pytest.approx(0.05)
    assert spending(0.05, 0.0) == 0.0
    assert 0.049 < spent(0.05, 3, [0.01, 0.02, 1.0]) <= 0.05 + 1e-9


@pytest.mark.parametrize(
    ("alpha", "looks", "taken", "why"),
    [
        (0.05, 3, [0.2, 0.4, 0.6, 0.8], "plans 3 looks and this would be look 4"),
        (0.05, 3, [0.5, 1.0, 1.2], "all alpha was spent"),
        (0.05, 3, [0.5, 0.4], "rise"),
        (0.05, 3, [0.0], "above 0"),
        (0.05, 3, [0.5, 0.501], "label more"),
        (0.05, 3, [], "no look"),
        (0.05, 0, [0.5], "at least one look"),
        (0.7, 3, [0.5], "one-sided alpha"),
    ],
)
def test_what_is_refused(alpha: float, looks: int, taken: list[float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        spent(alpha, looks, taken)


@pytest.mark.parametrize("p_values", [[], [0.01], [0.04, 0.01, 0.03, 0.005], [0.5, 0.5, 0.9, 1.0], [0.02] * 4], ids=str)
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    expected = list(multipletests(p_values, method="holm")[1]) if p_values else []
    assert holm(p_values) == pytest.approx(expected)


def test_holm_on_random_p_values() -> None:
    rng = np.random.default_rng(2)
    for size in (2, 5, 20):
        p_values = rng.random(size) ** 3
        assert holm(list(p_values)) == pytest.approx(list(multipletests(p_values, method="holm")[1]))
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.2, 1.5])
