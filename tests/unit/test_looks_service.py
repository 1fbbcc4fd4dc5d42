"""Looks: recorded, counted, never taken twice on the same evidence, and none beyond the contract."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from review.services import looks
from review.services.parity import parity
from review.services.workspace import Workspace
from tests.conftest import NOW
from tests.unit.parity_cases import bring, label, pair
from tests.unit.test_parity_service import with_contract


def grow(workspace: Workspace, folder: Path, start: int, stop: int) -> None:
    """Label some more of the pairs."""
    bring(workspace, folder, labels=[label(n, "none", "none") for n in range(start, stop)])


@pytest.fixture
def planned(workspace: Workspace, tmp_path: Path) -> Workspace:
    """120 pairs, a plan of 100 labelled ones, 30 labelled."""
    bring(workspace, tmp_path, [pair(n) for n in range(120)])
    grow(workspace, tmp_path, 0, 30)
    return with_contract(workspace, planned_pairs=100)


def test_a_look_is_recorded_once_and_the_same_evidence_gives_the_same_look(planned: Workspace) -> None:
    first, after = looks.take(planned, None, "lead", NOW)
    again, _ = looks.take(planned, None, "somebody else", NOW)
    assert first is not None
    assert again == first
    assert (first.number, first.labelled, first.planned, first.taken_by) == (1, 30, 100, "lead")
    assert after.refusal == "Nothing has changed since the last look."
    assert first.report["verdict"] == first.verdict == "inconclusive"


def test_early_looks_use_little_alpha_and_the_last_one_the_rest(planned: Workspace, tmp_path: Path) -> None:
    alphas: list[float] = []
    for stop in (30, 60, 100):
        grow(planned, tmp_path, 0 if stop == 30 else stop - 30, stop)
        look, _ = looks.take(planned, None, "lead", NOW)
        assert look is not None
        alphas.append(look.alpha)
    assert alphas[0] < 0.001 < alphas[1] < alphas[2] < 0.05
    assert alphas == sorted(alphas)
    grow(planned, tmp_path, 100, 120)
    last, plan = looks.take(planned, None, "lead", NOW)
    assert last is not None
    assert last.number == 3
    assert plan.alpha is None
    assert plan.refusal is not None
    assert "3 looks" in plan.refusal


def test_a_few_more_labels_are_no_new_look(planned: Workspace, tmp_path: Path) -> None:
    looks.take(with_contract(planned, planned_pairs=1000), None, "lead", NOW)
    grow(planned, tmp_path, 30, 31)
    _, plan = looks.take(with_contract(planned, planned_pairs=1000), None, "lead", NOW)
    assert plan.refusal is not None
    assert "more pairs" in plan.refusal


def test_another_contract_counts_anew_and_says_so(planned: Workspace) -> None:
    looks.take(planned, None, "lead", NOW)
    other = with_contract(planned, tolerance=0.5)
    plan = looks.plan(other, parity(other))
    assert (plan.looks, plan.other_contracts) == ((), 1)


def test_looks_are_append_only(planned: Workspace) -> None:
    looks.take(planned, None, "lead", NOW)
    for statement in ("UPDATE look SET verdict = 'parity'", "DELETE FROM look", "TRUNCATE look"):
        with pytest.raises(duckdb.Error, match="append-only"):
            planned.database.cursor().execute(statement)


def test_without_labels_there_is_nothing_to_look_at(workspace: Workspace) -> None:
    look, plan = looks.take(workspace, None, "lead", NOW)
    assert look is None
    assert plan.refusal is not None
    assert "No pair has a label" in plan.refusal
