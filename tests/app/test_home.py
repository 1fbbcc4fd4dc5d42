"""Home says where a person stands and what is next, in every state of a database and for every role."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from review.services import flag, ingest, label, rounds
from review.services.desk import LocalDesk
from review.services.sample import SampleSpec, sample
from review.services.workspace import Workspace
from tests.app.conftest import RunPage
from tests.conftest import NOW
from tests.traffic import Traffic, add_traces


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


def test_an_empty_database_says_how_to_begin(run_page: RunPage) -> None:
    assert "review import pairs pairs.jsonl" in texts(run_page("home.py", name="Mara", role="lead"))


def test_traces_without_pairs_lead_to_the_pipeline(workspace: Workspace, run_page: RunPage) -> None:
    add_traces(workspace, [Traffic(3)])
    shown = texts(run_page("home.py", name="Mara", role="lead"))
    assert "3 traces are here and no pairs yet" in shown
    assert "review pipeline" in shown


def test_an_audit_without_logged_answers_says_so(workspace: Workspace, run_page: RunPage) -> None:
    add_traces(workspace, [Traffic(30)])
    with workspace.database.transaction() as cursor:
        cursor.execute("UPDATE trace SET response = NULL")
    assert "No audit is drawn yet" in texts(run_page("audit.py", name="Mara", role="lead"))
    sample(LocalDesk(workspace, "lead"), SampleSpec(size=5, seed=1, audit_size=12))
    assert "Nothing to read" in texts(run_page("audit.py", name="Mara", role="lead"))


def test_a_lead_without_a_round_is_sent_to_draw_one(workspace: Workspace, run_page: RunPage, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    page = run_page("home.py", name="Mara", role="lead")
    assert "No round is drawn yet" in texts(page)
    assert {metric.label: metric.value for metric in page.metric}["Pairs"] == "12"


def test_a_reviewer_sees_what_waits_and_then_that_nothing_does(
    workspace: Workspace, run_page: RunPage, tmp_path: Path
) -> None:
    fill(workspace, tmp_path)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=5, seed=1, repeat=0, name="June"), "Mara", NOW)
    assert "June: 5 pairs wait for you." in texts(run_page("home.py", name="Ben", role="reviewer"))
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
    page = texts(run_page("home.py", name="Ben", role="reviewer"))
    assert "Nothing waits for you" in page
    assert "Ben labelled 5 pairs" in page


def test_a_reported_failure_waits_for_a_second_person_only(
    workspace: Workspace, run_page: RunPage, tmp_path: Path
) -> None:
    fill(workspace, tmp_path)
    failure = flag.Report("report-0001", "p1", "new", "invented_fact", "Say that it is not known.")
    flag.report(workspace, failure, "Ben", NOW)
    assert "wait" in texts(run_page("home.py", name="Chloe", role="support"))
    assert "second person" in texts(run_page("home.py", name="Chloe", role="support"))
    assert "second person" not in texts(run_page("home.py", name="Ben", role="support"))


def test_a_name_is_shown_as_text(run_page: RunPage) -> None:
    page = run_page("home.py", name="**Ben** :red[x]", role="lead")
    assert page.title[0].value == r"Hello \*\*Ben\*\* \:red\[x\]"
