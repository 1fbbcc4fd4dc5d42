"""The golden set: items come in from files, people decide on them, sets are frozen by hash and compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow
from pydantic import ValidationError

from review.adapters import files
from review.adapters.files import Row
from review.domain import golden as rules
from review.domain import identity
from review.domain.complaint import explain
from review.domain.golden import EventKind, Item, Standing
from review.errors import BadInput, Conflict, NotAllowed, NotFound, Rejected, RejectedRecords
from review.services import ingest, strip
from review.services.desk import Desk
from review.services.workspace import Actor, Workspace
from review.store import golden as store
from review.store.golden import ItemRow, VersionRow

pa: Any = pyarrow  # it carries no types
Tell = Callable[[int, int], None]

_BATCH = 500
_DEEPEST = 100
LONGEST_REASON = 500


@dataclass(frozen=True)
class Imported:
    """What became of a file's items: `read` = `new` + `changed` (a further version) + `present` + rejected ones."""

    read: int
    new: int
    changed: int
    present: int
    rejected: tuple[Rejected, ...] = ()


def import_file(
    desk: Desk,
    path: Path,
    *,
    names: Mapping[str, str] | None = None,
    skip_invalid: bool = False,
    tell: Tell | None = None,
) -> Imported:
    """Bring in a file of items (JSONL, CSV or Parquet); whoever imports has accepted them.

    An item whose content came in before, in whatever version, stays as it is; other content under a known item_id is a
    further version. Personal data is stripped as the configuration says, consistently within an item.

    Args:
        desk: where they are handed in.
        path: the file.
        names: our names of fields, and the file's own.
        skip_invalid: write the good lines of a file that has bad ones.
        tell: told (done, total) now and then.

    Raises:
        RejectedRecords: lines are no items; nothing was written.
        BadInput: the file is missing or not what its suffix says.
    """
    good, bad = _checked(files.read(path, None, names), names or {})
    if bad and not skip_invalid:
        raise RejectedRecords(str(path), bad, len(good) + len(bad))
    settings = strip.settings_at(desk)
    new = changed = 0
    for start in range(0, len(good), _BATCH):
        some = _unknown(desk, good[start : start + _BATCH])
        if some:
            table = stripped([(each, {"source": path.name, "kind": "imported"}) for each in some], desk.key, settings)
            done = desk.ask("golden.put", {}, table).document
            new, changed = new + int(done["new"]), changed + int(done["changed"])
        if tell is not None:
            tell(min(start + _BATCH, len(good)), len(good))
    return Imported(len(good) + len(bad), new, changed, len(good) - new - changed, tuple(bad))


def _checked(rows: Iterable[Row], names: Mapping[str, str]) -> tuple[list[Item], list[Rejected]]:
    """The items of a file, and what is wrong with the lines that hold none."""
    good: list[Item] = []
    bad: list[Rejected] = []
    lines: dict[str, int] = {}
    for row in rows:
        found = _item(row, names)
        if isinstance(found, Rejected):
            bad.append(found)
        elif found.item_id in lines:
            reason = f"is that of line {lines[found.item_id]} too. Give each item an id of its own."
            bad.append(Rejected(row.line, "item_id", reason))
        else:
            lines[found.item_id] = row.line
            good.append(found)
    return good, bad


def _item(row: Row, names: Mapping[str, str]) -> Item | Rejected:
    if row.document is None:
        return Rejected(row.line, "", row.reason)
    if ingest.is_deeper(row.document, _DEEPEST):
        return Rejected(row.line, "", f"is nested more than {_DEEPEST} levels deep.")
    document = rules.written(ingest.renamed(row.document, names))
    try:
        item = Item.model_validate(document)
        identity.canonical(item.form())
    except ValidationError as error:
        return Rejected(row.line, *explain(error.errors(include_url=False), document, Item))
    except ValueError:
        return Rejected(row.line, "", "has a number that is infinite.")
    return item


def _unknown(desk: Desk, items: Sequence[Item]) -> list[Item]:
    """Those whose content has not come in before."""
    said = [(each.item_id, identity.content_hash(desk.key, each.form())) for each in items]
    table = pa.table({"item_id": [each for each, _ in said], "content_hash": [each for _, each in said]})
    present = set(desk.ask("golden.known", {}, table).document["present"])
    return [each for place, each in enumerate(items) if place not in present]


def stripped(items: Sequence[tuple[Item, Mapping[str, Any]]], key: bytes, settings: strip.StripSettings | None) -> Any:
    """Items without personal data, as a table of store.golden.ITEMS; each with what else its row says."""
    forms = [each.form() for each, _ in items]
    columns = {
        "messages": [_json(each["messages"]) for each in forms],
        "tools": [_json(each["tools"]) if "tools" in each else None for each in forms],
        "reference": [each["reference"] for each in forms],
        # The rubric's words travel under a name that the stripper reads.
        "metadata": [_json([one["item"] for one in each["rubric"]]) for each in forms],
    }
    table = pa.table({name: pa.array(column, pa.string()) for name, column in columns.items()})
    if settings is None:
        redactions: list[str] = ["{}"] * len(items)
    else:
        table = strip.strip_rows(table, settings)
        redactions = table.column("redactions").to_pylist()
    made: list[dict[str, Any]] = []
    for (item, more), came, row, counts in zip(items, forms, table.to_pylist(), redactions, strict=True):
        rubric = [
            {"item": words, "weight": each.weight}
            for words, each in zip(json.loads(row["metadata"]), item.rubric, strict=True)
        ]
        clean = Item.model_validate(
            {
                **{name: came[name] for name in ("item_id", "task") if name in came},
                "messages": json.loads(row["messages"]),
                "reference": row["reference"],
                "rubric": rubric,
                **({"tools": json.loads(row["tools"])} if row["tools"] is not None else {}),
            }
        )
        made.append(
            {
                **dict.fromkeys(store.ITEMS.names),
                **clean.form(),
                "item_hash": clean.item_hash,
                # Of what came in, so that a trace with the same input has the same.
                "prompt_id": identity.prompt_id(key, {"messages": came["messages"], "tools": came.get("tools")}),
                "messages": row["messages"],
                "tools": row["tools"],
                "rubric": _json(clean.form()["rubric"]),
                "content_hash": identity.content_hash(key, came),
                "redactions": counts,
                "synthetic": False,
                **more,
            }
        )
    return pa.Table.from_pylist(made, store.ITEMS)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def standings(workspace: Workspace) -> dict[str, Standing]:
    """Where every item stands, by item id."""
    return rules.fold(store.events(workspace.database.cursor()))


def accepted(workspace: Workspace) -> dict[str, str]:
    """The item hashes of what counts, by item id."""
    found = standings(workspace)
    return {each: found[each].item_hash for each in sorted(found) if found[each].state == "accepted"}


def in_clusters(workspace: Workspace) -> Mapping[str | None, int]:
    """Accepted items by cluster, for the Coverage page; None: not placed yet."""
    return store.by_cluster(workspace.database.cursor(), list(accepted(workspace).values()))


def data_version(workspace: Workspace) -> str:
    """A text that changes whenever something about the golden set changes."""
    return store.data_version(workspace.database)


def items(workspace: Workspace, item_hashes: Sequence[str]) -> dict[str, ItemRow]:
    """Versions of items by their hash."""
    return store.items(workspace.database.cursor(), item_hashes)


def decide(
    workspace: Workspace,
    actor: Actor,
    seen: Standing,
    kind: EventKind,
    now: datetime,
    *,
    reason: str = "",
) -> Standing:
    """Accept, reject or undo: what a lead decides about an item, as they saw it.

    Args:
        workspace: where.
        actor: who decides.
        seen: where the item stood on their screen.
        kind: accepted, rejected or undone.
        now: when.
        reason: of a rejection.

    Raises:
        NotAllowed: only leads decide.
        Conflict: somebody has changed the item meanwhile.
        BadInput: a rejection without a reason, or nothing can be undone.
    """
    _lead(actor)
    if kind not in ("accepted", "rejected", "undone"):
        raise BadInput(f"An item is accepted, rejected or undone, not {kind!r}.")
    if kind == "rejected" and not 1 <= len(reason.strip()) <= LONGEST_REASON:
        raise BadInput(f"Say why in 1 to {LONGEST_REASON} characters; whoever drafts next reads it.")
    words = reason.strip() if kind == "rejected" else ""
    settings = strip.settings_of(workspace)
    if words and settings is not None:
        words = str(strip.shared().strip({"comment": words}, settings)[0]["comment"])
    with workspace.database.transaction() as cursor:
        events = store.events(cursor, seen.item_id)
        _unchanged(events, seen)
        if kind == "undone" and rules.fold(events)[seen.item_id].steps < 2:
            raise BadInput("There is nothing to undo: this is how the item came in.")
        store.add_events(cursor, [(seen.item_id, seen.item_hash, kind, words or None)], actor.name, now)
        return rules.fold(store.events(cursor, seen.item_id))[seen.item_id]


def edit(workspace: Workspace, actor: Actor, seen: Standing, changed: Mapping[str, Any], now: datetime) -> Standing:
    """Write a further version of an item: a draft stays a draft, an accepted item stays accepted.

    Args:
        workspace: where.
        actor: who edits.
        seen: where the item stood on their screen.
        changed: fields of domain.golden.Item with their new values; the others stay.
        now: when.

    Raises:
        NotAllowed: only leads edit.
        Conflict: somebody has changed the item meanwhile.
        BadInput: it would be no item; says which field.
    """
    _lead(actor)
    row = items(workspace, [seen.item_hash]).get(seen.item_hash)
    if row is None:
        raise NotFound("There is no such item.")
    document = rules.written({**row.item.form(), **changed, "item_id": seen.item_id})
    try:
        item = Item.model_validate(document)
    except ValidationError as error:
        field, why = explain(error.errors(include_url=False), document, Item)
        raise BadInput(f"{field}: {why}") from None
    if item.item_hash == seen.item_hash:
        return seen
    more: dict[str, Any] = {"source": "app", "kind": "edited", "synthetic": row.synthetic, "model": row.model}
    if item.messages == row.item.messages and item.tools == row.item.tools:
        more["prompt_id"] = row.prompt_id
    table = stripped([(item, more)], workspace.key, strip.settings_of(workspace))
    digest = table["item_hash"][0].as_py()
    with workspace.database.transaction() as cursor:
        _unchanged(store.events(cursor, seen.item_id), seen)
        if store.add_items(cursor, table, actor.name, now) == (0, 0) and digest != seen.item_hash:
            # An earlier version is back.
            store.add_events(cursor, [(seen.item_id, digest, "edited", None)], actor.name, now)
        return rules.fold(store.events(cursor, seen.item_id))[seen.item_id]


def _lead(actor: Actor) -> None:
    if actor.role != "lead":
        raise NotAllowed(f"Leads decide what is in the golden set; you are here as {actor.role}.")


def _unchanged(events: Sequence[rules.Event], seen: Standing) -> None:
    if not events:
        raise NotFound("There is no such item.")
    if events[-1].number != seen.number:
        raise Conflict(f"{events[-1].by} has changed this item meanwhile. Look at it again.")


@dataclass(frozen=True)
class Frozen:
    """A frozen set; `new`: it was frozen now. `note`: what is unusual about it, for people."""

    row: VersionRow
    new: bool
    note: str | None


def freeze(workspace: Workspace, name: str | None, by: str, now: datetime) -> Frozen:
    """Freeze what is accepted. The same items again are the same version.

    Raises:
        BadInput: nothing is accepted, or the name is not fit to be one.
        Conflict: another set has this name.
    """
    if name is not None and not (1 <= len(name) <= 60 and name.isprintable() and name.strip() == name):
        raise BadInput("A set's name has 1 to 60 printable characters.")
    with workspace.database.transaction() as cursor:
        found = rules.fold(store.events(cursor))
        kept = {each: found[each].item_hash for each in sorted(found) if found[each].state == "accepted"}
        if not kept:
            raise BadInput("No item is accepted yet. Import some: review golden import FILE")
        version, standing = rules.set_hash(kept.values()), store.versions(cursor)
        note = size_note(len(kept))
        for each in standing:
            if each.version == version:
                return Frozen(each, False, note)
            if name is not None and each.name == name:
                raise Conflict(f"Another frozen set has the name {name!r}. Sets are never overwritten: choose another.")
        row = VersionRow(version, len(standing) + 1, name, len(kept), by, now)
        store.freeze(cursor, row, kept)
    return Frozen(row, True, note)


def size_note(count: int) -> str | None:
    """What is unusual about the size of a set."""
    if count < rules.FEWEST:
        return (
            f"{count:,} items are fewer than {rules.FEWEST}: a verdict from so few has a wide interval. "
            "Add some, for instance by review golden draft."
        )
    if count > rules.MOST:
        return f"{count:,} items are more than {rules.MOST:,}: every run asks both stacks and the judge all of them."
    return None


def versions(workspace: Workspace) -> list[VersionRow]:
    """Frozen sets, oldest first."""
    return store.versions(workspace.database.cursor())


def version(workspace: Workspace, asked: str | None = None) -> VersionRow:
    """A frozen set by its name, number, hash or the hash's beginning; the newest by default.

    Raises:
        NotFound: there is none.
    """
    listed = versions(workspace)
    if not listed:
        raise NotFound("No golden set is frozen yet. Freeze what is accepted: review golden freeze")
    if asked is None:
        return listed[-1]
    for fits in (
        [each for each in listed if each.name == asked],
        [each for each in listed if str(each.number) == asked],
        [each for each in listed if len(asked) >= 6 and each.version.startswith(asked)],
    ):
        if len(fits) == 1:
            return fits[0]
    raise NotFound(f"There is no frozen golden set {asked[:70]!r}. See them with: review golden versions")


def held(workspace: Workspace, frozen: VersionRow) -> dict[str, str]:
    """The item hashes of a frozen set by item id."""
    return store.held(workspace.database.cursor(), frozen.version)


def export(desk: Desk, path: Path, *, version: str | None = None, drafts: bool = False) -> int:
    """Write the accepted items, or a frozen set's, to a JSONL file that can be imported again; returns how many.

    Raises:
        BadInput: the suffix is another one, or the folder cannot be written.
        NotFound: there is no such frozen set.
    """
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        raise BadInput(f"{path}: golden items are written as JSONL. Name a file that ends in .jsonl.")

    def forms() -> Iterator[dict[str, Any]]:
        for each in pages(desk, version=version, state="draft" if drafts else "accepted"):
            yield each["form"]

    return files.write(path, "pairs", forms())


def pages(desk: Desk, *, version: str | None = None, state: str | None = None) -> Iterator[dict[str, Any]]:
    """Items as documents, in order of their ids, through a desk: of a frozen set, else of this state (None: all)."""
    after = ""
    while True:
        said = {"version": version, "state": state, "after": after, "limit": _BATCH}
        some = desk.ask("golden.read", said).document["items"]
        yield from some
        if len(some) < _BATCH:
            return
        after = some[-1]["item_id"]
