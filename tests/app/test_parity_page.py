"""The Parity page: empty, between looks, after a look, and closed to people who still label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from review.services import label, rounds
from review.services.workspace import Workspace
from tests.conftest import NOW
from tests.unit.parity_cases import bring, moved, pair
from tests.unit.parity_cases import label as said

RunPage = Callable[..., AppTest]
VIEWS = ("tolerance", "failures", "direction", "tone", "calibration", "contract")


def texts(page: AppTest) -> str:
    kinds = ("text", "caption", "markdown", "subheader", "info")
    return "\n".join(str(each.value) for kind in kinds for each in page.get(kind))


def test_without_labels_it_says_what_to_do(workspace: Workspace, tmp_path: Path, run_page: RunPage) -> None:
    bring(workspace, tmp_path, [pair(1)])
    page = run_page("parity.py")
    assert "Nothing to judge yet" in texts(page)
    assert not page.button


def test_before_a_look_there_are_estimates_and_no_verdict(
    workspace: Workspace, tmp_path: Path, run_page: RunPage
) -> None:
    bring(workspace, tmp_path, *moved([("none", "none", 80), ("cautious", "none", 10), ("none", "confident", 10)]))
    page = run_page("parity.py")
    assert "No verdict yet" in texts(page)
    assert "Regression" not in texts(page)
    assert "Moved towards confident." in texts(page)
    page.button[0].click().run()
    assert not page.exception
    shown = texts(page)
    assert "Regression" in shown
    assert "Look 1 of 3" in shown
    assert not page.button


def test_after_more_labels_the_old_verdict_is_marked_as_old(
    workspace: Workspace, tmp_path: Path, run_page: RunPage
) -> None:
    pairs, labels = moved([("none", "none", 60)])
    bring(workspace, tmp_path, pairs, labels[:30])
    run_page("parity.py").button[0].click().run()
    bring(workspace, tmp_path, labels=labels[30:])
    shown = texts(run_page("parity.py"))
    assert "30 more labelled pairs" in shown
    assert "draw a new round" in shown


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_stands(workspace: Workspace, tmp_path: Path, run_page: RunPage, view: str) -> None:
    moves = [("none", "none", 30), ("none", "confident", 5), ("cautious", "none", 4), ("cannot_tell", "other", 1)]
    bring(workspace, tmp_path, *moved(moves, tasks=3, identical=10))
    page = run_page("parity.py")
    page.segmented_control[0].set_value(view).run()
    assert not page.exception
    assert not page.error
    expected = {
        "tolerance": "contributes zero",
        "failures": "A category may grow by at most 2.0 points",
        "direction": "Margin ±5.0",
        "tone": "tone",
        "calibration": "onfidence",
        "contract": "SHA-256",
    }
    assert expected[view] in texts(page)


def test_foreign_names_stand_as_text(workspace: Workspace, tmp_path: Path, run_page: RunPage) -> None:
    evil = "![x](http://leak.test/x.png) <b>task</b>"
    pairs = [pair(n, task=evil) for n in range(12)]
    labels = [said(n, "none", "other", reviewer=evil, categories_new=[evil[:60]]) for n in range(12)]
    bring(workspace, tmp_path, pairs, labels)
    for view in ("tolerance", "failures", "direction"):
        page = run_page("parity.py")
        page.segmented_control[0].set_value(view).run()
        assert not page.exception
        assert all("![x](http" not in str(each.value) for kind in ("markdown", "caption") for each in page.get(kind))


def test_it_is_closed_to_a_person_who_still_labels(workspace: Workspace, tmp_path: Path, run_page: RunPage) -> None:
    bring(workspace, tmp_path, [pair(n) for n in range(10)], [said(0, "none", "none")])
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=8, seed=1), "lead", NOW).round_id
    label.queue(workspace, "Mara", drawn, 2, NOW)
    page = run_page("parity.py", name="Mara")
    assert "still have pairs to label" in page.error[0].value
    assert not page.button


def test_it_is_for_leads(workspace: Workspace, run_page: RunPage) -> None:
    page = run_page("parity.py", role="reviewer")
    assert "for the role lead" in page.info[0].value
