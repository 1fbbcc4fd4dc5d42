"""Paired differences of whole examples: of one benchmark, or of everything together with the weights agreed on.

The studentised cluster bootstrap where enough prompts moved to show their own tail, else the score interval at the
effective sample size, which holds at the edge of the scale too. tests/unit/test_gate_stats.py simulates both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from review.stats.bootstrap import FEWEST_MOVED, bootstrap_intervals
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import Floats, Ints, compact
from review.stats.planning import further_labels
from review.stats.weighted import hajek

RESAMPLES = 4_000
SEED = 5
# A few moved prompts more than the bootstrap needs at least, because tails of tests at small alpha are read here.
MOVED = 2 * FEWEST_MOVED


@dataclass(frozen=True)
class Differences:
    """New minus old of each example, from -1 to 1, with its weight, prompt and stratum; arrays of shape (n,)."""

    values: Floats
    weights: Floats
    clusters: Ints
    strata: Ints

    @property
    def moved(self) -> int:
        """Prompts of which any example differs."""
        return len(np.unique(self.clusters[self.values != 0]))

    def intervals(self, exclusions: Mapping[str, int] | None = None) -> Callable[[float], Result]:
        """The weighted mean difference with its interval at whatever two-sided level; each is computed once."""
        if len(self.values) == 0:
            return lambda _level: NotEstimable("no example has an outcome on both sides")
        clusters = compact(self.clusters)
        if self.moved >= MOVED:
            return bootstrap_intervals(
                self.values,
                clusters,
                rng=np.random.default_rng(SEED),
                weights=self.weights,
                strata=self.strata,
                resamples=RESAMPLES,
                bounds=(-1.0, 1.0),
                exclusions=exclusions,
            )
        known: dict[float, Result] = {}

        def at(level: float) -> Result:
            if level not in known:
                known[level] = hajek(
                    self.values,
                    self.weights,
                    clusters,
                    strata=self.strata,
                    bounds=(-1.0, 1.0),
                    level=level,
                    exclusions=exclusions,
                )
            return known[level]

        return at


def missing(found: Result, tolerance: float, *, alpha: float, power: float) -> int | NotEstimable:
    """Further examples with which the lower limit would lie above -tolerance, were old and new equally good."""
    if isinstance(found, NotEstimable):
        return found
    return further_labels(found, tolerance, alpha=alpha, power=power)
