"""The design of a sample against an independent optimiser and its promises; the draw against its probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from review.stats.sampling import UNIT, Design, design, round_at_random, size_and_cap


def table(traces: list[list[int]], cap: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells of a table strata x customers, those that the cap cannot touch pooled."""
    counts = np.array(traces)
    large = counts.sum(axis=0) > cap
    columns = np.concatenate([counts[:, large], counts[:, ~large].sum(axis=1, keepdims=True)], axis=1)
    codes = np.append(np.arange(int(large.sum())), -1)
    strata, at = np.nonzero(columns)
    return columns[strata, at], strata, codes[at]


@st.composite
def asked(draw: st.DrawFn) -> tuple[list[list[int]], int, float, int]:
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    row = st.lists(st.sampled_from([0, 0, 1, 2, 5, 30, 400]), min_size=width, max_size=width)
    traces = draw(st.lists(row, min_size=height, max_size=height).filter(lambda rows: sum(map(sum, rows)) > 0))
    return (
        [row for row in traces if sum(row)],
        draw(st.integers(1, 900)),
        draw(st.sampled_from([0.01, 0.05, 0.2, 0.34, 1.0])),
        draw(st.integers(0, 12)),
    )


def planned(traces: list[list[int]], wanted: int, share: float, floor: int) -> tuple[Design, np.ndarray, np.ndarray]:
    held = np.array(traces).sum(axis=0)
    sizes, customers = np.unique(held[held > 0], return_counts=True)
    size, cap = size_and_cap(sizes, customers, 0, wanted, share)
    counts, strata, codes = table(traces, cap)
    return design(counts, strata, codes, size, cap, floor), strata, codes


@settings(max_examples=80, deadline=None)
@example(([[1], [2]], 2, 0.01, 1))  # the floors take the whole sample, and one customer has it all
@given(asked())
def test_what_the_design_promises(given_: tuple[list[list[int]], int, float, int]) -> None:
    traces, wanted, share, floor = given_
    plan, strata, customers = planned(traces, wanted, share, floor)
    frame = np.array(traces).sum(axis=1)
    assert np.all((plan.pi > 0) & (plan.pi <= 1))
    assert int(plan.units.sum()) == plan.size * UNIT
    assert plan.size <= min(wanted, int(frame.sum()))
    expected = np.bincount(strata, plan.units) / UNIT
    reached = expected >= np.minimum(plan.floor, frame) - 1e-9
    assert set(np.flatnonzero(~reached)) <= set(plan.short.tolist())
    named = customers >= 0
    if named.any():
        assert np.bincount(customers[named], plan.units[named]).max() <= plan.cap * UNIT
    assert plan.cap <= max(
        share * plan.size + 1e-9, np.ceil(plan.size / np.count_nonzero(np.array(traces).sum(axis=0)))
    )
    drawn = round_at_random(plan.units, strata, customers, np.random.default_rng(wanted))
    exact = plan.units / UNIT
    assert np.all((drawn >= np.floor(exact)) & (drawn <= np.ceil(exact)) & (drawn <= plan.counts))
    assert drawn.sum() == plan.size
    taken = np.bincount(strata, drawn)
    assert np.all((taken >= np.floor(expected)) & (taken <= np.ceil(expected)))
    if named.any():
        assert np.bincount(customers[named], drawn[named]).max() <= plan.cap


@settings(max_examples=80, deadline=None)
@given(asked())
def test_the_size_is_the_largest_that_keeps_the_share(given_: tuple[list[list[int]], int, float, int]) -> None:
    traces, wanted, share, _ = given_
    held = [each for each in np.array(traces).sum(axis=0).tolist() if each]
    alone = len(traces)

    def allowed(size: int) -> int:
        return max(int(share * size + 1e-9), -(-size // (len(held) + alone)))

    by_hand = [n for n in range(1, wanted + 1) if sum(min(each, allowed(n)) for each in held) + alone >= n]
    sizes, customers = np.unique(held, return_counts=True)
    size, cap = size_and_cap(sizes, customers, alone, wanted, share)
    assert (size, cap) == (max(by_hand), allowed(max(by_hand)))


@pytest.mark.parametrize("seed", range(6))
def test_the_probabilities_are_the_closest_to_proportional_ones(seed: int) -> None:
    """Against a general optimiser: least Kullback-Leibler divergence from proportional under caps and floors."""
    rng = np.random.default_rng(seed)
    traces = rng.integers(20, 200, (4, 4))
    traces[:, 0] *= 6
    traces[1] //= 12
    counts, strata, customers = traces.ravel(), np.repeat(np.arange(4), 4), np.tile(np.arange(4), 4)
    size, cap, floor = 60, 24, 6
    plan = design(counts, strata, customers, size, cap, floor)
    assert not len(plan.short)
    proportional = counts * size / counts.sum()
    sums = [
        {"type": "eq", "fun": lambda m: m.sum() - size},
        *({"type": "ineq", "fun": lambda m, h=h: m[strata == h].sum() - floor} for h in range(4)),
        *({"type": "ineq", "fun": lambda m, c=c: cap - m[customers == c].sum()} for c in range(4)),
    ]
    found = minimize(
        lambda m: float((m * np.log(m / proportional)).sum()),
        proportional,
        jac=lambda m: np.log(m / proportional) + 1,
        bounds=[(1e-6, float(each)) for each in counts],
        constraints=sums,
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    assert found.success
    np.testing.assert_allclose(plan.units / UNIT, found.x, atol=2e-3)


def test_one_who_sends_40_percent_gives_5() -> None:
    rng = np.random.default_rng(3)
    traces = rng.integers(2, 12, (10, 100))
    traces[:, 0] = traces[:, 1:].sum(axis=1) * 2 // 3
    assert traces[:, 0].sum() / traces.sum() == pytest.approx(0.4, abs=0.01)
    plan, strata, customers = planned(traces.tolist(), 400, 0.05, 5)
    assert (plan.size, plan.cap) == (400, 20)
    drawn = round_at_random(plan.units, strata, customers, np.random.default_rng(1))
    assert drawn[customers == 0].sum() == 20


def test_a_rare_cluster_of_a_capped_customer_is_short_and_named() -> None:
    traces = [[0] + [40] * 30, [900] + [0] * 30, [6] + [0] * 30]
    plan, _, _ = planned(traces, 200, 0.05, 8)
    assert plan.cap == 10
    assert plan.short.tolist() == [2]
    assert np.all(plan.pi > 0)


def test_where_floors_do_not_fit_they_are_lowered_together() -> None:
    plan, strata, _ = planned([[30] * 5 for _ in range(20)], 63, 1.0, 5)
    assert plan.floor == 3
    assert (np.bincount(strata, plan.units) / UNIT >= 3 - 1e-9).all()


def test_each_trace_is_drawn_as_often_as_its_probability_says() -> None:
    """The counts of cells over seeds, their strata and customers; and the Horvitz-Thompson total of a variable."""
    rng = np.random.default_rng(5)
    traces = rng.poisson(rng.gamma(0.6, 30, (8, 1)) * rng.gamma(0.6, 2, (1, 12)) + 0.2)
    traces[:, 0] *= 5
    plan, strata, customers = planned(traces.tolist(), 120, 0.15, 5)
    repeats = 500
    drawn = np.array([round_at_random(plan.units, strata, customers, np.random.default_rng(s)) for s in range(repeats)])
    expected = plan.units / UNIT
    part = expected % 1
    error = (drawn.mean(axis=0) - expected) / np.sqrt(np.maximum(part * (1 - part), 1e-12) / repeats)
    assert np.abs(error).max() < 4
    assert 0.6 < error[part > 1e-6].std() < 1.4
    value = rng.random(len(expected)) * plan.counts
    totals = drawn / expected @ value
    assert abs(totals.mean() - value.sum()) < 4 * totals.std() / np.sqrt(repeats)
    naive = drawn @ (value / plan.counts) / plan.size
    assert abs(naive.mean() - value.sum() / plan.counts.sum()) > 0.02


def test_a_bad_table_is_refused() -> None:
    one = np.array([3])
    with pytest.raises(ValueError, match="lies from 1 to 3"):
        design(one, np.array([0]), np.array([-1]), 4, 1, 0)
    with pytest.raises(ValueError, match="more than one cell"):
        design(np.array([3, 3]), np.array([0, 0]), np.array([-1, -1]), 2, 1, 0)
    with pytest.raises(ValueError, match="share"):
        size_and_cap(one, one, 0, 3, 0.0)
