"""Small worlds for the parity tests: pairs and labels as files, imported as a team imports them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from review.services import ingest
from review.services.workspace import Workspace
from tests.conftest import NOW

Records = list[dict[str, Any]]
Move = tuple[str, str, int]  # error on old, error on new, how many pairs
CATEGORY = {"none": [], "cautious": ["refusal"], "confident": ["invented_fact"], "other": ["other"], "cannot_tell": []}


def pair(number: int, *, same: bool = False, task: str | None = "t0", **fields: Any) -> dict[str, Any]:
    """One pair with answers that differ, or not."""
    return {
        "pair_id": f"p{number:05}",
        "prompt_id": f"q{number:05}",
        "task": task,
        "messages": [{"role": "user", "content": f"Question {number}"}],
        "old": {"content": "The same." if same else f"Old answer {number}.", **fields.pop("old", {})},
        "new": {"content": "The same." if same else f"New answer {number}.", **fields.pop("new", {})},
        **fields,
    }


def label(number: int, old: str, new: str, reviewer: str = "Ana", **fields: Any) -> dict[str, Any]:
    """One reviewer's label of a pair, with the category that fits the error."""
    return {
        "pair_id": f"p{number:05}",
        "reviewer": reviewer,
        "preference": "tie",
        "error_old": old,
        "error_new": new,
        "categories_old": CATEGORY[old],
        "categories_new": CATEGORY[new],
        "labelled_at": "2026-03-02T10:00:00Z",
        **fields,
    }


def moved(moves: Iterable[Move], *, tasks: int = 1, identical: int = 0) -> tuple[Records, Records]:
    """Pairs and labels: each move so often, spread over tasks, and identical pairs that nobody labels."""
    pairs: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    for old, new, count in moves:
        for _ in range(count):
            labels.append(label(len(pairs), old, new))
            pairs.append(pair(len(pairs), task=f"t{len(pairs) % tasks}"))
    for _ in range(identical):
        pairs.append(pair(len(pairs), same=True, task=f"t{len(pairs) % tasks}"))
    return pairs, labels


def bring(
    workspace: Workspace,
    folder: Path,
    pairs: Sequence[dict[str, Any]] = (),
    labels: Sequence[dict[str, Any]] = (),
    verdicts: Sequence[dict[str, Any]] = (),
) -> None:
    """Import what there is."""
    for kind, records in (("pairs", pairs), ("verdicts", verdicts), ("labels", labels)):
        if records:
            path = folder / f"{kind}.jsonl"
            path.write_text("\n".join(json.dumps(record) for record in records), "utf-8")
            ingest.import_files(workspace, kind, [path], now=NOW)
