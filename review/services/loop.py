"""Closing the loop: a failing example, wherever it was come upon, goes into the permanent adversarial set."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from review.domain.failure import Provenance, Report
from review.domain.types import Side
from review.services import flag
from review.services.flag import Reported
from review.services.workspace import Workspace
from review.store import adversarial as store

# Where nobody has said what went wrong.
OTHER = "other"


@dataclass(frozen=True)
class Suggestion:
    """What one click reports.

    Attributes:
        failed: the side, by people's labels or as the caller says.
        category: the failure category that people named most for this side, else "other" or the last one there is.
        entries: what of this pair is in the set already: entry id, failing side, category.
    """

    failed: Side
    category: str
    entries: tuple[tuple[str, Side, str], ...]

    @property
    def standing(self) -> str | None:
        """The entry that this very failure has already."""
        return next((entry for entry, *what in self.entries if what == [self.failed, self.category]), None)


def suggest(workspace: Workspace, pair_id: str, side: Side = "new", category: str | None = None) -> Suggestion:
    """What one click on a pair (or a trace) reports: the side that failed, and the category that people named.

    Args:
        workspace: where.
        pair_id: of a pair, or of a trace.
        side: the side that failed, as far as the caller knows.
        category: what went wrong, where the caller knows.
    """
    cursor = workspace.database.cursor()
    legal = [each.id for each in workspace.settings.config.failure_categories]
    noted = [each for of, each in store.noted_categories(cursor, pair_id) if of == side and each in legal]
    chosen = category or next(iter(noted), OTHER if OTHER in legal else legal[-1])
    return Suggestion(side, chosen, tuple(store.entries_of_pair(cursor, pair_id)))


def standing(workspace: Workspace, pair_ids: Sequence[str], side: Side = "new") -> dict[str, str]:
    """Which of these pairs stand in the adversarial set with this side failing: pair id to entry id."""
    return store.entries_of_pairs(workspace.database.cursor(), pair_ids, side)


def promote(
    workspace: Workspace,
    pair_id: str,
    side: Side,
    category: str,
    provenance: Provenance,
    actor: str,
    now: datetime,
    *,
    expected: str = "",
    comment: str | None = None,
) -> Reported:
    """Put a failing example into the adversarial set, with where it was come upon. The same click twice is one report.

    It waits for a second person there, as every report does.

    Args:
        workspace: where.
        pair_id: of a pair, or of a trace whose logged answer failed (side old).
        side: the side that failed.
        category: the failure category.
        provenance: gate, run, alert, round … and its id.
        actor: who reports.
        now: when.
        expected: what should have happened, the pass criterion; without it, that the category's fault is absent.
        comment: anything else.

    Raises:
        BadInput: a field is not legal. NotFound: no such pair.
    """
    said = "\0".join((pair_id, side, category, provenance.kind, provenance.id, actor, expected, comment or ""))
    return flag.report(
        workspace,
        Report(
            # Keyed: it stands in the chain for good, and its words may be erased.
            report_id="promote-"
            + hmac.new(workspace.key, said.encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:32],
            pair_id=pair_id,
            failed=side,
            category=category,
            expected=expected,
            comment=comment,
            source="flag_page",
            round_id=provenance.id if provenance.kind == "round" else None,
            provenance=provenance,
        ),
        actor,
        now,
    )
