"""The Runs page in a browser: a click on a part's whisker lists what got worse, and a row opens its pair."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from review import settings
from review.services import run_record
from review.services.workspace import open_workspace
from tests.e2e.conftest import Server
from tests.running import Asked, add_pairs, begin, desk_of, pair_of

pytestmark = pytest.mark.chromium


def test_a_whisker_leads_to_a_pair_that_got_worse(
    make_server: Callable[..., Server], visit: Callable[..., Page]
) -> None:
    pairs: list[str] = []

    def prepare(db: Path) -> None:
        with closing(open_workspace(settings.load(db))) as workspace:
            desk = desk_of(workspace, db.parent)
            rights = [(True, True)] * 6 + [(True, False)]
            answers = [
                [{"content": side, "correct": right} for side, right in zip("ab", both, strict=True)] for both in rights
            ]
            add_pairs(desk, [Asked(*each) for each in answers])
            begin(desk)
            run_record.record(desk, "awq")
            pairs.append(pair_of(workspace, "sample-1-t6"))

    page = visit(make_server(prepare), "/runs", role="lead")
    page.locator('[data-testid=stVegaLiteChart] path[aria-label*="Replay"]').first.click(force=True)
    expect(page.get_by_text("1 got worse")).to_be_visible(timeout=60_000)
    rows = page.get_by_test_id("stDataFrame").first
    rows.scroll_into_view_if_needed()
    rows.click(position={"x": 98, "y": 52})
    expect(page.get_by_text("A-00001 is in the adversarial set")).to_be_visible()
    rows.click(position={"x": 16, "y": 52})
    expect(page).to_have_url(re.compile(rf"/pair\?pair={pairs[0]}&from=run%3A"), timeout=60_000)
    expect(page.get_by_text("A-00001", exact=False).first).to_be_visible()
