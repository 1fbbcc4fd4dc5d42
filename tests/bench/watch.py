"""How many traces a second watching takes in, observes, scores and lets a detector see, without a judge; prints JSON.

    python -m tests.bench.watch [--pairs 20000]

`ingest` reads shadow traffic from files into pairs (personal data is not looked for here: tests/bench/pii.py); `watch`
is everything after it, for pairs whose correctness is known.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import closing
from pathlib import Path

from review import settings
from review.services import watch
from review.services.desk import LocalDesk
from review.services.workspace import open_workspace
from tests.bench.machine import state
from tests.watching import add_pairs, configure, quick_plan, write_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20_000)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        environ = {"REVIEW_CONFIG": str(configure(folder))}
        with closing(open_workspace(settings.load(folder / "r.duckdb", environ))) as workspace:
            desk = LocalDesk(workspace, "bench")
            quick_plan(desk)
            add_pairs(workspace, pairs)
            begun, worked = time.perf_counter(), time.process_time()
            done = watch.once(desk)
            took, worked = time.perf_counter() - begun, time.process_time() - worked
            write_file(folder / "traffic", "file", pairs // 10)
            begun = time.perf_counter()
            more = watch.once(desk)
            with_files = time.perf_counter() - begun
            begun = time.perf_counter()
            watch.once(desk)
            idle = time.perf_counter() - begun
    figures = {
        "pairs": done.scored,
        "watch_per_second": round(done.scored / took),
        "watch_per_processor_second": round(done.scored / worked),
        "ingest_and_watch_per_second": round(more.scored / with_files),
        "idle_round_seconds": round(idle, 3),
    }
    print(json.dumps(figures | {"machine": state()}))


if __name__ == "__main__":
    main()
