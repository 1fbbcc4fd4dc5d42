"""How long the gate takes over 100,000 examples: benchmarks with six tasks, a golden set, labels and the set.

Run: python -m tests.bench.gate [EXAMPLES]. Prints JSON; the gate should take at most 10 s.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np

from review import settings
from review.domain.contract import Terms
from review.services import gate
from review.services.workspace import open_workspace
from tests import gating
from tests.conftest import NOW, pytest_configure

TASKS = 6
TARGET = 10.0


def main(examples: int) -> None:
    pytest_configure()
    rng = np.random.default_rng(11)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(open_workspace(settings.load(Path(folder) / "r.duckdb"))) as workspace,
    ):
        run = gating.begin(workspace)
        for task in range(TASKS):
            size = examples // TASKS
            old, new = (rng.random((2, size)) < 0.7).astype(float)
            new = np.where(rng.random(size) < 0.9, old, new)
            # Scores between 0 and 1 on one task: no two sums alike, the slowest case of the bootstrap.
            if task == 0:
                old, new = rng.random((2, size))
            table = gating.outcomes(
                list(zip(old.tolist(), new.tolist(), strict=True)),
                prompt_id=[f"t{task}p{at // 2}" for at in range(size)],
                prompt_tokens=rng.integers(100, 40_000, size),
            )
            gating.add(workspace, run, "benchmark", f"task{task}", table)
        gating.label_traffic(workspace, Path(folder), run, gating.GOOD, identical=2500)
        seconds: list[float] = []
        processor: list[float] = []
        for number in range(3):
            started, used = time.perf_counter(), time.process_time()
            terms = Terms(regression_threshold=0.02 + number / 1000)  # other terms, so that nothing is remembered
            found = gate.gate(workspace, run, terms, "bench", NOW + timedelta(hours=number))
            seconds.append(round(time.perf_counter() - started, 2))
            processor.append(round(time.process_time() - used, 2))
        started = time.perf_counter()
        gate.gate(workspace, run, terms, "bench", NOW + timedelta(days=1))
        again = round(time.perf_counter() - started, 2)
    report = {
        "examples": examples,
        "parts": len(found.document["parts"]),
        "seconds": seconds,
        "processor_seconds": processor,
        "seconds_without_anything_new": again,
        "target_seconds": TARGET,
        "met": max(seconds) <= TARGET,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
