"""Rules of the stripper, marks of the privacy audit, and everything that erasing a leak reads and writes."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

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
