"""Golden vectors of the pure statistics: published tables, each at its own tolerance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from review.stats import raters
from review.stats.agreement import cohen_kappa, gwet_ac1
from review.stats.classification import bowker, stuart_maxwell
from review.stats.design import labels_needed_wilson
from review.stats.estimate import Estimate, NotEstimable
from review.stats.intervals import normal_quantile, wilson, zero_events_upper
from tests.golden.golden_vectors import golden, near


@golden("wilson_95")
def test_wilson(entry: dict[str, Any]) -> None:
    result = wilson(entry["input"]["k"], entry["input"]["n"])
    assert isinstance(result, Estimate)
    assert result.low == near(entry, "low")
    assert result.high == near(entry, "high")


@golden("cohen_kappa")
def test_cohen_kappa(entry: dict[str, Any]) -> None:
    kappa = cohen_kappa(entry["input"]["table"])
    assert not isinstance(kappa, NotEstimable)
    assert kappa.value == near(entry, "kappa")
    assert kappa.se == near(entry, "se")
    if "low" in entry["expected"]:
        half = normal_quantile(0.95) * kappa.se
        assert kappa.value - half == near(entry, "low")
        assert kappa.value + half == near(entry, "high")


@golden("cohen_kappa_weighted")
def test_weighted_kappa(entry: dict[str, Any]) -> None:
    table = np.array(entry["input"]["table_proportions"]) * entry["input"]["n"]
    distance = np.array(entry["input"]["disagreement_weights"], dtype=float)
    plain, weighted = cohen_kappa(table), cohen_kappa(table, 1 - distance / distance.max())
    assert not isinstance(plain, NotEstimable)
    assert not isinstance(weighted, NotEstimable)
    assert plain.value == near(entry, "kappa")
    assert weighted.value == near(entry, "weighted_kappa")


@golden("kappa_paradox")
def test_kappa_paradox(entry: dict[str, Any]) -> None:
    kappa, ac1 = cohen_kappa(entry["input"]["table"]), gwet_ac1(entry["input"]["table"])
    assert not isinstance(kappa, NotEstimable)
    assert not isinstance(ac1, NotEstimable)
    assert kappa.observed == near(entry, "raw")
    assert kappa.value == near(entry, "kappa")
    assert ac1.value == near(entry, "ac1")


@golden("ac1_table")
def test_ac1_of_a_table(entry: dict[str, Any]) -> None:
    ac1 = gwet_ac1(entry["input"]["table"])
    assert not isinstance(ac1, NotEstimable)
    assert ac1.value == near(entry, "ac1")
    assert ac1.se == near(entry, "se")


def counts_of(raters_by_units: list[list[int | None]]) -> np.ndarray:
    """Ratings of raters by units as counts, shape (units, classes)."""
    seen = sorted({value for row in raters_by_units for value in row if value is not None})
    counts = np.zeros((len(raters_by_units[0]), len(seen)), dtype=np.int64)
    for row in raters_by_units:
        for unit, value in enumerate(row):
            if value is not None:
                counts[unit, seen.index(value)] += 1
    return counts


@golden("ac1_raw")
def test_ac1_of_several_raters(entry: dict[str, Any]) -> None:
    ac1 = raters.gwet_ac1(counts_of(entry["input"]["raters_by_units"]))
    assert not isinstance(ac1, NotEstimable)
    assert ac1.value == near(entry, "ac1")
    assert ac1.se == near(entry, "se")


@golden("fleiss_kappa")
def test_fleiss_kappa(entry: dict[str, Any]) -> None:
    assert raters.fleiss_kappa(np.array(entry["input"]["counts"])) == near(entry, "kappa")


@golden("krippendorff_alpha")
@pytest.mark.parametrize("metric", ["nominal", "ordinal", "interval", "ratio"])
def test_krippendorff_alpha(entry: dict[str, Any], metric: raters.Metric) -> None:
    alpha = raters.krippendorff_alpha(counts_of(entry["input"]["raters_by_units"]), metric)
    assert not isinstance(alpha, NotEstimable)
    assert alpha.value == near(entry, metric)


@golden("zero_events_upper_95")
def test_none_seen(entry: dict[str, Any]) -> None:
    assert zero_events_upper(entry["input"]["n"]) == near(entry, "upper")


@golden("labels_needed_wilson")
def test_labels_needed(entry: dict[str, Any]) -> None:
    assert labels_needed_wilson(entry["input"]["p"], entry["input"]["half_width"]) == entry["expected"]["n"]


@golden("marginal_homogeneity")
def test_marginal_homogeneity(entry: dict[str, Any]) -> None:
    symmetry, margins = bowker(entry["input"]["table"]), stuart_maxwell(entry["input"]["table"])
    assert not isinstance(symmetry, NotEstimable)
    assert not isinstance(margins, NotEstimable)
    assert (symmetry.statistic, symmetry.degrees, symmetry.p) == (
        near(entry, "bowker"),
        entry["expected"]["bowker_df"],
        near(entry, "bowker_p"),
    )
    assert (margins.statistic, margins.degrees, margins.p) == (
        near(entry, "stuart_maxwell"),
        entry["expected"]["stuart_maxwell_df"],
        near(entry, "stuart_maxwell_p"),
    )
