"""The two values a statistic can have: an estimate with its interval, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Estimate:
    """A number with everything it has to be printed with.

    Attributes:
        value: The point estimate.
        low: Lower limit of the interval.
        high: Upper limit of the interval.
        level: Confidence level of the interval, such as .95.
        n: How many observations went in.
        clusters: How many independent groups (prompts) those observations came from.
        method: The interval's method in words, fit to stand beside the number.
        exclusions: What was left out and how often, by reason.

    Raises:
        ValueError: If a number is not finite, or the value lies outside its own interval.
    """

    value: float
    low: float
    high: float
    level: float
    n: int
    clusters: int
    method: str
    exclusions: Mapping[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        numbers = (self.value, self.low, self.high, self.level)
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"an estimate needs finite numbers, got {numbers}; return NotEstimable(reason) instead")
        if not self.low - 1e-9 <= self.value <= self.high + 1e-9:
            raise ValueError(f"the value {self.value} lies outside its interval {self.low} to {self.high}")

    def to_json(self) -> dict[str, object]:
        """The estimate as plain JSON values."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "level": self.level,
            "n": self.n,
            "clusters": self.clusters,
            "method": self.method,
            "exclusions": dict(self.exclusions),
        }


@dataclass(frozen=True)
class NotEstimable:
    """Why the data cannot give this number. Never 0, NaN or None in its place."""

    reason: str

    def to_json(self) -> dict[str, object]:
        """The reason as plain JSON values."""
        return {"not_estimable": self.reason}


Result = Estimate | NotEstimable
