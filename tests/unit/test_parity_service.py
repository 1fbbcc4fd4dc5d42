"""The parity verdict on imported and drawn labels: each part, what counts, and what is missing."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from review.domain.card import Answers
from review.errors import NotFound
from review.services import contracts, rounds
from review.services import label as serving
from review.services.desk import Call
from review.services.outcomes import WORST_CASE
from review.services.parity import parity
from review.services.parity_report import OVERALL, ParityReport, TaskParity
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable, Result
from tests.conftest import NOW
from tests.unit.parity_cases import bring, label, moved, pair

SWAPPED = [("none", "none", 80), ("cautious", "none", 10), ("none", "confident", 10)]


def of(report: ParityReport, task: str = OVERALL) -> TaskParity:
    return next(row for row in report.tolerance if row.task == task)


def sure(result: Result) -> Estimate:
    assert isinstance(result, Estimate)
    return result


def with_contract(workspace: Workspace, **terms: object) -> Workspace:
    config = workspace.settings.config
    contract = config.contract.model_copy(update=terms)
    settings = workspace.settings.model_copy(update={"config": config.model_copy(update={"contract": contract})})
    return Workspace(**{**vars(workspace), "settings": settings})


@pytest.mark.parametrize("moves", [SWAPPED, [("cautious", "confident", 20), ("none", "none", 80)]])
def test_an_equal_score_with_swapped_directions_is_a_regression(
    workspace: Workspace, tmp_path: Path, moves: list[tuple[str, str, int]]
) -> None:
    bring(workspace, tmp_path, *moved(moves))
    report = parity(workspace)
    assert sure(of(report).difference).value == 0
    assert report.direction.direction == "towards_confident"
    assert (report.direction.verdict, report.verdict) == ("regression", "regression")


def test_equal_stacks_in_a_tenth_of_traffic_are_at_parity(workspace: Workspace, tmp_path: Path) -> None:
    moves = [("none", "none", 250), ("cautious", "none", 12), ("none", "cautious", 12)]
    bring(workspace, tmp_path, *moved(moves, identical=2500))
    report = parity(workspace)
    assert report.part_verdicts() == {"tolerance": "parity", "failure_modes": "parity", "direction": "parity"}
    assert report.verdict == "parity"
    assert of(report).missing is None


def test_identical_outputs_contribute_zero(workspace: Workspace, tmp_path: Path) -> None:
    pairs, labels = moved(SWAPPED, identical=900)
    bring(workspace, tmp_path, pairs, labels)
    row = of(parity(workspace))
    assert row.shares.identical == pytest.approx(0.9)
    # Ten moves either way among 100: ±7.7 points there, a tenth of it in all traffic.
    assert sure(row.difference).high == pytest.approx(0.0077, abs=0.0004)


def test_a_worse_stack_is_a_regression_overall_and_in_its_task(workspace: Workspace, tmp_path: Path) -> None:
    pairs, labels = moved([("none", "none", 60)], tasks=2)
    for number in range(60, 100):
        pairs.append(pair(number, task="bad"))
        labels.append(label(number, "none", "other"))
    bring(workspace, tmp_path, pairs, labels)
    report = parity(workspace)
    assert of(report).verdict == of(report, "bad").verdict == "regression"
    assert of(report, "t0").verdict == "inconclusive"
    assert sure(of(report, "bad").difference).value == -1
    needed = of(report, "t0").missing
    assert needed is not None
    assert isinstance(needed.labels, int)
    assert needed.labels > 0


def test_a_category_on_new_only_is_never_parity_and_its_pairs_are_listed(workspace: Workspace, tmp_path: Path) -> None:
    pairs, labels = moved([("none", "none", 399), ("none", "other", 1)], identical=100_00)
    bring(workspace, tmp_path, pairs, labels)
    part = parity(workspace).failure_modes
    assert [(each.category, each.verdict, each.new_only, each.pairs) for each in part.categories] == [
        ("other", "inconclusive", True, ("p00399",))
    ]
    assert part.verdict == "inconclusive"
    assert isinstance(part.missed, float)
    assert part.missed < part.ceiling


def test_a_grown_category_is_a_regression_and_a_shrunk_one_is_not(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, *moved([("none", "confident", 20), ("cautious", "none", 20), ("none", "none", 60)]))
    found = {each.category: each for each in parity(workspace).failure_modes.categories}
    assert found["invented_fact"].verdict == "regression"
    assert found["refusal"].verdict == "parity"
    assert found["invented_fact"].p_adjusted >= found["invented_fact"].p


def test_known_correctness_stands_instead_of_labels(workspace: Workspace, tmp_path: Path) -> None:
    pairs = [pair(n, old={"correct": True}, new={"correct": n % 4 > 0}) for n in range(80)]
    bring(workspace, tmp_path, pairs, [label(0, "none", "none"), label(4, "none", "none")])
    row = of(parity(workspace))
    assert row.shares.known == 1
    assert (sure(row.difference).value, row.verdict, row.pairs) == (-0.25, "regression", 80)


def test_judged_ties_without_an_audit_widen_by_all_they_could_hold(workspace: Workspace, tmp_path: Path) -> None:
    pairs, labels = moved([("none", "none", 90)])
    ties = [pair(n) for n in range(90, 100)]
    verdicts = [{"pair_id": each["pair_id"], "judge": "j", "vote": 1, "winner": "tie"} for each in ties]
    bring(workspace, tmp_path, [*pairs, *ties], labels, verdicts)
    found = sure(of(parity(workspace)).difference)
    assert found.exclusions[WORST_CASE] == 10
    assert found.low < -0.1 < 0.1 < found.high


def test_tolerances_of_tasks_override_the_default(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, *moved([("none", "none", 100)], tasks=2))
    report = parity(with_contract(workspace, task_tolerance={"t1": 0.2}))
    assert {row.task: (row.tolerance, row.verdict) for row in report.tolerance} == {
        OVERALL: (0.015, "inconclusive"),
        "t0": (0.015, "inconclusive"),
        "t1": (0.2, "parity"),
    }


def test_what_people_could_not_tell_is_counted_and_left_out(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, *moved([("none", "none", 30), ("cannot_tell", "none", 3)]))
    report = parity(workspace)
    found = sure(of(report).difference)
    assert found.n == 30
    assert found.exclusions["labels that could not tell"] == 3
    assert report.direction.cannot_tell == 3


def test_several_labels_of_a_pair_weigh_as_much_as_one(workspace: Workspace, tmp_path: Path) -> None:
    pairs, labels = moved([("none", "other", 20), ("none", "none", 60)])
    crowd = [label(n, "none", "other", reviewer) for n in range(20) for reviewer in ("Ben", "Cid")]
    bring(workspace, tmp_path, pairs, [*labels, *crowd])
    assert sure(of(parity(workspace)).difference).value == pytest.approx(-0.25)


def test_a_judge_of_all_pairs_narrows_and_one_of_the_labelled_pairs_is_not_used(
    workspace: Workspace, tmp_path: Path
) -> None:
    pairs = [pair(n) for n in range(600)]
    right = {n: n % 5 != 0 for n in range(600)}
    labels = [label(n, "other" if right[n] else "none", "none" if right[n] else "other") for n in range(60)]
    told = [
        {"pair_id": f"p{n:05}", "judge": "good", "vote": 1, "winner": "new" if right[n] else "old"} for n in range(600)
    ]
    some = [{**verdict, "judge": "partial"} for verdict in told[:60]]
    bring(workspace, tmp_path, pairs, labels, [*told, *some])
    row = of(parity(workspace))
    plain, helped = sure(row.labels_only), sure(row.difference)
    assert row.judge == "good"
    assert helped.high - helped.low < 0.7 * (plain.high - plain.low)
    assert of(parity(with_contract(workspace, judge="partial"))).judge is None


def test_repeats_surplus_skips_and_adjudications_do_not_count(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, [pair(n) for n in range(40)])
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=40, seed=1, repeat=0.2), "lead", NOW).round_id
    now, labelled = NOW, 0
    while cards := serving.queue(workspace, "Ana", drawn, 1, now):
        now += timedelta(minutes=1)
        card = cards[0]
        skip = labelled == 0 and card.occurrence == 0
        said = {"label_id": f"l-{card.card_id}", "card_id": card.card_id, "kind": "skip" if skip else "label"}
        if not skip:
            error = "none" if card.occurrence == 0 else "other"
            said |= {"better": "same", "error_left": error, "error_right": error}
        serving.submit(workspace, "Ana", [Answers.model_validate(said)], now)
        labelled += 1
    report = parity(workspace, round_id=drawn)
    assert labelled > 40
    assert report.labels == report.labelled == 39
    assert report.failure_modes.categories == ()
    assert report.notes == ()


def test_two_rounds_together_speak_for_the_same_pairs(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, [pair(n) for n in range(100)])
    now = NOW
    for seed in (1, 2):
        drawn = rounds.draw(workspace, rounds.DrawSpec(size=30, seed=seed, repeat=0.0), "lead", NOW).round_id
        while cards := serving.queue(workspace, "Ana", drawn, 5, now):
            now += timedelta(minutes=1)
            answers = [
                Answers(
                    label_id=f"l-{c.card_id}", card_id=c.card_id, better="same", error_left="none", error_right="none"
                )
                for c in cards
            ]
            serving.submit(workspace, "Ana", answers, now)
    report = parity(workspace)
    assert 30 < report.labelled <= 60
    assert report.notes == ()
    assert parity(workspace, round_id=drawn).labelled == 30


def test_nothing_at_all_is_inconclusive_with_reasons(workspace: Workspace) -> None:
    report = parity(workspace)
    assert report.verdict == "inconclusive"
    assert isinstance(of(report).difference, NotEstimable)
    assert isinstance(report.direction.balance, NotEstimable)
    json.dumps(report.to_json(), allow_nan=False)
    with pytest.raises(NotFound, match="nope"):
        parity(workspace, round_id="nope")


def test_the_report_is_json_without_nan_and_names_the_assumption(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, *moved(SWAPPED, tasks=3, identical=5))
    report = parity(workspace)
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert set(document["parts"]) == {"tolerance", "failure_modes", "direction"}
    assert "random sample" in document["notes"][0]
    assert document["next_round"] is None  # every pair that can differ is labelled


def test_parity_goes_by_the_contract_that_was_signed(workspace: Workspace) -> None:
    assert contracts.agreed(workspace).digest == workspace.settings.config.contract.digest
    terms = contracts.configured(workspace.settings.config).model_copy(update={"tolerance": 0.04})
    contracts.sign(workspace, Call({"terms": terms.model_dump(), "name": "Ana"}, None, "ana", NOW))
    assert parity(workspace).contract.tolerance == 0.04
