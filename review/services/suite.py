"""`review import suite`: an existing eval suite of plain prompts, to see which clusters of traffic it touches."""

from __future__ import annotations

import csv
import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow

from review.domain.intent import intent_text, plain_text
from review.errors import BadInput, NotFound, Rejected, RejectedRecords
from review.services.desk import Desk

pa: Any = pyarrow  # it carries no types
FIELDS = ("prompt", "text", "input", "question", "query", "instruction")
_BATCH = 500
_ENDINGS = (".txt", ".jsonl", ".csv")


@dataclass(frozen=True)
class Imported:
    """Prompts read, and how many of them are new."""

    read: int
    new: int


def import_suite(desk: Desk, file: Path, tell: Callable[[int, int], None] | None = None) -> Imported:
    """Bring in the prompts of a file; one that is there already, from whatever file, is left alone.

    Personal data is stripped before the first write, as the configuration says. `review cluster` gives the prompts
    their clusters.

    Args:
        desk: where they are handed in.
        file: .txt with a prompt a line, .jsonl or .csv with one of FIELDS or, in JSONL, `messages`.
        tell: called with the prompts done, and all of them.

    Raises:
        NotFound: there is no such file.
        BadInput: another ending, or a CSV without a column of FIELDS.
        RejectedRecords: lines without a prompt; nothing of the file is written.
    """
    from review.services import strip

    prompts = _read(file)
    settings = strip.settings_at(desk)
    new = 0
    for start in range(0, len(prompts), _BATCH):
        some = prompts[start : start + _BATCH]
        ids = [_id(desk.key, text) for text in some]
        if settings is None:
            texts, redactions = some, [None] * len(some)
        else:
            given = [json.dumps([{"role": "user", "content": text}], ensure_ascii=False) for text in some]
            stripped = strip.strip_rows(pa.table({"messages": pa.array(given, pa.string())}), settings)
            texts = [json.loads(each)[0]["content"] for each in stripped.column("messages").to_pylist()]
            redactions = stripped.column("redactions").to_pylist()
        table = pa.table(
            {
                "suite_prompt_id": pa.array(ids, pa.string()),
                "suite": pa.array([file.name] * len(some), pa.string()),
                "text": pa.array(texts, pa.string()),
                "redactions": pa.array(redactions, pa.string()),
            }
        )
        new += int(desk.ask("cluster.add_suite", {}, table).document["new"])
        if tell is not None:
            tell(start + len(some), len(prompts))
    return Imported(len(prompts), new)


def _read(file: Path) -> list[str]:
    if not file.is_file():
        raise NotFound(f"There is no file {file}.")
    kind = file.suffix.lower()
    if kind not in _ENDINGS:
        raise BadInput(f"{file}: an eval suite is a file ending in {', '.join(_ENDINGS)}, not in {kind or 'nothing'}.")
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            found = list({".txt": _plain, ".jsonl": _jsonl, ".csv": _csv}[kind](lines))
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not UTF-8 text. Save it as UTF-8.") from error
    except KeyError as error:
        raise BadInput(
            f"{file}: no column is called {', '.join(FIELDS[:-1])} or {FIELDS[-1]}. Rename the column of the prompts."
        ) from error
    bad = [Rejected(number, "", reason) for number, _, reason in found if reason]
    if bad:
        raise RejectedRecords(str(file), bad, len(found))
    if not found:
        raise BadInput(f"{file} holds no prompt.")
    return [text for _, text, _ in found]


# Line number, prompt, and why there is none.
_Row = tuple[int, str, str]


def _plain(lines: Any) -> Iterator[_Row]:
    for number, line in enumerate(lines, 1):
        if text := plain_text(line):
            yield number, text, ""


def _jsonl(lines: Any) -> Iterator[_Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            yield number, "", "is no JSON"
            continue
        text = _prompt(record)
        yield number, text, "" if text else f'has no "messages" and none of: {", ".join(FIELDS)}'


def _csv(lines: Any) -> Iterator[_Row]:
    rows = csv.DictReader(lines)
    name = next((each for each in FIELDS if each in (rows.fieldnames or ())), None)
    if name is None:
        raise KeyError(name)
    for number, row in zip(itertools.count(2), rows, strict=False):
        text = plain_text(row[name])
        yield number, text, "" if text else f'"{name}" is empty'


def _prompt(record: object) -> str:
    if isinstance(record, str):
        return plain_text(record)
    if not isinstance(record, dict):
        return ""
    document = cast("dict[str, Any]", record)
    messages: object = document.get("messages", document.get("input"))
    if isinstance(messages, list):
        given = [cast("dict[str, Any]", each) for each in cast("list[object]", messages) if isinstance(each, dict)]
        return intent_text(given)
    return next((text for name in FIELDS if (text := plain_text(document.get(name)))), "")


def _id(key: bytes, text: str) -> str:
    return "suite-" + hmac.new(key, b"suite\0" + text.encode(), hashlib.sha256).hexdigest()[:32]
