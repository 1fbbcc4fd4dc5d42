"""What came in before it was stripped, as keyed hashes: importing a file again is known as the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from review.domain import identity
from review.store.staging import TABLES, Cursor, Kind


def keys_of(kind: Kind, staged: Any) -> list[str]:
    """The key of each staged row, its parts apart by a line feed, which no key holds."""
    columns = [staged.column(name).to_pylist() for name in TABLES[kind].key]
    return ["\n".join(map(str, parts)) for parts in zip(*columns, strict=True)]


def contents(key: bytes, kind: Kind, staged: Any) -> list[str]:
    """The keyed hash of what each staged row says. JSON counts as values: the order of its keys means nothing."""
    documents = TABLES[kind].json
    return [
        identity.content_hash(
            key,
            {
                name: json.loads(value) if name in documents else str(value)
                for name, value in row.items()
                if name != "line" and value is not None
            },
        )
        for row in staged.to_pylist()
    ]


def hashes(cursor: Cursor, kind: Kind, keys: Sequence[str]) -> dict[str, str]:
    """The content hashes that stand for these keys, of facts that are there."""
    table = TABLES[kind]
    joined = " || chr(10) || ".join(f"fact.{name}::VARCHAR" for name in table.key)
    rows = cursor.execute(
        f"""
        SELECT key, content_hash FROM intake JOIN {table.name} fact ON key = {joined}
        WHERE kind = $kind AND key IN (SELECT unnest($keys::VARCHAR[]))
        """,  # noqa: S608 (names of ours only)
        {"kind": kind, "keys": list(keys)},
    ).fetchall()
    return {str(key): str(content) for key, content in rows}


def write(cursor: Cursor, kind: Kind, came: Any) -> None:
    """Remember rows of `key`, `content_hash` and `redactions` (JSON); keys that stand are left alone."""
    cursor.register("came", came)
    try:
        cursor.execute(
            """
            INSERT INTO intake SELECT $kind, key, any_value(content_hash), any_value(redactions)
            FROM came ANTI JOIN (FROM intake WHERE kind = $kind) stand USING (key) GROUP BY key
            """,
            {"kind": kind},
        )
    finally:
        cursor.unregister("came")
