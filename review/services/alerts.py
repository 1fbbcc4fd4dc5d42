"""Alerts: raise one of an alarm, say what it means without a text, deliver it once, acknowledge and silence it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow

from review.domain.watch import CHANNELS, Channel, wait_before
from review.errors import BadInput, NotFound
from review.services import watch_single_desk
from review.services.desk import Answer, Call
from review.services.workspace import Workspace
from review.stats.effects import mean_difference
from review.stats.estimate import Estimate, Result
from review.stats.intervals import Floats, Ints, compact
from review.stats.stability import rate_change
from review.store import watch as store
from review.store import watch_single as single_store

pa: Any = pyarrow  # it carries no types
EXAMPLES = 10
# Old's answers in a cluster below which it is held to old's rate in the whole task.
_FEWEST = 10
_LEVEL = 0.95
# An attempt that has no end after so long was interrupted, and is made again.
_LEASE = timedelta(minutes=5)
_MOST_TEXT = 2000


@dataclass(frozen=True)
class Alert:
    """One alert as it stands.

    Attributes:
        document: what was known when it was raised; see `raise_alert`.
        acknowledged_by: who, when and with which comment; None while it is open.
        silenced_until: its task is silenced till then; None when it is not.
        channels: by channel: delivered, waiting, or why the last attempt failed.
    """

    alert_id: str
    number: int
    kind: str
    task: str
    since: datetime | None
    raised_at: datetime
    document: dict[str, Any]
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    comment: str | None
    silenced_until: datetime | None
    channels: Mapping[str, str]

    @property
    def state(self) -> str:
        """open, acknowledged or silenced."""
        if self.acknowledged_by is not None:
            return "acknowledged"
        return "silenced" if self.silenced_until is not None else "open"


def alerts(workspace: Workspace, now: datetime) -> list[Alert]:
    """All alerts, newest first."""
    cursor = workspace.database.cursor()
    silences, deliveries = store.silences(cursor), store.deliveries(cursor)
    return [
        Alert(
            **{name: row[name] for name in ("alert_id", "number", "kind", "task", "since", "raised_at", "document")},
            acknowledged_by=row["answered_by"],
            acknowledged_at=row["answered_at"],
            comment=row["comment"],
            silenced_until=silenced(silences, row["task"], now),
            channels=_channels(deliveries, row["alert_id"]),
        )
        for row in store.alerts(cursor)
    ]


def silenced(silences: Sequence[Mapping[str, Any]], task: str, now: datetime) -> datetime | None:
    """Until when a task is silenced; None when it is not. The newest silence that names it, or all tasks, holds."""
    for each in silences:
        if each["task"] in (None, task):
            until: datetime = each["until"]
            return until if until > now else None
    return None


def acknowledge(workspace: Workspace, alert_id: str, comment: str, by: str, now: datetime) -> None:
    """Say that somebody looks after it. The next alarm of its task is a new alert.

    Raises:
        NotFound: there is no such alert.
        BadInput: the comment is too long.
    """
    _check_comment(comment)
    with workspace.database.transaction() as cursor:
        if all(row["alert_id"] != alert_id for row in store.alerts(cursor)):
            raise NotFound(f"There is no alert {alert_id[:60]!r}. See them with: review watch alerts")
        store.add_answer(
            cursor,
            {
                "answer_id": f"acknowledge-{alert_id}",
                "kind": "acknowledge",
                "alert_id": alert_id,
                "task": None,
                "until": None,
                "comment": comment.strip(),
                "answered_by": by,
                "answered_at": now,
            },
        )


def silence(workspace: Workspace, task: str | None, until: datetime, comment: str, by: str, now: datetime) -> None:
    """Deliver nothing about a task (None: any task) until a moment. What is open then is delivered then.

    A moment that is past ends a silence.

    Raises:
        BadInput: it is longer than 90 days, or the comment is too long.
    """
    _check_comment(comment)
    if until > now + timedelta(days=90):
        raise BadInput("A silence lasts 90 days at most, so that nobody forgets it.")
    said = hashlib.sha256(f"{task}\0{until.isoformat()}\0{now.isoformat()}".encode()).hexdigest()[:16]
    with workspace.database.transaction() as cursor:
        store.add_answer(
            cursor,
            {
                "answer_id": f"silence-{said}",
                "kind": "silence",
                "alert_id": None,
                "task": task,
                "until": until,
                "comment": comment.strip(),
                "answered_by": by,
                "answered_at": now,
            },
        )


def _check_comment(comment: str) -> None:
    if len(comment) > _MOST_TEXT:
        raise BadInput(f"The comment has {len(comment):,} characters; it may have {_MOST_TEXT:,}.")


def carriers(table: Any, level: float = _LEVEL) -> list[dict[str, Any]]:
    """Which clusters carry a difference, the worst first: scores, mean with interval, its part in the whole loss.

    Args:
        table: scores with `cluster_id`, `difference` and `prompt_id`, as store.watch.scored gives them.
        level: of all intervals together (Bonferroni).
    """
    names = [each or "" for each in table["cluster_id"].to_pylist()]
    values = np.array(table["difference"].to_pylist(), dtype=np.float64)
    prompts = np.unique(np.array(table["prompt_id"].to_pylist(), dtype=object).astype(str), return_inverse=True)[1]
    known = sorted(set(names))
    lost = -float(values.sum())
    found: list[dict[str, Any]] = []
    for name in known:
        rows = np.array([each == name for each in names])
        found.append(
            {
                "cluster": name or None,
                "scores": int(rows.sum()),
                "difference": _shown(
                    mean_difference(values[rows], compact(prompts[rows]), 1 - (1 - level) / len(known))
                ),
                "mean": float(values[rows].mean()),
                "part": -float(values[rows].sum()) / lost if lost > 0 else 0.0,
            }
        )
    return sorted(found, key=lambda each: (-each["part"], str(each["cluster"])))


def overall(table: Any, level: float = _LEVEL) -> Result:
    """The mean difference of some scores, with its interval."""
    values = np.array(table["difference"].to_pylist(), dtype=np.float64)
    prompts = np.unique(np.array(table["prompt_id"].to_pylist(), dtype=object).astype(str), return_inverse=True)[1]
    return mean_difference(values, compact(prompts), level)


def _shown(result: Result) -> dict[str, Any]:
    if isinstance(result, Estimate):
        return {"value": result.value, "low": max(-1.0, result.low), "high": min(1.0, result.high)}
    return result.to_json()


def examples(table: Any, carried: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ten pairs on which new lost, the newest of each cluster first, from the clusters that lost most."""
    rows = [
        (pair, cluster or None)
        for pair, cluster, difference in zip(
            table["pair_id"].to_pylist(), table["cluster_id"].to_pylist(), table["difference"].to_pylist(), strict=True
        )
        if pair is not None and difference < 0
    ]
    queues = [[pair for pair, cluster in reversed(rows) if cluster == each["cluster"]] for each in carried]
    # In turn, so that no cluster takes all ten places.
    turns = [queue[at] for at in range(max(map(len, queues), default=0)) for queue in queues if at < len(queue)]
    return turns[:EXAMPLES]


# What follows is asked through a desk.


def pending(workspace: Workspace, call: Call) -> Answer:
    """Alarms that are to become alerts, with what they rest on. No arguments.

    An alarm becomes one unless an alert of its task is open, or stood when it came. Of several that came in one round
    it is the first, which knows since when.
    """
    cursor = workspace.database.cursor()
    latest: dict[str, Alert] = {}
    for each in alerts(workspace, call.now):
        if each.kind == "regression":
            latest.setdefault(each.task, each)
    plans = {single: store.plans(cursor, single=single) for single in (False, True)}
    names = store.cluster_names(cursor)
    first: dict[str, dict[str, Any]] = {}
    for alarm in store.alarms(cursor):
        before = latest.get(alarm["task"])
        if before is not None and (before.acknowledged_at is None or alarm["made_at"] <= before.acknowledged_at):
            continue
        first.setdefault(alarm["task"], alarm)
    found = [
        _facts(workspace, alarm, plans[False][task], names)
        if alarm["plan"] is None
        else _single_facts(workspace, alarm, plans[True][task], names)
        for task, alarm in first.items()
    ]
    return Answer({"alarms": found})


def _facts(
    workspace: Workspace, alarm: Mapping[str, Any], plan: store.PlanRow, names: Mapping[str, str]
) -> dict[str, Any]:
    cursor = workspace.database.cursor()
    after = store.scored(cursor, alarm["task"], alarm["since"], _end(alarm))
    before = store.scored(cursor, alarm["task"], None, alarm["since"])
    carried = carriers(after)
    for each in carried:
        each["name"] = names.get(each["cluster"] or "", each["cluster"] or "in no cluster")
    return {
        **_said(alarm, plan),
        "limit": -plan.tolerance / 2,
        "scores": after.num_rows,
        "lost": sum(each < 0 for each in after["difference"].to_pylist()),
        "won": sum(each > 0 for each in after["difference"].to_pylist()),
        "difference": _shown(overall(after)),
        "before": _shown(overall(before)),
        "before_scores": before.num_rows,
        "decided_by": sorted(set(after["decided_by"].to_pylist())),
        "clusters": carried[:20],
        "pairs": examples(after, carried),
    }


def _said(alarm: Mapping[str, Any], plan: store.PlanRow) -> dict[str, Any]:
    """What an alert says itself, whatever it was raised on."""
    return {
        "task": alarm["task"],
        "alarm": alarm["number"],
        "detector": alarm["detector"],
        "at": alarm["seen_at"].isoformat(),
        "since": alarm["since"].isoformat(),
        "evidence": alarm["evidence"],
        "tolerance": plan.tolerance,
        "delay": plan.delay,
    }


def _end(alarm: Mapping[str, Any]) -> datetime:
    end: datetime = alarm["seen_at"] + timedelta(hours=1)
    return end


def _single_facts(
    workspace: Workspace, alarm: Mapping[str, Any], plan: store.PlanRow, names: Mapping[str, str]
) -> dict[str, Any]:
    """The same of single answers: new's passes against those of old's answers that are the baseline."""
    cursor, task, way = workspace.database.cursor(), alarm["task"], watch_single_desk.way(plan)
    after = single_store.verdicts(cursor, task, way, "new", alarm["since"], _end(alarm))
    before = single_store.verdicts(cursor, task, way, "new", None, alarm["since"])
    old = single_store.verdicts(cursor, task, way, "old")
    carried = single_carriers(old, after)
    for each in carried:
        each["name"] = names.get(each["cluster"] or "", each["cluster"] or "in no cluster")
    baseline = plan.baseline or {}
    passes = after["passed"].to_pylist()
    named = after.append_column("pair_id", after["answer_id"])
    failed = named.append_column("difference", pa.array([each - 1.0 for each in passes], pa.float64()))
    return {
        **_said(alarm, plan),
        "single": True,
        "way": way,
        "baseline": baseline,
        # In terms of new - old's rate as it was seen; what is not known of old comes on top of half the tolerance.
        "limit": baseline["floor"] - baseline["rate"] - plan.tolerance / 2,
        "scores": after.num_rows,
        "passed": int(sum(passes)),
        "undecided": after["verdict"].to_pylist().count("undecided"),
        "difference": _shown(_moved(old, after)),
        "before": _shown(_moved(old, before)),
        "before_scores": before.num_rows,
        "clusters": carried[:20],
        "pairs": [],
        "traces": examples(failed, carried),
    }


def _moved(old: Any, new: Any, level: float = _LEVEL) -> Result:
    """How much new's pass rate is above old's, with an interval by prompts."""
    return rate_change(*_passes(old), *_passes(new), level)


def _passes(table: Any) -> tuple[Floats, Ints]:
    """0 or 1 of each verdict, and its prompt as a code."""
    prompts = np.unique(np.array(table["prompt_id"].to_pylist(), dtype=object).astype(str), return_inverse=True)[1]
    return np.array(table["passed"].to_pylist(), dtype=np.float64), compact(prompts)


def single_carriers(old: Any, new: Any, level: float = _LEVEL) -> list[dict[str, Any]]:
    """Which clusters carry a fall of the pass rate, the worst first, as carriers() has it.

    A cluster is held to old's rate in it, where enough of old's answers are there, else to old's rate in the task.

    Args:
        old: verdicts on old, as store.watch_single.verdicts gives them.
        new: the same of new since the change.
        level: of all intervals together (Bonferroni).
    """
    groups = [np.array([each or "" for each in table["cluster_id"].to_pylist()], dtype=object) for table in (old, new)]
    passes = [np.array(table["passed"].to_pylist(), dtype=np.float64) for table in (old, new)]
    known = sorted(set(groups[1]))
    found: list[dict[str, Any]] = []
    for name in known:
        inside = [np.flatnonzero(group == name) for group in groups]
        held: Ints = inside[0] if len(inside[0]) >= _FEWEST else np.arange(len(passes[0]))
        mean = float(passes[1][inside[1]].mean() - passes[0][held].mean()) if len(held) else 0.0
        moved = _moved(old.take(held), new.take(inside[1]), 1 - (1 - level) / len(known))
        row = {"cluster": name or None, "scores": len(inside[1]), "difference": _shown(moved), "mean": mean}
        found.append({**row, "part": -mean * len(inside[1])})
    lost = sum(each["part"] for each in found)
    for each in found:
        each["part"] = each["part"] / lost if lost > 0 else 0.0
    return sorted(found, key=lambda each: (-each["part"], str(each["cluster"])))


def put(workspace: Workspace, call: Call) -> Answer:
    """Raise an alert. Arguments: kind, task, alarm (number, or None), since, document. The same again changes nothing.

    Returns:
        {alert_id, new}
    """
    said = call.arguments
    parts = f"alert\0{said['kind']}\0{said['task']}\0{said['alarm']}".encode()
    alert_id = "alert-" + hmac.new(workspace.key, parts, hashlib.sha256).hexdigest()[:16]
    with workspace.database.transaction() as cursor:
        new = store.add_alert(
            cursor,
            {
                "alert_id": alert_id,
                **{name: said[name] for name in ("kind", "task", "alarm", "document")},
                "since": None if said["since"] is None else datetime.fromisoformat(said["since"]),
                "raised_at": call.now,
            },
        )
    return Answer({"alert_id": alert_id, "new": new})


def outbox(workspace: Workspace, call: Call) -> Answer:
    """What is to be delivered now. Argument: channels.

    Returns:
        {due: [{alert_id, channel, attempt, alert}]}, oldest first, and `waiting`: how many are not due yet.
    """
    channels = [each for each in CHANNELS if each in call.arguments["channels"]]
    attempts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in store.deliveries(workspace.database.cursor()):
        attempts.setdefault((row["alert_id"], row["channel"]), []).append(row)
    due: list[dict[str, Any]] = []
    later = 0
    for alert in reversed(alerts(workspace, call.now)):
        # What somebody looks after already need not be told; what is silenced is told when the silence ends.
        if alert.state != "open":
            continue
        for channel in channels:
            attempt, moment = _next(attempts.get((alert.alert_id, channel), []))
            if attempt is None:
                continue
            if moment is not None and moment > call.now:
                later += 1
            else:
                due.append(
                    {
                        "alert_id": alert.alert_id,
                        "channel": channel,
                        "attempt": attempt,
                        "alert": described(alert),
                    }
                )
    return Answer({"due": due, "waiting": later})


def _next(attempts: Sequence[Mapping[str, Any]]) -> tuple[int | None, datetime | None]:
    """The number of the next attempt and when it is due; no number once one was delivered."""
    if any(each["ended_at"] is not None and each["problem"] is None for each in attempts):
        return None, None
    if not attempts:
        return 1, None
    last = attempts[-1]
    number = int(last["attempt"]) + 1
    if last["ended_at"] is None:
        return number, last["claimed_at"] + _LEASE
    return number, last["ended_at"] + timedelta(seconds=wait_before(number))


def claim(workspace: Workspace, call: Call) -> Answer:
    """Begin an attempt, unless somebody else has begun it. Arguments: alert_id, channel, attempt."""
    said = call.arguments
    with workspace.database.transaction() as cursor:
        taken = any(
            (row["alert_id"], row["channel"], row["attempt"]) == (said["alert_id"], said["channel"], said["attempt"])
            for row in store.deliveries(cursor)
        )
        if not taken:
            store.claim(
                cursor, {**{name: said[name] for name in ("alert_id", "channel", "attempt")}, "claimed_at": call.now}
            )
    return Answer({"mine": not taken})


def settle(workspace: Workspace, call: Call) -> Answer:
    """Say how an attempt ended. Arguments: alert_id, channel, attempt, problem (None: delivered)."""
    names = ("alert_id", "channel", "attempt", "problem")
    with workspace.database.transaction() as cursor:
        store.end_attempt(cursor, {**{name: call.arguments[name] for name in names}, "ended_at": call.now})
    return Answer()


def read(workspace: Workspace, call: Call) -> Answer:
    """All alerts as JSON."""
    return Answer({"alerts": [described(each) for each in alerts(workspace, call.now)]})


def answer(workspace: Workspace, call: Call) -> Answer:
    """Acknowledge or silence. Arguments: alert_id and comment; or task (None: all), days and comment."""
    said = call.arguments
    if said.get("alert_id") is not None:
        acknowledge(workspace, str(said["alert_id"]), str(said["comment"]), call.by, call.now)
    else:
        until = call.now + timedelta(days=float(said["days"]))
        silence(workspace, said["task"], until, str(said["comment"]), call.by, call.now)
    return Answer()


def described(alert: Alert) -> dict[str, Any]:
    """An alert as plain JSON values."""
    return {
        "alert_id": alert.alert_id,
        "number": alert.number,
        "kind": alert.kind,
        "task": alert.task,
        "state": alert.state,
        "since": None if alert.since is None else alert.since.isoformat(),
        "raised_at": alert.raised_at.isoformat(),
        "acknowledged_by": alert.acknowledged_by,
        "comment": alert.comment,
        "silenced_until": None if alert.silenced_until is None else alert.silenced_until.isoformat(),
        "channels": dict(alert.channels),
        **alert.document,
    }


def _channels(deliveries: Sequence[Mapping[str, Any]], alert_id: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in deliveries:
        if row["alert_id"] == alert_id and found.get(row["channel"]) != "delivered":
            under_way = row["ended_at"] is None
            found[row["channel"]] = "under way" if under_way else row["problem"] or "delivered"
    return found


# What an alert says.

TO_READ, TO_READ_ALONE = "Pairs to read:", "Answers to read:"

CAUSES = {
    "inputs shifted": "The inputs shifted: other questions come in than before.",
    "model changed": "The model changed: inputs of the archive are not answered as they were before.",
    "judge changed": "The judge changed: it judges archived pairs otherwise than before.",
    "undetermined": "The cause is undetermined.",
}


def message(alert: Mapping[str, Any], app_url: str | None) -> dict[str, Any]:
    """What is delivered: ids, names of tasks and clusters, and counts. Never a text of a trace.

    Args:
        alert: as `described` makes it.
        app_url: of the app, for a link; None leaves it out.
    """
    lines = summary(alert)
    if app_url is not None:
        lines.append(f"{app_url.rstrip('/')}/drift?alert={alert['alert_id']}")
    document = {name: value for name, value in alert.items() if name not in ("comment", "channels", "alert_id")}
    return {"alert_id": alert["alert_id"], "subject": title(alert), "lines": lines, "document": document}


def title(alert: Mapping[str, Any]) -> str:
    """An alert in a line."""
    if alert["kind"] == "judge":
        return f"The judge {_named(alert['task'])} changed"
    return f"Regression in {_named(alert['task'])}"


def _named(task: str) -> str:
    return " ".join("".join(each if each.isprintable() else "\ufffd" for each in task[:80]).split()) or "all traffic"


def summary(alert: Mapping[str, Any]) -> list[str]:
    """An alert in a few sentences."""
    if alert["kind"] == "judge":
        return [
            f"It judges {alert['anchors']} archived pairs otherwise than in its first run: "
            f"{100 * alert['distance']:.0f} % of its votes moved (p = {alert['p']:.4f}).",
            "Its verdicts cannot be compared over time before people have checked it.",
        ]
    return _single_summary(alert) if alert.get("single") else _pair_summary(alert)


def _pair_summary(alert: Mapping[str, Any]) -> list[str]:
    return [
        f"New minus old is {_points(alert['difference'])} over {alert['scores']:,} scored pairs since "
        f"{alert['since'][:16].replace('T', ' ')} UTC (lost {alert['lost']:,}, won {alert['won']:,}); "
        f"the alert is due beyond {100 * alert['limit']:+.2f} points, half the tolerance.",
        f"Before: {_points(alert['before'])} over {alert['before_scores']:,} pairs.",
        *_rest(alert),
    ]


def _single_summary(alert: Mapping[str, Any]) -> list[str]:
    old = alert["baseline"]
    told = f", {alert['undecided']:,} undecided" if alert["undecided"] else ""
    return [
        f"New passed {alert['passed']:,} of {alert['scores']:,} single answers since "
        f"{alert['since'][:16].replace('T', ' ')} UTC ({alert['passed'] / max(1, alert['scores']):.1%}{told}); old "
        f"passed {old['rate']:.1%} of {old['n']:,}, at least {old['floor']:.1%} as far as is certain, and the alert is "
        f"due below {max(0.0, old['floor'] - alert['tolerance'] / 2):.1%}.",
        f"New minus old: {_points(alert['difference'])}; before: {_points(alert['before'])} over "
        f"{alert['before_scores']:,} answers.",
        *_rest(alert),
    ]


def _rest(alert: Mapping[str, Any]) -> list[str]:
    lines = [f"{CAUSES[alert['cause']['cause']]} {alert['cause']['why']}"]
    carried = [each for each in alert["clusters"] if each["part"] > 0][:3]
    if carried:
        said = "; ".join(f"{_named(each['name'])} ({min(1.0, each['part']):.0%} of the loss)" for each in carried)
        lines.append(f"Carried by: {said}.")
    for words, named in ((TO_READ, alert["pairs"]), (TO_READ_ALONE, alert.get("traces"))):
        if named:
            lines.append(f"{words} {', '.join(named)}.")
    if (days := alert["delay"].get("median_days")) is not None:
        lines.append(f"At this traffic a drift of one tolerance is found after about {days:.0f} days (median).")
    return lines


def _points(result: Mapping[str, Any]) -> str:
    if "value" not in result:
        return f"not estimable ({result.get('not_estimable', 'too few')})"
    return f"{100 * result['value']:+.1f} points ({100 * result['low']:+.1f} to {100 * result['high']:+.1f})"


def channel_names(channels: Sequence[Channel]) -> str:
    """Channels for people."""
    return ", ".join(channels) or "none"
