"""How many labels are missing: the arithmetic, its power by simulation, and the allocation of the next ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from review.stats.estimate import Estimate, NotEstimable
from review.stats.paired import tango
from review.stats.planning import discordance_spread, labels_needed, neyman
from review.stats.stratified import stratified_difference


def test_a_frame_of_a_tenth_needs_a_tenth_of_the_labels() -> None:
    everywhere = labels_needed(discordance_spread(0.10), 0.015)
    in_the_frame = labels_needed(discordance_spread(1.0, frame_share=0.1), 0.015)
    assert isinstance(everywhere, int)
    assert isinstance(in_the_frame, int)
    assert 2700 < everywhere < 2800
    assert 270 < in_the_frame < 280


def test_a_difference_beyond_the_margin_needs_no_labels_but_another_answer() -> None:
    assert isinstance(labels_needed(0.1, 0.015, difference=-0.02), NotEstimable)


def test_a_good_judge_saves_labels() -> None:
    alone, helped = labels_needed(0.1, 0.015), labels_needed(0.1, 0.015, correlation=0.8)
    assert isinstance(alone, int)
    assert isinstance(helped, int)
    assert helped == pytest.approx(0.36 * alone, rel=0.01)


@pytest.mark.parametrize(("discordant", "share", "margin"), [(0.3, 0.2, 0.02), (0.2, 1.0, 0.08)])
def test_with_that_many_labels_the_claim_succeeds_as_often_as_promised(
    discordant: float, share: float, margin: float
) -> None:
    needed = labels_needed(discordance_spread(discordant, share), margin)
    assert isinstance(needed, int)
    rng = np.random.default_rng(4)
    clusters = np.arange(needed)
    won = 0
    for _ in range(1000):
        values = rng.choice([-1.0, 0.0, 1.0], needed, p=[discordant / 2, 1 - discordant, discordant / 2])
        found = stratified_difference(values, clusters, shares=np.array([share]), known_zero=1 - share, level=0.9)
        assert not isinstance(found, NotEstimable)
        won += found.low > -margin
    assert 0.76 <= won / 1000 <= 0.84


STRATA = st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1), st.integers(0, 60)), min_size=1, max_size=6)


@given(STRATA, st.integers(0, 150))
def test_an_allocation_adds_up_and_never_takes_more_than_there_is(
    strata: list[tuple[int, float, int]], total: int
) -> None:
    sizes, spreads, left = ([row[at] for row in strata] for at in range(3))
    caps = [min(size, cap) for size, cap in zip(sizes, left, strict=True)]
    given_out = neyman(sizes, spreads, total, left)
    assert sum(given_out) == min(total, sum(caps))
    assert all(0 <= n <= cap for n, cap in zip(given_out, caps, strict=True))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(4, 40), st.floats(0.05, 1)), min_size=2, max_size=3), st.integers(6, 12))
def test_no_other_allocation_has_a_smaller_variance(strata: list[tuple[int, float]], total: int) -> None:
    sizes, spreads = [row[0] for row in strata], [row[1] for row in strata]

    def variance(counts: tuple[int, ...]) -> float:
        return sum((size * spread) ** 2 / n for size, spread, n in zip(sizes, spreads, counts, strict=True))

    chosen = neyman(sizes, spreads, total)
    others = [
        counts for counts in itertools.product(*(range(2, size + 1) for size in sizes)) if sum(counts) == sum(chosen)
    ]
    assert variance(tuple(chosen)) <= min(variance(counts) for counts in others) * (1 + 1e-9)


def test_independent_pairs_that_count_alike_get_tangos_own_interval() -> None:
    values = np.array([1.0] * 7 + [-1.0] + [0.0] * 13)
    plain, share = tango(1, 1, 7, 12), 0.1
    alone = stratified_difference(values, np.arange(21))
    within = stratified_difference(values, np.arange(21), shares=np.array([share]), known_zero=1 - share)
    assert isinstance(plain, Estimate)
    assert isinstance(alone, Estimate)
    assert isinstance(within, Estimate)
    assert (alone.low, alone.high) == pytest.approx((plain.low, plain.high), abs=1e-12)
    assert (within.low, within.high) == pytest.approx((share * plain.low, share * plain.high), abs=1e-12)
