"""Privacy by keyboard in a real browser: read, mark a leak, and the words are gone from the database."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from review import settings
from review.services.workspace import open_workspace
from tests.app.test_pii_audit_page import add_traces
from tests.e2e.conftest import Server
from tests.e2e.reviewing import twice

pytestmark = pytest.mark.chromium
SAID = "Quentin Ashgrove <b>called</b> about a parcel"


def with_traces(db: Path) -> None:
    with closing(open_workspace(settings.load(db))) as workspace:
        add_traces(workspace, 3, SAID)


def test_a_leak_is_marked_by_keyboard_and_gone(make_server: Callable[..., Server], visit: Callable[..., Page]) -> None:
    server = make_server(with_traces)
    page = visit(server, "/pii_audit", name="Lea", role="lead")
    expect(page.get_by_text(SAID)).to_be_visible()
    expect(page.get_by_text("0 of 3 read")).to_be_visible()
    twice(page, "1")  # an accident: the second counts for no trace that has not been seen
    expect(page.get_by_text("1 of 3 read")).to_be_visible()
    expect(page.get_by_text("0.0%")).to_be_visible()
    page.keyboard.press("Backspace")  # it was not clean after all
    expect(page.locator(".question[data-state=ready]:not(:has(.back))")).to_be_visible()
    page.keyboard.press("2")
    words = page.get_by_label("The leaked words, as they stand above")
    expect(words).to_be_focused()
    page.keyboard.type("quentin ashgrove")  # "1" and "2" would be typed too: keys are muted here
    page.keyboard.press("Enter")
    expect(page.get_by_text("Erased: 3 in trace.")).to_be_visible()
    expect(page.get_by_text("1 of 3 read")).to_be_visible()
    expect(page.get_by_text("<PERSON_1> <b>called</b> about a parcel")).to_be_visible()
    page.keyboard.press("1")
    expect(page.get_by_text("2 of 3 read")).to_be_visible()
    page.keyboard.press("1")
    expect(page.get_by_text("All of this sample are read")).to_be_visible()
    expect(page.get_by_text("33.3%")).to_be_visible()
    server.stop()
    assert b"Ashgrove" not in server.db.read_bytes()
