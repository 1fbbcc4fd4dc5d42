"""Scoring the golden set in a browser, by keyboard: blind, stored at each key, taken back with one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from review import settings
from review.domain.types import Output
from review.services import golden, golden_score
from review.services.desk import Call, LocalDesk
from review.services.workspace import open_workspace
from tests.conftest import NOW
from tests.e2e.conftest import Server
from tests.e2e.reviewing import twice

pytestmark = pytest.mark.chromium
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"> **bold**"


def prepare(db: Path) -> None:
    """Three accepted items with two answers each, and a draft."""
    with closing(open_workspace(settings.load(db))) as workspace:
        items = [
            golden.Item.model_validate(
                {
                    "item_id": f"refund-{at}",
                    "task": "billing",
                    "messages": [{"role": "user", "content": f"Can I get a refund after {30 + at} days? {HOSTILE}"}],
                    "reference": "No. Refunds end after 30 days; we can offer a credit instead.",
                    "rubric": [{"item": "Says that refunds end after 30 days"}, {"item": "Offers a credit"}],
                }
            )
            for at in range(4)
        ]
        desk = LocalDesk(workspace, "Lea")
        kinds = ["imported"] * 3 + ["drafted"]
        more = [{"source": "x", "kind": kind, "model": "judge-1"} for kind in kinds]
        rows = list(zip(items, more, strict=True))
        desk.ask("golden.put", {}, golden.stripped(rows, workspace.key, None))
        version = desk.ask("golden.freeze", {"name": "2026-03"}).document["version"]
        said = {"old": "Refunds end after 30 days.", "new": f"Of course you can. {HOSTILE}"}
        outputs = {side: Output(content=text).model_dump_json(exclude_none=True) for side, text in said.items()}
        kept = [
            {"item_id": name, "item_hash": digest, "answers_id": f"answers-{name}", **outputs}
            for name, digest in golden.accepted(workspace).items()
        ]
        table = golden_score.pa.Table.from_pylist(kept, golden.store.ANSWERS)
        golden_score.answered(workspace, Call({"run": "run-x", "version": version}, table, "Lea", NOW))


def test_two_answers_are_scored_by_keyboard(make_server: Callable[..., Server], visit: Callable[..., Page]) -> None:
    server = make_server(prepare)
    page = visit(server, "/golden", role="reviewer")
    expect(page.get_by_text("Rubric item 1 of 2")).to_be_visible()
    expect(page.get_by_text("0 of 3 items scored by you")).to_be_visible()
    assert page.title() != "hacked"
    twice(page, "4")  # an accident: the second counts for no rubric item that has not been seen
    expect(page.get_by_text("Rubric item 2 of 2")).to_be_visible()
    page.keyboard.press("Backspace")
    expect(page.get_by_text("Rubric item 1 of 2")).to_be_visible()
    page.keyboard.press("1")
    expect(page.get_by_text("Rubric item 2 of 2")).to_be_visible()
    page.keyboard.press("5")
    expect(page.get_by_text("1 of 3 items scored by you")).to_be_visible()
    expect(page.get_by_text("Rubric item 1 of 2")).to_be_visible()
    lead = visit(server, "/golden", role="lead")
    lead.get_by_text("Drafts (1)").first.click()
    expect(lead.get_by_text("Draft 1 of 1")).to_be_visible()
    lead.get_by_role("button", name="Accept").click()
    expect(lead.get_by_text("is accepted")).to_be_visible()
    lead.get_by_text("Items", exact=True).click()
    expect(lead.get_by_text("no frozen set is exactly these")).to_be_visible()
    server.stop()
    with closing(open_workspace(settings.load(server.db))) as workspace:
        scores = golden.store.scores(workspace.database.cursor())
        assert {(each.rubric, each.old, each.new) for each in scores} == {(1, True, True), (2, None, None)}
        count = workspace.database.cursor().execute("SELECT count(*) FROM golden_score").fetchone()
        assert count == (3,)
        assert len(golden.accepted(workspace)) == 4
