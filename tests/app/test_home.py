"""Home says where a person stands and what is next, in every state of a database and for every role."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from review.services import flag, ingest, label, rounds
from review.services.workspace import Actor, Role, Workspace
from tests.conftest import NOW, ROOT

Home = Callable[[Workspace, str, Role], AppTest]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Home:
    """Run the page as somebody, on the workspace that the test has open."""

    def run(workspace: Workspace, name: str, role: Role) -> AppTest:
        monkeypatch.setattr("review.ui.shell.workspace", lambda: workspace)
        page = AppTest.from_file(str(ROOT / "pages" / "home.py"), default_timeout=20)
        page.session_state["actor"] = Actor(name, role)
        page.run()
        assert not page.exception
        return page

    return run


def texts(page: AppTest) -> str:
    return "\n".join(each.value for each in [*page.text, *page.caption, *page.subheader, *page.code])


def fill(workspace: Workspace, folder: Path, pairs: int = 12) -> None:
    def pair(number: int) -> dict[str, Any]:
        return {
            "pair_id": f"p{number}",
            "task": "refunds",
            "messages": [{"role": "user", "content": f"Where is parcel {number}?"}],
            "old": {"model": "one", "content": "It may come on Monday."},
            "new": {"model": "two", "content": f"It comes on Monday, number {number}."},
        }

    file = folder / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(pair(number)) for number in range(pairs)))
    ingest.import_pairs(workspace, [file], now=NOW)


def test_an_empty_database_says_how_to_begin(workspace: Workspace, home: Home) -> None:
    assert "review import pairs pairs.jsonl" in texts(home(workspace, "Mara", "lead"))


def test_a_lead_without_a_round_is_sent_to_draw_one(workspace: Workspace, home: Home, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    page = home(workspace, "Mara", "lead")
    assert "No round is drawn yet" in texts(page)
    assert {metric.label: metric.value for metric in page.metric}["Pairs"] == "12"


def test_a_reviewer_sees_what_waits_and_then_that_nothing_does(
    workspace: Workspace, home: Home, tmp_path: Path
) -> None:
    fill(workspace, tmp_path)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=5, seed=1, repeat=0, name="June"), "Mara", NOW)
    assert "June: 5 pairs wait for you." in texts(home(workspace, "Ben", "reviewer"))
    while cards := label.queue(workspace, "Ben", drawn.round_id, 5, NOW):
        label.submit(
            workspace,
            "Ben",
            [
                label.Answers(
                    label_id=f"label-{card.card_id}",
                    card_id=card.card_id,
                    better="same",
                    error_left="none",
                    error_right="none",
                    calibration_left="right",
                    calibration_right="right",
                    tone="same",
                )
                for card in cards
            ],
            NOW,
        )
    page = texts(home(workspace, "Ben", "reviewer"))
    assert "Nothing waits for you" in page
    assert "Ben labelled 5 pairs" in page


def test_a_reported_failure_waits_for_a_second_person_only(workspace: Workspace, home: Home, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    failure = flag.Report("report-0001", "p1", "new", "invented_fact", "Say that it is not known.")
    flag.report(workspace, failure, "Ben", NOW)
    assert "wait" in texts(home(workspace, "Chloe", "support"))
    assert "second person" in texts(home(workspace, "Chloe", "support"))
    assert "second person" not in texts(home(workspace, "Ben", "support"))


def test_a_name_is_shown_as_text(workspace: Workspace, home: Home) -> None:
    page = home(workspace, "**Ben** :red[x]", "lead")
    assert page.title[0].value == r"Hello \*\*Ben\*\* \:red\[x\]"
