"""Golden vectors of judge-corrected rates: prediction-powered inference on PandaLM, and Rogan-Gladen."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from review.stats.corrected import rogan_gladen
from review.stats.estimate import NotEstimable
from review.stats.ppi import ppi_mean
from tests.golden.golden_vectors import SHARED, golden, near


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def pandalm() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By pair: whether it is labelled, whether most people say old, whether gpt-3.5-turbo says old."""
    votes: dict[int, Counter[str]] = {}
    for label in rows(SHARED / "data" / "pandalm" / "labels.jsonl"):
        votes.setdefault(int(label["pair_id"].split("-")[1]), Counter())[label["preference"]] += 1
    verdicts = {
        int(verdict["pair_id"].split("-")[1]): verdict["winner"] == "old"
        for verdict in rows(SHARED / "data" / "pandalm" / "verdicts.jsonl")
        if verdict["judge"] == "gpt-3.5-turbo"
    }
    pairs = sorted(votes)
    people = np.array([float(votes[pair]["old"] >= 2) for pair in pairs])
    return np.array([pair % 5 == 0 for pair in pairs]), people, np.array([float(verdicts[pair]) for pair in pairs])


@golden("ppi_mean")
def test_ppi_on_pandalm(entry: dict[str, Any]) -> None:
    if not (SHARED / "data" / "pandalm").exists():
        pytest.skip("../shared/data/pandalm is absent")
    labelled, people, judge = pandalm()
    assert people.mean() == near(entry, "truth_all_labels")
    assert judge[~labelled].mean() == near(entry, "judge_only")
    assert people[labelled].mean() == near(entry, "labelled_only")
    parts = people[labelled], judge[labelled], judge[~labelled]
    plain, tuned = ppi_mean(*parts, lam=1.0), ppi_mean(*parts)
    assert not isinstance(plain, NotEstimable)
    assert not isinstance(tuned, NotEstimable)
    assert tuned.lam == near(entry, "lambda")
    for found, name in ((plain.estimate, "ppi"), (tuned.estimate, "ppi_plus_plus")):
        assert found.value == near(entry, name)
        assert found.low == near(entry, f"{name}_low")
        assert found.high == near(entry, f"{name}_high")


@golden("rogan_gladen")
def test_rogan_gladen(entry: dict[str, Any]) -> None:
    given = entry["input"]
    apparent = given["k"] / given["n"]
    assert apparent == near(entry, "apparent")
    assert rogan_gladen(apparent, given["sensitivity"], given["specificity"]) == near(entry, "true")
