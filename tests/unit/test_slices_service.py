"""A judge's agreement by slice, with numbers counted by hand."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from review.errors import BadInput, NotFound
from review.services import agreement, rounds
from review.services.facts import Rules
from review.services.slices import Slicing, by_value, properties, slices
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable
from tests.agreeing import bring, label, verdict
from tests.conftest import NOW


def share(found: Slicing) -> dict[str, tuple[int, float | None]]:
    """Per slice how many, and the raw agreement."""
    return {each.name: (each.n, each.raw.value if isinstance(each.raw, Estimate) else None) for each in found.slices}


def answers(old: str, new: str, **more: Any) -> dict[str, Any]:
    return {"old": {"content": old}, "new": {"content": new}, **more}


def test_by_task_and_by_cluster(workspace: Workspace, tmp_path: Path) -> None:
    pairs = ["a", "b", "c", "d", "e"]
    bring(
        workspace,
        tmp_path,
        pairs=pairs,
        verdicts=[verdict(pair, "old") for pair in pairs],
        labels=[
            label(pair, "ana", said) for pair, said in zip(pairs, ("old", "new", "old", "old", "new"), strict=True)
        ],
        more={
            "a": {"task": "billing", "metadata": {"cluster": "refunds"}},
            "b": {"task": "billing"},
            "c": {"task": "returns"},
            "d": {"task": "returns"},
        },
    )
    found = slices(workspace, "judge", "task")
    assert share(found) == {"billing": (2, 0.5), "returns": (2, 1.0)}
    assert found.without == 1
    assert [each.name for each in by_value(found.slices)] == ["returns", "billing"]
    behind = agreement.pair_lines(workspace, found.slices[0].rows)
    assert [line.pair_id for line in behind] == ["a", "b"]
    assert isinstance(found.slices[0].kappa, NotEstimable)
    assert "cluster" in properties(workspace)
    clustered = slices(workspace, "judge", "cluster")
    assert [(each.name, each.n) for each in clustered.slices] == [("refunds", 1)]
    assert isinstance(clustered.slices[0].raw, NotEstimable)  # one prompt
    assert clustered.without == 4


def test_by_margin_with_split_labels_until_they_are_adjudicated(workspace: Workspace, tmp_path: Path) -> None:
    said = {
        "one": ["old"],
        "two": ["old", "old"],
        "three": ["new", "new", "new"],
        "most": ["old", "old", "new"],
        "least": ["old", "new", "tie"],
        "open": ["old", "new"],
    }
    bring(
        workspace,
        tmp_path,
        pairs=list(said),
        verdicts=[verdict(pair, "old") for pair in said],
        labels=[
            *(label(pair, f"p{index}", each) for pair, votes in said.items() for index, each in enumerate(votes)),
            label("least", "lea", "new", kind="adjudication"),
        ],
    )
    found = slices(workspace, "judge", "margin")
    assert [(each.name, each.n) for each in found.slices] == [
        ("one label", 1),
        ("2–0", 1),
        ("unanimous (3–0 and more)", 1),
        ("majority (2–1 and the like)", 1),
        ("split", 1),
    ]
    assert found.note.startswith("1 pairs with split labels")
    assert found.empty == ()
    # Each label by itself: the open pair's two labels count, the adjudication does not.
    each = {one.name: one.n for one in slices(workspace, "judge", "margin", rules=Rules(unit="each")).slices}
    assert each == {
        "one label": 1,
        "2–0": 2,
        "unanimous (3–0 and more)": 3,
        "majority (2–1 and the like)": 3,
        "split": 5,
    }


def test_by_length_at_the_cuts_and_mirrored_when_sides_swap(workspace: Workspace, tmp_path: Path) -> None:
    words = {"a": (10, 5), "b": (10, 6), "c": (10, 8), "d": (8, 10), "e": (6, 10), "f": (5, 10), "g": (5, 0)}
    text = {pair: answers("w " * old, "w\n\n\t" * new) for pair, (old, new) in words.items()}
    bring(
        workspace,
        tmp_path,
        pairs=list(words),
        verdicts=[verdict(pair, "old") for pair in words],
        labels=[label(pair, "ana", "old") for pair in words],
        more=text,
    )
    found = slices(workspace, "judge", "length")
    assert [each.n for each in found.slices] == [1, 1, 2, 1, 1, 1]
    assert found.slices[0].name == "new at most half as long"
    assert found.slices[5].name == "no text on a side"


def test_by_reviewer_each_label_counts(workspace: Workspace, tmp_path: Path) -> None:
    pairs = ["a", "b", "c"]
    bring(
        workspace,
        tmp_path,
        pairs=pairs,
        verdicts=[verdict("a", "old"), verdict("b", "old")],
        labels=[
            *(label(pair, "ana", "old") for pair in pairs),
            *(label(pair, "ben", "new") for pair in pairs),
            label("a", "ana", "new", occurrence=1),
        ],
    )
    assert share(slices(workspace, "judge", "reviewer")) == {"ana": (2, 1.0), "ben": (2, 0.0)}


def test_by_round_each_round_has_its_own_labels(workspace: Workspace, tmp_path: Path) -> None:
    pairs = [f"p{index}" for index in range(12)]
    bring(workspace, tmp_path, pairs=pairs, verdicts=[verdict(pair, "old") for pair in pairs])
    first = rounds.draw(workspace, rounds.DrawSpec(size=10, seed=1), "lea", NOW)
    second = rounds.draw(workspace, rounds.DrawSpec(size=10, seed=2, name="May"), "lea", NOW + timedelta(days=1))
    bring(
        workspace,
        tmp_path,
        labels=[
            *(label(pair, "ana", "old", round_id=first.round_id) for pair in pairs[:4]),
            *(label(pair, "ben", "old" if pair < "p4" else "new", round_id=second.round_id) for pair in pairs[2:6]),
            label("p9", "ana", "new"),
        ],
    )
    found = slices(workspace, "judge", "round")
    assert share(found) == {"Round 1": (4, 1.0), "2 · May": (4, 0.5)}
    assert found.note == "1 imported labels belong to no round."
    only = slices(workspace, "judge", "round", round_id=second.round_id)
    assert share(only) == {"2 · May": (4, 0.5)}
    assert only.empty == ("Round 1",)


def test_what_does_not_exist_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, pairs=["a"], verdicts=[verdict("a", "old")])
    with pytest.raises(BadInput, match="weather"):
        slices(workspace, "judge", "weather")  # type: ignore[arg-type]  # what a caller may pass
    with pytest.raises(NotFound, match="no judge"):
        slices(workspace, "nobody", "task")
    assert slices(workspace, "judge", "task").slices == ()
    assert properties(workspace) == ("task", "margin", "length", "reviewer", "round")
