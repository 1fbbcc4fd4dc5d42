"""How fast 100,000 pairs are imported and exported, against DuckDB alone reading the same file; prints JSON.

`python -m tests.bench.import_export [--pairs 100000] [--runs 3] [--keep FOLDER]`

Each import runs in a process of its own, from an empty database to the end of the checkpoint, opening apart. DuckDB
alone means `CREATE TABLE t AS SELECT * FROM read_…(file)` into a file, and CHECKPOINT, in a process of its own. The two
take turns, so that a busy machine slows both; `ratio` is the median of the rounds' ratios (1: as fast as DuckDB).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.machine import state, summary
from tests.conftest import ROOT

READERS = {".jsonl": "read_json_auto", ".csv": "read_csv", ".parquet": "read_parquet"}
# name: suffix, and whether the pairs bring their ids along
FILES = {
    "jsonl": (".jsonl", True),
    "jsonl without ids": (".jsonl", False),
    "csv": (".csv", True),
    "parquet": (".parquet", True),
}
ALONE = """
import duckdb, json, sys, time
file, reader, target = sys.argv[1:]
connection = duckdb.connect(target)
begin = time.perf_counter()
connection.execute(f"CREATE TABLE t AS SELECT * FROM {reader}(?)", [file])
connection.execute("CHECKPOINT")
print(json.dumps({"seconds": time.perf_counter() - begin}))
"""
OURS = """
import json, resource, sys, time
from datetime import UTC, datetime
from pathlib import Path
from review import settings
from review.services import ingest
from review.services.export import export
from review.services.workspace import open_workspace
file, target, out = sys.argv[1:]
workspace = open_workspace(settings.load(Path(target)).unstripped())
begin = time.perf_counter()
done = ingest.import_pairs(workspace, [Path(file)], now=datetime.now(UTC))
workspace.database.cursor().execute("CHECKPOINT")
seconds = time.perf_counter() - begin
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
begin = time.perf_counter()
exported = export(workspace, "pairs", Path(out))
assert done.new == exported == done.read
export_seconds = time.perf_counter() - begin
print(json.dumps({"seconds": seconds, "pairs": done.new, "rss_mb": peak, "export_seconds": export_seconds}))
"""


def pairs(count: int, with_ids: bool) -> Iterator[dict[str, Any]]:
    """Pairs of about 2 KB: a system prompt, a question, two answers, a tool call in every fifth."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(5000)]

    def text(length: int) -> str:
        return " ".join(rng.choices(words, k=length))

    def output(model: str, length: int, calls: list[dict[str, Any]] | None) -> dict[str, Any]:
        output = {
            "model": model,
            "content": text(length),
            "finish_reason": "stop",
            "latency_ms": rng.randint(100, 3000),
        }
        return (
            output
            | {"usage": {"prompt_tokens": 80, "completion_tokens": length}}
            | ({"tool_calls": calls} if calls else {})
        )

    for number in range(count):
        arguments = json.dumps({"order": number, "amount": 12.5})
        calls = [{"id": f"c{number}", "type": "function", "function": {"name": "refund", "arguments": arguments}}]
        used = calls if number % 5 == 0 else None
        yield {
            **({"pair_id": f"p{number}", "prompt_id": f"q{number // 2}"} if with_ids else {}),
            "task": rng.choice(["refund", "account", "code"]),
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": text(80)},
            ],
            "old": output("gpt-a", 90, used),
            "new": output("gpt-b", 80, used),
            "metadata": {"customer": f"c{number % 100}", "ticket": number},
        }


def write(path: Path, count: int, with_ids: bool) -> None:
    """The pairs as any other tool would write them: nested columns in Parquet, dotted ones in CSV."""
    if path.suffix == ".jsonl":
        with path.open("w") as file:
            file.writelines(json.dumps(pair) + "\n" for pair in pairs(count, with_ids))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(pairs(count, with_ids))), path)
    else:
        from review.adapters import files

        files.write(path, "pairs", pairs(count, with_ids))


def run(code: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-c", code, *(str(each) for each in arguments)]
    return json.loads(
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    )


def measure(folder: Path, path: Path, runs: int) -> dict[str, Any]:
    alone: list[float] = []
    ours: list[dict[str, Any]] = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            alone.append(run(ALONE, path, READERS[path.suffix], f"{place}/alone.duckdb")["seconds"])
            ours.append(run(OURS, path, f"{place}/ours.duckdb", f"{place}/out{path.suffix}"))
    ratios = [each / our["seconds"] for each, our in zip(alone, ours, strict=True)]
    return {
        "file_mb": round(path.stat().st_size / 2**20),
        "pairs": ours[0]["pairs"],
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(each, 2) for each in ratios],
        "target_ratio": 0.6,
        "seconds": summary([each["seconds"] for each in ours], 2),
        "duckdb_alone_seconds": summary(alone, 2),
        "peak_rss_mb": round(max(each["rss_mb"] for each in ours)),
        "target_rss_mb": 1024,
        "export_seconds": summary([each["export_seconds"] for each in ours], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="Write the files here and use them again.")
    given = parser.parse_args()
    before = state()
    with tempfile.TemporaryDirectory() as name:
        folder = given.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        results = {}
        for title, (suffix, with_ids) in FILES.items():
            path = folder / f"pairs-{given.pairs}{'' if with_ids else '-noid'}{suffix}"
            if not path.exists():
                write(path, given.pairs, with_ids)
            results[title] = measure(folder, path, given.runs)
        print(json.dumps({"machine": before, "import": results, "machine_after": state()}, indent=2))


if __name__ == "__main__":
    main()
