"""Rules of the stripper, marks of the privacy audit, and everything that erasing a leak reads and writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from review.store.staging import Cursor


class RuleRow(NamedTuple):
    """One rule: the keyed hash of `size` words, or a pattern."""

    rule_id: str
    kind: str
    size: int | None
    value: str


class MarkRow(NamedTuple):
    """What a lead found of one trace in one audit."""

    trace_id: str
    leak: bool
    kind: str | None


def rules(cursor: Cursor) -> list[RuleRow]:
    """All rules, in the order of their ids."""
    found = cursor.execute("SELECT rule_id, kind, size, value FROM pii_rule ORDER BY rule_id").fetchall()
    return [RuleRow(*row) for row in found]


def add_rule(cursor: Cursor, rule: RuleRow, by: str, now: datetime) -> None:
    """Add a rule, unless it stands."""
    cursor.execute(
        "INSERT INTO pii_rule SELECT $rule_id, $kind, $size, $value, $by, $now "
        "WHERE NOT EXISTS (SELECT 1 FROM pii_rule WHERE rule_id = $rule_id)",
        {**rule._asdict(), "by": by, "now": now},
    )


def mark(cursor: Cursor, audit: str, row: MarkRow, by: str, now: datetime) -> None:
    """Note what a lead found; a second look at the same trace in the same audit replaces the first."""
    cursor.execute(
        "DELETE FROM pii_mark WHERE audit = $audit AND trace_id = $trace", {"audit": audit, "trace": row.trace_id}
    )
    cursor.execute(
        "INSERT INTO pii_mark VALUES ($audit, $trace_id, $leak, $kind, $by, $now)",
        {"audit": audit, **row._asdict(), "by": by, "now": now},
    )


def marks(cursor: Cursor, audit: str) -> list[MarkRow]:
    """What was found in an audit."""
    found = cursor.execute(
        "SELECT trace_id, leak, kind FROM pii_mark WHERE audit = $audit", {"audit": audit}
    ).fetchall()
    return [MarkRow(*row) for row in found]


def drawn(cursor: Cursor, seed: str, size: int) -> list[str]:
    """Ids of `size` stripped traces, at random by `seed`; the same seed draws the same while no trace comes or goes."""
    found = cursor.execute(
        "SELECT trace_id FROM trace WHERE redactions IS NOT NULL ORDER BY md5($seed || trace_id), trace_id LIMIT $size",
        {"seed": seed, "size": size},
    ).fetchall()
    return [str(row[0]) for row in found]


def texts(cursor: Cursor, trace_id: str) -> dict[str, Any] | None:
    """What of a trace people wrote, as it is stored."""
    row = cursor.execute(
        "SELECT messages, tools, parameters, response, reference, metadata FROM trace WHERE trace_id = $trace_id",
        {"trace_id": trace_id},
    ).fetchone()
    if row is None:
        return None
    names = ("messages", "tools", "parameters", "response", "reference", "metadata")
    return {
        name: value if name == "reference" else json.loads(value)
        for name, value in zip(names, row, strict=True)
        if value is not None
    }


class Column(NamedTuple):
    """A column that holds text: VARCHAR, JSON or VARCHAR[]."""

    name: str
    kind: str


# What holds hashes only, or is erased by its own rule (services.flag).
_LEFT_ALONE = ("migration", "intake", "pii_rule", "pii_mark", "erasure", "meta", "refused")


def text_columns(cursor: Cursor) -> dict[str, list[Column]]:
    """Every table's columns of text, whoever made the table; ids are among them."""
    found = cursor.execute(
        """
        SELECT table_name, column_name, data_type FROM duckdb_columns()
        WHERE NOT internal AND data_type IN ('VARCHAR', 'JSON', 'VARCHAR[]')
          AND (schema_name, table_name) IN (SELECT (schema_name, table_name) FROM duckdb_tables() WHERE NOT temporary)
          AND NOT starts_with(table_name, 'adversarial_') AND NOT list_contains($alone::VARCHAR[], table_name)
        ORDER BY table_name, column_index
        """,
        {"alone": list(_LEFT_ALONE)},
    ).fetchall()
    tables: dict[str, list[Column]] = {}
    for table, column, kind in found:
        tables.setdefault(str(table), []).append(Column(str(column), str(kind)))
    return tables


def rows_with(
    cursor: Cursor, table: str, columns: Sequence[Column], needles: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row numbers and values of the rows in whose text one of `needles` (lower case) stands."""
    names = ", ".join(quoted(each.name) for each in columns)
    hits = " OR ".join(f"contains(lower({quoted(each.name)}::VARCHAR), needle)" for each in columns)
    query = (
        f"SELECT rowid, {names} FROM {quoted(table)} WHERE EXISTS "  # noqa: S608 (names of the catalogue, quoted)
        f"(SELECT 1 FROM (SELECT unnest($needles::VARCHAR[]) AS needle) WHERE {hits})"
    )
    for number, *values in cursor.execute(query, {"needles": list(needles)}).fetchall():
        yield int(number), {each.name: value for each, value in zip(columns, values, strict=True)}


def rewrite(cursor: Cursor, table: str, row: int, values: Mapping[str, Any]) -> None:
    """Write other values into a row."""
    sets = ", ".join(f"{quoted(name)} = ${place}" for place, name in enumerate(values, 1))
    cursor.execute(
        f"UPDATE {quoted(table)} SET {sets} WHERE rowid = ${len(values) + 1}",  # noqa: S608 (quoted names)
        [*values.values(), row],
    )


def lift(cursor: Cursor, table: str) -> list[str]:
    """Take the triggers that keep a table append-only away, within the transaction; returns how to set them again."""
    found = cursor.execute(
        "SELECT trigger_name, sql FROM duckdb_triggers() WHERE table_name = $table", {"table": table}
    ).fetchall()
    for name, _ in found:
        cursor.execute(f"DROP TRIGGER {quoted(str(name))} ON {quoted(table)}")
    return [str(sql) for _, sql in found]


def entries_with(cursor: Cursor) -> Iterator[tuple[str, str]]:
    """Entry ids and texts of the adversarial set."""
    for entry_id, content in cursor.execute("SELECT entry_id, content FROM adversarial_text ORDER BY seq").fetchall():
        yield str(entry_id), str(content)


def bury(cursor: Cursor, tombstone: Mapping[str, Any]) -> None:
    """Write the tombstone of an erasure."""
    cursor.execute(
        "INSERT INTO erasure VALUES ($erasure_id, $kind, $value, $places, $rows, $erased_by, $erased_at, false)",
        dict(tombstone),
    )


def erasures(cursor: Cursor) -> list[dict[str, Any]]:
    """Every tombstone, newest first."""
    found = cursor.execute(
        "SELECT erasure_id, kind, places, erased_by, erased_at, compacted FROM erasure "
        "ORDER BY erased_at DESC, erasure_id"
    ).fetchall()
    names = ("erasure_id", "kind", "places", "erased_by", "erased_at", "compacted")
    return [dict(zip(names, row, strict=True)) | {"places": json.loads(row[2])} for row in found]


def quoted(name: str) -> str:
    """A name of the catalogue, as SQL wants it."""
    return '"' + name.replace('"', '""') + '"'
