"""Whatever the labels are: swapping old and new mirrors the direction of error, and the order of rows says nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from review.stats.estimate import Estimate, NotEstimable
from review.stats.shift import DirectionShift, direction_shift, direction_verdict

ROW = st.tuples(
    st.integers(0, 3), st.integers(0, 3), st.integers(0, 8), st.integers(0, 2), st.sampled_from([0.5, 1.0, 2.0])
)
MIRRORED = {"towards_confident": "towards_cautious", "towards_cautious": "towards_confident"}


def shift_of(rows: list[tuple[Any, ...]], *, swapped: bool = False) -> DirectionShift:
    old, new, clusters, strata, weights = (np.array(column) for column in zip(*rows, strict=True))
    if swapped:
        old, new = new, old
    got = direction_shift(
        old, new, clusters, strata=strata, shares=np.array([0.2, 0.3, 0.1]), weights=weights, known_zero=0.4
    )
    assert isinstance(got, DirectionShift)
    return got


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=40), data=st.data())
def test_swapping_mirrors_and_order_is_irrelevant(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    shift, swapped = shift_of(rows), shift_of(rows, swapped=True)
    shuffled = shift_of(data.draw(st.permutations(rows)))
    np.testing.assert_allclose(shift.table, swapped.table.T)
    np.testing.assert_allclose(shift.table, shuffled.table)
    one, other, again = shift.balance, swapped.balance, shuffled.balance
    verdict = direction_verdict(one, 0.05)
    assert direction_verdict(other, 0.05) == MIRRORED.get(verdict, verdict)
    if isinstance(one, NotEstimable):
        assert one == other == again
        return
    assert isinstance(other, Estimate)
    assert isinstance(again, Estimate)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low), abs=1e-7)
    assert (one.value, one.low, one.high) == pytest.approx((again.value, again.low, again.high), abs=1e-7)
    assert one.low < one.high
