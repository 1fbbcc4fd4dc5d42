"""`review bench` without a harness: what it refuses, what it keeps, and what it says; the real one is in tests/e2e."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from review import settings
from review.adapters.harness import REQUIREMENT, VERSION, meaning
from review.cli import main
from review.domain.pipeline import Endpoint
from review.services.bench import Plan, folder_of

ROOT = Path(__file__).resolve().parent.parent.parent
# Stands in for a Python with the harness: notes that it was started, then writes results of the harness's own form, or
# fails as the file beside it says.
STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
here = Path(__file__).parent
if sys.argv[1] == "-c":
    print((here / "version").read_text())
    sys.exit()
config = json.loads(Path(sys.argv[-1]).read_text())
with (here / "started").open("a") as file:
    print(json.dumps([config["model_args"]["model"], os.environ.get("OPENAI_API_KEY")]), file=file)
failure = here / ("fails_" + config["model_args"]["model"])
if failure.exists():
    sys.stderr.write(failure.read_text())
    sys.exit(1)
sys.stderr.write("Requesting API: 100%|####| 3/3 [00:01<00:00,  2.0it/s]\\r")
sys.path.insert(0, {root!r})
from tests.harness import Doc, Fake, write_output
docs = [Doc(str(at), "1", config["model_args"]["model"], {{"exact_match,none": 1.0}}) for at in range(3)]
write_output(Path(config["output_path"]), config["model_args"]["model"], [Fake(each, docs) for each in config["tasks"]])
"""


@pytest.fixture
def db(tmp_path: Path) -> Path:
    python = tmp_path / "python"
    python.write_text(STAND_IN.format(python=sys.executable, root=str(ROOT)))
    python.chmod(0o755)
    (tmp_path / "version").write_text(VERSION)
    db = tmp_path / "r.duckdb"
    start = ["run", "start", "awq", "--step", "runtime", "--old", "model=a", "--new", "model=b", "--db", str(db)]
    assert CliRunner().invoke(main, start).exit_code == 0
    return db


def bench(db: Path, *more: str, code: int = 0) -> Result:
    sides = ["--old", "http://127.0.0.1:9/v1", "before", "--new", "http://127.0.0.1:9/v1", "after"]
    asked = ["bench", "--run", "awq", "--tasks", "b,a", *sides, "--harness", str(db.parent / "python"), "--db", str(db)]
    found = CliRunner().invoke(main, [*asked, *more])
    assert found.exit_code == code, found.output
    return found


def started(db: Path) -> list[list[str | None]]:
    file = db.parent / "started"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_finished_side_is_run_again_only_when_asked_to(db: Path) -> None:
    failure = db.parent / "fails_after"
    failure.write_text("aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host\nsecret answer\n")
    refused = bench(db, code=1)
    assert "lm_eval ended with code 1: the server does not answer" in refused.output
    assert "secret answer" not in refused.output
    failure.unlink()
    assert "exact_match: old 1.0000  new 1.0000" in bench(db).output
    assert [model for model, _ in started(db)] == ["before", "after", "after"]
    bench(db)
    assert len(started(db)) == 3
    bench(db, "--fresh")
    assert len(started(db)) == 5
    kept = db.with_name(db.name + ".bench")
    assert len([each for each in kept.iterdir() if "-until-" in each.name]) == 2


def test_own_task_files_are_part_of_what_is_kept(tmp_path: Path) -> None:
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "a.yaml").write_text("task: a\n")
    made = settings.load(tmp_path / "r.duckdb")
    endpoint = Endpoint.model_validate({"base_url": "http://127.0.0.1:9/v1", "model": "m"})
    plan = Plan(("a", "b"), include=tasks)
    folder = folder_of(made, plan, endpoint)
    assert folder_of(made, replace(plan, tasks=("b", "a")), endpoint) == folder
    others = [
        folder_of(made, replace(plan, shots=5), endpoint),
        folder_of(made, plan, endpoint.model_copy(update={"quantization": "awq"})),
        (tasks / "a.yaml").write_text("task: a\nmetadata: {version: 2}\n") and folder_of(made, plan, endpoint),
    ]
    assert len({folder, *others}) == 4


def test_the_key_goes_through_the_environment_alone(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of another server")
    bench(db)
    assert {key for _, key in started(db)} == {None}
    assert "GATE_KEY is not set" in bench(db, "--key-env", "GATE_KEY", "--limit", "1", code=1).output
    monkeypatch.setenv("GATE_KEY", "sk-tests-only")
    bench(db, "--key-env", "GATE_KEY", "--limit", "1")
    assert started(db)[-1] == ["after", "sk-tests-only"]
    kept = db.with_name(db.name + ".bench")
    assert not [each for each in kept.rglob("*") if each.is_file() and "sk-tests-only" in each.read_text()]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("NotImplementedError: Loglikelihood is not supported for chat completions. Consider", "--api completions"),
        ("Exception:ValueError('Only no echo is supported'), secret, retrying", "llama.cpp does not; vLLM does"),
        ("ModuleNotFoundError: No module named 'sympy'", "needs the Python package sympy"),
        ("ValueError: Tasks not found: a", "there is no such task"),
        ("something new", "does not say why in words known here"),
    ],
)
def test_what_goes_wrong_is_said_in_words_of_ours(tmp_path: Path, said: str, words: str) -> None:
    log = tmp_path / "harness.log"
    log.write_text(said + "\n")
    assert words in meaning(log)
    assert "secret" not in meaning(log)


def test_a_missing_or_other_harness_is_one_sentence_with_the_command(db: Path) -> None:
    (db.parent / "version").write_text("0.4.3")
    assert f"pip install '{REQUIREMENT}'" in bench(db, code=1).output
    absent = bench(db, "--harness", sys.executable, code=1).output
    assert "pip install -e '.[bench]'" in absent
    assert absent.count("\n") == 1
    assert "cannot be started" in bench(db, "--harness", str(db.parent / "nothing"), code=1).output
    assert started(db) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--tasks", "../../etc"], "letters, digits"),
        (["--tasks", ","], "names no task"),
        (["--include-path", "nowhere"], "there is no such folder"),
        (["--run", "gptq"], "review run list"),
    ],
)
def test_nothing_is_asked_before_everything_is_right(db: Path, more: list[str], said: str) -> None:
    assert said in bench(db, *more, code=1).output
    assert started(db) == []
