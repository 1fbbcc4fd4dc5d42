"""Parity: whether new is as good as old under the contract, from labels, known outcomes and a judge's verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from review.domain.contract import Contract
from review.services.contracts import agreed
from review.services.outcomes import (
    CANNOT_TELL,
    NONE,
    Evidence,
    Scope,
    estimate,
    gather,
    scope_of,
    shared,
    shares_without_labels,
    strata_of,
    tasks_in,
    widened,
    without_known,
)
from review.services.parity_report import (
    OVERALL,
    CategoryGrowth,
    ErrorDirection,
    FailureModes,
    Missing,
    NextRound,
    ParityReport,
    TaskDirection,
    TaskParity,
)
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Bools, Floats, Ints, compact, normal_quantile
from review.stats.multiple import holm
from review.stats.planning import further_labels, neyman
from review.stats.ppi import stratified_ppi
from review.stats.shift import DirectionShift, direction_shift, direction_verdict, move_tests
from review.stats.verdict import Verdict, harm_p, joined, no_worse
from review.store import parity as store

LISTED = 50
SEED = 20


def parity(
    workspace: Workspace,
    *,
    round_id: str | None = None,
    sources: tuple[str, ...] | None = None,
    contract: Contract | None = None,
    alpha: float | None = None,
) -> ParityReport:
    """Judge all parts of the contract on the labels there are.

    This is not a look: services.looks decides when a verdict may be read, and at which alpha.

    Args:
        workspace: The open workspace.
        round_id: Only this round's frame and labels; all rounds and imports by default.
        sources: Only pairs from these, as services.runs.traffic_sources says of a run.
        contract: What was agreed; by default the newest that was signed, else the configuration's.
        alpha: One-sided, for every claim; the contract's by default.

    Raises:
        NotFound: There is no such round.
    """
    contract = agreed(workspace) if contract is None else contract
    used = contract.alpha if alpha is None else alpha
    evidence = gather(workspace, round_id, sources, contract)
    tolerance = _tolerance(evidence, contract, used)
    failures = _failure_modes(workspace, evidence, contract, used)
    direction = _direction(evidence, contract, used)
    return ParityReport(
        verdict=joined([*(each.verdict for each in tolerance), failures.verdict, direction.verdict]),
        alpha=used,
        contract=contract,
        round_id=round_id,
        tolerance=tolerance,
        failure_modes=failures,
        direction=direction,
        next_round=_next_round(evidence, tolerance[0]),
        notes=evidence.notes,
        labels=len(evidence.rows.pair),
        labelled=evidence.labelled,
        evidence=evidence.digest,
    )


def _tolerance(evidence: Evidence, contract: Contract, alpha: float) -> tuple[TaskParity, ...]:
    """Part 1: overall first, then each task by name."""
    rows = evidence.rows
    told = (rows.error_old >= 0) & (rows.error_new >= 0)
    clear = told & (rows.error_old < CANNOT_TELL) & (rows.error_new < CANNOT_TELL)
    excluded = {
        "labels without an error direction": int((~told).sum()),
        "labels that could not tell": int((told & ~clear).sum()),
    }
    given = np.flatnonzero(evidence.has_known)
    pairs = np.concatenate([rows.pair[clear], given])
    known = np.concatenate([np.zeros(int(clear.sum()), np.bool_), np.ones(len(given), np.bool_)])
    by_people = (rows.error_new[clear] == NONE).astype(np.float64) - (rows.error_old[clear] == NONE)
    values = np.concatenate([by_people, evidence.known[given].astype(np.float64)])
    labelled = shared(evidence.weights[clear], rows.pair[clear])
    weights = np.concatenate([labelled, evidence.frame.traffic[given]])
    claims = [_Claim(evidence, pairs, known, values, weights, task, excluded) for task in (None, *tasks_in(evidence))]
    ps = [claim.p(contract.tolerance_for(claim.name), alpha) for claim in claims]
    adjusted = ps[:1] + holm(ps[1:])
    return tuple(claim.judged(contract, alpha, p, after) for claim, p, after in zip(claims, ps, adjusted, strict=True))


class _Claim:
    """That one task, or all traffic, got no worse than its tolerance allows."""

    def __init__(
        self,
        evidence: Evidence,
        pairs: Ints,
        known: Bools,
        values: Floats,
        weights: Floats,
        task: int | None,
        excluded: dict[str, int],
    ) -> None:
        self.evidence, self.task, self.excluded = evidence, task, excluded
        self.pairs, self.values, self.weights = pairs, values, weights
        self.scope = scope_of(evidence, pairs, known, task)
        self.carried = evidence.predicted is not None and not bool(evidence.has_known.any())
        self.corrected: dict[float, Result | None] = {}
        self.correlation: float | NotEstimable = NotEstimable("no judge judged the frame")

    @property
    def name(self) -> str | None:
        return OVERALL if self.task is None else self.evidence.frame.tasks[self.task]

    def labels_only(self, level: float) -> Result:
        if self.scope is None:
            return NotEstimable("no pair of it has a label with an error direction for both sides")
        prompts = self.evidence.frame.prompt
        return estimate(self.scope, self.values, self.pairs, self.weights, prompts, level, self.excluded)

    def with_judge(self, level: float) -> Result | None:
        """Corrected by the judge's verdicts on all pairs; None where no judge can be used. Computed once a level."""
        if level not in self.corrected:
            self.corrected[level] = self._with_judge(level)
        return self.corrected[level]

    def _with_judge(self, level: float) -> Result | None:
        scope, frame, predicted = self.scope, self.evidence.frame, self.evidence.predicted
        if scope is None or predicted is None or not self.carried:
            return None
        code = strata_of(self.evidence)
        joined_code = np.where(code >= 0, scope.sample.joined[np.maximum(code, 0)], -1)
        members = np.flatnonzero(joined_code >= 0)
        place = np.full(len(code), -1, dtype=np.int64)
        place[members] = np.arange(len(members))
        rows = scope.rows
        shares = scope.sample.shares
        found = stratified_ppi(
            self.values[rows],
            place[self.pairs[rows]],
            predicted[members],
            compact(frame.prompt[members]),
            joined_code[members],
            rng=np.random.default_rng(SEED),
            sizes=shares,
            weights=self.weights[rows],
            traffic=frame.traffic[members],
            known_size=1 - float(shares.sum()),
            bounds=(-1.0, 1.0),
            level=level,
            exclusions=self.excluded,
        )
        if isinstance(found, NotEstimable):
            return None
        self.correlation = found.correlation
        return widened(found.estimate, scope.sample.unlabelled, scope, 1)

    def at(self, level: float) -> Result:
        """The estimate that decides: with the judge where one can be used, which is settled before it is seen."""
        return self.with_judge(level) or self.labels_only(level)

    def p(self, tolerance: float, alpha: float) -> float:
        return harm_p(self.at, lambda found: found.high < -tolerance, alpha)

    def judged(self, contract: Contract, alpha: float, p: float, adjusted: float) -> TaskParity:
        tolerance = contract.tolerance_for(self.name)
        plain, corrected = self.labels_only(1 - 2 * alpha), self.with_judge(1 - 2 * alpha)
        difference = corrected or plain
        verdict = no_worse(difference, tolerance, harmed=adjusted <= alpha)
        shares = self.scope.shares if self.scope else shares_without_labels(self.evidence, self.task)
        rows = self.pairs[self.scope.rows] if self.scope else self.pairs[:0]
        return TaskParity(
            task=self.name,
            verdict=verdict,
            difference=difference,
            labels_only=plain,
            judge=self.evidence.judge if corrected else None,
            tolerance=tolerance,
            p=p,
            p_adjusted=adjusted,
            pairs=len(np.unique(rows)),
            shares=shares,
            missing=None if verdict != "inconclusive" else self.missing(contract, alpha, plain, tolerance),
        )

    def missing(self, contract: Contract, alpha: float, plain: Result, tolerance: float) -> Missing:
        """Further labels for a decision, without and with the judge."""
        if isinstance(plain, NotEstimable):
            return Missing(NotEstimable("there are no labels to judge the spread from"), None)

        def further(correlation: float) -> int | NotEstimable:
            return further_labels(plain, tolerance, alpha=alpha, power=contract.power, correlation=correlation)

        with_judge = None if isinstance(self.correlation, NotEstimable) else further(self.correlation)
        return Missing(further(0.0), with_judge)


def _failure_modes(workspace: Workspace, evidence: Evidence, contract: Contract, alpha: float) -> FailureModes:
    """Part 2: each category that any label names, the ones that grew most first."""
    rows = evidence.rows
    told = ((rows.error_old >= 0) & (rows.error_new >= 0)) | (rows.categories_old > 0) | (rows.categories_new > 0)
    pairs, weights = rows.pair[told], shared(evidence.weights[told], rows.pair[told])
    scope = scope_of(without_known(evidence), pairs, np.zeros(len(pairs), np.bool_), None)
    if scope is None:
        nothing = NotEstimable("no label says what went wrong")
        return FailureModes("inconclusive", (), nothing, contract.category_ceiling, 0)
    prompts = evidence.frame.prompt

    def growth(bit: int | None, level: float) -> Result:
        old, new = _named(rows.categories_old[told], bit), _named(rows.categories_new[told], bit)
        return estimate(scope, new - old, pairs, weights, prompts, level, {})

    bits = range(len(rows.categories))
    seen = [bit for bit in bits if ((rows.categories_old | rows.categories_new)[told] >> bit & 1).any()]
    ps = [harm_p(lambda level, bit=bit: growth(bit, level), lambda found: found.low > 0, alpha) for bit in seen]
    grown: list[CategoryGrowth] = []
    for bit, p, adjusted in zip(seen, ps, holm(ps), strict=True):
        on_old, on_new = _named(rows.categories_old[told], bit), _named(rows.categories_new[told], bit)
        found = growth(bit, 1 - 2 * alpha)
        counts = int(on_old.sum()), int(on_new.sum())
        at = np.unique(pairs[on_new > on_old])[:LISTED]
        ids = tuple(store.pair_ids(workspace.database.cursor(), at.tolist())) if len(at) else ()
        verdict = _growth_verdict(found, counts, contract.category_ceiling, harmed=adjusted <= alpha)
        grown.append(CategoryGrowth(rows.categories[bit], verdict, *counts, found, p, adjusted, ids))
    unseen = growth(None, 1 - 2 * alpha)
    missed = unseen if isinstance(unseen, NotEstimable) else _could_miss(unseen, alpha)
    below = isinstance(missed, float) and missed < contract.category_ceiling
    unseen_verdict: Verdict = "parity" if below else "inconclusive"
    grown.sort(key=lambda each: (-_value(each.growth), each.category))
    return FailureModes(
        joined([*(each.verdict for each in grown), unseen_verdict]),
        tuple(grown),
        missed,
        contract.category_ceiling,
        len(np.unique(pairs[scope.rows])),
    )


def _could_miss(unseen: Estimate, alpha: float) -> float:
    """The largest rate compatible with seeing none: 1 - alpha^(1/n) at the effective n that the interval implies.

    The score interval of no events ends at z^2 / (n + z^2), somewhat below the exact limit.
    """
    square = normal_quantile(1 - 2 * alpha) ** 2
    return 1 - alpha ** (max(unseen.high, 1e-12) / (square * (1 - unseen.high)))


def _named(bits: Ints, bit: int | None) -> Floats:
    """1 where a label names the category; a category that none names is all 0."""
    return np.zeros(len(bits)) if bit is None else (bits >> bit & 1).astype(np.float64)


def _growth_verdict(growth: Result, counts: tuple[int, int], ceiling: float, *, harmed: bool) -> Verdict:
    """A category seen on new only is at least inconclusive, however rare it is."""
    if harmed:
        return "regression"
    if isinstance(growth, NotEstimable) or (counts[0] == 0 and counts[1] > 0):
        return "inconclusive"
    return "parity" if growth.high < ceiling else "inconclusive"


def _value(result: Result) -> float:
    return result.value if isinstance(result, Estimate) else 0.0


def _direction(evidence: Evidence, contract: Contract, alpha: float) -> ErrorDirection:
    """Part 3: the balance D over all traffic decides; a task alone can only add a regression."""
    rows = evidence.rows
    told = (rows.error_old >= 0) & (rows.error_new >= 0)
    clear = told & (rows.error_old < CANNOT_TELL) & (rows.error_new < CANNOT_TELL)
    unclear = int((told & ~clear).sum())
    pairs, weights = rows.pair[clear], shared(evidence.weights[clear], rows.pair[clear])
    old, new = rows.error_old[clear], rows.error_new[clear]
    plain = without_known(evidence)
    margin = contract.direction_margin

    def beyond(found: Estimate) -> bool:
        return found.low > margin or found.high < -margin

    def shifted(task: int | None) -> Callable[[float], DirectionShift | NotEstimable]:
        scope = scope_of(plain, pairs, np.zeros(len(pairs), np.bool_), task)
        return lambda level: _shift(scope, old, new, pairs, weights, evidence.frame.prompt, level, unclear)

    overall = shifted(None)(1 - 2 * alpha)
    direction = direction_verdict(_balance(overall), margin)
    codes = tasks_in(evidence)
    by_task = [shifted(code) for code in codes]
    ps = [harm_p(lambda level, at=at: _balance(at(level)), beyond, alpha) for at in by_task]
    tasks = tuple(
        _task_direction(evidence.frame.tasks[code], _balance(at(1 - 2 * alpha)), p, margin, alpha)
        for code, at, p in zip(codes, by_task, holm(ps), strict=True)
    )
    verdict: Verdict = "parity" if direction == "preserved" else "inconclusive"
    if direction in ("towards_confident", "towards_cautious") or any(each.verdict == "regression" for each in tasks):
        verdict = "regression"
    tests = move_tests(old, new, compact(evidence.frame.prompt[pairs]), weights)
    return ErrorDirection(verdict, direction, overall, margin, tests, tasks, unclear)


def _task_direction(task: str | None, balance: Result, adjusted: float, margin: float, alpha: float) -> TaskDirection:
    direction = direction_verdict(balance, margin)
    if direction in ("towards_confident", "towards_cautious") and adjusted > alpha:
        direction = "inconclusive"
    verdict: Verdict = "parity" if direction == "preserved" else "inconclusive"
    if direction in ("towards_confident", "towards_cautious"):
        verdict = "regression"
    return TaskDirection(task, verdict, direction, balance, adjusted)


def _shift(
    scope: Scope | None,
    old: Ints,
    new: Ints,
    pairs: Ints,
    weights: Floats,
    prompts: Ints,
    level: float,
    unclear: int,
) -> DirectionShift | NotEstimable:
    if scope is None:
        return NotEstimable("no label has an error direction for both sides")
    rows, sample = scope.rows, scope.sample
    found = direction_shift(
        old[rows],
        new[rows],
        compact(prompts[pairs[rows]]),
        strata=sample.strata,
        shares=sample.shares,
        weights=weights[rows],
        known_zero=1 - float(sample.shares.sum()),
        level=level,
        exclusions={"labels that could not tell": unclear},
    )
    if isinstance(found, NotEstimable):
        return found
    return replace(found, balance=widened(found.balance, sample.unlabelled, scope, 2))


def _balance(shift: DirectionShift | NotEstimable) -> Result:
    return shift if isinstance(shift, NotEstimable) else shift.balance


def _next_round(evidence: Evidence, overall: TaskParity, size: int = 100) -> NextRound | None:
    """Where the next labels would tell most; None where no labels are missing."""
    if overall.missing is None:
        return None
    frame, code, tasks = evidence.frame, strata_of(evidence), len(evidence.frame.tasks)
    rows = evidence.rows
    clear = (rows.error_old >= 0) & (rows.error_new >= 0)
    clear &= (rows.error_old < CANNOT_TELL) & (rows.error_new < CANNOT_TELL)
    values = (rows.error_new == NONE) * 1.0 - (rows.error_old == NONE)
    drawable = (code >= 0) & (code <= tasks)
    labelled = np.zeros(len(code), np.bool_)
    labelled[rows.pair] = True
    everywhere = float(values[clear].var()) if clear.any() else 1.0
    sizes: list[int] = []
    left: list[int] = []
    spreads: list[float] = []
    names: list[str] = []
    for each in np.unique(code[drawable]):
        inside = code == each
        own = values[clear & (code[rows.pair] == each)]
        # Two further values with everybody's spread: a stratum that was barely looked at is not taken for quiet.
        spreads.append(
            float(np.sqrt((len(own) * own.var() if len(own) else 0.0) + 2 * everywhere) / (len(own) + 2) ** 0.5)
        )
        sizes.append(int(inside.sum()))
        left.append(int((inside & ~labelled).sum()))
        names.append("judged ties" if each == tasks else frame.tasks[int(each)] or "(no task)")
    if not any(left):
        return None
    drawn = neyman(sizes, spreads, min(size, sum(left)), left)
    return NextRound(sum(drawn), tuple(zip(names, left, drawn, strict=True)))
