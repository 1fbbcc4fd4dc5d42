"""What a pair can be sliced by: task, cluster, and how long both answers are, counted in the database."""

from __future__ import annotations

import duckdb
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# Lengths of new divided by old, in words. Halving and doubling are seen at a glance; 0.8 and 1.25 are each other's
# inverse, so that swapping old and new mirrors the classes.
LENGTH_CUTS = (0.5, 0.8, 1.25, 2.0)

_LABELLED = "pair_id IN (SELECT pair_id FROM label WHERE kind <> 'skip')"
# Two clusters of one name are told apart by their ids.
_CLUSTERED = f"""
    SELECT p.rowid AS rowid, coalesce(c.name, a.cluster_id, p.metadata->>'$.cluster') AS name
    FROM pair p LEFT JOIN pair_origin o USING (pair_id) LEFT JOIN assignment a USING (trace_id)
         LEFT JOIN (
             SELECT cluster_id, CASE WHEN count(*) OVER (PARTITION BY name) > 1 THEN name || ' (' || cluster_id || ')'
                                ELSE name END AS name FROM cluster
         ) c USING (cluster_id)
    WHERE {_LABELLED}
"""  # noqa: S608 - a constant of this module

# Words are runs between blanks, tabs and line ends. Where single blanks part them, counting those is much cheaper.
_TEXT = "trim(translate(coalesce(json_extract_string({side}, '$.content'), ''), chr(10) || chr(9) || chr(13), '   '))"
_WORDS = (
    "CASE WHEN {text} = '' THEN 0"
    " WHEN contains({text}, '  ') THEN len(list_filter(string_split({text}, ' '), lambda word: word <> ''))"
    " ELSE length({text}) - length(replace({text}, ' ', '')) + 1 END"
)


def tasks(cursor: duckdb.DuckDBPyConnection, size: int) -> tuple[Ints, tuple[str, ...]]:
    """The task of each labelled pair as an index into the names, by row number; -1 without one.

    Args:
        cursor: A cursor.
        size: One more than the largest row number.
    """
    return _named(cursor, "task", size)


def clusters(cursor: duckdb.DuckDBPyConnection, size: int) -> tuple[Ints, tuple[str, ...]]:
    """The cluster of the trace each labelled pair came from, else the one its metadata names; as tasks()."""
    return _codes(cursor.execute(f"SELECT rowid, name FROM ({_CLUSTERED}) WHERE name IS NOT NULL").fetchall(), size)  # noqa: S608 - a constant


def has_clusters(cursor: duckdb.DuckDBPyConnection) -> bool:
    """Whether any labelled pair has a cluster."""
    return cursor.execute(f"SELECT 1 FROM ({_CLUSTERED}) WHERE name IS NOT NULL LIMIT 1").fetchone() is not None  # noqa: S608 - a constant


def _named(cursor: duckdb.DuckDBPyConnection, column: str, size: int) -> tuple[Ints, tuple[str, ...]]:
    """A column of texts, given as SQL of this module, as codes by row number."""
    found = cursor.execute(
        f"SELECT rowid, {column} AS name FROM pair WHERE {_LABELLED} AND name IS NOT NULL"  # noqa: S608 - as said
    ).fetchall()
    return _codes(found, size)


def _codes(found: list[tuple[int, str]], size: int) -> tuple[Ints, tuple[str, ...]]:
    """Names by row number as codes by row number, and the names."""
    names = tuple(sorted({name for _, name in found}))
    number = {name: index for index, name in enumerate(names)}
    rows = np.array([row for row, _ in found], dtype=np.int64)
    return _placed(rows, np.array([number[name] for _, name in found], dtype=np.int64), size), names


def length_classes(cursor: duckdb.DuckDBPyConnection, size: int) -> Ints:
    """The class of each labelled pair's ratio of words, new to old, by row number.

    0 at most .5, 1 up to .8, 2 from .8 to 1.25 with both ends, 3 up to 2, 4 at least 2; -1 where a side has no text.
    """
    found = cursor.execute(
        f"""
        WITH text AS (
            SELECT rowid AS pair, {_TEXT.format(side="old")} AS old_text, {_TEXT.format(side="new")} AS new_text
            FROM pair WHERE {_LABELLED}
        ),
        counted AS (
            SELECT pair, {_WORDS.format(text="old_text")} AS old, {_WORDS.format(text="new_text")} AS new FROM text
        )
        SELECT pair, (new > $half * old)::INT + (new >= $less * old)::INT
                   + (new > $more * old)::INT + (new >= $twice * old)::INT AS length
        FROM counted WHERE old > 0 AND new > 0
        """,  # noqa: S608 - only names of this module are inserted
        dict(zip(("half", "less", "more", "twice"), LENGTH_CUTS, strict=True)),
    ).fetchnumpy()
    return _placed(found["pair"].astype(np.int64), found["length"].astype(np.int64), size)


def characters(cursor: duckdb.DuckDBPyConnection, size: int) -> tuple[Ints, Ints]:
    """How many characters the old and the new answer of each pair has, indexed by row number; -1 without a text."""
    found = cursor.execute(
        """
        SELECT rowid AS pair, coalesce(length(json_extract_string(old, '$.content')), -1) AS old,
               coalesce(length(json_extract_string(new, '$.content')), -1) AS new
        FROM pair WHERE pair_id IN (SELECT pair_id FROM verdict)
        """
    ).fetchnumpy()
    rows = found["pair"].astype(np.int64)
    return _placed(rows, found["old"].astype(np.int64), size), _placed(rows, found["new"].astype(np.int64), size)


def _placed(rows: Ints, values: Ints, size: int) -> Ints:
    """Values at their row numbers, -1 elsewhere."""
    placed = np.full(size, -1, dtype=np.int64)
    placed[rows] = values
    return placed
