"""Home says where a person stands and what is next, in every state of a database and for every role."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from review.services import alerts, flag, gate, ingest, label, rounds, watch
from review.services.desk import LocalDesk
from review.services.sample import SampleSpec, sample
from review.services.workspace import Workspace
from tests import adversarial, gating, watching
from tests.app.conftest import RunPage, verbatim
from tests.conftest import NOW
from tests.traffic import Traffic, add_traces


def texts(page: AppTest) -> str:
    return "\n".join([*(each.value for each in [*page.text, *page.caption, *page.subheader]), *verbatim(page)])


def fill(workspace: Workspace, folder: Path, pairs: int = 12) -> None:
    def pair(number: int) -> dict[str, Any]:
        return {
            "pair_id": f"p{number}",
            "task": "refunds",
            "messages": [{"role": "user", "content": f"Where is parcel {number}?"}],
            "old": {"model": "one", "content": "It may come on Monday."},
            "new": {"model": "two", "content": f"It comes on Monday, number {number}."},
        }

    file = folder / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(pair(number)) for number in range(pairs)))
    ingest.import_pairs(workspace, [file], now=NOW)


def answer_all(workspace: Workspace, round_id: str) -> None:
    """Ben labels a whole round."""
    while cards := label.queue(workspace, "Ben", round_id, 5, NOW):
        label.submit(
            workspace,
            "Ben",
            [
                label.Answers(
                    label_id=f"label-{card.card_id}",
                    card_id=card.card_id,
                    better="same",
                    error_left="none",
                    error_right="none",
                    calibration_left="right",
                    calibration_right="right",
                    tone="same",
                )
                for card in cards
            ],
            NOW,
        )


def test_an_empty_database_says_how_to_begin(run_page: RunPage) -> None:
    assert "review import pairs pairs.jsonl" in texts(run_page("home.py", name="Mara", role="lead"))


def test_traces_without_pairs_lead_to_the_pipeline(workspace: Workspace, run_page: RunPage) -> None:
    add_traces(workspace, [Traffic(3)])
    shown = texts(run_page("home.py", name="Mara", role="lead"))
    assert "3 traces are here and no pairs yet" in shown
    assert "review pipeline" in shown


def test_an_audit_without_logged_answers_says_so(workspace: Workspace, run_page: RunPage) -> None:
    add_traces(workspace, [Traffic(30)])
    with workspace.database.transaction() as cursor:
        cursor.execute("UPDATE trace SET response = NULL")
    assert "No audit is drawn yet" in texts(run_page("audit.py", name="Mara", role="lead"))
    sample(LocalDesk(workspace, "lead"), SampleSpec(size=5, seed=1, audit_size=12))
    assert "Nothing to read" in texts(run_page("audit.py", name="Mara", role="lead"))


def test_a_lead_without_a_round_is_sent_to_draw_one(workspace: Workspace, run_page: RunPage, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    page = run_page("home.py", name="Mara", role="lead")
    assert "No round is drawn yet" in texts(page)
    assert {metric.label: metric.value for metric in page.metric}["Pairs"] == "12"


def test_a_reviewer_sees_what_waits_and_then_that_nothing_does(
    workspace: Workspace, run_page: RunPage, tmp_path: Path
) -> None:
    fill(workspace, tmp_path)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=5, seed=1, repeat=0, name="June"), "Mara", NOW)
    assert "June: 5 pairs wait for you." in texts(run_page("home.py", name="Ben", role="reviewer"))
    answer_all(workspace, drawn.round_id)
    page = texts(run_page("home.py", name="Ben", role="reviewer"))
    assert "Nothing waits for you" in page
    assert "Ben labelled 5 pairs" in page


def test_a_reported_failure_waits_for_a_second_person_only(
    workspace: Workspace, run_page: RunPage, tmp_path: Path
) -> None:
    fill(workspace, tmp_path)
    failure = flag.Report("report-0001", "p1", "new", "invented_fact", "Say that it is not known.")
    flag.report(workspace, failure, "Ben", NOW)
    assert "wait" in texts(run_page("home.py", name="Chloe", role="support"))
    assert "second person" in texts(run_page("home.py", name="Chloe", role="support"))
    assert "second person" not in texts(run_page("home.py", name="Ben", role="support"))


def test_a_lead_is_led_from_a_run_to_the_gate_and_its_verdict(workspace: Workspace, run_page: RunPage) -> None:
    run = gating.begin(workspace, "**awq**")
    adversarial.add_pairs(workspace, "p1")
    assert r"Run 1, **awq**, has no evidence yet." in texts(run_page("home.py"))
    gating.add(workspace, run, "benchmark", "mmlu", gating.outcomes(gating.spread(300, 60, 10)))
    assert "has evidence and no verdict yet" in texts(run_page("home.py"))
    gate.gate(workspace, run, None, "ada", NOW + timedelta(hours=1))
    assert "the gate says regression" in texts(run_page("home.py"))
    assert "the gate says" not in texts(run_page("home.py", role="reviewer"))


def test_a_lead_whose_round_is_labelled_is_led_to_a_run(
    workspace: Workspace, run_page: RunPage, tmp_path: Path
) -> None:
    fill(workspace, tmp_path)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=5, seed=1, repeat=0), "Mara", NOW)
    assert "A round is labelled" not in texts(run_page("home.py"))
    answer_all(workspace, drawn.round_id)
    shown = texts(run_page("home.py"))
    assert "A round is labelled. A run records" in shown
    gating.begin(workspace)
    assert "A round is labelled. A run records" not in texts(run_page("home.py"))


def test_a_lead_is_led_to_an_open_alert_until_somebody_looks_after_it(workspace: Workspace, run_page: RunPage) -> None:
    watching.add_pairs(workspace, 300, days=5)
    watching.add_pairs(workspace, 200, prefix="d", start=watching.START + timedelta(days=5), days=3, lost=0.5)
    desk = LocalDesk(workspace, "tester")
    watching.quick_plan(desk)
    assert watch.once(desk).alerts == 1
    assert "1 drift alert is open. The newest" in texts(run_page("home.py"))
    assert "drift alert" not in texts(run_page("home.py", role="reviewer"))
    now = datetime.now(UTC)
    alerts.acknowledge(workspace, alerts.alerts(workspace, now)[0].alert_id, "", "Mara", now)
    assert "drift alert" not in texts(run_page("home.py"))


def test_a_name_is_shown_as_text(run_page: RunPage) -> None:
    page = run_page("home.py", name="**Ben** :red[x]", role="lead")
    assert page.title[0].value == r"Hello \*\*Ben\*\* \:red\[x\]"
