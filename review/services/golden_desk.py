"""What the desk does for the golden set: one short batch each."""

from __future__ import annotations

from typing import Any

from review.domain import golden as rules
from review.errors import BadInput, NotFound
from review.services import golden
from review.services.desk import Answer, Call
from review.services.workspace import Workspace
from review.store import golden as store
from review.store.golden import ItemRow, VersionRow


def known(workspace: Workspace, call: Call) -> Answer:
    """Operation golden.known: of rows of item_id and content_hash, the places of those that came in before."""
    table = _table(call)
    ids, contents = table["item_id"].to_pylist(), table["content_hash"].to_pylist()
    there = store.contents(workspace.database.cursor(), ids)
    pairs = enumerate(zip(ids, contents, strict=True))
    return Answer({"present": [place for place, each in pairs if each in there]})


def put(workspace: Workspace, call: Call) -> Answer:
    """Operation golden.put: items (store.golden.ITEMS) that do not stand yet; {new, changed}."""
    table = _table(call).cast(store.ITEMS)
    with workspace.database.transaction() as cursor:
        new, changed = store.add_items(cursor, table, call.by, call.now)
    return Answer({"new": new, "changed": changed})


def read(workspace: Workspace, call: Call) -> Answer:
    """Operation golden.read: a page of items in order of their ids. {version, state, after, limit}."""
    said = call.arguments
    standing = golden.standings(workspace)
    if said.get("version") is not None:
        chosen = golden.held(workspace, golden.version(workspace, str(said["version"])))
    else:
        state = said.get("state")
        chosen = {each: one.item_hash for each, one in standing.items() if state in (None, one.state)}
    ids = [each for each in sorted(chosen) if each > str(said["after"])][: int(said["limit"])]
    rows = golden.items(workspace, [chosen[each] for each in ids])
    return Answer({"items": [document(rows[chosen[each]], standing[each].state) for each in ids]})


def freeze(workspace: Workspace, call: Call) -> Answer:
    """Operation golden.freeze: {name} gives the frozen set."""
    done = golden.freeze(workspace, call.arguments.get("name"), call.by, call.now)
    return Answer({**version_document(done.row), "new": done.new, "note": done.note})


def versions(workspace: Workspace, _call: Call) -> Answer:
    """Operation golden.versions: frozen sets, oldest first, and whether what is accepted now is the newest of them."""
    listed = golden.versions(workspace)
    now = golden.accepted(workspace)
    current = rules.set_hash(now.values()) if now else None
    return Answer(
        {
            "versions": [version_document(each) for each in listed],
            "accepted": len(now),
            "frozen": bool(listed) and listed[-1].version == current,
        }
    )


def diff(workspace: Workspace, call: Call) -> Answer:
    """Operation golden.diff: {one, other}: items added, removed, and changed with the fields that differ."""
    one, other = (golden.version(workspace, str(call.arguments[each])) for each in ("one", "other"))
    before, after = golden.held(workspace, one), golden.held(workspace, other)
    found = rules.difference(before, after)
    hashes = [each for item in found.changed for each in (before[item], after[item])]
    rows = golden.items(workspace, hashes)
    changed = [
        {
            "item_id": each,
            "fields": rules.fields_changed(rows[before[each]].item.form(), rows[after[each]].item.form()),
        }
        for each in found.changed
    ]
    return Answer(
        {
            "one": version_document(one),
            "other": version_document(other),
            "added": list(found.added),
            "removed": list(found.removed),
            "changed": changed,
        }
    )


def show(workspace: Workspace, call: Call) -> Answer:
    """Operation golden.show: {item}: the item, its state, and what became of it."""
    asked = str(call.arguments["item"])
    standing = golden.standings(workspace).get(asked)
    if standing is None:
        raise NotFound(f"There is no golden item {asked[:60]!r}. See them with: review golden list")
    row = golden.items(workspace, [standing.item_hash])[standing.item_hash]
    events = store.told(workspace.database.cursor(), asked)
    history = [{**each, "at": each["at"].isoformat()} for each in events]
    return Answer({**document(row, standing.state), "history": history})


def document(row: ItemRow, state: str) -> dict[str, Any]:
    """An item as plain JSON values."""
    return {
        "item_id": row.item.item_id,
        "item_hash": row.item_hash,
        "prompt_id": row.prompt_id,
        "state": state,
        "task": row.item.task,
        "source": row.source,
        "model": row.model,
        "synthetic": row.synthetic,
        "cluster_id": row.cluster_id,
        "added_by": row.added_by,
        "added_at": row.added_at.isoformat(),
        "form": row.item.form(),
    }


def version_document(row: VersionRow) -> dict[str, Any]:
    """A frozen set as plain JSON values."""
    return {**row.__dict__, "short": rules.short(row.version), "frozen_at": row.frozen_at.isoformat()}


def _table(call: Call) -> Any:
    if call.table is None:
        raise BadInput("A table of rows belongs to this operation.")
    return call.table
