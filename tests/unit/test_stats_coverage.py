"""Simulated coverage of every interval that a page shows, at the app's own sizes: 50 to 100 pairs, 1 to 3 a prompt.

People's answers vary by prompt; the judge gives the person's answer with a probability that varies by prompt too, else
guesses from the base rates. Seeded. The lower bound of 93 % is strict. The upper one is 97 % plus two simulation
standard errors, because agreement near 1 on 50 pairs takes only a handful of values.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from review.stats import raters
from review.stats.agreement import ac1_estimate, cohen_kappa, contingency, gwet_ac1, kappa_estimate, raw_estimate
from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import clustered_mean

REPETITIONS = 1500
UPPER = 0.97 + 2 * math.sqrt(0.95 * 0.05 / REPETITIONS)


def draw(
    rng: np.random.Generator, prompts: int, each: int, knows: float, spread: float, base: tuple[float, ...], times: int
) -> tuple[np.ndarray, np.ndarray]:
    """People's and the judge's classes, shape (times, prompts * each); `spread` is the correlation within a prompt."""
    rates, share = np.array(base), np.full((times, prompts), knows)
    likely = np.broadcast_to(rates, (times, prompts, len(base)))
    if spread:
        strength = (1 - spread) / spread
        share = rng.beta(knows * strength, (1 - knows) * strength, (times, prompts))
        likely = rng.dirichlet(rates * strength, (times, prompts))
    shape = (times, prompts, each)
    people = (rng.random(shape)[..., None] > likely.cumsum(-1)[:, :, None, :-1]).sum(-1)
    guess = (rng.random(shape)[..., None] > rates.cumsum()[:-1]).sum(-1)
    judge = np.where(rng.random(shape) < share[..., None], people, guess)
    return people.reshape(times, -1), judge.reshape(times, -1)


def covered(results: list[Result], truth: float) -> float:
    """The share of intervals that hold the truth; a value that could not be given is left out."""
    given = [result for result in results if isinstance(result, Estimate)]
    assert len(given) > 0.97 * len(results)
    return sum(result.low - 1e-12 <= truth <= result.high + 1e-12 for result in given) / len(given)


def value_of(coefficient: object) -> float:
    assert not isinstance(coefficient, NotEstimable)
    return coefficient.value  # type: ignore[attr-defined]  # Coefficient or RaterCoefficient


SCENARIOS = [
    # prompts, pairs a prompt, judge knows, correlation within a prompt, base rates
    (17, 3, 0.55, 0.3, (0.45, 0.45, 0.1)),
    (25, 2, 0.8, 0.3, (0.45, 0.45, 0.1)),
    (33, 3, 0.55, 0.0, (0.45, 0.45, 0.1)),
    (33, 3, 0.8, 0.3, (0.45, 0.45, 0.1)),
    (33, 3, 0.7, 0.3, (0.8, 0.1, 0.1)),
    (33, 3, 0.2, 0.2, (0.4, 0.4, 0.2)),
    (50, 1, 0.55, 0.0, (0.45, 0.45, 0.1)),
    (50, 1, 0.7, 0.0, (0.8, 0.1, 0.1)),
    (100, 1, 0.8, 0.0, (0.45, 0.45, 0.1)),
    (100, 1, 0.9, 0.0, (0.85, 0.1, 0.05)),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_raw_kappa_and_ac1_cover(scenario: tuple[int, int, float, float, tuple[float, ...]]) -> None:
    prompts, each, knows, spread, base = scenario
    rng = np.random.default_rng(20260301)
    many = [side.ravel() for side in draw(rng, 400, 25, knows, spread, base, 60)]
    size, table = len(base), contingency(many[0], many[1], len(base))
    people, judge = draw(rng, prompts, each, knows, spread, base, REPETITIONS)
    clusters = np.repeat(np.arange(prompts), each)
    pairs = list(zip(people, judge, strict=True))
    coverage = {
        "raw": covered([raw_estimate(a, b, clusters) for a, b in pairs], float(np.mean(many[0] == many[1]))),
        "kappa": covered([kappa_estimate(a, b, size, clusters) for a, b in pairs], value_of(cohen_kappa(table))),
        "ac1": covered([ac1_estimate(a, b, size, clusters) for a, b in pairs], value_of(gwet_ac1(table))),
    }
    assert all(0.93 <= share <= UPPER for share in coverage.values()), coverage


@pytest.mark.parametrize(("prompts", "each"), [(17, 3), (33, 3), (100, 1)])
def test_alpha_and_ac1_of_three_people_cover(prompts: int, each: int) -> None:
    rng = np.random.default_rng(7)

    def counts(times: int, of: int) -> np.ndarray:
        first, second = draw(rng, of, each, 0.75, 0.2 if each > 1 else 0.0, (0.45, 0.45, 0.1), times)
        # The third person answers like the first four times in five, else like the second.
        third = np.where(rng.random(first.shape) < 0.8, first, second)
        return sum(np.eye(3, dtype=np.int64)[person] for person in (first, second, third))

    truth = counts(1, 60_000 // each)[0]
    clusters = np.repeat(np.arange(prompts), each)
    for coefficient in (raters.krippendorff_alpha, raters.gwet_ac1):
        samples = counts(REPETITIONS, prompts)
        results = [raters.estimate(coefficient(sample), clusters) for sample in samples]
        share = covered(results, value_of(coefficient(truth)))
        assert 0.93 <= share <= UPPER, (coefficient.__name__, share)


@pytest.mark.parametrize("prompts", [17, 33, 150])
@pytest.mark.parametrize("rate", [0.5, 0.75, 0.9])
def test_a_clustered_rate_covers(prompts: int, rate: float) -> None:
    """150 prompts reach the large-sample interval, the smaller ones Wilson at the effective size."""
    rng = np.random.default_rng(11)
    by_prompt = rng.beta(rate * 4, (1 - rate) * 4, (REPETITIONS, prompts, 1))
    values = (rng.random((REPETITIONS, prompts, 3)) < by_prompt).astype(float).reshape(REPETITIONS, -1)
    clusters = np.repeat(np.arange(prompts), 3)
    share = covered([clustered_mean(row, clusters) for row in values], rate)
    assert 0.93 <= share <= UPPER, share
