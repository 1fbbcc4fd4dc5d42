"""What parity is computed from: labels, known outcomes and a judge's view, as strata of all traffic."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from review.domain.contract import Contract
from review.services.facts import Facts, Rules, joined_verdicts, judge_codes, load_facts
from review.services.population import Population, population
from review.services.workspace import Workspace
from review.stats.consensus import ABSENT, NEW, OLD
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import Bools, Floats, Ints, compact
from review.stats.sample import Sample, pool
from review.stats.stratified import stratified_difference
from review.store import parity as store
from review.store.parity import OutcomeRows

NONE, CANNOT_TELL = 0, 4
COVERAGE = 0.95  # a judge carries labels over only where it judged nearly all of the frame
WORST_CASE = "pairs that no label speaks for; the interval allows for the worst"


@dataclass(frozen=True)
class TrafficShares:
    """What the traffic of the frame consists of; the parts add up to 1.

    Attributes:
        identical: Same output twice: contributes zero by definition.
        judged_tie: Every verdict a tie: known through the audit.
        disagreement: All else without known correctness: known through labels.
        known: Correctness came with the pairs.
        pairs: All of them, as a count.
    """

    identical: float
    judged_tie: float
    disagreement: float
    known: float
    pairs: int


@dataclass(frozen=True)
class Evidence:
    """What the parts are computed from, arrays over label rows unless said otherwise.

    Attributes:
        frame: Kinds, tasks and prompts of all pairs.
        rows: The counted labels.
        weights: How much traffic a row's pair stands for, before it is shared among the pair's labels: its design
            weight in the rounds times the traces it stands for in the samples.
        known: Known difference of each pair, 0 where `has_known` is false; shape (pairs,).
        has_known: Shape (pairs,).
        predicted: The judge's view of each pair's difference, shape (pairs,); None without a judge.
        judge: Its name.
    """

    frame: Population
    rows: OutcomeRows
    weights: Floats
    known: Ints
    has_known: Bools
    predicted: Floats | None
    judge: str | None
    notes: tuple[str, ...]
    digest: str

    @property
    def labelled(self) -> int:
        """Different pairs on which people said which way each side errs; without any, pairs with known correctness."""
        told = self.rows.pair[(self.rows.error_old >= 0) & (self.rows.error_new >= 0)]
        return len(np.unique(told)) or int(self.has_known.sum())


def gather(
    workspace: Workspace,
    round_id: str | None,
    sources: tuple[str, ...] | None = None,
    contract: Contract | None = None,
) -> Evidence:
    """Everything that a verdict rests on, of a round, of some sources (those of a run), or of all traffic."""
    cursor = workspace.database.cursor()
    config = workspace.settings.config
    facts = load_facts(workspace, round_id)
    frame = population(workspace, round_id, sources)
    rows = store.outcome_rows(cursor, round_id, [each.id for each in config.failure_categories])
    rows = _inside(rows, frame.inside)
    known_rows, differences = store.known_differences(cursor)
    known = np.zeros(len(frame.inside), dtype=np.int64)
    has_known = np.zeros(len(frame.inside), dtype=np.bool_)
    known[known_rows], has_known[known_rows] = differences, True
    has_known &= frame.inside
    weights, assumption = frame.label_weights(rows.pair)
    weights = weights * frame.traffic[rows.pair]
    everything = facts if round_id is None else load_facts(workspace, None)
    judge, predicted = _judge(everything, frame, contract or config.contract)
    notes = [assumption] if assumption else []
    if simulated := int(np.count_nonzero(rows.simulated)):
        notes.append(f"{simulated:,} of the labels are simulated by the demo.")
    notes += _origin(frame)
    parts = [rows.pair, rows.error_old, rows.error_new, rows.categories_old, rows.categories_new, known, has_known]
    parts += [frame.stratum, frame.task, frame.traffic] + ([] if predicted is None else [predicted])
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()
    return Evidence(frame, rows, weights, known, has_known, predicted, judge, tuple(notes), digest)


def _origin(frame: Population) -> list[str]:
    """What pairs from samples and from synthetic traces mean for a claim about traffic."""
    notes: list[str] = []
    made, pairs = int((frame.inside & frame.synthetic).sum()), int(frame.inside.sum())
    if made:
        notes.append(f"{made:,} of {pairs:,} pairs come from synthetic traces; they stand for no real traffic.")
    drawn = frame.inside & frame.sampled
    if drawn.any():
        least, most = float(frame.traffic[drawn].min()), float(frame.traffic[drawn].max())
        count = int(drawn.sum())
        text = f"{count:,} pairs come from samples of traffic: each stands for {least:,.1f} to {most:,.1f} traces"
        notes.append(text + (f", the {pairs - count:,} others for themselves." if pairs > count else "."))
    return notes


def _inside(rows: OutcomeRows, inside: Bools) -> OutcomeRows:
    """Labels on pairs of the frame."""
    keep = inside[rows.pair]
    return replace(
        rows,
        pair=rows.pair[keep],
        error_old=rows.error_old[keep],
        error_new=rows.error_new[keep],
        categories_old=rows.categories_old[keep],
        categories_new=rows.categories_new[keep],
        simulated=rows.simulated[keep],
    )


def _judge(facts: Facts, frame: Population, contract: Contract) -> tuple[str | None, Floats | None]:
    """The judge that carries labels over, and what it makes of each pair's difference."""
    open_pairs = frame.inside & (frame.kind != frame.IDENTICAL)
    best: tuple[int, str, Floats] | None = None
    for index, name in enumerate(facts.votes.judges):
        if contract.judge not in (None, name):
            continue
        predicted, judged = _predicted(facts, index)
        reach = int((judged & open_pairs).sum())
        if reach >= COVERAGE * int(open_pairs.sum()) and (best is None or reach > best[0]):
            best = (reach, name, predicted)
    return (None, None) if best is None else (best[1], best[2])


def _predicted(facts: Facts, judge: int) -> tuple[Floats, Bools]:
    """A judge's view of correct(new) - correct(old) for every pair, and which pairs it judged.

    From its own error directions where it gave them on as many pairs, else from the side it prefers; a tie, and a
    verdict that cannot be used, is 0. A poor guess costs precision and never validity: labels correct it.
    """
    verdict = joined_verdicts(facts, judge).verdict
    judged = verdict != ABSENT
    predicted = (verdict == NEW).astype(np.float64) - (verdict == OLD)
    old, _, told_old = judge_codes(facts, judge, "error_old", Rules())
    new, _, told_new = judge_codes(facts, judge, "error_new", Rules())
    if int((told_old & told_new).sum()) >= int(judged.sum()):
        predicted = np.where(told_old & told_new, (new == NONE) * 1.0 - (old == NONE), 0.0)
    return predicted, judged


@dataclass(frozen=True)
class Scope:
    """All traffic, or one task's: rows that speak for it and its strata.

    A stratum is a task's disagreements, all judged ties, or a task's pairs with known correctness. `pairs` counts them.
    """

    sample: Sample
    rows: Bools
    pairs: Floats
    shares: TrafficShares


def strata_of(evidence: Evidence) -> Ints:
    """The stratum of every pair: a task's disagreements, the judged ties, a task's known outcomes; -1 elsewhere."""
    frame, tasks = evidence.frame, len(evidence.frame.tasks)
    code = np.where(frame.kind == frame.JUDGED_TIE, tasks, frame.task)
    code = np.where(evidence.has_known, tasks + 1 + frame.task, code)
    return np.where(frame.inside & (frame.kind != frame.IDENTICAL), code, -1).astype(np.int64)


def scope_of(evidence: Evidence, pairs: Ints, known: Bools, task: int | None) -> Scope | None:
    """The strata of all traffic (task None) or of a task, and which of the rows speak for them.

    Args:
        evidence: What there is.
        pairs: Pair of each row, shape (rows,).
        known: Whether the row is a known outcome and not a label, shape (rows,).
        task: Code of the task.
    """
    frame, tasks = evidence.frame, len(evidence.frame.tasks)
    code = strata_of(evidence)
    inside = frame.inside if task is None else frame.inside & (frame.task == task)
    size = 2 * tasks + 1
    counted = inside & (code >= 0)
    sizes = np.bincount(code[counted], frame.traffic[counted], size).astype(np.float64)
    numbers = np.bincount(code[counted], minlength=size).astype(np.float64)
    reachable = np.bincount(code[counted], (frame.pi[counted] > 0) * 1.0, size) > 0
    families = np.concatenate([np.zeros(tasks), [1], np.full(tasks, 2)]).astype(np.int64)
    # A label on a pair with known correctness says nothing further about its correctness.
    speaks = (code[pairs] >= 0) & (sizes[np.maximum(code[pairs], 0)] > 0)
    speaks &= known | (families[np.maximum(code[pairs], 0)] < 2)
    total = float(frame.traffic[inside].sum())
    identical = max(0.0, total - float(sizes.sum()))
    sample = pool(code[pairs][speaks], sizes, families, reachable, identical)
    if sample is None:
        return None
    kinds = [identical, sizes[tasks], sizes[:tasks].sum(), sizes[tasks + 1 :].sum()]
    shares = TrafficShares(*(float(each) / total for each in kinds), pairs=int(inside.sum()))
    return Scope(sample, speaks, numbers, shares)


def shared(weights: Floats, pairs: Ints) -> Floats:
    """Each row's weight: the pair's, divided by the rows on the pair."""
    return weights / np.bincount(pairs)[pairs]


def estimate(
    scope: Scope, values: Floats, pairs: Ints, weights: Floats, prompts: Ints, level: float, excluded: dict[str, int]
) -> Result:
    """The weighted difference over the scope's traffic; unlabelled traffic widens it by all it could hold."""
    sample, rows = scope.sample, scope.rows
    found = stratified_difference(
        values[rows],
        compact(prompts[pairs[rows]]),
        strata=sample.strata,
        shares=sample.shares,
        weights=weights[rows],
        known_zero=1 - float(sample.shares.sum()),
        level=level,
        exclusions=excluded,
    )
    return widened(found, sample.unlabelled, scope, 1)


def widened(found: Result, unlabelled: float, scope: Scope, step: int) -> Result:
    if isinstance(found, NotEstimable) or unlabelled <= 1e-12:
        return found
    left = int(scope.pairs[scope.sample.joined < 0].sum())
    return replace(
        found,
        low=found.low - step * unlabelled,
        high=found.high + step * unlabelled,
        exclusions={**found.exclusions, WORST_CASE: left},
    )


def tasks_in(evidence: Evidence) -> list[int]:
    """Codes of the tasks that the frame has, by name; none where no pair names one."""
    frame = evidence.frame
    found = [int(code) for code in np.unique(frame.task[frame.inside])]
    named = [code for code in found if frame.tasks[code] is not None]
    return sorted(found, key=lambda code: (frame.tasks[code] is None, frame.tasks[code] or "")) if named else []


def shares_without_labels(evidence: Evidence, task: int | None) -> TrafficShares:
    """The shares of a scope that has no labels at all."""
    frame, code, tasks = evidence.frame, strata_of(evidence), len(evidence.frame.tasks)
    inside = frame.inside if task is None else frame.inside & (frame.task == task)
    code, traffic = code[inside], frame.traffic[inside]
    parts = [code < 0, code == tasks, (code >= 0) & (code < tasks), code > tasks]
    total = max(float(traffic.sum()), 1e-300)
    return TrafficShares(*(float(traffic[part].sum()) / total for part in parts), pairs=int(inside.sum()))


def without_known(evidence: Evidence) -> Evidence:
    """The same, where known correctness does not count: it says nothing about how an answer fails."""
    return replace(evidence, has_known=np.zeros_like(evidence.has_known))
