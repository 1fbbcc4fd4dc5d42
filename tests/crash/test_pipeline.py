"""The pipeline goes on where it was killed, and does nothing, at no cost, when it is run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from review import settings
from review.services.workspace import open_workspace
from tests.conftest import ROOT
from tests.faults import FaultServer, prompt_of
from tests.judging import opinion

SUBJECTS = {
    "refund": "Where is the refund for the helmet I sent back, and when do I get my money? Case {}.",
    "delivery": "My parcel has not arrived yet, which day will the courier bring the delivery? Case {}.",
    "password": "I forgot the password of my account and cannot sign in any more. Case {}.",
}
TRACES = 48


def write_traces(file: Path) -> None:
    """Traces of three subjects; every sixth is answered alike by old and new."""
    subjects = list(SUBJECTS.values())
    records = [
        {
            "trace_id": f"trace-{at}",
            "task": "support",
            "messages": [{"role": "user", "content": subjects[at % 3].format(at)}],
            "customer": f"customer-{at}",
            "happened_at": f"2026-03-0{1 + at % 7}T08:00:00+00:00",
        }
        for at in range(TRACES)
    ]
    file.write_text("\n".join(json.dumps(each) for each in records) + "\n")


def said(document: dict[str, Any]) -> str:
    """Both say the same of every sixth case; else new says something else, good or not."""
    case = int(prompt_of(document).split("Case ")[1].rstrip("."))
    if document["model"] == "old" or case % 6 == 0:
        return "We look into it and write today."
    return "All good, it is on its way." if case % 2 else "No."


@pytest.fixture
def stacks() -> Any:
    with FaultServer(answer=said, latency=0.02) as stack, FaultServer(answer=opinion) as judge:
        yield stack, judge


def prepare(folder: Path, stack: FaultServer, judge: FaultServer) -> None:
    """A configuration, and traces in the database."""
    common = {"base_url": stack.url, "concurrency": 4, "price": {"input": 1.0, "output": 1.0}}
    provider = {"name": "near", "base_url": judge.url, "model": "judge-1", "price": {"input": 1.0, "output": 5.0}}
    block = {
        "endpoints": {"old": common | {"model": "old"}, "new": common | {"model": "new"}},
        "replay": {"audit_size": 5, "customer_share": 0.1, "strip_pii": False},
        "judges": {"judge_model": "judge-1", "providers": [provider], "anchors": 0, "cache": {"semantic": False}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({"eval_config": block}))
    write_traces(folder / "traces.jsonl")
    ended = run(folder, "import", "traces", str(folder / "traces.jsonl"))
    assert ended.returncode == 0, ended.stderr


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "review.cli", *arguments, "--db", str(folder / "review.duckdb")]
    environ = os.environ | {"REVIEW_CONFIG": str(folder / "config.yaml")}
    return subprocess.Popen(line, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=180)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def pipeline(folder: Path) -> dict[str, Any]:
    ended = run(folder, "pipeline", "--size", "20", "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def everything(folder: Path) -> dict[str, int]:
    """How many rows each table has."""
    workspace = open_workspace(settings.load(folder / "review.duckdb"))
    try:
        cursor = workspace.database.cursor()
        named = cursor.execute(
            "SELECT table_name FROM duckdb_tables() WHERE NOT internal AND NOT temporary ORDER BY 1"
        ).fetchall()
        return {name: cursor.execute(f'SELECT count(*) FROM "{name}"').fetchall()[0][0] for (name,) in named}
    finally:
        workspace.close()


def test_killed_in_mid_replay_then_without_a_judge_it_goes_on_and_a_further_run_does_nothing(
    tmp_path: Path, stacks: tuple[FaultServer, FaultServer]
) -> None:
    stack, judge = stacks
    prepare(tmp_path, stack, judge)
    reached = threading.Event()

    def plan(_prompt: str, _nth: int) -> str | None:
        if stack.good.total() >= 30:
            reached.set()
            return "silent"
        return None

    stack.plan = plan
    process = start(tmp_path, "pipeline", "--size", "20")
    assert reached.wait(150), process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    stack.plan = lambda _prompt, _nth: None

    judge.plan = lambda _prompt, _nth: "401"
    stopped = run(tmp_path, "pipeline", "--size", "20", "--json")
    assert stopped.returncode == 1
    assert "no provider of the judge answers" in stopped.stderr
    document = json.loads(stopped.stdout)
    assert (document["round"], document["pairs"]) == (None, TRACES)
    # Each of the 96 answers was paid for once, but for those under way at the moment of the kill.
    assert 2 * TRACES <= stack.good.total() <= 2 * TRACES + 8
    judge.plan = lambda _prompt, _nth: None

    asked = len(stack.requests)
    first = pipeline(tmp_path)
    assert len(stack.requests) == asked, "what was replayed is not replayed again"
    assert first["judge"]["identical"] == TRACES // 6
    assert first["judge"]["judged"] == TRACES - TRACES // 6
    assert judge.good.total() == 3 * first["judge"]["judged"]
    assert first["round"]["new"] is True
    assert first["round"]["size"] == 20
    assert sum(each["drawn"] for each in first["round"]["strata"]) == 20
    assert first["cost_usd"] > 0

    stands, asked = everything(tmp_path), len(stack.requests) + len(judge.requests)
    second = pipeline(tmp_path)
    assert len(stack.requests) + len(judge.requests) == asked
    assert second["cost_usd"] == 0
    assert second["round"]["round_id"] == first["round"]["round_id"]
    assert second["round"]["new"] is False
    assert second["sample"]["sample_id"] == first["sample"]["sample_id"]
    assert everything(tmp_path) == stands
