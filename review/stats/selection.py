"""What a set of noticed failures misses: failures that nobody flagged, from a random audit with known probabilities.

The audit sees each of its traces whole, so the share of traffic that is a failure nobody flagged is an ordinary
weighted mean, and needs no assumption about who flags what. How many failures there are in all, flagged or not, can
also be had by capture and recapture, under assumptions that `population` names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Bools, Floats, Ints, compact
from review.stats.weighted import hajek

# Failures that both found, below which Chapman's estimator is known to be far too low.
FEWEST_BOTH = 7


@dataclass(frozen=True)
class Missed:
    """What the audit says about the flags.

    Attributes:
        missed: share of traces that are failures nobody flagged.
        failures: share of traces that are failures.
        noticed: share of the failures that somebody flagged.
        population: failures in the audited traffic, flagged or not, by capture and recapture.
    """

    missed: Result
    failures: Result
    noticed: Result
    population: Result


def missed(
    wrong: Bools,
    flagged: Bools,
    confirmed: Bools,
    weights: Floats,
    clusters: Ints,
    strata: Ints,
    in_traffic: int,
    level: float = 0.95,
) -> Missed:
    """Estimate from audited traces what was flagged of the failures, and what was not.

    Args:
        wrong: Whether the trace's answer is a failure, by the person who read it, shape (n,).
        flagged: Whether somebody flagged it, other than the audit itself, shape (n,).
        confirmed: Whether a second person confirmed that flag, shape (n,).
        weights: 1 / π, shape (n,).
        clusters: What is independent (the customer, else the prompt) as codes from 0, shape (n,).
        strata: The audit that drew the trace as a code from 0, shape (n,).
        in_traffic: Confirmed flags in all the traffic that the audits were drawn from.
        level: Confidence level.
    """

    def among_failures(values: Bools) -> Result:
        if not wrong.any():
            return NotEstimable("the audit found no failure")
        groups, codes = compact(clusters[wrong]), compact(strata[wrong])
        return hajek(values[wrong].astype(np.float64), weights[wrong], groups, strata=codes, level=level)

    both = int((wrong & confirmed).sum())
    return Missed(
        missed=hajek((wrong & ~flagged).astype(np.float64), weights, clusters, strata=strata, level=level),
        failures=hajek(wrong.astype(np.float64), weights, clusters, strata=strata, level=level),
        noticed=among_failures(flagged),
        population=population(in_traffic, int(wrong.sum()), both, among_failures(confirmed)),
    )


def population(flagged: int, found: int, both: int, noticed: Result) -> Result:
    """How many failures the audited traffic has: Chapman's estimate, with the limits of the share that was noticed.

    N = (M + 1)(C + 1) / (R + 1) - 1 with M flagged, C found by the audit, R by both; the limits are M over the limits
    of R / C, which are weighted and clustered. It assumes that the audit finds every failure it reads and no others,
    that a flag can always be traced to its trace, that every flag is of a failure, that nothing joined or left the
    traffic between flags and audit, and that all of it could be audited with about equal probability. It does not
    assume that all failures are equally easy to notice: the audit is random, and that is enough.

    Source: Chapman 1951; Seber 1982, 3.1, whose rule FEWEST_BOTH is.
    """
    if isinstance(noticed, NotEstimable):
        return noticed
    if both < FEWEST_BOTH:
        return NotEstimable(
            f"flags and audit have {both} failures in common, and capture and recapture needs {FEWEST_BOTH}"
        )
    seen = flagged + found - both
    value = max(float(seen), (flagged + 1) * (found + 1) / (both + 1) - 1)
    low = max(float(seen), flagged / noticed.high)
    high = max(value, flagged / noticed.low)
    return Estimate(
        value,
        min(value, low),
        high,
        noticed.level,
        found,
        noticed.clusters,
        f"Chapman, limits by the share noticed ({noticed.method})",
    )
