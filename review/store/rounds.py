"""Rows of rounds: the frame, slots, leases, cards and answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import duckdb
from duckdb import DuckDBPyConnection as Cursor

from review.domain.card import Card
from review.domain.frame import Frame, FrameGroup, frame_hash
from review.domain.serving import Answered, Issued, Lease, RoundState, Slot
from review.domain.types import Label, Pair
from review.errors import Conflict, NotFound
from review.store.database import Database

T = TypeVar("T")

_ATTEMPTS = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class RoundRow:
    """One draw as stored. `seed` is closed to people who have open slots in the round."""

    round_id: str
    number: int
    name: str | None
    seed: int
    size: int
    overlap: int
    overlap_share: float | None
    repeat: float
    by: str
    audit: float
    source: str | None
    imported_from: datetime | None
    imported_to: datetime | None
    frame_hash: str
    identical: int
    judged_tie: int
    disagreement: int
    notes: tuple[str, ...]
    drawn_by: str
    drawn_at: datetime
    cluster: str | None = None
    alert: str | None = None


@dataclass(frozen=True)
class StratumRow:
    """One stratum of a round's frame; π = drawn / frame. `tasks` are ids of clusters where the round is by cluster."""

    stratum: str
    kind: str
    tasks: tuple[str | None, ...]
    frame: int
    drawn: int


@dataclass(frozen=True)
class SlotRow:
    """One drawn pair."""

    pair_id: str
    position: int
    stratum: str
    pi: float
    places: int


# A mark of each round's last write in this process, and what was read since: pages ask for one state many times.
_last_write: WeakKeyDictionary[Database, dict[str, object]] = WeakKeyDictionary()
_snapshots: WeakKeyDictionary[Database, dict[str, tuple[object, RoundState]]] = WeakKeyDictionary()


def write(database: Database, work: Callable[[Cursor], T], *, changes: Collection[str] = ()) -> T:
    """Run `work` in a transaction; when a key was taken in between, look again and decide anew.

    Args:
        database: where.
        work: reads, decides and writes through the cursor it is given; runs again from the start after a conflict.
        changes: the rounds whose state `work` changes; looked at after `work`, so that it may fill a set.

    Raises:
        Conflict: others were quicker every time.
    """
    for _ in range(_ATTEMPTS):
        try:
            with database.transaction() as cursor:
                result = work(cursor)
            marks = _last_write.setdefault(database, {})
            for round_id in changes:
                marks[round_id] = object()
            return result
        except (duckdb.ConstraintException, duckdb.TransactionException):
            continue
    raise Conflict("The database is busy with other writers; nothing was stored. Try again.")


def read_frame(
    database: Database,
    source: str | None,
    imported_from: datetime | None,
    imported_to: datetime | None,
    cluster: str | None = None,
    alert: str | None = None,
) -> Frame:
    """Every pair of the chosen source, time, cluster and alert.

    The rules are domain.frame.kind_of and domain.frame.frame_hash. The cluster is that of the trace a pair came from.
    """
    cursor = database.cursor()
    rows = cursor.execute(
        """
        WITH judged AS (
            SELECT pair_id, bool_and(winner IS NOT DISTINCT FROM 'tie') AS all_tie FROM verdict GROUP BY pair_id
        ), frame AS MATERIALIZED (
            SELECT p.pair_id, p.task, a.cluster_id AS cluster,
                   CASE WHEN p.identical THEN 'identical'
                        WHEN NOT coalesce(s.differs, p.structured_differs) AND coalesce(j.all_tie, s.settled, false)
                        THEN 'judged_tie'
                        ELSE 'disagreement' END AS kind
            FROM pair p LEFT JOIN judged j USING (pair_id) LEFT JOIN structured s USING (pair_id)
                 LEFT JOIN pair_origin o USING (pair_id) LEFT JOIN assignment a USING (trace_id)
            WHERE ($cluster IS NULL OR a.cluster_id = $cluster)
              AND ($alert IS NULL OR p.pair_id IN (SELECT pair_id FROM alert_pair WHERE alert_id = $alert))
              AND (p.source = $source OR $source IS NULL AND of_traffic(p.source))
              AND ($from IS NULL OR p.imported_at >= $from)
              AND ($to IS NULL OR p.imported_at < $to)
        ), lines AS (
            SELECT pair_id || chr(31) || coalesce(task, '') || chr(31) || kind
                   || coalesce(chr(31) || cluster, '') AS line
            FROM frame
        )
        SELECT kind, task, list(pair_id ORDER BY pair_id), cluster,
               (SELECT sha256(string_agg(line, chr(10) ORDER BY line)) FROM lines)
        FROM frame GROUP BY kind, task, cluster
        """,
        {"source": source, "from": imported_from, "to": imported_to, "cluster": cluster, "alert": alert},
    ).fetchall()
    names = dict(cursor.execute("SELECT cluster_id, name FROM cluster").fetchall())
    return Frame([FrameGroup(*row[:4]) for row in rows], rows[0][4] if rows else frame_hash(()), names)


def sources(database: Database) -> list[str]:
    """The sources that pairs came from, alphabetical."""
    return [row[0] for row in database.cursor().execute("SELECT DISTINCT source FROM pair ORDER BY 1").fetchall()]


def clusters(database: Database) -> dict[str, str]:
    """The clusters that pairs can be drawn from, by id, with their names; `noise` where a trace is near none."""
    rows = database.cursor().execute(
        """
        SELECT DISTINCT a.cluster_id, coalesce(c.name, a.cluster_id) AS name
        FROM pair_origin o JOIN assignment a USING (trace_id) LEFT JOIN cluster c USING (cluster_id) ORDER BY name
        """
    )
    return dict(rows.fetchall())


def synthetic_pairs(cursor: Cursor, pair_ids: Sequence[str] | None = None) -> int:
    """How many pairs (of the named ones) came from synthetic traces."""
    row = cursor.execute(
        """
        SELECT count(*) FROM pair_origin o JOIN trace t USING (trace_id)
        WHERE t.synthetic AND ($ids IS NULL OR o.pair_id IN (SELECT unnest($ids::VARCHAR[])))
        """,
        {"ids": None if pair_ids is None else list(pair_ids)},
    ).fetchone()
    assert row is not None
    return int(row[0])


def read_pairs(cursor: Cursor, pair_ids: Sequence[str]) -> dict[str, Pair]:
    """The named pairs as typed values; unknown ids are absent."""
    rows = cursor.execute(
        """
        SELECT pair_id, json_object('pair_id', pair_id, 'prompt_id', prompt_id, 'task', task, 'messages', messages,
               'tools', tools, 'reference', reference, 'old', old, 'new', new, 'metadata', metadata)
        FROM pair WHERE pair_id IN (SELECT unnest($ids::VARCHAR[]))
        """,
        {"ids": list(pair_ids)},
    )
    return {pair_id: Pair.model_validate_json(document) for pair_id, document in rows.fetchall()}


def next_number(cursor: Cursor) -> int:
    """The number of the next round, from 1."""
    row = cursor.execute("SELECT coalesce(max(number), 0) + 1 FROM round").fetchone()
    assert row is not None
    return int(row[0])


def insert_round(cursor: Cursor, row: RoundRow, strata: Sequence[StratumRow], slots: Sequence[SlotRow]) -> None:
    """Store a draw with its strata and slots."""
    values = {
        **asdict(row),
        "repeat_share": row.repeat,
        "stratified_by": row.by,
        "notes": list(row.notes),
    }
    del values["repeat"], values["by"]
    names = ", ".join(values)
    marks = ", ".join("$" + name for name in values)
    cursor.execute(f"INSERT INTO round ({names}) VALUES ({marks})", values)  # noqa: S608  field names of ours
    cursor.executemany(
        "INSERT INTO stratum VALUES (?, ?, ?, ?, ?, ?)",
        [[row.round_id, s.stratum, s.kind, list(s.tasks), s.frame, s.drawn] for s in strata],
    )
    # One statement for all slots: a round above its frame may be as large as the frame.
    cursor.execute(
        """
        INSERT INTO slot
        SELECT $round, unnest($pairs::VARCHAR[]), unnest($positions::INTEGER[]), unnest($strata::VARCHAR[]),
               unnest($pis::DOUBLE[]), unnest($places::INTEGER[])
        """,
        {
            "round": row.round_id,
            "pairs": [slot.pair_id for slot in slots],
            "positions": [slot.position for slot in slots],
            "strata": [slot.stratum for slot in slots],
            "pis": [slot.pi for slot in slots],
            "places": [slot.places for slot in slots],
        },
    )


_ROUND = """
    SELECT round_id, number, name, seed, size, overlap, overlap_share, repeat_share, stratified_by, audit, source,
           imported_from, imported_to, frame_hash, identical, judged_tie, disagreement, notes, drawn_by, drawn_at,
           cluster, alert
    FROM round
"""


def _round(row: tuple[Any, ...]) -> RoundRow:
    values: dict[str, Any] = dict(zip((each.name for each in fields(RoundRow)), row, strict=True))
    values["notes"] = tuple(values["notes"])
    return RoundRow(**values)


def read_round(cursor: Cursor, round_id: str) -> RoundRow:
    """One round.

    Raises:
        NotFound: there is no such round.
    """
    row = cursor.execute(_ROUND + "WHERE round_id = ?", [round_id]).fetchone()
    if row is None:
        raise NotFound(f"There is no round {round_id[:60]!r}. `review rounds` lists them.")
    return _round(row)


def read_rounds(cursor: Cursor) -> list[RoundRow]:
    """All rounds, newest first."""
    return [_round(row) for row in cursor.execute(_ROUND + "ORDER BY number DESC").fetchall()]


def read_strata(cursor: Cursor, round_ids: Sequence[str]) -> dict[str, list[StratumRow]]:
    """The strata of the named rounds, largest frame first."""
    rows = cursor.execute(
        """
        SELECT round_id, stratum, kind, tasks, frame, drawn FROM stratum
        WHERE round_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY kind, frame DESC, stratum
        """,
        {"ids": list(round_ids)},
    )
    found: dict[str, list[StratumRow]] = {round_id: [] for round_id in round_ids}
    for round_id, stratum, kind, tasks, frame, drawn in rows.fetchall():
        found[round_id].append(StratumRow(stratum, kind, tuple(tasks), frame, drawn))
    return found


def read_slots(cursor: Cursor, round_id: str) -> list[SlotRow]:
    """The slots of a round in drawn order."""
    rows = cursor.execute(
        "SELECT pair_id, position, stratum, pi, places FROM slot WHERE round_id = ? ORDER BY position", [round_id]
    )
    return [SlotRow(*row) for row in rows.fetchall()]


def read_state(cursor: Cursor, round_id: str) -> RoundState:
    """Everything that decides who may label what in one round."""

    def rows(query: str) -> list[tuple[Any, ...]]:
        return cursor.execute(query, [round_id]).fetchall()

    # Small queries without joins, sorted here: a join of two small tables takes DuckDB longer than all of these.
    slots = sorted(rows("SELECT position, pair_id, places FROM slot WHERE round_id = ?"))
    leases = rows("SELECT generation, pair_id, place, reviewer, epoch_us(leased_at) FROM lease WHERE round_id = ?")
    given_back = set(rows("SELECT pair_id, place, generation FROM lease_end WHERE round_id = ?"))
    completed = rows("SELECT pair_id, place, reviewer FROM completion WHERE round_id = ?")
    answers = rows(
        "SELECT pair_id, reviewer, occurrence, outcome, label_id, epoch_us(answered_at) FROM answer WHERE round_id = ?"
    )
    cards = rows("SELECT card_id, pair_id, reviewer, occurrence, shown_first, issued FROM card WHERE round_id = ?")
    shown = rows("SELECT reviewer, pair_id, epoch_us(max(shown_at)) FROM showing WHERE round_id = ? GROUP BY ALL")
    ended = cursor.execute("SELECT 1 FROM round_end WHERE round_id = ?", [round_id]).fetchone() is not None
    return RoundState(
        slots=[Slot(pair_id, places) for _, pair_id, places in slots],
        # In order of generation, so the latest lease of a place stays.
        leases={
            (pair_id, place): Lease(
                pair_id, place, generation, who, _moment(since), (pair_id, place, generation) in given_back
            )
            for generation, pair_id, place, who, since in sorted(leases)
        },
        completed={(pair_id, place): reviewer for pair_id, place, reviewer in completed},
        answers={
            (pair, who, n): Answered(pair, who, n, outcome, label_id, _moment(at))
            for pair, who, n, outcome, label_id, at in sorted(answers, key=lambda row: row[5])
        },
        cards={(row[1], row[2], row[3]): Issued(*row) for row in sorted(cards, key=lambda row: row[5])},
        shown={(reviewer, pair_id): _moment(at) for reviewer, pair_id, at in shown},
        ended=ended,
    )


def _moment(microseconds: int) -> datetime:
    """A moment from DuckDB as a number: its own conversion looks up the time zone anew for each value."""
    return _EPOCH + timedelta(microseconds=microseconds)


def snapshot(database: Database, round_id: str) -> RoundState:
    """The state of a round for reading only, from memory where nothing was written since."""
    mark = _last_write.get(database, {}).get(
        round_id
    )  # before reading: a write in between makes the next reader look again
    kept = _snapshots.setdefault(database, {})
    known = kept.get(round_id)
    if known is None or known[0] is not mark:
        known = kept[round_id] = (mark, read_state(database.cursor(), round_id))
    return known[1]


def insert_card(cursor: Cursor, round_id: str, card: Issued, now: datetime) -> None:
    """Remember a card that was issued."""
    cursor.execute(
        "INSERT INTO card VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [card.card_id, round_id, card.pair_id, card.reviewer, card.occurrence, card.shown_first, card.issued, now],
    )


def read_card(cursor: Cursor, card_id: str) -> tuple[str, Issued] | None:
    """The round and the card behind an id that came back from a browser."""
    row = cursor.execute(
        "SELECT round_id, card_id, pair_id, reviewer, occurrence, shown_first, issued FROM card WHERE card_id = ?",
        [card_id],
    ).fetchone()
    return None if row is None else (row[0], Issued(*row[1:]))


def insert_lease(cursor: Cursor, round_id: str, lease: Lease) -> None:
    """Claim a place; the key refuses a second holder of one generation."""
    cursor.execute(
        "INSERT INTO lease VALUES (?, ?, ?, ?, ?, ?)",
        [round_id, lease.pair_id, lease.place, lease.generation, lease.reviewer, lease.leased_at],
    )


def insert_lease_end(cursor: Cursor, round_id: str, lease: Lease, now: datetime) -> None:
    """Give a place back before its time."""
    cursor.execute(
        "INSERT INTO lease_end VALUES (?, ?, ?, ?, ?)", [round_id, lease.pair_id, lease.place, lease.generation, now]
    )


def last_shown(cursor: Cursor, round_id: str, pair_id: str, reviewer: str) -> datetime | None:
    """When the pair was last in the reviewer's sight."""
    row = cursor.execute(
        "SELECT epoch_us(max(shown_at)) FROM showing WHERE round_id = ? AND pair_id = ? AND reviewer = ?",
        [round_id, pair_id, reviewer],
    ).fetchone()
    return _moment(row[0]) if row is not None and row[0] is not None else None


def insert_showing(cursor: Cursor, round_id: str, pair_id: str, reviewer: str, now: datetime) -> None:
    """Note that a reviewer has a card in sight."""
    cursor.execute("INSERT INTO showing VALUES (?, ?, ?, ?)", [round_id, pair_id, reviewer, now])


def insert_completion(cursor: Cursor, round_id: str, pair_id: str, place: int, reviewer: str) -> None:
    """Fill a place; the keys refuse a second label for it and a second place for the reviewer."""
    cursor.execute("INSERT INTO completion VALUES (?, ?, ?, ?)", [round_id, pair_id, place, reviewer])


def delete_completion(cursor: Cursor, round_id: str, pair_id: str, reviewer: str) -> None:
    """Empty a place whose label its author turned into a skip."""
    cursor.execute(
        "DELETE FROM completion WHERE round_id = ? AND pair_id = ? AND reviewer = ?", [round_id, pair_id, reviewer]
    )


def put_answer(cursor: Cursor, round_id: str, answer: Answered, *, first: bool) -> None:
    """Store where a reviewer stands with a card; later answers keep the time of the first."""
    key = [round_id, answer.pair_id, answer.reviewer, answer.occurrence]
    if first:
        cursor.execute(
            "INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)",
            [*key, answer.outcome, answer.label_id, answer.answered_at],
        )
    else:
        cursor.execute(
            """
            UPDATE answer SET outcome = ?, label_id = ?
            WHERE round_id = ? AND pair_id = ? AND reviewer = ? AND occurrence = ?
            """,
            [answer.outcome, answer.label_id, *key],
        )


def insert_label(cursor: Cursor, label: Label, now: datetime) -> None:
    """Append one row to the facts."""
    values = {**label.model_dump(), "labelled_at": label.labelled_at or now, "received_at": now, "source": "app"}
    names = ", ".join(values)
    marks = ", ".join("$" + name for name in values)
    cursor.execute(f"INSERT INTO label ({names}) VALUES ({marks})", values)  # noqa: S608  field names of ours


def label_owner(cursor: Cursor, label_id: str) -> tuple[str, bool] | None:
    """Who wrote a label and whether it is surplus; None when there is no such label."""
    row = cursor.execute("SELECT reviewer, surplus FROM label WHERE label_id = ?", [label_id]).fetchone()
    return None if row is None else (row[0], row[1])


_LABEL_FIELDS = tuple(Label.model_fields)
_LABEL_COLUMNS = ", ".join(_LABEL_FIELDS)


def _label(row: Sequence[object]) -> Label:
    return Label.model_validate(dict(zip(_LABEL_FIELDS, row, strict=True)))


def read_labels(cursor: Cursor, label_ids: Iterable[str]) -> dict[str, Label]:
    """The named labels."""
    rows = cursor.execute(
        f"SELECT {_LABEL_COLUMNS} FROM label WHERE label_id IN (SELECT unnest($ids::VARCHAR[]))",  # noqa: S608  field names of ours
        {"ids": list(label_ids)},
    )
    labels = [_label(row) for row in rows.fetchall()]
    return {label.label_id or "": label for label in labels}


def insert_round_end(cursor: Cursor, round_id: str, ended_by: str, now: datetime) -> None:
    """End a round."""
    cursor.execute("INSERT INTO round_end VALUES (?, ?, ?)", [round_id, ended_by, now])


def rounds_of(cursor: Cursor, reviewer: str) -> list[str]:
    """The rounds in which a reviewer was ever given a card."""
    rows = cursor.execute("SELECT DISTINCT round_id FROM card WHERE reviewer = ? ORDER BY 1", [reviewer])
    return [row[0] for row in rows.fetchall()]


def median_seconds(cursor: Cursor, round_ids: Sequence[str]) -> dict[str, float]:
    """Median seconds that a label of each round took; rounds without any are absent."""
    rows = cursor.execute(
        """
        SELECT round_id, median(seconds) FROM label
        WHERE kind = 'label' AND seconds IS NOT NULL AND round_id IN (SELECT unnest($ids::VARCHAR[])) GROUP BY round_id
        """,
        {"ids": list(round_ids)},
    )
    return dict(rows.fetchall())


def round_labels(cursor: Cursor, round_id: str) -> list[Label]:
    """What reviewers say now about the first showings in a round: answers that count, surplus among them, no skips."""
    rows = cursor.execute(
        f"""
        SELECT {", ".join("l." + field for field in _LABEL_FIELDS)}
        FROM answer a JOIN label l USING (label_id)
        WHERE a.round_id = ? AND a.occurrence = 0 AND a.outcome IN ('placed', 'surplus')
        ORDER BY l.label_id
        """,  # noqa: S608  field names of ours
        [round_id],
    )
    return [_label(row) for row in rows.fetchall()]


def adjudicated(cursor: Cursor, round_id: str) -> dict[str, str]:
    """The label id of the adjudication of each adjudicated pair of a round."""
    rows = cursor.execute("SELECT pair_id, label_id FROM adjudication WHERE round_id = ?", [round_id])
    return dict(rows.fetchall())


def insert_adjudication(cursor: Cursor, round_id: str, pair_id: str, label_id: str) -> None:
    """Mark a pair as decided; the key refuses a second decision."""
    cursor.execute("INSERT INTO adjudication VALUES (?, ?, ?)", [round_id, pair_id, label_id])


def to_card(round_id: str, issued: Issued, pair: Pair) -> Card:
    """A card as services hand it out."""
    return Card(issued.card_id, round_id, issued.pair_id, issued.occurrence, issued.shown_first, pair)
