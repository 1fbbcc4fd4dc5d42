"""What watching single answers reads from the database and hands in to it: operations, each one short batch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from review.errors import BadInput
from review.services.desk import Answer, Call
from review.services.workspace import Workspace
from review.stats import rerun
from review.stats.edetector import Plan
from review.store import watch as watch_store
from review.store import watch_single as store

MOST = 1000
_TEXTS = 200
# Of so many newest verdicts on new the way counts in which most were reached; one that is watched already stays while
# it has a quarter of them: each change begins a new plan, which uses up false alarms.
_NEWEST = 100
_STAYS = 0.25


def waiting(workspace: Workspace, _call: Call) -> Answer:
    """New traces that new alone answered, by task, as store.watch_single.waiting counts them."""
    names = ("task", "pairs", "undecided", "known")
    rows = store.waiting(workspace.database.cursor(), workspace.settings.config.watch.served)
    return Answer({"tasks": [dict(zip(names, row, strict=True)) for row in rows]})


def fresh(workspace: Workspace, call: Call) -> Answer:
    """New traces that new alone answered, as a table. Argument: limit."""
    limit = min(int(call.arguments["limit"]), MOST)
    return Answer({}, store.fresh(workspace.database.cursor(), workspace.settings.config.watch.served, limit))


def unjudged(workspace: Workspace, call: Call) -> Answer:
    """New's chosen answers without a verdict, as a table with their texts. Argument: limit."""
    return Answer({}, store.unjudged(workspace.database.cursor(), min(int(call.arguments["limit"]), _TEXTS)))


def known(workspace: Workspace, call: Call) -> Answer:
    """Note the next MOST of new's answers whose correctness came with them. Returns {new}."""
    with workspace.database.transaction() as cursor:
        return Answer({"new": store.add_known(cursor, MOST, call.now)})


def old_known(workspace: Workspace, call: Call) -> Answer:
    """Note old's answers to a task whose correctness came with them. Argument: task. Returns {new}."""
    with workspace.database.transaction() as cursor:
        return Answer({"new": store.add_old_known(cursor, str(call.arguments["task"]), _seed(workspace), call.now)})


def put(workspace: Workspace, call: Call) -> Answer:
    """Write verdicts: the table of store.watch_single.VERDICTS. Returns {new}."""
    if call.table is None:
        raise BadInput("Verdicts come as a table.")
    with workspace.database.transaction() as cursor:
        return Answer({"new": store.add(cursor, call.table.cast(store.VERDICTS), call.now)})


def ways(workspace: Workspace, _call: Call) -> Answer:
    """In which way each task's single answers are watched."""
    chosen = _ways(workspace.database.cursor())
    return Answer({"tasks": [{"task": task, "way": way} for task, way in chosen.items()]})


def old_answers(workspace: Workspace, call: Call) -> Answer:
    """The next of old's answers to be scored, as a table with their texts. Arguments: task, way, limit."""
    said = call.arguments
    most = workspace.settings.config.watch.baseline_per_task
    limit = min(int(said["limit"]), _TEXTS)
    cursor = workspace.database.cursor()
    return Answer({}, store.old_answers(cursor, str(said["task"]), str(said["way"]), _seed(workspace), most, limit))


def judged_before(workspace: Workspace, call: Call) -> Answer:
    """New's answers judged before a change, drawn at random, as a table. Arguments: task, way, since (ISO), limit."""
    said = call.arguments
    since, limit = datetime.fromisoformat(said["since"]), min(int(said["limit"]), rerun.MOST)
    cursor = workspace.database.cursor()
    table = store.judged_before(cursor, str(said["task"]), str(said["way"]), since, _seed(workspace), limit)
    return Answer({}, table)


def stands(workspace: Workspace) -> list[dict[str, Any]]:
    """How far each task's single answers are; rows as of watch_desk.stands, with `way` and `baseline`."""
    from review.services import contracts

    cursor = workspace.database.cursor()
    contract, tallies, scored = contracts.in_force(workspace), store.tallies(cursor), store.baselines(cursor)
    plans, detectors = watch_store.plans(cursor, single=True), watch_store.detectors(cursor, single=True)
    undecided = store.undecided(cursor)
    found: list[dict[str, Any]] = []
    for task, way in _ways(cursor).items():
        tally, made, detector = tallies[task, way], plans.get(task), detectors.get(task)
        current = made is not None and detector is not None and detector.plan == made.number
        count, passed = scored.get((task, way), (0, 0))
        found.append(
            {
                "task": task,
                "single": True,
                "way": way,
                "tolerance": contract.tolerance_for(task or None),
                **{name: tally[name] for name in ("scores", "passed", "blocks")},
                "days": (tally["last_at"] - tally["first_at"]).total_seconds() / 86400,
                "undecided": undecided.get(task, 0),
                "baseline": {"n": count, "passed": passed},
                "plan": None if made is None else planned(made),
                "seen": 0 if made is None or detector is None else detector.last,
                "evidence": detector.evidence if current and detector is not None else 0.0,
            }
        )
    return found


def planned(made: watch_store.PlanRow) -> dict[str, Any]:
    """A plan as plain JSON values, without its bets."""
    names = ("number", "tolerance", "discordance", "per_day", "delay", "baseline")
    return {**{name: getattr(made, name) for name in names}, "made_at": made.made_at.isoformat()}


def values(
    cursor: store.Cursor, made: watch_store.PlanRow, watched: Plan, last: int
) -> list[tuple[int, str, float, datetime]]:
    """What the detector sees next: (place, prompt_id, pass - floor, when it happened)."""
    rows = store.values_after(cursor, made.task, way(made), last, MOST)
    return [(place, prompt, passed - (watched.floor or 0.0), when) for place, prompt, passed, when in rows]


def way(made: watch_store.PlanRow) -> str:
    """In which way the verdicts that a plan watches were reached."""
    return str((made.baseline or {})["way"])


def _ways(cursor: store.Cursor) -> dict[str, str]:
    """Each task with verdicts on new, and the way that is watched."""
    plans = watch_store.plans(cursor, single=True)
    found: dict[str, str] = {}
    for task, counts in store.recent_ways(cursor, _NEWEST).items():
        made = plans.get(task)
        found[task] = chosen_way(counts, None if made is None else way(made))
    return found


def chosen_way(counts: Mapping[str, int], standing: str | None) -> str:
    """The way to watch, by how the newest verdicts were reached; the one that is watched stays while it is in use."""
    if standing is not None and counts.get(standing, 0) >= _STAYS * sum(counts.values()):
        return standing
    return max(sorted(counts), key=lambda each: counts[each])


def _seed(workspace: Workspace) -> str:
    return hashlib.sha256(workspace.key + b"baseline").hexdigest()
