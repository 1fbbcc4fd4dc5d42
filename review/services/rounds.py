"""Rounds: preview a draw, draw it, list rounds, and say who may not see sides yet."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from review.domain import frame as frames
from review.domain.blinding import comes_back
from review.domain.frame import StratifyBy, Stratum
from review.domain.serving import RoundState, has_open, waiting
from review.errors import BadInput, Conflict, NotAllowed
from review.services.workspace import Workspace
from review.stats.allocation import MINIMUM, allocate, choose, too_small
from review.store import rounds as store
from review.store.rounds import RoundRow, SlotRow, StratumRow

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class DrawSpec:
    """What to draw.

    Attributes:
        size: pairs wanted; above the frame draws all of it.
        seed: makes the draw repeatable.
        overlap: different reviewers a pair.
        overlap_share: give only this share (random) a second reviewer, 0–1.
        repeat: share of a reviewer's pairs that comes back, sides swapped, 0–1.
        by: strata of the disagreements; by cluster means that of the trace a pair came from.
        audit: share of the round drawn from the judged ties, 0–1.
        name: for people.
        source: draw only from pairs imported from here.
        imported_from: earliest import, inclusive.
        imported_to: latest import, exclusive.
        cluster: draw only from pairs whose trace is in this cluster.
        alert: draw only from pairs of the live traffic that this alert of a regression is about.
    """

    size: int
    seed: int
    overlap: int = 1
    overlap_share: float | None = None
    repeat: float = 0.05
    by: StratifyBy = "task"
    audit: float = 0.10
    name: str | None = None
    source: str | None = None
    imported_from: datetime | None = None
    imported_to: datetime | None = None
    cluster: str | None = None
    alert: str | None = None


@dataclass(frozen=True)
class DrawnStratum:
    """One stratum of a draw: `drawn` of `frame` pairs, each with probability `pi` (drawn / frame)."""

    stratum: str
    kind: str
    tasks: tuple[str | None, ...]
    frame: int
    drawn: int
    pi: float


@dataclass(frozen=True)
class Counts:
    """The frame's pairs by kind."""

    identical: int
    judged_tie: int
    disagreement: int

    @property
    def total(self) -> int:
        return self.identical + self.judged_tie + self.disagreement


@dataclass(frozen=True)
class Leak:
    """A pair with an answer that gives its own model away by `word`."""

    pair_id: str
    word: str


@dataclass(frozen=True)
class Preview:
    """What a draw would take, exactly: the same spec on the same frame draws these pairs.

    Attributes:
        frame: drawable pairs (disagreements, and judged ties when some are audited).
        size: pairs that would be drawn.
        counts: all pairs of the chosen source and time by kind.
        leaks: among the pairs that would be drawn.
        notes: what deviates from what was asked, for people.
    """

    frame: int
    size: int
    counts: Counts
    strata: tuple[DrawnStratum, ...]
    notes: tuple[str, ...]
    leaks: tuple[Leak, ...]
    frame_hash: str


@dataclass(frozen=True)
class Drawn:
    """A round as drawn."""

    round_id: str
    frame: int
    size: int
    counts: Counts
    strata: tuple[DrawnStratum, ...]
    notes: tuple[str, ...]
    leaks: tuple[Leak, ...]


@dataclass(frozen=True)
class RoundProgress:
    """How far a round is.

    Attributes:
        places: labels asked for over all pairs.
        done: labels given that count.
        surplus: labels beyond the overlap.
        skips: answers that are a skip now.
        reviewers: who answered anything, with the number of their labels.
        stuck: pairs with an empty place that everybody who takes part has answered or skipped.
        median_seconds: of all labels.
        state: open, finished (every place filled) or ended (by a lead).
    """

    places: int
    done: int
    surplus: int
    skips: int
    reviewers: dict[str, int]
    stuck: int
    median_seconds: float | None
    state: str


@dataclass(frozen=True)
class RoundSummary:
    """One round in a list. The seed is not here, because it is closed to people with open slots (`seed_of`)."""

    round_id: str
    number: int
    name: str | None
    size: int
    overlap: int
    drawn_by: str
    drawn_at: datetime
    counts: Counts
    frame_hash: str
    strata: tuple[DrawnStratum, ...]
    notes: tuple[str, ...]
    progress: RoundProgress

    @property
    def title(self) -> str:
        return self.name or f"Round {self.number}"


@dataclass(frozen=True)
class _Plan:
    counts: Counts
    hash: str
    strata: list[Stratum]
    drawn: list[int]
    slots: list[SlotRow]
    notes: tuple[str, ...]

    @property
    def frame(self) -> int:
        return sum(len(stratum.pair_ids) for stratum in self.strata)

    @property
    def drawn_strata(self) -> tuple[DrawnStratum, ...]:
        return tuple(
            DrawnStratum(s.name, s.kind, s.tasks, len(s.pair_ids), n, n / len(s.pair_ids))
            for s, n in zip(self.strata, self.drawn, strict=True)
        )


def preview(workspace: Workspace, spec: DrawSpec) -> Preview:
    """What `draw` would take, without drawing.

    Raises:
        BadInput: the spec is out of range, or there is nothing to draw from.
    """
    plan = _plan(workspace, spec)
    return Preview(
        plan.frame,
        len(plan.slots),
        plan.counts,
        plan.drawn_strata,
        plan.notes,
        _leaks(workspace, plan.slots),
        plan.hash,
    )


def draw(workspace: Workspace, spec: DrawSpec, actor: str, now: datetime) -> Drawn:
    """Draw a round and store it with its frame, strata, inclusion probabilities and seed.

    Raises:
        BadInput: the spec is out of range, or there is nothing to draw from.
    """
    plan = _plan(workspace, spec)
    strata = [StratumRow(s.stratum, s.kind, s.tasks, s.frame, s.drawn) for s in plan.drawn_strata]

    def work(cursor: store.Cursor) -> str:
        number = store.next_number(cursor)
        mark = hmac.new(
            workspace.key, f"round\0{number}\0{spec.seed}\0{plan.hash}".encode(), hashlib.sha256
        ).hexdigest()[:6]
        row = RoundRow(
            round_id=f"round-{number}-{mark}",
            number=number,
            name=spec.name,
            seed=spec.seed,
            size=spec.size,
            overlap=spec.overlap,
            overlap_share=spec.overlap_share,
            repeat=spec.repeat,
            by=spec.by,
            audit=spec.audit,
            source=spec.source,
            imported_from=spec.imported_from,
            imported_to=spec.imported_to,
            frame_hash=plan.hash,
            identical=plan.counts.identical,
            judged_tie=plan.counts.judged_tie,
            disagreement=plan.counts.disagreement,
            notes=plan.notes,
            drawn_by=actor,
            drawn_at=now,
            cluster=spec.cluster,
            alert=spec.alert,
        )
        store.insert_round(cursor, row, strata, plan.slots)
        return row.round_id

    round_id = store.write(workspace.database, work)
    return Drawn(
        round_id, plan.frame, len(plan.slots), plan.counts, plan.drawn_strata, plan.notes, _leaks(workspace, plan.slots)
    )


def sources(workspace: Workspace) -> list[str]:
    """The sources a draw can be restricted to."""
    return store.sources(workspace.database)


def clusters(workspace: Workspace) -> dict[str, str]:
    """The clusters a draw can be restricted to, by id, with names that tell them apart."""
    return frames.distinct(store.clusters(workspace.database))


def list_rounds(workspace: Workspace) -> list[RoundSummary]:
    """All rounds, newest first, with progress."""
    return _summaries(workspace, store.read_rounds(workspace.database.cursor()))


def get(workspace: Workspace, round_id: str) -> RoundSummary:
    """One round.

    Raises:
        NotFound: there is no such round.
    """
    return _summaries(workspace, [store.read_round(workspace.database.cursor(), round_id)])[0]


def progress(workspace: Workspace, round_id: str) -> RoundProgress:
    """How far a round is.

    Raises:
        NotFound: there is no such round.
    """
    return get(workspace, round_id).progress


def seed_of(workspace: Workspace, round_id: str, viewer: str) -> int:
    """The seed of a round, for people who are done with it.

    Raises:
        NotAllowed: the viewer has open slots in the round.
        NotFound: there is no such round.
    """
    if has_open_slots(workspace, viewer, round_id):
        raise NotAllowed("You still have pairs to label in this round; its seed shows when you are done.")
    return store.read_round(workspace.database.cursor(), round_id).seed


def end(workspace: Workspace, round_id: str, actor: str, now: datetime) -> None:
    """End a round: nothing more is handed out; labels that are on their way still arrive.

    Raises:
        NotFound: there is no such round.
        Conflict: the round has ended already.
    """

    def work(cursor: store.Cursor) -> None:
        store.read_round(cursor, round_id)
        if store.read_state(cursor, round_id).ended:
            raise Conflict("This round has ended already.")
        store.insert_round_end(cursor, round_id, actor, now)

    store.write(workspace.database, work, changes=[round_id])


def has_open_slots(workspace: Workspace, reviewer: str, round_id: str | None = None) -> bool:
    """Whether a person takes part in the round (any round when None) and still has, or may get, pairs to label there.

    Pages that reveal sides, and the seed, are closed to them. Somebody who was never given a pair, or gave all back
    unanswered, takes no part.
    """
    cursor = workspace.database.cursor()
    return any(
        _has_open(workspace, cursor, each, reviewer)
        for each in store.rounds_of(cursor, reviewer)
        if round_id in (None, each)
    )


def open_rounds_of(workspace: Workspace, reviewer: str) -> list[str]:
    """The rounds in which a person has open slots."""
    cursor = workspace.database.cursor()
    return [each for each in store.rounds_of(cursor, reviewer) if _has_open(workspace, cursor, each, reviewer)]


def open_pairs_of(workspace: Workspace, reviewer: str) -> frozenset[str]:
    """Pairs whose sides a person must not see now: all pairs of the rounds in which they have open slots."""
    cursor = workspace.database.cursor()
    return frozenset(
        slot.pair_id for round_id in open_rounds_of(workspace, reviewer) for slot in store.read_slots(cursor, round_id)
    )


def repeat_rule(workspace: Workspace, row: RoundRow, reviewer: str) -> Callable[[int], bool]:
    """Which of a reviewer's cards of a round come back, by their number."""
    return lambda issued: comes_back(workspace.key, row.seed, row.round_id, reviewer, issued, row.repeat)


def _has_open(workspace: Workspace, cursor: store.Cursor, round_id: str, reviewer: str) -> bool:
    row = store.read_round(cursor, round_id)
    return has_open(store.snapshot(workspace.database, round_id), reviewer, repeat_rule(workspace, row, reviewer))


def _plan(workspace: Workspace, spec: DrawSpec) -> _Plan:
    _check(spec)
    whole = store.read_frame(
        workspace.database, spec.source, spec.imported_from, spec.imported_to, spec.cluster, spec.alert
    )
    counts = Counts(whole.count("identical"), whole.count("judged_tie"), whole.count("disagreement"))
    strata = frames.strata(whole.groups, spec.by, whole.names)
    ties = [stratum for stratum in strata if stratum.kind == "judged_tie"] if spec.audit > 0 else []
    disagreements = [stratum for stratum in strata if stratum.kind == "disagreement"]
    frame = sum(len(stratum.pair_ids) for stratum in [*disagreements, *ties])
    if frame == 0:
        raise BadInput(_nothing(spec, counts))
    size = min(spec.size, frame)
    notes = [f"{spec.size:,} pairs were asked for and the frame has {frame:,}: the round draws all of them."] * (
        spec.size > frame
    )
    audited = _audited(spec, size, len(ties[0].pair_ids) if ties else 0, sum(len(s.pair_ids) for s in disagreements))
    disagreements, merged = _merged(disagreements, size - audited)
    chosen = [stratum for stratum in disagreements if size > audited] + [stratum for stratum in ties if audited]
    drawn = allocate([len(s.pair_ids) for s in chosen if s.kind == "disagreement"], size - audited) + [audited] * (
        audited > 0
    )
    notes += merged + _audit_note(spec, audited, size)
    slots = _slots(spec, chosen, drawn)
    synthetic = store.synthetic_pairs(workspace.database.cursor(), [slot.pair_id for slot in slots])
    if synthetic:
        notes.append(f"{synthetic:,} of the {len(slots):,} pairs come from synthetic traces, not from real traffic.")
    return _Plan(counts, whole.hash, chosen, drawn, slots, tuple(notes))


def _check(spec: DrawSpec) -> None:
    if spec.size < 1:
        raise BadInput(f"The size of a round is {spec.size}; it must be at least 1.")
    if not 0 <= spec.seed <= MAX_SEED:
        raise BadInput(f"The seed is {spec.seed}; it must be a whole number from 0 to {MAX_SEED}.")
    if not 1 <= spec.overlap <= 20:
        raise BadInput(f"The overlap is {spec.overlap}; it must be from 1 to 20 reviewers a pair.")
    for name, share in (
        ("overlap share", spec.overlap_share),
        ("repeat share", spec.repeat),
        ("audit share", spec.audit),
    ):
        if share is not None and not 0 <= share <= 1:
            raise BadInput(f"The {name} is {share}; it must be from 0 to 1.")


def _nothing(spec: DrawSpec, counts: Counts) -> str:
    if counts.total == 0:
        if spec.alert:
            return "There are no pairs of this alert to draw from. See the Drift page."
        if spec.cluster:
            return "There are no pairs of this cluster to draw from. Sample and replay its traces first."
        place = " of this source and time" if spec.source or spec.imported_from or spec.imported_to else ""
        return f"There are no pairs{place} to draw from. Import some first: `review import pairs FILE`."
    return (
        f"There is nothing to draw: {counts.identical:,} pairs are identical and {counts.judged_tie:,} are judged ties "
        "that an audit share of 0 leaves out."
    )


def _audited(spec: DrawSpec, size: int, ties: int, disagreements: int) -> int:
    """How many judged ties to draw: their share, at least two where that leaves as many for the disagreements."""
    wanted = max(int(size * spec.audit + 0.5), min(MINIMUM, size // 2) if ties else 0)
    # When the disagreements run out, more ties are taken, so that a larger size always draws more.
    return min(ties, max(wanted, size - disagreements))


def _audit_note(spec: DrawSpec, audited: int, size: int) -> list[str]:
    wanted = int(size * spec.audit + 0.5)
    if spec.size > size or audited == wanted:
        return []
    if audited < wanted:
        return [f"Only {audited} judged ties exist for the audit instead of {wanted}; disagreements fill the round."]
    return [f"{audited} judged ties are drawn instead of {wanted}."]


def _merged(strata: list[Stratum], size: int) -> tuple[list[Stratum], list[str]]:
    """Small strata as one, and the note that says so."""
    at = too_small([len(stratum.pair_ids) for stratum in strata], size)
    if not at:
        return strata, []
    together = frames.merge([strata[each] for each in sorted(at)])
    rest = [stratum for each, stratum in enumerate(strata) if each not in at]
    names = together.name.removeprefix("disagreement: ")
    note = f"{len(at)} small strata are merged, so that each gives at least {MINIMUM} pairs: {names}."
    return [*rest, together], [note]


def _slots(spec: DrawSpec, strata: Sequence[Stratum], drawn: Sequence[int]) -> list[SlotRow]:
    """The drawn pairs in random order. Everything random comes from the seed and from sorted ids."""
    rng = np.random.default_rng(spec.seed)
    taken = [
        (stratum.pair_ids[at], stratum.name, n / len(stratum.pair_ids))
        for stratum, n in zip(strata, drawn, strict=True)
        for at in choose(rng, len(stratum.pair_ids), n)
    ]
    order = choose(rng, len(taken), len(taken))
    places = [spec.overlap] * len(taken)
    if spec.overlap_share is not None:
        shared = set(choose(rng, len(taken), int(len(taken) * spec.overlap_share + 0.5)))
        places = [max(2, spec.overlap) if at in shared else 1 for at in range(len(taken))]
    return [
        SlotRow(taken[at][0], position, taken[at][1], taken[at][2], places[at]) for position, at in enumerate(order)
    ]


def _leaks(workspace: Workspace, slots: Sequence[SlotRow]) -> tuple[Leak, ...]:
    pairs = store.read_pairs(workspace.database.cursor(), [slot.pair_id for slot in slots])
    found = [(id, frames.names_itself(pair.old) or frames.names_itself(pair.new)) for id, pair in sorted(pairs.items())]
    return tuple(Leak(pair_id, word) for pair_id, word in found if word)


def _summaries(workspace: Workspace, rows: Sequence[RoundRow]) -> list[RoundSummary]:
    """Rounds for a list, in a number of queries that does not grow with them."""
    cursor = workspace.database.cursor()
    ids = [row.round_id for row in rows]
    strata = store.read_strata(cursor, ids)
    seconds = store.median_seconds(cursor, ids)
    return [
        _summary(
            row,
            strata[row.round_id],
            _progress(store.snapshot(workspace.database, row.round_id), seconds.get(row.round_id)),
        )
        for row in rows
    ]


def _summary(row: RoundRow, rows: Sequence[StratumRow], progress: RoundProgress) -> RoundSummary:
    strata = tuple(DrawnStratum(s.stratum, s.kind, s.tasks, s.frame, s.drawn, s.drawn / s.frame) for s in rows)
    return RoundSummary(
        round_id=row.round_id,
        number=row.number,
        name=row.name,
        size=sum(stratum.drawn for stratum in strata),
        overlap=row.overlap,
        drawn_by=row.drawn_by,
        drawn_at=row.drawn_at,
        counts=Counts(row.identical, row.judged_tie, row.disagreement),
        frame_hash=row.frame_hash,
        strata=strata,
        notes=row.notes,
        progress=progress,
    )


def _progress(state: RoundState, median_seconds: float | None) -> RoundProgress:
    outcomes = [answer.outcome for answer in state.answers.values()]
    people = sorted({answer.reviewer for answer in state.answers.values()})
    places = sum(slot.places for slot in state.slots)
    done = len(state.completed)
    return RoundProgress(
        places=places,
        done=done,
        surplus=outcomes.count("surplus"),
        skips=outcomes.count("skip"),
        reviewers={
            who: sum(a.reviewer == who and a.outcome != "skip" for a in state.answers.values()) for who in people
        },
        stuck=_stuck(state, people),
        median_seconds=median_seconds,
        state="finished" if done == places else "ended" if state.ended else "open",
    )


def _stuck(state: RoundState, people: Sequence[str]) -> int:
    """Pairs with an empty place that nobody who takes part can fill any more."""
    if not people:
        return 0
    unfilled = {
        slot.pair_id
        for slot in state.slots
        if any((slot.pair_id, place) not in state.completed for place in range(slot.places))
    }
    return len(unfilled - {pair for who in people for pair in waiting(state, who)})
