"""Export pairs, verdicts, labels and the adversarial set to files that can be imported again without loss."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from review.adapters import files
from review.adapters.files import Document, Progress
from review.errors import BadInput
from review.services import flag, rounds
from review.services.workspace import Workspace
from review.store import export as store

Kind = Literal["pairs", "verdicts", "labels", "adversarial"]
_STDOUT = "-"


def export(
    workspace: Workspace, kind: Kind, path: Path, *, round_id: str | None = None, progress: Progress | None = None
) -> int:
    """Write every record of a kind, or one round's, to a file whose suffix names its format; "-" is JSONL on stdout.

    The file appears whole or not at all; the same facts give the same bytes. Returns how many records.

    Raises:
        NotFound: there is no such round.
        BadInput: the suffix is not known, or the file cannot be written.
    """
    if round_id is not None:
        rounds.get(workspace, round_id)
    rows = _rows(workspace, kind, round_id)
    if progress and kind != "adversarial":
        rows = _watched(rows, store.count(workspace.database, kind, round_id), progress)
    if str(path) == _STDOUT:
        return _print(rows)
    return files.write(path, kind, rows)


def _rows(workspace: Workspace, kind: Kind, round_id: str | None) -> Iterable[Document]:
    if kind != "adversarial":
        return (_document(row) for row in store.records(workspace.database, kind, round_id))
    if round_id is not None:
        raise BadInput("The adversarial set is one for all rounds. Leave --round out.")
    return flag.export_rows(workspace)


def _document(row: dict[str, Any]) -> Document:
    """A record as the format has it: parsed, without what is absent."""
    parsed = store.json_columns()
    return {name: json.loads(value) if name in parsed else value for name, value in row.items() if value is not None}


def _watched(rows: Iterable[Document], total: int, progress: Progress) -> Iterator[Document]:
    for done, row in enumerate(rows, start=1):
        yield row
        if done % 1000 == 0:
            progress(done, total)


def _print(rows: Iterable[Document]) -> int:
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007 (the count is the result)
        sys.stdout.buffer.write(files.line_of(row).encode("utf-8") + b"\n")
    return count
