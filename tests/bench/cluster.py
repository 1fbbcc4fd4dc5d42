"""How well and how fast traces are clustered: adjusted Rand index on clinc150, encoding beside the bare library, runs.

    python -m tests.bench.cluster              quality, encoding, a cold run of 2,000 traces
    python -m tests.bench.cluster --many 100000   also a run over so many traces (texts of clinc150, varied)

Needs ../shared/data/clinc150. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from review import settings
from review.adapters import clustering
from review.adapters.cache import Cache
from review.adapters.embedding import BUNDLED, LocalEncoder, bundled, embed
from review.services.workspace import open_workspace
from tests import clustered
from tests.bench import machine

SOURCE = Path(__file__).resolve().parents[3] / "shared/data/clinc150/traces.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--many", type=int, default=0)
    parser.add_argument("--samples", type=int, default=10)
    asked = parser.parse_args()
    records = [json.loads(line) for line in SOURCE.read_text(encoding="utf-8").splitlines()]
    texts = [each["messages"][0]["content"] for each in records]
    intents = [each["metadata"]["intent"] for each in records]
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, Any] = {"machine": machine.state(), "encoding": encoding(texts[:2_000], Path(folder))}
        with closing(Cache(Path(folder) / "cache")) as cache:
            vectors = embed(LocalEncoder(BUNDLED), cache, b"bench", texts, texts).vectors
    found["quality_all"] = quality(vectors, intents, 0)
    rng = np.random.default_rng(0)
    drawn = [rng.choice(len(texts), 2_000, replace=False) for _ in range(asked.samples)]
    found["quality_2000"] = [quality(vectors[rows], [intents[row] for row in rows], 0) for rows in drawn]
    found["mean_2000"] = round(statistics.mean(each["rand"] for each in found["quality_2000"]), 3)
    found["run_2000"] = run([records[row] for row in drawn[0]])
    if asked.many:
        found[f"run_{asked.many}"] = run([varied(records, number) for number in range(asked.many)])
    print(json.dumps(found, indent=2))


def quality(vectors: Any, intents: list[str], seed: int) -> dict[str, Any]:
    """Adjusted Rand index (what fits nowhere is one group), clusters and noise before and after it was given away."""
    started = time.perf_counter()
    weight = np.ones(len(vectors), np.int64)
    size = clustering.smallest(15, len(vectors))
    made, noise = clustering.cluster(vectors, weight, clustering.Settings(size, seed))
    return {
        "rand": round(float(adjusted_rand_score(intents, made.label)), 3),
        "clusters": len(made.centroid),
        "noise": round(float(noise.mean()), 3),
        "left": round(float((made.label < 0).mean()), 3),
        "seconds": round(time.perf_counter() - started, 1),
    }


def encoding(texts: list[str], folder: Path) -> dict[str, float]:
    """Texts a second of ours, cache included, and of the bare library, in turns on the same texts."""
    from sentence_transformers import SentenceTransformer

    bare = SentenceTransformer(str(bundled()), device="cpu")
    ours = LocalEncoder(BUNDLED)
    bare.encode(texts[:64])
    ours.encode(texts[:64])
    rates: dict[str, list[float]] = {"bare": [], "ours": []}
    for turn in range(3):
        started = time.perf_counter()
        bare.encode(texts, batch_size=32, show_progress_bar=False)
        rates["bare"].append(len(texts) / (time.perf_counter() - started))
        with closing(Cache(folder / f"cache-{turn}")) as cache:
            started = time.perf_counter()
            embed(ours, cache, b"bench", texts, texts)
            rates["ours"].append(len(texts) / (time.perf_counter() - started))
    found = {name: round(statistics.median(each), 1) for name, each in rates.items()}
    return found | {"ratio": round(found["ours"] / found["bare"], 3)}


def run(records: list[Any]) -> dict[str, Any]:
    """`review cluster` in a process of its own, with nothing cached, then once more."""
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "review.duckdb"
        with closing(open_workspace(settings.load(db))) as workspace:
            for start in range(0, len(records), 20_000):
                clustered.add_traces(workspace, records[start : start + 20_000], clustered.NOW)
        seconds = list[float]()
        for _ in range(2):
            started = time.perf_counter()
            command = [sys.executable, "-m", "review.cli", "cluster", "--db", str(db), "--json"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            seconds.append(round(time.perf_counter() - started, 1))
            document = json.loads(done.stdout)
        cpu = os.times()
        return {
            "seconds": seconds[0],
            "again_seconds": seconds[1],
            "children_cpu_seconds": round(cpu.children_user + cpu.children_system, 1),
            "clusters": document["clusters"],
            "fit_nowhere": document["fit_nowhere"],
        }


def varied(records: list[Any], number: int) -> Any:
    """Another trace for each number: a query of clinc150 with a word of its own."""
    record = records[number % len(records)]
    text = record["messages"][0]["content"]
    turn = number // len(records)
    message = {"role": "user", "content": f"{text} {'please ' * (turn % 3)}{turn}" if turn else text}
    return {"trace_id": f"{record['trace_id']}-{turn}", "messages": [message]}


if __name__ == "__main__":
    main()
