"""What the desk does for a sample: the window, its cells, choosing traces, storing; each one short batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from review.errors import Conflict
from review.services.desk import Answer, Call
from review.services.workspace import Workspace
from review.store import samples as store
from review.store.samples import UNCLUSTERED, SampleRow, Taken, Window

NOISE = "noise"


def frame(workspace: Workspace, call: Call) -> Answer:
    """The window, what it holds, and how many customers have how many traces."""
    cursor = workspace.database.cursor()
    synthetic = bool(call.arguments["synthetic"])
    found = store.window(cursor, int(call.arguments["window_days"]), synthetic, call.now)
    others = store.traces(cursor, not synthetic)
    if found is None:
        return Answer({"traces": 0, "others": others})
    extent = store.extent(cursor, found)
    return Answer(
        {
            **asdict(extent),
            "others": others,
            "from": found.since.isoformat(),
            "to": found.until.isoformat(),
            "customers": [list(row) for row in store.customer_sizes(cursor, found)],
        }
    )


def cells(workspace: Workspace, call: Call) -> Answer:
    """Traces by stratum and large customer."""
    rows = store.cells(workspace.database.cursor(), _window(call.arguments), int(call.arguments["above"]))
    return Answer({"cells": [[each.stratum, each.customer, each.traces] for each in rows]})


def take(workspace: Workspace, call: Call) -> Answer:
    """Choose traces in some strata; doing it twice changes nothing."""
    said = call.arguments
    wanted = [Taken(stratum, customer, int(drawn), float(pi)) for stratum, customer, drawn, pi in said["cells"]]
    chosen = store.choose(workspace.database.cursor(), int(said["seed"]), _window(said["window"]), wanted)
    with workspace.database.transaction() as cursor:
        return Answer({"new": store.keep(cursor, said["sample_id"], "replay", chosen)})


def audit(workspace: Workspace, call: Call) -> Answer:
    """Choose the traces that people read; doing it twice changes nothing."""
    said = call.arguments
    window, size, frame = _window(said["window"]), int(said["size"]), int(said["frame"])
    chosen = store.choose_audit(workspace.database.cursor(), int(said["seed"]), window, size, frame)
    with workspace.database.transaction() as cursor:
        return Answer({"new": store.keep(cursor, said["sample_id"], "audit", chosen)})


def read(workspace: Workspace, call: Call) -> Answer:
    """A finished sample, or none."""
    cursor = workspace.database.cursor()
    row = store.read(cursor, str(call.arguments["sample_id"]))
    return Answer({"sample": None if row is None else _document(workspace, row)})


def finish(workspace: Workspace, call: Call) -> Answer:
    """Store a sample whose traces are chosen, if its frame still stands as it was; twice is once."""
    said = call.arguments
    sample_id, window = str(said["sample_id"]), _window(said["window"])
    extent = store.extent(workspace.database.cursor(), window)
    with workspace.database.transaction() as cursor:
        stored = store.read(cursor, sample_id)
        if stored is None and extent.hash == said["frame_hash"]:
            stored = _stored(cursor, said, window, extent.traces, call)
            store.finish(cursor, stored)
        elif stored is None:
            store.forget(cursor, sample_id)
    if stored is None:
        raise Conflict("Traces came in or were clustered while the sample was drawn; nothing is kept. Run it again.")
    return Answer({"sample": _document(workspace, stored)})


def _stored(cursor: store.Cursor, said: Mapping[str, Any], window: Window, frame: int, call: Call) -> SampleRow:
    spec, notes = dict(said["spec"]), list(said["notes"])
    most = store.most_of_one_customer(cursor, said["sample_id"])
    if most > spec["cap"]:
        notes.append(f"One customer gives {most:,} traces in this draw, more than {spec['cap']:,}, by chance.")
    return SampleRow(
        sample_id=said["sample_id"],
        number=store.next_number(cursor),
        seed=int(spec["seed"]),
        spec=spec,
        window_from=window.since,
        window_to=window.until,
        frame=frame,
        frame_hash=said["frame_hash"],
        strata=list(said["strata"]),
        notes=notes,
        drawn_by=call.by,
        drawn_at=call.now,
    )


def _window(said: Mapping[str, Any]) -> Window:
    since, until = (datetime.fromisoformat(said[name]) for name in ("from", "to"))
    return Window(since, until, bool(said["synthetic"]))


def _document(workspace: Workspace, row: SampleRow) -> dict[str, Any]:
    """A sample as JSON values, with the names that its clusters have now."""
    cursor = workspace.database.cursor()
    names = store.cluster_names(cursor)
    held = store.counts(cursor, row.sample_id)
    return {
        "sample_id": row.sample_id,
        "number": row.number,
        "seed": row.seed,
        "size": sum(count for (purpose, _), count in held.items() if purpose == "replay"),
        "audit": sum(count for (purpose, _), count in held.items() if purpose == "audit"),
        "frame": row.frame,
        "frame_hash": row.frame_hash,
        "window_from": row.window_from.isoformat(),
        "window_to": row.window_to.isoformat(),
        "synthetic": bool(row.spec.get("synthetic")),
        "strata": [{**each, "name": stratum_name(each["stratum"], names)} for each in row.strata],
        "notes": row.notes,
    }


def stratum_name(stratum: str, names: Mapping[str, str]) -> str:
    """A stratum of traces for people."""
    return names.get(stratum, {UNCLUSTERED: "(in no cluster yet)", NOISE: "(near no cluster)"}.get(stratum, stratum))
