"""Where a judge agrees with people and where it does not: by task, cluster, vote margin, length, reviewer, round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from review.errors import BadInput
from review.services.facts import (
    Facts,
    Rules,
    answer_codes,
    compare_with_people,
    judge_codes,
    judge_index,
    judge_states,
    load_facts,
)
from review.services.workspace import Workspace
from review.stats.agreement import ac1_estimate, kappa_estimate, raw_estimate
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import Ints, compact
from review.store import agreement as store
from review.store import slices as details
from review.store.agreement import DIMENSIONS

By = Literal["task", "margin", "length", "reviewer", "round", "cluster"]

# Kappa and AC1 of a handful of pairs say nothing that the raw agreement's interval does not say better.
COEFFICIENTS_FROM = 20
MOST_SLICES = 60
PILOT_AGREEMENT = 0.78
NO_PAIRS = "no pair here has both people's answer and a verdict"

MARGINS = ("one label", "2–0", "unanimous (3–0 and more)", "majority (2–1 and the like)", "split")
LENGTHS = (
    "new at most half as long",
    "new shorter (0.5 to 0.8 of old)",
    "about as long (0.8 to 1.25)",
    "new longer (1.25 to 2 times)",
    "new at least twice as long",
    "no text on a side",
)


@dataclass(frozen=True)
class Slice:
    """A judge against people on some of the pairs.

    Attributes:
        name: What the pairs have in common.
        n: Pairs (or labels) compared.
        agree: How many of them agree.
        raw: Share that agrees.
        kappa: Cohen's kappa, from COEFFICIENTS_FROM on.
        ac1: Gwet's AC1, from COEFFICIENTS_FROM on.
        rows: The pairs behind it, by row number.
    """

    name: str
    n: int
    agree: int
    raw: Result
    kappa: Result
    ac1: Result
    rows: Ints

    def to_json(self) -> dict[str, object]:
        """The slice as plain JSON values, without its pairs."""
        return {
            "name": self.name,
            "n": self.n,
            "agree": self.agree,
            "raw": self.raw.to_json(),
            "kappa": self.kappa.to_json(),
            "ac1": self.ac1.to_json(),
        }


@dataclass(frozen=True)
class Slicing:
    """All slices by one property.

    Attributes:
        by: The property.
        slices: Those with pairs, in the property's own order (rounds from old to new).
        empty: Names of slices that could be and have no pair.
        left: How many more there are beyond the MOST_SLICES largest (of rounds: the latest).
        without: Pairs or labels that have no such property.
        note: What else a reader must know, or "".
    """

    by: By
    slices: tuple[Slice, ...]
    empty: tuple[str, ...]
    left: int
    without: int
    note: str = ""


@dataclass(frozen=True)
class _Grouped:
    """Answers of people and of the judge, with the group of each; -1 is none."""

    pair: Ints
    people: Ints
    judge: Ints
    group: Ints
    names: tuple[str, ...]
    note: str = ""


def slices(
    workspace: Workspace,
    judge: str,
    by: By,
    *,
    dimension: str = "preference",
    round_id: str | None = None,
    rules: Rules | None = None,
) -> Slicing:
    """The agreement of a judge with people in every slice by one property.

    Args:
        workspace: The open workspace.
        judge: The judge's name.
        by: The property; "cluster" is that of the trace a pair came from, else the key of that name in its metadata.
        dimension: Which question.
        round_id: Only this round's labels.
        rules: As for agreement(). By reviewer each label counts, whatever the rule.

    Raises:
        NotFound: There is no such judge or round.
        BadInput: There is no such property.
    """
    if by not in get_args(By):
        raise BadInput(f"cannot slice by {by!r}; it can be {', '.join(get_args(By))}.")
    rules = rules or Rules()
    facts = load_facts(workspace, round_id)
    index = judge_index(facts, judge)
    if by == "reviewer":
        grouped = _by_reviewer(facts, index, dimension, rules)
    elif by == "round":
        grouped = _by_round(workspace, facts, index, dimension, rules)
    else:
        grouped = _by_pair(workspace, facts, index, by, dimension, rules)
    return _sliced(facts, grouped, by, len(DIMENSIONS[dimension]) + len(judge_states(dimension)), rules)


def properties(workspace: Workspace) -> tuple[By, ...]:
    """What pairs here can be sliced by; by cluster only when a labelled pair names one."""
    clustered = details.has_clusters(workspace.database.cursor())
    return tuple(by for by in get_args(By) if by != "cluster" or clustered)


def _by_pair(workspace: Workspace, facts: Facts, judge: int, by: By, dimension: str, rules: Rules) -> _Grouped:
    """Slices by a property of the pair."""
    compared = compare_with_people(facts, judge, dimension, rules)
    note = ""
    if by == "margin":
        group, names = margins(facts, dimension, rules), MARGINS
        unresolved = compared.excluded.get("people_unresolved", 0)
        if unresolved:
            note = f"{unresolved:,} pairs with split labels have no final answer until somebody adjudicates them."
    else:
        cursor, size = workspace.database.cursor(), len(facts.prompts)
        if by == "length":
            length, names = details.length_classes(cursor, size), LENGTHS
            group = np.where(length < 0, len(LENGTHS) - 1, length)
        else:
            group, names = details.tasks(cursor, size) if by == "task" else details.clusters(cursor, size)
    return _Grouped(compared.pair, compared.people, compared.judge, group[compared.pair].astype(np.int64), names, note)


def margins(facts: Facts, dimension: str, rules: Rules) -> Ints:
    """How clearly people decided each pair: an index into MARGINS by row number, -1 without a label."""
    answer, size, pairs = answer_codes(facts, dimension, rules), len(DIMENSIONS[dimension]), len(facts.prompts)
    given = facts.counted() & (answer >= 0)
    votes = np.bincount(facts.labels.pair[given] * size + answer[given], minlength=pairs * size).reshape(pairs, size)
    total, top = votes.sum(axis=1), votes.max(axis=1, initial=0)
    return np.select(
        [total == 0, total == 1, (top == total) & (total == 2), top == total, 2 * top > total], [-1, 0, 1, 2, 3], 4
    ).astype(np.int64)


def _by_reviewer(facts: Facts, judge: int, dimension: str, rules: Rules) -> _Grouped:
    """Each person's labels against the judge."""
    rows, answer = facts.labels, answer_codes(facts, dimension, rules)
    code, keep, _ = judge_codes(facts, judge, dimension, rules)
    inside = facts.counted() & (answer >= 0)
    if "cannot_tell" in DIMENSIONS[dimension]:
        inside &= answer != DIMENSIONS[dimension].index("cannot_tell")
    inside[inside] = keep[rows.pair[inside]]
    pair = rows.pair[inside]
    note = "Each label counts by itself, whether or not the others agree with it."
    return _Grouped(pair, answer[inside], code[pair], rows.reviewer[inside], rows.reviewers, note)


def _by_round(workspace: Workspace, facts: Facts, judge: int, dimension: str, rules: Rules) -> _Grouped:
    """Each round's own labels and adjudications against the judge."""
    names = dict(store.round_numbers(workspace.database.cursor()))
    numbers = sorted(names)[-MOST_SLICES:]
    parts: list[tuple[Ints, Ints, Ints, Ints]] = []
    for index, number in enumerate(numbers):
        part = replace(facts, labels=facts.labels.only(facts.labels.round == number))
        found = compare_with_people(part, judge, dimension, rules)
        parts.append((found.pair, found.people, found.judge, np.full(len(found.pair), index, dtype=np.int64)))
    empty = np.empty(0, dtype=np.int64)
    pair, people, code, group = (
        np.concatenate([empty, *(part[column] for part in parts)]).astype(np.int64) for column in range(4)
    )
    outside = int(((facts.labels.round < 0) & facts.counted()).sum())
    note = f"{outside:,} imported labels belong to no round." if outside else ""
    return _Grouped(pair, people, code, group, tuple(names[number] for number in numbers), note)


def _sliced(facts: Facts, grouped: _Grouped, by: By, size: int, rules: Rules) -> Slicing:
    """The estimates of every group; of very many the largest."""
    known = grouped.group >= 0
    counts = np.bincount(grouped.group[known], minlength=len(grouped.names))
    order = np.argsort(grouped.group, kind="stable")
    starts = np.searchsorted(grouped.group[order], np.arange(len(grouped.names) + 1))
    largest = {int(index) for index in np.argsort(-counts, kind="stable")[:MOST_SLICES]}
    found = tuple(
        _slice(facts, grouped, order[starts[index] : starts[index + 1]], name, size, rules)
        for index, name in enumerate(grouped.names)
        if counts[index] and index in largest
    )
    return Slicing(
        by=by,
        slices=found,
        empty=tuple(name for index, name in enumerate(grouped.names) if not counts[index]),
        left=int((counts > 0).sum()) - len(found),
        without=int((~known).sum()),
        note=grouped.note,
    )


def _slice(facts: Facts, grouped: _Grouped, at: Ints, name: str, size: int, rules: Rules) -> Slice:
    """One slice: the elements of `grouped` at these positions."""
    pair, people, judge = grouped.pair[at], grouped.people[at], grouped.judge[at]
    clusters = compact(facts.prompts[pair])
    few = NotEstimable(f"fewer than {COEFFICIENTS_FROM} compared; go by the raw agreement")
    enough = len(at) >= COEFFICIENTS_FROM
    return Slice(
        name=name,
        n=len(at),
        agree=int((people == judge).sum()),
        raw=raw_estimate(people, judge, clusters, rules.level),
        kappa=kappa_estimate(people, judge, size, clusters, rules.level) if enough else few,
        ac1=ac1_estimate(people, judge, size, clusters, rules.level) if enough else few,
        rows=np.unique(pair),
    )


def by_value(found: Sequence[Slice]) -> list[Slice]:
    """Slices from the highest raw agreement to the lowest; those without an estimate last."""
    return sorted(
        found, key=lambda each: (isinstance(each.raw, NotEstimable), -getattr(each.raw, "value", 0.0), each.name)
    )


def whole(found: Slicing) -> float | None:
    """The raw agreement over all slices together; None where no pair was compared."""
    compared = sum(each.n for each in found.slices)
    return sum(each.agree for each in found.slices) / compared if compared else None
