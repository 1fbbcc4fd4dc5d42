"""The final label on the pair page is the one that the agreement numbers count."""

from __future__ import annotations

from pathlib import Path

from review.services.agreement import agreement, pair_story
from review.services.final_label import final_labels
from review.services.workspace import Workspace
from tests.agreeing import bring, label, verdict


def test_adjudicated_majority_unresolved_unlabelled(workspace: Workspace, tmp_path: Path) -> None:
    bring(
        workspace,
        tmp_path,
        pairs=list("abcde"),
        verdicts=[verdict(pair, "new") for pair in "abcde"],
        labels=[
            label("a", "ana", "old"),
            label("a", "ben", "old", tone="same"),
            label("a", "lea", "new", kind="adjudication"),
            label("b", "ana", "new", label_id="first"),
            label("b", "ana", "old", label_id="second", supersedes="first"),
            label("b", "ben", "old"),
            label("b", "cleo", "new"),
            label("b", "dana", "new", surplus=True),
            label("b", "ben", "new", occurrence=1),
            label("c", "ana", "old"),
            label("c", "ben", "new"),
            label("d", "ana", None, kind="skip"),
            label("e", "ana", "both_bad"),
        ],
    )
    found = {pair: final_labels(pair_story(workspace, pair)) for pair in "abcde"}
    said = {pair: (each["preference"].answer, each["preference"].how) for pair, each in found.items()}
    assert said == {
        "a": ("new", "adjudicated"),
        "b": ("old", "majority"),
        "c": (None, "unresolved"),
        "d": (None, "unlabelled"),
        "e": ("both_bad", "majority"),
    }
    assert found["a"]["preference"].in_words() == "adjudicated by lea (labels: 2 × old)"
    assert found["b"]["preference"].in_words() == "majority, 2 of 3"
    assert found["c"]["preference"].in_words() == "unresolved: 1 × old, 1 × new"
    assert found["e"]["preference"].in_words() == "one label"
    # The adjudication left the tone open, so the label's answer stands.
    assert (found["a"]["tone"].answer, found["a"]["tone"].how) == ("same", "majority")
    counted = agreement(workspace).judges[0].preference
    assert counted.base_rates()["people"] == {"old": 1, "new": 1, "tie": 0, "both_bad": 1}
    assert counted.excluded["people_unresolved"] == 1
