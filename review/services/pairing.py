"""Traces that both stacks have answered become pairs, by the same rules as imported ones. Twice is once.

Replay asks both stacks later; live traffic brings both answers with it.
"""

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
from review.store import live, staging
from review.store import replays as store

_COLUMNS = ("prompt_id", "task", "messages", "tools", "reference", "synthetic")


@dataclass(frozen=True)
class Paired:
    """One batch: how many pairs were made, and how many could not be."""

    made: int
    rejected: int


def make_pairs(workspace: Workspace, sample: str, old: str, new: str, places: Any, now: datetime) -> Paired:
    """Make pairs of traces that stand at these places (store.replays.PLACES), those that are pairs already left out.

    Identical answers become pairs too: they belong to the frame's counts. Pairs and their origins are written together.
    """
    with workspace.database.transaction() as cursor:
        found = _complete(cursor, places, old, new)
        ids = {trace_id: pair_id(workspace.key, trace_id, old, new) for trace_id in found}
        rows = [Row(at, _document(found[each], ids[each])) for at, each in enumerate(found)]
        batch = ingest.check_rows(workspace.key, "pairs", rows, {})
        # A pair that came back from an export stands already; it only lacks its origin.
        present = {each.line for each in staging.known(cursor, "pairs", batch.staged)}
        staging.write(cursor, "pairs", staging.without(batch.staged, present), source_of(sample, old, new), now)
        bad = {each.line for each in batch.rejected}
        origins = [(ids[each], each) for at, each in enumerate(found) if at not in bad]
        store.originate(cursor, origins, sample, old, new)
    return Paired(len(origins), len(bad))


def note_live(cursor: store.Cursor, key: bytes, rows: Any, now: datetime) -> None:
    """Note what is live traffic among new traces, and make pairs of those that came with both answers.

    Args:
        cursor: Of the transaction that writes the traces.
        key: The workspace's.
        rows: New rows of store.traces.SCHEMA and store.live.LIVE.
        now: When.
    """
    came: dict[str, list[dict[str, Any]]] = {}
    for each in rows.to_pylist():
        if each["live"] is not None:
            came.setdefault(each["live"], []).append(each)
    for source, traces in came.items():
        both = [each for each in traces if each["shadow"] is not None]
        ids = {each["trace_id"]: pair_id(key, each["trace_id"], f"{source}:old", f"{source}:new") for each in both}
        batch = ingest.check_rows(key, "pairs", [Row(at, _live(each, ids)) for at, each in enumerate(both)], {})
        # A pair that came back from an export stands already; it only lacks its origin.
        present = {each.line for each in staging.known(cursor, "pairs", batch.staged)}
        staging.write(cursor, "pairs", staging.without(batch.staged, present), source, now)
        for each in batch.rejected:
            del ids[both[each.line]["trace_id"]]
        origins = [(pair, trace) for trace, pair in ids.items()]
        store.originate(cursor, origins, source, f"{source}:old", f"{source}:new")
        columns = {
            "trace_id": [each["trace_id"] for each in traces],
            "source": [source] * len(traces),
            "served": [each["served"] for each in traces],
            "pair_id": [ids.get(each["trace_id"]) for each in traces],
        }
        live.add_traces(cursor, columns)


def _live(trace: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    """The pair of a trace with both answers: what was served is one side, what answered beside it the other."""
    served, other = trace["response"], trace["shadow"]
    old, new = (served, other) if trace["served"] == "old" else (other, served)
    return _document({**trace, "old": old, "new": new}, ids[trace["trace_id"]])


def _complete(cursor: store.Cursor, places: Any, old: str, new: str) -> dict[str, dict[str, Any]]:
    """Traces with both answers, in the order of the places."""
    traces = store.documents(cursor, places, _COLUMNS)
    olds = store.answers(cursor, places, "old_answer", old)
    news = store.answers(cursor, places, "new_answer", new)
    done = store.paired(cursor, list(traces), old, new)
    return {
        each: traces[each] | {"old": olds[each], "new": news[each]}
        for each in places["trace_id"].to_pylist()
        if each in traces and each in olds and each in news and each not in done
    }


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
