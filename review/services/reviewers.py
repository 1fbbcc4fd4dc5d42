"""Each reviewer by themselves: hidden repeats, the side they favour, speed, drift. For leads; about one person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from review.errors import NotFound
from review.services.facts import BOTH_BAD, Rules
from review.services.workspace import Workspace
from review.stats.agreement import kappa_estimate, raw_estimate
from review.stats.change import change
from review.stats.consensus import TIE, UNRESOLVED, majority
from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Bools, Ints, compact
from review.stats.paired import BinomialTest, binomial_test
from review.store import agreement as store
from review.store.showings import Showings, showings

# People read 4 words a second silently (238 a minute; Brysbaert 2019, J Mem Lang 109:104047), and what lies far above
# 7 a second is skimming with a loss of understanding (Rayner et al. 2016, Psychol Sci Public Interest 17:4). At 10 a
# second nobody has read the words that differ.
WORDS_A_SECOND = 10.0
ENOUGH_REPEATS = 30
ENOUGH_FOR_DRIFT = 20


@dataclass(frozen=True)
class Repeats:
    """Hidden repeats against the same person's first showing in the same round.

    `enough` says whether there are ENOUGH_REPEATS of them. `rows` are the pairs answered differently.
    """

    n: int
    enough: bool
    raw: Result
    kappa: Result
    rows: Ints


@dataclass(frozen=True)
class Half:
    """One half of a person's labels in time: agreement with the others' majority, and the median seconds."""

    n: int
    agrees: Result
    seconds: float | None


@dataclass(frozen=True)
class Drift:
    """The first and the second half of a person's labels, split in time, and second minus first.

    `rows` are the pairs of the second half on which the person differs from the others' majority.
    """

    first: Half
    second: Half
    difference: Result
    rows: Ints


@dataclass(frozen=True)
class Reviewer:
    """One person.

    Attributes:
        name: Who.
        labels: First showings with a preference, surplus ones included.
        repeats: Hidden repeats.
        shown_a: Of the decided first showings, how often the answer shown as A won; exact binomial against a half.
        a_won: The pairs on which A won.
        median_seconds: From shown to submitted, None where nothing was timed.
        timed: Labels with a time.
        fast: Timed labels given faster than their differing words can be read.
        fast_rows: Their pairs.
        drift: Over time.
    """

    name: str
    labels: int
    repeats: Repeats
    shown_a: BinomialTest | NotEstimable
    a_won: Ints
    median_seconds: float | None
    timed: int
    fast: int
    fast_rows: Ints
    drift: Drift | NotEstimable


@dataclass(frozen=True)
class Reviewers:
    """All people, and their hidden repeats together."""

    people: tuple[Reviewer, ...]
    repeats: Repeats


def reviewers(workspace: Workspace, *, round_id: str | None = None, rules: Rules | None = None) -> Reviewers:
    """What each person's labels say about the person.

    Args:
        workspace: The open workspace.
        round_id: Only this round's labels; repeats are pooled over rounds by default.
        rules: The rule for "both bad" and the level of the intervals.

    Raises:
        NotFound: There is no such round.
    """
    rules = rules or Rules()
    cursor = workspace.database.cursor()
    if round_id is not None and round_id not in store.round_names(cursor):
        raise NotFound(f"There is no round {round_id!r}. See them with: review rounds")
    rows = showings(cursor, round_id, WORDS_A_SECOND)
    answer = rows.preference.copy()
    if rules.both_bad == "tie":
        answer[answer == BOTH_BAD] = TIE
    prompts = store.prompts(cursor)
    others = _others(rows, answer)
    return Reviewers(
        people=tuple(
            _reviewer(rows, answer, others, prompts, index, rules)
            for index in range(len(rows.reviewers))
            if bool((rows.reviewer == index).any())
        ),
        repeats=_repeats(rows, answer, prompts, np.ones(len(answer), dtype=np.bool_), rules),
    )


def _reviewer(rows: Showings, answer: Ints, others: Ints, prompts: Ints, index: int, rules: Rules) -> Reviewer:
    """One person."""
    mine = rows.reviewer == index
    first = mine & ~rows.repeat
    decided = first & (rows.shown_first >= 0) & (answer < TIE)
    won = decided & (answer == rows.shown_first)
    timed = first & (rows.seconds >= 0)
    return Reviewer(
        name=rows.reviewers[index],
        labels=int(first.sum()),
        repeats=_repeats(rows, answer, prompts, mine, rules),
        shown_a=binomial_test(int(won.sum()), int(decided.sum()), level=rules.level),
        a_won=np.unique(rows.pair[won]),
        median_seconds=_median(rows, timed),
        timed=int(timed.sum()),
        fast=int((rows.fast & timed).sum()),
        fast_rows=np.unique(rows.pair[rows.fast & timed]),
        drift=_drift(rows, answer, others, prompts, np.flatnonzero(first), rules),
    )


def _median(rows: Showings, which: Bools) -> float | None:
    """The median seconds of these showings."""
    return float(np.median(rows.seconds[which])) if bool(which.any()) else None


def _repeats(rows: Showings, answer: Ints, prompts: Ints, which: Bools, rules: Rules) -> Repeats:
    """Repeats among `which` against their first showings."""
    again = np.flatnonzero(which & rows.repeat & (rows.first >= 0))
    now, then, pair = answer[again], answer[rows.first[again]], rows.pair[again]
    raw = kappa = NotEstimable("there is no hidden repeat")
    if len(again):
        clusters = compact(prompts[pair])
        raw = raw_estimate(then, now, clusters, rules.level)
        kappa = kappa_estimate(then, now, 4, clusters, rules.level)
    return Repeats(len(again), len(again) >= ENOUGH_REPEATS, raw, kappa, np.unique(pair[now != then]))


def _others(rows: Showings, answer: Ints) -> Ints:
    """For each first showing the majority of the other people on its pair, UNRESOLVED where there is none.

    Of a person's labels of one pair in several rounds the newest counts.
    """
    first = np.flatnonzero(~rows.repeat)
    who = rows.pair[first] * max(len(rows.reviewers), 1) + rows.reviewer[first]
    # Showings come in the order of time; the last of each pair and person is the newest.
    newest = first[len(first) - 1 - np.unique(who[::-1], return_index=True)[1]]
    pairs = int(rows.pair.max()) + 1 if len(rows.pair) else 0
    counts = np.bincount(rows.pair[newest] * 4 + answer[newest], minlength=pairs * 4).reshape(pairs, 4)
    found = np.full(len(answer), UNRESOLVED, dtype=np.int64)
    rest = counts[rows.pair[newest]].astype(np.int64)
    rest[np.arange(len(newest)), answer[newest]] -= 1
    found[newest] = np.where(rest.sum(axis=1) > 0, majority(rest), UNRESOLVED)
    return found


def _drift(
    rows: Showings, answer: Ints, others: Ints, prompts: Ints, first: Ints, rules: Rules
) -> Drift | NotEstimable:
    """The earlier against the later half of a person's comparable labels; `first` is in the order of time."""
    comparable = first[others[first] != UNRESOLVED]
    if len(comparable) < ENOUGH_FOR_DRIFT:
        return NotEstimable(
            f"{len(comparable)} labels lie beside a majority of other people; drift needs {ENOUGH_FOR_DRIFT}"
        )
    middle = len(comparable) // 2
    halves = [comparable[:middle], comparable[middle:]]
    hits = [answer[half] == others[half] for half in halves]
    first_half, second_half = (
        Half(
            n=len(half),
            agrees=raw_estimate(answer[half], others[half], compact(prompts[rows.pair[half]]), rules.level),
            seconds=_median(rows, np.isin(np.arange(len(answer)), half) & (rows.seconds >= 0)),
        )
        for half in halves
    )
    return Drift(
        first=first_half,
        second=second_half,
        difference=change(first_half.agrees, second_half.agrees),
        rows=np.unique(rows.pair[halves[1][~hits[1]]]),
    )


def drifted(found: Drift | NotEstimable) -> bool:
    """Whether the interval of the change leaves no change out."""
    return (
        isinstance(found, Drift)
        and isinstance(found.difference, Estimate)
        and (found.difference.low > 0 or found.difference.high < 0)
    )
