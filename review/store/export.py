"""Reading facts back as records of the import format, in a stable order, a page at a time."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from review.store.database import Database

Kind = Literal["pairs", "verdicts", "labels"]
_ROWS = 4000
_BYTES = 8 << 20
_JSON = {"messages", "tools", "old", "new", "metadata"}


class _Facts(NamedTuple):
    """A fact table: its columns, the rows of a round, and the key by which it is read."""

    table: str
    columns: str
    of_round: str
    key: tuple[str, ...]
    key_types: tuple[str, ...]


_DRAWN = "pair_id IN (SELECT pair_id FROM slot WHERE round_id = $round)"
_FACTS: dict[Kind, _Facts] = {
    "pairs": _Facts(
        "pair",
        "pair_id, prompt_id, task, messages, tools, reference, old, new, metadata",
        _DRAWN,
        ("pair_id",),
        ("VARCHAR",),
    ),
    "verdicts": _Facts(
        "verdict",
        "pair_id, judge, vote, shown_first, winner, raw, rationale, cost_usd, "
        "error_old, error_new, tone, calibration_old, calibration_new",
        _DRAWN,
        ("pair_id", "judge", "vote"),
        ("VARCHAR", "VARCHAR", "INTEGER"),
    ),
    "labels": _Facts(
        "label",
        "label_id, pair_id, reviewer, kind, round_id, occurrence, shown_first, preference, error_old, error_new, "
        "tone, calibration_old, calibration_new, categories_old, categories_new, comment, "
        "strftime(labelled_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%f+00:00') AS labelled_at, "
        "supersedes, seconds, surplus, simulated",
        "round_id = $round",
        ("received_at", "label_id"),
        ("TIMESTAMPTZ", "VARCHAR"),
    ),
}


class Page(NamedTuple):
    """Some rows as a pyarrow.Table, JSON columns as their text, and the key of the last; None when it ends here."""

    rows: Any
    last: list[str] | None


def page(database: Database, kind: Kind, round_id: str | None, after: list[str] | None) -> Page:
    """The next rows after a key, at most 4,000 or 8 MB but at least one."""
    facts = _FACTS[kind]
    keys = ", ".join(facts.key)
    types = zip(facts.key, facts.key_types, strict=True)
    beyond = ", ".join(f"$after_{name}::{its_type}" for name, its_type in types)
    values = dict(zip((f"after_{name}" for name in facts.key), after, strict=True)) if after else {}
    wanted = [f"({keys}) > ({beyond})"] * bool(after) + [facts.of_round] * (round_id is not None)
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    last = ", ".join(f"{name}::VARCHAR AS key_{place}" for place, name in enumerate(facts.key))
    # The wide columns are read for the rows of the page alone.
    found = database.cursor().sql(
        f"SELECT {facts.columns}, {last} FROM {facts.table} WHERE rowid IN "  # noqa: S608 (names of ours)
        f"(SELECT rowid FROM {facts.table} {where} ORDER BY {keys} LIMIT {_ROWS}) ORDER BY {keys}",
        params=values | ({"round": round_id} if round_id is not None else {}),
    )
    rows: Any = found.to_arrow_table()
    ended = len(rows) < _ROWS
    if (fit := max(1, int(len(rows) * _BYTES / max(1, rows.nbytes)))) < len(rows):
        rows, ended = rows.slice(0, fit), False
    names = [f"key_{place}" for place in range(len(facts.key))]
    key = None if ended else [rows[name][-1].as_py() for name in names]
    return Page(rows.drop_columns(names), key)


def count(database: Database, kind: Kind, round_id: str | None) -> int:
    """How many rows all pages have."""
    facts = _FACTS[kind]
    where, values = (f"WHERE {facts.of_round}", {"round": round_id}) if round_id is not None else ("", {})
    query = f"SELECT count(*) FROM {facts.table} {where}"  # noqa: S608 (names of ours)
    return database.cursor().execute(query, values).fetchall()[0][0]


def json_columns() -> frozenset[str]:
    """The columns whose text is JSON."""
    return frozenset(_JSON)
