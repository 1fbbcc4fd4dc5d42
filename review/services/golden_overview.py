"""The golden set at a glance: every item with its state, what is frozen, which clusters it touches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from review.domain.golden import Item, Standing
from review.domain.intent import intent_text
from review.services import golden
from review.services.workspace import Workspace
from review.store import golden as store
from review.store.golden import ItemRow, VersionRow


@dataclass(frozen=True)
class Line:
    """One item: where it stands, its version that counts, and whether the newest frozen set has that version."""

    standing: Standing
    row: ItemRow
    frozen: bool
    prompt: str

    @property
    def item(self) -> Item:
        """The version that counts."""
        return self.row.item


@dataclass(frozen=True)
class Overview:
    """All items in order of their ids, and the newest frozen set."""

    lines: tuple[Line, ...]
    newest: VersionRow | None
    frozen: Mapping[str, str]

    def of(self, state: str) -> tuple[Line, ...]:
        """Items in a state."""
        return tuple(each for each in self.lines if each.standing.state == state)

    @property
    def unfrozen(self) -> int:
        """Items by which what is accepted now differs from the newest frozen set."""
        now = {each.item.item_id: each.row.item_hash for each in self.of("accepted")}
        return sum(now.get(each) != self.frozen.get(each) for each in now.keys() | self.frozen.keys())


def overview(workspace: Workspace) -> Overview:
    """Everything that the page shows of the set."""
    standing = golden.standings(workspace)
    rows = golden.items(workspace, [each.item_hash for each in standing.values()])
    listed = golden.versions(workspace)
    newest = listed[-1] if listed else None
    frozen = golden.held(workspace, newest) if newest is not None else {}
    lines: list[Line] = []
    for name in sorted(standing):
        each = standing[name]
        row = rows[each.item_hash]
        messages = [one.model_dump() for one in row.item.messages]
        lines.append(Line(each, row, frozen.get(name) == each.item_hash, intent_text(messages)))
    return Overview(tuple(lines), newest, frozen)


def history(workspace: Workspace, item_id: str) -> list[dict[str, Any]]:
    """What became of an item: kind, item_hash, reason, by, at."""
    return store.told(workspace.database.cursor(), item_id)
