"""How long a label waits for its acknowledgement while a whole pipeline runs beside the app.

`python -m tests.bench.pipeline [--seconds 60] [--think 2] [--traces 2000]` prints JSON: browsers label real pairs on a
real server, first one alone, then two while `review import traces` and `review pipeline` work beside the app
(stripping, embedding, clustering, replaying, judging, drawing), over and over with another seed. Acknowledged is
measured as in tests.bench.card; the limit is 250 ms at the 95th percentile.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import sync_playwright

from tests.__main__ import BROWSERS
from tests.bench import card
from tests.conftest import SHARED
from tests.e2e.conftest import REVIEW, Server
from tests.e2e.reviewing import phi3, with_round
from tests.faults import FaultServer
from tests.judging import opinion

LIMIT_MS = 250


class Load(threading.Thread):
    """Imports traces and runs the pipeline beside the app, again and again, until it is told to stop."""

    def __init__(self, server: Server, folder: Path, count: int, stack: FaultServer, judge: FaultServer) -> None:
        super().__init__(daemon=True)
        self.server, self.folder, self.count, self.stack, self.judge = server, folder, count, stack, judge
        self.begun, self.ended = threading.Event(), threading.Event()
        self.verbs: list[dict[str, Any]] = []

    def run(self) -> None:
        lines = (SHARED / "data/clinc150/traces.jsonl").read_text("utf-8").splitlines()[: self.count]
        traces = self.folder / "traces.jsonl"
        traces.write_text("\n".join(lines) + "\n", "utf-8")
        turn = 0
        while not self.ended.is_set():
            turn += 1
            self.configure(turn)
            if turn == 1:
                self.ask("import", "traces", str(traces))
            self.ask("pipeline", "--size", "80", "--seed", str(turn))

    def configure(self, turn: int) -> None:
        """Other parameters make another stack, so that everything is replayed and judged anew."""
        common = {"base_url": self.stack.url, "concurrency": 16, "parameters": {"seed": turn}}
        block = {
            "endpoints": {"old": common | {"model": "old"}, "new": common | {"model": "new"}},
            "replay": {"customer_share": 1.0, "sample_size": self.count},
            "judges": {
                "judge_model": "judge-1",
                "providers": [{"name": "near", "base_url": self.judge.url, "model": "judge-1", "concurrency": 16}],
            },
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump({"eval_config": block}))

    def ask(self, *arguments: str) -> None:
        if self.ended.is_set():
            return
        self.begun.set()
        began = time.perf_counter()
        environ = os.environ | {"REVIEW_CONFIG": str(self.folder / "config.yaml")}
        line = [*REVIEW, *arguments, "--db", str(self.server.db)]
        process = subprocess.Popen(line, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while process.poll() is None:
            if self.ended.wait(0.2):
                process.terminate()
        stderr = process.communicate()[1]
        whole = process.returncode == 0
        if not whole and not self.ended.is_set():
            raise RuntimeError(stderr)
        self.verbs.append({"verb": arguments[0], "whole": whole, "seconds": round(time.perf_counter() - began, 1)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=2, help="seconds a pair")
    parser.add_argument("--traces", type=int, default=2000)
    chosen = parser.parse_args()
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with (
        tempfile.TemporaryDirectory() as name,
        FaultServer(answer=lambda document: f"{document['model']} looks into it.", latency=0.05) as stack,
        FaultServer(answer=opinion, latency=0.05) as judge,
        sync_playwright() as playwright,
    ):
        folder = Path(name)
        server = Server(folder / "review.duckdb")
        with_round(phi3(), overlap=20)(server.db)
        server.start()
        try:
            browser = playwright.chromium.launch(executable_path=path, args=card.FLAGS)
            quiet = card.measure(browser, server, 1, chosen.seconds, chosen.think)
            load = Load(server, folder, chosen.traces, stack, judge)
            load.start()
            load.begun.wait()
            busy = card.measure(browser, server, 2, chosen.seconds, chosen.think)
            load.ended.set()
            load.join()
            browser.close()
        finally:
            server.stop()
    within = busy["acknowledged_ms"]["p95"] <= LIMIT_MS
    asked = {"replayed": stack.good.total(), "judged": judge.good.total()}
    result = {"quiet": quiet, "under_load": busy, "verbs": load.verbs, **asked, "limit_ms": LIMIT_MS}
    print(json.dumps(result | {"within_limit": within}, indent=2))
    sys.exit(0 if within else 1)


if __name__ == "__main__":
    main()
