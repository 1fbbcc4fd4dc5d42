"""Export pairs, verdicts, labels and the adversarial set to files that can be imported again without loss."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from review.adapters import files
from review.adapters.files import Document, Progress
from review.errors import BadInput
from review.services import flag, rounds
from review.services.desk import Answer, Call, Desk, LocalDesk
from review.services.workspace import Workspace
from review.store import export as store

Kind = Literal["pairs", "verdicts", "labels", "adversarial"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_STDOUT = "-"
_ENTRIES = 200


def export(
    workspace: Workspace, kind: Kind, path: Path, *, round_id: str | None = None, progress: Progress | None = None
) -> int:
    """`export_through` in the process that owns the database."""
    return export_through(LocalDesk(workspace, ""), kind, path, round_id=round_id, progress=progress)


def export_through(
    desk: Desk, kind: Kind, path: Path, *, round_id: str | None = None, progress: Progress | None = None
) -> int:
    """Write every record of a kind, or one round's, to a file whose suffix names its format; "-" is JSONL on stdout.

    The file appears whole or not at all; the same facts give the same bytes. What is stored while it runs may be among
    it or not. Returns how many records.

    Raises:
        NotFound: there is no such round.
        BadInput: the suffix is not known, or the file cannot be written.
    """
    rows = _rows(desk, kind, round_id, progress)
    return _print(rows) if str(path) == _STDOUT else files.write(path, kind, rows)


def page(workspace: Workspace, call: Call) -> Answer:
    """Operation export.page: {kind, round_id, after} gives records, and {after, total} to go on with.

    Records of the fact tables come as rows, entries of the adversarial set as JSON. `after` is None at the end, and
    `total` is counted for the first page only.
    """
    kind, round_id, after = (call.arguments.get(name) for name in ("kind", "round_id", "after"))
    if kind not in KINDS:
        raise BadInput(f"There is no export of {str(kind)[:40]!r}; there is {', '.join(KINDS)}.")
    if kind == "adversarial":
        return _entries(workspace, round_id, after or 0)
    if round_id is not None:
        rounds.get(workspace, round_id)
    found = store.page(workspace.database, kind, round_id, after)
    total = None if after else store.count(workspace.database, kind, round_id)
    return Answer({"after": found.last, "total": total}, found.rows)


def _entries(workspace: Workspace, round_id: str | None, start: int) -> Answer:
    if round_id is not None:
        raise BadInput("The adversarial set is one for all rounds. Leave --round out.")
    rows = flag.export_rows(workspace, start, _ENTRIES)
    return Answer({"after": start + _ENTRIES if len(rows) == _ENTRIES else None, "total": None, "rows": rows})


def _rows(desk: Desk, kind: Kind, round_id: str | None, progress: Progress | None) -> Iterator[Document]:
    after, total, done = None, 0, 0
    while True:
        answer = desk.ask("export.page", {"kind": kind, "round_id": round_id, "after": after})
        rows: list[Document] = answer.document.get("rows") or []
        if answer.table is not None:
            rows = [_document(row) for row in answer.table.to_pylist()]
        yield from rows
        done, total, after = done + len(rows), answer.document["total"] or total, answer.document["after"]
        if progress and total:
            progress(min(done, total), total)
        if after is None:
            return


def _document(row: dict[str, Any]) -> Document:
    """A record as the format has it: parsed, without what is absent."""
    parsed = store.json_columns()
    return {name: json.loads(value) if name in parsed else value for name, value in row.items() if value is not None}


def _print(rows: Iterable[Document]) -> int:
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007 (the count is the result)
        sys.stdout.buffer.write(files.line_of(row).encode("utf-8") + b"\n")
    return count
