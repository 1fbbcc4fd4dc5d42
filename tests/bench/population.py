"""How long the population behind the labels takes to read: 100,000 pairs, 200,000 verdicts, 100,000 labels, rounds.

`python -m tests.bench.population [--rows 100000] [--visits 10]` prints JSON: milliseconds for all rounds together and
for one, where half of the labels were given in a round of 50,000 and the rest imported without one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from review import settings
from review.services import rounds
from review.services.population import population
from review.services.workspace import open_workspace
from tests.bench import machine
from tests.bench.pages import FILL
from tests.conftest import NOW

IN_ROUND = """
INSERT INTO label BY NAME
SELECT 'round-label-' || position AS label_id, pair_id, 'ann' AS reviewer, 'label' AS kind, round_id,
       'tie' AS preference, now() AS received_at, 'bench' AS source
FROM slot WHERE round_id = $round;
"""


def milliseconds(work: Callable[[], object], visits: int) -> dict[str, float]:
    times: list[float] = []
    for _ in range(visits):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return {"first": round(times[0], 1)} | machine.summary(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--visits", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(settings.load(Path(folder) / "review.duckdb"))
        pairs, verdicts, labels = (part for part in FILL.split(";\n") if part.strip())
        with workspace.database.transaction() as cursor:
            cursor.execute(pairs, {"rows": arguments.rows})
            cursor.execute(verdicts.replace("range(1, 4)", "range(1, 3)"), {"rows": arguments.rows})
            cursor.execute(labels, {"rows": arguments.rows // 2})
        for seed in range(4):
            rounds.draw(workspace, rounds.DrawSpec(size=100, seed=seed), "bench", NOW)
        large = rounds.draw(workspace, rounds.DrawSpec(size=arguments.rows // 2, seed=9), "bench", NOW)
        with workspace.database.transaction() as cursor:
            cursor.execute(IN_ROUND, {"round": large.round_id})
        before = machine.state()
        found = {
            "all rounds": milliseconds(lambda: population(workspace, None), arguments.visits),
            "one round": milliseconds(lambda: population(workspace, large.round_id), arguments.visits),
        }
        count = workspace.database.cursor().execute(
            "SELECT (SELECT count(*) FROM pair), (SELECT count(*) FROM verdict), (SELECT count(*) FROM label)"
        )
        rows = dict(zip(("pairs", "verdicts", "labels"), count.fetchall()[0], strict=True))
        workspace.close()
    print(json.dumps({"machine": before, "rows": rows, "ms": found}, indent=1))


if __name__ == "__main__":
    main()
