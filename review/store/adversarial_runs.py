"""The adversarial set in runs: entries page by page, what they came to in runs, and what people say about that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from duckdb import DuckDBPyConnection as Cursor

from review.domain.failure import Event
from review.domain.types import Side
from review.store.adversarial import EntryRow


@dataclass(frozen=True)
class OutcomeRow:
    """One outcome of an entry in a run; `old` and `new` are True where it passed, None where nobody could tell."""

    run_id: str
    entry_id: str
    repeat: int
    old: bool | None
    new: bool | None
    decided_by: str


@dataclass(frozen=True)
class CheckRow:
    """What somebody says about one outcome's side; `passes` None: cannot tell. See the migration."""

    check_id: str
    run_id: str
    entry_id: str
    side: Side
    repeat: int
    decided_by: str
    said: bool
    passes: bool | None
    drawn: bool
    checked_by: str
    checked_at: datetime


def page(cursor: Cursor, after: int, until: datetime, limit: int) -> list[EntryRow]:
    """Entries of the chain after row `after` that were reported by `until`, in order."""
    rows = cursor.execute(
        """
        SELECT seq, entry_id, pair_id, prompt_id, task, failed, model, category, source, round_id, actor, acted_at,
               digest
        FROM adversarial_entry WHERE seq > $after AND acted_at <= $until ORDER BY seq LIMIT $limit
        """,
        {"after": after, "until": until, "limit": limit},
    )
    return [EntryRow(*row) for row in rows.fetchall()]


def events(cursor: Cursor, entry_ids: Sequence[str]) -> list[Event]:
    """Everything that happened to these entries, in order."""
    rows = cursor.execute(
        """
        SELECT seq, entry_id, kind, actor, acted_at, source, round_id, category, coalesce(changes_pass, false), reason
        FROM adversarial_event WHERE entry_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY seq
        """,
        {"ids": list(entry_ids)},
    )
    return [Event(*row) for row in rows.fetchall()]


def counts(cursor: Cursor, until: datetime) -> tuple[int, int]:
    """How many entries were reported by then, and how many later."""
    row = cursor.execute(
        "SELECT count(*) FILTER (acted_at <= $until), count(*) FILTER (acted_at > $until) FROM adversarial_entry",
        {"until": until},
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def outcomes(cursor: Cursor, run_ids: Sequence[str], entry_ids: Sequence[str] | None = None) -> list[OutcomeRow]:
    """What entries (or all) came to in these runs; finished parts alone, by run, entry and repeat."""
    rows = cursor.execute(
        """
        SELECT o.run_id, o.example_id, o.repeat, o.old > 0.5, o.new > 0.5, o.decided_by
        FROM outcome o JOIN run_part p USING (run_id, evidence, part)
        WHERE o.evidence = 'adversarial' AND o.metric = 'passed'
          AND o.run_id IN (SELECT unnest($runs::VARCHAR[]))
          AND ($entries IS NULL OR o.example_id IN (SELECT unnest($entries::VARCHAR[])))
        ORDER BY o.run_id, o.example_id, o.repeat
        """,
        {"runs": list(run_ids), "entries": None if entry_ids is None else list(entry_ids)},
    )
    return [OutcomeRow(*row) for row in rows.fetchall()]


def insert_check(cursor: Cursor, row: CheckRow) -> None:
    """Append one check."""
    cursor.execute(
        "INSERT INTO adversarial_check VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            *(row.check_id, row.run_id, row.entry_id, row.side, row.repeat, row.decided_by),
            *(row.said, row.passes, row.drawn, row.checked_by, row.checked_at),
        ],
    )


def checker(cursor: Cursor, check_id: str) -> str | None:
    """Who made a check; None when there is none of the id."""
    row = cursor.execute("SELECT checked_by FROM adversarial_check WHERE check_id = ?", [check_id]).fetchone()
    return None if row is None else str(row[0])


def checks(cursor: Cursor, run_ids: Sequence[str] | None = None) -> list[CheckRow]:
    """Checks of these runs, or of all, oldest first."""
    rows = cursor.execute(
        """
        SELECT check_id, run_id, entry_id, side, repeat, decided_by, said, passes, drawn, checked_by, checked_at
        FROM adversarial_check WHERE $runs IS NULL OR run_id IN (SELECT unnest($runs::VARCHAR[]))
        ORDER BY checked_at, check_id
        """,
        {"runs": None if run_ids is None else list(run_ids)},
    )
    return [CheckRow(*row) for row in rows.fetchall()]


def version(cursor: Cursor) -> str:
    """A text that changes when the set, its outcomes or a check changes."""
    row = cursor.execute(
        """
        SELECT concat_ws('/', (SELECT count(*) FROM adversarial_entry), (SELECT count(*) FROM adversarial_event),
                         (SELECT count(*) FROM run_part WHERE evidence = 'adversarial'),
                         (SELECT count(*) FROM adversarial_check))
        """
    ).fetchone()
    assert row is not None
    return str(row[0])
