"""The report of a run: the gate's verdict on top, its parts, its evidence; and what is missing."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from review.adapters import html
from review.domain.contract import Terms
from review.services import contracts, gate, report
from review.services.desk import Call
from review.services.report import Asked
from review.services.workspace import Workspace
from tests import gating
from tests.conftest import NOW
from tests.reporting import at, fits, read

LATER = NOW + timedelta(hours=1)


def made(workspace: Workspace, **asked: Any) -> dict[str, Any]:
    """The report, after its page was compared with it."""
    document = json.loads(report.rendered(report.of_workspace(workspace, "tester", Asked(**asked)), "json"))
    page = read(html.page(document))
    wrong = [
        each for each in page.shown if not fits(each, each.tick if each.pointer is None else at(document, each.pointer))
    ]
    assert wrong == []
    assert [text for text in page.bare if any(letter.isdigit() for letter in text)] == []
    assert html.markdown(document)
    return document


@pytest.fixture
def whole(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A run with labels, a benchmark, long prompts, chains and the adversarial set, under a signed contract."""
    call = Call({"terms": Terms().model_dump(mode="json"), "name": "Grace Hopper"}, None, "ada", NOW)
    contracts.sign(workspace, call)
    entries = gating.confirmed(workspace, 4, NOW - timedelta(days=2))
    run = gating.begin(workspace)
    gating.label_traffic(workspace, tmp_path, run, gating.SWAPPED, identical=500)
    right = gating.spread(90, 4, 6)
    lengths = {"prompt_tokens": [1000 * (each % 40) for each in range(100)]}
    gating.add(workspace, run, "benchmark", "gsm8k", gating.outcomes(right, **lengths))
    chains = {"steps": [3] * 100, "old_steps": [3] * 100, "new_steps": [1 if each < 9 else 3 for each in range(100)]}
    cut = {"old_cut": [False] * 100, "new_cut": [each < 5 for each in range(100)]}
    gating.add(workspace, run, "golden", "v1", gating.outcomes(right, **chains, **cut))
    gating.replay_set(
        workspace, run, {each: ([0.0, 1.0], [0.0 if at == 0 else 1.0] * 2) for at, each in enumerate(entries)}
    )
    return workspace


def test_the_gate_stands_on_top_with_every_part(whole: Workspace) -> None:
    run = gate.runs.get(whole, "awq")
    before = made(whole, run="awq")
    assert before["verdict"]["verdict"] is None
    assert before["gate"] is None
    gated = gate.gate(whole, run, None, "ada lovelace", LATER).document
    document = made(whole, run="awq")
    assert document["verdict"]["verdict"] == gated["verdict"] == "regression"
    assert {each["id"]: each["verdict"] for each in document["verdict"]["parts"]} == {
        each["id"]: each["verdict"] for each in gated["parts"]
    }
    assert document["verdict"]["newer"] is False
    assert document["contract"]["version"] == 1
    assert [each["name"] for each in document["contract"]["signed"]] == ["Grace Hopper"]
    for mine, said in zip(document["gate"]["parts"], gated["parts"], strict=True):
        assert mine["why"] == said["why"]
        assert mine["bound"] == said["bound"]
        if "value" in said["estimate"]:
            assert mine["estimate"]["value"] == pytest.approx(said["estimate"]["value"], rel=1e-8)
    assert len(gate.history(whole)) == 1, "the report itself reads nothing off"
    page = html.page(document)
    assert page.index("Regression") < page.index("What was compared")
    assert document["date"] >= LATER.isoformat()
    # Redacted, and with a benchmark that came in since.
    gating.add(whole, run, "benchmark", "more", gating.outcomes(gating.spread(10, 0, 0)))
    bare = made(whole, run="awq", redact=True)
    assert bare["verdict"]["newer"] is True
    assert "Since then the evidence has changed" in html.page(bare)
    for form in ("html", "markdown", "json"):
        text = report.rendered(bare, form)
        assert [name for name in ("Grace Hopper", "lovelace", '"ada"', ">ada<", ">Ana<", '"Ana"') if name in text] == []


def test_slices_parts_and_the_set_of_the_run_are_shown(whole: Workspace) -> None:
    document = made(whole, run="awq")
    assert {(each["evidence"], each["part"]) for each in document["evidence"]["parts"]} >= {
        ("benchmark", "gsm8k"),
        ("golden", "v1"),
    }
    assert [each["n"] for each in document["slices"]["long_context"]["buckets"]] != [0, 0, 0, 0]
    assert document["slices"]["tool_chains"]["chains"] == 100
    assert document["slices"]["tool_chains"]["difference"]["value"] == pytest.approx(-0.09)
    standing = document["adversarial"]["standing"]
    assert len(standing["entries"]) == 4
    assert sum(each["new_failed"] for each in standing["entries"]) >= 1
    assert document["adversarial"]["verified"] is True


def test_a_run_without_evidence_says_what_would_settle_it(workspace: Workspace) -> None:
    gating.begin(workspace)
    document = made(workspace, run="1")
    assert document["verdict"]["word"] == "Nothing to judge"
    assert document["slices"]["missing"]
    missing = {each["part"]: each["settle"] for each in document["open"]}
    assert "review run record" in missing["Benchmarks and golden set"]
    gate.gate(workspace, gate.runs.get(workspace, "awq"), None, "ada", LATER)
    document = made(workspace, run="awq")
    assert document["verdict"]["word"] == "Inconclusive"
