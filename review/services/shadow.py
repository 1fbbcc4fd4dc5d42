"""Live traffic: metrics of exchanges whose texts are dropped, what came in from where, and its part in a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pyarrow
from pydantic import ValidationError

from review.adapters import trace_files
from review.adapters.files import Document, Row
from review.domain import identity
from review.domain.complaint import clean, explain
from review.domain.live import Live, Measures, Metrics
from review.errors import BadInput, NotFound, Rejected, RejectedRecords
from review.services.desk import Answer, Call, Desk
from review.services.trace_import import Imported, Place, Watch
from review.services.workspace import Workspace
from review.store import live as store

if TYPE_CHECKING:
    from review.services.run_record import Recorded, Tell

pa: Any = pyarrow  # it carries no types
_ROWS = 2000
# Where a log puts what people or models wrote. A record that has any of it is no metric, and nothing of it is kept.
_TEXTS = frozenset(
    {
        *("messages", "response", "shadow", "content", "prompt", "input", "output", "completion", "text", "tools"),
        *("reference", "metadata", "answer", "question"),
    }
)
_CLASHES = "stands already with other values, and facts are not overwritten. Give it another id."


class _Record(NamedTuple):
    line: int
    metric_id: str
    content_hash: str
    metrics: Metrics


def import_metrics(desk: Desk, place: Place, live: Live, skip_invalid: bool, watch: Watch) -> Imported:
    """Import a file of metrics without texts. Twice is once.

    Each record is one exchange: `happened_at`, perhaps `trace_id` and `task`, and under `old`, `new` or both
    `latency_ms`, `timed_out`, `failed`, `refused`, `finish_reason`, `characters`, `prompt_tokens`,
    `completion_tokens`.

    Args:
        desk: Where the facts are.
        place: The file: JSON lines, JSON or CSV, also gzipped.
        live: Where the traffic comes from.
        skip_invalid: Write the good records of a file that has bad ones.
        watch: Told how far it is.

    Raises:
        RejectedRecords: It has bad records, or ones with texts, and `skip_invalid` is off; nothing was written.
        BadInput: It cannot be read, or is Parquet.
    """
    path = Path(place.file)
    if trace_files.kind(path) not in (*trace_files.LINES, ".csv"):
        raise BadInput(f"{place.shown}: metrics come as JSON lines, JSON or CSV, also gzipped.")
    if not skip_invalid:
        checked = _import(desk, path, live, watch, "checking", write=False)
        if checked.bad:
            raise RejectedRecords(place.source, checked.rejected, checked.read)
        if checked.present == checked.read:
            return checked
    return _import(desk, path, live, watch, "importing", write=True)


def _import(desk: Desk, path: Path, live: Live, watch: Watch, phase: str, *, write: bool) -> Imported:
    total, first = Imported("metrics"), dict[str, str]()

    def progress(done: int, size: int) -> None:
        watch(phase, total.read, done, size)

    for batch in _batches(trace_files.read(path, progress, {})):
        good: list[_Record] = []
        for row in batch:
            total.read += 1
            checked = _checked(desk.key, row)
            if isinstance(checked, _Record):
                if first.setdefault(checked.metric_id, checked.content_hash) == checked.content_hash:
                    good.append(checked)
                else:
                    total.reject(Rejected(row.line, "trace_id", _CLASHES))
            else:
                total.reject(checked)
        if not good:
            continue
        said = desk.ask("shadow.put_metrics", {"write": write}, _table(good, live.source)).document
        total.new += said["new"]
        total.present += said["present"]
        for at in cast("list[int]", said["clashing"]):
            total.reject(Rejected(good[at].line, "trace_id", _CLASHES))
    total.rejected.sort(key=lambda each: each.line)
    return total


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _checked(key: bytes, row: Row) -> _Record | Rejected:
    document = row.document
    if document is None:
        return Rejected(row.line, "", row.reason)
    if texts := [place for place in _places(document) if place.rpartition(".")[2].lower() in _TEXTS]:
        return Rejected(
            row.line, clean(texts[0]), "holds a text. Metrics have none; import traces with --source shadow."
        )
    try:
        metrics = Metrics.model_validate(document)
        content = identity.canonical(document)
    except ValidationError as error:
        where, why = explain(error.errors(include_url=False), document, Metrics)
        return Rejected(row.line, where, why)
    except ValueError:  # json refuses an infinite number
        return Rejected(row.line, "", "has a number that is infinite.")
    hashed = identity.trace_hash(key, content)
    return _Record(row.line, metrics.trace_id or f"metric-{hashed}", hashed, metrics)


def _places(document: Mapping[str, Any]) -> Iterator[str]:
    for name, value in document.items():
        yield name
        if isinstance(value, dict):
            yield from (f"{name}.{inner}" for inner in cast(Document, value))


def _table(records: Sequence[_Record], source: str) -> Any:
    rows = [
        {
            "metric_id": each.metric_id,
            "side": side,
            "content_hash": each.content_hash,
            "source": source,
            "task": each.metrics.task,
            "happened_at": each.metrics.happened_at,
            **measures.model_dump(),
            "place": place,
        }
        for place, each in enumerate(records)
        for side, measures in _sides(each.metrics)
    ]
    return pa.Table.from_pylist(rows, pa.schema([*store.METRICS, ("place", pa.int32())]))


def _sides(metrics: Metrics) -> Iterator[tuple[str, Measures]]:
    if metrics.old is not None:
        yield "old", metrics.old
    if metrics.new is not None:
        yield "new", metrics.new


def record(desk: Desk, run: str, source: str | None = None, tell: Tell | None = None) -> list[Recorded]:
    """Put live traffic into a run as the evidence `shadow`: each source of it that has pairs, or the named one.

    Raises:
        NotFound: No live traffic has pairs, or not from this source.
        Conflict: The part stands already, and the data have changed since.
    """
    from review.services import run_record

    known: list[str] = desk.ask("shadow.sources").document["paired"]
    if source is not None and source not in known:
        listed = ", ".join(known) or "none yet"
        raise NotFound(f"No pairs of live traffic come from {source[:80]!r}. There are: {listed}.")
    if not known:
        raise NotFound(
            "No live traffic has both answers yet. Import some: review import traces FILE --source shadow:NAME, with "
            'the other stack\'s answer under "shadow".'
        )
    return run_record.record(desk, run, sources=[source] if source else known, shadow=True, tell=tell)


# What follows is asked through a desk.


def put_metrics(workspace: Workspace, call: Call) -> Answer:
    """Operation shadow.put_metrics: rows of store.live.METRICS and `place`, the record's, all in one transaction.

    Argument: write; False only says what would be done.

    Returns:
        {new, present, clashing}: records, and the places of those that stand with other values; they are not written.
    """
    table = call.table
    if table is None or not {*store.METRICS.names, "place"} <= set(table.column_names):
        raise BadInput("metrics are handed in as a table of store.live.METRICS and place.")
    with workspace.database.transaction() as cursor:
        stands = store.metric_hashes(cursor, table.select(["metric_id"]))
        fresh: list[int] = []
        new, present, clashing = set[int](), set[int](), set[int]()
        written: dict[str, int] = {}
        columns = (table[name].to_pylist() for name in ("metric_id", "content_hash", "place"))
        for at, (name, content, place) in enumerate(zip(*columns, strict=True)):
            if name in stands:
                (present if stands[name] == content else clashing).add(place)
            elif written.setdefault(name, place) == place:
                fresh.append(at)
                new.add(place)
            else:  # the same record twice in one batch
                present.add(place)
        if fresh and call.arguments.get("write", True):
            rows = table.take(pa.array(fresh, pa.int64())).select(store.METRICS.names).cast(store.METRICS)
            store.add_metrics(cursor, rows, call.now)
    return Answer({"new": len(new), "present": len(present), "clashing": sorted(clashing)})


def sources(workspace: Workspace, _call: Call) -> Answer:
    """Operation shadow.sources: {sources: [{source, exchanges, pairs, first, last}], paired: [source]}."""
    cursor = workspace.database.cursor()
    listed = [{**each, **{name: _text(each[name]) for name in ("first", "last")}} for each in store.sources(cursor)]
    return Answer({"sources": listed, "paired": store.pair_sources(cursor)})


def metrics(workspace: Workspace, start: datetime | None = None, end: datetime | None = None) -> list[dict[str, Any]]:
    """What traffic without texts reports, by day, task and side, the newest day first; see store.live.metrics."""
    return store.metrics(workspace.database.cursor(), start, end)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
