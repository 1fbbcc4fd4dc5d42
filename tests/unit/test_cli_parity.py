"""`review parity` in a process of its own: the JSON's shape, exit codes, errors in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import run_cli
from tests.unit.parity_cases import moved

CASES: list[tuple[str, int, list[tuple[str, str, int]], int]] = [
    ("parity", 0, [("none", "none", 250), ("cautious", "none", 12), ("none", "cautious", 12)], 2500),
    ("regression", 3, [("none", "none", 60), ("none", "confident", 40)], 0),
    ("inconclusive", 4, [("none", "none", 40)], 0),
]


@pytest.mark.parametrize(("verdict", "code", "moves", "identical"), CASES)
def test_verdict_and_exit_code(
    tmp_path: Path, verdict: str, code: int, moves: list[tuple[str, str, int]], identical: int
) -> None:
    db = tmp_path / "x.duckdb"
    for kind, records in zip(("pairs", "labels"), moved(moves, tasks=2, identical=identical), strict=True):
        file = tmp_path / f"{kind}.jsonl"
        file.write_text("\n".join(json.dumps(record) for record in records), "utf-8")
        run_cli(db, "import", kind, str(file)).check_returncode()
    done = run_cli(db, "parity", "--json")
    assert done.returncode == code, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["verdict"] == verdict
    assert set(document["parts"]) == {"tolerance", "failure_modes", "direction"}
    for row in document["parts"]["tolerance"]:
        assert {"task", "verdict", "difference", "tolerance", "labels_needed"} <= set(row)
        assert {"value", "low", "high", "method"} <= set(row["difference"])
    assert [row["task"] for row in document["parts"]["tolerance"]] == ["overall", "t0", "t1"]
    again = run_cli(db, "parity", "--json")
    assert json.loads(again.stdout)["look"] == document["look"]
    words = run_cli(db, "parity")
    assert words.stdout.startswith(verdict.upper())


def test_an_unknown_round_is_an_error_in_one_line(tmp_path: Path) -> None:
    done = run_cli(tmp_path / "x.duckdb", "parity", "--round", "nope")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: There is no round 'nope'. See them with: review rounds"]


@pytest.mark.parametrize(
    ("terms", "named"),
    [("tolerance: 2", "contract.tolerance"), ("margin: .1", "contract.margin"), ("looks: often", "contract.looks")],
)
def test_a_wrong_contract_names_the_key(tmp_path: Path, terms: str, named: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"eval_config:\n  contract:\n    {terms}\n")
    done = subprocess.run(
        [sys.executable, "-m", "review.cli", "parity", "--db", str(tmp_path / "x.duckdb")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"REVIEW_CONFIG": str(config)},
    )
    assert done.returncode == 1
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_contract_beside_the_configuration_is_not_passed_over(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("eval_config: {}\ncontract: {tolerance: 0.5}\n")
    done = subprocess.run(
        [sys.executable, "-m", "review.cli", "parity", "--db", str(tmp_path / "x.duckdb")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"REVIEW_CONFIG": str(config)},
    )
    assert done.returncode == 1
    assert "contract stands beside eval_config" in done.stderr
