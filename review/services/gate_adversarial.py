"""The adversarial set's part of the gate: the pass rate of new against the floor, on entries that stood before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from review.domain.contract import Terms
from review.services import adversarial_runs, flag
from review.services.adversarial_runs import EntryStanding, Standing
from review.services.gate_labels import agreement
from review.services.gate_report import Claim, Finding, judged
from review.services.workspace import Workspace
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import Ints, wilson
from review.stats.pass_rate import JudgeErrors, further_cases, pass_rate
from review.stats.weighted_score import Differences
from review.store.runs import RunRow

_LISTED = 50


@dataclass(frozen=True)
class Case:
    """What the gate says of the set beside the part itself: `document` for the record, `differences` for the score."""

    part: Finding | None
    document: dict[str, Any]
    differences: Differences | None
    agreement: tuple[Finding, ...]
    size: int
    notes: tuple[str, ...]


def judge(workspace: Workspace, run: RunRow, replayed: bool, terms: Terms, size_before: int) -> Case:
    """The set in a run.

    Args:
        workspace: The open workspace.
        run: The run.
        replayed: It has the set's outcomes.
        terms: What was agreed.
        size_before: Entries at the last gate.
    """
    if replayed:
        return _stood(adversarial_runs.standing(workspace, run), terms, size_before)
    confirmed = [each.standing.confirmed_at for each in flag.entries(workspace, status="confirmed")]
    waiting = sum(at is not None and at <= run.started_at for at in confirmed)
    size = flag.summary(workspace).entries
    document = {"entries": 0, "waiting": waiting, "size": size}
    if waiting == 0:
        note = "The adversarial set had no confirmed entry when this run began; its floor was not tested."
        return Case(None, document, None, (), size, (note,))
    noun = "confirmed entry waits" if waiting == 1 else "confirmed entries wait"
    nothing = NotEstimable(f"{waiting} {noun}: review adversarial replay --run {run.name}")
    return Case(_undecided(nothing, terms), document, None, (), size, ())


def _stood(stood: Standing, terms: Terms, size_before: int) -> Case:
    alpha, floor = terms.alpha, terms.adversarial.floor
    told = [each for each in stood.entries if _rate(each.new) is not None]
    claims = [_claim("adversarial", told, stood, terms)]
    sides = {side: [each for each in told if each.failed == side] for side in ("old", "new")}
    claims += [_claim(f"flagged on {side}", each, stood, terms) for side, each in sides.items() if each]
    whole, *by_side = (judged([claim], alpha, "adversarial")[0] for claim in claims)
    by_judge = any(name.startswith(adversarial_runs.JUDGE) for each in told for name in each.new_by)
    found = replace(whole, judged=by_judge, rows=tuple(by_side))
    if stood.missing:
        found = found.but(f"{len(stood.missing)} confirmed entries have no outcome: replay the whole set.")
    if undecided := len(stood.entries) - len(told):
        found = found.but(f"{undecided} entries were decided by nobody.")
    if not stood.chain.ok:
        found = found.but(f"The set does not verify: {stood.chain.message}")
    if stood.size < size_before:
        found = found.but(f"The set has {stood.size} entries and had {size_before} at the last gate.")
    if stood.lost:
        found = replace(found, why=f"{found.why} {len(stood.lost)} passed before and fail now: {_ids(stood.lost)}.")
    notes = [f"{stood.unconfirmed} replayed entries of the adversarial set are not confirmed and do not count."]
    notes = notes if stood.unconfirmed else []
    if stood.later:
        notes.append(f"{stood.later} entries came after the run began: they are the next run's.")
    if sides["old"] and len(sides["old"]) > len(sides["new"]):
        notes.append(
            f"{len(sides['old'])} of {len(told)} adversarial entries were flagged on old: a set of old's failures "
            "favours new, so read both sides apart."
        )
    document = {
        "entries": len(told),
        "floor": floor,
        "flagged": {side: len(each) for side, each in sides.items()},
        "repeats": stood.repeats,
        "missing": list(stood.missing),
        "undecided": undecided,
        "unconfirmed": stood.unconfirmed,
        "later": stood.later,
        "lost": list(stood.lost),
        "previous": None if stood.previous is None else stood.previous.name,
        "size": stood.size,
        "size_before": size_before,
        "chain": {"ok": stood.chain.ok, "head": stood.chain.head, "message": stood.chain.message},
        "judge": stood.judge.to_json(),
    }
    agreed = _agreement(stood, terms) if by_judge else ()
    return Case(found, document, _differences(told), agreed, stood.size, tuple(notes))


def _claim(name: str, entries: Sequence[EntryStanding], stood: Standing, terms: Terms) -> Claim:
    """That the pass rate of new on these entries lies above the floor."""
    floor, errors = terms.adversarial.floor, stood.judge
    passes = np.array([_rate(each.new) or 0.0 for each in entries])
    by_judge = np.array(
        [any(by.startswith(adversarial_runs.JUDGE) for by in each.new_by) for each in entries], np.bool_
    )
    counts = JudgeErrors(errors.true_positive, errors.positives, errors.true_negative, errors.negatives)

    def at(level: float) -> Result:
        return pass_rate(passes, _prompts(entries), by_judge, counts, level=level)

    def missing(found: Result) -> int | NotEstimable | None:
        if isinstance(found, NotEstimable):
            return found
        return further_cases(found, floor, alpha=terms.alpha, power=terms.power)

    return Claim(name, at, floor, "floor", missing)


def _undecided(nothing: NotEstimable, terms: Terms) -> Finding:
    floor = terms.adversarial.floor
    claim = Claim("adversarial", lambda _level: nothing, floor, "floor", lambda _found: None)
    return judged([claim], terms.alpha, "adversarial")[0]


def _agreement(stood: Standing, terms: Terms) -> tuple[Finding, ...]:
    """How often the judge decided rightly on answers that were drawn for people to check."""
    errors = stood.judge
    right, checked = errors.true_positive + errors.true_negative, errors.positives + errors.negatives
    estimate: Result = wilson(right, checked, 1 - 2 * terms.alpha)
    if isinstance(estimate, NotEstimable):
        estimate = NotEstimable("nobody has checked a verdict on the adversarial set yet (page Adversarial set)")
    return (agreement("on the adversarial set", "adversarial", estimate, terms, terms.alpha),)


def _differences(entries: Sequence[EntryStanding]) -> Differences | None:
    """New minus old of each entry that was decided on both sides."""
    both = [each for each in entries if _rate(each.old) is not None]
    if not both:
        return None
    values = np.array([(_rate(each.new) or 0.0) - (_rate(each.old) or 0.0) for each in both])
    size = len(both)
    return Differences(values, np.ones(size), _prompts(both), np.zeros(size, dtype=np.int64))


def _prompts(entries: Sequence[EntryStanding]) -> Ints:
    codes = {name: code for code, name in enumerate(dict.fromkeys(each.prompt_id for each in entries))}
    return np.array([codes[each.prompt_id] for each in entries], dtype=np.int64)


def _rate(repeats: Sequence[bool | None]) -> float | None:
    """The share of decided repeats that pass."""
    told = [each for each in repeats if each is not None]
    return sum(told) / len(told) if told else None


def _ids(entries: Sequence[str]) -> str:
    return ", ".join(entries[:_LISTED]) + (f" and {len(entries) - _LISTED} more" if len(entries) > _LISTED else "")
