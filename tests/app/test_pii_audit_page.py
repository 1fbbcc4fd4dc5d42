"""The Privacy page: a lead reads stripped traces, marks a leak, and it is gone everywhere."""

from __future__ import annotations

import json

from review.services.workspace import Workspace
from tests.app.conftest import RunPage, verbatim


def add_traces(workspace: Workspace, count: int, said: str) -> None:
    for number in range(count):
        workspace.database.cursor().execute(
            "INSERT INTO trace (trace_id, content_hash, prompt_id, source, messages, synthetic, redactions, "
            "imported_at) VALUES ($id, $id, $id, 'test', $messages, false, '{}', now())",
            {"id": f"t{number}", "messages": json.dumps([{"role": "user", "content": said}])},
        )


def test_a_leak_is_marked_counted_and_erased(workspace: Workspace, run_page: RunPage) -> None:
    add_traces(workspace, 3, "Quentin Ashgrove <b>called</b> about a parcel")
    page = run_page("pii_audit.py", name="Lea", role="lead")
    assert not page.exception
    assert verbatim(page)[0] == "Quentin Ashgrove <b>called</b> about a parcel"
    assert page.metric[0].value == "none read yet"
    page.button(key="clean_0").click().run()
    assert page.metric[0].value.startswith("0.0%")
    page.button(key="leak_1").click().run()
    page.text_input(key="words").input("quentin ashgrove")
    next(each for each in page.button if each.label == "Erase everywhere").click().run()
    assert not page.exception
    assert page.success[0].value == "Erased\\: 3 in trace\\."
    assert verbatim(page)[0] == "<PERSON_1> <b>called</b> about a parcel"
    assert page.metric[0].value.startswith("50.0%")
    stored = workspace.database.cursor().execute("SELECT messages::VARCHAR FROM trace").fetchall()
    assert all("Ashgrove" not in row[0] for row in stored)


def test_what_was_called_clean_by_mistake_is_taken_back(workspace: Workspace, run_page: RunPage) -> None:
    add_traces(workspace, 2, "Quentin Ashgrove called")
    page = run_page("pii_audit.py", name="Lea", role="lead")
    assert page.button(key="back").disabled
    for number in range(2):
        page.button(key=f"clean_{number}").click().run()
    assert "All of this sample are read" in page.success[0].value
    page.button(key="back").click().run()
    page.button(key="leak_1").click().run()
    page.text_input(key="words").input("quentin ashgrove")
    next(each for each in page.button if each.label == "Erase everywhere").click().run()
    assert page.metric[0].value.startswith("50.0%")
    assert "All of this sample are read" in page.success[1].value


def test_only_a_lead_sees_it(run_page: RunPage) -> None:
    assert "for the role lead" in run_page("pii_audit.py", name="Ann", role="reviewer").info[0].value
