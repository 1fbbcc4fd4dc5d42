"""Strips personal data before the first write: a stage over Arrow batches, and one worker process for the app."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as _pa

from review.domain import identity
from review.errors import BadInput, StripFailed
from review.services.desk import Answer, Call, Desk
from review.services.processes import Spawning
from review.services.workspace import Workspace
from review.store import intake, staging
from review.store import pii as store
from review.store.staging import Kind

if TYPE_CHECKING:
    from review.adapters.pii import Stripper as Engine

pa: Any = _pa  # it carries no types
# Columns of JSON, and of plain text, that hold what people wrote. All others pass unread.
JSON_COLUMNS = ("messages", "tools", "parameters", "response", "shadow", "old", "new", "metadata")
TEXT_COLUMNS = ("reference", "comment", "expected", "rationale", "raw")
# Rows that a process strips at a time.
_PIECE = 200
# Fewer are not worth another process, which loads for seconds.
_LEAST = 50
_HANDED_IN = 5000


@dataclass(frozen=True)
class StripSettings:
    """What the stage needs; picklable.

    Attributes:
        key: the workspace's key: rules are keyed hashes.
        words: (number of words, keyed hash) of what a lead marked as leaked.
        patterns: regular expressions that a lead added.
    """

    key: bytes = field(default=b"", repr=False)
    words: frozenset[tuple[int, str]] = frozenset()
    patterns: tuple[str, ...] = ()


def strip_batch(batch: Any, settings: StripSettings) -> Any:
    """The stage: a pyarrow.Table or RecordBatch with its texts stripped, and `redactions` as JSON counts by kind.

    Of JSON_COLUMNS and TEXT_COLUMNS those that are there are stripped, consistently within a row; what does not change
    keeps its text. `redactions` is replaced where the column is there already.
    """
    table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
    names = [name for name in (*JSON_COLUMNS, *TEXT_COLUMNS) if name in table.column_names]
    columns = {name: table.column(name).to_pylist() for name in names}
    records = [
        {
            name: json.loads(value) if name in JSON_COLUMNS else value
            for name in names
            if (value := columns[name][row]) is not None
        }
        for row in range(len(table))
    ]
    redactions: list[str] = []
    for row, (stripped, counts) in enumerate(_engine(settings).strip(records)):
        for name, value in stripped.items():
            if value != records[row][name]:
                columns[name][row] = _line(value) if name in JSON_COLUMNS else value
        redactions.append(_line(counts))
    for name in names:
        place = table.column_names.index(name)
        table = table.set_column(
            place,
            table.schema.field(place),
            pa.chunked_array([pa.array(columns[name], table.schema.field(place).type)]),
        )
    if "redactions" in table.column_names:
        place = table.column_names.index("redactions")
        table = table.set_column(place, "redactions", pa.array(redactions, pa.string()))
    else:
        table = table.append_column("redactions", pa.array(redactions, pa.string()))
    return table.combine_chunks().to_batches()[0] if isinstance(batch, pa.RecordBatch) and len(table) else table


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@lru_cache(maxsize=2)
def _engine(settings: StripSettings) -> Engine:
    """The engine of this process. It holds a model and no text."""
    from review.adapters import pii

    return pii.Stripper(settings.key, pii.Rules(settings.words, settings.patterns))


def strip_records(
    records: Sequence[Mapping[str, Any]], settings: StripSettings
) -> list[tuple[dict[str, Any], dict[str, int]]]:
    """Records of JSON values stripped, with counts by kind; at the top of the module so that a process can run it."""
    return _engine(settings).strip(records)


class Stripper:
    """Strips in processes of its own, started at the first use: the app itself never loads spaCy.

    Safe for threads. A process that dies is started anew.
    """

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def strip(self, record: Mapping[str, Any], settings: StripSettings) -> tuple[dict[str, Any], dict[str, int]]:
        """A record of JSON values stripped, with counts by kind.

        Raises:
            StripFailed: the process died twice; nothing may be stored then.
        """
        return self._run(strip_records, [[dict(record)]], settings)[0][0]

    def strip_table(self, table: Any, settings: StripSettings) -> Any:
        """`strip_batch` of a table, cut into pieces that the processes share.

        Raises:
            StripFailed: a process died twice; nothing may be stored then.
        """
        size = max(_LEAST, min(_PIECE, -(-len(table) // self._workers)))
        pieces = [table.slice(start, size) for start in range(0, len(table), size)]
        if not pieces:
            return table.append_column("redactions", pa.array([], pa.string()))
        return pa.concat_tables(self._run(strip_batch, pieces, settings))

    def _run(
        self, function: Callable[[Any, StripSettings], Any], pieces: Sequence[Any], settings: StripSettings
    ) -> list[Any]:
        for _ in range(2):
            with self._lock:
                if self._pool is None:
                    # spawn: a fork of a process with threads may stand still for ever.
                    self._pool = ProcessPoolExecutor(self._workers, mp_context=Spawning())
                pool = self._pool
            try:
                waiting = [pool.submit(function, piece, settings) for piece in pieces]
                return [each.result() for each in waiting]
            except BrokenProcessPool:
                with self._lock:
                    if self._pool is pool:
                        self._pool = None
        raise StripFailed("The process that strips personal data died twice, so nothing was stored. Try again.")

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = None


@cache
def shared() -> Stripper:
    """This process's one stripper: one worker in the app, whose cores belong to its reviewers, else one a core."""
    return Stripper(1 if "streamlit" in sys.modules else os.cpu_count() or 1)


def pieces(tables: Iterable[Any]) -> Iterator[Any]:
    """Tables cut so small that all processes have something to do."""
    for table in tables:
        for start in range(0, len(table), _PIECE):
            yield table.slice(start, _PIECE)


def strip_rows(table: Any, settings: StripSettings) -> Any:
    """`strip_batch` in this process's workers. Rows without a text in our columns never start them."""
    names = [name for name in (*JSON_COLUMNS, *TEXT_COLUMNS) if name in table.column_names]
    if all(table.column(name).null_count == len(table) for name in names):
        return table.append_column("redactions", pa.array(["{}"] * len(table), pa.string()))
    return shared().strip_table(table, settings)


class Intake:
    """Strips the records of one file on their way in, and remembers by keyed hash what they were.

    Importing the file again, with whatever rules, finds the hashes and strips nothing. Hashes are handed in after the
    records: a record whose hash is missing is stripped again and compared, which costs time and changes nothing.
    """

    def __init__(self, desk: Desk, kind: Kind, settings: StripSettings) -> None:
        self._desk, self._settings = desk, settings
        self._kind: Kind = kind
        self._came: list[tuple[str, str, str]] = []

    def strip(self, staged: Any) -> tuple[Any, int]:
        """A staged table without what stands already, stripped; and how many rows stand."""
        if not len(staged):
            return staged, 0
        keys = intake.keys_of(self._kind, staged)
        contents = intake.contents(self._desk.key, self._kind, staged)
        table = pa.table({"key": keys, "content_hash": contents})
        present = set(self._desk.ask("pii.stand", {"kind": self._kind}, table).document["present"])
        left = [place for place in range(len(staged)) if place not in present]
        stripped = strip_rows(staged.take(pa.array(left, pa.int64())), self._settings)
        counts = stripped.column("redactions").to_pylist()
        # Of verdicts and labels, which mostly say nothing, only those are remembered that changed.
        self._came += [
            (keys[place], contents[place], count)
            for place, count in zip(left, counts, strict=True)
            if count != "{}" or self._kind == "pairs"
        ]
        return stripped.drop_columns(["redactions"]).cast(staged.schema), len(present)

    def remember(self) -> None:
        """Hand the hashes in, once the records are stored."""
        for start in range(0, len(self._came), _HANDED_IN):
            rows = self._came[start : start + _HANDED_IN]
            names = ("key", "content_hash", "redactions")
            table = pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})
            self._desk.ask("pii.came", {"kind": self._kind}, table)
        self._came.clear()

    def forget(self) -> None:
        """The file is read anew, or nothing of it was stored."""
        self._came.clear()


def intake_at(desk: Desk, kind: Kind) -> Intake | None:
    """What strips an import at a desk; None where the configuration says not to."""
    settings = settings_at(desk)
    return None if settings is None else Intake(desk, kind, settings)


def stand(workspace: Workspace, call: Call) -> Answer:
    """Operation pii.stand: for {kind} and rows of `key` and `content_hash`, the places of those that stand so."""
    kind, table = _handed(call)
    keys, contents = table["key"].to_pylist(), table["content_hash"].to_pylist()
    known = intake.hashes(workspace.database.cursor(), kind, keys)
    pairs = enumerate(zip(keys, contents, strict=True))
    return Answer({"present": [place for place, (key, content) in pairs if known.get(key) == content]})


def came(workspace: Workspace, call: Call) -> Answer:
    """Operation pii.came: remembers rows of `key`, `content_hash` and `redactions` of a {kind}."""
    kind, table = _handed(call)
    with workspace.database.transaction() as cursor:
        intake.write(cursor, kind, table)
    return Answer()


def _handed(call: Call) -> tuple[Kind, Any]:
    kind: Any = call.arguments.get("kind")
    if kind not in staging.TABLES or call.table is None:
        raise BadInput(f"An intake needs a table and a kind ({', '.join(staging.TABLES)}).")
    return kind, call.table


def settings_of(workspace: Workspace) -> StripSettings | None:
    """How to strip here, with the rules that leads added so far; None where the configuration says not to."""
    if not workspace.settings.config.replay.strip_pii:
        return None
    rules = store.rules(workspace.database.cursor())
    return _settings(workspace.key, [each._asdict() for each in rules])


def rules(workspace: Workspace, _call: Call) -> Answer:
    """Operation pii.rules: what leads added, for commands that strip outside of the app."""
    return Answer({"rules": [each._asdict() for each in store.rules(workspace.database.cursor())]})


def settings_at(desk: Desk) -> StripSettings | None:
    """`settings_of` for a command beside the app."""
    if not desk.settings.config.replay.strip_pii:
        return None
    return _settings(desk.key, desk.ask("pii.rules").document["rules"])


def _settings(key: bytes, rules: Sequence[Mapping[str, Any]]) -> StripSettings:
    return StripSettings(
        key=key,
        words=frozenset((each["size"], each["value"]) for each in rules if each["kind"] == "words"),
        patterns=tuple(sorted(each["value"] for each in rules if each["kind"] == "pattern")),
    )


def strip_words(workspace: Workspace, words: Mapping[str, str]) -> dict[str, str]:
    """What a person typed into the flag form: expected, comment, ticket; stripped before it is written anywhere.

    A ticket that is an id becomes its keyed hash, by which support finds it again; of a ticket's text the ids in it.

    Raises:
        StripFailed: nothing may be stored.
    """
    settings = settings_of(workspace)
    if settings is None or not words:
        return dict(words)
    ticket = words.get("ticket", "")
    rest = {name: text for name, text in words.items() if name != "ticket"}
    if ticket and not _is_id(ticket):
        rest["ticket"] = _TICKET_ID.sub(lambda match: _hashed(workspace.key, match.group()), ticket)
    stripped = shared().strip(rest, settings)[0] if rest else {}
    if ticket and _is_id(ticket):
        stripped["ticket"] = _hashed(workspace.key, ticket)
    return {name: stripped[name] for name in words}


# An id as helpdesks write it: #88123, ZD-4711, 500Ab00001.
_TICKET_ID = re.compile(r"(?<![\w<@.-])#?(?=[\w-]*\d{3})[A-Za-z0-9][\w-]{2,40}(?![\w>@-])")


def _is_id(ticket: str) -> bool:
    return len(ticket) <= 200 and not any(map(str.isspace, ticket.strip()))


def _hashed(key: bytes, ticket: str) -> str:
    return ticket if identity.PSEUDONYM.fullmatch(ticket) else identity.pseudonym(key, "ticket", ticket)
