"""Replay's throughput against that of a bare asyncio client at the same concurrency and server; prints JSON.

`python -m tests.bench.replay [--traces 1500] [--concurrency 16] [--latency 0.05] [--runs 5]`

The server is tests/faults.py in a process of its own and answers after `latency` seconds. Bare means httpx.AsyncClient,
as many tasks as the concurrency, the same bodies built and dumped beforehand, answers parsed as JSON and nothing kept.
Ours is the whole verb for one side: traces out of the database, every answer in the cache the moment it comes, all
handed in. Both run in processes of their own and take turns; `ratio` is ours over bare by the medians (1: as fast).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from tests.bench.machine import state, summary
from tests.conftest import ROOT

BARE = """
import asyncio, json, sys, time
import httpx
url, count, concurrency = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
async def main():
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        bodies = [
            {"model": "m", "messages": [{"role": "user", "content": f"question {n} " + "word " * 80}], "logprobs": True}
            for n in range(count)
        ]
        left = iter(bodies)
        async def work():
            for body in left:
                response = await client.post(url + "/chat/completions", json=body)
                assert response.json()["choices"][0]["message"]["content"]
        begin = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        return time.perf_counter() - begin
print(json.dumps(asyncio.run(main())))
"""
OURS = """
import json, sys, time
from pathlib import Path
from review.services import replay
from review.services.desk import LocalDesk
from tests.replaying import add_sample, configure, opened
url, count, concurrency, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
workspace = opened(folder)
add_sample(workspace, [f"question {n} " + "word " * 80 for n in range(count)])
made = configure(folder, {"base_url": url, "concurrency": concurrency})
workspace = type(workspace)(workspace.database, made, workspace.key)
begin = time.perf_counter()
report = replay.replay(LocalDesk(workspace, "bench"), replay.Ask(sides=("new",)))
seconds = time.perf_counter() - begin
assert report.new == count, report
print(json.dumps(seconds))
"""


def run(code: str, *arguments: object) -> float:
    command = [sys.executable, "-c", code, *(str(each) for each in arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure(url: str, traces: int, concurrency: int, runs: int) -> dict[str, Any]:
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(runs):
        bare.append(run(BARE, url, traces, concurrency))
        with tempfile.TemporaryDirectory() as folder:
            ours.append(run(OURS, url, traces, concurrency, folder))
    rates = {"bare": [traces / each for each in bare], "ours": [traces / each for each in ours]}
    return {
        "ratio": round(statistics.median(rates["ours"]) / statistics.median(rates["bare"]), 3),
        "target_ratio": 0.9,
        "ratios": [round(one / other, 3) for other, one in zip(rates["bare"], rates["ours"], strict=True)],
        "answers_a_second": {name: summary(values) for name, values in rates.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=1500)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    before = state()
    command = [sys.executable, "-m", "tests.faults", "--latency", str(given.latency)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        found = measure(url, given.traces, given.concurrency, given.runs)
    finally:
        server.kill()
        server.wait()
    print(json.dumps({"machine": before, **vars(given), **found, "machine_after": state()}, indent=2))


if __name__ == "__main__":
    main()
