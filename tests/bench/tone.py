"""How fast wording is measured, and the first and later computation of tone at 100,000 pairs; prints JSON.

`python -m tests.bench.tone [--rows 100000]`
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from review import settings
from review.domain.wording import measure
from review.services import ingest, tone
from review.services.workspace import open_workspace
from tests.bench.machine import state

VOCABULARY = (
    "you may sorry however the of a time answer order refund can't please don't it is likely perhaps certainly we our "
    "team will help today"
)


def answer(rng: random.Random) -> str:
    """A made-up answer of 10 to 280 words."""
    words = VOCABULARY.split()
    return " ".join(
        " ".join(rng.choices(words, k=rng.randint(5, 20))).capitalize() + "." for _ in range(rng.randint(2, 14))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    rng = random.Random(1)
    pool = [answer(rng) for _ in range(3000)]
    begin = time.perf_counter()
    words = sum(measure(text).words for text in pool)
    seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    measure((" ".join(pool) * 20)[:5_000_000])
    five_megabytes = time.perf_counter() - begin
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        pairs, labels = Path(folder) / "pairs.jsonl", Path(folder) / "labels.jsonl"
        with pairs.open("w") as pair_file, labels.open("w") as label_file:
            for i in range(rows):
                sides = {side: {"content": f"{rng.choice(pool)} {side} {i}."} for side in ("old", "new")}
                ask = [{"role": "user", "content": "Ask"}]
                pair_file.write(
                    json.dumps({"pair_id": f"p{i}", "prompt_id": f"q{i // 5}", "messages": ask} | sides) + "\n"
                )
                said = {"pair_id": f"p{i}", "reviewer": f"r{i % 7}", "tone": rng.choice(["old", "same", "new"])}
                label_file.write(json.dumps(said) + "\n")
        workspace = open_workspace(settings.load(Path(folder) / "review.duckdb"))
        try:
            now = datetime.now(UTC)
            ingest.import_files(workspace, "pairs", [pairs], now=now)
            ingest.import_files(workspace, "labels", [labels], now=now)
            for _ in range(5):
                begin = time.perf_counter()
                report = tone.tone_of(workspace)
                times.append(round(time.perf_counter() - begin, 2))
        finally:
            workspace.close()
    result = {
        "words_per_second": round(words / seconds),
        "five_megabytes_seconds": round(five_megabytes, 2),
        "pairs_and_labels": rows,
        "tone_of_first_seconds": times[0],
        "tone_of_later_seconds": times[1:],
        "disagreements": report.disagreements.to_json(),
        "labelled": report.labelled.to_json(),
        "machine": state(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
