"""A support agent and a second person, in a real browser, by keyboard."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from review import settings
from review.services.workspace import open_workspace
from tests.adversarial import add_pairs
from tests.e2e.conftest import Server

pytestmark = pytest.mark.chromium

HOSTILE = (
    "<img src='http://evil.test/a.png' onerror='document.title=1'> ![x](http://evil.test/b.png) "
    "[click](javascript:alert(1)) <script>document.title='owned'</script> \x1b[31m \u202eabc"
)


def stock(db: Path) -> None:
    """Two pairs to flag, one of them hostile."""
    workspace = open_workspace(settings.load(db))
    add_pairs(workspace, "p1")
    add_pairs(
        workspace,
        "evil",
        messages=[{"role": "user", "content": HOSTILE}],
        old={"content": HOSTILE, "tool_calls": [{"function": {"name": HOSTILE, "arguments": HOSTILE}}]},
        metadata={"ticket": HOSTILE},
    )
    workspace.close()


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(stock)


def come_back(page: Page) -> None:
    """Load the page again, as somebody whom the browser remembers."""
    page.wait_for_function("document.cookie.includes('review_actor')")
    page.reload()


def type_to(page: Page, label: str, text: str) -> None:
    """Go on with Tab until the named field has the focus, then type."""
    for _ in range(12):
        if page.get_by_label(label).evaluate("element => element === document.activeElement"):
            page.keyboard.type(text)
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reached {label!r}")


def test_a_failure_is_flagged_by_keyboard_in_under_a_minute_and_confirmed(
    server: Server, visit: Callable[..., Page]
) -> None:
    page = visit(server, "/flag", name="Ines", role="support")
    frames: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(str(frame))))
    come_back(page)
    expect(page.get_by_label("Find the pair")).to_be_focused()
    start = time.monotonic()
    page.keyboard.type("T-p1")
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-hit_0 button")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-failed input").first).to_be_focused()
    page.keyboard.press("ArrowRight")  # answer B
    page.keyboard.press("Tab")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="Invented fact")).to_be_checked()
    type_to(page, "What should have happened?", "Asks for the order number")
    type_to(page, "Ticket", "T-p1")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("A-00001 is a new entry")).to_be_visible()
    assert time.monotonic() - start < 60
    expect(page.get_by_label("Find the pair")).to_be_focused()

    assert frames
    assert not any("stack-1" in frame or "stack-2" in frame for frame in frames)

    second = visit(server, "/adversarial?entry=A-00001", name="Lea", role="lead")
    second.get_by_role("button", name="Confirm this failure").click()
    expect(second.get_by_text("Confirmed by Lea")).to_be_visible()
    line = json.loads((server.db.parent / "adversarial_permanent.jsonl").read_text().splitlines()[-1])
    assert (line["kind"], line["actor"]) == ("confirmation", "Lea")


def test_hostile_texts_stay_text_and_no_request_leaves(server: Server, visit: Callable[..., Page]) -> None:
    page = visit(server, "/flag?pair=evil", name="Ines", role="support")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    come_back(page)
    expect(page.get_by_text("![x](http://evil.test/b.png)").first).to_be_visible()
    page.get_by_role("radio", name="Answer A").check(force=True)
    page.get_by_role("radio", name="Unsafe").check(force=True)
    page.get_by_label("What should have happened?").fill(HOSTILE)
    page.get_by_label("Ticket").fill("javascript:alert(1)")
    page.get_by_role("button", name="Add to the adversarial set").click()
    page.get_by_role("link", name="Open A-").click()
    expect(page.get_by_text("A pass is")).to_be_visible()
    expect(page.get_by_text("[click](javascript:alert(1))").first).to_be_visible()
    assert page.title() != "owned"
    assert page.locator("a[href^='javascript'], img[src*='evil']").count() == 0
    assert all(url.startswith((server.url, "data:", "blob:")) for url in asked), asked
