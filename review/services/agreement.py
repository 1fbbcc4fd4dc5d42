"""How far judges agree with people, and people with each other, under rules that are printed with the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from review.errors import BadInput, NotAllowed, NotFound
from review.services import rounds
from review.services.facts import (
    BothBad,
    Facts,
    Rules,
    Unit,
    answer_codes,
    compare_with_people,
    joined_verdicts,
    load_facts,
)
from review.services.population import Population, population
from review.services.weighted_agreement import PopulationAgreement, weighted_agreement
from review.services.workspace import Workspace
from review.stats import raters
from review.stats.agreement import (
    ac1_estimate,
    cohen_kappa,
    contingency,
    kappa_estimate,
    linear_weights,
    raw_estimate,
)
from review.stats.classification import ChiSquare, MacroScores, bowker, macro_scores, stuart_maxwell
from review.stats.consensus import (
    ABSENT,
    CONSISTENT,
    MIXED,
    SPLIT,
    TO_FIRST,
    TO_SECOND,
    UNPARSABLE,
    VERDICTS,
    Inconsistent,
    JudgeVerdicts,
    Unparsable,
)
from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Ints, cluster_se, clustered_mean, compact
from review.store import agreement as store
from review.store.agreement import DIMENSIONS, PairLine, PairStory

ORDERED = ("tone", "calibration_old", "calibration_new")
NO_LABELS = "no pair has both a label of a person and a verdict of this judge"


@dataclass(frozen=True)
class Comparison:
    """A judge against people on one dimension.

    Attributes:
        dimension: Which question.
        answers: Its answers in the order of `counts`.
        n: Pairs (or labels) compared.
        prompts: Distinct prompts among them.
        agree: How many agree.
        raw: Share that agrees.
        chance: Agreement that kappa expects by chance.
        kappa: Cohen's kappa.
        weighted_kappa: With linear weights, for ordered answers only; without unresolved verdicts.
        ac1: Gwet's AC1.
        alpha: Krippendorff's alpha of people and judge as two raters; for ordered answers ordinal, without unresolved
            verdicts.
        counts: Rows people, columns the judge.
        other: Per further state of a judge's verdict, the counts by people's answer.
        excluded: What was left out, by reason.
        macro: Precision, recall and F1, means over the answers.
        symmetry: Bowker's test on `counts`.
        margins: The Stuart-Maxwell test on `counts`.
        se: Standard errors: raw clustered by prompt, raw and kappa as if all pairs were independent.
    """

    dimension: str
    answers: tuple[str, ...]
    n: int
    prompts: int
    agree: int
    raw: Result
    chance: float | NotEstimable
    kappa: Result
    weighted_kappa: Result | None
    ac1: Result
    alpha: Result
    counts: tuple[tuple[int, ...], ...]
    other: dict[str, tuple[int, ...]]
    excluded: dict[str, int]
    macro: MacroScores | NotEstimable
    symmetry: ChiSquare | NotEstimable
    margins: ChiSquare | NotEstimable
    se: dict[str, float]

    def base_rates(self) -> dict[str, dict[str, int]]:
        """How often people and the judge gave each answer."""
        people = [sum(row) + sum(column[i] for column in self.other.values()) for i, row in enumerate(self.counts)]
        judge = [sum(row[i] for row in self.counts) for i in range(len(self.answers))]
        states = {state: sum(column) for state, column in self.other.items()}
        return {
            "people": dict(zip(self.answers, people, strict=True)),
            "judge": dict(zip(self.answers, judge, strict=True)) | states,
        }

    def to_json(self) -> dict[str, object]:
        """The comparison as plain JSON values."""
        weighted = {} if self.weighted_kappa is None else {"weighted_kappa": self.weighted_kappa.to_json()}
        return {
            "n": self.n,
            "prompts": self.prompts,
            "agree": self.agree,
            "raw": self.raw.to_json(),
            "chance": self.chance.to_json() if isinstance(self.chance, NotEstimable) else self.chance,
            "kappa": self.kappa.to_json(),
            **weighted,
            "ac1": self.ac1.to_json(),
            "alpha": self.alpha.to_json(),
            "confusion": {
                "order": list(self.answers),
                "rows": "human",
                "counts": [list(row) for row in self.counts],
                "other": {state: list(column) for state, column in self.other.items()},
            },
            "base_rates": self.base_rates(),
            "excluded": dict(self.excluded),
            "macro": self.macro.to_json()
            if isinstance(self.macro, NotEstimable)
            else {"precision": self.macro.precision, "recall": self.macro.recall, "f1": self.macro.f1},
            "bowker": _chi_square_json(self.symmetry),
            "stuart_maxwell": _chi_square_json(self.margins),
            "se": dict(self.se),
        }


@dataclass(frozen=True)
class OrderEffect:
    """What swapping the answers does to a judge, over the pairs it judged in both orders.

    `usable` pairs have a verdict in each order and split into the four kinds; `unparsable` and `unresolved` pairs do
    not. `changed` is the share of usable pairs whose verdict is not the same in both orders.
    """

    usable: int
    consistent: int
    to_first: int
    to_second: int
    mixed: int
    unparsable: int
    unresolved: int
    changed: Result

    def to_json(self) -> dict[str, object]:
        """The counts as plain JSON values."""
        return {
            "consistent": self.consistent,
            "to_first": self.to_first,
            "to_second": self.to_second,
            "mixed": self.mixed,
            "judged": self.usable + self.unparsable + self.unresolved,
            "usable": self.usable,
            "unparsable": self.unparsable,
            "unresolved": self.unresolved,
            "changed": self.changed.to_json(),
        }


@dataclass(frozen=True)
class JudgeAgreement:
    """One judge: against people on each dimension and over the whole frame, and against itself over orders.

    `verdicts` counts its verdicts on all pairs it judged, labelled or not, before any rule.
    """

    judge: str
    preference: Comparison
    dimensions: tuple[Comparison, ...]
    order: OrderEffect | NotEstimable
    verdicts: dict[str, int]
    population: PopulationAgreement

    def to_json(self) -> dict[str, object]:
        """The judge as plain JSON values: the preference at the top, the other dimensions below."""
        return {
            "judge": self.judge,
            **self.preference.to_json(),
            "population": self.population.to_json(),
            "order": self.order.to_json(),
            "verdicts": dict(self.verdicts),
            "dimensions": {each.dimension: each.to_json() for each in self.dimensions},
        }


@dataclass(frozen=True)
class TwoPeople:
    """Two people's preferences on the pairs both labelled."""

    a: str
    b: str
    n: int
    raw: Result
    kappa: Result

    def to_json(self) -> dict[str, object]:
        """The two as plain JSON values."""
        return {"a": self.a, "b": self.b, "n": self.n, "raw": self.raw.to_json(), "kappa": self.kappa.to_json()}


@dataclass(frozen=True)
class PeopleAgreement:
    """People among each other: first showings, surplus labels included, adjudications not."""

    names: tuple[str, ...]
    pairs: int
    alpha: Result
    ac1: Result
    fleiss: float | NotEstimable
    pairwise: tuple[TwoPeople, ...]
    dimensions: dict[str, Result]

    def to_json(self) -> dict[str, object]:
        """The people as plain JSON values."""
        return {
            "reviewers": len(self.names),
            "names": list(self.names),
            "pairs": self.pairs,
            "alpha": self.alpha.to_json(),
            "ac1": self.ac1.to_json(),
            "fleiss": self.fleiss.to_json() if isinstance(self.fleiss, NotEstimable) else self.fleiss,
            "pairwise": [each.to_json() for each in self.pairwise],
            "dimensions": {name: {"alpha": alpha.to_json()} for name, alpha in self.dimensions.items()},
        }


@dataclass(frozen=True)
class AgreementReport:
    """Everything the Agreement page and `review agreement` show."""

    rules: Rules
    round_id: str | None
    judges: tuple[JudgeAgreement, ...]
    people: PeopleAgreement
    labels: dict[str, int]

    def to_json(self) -> dict[str, object]:
        """The report as plain JSON values."""
        return {
            "rules": {
                "unit": self.rules.unit,
                "unparsable": self.rules.unparsable,
                "inconsistent": self.rules.inconsistent,
                "both_bad": self.rules.both_bad,
                "level": self.rules.level,
                "in_words": self.rules.in_words(),
            },
            "round": self.round_id,
            "labels": dict(self.labels),
            "judges": [judge.to_json() for judge in self.judges],
            "humans": self.people.to_json(),
        }


def agreement(
    workspace: Workspace,
    *,
    round_id: str | None = None,
    sources: tuple[str, ...] | None = None,
    unit: Unit = "majority",
    unparsable: Unparsable = "tie",
    inconsistent: Inconsistent = "own",
    both_bad: BothBad = "own",
) -> AgreementReport:
    """Compare every judge with people, and people with each other.

    Args:
        workspace: The open workspace.
        round_id: Only this round's labels and the verdicts on its pairs; all of them by default.
        sources: Only pairs from these, as services.runs.traffic_sources says of a run; then they are the frame that is
            weighted for, too.
        unit: See Rules.
        unparsable: See Rules.
        inconsistent: See Rules.
        both_bad: See Rules.

    Raises:
        NotFound: There is no such round.
        BadInput: A rule has no such value.
    """
    rules = Rules(unit, unparsable, inconsistent, both_bad)
    facts = load_facts(workspace, round_id, sources)
    frame = population(workspace, round_id, sources)
    return AgreementReport(
        rules=rules,
        round_id=round_id,
        judges=tuple(
            _judge(facts, index, rules, frame) for index in range(len(facts.votes.judges)) if facts.judged(index)
        ),
        people=_people(facts, rules),
        labels=facts.labels_by_use(),
    )


def pairs_behind(
    workspace: Workspace,
    *,
    judge: str,
    human: str,
    verdict: str,
    dimension: str = "preference",
    round_id: str | None = None,
    rules: Rules | None = None,
    limit: int = 200,
) -> tuple[int, list[PairLine]]:
    """The pairs in one cell of a confusion matrix: how many, and the first `limit` of them by id.

    Args:
        workspace: The open workspace.
        judge: The judge's name.
        human: People's answer, the row of the cell.
        verdict: The judge's answer or state, the column of the cell.
        dimension: Which question.
        round_id: As in agreement().
        rules: The rules the matrix was made with.
        limit: At most so many pairs.
    """
    rules = rules or Rules()
    facts = load_facts(workspace, round_id)
    if judge not in facts.votes.judges:
        raise NotFound(f"There is no judge {judge!r} here.")
    compared = compare_with_people(facts, facts.votes.judges.index(judge), dimension, rules)
    names = (*DIMENSIONS[dimension], *compared.states)
    if human not in DIMENSIONS[dimension] or verdict not in names:
        raise BadInput(f"the matrix of {dimension} has no cell {human!r} by {verdict!r}; it has {', '.join(names)}.")
    inside = (compared.people == names.index(human)) & (compared.judge == names.index(verdict))
    rows = np.unique(compared.pair[inside])
    return len(rows), pair_lines(workspace, rows, limit)


def pair_lines(workspace: Workspace, rows: Ints, limit: int = 200) -> list[PairLine]:
    """The first `limit` of the pairs with these row numbers, by id."""
    return store.pair_lines(workspace.database.cursor(), rows.tolist(), limit)


def data_version(workspace: Workspace) -> str:
    """A text that changes whenever a number here can change."""
    return store.data_version(workspace.database.cursor())


def round_names(workspace: Workspace) -> dict[str, str]:
    """Rounds to choose from, newest first: id to name."""
    return store.round_names(workspace.database.cursor())


def pair_story(workspace: Workspace, pair_id: str) -> PairStory:
    """Everything known about one pair, sides revealed.

    Raises:
        NotFound: There is no such pair.
    """
    story = store.pair_story(workspace.database.cursor(), pair_id)
    if story is None:
        raise NotFound(f"There is no pair {pair_id!r} in this database.")
    return story


def require_sight(
    workspace: Workspace, viewer: str, *, round_id: str | None = None, pair_id: str | None = None
) -> None:
    """Refuse numbers, or a pair, to somebody whose open slots they would unblind.

    Args:
        workspace: The open workspace.
        viewer: Who wants to see it.
        round_id: The round whose numbers are asked for; None asks for those over all rounds.
        pair_id: The pair that is asked for; then the round does not matter.

    Raises:
        NotAllowed: The viewer still has pairs to label there.
    """
    if pair_id is not None:
        if pair_id in rounds.open_pairs_of(workspace, viewer):
            raise NotAllowed("This pair is in a round that you still label; it opens when you are done.")
    elif rounds.has_open_slots(workspace, viewer, round_id):
        where = "this round" if round_id else "a round"
        raise NotAllowed(f"You still have pairs to label in {where}; what the judge said opens when you are done.")


def _comparison(facts: Facts, judge: int, dimension: str, rules: Rules) -> Comparison:
    """Every number about one judge on one dimension."""
    compared = compare_with_people(facts, judge, dimension, rules)
    people, verdict, answers = compared.people, compared.judge, DIMENSIONS[dimension]
    size = len(answers) + len(compared.states)
    clusters = compact(facts.prompts[compared.pair])
    table = contingency(people, verdict, size)
    square = table[: len(answers), : len(answers)]
    n, agree = len(people), int(np.trace(square))
    raw = kappa = ac1 = NotEstimable(NO_LABELS)
    chance: float | NotEstimable = NotEstimable(NO_LABELS)
    se: dict[str, float] = {}
    if n:
        raw = _with(raw_estimate(people, verdict, clusters, rules.level), compared.excluded)
        kappa = _with(kappa_estimate(people, verdict, size, clusters, rules.level), compared.excluded)
        ac1 = _with(ac1_estimate(people, verdict, size, clusters, rules.level), compared.excluded)
        plain = cohen_kappa(table)
        chance = plain if isinstance(plain, NotEstimable) else plain.expected
        hit = (people == verdict).astype(np.float64)
        se = {
            "raw_clustered": cluster_se(hit - hit.mean(), clusters),
            "raw_independent": math.sqrt(float(hit.mean() * (1 - hit.mean())) / n),
        }
        if not isinstance(plain, NotEstimable):
            se["kappa_independent"] = plain.se
    return Comparison(
        dimension=dimension,
        answers=answers,
        n=n,
        prompts=int(clusters.max()) + 1 if n else 0,
        agree=agree,
        raw=raw,
        chance=chance,
        kappa=kappa,
        weighted_kappa=_weighted(people, verdict, clusters, len(answers), rules) if dimension in ORDERED else None,
        ac1=ac1,
        alpha=_alpha(people, verdict, clusters, len(answers), size, rules.level, ordered=dimension in ORDERED),
        counts=tuple(tuple(int(cell) for cell in row) for row in square),
        other={
            state: tuple(int(cell) for cell in table[: len(answers), len(answers) + index])
            for index, state in enumerate(compared.states)
        },
        excluded=compared.excluded,
        macro=macro_scores(square),
        symmetry=bowker(square),
        margins=stuart_maxwell(square),
        se=se,
    )


def _weighted(people: Ints, verdict: Ints, clusters: Ints, size: int, rules: Rules) -> Result:
    """Kappa with linear weights over the verdicts that are answers."""
    inside = verdict < size
    if not inside.any():
        return NotEstimable(NO_LABELS)
    codes = compact(clusters[inside])
    return kappa_estimate(people[inside], verdict[inside], size, codes, rules.level, linear_weights(size))


def _alpha(
    people: Ints, verdict: Ints, clusters: Ints, answers: int, size: int, level: float, *, ordered: bool
) -> Result:
    """Krippendorff's alpha of people and a judge; a verdict that is no answer has no place in an order."""
    if ordered:
        inside = verdict < answers
        people, verdict, clusters, size = people[inside], verdict[inside], compact(clusters[inside]), answers
    if not len(people):
        return NotEstimable(NO_LABELS)
    ratings = np.zeros((len(people), size), dtype=np.int64)
    for codes in (people, verdict):
        ratings[np.arange(len(codes)), codes] += 1
    return raters.estimate(raters.krippendorff_alpha(ratings, "ordinal" if ordered else "nominal"), clusters, level)


def _with(result: Result, excluded: Mapping[str, int]) -> Result:
    """The estimate with its exclusions."""
    return replace(result, exclusions=dict(excluded)) if isinstance(result, Estimate) else result


def _judge(facts: Facts, judge: int, rules: Rules, frame: Population) -> JudgeAgreement:
    """One judge on every dimension it gave, and over orders."""
    votes = facts.votes
    verdicts = joined_verdicts(facts, judge)
    given = [name for name, answer in votes.answers.items() if bool(((votes.judge == judge) & (answer >= 0)).any())]
    return JudgeAgreement(
        judge=votes.judges[judge],
        preference=_comparison(facts, judge, "preference", rules),
        dimensions=tuple(_comparison(facts, judge, name, rules) for name in given),
        order=_order(facts, judge, verdicts, rules),
        verdicts={name: int((verdicts.verdict == code).sum()) for code, name in enumerate(VERDICTS) if code != ABSENT},
        population=weighted_agreement(facts, judge, rules, frame),
    )


def _order(facts: Facts, judge: int, verdicts: JudgeVerdicts, rules: Rules) -> OrderEffect | NotEstimable:
    """What the order of the answers did, over the pairs that were judged in both."""
    votes = facts.votes
    mine = votes.judge == judge
    seen = np.zeros((len(facts.prompts), 3), dtype=np.bool_)
    seen[votes.pair[mine], votes.shown_first[mine]] = True
    both = seen[:, 0] & seen[:, 1]
    if not both.any():
        return NotEstimable("this judge saw no pair in both orders")
    usable = verdicts.order <= MIXED
    kinds = [int((verdicts.order == kind).sum()) for kind in (CONSISTENT, TO_FIRST, TO_SECOND, MIXED)]
    clusters = compact(facts.prompts[usable])
    changed = clustered_mean((verdicts.order[usable] != CONSISTENT).astype(np.float64), clusters, rules.level)
    return OrderEffect(
        usable=int(usable.sum()),
        consistent=kinds[0],
        to_first=kinds[1],
        to_second=kinds[2],
        mixed=kinds[3],
        unparsable=int((both & (verdicts.verdict == UNPARSABLE)).sum()),
        unresolved=int((both & (verdicts.verdict == SPLIT)).sum()),
        changed=changed,
    )


def _people(facts: Facts, rules: Rules) -> PeopleAgreement:
    """People among each other on the preference, and alpha on every other dimension they answered."""
    rows = facts.labels
    first = facts.first_showings()
    present = np.unique(rows.reviewer[first & (rows.answers["preference"] >= 0)])
    counts, clusters = _rating_counts(facts, "preference", rules)
    return PeopleAgreement(
        names=tuple(rows.reviewers[int(index)] for index in present),
        pairs=int((counts.sum(axis=1) >= 2).sum()),
        alpha=raters.estimate(raters.krippendorff_alpha(counts), clusters, rules.level),
        ac1=raters.estimate(raters.gwet_ac1(counts), clusters, rules.level),
        fleiss=raters.fleiss_kappa(counts),
        pairwise=_pairwise(facts, present, rules),
        dimensions={
            name: raters.estimate(
                raters.krippendorff_alpha(ratings, "ordinal" if name in ORDERED else "nominal"), codes, rules.level
            )
            for name in DIMENSIONS
            if name != "preference" and bool((rows.answers[name][first] >= 0).any())
            for ratings, codes in [_rating_counts(facts, name, rules)]
        },
    )


def _rating_counts(facts: Facts, dimension: str, rules: Rules) -> tuple[Ints, Ints]:
    """How many people gave each answer, shape (labelled pairs, answers), and those pairs' prompts."""
    size, answer = len(DIMENSIONS[dimension]), answer_codes(facts, dimension, rules)
    given = facts.first_showings() & (answer >= 0)
    pairs = len(facts.prompts)
    cells = np.bincount(facts.labels.pair[given] * size + answer[given], minlength=pairs * size)
    counts = cells.reshape(pairs, size).astype(np.int64)
    labelled = counts.sum(axis=1) > 0
    return counts[labelled], compact(facts.prompts[labelled])


def _pairwise(facts: Facts, present: Ints, rules: Rules) -> tuple[TwoPeople, ...]:
    """Every two people who labelled at least one pair both."""
    rows, answer = facts.labels, answer_codes(facts, "preference", rules)
    given = facts.first_showings() & (answer >= 0)
    grid = np.full((len(facts.prompts), len(rows.reviewers)), -1, dtype=np.int64)
    grid[rows.pair[given], rows.reviewer[given]] = answer[given]
    shared = (grid >= 0).sum(axis=1) >= 2
    grid, prompt = grid[shared], facts.prompts[shared]
    found: list[TwoPeople] = []
    for a, b in combinations((int(index) for index in present), 2):
        both = (grid[:, a] >= 0) & (grid[:, b] >= 0)
        if not both.any():
            continue
        one, two = grid[both, a], grid[both, b]
        clusters = compact(prompt[both])
        found.append(
            TwoPeople(
                a=rows.reviewers[a],
                b=rows.reviewers[b],
                n=len(one),
                raw=raw_estimate(one, two, clusters, rules.level),
                kappa=kappa_estimate(one, two, 4, clusters, rules.level),
            )
        )
    return tuple(found)


def _chi_square_json(result: ChiSquare | NotEstimable) -> dict[str, object]:
    if isinstance(result, NotEstimable):
        return result.to_json()
    return {"statistic": result.statistic, "degrees": result.degrees, "p": result.p}
