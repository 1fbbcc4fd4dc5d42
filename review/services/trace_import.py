"""Import logged traces: files read in a stream, checked, stripped of personal data and handed in batch by batch.

A file is read twice. First every record is checked, against the others of its file and against what stands; if one is
bad, nothing of that file is written. Then the good ones are stripped and handed in, at most 2,000 or 8 MB at a time,
each batch in a transaction of its own. What was handed in stays: an import that was killed goes on from there when it
is run again, and ends in the same state. With `skip_invalid` the file is read once, and what is good is written.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow
from pydantic import ValidationError

from review.adapters import trace_files
from review.adapters.files import Document, Row, line_of
from review.adapters.trace_formats import FORMATS, Format, Found, Passed, Refused, recognise
from review.domain import identity
from review.domain.complaint import clean, explain
from review.domain.live import Live
from review.domain.trace import Trace
from review.domain.types import Output
from review.errors import BadInput, Rejected, RejectedRecords
from review.services import strip
from review.services.desk import Desk
from review.services.engine import run_stage
from review.services.ingest import is_deeper, renamed
from review.store import lake
from review.store import traces as store
from review.store.live import LIVE

pa: Any = pyarrow  # it carries no types
_ROWS = 2000
_PAIRS = 250
_BYTES = 8 << 20
_LOOKED_AT = 50
_MOST_REJECTED = 1000
_DEEPEST = 100


@dataclass(frozen=True)
class Options:
    """How to read.

    Attributes:
        format: one of FORMATS, or "auto".
        skip_invalid: write the good records of a file that has bad ones.
        names: our field names, and the file's own for them; dotted. The file is then of our format.
        live: the traffic is live and comes from there; without it only a record that says so itself is.
        workers: processes that strip; one a core by default, 0: this one, where starting others takes longer.
    """

    format: str = "auto"
    skip_invalid: bool = False
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    live: Live | None = None
    workers: int | None = None


@dataclass
class Imported:
    """What became of a file's records: `read` = `new` + `present` + `passed` + rejected ones.

    Attributes:
        format: what the file was read as.
        present: stood already, with the same content.
        passed: records that are no traces, by reason.
        unknown: fields that no one knows and that went to metadata, by name.
        rejected: the first 1,000 bad records; `bad` counts all.
    """

    format: str = ""
    read: int = 0
    new: int = 0
    present: int = 0
    bad: int = 0
    passed: Counter[str] = field(default_factory=Counter[str])
    unknown: Counter[str] = field(default_factory=Counter[str])
    rejected: list[Rejected] = field(default_factory=list[Rejected])

    def reject(self, each: Rejected) -> None:
        """Count a bad record, and keep it unless there are very many."""
        self.bad += 1
        if len(self.rejected) < _MOST_REJECTED:
            self.rejected.append(each)


# Told (phase, records so far, bytes so far, bytes in all).
Watch = Callable[[str, int, int, int], None]


class Place(NamedTuple):
    """One file to import.

    Attributes:
        shown: as people named it.
        source: what its traces say they came from: its name, below a folder with the path in it.
        file: its path, or its s3:// address.
    """

    shown: str
    source: str
    file: str


def places(named: Sequence[str]) -> list[Place]:
    """The files behind names of files, folders and s3:// addresses, in order.

    Raises:
        BadInput: there is no such thing, or it holds no traces.
    """
    found: list[Place] = []
    for name in named:
        if lake.is_remote(name):
            found += [Place(each, each, each) for each in lake.listing(name)]
        else:
            root = Path(name)
            for path in trace_files.files_below(root):
                inside = path.relative_to(root).as_posix() if root.is_dir() else path.name
                found.append(Place(str(path), inside, str(path)))
    return found


def import_file(desk: Desk, place: Place, options: Options, watch: Watch) -> Imported:
    """Import one file.

    Raises:
        RejectedRecords: it has bad records and `skip_invalid` is off; nothing was written.
        BadInput: it cannot be read, or is of no known format.
    """
    source = place.source
    form = _format(place, options)
    if not options.skip_invalid:
        checked = _check(desk, form, _rows(place, options, watch, "checking"), options.live)
        if checked.bad:
            raise RejectedRecords(source, checked.rejected, checked.read)
        if checked.present + checked.passed.total() == checked.read:
            return checked
    rows = _rows(place, options, watch, "importing")
    return _write(desk, form, source, rows, lambda tables: _stripped(desk, tables, options.workers), options.live)


def _format(place: Place, options: Options) -> Format:
    if options.format != "auto":
        return FORMATS[options.format]
    if options.names:
        return FORMATS["own"]
    first = list(islice(_read(place, options, _unwatched), _LOOKED_AT))
    documents = [row.document for row in first if row.document is not None]
    if found := recognise(documents):
        return found
    if documents or not first:
        seen = ", ".join(clean(str(name)) for name in list(documents[0])[:12]) if documents else "none"
        known = ", ".join(FORMATS)
        raise BadInput(
            f"{place.shown}: is of no known format (keys seen: {seen}). Name it with --format: {known}; or --map."
        )
    raise BadInput(f"{place.shown} line {first[0].line}: {first[0].reason}")


def _unwatched(_done: int, _total: int) -> None:
    """Nobody watches."""


def _read(place: Place, options: Options, progress: Callable[[int, int], None]) -> Iterator[Row]:
    remote = lake.is_remote(place.file)
    if remote or trace_files.kind(Path(place.file)) == ".parquet":
        rows = _parquet(place.file, progress)
    else:
        rows = trace_files.read(Path(place.file), progress, options.names)
    for row in rows:
        yield row._replace(document=renamed(row.document, options.names)) if row.document is not None else row


def _parquet(file: str, progress: Callable[[int, int], None]) -> Iterator[Row]:
    number, total = 0, lake.count(file)
    for rows in lake.read(file):
        for cells in rows:
            number += 1
            yield trace_files.from_cells(number, cells)
        progress(number, total)


class Record(NamedTuple):
    """One good trace, as the domain's type and as it came in, with the line it came from."""

    line: int
    trace_id: str
    content_hash: str
    trace: Trace
    document: Document
    live: Live | None


class Batch(NamedTuple):
    """Some records of a file: how many there were and what became of them."""

    read: int
    good: list[Record]
    rejected: list[Rejected]
    passed: Counter[str]
    unknown: Counter[str]


def _rows(place: Place, options: Options, watch: Watch, phase: str) -> Iterator[Row]:
    count = 0

    def progress(done: int, total: int) -> None:
        watch(phase, count, done, total)

    for row in _read(place, options, progress):
        count += 1
        yield row


def _batches(key: bytes, form: Format, rows: Iterable[Row], live: Live | None) -> Iterator[Batch]:
    """Records converted and checked, cut where a batch grows large."""
    batch, size = Batch(0, [], [], Counter(), Counter()), 0
    for row in rows:
        for result in _results(row, form):
            batch = batch._replace(read=batch.read + 1)
            if isinstance(result, Passed):
                batch.passed[result.reason] += 1
            elif isinstance(result, Refused):
                batch.rejected.append(Rejected(row.line, result.field, result.reason))
            else:
                size += _take(key, row.line, result, batch, live)
            if len(batch.good) >= _ROWS or size >= _BYTES or len(batch.rejected) >= _MOST_REJECTED:
                yield batch
                batch, size = Batch(0, [], [], Counter(), Counter()), 0
    if batch.read:
        yield batch


def _results(row: Row, form: Format) -> Iterator[Found | Passed | Refused]:
    if row.document is None:
        yield Refused("", row.reason)
    elif is_deeper(row.document, _DEEPEST):
        yield Refused("", f"is nested more than {_DEEPEST} levels deep.")
    else:
        yield from form.convert(row.document)


def _take(key: bytes, line: int, found: Found, batch: Batch, live: Live | None) -> int:
    """Check a trace and put it into the batch, or why it cannot be; returns how large it is."""
    try:
        trace = Trace.model_validate(found.document)
        content = identity.canonical(found.raw)
    except ValidationError as error:
        where, why = explain(error.errors(include_url=False), found.document, Trace)
        batch.rejected.append(Rejected(line, where, why))
        return 0
    except ValueError:  # json refuses an infinite number inside usage or metadata
        batch.rejected.append(Rejected(line, "", "has a number that is infinite."))
        return 0
    if trace.served is not None or trace.shadow is not None:
        live = replace(live or Live(), served=trace.served or (live.served if live else None))
    if trace.shadow is not None and live is not None and live.served is None:
        batch.rejected.append(Rejected(line, "served", _UNSERVED))
        return 0
    hashed = identity.trace_hash(key, content)
    batch.unknown.update(found.unknown)
    batch.good.append(Record(line, trace.trace_id or f"trace-{hashed}", hashed, trace, found.document, live))
    return len(content)


def _values(key: bytes, source: str, record: Record) -> dict[str, Any]:
    """A trace's row (store.traces.SCHEMA and LIVE); nothing is stripped yet but the ids of people are hidden."""
    trace, document = record.trace, record.document
    live = record.live if trace.response is not None else None
    return {
        "trace_id": record.trace_id,
        "content_hash": record.content_hash,
        "prompt_id": identity.prompt_id(key, document),
        "source": source,
        "task": trace.task,
        # As they came in: the types let foreign keys pass here and change nothing.
        "messages": line_of(document["messages"]),
        "tools": _json(trace.tools),
        "parameters": _json(trace.parameters),
        "response": _answer(trace.response, document.get("response", {})),
        "reference": trace.reference,
        **{name: _hidden(key, name, getattr(trace, name)) for name in ("customer", "conversation", "ticket")},
        "metadata": _json(trace.metadata),
        "happened_at": trace.happened_at,
        "synthetic": trace.synthetic,
        "redactions": None,
        "live": live.source if live else None,
        "served": live.served if live else None,
        "shadow": _answer(trace.shadow, document.get("shadow", {})),
        "line": record.line,
    }


def _hidden(key: bytes, kind: str, value: str | None) -> str | None:
    return None if value is None else identity.pseudonym(key, kind, value)


def _json(value: Any) -> str | None:
    return None if value is None else line_of(value)


def _answer(output: Output | None, document: Document) -> str | None:
    if output is None:
        return None
    values = output.model_dump(exclude={"tool_calls"}, exclude_none=True)
    if output.tool_calls is not None:
        values["tool_calls"] = document["tool_calls"]
    return line_of(values)


class _Ids:
    """The ids of one file, to find one that comes twice with different content: 20 bytes a trace."""

    def __init__(self) -> None:
        self._seen = bytearray()

    def add(self, records: Sequence[Record]) -> None:
        for each in records:
            self._seen += hashlib.blake2b(each.trace_id.encode(), digest_size=8).digest()
            self._seen += bytes.fromhex(each.content_hash[:16]) + each.line.to_bytes(4, "little")

    def clashing(self) -> set[int]:
        """Lines whose id stood on an earlier line with other content."""
        seen = np.frombuffer(bytes(self._seen), np.dtype([("id", "<u8"), ("content", "<u8"), ("line", "<u4")]))
        order = np.argsort(seen["id"], kind="stable")
        ids, contents = seen["id"][order], seen["content"][order]
        starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])) if len(ids) else np.array([], np.int64)
        firsts = np.repeat(contents[starts], np.diff(np.append(starts, len(ids))))
        return {int(line) for line in seen["line"][order][contents != firsts]}


_UNSERVED = (
    'is missing beside "shadow". Say whose answer "response" is: "served": "old" or "new"; or pass --served, or '
    "--source shadow where old serves."
)
_CLASHES = "stands already with other content, and facts are not overwritten. Give it another id."


def _check(desk: Desk, form: Format, rows: Iterator[Row], live: Live | None) -> Imported:
    """Read everything, write nothing."""
    total, ids, clashing = Imported(form.name), _Ids(), set[int]()
    for batch in _batches(desk.key, form, rows, live):
        _count(total, batch)
        if batch.good:
            ids.add(batch.good)
            answer = desk.ask("traces.known", table=_identities(batch.good)).document
            total.present += len(answer["present"])
            clashing |= {batch.good[place].line for place in cast(list[int], answer["clashing"])}
        if total.bad + len(clashing) >= _MOST_REJECTED:
            break
    for line in sorted(clashing | ids.clashing()):
        total.reject(Rejected(line, "trace_id", _CLASHES))
    total.rejected.sort(key=lambda each: each.line)
    return total


def _write(
    desk: Desk,
    form: Format,
    source: str,
    rows: Iterator[Row],
    strip_them: Callable[[Iterator[Any]], Iterator[Any]],
    live: Live | None = None,
) -> Imported:
    """Read, strip and hand in what does not stand yet."""
    total = Imported(form.name)
    for table in _shorter(strip_them(_missing(desk, total, source, _batches(desk.key, form, rows, live)))):
        lines: list[int] = table["line"].to_pylist()
        answer = desk.ask("traces.put", table=table.select([*store.SCHEMA.names, *LIVE.names])).document
        total.new += answer["new"]
        total.present += answer["present"]
        for place in cast(list[int], answer["clashing"]):
            total.reject(Rejected(lines[place], "trace_id", _CLASHES))
    total.rejected.sort(key=lambda each: each.line)
    return total


def _shorter(tables: Iterable[Any]) -> Iterator[Any]:
    """Batches with second answers cut shorter: each of them becomes a pair while everybody else waits."""
    for table in tables:
        size = _PAIRS if table["shadow"].null_count < len(table) else len(table)
        for start in range(0, len(table), max(1, size)):
            yield table.slice(start, size)


def _missing(desk: Desk, total: Imported, source: str, batches: Iterable[Batch]) -> Iterator[Any]:
    """What does not stand yet, as tables. What stands is not stripped again: that is the dearest part."""
    for batch in batches:
        _count(total, batch)
        if not batch.good:
            continue
        answer = desk.ask("traces.known", table=_identities(batch.good)).document
        total.present += len(answer["present"])
        for place in cast(list[int], answer["clashing"]):
            total.reject(Rejected(batch.good[place].line, "trace_id", _CLASHES))
        known = {*answer["present"], *answer["clashing"]}
        if left := [each for place, each in enumerate(batch.good) if place not in known]:
            yield _table([_values(desk.key, source, each) for each in left])


def take_in(desk: Desk, source: str, rows: Iterator[Row]) -> Imported:
    """Store what is good of records of our own format that another system handed in, a request at a time."""
    settings = strip.settings_at(desk)

    def stripped(tables: Iterator[Any]) -> Iterator[Any]:
        return tables if settings is None else (strip.strip_rows(table, settings) for table in tables)

    return _write(desk, FORMATS["own"], source, rows, stripped)


def _stripped(desk: Desk, tables: Iterator[Any], workers: int | None) -> Iterator[Any]:
    """The tables without personal data, in pieces, on all cores."""
    settings = strip.settings_at(desk)
    return tables if settings is None else run_stage(strip.strip_batch, strip.pieces(tables), settings, workers=workers)


def _count(total: Imported, batch: Batch) -> None:
    total.read += batch.read
    total.passed.update(batch.passed)
    total.unknown.update(batch.unknown)
    for each in batch.rejected:
        total.reject(each)


def _identities(records: Sequence[Record]) -> Any:
    return pa.table(
        {"trace_id": [each.trace_id for each in records], "content_hash": [each.content_hash for each in records]}
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    return pa.Table.from_pylist(rows, schema=pa.schema([*store.SCHEMA, *LIVE, ("line", pa.int32())]))
