"""Golden vectors of paired outcomes: published tables, and two judges on the same PandaLM pairs."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from review.stats.estimate import Estimate
from review.stats.paired import McNemar, mcnemar, newcombe_difference, tango
from tests.conftest import shared
from tests.golden.golden_vectors import golden, near


@golden("mcnemar")
def test_mcnemar(entry: dict[str, Any]) -> None:
    (both, old_only), (new_only, neither) = entry["input"]["table"]
    got = mcnemar(both, old_only, new_only, neither)
    assert isinstance(got, McNemar)
    for key in entry["expected"]:
        assert getattr(got, key) == near(entry, key), key


@golden("tango_paired_difference")
def test_tango(entry: dict[str, Any]) -> None:
    """The entry is old minus new, the project's sign is new minus old; at margin 0 z squared is McNemar's 4.5."""
    got = tango(**entry["input"])
    test = mcnemar(**entry["input"])
    assert isinstance(got, Estimate)
    assert isinstance(test, McNemar)
    assert -got.value == near(entry, "difference_old_minus_new")
    assert (-got.high, -got.low) == (near(entry, "low"), near(entry, "high"))
    assert test.chi2 == pytest.approx(4.5)


@golden("newcombe_unpaired_difference")
def test_newcombe(entry: dict[str, Any]) -> None:
    got = newcombe_difference(**entry["input"])
    assert isinstance(got, Estimate)
    assert (got.low, got.high) == (near(entry, "low"), near(entry, "high"))


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shared(f"data/pandalm/{name}.jsonl").read_text().splitlines()]


@golden("pandalm_two_judges_paired")
def test_two_judges_on_the_same_pairs(entry: dict[str, Any]) -> None:
    """Each judge against the people's majority, an unparsable verdict counted as a tie; PandaLM stands as old."""
    votes: dict[str, Counter[str]] = {}
    for row in rows("labels"):
        votes.setdefault(row["pair_id"], Counter())[row["preference"]] += 1
    verdicts = {(row["judge"], row["pair_id"]): row.get("winner") for row in rows("verdicts")}
    cells: Counter[tuple[bool, bool]] = Counter()
    for pair, counts in votes.items():
        (majority, most), *rest = counts.most_common()
        if rest and rest[0][1] == most:
            continue
        said = {judge: verdicts[judge, pair] for judge in ("PandaLM-7B", "gpt-3.5-turbo")}
        answers = {judge: winner if winner in ("old", "new") else "tie" for judge, winner in said.items()}
        cells[answers["PandaLM-7B"] == majority, answers["gpt-3.5-turbo"] == majority] += 1
    table = (cells[True, True], cells[True, False], cells[False, True], cells[False, False])
    got, test = tango(*table), mcnemar(*table)
    assert isinstance(got, Estimate)
    assert isinstance(test, McNemar)
    assert test.new_only == entry["expected"]["gpt_only_right"]
    assert test.old_only == entry["expected"]["pandalm_only_right"]
    assert test.p_exact == near(entry, "mcnemar_exact_p")
    assert (got.value, got.low, got.high) == (near(entry, "tango_difference"), near(entry, "low"), near(entry, "high"))
