"""Live traffic as it came in: who served a trace and which pair it made, and metrics of traffic without texts."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import duckdb
import pyarrow

pa: Any = pyarrow  # it carries no types
Cursor = duckdb.DuckDBPyConnection

# What a batch of traces says besides store.traces.SCHEMA; all NULL where it is no live traffic.
LIVE: Any = pa.schema([("live", pa.string()), ("served", pa.string()), ("shadow", pa.string())])
TRACES: Any = pa.schema([(name, pa.string()) for name in ("trace_id", "source", "served", "pair_id")])
METRICS: Any = pa.schema(
    [
        *((name, pa.string()) for name in ("metric_id", "side", "content_hash", "source", "task")),
        ("happened_at", pa.timestamp("us", tz="UTC")),
        ("latency_ms", pa.float64()),
        *((name, pa.bool_()) for name in ("timed_out", "failed", "refused")),
        ("finish_reason", pa.string()),
        *((name, pa.int64()) for name in ("characters", "prompt_tokens", "completion_tokens")),
    ]
)


@contextmanager
def _visible(cursor: Cursor, staged: Any) -> Generator[None]:
    cursor.register("staged", staged)
    try:
        yield
    finally:
        # An error has ended the transaction already, and DuckDB refuses everything until it is rolled back.
        with suppress(duckdb.TransactionException):
            cursor.unregister("staged")


def add_traces(cursor: Cursor, columns: Mapping[str, Sequence[str | None]]) -> None:
    """Write columns of TRACES, of traces none of which stands."""
    with _visible(cursor, pa.table(dict(columns), TRACES)):
        cursor.execute("INSERT INTO live_trace BY NAME SELECT * FROM staged")


def metric_hashes(cursor: Cursor, ids: Any) -> dict[str, str]:
    """The content hashes of those metrics that stand, by id; `ids` has a column `metric_id`."""
    with _visible(cursor, ids):
        found = cursor.execute(
            "SELECT DISTINCT metric_id, content_hash FROM live_metric SEMI JOIN staged USING (metric_id)"
        ).fetchall()
    return dict(found)


def add_metrics(cursor: Cursor, rows: Any, now: datetime) -> None:
    """Write rows of METRICS, none of which stands."""
    with _visible(cursor, rows):
        cursor.execute("INSERT INTO live_metric BY NAME SELECT *, $now AS imported_at FROM staged", {"now": now})


def sources(cursor: Cursor) -> list[dict[str, Any]]:
    """What came in from each source: exchanges, pairs of them, and from when to when; alphabetical."""
    rows = cursor.execute(
        """
        SELECT l.source, count(*), count(l.pair_id), min(t.happened), max(t.happened)
        FROM live_trace l JOIN (SELECT trace_id, coalesce(happened_at, imported_at) AS happened FROM trace) t
             USING (trace_id) GROUP BY l.source
        UNION ALL
        SELECT source, count(DISTINCT metric_id), 0, min(happened_at), max(happened_at) FROM live_metric GROUP BY source
        ORDER BY 1
        """
    ).fetchall()
    return [dict(zip(("source", "exchanges", "pairs", "first", "last"), row, strict=True)) for row in rows]


def pair_sources(cursor: Cursor) -> list[str]:
    """The sources of live traffic that have pairs, alphabetical."""
    rows = cursor.execute("SELECT DISTINCT source FROM live_trace WHERE pair_id IS NOT NULL ORDER BY source").fetchall()
    return [row[0] for row in rows]


def metrics(cursor: Cursor, start: datetime | None, end: datetime | None) -> list[dict[str, Any]]:
    """What traffic without texts reports, by day, task and side; rates are of the answers that say.

    Returns:
        [{day, task, side, exchanges, latency_p50, latency_p95, timed_out, failed, refused, cut, characters, tokens}],
        the newest day first; `cut` is the share that ended for length, `characters` and `tokens` are means.
    """
    done = cursor.execute(
        """
        SELECT date_trunc('day', happened_at) AS day, coalesce(task, '') AS task, side, count(*) AS exchanges,
               quantile_cont(latency_ms, 0.5) AS latency_p50, quantile_cont(latency_ms, 0.95) AS latency_p95,
               avg(timed_out::INTEGER) AS timed_out, avg(failed::INTEGER) AS failed, avg(refused::INTEGER) AS refused,
               avg((finish_reason IN ('length', 'max_tokens'))::INTEGER) AS cut,
               avg(characters) AS characters, avg(completion_tokens) AS tokens
        FROM live_metric
        WHERE ($start IS NULL OR happened_at >= $start) AND ($end IS NULL OR happened_at < $end)
        GROUP BY ALL ORDER BY day DESC, 2, side
        """,
        {"start": start, "end": end},
    )
    names = [each[0] for each in done.description or ()]
    return [dict(zip(names, row, strict=True)) for row in done.fetchall()]
