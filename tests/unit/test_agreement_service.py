"""Which labels and votes count under which rule, and that every one left out is counted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from review.errors import BadInput, NotAllowed, NotFound
from review.services import agreement, rounds
from review.services.agreement import agreement as compare
from review.services.label import queue
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable
from tests.agreeing import bring, label, verdict
from tests.conftest import NOW


def test_every_kind_of_row_counts_where_it_should(workspace: Workspace, tmp_path: Path) -> None:
    bring(
        workspace,
        tmp_path,
        pairs=["a", "b", "c"],
        verdicts=[verdict("a", "new"), verdict("b", "old"), verdict("c", "old")],
        labels=[
            label("a", "ana", "old", label_id="first"),
            label("a", "ana", "new", label_id="second", supersedes="first"),
            label("a", "ben", "old", surplus=True),
            label("a", "ana", "old", occurrence=1),
            label("b", "ana", "old"),
            label("b", "ben", "new"),
            label("c", "ana", None, kind="skip"),
            label("c", "cleo", "new", kind="adjudication"),
            label("c", "ben", None, tone="new"),
        ],
    )
    report = compare(workspace)
    assert report.labels == {
        "counted": 4,
        "of_them_simulated": 0,
        "adjudications": 1,
        "surplus": 1,
        "hidden_repeats": 1,
        "older_of_the_same_person": 0,
        "pair_not_imported": 0,
        "skips": 1,
        "replaced": 1,
    }
    judged = report.judges[0].preference
    # a: ana's correction agrees. b: no majority. c: the adjudication, which the judge contradicts.
    assert (judged.n, judged.agree) == (2, 1)
    assert judged.excluded == {"not_answered": 1, "people_unresolved": 1, "no_verdict": 0}
    # Between people the surplus label counts: on a and on b they differ.
    assert (report.people.names, report.people.pairs) == (("ana", "ben"), 2)
    assert isinstance(report.people.pairwise[0].raw, Estimate)
    assert report.people.pairwise[0].raw.value == 0
    each = compare(workspace, unit="each").judges[0].preference
    assert (each.n, each.agree) == (3, 2)


@pytest.mark.parametrize(
    ("rules", "n", "agree"),
    [
        ({}, 4, 2),
        ({"unparsable": "wrong"}, 4, 1),
        ({"unparsable": "dropped"}, 3, 1),
        ({"inconsistent": "tie"}, 4, 3),
        ({"both_bad": "tie", "unparsable": "dropped"}, 3, 1),
    ],
)
def test_rules_change_what_they_name(
    workspace: Workspace, tmp_path: Path, rules: dict[str, str], n: int, agree: int
) -> None:
    bring(
        workspace,
        tmp_path,
        pairs=["a", "b", "c", "d", "e"],
        verdicts=[
            verdict("a", "old"),
            verdict("b", None),
            verdict("c", "old", vote=1),
            verdict("c", "new", vote=2, first="new"),
            verdict("d", "old"),
            verdict("e", "new"),
        ],
        labels=[label(pair, "ana", said) for pair, said in zip("abcd", ("old", "tie", "tie", "both_bad"), strict=True)],
    )
    judged = compare(workspace, **rules).judges[0]  # type: ignore[arg-type]  # the cases are legal rules
    assert (judged.preference.n, judged.preference.agree) == (n, agree)
    assert not isinstance(judged.order, NotEstimable)
    assert (judged.order.usable, judged.order.to_first) == (1, 1)


def test_each_dimension_that_the_judge_gave_is_compared(workspace: Workspace, tmp_path: Path) -> None:
    bring(
        workspace,
        tmp_path,
        pairs=["a", "b", "c", "d"],
        verdicts=[
            verdict("a", "old", tone="old", error_new="confident"),
            verdict("b", "old", tone="new", error_new="none"),
            verdict("c", "old", tone="same", vote=1),
            verdict("c", "old", tone="new", vote=2),
        ],
        labels=[
            label("a", "ana", "old", tone="old", error_new="cannot_tell"),
            label("b", "ana", "old", tone="same", error_new="none"),
            label("c", "ana", "old", tone="new"),
            label("d", "ana", "old", tone="new"),
        ],
    )
    found = {each.dimension: each for each in compare(workspace).judges[0].dimensions}
    assert found.keys() == {"error_new", "tone"}
    tone = found["tone"]
    assert (tone.n, tone.agree, tone.excluded["no_verdict"]) == (3, 1, 1)
    assert tone.other == {"unresolved": (0, 0, 1)}
    assert tone.weighted_kappa is not None
    # Two of three verdicts are answers: old beside old, new beside same. With marginals 2, 1, 1 ranks lie 1.5 and 1
    # apart, so the observed disagreement is 2 / 4 and the expected one (4 x 2.25 + 2 x 1 + 4 x 6.25) / 12.
    assert isinstance(tone.alpha, Estimate)
    assert tone.alpha.value == pytest.approx(1 - (2 * 1 / 4) / ((4 * 2.25 + 2 * 1 + 4 * 6.25) / 12))
    assert found["error_new"].excluded["people_cannot_tell"] == 1


def test_the_pairs_behind_a_cell_are_those_that_were_counted(workspace: Workspace, tmp_path: Path) -> None:
    bring(
        workspace,
        tmp_path,
        pairs=["a", "b", "c"],
        verdicts=[verdict(pair, "new") for pair in "abc"],
        labels=[label("a", "ana", "old"), label("b", "ana", "new"), label("c", "ana", "old")],
    )
    count, lines = agreement.pairs_behind(workspace, judge="judge", human="old", verdict="new", limit=1)
    assert (count, [(line.pair_id, line.ask) for line in lines]) == (2, [("a", "Ask a")])
    with pytest.raises(NotFound):
        agreement.pairs_behind(workspace, judge="nobody", human="old", verdict="new")
    with pytest.raises(BadInput, match="no cell"):
        agreement.pairs_behind(workspace, judge="judge", human="sideways", verdict="new")


def test_nothing_there_is_said_and_never_a_number(workspace: Workspace, tmp_path: Path) -> None:
    report = compare(workspace)
    assert report.judges == ()
    assert isinstance(report.people.alpha, NotEstimable)
    bring(workspace, tmp_path, pairs=["a-1"], verdicts=[verdict("a-1", "old")], labels=[label("a-1", "ana", "old")])
    judged = compare(workspace).to_json()["judges"][0]  # type: ignore[index]  # plain JSON
    assert judged["raw"] == {"not_estimable": "there is only one prompt, and an interval needs at least two"}
    assert "NaN" not in str(judged)
    with pytest.raises(NotFound, match="no round"):
        compare(workspace, round_id="nothing")
    with pytest.raises(BadInput, match="unit"):
        compare(workspace, unit="sometimes")  # type: ignore[arg-type]  # what a command line may pass


def test_who_still_labels_a_round_sees_none_of_it(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, pairs=["a", "b", "c"], verdicts=[verdict(pair, "new") for pair in "abc"])
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=3, seed=1), "lea", NOW)
    agreement.require_sight(workspace, "ana")
    queue(workspace, "ana", drawn.round_id, 2, NOW + timedelta(minutes=1))
    with pytest.raises(NotAllowed):
        agreement.require_sight(workspace, "ana")
    with pytest.raises(NotAllowed):
        agreement.require_sight(workspace, "ana", round_id=drawn.round_id)
    with pytest.raises(NotAllowed):
        agreement.require_sight(workspace, "ana", pair_id="a")
    agreement.require_sight(workspace, "lea", pair_id="a")
