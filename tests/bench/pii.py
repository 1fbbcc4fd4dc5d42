"""How fast personal data is stripped, in two processes through the engine and for each second of a core; prints JSON.

`python -m tests.bench.pii [--texts 4000]`

The texts are those of ../shared/data/pii, each made different by a number, so that nothing is met twice. Starting the
processes is told apart: `warm` begins when the first piece is done. `core` divides by the processor time that the
processes used, which a busy machine does not lengthen.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from typing import Any

import pyarrow as pa

from review.services import engine, strip
from tests.bench.machine import state
from tests.conftest import shared

_PIECE = 200
TARGET = 50


def used() -> float:
    """Seconds of processor time of processes that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def measure(tables: list[Any], workers: int) -> dict[str, float]:
    """Seconds to the first piece and after it, and of processor time."""
    spent, begin = used(), time.perf_counter()
    pieces = engine.run_stage(strip.strip_batch, iter(tables), strip.StripSettings(), workers=workers)
    next(pieces)
    first = time.perf_counter()
    rest = sum(len(piece) for piece in pieces)
    return {"start": first - begin, "warm": time.perf_counter() - first, "core": used() - spent, "rows": rest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=4000)
    given = parser.parse_args()
    lines = shared("data/pii/sentences.jsonl").read_text(encoding="utf-8").splitlines()
    sentences = [json.loads(line)["full_text"] for line in lines]
    rng = random.Random(1)
    texts = [f"{rng.choice(sentences)} ({number})" for number in range(given.texts)]
    tables = [pa.table({"reference": texts[start : start + _PIECE]}) for start in range(0, len(texts), _PIECE)]
    before = state()
    # What loading costs a process, so that it can be told apart.
    idle = measure([pa.table({"reference": ["x"]})] * 2, 2)
    busy = measure(tables, 2)
    size = sum(map(len, texts)) / 1000
    after = sum(map(len, texts[_PIECE:])) / 1000
    print(
        json.dumps(
            {
                "machine": before,
                "kilobytes": round(size),
                "target_kb_per_second": TARGET,
                "two_processes_kb_per_second": round(after / busy["warm"], 1),
                "kb_per_core_second": round(size / max(1e-9, busy["core"] - idle["core"]), 1),
                "start_seconds": round(busy["start"], 1),
                "machine_after": state(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
