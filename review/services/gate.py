"""The gate: whether a run's candidate holds the contract, decided from all evidence there is, and put on record."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from review.domain.contract import Contract, Terms
from review.domain.identity import canonical
from review.domain.run import EVIDENCE, KINDS
from review.errors import BadInput, Conflict
from review.services import (
    adversarial_runs,
    contracts,
    gate_adversarial,
    gate_labels,
    gate_outcomes,
    golden,
    golden_people,
    rounds,
    runs,
)
from review.services.contracts import Held
from review.services.desk import Answer, Call
from review.services.gate_labels import Labels
from review.services.gate_report import Document, Finding, GateReport, ordered, part, sentence, stored
from review.services.workspace import Workspace
from review.stats.estimate import NotEstimable
from review.stats.looks import spent
from review.stats.verdict import Verdict, joined
from review.store import gates as store
from review.store.gates import GateRow
from review.store.runs import PartRow, RunRow

# A very early look is due less than any interval can be computed at.
_LEAST_ALPHA = 1e-9
_LABELS = ("tolerance", "failure_modes", "direction", "tone", "calibration")
# Which part of the contract a kind of evidence speaks to.
_PART_OF = {"benchmark": "benchmark", "golden": "golden", "replay": "tolerance", "shadow": "tolerance"}


@dataclass(frozen=True)
class Look:
    """A look at the labels.

    Attributes:
        number: Which look; the same labels are the same look.
        alpha: One-sided, what it may use.
        labelled: Labelled pairs now.
        planned: Labelled pairs at which the last look is due.
        refusal: Why the labels cannot be looked at anew; then what was read off them last stands.
    """

    number: int
    alpha: float
    labelled: int
    planned: int
    refusal: str | None = None


@dataclass(frozen=True)
class Standing:
    """Where a run stands before it is gated: what a look would use, and what is missing.

    Attributes:
        held: The contract.
        look: At its labels; None where its traffic has none.
        looks_left: By the contract, this one included.
        kinds: Which kinds of evidence it has.
        last: The last verdict under this contract; None where there is none.
        changed: Anything changed since.
    """

    held: Held
    look: Look | None
    looks_left: int
    kinds: tuple[str, ...]
    last: Document | None
    changed: bool


@dataclass(frozen=True)
class _Case:
    """All that a verdict rests on, gathered and not read yet."""

    run: RunRow
    parts: tuple[PartRow, ...]
    held: Held
    sources: tuple[str, ...]
    labels: Labels | None
    look: Look | None
    before: tuple[GateRow, ...]
    size_before: int
    digest: str

    def has(self, *kinds: str) -> bool:
        return any(each.evidence in kinds for each in self.parts)

    @property
    def last(self) -> GateRow | None:
        """The last verdict on this run under this contract."""
        return next((each for each in reversed(self.before) if each.contract == self.held.digest), None)


def gate(workspace: Workspace, run: RunRow, contract: Contract | None, by: str, now: datetime) -> GateReport:
    """Gate a run: read every part of the contract, and record the verdict. Without anything new the last one stands.

    Args:
        workspace: The open workspace.
        run: Whose candidate.
        contract: What was agreed; the one in force by default.
        by: Who asks.
        now: When.

    Raises:
        Conflict: Somebody else gated the same run at the same moment.
    """
    case = _gather(workspace, run, contract)
    if case.last is not None and case.last.evidence == case.digest:
        return _stored(case.last, case.look)
    document, verdict, size = _judged(workspace, case, now)
    labels, look = case.labels, case.look
    row = GateRow(
        gate_id=uuid.uuid4().hex,
        run_id=run.run_id,
        number=len(case.before) + 1,
        contract=case.held.digest,
        evidence=case.digest,
        labels=None if labels is None or look is None or look.refusal else labels.digest,
        look=None if look is None or look.refusal else look.number,
        labelled=look.labelled if look else 0,
        planned=look.planned if look else 0,
        alpha=look.alpha if look else case.held.terms.alpha,
        adversarial_size=size,
        verdict=verdict,
        document=document,
        gated_by=by,
        gated_at=now,
    )
    if not store.insert_gate(workspace.database, row):
        raise Conflict("Somebody else gated this run at the same moment. Ask again to see the verdict.")
    return GateReport(verdict, document, True, look.refusal if look else None)


def last(workspace: Workspace, run_id: str) -> Document | None:
    """The document of a run's last verdict, under whatever contract; None where it was never gated."""
    found = store.gates(workspace.database.cursor(), run_id)
    return found[-1].document if found else None


def history(workspace: Workspace, run_id: str | None = None) -> list[Document]:
    """The documents of all verdicts, of a run or of all, oldest first."""
    return [each.document for each in store.gates(workspace.database.cursor(), run_id)]


def standing(workspace: Workspace, run: RunRow, contract: Contract | None = None) -> Standing:
    """Where a run stands; nothing is read off, and nothing recorded."""
    case = _gather(workspace, run, contract)
    taken = len(_looks(case.before, case.held.digest))
    return Standing(
        held=case.held,
        look=case.look,
        looks_left=max(0, case.held.terms.looks - taken),
        kinds=tuple(each for each in EVIDENCE if case.has(each)),
        last=case.last.document if case.last else None,
        changed=case.last is None or case.last.evidence != case.digest,
    )


# What follows is asked through a desk.


def take(workspace: Workspace, call: Call) -> Answer:
    """Gate a run. Arguments: run (id, name or number), terms (None: the contract in force)."""
    from pydantic import ValidationError

    run = runs.get(workspace, str(call.arguments["run"]))
    terms: Terms | None = None
    if call.arguments.get("terms") is not None:
        try:
            terms = Terms.model_validate(call.arguments["terms"])
        except ValidationError:
            raise BadInput("The contract has mistakes: review contract check FILE names them.") from None
    found = gate(workspace, run, terms, call.by, call.now)
    return Answer({"document": found.document, "new": found.new, "refusal": found.refusal})


def read(workspace: Workspace, call: Call) -> Answer:
    """All verdicts of the gate, of a run or of all. Argument: run (id, name or number; None: all)."""
    asked = call.arguments.get("run")
    run_id = None if asked is None else runs.get(workspace, str(asked)).run_id
    return Answer({"gates": history(workspace, run_id)})


def _gather(workspace: Workspace, run: RunRow, contract: Contract | None) -> _Case:
    recorded = runs.parts(workspace, run.run_id)
    dropped = runs.superseded(recorded)
    counting = tuple(each for each in recorded if (each.run_id, each.evidence, each.part) not in dropped)
    held = contracts.held(workspace, contract)
    sources = runs.traffic_sources(workspace, run.run_id)
    labels = gate_labels.labels_of(workspace, sources, held.terms) if sources else None
    everything = store.gates(workspace.database.cursor())
    before = tuple(each for each in everything if each.run_id == run.run_id)
    case = _Case(
        run=run,
        parts=counting,
        held=held,
        sources=sources,
        labels=labels if labels is not None and labels.labelled else None,
        look=None,
        before=before,
        size_before=max((each.adversarial_size for each in everything), default=0),
        digest="",
    )
    if case.labels is not None:
        case = replace(case, look=_look(workspace, case, case.labels))
    return replace(case, digest=_digest(workspace, case))


def _digest(workspace: Workspace, case: _Case) -> str:
    """Of everything that a verdict rests on."""
    said = [
        case.held.digest,
        case.labels.digest if case.labels else None,
        sorted([each.evidence, each.part, each.data_hash] for each in case.parts),
        adversarial_runs.version(workspace),
        golden.data_version(workspace) if case.has("golden") else None,
    ]
    return hashlib.sha256(canonical(said).encode()).hexdigest()


def _looks(before: Sequence[GateRow], contract: str) -> list[GateRow]:
    """The first verdict of each look at the labels under a contract."""
    found: dict[int, GateRow] = {}
    for each in before:
        if each.contract == contract and each.look is not None:
            found.setdefault(each.look, each)
    return list(found.values())


def _look(workspace: Workspace, case: _Case, labels: Labels) -> Look:
    """Which look the labels of today are, and what it may use."""
    terms, taken = case.held.terms, _looks(case.before, case.held.digest)
    places = store.places(workspace.database.cursor(), case.sources)
    planned = max(1, terms.planned_pairs or places or labels.labelled, labels.labelled)
    if taken and taken[-1].labels == labels.digest:
        return Look(taken[-1].look or 1, taken[-1].alpha, labels.labelled, taken[-1].planned)
    if _complete(workspace, case):
        planned = labels.labelled
    fractions = [min(1.0, each.labelled / each.planned) for each in taken]
    try:
        alpha = max(_LEAST_ALPHA, spent(terms.alpha, terms.looks, [*fractions, labels.labelled / planned]))
    except ValueError as error:
        reason = str(error)[:1].upper() + str(error)[1:].rstrip(".") + "."
        return Look(len(taken), taken[-1].alpha if taken else 0.0, labels.labelled, planned, reason)
    return Look(len(taken) + 1, alpha, labels.labelled, planned)


def _complete(workspace: Workspace, case: _Case) -> bool:
    """Whether no further label is planned: no number is agreed, and every round about these pairs has ended."""
    if case.held.terms.planned_pairs is not None:
        return False
    asking = store.rounds_of(workspace.database.cursor(), case.sources)
    return all(each.progress.state != "open" for each in rounds.list_rounds(workspace) if each.round_id in asking)


def _judged(workspace: Workspace, case: _Case, now: datetime) -> tuple[Document, Verdict, int]:
    """All parts, and what is to be known beside them."""
    terms, notes = case.held.terms, [*case.held.notes]
    found, judges = _label_parts(workspace, case, notes)
    rows = gate_outcomes.read(runs.outcomes(workspace, case.run.run_id))
    adversarial = gate_adversarial.judge(workspace, case.run, case.has("adversarial"), terms, case.size_before)
    notes += adversarial.notes
    found += [
        each
        for each in (
            gate_outcomes.benchmarks(rows, terms, terms.alpha),
            gate_outcomes.golden(rows, terms, terms.alpha),
            gate_outcomes.long_context(rows, terms, terms.alpha),
            gate_outcomes.tool_chains(rows, terms, terms.alpha),
            gate_outcomes.weighted_score(rows, adversarial.differences, _traffic(found), terms, terms.alpha),
            adversarial.part,
        )
        if each is not None
    ]
    for kind in ("benchmark", "replay", "shadow"):
        judges |= set(rows.judges.get(kind, ()))
    agreed = {
        "golden": _on_golden(workspace, rows.judges.get("golden", ()), terms),
        "adversarial": adversarial.agreement,
        "": _on_traffic(case, sorted(judges)),
    }
    found = _with_agreement(found, agreed, terms)
    found = list(ordered(_required(case, found, notes)))
    notes += _other_gates(case)
    verdict = joined(each.verdict for each in found)
    described = runs.described(case.run, case.parts)
    document: Document = {
        "verdict": verdict,
        "line": sentence(verdict, described, found),
        "gated_at": now.isoformat(),
        "run": described,
        "contract": case.held.to_json(),
        "alpha": case.look.alpha if case.look else terms.alpha,
        "look": case.look.number if case.look else None,
        "looks": terms.looks,
        "labelled_pairs": case.look.labelled if case.look else 0,
        "planned_pairs": case.look.planned if case.look else 0,
        "parts": [each.to_json() for each in found],
        "adversarial": adversarial.document,
        "notes": list(dict.fromkeys(notes)),
        "evidence": case.digest,
        "number": len(case.before) + 1,
    }
    return document, verdict, adversarial.size


def _traffic(found: Sequence[Finding]) -> Finding | None:
    """What the labels say of all traffic: the first row of the tolerances."""
    tolerance = next((each for each in found if each.id == "tolerance"), None)
    return tolerance.rows[0] if tolerance and tolerance.rows else tolerance


def _label_parts(workspace: Workspace, case: _Case, notes: list[str]) -> tuple[list[Finding], set[str]]:
    """What rests on labels: read at this look, or as it stood at the last one where no further look can be taken."""
    terms = case.held.terms
    if not case.sources:
        return [], set()
    if case.labels is None or case.look is None:
        return gate_labels.unread(terms, terms.alpha, gate_labels.NOBODY.reason), set()
    if case.look.refusal:
        notes.append(f"The labels were not looked at anew: {case.look.refusal}")
        if taken := _looks(case.before, case.held.digest):
            read_then = [stored(each) for each in taken[-1].document["parts"] if each["id"] in _LABELS]
            return read_then, {row.id for row in read_then if row.judged}
        return gate_labels.unread(terms, terms.alpha, f"no look can be taken now: {case.look.refusal}"), set()
    found, report = gate_labels.parts(workspace, case.labels, terms, case.look.alpha)
    notes += report.notes
    return found, {each.judge for each in report.tolerance if each.judge is not None}


def _on_traffic(case: _Case, judges: Sequence[str]) -> tuple[Finding, ...]:
    """How far these judges agree with people on the run's traffic."""
    terms = case.held.terms
    alpha = case.look.alpha if case.look and not case.look.refusal else terms.alpha
    if case.labels is not None:
        return gate_labels.judge_rows(case.labels, judges, terms, alpha)
    nothing = NotEstimable("no label on the run's traffic to compare its verdicts with")
    return tuple(gate_labels.agreement(each, "labels", nothing, terms, alpha) for each in judges)


def _on_golden(workspace: Workspace, judges: Sequence[str], terms: Terms) -> tuple[Finding, ...]:
    """How far these judges agree with people on rubric items of the golden set."""
    known = {each.judge: each.overall for each in golden_people.agreements(workspace)} if judges else {}
    nothing = NotEstimable("nobody has scored what this judge scored on the golden set (page Golden set)")
    return tuple(
        gate_labels.agreement(f"{each}, golden set", "golden", known.get(each, nothing), terms, terms.alpha)
        for each in judges
    )


def _with_agreement(found: list[Finding], agreed: Mapping[str, Sequence[Finding]], terms: Terms) -> list[Finding]:
    """The parts, with those that rest on a judge held back where people do not agree with it enough.

    Args:
        found: The parts.
        agreed: Judges against people: under a part's id those of this part alone, under "" those of all others.
        terms: What was agreed.
    """
    everything = [each for rows in agreed.values() for each in rows]
    if not everything:
        return found
    reason = f"The judge is not shown to agree with people on {terms.judge_agreement:.0%} of pairs, as agreed."

    def poor(id: str) -> bool:
        rows = everything if id == "weighted_score" else agreed.get(id, agreed[""])
        return any(each.verdict != "parity" for each in rows)

    result = [each.but(reason) if each.judged and poor(each.id) else each for each in found]
    return [*result, replace(part("judge_agreement", everything), judged=True, rows=tuple(everything))]


def _required(case: _Case, found: list[Finding], notes: list[str]) -> list[Finding]:
    """The parts, and one that is undecided for every kind of evidence that the contract asks for and the run lacks."""
    terms = case.held.terms
    lacking = [kind for kind in KINDS if not case.has(kind)]
    if lacking:
        notes.append(f"The run has no {', '.join(lacking)} evidence.")
    for kind in terms.requires:
        satisfied = case.has("replay", "shadow") if kind == "replay" else case.has(kind)
        name = _PART_OF.get(kind, kind)
        if satisfied or any(each.id == name and not isinstance(each.estimate, NotEstimable) for each in found):
            continue
        bounds = {
            "tolerance": -terms.tolerance,
            "benchmark": -terms.benchmark_tolerance,
            "golden": -terms.golden_tolerance,
            "adversarial": terms.adversarial.floor,
        }
        nothing = NotEstimable(f"the contract requires {kind} evidence, and the run has none")
        found = [
            *(each for each in found if each.id != name),
            Finding(
                id=name,
                verdict="inconclusive",
                estimate=nothing,
                bound=bounds[name],
                bound_kind="floor" if name == "adversarial" else "margin",
                evidence=kind,
                why=f"The contract requires {kind} evidence, and the run has none.",
                alpha=terms.alpha,
            ),
        ]
    return found


def _other_gates(case: _Case) -> list[str]:
    others = [each for each in case.before if each.contract != case.held.digest]
    if not others:
        return []
    return [f"This run was gated {len(others)} times under other terms: what was agreed changed after a look."]


def _stored(row: GateRow, look: Look | None) -> GateReport:
    verdict: Verdict = row.document["verdict"]
    return GateReport(verdict, row.document, False, look.refusal if look else None)
