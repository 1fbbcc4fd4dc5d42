"""What must not change a parity verdict, and that swapping old and new mirrors it."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from review import settings as configuration
from review.services.parity import parity
from review.services.parity_report import ParityReport
from review.services.workspace import open_workspace
from review.stats.estimate import Estimate, Result
from tests.unit.parity_cases import bring, moved

ERRORS = ("none", "cautious", "confident", "other")
MOVES = st.lists(
    st.tuples(st.sampled_from(ERRORS), st.sampled_from(ERRORS), st.integers(1, 12)), min_size=1, max_size=5
)


def judged(pairs: list[dict[str, Any]], labels: list[dict[str, Any]]) -> ParityReport:
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(configuration.load(Path(folder) / "review.duckdb"))
        try:
            bring(workspace, Path(folder), pairs, labels)
            return parity(workspace)
        finally:
            workspace.close()


def limits(result: Result, sign: int = 1) -> tuple[float, ...] | None:
    if not isinstance(result, Estimate):
        return None
    numbers = sign * result.value, sign * result.low, sign * result.high
    return (numbers[0], *sorted(numbers[1:]))


def numbers(report: ParityReport, sign: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = {f"tolerance {row.task}": limits(row.difference, sign) for row in report.tolerance}
    found |= {f"category {each.category}": limits(each.growth, sign) for each in report.failure_modes.categories}
    found["D"] = limits(report.direction.balance, sign)
    return found | {f"D {each.task}": limits(each.balance, sign) for each in report.direction.tasks}


def alike(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert one.keys() == two.keys()
    for key, value in one.items():
        assert two[key] == (None if value is None else pytest.approx(value, abs=1e-9)), key


@settings(max_examples=6, deadline=None)
@given(MOVES, st.integers(0, 30), st.randoms(use_true_random=False))
def test_order_names_and_shown_sides_change_nothing(
    moves: list[tuple[str, str, int]], identical: int, chance: random.Random
) -> None:
    pairs, labels = moved(moves, tasks=2, identical=identical)
    shuffled = chance.sample(pairs, len(pairs))
    others = [{**each, "reviewer": "Zoe", "shown_first": chance.choice(["old", "new"])} for each in labels]
    alike(numbers(judged(pairs, labels)), numbers(judged(shuffled, chance.sample(others, len(others)))))


@settings(max_examples=6, deadline=None)
@given(MOVES, st.integers(0, 30))
def test_swapping_old_and_new_mirrors_every_result(moves: list[tuple[str, str, int]], identical: int) -> None:
    pairs, labels = moved(moves, tasks=2, identical=identical)
    mirrored_pairs = [{**each, "old": each["new"], "new": each["old"]} for each in pairs]
    swap = {"error_old": "error_new", "error_new": "error_old"}
    swap |= {"categories_old": "categories_new", "categories_new": "categories_old"}
    mirrored_labels = [{swap.get(name, name): value for name, value in each.items()} for each in labels]
    there, back = judged(pairs, labels), judged(mirrored_pairs, mirrored_labels)
    alike(numbers(there), numbers(back, -1))
    mirrored = {"towards_confident": "towards_cautious", "towards_cautious": "towards_confident"}
    assert back.direction.direction == mirrored.get(there.direction.direction, there.direction.direction)
