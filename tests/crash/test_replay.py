"""Killed at any moment, a replay loses no answer that had arrived and pays for none twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from review import settings
from review.services.workspace import open_workspace
from tests.conftest import ROOT
from tests.faults import FaultServer
from tests.replaying import add_sample, configure

PROMPTS = [f"question {number}" for number in range(60)]


def command(folder: Path) -> subprocess.Popen[str]:
    environ = os.environ | {"REVIEW_CONFIG": str(folder / "config.yaml"), "REVIEW_DB": str(folder / "review.duckdb")}
    line = [sys.executable, "-m", "review.cli", "replay"]
    return subprocess.Popen(line, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kept(folder: Path) -> int:
    """How many answers are in the cache."""
    connection = sqlite3.connect(folder / "review.duckdb.cache")
    try:
        return int(connection.execute("SELECT count(*) FROM entry WHERE kind = 'response'").fetchone()[0])
    finally:
        connection.close()


def test_kill_9_again_and_again_loses_no_answer_and_asks_none_twice(tmp_path: Path) -> None:
    workspace = open_workspace(settings.load(tmp_path / "review.duckdb"))
    add_sample(workspace, PROMPTS)
    workspace.close()
    asked: Counter[str] = Counter()
    reached = threading.Event()
    goal = 0

    def plan(prompt: str, nth: int) -> str | None:
        asked[prompt] += 1
        if sum(asked.values()) >= goal:
            reached.set()
        # From the goal on nobody is answered, so that exactly what was answered before can have been paid.
        return "silent" if goal and sum(asked.values()) > goal else None

    with FaultServer(plan, latency=0.01) as server:
        configure(tmp_path, {"base_url": server.url, "model": "m"}, {"base_url": server.url, "model": "n"})
        for goal in (20, 60):  # noqa: B007 - read by the plan
            asked.clear()
            reached.clear()
            process = command(tmp_path)
            assert reached.wait(60), process.communicate()
            before = kept(tmp_path)
            # A second one beside it would pay for the same answers.
            second = command(tmp_path)
            said = second.communicate(timeout=60)[1]
            assert second.returncode == 1, said
            assert "wait until it is done" in said
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert kept(tmp_path) >= before
        goal = 0
        held = kept(tmp_path)
        good_before = server.good.total()
        process = command(tmp_path)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        # Nothing in the cache was asked for again: each of the 120 answers was given once, but for those that were
        # on their way at the moment of a kill, at most the concurrency of both sides a kill.
        assert server.good.total() - good_before == 120 - held
        assert 120 <= server.good.total() <= 120 + 2 * 8
    assert "m: 60 of 60 answered" in out
    assert "n: 60 of 60 answered" in out
    assert "pairs: 60 (60 new)" in out
    assert "noise floor: old, asked again" in out
    workspace = open_workspace(settings.load(tmp_path / "review.duckdb"))
    try:
        cursor = workspace.database.cursor()
        assert cursor.execute("SELECT count(*), count(DISTINCT trace_id) FROM response").fetchone() == (120, 60)
        assert cursor.execute("SELECT count(*) FROM pair JOIN pair_origin USING (pair_id)").fetchone() == (60,)
    finally:
        workspace.close()
