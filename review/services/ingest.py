"""Import pairs, verdicts and labels from files: every line checked, the whole file written or nothing of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import ValidationError

from review.adapters import files
from review.adapters.files import Document, Kind, Progress, Row
from review.domain import identity, sameness
from review.domain.complaint import explain
from review.domain.types import Label, Output, Pair, Record, Verdict
from review.errors import Rejected, RejectedRecords
from review.services import strip
from review.services.desk import LocalDesk
from review.services.workspace import Workspace
from review.store import plain_pairs, staging

MODELS: dict[Kind, type[Record]] = {"pairs": Pair, "verdicts": Verdict, "labels": Label}
_BATCH = 5000
# Bytes. Preparing DuckDB's checks takes as long as checking so much row by row.
SMALL = 1 << 18
# Deeper documents would exhaust the stack of whoever reads them back; DuckDB's checks stop at a little less.
_DEEPEST = 100
_IDENTIFIERS = {name for model in MODELS.values() for name in model.model_fields if name.endswith("_id")} | {"task"}


@dataclass(frozen=True)
class Imported:
    """What became of the lines: `read` = `new` + `present` + rejected ones. `present` facts were there already."""

    read: int
    new: int
    present: int
    rejected: tuple[Rejected, ...] = ()

    def __add__(self, other: Imported) -> Imported:
        return Imported(
            self.read + other.read,
            self.new + other.new,
            self.present + other.present,
            self.rejected + other.rejected,
        )


@dataclass(frozen=True)
class Options:
    """How to read: `skip_invalid` writes the good lines of a file that has bad ones; `names` maps our dotted field
    names to the file's own. A number renamed to an id becomes text, a text renamed to `messages` one user message."""

    skip_invalid: bool = False
    names: Mapping[str, str] | None = None


def import_pairs(workspace: Workspace, paths: Sequence[Path], *, now: datetime) -> Imported:
    """Import files of pairs."""
    return import_files(workspace, "pairs", paths, now=now)


def import_verdicts(workspace: Workspace, paths: Sequence[Path], *, now: datetime) -> Imported:
    """Import files of verdicts."""
    return import_files(workspace, "verdicts", paths, now=now)


def import_files(
    workspace: Workspace,
    kind: Kind,
    paths: Sequence[Path],
    *,
    now: datetime,
    options: Options = Options(),
    progress: Progress | None = None,
) -> Imported:
    """Import files one after the other, each in a transaction of its own.

    Raises:
        RejectedRecords: a file has bad lines and `skip_invalid` is off; nothing of that file was written.
        BadInput: a file is missing or not what its suffix says.
    """
    total = Imported(0, 0, 0)
    for path in paths:
        total += _import_file(workspace, kind, path, now, options, progress)
    return total


def _import_file(
    workspace: Workspace, kind: Kind, path: Path, now: datetime, options: Options, progress: Progress | None
) -> Imported:
    intake = strip.intake_at(LocalDesk(workspace, ""), kind)

    def write(batches: Iterator[Batch]) -> Imported:
        with workspace.database.transaction() as cursor, stripping(intake, batches) as stripped:
            return gather(stripped, lambda staged: take(cursor, kind, staged, path.name, now), path.name, options)

    # A cursor beside the transaction, because a transaction keeps the memory of its results.
    return read_twice(workspace.database.cursor(), workspace.key, kind, path, options, progress, write)


def read_twice(
    cursor: staging.Cursor,
    key: bytes,
    kind: Kind,
    path: Path,
    options: Options,
    progress: Progress | None,
    write: Callable[[Iterator[Batch]], Imported],
) -> Imported:
    """Read and check a file the quick way where there is one, and row by row where that leaves doubts.

    Args:
        cursor: of any database; DuckDB checks with it.
        key: derives ids.
        kind: of the records.
        path: the file.
        options: how to read.
        progress: told bytes read and bytes in all.
        write: takes the batches in; all of them or none.
    """
    names = options.names or {}
    files.require(path)
    if kind == "pairs" and not names and path.stat().st_size > SMALL:
        try:
            return write(_many_at_a_time(cursor, key, path, progress))
        except files.Doubtful:
            pass  # nothing was written; what follows names each line
    return write(_row_by_row(key, kind, path, names, progress))


@contextmanager
def stripping(intake: strip.Intake | None, batches: Iterator[Batch]) -> Generator[Iterator[Batch]]:
    """The batches without personal data. On leaving without an error, what they were is remembered by keyed hash."""
    if intake is None:
        yield batches
        return
    intake.forget()
    yield _stripped(intake, batches)
    intake.remember()


def _stripped(intake: strip.Intake, batches: Iterator[Batch]) -> Iterator[Batch]:
    for batch in batches:
        staged, present = intake.strip(batch.staged)
        yield batch._replace(staged=staged, present=batch.present + present)


class Taken(NamedTuple):
    """What became of a batch of good lines: new facts, facts that stood already, and lines that contradict facts."""

    new: int
    present: int
    bad: list[Rejected]


def take(cursor: staging.Cursor, kind: Kind, staged: Any, source: str, now: datetime) -> Taken:
    """Write what is new of a batch, inside the cursor's transaction."""
    known = staging.known(cursor, kind, staged)
    bad = [*_orphans(cursor, kind, staged), *_contradictions(known, kind)]
    wrong = {each.line for each in bad}
    there = {each.line for each in known} - wrong
    new = staging.write(cursor, kind, staging.without(staged, there | wrong), source, now)
    return Taken(new, len(there), bad)


def gather(batches: Iterator[Batch], take_in: Callable[[Any], Taken], source: str, options: Options) -> Imported:
    """Every batch taken in, and what became of all lines.

    Raises:
        RejectedRecords: there are bad lines and `skip_invalid` is off: leave nothing of what was taken in.
        files.Doubtful: which lines are bad cannot be told in this way of reading: leave nothing.
    """
    rejected: list[Rejected] = []
    read = new = present = 0
    for batch in batches:
        read += batch.read
        taken = take_in(batch.staged)
        bad = [*batch.rejected, *taken.bad]
        if bad and not batch.lines_are_exact:
            raise files.Doubtful
        rejected += bad
        new += taken.new
        present += taken.present + batch.present
    rejected.sort(key=lambda each: each.line)
    if rejected and not options.skip_invalid:
        raise RejectedRecords(source, rejected, read)
    return Imported(read, new, present, tuple(rejected))


class Batch(NamedTuple):
    """Some rows of a file: how many there were, the good ones as a table to be staged, and the bad ones."""

    read: int
    staged: Any
    rejected: list[Rejected]
    lines_are_exact: bool = True
    # Rows that were there already and are not in `staged` any more.
    present: int = 0


def _row_by_row(
    key: bytes, kind: Kind, path: Path, names: Mapping[str, str], progress: Progress | None
) -> Iterator[Batch]:
    for rows in _batches(files.read(path, progress, names), _BATCH):
        yield check_rows(key, kind, rows, names)


def _many_at_a_time(cursor: staging.Cursor, key: bytes, path: Path, progress: Progress | None) -> Iterator[Batch]:
    """Check a file of pairs. What DuckDB can check by itself does not pass through Python."""
    if files.holds_lines(path):
        for lines in files.read_lines(path, progress):
            yield _check_many(cursor, key, lines.table(), lines.rows)
    else:
        exact = path.suffix.lower() != ".csv"
        for columns in files.read_columns(path, progress):
            documents = plain_pairs.to_documents(cursor, columns.cells, columns.kinds)
            yield _check_many(cursor, key, documents, columns.rows)._replace(lines_are_exact=exact)


def _check_many(
    cursor: staging.Cursor, key: bytes, documents: Any | None, rows: Callable[[Collection[int]], Iterator[Row]]
) -> Batch:
    if documents is None:
        return check_rows(key, "pairs", rows(()), {})
    plain = plain_pairs.read(cursor, documents, key)
    rest = check_rows(key, "pairs", rows(frozenset(plain["line"].to_pylist())), {})
    return Batch(len(plain) + rest.read, staging.join(plain, rest.staged), rest.rejected)


def check_rows(key: bytes, kind: Kind, rows: Iterable[Row], names: Mapping[str, str]) -> Batch:
    """Check rows by the types of the domain, one by one."""
    lines: list[int] = []
    good: list[dict[str, Any]] = []
    bad: list[Rejected] = []
    for row in rows:
        checked = _check(key, kind, row, names)
        if isinstance(checked, Rejected):
            bad.append(checked)
        else:
            lines.append(row.line)
            good.append(checked)
    return Batch(len(good) + len(bad), staging.to_table(kind, lines, good), bad)


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _orphans(cursor: staging.Cursor, kind: Kind, staged: Any) -> list[Rejected]:
    """Lines about pairs that are not there."""
    if kind == "pairs":
        return []
    reason = "names a pair that is not in the database. Import the pairs first."
    return [Rejected(line, "pair_id", reason) for line in staging.orphans(cursor, staged)]


def _contradictions(known: Iterable[staging.Known], kind: Kind) -> Iterator[Rejected]:
    """Lines whose key stands already with other content: facts are not overwritten."""
    table = staging.TABLES[kind]
    told: set[int] = set()
    for each in known:
        if each.line not in told and not each.same and not _mean_the_same(each, table.json):
            told.add(each.line)
            reason = "stands already with other content, and facts are not overwritten. Give it another id."
            yield Rejected(each.line, table.key[-1], reason)


def _mean_the_same(each: staging.Known, json_columns: frozenset[str]) -> bool:
    """JSON columns are compared as values: the order of keys means nothing."""
    return all(
        value == (stored := each.stored[name])
        or (name in json_columns and None not in (value, stored) and json.loads(value) == json.loads(stored))
        for name, value in each.staged.items()
        if name != "line" and name in each.stored
    )


def _check(key: bytes, kind: Kind, row: Row, names: Mapping[str, str]) -> dict[str, Any] | Rejected:
    """The table row of one line, or why there is none."""
    if row.document is None:
        return Rejected(row.line, "", row.reason)
    if is_deeper(row.document, _DEEPEST):
        return Rejected(row.line, "", f"is nested more than {_DEEPEST} levels deep.")
    document = renamed(row.document, names)
    try:
        return _ROWS[kind](key, document, MODELS[kind].model_validate(document))
    except ValidationError as error:
        return Rejected(row.line, *explain(error.errors(include_url=False), document, MODELS[kind]))
    except ValueError:  # json refuses an infinite number inside usage or metadata
        return Rejected(row.line, "", "has a number that is infinite.")


def is_deeper(value: object, levels: int) -> bool:
    """Whether objects and lists stand in each other more than `levels` deep."""
    layer = [value]
    for _ in range(levels + 1):
        nested = [cast("dict[str, object] | list[object]", each) for each in layer if isinstance(each, dict | list)]
        if not nested:
            return False
        layer = [inner for each in nested for inner in (each.values() if isinstance(each, dict) else each)]
    return True


def _pair_row(key: bytes, document: Document, record: Record) -> dict[str, Any]:
    pair = cast(Pair, record)
    return {
        "pair_id": pair.pair_id or identity.pair_id(key, document),
        "prompt_id": pair.prompt_id or identity.prompt_id(key, document),
        "task": pair.task,
        # As they came in: the types let foreign keys pass here and change nothing.
        "messages": _json(document["messages"]),
        "tools": _json(pair.tools),
        "reference": pair.reference,
        "old": _output(pair.old, document["old"]),
        "new": _output(pair.new, document["new"]),
        "metadata": _json(pair.metadata),
        "identical": sameness.identical(pair.old, pair.new),
        "structured_differs": sameness.structured_differs(pair.old, pair.new),
    }


def _output(output: Output, document: Document) -> str:
    values = output.model_dump(exclude={"tool_calls"}, exclude_none=True)
    if output.tool_calls is not None:
        values["tool_calls"] = document["tool_calls"]
    return files.line_of({name: values[name] for name in Output.model_fields if name in values})


def _json(value: Any) -> str | None:
    return None if value is None else files.line_of(value)


def _verdict_row(_key: bytes, _document: Document, record: Record) -> dict[str, Any]:
    return record.model_dump()


def _label_row(key: bytes, _document: Document, record: Record) -> dict[str, Any]:
    row = record.model_dump()
    return row | {"label_id": row["label_id"] or identity.label_id(key, record.model_dump(mode="json"))}


_ROWS = {"pairs": _pair_row, "verdicts": _verdict_row, "labels": _label_row}


def renamed(document: Document, names: Mapping[str, str]) -> Document:
    """The document with the file's own names replaced by ours. Both may be dotted."""
    if not names:
        return document
    renamed = json.loads(json.dumps(document)) if any("." in each for each in names.values()) else dict(document)
    values = {ours: value for ours, theirs in names.items() if (value := _take(renamed, theirs)) is not None}
    for ours, value in values.items():
        outer, dot, inner = ours.partition(".")
        if dot:
            nested = renamed.setdefault(outer, {})
            if isinstance(nested, dict):
                renamed[outer] = {**cast(Document, nested), inner: value}
        else:
            renamed[ours] = value
    # Foreign files number their rows, and have a prompt where we have messages.
    for ours in names:
        value = renamed.get(ours)
        if ours in _IDENTIFIERS and isinstance(value, int):
            renamed[ours] = str(value)
        elif ours == "messages" and isinstance(value, str):
            renamed[ours] = [{"role": "user", "content": value}]
    return renamed


def _take(document: Document, name: str) -> Any:
    """Take a value out by its name, or by a dotted path; None when it is not there."""
    if name in document:
        return document.pop(name)
    outer, dot, inner = name.partition(".")
    nested = document.get(outer)
    if not dot or not isinstance(nested, dict):
        return None
    value = _take(cast(Document, nested), inner)
    if not nested:
        del document[outer]
    return value
