"""`review contract` and `review gate` as a CI job calls them: exit codes, JSON, JUnit, the step summary, the README."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from review import settings
from review.cli import main
from review.services import gate_report
from review.services.workspace import open_workspace
from tests import gating
from tests.conftest import ROOT
from tests.unit.parity_cases import Move

HOSTILE = "awq | <b>&amp;</b> `x` @all"


def review(db: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--db", str(db)])


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "r.duckdb"


def a_run(db: Path, moves: list[Move], name: str = "awq") -> None:
    opened = open_workspace(settings.load(db))
    run = gating.begin(opened, name)
    gating.label_traffic(opened, db.parent, run, moves)
    opened.close()


def test_cautious_errors_that_became_confident_fail_in_a_ci_job(db: Path, tmp_path: Path) -> None:
    a_run(db, gating.SWAPPED, HOSTILE)
    junit, summary = tmp_path / "gate.xml", tmp_path / "summary.md"
    command = [sys.executable, "-m", "review.cli", "gate", "--candidate", "1", "--json", "--github", "--db", str(db)]
    done = subprocess.run(
        [*command, "--junit", str(junit)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"GITHUB_STEP_SUMMARY": str(summary)},
    )
    assert done.returncode == 3, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    verdicts = {each["id"]: each["verdict"] for each in document["parts"]}
    assert (verdicts["tolerance"], verdicts["direction"], document["verdict"]) == ("parity", "regression", "regression")
    assert {"verdict", "line", "gated_at", "run", "contract", "alpha", "look", "parts", "adversarial", "notes"} <= set(
        document
    )
    assert done.stderr.splitlines()[-1] == document["line"]
    suite = ET.parse(junit).getroot()[0]
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("2", "0", "0")
    assert {case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None} == {
        "Ways to fail",
        "Direction of error",
    }
    written = summary.read_text(encoding="utf-8")
    assert written.startswith("## :x: Regression")
    assert "<b>" not in written
    assert "\\@all" in written
    table = [line for line in written.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {6}


def test_good_labels_pass_and_the_verdict_is_the_last_line(db: Path) -> None:
    a_run(db, gating.GOOD)
    done = review(db, "gate", "--candidate", "awq")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1].startswith("PARITY: run 1 (awq)")
    again = review(db, "gate", "--candidate", "awq")
    assert (again.exit_code, again.stdout) == (0, done.stdout)
    assert "Nothing has changed since" in again.stderr


def test_a_contract_from_a_file_is_used_and_its_mistakes_are_told_by_line(db: Path, tmp_path: Path) -> None:
    a_run(db, gating.SWAPPED)
    file = tmp_path / "contract.yaml"
    made = review(db, "contract", "init", "-o", str(file))
    assert made.exit_code == 0, made.stderr
    text = file.read_text(encoding="utf-8")
    assert '"t0": 0.015' in text
    assert review(db, "contract", "check", str(file)).exit_code == 0
    assert review(db, "contract", "sign", str(file), "--name", "Ana").exit_code == 0
    file.write_text(text.replace("direction_margin: 0.05", "direction_margin: 2").replace("looks: 3", "loks: 3"))
    wrong = review(db, "gate", "--candidate", "awq", "--contract", str(file))
    assert wrong.exit_code == 1
    line = text[: text.index("  looks:")].count("\n") + 1
    assert f"line {line}: contract.loks is not a key (value: 3). Did you mean looks?" in wrong.stderr
    file.write_text(text.replace("direction_margin: 0.05", "direction_margin: 2"))
    wide = json.loads(review(db, "gate", "--candidate", "awq", "--contract", str(file), "--json").stdout)
    assert wide["contract"]["version"] is None
    assert "it differs from version 1 in terms.direction_margin" in " ".join(wide["notes"])


def test_a_tolerance_below_the_noise_of_the_baseline_is_warned_of(db: Path, tmp_path: Path) -> None:
    opened = open_workspace(settings.load(db))
    run, size = gating.begin(opened), 100
    again = gating.outcomes(
        [(1.0, 1.0)] * size + [(0.0 if at % 5 == 0 else 1.0, None) for at in range(size)],
        example_id=[f"e{at}" for at in range(size)] * 2,
        prompt_id=[f"p{at}" for at in range(size)] * 2,
        repeat=gating.pa.array([0] * size + [1] * size, gating.pa.int32()),
    )
    gating.add(opened, run, "benchmark", "mmlu", again)
    opened.close()
    file = tmp_path / "contract.yaml"
    made = review(db, "contract", "init", "-o", str(file), "--json")
    # 20 of 100 came out otherwise: 1.96 sqrt(20) / 100.
    assert json.loads(made.stdout)["noise"]["mmlu"]["floor"] == pytest.approx(0.0877, abs=1e-4)
    assert "mmlu: the tolerance 0.015 lies below the noise floor 0.0877" in made.stderr
    assert "BELOW its noise" in file.read_text(encoding="utf-8")
    kept = review(db, "contract", "init", "-o", str(file))
    assert "is there already" in kept.stderr


def test_versions_are_compared_and_a_missing_one_is_named(db: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("contract: {}\n")
    review(db, "contract", "sign", str(file), "--name", "Ana")
    file.write_text("contract: {tolerance: 0.01, slices: {long_context: 0.05}}\n")
    review(db, "contract", "sign", str(file), "--name", "Ben")
    assert "terms.tolerance: 0.015 -> 0.01" in review(db, "contract", "diff").stdout
    assert "version 2" in review(db, "contract", "show").stdout
    assert "There is no version 7" in review(db, "contract", "diff", "1", "7").stderr
    assert "A signature is a name" in review(db, "contract", "sign", str(file), "--name", "\x1b[31m").stderr


def test_github_without_its_file_and_an_unknown_run_are_errors_in_one_line(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert "GITHUB_STEP_SUMMARY" in review(db, "gate", "--candidate", "x", "--github").stderr
    done = review(db, "gate", "--candidate", "x")
    assert (done.exit_code, done.stderr.splitlines()) == (
        1,
        ["error: There is no run 'x'. See them with: review run list"],
    )


def test_what_xml_cannot_hold_is_replaced() -> None:
    why = "bell \x07 and \ud800"
    part = {"id": "tone", "title": "Tone", "verdict": "inconclusive", "why": why, "rows": []}
    document = {"parts": [part], "run": {"name": "\x00"}, "line": why, "gated_at": "2026-03-02T10:00:00+00:00"}
    suite = ET.fromstring(gate_report.junit(document))[0]
    assert suite.get("errors") == "1"


def jobs() -> list[dict[str, Any]]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").split("## From a round to a signed verdict\n")[1]
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", readme.split("\n## ")[0], re.DOTALL)]


def test_the_jobs_of_the_readme_are_yaml_and_call_the_gate_as_it_is() -> None:
    found = jobs()
    github = next(each for each in found if "jobs" in each)
    gitlab = next(each for each in found if "parity" in each)
    steps = github["jobs"]["parity"]["steps"]
    scripts = "\n".join([*(str(step.get("run", "")) for step in steps), *gitlab["parity"]["script"]])
    gates = re.findall(r"review gate (.*)", scripts)
    assert len(gates) == 2
    known = {option for parameter in main.commands["gate"].params for option in parameter.opts}
    for line in gates:
        assert set(re.findall(r"--[a-z]+", line)) <= known
    assert gitlab["parity"]["artifacts"]["reports"]["junit"] in gates[1]
