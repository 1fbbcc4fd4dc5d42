"""Strips personal data before the first write: a stage over Arrow batches, and one worker process for the app."""

from __future__ import annotations

import json
import multiprocessing
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as _pa

from review.errors import ReviewError

if TYPE_CHECKING:
    from review.adapters.pii import Stripper as Engine

pa: Any = _pa  # it carries no types
# Columns of JSON, and of plain text, that hold what people wrote. All others pass unread.
JSON_COLUMNS = ("messages", "tools", "response", "old", "new", "metadata")
TEXT_COLUMNS = ("reference", "comment", "expected", "rationale", "raw")


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
    """Strips single records in ONE process of its own, started at the first use: the app never loads spaCy.

    Safe for threads; they take turns. A worker that dies is started anew.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def strip(self, record: Mapping[str, Any], settings: StripSettings) -> tuple[dict[str, Any], dict[str, int]]:
        """A record of JSON values stripped, with counts by kind.

        Raises:
            StripFailed: the worker died twice; nothing may be stored then.
        """
        for _ in range(2):
            with self._lock:
                if self._pool is None:
                    # spawn: a fork of a process with threads may stand still for ever.
                    self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
                pool = self._pool
            try:
                return pool.submit(strip_records, [dict(record)], settings).result()[0]
            except BrokenProcessPool:
                with self._lock:
                    if self._pool is pool:
                        self._pool = None
        raise StripFailed("The process that strips personal data died twice, so nothing was stored. Try again.")

    def close(self) -> None:
        """End the worker."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = None


class StripFailed(ReviewError):
    """Personal data could not be stripped; nothing was stored."""
