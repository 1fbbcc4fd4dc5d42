"""What agreement is computed from: the rules, the labels and votes as arrays, and both sides of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from review.errors import BadInput, NotFound
from review.services.workspace import Workspace
from review.stats.consensus import (
    ABSENT,
    SPLIT,
    TIE,
    UNRESOLVED,
    VERDICTS,
    Inconsistent,
    JudgeVerdicts,
    Unparsable,
    apply_rules,
    combine_votes,
    final_answers,
    majority,
)
from review.stats.intervals import Bools, Ints
from review.store import agreement as store
from review.store.agreement import DIMENSIONS, LabelRows, VoteRows

Unit = Literal["majority", "each"]
BothBad = Literal["own", "tie"]

BOTH_BAD = 3
# What a judge's verdict can be beyond the four answers, in the order of the table's further columns.
JUDGE_STATES = VERDICTS[3:6]
PREFERENCE_SIZE = 4 + len(JUDGE_STATES)


@dataclass(frozen=True)
class Rules:
    """The choices that move a headline. Every one is printed with the numbers.

    Attributes:
        unit: The people's final answer per pair (adjudicated, else the majority), or each label.
        unparsable: A judge's unparsable verdict is a tie, is wrong whatever people say, or is left out.
        inconsistent: A verdict that changes with the order is a state nobody can agree with, or a tie.
        both_bad: People's "both bad" is an answer of its own, or a tie.
        level: Confidence level of every interval.
    """

    unit: Unit = "majority"
    unparsable: Unparsable = "tie"
    inconsistent: Inconsistent = "own"
    both_bad: BothBad = "own"
    level: float = 0.95

    def __post_init__(self) -> None:
        kinds = {"unit": Unit, "unparsable": Unparsable, "inconsistent": Inconsistent, "both_bad": BothBad}
        for name, kind in kinds.items():
            value, legal = getattr(self, name), get_args(kind)
            if value not in legal:
                raise BadInput(f"{name} is {value!r}; it can be {', '.join(legal)}.")

    def in_words(self) -> list[str]:
        """The rules as sentences for people."""
        return [
            {
                "majority": "One answer a pair: adjudicated, else the majority; pairs without either are left out.",
                "each": "Each label counts by itself; adjudications do not.",
            }[self.unit],
            "A judge's votes in one order are joined by majority; an order that splits evenly goes with the other "
            "where that makes a majority of all votes. Verdicts in both orders must be the same; "
            + {
                "own": "one that changes with the order agrees with nobody.",
                "tie": "one that changes with the order counts as a tie.",
            }[self.inconsistent],
            {
                "tie": "An unparsable verdict counts as a tie.",
                "wrong": "An unparsable verdict counts as wrong.",
                "dropped": "Unparsable verdicts are left out.",
            }[self.unparsable]
            + " Votes that split without a majority agree with nobody.",
            {
                "own": "“Both bad” is an answer of its own, which no judge gives.",
                "tie": "“Both bad” counts as a tie.",
            }[self.both_bad],
            "Skips, hidden repeats, surplus labels, replaced labels and a person's older label of the same pair do not "
            "count; between people, surplus labels do. Only the "
            "figure for the whole frame is weighted, without adjudications; all others are about the labelled pairs.",
        ]


@dataclass(frozen=True)
class Facts:
    """Labels, votes and prompts as arrays, indexed by the pairs' row numbers."""

    labels: LabelRows
    votes: VoteRows
    prompts: Ints
    skips: int
    superseded: int

    def judged(self, judge: int) -> bool:
        return bool((self.votes.judge == judge).any())

    def first_showings(self) -> Bools:
        """Labels that count between people."""
        rows = self.labels
        return ~rows.adjudication & ~rows.repeat & rows.latest & (rows.pair >= 0)

    def counted(self) -> Bools:
        """Labels that count for a rate."""
        return self.first_showings() & ~self.labels.surplus

    def labels_by_use(self) -> dict[str, int]:
        """Every row of the label table by what became of it."""
        rows = self.labels
        known = rows.pair >= 0
        label = ~rows.adjudication & known
        return {
            "counted": int(self.counted().sum()),
            "of_them_simulated": int((self.counted() & rows.simulated).sum()),
            "adjudications": int((rows.adjudication & known).sum()),
            "surplus": int((self.first_showings() & rows.surplus).sum()),
            "hidden_repeats": int((label & rows.repeat).sum()),
            "older_of_the_same_person": int((label & ~rows.repeat & ~rows.latest).sum()),
            "pair_not_imported": int((~known).sum()),
            "skips": self.skips,
            "replaced": self.superseded,
        }


def load_facts(workspace: Workspace, round_id: str | None, sources: tuple[str, ...] | None = None) -> Facts:
    """What people and judges said of one round's pairs, or of all; with `sources` (a run's), of pairs from there alone.

    Raises:
        NotFound: There is no such round.
    """
    cursor = workspace.database.cursor()
    if round_id is not None and round_id not in store.round_names(cursor):
        raise NotFound(f"There is no round {round_id!r}. See them with: review rounds")
    skips, superseded = store.skipped_and_superseded(cursor, round_id, sources)
    return Facts(
        labels=store.label_rows(cursor, round_id, sources),
        votes=store.vote_rows(cursor, round_id, sources),
        prompts=store.prompts(cursor),
        skips=skips,
        superseded=superseded,
    )


@dataclass(frozen=True)
class Compared:
    """A judge's and people's codes side by side, one element a pair (or label), with what was left out."""

    pair: Ints
    people: Ints
    judge: Ints
    states: tuple[str, ...]
    excluded: dict[str, int]


def people_answers(facts: Facts, dimension: str, rules: Rules) -> tuple[Ints, Ints, dict[str, int]]:
    """Pairs, people's answers on them, and what was left out on the way."""
    rows, size = facts.labels, len(DIMENSIONS[dimension])
    answer = answer_codes(facts, dimension, rules)
    counted = facts.counted()
    given = counted & (answer >= 0)
    excluded = {"not_answered": int((counted & (answer < 0)).sum())}
    if rules.unit == "each":
        pair, people = rows.pair[given], answer[given]
    else:
        pairs = len(facts.prompts)
        votes = np.bincount(rows.pair[given] * size + answer[given], minlength=pairs * size).reshape(pairs, size)
        adjudicated = np.full(pairs, UNRESOLVED, dtype=np.int64)
        ruled = rows.adjudication & rows.latest & (rows.pair >= 0) & (answer >= 0)
        adjudicated[rows.pair[ruled]] = answer[ruled]
        final = final_answers(votes.astype(np.int64), adjudicated)
        labelled = (votes.sum(axis=1) > 0) | (adjudicated != UNRESOLVED)
        excluded["people_unresolved"] = int((labelled & (final == UNRESOLVED)).sum())
        pair = np.flatnonzero(labelled & (final != UNRESOLVED))
        people = final[pair]
    if "cannot_tell" in DIMENSIONS[dimension]:
        unclear = people == DIMENSIONS[dimension].index("cannot_tell")
        excluded["people_cannot_tell"] = int(unclear.sum())
        pair, people = pair[~unclear], people[~unclear]
    return pair, people, excluded


def joined_verdicts(facts: Facts, judge: int) -> JudgeVerdicts:
    """The judge's one verdict per pair, indexed by row number."""
    votes, pairs = facts.votes, len(facts.prompts)
    mine = votes.judge == judge
    cells = (votes.pair[mine] * 3 + votes.shown_first[mine]) * 4 + votes.winner[mine]
    return combine_votes(np.bincount(cells, minlength=pairs * 12).reshape(pairs, 3, 4).astype(np.int64))


def judge_codes(facts: Facts, judge: int, dimension: str, rules: Rules) -> tuple[Ints, Bools, Bools]:
    """A judge's answer to one question on every pair, indexed by row number.

    Returns:
        Codes (answers, then the states of `judge_states`), which pairs count under the rules, and which pairs have a
        verdict at all.
    """
    if dimension == "preference":
        raw = joined_verdicts(facts, judge).verdict
        ruled, keep = apply_rules(raw, rules.unparsable, rules.inconsistent)
        # People have a fourth answer, so the judge's states come one later in the common table.
        return np.where(ruled > TIE, ruled + 1, ruled).astype(np.int64), keep, raw != ABSENT
    votes, size = facts.votes, len(DIMENSIONS[dimension])
    answer = votes.answers[dimension]
    mine = (votes.judge == judge) & (answer >= 0)
    pairs = len(facts.prompts)
    counts = np.bincount(votes.pair[mine] * size + answer[mine], minlength=pairs * size).reshape(pairs, size)
    named = majority(counts.astype(np.int64))
    given = counts.sum(axis=1) > 0
    return np.where(named == UNRESOLVED, size, named).astype(np.int64), given, given


def judge_states(dimension: str) -> tuple[str, ...]:
    """What a judge's code can be beyond the question's answers."""
    return JUDGE_STATES if dimension == "preference" else (VERDICTS[SPLIT],)


def compare_with_people(facts: Facts, judge: int, dimension: str, rules: Rules) -> Compared:
    """People's and a judge's answers on the pairs that have both, under the rules."""
    pair, people, excluded = people_answers(facts, dimension, rules)
    code, keep, given = judge_codes(facts, judge, dimension, rules)
    excluded["no_verdict"] = int((~given[pair]).sum())
    if dimension == "preference" and rules.unparsable == "dropped":
        excluded["unparsable"] = int((given[pair] & ~keep[pair]).sum())
    inside = keep[pair]
    return Compared(pair[inside], people[inside], code[pair[inside]], judge_states(dimension), excluded)


def judge_index(facts: Facts, judge: str) -> int:
    """The judge's index in the votes.

    Raises:
        NotFound: No judge of that name gave a verdict.
    """
    if judge not in facts.votes.judges:
        raise NotFound(f"There is no judge {judge!r} here. There are: {', '.join(facts.votes.judges) or 'none'}.")
    return facts.votes.judges.index(judge)


def answer_codes(facts: Facts, dimension: str, rules: Rules) -> Ints:
    """People's answer codes on a dimension after the rule for both bad."""
    answer = facts.labels.answers[dimension].copy()
    if dimension == "preference" and rules.both_bad == "tie":
        answer[answer == BOTH_BAD] = TIE
    return answer
