"""The Gate page: what to do first, the ladder with its verdicts, and the button that uses a look."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from streamlit.testing.v1 import AppTest

from review.domain.contract import Terms
from review.domain.failure import Provenance
from review.services import contracts, flag, gate, loop
from review.services.desk import Call
from review.services.workspace import Workspace
from review.ui import gate_charts
from tests import gating
from tests.adversarial import add_pairs
from tests.app.conftest import RunPage, verbatim
from tests.conftest import NOW

HOSTILE = "**awq** <script>alert(1)</script>"


def said(page: AppTest) -> str:
    return "\n".join(str(each.value) for each in [*page.text, *page.caption, *page.subheader])


def test_without_a_run_the_page_says_what_to_do(run_page: RunPage) -> None:
    typed = "\n".join(verbatim(run_page("gate.py")))
    assert "review contract init" in typed
    assert "review gate --candidate" in typed


def test_the_button_gates_once_with_its_look_and_foreign_names_stay_text(
    workspace: Workspace, tmp_path: Path, run_page: RunPage
) -> None:
    call = Call({"terms": Terms().model_dump(mode="json"), "name": HOSTILE}, None, "root", NOW)
    contracts.sign(workspace, call)
    run = gating.begin(workspace, HOSTILE)
    gating.label_traffic(workspace, tmp_path, run, gating.SWAPPED, identical=400)
    page = run_page("gate.py")
    assert "Not gated yet" in said(page)
    assert "Uses look 1 of 3" in said(page)
    page.button[0].click().run()
    assert not page.exception
    document = gate.last(workspace, run.run_id)
    assert document is not None
    assert document["verdict"] == "regression"
    assert "Regression" in said(page)
    page.segmented_control[0].set_value("direction").run()
    assert "Errors became more confident" in said(page)
    assert "Nothing has changed since" in said(page)
    assert not page.button
    assert not any("<script>" in each.value or "**awq**" in each.value for each in (*page.markdown, *page.caption))


def test_a_step_of_the_ladder_opens(workspace: Workspace, run_page: RunPage) -> None:
    first = gating.begin(workspace, "awq")
    gating.add(workspace, first, "benchmark", "mmlu", gating.outcomes(gating.spread(300, 60, 10)))
    gate.gate(workspace, first, None, "ada", NOW + timedelta(hours=1))
    gating.begin(workspace, "kernel", NOW + timedelta(days=1))
    page = run_page("gate.py")
    assert "Not gated yet" in said(page)
    page.selectbox(key="gate_ladder_box").select("awq").run()
    assert not page.exception
    assert "worse than agreed in Benchmarks" in said(page)


def test_what_failed_at_the_gate_stands_in_the_adversarial_set_once(workspace: Workspace, run_page: RunPage) -> None:
    run = gating.begin(workspace, "awq")
    add_pairs(workspace, "p-lost")
    told = gating.outcomes([(1.0, 0.0), (1.0, 0.0), *gating.spread(300, 58, 10)])
    named = told.append_column("pair_id", [["p-lost"] + [None] * (told.num_rows - 1)])
    gating.add(workspace, run, "benchmark", "mmlu", named)
    gate.gate(workspace, run, None, "ada", NOW + timedelta(hours=1))
    page = run_page("gate.py")
    listed = page.dataframe[0].value
    assert listed["Adversarial set"].fillna("").tolist()[:2] == ["Into the set", ""]
    assert len(listed) == 60
    seen = Provenance("gate", run.run_id)
    for _ in range(2):
        loop.promote(workspace, "p-lost", "new", "other", seen, "Mara", NOW)
    page.run()
    assert page.dataframe[0].value["Adversarial set"].fillna("").tolist()[:2] == ["A-00001", ""]
    assert len(flag.entries(workspace)) == 1


def test_a_part_that_need_not_hold_is_not_shown_as_holding_what_it_does_not() -> None:
    passed = {"title": "Long context", "verdict": "parity", "proven": False}
    assert gate_charts.sign(passed) == gate_charts.UNPROVEN
    assert gate_charts.sign({**passed, "proven": True}) == "✓"
    assert gate_charts.sign({**passed, "verdict": "regression", "proven": True}) == "✕"


def test_only_leads_see_it(run_page: RunPage) -> None:
    assert "for the role lead" in run_page("gate.py", role="reviewer").info[0].value
