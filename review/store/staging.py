"""Bringing a file's records into the fact tables: staged first, compared with what is there, then written at once."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Literal, NamedTuple

import duckdb
import pyarrow
import pyarrow.compute

pa: Any = pyarrow  # it carries no types
Kind = Literal["pairs", "verdicts", "labels"]
Cursor = duckdb.DuckDBPyConnection


class Table(NamedTuple):
    """A fact table: its name, its key, and the columns that say what a fact says."""

    name: str
    key: tuple[str, ...]
    columns: tuple[tuple[str, Any], ...]
    json: frozenset[str] = frozenset()


def _texts(*names: str) -> tuple[tuple[str, Any], ...]:
    return tuple((name, pa.string()) for name in names)


TABLES: dict[Kind, Table] = {
    "pairs": Table(
        "pair",
        ("pair_id",),
        (
            *_texts("pair_id", "prompt_id", "task", "messages", "tools", "reference", "old", "new", "metadata"),
            ("identical", pa.bool_()),
            ("structured_differs", pa.bool_()),
        ),
        frozenset({"messages", "tools", "old", "new", "metadata"}),
    ),
    "verdicts": Table(
        "verdict",
        ("pair_id", "judge", "vote"),
        (
            *_texts("pair_id", "judge"),
            ("vote", pa.int32()),
            *_texts("shown_first", "winner", "raw", "rationale"),
            ("cost_usd", pa.float64()),
            *_texts("error_old", "error_new", "tone", "calibration_old", "calibration_new"),
        ),
    ),
    "labels": Table(
        "label",
        ("label_id",),
        (
            *_texts("label_id", "pair_id", "reviewer", "kind", "round_id"),
            ("occurrence", pa.int32()),
            *_texts("shown_first", "preference", "error_old", "error_new", "tone", "calibration_old"),
            *_texts("calibration_new"),
            ("categories_old", pa.list_(pa.string())),
            ("categories_new", pa.list_(pa.string())),
            *_texts("comment"),
            ("seconds", pa.float64()),
            ("labelled_at", pa.timestamp("us", tz="UTC")),
            *_texts("supersedes"),
            ("surplus", pa.bool_()),
            ("simulated", pa.bool_()),
        ),
    ),
}


class Known(NamedTuple):
    """A staged line whose key stands already, in the database or earlier in the file; `same` says with equal content.

    `staged` and `stored` are the two rows where they differ as text: JSON may still mean the same.
    """

    line: int
    same: bool
    staged: dict[str, Any]
    stored: dict[str, Any]


def to_table(kind: Kind, lines: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as a pyarrow.Table to be staged; each row has a value for every column of the fact table."""
    columns = [pa.array(lines, pa.int32())]
    columns += [pa.array([row[name] for row in rows], kind_of) for name, kind_of in TABLES[kind].columns]
    return pa.table(columns, schema(kind))


def schema(kind: Kind) -> Any:
    """The columns of a staged table: the line, then those of the fact table."""
    return pa.schema([("line", pa.int32()), *TABLES[kind].columns])


def join(one: Any, other: Any) -> Any:
    """Two staged tables as one, in the order of the lines."""
    return pa.concat_tables([one, other]).sort_by("line") if len(other) else one


def without(staged: Any, lines: Collection[int]) -> Any:
    """The staged table without some lines."""
    if not lines:
        return staged
    compute: Any = pyarrow.compute
    return staged.filter(compute.invert(compute.is_in(staged["line"], pa.array(lines, pa.int32()))))


@contextmanager
def _visible(cursor: Cursor, staged: Any) -> Generator[None]:
    """Lets statements read the table as `staged`. It stays outside DuckDB, whose transaction would keep a copy."""
    cursor.register("staged", staged)
    try:
        yield
    finally:
        # An error has ended the transaction already, and DuckDB refuses everything until it is rolled back.
        with suppress(duckdb.TransactionException):
            cursor.unregister("staged")


def orphans(cursor: Cursor, staged: Any) -> list[int]:
    """Lines that speak of a pair that is not there."""
    with _visible(cursor, staged):
        found = cursor.execute("SELECT line FROM staged ANTI JOIN pair USING (pair_id) ORDER BY line").fetchall()
    return [row[0] for row in found]


def known(cursor: Cursor, kind: Kind, staged: Any) -> list[Known]:
    """Staged lines whose key stands in the table, or in an earlier staged line; a line may be met twice."""
    table = TABLES[kind]
    names = [name for name, _ in table.columns]
    keys = ", ".join(table.key)
    same = " AND ".join(f"s.{name} IS NOT DISTINCT FROM o.{name}" for name in names)
    matches = " AND ".join(f"s.{name} = o.{name}" for name in table.key)
    sides = ", ".join(f"CASE WHEN {same} THEN NULL ELSE {alias} END" for alias in ("s", "o"))
    # Names only of ours; values never enter the text of a statement.
    with _visible(cursor, staged):
        # Reading the keys alone is quick, and most of the time it shows that there is nothing to compare.
        found = cursor.execute(
            f"SELECT (SELECT count(*) FROM staged SEMI JOIN {table.name} USING ({keys})), "  # noqa: S608
            f"(SELECT count(*) FROM staged) - (SELECT count(*) FROM (SELECT DISTINCT {keys} FROM staged))"
        ).fetchall()
        if found == [(0, 0)]:
            return []
        rows = cursor.execute(
            f"""
            SELECT s.line, {same}, {sides} FROM staged s JOIN {table.name} o ON {matches}
            UNION ALL
            SELECT s.line, {same}, {sides} FROM staged s
            JOIN (SELECT * FROM staged QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY line) = 1) o
              ON {matches} AND s.line > o.line
            ORDER BY 1
            """  # noqa: S608
        ).fetchall()
    return [Known(line, bool(equal), one or {}, other or {}) for line, equal, one, other in rows]


def write(cursor: Cursor, kind: Kind, staged: Any, source: str, now: datetime) -> int:
    """Write what is staged into the fact table; returns how many rows."""
    table = TABLES[kind]
    names = ", ".join(name for name, _ in table.columns)
    added = {
        "pairs": "$source AS source, $now AS imported_at",
        "verdicts": "$now AS imported_at",
        "labels": "$source AS source, $now AS received_at",
    }[kind]
    values = {"now": now} if kind == "verdicts" else {"now": now, "source": source}
    with _visible(cursor, staged):
        counted = cursor.execute(
            f"INSERT INTO {table.name} BY NAME SELECT {names}, {added} FROM staged",  # noqa: S608
            values,
        ).fetchall()
    return int(counted[0][0])
