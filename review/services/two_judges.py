"""Two judges on the same pairs: which of them agrees with people more often."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from review.errors import BadInput
from review.services.facts import Rules, judge_codes, judge_index, load_facts, people_answers
from review.services.workspace import Workspace
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import Ints, compact
from review.stats.paired import McNemar, SignTest, mcnemar, sign_test, tango
from review.store.agreement import judge_names

NOTHING = "no pair has people's final answer and a verdict of both judges"


@dataclass(frozen=True)
class TwoJudges:
    """Two judges against people's final answer, on the pairs that all three decided.

    Attributes:
        one: The first judge.
        two: The second.
        n: Pairs compared.
        prompts: Distinct prompts among them.
        rates: Share right of the first and of the second judge, plain.
        cells: Pairs by row number: "both", "one_only", "two_only", "neither" right.
        test: McNemar's test, pairs as if independent.
        difference: Share right of the first minus that of the second, Tango's interval, pairs as if independent.
        clustered: The same by sign flips of whole prompts and with an interval clustered by prompt; None without
            repeated prompts, where it says the same.
    """

    one: str
    two: str
    n: int
    prompts: int
    rates: tuple[float, float]
    cells: dict[str, Ints]
    test: McNemar | NotEstimable
    difference: Result
    clustered: SignTest | NotEstimable | None


def judges_of(workspace: Workspace) -> tuple[str, ...]:
    """The names of all judges with a verdict."""
    return judge_names(workspace.database.cursor())


def two_judges(
    workspace: Workspace, one: str, two: str, *, round_id: str | None = None, rules: Rules | None = None
) -> TwoJudges | NotEstimable:
    """Compare two judges with people on the same pairs.

    Args:
        workspace: The open workspace.
        one: A judge.
        two: Another judge.
        round_id: Only this round's labels.
        rules: As for agreement(), but always one final answer a pair.

    Raises:
        NotFound: There is no such judge or round.
        BadInput: It is the same judge twice.
    """
    if one == two:
        raise BadInput(f"the two judges are both {one!r}; choose two different ones.")
    rules = replace(rules or Rules(), unit="majority")
    facts = load_facts(workspace, round_id)
    pair, people, _ = people_answers(facts, "preference", rules)
    first, first_keep, _ = judge_codes(facts, judge_index(facts, one), "preference", rules)
    second, second_keep, _ = judge_codes(facts, judge_index(facts, two), "preference", rules)
    inside = first_keep[pair] & second_keep[pair]
    pair, people = pair[inside], people[inside]
    if len(pair) == 0:
        return NotEstimable(NOTHING)
    a, b = first[pair] == people, second[pair] == people
    cells = {"both": pair[a & b], "one_only": pair[a & ~b], "two_only": pair[~a & b], "neither": pair[~a & ~b]}
    # The functions call the second system new and subtract old: the second judge stands for old.
    counts = (len(cells["both"]), len(cells["two_only"]), len(cells["one_only"]), len(cells["neither"]))
    clusters = compact(facts.prompts[pair])
    prompts = int(clusters.max()) + 1
    return TwoJudges(
        one=one,
        two=two,
        n=len(pair),
        prompts=prompts,
        rates=(float(a.mean()), float(b.mean())),
        cells=cells,
        test=mcnemar(*counts),
        difference=tango(*counts, level=rules.level),
        clustered=sign_test(a.astype(np.int64) - b.astype(np.int64), clusters, rules.level)
        if prompts < len(pair)
        else None,
    )
