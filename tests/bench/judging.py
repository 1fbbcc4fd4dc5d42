"""`review judge`'s calls a second against a bare asyncio client's at the same concurrency and server; prints JSON.

`python -m tests.bench.judging [--pairs 500] [--concurrency 16] [--latency 0.05] [--runs 5]`

The server is tests/faults.py in a process of its own, whose every answer is a vote. Bare means httpx.AsyncClient, as
many tasks as the concurrency, the judge's own bodies dumped beforehand, answers parsed as JSON and nothing kept. Ours
is the whole verb on pairs that nobody has judged: structures compared, three votes a pair, each in the cache the moment
it comes, verdicts handed in. No near-duplicates and no anchors. Both run in processes of their own and take turns;
`ratio` is ours over bare by the medians (1: as fast). `cpu_ms` is each client's own processor time a call.
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

SERVER = """
import json, sys, threading
from tests.faults import FaultServer
VOTE = {"rationale": "it says good", "error_a": "none", "error_b": "none", "calibration_a": "right",
        "calibration_b": "right", "tone": "same", "winner": "tie"}
server = FaultServer(latency=float(sys.argv[1]), answer=lambda document: json.dumps(VOTE))
server.keep = False
server.start()
print(server.url, flush=True)
threading.Event().wait()
"""
COMMON = """
import asyncio, json, sys, time
from pathlib import Path
url, count, concurrency, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
from tests.judging import bring, desk, judges, pair, provider
rows = [pair(f"pair-{n}", f"answer {n} " + "good " * 80, f"answer {n} " + "bad " * 80) for n in range(count)]
"""
BARE = """
import httpx
from review.adapters.chat import ChatClient, Request
from review.domain import judge_prompt
from review.domain.types import Pair
from review.domain.rubric import Rubric
from review.settings import load
rubric = load(folder / "review.duckdb").config.rubric
pairs = [Pair.model_validate(row) for row in rows]
asks = [judge_prompt.preference(each, rubric, side) for each in pairs for side in ("old", "new", "old")]
async def main():
    chat = ChatClient(provider(url, concurrency=concurrency), "")
    bodies = [chat._prepare(Request(each.messages, parameters={"temperature": 0.3, "max_tokens": 300},
              response_schema=each.schema, schema_name=each.name, logprobs=False)).content for each in asks]
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        left = iter(bodies)
        headers = {"content-type": "application/json"}
        async def work():
            for body in left:
                response = await client.post(url + "/chat/completions", content=body, headers=headers)
                assert response.json()["choices"][0]["message"]["content"]
        begin, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        return time.perf_counter() - begin, time.process_time() - used
print(json.dumps(asyncio.run(main())))
"""
OURS = """
from review import settings
from review.services import judge
from review.services.workspace import open_workspace
workspace = open_workspace(settings.load(folder / "review.duckdb"))
bring(workspace, folder, rows)
asked = desk(workspace, judges(provider(url, concurrency=concurrency)))
begin, used = time.perf_counter(), time.process_time()
report = judge.judge(asked, everything=True)
seconds = time.perf_counter() - begin, time.process_time() - used
assert (report.judged, report.calls) == (count, 3 * count), report
print(json.dumps(seconds))
"""


def run(code: str, *arguments: object) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", COMMON + code, *(str(each) for each in arguments), folder]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    seconds, used = json.loads(done.stdout.splitlines()[-1])
    return float(seconds), float(used)


def measure(url: str, pairs: int, concurrency: int, runs: int) -> dict[str, Any]:
    taken: dict[str, list[tuple[float, float]]] = {"bare": [], "ours": []}
    for _ in range(runs):
        taken["bare"].append(run(BARE, url, pairs, concurrency))
        taken["ours"].append(run(OURS, url, pairs, concurrency))
    calls = 3 * pairs
    rates = {name: [calls / seconds for seconds, _ in each] for name, each in taken.items()}
    return {
        "ratio": round(statistics.median(rates["ours"]) / statistics.median(rates["bare"]), 3),
        "ratios": [round(one / other, 3) for other, one in zip(rates["bare"], rates["ours"], strict=True)],
        "calls_a_second": {name: summary(values) for name, values in rates.items()},
        "cpu_ms": {name: summary([used / calls * 1000 for _, used in each], 2) for name, each in taken.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    before = state()
    command = [sys.executable, "-c", SERVER, str(given.latency)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        found = measure(url, given.pairs, given.concurrency, given.runs)
    finally:
        server.kill()
        server.wait()
    print(json.dumps({"machine": before, **vars(given), **found, "machine_after": state()}, indent=2))


if __name__ == "__main__":
    main()
