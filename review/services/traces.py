"""Traces behind the desk: hand a batch in, count, read by id or window, find by a ticket's keyed hash."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow

from review.domain import identity
from review.domain.types import moment
from review.errors import BadInput
from review.services.desk import Answer, Call, Desk
from review.services.pairing import note_live
from review.services.workspace import Workspace
from review.store import traces as store
from review.store.live import LIVE

pa: Any = pyarrow  # it carries no types
MOST_ROWS = 5000
_FOUND = 200


def put(workspace: Workspace, call: Call) -> Answer:
    """Operation traces.put: rows of store.traces.SCHEMA and perhaps store.live.LIVE, all in one transaction.

    Live traffic that both stacks answered becomes a pair at once.

    Returns:
        {new, present, clashing}: `present` stood already with the same content. `clashing` are the places (from 0) of
        rows whose id stands, or came earlier in the batch, with other content; they are not written.
    """
    table = _table(call, store.SCHEMA)
    with workspace.database.transaction() as cursor:
        fresh, present, clashing = _sorted_out(store.hashes(cursor, table.select(["trace_id"])), table)
        new = store.add(cursor, table.take(pa.array(fresh, pa.int64())), call.now) if fresh else 0
        if fresh and call.table is not None and set(LIVE.names) <= set(call.table.column_names):
            note_live(cursor, workspace.key, call.table.take(pa.array(fresh, pa.int64())), call.now)
    return Answer({"new": new, "present": present, "clashing": clashing})


def known(workspace: Workspace, call: Call) -> Answer:
    """Operation traces.known: for rows of `trace_id` and `content_hash`, what put would do; nothing is written.

    Returns:
        {present, clashing}: places of rows, from 0.
    """
    table = _table(call, pa.schema([store.SCHEMA.field("trace_id"), store.SCHEMA.field("content_hash")]))
    stands = store.hashes(workspace.database.cursor(), table.select(["trace_id"]))
    present: list[int] = []
    clashing: list[int] = []
    for place, (trace_id, content) in enumerate(_pairs(table)):
        if trace_id in stands:
            (present if stands[trace_id] == content else clashing).append(place)
    return Answer({"present": present, "clashing": clashing})


def count(workspace: Workspace, _call: Call) -> Answer:
    """Operation traces.count: {traces, synthetic, unstripped, answered, first, last}; times as ISO text or None."""
    found = store.count(workspace.database.cursor())
    times = {name: value.isoformat() if (value := found[name]) else None for name in ("first", "last")}
    return Answer(found | times)


def read(workspace: Workspace, call: Call) -> Answer:
    """Operation traces.read: traces as a table, by id.

    Arguments:
        ids: these traces; or
        start, end: a window of ISO times, `start` in it and `end` not (a trace without a time counts from its import),
            with `after` (the last id of the page before) and `limit`.
        columns: of the table; all by default.
    """
    given, cursor = call.arguments, workspace.database.cursor()
    columns = given.get("columns") or list(store.COLUMNS)
    if unknown := [str(name)[:40] for name in columns if name not in store.COLUMNS]:
        raise BadInput(f"columns: {unknown[0]!r} is none of {', '.join(store.COLUMNS)}.")
    if (ids := given.get("ids")) is not None:
        if len(ids) > MOST_ROWS:
            raise BadInput(f"ids: {len(ids):,} are too many; ask for at most {MOST_ROWS:,} at once.")
        return Answer(table=store.by_id(cursor, ids, columns))
    limit = given.get("limit", 1000)
    if not isinstance(limit, int) or not 1 <= limit <= MOST_ROWS:
        raise BadInput(f"limit: {limit!r} is not a whole number from 1 to {MOST_ROWS}.")
    start, end = _time(given, "start"), _time(given, "end")
    after = str(given.get("after") or "")
    return Answer(table=store.page(cursor, columns, start=start, end=end, after=after, limit=limit))


def find(workspace: Workspace, call: Call) -> Answer:
    """Operation traces.find: by keyed hashes `ticket`, `customer`, `conversation`, all of which must fit.

    Returns:
        {traces: [{trace_id, task, source, at, pairs}]}, latest first, at most 200.
    """
    hashed = {name: call.arguments[name] for name in ("ticket", "customer", "conversation") if name in call.arguments}
    if not hashed:
        raise BadInput("Say which ticket, customer or conversation to look for.")
    found = store.find(workspace.database.cursor(), hashed, _FOUND)
    return Answer({"traces": [each | {"at": each["at"].isoformat()} for each in found]})


def find_by(desk: Desk, **ids: str | None) -> list[dict[str, Any]]:
    """Traces of a ticket, customer or conversation, by the ids as people know them; only keyed hashes are sent.

    Args:
        desk: where the traces are.
        ids: `ticket`, `customer`, `conversation`; those that are None do not count.
    """
    hashed = {kind: identity.pseudonym(desk.key, kind, value) for kind, value in ids.items() if value}
    return desk.ask("traces.find", hashed).document["traces"]


def _sorted_out(stands: Mapping[str, str], table: Any) -> tuple[list[int], int, list[int]]:
    """Places of new rows, how many stand already, and places of those that contradict what stands."""
    fresh: list[int] = []
    clashing: list[int] = []
    seen, present = dict(stands), 0
    for place, (trace_id, content) in enumerate(_pairs(table)):
        if trace_id not in seen:
            seen[trace_id] = content
            fresh.append(place)
        elif seen[trace_id] == content:
            present += 1
        else:
            clashing.append(place)
    return fresh, present, clashing


def _pairs(table: Any) -> zip[tuple[str, str]]:
    return zip(table["trace_id"].to_pylist(), table["content_hash"].to_pylist(), strict=True)


def _table(call: Call, schema: Any) -> Any:
    """The call's table with the columns of the schema, in its types."""
    table = call.table
    if table is None:
        raise BadInput("traces are handed in as an Arrow table.")
    if missing := [name for name in schema.names if name not in table.column_names]:
        raise BadInput(f"the table of traces has no column {missing[0]!r}.")
    if len(table) > MOST_ROWS:
        raise BadInput(f"{len(table):,} traces are too many for one batch; hand in at most {MOST_ROWS:,}.")
    try:
        return table.select(schema.names).cast(schema)
    except pa.ArrowInvalid as error:
        raise BadInput("the table of traces has columns of other types than store.traces.SCHEMA.") from error


def _time(given: Mapping[str, Any], name: str) -> datetime | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        found = moment(value)
    except ValueError as error:
        raise BadInput(f"{name}: {error}.") from error
    if not isinstance(found, datetime):
        raise BadInput(f"{name}: must be a time as text, like 2026-03-01T14:02:11+00:00.")
    return found
