"""`review judge` beside the running app, and with a real model as the judge."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from review.adapters.local_model import ModelServer
from tests.crash.test_judge import COMMAND, PAIRS, judge, prepare, verdicts
from tests.e2e.conftest import Server
from tests.faults import FaultServer
from tests.judging import opinion
from tests.servers import endpoint


def test_it_works_beside_the_app_and_costs_nothing_again_without_it(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    with FaultServer(answer=opinion) as judge_server:
        environ: dict[str, str] = {}

        def fill(db: Path) -> None:
            environ.update(prepare(db.parent, judge_server)[1])

        server = make_server(fill)
        report = judge(environ)
        assert (report["judged"], report["left"], report["calls"]) == (PAIRS, 0, 3 * PAIRS + 2)
        assert judge(environ)["calls"] == 0
        server.stop()
        assert judge(environ)["calls"] == 0
    assert len(verdicts(server.db)) == 3 * PAIRS


@pytest.mark.slow
def test_a_real_small_model_judges_bound_to_the_schema(old_server: ModelServer, tmp_path: Path) -> None:
    with FaultServer() as unused:
        db, environ = prepare(tmp_path, unused)
    real = {
        "name": "here",
        # One at a time: each call then finds what they all begin with read already.
        **endpoint(old_server, parameters={"seed": 1}, concurrency=1, timeout_seconds=300.0),
        "price": {"input": 1.0, "output": 2.0},
    }
    config = Path(environ["REVIEW_CONFIG"])
    judges: dict[str, Any] = {"providers": [real], "anchors": 0, "cache": {"semantic": False}}
    config.write_text(yaml.safe_dump({"eval_config": {"judges": judges}}), encoding="utf-8")
    done = subprocess.run([*COMMAND, "--limit", "1"], env=environ, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert (report["judged"], report["calls"], report["failed"]) == (1, 3, {})
    assert report["cost_usd"] > 0
    found = verdicts(db)
    assert {judge_name for _, _, judge_name, _, _ in found} == {old_server.model.name}
    assert {winner for *_, winner in found} <= {"old", "new", "tie"}  # the schema holds: every vote can be read
    assert len(found) == 3
