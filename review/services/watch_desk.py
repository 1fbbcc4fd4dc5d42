"""What watching reads from the database and hands in to it: the operations of `review watch`, each one short batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow

from review.errors import BadInput, Conflict
from review.services import judge_watch, watch_single_desk
from review.services.desk import Answer, Call
from review.services.digests import keyed
from review.services.judge_facts import verdict_word
from review.services.workspace import Workspace
from review.stats import edetector
from review.stats.anchors import Changed
from review.stats.edetector import Plan, State
from review.store import judging as judging_store
from review.store import watch as store
from review.store import watch_single as single_store

pa: Any = pyarrow  # it carries no types
MOST = 1000
# The structured outcome in which one side cannot be read at all; any other difference says nothing of who is right.
_BROKEN = "broken"


def has_file(workspace: Workspace, call: Call) -> Answer:
    """Whether a file was taken in with this content. Arguments: file, content_hash."""
    file, content = str(call.arguments["file"]), str(call.arguments["content_hash"])
    cursor = workspace.database.cursor()
    # After an erasure it stands keyed.
    return Answer({"has": any(store.has_file(cursor, file, each) for each in (content, keyed(workspace.key, content)))})


def took(workspace: Workspace, call: Call) -> Answer:
    """Note a file that was read to its end. Arguments: the row of watch_file."""
    names = ("file", "content_hash", "read", "new", "rejected", "problem")
    with workspace.database.transaction() as cursor:
        store.add_file(cursor, {**{name: call.arguments[name] for name in names}, "taken_at": call.now})
    return Answer()


def waiting(workspace: Workspace, _call: Call) -> Answer:
    """New pairs of live traffic by task, as store.watch.waiting counts them."""
    names = ("task", "pairs", "undecided", "known")
    rows = store.waiting(workspace.database.cursor())
    return Answer({"tasks": [dict(zip(names, row, strict=True)) for row in rows]})


def fresh(workspace: Workspace, call: Call) -> Answer:
    """New pairs of live traffic with both answers, as a table. Argument: limit."""
    return Answer({}, store.fresh_pairs(workspace.database.cursor(), min(int(call.arguments["limit"]), MOST)))


def observe(workspace: Workspace, call: Call) -> Answer:
    """Write observations: the table."""
    if call.table is None:
        raise BadInput("Observations come as a table.")
    with workspace.database.transaction() as cursor:
        return Answer({"new": store.observe(cursor, call.table.cast(store.OBSERVATIONS), call.now)})


def score(workspace: Workspace, call: Call) -> Answer:
    """Score what can be scored now, at most MOST observations. Argument: recipe, of the judge.

    Returns:
        {scored: how many}; fewer than MOST means that nothing is left.
    """
    recipe = str(call.arguments["recipe"])
    with workspace.database.transaction() as cursor:
        rows = store.decidable(cursor, recipe, MOST)
        asked = [row["pair_id"] for row in rows if row["judge"] is not None and not _settled(row)]
        votes: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
        for vote in judging_store.votes_of(cursor, recipe, asked) if asked else ():
            votes[vote["pair_id"]].append((vote["shown_first"], vote["winner"]))
        places = store.last_places(cursor)
        scores: list[dict[str, Any]] = []
        for row in rows:
            difference, decided_by = decide(row, votes.get(row["pair_id"], []))
            places[row["task"]] = places.get(row["task"], 0) + 1
            scores.append(
                {
                    "observed_id": row["observed_id"],
                    "task": row["task"],
                    "place": places[row["task"]],
                    "difference": difference,
                    "decided_by": decided_by,
                }
            )
        if scores:
            store.add_scores(cursor, pa.Table.from_pylist(scores, store.SCORES), call.now)
    return Answer({"scored": len(scores)})


def decide(row: Mapping[str, Any], votes: Sequence[tuple[str, str | None]]) -> tuple[float, str]:
    """new - old of one observation, and what said so.

    The same answer twice is 0. Known correctness counts before machines. A structured answer that cannot be read
    counts against its side; of other structured differences nobody knows who is right, and they count 0, as does a
    judge's tie and a verdict that changes with the order.
    """
    if row["identical"]:
        return 0.0, "same"
    if row["old_right"] is not None and row["new_right"] is not None:
        return float(row["new_right"]) - float(row["old_right"]), "known"
    if row["judge"] is not None:
        word = verdict_word(list(votes))
        return {"new": 1.0, "old": -1.0}.get(word, 0.0), f"judge {row['judge']}"
    if row["outcome"] == _BROKEN:
        sides = str(row["sides"] or "")
        return float('"old"' in sides) - float('"new"' in sides), "structured"
    return 0.0, "structured"


def _settled(row: Mapping[str, Any]) -> bool:
    return bool(row["identical"]) or (row["old_right"] is not None and row["new_right"] is not None)


def stands(workspace: Workspace, _call: Call) -> Answer:
    """How far each task is: its scores, its plan, its detector, and the tolerance that it is watched for.

    A task whose traffic has pairs and single answers is there twice; `single` tells them apart.
    """
    from review.services import contracts

    cursor = workspace.database.cursor()
    contract = contracts.in_force(workspace)
    plans, detectors, undecided = store.plans(cursor), store.detectors(cursor), store.undecided(cursor)
    tasks: list[dict[str, Any]] = []
    for tally in store.tallies(cursor):
        task = tally["task"]
        plan, detector = plans.get(task), detectors.get(task)
        current = detector is not None and plan is not None and detector.plan == plan.number
        tasks.append(
            {
                "task": task,
                "single": False,
                "tolerance": contract.tolerance_for(task or None),
                "scores": tally["scores"],
                "moved": tally["moved"],
                "blocks": tally["blocks"],
                "days": (tally["last_at"] - tally["first_at"]).total_seconds() / 86400,
                "undecided": undecided.get(task, 0),
                "plan": None if plan is None else watch_single_desk.planned(plan),
                "seen": 0 if plan is None or detector is None else detector.last,
                "evidence": detector.evidence if current and detector is not None else 0.0,
            }
        )
    tasks += watch_single_desk.stands(workspace)
    return Answer({"tasks": tasks, "batch": store.next_batch(cursor), "undecided": undecided})


def plan(workspace: Workspace, call: Call) -> Answer:
    """Write plans that were made together. Arguments: batch, plans (rows of watch_plan without number and time).

    Raises:
        Conflict: other plans were made meanwhile, with the false alarms that these would use.
    """
    with workspace.database.transaction() as cursor:
        if store.next_batch(cursor) != int(call.arguments["batch"]):
            raise Conflict("Another command planned the watch at this moment. Run this one again.")
        last = store.last_numbers(cursor)
        for row in call.arguments["plans"]:
            last[row["task"]] = number = last.get(row["task"], 0) + 1
            store.add_plan(cursor, {**row, "number": number, "batch": call.arguments["batch"], "made_at": call.now})
    return Answer()


def advance(workspace: Workspace, call: Call) -> Answer:
    """Let a task's detector see its next scores, at most MOST. Arguments: task, single (answers; else pairs).

    Scores are taken by the hour in which they happened, in order; one that comes late counts where it is taken up.
    Scores, detector and alarms move together: what was seen is never seen again. A new plan goes on behind the scores
    that the detector of the one before has seen.

    Returns:
        {seen: how many, alarms: how many}
    """
    task, single = str(call.arguments["task"]), bool(call.arguments.get("single"))
    with workspace.database.transaction() as cursor:
        made = store.plans(cursor, single=single).get(task)
        if made is None:
            return Answer({"seen": 0, "alarms": 0})
        before = store.detectors(cursor, single=single).get(task)
        current = before if before is not None and before.plan == made.number else None
        last = 0 if before is None else before.last
        watched = Plan.from_json(made.plan)
        if single:
            rows = watch_single_desk.values(cursor, made, watched, last)
        else:
            rows = store.scores_after(cursor, task, last, MOST)
        if not rows:
            return Answer({"seen": 0, "alarms": 0})
        days = sorted({_day(when) for *_, when in rows})
        if single:
            way = watch_single_desk.way(made)
            seen: set[Any] = set(single_store.prompts_of_days(cursor, task, way, last, days))
        else:
            seen = set(store.prompts_of_days(cursor, task, last, days))
        alarms = _seen(cursor, call.now, made, current, rows, seen)
    return Answer({"seen": len(rows), "alarms": alarms})


def _seen(
    cursor: store.Cursor,
    now: datetime,
    made: store.PlanRow,
    current: store.DetectorRow | None,
    rows: Sequence[tuple[int, str, float, datetime]],
    seen: set[Any],
) -> int:
    """Take the detector over these values, and write where it stands and what it says. Returns its alarms."""
    watched = Plan.from_json(made.plan)
    state = edetector.begin(watched) if current is None else State.from_json(current.state)
    seen_to = None if current is None else current.seen_to
    hours: dict[datetime, list[tuple[Any, float]]] = defaultdict(list)
    for _, prompt, value, when in rows:
        hours[_hour(when)].append(((prompt, _day(when)), value))
    alarms = 0
    for hour in sorted(hours):
        values, seen = edetector.blocks(hours[hour], seen)
        passed = 1.0 if seen_to is None else max(0.0, (hour - seen_to).total_seconds() / 3600)
        state, alarm = edetector.update(watched, state, values, hour.isoformat(), passed)
        seen_to = hour if seen_to is None else max(seen_to, hour)
        if alarm is not None:
            alarms += 1
            store.add_alarm(
                cursor,
                {
                    "task": made.task,
                    "detector": alarm.by,
                    "seen_at": datetime.fromisoformat(alarm.at),
                    "since": datetime.fromisoformat(alarm.since),
                    "evidence": alarm.evidence,
                    "n": alarm.n,
                    "place": rows[-1][0],
                    "made_at": now,
                    "plan": None if made.baseline is None else made.number,
                },
            )
    store.add_detector(
        cursor,
        {
            "task": made.task,
            "plan": made.number,
            "number": 1 if current is None else current.number + 1,
            "last": rows[-1][0],
            "seen_to": seen_to,
            "n": state.n,
            "total": state.total,
            "evidence": edetector.evidence(watched, state),
            "state": state.to_json(),
            "made_at": now,
        },
    )
    return alarms


def finish(workspace: Workspace, call: Call) -> Answer:
    """Note a round that came to its end. Arguments: started_at, files, observed, scored, alerts, notes."""
    said = call.arguments
    row = {name: said[name] for name in ("files", "observed", "scored", "alerts", "notes")}
    with workspace.database.transaction() as cursor:
        number = store.add_round(
            cursor,
            {
                **row,
                "started_at": datetime.fromisoformat(said["started_at"]),
                "ended_at": call.now,
                "run_by": call.by,
            },
        )
    return Answer({"number": number})


def _hour(when: datetime) -> datetime:
    return when.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _day(when: datetime) -> datetime:
    return _hour(when) - timedelta(hours=when.astimezone(UTC).hour)


def judges(workspace: Workspace, _call: Call) -> Answer:
    """Judges that changed on the anchor pairs since their first run: an alert each."""
    changed = [
        {"judge": each.judge, "anchors": each.anchors, "distance": each.result.distance, "p": each.result.p}
        for each in judge_watch.drifts(workspace)
        if each.changed and isinstance(each.result, Changed)
    ]
    return Answer({"changed": changed})
