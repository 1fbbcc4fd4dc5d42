"""From a cell of a matrix or a line of a forest to its pairs, and on to one pair, with the mouse in Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from review import settings
from review.services.workspace import open_workspace
from tests.agreeing import bring, label, verdict
from tests.e2e.conftest import Server

pytestmark = pytest.mark.chromium


def prepare(db: Path) -> None:
    """Three pairs on which people say old and the judge says old; one person labels two of them."""
    workspace = open_workspace(settings.load(db))
    pairs = ["a", "b", "c"]
    bring(
        workspace,
        db.parent,
        pairs=pairs,
        verdicts=[verdict(pair, "old") for pair in pairs],
        labels=[*(label(pair, "ana", "old") for pair in pairs), *(label(pair, "ben", "new") for pair in ("b", "c"))],
    )
    workspace.close()


def test_a_cell_lists_its_pairs_and_a_row_opens_one(
    make_server: Callable[..., Server], visit: Callable[..., Page]
) -> None:
    server = make_server(prepare)
    page = visit(server, "/agreement", name="Lea", role="lead")
    picture = page.locator(".st-key-beside_0_preference [data-testid=stVegaLiteChart]").last
    expect(picture.locator("canvas, svg").first).to_be_visible(timeout=60_000)
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box is not None
    listed = page.get_by_text("People say “old”, the judge says “old”: 1 pair")
    # The first row and column begin right of the axis and below the titles; the picture may still move at first.
    for _ in range(5):
        page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.35 * box["height"])
        try:
            expect(listed).to_be_visible(timeout=3_000)
            break
        except AssertionError:
            box = picture.bounding_box() or box
    expect(listed).to_be_visible()
    open_first_row(page)
    page.wait_for_url(re.compile(r"/pair\?pair=a$"), timeout=60_000)
    expect(page.get_by_text("old answer to a")).to_be_visible()
    expect(page.get_by_text("new answer to a")).to_be_visible()
    expect(page.get_by_text("one label")).to_be_visible()


def open_first_row(page: Page) -> None:
    """Select the first row of the list of pairs; its checkbox is left of the first column."""
    table = page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    frame = table.bounding_box()
    assert frame is not None
    page.mouse.click(frame["x"] + 18, frame["y"] + 52)


def test_a_line_of_a_forest_lists_its_pairs_and_coming_back_keeps_the_part(
    make_server: Callable[..., Server], visit: Callable[..., Page]
) -> None:
    page = visit(make_server(prepare), "/agreement", name="Lea", role="lead")
    page.get_by_role("radio", name="Slices").or_(page.get_by_role("button", name="Slices")).first.click()
    page.get_by_text("Reviewer", exact=True).click()
    expect(page.get_by_text("All together 60 %.", exact=False)).to_be_visible()
    picture = page.get_by_test_id("stVegaLiteChart").first
    expect(picture.locator("canvas, svg").first).to_be_visible(timeout=60_000)
    listed = page.get_by_text("ben: 2 pairs")
    # A click anywhere at the height of a name is a click on its line; the picture may still move at first.
    for _ in range(5):
        picture.scroll_into_view_if_needed()
        box, name = picture.bounding_box(), picture.get_by_text("ben", exact=True).bounding_box()
        assert box is not None
        assert name is not None
        page.mouse.click(box["x"] + 0.8 * box["width"], name["y"] + 0.5 * name["height"])
        try:
            expect(listed).to_be_visible(timeout=3_000)
            break
        except AssertionError:
            continue
    expect(listed).to_be_visible()
    open_first_row(page)
    page.wait_for_url(re.compile(r"/pair\?pair=b$"), timeout=60_000)
    expect(page.get_by_text("unresolved: 1 × old, 1 × new")).to_be_visible()
    page.get_by_text("Back to Agreement").click()
    expect(page.get_by_text("All together", exact=False)).to_be_visible()
