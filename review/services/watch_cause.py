"""Why a task got worse: the inputs shifted, the model changed, or the judge did; undetermined where nobody can say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from review.services import judge_watch, watch_again, watch_single
from review.services.desk import Answer, Call
from review.services.watch_again import Means
from review.services.workspace import Workspace
from review.stats import causes, rerun
from review.stats.causes import Finding
from review.stats.estimate import NotEstimable
from review.stats.stability import psi
from review.store import watch as store
from review.store import watch_single as single_store


def cause(means: Means, alarm: Mapping[str, Any]) -> dict[str, Any]:
    """The cause of an alarm, as far as it can be told, as stats.causes.Diagnosis gives it in JSON.

    Stored facts come first; then the candidate is asked archived inputs again, and the judge archived pairs where its
    anchors do not tell.

    Args:
        means: where facts are, and whom to ask.
        alarm: as alerts.pending lists it.
    """
    found = means.desk.ask("watch.evidence", {name: alarm.get(name) for name in ("task", "since", "way")}).document
    inputs, judge = (Finding(**found[name]) for name in ("inputs", "judge"))
    # What explains less than half of the fall is not its cause.
    margin = max(float(alarm["tolerance"]), float(found["fall"])) / 2
    if judge.changed == "unknown":
        again = watch_again.judge(means, alarm, margin)
        judge = again if again.changed != "unknown" else Finding("unknown", f"{judge.why} {again.why}")
    return causes.diagnose(inputs, watch_again.model(means, alarm, margin), judge).to_json()


def evidence(workspace: Workspace, call: Call) -> Answer:
    """What stored facts say of inputs and judge, and how far the mean score fell.

    Arguments: task, since (ISO), way (of single answers; None: pairs).
    """
    cursor, task = workspace.database.cursor(), str(call.arguments["task"])
    since = datetime.fromisoformat(call.arguments["since"])
    counts = [store.shares(cursor, *span, task=task) for span in ((None, since), (since, None))]
    way: str | None = call.arguments.get("way")
    spans = ((None, since), (since, None))
    if way is None:
        means = [store.cluster_means(cursor, task, *span) for span in spans]
        before, now = (store.mean_score(cursor, task, *span) for span in spans)
        judges = store.judges_of(cursor, task, since)
    else:
        means = [single_store.cluster_means(cursor, task, way, *span) for span in spans]
        before, now = (single_store.pass_rate(cursor, task, way, *span) for span in spans)
        judges = [judge] if (judge := watch_single.judge_of(way)) is not None else []
    parted = causes.parts(*means) if all(means) else None
    inputs = causes.of_inputs(psi(*counts) if all(counts) else NotEstimable("no traces in clusters"), parted)
    found = {"inputs": inputs, "judge": _of_judge(workspace, judges)}
    fall = 0.0 if before is None or now is None else before - now
    said = {name: {"changed": each.changed, "why": each.why} for name, each in found.items()}
    return Answer({**said, "fall": fall})


def archive(workspace: Workspace, call: Call) -> Answer:
    """Inputs and new's answers, drawn at random.

    Arguments: task, since (ISO), part (before or since), limit, single (answers that came alone; else pairs).
    """
    said = call.arguments
    since = datetime.fromisoformat(said["since"])
    span = (None, since) if said["part"] == "before" else (since, None)
    limit = min(int(said["limit"]), rerun.MOST)
    drawn = single_store.archive if said.get("single") else store.archive
    table = drawn(workspace.database.cursor(), str(said["task"]), *span, _seed(workspace), limit)
    return Answer({}, table)


def judged_before(workspace: Workspace, call: Call) -> Answer:
    """Pairs that the judge judged before a change, drawn at random. Arguments: task, since (ISO), recipe, limit."""
    said = call.arguments
    since, limit = datetime.fromisoformat(said["since"]), min(int(said["limit"]), rerun.MOST)
    cursor = workspace.database.cursor()
    ids = store.judged_before(cursor, str(said["task"]), since, str(said["recipe"]), _seed(workspace), limit)
    return Answer({"pair_ids": ids})


def _seed(workspace: Workspace) -> str:
    return hashlib.sha256(workspace.key + b"cause").hexdigest()


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
