"""What labels say about the person who gave them, with numbers counted by hand."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from review.errors import NotFound
from review.services import agreement
from review.services.reviewers import Drift, Reviewer, drifted, reviewers
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable
from review.stats.paired import BinomialTest
from tests.agreeing import bring, label
from tests.conftest import NOW


def at(minute: int) -> dict[str, Any]:
    return {"labelled_at": (NOW + timedelta(minutes=minute)).isoformat()}


def person(workspace: Workspace, name: str) -> Reviewer:
    return next(each for each in reviewers(workspace).people if each.name == name)


def ids(workspace: Workspace, rows: Any) -> list[str]:
    return [line.pair_id for line in agreement.pair_lines(workspace, rows)]


def test_hidden_repeats_are_compared_with_the_first_showing(workspace: Workspace, tmp_path: Path) -> None:
    bring(
        workspace,
        tmp_path,
        pairs=list("abcd"),
        labels=[
            label("a", "ana", "old"),
            label("a", "ana", "old", occurrence=1),
            label("b", "ana", "old"),
            label("b", "ana", "new", occurrence=1),
            label("c", "ana", "new", occurrence=1),  # its first showing was skipped
            label("d", "ben", "tie", label_id="wrong"),
            label("d", "ben", "new", label_id="right", supersedes="wrong"),
            label("d", "ben", "new", occurrence=1),
            label("d", "ana", "old"),
        ],
    )
    found = reviewers(workspace)
    ana, ben = found.people
    assert (ana.repeats.n, ben.repeats.n, found.repeats.n) == (2, 1, 3)
    assert not found.repeats.enough
    assert isinstance(found.repeats.raw, Estimate)
    assert found.repeats.raw.value == pytest.approx(2 / 3)
    assert ids(workspace, ana.repeats.rows) == ["b"]
    assert isinstance(reviewers(workspace).people[1].repeats.raw, NotEstimable)  # one prompt has no interval


def test_the_side_shown_as_a(workspace: Workspace, tmp_path: Path) -> None:
    said = [("old", "old"), ("new", "new"), ("old", "old"), ("new", "old"), ("old", "tie"), (None, "old")]
    bring(
        workspace,
        tmp_path,
        pairs=[f"p{index}" for index in range(6)],
        labels=[
            *(label(f"p{index}", "ana", won, shown_first=first) for index, (first, won) in enumerate(said)),
            label("p0", "ana", "new", shown_first="new", occurrence=1),  # repeats do not count
        ],
    )
    found = person(workspace, "ana")
    assert isinstance(found.shown_a, BinomialTest)
    assert (found.shown_a.rate.value, found.shown_a.rate.n) == (0.75, 4)
    assert found.shown_a.p == pytest.approx(10 / 16)
    assert ids(workspace, found.a_won) == ["p0", "p1", "p2"]


def test_labels_faster_than_reading_are_pointed_at(workspace: Workspace, tmp_path: Path) -> None:
    shared = " ".join(f"same{index}" for index in range(100))
    apart = {
        "old": {"content": shared + " " + " ".join(f"old{index}" for index in range(20))},
        "new": {"content": shared + "\n\n" + " ".join(f"new{index}" for index in range(30))},
    }
    bring(
        workspace,
        tmp_path,
        pairs=list("abcd"),
        labels=[
            label("a", "ana", "old", seconds=4.9),  # 50 words differ: 5 seconds
            label("b", "ana", "old", seconds=5.0),
            label("c", "ana", "old", seconds=60.0),
            label("d", "ana", "old"),
            label("a", "ben", "old", seconds=30.0),
        ],
        more=dict.fromkeys("abcd", apart),
    )
    found = person(workspace, "ana")
    assert (found.labels, found.timed, found.fast, found.median_seconds) == (4, 3, 1, 5.0)
    assert ids(workspace, found.fast_rows) == ["a"]
    assert person(workspace, "ben").fast == 0


def test_drift_compares_halves_with_the_others_majority(workspace: Workspace, tmp_path: Path) -> None:
    pairs = [f"p{index:02}" for index in range(40)]
    bring(
        workspace,
        tmp_path,
        pairs=pairs,
        labels=[
            *(label(pair, other, "old", **at(0)) for pair in pairs for other in ("ben", "cleo")),
            *(
                label(
                    pair, "ana", "old" if index < 20 else "new", seconds=30.0 if index < 20 else 10.0, **at(1 + index)
                )
                for index, pair in enumerate(pairs)
            ),
        ],
    )
    drift = person(workspace, "ana").drift
    assert isinstance(drift, Drift)
    assert (drift.first.n, drift.second.n) == (20, 20)
    assert (drift.first.seconds, drift.second.seconds) == (30.0, 10.0)
    assert isinstance(drift.difference, Estimate)
    assert drift.difference.value == -1.0
    assert drifted(drift)
    assert ids(workspace, drift.rows) == pairs[20:]
    # Ben's others, Cleo and Ana, agree on the first half only: 20 comparable labels.
    ben = person(workspace, "ben").drift
    assert isinstance(ben, Drift)
    assert (ben.first.n, ben.second.n) == (10, 10)
    assert not drifted(ben)


def test_few_labels_and_no_such_round(workspace: Workspace, tmp_path: Path) -> None:
    assert reviewers(workspace).people == ()
    bring(workspace, tmp_path, pairs=["a"], labels=[label("a", "ana", "old")])
    drift = person(workspace, "ana").drift
    assert isinstance(drift, NotEstimable)
    assert "0 labels" in drift.reason
    with pytest.raises(NotFound):
        reviewers(workspace, round_id="nothing")
