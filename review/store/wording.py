"""The texts whose wording is measured: pairs that may differ in it, chosen the same way every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Chosen:
    """Pairs by row number in a fixed, arbitrary order, shape (n,), and out of how many they were chosen."""

    pair: Ints
    of: int


def disagreements(cursor: duckdb.DuckDBPyConnection, limit: int, sources: tuple[str, ...] | None = None) -> Chosen:
    """At most `limit` disagreements (domain.frame.kind_of) in the order of a hash of their ids, out of how many.

    With `sources`, only those from there.
    """
    return _chosen(
        cursor,
        """
        WITH judged AS (
            SELECT pair_id, bool_and(winner IS NOT DISTINCT FROM 'tie') AS all_tie FROM verdict GROUP BY pair_id
        )
        SELECT p.rowid AS row
        FROM pair p LEFT JOIN judged j USING (pair_id) LEFT JOIN structured s USING (pair_id)
        WHERE NOT p.identical
          AND (coalesce(s.differs, p.structured_differs) OR NOT coalesce(j.all_tie, s.settled, false))
          AND ($sources IS NULL OR list_contains($sources::VARCHAR[], p.source))
        """,
        {"sources": None if sources is None else list(sources)},
        limit,
    )


def among(cursor: duckdb.DuckDBPyConnection, rows: list[int], limit: int) -> Chosen:
    """At most `limit` of these pairs in the order of a hash of their ids, and how many there are."""
    return _chosen(cursor, "SELECT unnest($rows::BIGINT[]) AS row", {"rows": rows}, limit)


def _chosen(cursor: duckdb.DuckDBPyConnection, of: str, parameters: dict[str, Any], limit: int) -> Chosen:
    columns = cursor.execute(
        f"""
        WITH wanted AS MATERIALIZED ({of})
        SELECT w.row, (SELECT count(*) FROM wanted) AS of FROM wanted w JOIN pair p ON p.rowid = w.row
        ORDER BY md5(p.pair_id) LIMIT $limit
        """,  # noqa: S608 - only queries of this module are inserted
        {**parameters, "limit": limit},
    ).fetchnumpy()
    total = columns["of"]
    return Chosen(columns["row"].astype(np.int64), int(total[0]) if len(total) else 0)


def characters(cursor: duckdb.DuckDBPyConnection, rows: list[int]) -> dict[int, int]:
    """How many characters both answers of a pair have together, by row number."""
    return dict(
        cursor.execute(
            """
            SELECT rowid, coalesce(length(old->>'content'), 0) + coalesce(length(new->>'content'), 0)
            FROM pair WHERE rowid IN (SELECT unnest($rows::BIGINT[]))
            """,
            {"rows": rows},
        ).fetchall()
    )


def texts(cursor: duckdb.DuckDBPyConnection, rows: list[int]) -> dict[int, tuple[str, str]]:
    """The old and the new answer's text by row number; empty where an answer is tool calls only."""
    found = cursor.execute(
        """
        SELECT rowid, coalesce(old->>'content', ''), coalesce(new->>'content', '')
        FROM pair WHERE rowid IN (SELECT unnest($rows::BIGINT[]))
        """,
        {"rows": rows},
    ).fetchall()
    return {row: (old, new) for row, old, new in found}
