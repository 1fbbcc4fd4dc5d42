"""The Privacy page: a lead reads stripped traces, marks a leak, and it is gone everywhere."""

from __future__ import annotations

import json

import pytest

from review.services.workspace import Workspace
from tests.app.conftest import RunPage, shown


def add_traces(workspace: Workspace, count: int, said: str) -> None:
    for number in range(count):
        workspace.database.cursor().execute(
            "INSERT INTO trace (trace_id, content_hash, prompt_id, source, messages, synthetic, redactions, "
            "imported_at) VALUES ($id, $id, $id, 'test', $messages, false, '{}', now())",
            {"id": f"t{number}", "messages": json.dumps([{"role": "user", "content": said}])},
        )


def test_a_trace_is_shown_as_it_is_with_what_can_be_said_of_it(workspace: Workspace, run_page: RunPage) -> None:
    add_traces(workspace, 3, "Quentin Ashgrove <b>called</b> about a parcel")
    page = run_page("pii_audit.py", name="Lea", role="lead")
    (question,) = shown(page, "review_question")
    assert question["texts"] == [["user", "Quentin Ashgrove <b>called</b> about a parcel"]]
    assert question["caption"] == "Is there still somebody's data in it? 0 of 3 read."
    assert [(each["key"], each["label"]) for each in question["options"]] == [("1", "Clean"), ("2", "Leak")]
    assert page.metric[0].value == "none read yet"


@pytest.mark.usefixtures("answering")
def test_a_leak_is_marked_counted_and_erased(workspace: Workspace, run_page: RunPage) -> None:
    add_traces(workspace, 3, "Quentin Ashgrove <b>called</b> about a parcel")
    page = run_page("pii_audit.py", name="Lea", role="lead")
    assert page.metric[0].value == "none read yet"
    page.button(key="privacy_question_clean").click().run()
    assert page.metric[0].value.startswith("0.0%")
    page.button(key="privacy_question_leak").click().run()
    page.text_input(key="words").input("quentin ashgrove")
    next(each for each in page.button if each.label == "Erase everywhere").click().run()
    assert not page.exception
    assert page.success[0].value == "Erased\\: 3 in trace\\."
    assert page.metric[0].value.startswith("50.0%")
    stored = workspace.database.cursor().execute("SELECT messages::VARCHAR FROM trace").fetchall()
    assert all("Ashgrove" not in row[0] for row in stored)


@pytest.mark.usefixtures("answering")
def test_what_was_called_clean_by_mistake_is_taken_back(workspace: Workspace, run_page: RunPage) -> None:
    add_traces(workspace, 2, "Quentin Ashgrove called about a parcel")
    page = run_page("pii_audit.py", name="Lea", role="lead")
    page.button(key="privacy_question_clean").click().run()
    assert page.metric[0].value.startswith("0.0%")
    page.button(key="privacy_question_back").click().run()
    page.button(key="privacy_question_leak").click().run()
    page.text_input(key="words").input("quentin ashgrove")
    next(each for each in page.button if each.label == "Erase everywhere").click().run()
    assert not page.exception
    assert page.metric[0].value.startswith("100.0%")


def test_only_a_lead_sees_it(run_page: RunPage) -> None:
    assert "for the role lead" in run_page("pii_audit.py", name="Ann", role="reviewer").info[0].value
