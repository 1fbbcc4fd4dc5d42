"""The gate: every part of the contract three-valued, looks that are counted, and what nobody can get past it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from review import settings
from review.domain.contract import AdversarialTerms, Terms
from review.services import contracts, gate, gate_report, rounds
from review.services.desk import Call
from review.services.gate_report import Document
from review.services.workspace import Workspace, open_workspace
from review.store.runs import RunRow
from tests import gating
from tests.conftest import NOW, ROOT

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def run(workspace: Workspace) -> RunRow:
    return gating.begin(workspace)


def judged(workspace: Workspace, run: RunRow, terms: Terms | None = None) -> Document:
    return gate.gate(workspace, run, terms, "ada", LATER).document


def part(document: Document, name: str) -> dict[str, Any]:
    found = [each for each in document["parts"] if each["id"] == name]
    assert len(found) == 1, [each["id"] for each in document["parts"]]
    return found[0]


NO_TRAFFIC = Terms(requires=())


def test_good_labels_hold_every_part(workspace: Workspace, run: RunRow, tmp_path: Path) -> None:
    gating.label_traffic(workspace, tmp_path, run, gating.GOOD)
    document = judged(workspace, run)
    assert {each["id"]: each["verdict"] for each in document["parts"]} == dict.fromkeys(
        ["tolerance", "failure_modes", "direction", "tone", "calibration", "weighted_score"], "parity"
    )
    assert document["verdict"] == "parity"
    assert document["line"].startswith("PARITY: run 1 (awq), awq against base")
    tolerance = part(document, "tolerance")
    assert [row["title"] for row in tolerance["rows"]] == ["overall", "t0", "t1"]
    assert tolerance["bound"] == -0.015
    assert tolerance["estimate"]["low"] > -0.015


def test_as_many_errors_as_before_that_became_confident_fail(workspace: Workspace, run: RunRow, tmp_path: Path) -> None:
    gating.label_traffic(workspace, tmp_path, run, gating.SWAPPED, identical=1000)
    document = judged(workspace, run)
    assert part(document, "tolerance")["verdict"] == "parity"
    assert part(document, "weighted_score")["estimate"]["value"] == 0
    assert part(document, "direction")["verdict"] == "regression"
    assert part(document, "direction")["why"].startswith("Errors became more confident")
    assert document["verdict"] == "regression"


def test_a_run_without_traffic_or_labels_is_never_green(workspace: Workspace, run: RunRow, tmp_path: Path) -> None:
    document = judged(workspace, run)
    assert document["verdict"] == "inconclusive"
    assert "requires replay evidence" in part(document, "tolerance")["why"]
    gating.label_traffic(workspace, tmp_path, run, [("none", "none", 0)], identical=50)
    document = judged(workspace, run)
    assert document["look"] is None
    assert {each["verdict"] for each in document["parts"] if each["id"] != "weighted_score"} == {"inconclusive"}


def test_nothing_at_all_is_inconclusive_even_where_nothing_is_required(workspace: Workspace, run: RunRow) -> None:
    assert judged(workspace, run, NO_TRAFFIC)["verdict"] == "inconclusive"


@pytest.mark.parametrize(
    ("same", "lost", "won", "verdict"),
    [(2000, 20, 20, "parity"), (300, 60, 10, "regression"), (200, 5, 5, "inconclusive")],
)
def test_a_benchmark_is_held_to_its_tolerance(
    workspace: Workspace, run: RunRow, same: int, lost: int, won: int, verdict: str
) -> None:
    gating.add(workspace, run, "benchmark", "mmlu", gating.outcomes(gating.spread(same, lost, won)))
    found = part(judged(workspace, run, NO_TRAFFIC), "benchmark")
    assert found["verdict"] == verdict
    assert (found["missing"] is not None) == (verdict == "inconclusive")


def test_the_tolerance_of_a_benchmark_is_its_own_and_harm_is_told_by_name(workspace: Workspace, run: RunRow) -> None:
    for name in ("mmlu", "gsm8k"):
        gating.add(workspace, run, "benchmark", name, gating.outcomes(gating.spread(900, 60, 20)))
    terms = Terms(requires=(), task_tolerance={"mmlu": 0.2})
    found = part(judged(workspace, run, terms), "benchmark")
    assert {row["title"]: row["verdict"] for row in found["rows"]} == {"mmlu": "parity", "gsm8k": "regression"}
    assert "gsm8k" in found["why"]


def test_golden_items_count_once_however_many_rubric_items_they_have(workspace: Workspace, run: RunRow) -> None:
    items = [
        (f"g{at}", f"rubric {item}", 1.0, 0.0 if at < 40 and item == 0 else 1.0)
        for at in range(80)
        for item in range(4)
    ]
    table = gating.outcomes(
        [(old, new) for _, _, old, new in items],
        example_id=[each[0] for each in items],
        metric=[each[1] for each in items],
        prompt_id=[each[0] for each in items],
    )
    gating.add(workspace, run, "golden", "v1", table)
    found = part(judged(workspace, run, NO_TRAFFIC), "golden")
    assert found["estimate"]["value"] == pytest.approx(-0.125)
    assert found["estimate"]["n"] == 80
    assert found["verdict"] == "regression"


def test_a_slice_fails_by_shown_harm_and_must_hold_only_where_the_contract_names_it(
    workspace: Workspace, run: RunRow
) -> None:
    few = gating.outcomes(gating.spread(20, 1, 1), prompt_tokens=[40_000] * 22)
    gating.add(workspace, run, "benchmark", "long", few)
    document = judged(workspace, run, NO_TRAFFIC)
    unnamed = part(document, "long_context")
    assert (unnamed["verdict"], unnamed["proven"]) == ("parity", False)
    assert all(each["proven"] for each in document["parts"] if each["id"] != "long_context")
    (said,) = [each for each in gate_report.lines(document) if "Long context: " in each]
    assert said.startswith("  -   Long context: No harm is shown")
    assert ":white_circle: no harm shown" in gate_report.markdown(document)
    named = part(judged(workspace, run, Terms(requires=(), slices={"long_context": 0.03})), "long_context")
    assert named["verdict"] == "inconclusive"
    assert named["missing"] > 100


def test_chains_that_break_earlier_are_a_regression(workspace: Workspace, run: RunRow) -> None:
    size = 120
    steps = {"steps": [4] * size, "old_steps": [4] * size, "new_steps": [4] * 60 + [2] * 60}
    columns = {name: gating.pa.array(values, gating.pa.int32()) for name, values in steps.items()}
    cut = {"old_cut": [False] * size, "new_cut": [False] * 60 + [True] * 60}
    table = gating.outcomes([(1.0, 1.0)] * size, **columns, **cut)
    gating.add(workspace, run, "replay", "chains", table)
    found = part(judged(workspace, run, NO_TRAFFIC), "tool_chains")
    assert found["verdict"] == "regression"
    assert [row["estimate"]["value"] for row in found["rows"]] == [-0.5, -0.25, -0.5]


# The adversarial set.


def on_set(workspace: Workspace, passing: int, failing: int, **more: Any) -> tuple[RunRow, list[str]]:
    entries = gating.confirmed(workspace, passing + failing, NOW - timedelta(days=1))
    run = gating.begin(workspace)
    news = {entry: ([0.0] * 3, [1.0 if at < passing else 0.0] * 3) for at, entry in enumerate(entries)}
    gating.replay_set(workspace, run, news, **more)
    return run, entries


@pytest.mark.parametrize(
    ("passing", "failing", "verdict"), [(24, 0, "parity"), (4, 12, "regression"), (12, 0, "inconclusive")]
)
def test_the_pass_rate_is_held_to_the_floor(workspace: Workspace, passing: int, failing: int, verdict: str) -> None:
    run, _ = on_set(workspace, passing, failing)
    document = judged(workspace, run, NO_TRAFFIC)
    found = part(document, "adversarial")
    assert found["verdict"] == verdict
    assert found["bound"] == 0.85
    assert (found["missing"] is not None) == (verdict == "inconclusive")
    assert document["adversarial"]["chain"]["ok"] is True
    # What old failed favours new: the score alone is far above 0 in every case.
    assert part(document, "weighted_score")["estimate"]["value"] > 0.2


def test_entries_confirmed_after_the_run_began_and_entries_without_outcome_do_not_pass_for_tested(
    workspace: Workspace,
) -> None:
    run, _ = on_set(workspace, 20, 0)
    assert part(judged(workspace, run, NO_TRAFFIC), "adversarial")["verdict"] == "parity"
    gating.confirmed(workspace, 2, NOW + timedelta(minutes=5), failed="old")
    document = judged(workspace, run, NO_TRAFFIC)
    assert document["adversarial"]["entries"] == 20
    assert document["adversarial"]["later"] == 2
    after = gating.begin(workspace, "gptq", LATER)
    waiting = part(judged(workspace, after, NO_TRAFFIC), "adversarial")
    assert waiting["verdict"] == "inconclusive"
    assert "22 confirmed entries wait" in waiting["why"]


def test_an_entry_that_passed_before_and_fails_now_is_listed(workspace: Workspace) -> None:
    _, entries = on_set(workspace, 20, 0)
    later = gating.begin(workspace, "gptq", LATER)
    news = {entry: ([0.0] * 3, [0.0 if at == 7 else 1.0] * 3) for at, entry in enumerate(entries)}
    gating.replay_set(workspace, later, news)
    document = judged(workspace, later, NO_TRAFFIC)
    assert document["adversarial"]["lost"] == [entries[7]]
    assert entries[7] in part(document, "adversarial")["why"]


def test_a_judge_whose_errors_nobody_knows_gives_no_pass_rate(workspace: Workspace) -> None:
    run, _ = on_set(workspace, 6, 0, by="judge llama")
    document = judged(workspace, run, NO_TRAFFIC)
    assert part(document, "adversarial")["verdict"] == "inconclusive"
    assert part(document, "judge_agreement")["verdict"] == "inconclusive"
    assert "nobody has checked" in part(document, "judge_agreement")["why"]


def test_a_judge_that_is_not_shown_to_agree_makes_nothing_green(workspace: Workspace, run: RunRow) -> None:
    table = gating.outcomes(gating.spread(2000, 20, 20), decided_by=["judge llama"] * 2040)
    gating.add(workspace, run, "golden", "v1", table)
    found = part(judged(workspace, run, NO_TRAFFIC), "golden")
    assert found["verdict"] == "inconclusive"
    assert found["why"].startswith("The judge is not shown to agree with people")


def test_a_set_that_shrank_is_not_green(workspace: Workspace) -> None:
    run, _ = on_set(workspace, 20, 0)
    before = gate._gather(workspace, run, NO_TRAFFIC)  # pyright: ignore[reportPrivateUsage]  # a smaller set cannot be made: the database refuses
    from review.services import gate_adversarial

    shrunk = gate_adversarial.judge(workspace, run, True, NO_TRAFFIC, size_before=99)
    assert before.size_before == 0
    assert shrunk.part is not None
    assert shrunk.part.verdict == "inconclusive"
    assert "had 99 at the last gate" in shrunk.part.why


# Looks.


def test_nothing_new_is_the_same_verdict_and_no_further_look(workspace: Workspace, run: RunRow, tmp_path: Path) -> None:
    gating.label_traffic(workspace, tmp_path, run, gating.GOOD)
    first = gate.gate(workspace, run, None, "ada", LATER)
    second = gate.gate(workspace, run, None, "ben", LATER + timedelta(days=1))
    assert (first.new, second.new) == (True, False)
    assert second.document == first.document == gate.last(workspace, run.run_id)
    assert len(gate.history(workspace, run.run_id)) == 1


def test_new_evidence_beside_the_same_labels_is_the_same_look(
    workspace: Workspace, run: RunRow, tmp_path: Path
) -> None:
    gating.label_traffic(workspace, tmp_path, run, gating.GOOD)
    first = judged(workspace, run)
    gating.add(workspace, run, "benchmark", "mmlu", gating.outcomes(gating.spread(2000, 20, 20)))
    second = judged(workspace, run)
    assert (first["look"], second["look"], second["number"]) == (1, 1, 2)
    assert first["alpha"] == second["alpha"]
    assert part(second, "benchmark")["verdict"] == "parity"


def test_alpha_is_spent_as_labels_grow_and_then_the_last_look_stands(
    workspace: Workspace, run: RunRow, tmp_path: Path
) -> None:
    terms = Terms(planned_pairs=300, looks=2, requires=())
    gating.label_traffic(workspace, tmp_path, run, [("none", "none", 150)], identical=300)
    first = judged(workspace, run, terms)
    assert first["alpha"] < 0.01
    for number in range(5):
        gating.relabel(workspace, tmp_path, number, "none", "cautious", "Ben")
    second = judged(workspace, run, terms)
    assert second["look"] == 1
    assert any(each.startswith("The labels were not looked at anew") for each in second["notes"])
    assert part(second, "tolerance")["estimate"] == part(first, "tolerance")["estimate"]


def test_verdicts_cannot_be_changed(workspace: Workspace, run: RunRow) -> None:
    judged(workspace, run)
    for statement in ("DELETE FROM gate", "UPDATE gate SET verdict = 'parity'"):
        with pytest.raises(duckdb.Error, match="append-only"):
            workspace.database.cursor().execute(statement)


def test_other_terms_after_a_look_are_told(workspace: Workspace, run: RunRow, tmp_path: Path) -> None:
    gating.label_traffic(workspace, tmp_path, run, gating.SWAPPED, identical=1000)
    judged(workspace, run)
    wide = judged(workspace, run, Terms(direction_margin=0.5))
    assert any("under other terms" in each for each in wide["notes"])


# Contracts.


def sign(workspace: Workspace, terms: Terms, name: str) -> dict[str, Any]:
    call = Call({"terms": terms.model_dump(mode="json"), "name": name}, None, "root", NOW)
    return contracts.sign(workspace, call).document


def test_the_newest_signed_contract_is_in_force_and_named(workspace: Workspace, run: RunRow) -> None:
    assert contracts.in_force(workspace) == Terms()
    sign(workspace, Terms(), "Ana")
    assert sign(workspace, Terms(), "Ben")["version"] == 1
    strict = sign(workspace, Terms(adversarial=AdversarialTerms(floor=0.9)), "Ana")
    assert strict["version"] == 2
    assert strict["changes"] == [{"key": "terms.adversarial.floor", "before": 0.85, "after": 0.9}]
    assert contracts.in_force(workspace).adversarial.floor == 0.9
    contract = judged(workspace, run)["contract"]
    assert (contract["version"], [each["name"] for each in contract["signed"]]) == (2, ["Ana"])
    with pytest.raises(duckdb.Error, match="append-only"):
        workspace.database.cursor().execute("UPDATE contract_version SET content = '{}'")


@pytest.fixture
def other_rubric(tmp_path: Path) -> settings.Settings:
    shipped = yaml.safe_load((ROOT / "data" / "eval_config.yaml").read_text(encoding="utf-8"))
    shipped["eval_config"]["rubric"]["tone"] = "Is it kind?"
    config = tmp_path / "other.yaml"
    config.write_text(yaml.safe_dump(shipped))
    return settings.load(tmp_path / "review.duckdb", {"REVIEW_CONFIG": str(config)})


def test_another_rubric_is_another_contract(workspace: Workspace, other_rubric: settings.Settings) -> None:
    sign(workspace, Terms(), "Ana")
    workspace.close()
    again = open_workspace(other_rubric)
    held = contracts.held(again)
    assert held.version is None
    assert "rubric.tone" in held.notes[0]
    again.close()


def test_rounds_that_ended_let_the_last_alpha_be_used(workspace: Workspace, run: RunRow, tmp_path: Path) -> None:
    gating.label_traffic(workspace, tmp_path, run, gating.GOOD)
    assert rounds.list_rounds(workspace) == []
    assert judged(workspace, run)["alpha"] == pytest.approx(0.05)
