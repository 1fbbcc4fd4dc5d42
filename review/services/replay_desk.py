"""What replaying reads from the database and hands in to it: the operations of `review replay`, each short."""

from __future__ import annotations

import json
from typing import Any

from review.domain import sameness, structured
from review.domain.types import Output
from review.errors import NotFound
from review.services.desk import Answer, Call
from review.services.noise import noise_floor
from review.services.pairing import make_pairs
from review.services.workspace import Workspace
from review.store import replays as store
from review.store.replays import Scope

PAGE = 200
PAGE_BYTES = 4_000_000
_MEASURED = 200


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


def work(workspace: Workspace, call: Call) -> Answer:
    """The next traces that wait for a stack's answer, after a position, as a table."""
    said = call.arguments
    cursor = workspace.database.cursor()
    return Answer(
        {}, store.work(cursor, _scope(call), str(said["stack"]), int(said["after"]), PAGE, PAGE_BYTES).cast(store.WORK)
    )


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
    """Compare some replayed answers of a stack with the logged ones; `measured` is 0 when all are."""
    stack = str(call.arguments["stack"])
    with workspace.database.transaction() as cursor:
        found = store.unmeasured(cursor, _scope(call), stack, _MEASURED)
        store.measure(cursor, [(name, stack, *_compared(logged, replayed)) for name, logged, replayed in found])
    return Answer({"measured": len(found)})


def noise(workspace: Workspace, call: Call) -> Answer:
    """The noise floor of a stack in a sample."""
    return Answer(noise_floor(workspace, _scope(call), str(call.arguments["stack"])).to_json())


def pair(workspace: Workspace, call: Call) -> Answer:
    """Make pairs of some traces after a position; `last` is the position to go on after, None when done."""
    said = call.arguments
    made = make_pairs(workspace, _scope(call), str(said["old"]), str(said["new"]), int(said["after"]), call.now)
    return Answer({"made": made.made, "rejected": made.rejected, "last": made.last})


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
