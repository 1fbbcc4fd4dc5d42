"""Files of logged records, read one by one with constant memory: JSONL, JSON arrays, CSV, each also gzipped; folders.

A `.json` file may hold one record a line, one array of records, or records one after the other over several lines. A
record that is larger than 64 MB is refused.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import math
import re
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

from review.adapters.files import Document, Row, mended, parsed
from review.errors import BadInput

Progress = Callable[[int, int], None]
LINES = (".jsonl", ".ndjson", ".json")
SUFFIXES = (*LINES, ".csv", ".parquet", *(f"{suffix}.gz" for suffix in (*LINES, ".csv")))
LARGEST = 64 << 20
_BLOCK = 1 << 20
_EVERY = 500
# A string as a whole, or what opens, closes and parts; a string that is cut off at the end of a block does not match.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|["{}\[\],]', re.DOTALL)
_TEXTS = ("content", "reference", "name", "task", "model")


def kind(path: Path) -> str:
    """The file's suffix without .gz: which reader it takes."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def files_below(path: Path) -> list[Path]:
    """The file itself, or those below a folder, in order; what begins with a dot or an underscore is left out.

    Raises:
        BadInput: it is not there, is of another kind, or has no file of a known kind.
    """
    known = f"Accepted: {', '.join(SUFFIXES)}."
    if path.is_file():
        if not path.name.lower().endswith(SUFFIXES):
            raise BadInput(f"{path}: the suffix {path.suffix!r} is not known. {known}")
        return [path]
    if not path.is_dir():
        raise BadInput(f"{path}: there is no such file or folder.")
    found = sorted(
        each
        for each in path.rglob("*")
        if each.name.lower().endswith(SUFFIXES)
        and each.is_file()
        and not any(part.startswith((".", "_")) for part in each.relative_to(path).parts)
    )
    if not found:
        raise BadInput(f"{path}: holds no file of traces. {known}")
    return found


def read(path: Path, progress: Progress, names: Mapping[str, str]) -> Iterator[Row]:
    """The records of a JSON or CSV file.

    Args:
        path: the file; by its suffix.
        progress: told (bytes read, bytes in all), of the file as it lies on the disk.
        names: our names of columns that are called otherwise in a CSV file, and theirs.

    Raises:
        BadInput: the file cannot be read.
    """
    try:
        with _opened(path) as (file, position):
            told = _Teller(progress, position, path.stat().st_size)
            if kind(path) == ".csv":
                yield from _csv(file, {theirs: ours for ours, theirs in names.items()}, told)
            elif _one_a_line(path):
                yield from _lines(file, told)
            else:
                yield from _values(file, told)
            told.finish()
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or ("it is cut off" if isinstance(error, EOFError) else "damaged")
        raise BadInput(f"{path}: cannot be read ({reason}).") from error


class _Teller:
    """Reports the position now and then."""

    def __init__(self, progress: Progress, position: Callable[[], int], total: int) -> None:
        self._progress, self._position, self._total, self._count = progress, position, total, 0

    def tick(self) -> None:
        self._count += 1
        if self._count % _EVERY == 0:
            self._progress(min(self._position(), self._total), self._total)

    def finish(self) -> None:
        self._progress(self._total, self._total)


@contextmanager
def _opened(path: Path) -> Generator[tuple[IO[bytes], Callable[[], int]]]:
    """The file's bytes, unpacked, and where in the packed file they stand."""
    with path.open("rb") as raw:
        if path.name.lower().endswith(".gz"):
            with gzip.open(raw) as unpacked:
                yield cast(IO[bytes], unpacked), raw.tell
        else:
            yield raw, raw.tell


def _one_a_line(path: Path) -> bool:
    """Whether the first line that is not blank is a whole JSON object."""
    with _opened(path) as (file, _):
        head = b""
        while len(head) <= LARGEST and (block := file.readline(LARGEST)):
            head = block.removeprefix(codecs.BOM_UTF8) if not head.strip() else head
            if head.strip():
                break
        opens = head.lstrip()[:1]
        if opens == b"[":
            return False
        if kind(path) != ".json":
            return True
        try:
            json.loads(head)
        except (ValueError, RecursionError):
            return False
        return True


def _lines(file: IO[bytes], told: _Teller) -> Iterator[Row]:
    number = 0
    while raw := file.readline(LARGEST + 1):
        number += 1
        if len(raw) > LARGEST:
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(LARGEST)
            yield Row(number, None, f"is longer than {LARGEST >> 20} MB.")
            continue
        line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        told.tick()
        if line.strip():
            yield parsed(number, line)


def _values(file: IO[bytes], told: _Teller) -> Iterator[Row]:
    """The elements of an array, or values one after the other. A row's line is the one its value begins on."""
    buffer = b""
    while not buffer.strip() and len(buffer) < LARGEST and (block := file.read(max(_BLOCK, len(codecs.BOM_UTF8)))):
        buffer = (buffer + block).removeprefix(codecs.BOM_UTF8)
    line, place, depth, start = 1, 0, 0, -1
    inside = buffer.lstrip()[:1] == b"["
    base = 1 if inside else 0  # the depth at which values stand
    grow = _BLOCK
    while True:
        cut = False
        for token in _TOKEN.finditer(buffer, place):
            sign = token[0]
            if sign == b'"':
                cut = True  # a string that goes on in the next block
                break
            place = token.end()
            if sign in (b"{", b"["):
                if depth == base and not (inside and depth == 0):
                    start = token.start()
                depth += 1
            elif sign in (b"}", b"]"):
                depth -= 1
                if depth == base and start >= 0:
                    line += buffer.count(b"\n", 0, start)
                    yield parsed(line, buffer[start:place])
                    told.tick()
                    line += buffer.count(b"\n", start, place)
                    buffer, place, start = buffer[place:], 0, -1
                    grow = _BLOCK
                    break
                if depth < 0:
                    yield Row(line, None, "is not JSON (a bracket closes that was not opened).")
                    return
        else:
            cut = True
        if not cut:
            continue
        if start < 0:
            # Nothing between here and the last value but commas and blanks: it need not be kept.
            line += buffer.count(b"\n", 0, place)
            buffer, place = buffer[place:], 0
        if len(buffer) > LARGEST:
            reason = f"is larger than {LARGEST >> 20} MB. Write one record a line, as in: jq -c '.[]' FILE."
            yield Row(line, None, reason)
            return
        more = file.read(grow)
        grow = min(grow * 2, LARGEST)
        if not more:
            if start >= 0 or depth > 0 or buffer.strip(b" \t\r\n,]"):
                yield Row(line, None, "is not JSON (the file ends in the middle of a record).")
            return
        buffer += more


def _csv(file: IO[bytes], ours: Mapping[str, str], told: _Teller) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        reader = csv.reader(text, strict=True)
        try:
            header = next(reader, None)
            if header is None:
                return
            header = [ours.get(name, name) for name in header]
            ended = reader.line_num
            for cells in reader:
                first, ended = ended + 1, reader.line_num
                told.tick()
                if not cells:
                    continue
                if len(cells) != len(header):
                    yield Row(first, None, f"has {len(cells)} cells where the header has {len(header)}.")
                else:
                    yield from_cells(first, dict(zip(header, cells, strict=True)))
        except csv.Error as error:
            yield Row(reader.line_num, None, f"is not CSV ({error}).")


def from_cells(line: int, cells: Mapping[str, Any]) -> Row:
    """A row of a table as a record: cells of JSON as what they say, dotted names nested, what is empty left out."""
    document: Document = {}
    try:
        for name, cell in cells.items():
            value = _cell(name, cell)
            if value is not None:
                _put(document, name, value)
    except UnicodeEncodeError:
        return Row(line, None, "is not UTF-8. Save the file as UTF-8.")
    except RecursionError:
        return Row(line, None, "is nested too deeply.")
    return Row(line, document)


def _cell(name: str, cell: Any) -> Any:
    if isinstance(cell, dict):
        inside = {each: _cell(each, value) for each, value in cast(Document, cell).items()}
        # A struct column gives every row every key; the nulls were not in the record.
        return {each: value for each, value in inside.items() if value is not None}
    if isinstance(cell, list):
        return [_cell("", each) for each in cast(list[Any], cell)]
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    if isinstance(cell, Decimal):
        return float(cell)
    if isinstance(cell, bytes):
        return cell.decode("utf-8", errors="replace")
    if not isinstance(cell, str):
        return None if isinstance(cell, float) and math.isnan(cell) else cell
    cell.encode("utf-8")  # raises where a byte was none of UTF-8
    if cell == "":
        return None
    if cell[0] in "{[" and name.rsplit(".", 1)[-1] not in _TEXTS:
        try:
            return mended(json.loads(cell))
        except ValueError:
            return cell
    if name.rsplit(".", 1)[-1] in ("confidence", "latency_ms"):
        try:
            return float(cell)
        except ValueError:
            return cell
    if name in ("synthetic", "response.correct") and cell.lower() in ("true", "false"):
        return cell.lower() == "true"
    # Our own exports put an apostrophe before what a spreadsheet would take for a formula.
    return cell[1:] if len(cell) > 1 and cell[0] == "'" and cell[1] in "=+-@\t\r'" else cell


def _put(document: Document, name: str, value: Any) -> None:
    """Set a name; those of an answer are dotted in tables (`response.content`)."""
    outer, dot, inner = name.partition(".")
    if dot and outer == "response":
        nested = document.setdefault(outer, {})
        if isinstance(nested, dict):
            cast(Document, nested)[inner] = value
            return
    document[name] = value
