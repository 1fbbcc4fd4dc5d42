"""The change between two groups: what it is for plain rates, and its coverage on the app's sizes."""

from __future__ import annotations

import numpy as np
import pytest

from review.stats.change import change
from review.stats.estimate import Estimate, NotEstimable
from review.stats.intervals import clustered_mean, wilson
from review.stats.paired import newcombe_difference


def test_for_plain_rates_it_is_newcombes_interval() -> None:
    found, known = change(wilson(48, 80), wilson(56, 70)), newcombe_difference(56, 70, 48, 80)
    assert isinstance(found, Estimate)
    assert isinstance(known, Estimate)
    assert (found.value, found.low, found.high) == pytest.approx((known.value, known.low, known.high))
    # Newcombe 1998, Stat Med 17:873, table II, method 10: 56/70 against 48/80.
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_what_one_side_cannot_say_neither_can_both() -> None:
    missing = NotEstimable("nothing was observed")
    assert change(missing, wilson(1, 2)) == missing
    assert change(wilson(1, 2), missing) == missing
    with pytest.raises(ValueError, match="one level"):
        change(wilson(1, 2, 0.9), wilson(1, 2, 0.95))


@pytest.mark.parametrize(("rates", "prompts", "seed"), [((0.7, 0.8), 17, 1), ((0.9, 0.75), 33, 2), ((0.7, 0.7), 25, 3)])
def test_coverage_with_three_pairs_a_prompt(rates: tuple[float, float], prompts: int, seed: int) -> None:
    """Halves of 50 to 100 labels, three to a prompt with shared luck: 93 to 97.5 % of nominal 95 %."""
    rng = np.random.default_rng(seed)
    repetitions, inside = 1000, 0
    clusters = np.repeat(np.arange(prompts), 3)
    luck = rng.random((repetitions, 2, prompts)) < 0.2
    common = rng.random((repetitions, 2, prompts))
    own = rng.random((repetitions, 2, prompts, 3))
    # In a fifth of the prompts all three labels go the same way.
    draws = np.where(luck[..., None], common[..., None], own)
    hits = (draws < np.array(rates)[None, :, None, None]).astype(np.float64).reshape(repetitions, 2, -1)
    for first, second in hits:
        found = change(clustered_mean(first, clusters), clustered_mean(second, clusters))
        assert isinstance(found, Estimate)
        inside += found.low <= rates[1] - rates[0] <= found.high
    assert 0.93 <= inside / repetitions <= 0.975
