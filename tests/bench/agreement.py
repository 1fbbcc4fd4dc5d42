"""How long each part of the Agreement page computes at first with 100,000 pairs and 100,000 labels.

`python -m tests.bench.agreement [--rows 100000] [--runs 3]` prints JSON: seconds of each service, the first run and the
median of the others. The page keeps the results until data change; tests.bench.pages measures its visits.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from review import settings
from review.services import agreement, reviewers, slices, stability
from review.services.workspace import open_workspace
from tests.bench import machine
from tests.bench.pages import fill


def seconds(work: Callable[[], object], runs: int) -> dict[str, float]:
    """The first run, and the median of those after it."""
    taken: list[float] = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return {"first": round(taken[0], 3), "again": round(statistics.median(taken[1:]), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "review.duckdb"
        fill(db, arguments.rows)
        workspace = open_workspace(settings.load(db))
        before = machine.state()
        works: dict[str, Callable[[], object]] = {
            "judges and people": lambda: agreement.agreement(workspace),
            **{
                f"slices by {by}": lambda by=by: slices.slices(workspace, "judge", by)
                for by in slices.properties(workspace)
            },
            "stability": lambda: stability.stability(workspace, "judge"),
            "reviewers": lambda: reviewers.reviewers(workspace),
        }
        found = {name: seconds(work, arguments.runs) for name, work in works.items()}
        workspace.close()
    print(json.dumps({"machine": before, "rows": arguments.rows, "seconds": found}, indent=1))


if __name__ == "__main__":
    main()
