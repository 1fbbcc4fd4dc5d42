"""Watching a number over time: an e-value for a rate, a confidence sequence for a mean, a CUSUM chart.

The first two may be looked at after every observation, with no plan for when to stop; the third is the classical chart
with a known target. Sources stand at each function, formulas in review/docs/statistics.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from review.stats.intervals import Floats

# exp() of more is no float any longer. An e-value this large is reported as this large; every alarm is far below it.
_LARGEST_LOG = 700.0


def beta_binomial_e_value(successes: int, n: int, p0: float, a: float = 1.0, b: float = 1.0) -> float:
    """Evidence against a success rate of p0: B(a+s, b+n-s) / (B(a,b) p0^s (1-p0)^(n-s)).

    Under p0 the chance that it ever reaches 1/alpha is at most alpha, however often one looks (Ville's inequality). 1
    is no evidence, below 1 speaks for p0. It holds for a p0 known beforehand: one that was itself estimated from 2,000
    traces makes the yearly rate of false alarms many times alpha.

    Args:
        successes: Observed successes, 0..n.
        n: Observations so far; 0 gives 1.
        p0: The rate that is tested, strictly between 0 and 1.
        a: First parameter of the beta mixture, > 0.
        b: Second parameter, > 0.

    Raises:
        ValueError: An argument is outside its range.

    Source: Robbins 1970, Ann Math Stat 41:1397; Grünwald, de Heide & Koolen 2024, JRSS B 86:1091.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie in 0..{n}, got {successes}")
    if not 0 < p0 < 1:
        raise ValueError(f"p0 must lie strictly between 0 and 1, got {p0}")
    if not (a > 0 and b > 0):
        raise ValueError(f"a and b must be positive, got {a} and {b}")
    failures = n - successes
    mixture = _log_beta(a + successes, b + failures) - _log_beta(a, b)
    return math.exp(min(mixture - successes * math.log(p0) - failures * math.log1p(-p0), _LARGEST_LOG))


def normal_mixture_half_width(n: int, variance: float, rho: float, alpha: float = 0.05) -> float:
    """Half the width, at time n, of a confidence sequence for a mean: sqrt((v+rho) log((v+rho)/(alpha^2 rho))) / n.

    mean ± this holds at all times at once with probability at least 1 - alpha, when the deviations are sub-Gaussian
    with variance process v.

    Args:
        n: Observations so far, at least 1.
        variance: The variance process v at time n: n/4 for values in [0, 1], n for differences in [-1, 1].
        rho: Where the sequence is narrowest; see normal_mixture_rho().
        alpha: Chance that the sequence ever misses the mean.

    Raises:
        ValueError: An argument is outside its range.

    Source: Howard, Ramdas, McAuliffe & Sekhon 2021, Ann Stat 49:1055, the two-sided normal
    mixture boundary.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if variance < 0 or rho <= 0:
        raise ValueError(f"variance must not be negative and rho must be positive, got {variance} and {rho}")
    _check_alpha(alpha)
    total = variance + rho
    return math.sqrt(total * (math.log(total / rho) - 2 * math.log(alpha))) / n


def normal_mixture_rho(variance: float, alpha: float = 0.05) -> float:
    """The rho that makes normal_mixture_half_width() smallest where the variance process is `variance`.

    With x = (v + rho) / rho the derivative is zero where x = 1 + 2 log(1/alpha) + log x. A common approximation is
    rho = v / (2 log(1/alpha) + log(1 + 2 log(1/alpha))).

    Source: Howard et al. 2021, on tuning a mixture boundary.
    """
    if variance <= 0:
        raise ValueError(f"variance must be positive, got {variance}")
    _check_alpha(alpha)
    ratio = 1 - 2 * math.log(alpha)
    for _ in range(100):  # a contraction by 1/ratio: no digit changes long before the last round
        ratio = 1 - 2 * math.log(alpha) + math.log(ratio)
    return variance / (ratio - 1)


@dataclass(frozen=True)
class Cusum:
    """The two cumulative sums after each observation, shape (n,), and the index of the first alarm, if any."""

    high: Floats
    low: Floats
    alarm_at: int | None


def cusum(values: Floats, target: float, k: float, h: float) -> Cusum:
    """The tabular CUSUM: high_t = max(0, high_{t-1} + x_t - target - k), low_t likewise downwards; alarm above h.

    Args:
        values: Shape (n,), in the order of time.
        target: The mean when nothing has changed.
        k: Slack per observation, in the values' unit; usually half the shift that should be found.
        h: Decision limit, in the values' unit; usually 4 or 5 standard deviations.

    Raises:
        ValueError: k or h is negative, or a value is not finite.

    Source: Page 1954, Biometrika 41:100; Montgomery & Runger, section 16-8.
    """
    if k < 0 or h < 0:
        raise ValueError(f"k and h must not be negative, got {k} and {h}")
    if not np.isfinite(values).all():
        raise ValueError("every value must be finite")
    high, low = _above_zero(values - target - k), _above_zero(target - k - values)
    alarms = np.flatnonzero((high > h) | (low > h))
    return Cusum(high, low, int(alarms[0]) if len(alarms) else None)


def _above_zero(steps: Floats) -> Floats:
    """The running sum of steps that starts at 0 and is lifted back to 0 whenever it falls below."""
    total = np.cumsum(steps)
    return total - np.minimum(np.minimum.accumulate(total), 0.0) if len(total) else total


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
