"""The adversarial set's tables: append a link, read the chain, read entries, find pairs to flag."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import duckdb

from review.domain.chain import Link, SaltedText, genesis, link
from review.domain.failure import Event, Source
from review.domain.types import Side
from review.errors import ChainBroken
from review.store.database import Database

Matched = Literal["id", "metadata", "text"]
_BATCH = 500

# What the digest of an entry and of an event covers, apart from the text's own digest.
_ENTRY_RECORD = (
    *("seq", "entry_id", "kind", "report_id", "pair_id", "prompt_id", "task", "failed", "model", "category"),
    *("source", "round_id", "actor", "acted_at"),
)
_EVENT_RECORD = (
    *("seq", "entry_id", "kind", "report_id", "source", "round_id", "category", "changes_pass", "reason"),
    *("actor", "acted_at"),
)
_ENTRY_COLUMNS = (*_ENTRY_RECORD, "text_digest", "previous", "digest")
_EVENT_COLUMNS = (*_EVENT_RECORD, "text_digest", "previous", "digest")

# Times come as the text that `_iso` makes, which is many times faster than through datetime.
_READ_ENTRIES = """
    SELECT seq, entry_id, 'entry', report_id, pair_id, prompt_id, task, failed, model, category, source, round_id,
           actor, strftime(acted_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%f+00:00'), text_digest, previous, digest
    FROM adversarial_entry ORDER BY seq"""
_READ_EVENTS = """
    SELECT seq, entry_id, kind, report_id, source, round_id, category, changes_pass, reason, actor,
           strftime(acted_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%f+00:00'), text_digest, previous, digest
    FROM adversarial_event ORDER BY seq"""
_INSERT_ENTRY = """
    INSERT INTO adversarial_entry VALUES (
        $seq, $entry_id, $report_id, $pair_id, $prompt_id, $task, $failed, $model, $category,
        $source, $round_id, $actor, $acted_at, $text_digest, $previous, $digest)"""
_INSERT_EVENT = """
    INSERT INTO adversarial_event VALUES (
        $seq, $entry_id, $kind, $report_id, $source, $round_id, $category, $changes_pass, $reason,
        $actor, $acted_at, $text_digest, $previous, $digest)"""


@dataclass(frozen=True)
class EntryRow:
    """The public part of an entry: the first report of a failure."""

    seq: int
    entry_id: str
    pair_id: str
    prompt_id: str
    task: str | None
    failed: Side
    model: str | None
    category: str
    source: Source
    round_id: str | None
    actor: str
    acted_at: datetime
    digest: str


@dataclass(frozen=True)
class FoundPair:
    """A pair that a search found: by what, and how many entries of the set it has already."""

    pair_id: str
    task: str | None
    messages: list[dict[str, Any]]
    metadata: dict[str, Any]
    matched: Matched
    flagged: int


def _rows(
    cursor: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """Run a query; a dropped table is a broken chain, not a programming error."""
    try:
        return cursor.execute(query, values or {}).fetchall()
    except duckdb.CatalogException as error:
        raise ChainBroken(
            "The adversarial set's tables are damaged or gone from the database. Restore the database from a backup; "
            "the mirror file still holds what was flagged."
        ) from error


def chain_id(database: Database) -> str:
    """The id that binds the chain and the mirror to this database."""
    rows = _rows(database.cursor(), "SELECT value FROM meta WHERE key = 'database_id'")
    if not rows:
        raise ChainBroken("The database has lost its id. Restore it from a backup.")
    return str(rows[0][0])


def head(cursor: duckdb.DuckDBPyConnection, chain: str) -> tuple[int, str]:
    """The last link's `seq` and digest; 0 and the genesis digest when the set is empty."""
    rows = _rows(
        cursor,
        """
        SELECT seq, digest FROM (
            SELECT seq, digest FROM adversarial_entry UNION ALL SELECT seq, digest FROM adversarial_event
        ) ORDER BY seq DESC LIMIT 1""",
    )
    return (int(rows[0][0]), str(rows[0][1])) if rows else (0, genesis(chain))


def append(cursor: duckdb.DuckDBPyConnection, chain: str, record: Mapping[str, Any], text: SaltedText | None) -> Link:
    """Add one link at the chain's end, inside the caller's transaction.

    Args:
        cursor: of an open `Database.transaction()`, which makes sure that nobody else appends meanwhile.
        chain: the database's id.
        record: `kind`, `entry_id`, `actor`, `acted_at` and the kind's other columns, without `seq` and digests.
        text: the erasable text.
    """
    last, previous = head(cursor, chain)
    is_entry = record["kind"] == "entry"
    empty = dict.fromkeys(_ENTRY_RECORD if is_entry else _EVENT_RECORD)
    new = link(previous, {**empty, **record, "seq": last + 1, "acted_at": _iso(record["acted_at"])}, text)
    values = {**new.record, "previous": new.previous, "digest": new.digest}
    if is_entry:
        del values["kind"]
    _rows(cursor, _INSERT_ENTRY if is_entry else _INSERT_EVENT, values)
    if text is not None:
        _rows(
            cursor,
            "INSERT INTO adversarial_text VALUES ($seq, $entry_id, $salt, $content)",
            {"seq": new.seq, "entry_id": new.entry_id, "salt": text.salt, "content": text.content},
        )
    return new


def drop_texts(cursor: duckdb.DuckDBPyConnection, entry_id: str) -> None:
    """Delete an entry's texts and salts. The database refuses this unless an erasure of it was appended before."""
    _rows(cursor, "DELETE FROM adversarial_text WHERE entry_id = $entry_id", {"entry_id": entry_id})


def links(database: Database) -> Iterator[Link]:
    """The whole chain in order, exactly as stored.

    Raises:
        ChainBroken: a table is gone.
    """
    cursor = database.cursor()
    records = [
        dict(zip(columns, row, strict=True))
        for columns, query in ((_ENTRY_COLUMNS, _READ_ENTRIES), (_EVENT_COLUMNS, _READ_EVENTS))
        for row in _rows(cursor, query)
    ]
    records.sort(key=lambda record: record["seq"])
    # Records are small; texts can be long, so only some are in memory at a time.
    for start in range(0, len(records), _BATCH):
        batch = records[start : start + _BATCH]
        found = _texts(cursor, [record["seq"] for record in batch])
        for record in batch:
            previous, digest = record.pop("previous"), record.pop("digest")
            seq = record["seq"]
            yield Link(seq, record["entry_id"], record["kind"], record, found.get(seq), previous, digest)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _texts(cursor: duckdb.DuckDBPyConnection, seqs: list[int]) -> dict[int, SaltedText]:
    rows = _rows(
        cursor,
        "SELECT seq, salt, content FROM adversarial_text WHERE seq IN (SELECT unnest($seqs::INTEGER[]))",
        {"seqs": seqs},
    )
    return {int(seq): SaltedText(bytes(salt), str(content)) for seq, salt, content in rows}


def texts(database: Database, seqs: Iterable[int]) -> dict[int, dict[str, Any]]:
    """The texts of the rows `seqs`, by row; an erased one is absent.

    Raises:
        ChainBroken: a text was altered so that it cannot be read.
    """
    found = _texts(database.cursor(), list(seqs))
    try:
        return {seq: json.loads(text.content) for seq, text in found.items()}
    except ValueError as error:
        raise ChainBroken(
            "A text of the adversarial set was altered. Verify the set to see which entry it is."
        ) from error


def unowned_texts(database: Database) -> list[int]:
    """Rows of texts that belong to no link: somebody put them there."""
    rows = _rows(
        database.cursor(),
        """
        SELECT seq FROM adversarial_text ANTI JOIN (
            SELECT seq FROM adversarial_entry UNION ALL SELECT seq FROM adversarial_event
        ) USING (seq) ORDER BY seq""",
    )
    return [int(row[0]) for row in rows]


def erased_ids(database: Database) -> set[str]:
    """Entries with an erasure."""
    rows = _rows(database.cursor(), "SELECT entry_id FROM adversarial_event WHERE kind = 'erasure'")
    return {str(row[0]) for row in rows}


def entry_rows(cursor: duckdb.DuckDBPyConnection, entry_id: str | None = None) -> list[EntryRow]:
    """Entries in order, or the one that is named."""
    rows = _rows(
        cursor,
        """
        SELECT seq, entry_id, pair_id, prompt_id, task, failed, model, category, source, round_id, actor, acted_at,
               digest
        FROM adversarial_entry WHERE $entry_id IS NULL OR entry_id = $entry_id ORDER BY seq""",
        {"entry_id": entry_id},
    )
    return [EntryRow(*row) for row in rows]


def event_rows(cursor: duckdb.DuckDBPyConnection, entry_id: str | None = None) -> list[Event]:
    """Events in order, or those of one entry."""
    rows = _rows(
        cursor,
        """
        SELECT seq, entry_id, kind, actor, acted_at, source, round_id, category, coalesce(changes_pass, false), reason
        FROM adversarial_event WHERE $entry_id IS NULL OR entry_id = $entry_id ORDER BY seq""",
        {"entry_id": entry_id},
    )
    return [Event(*row) for row in rows]


def count_entries(cursor: duckdb.DuckDBPyConnection) -> int:
    """How many entries there are, erased ones included: it never falls."""
    return int(_rows(cursor, "SELECT count(*) FROM adversarial_entry")[0][0])


def entry_of_failure(cursor: duckdb.DuckDBPyConnection, pair_id: str, failed: Side, category: str) -> str | None:
    """Id of the entry that this pair, side and category have, if any."""
    rows = _rows(
        cursor,
        """
        SELECT entry_id FROM adversarial_entry
        WHERE pair_id = $pair_id AND failed = $failed AND category = $category""",
        {"pair_id": pair_id, "failed": failed, "category": category},
    )
    return str(rows[0][0]) if rows else None


def entries_of_pair(cursor: duckdb.DuckDBPyConnection, pair_id: str) -> list[tuple[str, Side, str]]:
    """Entry id, failing side and first category of each entry that a pair or trace has."""
    rows = _rows(
        cursor,
        "SELECT entry_id, failed, category FROM adversarial_entry WHERE pair_id = $pair_id ORDER BY seq",
        {"pair_id": pair_id},
    )
    return [(str(entry_id), failed, str(category)) for entry_id, failed, category in rows]


def entries_of_pairs(cursor: duckdb.DuckDBPyConnection, pair_ids: Sequence[str], failed: Side) -> dict[str, str]:
    """The first entry that each of these pairs or traces has of a failing side; those without one are left out."""
    rows = _rows(
        cursor,
        """
        SELECT pair_id, arg_min(entry_id, seq) FROM adversarial_entry
        WHERE failed = $failed AND pair_id IN (SELECT unnest($pairs::VARCHAR[])) GROUP BY pair_id
        """,
        {"failed": failed, "pairs": list(pair_ids)},
    )
    return {str(pair_id): str(entry_id) for pair_id, entry_id in rows}


def noted_categories(cursor: duckdb.DuckDBPyConnection, pair_id: str) -> list[tuple[Side, str]]:
    """What people's labels say went wrong in a pair, the most frequent first: side and category."""
    rows = _rows(
        cursor,
        """
        SELECT side, category FROM (
            SELECT 'old' AS side, unnest(categories_old) AS category FROM label WHERE pair_id = $pair_id
            UNION ALL SELECT 'new', unnest(categories_new) FROM label WHERE pair_id = $pair_id
        ) GROUP BY side, category ORDER BY count(*) DESC, side, category""",
        {"pair_id": pair_id},
    )
    return [(side, str(category)) for side, category in rows]


def entry_of_report(cursor: duckdb.DuckDBPyConnection, report_id: str) -> tuple[str, str] | None:
    """Entry id and reporter of a report that is stored already."""
    rows = _rows(
        cursor,
        """
        SELECT entry_id, actor FROM (
            SELECT entry_id, actor, report_id FROM adversarial_entry
            UNION ALL SELECT entry_id, actor, report_id FROM adversarial_event
        ) WHERE report_id = $report_id""",
        {"report_id": report_id},
    )
    return (str(rows[0][0]), str(rows[0][1])) if rows else None


def snapshot(cursor: duckdb.DuckDBPyConnection, pair_id: str, failed: Side) -> dict[str, Any] | None:
    """What an entry keeps of a pair, or of a trace with a logged answer: public keys, conversation, failing output.

    What a trace's own stack answered counts as old's. None where there is neither.
    """
    rows = _rows(
        cursor,
        """
        SELECT prompt_id, task, messages, tools, reference, CASE $failed WHEN 'old' THEN old ELSE new END, metadata
        FROM pair WHERE pair_id = $pair_id
        UNION ALL
        SELECT prompt_id, task, messages, tools, reference, response, metadata FROM trace
        WHERE trace_id = $pair_id AND $failed = 'old' AND response IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM pair WHERE pair_id = $pair_id)""",
        {"pair_id": pair_id, "failed": failed},
    )
    if not rows:
        return None
    prompt_id, task, messages, tools, reference, output, metadata = rows[0]
    return {
        "prompt_id": prompt_id,
        "task": task,
        "messages": json.loads(messages),
        "tools": json.loads(tools) if tools else None,
        "reference": reference,
        "output": json.loads(output),
        "metadata": json.loads(metadata) if metadata else None,
    }


def entries_with(database: Database, text: str) -> set[str]:
    """Entries whose text, in any row, has `text` in it, upper and lower case alike."""
    rows = _rows(
        database.cursor(),
        "SELECT DISTINCT entry_id FROM adversarial_text WHERE contains(lower(content), lower($text))",
        {"text": _as_json(text)},
    )
    return {str(row[0]) for row in rows}


def search_pairs(database: Database, text: str, limit: int, *, exactly: bool = False) -> list[FoundPair]:
    """Pairs for `text`: first its id, then a value in the metadata, then all of its words in conversation or answers.

    Upper and lower case are alike. A pair comes once, with the strongest way in which it matched. `exactly`: only a
    whole value of the metadata counts.
    """
    cursor = database.cursor()
    words = text.lower().split()
    if not words:
        return []
    found: dict[str, Matched] = {}
    # The longest word is looked for as JSON writes it, because that needs no parsing; what remains is then parsed.
    values: dict[str, Any] = {"text": " ".join(words), "words": words, "limit": limit}
    values["longest"] = _as_json(max(words, key=len))
    for matched, exact, query in _SEARCHES[2:3] if exactly else _SEARCHES:
        used = {name: value for name, value in values.items() if f"${name}" in query}
        hits = _rows(cursor, query, used)
        for row in hits:
            found.setdefault(str(row[0]), matched)
        if len(found) >= limit or (exact and hits):
            break
    rows = _rows(
        cursor,
        """
        SELECT pair_id, task, messages, metadata,
               (SELECT count(*) FROM adversarial_entry flagged WHERE flagged.pair_id = pair.pair_id)
        FROM pair WHERE pair_id IN (SELECT unnest($ids::VARCHAR[]))""",
        {"ids": list(found)[:limit]},
    )
    pairs = {
        str(row[0]): FoundPair(row[0], row[1], json.loads(row[2]), json.loads(row[3] or "{}"), found[row[0]], row[4])
        for row in rows
    }
    return [pairs[pair_id] for pair_id in found if pair_id in pairs]


# How a pair matches, whether such a match is all that can have been meant, and the query.
_SEARCHES: tuple[tuple[Matched, bool, str], ...] = (
    ("id", True, "SELECT pair_id FROM pair WHERE lower(pair_id) = $text LIMIT $limit"),
    ("id", False, "SELECT pair_id FROM pair WHERE starts_with(lower(pair_id), $text) ORDER BY pair_id LIMIT $limit"),
    (
        "metadata",
        True,
        """
        SELECT pair_id FROM pair
        WHERE contains(lower(metadata::VARCHAR), $longest)
          AND list_contains(list_transform(metadata->>'$.*', lambda value: lower(value)), $text)
        ORDER BY pair_id LIMIT $limit""",
    ),
    (
        "metadata",
        False,
        """
        SELECT pair_id FROM pair
        WHERE contains(lower(metadata::VARCHAR), $longest)
          AND contains(lower(array_to_string(metadata->>'$.*', ' ')), $text)
        ORDER BY pair_id LIMIT $limit""",
    ),
    (
        "text",
        False,
        """
        SELECT pair_id FROM (
            SELECT pair_id, lower(concat_ws(' ', array_to_string(messages->>'$[*].content', ' '),
                array_to_string(messages->>'$[*].tool_calls', ' '), old->>'$.content', old->>'$.tool_calls',
                new->>'$.content', new->>'$.tool_calls', reference)) AS body
            FROM pair
            WHERE contains(lower(messages::VARCHAR), $longest) OR contains(lower(old::VARCHAR), $longest)
               OR contains(lower(new::VARCHAR), $longest) OR contains(lower(reference), $longest)
        ) WHERE len(list_filter($words::VARCHAR[], lambda word: NOT contains(body, word))) = 0
        LIMIT $limit""",
    ),
)


def _as_json(text: str) -> str:
    """`text` as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]
