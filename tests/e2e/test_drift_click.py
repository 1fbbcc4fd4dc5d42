"""The Drift page in a browser: from an alert, one click puts a pair that new lost into the adversarial set."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from review import settings
from review.services import alerts, watch
from review.services.desk import LocalDesk
from review.services.workspace import open_workspace
from tests.e2e.conftest import Server
from tests.watching import START, add_pairs, quick_plan

pytestmark = pytest.mark.chromium


def test_an_alerts_pair_stands_in_the_set_after_one_click(
    make_server: Callable[..., Server], visit: Callable[..., Page]
) -> None:
    def prepare(db: Path) -> None:
        with closing(open_workspace(settings.load(db))) as workspace:
            add_pairs(workspace, 300, days=5)
            add_pairs(workspace, 200, prefix="d", start=START + timedelta(days=5), days=3, lost=0.5)
            desk = LocalDesk(workspace, "tester")
            quick_plan(desk)
            assert watch.once(desk).alerts == 1

    page = visit(make_server(prepare), "/drift", role="lead")
    entry = page.get_by_role("link", name="A-00001")
    page.get_by_text("pairs on which new lost").click()
    into = page.get_by_role("button", name="Into the adversarial set")
    expect(into).to_have_count(alerts.EXAMPLES)
    into.first.click()
    expect(entry).to_be_visible()
    expect(into).to_have_count(alerts.EXAMPLES - 1)
    page.reload()
    page.get_by_text("pairs on which new lost").click()
    expect(entry).to_be_visible()
    entry.click()
    page.get_by_role("link", name="Come upon in a drift alert").click()
    expect(page).to_have_url(re.compile(r"/drift\?alert=alert-"))
