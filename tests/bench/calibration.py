"""How long `review calibration` takes on 30,000 rows, and the page's calibration on 100,000 stored pairs.

`python -m tests.bench.calibration [--rows 30000] [--pairs 100000]` prints JSON. Each answer has a confidence of its own
(as token probabilities have), which is the slowest case. "reading" parses the files, "computing" is everything after.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from review import settings
from review.adapters import files
from review.services.calibration import calibration_of, calibration_of_files
from review.services.workspace import open_workspace
from tests.bench import machine
from tests.conftest import NOW

RUNS = 5

PAIRS = """
INSERT INTO pair
SELECT 'bench-' || i AS pair_id, 'prompt-' || (i // 3) AS prompt_id, 'task ' || (i % 8) AS task,
       '[{"role":"user","content":"A question of some length"}]' AS messages, NULL AS tools, NULL AS reference,
       json_object('content', repeat('An answer of some length. ', 20), 'confidence', random()) AS old,
       json_object('content', repeat('Another answer of some length. ', 20), 'confidence', random(),
                   'correct', hash(i) % 4 > 0) AS new,
       NULL AS metadata, false AS identical, true AS structured_differs, 'bench' AS source, $now AS imported_at
FROM range($pairs) t(i);
INSERT INTO label (label_id, pair_id, reviewer, kind, occurrence, shown_first, preference, error_old, error_new,
                   calibration_old, calibration_new, seconds, labelled_at, received_at, source)
SELECT 'label-' || i, 'bench-' || i, 'reviewer', 'label', 0, 'old', 'new',
       CASE hash(i + 1) % 4 WHEN 0 THEN 'cautious' WHEN 1 THEN 'confident' ELSE 'none' END, 'none',
       CASE hash(i + 2) % 3 WHEN 0 THEN 'under' WHEN 1 THEN 'right' ELSE 'over' END,
       CASE hash(i + 3) % 3 WHEN 0 THEN 'under' WHEN 1 THEN 'right' ELSE 'over' END, 20.0, $now, $now, 'bench'
FROM range($pairs) t(i);
"""


def timed(call: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of the first run and of those after it."""
    times: list[float] = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return {"first": round(times[0], 1)} | machine.summary(times[1:])


def plain_files(folder: Path, rows: int) -> tuple[Path, Path]:
    rng = np.random.default_rng(1)
    paths = (folder / "old.jsonl", folder / "new.jsonl")
    for path in paths:
        confidence = rng.random(rows)
        correct = rng.random(rows) < confidence
        lines = zip(range(rows), confidence.tolist(), correct.tolist(), strict=True)
        path.write_text("".join(json.dumps({"id": n, "confidence": c, "correct": y}) + "\n" for n, c, y in lines))
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--pairs", type=int, default=100_000)
    arguments = parser.parse_args()
    before, ms = machine.state(), dict[str, dict[str, float]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        old, new = plain_files(folder, arguments.rows)
        one, two = "one file", "two files"
        ms[f"reading, {one}"] = timed(lambda: list(files.read(old)))
        ms[f"reading and computing, {one}"] = timed(lambda: calibration_of_files(old))
        ms[f"reading, {two}"] = timed(lambda: (list(files.read(old)), list(files.read(new))))
        ms[f"reading and computing, {two}"] = timed(lambda: calibration_of_files(old, new))
        workspace = open_workspace(settings.load(folder / "review.duckdb"))
        with workspace.database.transaction() as cursor:
            for statement in PAIRS.split(";\n"):
                if statement.strip():
                    cursor.execute(statement, {"pairs": arguments.pairs, "now": NOW})
        ms["stored pairs, labelled, with a confidence on both sides"] = timed(lambda: calibration_of(workspace))
        workspace.close()
    for kind in (one, two):
        both, parsing = (ms[f"{what}, {kind}"]["median"] for what in ("reading and computing", "reading"))
        ms[f"computing, {kind}"] = {"median": round(both - parsing, 1)}
    print(json.dumps({"machine": before, "rows": arguments.rows, "pairs": arguments.pairs, "ms": ms}, indent=1))


if __name__ == "__main__":
    main()
