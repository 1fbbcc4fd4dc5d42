"""Calibration against scikit-learn and by simulated coverage at the app's sizes: 50 to 100 pairs, 1 to 3 a prompt."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

from review.stats import calibration
from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Floats, Ints

REPETITIONS = 1000
UPPER = 0.97 + 2 * math.sqrt(0.95 * 0.05 / REPETITIONS)
STATED, OFTEN = np.array([0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0]), [0.03, 0.04, 0.08, 0.15, 0.2, 0.2, 0.2, 0.1]
Side = tuple[Floats, Floats]


def draw(
    rng: np.random.Generator, times: int, prompts: int, each: int, spread: float, differ: float, step: float
) -> tuple[Side, Side]:
    """Old and new, shape (times, prompts * each): overconfident, alike within a prompt, mostly the same outcomes."""
    shape = (times, prompts, each)
    old = rng.choice(STATED, p=OFTEN, size=shape)
    common, own = rng.random((times, prompts, 1)), rng.random(shape)
    luck = np.where(rng.random(shape) < math.sqrt(spread), common, own)
    other = np.where(rng.random(shape) < differ, rng.random(shape), luck)
    new = np.where(rng.random(shape) < 0.5, np.clip(old + step, 0, 1).round(2), old)
    sides = (old, luck < 0.85 * old), (new, other < 0.85 * old)
    first, second = ((c.reshape(times, -1), y.reshape(times, -1).astype(np.float64)) for c, y in sides)
    return first, second


def share_covered(results: list[Result], truth: float, *, given: float = 0.97) -> float:
    estimates = [each for each in results if isinstance(each, Estimate)]
    assert len(estimates) >= given * len(results)
    return sum(each.low - 1e-12 <= truth <= each.high + 1e-12 for each in estimates) / len(estimates)


def answers(seed: int, n: int) -> tuple[Floats, Floats, Ints]:
    rng = np.random.default_rng(seed)
    confidence = rng.choice(STATED, p=OFTEN, size=n) if seed % 2 else rng.random(n)
    return confidence, (rng.random(n) < confidence**1.5).astype(np.float64), np.arange(n) // 3


@pytest.mark.parametrize("seed", range(6))
def test_brier_and_its_parts_are_those_of_scikit_learn(seed: int) -> None:
    confidence, correct, clusters = answers(seed, 200 + seed)
    score = calibration.brier(confidence, correct, clusters)
    assert isinstance(score, Estimate)
    assert score.value == pytest.approx(brier_score_loss(correct, confidence), abs=1e-12)
    recalibrated = IsotonicRegression(y_min=0, y_max=1).fit(confidence, correct).predict(confidence)
    best, mean = brier_score_loss(correct, recalibrated), correct.mean()
    parts = calibration.corp(confidence, correct)
    assert not isinstance(parts, NotEstimable)
    assert parts.miscalibration == pytest.approx(score.value - best, abs=1e-12)
    assert parts.discrimination == pytest.approx(mean * (1 - mean) - best, abs=1e-12)
    assert parts.miscalibration - parts.discrimination + parts.uncertainty == pytest.approx(score.value, abs=1e-12)
    binned = calibration.murphy(confidence, correct)
    assert not isinstance(binned, NotEstimable)
    assert binned.reliability - binned.resolution + binned.uncertainty + binned.within == pytest.approx(score.value)


def test_murphys_parts_leave_nothing_over_where_each_bin_holds_one_confidence() -> None:
    confidence = np.array([0.2] * 10 + [0.8] * 10)
    correct = np.array([1] * 4 + [0] * 6 + [1] * 7 + [0] * 3, dtype=np.float64)
    parts = calibration.murphy(confidence, correct)
    assert not isinstance(parts, NotEstimable)
    # By hand: (.2-.4)^2 and (.8-.7)^2; (.4-.55)^2 and (.7-.55)^2; .55 * .45.
    assert parts.reliability == pytest.approx((0.04 + 0.01) / 2)
    assert parts.resolution == pytest.approx(0.0225)
    assert parts.uncertainty == pytest.approx(0.2475)
    assert parts.within == pytest.approx(0, abs=1e-15)


def test_the_curve_is_the_isotonic_regression() -> None:
    confidence, correct, clusters = answers(1, 300)
    points = calibration.reliability_curve(confidence, correct, clusters, np.random.default_rng(1), resamples=20)
    oracle = IsotonicRegression(y_min=0, y_max=1).fit(confidence, correct)
    assert [each.confidence for each in points] == sorted(set(confidence.tolist()))
    assert [each.correct for each in points] == pytest.approx(oracle.predict(np.unique(confidence)), abs=1e-12)
    assert sum(each.n for each in points) == 300
    many, right, codes = answers(2, 5000)
    points = calibration.reliability_curve(many, right, codes, np.random.default_rng(1), resamples=20)
    assert len(points) == calibration.POINTS
    assert {each.n for each in points} == {50}


def test_a_bin_is_closed_on_the_right() -> None:
    """Confidences on the edges: closed on the left, .8 would share a bin with .85 and their errors would cancel."""
    confidence = np.array([0.8] * 10 + [0.85] * 10 + [0.0, 1.0])
    correct = np.array([1.0] * 10 + [k / 10 < 0.65 for k in range(10)] + [0.0, 1.0])
    found = calibration.expected_calibration_error(confidence, correct)
    assert not isinstance(found, NotEstimable)
    assert [(each.low, each.high, each.n) for each in found.bins] == [
        (0.0, 0.1, 1),
        (0.7, 0.8, 10),
        (0.8, 0.9, 10),
        (0.9, 1.0, 1),
    ]
    assert found.value == pytest.approx((10 * 0.2 + 10 * 0.15) / 22)
    left = np.digitize(confidence, calibration.EDGES, right=False)
    wrong = sum(abs((confidence - correct)[left == k].sum()) for k in range(11)) / 22
    assert wrong == pytest.approx(0.5 / 22)
    assert "closed on the right" in found.rule


def test_what_cannot_be_known_is_said() -> None:
    none, one = np.zeros(0), np.array([0.7])
    nobody, single = np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
    for found in (
        calibration.expected_calibration_error(none, none),
        calibration.brier(none, none, nobody),
        calibration.murphy(none, none),
        calibration.corp(none, none),
        calibration.brier_difference((none, none), (none, none), nobody),
        calibration.brier(one, one, single),
        calibration.brier_difference((one, one), (one, one), single),
        calibration.mean_difference(np.zeros(9), np.arange(9)),
    ):
        assert isinstance(found, NotEstimable), found
    assert calibration.reliability_curve(none, none, nobody, np.random.default_rng(1)) == ()
    sure = np.array([0.5, 0.9, 0.9])
    top = calibration.thresholds((sure, np.ones(3)), None, np.arange(3), [0.95])[0]
    assert top.old is not None
    assert isinstance(top.old.error, NotEstimable)
    assert isinstance(top.old.coverage, Estimate)
    assert (top.old.coverage.value, top.new, top.error_change) == (0, None, None)


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.integers(0, 20), st.booleans()), min_size=1), st.data())
@settings(max_examples=60, deadline=None)
def test_swapping_old_and_new_mirrors_and_order_does_not_matter(
    rows: list[tuple[int, bool, int, bool]], data: st.DataObject
) -> None:
    table = np.array(rows, dtype=np.float64)
    clusters = np.arange(len(rows)) // 2
    old, new = (table[:, 0] / 20, table[:, 1]), (table[:, 2] / 20, table[:, 3])
    forth, back = (calibration.brier_difference(*each, clusters) for each in ((old, new), (new, old)))
    mixed = np.array(data.draw(st.permutations(range(len(rows)))))
    again = calibration.brier_difference(
        (old[0][mixed], old[1][mixed]), (new[0][mixed], new[1][mixed]), clusters[mixed]
    )
    if isinstance(forth, NotEstimable):
        assert forth == back == again
        return
    assert not isinstance(back, NotEstimable)
    assert not isinstance(again, NotEstimable)
    assert (forth.estimate.low, forth.z, forth.p) == pytest.approx((-back.estimate.high, -back.z, back.p))
    assert (forth.estimate.low, forth.p) == pytest.approx((again.estimate.low, again.p))
    for one, other in zip(
        calibration.thresholds(old, new, clusters), calibration.thresholds(new, old, clusters), strict=True
    ):
        assert one.old == other.new
        if isinstance(one.error_change, Estimate):
            assert isinstance(other.error_change, Estimate)
            assert one.error_change.low == pytest.approx(-other.error_change.high)


SCENARIOS = [
    # prompts, pairs a prompt, correlation within a prompt, share of outcomes drawn anew, step of the confidence
    (17, 3, 0.3, 0.1, 0.05),
    (33, 3, 0.3, 0.3, -0.1),
    (33, 3, 0.3, 0.05, 0.0),
    (50, 1, 0.0, 0.1, 0.05),
    (100, 1, 0.0, 0.3, -0.1),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_brier_difference_and_thresholds_cover(scenario: tuple[int, int, float, float, float]) -> None:
    """Where hardly anything differs between old and new, the intervals of a difference are wider than they must be."""
    prompts, each, spread, differ, step = scenario
    rng = np.random.default_rng(20260301)
    old, new = draw(rng, REPETITIONS, prompts, each, spread, differ, step)
    true_old, true_new = ((side[0][0], side[1][0]) for side in draw(rng, 1, 100_000, 3, spread, differ, step))
    clusters, at = np.repeat(np.arange(prompts), each), 0.85
    found: dict[str, list[Result]] = {
        name: [] for name in ("brier", "difference", "coverage", "error", "more", "worse")
    }
    for number in range(REPETITIONS):
        one, two = ((side[0][number], side[1][number]) for side in (old, new))
        difference = calibration.brier_difference(one, two, clusters)
        row = calibration.thresholds(one, two, clusters, [at])[0]
        assert row.old is not None
        assert row.coverage_change is not None
        assert row.error_change is not None
        found["brier"].append(calibration.brier(*one, clusters))
        found["difference"].append(difference if isinstance(difference, NotEstimable) else difference.estimate)
        found["coverage"].append(row.old.coverage)
        found["error"].append(row.old.error)
        found["more"].append(row.coverage_change)
        found["worse"].append(row.error_change)

    def score(side: Side) -> float:
        return float(((side[0] - side[1]) ** 2).mean())

    def error(side: Side) -> float:
        return float(1 - side[1][side[0] >= at].mean())

    truth = {
        "brier": score(true_old),
        "difference": score(true_new) - score(true_old),
        "coverage": float((true_old[0] >= at).mean()),
        "error": error(true_old),
        "more": float((true_new[0] >= at).mean() - (true_old[0] >= at).mean()),
        "worse": error(true_new) - error(true_old),
    }
    # A few old-new pairs without any difference in 50 have no interval; that is said, not hidden.
    covered = {
        name: share_covered(each, truth[name], given=0.8 if name == "difference" else 0.97)
        for name, each in found.items()
    }
    assert all(share >= 0.93 for share in covered.values()), covered
    assert all(covered[name] <= UPPER for name in ("brier", "coverage", "error")), covered
    if differ >= 0.3:
        assert covered["difference"] <= UPPER, covered


@pytest.mark.parametrize(("prompts", "each", "spread"), [(17, 3, 0.3), (33, 3, 0.3), (100, 1, 0.0)])
def test_the_band_holds_the_line_of_a_calibrated_system(prompts: int, each: int, spread: float) -> None:
    rng = np.random.default_rng(5)
    clusters = np.repeat(np.arange(prompts), each)
    inside: list[float] = []
    for _ in range(REPETITIONS):
        confidence = rng.choice(STATED[:-1], size=prompts * each)
        common = rng.random(len(clusters)) < math.sqrt(spread)
        luck = np.where(common, rng.random(prompts)[clusters], rng.random(len(clusters)))
        correct = (luck < confidence).astype(np.float64)
        points = calibration.reliability_curve(confidence, correct, clusters, rng, resamples=60)
        inside.append(float(np.mean([at.low - 1e-12 <= at.correct <= at.high + 1e-12 for at in points])))
    assert 0.93 <= np.mean(inside) <= UPPER, np.mean(inside)


@pytest.mark.parametrize(("prompts", "each"), [(17, 3), (33, 3), (50, 1), (100, 1)])
def test_a_net_shift_of_three_answers_covers(prompts: int, each: int) -> None:
    rng = np.random.default_rng(9)

    def steps(times: int, of: int) -> Floats:
        old = rng.choice(3, p=[0.15, 0.7, 0.15], size=(times, of, each))
        moved = rng.random((times, of, 1)) < 0.3
        new = np.where(moved, rng.choice(3, p=[0.1, 0.5, 0.4], size=(times, of, each)), old)
        return (new - old).reshape(times, -1).astype(np.float64)

    truth = float(steps(1, 200_000).mean())
    clusters = np.repeat(np.arange(prompts), each)
    tested = [calibration.mean_difference(row, clusters) for row in steps(REPETITIONS, prompts)]
    share = share_covered([each if isinstance(each, NotEstimable) else each.estimate for each in tested], truth)
    assert 0.93 <= share <= UPPER, share
