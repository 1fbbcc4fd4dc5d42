"""How long a label waits for its acknowledgement while commands work through the desk of the running app.

`python -m tests.bench.beside [--seconds 30] [--think 2] [--pairs 4000] [--strip]` prints JSON: one browser labels real
pairs on a real server, first alone, then while commands beside the app import, export, compute the agreement and tell
the state, again and again, like a pipeline. Acknowledged is measured as in tests.bench.card; the limit is 250 ms at the
95th percentile.
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
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.__main__ import BROWSERS
from tests.bench import card
from tests.bench.import_export import pairs
from tests.e2e.conftest import REVIEW, Server
from tests.e2e.reviewing import phi3, with_round

LIMIT_MS = 250


class Load(threading.Thread):
    """Verbs beside the app, one after the other, each in a process of its own, until it is told to stop."""

    def __init__(self, server: Server, folder: Path, count: int) -> None:
        super().__init__(daemon=True)
        self.server, self.folder, self.count = server, folder, count
        self.ended = threading.Event()
        self.done: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

    def run(self) -> None:
        turn = 0
        while not self.ended.is_set():
            turn += 1
            file = self.folder / "more.jsonl"
            with file.open("w") as lines:
                for number, pair in enumerate(pairs(self.count, with_ids=False)):
                    pair["pair_id"] = f"load-{turn}-{number}"
                    lines.write(json.dumps(pair) + "\n")
            self.ask("import", "pairs", str(file))
            self.ask("export", "pairs", "-o", str(self.folder / "out.jsonl"))
            self.ask("agreement")
            self.ask("status")

    def ask(self, *arguments: str) -> None:
        if self.ended.is_set():
            return
        began = time.perf_counter()
        subprocess.run([*REVIEW, *arguments, "--db", str(self.server.db)], check=True, capture_output=True)
        self.done[arguments[0]] += 1
        self.seconds[arguments[0]] += round(time.perf_counter() - began, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--think", type=float, default=2, help="seconds a pair")
    parser.add_argument("--pairs", type=int, default=4000, help="in one import of the load")
    parser.add_argument("--strip", action="store_true", help="with personal data stripped on the way in")
    chosen = parser.parse_args()
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright, _configured(Path(name), chosen.strip):
        folder = Path(name)
        server = Server(folder / "review.duckdb")
        with_round(phi3(), overlap=20)(server.db)
        server.start()
        try:
            browser = playwright.chromium.launch(executable_path=path, args=card.FLAGS)
            quiet = card.measure(browser, server, 1, chosen.seconds, chosen.think)
            load = Load(server, folder, chosen.pairs)
            load.start()
            busy = card.measure(browser, server, 1, chosen.seconds, chosen.think)
            load.ended.set()
            load.join()
            browser.close()
        finally:
            server.stop()
    p95 = busy["acknowledged_ms"]["p95"]
    result: dict[str, Any] = {
        "quiet": quiet,
        "under_load": busy,
        "verbs": {verb: {"times": n, "seconds": load.seconds[verb]} for verb, n in load.done.items()},
        "limit_ms": LIMIT_MS,
        "within_limit": p95 <= LIMIT_MS,
    }
    print(json.dumps(result, indent=2))
    sys.exit(0 if result["within_limit"] else 1)


@contextmanager
def _configured(folder: Path, strip: bool) -> Generator[None]:
    """The configuration of this measurement, for this process and those it starts."""
    file = folder / "eval_config.yaml"
    file.write_text(f"eval_config: {{replay: {{strip_pii: {str(strip).lower()}}}}}\n")
    os.environ["REVIEW_CONFIG"] = str(file)
    try:
        yield
    finally:
        del os.environ["REVIEW_CONFIG"]


if __name__ == "__main__":
    main()
