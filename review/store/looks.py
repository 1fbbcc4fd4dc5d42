"""Looks: when a parity verdict was read off the labels, at which alpha, and what it said."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import duckdb

from review.store.database import Database


@dataclass(frozen=True)
class LookRow:
    """One look, as stored. `alpha` is one-sided; `fraction` is labelled / planned, at most 1."""

    look_id: str
    round_id: str | None
    contract: str
    number: int
    labelled: int
    planned: int
    fraction: float
    alpha: float
    evidence: str
    verdict: str
    report: dict[str, Any]
    taken_by: str
    taken_at: datetime


_COLUMNS = tuple(each.name for each in fields(LookRow))


def read_looks(cursor: duckdb.DuckDBPyConnection, round_id: str | None, contract: str) -> list[LookRow]:
    """The looks at a round (None: at everything) under one contract, oldest first."""
    rows = cursor.execute(
        f"""
        SELECT {", ".join(_COLUMNS)}
        FROM look WHERE round_id IS NOT DISTINCT FROM $round AND contract = $contract ORDER BY number
        """,  # noqa: S608 - field names of ours
        {"round": round_id, "contract": contract},
    ).fetchall()
    looks: list[LookRow] = []
    for row in rows:
        values: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
        looks.append(LookRow(**{**values, "report": json.loads(values["report"])}))
    return looks


def count_looks(cursor: duckdb.DuckDBPyConnection, round_id: str | None) -> int:
    """All looks at a round, under whatever contract."""
    row = cursor.execute(
        "SELECT count(*) FROM look WHERE round_id IS NOT DISTINCT FROM $round", {"round": round_id}
    ).fetchone()
    return row[0] if row else 0


def insert_look(database: Database, look: LookRow) -> bool:
    """Record a look; False when the key refuses it, because somebody else took one of the same number."""
    values = {**look.__dict__, "report": json.dumps(look.report, allow_nan=False)}
    marks = ", ".join("$" + name for name in _COLUMNS)
    try:
        with database.transaction() as cursor:
            cursor.execute(f"INSERT INTO look ({', '.join(_COLUMNS)}) VALUES ({marks})", values)  # noqa: S608 - ours
    except duckdb.ConstraintException:
        return False
    return True
