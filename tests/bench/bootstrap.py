"""How long 10,000 resamples of 20,000 prompts with 100,000 labels take, beside a plain numpy loop in the same run.

`python -m tests.bench.bootstrap [--resamples 10000] [--loop 1000]` prints JSON: seconds, and the peak memory of the
process after each, for 0/1 labels (few different sums a prompt), for values that all differ, and for 0/1 labels in 20
strata. The loop draws prompts and gathers their sums, resample by resample; `--loop` of them are timed and scaled up.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable

import numpy as np

from review.stats.bootstrap import cluster_bootstrap
from tests.bench import machine

LABELS, PROMPTS = 100_000, 20_000


def plain_loop(values: np.ndarray, clusters: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The obvious way: for each resample draw prompts and take the ratio of their sums."""
    sums, sizes = np.bincount(clusters, values), np.bincount(clusters)
    means = np.empty(resamples)
    for at in range(resamples):
        drawn = rng.integers(0, len(sums), len(sums))
        means[at] = sums[drawn].sum() / sizes[drawn].sum()
    return means


def peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def timed(work: Callable[[], np.ndarray]) -> tuple[dict[str, float], np.ndarray]:
    started, cpu = time.perf_counter(), time.process_time()
    found = work()
    return {
        "seconds": round(time.perf_counter() - started, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "standard_error": float(found.std()),
        "peak_mb": peak_mb(),
    }, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--loop", type=int, default=1_000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    clusters = rng.permutation(np.append(np.arange(PROMPTS), rng.integers(0, PROMPTS, LABELS - PROMPTS)))
    kinds = {
        "labels 0/1": ((rng.random(LABELS) < 0.7) * 1.0, None),
        "values that all differ": (rng.random(LABELS), None),
        "labels 0/1 in 20 strata": ((rng.random(LABELS) < 0.7) * 1.0, clusters % 20),
    }
    before, report = peak_mb(), {}
    for name, (values, strata) in kinds.items():
        found, means = timed(
            lambda values=values, strata=strata: cluster_bootstrap(
                values, None, clusters, resamples=arguments.resamples, rng=np.random.default_rng(2), strata=strata
            )[:, 0]
        )
        report[name] = found
        if strata is None:
            loop, plain = timed(
                lambda values=values: plain_loop(values, clusters, arguments.loop, np.random.default_rng(3))
            )
            loop["seconds_scaled"] = round(loop["seconds"] * arguments.resamples / arguments.loop, 2)
            report[name] |= {
                "plain_loop": loop,
                "times_faster": round(loop["seconds_scaled"] / found["seconds"], 1),
                "same_spread": round(float(means.std() / plain.std()), 3),
            }
    print(
        json.dumps(
            {
                "machine": machine.state(),
                "labels": LABELS,
                "prompts": PROMPTS,
                "resamples": arguments.resamples,
                "peak_mb_before": before,
                "runs": report,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
