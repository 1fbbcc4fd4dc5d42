"""Shares of clusters, traits and the cause of a fall: what is beyond chance, and the whole decision table."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.stats import causes
from review.stats.anchors import Changed as AnchorVotes
from review.stats.causes import Changed, Finding, diagnose, of_estimate, of_inputs, of_votes, parts
from review.stats.estimate import Estimate, NotEstimable
from review.stats.stability import Stability, mean_change, psi, rate_change

SHARES = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.04, 0.03, 0.02, 0.01])


def counted(values: np.ndarray) -> dict[str, int]:
    return {f"cluster {place}": int(count) for place, count in enumerate(values)}


def test_a_small_sample_of_the_same_traffic_does_not_alarm() -> None:
    rng = np.random.default_rng(2)
    found = [psi(counted(rng.multinomial(2000, SHARES)), counted(rng.multinomial(60, SHARES)), alpha=0.05)
             for _ in range(200)]  # fmt: skip
    told = [each for each in found if isinstance(each, Stability)]
    # The usual rule, an index above .1, would call most of these samples a shift.
    assert float(np.mean([each.psi > 0.1 for each in told])) > 0.5
    assert float(np.mean([each.verdict == "shifted" for each in told])) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert {each.verdict for each in told} <= {"too few", "shifted"}
    assert float(np.mean([each.p <= 0.5 for each in told])) == pytest.approx(0.5, abs=0.11)


def test_a_real_shift_is_found_and_a_new_cluster_named() -> None:
    rng = np.random.default_rng(5)
    moved = np.array([0.1, 0.2, 0.15, 0.1, 0.1, 0.15, 0.09, 0.03, 0.02, 0.06])
    before = counted(rng.multinomial(2000, SHARES))
    after = counted(rng.multinomial(400, moved)) | {"unheard of": 12}
    found = psi(before, after)
    assert isinstance(found, Stability)
    assert found.verdict == "shifted"
    assert found.new == {"unheard of": 12}
    assert found.shares["unheard of"] == (0, pytest.approx(12 / 412))
    assert found == psi(before, after)
    same = psi(before, counted(rng.multinomial(4000, SHARES)))
    assert isinstance(same, Stability)
    assert same.verdict == "stable"
    # Ten rows a conversation are worth less than as many conversations.
    weaker = psi(before, after, design_effect=10)
    assert isinstance(weaker, Stability)
    assert weaker.p >= found.p
    assert weaker.by_chance > found.by_chance


def test_the_index_is_the_textbook_one_on_large_counts() -> None:
    found = psi({"a": 50_000, "b": 50_000}, {"a": 60_000, "b": 40_000})
    assert isinstance(found, Stability)
    assert found.psi == pytest.approx(0.1 * math.log(0.6 / 0.5) - 0.1 * math.log(0.4 / 0.5), rel=1e-3)


@pytest.mark.parametrize(("before", "after"), [({}, {}), ({"a": 9}, {"a": 9}), ({"a": 1, "b": 0}, {"a": 5, "b": 5})])
def test_what_has_no_shares_has_no_index(before: dict[str, int], after: dict[str, int]) -> None:
    assert isinstance(psi(before, after), NotEstimable)


def test_changes_of_rates_and_traits_cover_what_is_true() -> None:
    rng = np.random.default_rng(11)
    rates, means, reps = 0, 0, 300
    clusters = [np.repeat(np.arange(size), 3) for size in (60, 25)]
    for _ in range(reps):
        chances = [np.repeat(rng.beta(2, 18, size), 3) for size in (60, 25)]
        rows = [(rng.random(len(each)) < each).astype(float) for each in chances]
        found = rate_change(rows[0], clusters[0], rows[1], clusters[1])
        assert isinstance(found, Estimate)
        rates += found.low <= 0 <= found.high
        words = [np.repeat(rng.normal(80, 15, size), 3) + rng.normal(0, 10, 3 * size) for size in (60, 25)]
        found = mean_change(words[0], clusters[0], words[1] + 5, clusters[1])
        assert isinstance(found, Estimate)
        means += found.low <= 5 <= found.high
    assert rates / reps >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / reps)
    assert means / reps == pytest.approx(0.95, abs=3 * math.sqrt(0.05 * 0.95 / reps))


STATES: tuple[Changed, ...] = ("changed", "unchanged", "unknown")


@pytest.mark.parametrize("states", list(itertools.product(STATES, repeat=3)))
def test_a_cause_is_named_only_where_the_others_are_ruled_out(states: tuple[Changed, Changed, Changed]) -> None:
    inputs, model, judge = (Finding(each, "because") for each in states)
    found = diagnose(inputs, model, judge)
    expected = {
        ("changed", "unchanged", "unchanged"): "inputs shifted",
        ("unchanged", "changed", "unchanged"): "model changed",
        ("unchanged", "unchanged", "changed"): "judge changed",
    }.get(states, "undetermined")
    assert found.cause == expected
    assert found.why
    assert found.to_json()["judge"] == {"changed": states[2], "why": "because"}
    for name, state in zip(("inputs shifted", "model changed", "judge changed"), states, strict=True):
        if state == "unknown" and "changed" not in states:
            assert name in found.why


def estimate(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 0.95, 200, 200, "made up")


def test_a_small_sample_that_shows_nothing_says_nothing() -> None:
    assert of_estimate(estimate(-0.08, -0.02), 0.01, "Accuracy").changed == "changed"
    assert of_estimate(estimate(-0.005, 0.004), 0.01, "Accuracy").changed == "unchanged"
    assert of_estimate(estimate(-0.05, 0.04), 0.01, "Accuracy").changed == "unknown"
    assert of_estimate(NotEstimable("nobody asked"), 0.01, "Accuracy").why == "Accuracy: nobody asked."
    assert of_votes(AnchorVotes(0.001, 0.2, 30)).changed == "changed"
    assert of_votes(AnchorVotes(0.4, 0.01, 100)).changed == "unchanged"
    assert of_votes(AnchorVotes(0.4, 0.01, 10)).changed == "unknown"
    assert of_votes(NotEstimable("no anchors")).changed == "unknown"
    assert causes.not_checked("no archive").changed == "unknown"


def test_shifted_inputs_are_the_cause_only_where_they_carry_the_fall() -> None:
    shifted = psi({"easy": 900, "hard": 100}, {"easy": 500, "hard": 500})
    assert isinstance(shifted, Stability)
    before = {"easy": (900, 0.0), "hard": (100, -0.1)}
    only_mix = parts(before, {"easy": (500, 0.0), "hard": (500, -0.1)})
    assert (only_mix.mix, only_mix.within) == (pytest.approx(-0.04), pytest.approx(0))
    assert of_inputs(shifted, only_mix).changed == "changed"
    only_within = parts(before, {"easy": (900, -0.1), "hard": (100, -0.2)})
    assert (only_within.mix, only_within.within) == (pytest.approx(0), pytest.approx(-0.1))
    assert of_inputs(shifted, only_within).changed == "unchanged"
    assert of_inputs(shifted, None).changed == "unknown"
    assert of_inputs(NotEstimable("no clusters"), None).changed == "unknown"
    stable = psi({"easy": 900, "hard": 900}, {"easy": 900, "hard": 901})
    assert of_inputs(stable, only_mix).changed == "unchanged"


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(-1, 1), st.integers(0, 50), st.floats(-1, 1)), min_size=1))
def test_mix_and_within_are_the_whole_change(rows: list[tuple[int, float, int, float]]) -> None:
    before = {str(place): (n, mean) for place, (n, mean, _, _) in enumerate(rows) if n}
    after = {str(place): (n, mean) for place, (_, _, n, mean) in enumerate(rows) if n}
    if not before or not after:
        return
    found = parts(before, after)
    whole = [sum(n * mean for n, mean in each.values()) / sum(n for n, _ in each.values()) for each in (before, after)]
    assert found.mix + found.within == pytest.approx(whole[1] - whole[0], abs=1e-9)
