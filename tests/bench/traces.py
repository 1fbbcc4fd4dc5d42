"""How fast traces are imported, and in how much memory; prints JSON.

`python -m tests.bench.traces [--traces 1000000] [--kind jsonl|parquet] [--strip 0] [--keep FOLDER]`

One `review import traces` in a process of its own, from an empty database, without stripping; then the same once more,
which must write nothing. `peak_rss_mb` is of the whole process. `--strip N` imports N traces with stripping too. The
traces are about 1 KB: a system prompt, a question, an answer, a tool call in every fifth.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.machine import state

START = datetime(2026, 3, 1, tzinfo=UTC)
CONFIG = "eval_config:\n  replay: {{strip_pii: {strip}}}\n"


def traces(count: int) -> Iterator[dict[str, Any]]:
    """Seeded traces of our own format."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(5000)]

    def text(length: int) -> str:
        return " ".join(rng.choices(words, k=length))

    for number in range(count):
        call = {"id": f"c{number}", "type": "function", "function": {"name": "refund", "arguments": '{"order": 1}'}}
        response = {"content": text(40), "model": "gpt-a", "finish_reason": "stop", "usage": {"completion_tokens": 60}}
        yield {
            "trace_id": f"trace-{number:08}",
            "task": rng.choice(["refund", "account", "code"]),
            "messages": [
                {"role": "system", "content": "You are a helpful assistant of a small airline."},
                {"role": "user", "content": text(60)},
            ],
            "response": response | ({"tool_calls": [call]} if number % 5 == 0 else {}),
            "customer": f"customer-{rng.randint(0, 20000)}",
            "ticket": f"T-{number}",
            "happened_at": (START + timedelta(seconds=number)).isoformat(),
            "metadata": {"locale": rng.choice(["de", "en", "fr"])},
        }


def write(path: Path, count: int) -> None:
    """JSONL, or Parquet with JSON in its nested columns, 10,000 rows a group."""
    if path.suffix == ".jsonl":
        with path.open("w") as file:
            file.writelines(json.dumps(each) + "\n" for each in traces(count))
        return
    nested = ("messages", "response", "metadata")
    rows = ({**each, **{name: json.dumps(each[name]) for name in nested}} for each in traces(count))
    writer, group = None, list[dict[str, Any]]()
    for row in rows:
        group.append(row)
        if len(group) == 10_000:
            table = pa.Table.from_pylist(group)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
            group = []
    if group:
        table = pa.Table.from_pylist(group)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def run(file: Path, db: Path, strip: bool) -> dict[str, Any]:
    """One import in a process of its own: what it said, how long it took, and its peak memory."""
    config = db.with_name("config.yaml")
    config.write_text(CONFIG.format(strip="true" if strip else "false"))
    command = [sys.executable, "-m", "review.cli", "--db", str(db), "import", "traces", str(file), "--json"]
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"REVIEW_CONFIG": str(config)}
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    assert status == 0, status
    answer = json.loads(said)
    return {
        "seconds": round(seconds, 1),
        "traces_per_second": round(answer["read"] / seconds),
        "peak_rss_mb": usage.ru_maxrss // 1024,
        **{name: answer[name] for name in ("read", "new", "present", "rejected")},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--traces", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=("jsonl", "parquet"), default="jsonl")
    parser.add_argument("--strip", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = given.keep or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        file, db = place / f"traces.{given.kind}", place / "bench.duckdb"
        if not file.exists():
            write(file, given.traces)
        before = state()
        first = run(file, db, strip=False)
        again = run(file, db, strip=False)
        assert (first["new"], again["new"], again["present"]) == (given.traces, 0, given.traces)
        report = {"file_mb": file.stat().st_size >> 20, "first": first, "again": again}
        report |= {"database_mb": db.stat().st_size >> 20, "machine": before}
        if given.strip:
            some = place / "some.jsonl"
            write(some, given.strip)
            report["stripped"] = run(some, place / "stripped.duckdb", strip=True)
        print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
