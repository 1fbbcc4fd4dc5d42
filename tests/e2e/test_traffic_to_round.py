"""A real migration from logged questions to a signed verdict: replay, judge, labels, contract, gate, report, watch."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, expect

from review.adapters.local_model import LocalModel, ModelServer
from tests.conftest import shared
from tests.e2e.conftest import REVIEW, Server
from tests.e2e.reviewing import at_card, label, labels_of, saved
from tests.servers import endpoint, served

pytestmark = [pytest.mark.slow, pytest.mark.chromium]
TRACES = 50
# Eight bits change fewer answers than four, as few words do, and each that changes costs a judge seconds.
NEW = LocalModel(name="smollm2-135m-kv8", kv_type="q8_0")
JUDGE = LocalModel(name="smollm2-135m-judge")


def write_traces(file: Path) -> None:
    """Fifty of clinc150's questions, drawn by a seed."""
    lines = shared("data/clinc150/traces.jsonl").read_text("utf-8").splitlines()
    file.write_text("\n".join(random.Random(7).sample(lines, TRACES)) + "\n", "utf-8")


def write_config(file: Path, old: ModelServer, new: ModelServer, judge: ModelServer) -> None:
    """The configuration: two stacks, a judge, and a folder that is watched after the cutover."""
    brief = {"temperature": 0, "max_tokens": 3, "seed": 1}
    # One at a time: each call then finds what they all begin with read already.
    said = {"parameters": {"max_tokens": 100, "seed": 1}, "concurrency": 1, "timeout_seconds": 300.0}
    provider = endpoint(judge, name="here", **said)
    block = {
        "replay": {"customer_share": 1.0, "audit_size": 5},
        "endpoints": {"old": endpoint(old, parameters=brief), "new": endpoint(new, parameters=brief)},
        "judges": {
            **{"judge_model": JUDGE.name, "providers": [provider]},
            **{"votes": 1, "anchors": 0, "cache": {"semantic": False}},
        },
        "watch": {"folder": str(file.parent / "live"), "file": str(file.parent / "alerts.jsonl")},
    }
    file.write_text(yaml.safe_dump({"eval_config": block}))


def write_live_traffic(folder: Path, count: int) -> None:
    """Live traffic after the cutover, with known outcomes: the new stack is wrong in every third case."""
    folder.mkdir()
    start = datetime(2026, 6, 1, tzinfo=UTC)
    with (folder / "week.jsonl").open("w", encoding="utf-8") as out:
        for at in range(count):
            trace = {
                "trace_id": f"live-{at}",
                "task": "orders",
                "messages": [{"role": "user", "content": f"Where is parcel {at}?"}],
                "response": {"content": f"Parcel {at} is on its way.", "correct": True},
                "shadow": {"content": f"Parcel {at} is at the door.", "correct": at % 3 > 0},
                "served": "old",
                "happened_at": (start + timedelta(minutes=10 * at)).isoformat(),
            }
            out.write(json.dumps(trace) + "\n")


def run(server: Server, config: Path, *arguments: str, exits: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """A verb beside the running app."""
    command = [*REVIEW, *arguments, "--json", "--db", str(server.db)]
    environ = os.environ | {"REVIEW_CONFIG": str(config)}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environ)
    assert ended.returncode in exits, ended.stderr
    return json.loads(ended.stdout)


def test_fifty_questions_become_a_round_labels_and_a_signed_verdict(
    tmp_path: Path,
    old_server: ModelServer,
    make_server: Callable[..., Server],
    visit: Callable[..., Page],
) -> None:
    traces, config = tmp_path / "traces.jsonl", tmp_path / "config.yaml"
    write_traces(traces)
    app = make_server()
    with served(NEW, tmp_path) as new, served(JUDGE, tmp_path) as judge:
        write_config(config, old_server, new, judge)
        assert run(app, config, "import", "traces", str(traces))["new"] == TRACES
        made = run(app, config, "pipeline", "--size", "10")
        assert (made["stopped"], made["pairs"]) == (None, TRACES)
        assert made["replay"]["old"] == made["replay"]["new"] == TRACES
        compared = made["judge"]
        assert 0 < compared["judged"] == TRACES - compared["identical"]
        assert set(compared["verdicts"]) == {JUDGE.name}
        assert made["round"]["new"] is True
        assert made["round"]["size"] > 0

        asked = [server.tokens() for server in (old_server, new, judge)]
        again = run(app, config, "pipeline", "--size", "10")
        assert [server.tokens() for server in (old_server, new, judge)] == asked
        assert again["round"]["round_id"] == made["round"]["round_id"]
        assert again["judge"]["calls"] == 0

    page = visit(app, "/label", name="Nora")
    for _ in range(made["round"]["size"]):
        at_card(page)
        label(page)
        saved(page)
    rows = labels_of(app, "Nora")
    assert {row["round_id"] for row in rows} == {made["round"]["round_id"]}
    assert len(rows) == made["round"]["size"]

    started = run(app, config, "run", "start", "kv8", "--step", "quantization")
    assert started["candidate"]["name"] == NEW.name
    (part,) = run(app, config, "run", "record", "kv8")["parts"]
    assert (part["examples"], part["decided"]["label"]) == (TRACES, len(rows))
    (again,) = run(app, config, "run", "record", "kv8")["parts"]
    assert (part["new"], again) == (True, part | {"new": False})
    agreed = tmp_path / "contract.yaml"
    run(app, config, "contract", "init", "-o", str(agreed))
    run(app, config, "contract", "sign", str(agreed), "--name", "Nora Lind")
    # A handful of labels never proves a tolerance of 1.5 points: exit 4.
    gated = run(app, config, "gate", "--candidate", "kv8", exits=(4,))
    assert gated["verdict"] == "inconclusive"
    assert any(part["missing"] for part in gated["parts"])
    again = run(app, config, "gate", "--candidate", "kv8", exits=(4,))
    assert (again["look"], again["verdict"]) == (gated["look"], gated["verdict"])

    report = tmp_path / "parity.html"
    told = subprocess.run(
        [*REVIEW, "report", "--run", "kv8", "-o", str(report), "--db", str(app.db)],
        **{"capture_output": True, "text": True, "timeout": 300, "env": os.environ | {"REVIEW_CONFIG": str(config)}},
    )
    assert told.returncode == 0, told.stderr
    shown = visit(app, "/", name="Nora").context.new_page()
    shown.goto(report.as_uri())
    expect(shown.get_by_text("Inconclusive").first).to_be_visible()
    expect(shown.get_by_text("Nora Lind").first).to_be_visible()

    write_live_traffic(tmp_path / "live", 200)
    watched = run(app, config, "watch", "--once")
    assert (watched["scored"], watched["alerts"]) == (200, 1)
    alerts = [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text("utf-8").splitlines()]
    assert [each["task"] for each in alerts] == ["orders"]
    assert run(app, config, "watch", "--once")["alerts"] == 0
