"""The published calibration table: all 30 cells through the service, one through the command line."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from review.services.calibration import calibration_of_files
from review.stats.calibration import EDGES
from review.stats.estimate import Estimate, NotEstimable
from tests.conftest import shared
from tests.e2e.conftest import run_cli
from tests.golden.golden_vectors import golden

Cell = tuple[str, str]


def published(file: Path) -> dict[Cell, dict[str, float]]:
    with file.open(newline="") as lines:
        return {
            (row["question_set"], row["model"]): {
                name: float(row[name]) for name in ("n", "ece", "accuracy", "confidence")
            }
            for row in csv.DictReader(lines)
        }


def answers(file: Path) -> dict[Cell, list[dict[str, Any]]]:
    """The set's rows as the verb takes them, by cell."""
    cells: dict[Cell, list[dict[str, Any]]] = defaultdict(list)
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            record = {"id": row["question_id"], "confidence": float(row["confidence"]), "correct": int(row["correct"])}
            cells[row["question_set"], row["model"]].append(record)
    return cells


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@golden("llm_confidence_ece")
def test_all_published_cells(entry: dict[str, Any], tmp_path: Path) -> None:
    """Every cell to the entry's tolerance; and bins closed on the left, as some libraries have them, would not do."""
    folder, within = shared(entry["input"]["data"]), entry["tolerance"]
    expected, given = published(shared(entry["expected"]["file"])), answers(folder / "answers.csv")
    assert len(expected) == entry["expected"]["cells"]
    elsewhere: list[Cell] = []
    for cell, row in expected.items():
        system = calibration_of_files(written(tmp_path / "cell.jsonl", given[cell])).systems["old"]
        assert not isinstance(system.ece, NotEstimable)
        assert isinstance(system.accuracy, Estimate)
        assert isinstance(system.confidence, Estimate)
        found = [system.n, system.ece.value, system.accuracy.value, system.confidence.value]
        wanted = [row["n"], row["ece"], row["accuracy"], row["confidence"]]
        assert found == pytest.approx(wanted, abs=within, rel=0), cell
        says = np.array([each["confidence"] for each in given[cell]])
        gap = says - np.array([each["correct"] for each in given[cell]])
        left = np.abs(np.bincount(np.digitize(says, EDGES, right=False), weights=gap)).sum() / len(gap)
        if abs(left - row["ece"]) > 1e-4:
            elsewhere.append(cell)
            assert abs(system.ece.value - left) > 1e-4
    # LSAT, Claude-Sonnet-4: .3391 published, .3058 with bins closed on the left.
    assert len(elsewhere) > 15
    assert ("LSAT", "Claude-Sonnet-4") in elsewhere


@golden("llm_confidence_ece")
def test_a_cell_through_the_command_line_without_a_database(entry: dict[str, Any], tmp_path: Path) -> None:
    expected = published(shared(entry["expected"]["file"]))
    given = answers(shared(entry["input"]["data"]) / "answers.csv")
    old, new = ("SciQ", "Llama-8B"), ("SciQ", "Gemini-2.5-Pro")
    files = [written(tmp_path / f"{name}.jsonl", given[cell]) for name, cell in (("old", old), ("new", new))]
    db = tmp_path / "none.duckdb"
    done = run_cli(db, "calibration", "--old", str(files[0]), "--new", str(files[1]), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    for side, cell in (("old", old), ("new", new)):
        assert document[side]["n"] == expected[cell]["n"]
        assert document[side]["ece"]["value"] == pytest.approx(expected[cell]["ece"], abs=entry["tolerance"])
    assert "closed on the right" in document["old"]["ece"]["rule"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["new.jsonl", "old.jsonl"]


def test_one_upgrade_changed_brier(tmp_path: Path) -> None:
    """Over all questions one upgrade changes the Brier score by -.023 with a standard error of .003."""
    given = answers(shared("data/llm_confidence") / "answers.csv")
    files: list[Path] = []
    for model in ("DeepSeek-V3", "Gemini-2.5-Pro"):
        rows = [
            row | {"id": f"{cell[0]} {row['id']}"} for cell, rows in given.items() if cell[1] == model for row in rows
        ]
        files.append(written(tmp_path / f"{model}.jsonl", rows))
    difference = calibration_of_files(*files).brier_difference
    assert difference is not None
    assert not isinstance(difference, NotEstimable)
    assert round(difference.estimate.value, 3) == -0.023
    assert round(difference.se, 3) == 0.003
    assert difference.p < 1e-9
