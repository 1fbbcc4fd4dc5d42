"""`review demo --live` on a few prompts: real servers, a judge, a round behind the address it names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import free_port, run_cli
from tests.waiting import until

pytestmark = pytest.mark.slow
# Two prompts instead of sixty, and a few words an answer.
SMALL = """
import sys
from review.services import live_demo
live_demo.PROMPTS, live_demo.ROUND = 2, 2
live_demo._ANSWER["max_tokens"] = 12
from review.cli import main
main(sys.argv[1:])
"""


def test_it_serves_a_round_and_leaves_no_model_server_behind(tmp_path: Path) -> None:
    db, port = tmp_path / "live" / "review.duckdb", free_port()
    line = [sys.executable, "-c", SMALL, "demo", "--live", "--no-browser", "--port", str(port), "--db", str(db)]
    log = tmp_path / "said.log"
    with log.open("wb") as said:
        process = subprocess.Popen(line, cwd=ROOT, stdout=said, stderr=said)
    try:

        def serves() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return httpx.get(f"http://127.0.0.1:{port}/review/health", timeout=2).status_code == 200
            except httpx.TransportError:
                return False

        until(serves, "the app serves", seconds=400)
        assert not any("local_model" in " ".join(each.cmdline()) for each in psutil.Process(process.pid).children())
        assert f"The round waits at http://localhost:{port}/label" in log.read_text()
        assert "round    round-1-" in log.read_text()
    finally:
        process.terminate()
        process.wait(timeout=60)
    assert '"pairs": 2' in run_cli(db, "status", "--json").stdout
