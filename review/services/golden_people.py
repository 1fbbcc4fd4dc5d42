"""People score the golden set: an item's two answers, blind, a rubric item at a time; how far the judge agrees."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

import numpy as np
import pyarrow

from review.domain import blinding
from review.domain import golden as rules
from review.domain.golden import Item
from review.domain.identity import canonical
from review.domain.types import Output, Side
from review.errors import BadInput, NotAllowed, NotFound
from review.services import golden, runs
from review.services.workspace import Actor, Workspace
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import clustered_mean, wilson
from review.store import golden as store
from review.store.golden import ItemRow, ScoreRow

pa: Any = pyarrow  # it carries no types
# What a person says of one rubric item of the two answers, as shown.
Choice = Literal["both", "a", "b", "neither", "cannot_tell"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
# Whether old and new meet a rubric item; None: nobody can tell.
Values = tuple[bool | None, bool | None]
_MEANING: dict[Choice, Values] = {
    "both": (True, True),
    "a": (True, False),
    "b": (False, True),
    "neither": (False, False),
    "cannot_tell": (None, None),
}
_CHOICE: dict[Values, Choice] = {meant: each for each, meant in _MEANING.items()}


def by_people(rows: Iterable[ScoreRow]) -> dict[tuple[str, int], Values]:
    """What people say in sum, by answers and the rubric item's place: on each side the majority of those who said."""
    given: dict[tuple[str, int], list[ScoreRow]] = {}
    for row in rows:
        if row.kind == "person":
            given.setdefault((row.answers_id, row.rubric), []).append(row)
    return {
        key: (majority([each.old for each in some]), majority([each.new for each in some]))
        for key, some in given.items()
    }


def majority(values: Iterable[bool | None]) -> bool | None:
    """What most say; None for a tie, or where nobody can tell."""
    said = [each for each in values if each is not None]
    met = sum(said)
    return None if 2 * met == len(said) else 2 * met > len(said)


@dataclass(frozen=True)
class Asking:
    """A frozen set as a run has answered it."""

    run_id: str
    run: str
    version: str
    named: str
    items: int


def askings(workspace: Workspace) -> list[Asking]:
    """Everything that people can score, the newest first."""
    names = {each.run_id: each.name for each in runs.list_runs(workspace)}
    sets = {each.version: each.name or rules.short(each.version) for each in golden.versions(workspace)}
    return [
        Asking(run, names.get(run, run), version, sets.get(version, rules.short(version)), count)
        for run, version, count in store.askings(workspace.database.cursor())
    ]


@dataclass(frozen=True)
class Sheet:
    """One item to be scored: `shown` has the answers that stand as A and B; `given` what this person has said.

    `done` of `total` items of the asking are scored by this person.
    """

    answers_id: str
    item: Item
    shown: tuple[Output, Output]
    given: Mapping[int, Choice]
    done: int
    total: int

    @property
    def open(self) -> int | None:
        """The first rubric item that this person has not scored; None where all are."""
        return next((at for at in range(1, len(self.item.rubric) + 1) if at not in self.given), None)


def sheet(workspace: Workspace, reviewer: str, asking: Asking, answers_id: str | None = None) -> Sheet | None:
    """An item by name, or the next that this person has not scored, in an order of their own; None when all are."""
    cursor = workspace.database.cursor()
    asked = store.asked(cursor, asking.run_id, asking.version)
    sizes = {each: len(row.item.rubric) for each, row in golden.items(workspace, _hashes(cursor, asked)).items()}
    hashes = store.answered_items(cursor)
    ids = list(dict.fromkeys(asked.values()))
    mine: dict[str, dict[int, Values]] = {}
    for row in store.scores(cursor, ids):
        if row.kind == "person" and row.scored_by == reviewer:
            mine.setdefault(row.answers_id, {})[row.rubric] = (row.old, row.new)
    order = sorted(ids, key=lambda each: _lot(workspace.key, reviewer, each))
    unfinished = [each for each in order if len(mine.get(each, {})) < sizes[hashes[each]]]
    chosen = answers_id if answers_id in order else (unfinished[0] if unfinished else None)
    kept = None if chosen is None else store.answers(cursor, chosen)
    if chosen is None or kept is None:
        return None
    item_hash, old, new = kept
    outputs: dict[Side, Output] = {"old": Output.model_validate(old), "new": Output.model_validate(new)}
    first = side_shown_first(workspace.key, reviewer, chosen)
    shown = (outputs["old"], outputs["new"]) if first == "old" else (outputs["new"], outputs["old"])
    given: dict[int, Choice] = {place: _choice(values, first) for place, values in mine.get(chosen, {}).items()}
    item = golden.items(workspace, [item_hash])[item_hash].item
    return Sheet(chosen, item, shown, given, len(order) - len(unfinished), len(order))


def _hashes(cursor: store.Cursor, asked: Mapping[str, str]) -> list[str]:
    every = store.answered_items(cursor)
    return list({every[each] for each in asked.values()})


def _lot(key: bytes, reviewer: str, answers_id: str) -> str:
    return hmac.new(key, f"golden order\0{reviewer}\0{answers_id}".encode(), hashlib.sha256).hexdigest()


def side_shown_first(key: bytes, reviewer: str, answers_id: str) -> Side:
    """The side that stands as A, drawn for each person and item."""
    return blinding.shown_first(key, 0, "golden", answers_id, reviewer, 0)


def _choice(values: Values, first: Side) -> Choice:
    shown = values if first == "old" else (values[1], values[0])
    return _CHOICE.get(shown, "cannot_tell")


def say(workspace: Workspace, actor: Actor, answers_id: str, rubric: int, choice: Choice, now: datetime) -> None:
    """A person's score of one rubric item of both answers, as they saw them. Saying it again replaces what they said.

    Raises:
        NotAllowed: support does not score.
        BadInput: there is no such choice or rubric item.
        NotFound: there are no such answers.
    """
    if actor.role not in ("reviewer", "lead"):
        raise NotAllowed(f"Reviewers and leads score the golden set; you are here as {actor.role}.")
    if choice not in CHOICES:
        raise BadInput(f"An answer is one of {', '.join(CHOICES)}.")
    cursor = workspace.database.cursor()
    kept = store.answers(cursor, answers_id)
    if kept is None:
        raise NotFound("There are no such answers.")
    item = golden.items(workspace, [kept[0]])[kept[0]].item
    if not 1 <= rubric <= len(item.rubric):
        raise BadInput(f"The item has {len(item.rubric)} rubric items; there is none of number {rubric}.")
    first = side_shown_first(workspace.key, actor.name, answers_id)
    a, b = _MEANING[choice]
    old, new = (a, b) if first == "old" else (b, a)
    said = canonical([answers_id, rubric, actor.name, old, new, now.isoformat()])
    row = {
        "score_id": "person-" + hashlib.sha256(said.encode()).hexdigest()[:32],
        "answers_id": answers_id,
        "rubric": rubric,
        "kind": "person",
        "scored_by": actor.name,
        "old": old,
        "new": new,
        "shown_first": first,
    }
    with workspace.database.transaction() as writing:
        store.put_scores(writing, pa.Table.from_pylist([row], store.SCORES), now)


# How far judge and people agree.


@dataclass(frozen=True)
class RubricAgreement:
    """One rubric item: how often judge and people say the same of an answer."""

    item_id: str
    place: int
    words: str
    agreement: Result


@dataclass(frozen=True)
class Agreement:
    """How far a judge and people agree on whether an answer meets a rubric item.

    Attributes:
        judge: its name.
        overall: over all answers and rubric items, clustered by item.
        undecided: answers where the judge, or people, did not say.
        items: by rubric item, those with the least agreement first.
    """

    judge: str
    overall: Result
    undecided: int
    items: tuple[RubricAgreement, ...]


def agreements(workspace: Workspace) -> list[Agreement]:
    """For each judge that scored what people scored too."""
    cursor = workspace.database.cursor()
    rows = store.scores(cursor)
    said = by_people(rows)
    both = [row for row in rows if row.kind == "judge" and (row.answers_id, row.rubric) in said]
    hashes = store.answered_items(cursor)
    items = golden.items(workspace, list({hashes[row.answers_id] for row in both}))
    found: list[Agreement] = []
    for judge in sorted({row.scored_by for row in both}):
        by_item: dict[tuple[str, int], list[bool]] = {}
        undecided = 0
        for row in both:
            if row.scored_by != judge:
                continue
            for mine, theirs in zip((row.old, row.new), said[row.answers_id, row.rubric], strict=True):
                if mine is None or theirs is None:
                    undecided += 1
                else:
                    by_item.setdefault((hashes[row.answers_id], row.rubric), []).append(mine == theirs)
        found.append(Agreement(judge, _overall(by_item), undecided, tuple(_by_rubric(by_item, items))))
    return found


def _overall(by_item: Mapping[tuple[str, int], Sequence[bool]]) -> Result:
    if not by_item:
        return NotEstimable("no answer was decided by both")
    codes = {each: at for at, each in enumerate(dict.fromkeys(item for item, _ in by_item))}
    values = np.array([same for some in by_item.values() for same in some], dtype=np.float64)
    clusters = np.array([codes[item] for (item, _), some in by_item.items() for _ in some], dtype=np.int64)
    return clustered_mean(values, clusters)


def _by_rubric(
    by_item: Mapping[tuple[str, int], Sequence[bool]], items: Mapping[str, ItemRow]
) -> Iterator[RubricAgreement]:
    for (item_hash, place), some in sorted(by_item.items(), key=lambda each: (sum(each[1]) / len(each[1]), each[0])):
        item = items[item_hash].item
        yield RubricAgreement(item.item_id, place, item.rubric[place - 1].item, wilson(sum(some), len(some)))
