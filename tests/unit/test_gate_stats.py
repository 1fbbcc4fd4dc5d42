"""Coverage and false verdicts of the gate's own statistics, simulated where truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from review.stats.estimate import Estimate, NotEstimable
from review.stats.noise import noise_floor
from review.stats.pass_rate import JudgeErrors, further_cases, mixture, pass_rate
from review.stats.weighted_score import Differences, missing

LEVEL = 0.9  # what a one-sided alpha of .05 reads


@pytest.mark.parametrize(
    ("ordinary", "cases", "discordant", "difference"),
    [
        (300, 40, 0.10, -0.02),  # bootstrap
        (100, 20, 0.05, -0.02),  # score: too few prompts moved
        (500, 0, 0.04, -0.015),  # right at the tolerance: a false parity is an interval above it
    ],
)
def test_the_weighted_score_covers_and_says_parity_falsely_at_most_at_alpha(
    ordinary: int, cases: int, discordant: float, difference: float
) -> None:
    rng = np.random.default_rng(7)
    chances = [(discordant - difference) / 2, 1 - discordant, (discordant + difference) / 2]
    weights = np.r_[np.ones(ordinary), np.full(cases, 3.0)]
    strata = np.r_[np.zeros(ordinary), np.ones(cases)].astype(np.int64)
    truth = ordinary * difference / weights.sum()
    above = below = 0
    repetitions = 300
    for _ in range(repetitions):
        answers = rng.choice([-1.0, 0.0, 1.0], p=chances, size=ordinary)
        old, new = rng.beta(1, 1, size=(2, cases))
        set_values = (rng.binomial(3, new) - rng.binomial(3, old)) / 3
        found = Differences(np.r_[answers, set_values], weights, np.arange(ordinary + cases), strata).intervals()(LEVEL)
        assert isinstance(found, Estimate)
        above += found.low > truth
        below += found.high < truth
    # .05 each; three standard errors of 300 repetitions are .038.
    assert above / repetitions <= 0.088
    assert below / repetitions <= 0.088


def test_a_bootstrap_gives_all_levels_from_the_same_resamples() -> None:
    rng = np.random.default_rng(1)
    values = rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=400)
    at = Differences(values, np.ones(400), np.arange(400), np.zeros(400, np.int64)).intervals()
    wide, narrow = at(0.99), at(0.9)
    assert isinstance(wide, Estimate)
    assert isinstance(narrow, Estimate)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert "bootstrap" in wide.method


@pytest.mark.parametrize(
    ("truth", "sensitivity", "specificity"), [(0.85, 0.95, 0.85), (0.85, 0.8, 0.9), (0.6, 0.9, 0.8)]
)
def test_the_pass_rate_carries_repeats_and_the_judges_errors(
    truth: float, sensitivity: float, specificity: float
) -> None:
    """At a true rate on the floor, "above the floor" is false: it may be said at most about alpha of the time."""
    rng = np.random.default_rng(3)
    cases, repeats, checked = 60, 3, 80
    above = below = usable = 0
    for _ in range(600):
        passing = rng.random(cases) < truth
        said = np.where(passing, sensitivity, 1 - specificity)
        # The judge errs the same way on most repeats of one case: they are no further cases.
        same = rng.random(cases) < said
        verdicts = np.where(rng.random((repeats, cases)) < 0.8, same, rng.random((repeats, cases)) < said)
        good = int(rng.binomial(checked, 0.6))
        errors = JudgeErrors(
            int(rng.binomial(good, sensitivity)), good, int(rng.binomial(checked - good, specificity)), checked - good
        )
        found = pass_rate(verdicts.mean(axis=0), np.arange(cases), np.ones(cases, np.bool_), errors, level=LEVEL)
        if isinstance(found, NotEstimable):
            continue
        usable += 1
        above += found.low > truth
        below += found.high < truth
    assert usable >= 590
    assert above / usable <= 0.08
    assert below / usable <= 0.08


def test_cases_without_a_judge_need_no_errors_and_judged_ones_do() -> None:
    passes, clusters = np.ones(30), np.arange(30)
    plain = pass_rate(passes, clusters, np.zeros(30, np.bool_), None, level=LEVEL)
    assert isinstance(plain, Estimate)
    assert 0.9 < plain.low < 1
    assert isinstance(pass_rate(passes, clusters, np.ones(30, np.bool_), None, level=LEVEL), NotEstimable)
    unknown = JudgeErrors(0, 0, 0, 0)
    assert isinstance(pass_rate(passes, clusters, np.ones(30, np.bool_), unknown, level=LEVEL), NotEstimable)


def test_repeats_of_a_case_do_not_count_as_cases() -> None:
    errors = JudgeErrors(40, 40, 40, 40)
    judged = np.ones(20, np.bool_)
    found = pass_rate(np.full(20, 2 / 3), np.arange(20), judged, errors, level=LEVEL)
    assert isinstance(found, Estimate)
    # 20 cases, however often each was asked: Wilson's interval of 13.3 of 20 is about as wide.
    assert found.high - found.low > 0.25


def test_the_number_of_missing_cases_decides_when_they_come_as_the_others_did() -> None:
    found = Estimate(0.95, 0.82, 0.99, LEVEL, 40, 40, "Wilson")
    more = further_cases(found, 0.85, alpha=0.05, power=0.8)
    assert isinstance(more, int)
    assert 20 < more < 200
    assert isinstance(further_cases(found, 0.96, alpha=0.05, power=0.8), NotEstimable)


def test_a_mixture_weighs_its_parts_and_keeps_its_level() -> None:
    parts = [
        (0.75, Estimate(0.0, -0.04, 0.04, LEVEL, 100, 100, "a")),
        (0.25, Estimate(0.4, 0.0, 0.8, LEVEL, 50, 50, "b")),
    ]
    found = mixture(parts, 150, 150, LEVEL, (-1.0, 1.0))
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1 - (0.03**2 + 0.1**2) ** 0.5)


def test_noise_between_two_runs_of_the_same_system_stays_below_its_floor() -> None:
    rng = np.random.default_rng(5)
    right = rng.beta(5, 1, size=400)  # of each prompt how often this baseline is right
    floors: list[float] = []
    beyond = 0
    for _ in range(500):
        first, again, third = (rng.random((3, 400)) < right).astype(float)
        floor = noise_floor(again - first, np.ones(400, np.int64))
        assert isinstance(floor, float)
        floors.append(floor)
        beyond += abs((third - first).mean()) > floor
    assert beyond / 500 <= 0.08
    assert isinstance(noise_floor(np.zeros(3), np.ones(3, np.int64)), NotEstimable)


def test_missing_examples_follow_from_the_spread_seen() -> None:
    rng = np.random.default_rng(2)
    values = rng.choice([-1.0, 0.0, 1.0], p=[0.05, 0.9, 0.05], size=500)
    found = Differences(values, np.ones(500), np.arange(500), np.zeros(500, np.int64)).intervals()(LEVEL)
    more = missing(found, 0.015, alpha=0.05, power=0.8)
    # 6.18 x .10 / .015^2 = 2,750 in all.
    assert isinstance(more, int)
    assert 1_200 < more < 4_500
