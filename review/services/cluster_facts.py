"""What clustering reads and writes in the database, one batch a call: the operations of the desk."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import pyarrow

from review.domain.identity import canonical
from review.domain.intent import intent_text
from review.services.desk import Answer, Call
from review.services.workspace import Workspace
from review.store import clusters as store

pa: Any = pyarrow  # it carries no types


def state(workspace: Workspace, call: Call) -> Answer:
    """How far clustering is; the current clusters as the table. Argument: window_days."""
    found = store.state(workspace.database, int(call.arguments["window_days"]))
    return Answer(_plain(asdict(found)), store.current(workspace.database))


def ids(workspace: Workspace, call: Call) -> Answer:
    """A page of trace ids. Arguments: since, after, limit, noise, everything."""
    found = _page(workspace, call)
    return Answer({}, pa.table({"trace_id": pa.array(found, pa.string())}))


def texts(workspace: Workspace, call: Call) -> Answer:
    """What traces say of their intent: by `ids`, or a page of those that have no cluster as in `ids`."""
    wanted = call.arguments.get("ids")
    rows = store.trace_messages(workspace.database, _page(workspace, call) if wanted is None else wanted)
    columns = {
        "trace_id": pa.array([trace for trace, _ in rows], pa.string()),
        "text": pa.array([intent_text(messages) for _, messages in rows], pa.string()),
    }
    return Answer({}, pa.table(columns))


def inputs(workspace: Workspace, call: Call) -> Answer:
    """Inputs without a cluster that are no traces, and their texts. Argument: limit."""
    rows = store.loose_inputs(workspace.database, int(call.arguments["limit"]))
    said = [text if messages is None else intent_text(messages) for _, text, messages in rows]
    columns = {
        "input_id": pa.array([each for each, _, _ in rows], pa.string()),
        "text": pa.array([each or "" for each in said], pa.string()),
    }
    return Answer({}, pa.table(columns))


def save(workspace: Workspace, call: Call) -> Answer:
    """New clusters (argument `clusters`, documents) with their members (the table), at once or not at all.

    Further arguments: run, model, fresh (put earlier clusters out of use).
    """
    run, documents = str(call.arguments["run"]), list(call.arguments["clusters"])
    table = pa.Table.from_pylist(documents, schema=store.CLUSTERS)
    with workspace.database.transaction() as cursor:
        if call.arguments["fresh"]:
            store.retire(cursor, run, call.now)
        store.add_clusters(cursor, table, run, str(call.arguments["model"]))
        if documents:
            store.release_noise_inputs(cursor)
        store.assign(cursor, _table(call).cast(store.ASSIGNMENTS), run, call.now)
    return Answer()


def assign(workspace: Workspace, call: Call) -> Answer:
    """Traces into clusters: the table. Argument: run."""
    with workspace.database.transaction() as cursor:
        store.assign(cursor, _table(call).cast(store.ASSIGNMENTS), str(call.arguments["run"]), call.now)
    return Answer()


def assign_inputs(workspace: Workspace, call: Call) -> Answer:
    """Inputs that are no traces into clusters: the table."""
    with workspace.database.transaction() as cursor:
        store.assign_inputs(cursor, _table(call).cast(store.INPUTS), call.now)
    return Answer()


def finish(workspace: Workspace, call: Call) -> Answer:
    """A run is done. Arguments: run, model, settings, traces, noise."""
    row = {
        "clustering_id": str(call.arguments["run"]),
        "model": str(call.arguments["model"]),
        "settings": canonical(call.arguments["settings"]),
        "traces": int(call.arguments["traces"]),
        "noise": int(call.arguments["noise"]),
        "made_by": call.by,
        "made_at": call.now,
    }
    with workspace.database.transaction() as cursor:
        store.finish(cursor, row)
    return Answer()


def add_suite(workspace: Workspace, call: Call) -> Answer:
    """Prompts of an eval suite: the table."""
    with workspace.database.transaction() as cursor:
        new = store.add_suite(cursor, _table(call).cast(store.SUITE), call.by, call.now)
    return Answer({"new": new})


def _page(workspace: Workspace, call: Call) -> list[str]:
    given = call.arguments
    return store.trace_ids(
        workspace.database,
        datetime.fromisoformat(given["since"]),
        str(given["after"]),
        int(given["limit"]),
        noise=bool(given.get("noise")),
        everything=bool(given.get("everything")),
    )


def _table(call: Call) -> Any:
    if call.table is None:
        raise ValueError("this operation takes a table")
    return call.table


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """Times as ISO 8601 text."""
    return {name: each.isoformat() if isinstance(each, datetime) else each for name, each in document.items()}
