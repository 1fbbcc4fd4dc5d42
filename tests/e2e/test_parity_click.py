"""A lead's way through Parity in Chromium: look, the verdict, what fails, one pair, and a picture to take along."""

from __future__ import annotations

import json
import re
import xml.dom.minidom
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Server, run_cli
from tests.unit.parity_cases import moved

pytestmark = pytest.mark.chromium


def prepare(db: Path) -> None:
    """100 pairs with an equal score and swapped directions of error, imported as files."""
    moves = [("none", "none", 80), ("cautious", "none", 10), ("none", "confident", 10)]
    for kind, records in zip(("pairs", "labels"), moved(moves, tasks=2), strict=True):
        file = db.with_name(f"{kind}.jsonl")
        file.write_text("\n".join(json.dumps(record) for record in records), "utf-8")
        run_cli(db, "import", kind, str(file)).check_returncode()


def test_look_verdict_category_and_pair(make_server: Callable[..., Server], visit: Callable[..., Page]) -> None:
    page = visit(make_server(prepare), "/parity", name="Lea", role="lead")
    expect(page.get_by_role("heading", name="No verdict yet")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Look now (1 of 3)").click()
    expect(page.get_by_role("heading", name="Regression")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Moved towards confident.")).to_be_visible()

    page.get_by_text("Direction of error", exact=True).click()
    picture = page.locator("[data-testid=stVegaLiteChart] svg").first
    expect(picture).to_be_visible(timeout=60_000)
    with page.expect_download(timeout=60_000) as saved:
        page.get_by_role("button", name="Save pictures as SVG").click()
    assert xml.dom.minidom.parse(str(saved.value.path())).documentElement.tagName == "svg"

    page.get_by_text("Ways to fail", exact=True).click()
    page.get_by_label("Show the pairs on which new has it").click()
    page.keyboard.type("Inv")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="p00090").click()
    page.wait_for_url(re.compile(r"/pair\?pair=p00090$"), timeout=60_000)
    expect(page.get_by_text("New answer 90.")).to_be_visible(timeout=60_000)
