"""Contracts: draft one from what is there, sign it, and know which one is in force."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from review.domain.contract import AdversarialTerms, Contract, Terms, differences, signed_digest, signed_text
from review.domain.contract_text import written
from review.errors import BadInput, NotFound
from review.services.desk import Answer, Call
from review.services.workspace import Workspace
from review.settings import EvalConfig
from review.stats.estimate import NotEstimable
from review.stats.noise import noise_floor
from review.store import gates as store
from review.store.gates import VersionRow

_NAME = 200
_TASKS = 50


@dataclass(frozen=True)
class Held:
    """A contract as it stands now.

    Attributes:
        terms: What is agreed.
        digest: Of the terms with today's rubric and failure categories.
        version: The version that has exactly this digest, if any was signed.
        notes: What a reader of a verdict has to know about it.
    """

    terms: Terms
    digest: str
    version: VersionRow | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values: digest, version, who signed, then the terms."""
        signed = self.version.signatures if self.version else ()
        return {
            "digest": self.digest,
            "version": self.version.version if self.version else None,
            "signed": [each.to_json() for each in signed],
            **self.terms.model_dump(mode="json"),
        }


def configured(config: EvalConfig) -> Terms:
    """The terms that the configuration says: where a contract begins, and what holds until one is signed."""
    gates = config.gates.model_dump()
    floor = gates.pop("adversarial_floor")
    return Terms.model_validate(
        {
            **config.contract.model_dump(),
            **gates,
            "adversarial": AdversarialTerms(floor=floor, weight=config.adversarial.weight),
        }
    )


def in_force(workspace: Workspace) -> Terms:
    """The newest signed version's terms, else the configuration's."""
    return held(workspace).terms


def agreed(workspace: Workspace) -> Contract:
    """What is in force for labels alone: what Parity and its looks go by."""
    terms = in_force(workspace)
    return Contract.model_validate(terms.model_dump(include=set(Contract.model_fields)))


def held(workspace: Workspace, terms: Contract | None = None) -> Held:
    """A contract with its signatures: the one in force, or the one that is given."""
    listed = store.versions(workspace.database.cursor())
    config, notes = workspace.settings.config, list[str]()
    if terms is None and listed:
        terms = _terms(listed[-1])
    elif terms is None:
        terms = configured(config)
    whole = terms if isinstance(terms, Terms) else Terms.model_validate(terms.model_dump())
    digest = signed_digest(whole, config.rubric, config.failure_categories)
    version = next((each for each in reversed(listed) if each.digest == digest), None)
    if not listed:
        notes.append("Nobody has signed a contract yet. Agree on one: review contract init")
    elif version is None:
        changed = differences(listed[-1].content, json.loads(_text(workspace, whole)))
        keys = ", ".join(key for key, _, _ in changed[:5]) + (", …" if len(changed) > 5 else "")
        notes.append(f"Nobody has signed this contract: it differs from version {listed[-1].version} in {keys}.")
    elif version is not listed[-1]:
        notes.append(f"This is version {version.version} of the contract; version {listed[-1].version} replaced it.")
    return Held(whole, digest, version, tuple(notes))


def get(workspace: Workspace, version: int) -> VersionRow:
    """A signed version.

    Raises:
        NotFound: There is none of this number.
    """
    for each in store.versions(workspace.database.cursor()):
        if each.version == version:
            return each
    raise NotFound(f"There is no version {version} of the contract. See them with: review contract show")


def noise(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """How far the baseline, asked again, comes out apart from itself, by evidence and task."""
    found: dict[str, dict[str, Any]] = {}
    for each in store.repeats(workspace.database.cursor()):
        floor = noise_floor(each.sums, each.counts)
        name = each.task or "(no task)"
        shown = floor.to_json() if isinstance(floor, NotEstimable) else {"floor": floor}
        known = found.get(name)
        # The same task in golden set and traffic: the noisier of both is what a tolerance meets.
        if known is None or shown.get("floor", 0.0) > known.get("floor", 0.0):
            found[name] = {"evidence": each.evidence, "prompts": len(each.sums), **shown}
    return found


def warnings(terms: Terms, noisy: dict[str, dict[str, Any]]) -> list[str]:
    """A sentence for every tolerance that lies below the noise of the baseline itself."""
    said: list[str] = []
    for task, each in noisy.items():
        if "floor" not in each:
            continue
        by_evidence = {"benchmark": terms.benchmark_for, "golden": terms.golden_for}
        tolerance = by_evidence.get(each["evidence"], terms.tolerance_for)(task)
        if tolerance < each["floor"]:
            said.append(
                f"{task}: the tolerance {tolerance:g} lies below the noise floor {each['floor']:.4f}: asked again, the "
                "baseline itself comes out that far apart. Ask more examples, or agree on a wider one."
            )
    return said


# What follows is asked through a desk.


def draft(workspace: Workspace, call: Call) -> Answer:
    """A contract to agree on. Argument: file, how the person will call it."""
    terms = configured(workspace.settings.config)
    tasks = store.tasks(workspace.database.cursor())[:_TASKS]
    noisy = noise(workspace)
    floors = {task: float(each["floor"]) for task, each in noisy.items() if "floor" in each and task != "(no task)"}
    text = written(terms, tasks, floors, str(call.arguments.get("file", "contract.yaml")))
    return Answer({"text": text, "tasks": tasks, "noise": noisy, "warnings": warnings(terms, noisy)})


def examine(workspace: Workspace, call: Call) -> Answer:
    """What terms mean here. Argument: terms."""
    terms = _given(call)
    known = {*store.tasks(workspace.database.cursor()), *noise(workspace)}
    strange = [task for task in terms.task_tolerance if known and task not in known]
    notes = [f"task_tolerance names {task!r}, and there is no such task here yet." for task in strange]
    found = held(workspace, terms)
    return Answer({**found.to_json(), "warnings": warnings(terms, noise(workspace)), "notes": [*found.notes, *notes]})


def sign(workspace: Workspace, call: Call) -> Answer:
    """Sign. Arguments: terms, name."""
    terms, name = _given(call), " ".join(str(call.arguments.get("name", "")).split())
    if not name or len(name) > _NAME or not name.isprintable():
        raise BadInput(f"A signature is a name of 1 to {_NAME} printable characters.")
    text, config = _text(workspace, terms), workspace.settings.config
    digest = signed_digest(terms, config.rubric, config.failure_categories)
    before = store.versions(workspace.database.cursor())
    version, new = store.sign(workspace.database, digest, text, name, call.by, call.now)
    changes = differences(before[-1].content, json.loads(text)) if before else []
    return Answer(
        {
            "version": version,
            "digest": digest,
            "name": name,
            "new": new,
            "changes": [_change(*each) for each in changes],
            "signed": [each.to_json() for each in get(workspace, version).signatures],
            "warnings": warnings(terms, noise(workspace)),
        }
    )


def read(workspace: Workspace, _call: Call) -> Answer:
    """The contract in force, and all versions."""
    found = held(workspace)
    return Answer(
        {
            **found.to_json(),
            "notes": list(found.notes),
            "versions": [_described(each) for each in store.versions(workspace.database.cursor())],
        }
    )


def compare(workspace: Workspace, call: Call) -> Answer:
    """What changed from one version to another. Arguments: before, after (None: the last two, or today's file)."""
    listed = store.versions(workspace.database.cursor())
    if not listed:
        raise NotFound("Nobody has signed a contract yet: there is nothing to compare.")
    asked = [call.arguments.get(name) for name in ("before", "after")]
    if asked == [None, None]:
        asked = [max(1, listed[-1].version - 1), listed[-1].version]
    before, after = (get(workspace, int(each)) if each is not None else listed[-1] for each in asked)
    changes = [_change(*each) for each in differences(before.content, after.content)]
    return Answer({"before": before.version, "after": after.version, "changes": changes})


def _described(row: VersionRow) -> dict[str, Any]:
    return {
        "version": row.version,
        "digest": row.digest,
        "made_by": row.made_by,
        "made_at": row.made_at.isoformat(),
        "signed": [each.to_json() for each in row.signatures],
    }


def _change(key: str, before: Any, after: Any) -> dict[str, Any]:
    return {"key": key, "before": before, "after": after}


def _terms(row: VersionRow) -> Terms:
    return Terms.model_validate(row.content["terms"])


def _given(call: Call) -> Terms:
    from pydantic import ValidationError

    try:
        return Terms.model_validate(call.arguments.get("terms"))
    except ValidationError as error:
        raise BadInput(
            f"The contract has {error.error_count()} mistakes: review contract check FILE names them."
        ) from None


def _text(workspace: Workspace, terms: Terms) -> str:
    config = workspace.settings.config
    return signed_text(terms, config.rubric, config.failure_categories)
