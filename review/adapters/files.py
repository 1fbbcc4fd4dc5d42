"""JSONL, CSV and Parquet files of records: read with what is wrong with each line, written whole or not at all.

In CSV a nested field is a column with a dotted name (`old.content`) or JSON in a cell; an empty cell is "absent". A
text that is empty, or that a spreadsheet would take for a formula (it begins with = + - @, a tab or a carriage
return), is written with an apostrophe in front, which reading takes away again.
"""

from __future__ import annotations

import codecs
import csv
import functools
import io
import json
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, cast

import numpy as np
import numpy.typing as npt

from review.errors import BadInput

Kind = Literal["pairs", "verdicts", "labels"]
Document = dict[str, Any]
Progress = Callable[[int, int], None]
CellKind = Literal["json", "number", "flag", "csv text", "text", "value"]

_JSON_FIELDS = {"messages", "tools", "metadata", "old", "new", "categories_old", "categories_new"}
_OUTPUT_JSON = {"tool_calls", "outcomes", "usage"}
_NUMBERS = {"confidence", "latency_ms", "vote", "cost_usd", "occurrence", "seconds"}
_FLAGS = {"correct", "surplus", "simulated"}
_FORMULA = "=+-@\t\r'"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_BATCH = 1000
_BLOCK = 32 << 20


class Row(NamedTuple):
    """One record of a file: its first line (or row) from 1, and either the document or what is wrong with the line."""

    line: int
    document: Document | None
    reason: str = ""


def read(path: Path, progress: Progress | None = None, names: Mapping[str, str] | None = None) -> Iterator[Row]:
    """The records of a file, by its suffix: .jsonl (also .ndjson, .json with one record a line), .csv, .parquet.

    Args:
        path: the file.
        progress: told (bytes read, bytes in all) now and then.
        names: our names of columns that are called otherwise in a CSV or Parquet file, and theirs.

    Raises:
        BadInput: the file is missing, unreadable, of an unknown kind, or not what its suffix says.
    """
    require(path)
    ours = {theirs: name for name, theirs in (names or {}).items()}
    try:
        if holds_lines(path):
            yield from _read_jsonl(path, progress or _silent)
        else:
            reader = _read_csv if path.suffix.lower() == ".csv" else _read_parquet
            yield from reader(path, progress or _silent, ours)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or type(error).__name__}).") from error


class Lines(NamedTuple):
    """Whole lines of a JSONL file as they stand there: the number of the first, the bytes, and where each ends."""

    first: int
    raw: bytes
    ends: npt.NDArray[np.int64]

    def table(self) -> Any | None:
        """A pyarrow.Table of `line` and `document` without copying a byte; None where a line is not UTF-8."""
        pa = _arrow()

        offsets = np.concatenate([[0], self.ends]).astype(np.int32)
        documents = pa.StringArray.from_buffers(len(self.ends), pa.py_buffer(offsets), pa.py_buffer(self.raw))
        try:
            documents.validate(full=True)
        except pa.ArrowInvalid:
            return None
        numbers = np.arange(self.first, self.first + len(self.ends), dtype=np.int32)
        return pa.table({"line": numbers, "document": documents})

    def rows(self, without: Collection[int]) -> Iterator[Row]:
        """The lines that are neither blank nor among `without`, parsed one by one."""
        starts = np.concatenate([[0], self.ends[:-1]])
        for number, (start, end) in enumerate(zip(starts.tolist(), self.ends.tolist(), strict=True), self.first):
            if number not in without and (line := self.raw[start:end]).strip():
                yield parsed(number, line)


def holds_lines(path: Path) -> bool:
    """Whether the suffix says JSONL."""
    return path.suffix.lower() in (".jsonl", ".ndjson", ".json")


def read_lines(path: Path, progress: Progress | None = None) -> Iterator[Lines]:
    """A JSONL file as blocks of whole lines; memory stays constant whatever the size of the file.

    Raises:
        BadInput: the file is missing or unreadable.
    """
    require(path)
    try:
        with path.open("rb") as file:
            total, first, rest = path.stat().st_size, 1, file.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
            while block := file.read(_BLOCK):
                # A line without its end waits for the next block.
                cut = block.rfind(b"\n") + 1
                if not cut:
                    rest += block
                    continue
                lines = to_lines(first, rest + block[:cut])
                yield lines
                first, rest = first + len(lines.ends), block[cut:]
                (progress or _silent)(file.tell(), total)
            if rest:
                yield to_lines(first, rest)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or type(error).__name__}).") from error


def to_lines(first: int, raw: bytes) -> Lines:
    ends = np.flatnonzero(np.frombuffer(raw, dtype=np.uint8) == ord("\n")) + 1
    return Lines(first, raw, ends if raw.endswith(b"\n") else np.append(ends, len(raw)))


def require(path: Path) -> None:
    """Make sure that there is a file of a known kind.

    Raises:
        BadInput: there is not.
    """
    if not path.is_file():
        raise BadInput(f"{path}: {'is a folder' if path.is_dir() else 'there is no such file'}. Name a file.")
    if not (holds_lines(path) or path.suffix.lower() in (".csv", ".parquet")):
        raise BadInput(f"{path}: the suffix {path.suffix!r} is not known. Accepted: .jsonl, .csv, .parquet.")


class Columns(NamedTuple):
    """Some rows of a CSV or Parquet file whose columns are all ours.

    Attributes:
        cells: a pyarrow.Table; its columns are `line` (the row's number), then `c0`, `c1`, … as `kinds` says.
        kinds: of each column its name in the format and how to read it: JSON text, a number or a flag as text, text (in
            CSV perhaps with our apostrophe), or a typed value.
        parse: reads one row, given its number and its cells, by itself.
    """

    cells: Any
    kinds: tuple[tuple[str, CellKind], ...]
    parse: Callable[[int, list[Any]], Row]

    def rows(self, without: Collection[int]) -> Iterator[Row]:
        """The rows that are not among `without`, parsed one by one."""
        left = [place for place, line in enumerate(self.cells["line"].to_pylist()) if line not in without]
        columns = [column.to_pylist() for column in self.cells.take(_arrow().array(left, "int64")).columns]
        for line, *cells in zip(*columns, strict=True):
            yield self.parse(line, cells)


class Doubtful(Exception):
    """A file cannot be read column by column without doubt; read it row by row."""


def read_columns(path: Path, progress: Progress | None = None) -> Iterator[Columns]:
    """Pairs of a CSV or Parquet file, many rows at a time. Rows of a CSV file are numbered without regard to lines.

    Raises:
        BadInput: the file is missing or not what its suffix says.
        Doubtful: it has columns that are not ours, or something that only reading row by row can judge.
    """
    require(path)
    try:
        yield from (_csv_columns if path.suffix.lower() == ".csv" else _parquet_columns)(path, progress or _silent)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or type(error).__name__}).") from error


def _csv_columns(path: Path, progress: Progress) -> Iterator[Columns]:
    import pyarrow.csv

    reading = cast(Any, pyarrow.csv)
    total, first = path.stat().st_size, 1
    try:
        with path.open("rb") as raw:
            header = raw.readline().removeprefix(codecs.BOM_UTF8).decode("utf-8")
            names = next(csv.reader([header], strict=True), list[str]())
            kinds = _known(names, _cell_kind)
            raw.seek(0)
            batches = reading.open_csv(
                raw,
                read_options=reading.ReadOptions(block_size=_BLOCK),
                parse_options=reading.ParseOptions(newlines_in_values=True),
                convert_options=reading.ConvertOptions(
                    column_types=dict.fromkeys(names, _arrow().string()), null_values=[""], strings_can_be_null=True
                ),
            )
            for batch in batches:
                yield _numbered(batch, first, kinds, functools.partial(_from_csv, names))
                first += len(batch)
                progress(min(raw.tell(), total), total)
    except (_arrow().ArrowInvalid, csv.Error, UnicodeDecodeError) as error:
        # Whatever it is, reading row by row names the line.
        raise Doubtful from error


def _parquet_columns(path: Path, progress: Progress) -> Iterator[Columns]:
    file = _open_parquet(path)
    schema, first = file.schema_arrow, 1
    kinds = _known(schema.names, lambda name: _typed_kind(name, schema.field(name).type))
    groups = [file.metadata.row_group(place) for place in range(file.metadata.num_row_groups)]
    row_size = sum(group.total_byte_size for group in groups) // max(1, file.metadata.num_rows)
    try:
        for batch in file.iter_batches(batch_size=_BLOCK // max(64, row_size)):
            yield _numbered(batch, first, kinds, functools.partial(_from_values, schema.names))
            first += len(batch)
            progress(first, file.metadata.num_rows)
    except (_arrow().ArrowInvalid, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: is damaged after row {first - 1}.") from error


def _known(names: list[str], kind: Callable[[str], CellKind | None]) -> tuple[tuple[str, CellKind], ...]:
    """Names and kinds, if all are ours, each stands once, and no side is given twice: as a whole and in fields."""
    whole = {name.partition(".")[0] for name in names if "." in name} & set(names)
    kinds: list[CellKind | None] = [kind(name) for name in names if name in _PAIR_COLUMNS]
    if whole or len(set(names)) < len(names) or len(kinds) < len(names) or None in kinds:
        raise Doubtful
    return tuple((name, each) for name, each in zip(names, kinds, strict=True) if each is not None)


def _cell_kind(name: str) -> CellKind:
    last = name.rsplit(".", 1)[-1]
    if name in _JSON_FIELDS or ("." in name and last in _OUTPUT_JSON):
        return "json"
    return "number" if last in _NUMBERS else "flag" if last in _FLAGS else "csv text"


def _typed_kind(name: str, kind: Any) -> CellKind | None:
    types = _arrow().types
    if types.is_string(kind) or types.is_large_string(kind):
        return "json" if _cell_kind(name) == "json" else "text"
    return "value" if _is_simple(kind) else None


def _is_simple(kind: Any) -> bool:
    """Whether DuckDB and Python write a value of this type as the same JSON."""
    types = _arrow().types
    if types.is_struct(kind):
        return all(_is_simple(field.type) for field in kind)
    if types.is_list(kind) or types.is_large_list(kind):
        return _is_simple(kind.value_type)
    text = types.is_string(kind) or types.is_large_string(kind)
    return text or types.is_integer(kind) or types.is_float64(kind) or types.is_boolean(kind)


def _numbered(
    batch: Any, first: int, kinds: tuple[tuple[str, CellKind], ...], parse: Callable[[int, list[Any]], Row]
) -> Columns:
    lines = _arrow().array(np.arange(first, first + len(batch), dtype=np.int32))
    names = ["line", *(f"c{place}" for place in range(len(kinds)))]
    return Columns(_arrow().Table.from_arrays([lines, *batch.columns], names), kinds, parse)


def _from_csv(header: list[str], line: int, cells: list[str | None]) -> Row:
    return _from_cells(line, header, [cell or "" for cell in cells])


def _from_values(names: list[str], line: int, values: list[Any]) -> Row:
    return _from_record(line, dict(zip(names, values, strict=True)))


def write(path: Path, kind: Kind | Literal["adversarial"], rows: Iterable[Document]) -> int:
    """Write records to a file of the kind its suffix names; whole, or the file stays as it was. Returns how many.

    Raises:
        BadInput: the suffix is not known, or the folder cannot be written.
    """
    writers = {".jsonl": _write_jsonl, ".ndjson": _write_jsonl, ".csv": _write_csv, ".parquet": _write_parquet}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise BadInput(f"{path}: the suffix {path.suffix!r} is not known. Accepted: .jsonl, .csv, .parquet.")
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        count = writer(draft, kind, rows)
        draft.replace(path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror or type(error).__name__}).") from error
    finally:
        draft.unlink(missing_ok=True)
    return count


def line_of(document: Document) -> str:
    """One JSONL line, without its end."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _silent(_done: int, _total: int) -> None:
    """Nobody watches."""


def _read_jsonl(path: Path, progress: Progress) -> Iterator[Row]:
    total, done = path.stat().st_size, 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            done += len(raw)
            if number % _BATCH == 0:
                progress(done, total)
            line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
            if line.strip():
                yield parsed(number, line)
    progress(total, total)


def parsed(number: int, line: bytes) -> Row:
    """One line of JSON as a row."""
    try:
        document = _DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Row(number, None, f"is not UTF-8 (byte {error.start + 1}). Save the file as UTF-8.")
    except RecursionError:
        return Row(number, None, "is nested too deeply.")
    except json.JSONDecodeError as error:
        if number == 1 and line.lstrip().startswith(b"["):
            return Row(number, None, "begins a JSON array. Write one record a line, as in: jq -c '.[]' FILE.")
        return Row(number, None, f"is not JSON ({error.msg.lower()} at character {error.colno}).")
    except ValueError:
        return Row(number, None, "is not JSON (a number is NaN, infinite or too long).")
    if not isinstance(document, dict):
        return Row(number, None, f"holds a {type(document).__name__}, not an object.")
    return Row(number, mended(cast(Document, document)) if b"\\u" in line else cast(Document, document))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


# json.loads with a parameter would make a decoder anew for every line.
_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def mended(value: Any) -> Any:
    """Lone surrogates, which no UTF-8 text can hold, become U+FFFD."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [mended(each) for each in cast(list[Any], value)]
    if isinstance(value, dict):
        return {mended(name): mended(each) for name, each in cast(Document, value).items()}
    return value


def _read_csv(path: Path, progress: Progress, ours: Mapping[str, str]) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    total = path.stat().st_size
    with (
        path.open("rb") as raw,
        io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="") as file,
    ):
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, None)
            if header is None:
                return
            header = [ours.get(name, name) for name in header]
            ended = reader.line_num
            for count, cells in enumerate(reader):
                first, ended = ended + 1, reader.line_num
                if count % _BATCH == 0:
                    progress(min(total, raw.tell()), total)
                if cells:
                    yield _from_cells(first, header, cells)
        except csv.Error as error:
            yield Row(reader.line_num, None, f"is not CSV ({error}).")
    progress(total, total)


def _from_cells(line: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        return Row(line, None, f"has {len(cells)} cells where the header has {len(header)}.")
    document: Document = {}
    for name, cell in zip(header, cells, strict=True):
        if cell == "":
            continue
        if _LONE_SURROGATE.search(cell):
            return Row(line, None, f'"{_short(name)}" is not UTF-8. Save the file as UTF-8.')
        try:
            _put(document, name, _from_cell(name, cell))
        except (ValueError, RecursionError):
            return Row(line, None, f'"{_short(name)}" cannot be read as {_expected(name)}.')
    return Row(line, document)


def _from_cell(name: str, cell: str) -> Any:
    """A cell's value by its column: JSON, number, true/false or text."""
    last = name.rsplit(".", 1)[-1]
    if name == "messages" and not cell.lstrip().startswith(("[", "{")):
        return cell  # a prompt; whether it may stand there is for others to say
    if name in _JSON_FIELDS or ("." in name and last in _OUTPUT_JSON):
        return mended(json.loads(cell, parse_constant=_no_constant))
    if last in _NUMBERS:
        number = float(cell)
        return int(number) if last in ("vote", "occurrence") and number.is_integer() else number
    if last in _FLAGS:
        return {"true": True, "false": False}[cell.lower()] if cell.lower() in ("true", "false") else cell
    if cell == "'":
        return ""
    return cell[1:] if len(cell) > 1 and cell[0] == "'" and cell[1] in _FORMULA else cell


def _expected(name: str) -> str:
    last = name.rsplit(".", 1)[-1]
    return "a number" if last in _NUMBERS else "JSON"


def _put(document: Document, name: str, value: Any) -> None:
    """Set a dotted name. Only `old.` and `new.` nest; a dot elsewhere belongs to the name."""
    side, dot, rest = name.partition(".")
    if dot and side in ("old", "new"):
        nested = document.setdefault(side, {})
        if not isinstance(nested, dict):
            raise ValueError(name)
        cast(Document, nested)[rest] = value
    else:
        document[name] = value


def _short(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text[:40])


def _arrow() -> Any:
    """pyarrow, which carries no types."""
    import pyarrow

    return pyarrow


def _parquet() -> Any:
    import pyarrow.parquet

    return pyarrow.parquet


def _open_parquet(path: Path) -> Any:
    try:
        # A buffer makes it read a row group bit by bit instead of whole.
        return _parquet().ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    except (_arrow().ArrowInvalid, OSError) as error:
        raise BadInput(f"{path}: is not a Parquet file.") from error


def _read_parquet(path: Path, progress: Progress, ours: Mapping[str, str]) -> Iterator[Row]:
    pa, file = _arrow(), _open_parquet(path)
    number, total = 0, max(1, file.metadata.num_rows)
    try:
        for batch in file.iter_batches(batch_size=_BATCH):
            for record in batch.to_pylist():
                number += 1
                yield _from_record(number, {ours.get(name, name): value for name, value in record.items()})
            progress(number, total)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: is damaged after row {number}.") from error


def _from_record(number: int, record: Document) -> Row:
    document: Document = {}
    for name, value in record.items():
        if value is None:
            continue
        is_json = name in _JSON_FIELDS or ("." in name and name.rsplit(".", 1)[-1] in _OUTPUT_JSON)
        try:
            if is_json and isinstance(value, str):
                _put(document, name, mended(json.loads(value, parse_constant=_no_constant)))
            else:
                _put(document, name, _without_nulls(value))
        except (ValueError, RecursionError):
            return Row(number, None, f'"{_short(name)}" cannot be read as JSON.')
    return Row(number, document)


def _without_nulls(value: Any) -> Any:
    """A struct column gives every row every key; the nulls were not in the record."""
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in cast(Document, value).items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in cast(list[Any], value)]
    return value


def _write_jsonl(path: Path, _kind: str, rows: Iterable[Document]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for document in rows:
            file.write(line_of(document) + "\n")
            count += 1
    return count


_COLUMNS: dict[str, tuple[str, ...]] = {
    "pairs": (
        *("pair_id", "prompt_id", "task", "messages", "tools", "reference"),
        *(
            f"{side}.{field}"
            for side in ("old", "new")
            for field in (
                *("model", "content", "tool_calls", "confidence", "correct", "outcomes"),
                *("finish_reason", "latency_ms", "usage"),
            )
        ),
        "metadata",
    ),
    "verdicts": (
        *("pair_id", "judge", "vote", "shown_first", "winner", "raw", "rationale", "cost_usd"),
        *("error_old", "error_new", "tone", "calibration_old", "calibration_new"),
    ),
    "labels": (
        *("label_id", "pair_id", "reviewer", "kind", "round_id", "occurrence", "shown_first", "preference"),
        *("error_old", "error_new", "tone", "calibration_old", "calibration_new"),
        *("categories_old", "categories_new", "comment", "labelled_at", "supersedes", "seconds"),
        *("surplus", "simulated"),
    ),
}


_PAIR_COLUMNS = frozenset({*_COLUMNS["pairs"], "old", "new"})


def _flat(kind: str, document: Document) -> Document:
    """One level deep: outputs by dotted names, other structures as JSON text."""
    if kind == "adversarial":
        return {name: _text(value) for name, value in document.items()}
    flat: Document = {}
    for name in _COLUMNS[kind]:
        side, dot, field = name.partition(".")
        value = document.get(side, {}).get(field) if dot else document.get(name)
        flat[name] = _text(value)
    return flat


def _text(value: Any) -> Any:
    return line_of(cast(Document, value)) if isinstance(value, dict | list) else value


def _write_csv(path: Path, kind: str, rows: Iterable[Document]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        # By RFC 4180; and with this end a lone carriage return inside a cell is quoted too.
        writer = csv.writer(file, lineterminator="\r\n")
        header: list[str] | None = None
        for document in rows:
            flat = _flat(kind, document)
            if header is None:
                header = list(flat)
                writer.writerow(header)
            writer.writerow([_cell(flat.get(name)) for name in header])
            count += 1
        if header is None and kind in _COLUMNS:
            writer.writerow(_COLUMNS[kind])
    return count


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and (value == "" or value[0] in _FORMULA):
        return "'" + value
    return str(value)


def _write_parquet(path: Path, kind: str, rows: Iterable[Document]) -> int:
    pa, pq = _arrow(), _parquet()

    def typed(name: str) -> Any:
        last = name.rsplit(".", 1)[-1]
        if last in ("vote", "occurrence"):
            return pa.int64()
        return pa.float64() if last in _NUMBERS else pa.bool_() if last in _FLAGS else pa.string()

    if kind not in _COLUMNS:
        raise BadInput("The adversarial set is exported as .jsonl or .csv.")
    schema = pa.schema([(name, typed(name)) for name in _COLUMNS[kind]])
    count = 0
    with pq.ParquetWriter(path, schema) as writer:
        batch: list[Document] = []
        for document in rows:
            batch.append(_flat(kind, document))
            count += 1
            if len(batch) == _BATCH:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                batch = []
        writer.write_table(pa.Table.from_pylist(batch, schema))
    return count
