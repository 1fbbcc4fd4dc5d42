"""What a judge's votes say about the judge, with numbers counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from review.services import agreement
from review.services.stability import Figure, stability
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable
from review.stats.paired import BinomialTest
from tests.agreeing import bring, label, verdict


def value(figure: Figure) -> float:
    assert isinstance(figure.share, Estimate)
    return figure.share.value


def votes(pair: str, old_first: str, new_first: str) -> list[dict[str, object]]:
    """Votes in both orders, one letter each: o, n, t(ie), ? (unparsable)."""
    said = {"o": "old", "n": "new", "t": "tie", "?": None}
    both = [("old", each) for each in old_first] + [("new", each) for each in new_first]
    return [verdict(pair, said[each], vote=index + 1, first=first) for index, (first, each) in enumerate(both)]


def test_votes_orders_and_repeats(workspace: Workspace, tmp_path: Path) -> None:
    bring(
        workspace,
        tmp_path,
        pairs=list("abcdef"),
        verdicts=[
            *votes("a", "ooo", ""),  # one answer
            *votes("b", "oon", ""),  # two against one
            *votes("c", "ont", ""),  # three ways
            *votes("d", "oo", "nn"),  # whichever is first
            *votes("e", "o", "n"),  # whichever is first, asked twice only
            *votes("f", "n?", "o"),  # whichever is second
        ],
    )
    found = stability(workspace, "judge")
    assert (found.split.count, found.split.of) == (3, 4)  # b, c and d of a to d
    assert (found.no_majority.count, found.no_majority.of) == (2, 4)  # c, and d over both orders
    assert (found.changed.count, found.changed.of) == (3, 3)
    assert [line.pair_id for line in agreement.pair_lines(workspace, found.to_first.rows)] == ["d", "e"]
    assert isinstance(found.side, BinomialTest)
    assert found.side.p == pytest.approx(1.0)
    assert found.side.rate.value == pytest.approx(2 / 3)
    # Cells of two and more votes: a 1, b 1/3, c 0, d 1 and 1.
    assert value(found.repeated) == pytest.approx((1 + 1 / 3 + 0 + 1 + 1) / 5)
    assert [line.pair_id for line in agreement.pair_lines(workspace, found.repeated.rows)] == ["b", "c"]


def test_the_longer_answer_and_people(workspace: Workspace, tmp_path: Path) -> None:
    long_new = {"old": {"content": "short"}, "new": {"content": "a longer answer"}}
    bring(
        workspace,
        tmp_path,
        pairs=list("abcd"),
        verdicts=[verdict("a", "new"), verdict("b", "new"), verdict("c", "old"), verdict("d", "old")],
        labels=[
            label("a", "ana", "old"),
            label("b", "ana", "new"),
            label("c", "ana", "tie"),
            label("d", "ana", "old"),
        ],
        more=dict.fromkeys("abc", long_new),  # of d both answers are equally long
    )
    found = stability(workspace, "judge")
    assert (found.judge_longer.count, found.judge_longer.of) == (2, 3)
    assert (found.people_longer.count, found.people_longer.of) == (1, 2)
    judge, people = found.both_decided
    assert (judge.count, judge.of, people.count, people.of) == (2, 2, 1, 2)


def test_what_cannot_be_known_is_said(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, pairs=["a", "b"], verdicts=[verdict("a", "old"), verdict("b", None, first=None)])
    found = stability(workspace, "judge")
    for figure in (found.split, found.changed, found.repeated, found.people_longer):
        assert isinstance(figure.share, NotEstimable)
        assert (figure.of, len(figure.rows)) == (0, 0)
    assert isinstance(found.side, NotEstimable)
