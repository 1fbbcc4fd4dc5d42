"""A rate over all traffic from the judge's verdicts alone, corrected for the judge's known errors (Rogan-Gladen)."""

from __future__ import annotations

import math

from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import normal_quantile, wilson_limits


def rogan_gladen(apparent: float, sensitivity: float, specificity: float) -> float | NotEstimable:
    """The true rate behind an apparent one: (apparent + specificity - 1) / (sensitivity + specificity - 1).

    Not clipped: a value outside 0 to 1 says that the two rates do not belong to this traffic.

    Args:
        apparent: Share that the judge calls positive, 0 to 1.
        sensitivity: Share of true positives that the judge calls positive.
        specificity: Share of true negatives that the judge calls negative.

    Source: Rogan & Gladen 1978, Am J Epidemiol 107:71.
    """
    for rate in (apparent, sensitivity, specificity):
        if not 0 <= rate <= 1:
            raise ValueError(f"a rate lies in [0, 1], got {rate}")
    informed = sensitivity + specificity - 1
    if informed <= 1e-9:
        return NotEstimable(
            f"sensitivity + specificity - 1 is {informed:.2f}; at 0 or below, verdicts say nothing about the rate"
        )
    return (apparent + specificity - 1) / informed


def judge_corrected_rate(
    called: float,
    n: float,
    true_positive: float,
    positives: float,
    true_negative: float,
    negatives: float,
    level: float = 0.95,
) -> Result:
    """The true rate with an interval that carries the uncertainty of sensitivity and specificity too.

    Verdicts and labels count as independent: where prompts repeat, divide all six counts by the design effect. The
    labelled pairs must show the judge's errors as they are in the n pairs; where they are drawn from these very pairs
    with known probabilities, stratified_ppi needs no such assumption and is the better tool.

    Args:
        called: Pairs with a verdict "positive", 0..n.
        n: Pairs with a verdict.
        true_positive: Labelled pairs that are positive and called so.
        positives: Labelled pairs that are positive.
        true_negative: Labelled pairs that are negative and called so.
        negatives: Labelled pairs that are negative.
        level: Confidence level.

    Returns:
        An estimate with `n` the labelled pairs; value and limits are clipped to 0..1, and the method says so if they
        were. NotEstimable where the lower limit of sensitivity + specificity - 1 is not above 0 (Newcombe's hybrid).

    Source: Lang & Reiczigel 2014, Prev Vet Med 113:13, whose interval stands around a value drawn towards the middle.
    """
    for part, whole in ((called, n), (true_positive, positives), (true_negative, negatives)):
        if not 0 <= part <= whole:
            raise ValueError(f"a count lies in 0..{whole:g}, got {part:g}")
    if min(n, positives, negatives) <= 0:
        return NotEstimable("verdicts, labelled positives and labelled negatives are all needed")
    z = normal_quantile(level)
    sensitivity, specificity = true_positive / positives, true_negative / negatives
    informed = sensitivity + specificity - 1
    least = informed - math.hypot(
        sensitivity - wilson_limits(sensitivity, positives, z)[0],
        specificity - wilson_limits(specificity, negatives, z)[0],
    )
    value = rogan_gladen(called / n, sensitivity, specificity)
    if least <= 0 or isinstance(value, NotEstimable):
        return NotEstimable(
            f"sensitivity + specificity - 1 is {informed:.2f} and may be {least:.2f}, not clearly above 0; "
            "verdicts cannot be corrected before more labels show that the judge is informed"
        )
    low, high = _lang_reiczigel(called, n, (sensitivity, positives), (specificity, negatives), z)
    method = "Rogan-Gladen, Lang-Reiczigel interval, independent pairs"
    if value < 0 or value > 1:
        method += f"; the value {value:.3f} was clipped to 0..1"
    elif low < 0 or high > 1:
        method += "; limits clipped to 0..1"
    value, low, high = (min(1.0, max(0.0, number)) for number in (value, low, high))
    # The interval's centre is not the value, which can lie outside in tiny samples.
    low, high = min(low, value), max(high, value)
    labelled = int(positives + negatives)
    return Estimate(value, low, high, level, labelled, labelled, method)


def _lang_reiczigel(
    called: float, n: float, sensitivity: tuple[float, float], specificity: tuple[float, float], z: float
) -> tuple[float, float]:
    """Limits from rates drawn towards the middle: by z^2/2 in z^2 pairs the apparent one, by 1 in 2 the others."""
    size = n + z * z
    apparent = (called + z * z / 2) / size
    (found, positives), (cleared, negatives) = sensitivity, specificity
    positives, negatives = positives + 2, negatives + 2
    found, cleared = (found * (positives - 2) + 1) / positives, (cleared * (negatives - 2) + 1) / negatives
    informed = found + cleared - 1
    rate = min(1.0, max(0.0, (apparent + cleared - 1) / informed))
    missed, alarmed = found * (1 - found) / positives, cleared * (1 - cleared) / negatives
    spread = apparent * (1 - apparent) / size + rate**2 * missed + (1 - rate) ** 2 * alarmed
    half = z * math.sqrt(spread) / informed
    shift = 2 * z * z * (rate * missed - (1 - rate) * alarmed)
    return rate + shift - half, rate + shift + half
