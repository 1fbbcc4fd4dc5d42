"""The report in a real Chromium with scripts and network off, made beside the running app and from its page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from review import settings
from review.services import demo
from review.services.workspace import open_workspace
from tests.conftest import NOW
from tests.e2e.conftest import Server, run_cli

pytestmark = pytest.mark.chromium

# Whether something of the page is wider than its place, or a picture has no size or no words for those who cannot see.
WRONG = """() => {
    const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth + 1;
    const blind = [...document.querySelectorAll('svg')].filter(each => !each.querySelector('title')
        || !each.querySelector('desc') || each.getBoundingClientRect().height < 20);
    return [wide, blind.length];
}"""


def build(db: Path) -> None:
    """The demo's database."""
    with closing(open_workspace(settings.load(db))) as workspace:
        demo.build(workspace, NOW)


def test_the_report_beside_the_app_opens_without_scripts_and_network(
    make_server: Callable[..., Server], visit: Callable[..., Page], browser: Browser, tmp_path: Path
) -> None:
    server = make_server(build)
    file = tmp_path / "parity.html"
    done = run_cli(server.db, "report", "-o", str(file))
    assert done.returncode == 0, done.stderr

    page = visit(server, "/parity", name="Lena", role="lead")
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("button", name="Report (HTML)").click()
    saved = tmp_path / "saved.html"
    download.value.save_as(saved)
    assert saved.read_bytes() == file.read_bytes(), "the page's file is the command's"

    for scheme, width in (("light", 1200), ("dark", 420)):
        context = browser.new_context(
            java_script_enabled=False, offline=True, color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        asked: list[str] = []
        context.on("request", lambda request, urls=asked: urls.append(request.url))
        shown = context.new_page()
        shown.goto(file.as_uri())
        assert asked == [file.as_uri()], "nothing but the file itself is asked for"
        expect(shown.get_by_role("heading", level=1)).to_have_text("No verdict yet")
        expect(shown.get_by_role("img")).to_have_count(8)
        assert shown.evaluate(WRONG) == [False, 0]
        background = shown.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 25, 28)")
        if scheme == "dark":
            shown.emulate_media(media="print")
            paper = shown.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            assert paper == "rgb(255, 255, 255)", "paper is white"
            assert shown.pdf(prefer_css_page_size=True).startswith(b"%PDF")
        context.close()
