"""How steady a judge is with itself: split votes, order flips and their side, repeated votes, taste for length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from review.services.facts import Facts, Rules, joined_verdicts, judge_index, load_facts, people_answers
from review.services.workspace import Workspace
from review.stats.consensus import CONSISTENT, MIXED, NEW, OLD, TO_FIRST, TO_SECOND
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import Bools, Floats, Ints, clustered_mean, compact
from review.stats.paired import BinomialTest, binomial_test
from review.store.slices import characters

ASKED = 3


@dataclass(frozen=True)
class Figure:
    """One share with the pairs behind it.

    Attributes:
        share: The estimate.
        count: How many of the `of` cases.
        of: The cases.
        rows: The pairs that `count` is about, by row number.
    """

    share: Result
    count: int
    of: int
    rows: Ints

    def to_json(self) -> dict[str, object]:
        """The figure as plain JSON values, without its pairs."""
        return {"share": self.share.to_json(), "count": self.count, "of": self.of}


@dataclass(frozen=True)
class Stability:
    """A judge against itself.

    Attributes:
        judge: Its name.
        split: Of the pairs with three or more readable votes, those whose votes were not all the same.
        no_majority: Of the same pairs, those on which no answer had more than half of the votes.
        changed: Of the pairs with a verdict in both orders, those whose verdict is not the same in both.
        to_first: Pairs on which it picked whichever stood first.
        to_second: Pairs on which it picked whichever stood second.
        side: Exact binomial test of to_first against to_second; pairs count as independent.
        repeated: Votes repeated in the same order: share of two votes that are the same.
        judge_longer: Of the pairs it decided, those where the answer with more characters won.
        people_longer: The same for people's final answer, on the pairs they decided.
        both_decided: Judge and people on exactly the same pairs: judge, people, and judge minus people.
    """

    judge: str
    split: Figure
    no_majority: Figure
    changed: Figure
    to_first: Figure
    to_second: Figure
    side: BinomialTest | NotEstimable
    repeated: Figure
    judge_longer: Figure
    people_longer: Figure
    both_decided: tuple[Figure, Figure]


def stability(
    workspace: Workspace, judge: str, *, round_id: str | None = None, rules: Rules | None = None
) -> Stability:
    """Every figure about a judge alone, and its taste for the longer answer beside people's.

    Args:
        workspace: The open workspace.
        judge: The judge's name.
        round_id: Only this round's pairs.
        rules: The rule for "both bad" and the level; one answer of people per pair, always.

    Raises:
        NotFound: There is no such judge or round.
    """
    rules = rules or Rules()
    facts = load_facts(workspace, round_id)
    index = judge_index(facts, judge)
    votes, pairs = facts.votes, len(facts.prompts)
    mine = votes.judge == index
    # Shape (pairs, shown first: old, new, unknown; winner: old, new, tie): readable votes only.
    readable = mine & (votes.winner < 3)
    cells = (votes.pair[readable] * 3 + votes.shown_first[readable]) * 3 + votes.winner[readable]
    counts = np.bincount(cells, minlength=pairs * 9).reshape(pairs, 3, 3)
    pooled = counts.sum(axis=1)
    asked = pooled.sum(axis=1) >= ASKED
    top, total = pooled.max(axis=1, initial=0), pooled.sum(axis=1)
    verdicts = joined_verdicts(facts, index)
    usable = verdicts.order <= MIXED
    to_first, to_second = verdicts.order == TO_FIRST, verdicts.order == TO_SECOND
    unasked = f"no pair has {ASKED} or more readable votes of this judge"
    one_order = "this judge saw no pair in both orders"
    length = _longer(workspace, pairs)
    judged = _decided(verdicts.verdict, length)
    people = _decided(_final(facts, rules), length)
    both = (judged != 0) & (people != 0)
    return Stability(
        judge=judge,
        split=_figure(facts, asked, top < total, rules, unasked),
        no_majority=_figure(facts, asked, 2 * top <= total, rules, unasked),
        changed=_figure(facts, usable, verdicts.order != CONSISTENT, rules, one_order),
        to_first=_figure(facts, usable, to_first, rules, one_order),
        to_second=_figure(facts, usable, to_second, rules, one_order),
        side=binomial_test(
            int((to_first & usable).sum()), int(((to_first | to_second) & usable).sum()), level=rules.level
        ),
        repeated=_repeated(facts, counts[:, :2].astype(np.float64), rules),
        judge_longer=_figure(facts, judged != 0, judged > 0, rules, "no pair with answers of different length"),
        people_longer=_figure(facts, people != 0, people > 0, rules, "people decided no pair of different lengths"),
        both_decided=(
            _figure(facts, both, judged > 0, rules, "no pair of different lengths is decided by both"),
            _figure(facts, both, people > 0, rules, "no pair of different lengths is decided by both"),
        ),
    )


def _figure(facts: Facts, cases: Bools, hits: Bools, rules: Rules, nothing: str) -> Figure:
    """The share of `cases` that are `hits`, both by row number, clustered by prompt."""
    of, rows = int(cases.sum()), np.flatnonzero(cases & hits)
    if of == 0:
        return Figure(NotEstimable(nothing), 0, 0, rows)
    share = clustered_mean(hits[cases].astype(np.float64), compact(facts.prompts[cases]), rules.level)
    return Figure(share, len(rows), of, rows)


def _repeated(facts: Facts, counts: Floats, rules: Rules) -> Figure:
    """How often two votes on the same pair in the same order are the same.

    Args:
        facts: The facts.
        counts: Readable votes, shape (pairs, 2 orders, 3 winners).
        rules: The rules.
    """
    total = counts.sum(axis=2)
    pair, order = np.nonzero(total >= 2)
    if len(pair) == 0:
        return Figure(NotEstimable("no pair was judged twice in the same order"), 0, 0, pair)
    cell, m = counts[pair, order], total[pair, order]
    same = (cell * (cell - 1)).sum(axis=1) / (m * (m - 1))
    share = clustered_mean(same, compact(facts.prompts[pair]), rules.level)
    differ = same < 1
    return Figure(share, int((~differ).sum()), len(pair), np.unique(pair[differ]))


def _longer(workspace: Workspace, pairs: int) -> Ints:
    """Which answer has more characters, by row number: OLD, NEW, or -1 for neither."""
    old, new = characters(workspace.database.cursor(), pairs)
    either = (old >= 0) & (new >= 0) & (old != new)
    return np.where(either, np.where(new > old, NEW, OLD), -1).astype(np.int64)


def _decided(verdict: Ints, longer: Ints) -> Ints:
    """1 where the longer answer won, -1 where the shorter did, 0 where neither."""
    counted = (longer >= 0) & ((verdict == OLD) | (verdict == NEW))
    return np.where(counted, np.where(verdict == longer, 1, -1), 0).astype(np.int64)


def _final(facts: Facts, rules: Rules) -> Ints:
    """People's final answer by row number, -1 without one."""
    pair, people, _ = people_answers(facts, "preference", Rules(both_bad=rules.both_bad))
    final = np.full(len(facts.prompts), -1, dtype=np.int64)
    final[pair] = people
    return final
