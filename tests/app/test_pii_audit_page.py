"""The Privacy page: a lead reads stripped traces, marks a leak, and it is gone everywhere."""

from __future__ import annotations

import json

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


def test_only_a_lead_sees_it(run_page: RunPage) -> None:
    assert "for the role lead" in run_page("pii_audit.py", name="Ann", role="reviewer").info[0].value
