"""What a parity verdict is made of: counted labels with errors and failure categories, and known correctness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt

from review.domain.types import ERROR_DIRECTIONS

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
MAX_CATEGORIES = 62  # a bit each


@dataclass(frozen=True)
class OutcomeRows:
    """Counted labels, one element a row: current, first showings, within the overlap, a person's newest on the pair.

    Attributes:
        pair: Row number of the pair.
        error_old: Position in ERROR_DIRECTIONS, -1 where it was not given.
        error_new: The same for new.
        categories_old: Failure categories as bits, in the order of `categories`.
        categories_new: The same for new.
        simulated: The demo made the row.
        categories: Ids: those of the rubric first, then others that labels name.
    """

    pair: Ints
    error_old: Ints
    error_new: Ints
    categories_old: Ints
    categories_new: Ints
    simulated: Bools
    categories: tuple[str, ...]


def outcome_rows(cursor: duckdb.DuckDBPyConnection, round_id: str | None, listed: Sequence[str]) -> OutcomeRows:
    """The counted labels of one round, or of all rounds and imports.

    Args:
        cursor: An open cursor.
        round_id: The round.
        listed: Category ids of the rubric.
    """
    named = cursor.execute(
        """
        SELECT category FROM (
            SELECT unnest(coalesce(categories_old, []) || coalesce(categories_new, [])) AS category FROM current_label
        ) WHERE NOT list_contains($listed, category) GROUP BY category ORDER BY count(*) DESC, category LIMIT $room
        """,
        {"listed": list(listed), "room": max(0, MAX_CATEGORIES - len(listed))},
    ).fetchall()
    categories = (*listed, *(row[0] for row in named))[:MAX_CATEGORIES]
    bit = "lambda c: 1::BIGINT << (list_position($categories, c) - 1)"
    bits = "coalesce(list_sum(list_transform(list_distinct({}), " + bit + ")), 0)"
    columns = cursor.execute(
        f"""
        SELECT p.rowid AS pair, l.simulated,
               coalesce(list_position($errors, l.error_old) - 1, -1) AS error_old,
               coalesce(list_position($errors, l.error_new) - 1, -1) AS error_new,
               {bits.format("categories_old")}::BIGINT AS categories_old,
               {bits.format("categories_new")}::BIGINT AS categories_new
        FROM current_label l JOIN pair p USING (pair_id)
        WHERE l.kind = 'label' AND l.occurrence = 0 AND ($round IS NULL OR l.round_id = $round)
        QUALIFY row_number() OVER (
            PARTITION BY l.pair_id, l.reviewer
            ORDER BY coalesce(l.labelled_at, l.received_at) DESC, l.received_at DESC, l.label_id DESC
        ) = 1 AND NOT l.surplus
        ORDER BY p.rowid, l.reviewer
        """,  # noqa: S608 - only fixed expressions of this module are inserted
        {"round": round_id, "errors": list(ERROR_DIRECTIONS), "categories": list(categories)},
    ).fetchnumpy()
    return OutcomeRows(
        pair=columns["pair"].astype(np.int64),
        error_old=columns["error_old"].astype(np.int64),
        error_new=columns["error_new"].astype(np.int64),
        categories_old=columns["categories_old"].astype(np.int64),
        categories_new=columns["categories_new"].astype(np.int64),
        simulated=columns["simulated"].astype(np.bool_),
        categories=categories,
    )


def known_differences(cursor: duckdb.DuckDBPyConnection) -> tuple[Ints, Ints]:
    """Pairs whose correctness came with them on both sides: row numbers, and correct(new) - correct(old)."""
    columns = cursor.execute(
        """
        SELECT row, new_right::INTEGER - old_right::INTEGER AS difference FROM (
            SELECT rowid AS row, TRY_CAST(old ->> '$.correct' AS BOOLEAN) AS old_right,
                   TRY_CAST(new ->> '$.correct' AS BOOLEAN) AS new_right
            FROM pair WHERE NOT identical
        ) WHERE old_right IS NOT NULL AND new_right IS NOT NULL ORDER BY row
        """
    ).fetchnumpy()
    return columns["row"].astype(np.int64), columns["difference"].astype(np.int64)


def places(cursor: duckdb.DuckDBPyConnection, round_id: str | None) -> int:
    """Different pairs that the rounds (or one of them) ask people to label."""
    row = cursor.execute(
        "SELECT count(DISTINCT pair_id) FROM slot WHERE $round IS NULL OR round_id = $round", {"round": round_id}
    ).fetchone()
    return row[0] if row else 0


def pair_ids(cursor: duckdb.DuckDBPyConnection, rows: Sequence[int]) -> list[str]:
    """Ids of pairs by row number, alphabetical."""
    found = cursor.execute(
        "SELECT pair_id FROM pair WHERE rowid IN (SELECT unnest($rows)) ORDER BY 1", {"rows": list(rows)}
    ).fetchall()
    return [row[0] for row in found]
