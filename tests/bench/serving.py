"""How long drawing, queueing and submitting take in a database with 100,000 pairs and labels; prints JSON.

`python -m tests.bench.serving [--rows 100000]`
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar

from review import settings
from review.domain.card import Answers
from review.services import label, rounds
from review.services.workspace import open_workspace
from tests.bench.machine import state, summary
from tests.bench.pages import fill

P = ParamSpec("P")
T = TypeVar("T")


def timed(into: list[float], work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` and note the milliseconds it took."""
    begin = time.perf_counter()
    result = work(*args, **kwargs)
    into.append((time.perf_counter() - begin) * 1000)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    times: dict[str, list[float]] = {
        name: [] for name in ("preview", "draw", "shown", "submit", "queue", "progress", "list")
    }
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "review.duckdb"
        fill(db, rows)
        workspace = open_workspace(settings.load(db))
        now = datetime.now(UTC)
        spec = rounds.DrawSpec(size=100, seed=5)
        for _ in range(5):
            timed(times["preview"], rounds.preview, workspace, spec)
            round_id = timed(times["draw"], rounds.draw, workspace, spec, "lead", now).round_id
        before = state()
        number = 0
        while cards := timed(times["queue"], label.queue, workspace, "Ana", round_id, 6, now):
            now += timedelta(seconds=20)
            card = cards[0]
            timed(times["shown"], label.renew, workspace, "Ana", card.card_id, now)
            said = Answers(label_id=f"label-{number:05}", card_id=card.card_id, better="same", seconds=20.0)
            timed(times["submit"], label.submit, workspace, "Ana", [said], now)
            timed(times["progress"], label.progress, workspace, "Ana", round_id)
            timed(times["list"], rounds.list_rounds, workspace)
            number += 1
        workspace.close()
    found = {"rows": rows, "milliseconds": {name: summary(values) for name, values in times.items()}}
    print(json.dumps(found | {"machine_before": before, "machine_after": state()}, indent=1))


if __name__ == "__main__":
    main()
