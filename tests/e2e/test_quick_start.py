"""`review demo`: builds and serves the demo, keeps what was labelled, starts over only what it made itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import REVIEW, free_port, run_cli


def served(db: Path, *options: str) -> str:
    """Start `review demo` until it answers, end it, and return what it said."""
    port = free_port()
    command = [*REVIEW, "demo", "--no-browser", "--port", str(port), "--db", str(db), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/review/health", timeout=2).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.2)
        else:
            pytest.fail("the demo did not come up")
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=30)
    return said


def interrupted(db: Path, *options: str) -> str:
    """Start `review demo` and end it, with all its processes, at the first thing it says."""
    command = [*REVIEW, "demo", "--no-browser", "--port", str(free_port()), "--db", str(db), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    with process.stdout as said:
        first = said.readline()
        os.killpg(process.pid, signal.SIGKILL)
        said.read()  # its end: none of them holds the database any more
    process.wait(30)
    return first


def status(db: Path) -> dict[str, int]:
    return json.loads(run_cli(db, "status", "--json").stdout)


def test_the_demo_is_built_kept_and_started_over(tmp_path: Path) -> None:
    db = tmp_path / "demo" / "review.duckdb"
    assert "is built" in served(db)
    first = status(db)
    assert first["pairs"] > 100
    assert first["rounds"] == 2
    assert first["traces"] > 300
    assert 10 <= first["clusters"] <= 20
    assert first["samples"] == 1
    (frozen,) = listed(db, "golden", "versions")["versions"]
    assert (frozen["items"], "made up" in frozen["name"]) == (24, True)
    (alert,) = listed(db, "watch", "alerts")["alerts"]
    assert (alert["task"], alert["state"]) == ("shipping", "open")
    assert alert["clusters"][0]["name"].startswith("delivery slot")
    weeks = listed(db, "cluster")
    assert (weeks["placed"], weeks["embedded"]) == (0, 0)
    labels = tmp_path / "mine.jsonl"
    label = {"pair_id": any_pair(db, tmp_path), "reviewer": "Mara", "preference": "tie"}
    labels.write_text(json.dumps(label) + "\n")
    assert run_cli(db, "import", "labels", str(labels)).returncode == 0
    again = served(db)
    assert "is there" in again
    assert "questions" not in again
    assert status(db) == first | {"labels": 1, "reviewers": 1}
    assert "is built" in interrupted(db, "--reset")
    assert status(db)["labels"] == 0


def listed(db: Path, *verb: str) -> dict[str, Any]:
    return json.loads(run_cli(db, *verb, "--json").stdout)


def any_pair(db: Path, folder: Path) -> str:
    file = folder / "pairs.jsonl"
    assert run_cli(db, "export", "pairs", "-o", str(file)).returncode == 0
    return json.loads(file.read_text("utf-8").splitlines()[0])["pair_id"]


def test_reset_never_deletes_a_database_that_the_demo_did_not_make(tmp_path: Path) -> None:
    db = tmp_path / "review.duckdb"
    pairs = tmp_path / "pairs.jsonl"
    record = {"messages": [{"role": "user", "content": "Hi"}], "old": {"content": "a"}, "new": {"content": "b"}}
    pairs.write_text(json.dumps(record) + "\n")
    assert run_cli(db, "import", "pairs", str(pairs)).returncode == 0
    refused = run_cli(db, "demo", "--reset", "--no-browser", "--port", str(free_port()))
    assert refused.returncode == 1
    assert "was not built by the demo" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert status(db)["pairs"] == 1
