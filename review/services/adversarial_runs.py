"""What the adversarial set came to in runs: for the gate, by entry over runs, and what people say about the judge."""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from review.adapters.cache import Cache
from review.domain.failure import standing as standing_of
from review.domain.types import Output, Side
from review.errors import BadInput, Conflict, NotFound
from review.services import ask, flag, runs
from review.services.ask import Prompt
from review.services.flag import Verification
from review.services.workspace import Workspace
from review.stats.estimate import Result
from review.stats.intervals import wilson
from review.store import adversarial as set_store
from review.store import adversarial_runs as store
from review.store.adversarial_runs import CheckRow, OutcomeRow
from review.store.runs import PartRow, RunRow

LABEL = "label"
JUDGE = "judge "
# Who decided where nobody could.
NOBODY = "nobody"
# Answers that are looked for, one after the other, before it is said that none is kept.
_TRIED = 20
Key = tuple[str, str, Side, int]
State = Literal["passes", "fails", "undecided"]


@dataclass(frozen=True)
class EntryStanding:
    """One confirmed entry in a run.

    Attributes:
        failed: the side that was flagged, in the words of the time: its owner may be another stack now.
        old: of each repeat whether it passed; None where nobody can tell. Empty where old was not asked.
        new: the same of the candidate.
        old_by: who decided each: "label" (a person), "structured", "known" or "judge NAME".
        new_by: the same of the candidate.
        before: whether it passed in the run before of this line; None where it was not there, or undecided.
    """

    entry_id: str
    prompt_id: str
    task: str | None
    category: str
    failed: Side
    old: tuple[bool | None, ...]
    new: tuple[bool | None, ...]
    old_by: tuple[str, ...]
    new_by: tuple[str, ...]
    before: bool | None

    @property
    def lost(self) -> bool:
        """It passed before and fails now."""
        return self.before is True and passes(self.new) is False


@dataclass(frozen=True)
class JudgeErrors:
    """How often a judge errs, from verdicts that were drawn at random and read by people who did not see them.

    Attributes:
        judges: whose verdicts.
        true_positive: answers that pass, by people and by the judge.
        positives: answers that pass, by people.
        true_negative: answers that fail, by people and by the judge.
        negatives: answers that fail, by people.
        sensitivity: share of passing answers that the judge lets pass.
        specificity: share of failing answers that the judge fails.
        unclear: answers of which a person could not tell.
    """

    judges: tuple[str, ...]
    true_positive: int
    positives: int
    true_negative: int
    negatives: int
    sensitivity: Result
    specificity: Result
    unclear: int = 0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        rates = {"sensitivity": self.sensitivity.to_json(), "specificity": self.specificity.to_json()}
        return {**vars(self), "judges": list(self.judges), **rates}


@dataclass(frozen=True)
class Standing:
    """The set in a run, as a gate needs it.

    Attributes:
        entries: confirmed before the run began, and replayed in it.
        missing: confirmed before the run began, and without any outcome in it.
        unconfirmed: replayed, but not confirmed when the run began: they do not count.
        later: entries that came after the run began: they are the next run's.
        size: entries of the set now, erased ones included: it never falls.
        repeats: how often each was asked.
        previous: the run before of this line that replayed the set.
        lost: ids of entries that passed there and fail now.
        chain: whether the set verifies.
        judge: how often the judge of this run's verdicts errs.
    """

    run_id: str
    entries: tuple[EntryStanding, ...]
    missing: tuple[str, ...]
    unconfirmed: int
    later: int
    size: int
    repeats: int
    previous: RunRow | None
    chain: Verification
    judge: JudgeErrors

    @property
    def lost(self) -> tuple[str, ...]:
        return tuple(each.entry_id for each in self.entries if each.lost)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        plain = {name: getattr(self, name) for name in ("run_id", "unconfirmed", "later", "size", "repeats")}
        return {
            **plain,
            "entries": [{**vars(each), "lost": each.lost} for each in self.entries],
            "missing": list(self.missing),
            "lost": list(self.lost),
            "previous": None if self.previous is None else {"run_id": self.previous.run_id, "name": self.previous.name},
            "chain": {
                "ok": self.chain.ok,
                "entries": self.chain.entries,
                "rows": self.chain.rows,
                "head": self.chain.head,
                "message": self.chain.message,
            },
            "judge": self.judge.to_json(),
        }


@dataclass(frozen=True)
class Point:
    """What an entry came to in one run; what people say stands in the judge's place."""

    run_id: str
    number: int
    name: str
    started_at: datetime
    old: tuple[bool | None, ...]
    new: tuple[bool | None, ...]
    old_by: tuple[str, ...]
    new_by: tuple[str, ...]

    @property
    def state(self) -> State:
        """Of the candidate."""
        return state(self.new)


@dataclass(frozen=True)
class ToCheck:
    """An answer whose verdict a person is asked for, drawn at random; the verdict itself is not told."""

    run_id: str
    run: str
    entry_id: str
    side: Side
    repeat: int
    output: Output


def passes(repeats: Sequence[bool | None]) -> bool | None:
    """Whether an entry passes: in more than half of the repeats that were decided; None where none was."""
    told = [each for each in repeats if each is not None]
    return 2 * sum(told) > len(told) if told else None


def state(repeats: Sequence[bool | None]) -> State:
    """`passes` in a word."""
    said = passes(repeats)
    return "undecided" if said is None else "passes" if said else "fails"


def standing(workspace: Workspace, run: RunRow) -> Standing:
    """How the set stands in a run.

    Raises:
        NotFound: the set was not replayed in this run.
    """
    part = _part(runs.parts(workspace, run.run_id))
    if part is None:
        raise NotFound(
            f"The adversarial set was not replayed in run {run.name!r}: review adversarial replay --run {run.name}"
        )
    cursor = workspace.database.cursor()
    previous = previous_of(workspace, run)
    points = _points(workspace, [each for each in (run, previous) if each is not None])
    before = (
        {}
        if previous is None
        else {entry: each[previous.run_id] for entry, each in points.items() if previous.run_id in each}
    )
    stood = _confirmed(workspace, run.started_at)
    found: list[EntryStanding] = []
    missing: list[str] = []
    for row, category in stood:
        point = points.get(row.entry_id, {}).get(run.run_id)
        if point is None:
            missing.append(row.entry_id)
            continue
        earlier = before.get(row.entry_id)
        found.append(
            EntryStanding(
                entry_id=row.entry_id,
                prompt_id=row.prompt_id,
                task=row.task,
                category=category,
                failed=row.failed,
                old=point.old,
                new=point.new,
                old_by=point.old_by,
                new_by=point.new_by,
                before=None if earlier is None else passes(earlier.new),
            )
        )
    replayed = sum(run.run_id in each for each in points.values())
    chain = flag.verify(workspace)
    by = {each.decided_by for each in store.outcomes(cursor, [run.run_id]) if each.decided_by.startswith(JUDGE)}
    return Standing(
        run_id=run.run_id,
        entries=tuple(found),
        missing=tuple(missing),
        unconfirmed=replayed - len(found),
        later=store.counts(cursor, run.started_at)[1],
        size=set_store.count_entries(cursor),
        repeats=int(part.detail["repeats"]),
        previous=previous,
        chain=chain,
        judge=judge_errors(workspace, by),
    )


def previous_of(workspace: Workspace, run: RunRow) -> RunRow | None:
    """The run before of the same line that replayed the set: of the same candidate or baseline, or whose candidate
    became this run's baseline."""
    replayed = {each.run_id for each in runs.parts(workspace) if each.evidence == "adversarial"}
    for each in reversed(runs.list_runs(workspace)):
        if each.number < run.number and each.run_id in replayed and _same_line(each, run):
            return each
    return None


def _same_line(before: RunRow, run: RunRow) -> bool:
    return (
        before.candidate.name == run.candidate.name
        or before.baseline.name == run.baseline.name
        or before.candidate.name == run.baseline.name
    )


def history(workspace: Workspace, entry_id: str) -> tuple[Point, ...]:
    """What an entry came to in every run that replayed it, oldest first."""
    return histories(workspace, [entry_id]).get(entry_id, ())


def histories(
    workspace: Workspace, entry_ids: Collection[str], last: int | None = None
) -> dict[str, tuple[Point, ...]]:
    """The same of several entries, in the last so many runs that replayed the set; those without any are absent."""
    chosen = replayed(workspace)
    points = _points(workspace, chosen if last is None else chosen[-last:], sorted(entry_ids))
    return {entry: tuple(sorted(each.values(), key=lambda point: point.number)) for entry, each in points.items()}


def replayed(workspace: Workspace) -> list[RunRow]:
    """The runs that replayed the set, oldest first."""
    found = {each.run_id for each in runs.parts(workspace) if each.evidence == "adversarial"}
    return [each for each in runs.list_runs(workspace) if each.run_id in found]


def states(workspace: Workspace) -> dict[str, tuple[State, State | None]]:
    """Of each entry how it stands in the newest run that replayed it, and how in the one before of the same line."""
    listed = replayed(workspace)
    if not listed:
        return {}
    newest = listed[-1]
    previous = previous_of(workspace, newest)
    points = _points(workspace, [each for each in (newest, previous) if each is not None])
    found: dict[str, tuple[State, State | None]] = {}
    for entry, each in points.items():
        if (now := each.get(newest.run_id)) is not None:
            earlier = None if previous is None else each.get(previous.run_id)
            found[entry] = (now.state, None if earlier is None else earlier.state)
    return found


def version(workspace: Workspace) -> str:
    """A text that changes when the set, what it came to or a check changes."""
    return store.version(workspace.database.cursor())


def check(
    workspace: Workspace,
    check_id: str,
    run_id: str,
    entry_id: str,
    side: Side,
    repeat: int,
    answer_passes: bool | None,
    actor: str,
    now: datetime,
    *,
    drawn: bool = False,
) -> None:
    """Say whether an answer passes; from then on it stands in the judge's place. Sending it again changes nothing.

    Args:
        workspace: where.
        check_id: made by the page.
        run_id: of the outcome.
        entry_id: of the outcome.
        side: whose answer.
        repeat: of the outcome.
        answer_passes: what the person says; None: cannot tell, and the verdict stands.
        actor: who says it.
        now: when.
        drawn: the answer was drawn at random, and the person did not see the verdict.

    Raises:
        NotFound: there is no such outcome.
        Conflict: the id is another person's.
        BadInput: there is no verdict to be checked.
    """
    with workspace.database.transaction() as cursor:
        holder = store.checker(cursor, check_id)
        if holder is not None:
            if holder != actor:
                raise Conflict("That check is another person's. Make a new one.")
            return
        rows = [each for each in store.outcomes(cursor, [run_id], [entry_id]) if each.repeat == repeat]
        if not rows:
            raise NotFound(f"Entry {entry_id[:40]!r} has no outcome {repeat} in this run.")
        said = rows[0].old if side == "old" else rows[0].new
        if said is None:
            raise BadInput("Nobody decided this answer, so there is no verdict to be checked.")
        store.insert_check(
            cursor,
            CheckRow(
                check_id, run_id, entry_id, side, repeat, rows[0].decided_by, said, answer_passes, drawn, actor, now
            ),
        )


def judge_errors(workspace: Workspace, judges: Collection[str] | None = None, level: float = 0.95) -> JudgeErrors:
    """How often judges ("judge NAME"; by default all) err, from checks of verdicts that were drawn at random.

    A verdict that somebody came upon and found wrong corrects the outcome, but says nothing about how often that is.
    """
    newest = {_key(each): each for each in store.checks(workspace.database.cursor()) if each.drawn}
    rows = [
        each
        for each in newest.values()
        if each.decided_by.startswith(JUDGE) and (judges is None or each.decided_by in judges)
    ]
    told = [each for each in rows if each.passes is not None]
    good, bad = [each for each in told if each.passes], [each for each in told if not each.passes]
    right, refused = sum(each.said for each in good), sum(not each.said for each in bad)
    return JudgeErrors(
        judges=tuple(sorted({each.decided_by for each in rows})),
        true_positive=right,
        positives=len(good),
        true_negative=refused,
        negatives=len(bad),
        sensitivity=wilson(right, len(good), level),
        specificity=wilson(refused, len(bad), level),
        unclear=len(rows) - len(told),
    )


def to_check(workspace: Workspace, hidden: Collection[str] = ()) -> ToCheck | None:
    """The next judged answer of the newest run in a random order that nobody has checked; None where none is left.

    Args:
        workspace: where.
        hidden: pairs whose entries the reader must not see now.
    """
    listed = replayed(workspace)
    if not listed:
        return None
    run, cursor = listed[-1], workspace.database.cursor()
    checked = {_key(each) for each in store.checks(cursor, [run.run_id])}
    rows = {each.entry_id: each for each in set_store.entry_rows(cursor)}
    closed = set_store.erased_ids(workspace.database) | {
        each.entry_id for each in rows.values() if each.pair_id in hidden
    }
    waiting: list[Key] = [
        (run.run_id, each.entry_id, side, each.repeat)
        for each in store.outcomes(cursor, [run.run_id])
        if each.decided_by.startswith(JUDGE) and each.entry_id not in closed
        for side, said in _sides(each)
        if said is not None
    ]
    left = sorted((each for each in waiting if each not in checked), key=lambda each: _draw(workspace.key, each))
    # Some answers may not be kept any more; where none of so many is, none will be.
    for run_id, entry_id, side, repeat in left[:_TRIED]:
        if (output := _kept(workspace, run_id, rows[entry_id].seq, side, repeat)) is not None:
            return ToCheck(run_id, run.name, entry_id, side, repeat, output)
    return None


def answer(workspace: Workspace, run_id: str, entry_id: str, side: Side, repeat: int) -> Output | None:
    """What a stack answered to an entry in a run; None where it is not kept any more, or there was no answer.

    Raises:
        NotFound: there is no such entry, or the run did not replay the set.
    """
    return _kept(workspace, run_id, flag.entry(workspace, entry_id).seq, side, repeat)


def _kept(workspace: Workspace, run_id: str, seq: int, side: Side, repeat: int) -> Output | None:
    part = _part(runs.parts(workspace, run_id))
    if part is None:
        raise NotFound("The adversarial set was not replayed in this run.")
    snapshot = set_store.texts(workspace.database, [seq]).get(seq)
    stack = part.detail["stacks"].get(side)
    if snapshot is None or stack is None or not workspace.settings.cache_file.exists():
        return None
    prompt = Prompt("", snapshot["messages"], snapshot.get("tools"), None, repeat)
    with closing(Cache(workspace.settings.cache_file)) as cache:
        return ask.kept(cache, stack, prompt)


def _part(parts: Iterable[PartRow]) -> PartRow | None:
    return next((each for each in parts if each.evidence == "adversarial"), None)


def _confirmed(workspace: Workspace, moment: datetime) -> list[tuple[set_store.EntryRow, str]]:
    """The entries that were confirmed at a moment, with their category then. One erased since counts as it stood."""
    cursor = workspace.database.cursor()
    of_entry: defaultdict[str, list[Any]] = defaultdict(list)
    for event in set_store.event_rows(cursor):
        if event.acted_at <= moment:
            of_entry[event.entry_id].append(event)
    found: list[tuple[set_store.EntryRow, str]] = []
    for row in set_store.entry_rows(cursor):
        if row.acted_at <= moment:
            stood = standing_of(row.seq, row.category, row.actor, of_entry[row.entry_id])
            if stood.status == "confirmed":
                found.append((row, stood.category))
    return found


def _points(
    workspace: Workspace, chosen: Sequence[RunRow], entry_ids: Sequence[str] | None = None
) -> dict[str, dict[str, Point]]:
    """What entries came to, by entry and run, with what people say about it."""
    cursor = workspace.database.cursor()
    ids = [each.run_id for each in chosen]
    said = {_key(each): each for each in store.checks(cursor, ids) if each.passes is not None}
    grouped: defaultdict[tuple[str, str], list[OutcomeRow]] = defaultdict(list)
    for row in store.outcomes(cursor, ids, entry_ids):
        grouped[row.entry_id, row.run_id].append(row)
    of_run = {each.run_id: each for each in chosen}
    found: defaultdict[str, dict[str, Point]] = defaultdict(dict)
    asked = {each.run_id: each.detail["sides"] for each in runs.parts(workspace) if each.evidence == "adversarial"}
    for (entry_id, run_id), rows in grouped.items():
        run = of_run[run_id]
        old, old_by = _heard(rows, "old", said) if "old" in asked[run_id] else ((), ())
        new, new_by = _heard(rows, "new", said) if "new" in asked[run_id] else ((), ())
        found[entry_id][run_id] = Point(run_id, run.number, run.name, run.started_at, old, new, old_by, new_by)
    return dict(found)


def _heard(
    rows: Sequence[OutcomeRow], side: Side, said: dict[Key, CheckRow]
) -> tuple[tuple[bool | None, ...], tuple[str, ...]]:
    """One side's outcomes, and who decided each; a person's word goes before the judge's."""
    values: list[bool | None] = []
    by: list[str] = []
    for row in rows:
        person = said.get((row.run_id, row.entry_id, side, row.repeat))
        values.append((row.old if side == "old" else row.new) if person is None else person.passes)
        by.append(row.decided_by if person is None else LABEL)
    return tuple(values), tuple(by)


def _sides(row: OutcomeRow) -> tuple[tuple[Side, bool | None], ...]:
    return (("old", row.old), ("new", row.new))


def _key(row: CheckRow) -> Key:
    return row.run_id, row.entry_id, row.side, row.repeat


def _draw(key: bytes, what: Key) -> bytes:
    """A place in a random order that is always the same."""
    return hmac.new(key, f"check\0{chr(0).join(map(str, what))}".encode(), hashlib.sha256).digest()
