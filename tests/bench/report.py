"""How long the report takes with 100,000 pairs and 100,000 labels, section by section; and each of its renderings.

`python -m tests.bench.report [--rows 100000] [--repeats 3]` prints JSON: medians in seconds, the whole against the ten
seconds it may take (on a busy machine its processor time says more), and how large the file is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from review import settings
from review.services import looks, report
from review.services.desk import Answer, LocalDesk
from review.services.report import Asked
from review.services.workspace import open_workspace
from tests.bench import machine, pages
from tests.conftest import NOW

LIMIT = 10.0


class TimedDesk:
    """A desk that notes how long each section took."""

    def __init__(self, desk: LocalDesk) -> None:
        self.desk, self.settings, self.key = desk, desk.settings, desk.key
        self.held, self.close = desk.held, desk.close
        self.seconds: dict[str, float] = {}

    def ask(self, name: str, arguments: Mapping[str, Any] | None = None, table: Any | None = None) -> Answer:
        """Run an operation, and note its time by section."""
        started = time.perf_counter()
        answer = self.desk.ask(name, arguments, table)
        self.seconds[str((arguments or {})["section"])] = time.perf_counter() - started
        return answer


def once(desk: LocalDesk) -> tuple[dict[str, float], dict[str, int]]:
    """One report: seconds by section and rendering, and sizes in bytes."""
    timed = TimedDesk(desk)
    started, worked = time.perf_counter(), time.process_time()
    document = report.build(timed, Asked())
    seconds = dict(timed.seconds)
    sizes: dict[str, int] = {}
    for form in ("html", "markdown", "json"):
        begun = time.perf_counter()
        sizes[form] = len(report.rendered(document, form).encode())
        seconds[f"as {form}"] = time.perf_counter() - begun
    seconds["whole"] = time.perf_counter() - started
    seconds["whole, of processor time"] = time.process_time() - worked
    return seconds, sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    before = machine.state()
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "review.duckdb"
        pages.fill(db, arguments.rows)
        workspace = open_workspace(settings.load(db))
        looks.take(workspace, None, "bench", NOW)
        runs = [once(LocalDesk(workspace, "bench")) for _ in range(arguments.repeats)]
        workspace.close()
    seconds = {name: round(statistics.median(each[0][name] for each in runs), 3) for name in runs[0][0]}
    print(
        json.dumps(
            {
                "machine": before,
                "rows": arguments.rows,
                "seconds": seconds,
                "bytes": runs[-1][1],
                "within": f"{LIMIT:g} s: {seconds['whole'] <= LIMIT}",
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
