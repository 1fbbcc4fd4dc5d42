"""The Drift page: an empty state; an alert is read, drawn from, acknowledged, silenced; foreign names stay text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from review.domain.single import SingleAnswers
from review.services import alerts, audit, missed, rounds, watch
from review.services.desk import LocalDesk
from review.services.workspace import Workspace
from tests.app.conftest import RunPage, verbatim
from tests.traffic import add_clusters
from tests.watching import START, add_alone, add_pairs, quick_plan

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


def test_single_answers_their_alert_and_what_they_show_over_time(workspace: Workspace, run_page: RunPage) -> None:
    add_alone(workspace, 30, task="other", prefix="x", days=3, known=False)
    add_alone(workspace, 120, task=HOSTILE, prefix="o", served="old", days=4)
    add_alone(workspace, 60, task=HOSTILE, start=START + timedelta(days=5), days=3)
    add_alone(workspace, 60, task=HOSTILE, prefix="w", start=START + timedelta(days=8), days=3, wrong=0.9)
    assert watch.once(LocalDesk(workspace, "tester")).alerts == 1
    page = run_page("drift.py")
    assert not page.exception
    alert = alerts.alerts(workspace, datetime.now(UTC))[0]
    assert any("New passed" in each.value for each in page.text)
    assert any("single answers passed; an alert is due below" in each.value for each in page.text)
    titles = [each.value for each in page.markdown if each.value.startswith("**")]
    assert titles == ["**Passed**", "**Declined**", "**Words**", "**Sentence length**", "**Hedges**", "**Boosters**",
                      "**Apologies**"]  # fmt: skip
    marked = [*page.markdown, *page.subheader, *page.caption, *(box for box in page.expander)]
    assert not any("**bold** <script>" in (getattr(each, "value", None) or each.label) for each in marked)
    # A round takes pairs, and there are none: people read the answers themselves.
    assert not [each for each in page.button if each.key == f"draw_{alert.alert_id}"]
    page.button(key=f"audit_{alert.alert_id}").click().run()
    assert not page.exception
    (drawn,) = audit.audits(workspace)
    assert (drawn.alert, drawn.done) == (1, 0)
    assert 0 < drawn.wanted <= 60
    assert audit.draw_for_alert(workspace, alert.alert_id, 60, "ada", datetime.now(UTC)) == drawn.sample_id
    # What was drawn because something went wrong says nothing of the week's traffic.
    (card,) = audit.queue(workspace, "ada", drawn.sample_id, 1)
    said = SingleAnswers(
        label_id="label-00000001", card_id=card.card_id, error_left="other", calibration_left="right", tone="fair"
    )
    assert audit.submit(workspace, "ada", drawn.sample_id, [said], datetime.now(UTC))[0].status == "stored"
    assert audit.weeks(workspace) == []
    assert missed.report(workspace).read == 0
    page.selectbox(key="signs_task").set_value("other").run()
    assert not page.exception
    assert "**Passed**" not in [each.value for each in page.markdown]
