"""The Drift page: an empty state; an alert is read, drawn from, acknowledged, silenced; foreign names stay text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from review.services import alerts, rounds, watch
from review.services.desk import LocalDesk
from review.services.workspace import Workspace
from tests.app.conftest import RunPage, verbatim
from tests.traffic import add_clusters
from tests.watching import START, add_pairs, quick_plan

HOSTILE = "**bold** <script>alert(1)</script>"


def test_before_anything_is_watched_the_page_says_what_to_do(run_page: RunPage) -> None:
    page = run_page("drift.py")
    assert "review watch --once" in verbatim(page)[0]


def test_an_alert_is_read_drawn_from_silenced_and_acknowledged(workspace: Workspace, run_page: RunPage) -> None:
    add_clusters(workspace, ["Parcels"])
    add_pairs(workspace, 300, task=HOSTILE, days=5, clusters=("parcels",))
    add_pairs(workspace, 200, task=HOSTILE, prefix="d", start=START + timedelta(days=5), days=3, lost=0.5)
    desk = LocalDesk(workspace, "tester")
    quick_plan(desk, HOSTILE)
    assert watch.once(desk).alerts == 1
    page = run_page("drift.py")
    assert not page.exception
    alert = alerts.alerts(workspace, datetime.now(UTC))[0]
    assert any("New minus old is" in each.value for each in page.text)
    marked = [*page.markdown, *page.subheader, *page.caption, *(box for box in page.expander)]
    assert not any("**bold** <script>" in (getattr(each, "value", None) or each.label) for each in marked)
    page.button(key=f"draw_{alert.alert_id}").click().run()
    drawn = rounds.list_rounds(workspace)[0]
    assert drawn.size == 60
    assert drawn.name is not None
    assert drawn.name.startswith("Alert 1")
    ack = next(each for each in page.text_area if each.label == "What is done about it")
    ack.set_value("rolled back")
    next(each for each in page.button if each.label == "Acknowledge").click().run()
    after = alerts.alerts(workspace, datetime.now(UTC))[0]
    assert (after.state, after.comment) == ("acknowledged", "rolled back")
    next(each for each in page.button if each.label == "Silence this task").click().run()
    assert alerts.alerts(workspace, datetime.now(UTC))[0].silenced_until is not None
