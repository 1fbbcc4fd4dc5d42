"""Small sets of pairs, verdicts and labels for the tests of agreement, brought in through the import."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from review.services import ingest
from review.services.workspace import Workspace
from tests.conftest import NOW


def bring(
    workspace: Workspace,
    folder: Path,
    *,
    pairs: Sequence[str] = (),
    verdicts: Sequence[dict[str, Any]] = (),
    labels: Sequence[dict[str, Any]] = (),
    more: dict[str, dict[str, Any]] | None = None,
    source: str = "pairs.jsonl",
) -> None:
    """Import pairs (by id; the prompt is the part before a dash), verdicts and labels.

    `more` replaces fields of single pairs; `source` is the file that pairs come from.
    """
    rows = [
        {
            "pair_id": pair,
            "prompt_id": pair.split("-")[0],
            "messages": [{"role": "user", "content": f"Ask {pair}"}],
            "old": {"content": f"old answer to {pair}"},
            "new": {"content": f"new answer to {pair}"},
            **(more or {}).get(pair, {}),
        }
        for pair in pairs
    ]
    for kind, records in (("pairs", rows), ("verdicts", list(verdicts)), ("labels", list(labels))):
        if records:
            file = folder / (source if kind == "pairs" else f"{kind}.jsonl")
            file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
            ingest.import_files(workspace, kind, [file], now=NOW)


def verdict(pair: str, winner: str | None, *, vote: int = 1, first: str | None = "old", **more: Any) -> dict[str, Any]:
    return {"pair_id": pair, "judge": "judge", "vote": vote, "shown_first": first, "winner": winner, **more}


def label(pair: str, reviewer: str, preference: str | None, **more: Any) -> dict[str, Any]:
    return {"pair_id": pair, "reviewer": reviewer, "preference": preference, **more}
