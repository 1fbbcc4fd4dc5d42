"""The adversarial set's selection bias: how many failures nobody flagged, from the weekly random audits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from review.services.desk import Answer, Call
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.selection import Missed, missed
from review.store import missed as store
from review.store import samples

ASSUMED = (
    "Failures in all, by capture and recapture, assumes: the audit finds every failure that it reads and no others; "
    "each flag can be traced to its trace and is of a failure (confirmed flags alone count); all traffic could be "
    "audited with about equal probability; and flags do not come later than they are counted."
)


@dataclass(frozen=True)
class Report:
    """What the audits say about the flags.

    Attributes:
        audits: audits that people have read in.
        since: where their windows begin.
        until: where they end.
        read: answers with a label that could tell.
        unclear: answers of which a person could not tell: left out.
        wrong: of those read, failures.
        flagged: of the failures, those that somebody had flagged beside the audit.
        in_traffic: confirmed flags of logged answers in the audits' traffic.
        found: the estimates; shares of traces.
    """

    audits: int
    since: datetime | None
    until: datetime | None
    read: int
    unclear: int
    wrong: int
    flagged: int
    in_traffic: int
    found: Missed

    @property
    def line(self) -> str:
        """The finding in a sentence."""
        rate = self.found.missed
        if isinstance(rate, NotEstimable):
            return f"How many failures nobody flags is not known: {rate.reason}. Read the weekly audit: review sample"
        return (
            f"Of a thousand traces, {_thousand(rate)} are failures that nobody flagged "
            f"({rate.level:.0%}; {self.wrong} failures in {self.read:,} audited answers, {self.flagged} flagged)."
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What else it says, and what it assumes."""
        found: list[str] = []
        if isinstance(noticed := self.found.noticed, Estimate):
            found.append(
                f"Somebody flags {noticed.value:.0%} of the failures ({noticed.low:.0%} to {noticed.high:.0%})."
            )
        if isinstance(whole := self.found.population, Estimate):
            found.append(
                f"Failures in the audited traffic in all: about {whole.value:,.0f} ({whole.low:,.0f} to "
                f"{whole.high:,.0f}), of which {self.in_traffic:,} are flagged. {ASSUMED}"
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; shares of traces, not per thousand."""
        plain = {name: getattr(self, name) for name in ("audits", "read", "unclear", "wrong", "flagged", "in_traffic")}
        return {
            **plain,
            "since": None if self.since is None else self.since.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
            **{name: value.to_json() for name, value in vars(self.found).items()},
            "line": self.line,
            "notes": list(self.notes),
            "assumed": ASSUMED,
        }


def report(workspace: Workspace, level: float = 0.95) -> Report:
    """How many failures per trace nobody flagged, over all audits with labels; flags of the audit itself do not count.

    Args:
        workspace: where.
        level: confidence level.
    """
    cursor = workspace.database.cursor()
    rows = store.read(cursor)
    told = [each for each in rows if each.wrong is not None]
    ids = sorted({each.sample_id for each in told})
    windows = [each for each in samples.read_all(cursor) if each.sample_id in ids]
    in_traffic = store.flagged_traces(cursor, ids)
    wrong = np.array([bool(each.wrong) for each in told], np.bool_)
    flagged = np.array([each.flagged for each in told], np.bool_)
    found = missed(
        wrong,
        flagged,
        np.array([each.confirmed for each in told], np.bool_),
        np.array([1 / each.pi for each in told], np.float64),
        _codes([each.cluster for each in told]),
        _codes([each.sample_id for each in told]),
        in_traffic,
        level,
    )
    return Report(
        audits=len(ids),
        since=min((each.window_from for each in windows), default=None),
        until=max((each.window_to for each in windows), default=None),
        read=len(told),
        unclear=len(rows) - len(told),
        wrong=int(wrong.sum()),
        flagged=int((wrong & flagged).sum()),
        in_traffic=in_traffic,
        found=found,
    )


def read(workspace: Workspace, _call: Call) -> Answer:
    """The report, through a desk."""
    return Answer(report(workspace).to_json())


def _codes(names: list[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    known = {name: at for at, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], np.int64)


def _thousand(rate: Result) -> str:
    if isinstance(rate, NotEstimable):
        return rate.reason
    return f"{1000 * rate.value:.1f} ({1000 * rate.low:.1f} to {1000 * rate.high:.1f})"
