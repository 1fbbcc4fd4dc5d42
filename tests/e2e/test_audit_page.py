"""The weekly audit by keyboard in a real browser: stored as meant, flagged, kept when the app dies, rates for leads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from review import settings
from review.services.desk import LocalDesk
from review.services.sample import SampleSpec, sample
from review.services.workspace import open_workspace
from tests.e2e.conftest import Server
from tests.e2e.reviewing import at_card, done, press, saved, stored
from tests.traffic import Traffic, add_traces

pytestmark = pytest.mark.chromium
Visit = Callable[..., Page]
HOSTILE = "<img src=x onerror=alert(1)> **It comes on Monday.**"


def with_audit(db: Path) -> None:
    """Ten traces, one with a hostile answer and a tool call, and an audit of eight of them."""
    workspace = open_workspace(settings.load(db))
    try:
        add_traces(workspace, [Traffic(10, "refunds")])
        with workspace.database.transaction() as cursor:
            cursor.execute(
                """
                UPDATE trace SET response = json_object(
                    'content', $text, 'model', 'stack-one', 'tool_calls', $calls::JSON
                )
                """,
                {
                    "text": HOSTILE,
                    "calls": '[{"function": {"name": "find_parcel", "arguments": "{\\"number\\": 7}"}}]',
                },
            )
        sample(LocalDesk(workspace, "lead"), SampleSpec(size=4, seed=1, audit_size=8))
    finally:
        workspace.close()


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(with_audit)


def test_answers_are_read_by_keyboard_and_nothing_is_lost(server: Server, visit: Visit) -> None:
    page = at_card(visit(server, "/audit", name="Mara"))
    shown = page.locator(".layer:not(.ahead) .answers")
    expect(shown).to_contain_text(HOSTILE)
    expect(shown).to_contain_text("find_parcel")
    assert "stack-one" not in page.content()
    expect(page.locator(".row")).to_have_count(3)
    press(page, ["1", "2", "1", "Enter"])  # four keys an answer
    press(page, ["3", "i", "3", "2", "Enter"])  # confident error, invented fact, asserts too much, passable tone
    press(page, ["f", "i"])
    page.keyboard.type("It says when it does not know.")
    press(page, ["Control+Enter"])
    saved(page)
    assert done(page) == 2
    press(page, ["u", "1", "2", "2", "Enter"])  # the second one has no error after all
    saved(page)
    server.kill()
    press(page, ["1", "2", "1", "Enter"])  # while the app is gone
    expect(page.locator(".save")).to_have_attribute("data-state", "offline")
    server.start()
    saved(page, timeout=60_000)
    assert done(page) == 3
    press(page, ["s"])
    page.keyboard.type("not my language")
    press(page, ["Enter"])
    saved(page)

    rows = stored(server, "SELECT * FROM trace_label ORDER BY received_at, labelled_at")
    assert [row["kind"] for row in rows] == ["label", "label", "label", "label", "skip"]
    assert [row["error"] for row in rows] == ["none", "confident", "none", "none", None]
    assert (rows[1]["categories"], rows[1]["calibration"], rows[1]["tone"]) == (["invented_fact"], "over", "fair")
    assert (rows[2]["supersedes"], rows[2]["trace_id"]) == (rows[1]["label_id"], rows[1]["trace_id"])
    assert len({row["trace_id"] for row in rows}) == 4
    (entry,) = stored(server, "SELECT pair_id, failed, category, source, model FROM adversarial_entry")
    assert entry["pair_id"] in {f"t{n}" for n in range(10)}
    assert (entry["failed"], entry["category"], entry["model"]) == ("old", "invented_fact", "stack-one")


def test_a_lead_sees_the_rates(server: Server, visit: Visit) -> None:
    page = visit(server, "/audit", name="Lea", role="lead")
    expect(page.get_by_text("Shares of all 10 traces of the window, from 3 random logged answers")).to_be_visible()
    expect(page.locator(".stMetric")).to_have_count(4)
    expect(page.locator(".stVegaLiteChart")).to_be_visible()
    page.get_by_role("button", name="Read answers").click()
    at_card(page)
    expect(page.locator(".progress b")).to_have_text("3 of 8")
