"""Traces that both stacks have answered become pairs, by the same rules as imported ones. Twice is once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from review.adapters.files import Row
from review.domain.stack import pair_id, source_of
from review.services import ingest
from review.services.workspace import Workspace
from review.store import replays as store
from review.store import staging
from review.store.replays import Scope

BATCH = 200


@dataclass(frozen=True)
class Paired:
    """One batch: how many pairs were made, how many could not be, and the position to go on after (None: done)."""

    made: int
    rejected: int
    last: int | None


def make_pairs(workspace: Workspace, scope: Scope, old: str, new: str, after: int, now: datetime) -> Paired:
    """Make pairs of the next traces after a position.

    Identical answers become pairs too: they belong to the frame's counts. Pairs and their origins are written together.
    """
    with workspace.database.transaction() as cursor:
        waiting = store.ready(cursor, scope, old, new, after, BATCH)
        if not waiting:
            return Paired(0, 0, None)
        ids = [pair_id(workspace.key, each["trace_id"], old, new) for each in waiting]
        rows = [Row(at, _document(each, name)) for at, (each, name) in enumerate(zip(waiting, ids, strict=True))]
        batch = ingest.check_rows(workspace.key, "pairs", rows, {})
        known = staging.known(cursor, "pairs", batch.staged)
        # A pair that came back from an export stands already; it only lacks its origin.
        present = {each.line for each in known}
        staging.write(cursor, "pairs", staging.without(batch.staged, present), source_of(scope.sample, old, new), now)
        bad = {each.line for each in batch.rejected}
        origins = [
            (name, each["trace_id"]) for at, (each, name) in enumerate(zip(waiting, ids, strict=True)) if at not in bad
        ]
        store.originate(cursor, origins, scope.sample, old, new)
    return Paired(len(origins), len(bad), waiting[-1]["position"])


def _document(waiting: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The pair as import format v1. A trace's metadata stays with the trace."""
    document: dict[str, Any] = {
        "pair_id": name,
        "prompt_id": waiting["prompt_id"],
        **{field: json.loads(waiting[field]) for field in ("messages", "old", "new")},
    }
    if waiting["tools"] is not None:
        document["tools"] = json.loads(waiting["tools"])
    document |= {field: waiting[field] for field in ("task", "reference") if waiting[field] is not None}
    return document | ({"metadata": {"synthetic": True}} if waiting["synthetic"] else {})
