"""Two judges on the same pairs, with numbers counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from review.errors import BadInput, NotFound
from review.services import agreement
from review.services.two_judges import TwoJudges, judges_of, two_judges
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable
from tests.agreeing import bring, label, verdict


def test_only_pairs_that_all_decided_count_and_swapping_mirrors(workspace: Workspace, tmp_path: Path) -> None:
    first = {"a": "old", "b": "old", "c": "old", "d": "new", "e": "old"}
    second = {"a": "old", "b": "new", "c": "new", "d": "new", "f": "old"}
    bring(
        workspace,
        tmp_path,
        pairs=list("abcdef"),
        verdicts=[
            *({**verdict(pair, won), "judge": "one"} for pair, won in first.items()),
            *({**verdict(pair, won), "judge": "two"} for pair, won in second.items()),
        ],
        labels=[label(pair, "ana", "old") for pair in "abcdef"],
    )
    assert judges_of(workspace) == ("one", "two")
    found = two_judges(workspace, "one", "two")
    assert isinstance(found, TwoJudges)
    assert (found.n, found.rates) == (4, (0.75, 0.25))
    assert {name: len(rows) for name, rows in found.cells.items()} == {
        "both": 1,
        "one_only": 2,
        "two_only": 0,
        "neither": 1,
    }
    assert not isinstance(found.test, NotEstimable)
    assert found.test.p_exact == pytest.approx(0.5)
    assert found.test.p_midp == pytest.approx(0.25)
    assert [line.pair_id for line in agreement.pair_lines(workspace, found.cells["one_only"])] == ["b", "c"]
    mirrored = two_judges(workspace, "two", "one")
    assert isinstance(mirrored, TwoJudges)
    assert isinstance(found.difference, Estimate)
    assert isinstance(mirrored.difference, Estimate)
    assert mirrored.difference.value == -found.difference.value
    assert mirrored.difference.low == pytest.approx(-found.difference.high)


def test_nothing_in_common_is_said(workspace: Workspace, tmp_path: Path) -> None:
    bring(
        workspace,
        tmp_path,
        pairs=["a", "b"],
        verdicts=[{**verdict("a", "old"), "judge": "one"}, {**verdict("b", "old"), "judge": "two"}],
        labels=[label("a", "ana", "old")],
    )
    assert isinstance(two_judges(workspace, "one", "two"), NotEstimable)
    with pytest.raises(BadInput, match="both 'one'"):
        two_judges(workspace, "one", "one")
    with pytest.raises(NotFound):
        two_judges(workspace, "one", "three")
