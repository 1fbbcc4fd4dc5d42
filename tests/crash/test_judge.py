"""`review judge` from the command line: killed at any moment it goes on and pays for no answer twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from review import settings
from review.services.workspace import open_workspace
from tests.faults import FaultServer
from tests.judging import bring, called, opinion, pair
from tests.waiting import until

PAIRS = 15
CONCURRENCY = 2


def prepare(
    folder: Path,
    server: FaultServer,
    rows: list[dict[str, Any]] | None = None,
    embedding: dict[str, Any] | None = None,
    **more: Any,
) -> tuple[Path, dict[str, str]]:
    """A database with pairs, and the environment of a command that judges them."""
    db = folder / "review.duckdb"
    workspace = open_workspace(settings.load(db))
    tools = pair("tools", called('{"a": 1}'), called('{"a": "1"}'))
    bring(workspace, folder, rows or [*(pair(f"p{n:02}") for n in range(PAIRS)), tools])
    workspace.close()
    near = {"name": "near", "base_url": server.url, "model": "judge-1", "concurrency": CONCURRENCY, "retries": 1}
    near["price"] = {"input": 1.0, "output": 5.0}
    judges = {"providers": [near], "anchors": 0, "cache": {"semantic": False}, **more}
    config = folder / "config.yaml"
    said = {"judges": judges} | ({"embedding": embedding} if embedding else {})
    config.write_text(yaml.safe_dump({"eval_config": said}), encoding="utf-8")
    return db, os.environ | {"REVIEW_CONFIG": str(config), "REVIEW_DB": str(db)}


COMMAND = [sys.executable, "-m", "review.cli", "judge", "--all", "--json"]


def judge(environ: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(COMMAND, env=environ, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def verdicts(db: Path) -> list[tuple[Any, ...]]:
    workspace = open_workspace(settings.load(db))
    try:
        query = "SELECT pair_id, vote, judge, shown_first, winner FROM verdict ORDER BY ALL"
        return workspace.database.cursor().execute(query).fetchall()
    finally:
        workspace.close()


def test_killed_twice_it_pays_for_no_answer_twice_and_a_finished_one_costs_nothing(tmp_path: Path) -> None:
    with FaultServer(answer=opinion, latency=0.02) as server:
        db, environ = prepare(tmp_path, server)
        lost = 0
        for answers in (7, 25):
            process = subprocess.Popen(COMMAND, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until(lambda answers=answers: sum(server.good.values()) >= answers, "answers of the judge", every=0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
            lost += CONCURRENCY  # at most what was on its way
        report = judge(environ)
        asked = sum(server.good.values())
        wanted = 3 * PAIRS + 2
        assert report["left"] == 0
        assert wanted <= asked <= wanted + lost
        assert report["calls"] < wanted - 20
        found = verdicts(db)
        assert [row[4] for row in found] == ["old"] * (3 * PAIRS)
        assert report["runs"][0]["calls"] == wanted  # every answer that arrived is booked once, in one run
        assert report["structured"] == {"other_arguments": 1}
        again = judge(environ)
        assert (again["calls"], again["judged"], sum(server.good.values())) == (0, 0, asked)
        assert verdicts(db) == found


def near(topic: str, number: int) -> dict[str, Any]:
    """Pairs of a topic that differ in one word of ten."""
    asked = f"{' '.join([topic] * 6)} came late, why {'abcd'[number]}"
    return pair(f"{topic}-{number}", messages=[{"role": "user", "content": asked}])


def test_killed_with_the_semantic_cache_on_it_pays_for_one_of_each_near_duplicates_once(tmp_path: Path) -> None:
    topics = ("boat", "book", "chair", "lamp", "table")
    loose = {"semantic": True, "threshold": 0.8, "ceiling": 1.0, "audit_share": 0.0}
    killed = False

    def silent_until_then(_prompt: str, _nth: int) -> str | None:
        return None if killed or sum(server.good.values()) < 7 else "silent"

    with FaultServer(silent_until_then, answer=opinion) as server, FaultServer(api="embeddings") as vectors:
        rows = [near(topic, number) for topic in topics for number in range(4)]
        embedding = {"model": "words", "base_url": vectors.url}
        db, environ = prepare(tmp_path, server, rows, embedding, cache=loose)
        process = subprocess.Popen(COMMAND, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: sum(server.good.values()) >= 7, "answers of the judge", every=0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed = True
        report = judge(environ)
        wanted = 3 * len(topics)
        assert wanted <= sum(server.good.values()) <= wanted + CONCURRENCY
        assert report["left"] == 0
        assert report["runs"][0]["calls"] == wanted  # every answer that arrived is booked once
        assert report["runs"][0]["semantic_hits"] == 3 * len(topics)
    found = verdicts(db)
    assert len(found) == 3 * len(rows)
    assert {winner for *_, winner in found} == {"old"}
    workspace = open_workspace(settings.load(db))
    query = (
        "SELECT original, count(*) FROM judge_comparison WHERE source = 'semantic' GROUP BY original ORDER BY original"
    )
    taken = workspace.database.cursor().execute(query).fetchall()
    workspace.close()
    assert taken == [(f"{topic}-0", 3) for topic in topics]


def test_an_outage_is_an_error_that_says_so_and_a_wrong_sample_too(tmp_path: Path) -> None:
    with FaultServer(lambda prompt, nth: "401", answer=opinion) as server:
        _, environ = prepare(tmp_path, server)
        failed = subprocess.run(COMMAND, env=environ, capture_output=True, text=True)
        assert failed.returncode == 1
        assert "judges.providers" in failed.stderr
        assert "it refuses the key" in failed.stderr
        assert json.loads(failed.stdout)["reason"] == "no_provider"
        unknown = [*COMMAND[:4], "--sample", "nowhere"]
        refused = subprocess.run(unknown, env=environ, capture_output=True, text=True)
        assert refused.returncode == 1
        assert "There is no sample 'nowhere'" in refused.stderr
        assert "Traceback" not in failed.stderr + refused.stderr


@pytest.mark.parametrize("limit", [4])
def test_a_limit_takes_up_so_many_pairs_and_people_read_the_cost(tmp_path: Path, limit: int) -> None:
    with FaultServer(answer=opinion) as server:
        _, environ = prepare(tmp_path, server)
        command = [*COMMAND[:-1], "--limit", str(limit)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert "judged now: 4 verdicts with 12 calls for $" in done.stdout
    assert "left: 12 pairs (limit)" in done.stdout
