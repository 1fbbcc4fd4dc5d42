"""Why a task got worse: the inputs shifted, the model changed, or the judge did; undetermined where nobody can say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from review.services import judge_watch
from review.services.desk import Answer, Call, Desk
from review.services.workspace import Workspace
from review.stats import causes
from review.stats.causes import Finding
from review.stats.estimate import NotEstimable
from review.stats.stability import psi
from review.store import watch as store


def cause(desk: Desk, alarm: Mapping[str, Any]) -> dict[str, Any]:
    """The cause of an alarm, as far as it can be told, as stats.causes.Diagnosis gives it in JSON.

    Args:
        desk: where facts are.
        alarm: as alerts.pending lists it.
    """
    found = desk.ask("watch.evidence", {"task": alarm["task"], "since": alarm["since"]}).document
    inputs, judge = (Finding(**found[name]) for name in ("inputs", "judge"))
    model = causes.not_checked("The model was not asked archived inputs again.")
    return causes.diagnose(inputs, model, judge).to_json()


def evidence(workspace: Workspace, call: Call) -> Answer:
    """What stored facts say of inputs and judge. Arguments: task, since (ISO)."""
    cursor, task = workspace.database.cursor(), str(call.arguments["task"])
    since = datetime.fromisoformat(call.arguments["since"])
    counts = [store.shares(cursor, *span, task=task) for span in ((None, since), (since, None))]
    means = [store.cluster_means(cursor, task, *span) for span in ((None, since), (since, None))]
    parted = causes.parts(*means) if all(means) else None
    inputs = causes.of_inputs(psi(*counts) if all(counts) else NotEstimable("no traces in clusters"), parted)
    judge = _of_judge(workspace, store.judges_of(cursor, task, since))
    found = {"inputs": inputs, "judge": judge}
    return Answer({name: {"changed": each.changed, "why": each.why} for name, each in found.items()})


def _of_judge(workspace: Workspace, judges: list[str]) -> Finding:
    """Whether the judge that decided the scores judges its anchors as it did at first."""
    if not judges:
        return Finding("unchanged", "No judge decided these scores.")
    if len(judges) > 1:
        return Finding("changed", "More than one judge decided these scores.")
    for each in judge_watch.drifts(workspace):
        if each.judge == judges[0]:
            return causes.of_votes(each.result, judge_watch.ALPHA)
    return causes.not_checked("The judge has judged its anchors once at most (judges.anchors).")
