"""The parts of the contract that rest on people's labels, and how far the judges agree with them on the same pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from review.domain.contract import Terms
from review.services import calibration
from review.services.facts import Facts, Rules, compare_with_people, load_facts, people_answers
from review.services.gate_report import Claim, Finding, judged, part, why
from review.services.outcomes import gather
from review.services.parity import parity
from review.services.parity_report import CategoryGrowth, Missing, ParityReport, TaskParity
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Bools, Floats, Ints, clustered_mean, compact
from review.stats.paired import sign_test
from review.stats.pass_rate import further_cases
from review.stats.planning import further_labels
from review.stats.stratified import stratified_difference
from review.stats.verdict import Verdict
from review.stats.weighted import hajek
from review.store.agreement import DIMENSIONS

TONES = DIMENSIONS["tone"]
NOBODY = NotEstimable("no pair of the run's traffic has a label yet")


@dataclass(frozen=True)
class Labels:
    """People's labels on a run's traffic, before anything is read off them.

    Attributes:
        labelled: Different pairs that say which way each side errs (or came with their correctness).
        digest: Of everything that the parts and the judges' agreement are computed from.
        facts: Labels and votes.
        inside: The pairs of the run's traffic, by row number.
        tone: -1 where old's tone fits better, 0, 1 where new's, shape (n,); `tone_prompts` beside it.
        changes: Of confidences and certainty.
    """

    sources: tuple[str, ...]
    labelled: int
    digest: str
    facts: Facts
    inside: Bools
    tone: Ints
    tone_prompts: Ints
    changes: calibration.Changes


def labels_of(workspace: Workspace, sources: tuple[str, ...], terms: Terms) -> Labels:
    """What people said about the pairs of some sources."""
    evidence = gather(workspace, None, sources, terms)
    facts = load_facts(workspace, None)
    pair, answer, _ = people_answers(facts, "tone", Rules())
    kept = evidence.frame.inside[pair]
    pair, tone = pair[kept], (answer[kept] - TONES.index("same")).astype(np.int64)
    changes = calibration.changes_of(workspace, sources)
    digest = hashlib.sha256(evidence.digest.encode())
    arrays: list[Floats | Ints] = [pair, tone, changes.brier, changes.certainty]
    preferences, given, _ = people_answers(facts, "preference", Rules())
    arrays += [each[evidence.frame.inside[preferences]] for each in (preferences, given)]
    for each in arrays:
        digest.update(np.ascontiguousarray(each).tobytes())
    return Labels(
        sources=sources,
        labelled=evidence.labelled,
        digest=digest.hexdigest(),
        facts=facts,
        inside=evidence.frame.inside,
        tone=tone,
        tone_prompts=compact(facts.prompts[pair]),
        changes=changes,
    )


def parts(workspace: Workspace, labels: Labels, terms: Terms, alpha: float) -> tuple[list[Finding], ParityReport]:
    """The parts that rest on labels, at this look's alpha."""
    report = parity(workspace, sources=labels.sources, contract=terms, alpha=alpha)
    found = [_tolerance(report, alpha), _failures(report, alpha), _direction(report, terms, alpha)]
    if terms.tone_margin is not None:
        found.append(_tone(labels, terms.tone_margin, terms, alpha))
    if terms.calibration_margin is not None:
        found.append(_calibration(labels, terms.calibration_margin, terms, alpha))
    return found, report


def unread(terms: Terms, alpha: float, reason: str) -> list[Finding]:
    """The same parts where nothing can be read off: undecided, for one reason."""
    nothing = NotEstimable(reason)
    bounds: dict[str, tuple[float | None, bool]] = {
        "tolerance": (-terms.tolerance, False),
        "failure_modes": (terms.category_ceiling, False),
        "direction": (terms.direction_margin, True),
        "tone": (terms.tone_margin, False),
        "calibration": (terms.calibration_margin, False),
    }
    return [
        Finding(
            id=name,
            verdict="inconclusive",
            estimate=nothing,
            bound=bound,
            bound_kind="margin" if name in ("tolerance", "direction") else "ceiling",
            evidence="labels",
            why=why(nothing, "inconclusive", bound, "margin"),
            alpha=alpha,
            two_sided=two_sided,
        )
        for name, (bound, two_sided) in bounds.items()
        if bound is not None
    ]


def _tolerance(report: ParityReport, alpha: float) -> Finding:
    rows = [_task(each, alpha) for each in report.tolerance]
    return part("tolerance", rows, judged=any(each.judge is not None for each in report.tolerance))


def _task(each: TaskParity, alpha: float) -> Finding:
    return Finding(
        id=each.task or "(no task)",
        verdict=each.verdict,
        estimate=each.difference,
        bound=-each.tolerance,
        bound_kind="margin",
        evidence="labels" if each.judge is None else "labels and judge",
        why=why(each.difference, each.verdict, -each.tolerance, "margin"),
        alpha=alpha,
        missing=_fewest(each.missing),
        judged=each.judge is not None,
    )


def _fewest(missing: Missing | None) -> int | None:
    if missing is None:
        return None
    counts = [each for each in (missing.labels, missing.with_judge) if isinstance(each, int)]
    return min(counts) if counts else None


def _failures(report: ParityReport, alpha: float) -> Finding:
    modes = report.failure_modes
    rows = tuple(_category(each, modes.ceiling, alpha) for each in modes.categories)
    if isinstance(modes.missed, NotEstimable):
        unseen = f"How rare a new category would have to be to be missed is not to be said: {modes.missed.reason}."
    else:
        small = modes.missed < modes.ceiling
        unseen = f"A category that nobody named may have a rate of up to {modes.missed:.3f}" + (
            ", which is below the ceiling." if small else ", which is above the ceiling: too few labels to exclude one."
        )
    bad = [each for each in rows if each.verdict == modes.verdict] if modes.verdict != "parity" else []
    named = "; ".join(f"{each.id}: {each.why}" for each in bad[:3])
    grown: Result = rows[0].estimate if rows else NotEstimable("no label names a category")
    return Finding(
        id="failure_modes",
        verdict=modes.verdict,
        estimate=(bad[0] if bad else rows[0]).estimate if rows else grown,
        bound=modes.ceiling,
        bound_kind="ceiling",
        evidence="labels",
        why=f"{named} {unseen}".strip(),
        alpha=alpha,
        missing=_unseen_missing(modes.missed, modes.ceiling, modes.pairs) if modes.verdict == "inconclusive" else None,
        rows=rows,
    )


def _unseen_missing(missed: float | NotEstimable, ceiling: float, pairs: int) -> int | None:
    """Labels so that a category nobody named would be rarer than the ceiling; its bound falls with 1 / n."""
    if isinstance(missed, NotEstimable) or missed < ceiling:
        return None
    return max(1, round(pairs * (missed / ceiling - 1)) + 1)


def _category(each: CategoryGrowth, ceiling: float, alpha: float) -> Finding:
    new_only = " It was seen on new only." if each.new_only and each.verdict != "parity" else ""
    return Finding(
        id=each.category,
        verdict=each.verdict,
        estimate=each.growth,
        bound=ceiling,
        bound_kind="ceiling",
        evidence="labels",
        # Any growth that is beyond chance is harm; the ceiling is what growth by chance may still be.
        why=f"named {each.old} times on old and {each.new} on new, "
        + (
            f"grown beyond chance: {_interval(each.growth)}."
            if each.verdict == "regression"
            else why(each.growth, each.verdict, ceiling, "ceiling")
        )
        + new_only,
        alpha=alpha,
    )


def _interval(result: Result) -> str:
    return f"{result.low:+.3f} to {result.high:+.3f}" if isinstance(result, Estimate) else result.reason


def _direction(report: ParityReport, terms: Terms, alpha: float) -> Finding:
    direction, margin = report.direction, report.direction.margin
    rows = tuple(
        Finding(
            id=each.task or "(no task)",
            verdict="parity" if each.verdict == "inconclusive" else each.verdict,
            estimate=each.balance,
            bound=margin,
            bound_kind="margin",
            evidence="labels",
            why=why(each.balance, each.verdict, margin, "margin", two_sided=True),
            alpha=alpha,
            two_sided=True,
        )
        for each in direction.tasks
    )
    said = {
        "towards_confident": "Errors became more confident: ",
        "towards_cautious": "Errors became more cautious: ",
    }.get(direction.direction, "")
    in_tasks = [each.id for each in rows if each.verdict == "regression"]
    by_task = f" It moved in {', '.join(in_tasks[:3])}." if in_tasks else ""
    more: int | NotEstimable | None = None
    if direction.verdict == "inconclusive" and isinstance(direction.balance, Estimate):
        more = further_labels(direction.balance, margin, alpha=alpha, power=terms.power)
    shown: Verdict = direction.verdict if not in_tasks or said else "inconclusive"
    return Finding(
        id="direction",
        verdict=direction.verdict,
        estimate=direction.balance,
        bound=margin,
        bound_kind="margin",
        evidence="labels",
        why=said + why(direction.balance, shown, margin, "margin", two_sided=True) + by_task,
        alpha=alpha,
        missing=more if isinstance(more, int) else None,
        two_sided=True,
        rows=rows,
    )


def _tone(labels: Labels, margin: float, terms: Terms, alpha: float) -> Finding:
    def at(level: float) -> Result:
        found = sign_test(labels.tone, labels.tone_prompts, level)
        if isinstance(found, NotEstimable):
            return NotEstimable("no label says whose tone fits better")
        shift = found.difference
        if isinstance(shift, NotEstimable):
            return shift
        return replace(shift, value=0.0 - shift.value, low=0.0 - shift.high, high=0.0 - shift.low)

    claim = Claim("tone", at, margin, "ceiling", lambda found: _more(found, margin, terms, alpha))
    return part("tone", judged([claim], alpha, "labels"))


def _calibration(labels: Labels, margin: float, terms: Terms, alpha: float) -> Finding:
    changes = labels.changes

    def brier(level: float) -> Result:
        weights = np.ones(len(changes.brier))
        return hajek(changes.brier, weights, compact(changes.brier_prompts), bounds=(-1.0, 1.0), level=level)

    def certainty(level: float) -> Result:
        if len(changes.certainty) == 0:
            return NotEstimable("no label says of both answers whether their certainty fits")
        return stratified_difference(changes.certainty, compact(changes.certainty_prompts), largest_step=2, level=level)

    def missing(found: Result) -> int | NotEstimable | None:
        return _more(found, margin, terms, alpha)

    claims = [Claim("certainty of the wording", certainty, margin, "ceiling", missing, two_sided=True)]
    if len(changes.brier):
        claims.append(Claim("Brier score", brier, margin, "ceiling", missing))
    return part("calibration", judged(claims, alpha, "labels"))


def _more(found: Result, margin: float, terms: Terms, alpha: float) -> int | NotEstimable:
    """Labels that are missing for a mean that must stay below a margin; the sign does not matter to the count."""
    if isinstance(found, NotEstimable):
        return found
    mirrored = replace(found, value=-found.value, low=-found.high, high=-found.low)
    return further_labels(mirrored, margin, alpha=alpha, power=terms.power)


def judge_rows(labels: Labels, judges: Sequence[str], terms: Terms, alpha: float) -> tuple[Finding, ...]:
    """How far each of these judges says what people say, on the run's traffic."""
    return tuple(_judge(labels, name, terms, alpha) for name in judges)


def _judge(labels: Labels, name: str, terms: Terms, alpha: float) -> Finding:
    names = labels.facts.votes.judges
    estimate: Result = NotEstimable("no pair has both a person's preference and a verdict of this judge")
    if name in names:
        both = compare_with_people(labels.facts, names.index(name), "preference", Rules())
        kept = labels.inside[both.pair]
        if kept.any():
            agrees = (both.people == both.judge)[kept].astype(np.float64)
            estimate = clustered_mean(agrees, compact(labels.facts.prompts[both.pair[kept]]), 1 - 2 * alpha)
    return agreement(name, "labels", estimate, terms, alpha)


def agreement(name: str, evidence: str, estimate: Result, terms: Terms, alpha: float) -> Finding:
    """A judge's agreement against what the contract asks: shown, or not shown; never itself a regression."""
    asked = terms.judge_agreement
    shown = isinstance(estimate, Estimate) and estimate.low >= asked
    verdict: Verdict = "parity" if shown else "inconclusive"
    more: int | NotEstimable | None = None
    if isinstance(estimate, Estimate) and not shown:
        more = further_cases(estimate, asked, alpha=alpha, power=terms.power)
    return Finding(
        id=name,
        verdict=verdict,
        estimate=estimate,
        bound=asked,
        bound_kind="floor",
        evidence=evidence,
        why=why(estimate, verdict, asked, "floor"),
        alpha=alpha,
        missing=more if isinstance(more, int) else None,
        judged=True,
    )
