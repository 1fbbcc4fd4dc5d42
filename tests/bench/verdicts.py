"""How long a label waits for its acknowledgement while `review gate` and `review report` work beside the app.

`python -m tests.bench.verdicts [--rows 100000] [--seconds 60] [--think 2] [--browsers 2]` prints JSON: browsers label
on a real server that holds as many pairs, labels and outcomes, first alone, then while the gate (with other terms every
time, so that nothing is remembered), the report and parity are asked again and again. Acknowledged is measured as in
tests.bench.card; the limit is 250 ms at the 95th percentile.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from review import settings
from review.services import run_record
from review.services.desk import LocalDesk
from review.services.workspace import open_workspace
from tests import gating
from tests.__main__ import BROWSERS
from tests.bench import card
from tests.bench.pages import fill
from tests.e2e.conftest import REVIEW, Server

LIMIT_MS = 250
TASKS = 6


def with_run(db: Path, rows: int) -> None:
    """`rows` pairs, labels and votes, and a run of as many outcomes of benchmarks and of all that traffic."""
    fill(db, rows)
    rng = np.random.default_rng(11)
    with closing(open_workspace(settings.load(db))) as workspace:
        run = gating.begin(workspace, "awq")
        for task in range(TASKS):
            size = rows // TASKS
            old, new = (rng.random((2, size)) < 0.7).astype(float)
            new = np.where(rng.random(size) < 0.9, old, new)
            table = gating.outcomes(
                list(zip(old.tolist(), new.tolist(), strict=True)),
                prompt_id=[f"t{task}p{at // 2}" for at in range(size)],
                prompt_tokens=rng.integers(100, 40_000, size),
            )
            gating.add(workspace, run, "benchmark", f"task{task}", table)
        run_record.record(LocalDesk(workspace, "bench"), run.run_id, sources=["bench"])


class Load(threading.Thread):
    """Verbs beside the app, one after the other, each in a process of its own, until it is told to stop."""

    def __init__(self, server: Server, folder: Path) -> None:
        super().__init__(daemon=True)
        self.server, self.folder = server, folder
        self.begun, self.ended = threading.Event(), threading.Event()
        self.verbs: list[dict[str, Any]] = []

    def run(self) -> None:
        for turn in itertools.count(1):
            terms = self.folder / "contract.yaml"
            terms.write_text(f"contract:\n  regression_threshold: {0.02 + turn / 1000}\n")
            self.ask("gate", "--candidate", "awq", "--contract", str(terms))
            self.ask("report", "--run", "awq", "-o", str(self.folder / "report.html"))
            self.ask("parity")
            if self.ended.is_set():
                return

    def ask(self, *arguments: str) -> None:
        if self.ended.is_set():
            return
        self.begun.set()
        began = time.perf_counter()
        line = [*REVIEW, *arguments, "--db", str(self.server.db)]
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while process.poll() is None:
            if self.ended.wait(0.1):
                process.terminate()
        stderr = process.communicate()[1]
        # The gate's and parity's own answers: 3 regression, 4 inconclusive.
        whole = process.returncode in (0, 3, 4)
        if not whole and not self.ended.is_set():
            raise RuntimeError(stderr)
        self.verbs.append({"verb": arguments[0], "whole": whole, "seconds": round(time.perf_counter() - began, 1)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=2, help="seconds a pair")
    parser.add_argument("--browsers", type=int, default=2)
    parser.add_argument("--db", type=Path, help="a database of with_run() to copy instead of making one")
    chosen = parser.parse_args()
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        server = Server(folder / "review.duckdb")
        if chosen.db is None:
            with_run(server.db, chosen.rows)
        else:
            for end in ("", ".key"):
                shutil.copy(f"{chosen.db}{end}", f"{server.db}{end}")
        server.start()
        try:
            browser = playwright.chromium.launch(executable_path=path, args=card.FLAGS)
            quiet = card.measure(browser, server, chosen.browsers, chosen.seconds / 2, chosen.think)
            load = Load(server, folder)
            load.start()
            load.begun.wait()
            busy = card.measure(browser, server, chosen.browsers, chosen.seconds, chosen.think)
            load.ended.set()
            load.join()
            browser.close()
        finally:
            server.stop()
    within = busy["acknowledged_ms"]["p95"] <= LIMIT_MS
    result = {"quiet": quiet, "under_load": busy, "verbs": load.verbs, "limit_ms": LIMIT_MS, "within_limit": within}
    print(json.dumps(result, indent=1))
    sys.exit(0 if within else 1)


if __name__ == "__main__":
    main()
