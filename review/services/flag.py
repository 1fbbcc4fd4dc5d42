"""The permanent adversarial set: report, confirm, correct, erase, verify, and everything that reads it.

The same failure is the same pair, the same failing side and the same category as first reported: a second report joins
the first one's entry. A report is counted even when it repeats itself, but only a second person confirms.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, cast

from review.adapters import mirror
from review.adapters.cache import Cache
from review.adapters.mirror import MirrorState
from review.domain import chain, identity
from review.domain.blinding import shown_first
from review.domain.card import Place, side_at
from review.domain.chain import Link, Misfit, SaltedText
from review.domain.failure import PROVENANCE, SOURCES, Event, Report, Source, Standing, Status, person, standing
from review.domain.types import Message, Output, Side
from review.errors import BadInput, ChainBroken, Conflict, NotAllowed, NotFound
from review.services import digests, strip
from review.services.workspace import Actor, Workspace
from review.store import adversarial as store
from review.store import rounds as rounds_store
from review.store import traces as traces_store

MAX_TEXT = 20_000
MAX_TICKET = 2_000
MAX_QUERY = 500
# The latest traces of one ticket or customer that a search looks through.
_TRACES = 200

# What of an output would tell its side, or how it fared.
_UNSHOWN = dict.fromkeys(("model", "confidence", "correct", "outcomes", "latency_ms", "usage"))


@dataclass(frozen=True)
class Reported:
    """What became of a report.

    Attributes:
        new: it made a new entry; otherwise it joined one, or was there already.
        mirror: how the mirror file stands; show its message when it is not `ok`.
    """

    entry_id: str
    new: bool
    mirror: MirrorState


@dataclass(frozen=True)
class Entry:
    """One entry as it stands now.

    Attributes:
        standing: status, category, reports and who may confirm, from all of its rows.
        passes_when: what a pass is, in words; None when it was erased.
    """

    seq: int
    entry_id: str
    pair_id: str
    prompt_id: str
    task: str | None
    failed: Side
    model: str | None
    source: Source
    round_id: str | None
    reported_by: str
    reported_at: datetime
    digest: str
    standing: Standing
    passes_when: str | None

    @property
    def status(self) -> Status:
        return self.standing.status

    @property
    def category(self) -> str:
        return self.standing.category


@dataclass(frozen=True)
class Chapter:
    """One row of an entry's story.

    Attributes:
        text: {"expected", "comment", "ticket", "provenance": {"kind", "id"}} as far as given; None when erased.
    """

    event: Event
    text: dict[str, Any] | None


@dataclass(frozen=True)
class Story:
    """An entry with all that happened to it, oldest first.

    Attributes:
        snapshot: {"messages", "tools", "reference", "output", "metadata", "expected", "comment", "ticket"} as it was
            when first reported, and "provenance" as in Chapter; None when it was erased.
    """

    entry: Entry
    snapshot: dict[str, Any] | None
    chapters: tuple[Chapter, ...]


@dataclass(frozen=True)
class Verification:
    """Whether chain, mirror and count fit.

    Attributes:
        entries: how many, erased ones included. rows: entries and events.
        head: digest of the last row; note it elsewhere to prove later that nothing was cut off.
        first_bad: id of the first entry that does not fit; None also when the misfit names no entry.
        message: one line for people.
    """

    ok: bool
    entries: int
    rows: int
    head: str
    first_bad: str | None
    message: str
    mirror: MirrorState | None


@dataclass(frozen=True)
class GrowthPoint:
    """How many entries there were at the end of a day (UTC); `confirmed` and `erased` are among them, apart."""

    day: date
    entries: int
    confirmed: int
    erased: int


@dataclass(frozen=True)
class Found:
    """A pair that a search found, as a row to choose from.

    Attributes:
        asked: what the person wrote last, at most 200 characters.
        keys: ticket, conversation, customer and the like, from the metadata.
        matched: by "id", "metadata" or "text".
        flagged: entries that the pair has in the set already.
    """

    pair_id: str
    task: str | None
    asked: str
    keys: dict[str, str]
    matched: store.Matched
    flagged: int


@dataclass(frozen=True)
class Blind:
    """A pair without its sides: the answers as A and B, their order fixed for each person and pair.

    Attributes:
        answers: the output that stands left (A) and the one that stands right (B), without model names.
    """

    pair_id: str
    task: str | None
    messages: list[Message]
    reference: str | None
    answers: tuple[Output, Output]


@dataclass(frozen=True)
class Summary:
    """The set in numbers.

    Attributes:
        entries: all, erased ones included; it never falls.
        waiting: for a second person: reported entries, and confirmed ones with a correction.
        categories: entries by (category, source).
        growth: one point for each day on which something happened.
    """

    entries: int
    confirmed: int
    erased: int
    waiting: int
    categories: dict[tuple[str, Source], int]
    growth: tuple[GrowthPoint, ...]


def report(workspace: Workspace, failure: Report, actor: str, now: datetime) -> Reported:
    """Add a report to the set. Sending the same `report_id` again changes nothing.

    An erased entry takes further reports without their texts: what was erased does not come back.

    Raises:
        BadInput: a field is not legal. NotFound: no such pair. Conflict: the id is another person's report.
    """
    _check(workspace, failure, actor)
    chain_id = store.chain_id(workspace.database)
    words: dict[str, Any] = strip.strip_words(workspace, _words(failure.expected, failure.comment, failure.ticket))
    if failure.provenance is not None:
        # In the erasable text, because the record's fields are what older digests cover.
        words = {**words, "provenance": asdict(failure.provenance)}
    with workspace.database.transaction() as cursor:
        if (present := store.entry_of_report(cursor, failure.report_id)) is not None:
            entry_id, reporter = present
            if reporter != actor:
                raise Conflict(f"Report {failure.report_id!r} is another person's. Make a new report id.")
            return Reported(entry_id, False, mirror.MirrorState("current", "nothing to write"))
        common = {
            "report_id": failure.report_id,
            "source": failure.source,
            "round_id": failure.round_id,
            "actor": actor,
            "acted_at": now,
        }
        entry_id = store.entry_of_failure(cursor, failure.pair_id, failure.failed, failure.category)
        new = entry_id is None
        if entry_id is None:
            entry_id = f"A-{store.count_entries(cursor) + 1:05d}"
            found = store.snapshot(cursor, failure.pair_id, failure.failed)
            if found is None:
                raise NotFound(f"There is no pair {failure.pair_id!r}. Search for it on the Flag page.")
            keys = {
                "prompt_id": found.pop("prompt_id"),
                "task": found.pop("task"),
                "model": found["output"].get("model"),
            }
            record = {
                "kind": "entry",
                "entry_id": entry_id,
                "pair_id": failure.pair_id,
                "failed": failure.failed,
                "category": failure.category,
                **keys,
                **common,
            }
            added = store.append(cursor, chain_id, record, _salted({**found, **words}))
        else:
            erased = any(event.kind == "erasure" for event in store.event_rows(cursor, entry_id))
            record = {"kind": "report", "entry_id": entry_id, **common}
            added = store.append(cursor, chain_id, record, _salted(words) if words and not erased else None)
    return Reported(entry_id, new, _mirror(workspace, chain_id, added))


def confirm(workspace: Workspace, entry_id: str, actor: str, now: datetime) -> bool:
    """Confirm an entry, or the correction that waits on it, as a second person. False when nothing was open.

    Raises:
        NotFound: no such entry. NotAllowed: the entry was erased, or the actor wrote what is to be confirmed.
    """
    chain_id = store.chain_id(workspace.database)
    with workspace.database.transaction() as cursor:
        stands = _open_entry(cursor, entry_id)[1]
        if stands.status == "confirmed" and not stands.pending:
            return False
        if person(actor) in stands.writers:
            raise NotAllowed(f"{entry_id} waits for a second person: you reported or corrected it yourself.")
        record = {"kind": "confirmation", "entry_id": entry_id, "actor": actor, "acted_at": now}
        added = store.append(cursor, chain_id, record, None)
    _mirror(workspace, chain_id, added)
    return True


def may_confirm(found: Entry, actor: str) -> bool:
    """Whether `actor` is a second person to what is not confirmed yet."""
    return person(actor) not in found.standing.writers


def correct(
    workspace: Workspace,
    entry_id: str,
    actor: str,
    now: datetime,
    *,
    category: str | None = None,
    expected: str | None = None,
    comment: str | None = None,
    ticket: str | None = None,
) -> None:
    """Append a correction: another category, another expected behaviour, a comment or a ticket; nothing is overwritten.

    On a confirmed entry a new category or expected behaviour holds once a second person confirms it.

    Raises:
        NotFound: no such entry. NotAllowed: it was erased. BadInput: nothing is given, or a value is not legal.
    """
    words = _words(expected, comment, ticket)
    if category is None and not words:
        raise BadInput("A correction needs a category, an expected behaviour, a comment or a ticket.")
    if category is not None:
        _check_category(workspace, category)
    _check_lengths(words.get("expected"), words.get("comment"), words.get("ticket"))
    words = strip.strip_words(workspace, words)
    chain_id = store.chain_id(workspace.database)
    with workspace.database.transaction() as cursor:
        _open_entry(cursor, entry_id)
        record = {
            "kind": "correction",
            "entry_id": entry_id,
            "category": category,
            "changes_pass": bool(words.get("expected")),
            "actor": actor,
            "acted_at": now,
        }
        added = store.append(cursor, chain_id, record, _salted(words) if words else None)
    _mirror(workspace, chain_id, added)


def erase(workspace: Workspace, entry_id: str, actor: Actor, reason: str, now: datetime) -> None:
    """Erase all texts of an entry, here and in the mirror. A tombstone with who, when and why stays and counts.

    The reason is kept for ever, so it must not repeat what is erased. The pair itself is not touched, and the database
    file may hold the bytes in free blocks until it writes over them.

    Raises:
        NotFound: no such entry. NotAllowed: not a lead, or erased already. BadInput: no reason.
    """
    if actor.role != "lead":
        raise NotAllowed("Only a lead can erase an entry's text. Ask one, and name the entry.")
    if not reason.strip() or len(reason) > 500:
        raise BadInput("Erasing needs a reason of 1 to 500 characters, without the personal data itself.")
    reason = strip.strip_words(workspace, {"reason": reason})["reason"]
    chain_id = store.chain_id(workspace.database)
    with workspace.database.transaction() as cursor:
        _open_entry(cursor, entry_id)
        record = {
            "kind": "erasure",
            "entry_id": entry_id,
            "reason": reason.strip(),
            "actor": actor.name,
            "acted_at": now,
        }
        added = store.append(cursor, chain_id, record, None)
        store.drop_texts(cursor, entry_id)
        digests.hide(cursor, workspace.key)
    _mirror(workspace, chain_id, added)
    # What models answered to it, and what judges said about that.
    if workspace.settings.cache_file.exists():
        with closing(Cache(workspace.settings.cache_file)) as cache:
            cache.forget([entry_id])


def verify(workspace: Workspace) -> Verification:
    """Check every row of the chain, the mirror and the count. A missing or unfinished mirror is written.

    A mirror that contradicts the database is left alone, and so is one whose database does not verify.
    """
    database = workspace.database
    try:
        chain_id = store.chain_id(database)
        cursor = database.cursor()
        entries, (rows, head) = store.count_entries(cursor), store.head(cursor, chain_id)
        misfit = chain.verify(chain_id, store.links(database), store.erased_ids(database))
        unowned = store.unowned_texts(database)
    except ChainBroken as error:
        return Verification(False, 0, 0, "", None, str(error), None)
    if misfit is None and unowned:
        misfit = Misfit(unowned[0], "", "a text stands there that belongs to no row")
    if misfit is not None:
        name = misfit.entry_id or None
        return Verification(False, entries, rows, head, name, f"row {misfit.seq} ({name}): {misfit.reason}", None)
    state = mirror.check(workspace.settings.mirror, chain_id, lambda: store.links(database))
    fits = f"{entries} entries in {rows} rows fit. Last digest {head[:16]}. " if rows else "The set is empty. "
    return Verification(state.ok, entries, rows, head, state.entry_id, fits + state.message, state)


def search(workspace: Workspace, text: str, limit: int = 25) -> list[Found]:
    """Pairs by id, by ticket, conversation or customer in the metadata, or by words of the text; best matches first."""
    query = _whole(text)[:MAX_QUERY]
    # Ids stand as keyed hashes where personal data is stripped: a ticket is found by the hash of what was typed.
    hidden = [identity.pseudonym(workspace.key, kind, query) for kind in ("ticket", "customer", "conversation")]
    rows = [row for each in hidden for row in store.search_pairs(workspace.database, each, limit, exactly=True)]
    paired = [pair_id for each in _traces(workspace, query) for pair_id in each["pairs"]]
    stands = {row.pair_id for row in rows}
    for pair_id in paired[:limit]:
        if pair_id not in stands:
            rows += store.search_pairs(workspace.database, pair_id, 1)
    return [
        Found(found.pair_id, found.task, _asked(found.messages), _keys(found.metadata), found.matched, found.flagged)
        for found in (rows or store.search_pairs(workspace.database, query, limit))[:limit]
    ]


def unpaired(workspace: Workspace, text: str) -> int:
    """How many traces of this ticket, customer or conversation are here of which no pair was made yet."""
    return sum(not each["pairs"] for each in _traces(workspace, _whole(text)[:MAX_QUERY]))


def _traces(workspace: Workspace, query: str) -> list[dict[str, Any]]:
    """Traces of a ticket, conversation or customer, whose ids stand as keyed hashes only; latest first."""
    cursor, found = workspace.database.cursor(), dict[str, dict[str, Any]]()
    for kind in ("ticket", "conversation", "customer"):
        hashed = {kind: identity.pseudonym(workspace.key, kind, query)}
        found |= {each["trace_id"]: each for each in traces_store.find(cursor, hashed, _TRACES)}
    return list(found.values())


def blind(workspace: Workspace, pair_id: str, viewer: str) -> Blind:
    """A pair to flag, without saying which side is which.

    Raises:
        NotFound: no such pair.
    """
    pair = rounds_store.read_pairs(workspace.database.cursor(), [pair_id]).get(pair_id)
    if pair is None:
        raise NotFound(f"There is no pair {pair_id[:40]!r}. Search for it on the Flag page.")
    shown = {side: getattr(pair, side).model_copy(update=_UNSHOWN) for side in ("old", "new")}
    answers = (shown[side_of(workspace, pair_id, viewer, "left")], shown[side_of(workspace, pair_id, viewer, "right")])
    return Blind(pair_id, pair.task, pair.messages, pair.reference, answers)


def side_of(workspace: Workspace, pair_id: str, viewer: str, place: Place) -> Side:
    """Which side stood at `place` for this person; known here only, so that the page need not carry it."""
    return side_at(place, shown_first(workspace.key, 0, "flag", pair_id, viewer, 0))


def head(workspace: Workspace) -> str:
    """The chain's last digest: it changes with every row that is added."""
    return store.head(workspace.database.cursor(), store.chain_id(workspace.database))[1]


def entries(
    workspace: Workspace,
    *,
    text: str = "",
    status: Status | None = None,
    category: str | None = None,
    source: Source | None = None,
    only: Collection[str] | None = None,
    limit: int | None = None,
) -> list[Entry]:
    """Entries, newest first, as far as they fit the filters; `text` is looked for in ids and all texts.

    `only` names the entries that may be among them.
    """
    cursor = workspace.database.cursor()
    rows = _with_standing(store.entry_rows(cursor), store.event_rows(cursor))
    if wanted := _whole(text).strip():
        found = store.entries_with(workspace.database, wanted)
        folded = wanted.casefold()
        rows = [
            (row, stands)
            for row, stands in rows
            if row.entry_id in found or folded in (row.entry_id.casefold(), row.pair_id.casefold())
        ]
    chosen = [
        (row, stands)
        for row, stands in reversed(rows)
        if (status is None or stands.status == status)
        and (category is None or stands.category == category)
        and (source is None or row.source == source)
        and (only is None or row.entry_id in only)
    ]
    return _entries(workspace, chosen[:limit])


def entry(workspace: Workspace, entry_id: str) -> Entry:
    """One entry as it stands.

    Raises:
        NotFound: no such entry.
    """
    return _entries(workspace, [_find(workspace.database.cursor(), entry_id)])[0]


def story(workspace: Workspace, entry_id: str) -> Story:
    """An entry with everything that happened to it.

    Raises:
        NotFound: no such entry.
    """
    found = entry(workspace, entry_id)
    events = store.event_rows(workspace.database.cursor(), entry_id)
    texts = store.texts(workspace.database, [found.seq, *(event.seq for event in events)])
    return Story(found, texts.get(found.seq), tuple(Chapter(event, texts.get(event.seq)) for event in events))


def summary(workspace: Workspace) -> Summary:
    """The whole set in numbers."""
    cursor = workspace.database.cursor()
    events = store.event_rows(cursor)
    rows = _with_standing(store.entry_rows(cursor), events)
    statuses = Counter(stands.status for _, stands in rows)
    return Summary(
        entries=len(rows),
        confirmed=statuses["confirmed"],
        erased=statuses["erased"],
        waiting=statuses["reported"] + sum(stands.pending for _, stands in rows),
        categories=dict(Counter((stands.category, row.source) for row, stands in rows)),
        growth=tuple(_growth(rows, events)),
    )


def _growth(rows: Sequence[tuple[store.EntryRow, Standing]], events: Sequence[Event]) -> Iterator[GrowthPoint]:
    steps: defaultdict[date, Counter[str]] = defaultdict(Counter)
    for row, _ in rows:
        steps[row.acted_at.date()]["entries"] += 1
    confirmed: set[str] = set()
    for event in events:
        day = steps[event.acted_at.date()]
        if event.kind == "confirmation" and event.entry_id not in confirmed:
            confirmed.add(event.entry_id)
            day["confirmed"] += 1
        elif event.kind == "erasure":
            day["erased"] += 1
            day["confirmed"] -= event.entry_id in confirmed
    total: Counter[str] = Counter()
    for day in sorted(steps):
        total.update(steps[day])
        yield GrowthPoint(day, total["entries"], total["confirmed"], total["erased"])


def export_rows(workspace: Workspace, start: int = 0, count: int | None = None) -> list[dict[str, Any]]:
    """One JSON object an entry, oldest first: how it stands, its snapshot, and everything that happened to it."""
    cursor = workspace.database.cursor()
    events: defaultdict[str, list[Event]] = defaultdict(list)
    for event in store.event_rows(cursor):
        events[event.entry_id].append(event)
    batch = entries(workspace)[::-1][start : None if count is None else start + count]
    rows = [each.seq for each in batch] + [event.seq for each in batch for event in events[each.entry_id]]
    texts = store.texts(workspace.database, rows)
    return [_export_row(each, events[each.entry_id], texts) for each in batch]


def _export_row(found: Entry, events: Sequence[Event], texts: dict[int, dict[str, Any]]) -> dict[str, Any]:
    snapshot = texts.get(found.seq, {})
    return {
        "entry_id": found.entry_id,
        "status": found.status,
        "pair_id": found.pair_id,
        "prompt_id": found.prompt_id,
        "task": found.task,
        "failed": found.failed,
        "model": found.model,
        "category": found.category,
        "passes_when": found.passes_when,
        "source": found.source,
        "round_id": found.round_id,
        "reported_by": found.reported_by,
        "reported_at": found.reported_at.isoformat(),
        "reports": found.standing.reports,
        **{key: snapshot.get(key) for key in ("messages", "tools", "reference", "output", "metadata")},
        **{key: snapshot.get(key) for key in ("expected", "comment", "ticket", "provenance")},
        "events": [_event_row(event, texts.get(event.seq)) for event in events],
        "seq": found.seq,
        "digest": found.digest,
    }


def _event_row(event: Event, text: dict[str, Any] | None) -> dict[str, Any]:
    row = {
        "seq": event.seq,
        "kind": event.kind,
        "actor": event.actor,
        "at": event.acted_at.isoformat(),
        "source": event.source,
        "round_id": event.round_id,
        "category": event.category,
        "reason": event.reason,
        **(text or {}),
    }
    return {key: value for key, value in row.items() if value is not None}


def _check(workspace: Workspace, failure: Report, actor: str) -> None:
    named = [("report_id", failure.report_id), ("pair_id", failure.pair_id), ("reporter", actor)]
    if failure.provenance is not None:
        named.append(("provenance", failure.provenance.id))
        if failure.provenance.kind not in PROVENANCE:
            kind = str(failure.provenance.kind)[:40]
            raise BadInput(f"A report's provenance is one of {', '.join(PROVENANCE)}, not {kind!r}.")
    for name, value in named:
        if not 1 <= len(value) <= 200 or not value.isprintable():
            raise BadInput(f"A report's {name} has 1 to 200 printable characters, not {value[:40]!r}.")
    if failure.failed not in ("old", "new"):
        raise BadInput(f"A report names the failing side, old or new, not {str(failure.failed)[:40]!r}.")
    if failure.source not in SOURCES:
        raise BadInput(f"A report's source is {', '.join(SOURCES)}, not {str(failure.source)[:40]!r}.")
    _check_category(workspace, failure.category)
    _check_lengths(failure.expected, failure.comment, failure.ticket)


def _check_category(workspace: Workspace, category: str) -> None:
    legal = [each.id for each in workspace.settings.config.failure_categories]
    if category not in legal:
        raise BadInput(f"There is no failure category {category[:40]!r}. Use one of: {', '.join(legal)}.")


def _check_lengths(expected: str | None, comment: str | None, ticket: str | None) -> None:
    for name, value, limit in (
        ("expected behaviour", expected, MAX_TEXT),
        ("comment", comment, MAX_TEXT),
        ("ticket", ticket, MAX_TICKET),
    ):
        if value and len(value) > limit:
            raise BadInput(f"The {name} has {len(value):,} characters; at most {limit:,} are kept. Shorten it.")


def _asked(messages: Sequence[dict[str, Any]]) -> str:
    """The last message of a person, else the last message; only its text."""
    said = [message for message in messages if message.get("role") == "user"] or list(messages[-1:])
    content = said[-1].get("content") if said else None
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in cast(list[dict[str, Any]], content))
    return " ".join(str(content or "")[:1000].split())[:200]


def _keys(metadata: dict[str, Any]) -> dict[str, str]:
    return {key: str(value)[:80] for key, value in metadata.items() if isinstance(value, str | int)}


def _whole(text: str) -> str:
    """`text` with half characters, which no file can hold, replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _words(expected: str | None, comment: str | None, ticket: str | None) -> dict[str, str]:
    """What was said, without what was left empty."""
    given = {"expected": expected, "comment": comment, "ticket": ticket}
    return {key: text for key, value in given.items() if (text := _whole(value or "").strip())}


def _salted(text: dict[str, Any]) -> SaltedText:
    return SaltedText(secrets.token_bytes(chain.SALT_BYTES), chain.canonical(text))


def _mirror(workspace: Workspace, chain_id: str, added: Link) -> MirrorState:
    return mirror.append(workspace.settings.mirror, chain_id, added, lambda: store.links(workspace.database))


def _find(cursor: Any, entry_id: str) -> tuple[store.EntryRow, Standing]:
    rows = store.entry_rows(cursor, entry_id)
    if not rows:
        raise NotFound(f"There is no entry {entry_id[:40]!r} in the adversarial set.")
    return _with_standing(rows, store.event_rows(cursor, entry_id))[0]


def _open_entry(cursor: Any, entry_id: str) -> tuple[store.EntryRow, Standing]:
    row, stands = _find(cursor, entry_id)
    if stands.status == "erased":
        raise NotAllowed(
            f"The text of {entry_id} was erased on {stands.erased_at:%Y-%m-%d}; nothing can be added to it."
        )
    return row, stands


def _with_standing(rows: Sequence[store.EntryRow], events: Sequence[Event]) -> list[tuple[store.EntryRow, Standing]]:
    of_entry: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        of_entry[event.entry_id].append(event)
    return [(row, standing(row.seq, row.category, row.actor, of_entry[row.entry_id])) for row in rows]


def _entries(workspace: Workspace, rows: Sequence[tuple[store.EntryRow, Standing]]) -> list[Entry]:
    texts = store.texts(workspace.database, [stands.pass_seq for _, stands in rows])
    return [
        Entry(
            seq=row.seq,
            entry_id=row.entry_id,
            pair_id=row.pair_id,
            prompt_id=row.prompt_id,
            task=row.task,
            failed=row.failed,
            model=row.model,
            source=row.source,
            round_id=row.round_id,
            reported_by=row.actor,
            reported_at=row.acted_at,
            digest=row.digest,
            standing=stands,
            passes_when=passes_when(workspace, texts.get(stands.pass_seq), stands.category),
        )
        for row, stands in rows
    ]


def passes_when(workspace: Workspace, text: dict[str, Any] | None, category: str) -> str | None:
    """The expected behaviour as the pass criterion; without one, that the category's fault is absent."""
    if text is None:
        return None
    if expected := text.get("expected"):
        return str(expected)
    known = {each.id: each for each in workspace.settings.config.failure_categories}
    named = f"“{known[category].name}”: {known[category].help}" if category in known else f"“{category}”"
    return f"The answer does not fail by {named}"
