"""Agreement coefficients against independent implementations, their symmetries, and the edges of their data."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from statsmodels.stats.contingency_tables import SquareTable
from statsmodels.stats.inter_rater import cohens_kappa

from review.stats import raters
from review.stats.agreement import (
    ac1_estimate,
    cohen_kappa,
    contingency,
    gwet_ac1,
    kappa_estimate,
    linear_weights,
    raw_estimate,
)
from review.stats.classification import bowker, stuart_maxwell
from review.stats.design import half_width, shift_half_width, smallest_visible_shift
from review.stats.estimate import Estimate, NotEstimable
from review.stats.intervals import cluster_se, clustered_mean, wilson, zero_events_upper

TABLES = hnp.arrays(np.int64, (3, 3), elements=st.integers(0, 40))
COUNTS = hnp.arrays(np.int64, st.tuples(st.integers(2, 30), st.just(4)), elements=st.integers(0, 3))


@given(TABLES)
def test_kappa_is_that_of_statsmodels(table: np.ndarray) -> None:
    kappa = cohen_kappa(table)
    if isinstance(kappa, NotEstimable):
        assert np.count_nonzero(table.sum(0) + table.sum(1)) <= 1
        return
    with np.errstate(all="ignore"):  # its z value divides by zero on small tables
        oracle = cohens_kappa(table.astype(float), return_results=True)
    assert kappa.value == pytest.approx(oracle.kappa, abs=1e-9)
    assert kappa.se == pytest.approx(np.sqrt(max(oracle.var_kappa, 0)), abs=1e-6)


@given(TABLES)
def test_weighted_kappa_is_that_of_statsmodels(table: np.ndarray) -> None:
    kappa = cohen_kappa(table, linear_weights(3))
    if isinstance(kappa, NotEstimable):
        return
    with np.errstate(all="ignore"):
        oracle = cohens_kappa(table.astype(float), wt="linear", return_results=True)
    assert kappa.value == pytest.approx(oracle.kappa, abs=1e-9)
    assert kappa.se == pytest.approx(np.sqrt(max(oracle.var_kappa, 0)), abs=1e-6)


@given(TABLES)
def test_marginal_tests_are_those_of_statsmodels(table: np.ndarray) -> None:
    oracle = SquareTable(table.astype(float), shift_zeros=False)
    margins = stuart_maxwell(table)
    if not isinstance(margins, NotEstimable) and margins.degrees == 2:
        assert margins.statistic == pytest.approx(oracle.homogeneity().statistic, rel=1e-6, abs=1e-6)
    symmetry = bowker(table)
    if not isinstance(symmetry, NotEstimable) and symmetry.degrees == 3:
        assert symmetry.statistic == pytest.approx(oracle.symmetry().statistic, rel=1e-6)


@settings(max_examples=60)
@given(COUNTS, st.sampled_from(["nominal", "ordinal", "interval", "ratio"]))
def test_alpha_is_that_of_the_krippendorff_package(counts: np.ndarray, metric: raters.Metric) -> None:
    alpha = raters.krippendorff_alpha(counts, metric)
    used = counts[counts.sum(axis=1) >= 2].sum(axis=0)
    if isinstance(alpha, NotEstimable):
        assert np.count_nonzero(used) <= 1
        return
    oracle = krippendorff.alpha(value_counts=counts, level_of_measurement=metric, value_domain=[1, 2, 3, 4])
    assert alpha.value == pytest.approx(oracle, abs=1e-9)


def test_first_order_influence_of_alpha_is_its_derivative() -> None:
    rng = np.random.default_rng(3)
    counts = rng.multinomial(3, [0.5, 0.3, 0.2], size=400)
    alpha = raters.krippendorff_alpha(counts)
    assert not isinstance(alpha, NotEstimable)
    left_out = [raters.krippendorff_alpha(np.delete(counts, unit, axis=0)).value for unit in range(400)]  # type: ignore[union-attr]  # estimable
    jackknife = np.sqrt(399 / 400 * np.square(np.array(left_out) - np.mean(left_out)).sum())
    assert alpha.se == pytest.approx(jackknife, rel=0.02)


ROWS = st.integers(2, 60).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int64, n, elements=st.integers(0, 3)),
        hnp.arrays(np.int64, n, elements=st.integers(0, 3)),
        hnp.arrays(np.int64, n, elements=st.integers(0, 7)),
        st.permutations(range(n)),
    )
)


@given(ROWS)
def test_estimates_are_finite_ordered_and_blind_to_row_order(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray, list[int]],
) -> None:
    people, judge, raw_clusters, order = rows
    clusters = np.unique(raw_clusters, return_inverse=True)[1]
    # Swapping the raters, or old with new, and shuffling rows changes nothing about agreement.
    old_and_new, reversed_order = np.array([1, 0, 2, 3]), np.array([3, 2, 1, 0])
    for estimate, swap in (
        (lambda a, b, c: raw_estimate(a, b, c), old_and_new),
        (lambda a, b, c: kappa_estimate(a, b, 4, c), old_and_new),
        (lambda a, b, c: ac1_estimate(a, b, 4, c), old_and_new),
        (lambda a, b, c: kappa_estimate(a, b, 4, c, weights=linear_weights(4)), reversed_order),
    ):
        first = estimate(people, judge, clusters)
        for second in (
            estimate(judge[order], people[order], clusters[order]),
            estimate(swap[people], swap[judge], clusters),
        ):
            assert type(first) is type(second)
            if isinstance(first, Estimate) and isinstance(second, Estimate):
                assert (second.value, second.low, second.high) == pytest.approx(
                    (first.value, first.low, first.high), abs=1e-9
                )
                assert -1 - 1e-9 <= first.low <= first.value <= first.high <= 1 + 1e-9


def test_what_the_data_cannot_give_says_why() -> None:
    same, apart = np.zeros(5, dtype=np.int64), np.arange(5)
    assert isinstance(kappa_estimate(same, same, 4, apart), NotEstimable)
    assert isinstance(ac1_estimate(same, same, 4, apart), NotEstimable)
    assert isinstance(raw_estimate(same, same, same), NotEstimable)
    assert isinstance(raw_estimate(same[:0], same[:0], same[:0]), NotEstimable)
    assert isinstance(raters.krippendorff_alpha(np.eye(3, dtype=np.int64)), NotEstimable)
    assert isinstance(raters.fleiss_kappa(np.array([[2, 0], [1, 0]])), NotEstimable)
    assert isinstance(wilson(0, 0), NotEstimable)
    with pytest.raises(ValueError, match="finite"):
        Estimate(float("nan"), 0, 1, 0.95, 1, 1, "none")


def test_perfect_agreement_keeps_an_honest_lower_limit() -> None:
    answers = np.array([0, 1] * 20)
    one_each, four_each = np.arange(40), np.repeat(np.arange(10), 4)
    raw, clustered = raw_estimate(answers, answers, one_each), raw_estimate(answers, answers, four_each)
    kappa = kappa_estimate(answers, answers, 2, one_each)
    assert isinstance(raw, Estimate)
    assert isinstance(clustered, Estimate)
    assert isinstance(kappa, Estimate)
    assert raw.high == clustered.high == kappa.high == 1
    assert clustered.low < raw.low < 1
    assert kappa.low == pytest.approx(1 - 2 * (1 - raw.low))


def test_the_cluster_robust_error_is_the_textbook_sum() -> None:
    values = np.array([1.0, 1, 0, 1, 0, 0, 1])
    clusters = np.array([0, 0, 1, 1, 2, 2, 2])
    residuals = values - values.mean()
    by_hand = np.sqrt(sum(residuals[clusters == c].sum() ** 2 for c in range(3))) / 7
    assert cluster_se(residuals, clusters) == pytest.approx(by_hand, rel=1e-12)


def test_repeated_prompts_widen_the_interval() -> None:
    values = np.repeat([1.0, 1, 1, 0, 1, 0, 1, 1], 5)
    wide, narrow = clustered_mean(values, np.repeat(np.arange(8), 5)), clustered_mean(values, np.arange(40))
    assert isinstance(wide, Estimate)
    assert isinstance(narrow, Estimate)
    assert (narrow.method, narrow.clusters, wide.clusters) == ("Wilson", 40, 8)
    assert wide.high - wide.low > 1.8 * (narrow.high - narrow.low)


def test_what_a_round_can_show() -> None:
    # statistics.md: at 10 % discordant pairs the half-width is 8.8 points with 50 pairs and 6.2 with 100.
    assert shift_half_width(50) == pytest.approx(0.088, abs=5e-4)
    assert shift_half_width(100) == pytest.approx(0.062, abs=5e-4)
    # ... of which a frame that covers a tenth of all traffic leaves a tenth, if all of it is discordant.
    assert shift_half_width(100, discordant=1.0, frame_share=0.1) == pytest.approx(0.0196, abs=5e-4)
    assert half_width(80) == pytest.approx(0.1071, abs=5e-4)
    assert half_width(80, design_effect=2.0) == half_width(40)
    assert smallest_visible_shift(100, discordant=0.4) == pytest.approx(0.1772, abs=5e-4)
    assert isinstance(smallest_visible_shift(20), NotEstimable)
    assert zero_events_upper(100) == pytest.approx(0.0295, abs=5e-5)


def test_contingency_counts_rows_by_the_first_rater() -> None:
    table = contingency(np.array([0, 0, 2]), np.array([1, 1, 2]), 3)
    assert table.tolist() == [[0, 2, 0], [0, 0, 0], [0, 0, 1]]
    ac1 = gwet_ac1(table)
    assert not isinstance(ac1, NotEstimable)
    assert ac1.observed == pytest.approx(1 / 3)
