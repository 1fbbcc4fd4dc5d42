"""Strata that join, strata that stay unlabelled, and the arithmetic of shares."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from review.stats.sample import pool


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_each_stratum_with_two_rows_stands_for_its_share() -> None:
    sample = pool(ints(0, 0, 1, 1, 1), np.array([60.0, 40.0]), ints(0, 0), np.array([True, True]), 100.0)
    assert sample is not None
    assert sample.shares.tolist() == [0.3, 0.2]
    assert (sample.known, sample.unlabelled) == (0.5, 0.0)
    assert sample.strata.tolist() == [0, 0, 1, 1, 1]


def test_small_strata_that_could_be_drawn_join_within_their_family() -> None:
    # Stratum 1 has one row, stratum 2 none; both could have been drawn. Stratum 3 belongs to another family.
    sample = pool(ints(0, 0, 1, 3, 3), np.array([50.0, 20.0, 10.0, 20.0]), ints(0, 0, 0, 1), np.array([True] * 4), 0.0)
    assert sample is not None
    # One row is too few for the two small ones, so the next smallest joins them too.
    assert sorted(sample.shares.tolist()) == [0.2, 0.8]
    assert sample.joined[0] == sample.joined[1] == sample.joined[2] != sample.joined[3]


def test_what_could_not_be_drawn_stays_unlabelled() -> None:
    sample = pool(ints(0, 0), np.array([70.0, 30.0]), ints(0, 1), np.array([True, False]), 100.0)
    assert sample is not None
    assert sample.joined.tolist() == [0, -1]
    assert abs(sample.unlabelled - 0.15) < 1e-12


def test_without_a_row_there_is_no_sample() -> None:
    assert pool(ints(), np.array([10.0]), ints(0), np.array([True]), 5.0) is None


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=40),
    st.lists(st.integers(1, 500), min_size=6, max_size=6),
    st.lists(st.integers(0, 2), min_size=6, max_size=6),
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.integers(0, 1000),
)
def test_shares_add_up_and_every_row_keeps_a_stratum(
    rows: list[int], sizes: list[int], families: list[int], reachable: list[bool], known: int
) -> None:
    sample = pool(ints(*rows), np.array(sizes, float), ints(*families), np.array(reachable), float(known))
    assert sample is not None
    assert abs(float(sample.shares.sum()) + sample.known + sample.unlabelled - 1) < 1e-9
    assert sample.strata.min() >= 0
    assert set(range(len(sample.shares))) == set(sample.strata.tolist())
    for one in range(6):
        for two in range(6):
            if sample.joined[one] >= 0 and sample.joined[one] == sample.joined[two]:
                assert families[one] == families[two]
