"""A real migration: logged questions, a model, the same model quantized, the model as judge, a round, a label."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page

from review.adapters.local_model import LocalModel, ModelServer
from tests.conftest import shared
from tests.e2e.conftest import REVIEW, Server
from tests.e2e.reviewing import at_card, label, labels_of, saved
from tests.servers import endpoint, served

pytestmark = [pytest.mark.slow, pytest.mark.chromium]
TRACES = 50
# Eight bits change fewer answers than four, and each that changes costs a judge seconds.
NEW = LocalModel(name="smollm2-135m-kv8", kv_type="q8_0")
JUDGE = LocalModel(name="smollm2-135m-judge")


def write_traces(file: Path) -> None:
    """Fifty of clinc150's questions, drawn by a seed."""
    lines = shared("data/clinc150/traces.jsonl").read_text("utf-8").splitlines()
    file.write_text("\n".join(random.Random(7).sample(lines, TRACES)) + "\n", "utf-8")


def write_config(file: Path, old: ModelServer, new: ModelServer, judge: ModelServer) -> None:
    brief = {"temperature": 0, "max_tokens": 6, "seed": 1}
    provider = endpoint(judge, name="here", parameters={"max_tokens": 100, "seed": 1}, timeout_seconds=300.0)
    block = {
        "replay": {"customer_share": 1.0, "audit_size": 5},
        "endpoints": {"old": endpoint(old, parameters=brief), "new": endpoint(new, parameters=brief)},
        "judges": {
            **{"judge_model": JUDGE.name, "providers": [provider]},
            **{"votes": 1, "anchors": 0, "cache": {"semantic": False}},
        },
    }
    file.write_text(yaml.safe_dump({"eval_config": block}))


def run(server: Server, config: Path, *arguments: str) -> dict[str, Any]:
    """A verb beside the running app."""
    command = [*REVIEW, *arguments, "--json", "--db", str(server.db)]
    environ = os.environ | {"REVIEW_CONFIG": str(config)}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environ)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_fifty_questions_become_a_round_that_is_labelled_in_the_browser(
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
    at_card(page)
    label(page)
    saved(page)
    (row,) = labels_of(app, "Nora")
    assert row["round_id"] == made["round"]["round_id"]
