"""What replaying reads from the database and hands in to it: the operations of `review replay`, each short."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as _pa

from review.domain import sameness, structured
from review.domain.types import Output
from review.errors import NotFound
from review.services.desk import Answer, Call
from review.services.noise import noise_floor
from review.services.pairing import make_pairs
from review.services.workspace import Workspace
from review.store import replays as store
from review.store.replays import Scope

pa: Any = _pa  # it carries no types
_WORK: Any = pa.schema([(name, pa.string()) for name in ("trace_id", "messages", "tools", "parameters")])
# Places that one answer lists.
LISTED = 5000


def look(workspace: Workspace, call: Call) -> Answer:
    """Which sample it is and how far it is: counts, and errors that stand, by kind and side.

    Arguments: sample (an id, or None for the newest), stripped, limit, old and new (stacks).

    Raises:
        NotFound: there is no such sample, or none at all.
    """
    cursor, said = workspace.database.cursor(), call.arguments
    sample = said.get("sample") or store.newest(cursor)
    if sample is None:
        raise NotFound("There is no sample of traces yet. Draw one: review sample")
    if not store.exists(cursor, str(sample)):
        raise NotFound(f"There is no sample {str(sample)[:60]!r}. Draw one: review sample")
    scope = Scope(str(sample), bool(said["stripped"]), said.get("limit"))
    stacks = {side: str(said[side]) for side in ("old", "new")}
    counts = store.state(cursor, scope, stacks["old"], stacks["new"])
    failing = {side: store.failing(cursor, scope, stack) for side, stack in stacks.items()}
    return Answer({"sample": scope.sample, **counts, "failing": failing})


def places(workspace: Workspace, call: Call) -> Answer:
    """Where what is to be done stands, after a place: a table for `work`, `measure` or `pair`, some rows at a time.

    Arguments: the scope, what ("answer", "measure" or "pair"), after, and stack, or old and new.
    """
    cursor, said, scope = workspace.database.cursor(), call.arguments, _scope(call)
    after = int(said["after"])
    if said["what"] == "pair":
        return Answer({}, store.unpaired(cursor, scope, str(said["old"]), str(said["new"]), after, LISTED))
    listed = store.unmeasured if said["what"] == "measure" else store.waiting
    return Answer({}, listed(cursor, scope, str(said["stack"]), after, LISTED))


def work(workspace: Workspace, call: Call) -> Answer:
    """The inputs of traces at these places, as a table."""
    listed = _table(call)
    columns = ("messages", "tools", "parameters")
    found = store.documents(workspace.database.cursor(), listed, columns)
    rows = [{"trace_id": each, **found[each]} for each in listed["trace_id"].to_pylist() if each in found]
    return Answer({}, pa.Table.from_pylist(rows, _WORK))


def adopt(workspace: Workspace, call: Call) -> Answer:
    """Take the log's answers as a stack's."""
    with workspace.database.transaction() as cursor:
        return Answer({"adopted": store.adopt(cursor, _scope(call), str(call.arguments["stack"]), call.now)})


def put(workspace: Workspace, call: Call) -> Answer:
    """Write a table of responses."""
    with workspace.database.transaction() as cursor:
        return Answer({"new": store.put(cursor, _table(call).cast(store.RESPONSES))})


def fail(workspace: Workspace, call: Call) -> Answer:
    """Write a table of failures."""
    with workspace.database.transaction() as cursor:
        return Answer({"new": store.fail(cursor, _table(call).cast(store.FAILURES))})


def measure(workspace: Workspace, call: Call) -> Answer:
    """Compare a stack's answers at these places with the logged ones."""
    stack, listed = str(call.arguments["stack"]), _table(call)
    with workspace.database.transaction() as cursor:
        logged = store.documents(cursor, listed, ("response",))
        replayed = store.answers(cursor, listed, "old_answer", stack)
        both = [(each, logged[each]["response"], replayed[each]) for each in logged if each in replayed]
        store.measure(cursor, [(each, stack, *_compared(one, other)) for each, one, other in both])
    return Answer({"measured": len(both)})


def noise(workspace: Workspace, call: Call) -> Answer:
    """The noise floor of a stack in a sample."""
    return Answer(noise_floor(workspace, _scope(call), str(call.arguments["stack"])).to_json())


def pair(workspace: Workspace, call: Call) -> Answer:
    """Make pairs of the traces at these places."""
    said = call.arguments
    made = make_pairs(workspace, str(said["sample"]), str(said["old"]), str(said["new"]), _table(call), call.now)
    return Answer({"made": made.made, "rejected": made.rejected})


def _compared(logged: str, replayed: str) -> tuple[bool, bool]:
    """Whether two answers are identical, and whether they differ in structure."""
    one, other = (Output.model_validate(json.loads(each)) for each in (logged, replayed))
    identical = sameness.identical(one, other)
    found = None if identical else structured.compare(one, other)
    return identical, found is not None and found.outcome != "same"


def _scope(call: Call) -> Scope:
    said = call.arguments
    limit = said.get("limit")
    return Scope(str(said["sample"]), bool(said["stripped"]), None if limit is None else int(limit))


def _table(call: Call) -> Any:
    if call.table is None:
        raise NotFound("A table of rows belongs to this operation.")
    return call.table
