"""Golden vectors of the statistics that watch a number over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from review.stats.drift import beta_binomial_e_value, cusum, normal_mixture_half_width
from tests.golden.golden_vectors import golden, near


@golden("beta_binomial_e_value")
def test_e_value(entry: dict[str, Any]) -> None:
    assert beta_binomial_e_value(**entry["input"]) == near(entry, "e")


@golden("normal_mixture_confidence_sequence")
def test_confidence_sequence(entry: dict[str, Any]) -> None:
    given = entry["input"]
    assert given["variance_process"] == "n/4"
    half = normal_mixture_half_width(given["n"], given["n"] / 4, given["rho"], given["alpha"])
    assert half == near(entry, "half_width")


@golden("cusum")
def test_cusum(entry: dict[str, Any]) -> None:
    given = entry["input"]
    chart = cusum(np.array(given["x"]), given["target"], given["k"], given["h"])
    assert chart.high.max() == near(entry, "max_high")
    assert chart.low.max() == near(entry, "max_low")
    assert (chart.alarm_at is not None) == entry["expected"]["alarm"]
