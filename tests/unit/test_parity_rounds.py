"""The parity verdict on rounds that were really drawn: the audit of judged ties, rounds together, early looks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from review.domain.card import Answers
from review.services import adjudicate, looks, rounds
from review.services import label as serving
from review.services.outcomes import WORST_CASE
from review.services.parity import parity
from review.services.workspace import Workspace
from review.stats.estimate import Estimate
from tests.conftest import NOW
from tests.unit.parity_cases import bring, label, moved, pair
from tests.unit.test_parity_service import of, sure, with_contract

Errors = Callable[[str], tuple[str, str]]  # of a pair's id: on old, on new


def tied(numbers: range) -> list[dict[str, object]]:
    return [{"pair_id": f"p{n:05}", "judge": "j", "vote": 1, "winner": "tie"} for n in numbers]


def answer(workspace: Workspace, who: str, round_id: str, errors: Errors) -> list[str]:
    """Label everything that is handed out; returns the pairs."""
    done: list[str] = []
    now = NOW
    while cards := serving.queue(workspace, who, round_id, 8, now):
        now += timedelta(minutes=1)
        answers: list[Answers] = []
        for card in cards:
            old, new = errors(card.pair_id)
            left, right = (old, new) if card.shown_first == "old" else (new, old)
            said = {"label_id": f"l-{card.card_id}", "card_id": card.card_id, "better": "same"}
            answers.append(Answers.model_validate({**said, "error_left": left, "error_right": right}))
        assert {each.status for each in serving.submit(workspace, who, answers, now)} == {"stored"}
        done += [card.pair_id for card in cards]
    return done


def drawn(workspace: Workspace, size: int, seed: int = 1, **spec: float | int) -> str:
    wanted = rounds.DrawSpec(size=size, seed=seed, **{"repeat": 0.0, **spec})  # pyright: ignore[reportArgumentType]
    return rounds.draw(workspace, wanted, "lead", NOW).round_id


def world(workspace: Workspace, folder: Path) -> None:
    """100 disagreements of two tasks, 100 judged ties, 200 identical pairs."""
    pairs = [pair(n, task="a" if n % 4 else "b") for n in range(200)]
    pairs += [pair(n, same=True, task="a") for n in range(200, 400)]
    bring(workspace, folder, pairs, verdicts=tied(range(100, 200)))


def test_an_audit_speaks_for_the_judged_ties(workspace: Workspace, tmp_path: Path) -> None:
    world(workspace, tmp_path)
    round_id = drawn(workspace, 60, audit=0.2)

    def errors(pair_id: str) -> tuple[str, str]:
        number = int(pair_id[1:])
        # New fails in every third tie that was audited, and old in every tenth disagreement.
        return (
            ("none", "other")
            if number >= 100 and number % 3 == 0
            else ("other" if number % 10 == 0 else "none", "none")
        )

    labelled = answer(workspace, "Ana", round_id, errors)
    values = {each: (errors(each)[1] == "none") * 1.0 - (errors(each)[0] == "none") for each in labelled}
    strata: dict[str, list[float]] = {}
    for each, value in values.items():
        number = int(each[1:])
        strata.setdefault("tie" if number >= 100 else "a" if number % 4 else "b", []).append(value)
    expected = sum({"tie": 100, "a": 75, "b": 25}[name] * float(np.mean(of_it)) for name, of_it in strata.items()) / 400
    row = of(parity(workspace))
    assert len(strata["tie"]) == 12
    assert sure(row.difference).value == pytest.approx(expected)
    assert WORST_CASE not in sure(row.difference).exclusions
    assert (row.shares.identical, row.shares.judged_tie, row.shares.disagreement) == (0.5, 0.25, 0.25)


def test_without_an_audit_the_ties_may_hold_anything(workspace: Workspace, tmp_path: Path) -> None:
    world(workspace, tmp_path)
    answer(workspace, "Ana", drawn(workspace, 60, audit=0.0), lambda _: ("none", "none"))
    report = parity(workspace)
    found = sure(of(report).difference)
    assert found.exclusions[WORST_CASE] == 100
    assert found.low < -0.25 < 0.25 < found.high
    # A balance moves two steps where a pair goes from one end to the other.
    balance = report.direction.balance
    assert isinstance(balance, Estimate)
    assert balance.low < -0.5 < 0.5 < balance.high
    assert report.verdict == "inconclusive"


def test_rounds_over_the_same_pairs_weigh_as_one(workspace: Workspace, tmp_path: Path) -> None:
    """Two rounds of 40 and 20 of 100: a pair that both drew counts once, and all stand for the same traffic."""
    bring(workspace, tmp_path, [pair(n) for n in range(100)])

    def errors(pair_id: str) -> tuple[str, str]:
        return "none", "other" if int(pair_id[1:]) % 4 == 0 else "none"

    first = answer(workspace, "Ana", drawn(workspace, 40, seed=1), errors)
    second = answer(workspace, "Ben", drawn(workspace, 20, seed=2), errors)
    labelled = {*first, *second}
    assert len(labelled) < 60
    report = parity(workspace)
    assert (report.labels, report.labelled) == (60, len(labelled))
    share = sum(errors(each)[1] == "other" for each in labelled) / len(labelled)
    assert sure(of(report).difference).value == pytest.approx(-share)


def test_an_adjudication_and_a_label_beyond_the_overlap_change_no_rate(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, [pair(n) for n in range(20)])
    round_id = drawn(workspace, 20, overlap=2)
    answer(workspace, "Ana", round_id, lambda _: ("none", "none"))
    answer(workspace, "Ben", round_id, lambda each: ("none", "other" if each == "p00003" else "none"))
    before = parity(workspace)
    case = adjudicate.case(workspace, round_id, "p00003", "Lea")
    decision = {"label_id": "decision-1", "card_id": case.card.card_id, "better": "same"}
    decision |= {"error_left": "other", "error_right": "other"}
    adjudicate.decide(workspace, round_id, "p00003", "Lea", Answers.model_validate(decision), NOW)
    late = [label(n, "none", "other", "Cid", round_id=round_id, surplus=True) for n in range(20)]
    bring(workspace, tmp_path, labels=late)
    after = parity(workspace)
    assert after.evidence == before.evidence
    assert of(after) == of(before)
    assert sure(of(after).difference).value == pytest.approx(-1 / 40)


def test_an_early_look_sees_a_disaster_in_several_categories(workspace: Workspace, tmp_path: Path) -> None:
    """The alpha of a first look is tiny; adjusted for several categories, what is certain still counts."""
    pairs, labels = moved([("none", "other", 300)])
    for each in labels:
        each["categories_new"] = ["other", "refusal", "invented_fact"]
    bring(workspace, tmp_path, pairs, labels)
    look, _ = looks.take(with_contract(workspace, planned_pairs=3000), None, "lead", NOW)
    assert look is not None
    assert look.alpha < 1e-8
    found = {each["category"]: each["verdict"] for each in look.report["parts"]["failure_modes"]["categories"]}
    assert found == dict.fromkeys(("other", "refusal", "invented_fact"), "regression")


def test_a_look_at_a_round_is_not_a_look_at_everything(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, [pair(n) for n in range(60)])
    round_id = drawn(workspace, 30)
    answer(workspace, "Ana", round_id, lambda _: ("none", "none"))
    of_round, after = looks.take(workspace, round_id, "lead", NOW)
    assert of_round is not None
    # The round is finished, so this look is the last and may use all alpha.
    assert (of_round.alpha, of_round.labelled, of_round.planned) == (pytest.approx(0.05), 30, 30)
    assert after.alpha is None
    assert looks.plan(workspace, parity(workspace)).looks == ()
    other = with_contract(workspace, tolerance=0.3)
    again, plan = looks.take(other, round_id, "lead", NOW)
    assert again is not None
    assert (again.number, plan.other_contracts) == (1, 1)
    assert of_round.report["contract"]["sha256"] != again.report["contract"]["sha256"]
