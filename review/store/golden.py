"""The golden set in the database: items and their versions, decisions, frozen sets, answers, scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow

from review.domain.golden import Event, EventKind, Item, RubricItem
from review.domain.types import Message
from review.store.database import Database
from review.store.stamp import count, stamp

pa: Any = pyarrow  # it carries no types
Cursor = duckdb.DuckDBPyConnection

# Items as they travel; `kind` is the event that brings them.
ITEMS = pa.schema(
    [
        *((name, pa.string()) for name in ("item_hash", "item_id", "prompt_id", "task", "messages", "tools")),
        *((name, pa.string()) for name in ("reference", "rubric", "content_hash", "redactions", "source", "model")),
        *((name, pa.string()) for name in ("trace_id", "cluster_id")),
        ("synthetic", pa.bool_()),
        ("kind", pa.string()),
    ]
)
ANSWERS = pa.schema([(name, pa.string()) for name in ("item_id", "item_hash", "answers_id", "old", "new")])
SCORES = pa.schema(
    [
        *((name, pa.string()) for name in ("score_id", "answers_id")),
        ("rubric", pa.int32()),
        *((name, pa.string()) for name in ("kind", "scored_by")),
        *((name, pa.bool_()) for name in ("old", "new")),
        ("shown_first", pa.string()),
    ]
)
_STORED = [name for name in ITEMS.names if name != "kind"]

# The cluster of a golden item: of a trace with the same input, else as an input of its own.
PLACED = """
    SELECT g.item_hash, coalesce(same.cluster_id, i.cluster_id) AS cluster_id
    FROM golden_item g
    LEFT JOIN (SELECT prompt_id, any_value(cluster_id) AS cluster_id
               FROM trace JOIN assignment USING (trace_id)
               WHERE prompt_id IN (SELECT prompt_id FROM golden_item) GROUP BY prompt_id) same USING (prompt_id)
    LEFT JOIN input_cluster i ON i.input_id = g.prompt_id"""


@dataclass(frozen=True)
class ItemRow:
    """A version of an item as stored. `cluster_id`: where it is placed now, None where it is not yet."""

    item: Item
    item_hash: str
    prompt_id: str
    source: str
    model: str | None
    synthetic: bool
    drafted_for: str | None
    cluster_id: str | None
    added_by: str
    added_at: datetime


@dataclass(frozen=True)
class VersionRow:
    """A frozen set."""

    version: str
    number: int
    name: str | None
    items: int
    frozen_by: str
    frozen_at: datetime


@dataclass(frozen=True)
class ScoreRow:
    """What somebody said of one rubric item of both answers."""

    answers_id: str
    rubric: int
    kind: str
    scored_by: str
    old: bool | None
    new: bool | None


def data_version(database: Database) -> str:
    """A text that changes whenever something about the golden set changes, or its items' clusters."""
    return stamp(
        database.cursor(),
        "SELECT max(number) FROM golden_event",
        "SELECT count(*) || ':' || max(assigned_at)::VARCHAR FROM assignment",
        *count("golden_version", "golden_answers", "golden_asked", "golden_score"),
        *count("input_cluster", "cluster_retired", "run", "erasure"),
    )


def contents(cursor: Cursor, item_ids: Sequence[str]) -> set[tuple[str, str]]:
    """(item_id, content_hash) of every version of these items."""
    rows = cursor.execute(
        "SELECT item_id, content_hash FROM golden_item WHERE item_id IN (SELECT unnest($ids::VARCHAR[]))",
        {"ids": list(item_ids)},
    ).fetchall()
    return {(str(item), str(content)) for item, content in rows}


def add_items(cursor: Cursor, table: Any, by: str, now: datetime) -> tuple[int, int]:
    """Add versions that do not stand yet, each with its event; returns (new items, new versions of items)."""
    cursor.register("incoming", table)
    try:
        rows = cursor.execute(
            """
            SELECT item_hash, item_id, kind, EXISTS (SELECT 1 FROM golden_item g WHERE g.item_id = i.item_id)
            FROM incoming i ANTI JOIN golden_item USING (item_hash) ORDER BY item_id"""
        ).fetchall()
        names = ", ".join(_STORED)
        cursor.execute(
            f"""
            INSERT INTO golden_item ({names}, added_by, added_at)
            SELECT {names}, $by, $now FROM incoming ANTI JOIN golden_item USING (item_hash)""",  # noqa: S608 (ours)
            {"by": by, "now": now},
        )
    finally:
        cursor.unregister("incoming")
    add_events(cursor, [(item_id, item_hash, kind, None) for item_hash, item_id, kind, _ in rows], by, now)
    known = sum(bool(each[3]) for each in rows)
    return len(rows) - known, known


def add_events(
    cursor: Cursor, events: Sequence[tuple[str, str, EventKind, str | None]], by: str, now: datetime
) -> None:
    """Append events of (item_id, item_hash, kind, reason), in this order."""
    if not events:
        return
    columns = list(zip(*events, strict=True))
    names = ("item_id", "item_hash", "kind", "reason")
    table = pa.table(
        {
            "place": pa.array(range(1, len(events) + 1), pa.int64()),
            **{name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)},
        }
    )
    cursor.register("happened", table)
    try:
        cursor.execute(
            """
            INSERT INTO golden_event
            SELECT (SELECT coalesce(max(number), 0) FROM golden_event) + place, item_id, item_hash, kind, reason,
                $by, $now
            FROM happened ORDER BY place""",
            {"by": by, "now": now},
        )
    finally:
        cursor.unregister("happened")


def events(cursor: Cursor, item_id: str | None = None) -> list[Event]:
    """What became of items, in order; of one item, or of all."""
    rows = cursor.execute(
        """
        SELECT number, item_id, item_hash, kind, acted_by FROM golden_event
        WHERE $item_id IS NULL OR item_id = $item_id ORDER BY number""",
        {"item_id": item_id},
    ).fetchall()
    return [Event(int(number), *rest) for number, *rest in rows]


def told(cursor: Cursor, item_id: str) -> list[dict[str, Any]]:
    """An item's events for people: kind, item_hash, reason, by, at."""
    rows = cursor.execute(
        "SELECT kind, item_hash, reason, acted_by, acted_at FROM golden_event WHERE item_id = $id ORDER BY number",
        {"id": item_id},
    ).fetchall()
    return [dict(zip(("kind", "item_hash", "reason", "by", "at"), row, strict=True)) for row in rows]


def items(cursor: Cursor, item_hashes: Sequence[str]) -> dict[str, ItemRow]:
    """Versions of items by their hash."""
    rows = cursor.execute(
        f"""
        SELECT item_hash, item_id, prompt_id, task, messages, tools, reference, rubric, source, model, synthetic,
            g.cluster_id, p.cluster_id, added_by, added_at
        FROM golden_item g JOIN ({PLACED}) p USING (item_hash)
        WHERE item_hash IN (SELECT unnest($hashes::VARCHAR[]))""",  # noqa: S608 (a constant)
        {"hashes": list(item_hashes)},
    ).fetchall()
    found: dict[str, ItemRow] = {}
    for digest, item_id, prompt_id, task, messages, tools, reference, rubric, *rest in rows:
        # Checked when it came in; what an erasure has taken out since must not make it unreadable.
        item = Item.model_construct(
            item_id=item_id,
            task=task,
            messages=[Message.model_validate(each) for each in json.loads(messages)],
            tools=None if tools is None else json.loads(tools),
            reference=reference,
            rubric=[RubricItem.model_validate(each) for each in json.loads(rubric)],
        )
        source, model, synthetic, drafted_for, placed, by, at = rest
        found[digest] = ItemRow(item, digest, prompt_id, source, model, bool(synthetic), drafted_for, placed, by, at)
    return found


def item_ids(cursor: Cursor, item_hash: str) -> list[str]:
    """The id of a version's item; none where there is no such version."""
    rows = cursor.execute("SELECT item_id FROM golden_item WHERE item_hash = ?", [item_hash]).fetchall()
    return [str(item_id) for (item_id,) in rows]


def freeze(cursor: Cursor, row: VersionRow, held: Mapping[str, str]) -> None:
    """Store a frozen set: item hashes by item id."""
    cursor.execute(
        "INSERT INTO golden_version VALUES ($version, $number, $name, $items, $frozen_by, $frozen_at)", row.__dict__
    )
    table = pa.table({"item_id": list(held), "item_hash": list(held.values())})
    cursor.register("held", table)
    try:
        cursor.execute(
            "INSERT INTO golden_version_item SELECT $version, item_id, item_hash FROM held", {"version": row.version}
        )
    finally:
        cursor.unregister("held")


def versions(cursor: Cursor) -> list[VersionRow]:
    """Frozen sets, oldest first."""
    rows = cursor.execute(
        "SELECT version, number, name, items, frozen_by, frozen_at FROM golden_version ORDER BY number"
    ).fetchall()
    return [VersionRow(*row) for row in rows]


def held(cursor: Cursor, version: str) -> dict[str, str]:
    """The item hashes of a frozen set by item id, in order of the ids."""
    rows = cursor.execute(
        "SELECT item_id, item_hash FROM golden_version_item WHERE version = $version ORDER BY item_id",
        {"version": version},
    ).fetchall()
    return dict(rows)


def put_answers(cursor: Cursor, table: Any, run_id: str, version: str, now: datetime) -> int:
    """Keep both stacks' answers (schema ANSWERS) and that a run has them; returns how many are new to the run."""
    cursor.register("incoming", table)
    try:
        cursor.execute(
            """
            INSERT INTO golden_answers
            SELECT answers_id, any_value(item_hash), any_value(old), any_value(new), $now
            FROM incoming ANTI JOIN golden_answers USING (answers_id) GROUP BY answers_id""",
            {"now": now},
        )
        rows = cursor.execute(
            """
            INSERT INTO golden_asked SELECT $run_id, $version, item_id, answers_id, $now FROM incoming i
            WHERE NOT EXISTS (
                SELECT 1 FROM golden_asked a
                WHERE a.run_id = $run_id AND a.version = $version AND a.item_id = i.item_id)
            RETURNING item_id""",
            {"run_id": run_id, "version": version, "now": now},
        ).fetchall()
    finally:
        cursor.unregister("incoming")
    return len(rows)


def put_scores(cursor: Cursor, table: Any, now: datetime) -> int:
    """Append scores (schema SCORES) that do not stand yet; returns how many."""
    cursor.register("incoming", table)
    try:
        rows = cursor.execute(
            """
            INSERT INTO golden_score
            SELECT score_id, answers_id, rubric, kind, scored_by, old, new, shown_first, $now
            FROM incoming ANTI JOIN golden_score USING (score_id) RETURNING score_id""",
            {"now": now},
        ).fetchall()
    finally:
        cursor.unregister("incoming")
    return len(rows)


def scores(cursor: Cursor, answers_ids: Sequence[str] | None = None) -> list[ScoreRow]:
    """Judges' scores, and each person's newest; of some answers, or of all."""
    rows = cursor.execute(
        """
        SELECT answers_id, rubric, kind, scored_by, old, new FROM golden_score
        WHERE $ids IS NULL OR answers_id IN (SELECT unnest($ids::VARCHAR[]))
        QUALIFY row_number() OVER (
            PARTITION BY answers_id, rubric, kind, scored_by ORDER BY scored_at DESC, score_id DESC) = 1
        ORDER BY answers_id, rubric, kind, scored_by""",
        {"ids": None if answers_ids is None else list(answers_ids)},
    ).fetchall()
    return [ScoreRow(answers, int(rubric), *rest) for answers, rubric, *rest in rows]


def asked(cursor: Cursor, run_id: str, version: str) -> dict[str, str]:
    """A run's answers_id by item id."""
    rows = cursor.execute(
        "SELECT item_id, answers_id FROM golden_asked WHERE run_id = $run AND version = $version ORDER BY item_id",
        {"run": run_id, "version": version},
    ).fetchall()
    return dict(rows)


def askings(cursor: Cursor) -> list[tuple[str, str, int]]:
    """(run_id, version, items) of every run that has answers, the newest first."""
    rows = cursor.execute(
        """
        SELECT run_id, version, count(*) FROM golden_asked GROUP BY run_id, version
        ORDER BY max(asked_at) DESC, run_id, version"""
    ).fetchall()
    return [(str(run), str(version), int(count)) for run, version, count in rows]


def answers(cursor: Cursor, answers_id: str) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    """(item_hash, old, new) as JSON values."""
    row = cursor.execute(
        "SELECT item_hash, old, new FROM golden_answers WHERE answers_id = $id", {"id": answers_id}
    ).fetchone()
    return None if row is None else (str(row[0]), json.loads(row[1]), json.loads(row[2]))


def answered_items(cursor: Cursor) -> dict[str, str]:
    """The item hash of every kept pair of answers."""
    return dict(cursor.execute("SELECT answers_id, item_hash FROM golden_answers").fetchall())


def by_cluster(cursor: Cursor, item_hashes: Sequence[str]) -> dict[str | None, int]:
    """How many of these items lie in each cluster; None: not placed yet."""
    rows = cursor.execute(
        f"""
        SELECT cluster_id, count(*) FROM ({PLACED})
        WHERE item_hash IN (SELECT unnest($hashes::VARCHAR[])) GROUP BY cluster_id""",  # noqa: S608 (a constant)
        {"hashes": list(item_hashes)},
    ).fetchall()
    return dict(rows)


def nearest(cursor: Cursor, cluster_id: str, limit: int, *, synthetic: bool) -> list[dict[str, Any]]:
    """Traces of a cluster, those nearest to its centre first, each prompt once: trace_id, prompt_id, task …"""
    rows = cursor.execute(
        """
        SELECT trace_id, t.prompt_id, t.task, t.messages, t.tools FROM assignment a JOIN trace t USING (trace_id)
        WHERE a.cluster_id = $cluster_id AND t.synthetic = $synthetic
        QUALIFY row_number() OVER (PARTITION BY t.prompt_id ORDER BY a.similarity DESC, trace_id) = 1
        ORDER BY a.similarity DESC, trace_id LIMIT $limit""",
        {"cluster_id": cluster_id, "limit": limit, "synthetic": synthetic},
    ).fetchall()
    return [dict(zip(("trace_id", "prompt_id", "task", "messages", "tools"), row, strict=True)) for row in rows]


def drafted(cursor: Cursor) -> dict[str, tuple[str | None, str]]:
    """Of every drafted item: the cluster that it was drafted for, and its prompt."""
    rows = cursor.execute(
        "SELECT item_id, any_value(cluster_id), any_value(prompt_id) FROM golden_item WHERE trace_id IS NOT NULL "
        "GROUP BY item_id"
    ).fetchall()
    return {str(item): (cluster, str(prompt)) for item, cluster, prompt in rows}
