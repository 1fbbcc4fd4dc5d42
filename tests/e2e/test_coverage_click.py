"""The Coverage page in a browser: a bubble opens its cluster, and leads on to a round of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import clustered as sets
from tests.e2e.conftest import Server

pytestmark = pytest.mark.chromium


def test_a_bubble_opens_its_cluster_and_leads_to_rounds(
    clustered: sets.Set, make_server: Callable[..., Server], visit: Callable[..., Page]
) -> None:
    def prepare(db: Path) -> None:
        for each in clustered.db.parent.iterdir():
            shutil.copy(each, db.parent / each.name)

    page = visit(make_server(prepare), "/coverage", role="lead")
    bubble = page.locator('[data-testid=stVegaLiteChart] path[aria-label*="cluster: weather"]').first
    bubble.click(force=True)
    expect(page.get_by_role("heading", name="weather")).to_be_visible()
    page.get_by_text("Draw from here").click()
    expect(page).to_have_url(re.compile(r"/rounds\?cluster=cluster-"))
