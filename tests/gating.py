"""Small worlds for the tests of the gate: a run with evidence of every kind, in a workspace or through the desk."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow

from review.domain.run import Evidence, Part
from review.services import flag, run_record, runs
from review.services.desk import LocalDesk
from review.services.workspace import Workspace
from review.store.runs import RunRow
from tests.adversarial import a_report, add_pairs
from tests.conftest import NOW
from tests.unit.parity_cases import Move, bring, label, moved

pa: Any = pyarrow
HASH = "a" * 64
GOOD: list[Move] = [("none", "none", 250), ("cautious", "none", 12), ("none", "cautious", 12)]
# As many wrong answers as before, and every one of the moved ones is confident now.
SWAPPED: list[Move] = [("none", "none", 200), ("cautious", "confident", 60), ("cautious", "cautious", 20)]


def begin(workspace: Workspace, name: str = "awq", at: datetime = NOW) -> RunRow:
    """A run of a quantized candidate."""
    spec = runs.described_by(["name=base"], [f"name={name}"], name, "quantization", HASH)
    return runs.start(workspace, spec, "ada", at)


def outcomes(right: list[tuple[float | None, float | None]], **columns: Any) -> Any:
    """Outcomes of old and new, an example and a prompt each; `columns` replaces or adds some."""
    size = len(right)
    return pa.table(
        {
            "example_id": [f"e{at}" for at in range(size)],
            "metric": ["acc"] * size,
            "prompt_id": [f"p{at}" for at in range(size)],
            "old": pa.array([old for old, _ in right], pa.float64()),
            "new": pa.array([new for _, new in right], pa.float64()),
        }
        | columns
    )


def add(workspace: Workspace, run: RunRow, evidence: Evidence, part: str, table: Any, **detail: Any) -> None:
    """Put a part into a run."""
    made = Part(evidence=evidence, part=part, data_hash=runs.data_hash(table), detail=detail)
    runs.record(LocalDesk(workspace, "ada"), run.run_id, made, table)


def spread(same: int, lost: int, won: int) -> list[tuple[float | None, float | None]]:
    """Examples that both have right, that new lost, and that new won."""
    return [(1.0, 1.0)] * same + [(1.0, 0.0)] * lost + [(0.0, 1.0)] * won


def label_traffic(
    workspace: Workspace, folder: Path, run: RunRow, moves: list[Move], identical: int = 1000, tasks: int = 2
) -> None:
    """Imported pairs and labels as the run's replay; every label answers every question."""
    pairs, labels = moved(moves, tasks=tasks, identical=identical)
    answered = [each | {"tone": "same", "calibration_old": "right", "calibration_new": "right"} for each in labels]
    bring(workspace, folder, pairs, answered)
    run_record.record(LocalDesk(workspace, "ada"), run.run_id, sources=["pairs.jsonl"])


def relabel(workspace: Workspace, folder: Path, number: int, old: str, new: str, reviewer: str) -> None:
    """One more person's label of a pair."""
    fields = {"tone": "same", "calibration_old": "right", "calibration_new": "right"}
    bring(workspace, folder, labels=[label(number, old, new, reviewer, **fields)])


def confirmed(workspace: Workspace, count: int, at: datetime, failed: str = "new") -> list[str]:
    """Entries of the adversarial set, each confirmed by a second person."""
    ids: list[str] = []
    for number in range(count):
        pair = f"{failed}-{number}"
        add_pairs(workspace, pair)
        made = flag.report(workspace, a_report(pair_id=pair, failed=failed), "ana", at)
        flag.confirm(workspace, made.entry_id, "ben", at + timedelta(minutes=1))
        ids.append(made.entry_id)
    return ids


def replay_set(
    workspace: Workspace, run: RunRow, passes: dict[str, tuple[list[float], list[float]]], by: str = "structured"
) -> None:
    """The set's outcomes in a run: of each entry old's and new's repeats."""
    rows = [
        {"example_id": entry, "repeat": at, "old": old, "new": new}
        for entry, (olds, news) in passes.items()
        for at, (old, new) in enumerate(zip(olds, news, strict=True))
    ]
    table = pa.table(
        {
            "example_id": [each["example_id"] for each in rows],
            "metric": ["passed"] * len(rows),
            "repeat": pa.array([each["repeat"] for each in rows], pa.int32()),
            "prompt_id": [each["example_id"] for each in rows],
            "old": [each["old"] for each in rows],
            "new": [each["new"] for each in rows],
            "decided_by": [by] * len(rows),
        }
    )
    repeats = len(next(iter(passes.values()))[0])
    add(workspace, run, "adversarial", "set", table, repeats=repeats, sides=["old", "new"], stacks={})
