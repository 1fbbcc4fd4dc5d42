"""Looks: when a verdict may be read off a growing round, and the record of each time it was.

Looking again and again until it says "parity" inflates false parity; so the contract fixes how often, each look uses
the share of alpha that is due by then, and between looks there are estimates and no verdict.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from review.errors import Conflict
from review.services import rounds
from review.services.parity import parity
from review.services.parity_report import ParityReport
from review.services.workspace import Workspace
from review.stats.looks import spent
from review.stats.verdict import Verdict
from review.store import looks as store
from review.store.looks import LookRow
from review.store.parity import places

# A very early look is due less than any interval can be computed at; so much more spends nothing that counts.
_LEAST_ALPHA = 1e-9


@dataclass(frozen=True)
class Look:
    """A verdict as it was read, with the report it was read from."""

    number: int
    verdict: Verdict
    alpha: float
    labelled: int
    planned: int
    taken_by: str
    taken_at: datetime
    report: dict[str, Any]
    evidence: str

    def to_json(self) -> dict[str, object]:
        """As plain JSON values, without the report."""
        return {
            "number": self.number,
            "verdict": self.verdict,
            "alpha": self.alpha,
            "labelled_pairs": self.labelled,
            "planned_pairs": self.planned,
            "taken_by": self.taken_by,
            "taken_at": self.taken_at.isoformat(),
        }


@dataclass(frozen=True)
class LookPlan:
    """Where a round stands between looks.

    Attributes:
        looks: Taken under this contract, oldest first.
        planned_looks: By the contract.
        labelled: Labelled pairs now.
        planned: Labelled pairs at which the last look is due.
        alpha: What a look taken now would use; None where none can be taken.
        refusal: Why none can be taken, in words.
        other_contracts: Looks at the same labels under other contracts: margins that were changed afterwards.
    """

    looks: tuple[Look, ...]
    planned_looks: int
    labelled: int
    planned: int
    alpha: float | None
    refusal: str | None
    other_contracts: int

    @property
    def last(self) -> Look | None:
        return self.looks[-1] if self.looks else None


def plan(workspace: Workspace, report: ParityReport) -> LookPlan:
    """What looks were taken at the labels of `report`, and whether and how another may be."""
    contract, cursor = report.contract, workspace.database.cursor()
    taken = [_look(row) for row in store.read_looks(cursor, report.round_id, contract.digest)]
    others = store.count_looks(cursor, report.round_id) - len(taken)
    planned = contract.planned_pairs or places(cursor, report.round_id) or report.labelled
    planned = max(1, planned)
    alpha, refusal = None, None
    if report.labelled == 0:
        refusal = "No pair has a label with an error direction for both sides yet."
    elif taken and taken[-1].evidence == report.evidence:
        refusal = "Nothing has changed since the last look."
    elif taken and taken[-1].labelled >= taken[-1].planned:
        refusal = (
            "The last look used all there was to use, at the full plan. "
            "For a new verdict draw a new round, and choose that round alone here."
        )
    else:
        fractions = [min(1.0, each.labelled / each.planned) for each in taken]
        now = 1.0 if _complete(workspace, report) else min(1.0, report.labelled / planned)
        try:
            alpha = max(_LEAST_ALPHA, spent(contract.alpha, contract.looks, [*fractions, now]))
        except ValueError as error:
            refusal = _sentence(str(error))
    return LookPlan(tuple(taken), contract.looks, report.labelled, planned, alpha, refusal, others)


def take(workspace: Workspace, round_id: str | None, actor: str, now: datetime) -> tuple[Look | None, LookPlan]:
    """Look: record the verdict at the alpha that is due. Without anything new, the last look stands.

    Returns:
        The look that counts (None where there is nothing to look at) and the plan after it.

    Raises:
        NotFound: There is no such round.
        Conflict: Somebody else looked at the same moment.
    """
    report = parity(workspace, round_id=round_id)
    before = plan(workspace, report)
    if before.alpha is None:
        return before.last, before
    seen = parity(workspace, round_id=round_id, alpha=before.alpha)
    complete = _complete(workspace, seen)
    planned = seen.labelled if complete else max(before.planned, seen.labelled)
    row = LookRow(
        look_id=uuid.uuid4().hex,
        round_id=round_id,
        contract=seen.contract.digest,
        number=len(before.looks) + 1,
        labelled=seen.labelled,
        planned=planned,
        fraction=seen.labelled / planned,
        alpha=before.alpha,
        evidence=seen.evidence,
        verdict=seen.verdict,
        report=seen.to_json(),
        taken_by=actor,
        taken_at=now,
    )
    if not store.insert_look(workspace.database, row):
        raise Conflict("Somebody else took this look at the same moment. Open the page again to see it.")
    return _look(row), plan(workspace, report)


def _complete(workspace: Workspace, report: ParityReport) -> bool:
    """Whether nothing more is planned: no number is agreed, and every round in question is finished or ended."""
    return report.contract.planned_pairs is None and all(
        each.progress.state != "open"
        for each in rounds.list_rounds(workspace)
        if report.round_id in (None, each.round_id)
    )


def _look(row: LookRow) -> Look:
    verdict: Verdict = row.report["verdict"]
    return Look(
        row.number, verdict, row.alpha, row.labelled, row.planned, row.taken_by, row.taken_at, row.report, row.evidence
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
