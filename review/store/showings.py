"""What each reviewer was shown, what they said and how long it took, one row a showing."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt

from review.domain.types import PREFERENCES

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_TEXT = "coalesce(translate(json_extract_string({side}, '$.content'), chr(10) || chr(9) || chr(13), '   '), '')"


@dataclass(frozen=True)
class Showings:
    """Current labels with a preference, one element a showing, in the order they were given.

    Attributes:
        pair: Row number of the pair.
        reviewer: Index into `reviewers`.
        repeat: A hidden repeat (occurrence 1 and more).
        surplus: Beyond the round's overlap.
        first: For a repeat the element of the same reviewer's first showing in the same round, else -1.
        shown_first: What stood as A: 0 old, 1 new, -1 unknown.
        preference: Index into PREFERENCES.
        seconds: From shown to submitted; -1 unknown.
        fast: Given in less time than it takes to read the words that only one of both answers has, each counted once.
        reviewers: Names.
    """

    pair: Ints
    reviewer: Ints
    repeat: Bools
    surplus: Bools
    first: Ints
    shown_first: Ints
    preference: Ints
    seconds: Floats
    fast: Bools
    reviewers: tuple[str, ...]


def showings(cursor: duckdb.DuckDBPyConnection, round_id: str | None, words_a_second: float) -> Showings:
    """The showings of one round, or of all; of several rows about one showing the newest.

    Args:
        cursor: A cursor.
        round_id: The round, None for all.
        words_a_second: The speed that makes a label `fast`.
    """
    names = tuple(
        row[0]
        for row in cursor.execute("SELECT DISTINCT reviewer FROM label WHERE kind = 'label' ORDER BY 1").fetchall()
    )
    columns = cursor.execute(
        f"""
        WITH said AS (
            SELECT l.pair_id, l.reviewer, l.round_id, l.occurrence, l.surplus, l.shown_first, l.preference, l.seconds,
                   coalesce(l.labelled_at, l.received_at) AS moment, l.label_id
            FROM current_label l
            WHERE l.kind = 'label' AND l.preference IS NOT NULL AND ($round IS NULL OR l.round_id = $round)
            QUALIFY row_number() OVER (
                PARTITION BY l.pair_id, l.reviewer, l.round_id, l.occurrence
                ORDER BY coalesce(l.labelled_at, l.received_at) DESC, l.received_at DESC, l.label_id DESC
            ) = 1
        ),
        quickest AS (SELECT pair_id, min(seconds) AS seconds FROM said WHERE seconds IS NOT NULL GROUP BY pair_id),
        -- Words that differ are at most all words, and those at most the blanks and two: most pairs are done with here.
        doubtful AS (
            SELECT pair_id, old, new
            FROM (
                SELECT p.pair_id, q.seconds, {_TEXT.format(side="old")} AS old, {_TEXT.format(side="new")} AS new
                FROM pair p JOIN quickest q USING (pair_id)
            )
            WHERE seconds * $speed < len(old) - len(replace(old, ' ', '')) + 1
                                   + len(new) - len(replace(new, ' ', '')) + 1
        ),
        -- A blank before each text makes the empty word, which two blanks also make, common to both.
        split AS (
            SELECT pair_id, string_split(' ' || old, ' ') AS old, string_split(' ' || new, ' ') AS new FROM doubtful
        ),
        differing AS (
            SELECT pair_id, 2 * len(list_distinct(list_concat(old, new))) - len(list_distinct(old))
                            - len(list_distinct(new)) AS words
            FROM split
        ),
        numbered AS (SELECT *, row_number() OVER (ORDER BY moment, label_id) - 1 AS number FROM said)
        SELECT p.rowid AS pair, list_position($reviewers, n.reviewer) - 1 AS reviewer, n.occurrence > 0 AS repeat,
               n.surplus,
               CASE WHEN n.occurrence > 0 THEN coalesce(min(n.number) FILTER (WHERE n.occurrence = 0) OVER (
                   PARTITION BY n.pair_id, n.reviewer, n.round_id), -1) ELSE -1 END AS first,
               coalesce(list_position(['old', 'new'], n.shown_first) - 1, -1) AS shown_first,
               list_position($preferences, n.preference) - 1 AS preference,
               coalesce(n.seconds, -1) AS seconds,
               coalesce(n.seconds * $speed < d.words, false) AS fast,
               n.number
        FROM numbered n JOIN pair p USING (pair_id) LEFT JOIN differing d USING (pair_id)
        ORDER BY n.number
        """,  # noqa: S608 - only the two column names of this module are inserted
        {"reviewers": list(names), "preferences": list(PREFERENCES), "round": round_id, "speed": words_a_second},
    ).fetchnumpy()
    return Showings(
        pair=columns["pair"].astype(np.int64),
        reviewer=columns["reviewer"].astype(np.int64),
        repeat=columns["repeat"].astype(np.bool_),
        surplus=columns["surplus"].astype(np.bool_),
        first=_positions(columns["first"].astype(np.int64), columns["number"].astype(np.int64)),
        shown_first=columns["shown_first"].astype(np.int64),
        preference=columns["preference"].astype(np.int64),
        seconds=columns["seconds"].astype(np.float64),
        fast=columns["fast"].astype(np.bool_),
        reviewers=names,
    )


def _positions(numbers: Ints, order: Ints) -> Ints:
    """Where each number stands in `order` (ascending), -1 where it does not: rows on unknown pairs are not there."""
    if len(order) == 0:
        return numbers
    at = np.minimum(np.searchsorted(order, numbers), len(order) - 1)
    return np.where(order[at] == numbers, at, -1).astype(np.int64)
