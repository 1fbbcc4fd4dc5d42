"""The digests of content that stand in the database, and their renaming when the content is erased."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager

from review.store import pii
from review.store.staging import Cursor

# How a keyed digest begins; golden items and sets keep their form, 64 hexadecimal digits.
KEYED = "keyed-"
_AT_ONCE = 40
# What people and models wrote: no digest of ours stands there, and it is long.
_WORDS = frozenset({"messages", "tools", "response", "reference", "output", "old", "new", "text", "comment"})


def sets_with(cursor: Cursor, item_hashes: Collection[str]) -> dict[str, list[str]]:
    """The frozen sets that hold one of these items: all their item hashes by version."""
    found: dict[str, list[str]] = defaultdict(list)
    for version, item_hash in cursor.execute(
        """
        SELECT version, item_hash FROM golden_version_item WHERE version IN (
            SELECT version FROM golden_version_item WHERE item_hash IN (SELECT unnest($hashes::VARCHAR[])))
        ORDER BY version, item_hash""",
        {"hashes": list(item_hashes)},
    ).fetchall():
        found[str(version)].append(str(item_hash))
    return dict(found)


def runs_of_sets(cursor: Cursor, versions: Collection[str]) -> set[str]:
    """The runs with a part of one of these frozen sets."""
    rows = cursor.execute(
        "SELECT DISTINCT run_id FROM run_part WHERE data_hash IN (SELECT unnest($versions::VARCHAR[]))",
        {"versions": list(versions)},
    ).fetchall()
    return {str(run) for (run,) in rows}


def content_digests(cursor: Cursor) -> list[tuple[str, str]]:
    """(run_id, digest) of the parts whose digests cover texts, those that are not keyed yet."""
    rows = cursor.execute(
        """
        SELECT run_id, digest FROM (
            SELECT run_id, unnest([data_hash, detail ->> '$.prompts']) AS digest FROM run_part
            WHERE evidence IN ('benchmark', 'adversarial'))
        WHERE regexp_full_match(digest, '[0-9a-f]{64}')""",
    ).fetchall()
    return [(str(run), str(digest)) for run, digest in rows]


def gate_digests(cursor: Cursor, runs: Collection[str]) -> list[str]:
    """What the verdicts of these runs rest on."""
    rows = cursor.execute(
        "SELECT DISTINCT evidence FROM gate WHERE run_id IN (SELECT unnest($runs::VARCHAR[]))", {"runs": list(runs)}
    ).fetchall()
    return [str(evidence) for (evidence,) in rows]


def rename(cursor: Cursor, names: Mapping[str, str]) -> None:
    """Write the second instead of the first wherever it stands in a text, in this order."""
    for table, columns in pii.text_columns(cursor).items() if names else ():
        for column in (each for each in columns if each.name not in _WORDS):
            _rename(cursor, table, column, names)


def _rename(cursor: Cursor, table: str, column: pii.Column, names: Mapping[str, str]) -> None:
    """One column, many names at once."""
    place = pii.quoted(column.name)
    listed = list(names.items())
    for start in range(0, len(listed), _AT_ONCE):
        some = listed[start : start + _AT_ONCE]
        words = {"before": [each for each, _ in some]}
        held = f"list_any_value([true for each in $before::VARCHAR[] if contains({place}::VARCHAR, each)])"
        look = f"SELECT 1 FROM {pii.quoted(table)} WHERE {held} LIMIT 1"  # noqa: S608 (quoted names of the catalogue)
        if cursor.execute(look, words).fetchone() is None:
            continue
        said = "each" if column.kind == "VARCHAR[]" else f"{place}::VARCHAR"
        pairs = {f"{end}{at}": each for at, pair in enumerate(some) for end, each in zip("ab", pair, strict=True)}
        for at in range(len(some)):
            said = f"replace({said}, $a{at}, $b{at})"
        value = f"[{said} for each in {place}]" if column.kind == "VARCHAR[]" else f"{said}::{column.kind}"
        write = f"UPDATE {pii.quoted(table)} SET {place} = {value} WHERE {held}"  # noqa: S608 (as above)
        with _lifted(cursor, table):
            cursor.execute(write, {**words, **pairs})


def file_digests(cursor: Cursor) -> list[str]:
    """Of all files that were watched, those that are not keyed yet."""
    rows = cursor.execute(
        "SELECT DISTINCT content_hash FROM watch_file WHERE NOT starts_with(content_hash, $keyed)", {"keyed": KEYED}
    )
    return [str(digest) for (digest,) in rows.fetchall()]


def rename_files(cursor: Cursor, names: Mapping[str, str]) -> None:
    """Give watched files other digests."""
    for before, after in names.items():
        cursor.execute("UPDATE watch_file SET content_hash = ? WHERE content_hash = ?", [after, before])


def call_keys(cursor: Cursor, pairs: Collection[str]) -> list[str]:
    """The keys of the judge's calls about these pairs."""
    rows = cursor.execute(
        "SELECT call_key FROM judge_call WHERE pair_id IN (SELECT unnest($pairs::VARCHAR[]))", {"pairs": list(pairs)}
    ).fetchall()
    return [str(each) for (each,) in rows]


def rename_calls(cursor: Cursor, names: Mapping[str, str]) -> None:
    """Give calls of the judge other keys."""
    for before, after in names.items():
        cursor.execute("UPDATE judge_call SET call_key = ? WHERE call_key = ?", [after, before])


def drop_marks(cursor: Cursor, pairs: Collection[str]) -> None:
    """Take the marks between which a judge saw these pairs out of its replies: they are digests of what stood there."""
    held = "pair_id IN (SELECT unnest($pairs::VARCHAR[])) AND contains(concat(raw, rationale), 'material-')"
    look = f"SELECT 1 FROM verdict WHERE {held} LIMIT 1"  # noqa: S608 (a constant)
    if cursor.execute(look, {"pairs": list(pairs)}).fetchone() is None:
        return
    with _lifted(cursor, "verdict"):
        cursor.execute(
            f"""
            UPDATE verdict SET raw = regexp_replace(raw, 'material-[0-9a-f]{{16}}', 'material', 'g'),
                rationale = regexp_replace(rationale, 'material-[0-9a-f]{{16}}', 'material', 'g')
            WHERE {held}""",  # noqa: S608 (a constant)
            {"pairs": list(pairs)},
        )


@contextmanager
def _lifted(cursor: Cursor, table: str) -> Generator[None]:
    """Without the triggers that keep a table append-only, within the transaction."""
    triggers = pii.lift(cursor, table)
    yield
    for statement in triggers:
        cursor.execute(statement)
