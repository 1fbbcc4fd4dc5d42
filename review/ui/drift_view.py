"""The parts of the Drift page: tasks with their course, alerts and what is done about them, what the inputs do."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from review.domain.failure import Provenance
from review.errors import BadInput
from review.services import alerts, audit, drift, rounds, watch_single
from review.services.alerts import Alert
from review.services.drift import Report, Task
from review.services.rounds import DrawSpec
from review.services.workspace import Actor, Workspace
from review.stats.anchors import Changed
from review.stats.estimate import NotEstimable
from review.ui import charts, drift_charts, promote, shell
from review.ui.text import line, plain

_TASKS = 8
_ROUND = 60
_LONGEST = 1500
SILENCES = {"1 day": 1.0, "3 days": 3.0, "1 week": 7.0, "2 weeks": 14.0}
STATES = {
    "open": (":material/notifications_active:", "open"),
    "acknowledged": (":material/task_alt:", "acknowledged"),
    "silenced": (":material/notifications_paused:", "silenced"),
}


@st.cache_resource(ttl=3600, max_entries=8, show_spinner="Reading what was watched …")
def _computed(key: tuple[Hashable, ...], _work: Callable[[], Report]) -> Report:  # noqa: ARG001 the cache's key
    return _work()


def report(workspace: Workspace) -> tuple[tuple[Hashable, ...], Report]:
    """The report, computed once for all visits until data change, and the key that says which one it is."""
    key = (workspace.settings.db, "drift", drift.data_version(workspace))
    return key, _computed(key, lambda: drift.report(workspace))


def named(task: str) -> str:
    """A task for people."""
    return task or "All traffic"


def tiles(found: Report, listed: list[Alert]) -> None:
    """Watching in numbers."""
    open_ones = sum(each.state == "open" for each in listed)
    last = found.rounds[0]["ended_at"] if found.rounds else None
    scores = sum(each.scores for each in found.tasks)
    waiting = sum(each.undecided for each in found.tasks)
    shifted = "—" if isinstance(found.clusters, NotEstimable) else f"{found.clusters.psi:.2f}"
    verdict = None if isinstance(found.clusters, NotEstimable) else found.clusters.verdict
    numbers = {
        "Open alerts": (f"{open_ones:,}", f"of {len(listed):,}"),
        "Tasks watched": (f"{sum(e.evidence is not None for e in found.tasks):,}", f"of {len(found.tasks):,}"),
        "Scores": (f"{scores:,}", f"{waiting:,} wait for a judge" if waiting else None),
        "Shift of inputs": (shifted, verdict),
        "Last round": (f"{last:%d %b}" if last else "—", f"{last:%H:%M} UTC" if last else None),
    }
    with st.container(key="tiles"):
        columns = st.columns(len(numbers))
    for column, (name, (value, beside)) in zip(columns, numbers.items(), strict=True):
        column.metric(name, value, beside, delta_color="off", delta_arrow="off", border=True, height="stretch")


# Tasks.


def tasks(key: tuple[Hashable, ...], found: Report, listed: list[Alert]) -> None:
    """Each task's course against half its tolerance, and how near it is to an alarm."""
    states = {each.task: each.state for each in reversed(listed) if each.kind == "regression"}
    for at, each in enumerate(found.tasks[:_TASKS]):
        _task(key, at, each, states.get(each.task))
    if len(found.tasks) > _TASKS:
        box = st.expander(f"{len(found.tasks) - _TASKS:,} more tasks", key="more_tasks", on_change="rerun")
        if box.open:
            with box:
                for at, each in enumerate(found.tasks[_TASKS:], _TASKS):
                    _task(key, at, each, states.get(each.task))


def _task(key: tuple[Hashable, ...], at: int, each: Task, state: str | None) -> None:
    with st.container(border=True, key=f"beside_task_{at}"):
        left, right = st.columns([2, 3], gap="medium", vertical_alignment="center")
    with left:
        st.subheader(plain(f"{named(each.task)}{', new alone' if each.single else ''}", 70), anchor=False)
        st.text(_standing(each))
        if each.evidence is None:
            st.caption(plain(each.delay[0].upper() + each.delay[1:]))
        else:
            st.progress(min(1.0, max(0.0, each.evidence)), text=f"evidence {each.evidence:.0%} of an alarm")
            st.caption(plain(each.delay[0].upper() + each.delay[1:]))
        if state in ("open", "silenced"):
            st.caption(plain(f"An alert is {state}; see above."))
    with right:
        last = each.course[-1] if each.course else None
        what = "passes of new less old's rate" if each.single else "new minus old"
        told = "" if last is None else f", now {last.total:+.1f} with the limit at {last.limit:+.1f}"
        drawn = charts.draw(
            (*key, "course", each.task, each.single),
            lambda: drift_charts.course(each),
            f"{named(each.task)}: the sum of {what} by day{told}",
        )
        if not drawn:
            needed = "a baseline and scores of two days" if each.single else "scores of two days"
            st.caption(f"A course takes {needed}.")


def _standing(each: Task) -> str:
    """Where a task stands, in a sentence."""
    if not each.single:
        mean = "no score yet" if each.mean is None else f"new − old {100 * each.mean:+.2f} points"
        return f"{mean} over {each.scores:,} scores; an alert is due beyond {-50 * each.tolerance:+.2f}."
    rate = f"{each.passed / each.scores:.1%} of {each.scores:,} single answers passed"
    if each.baseline is None:
        return f"{rate}."
    due = max(0.0, each.baseline["floor"] - each.tolerance / 2)
    return f"{rate}; an alert is due below {due:.1%}."


# Alerts.


def alert_list(workspace: Workspace, actor: Actor, key: tuple[Hashable, ...], listed: list[Alert]) -> None:
    """Alerts by state; the one that the address names stands open."""
    asked = st.query_params.get("alert")
    for each in listed:
        icon, word = STATES[each.state]
        label = plain(f"{alerts.title(alerts.described(each))} · {each.raised_at:%d %b %Y, %H:%M} UTC · {word}", 160)
        # Open when it wants somebody, and after somebody did something about it; read when somebody opens it.
        begun = each.state == "open" or each.alert_id in (asked, st.session_state.get("drift_answered"))
        box = st.expander(label, expanded=begun, icon=icon, key=f"alert_{each.alert_id}", on_change="rerun")
        if box.open:
            with box:
                _alert(workspace, actor, key, each)


def _alert(workspace: Workspace, actor: Actor, key: tuple[Hashable, ...], each: Alert) -> None:
    told = alerts.summary(alerts.described(each))
    st.text("\n".join(sentence for sentence in told if not sentence.startswith((alerts.TO_READ, alerts.TO_READ_ALONE))))
    if each.kind == "regression":
        _cause(each.document["cause"])
        due = "where an alert is due" if each.document.get("single") else "half the tolerance"
        charts.draw(
            (*key, "carriers", each.alert_id),
            lambda: drift_charts.carriers(each.document["clusters"], each.document["limit"], due),
            "New minus old by cluster: "
            + "; ".join(
                f"{line(str(c['name']), 60)} {100 * c['mean']:+.1f} points" for c in each.document["clusters"][:8]
            ),
        )
        _pairs(workspace, actor, each)
        _alone(workspace, actor, each)
        paired, alone = watch_single.of_alert(workspace, each.alert_id)
        if paired:
            _draw(workspace, actor, each)
        if alone:
            _audit(workspace, actor, each)
    _answers(workspace, actor, each)
    sent = "; ".join(f"{channel}: {how}" for channel, how in each.channels.items()) or "not delivered anywhere yet"
    st.caption(plain(f"{each.alert_id} · {sent}", 300))


def _cause(found: dict[str, Any]) -> None:
    """What was found about each possible cause."""
    marks = {"changed": ":material/error:", "unchanged": ":material/check:", "unknown": ":material/question_mark:"}
    for name in ("inputs", "model", "judge"):
        st.caption(f"{marks[found[name]['changed']]} {name.capitalize()}: {plain(found[name]['why'], 400)}")


def _pairs(workspace: Workspace, actor: Actor, each: Alert) -> None:
    """Ten pairs on which new lost: the way to each, and into the adversarial set."""
    named_pairs: list[str] = each.document["pairs"]
    if not named_pairs:
        return
    # Who still labels a pair must not learn here which side lost.
    closed = rounds.open_pairs_of(workspace, actor.name)
    pairs = [pair_id for pair_id in named_pairs if pair_id not in closed]
    box = st.expander(f"{len(pairs)} pairs on which new lost", key=f"pairs_{each.alert_id}", on_change="rerun")
    if not box.open:
        return
    with box:
        for pair_id in pairs:
            with st.container(key=f"halves_{each.alert_id}_{pair_id}"):
                left, right = st.columns(2, vertical_alignment="center")
            with left:
                if st.button(
                    plain(pair_id, 60),
                    key=f"open_{pair_id}",
                    type="tertiary",
                    icon=":material/compare:",
                    help="Read it",
                ):
                    query = {"pair": pair_id, "from": f"alert:{each.alert_id}"}
                    st.switch_page(shell.PAGES_FOLDER / "pair.py", query_params=query)
            with right:
                promote.button(workspace, actor, pair_id, Provenance("alert", each.alert_id), key=f"promote_{pair_id}")


def _alone(workspace: Workspace, actor: Actor, each: Alert) -> None:
    """Ten single answers that did not pass: each to be read, and on into the adversarial set."""
    named_traces: list[str] = each.document.get("traces", [])
    if not named_traces:
        return
    label = f"{len(named_traces)} answers of new that did not pass"
    box = st.expander(label, key=f"alone_{each.alert_id}", on_change="rerun")
    if not box.open:
        return
    with box:
        texts = audit.texts(workspace, named_traces)
        for trace_id in named_traces:
            trace = texts.get(trace_id)
            if trace is None or trace.response is None:
                st.caption(plain(f"{trace_id} is gone.", 120))
                continue
            with st.container(border=True):
                st.caption(plain(trace_id, 120))
                asked = trace.messages[-1].content if trace.messages else None
                st.text(line(asked if isinstance(asked, str) else "", 400))
                st.text(plainly(trace.response.content))
                promote.button(workspace, actor, trace_id, Provenance("alert", each.alert_id), key=f"alone_{trace_id}")


def plainly(text: str | None) -> str:
    """An answer's text, cut where it is very long."""
    shown = text or "(no text)"
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]} …"


def _audit(workspace: Workspace, actor: Actor, each: Alert) -> None:
    """An audit of the task's single answers since the change, for people to say whether the alert is right."""
    if not st.button(
        "Let people read these",
        key=f"audit_{each.alert_id}",
        icon=":material/chrome_reader_mode:",
        help=f"Up to {_ROUND} random answers of the task since the change, one at a time, on Weekly audit.",
    ):
        return
    with shell.errors():
        sample_id = audit.draw_for_alert(workspace, each.alert_id, _ROUND, actor.name, datetime.now(UTC))
    st.success("They wait on Weekly audit.", icon=":material/check_circle:")
    shell.link("audit.py", "Read them on Weekly audit", query={"audit": sample_id})


def _draw(workspace: Workspace, actor: Actor, each: Alert) -> None:
    """A round of the task's live pairs since the change, for people to say whether the alert is right."""
    if not st.button(
        "Draw a round from these",
        key=f"draw_{each.alert_id}",
        icon=":material/casino:",
        help=f"Up to {_ROUND} of the task's live pairs since the change, for people to label.",
    ):
        return
    name = line(f"Alert {each.number}: {named(each.task)}", 80)
    spec = DrawSpec(size=_ROUND, seed=secrets.randbelow(10_000), name=name, alert=each.alert_id, by="cluster")
    try:
        drawn = rounds.draw(workspace, spec, actor.name, datetime.now(UTC))
    except BadInput as error:
        st.info(plain(str(error)), icon=":material/info:")
        return
    st.success(f"A round of {drawn.size} pairs is drawn.", icon=":material/check_circle:")
    shell.link("rounds.py", "See it on Rounds")


def _answers(workspace: Workspace, actor: Actor, each: Alert) -> None:
    """Acknowledge it with a comment, or silence its task for a while."""
    now = datetime.now(UTC)

    def answered() -> None:
        st.session_state["drift_answered"] = each.alert_id
        st.rerun()

    if each.acknowledged_by is not None and each.acknowledged_at is not None:
        comment = f": {each.comment}" if each.comment else ""
        st.text(f"Acknowledged by {each.acknowledged_by} on {each.acknowledged_at:%d %b %Y, %H:%M} UTC{comment}")
    if each.silenced_until is not None:
        st.text(f"Silenced until {each.silenced_until:%d %b %Y, %H:%M} UTC; what is open then is delivered then.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if each.acknowledged_by is None:
            with st.popover("Acknowledge", icon=":material/task_alt:"), st.form(f"ack_{each.alert_id}", border=False):
                comment = st.text_area("What is done about it", max_chars=2000, placeholder="Optional")
                if st.form_submit_button("Acknowledge", type="primary"):
                    with shell.errors():
                        alerts.acknowledge(workspace, each.alert_id, comment or "", actor.name, now)
                    answered()
        with (
            st.popover("Silence", icon=":material/notifications_paused:"),
            st.form(f"hush_{each.alert_id}", border=False),
        ):
            days = st.selectbox("For", list(SILENCES), help="Alerts are still raised and shown here, and not sent.")
            why = st.text_input("Why", max_chars=2000, placeholder="Optional")
            if st.form_submit_button("Silence this task", type="primary"):
                with shell.errors():
                    until = now + timedelta(days=SILENCES[days])
                    alerts.silence(workspace, each.task, until, why or "", actor.name, now)
                answered()
        if each.silenced_until is not None and st.button("End the silence", key=f"unhush_{each.alert_id}"):
            with shell.errors():
                alerts.silence(workspace, each.task, now, "", actor.name, now)
            answered()


# What else is watched.


def inputs(key: tuple[Hashable, ...], found: Report) -> None:
    """Whether what people ask for is what it was."""
    st.subheader("What comes in", anchor=False)
    if isinstance(found.clusters, NotEstimable):
        st.text(f"Shares of clusters cannot be compared: {found.clusters.reason}.")
        return
    stability = found.clusters
    words = {
        "shifted": "The shares of the clusters shifted beyond chance.",
        "stable": "The shares of the clusters are as before, as far as chance lets one see.",
        "too few": "There is too little traffic to tell a shift of the clusters.",
    }
    st.text(words[stability.verdict])
    st.caption(
        f"Population stability index {stability.psi:.3f}; chance alone gives {stability.by_chance:.3f}. The newest "
        f"{drift.RECENT} days ({stability.n_after:,}) against all before ({stability.n_before:,})."
    )
    charts.draw(
        (*key, "shares"),
        lambda: drift_charts.shares(stability, found.names),
        f"Shares of clusters before and in the newest week, index {stability.psi:.3f}",
    )
    for each, count in list(stability.new.items())[:8]:
        st.text(f"New: {line(found.names.get(each, each), 80)}, {count:,} times")


def judges(found: Report) -> None:
    """Whether the judge is who it was."""
    st.subheader("The judge on its anchors", anchor=False)
    if not found.judges:
        st.text("No judge has judged the anchor pairs twice yet.")
    for each in found.judges:
        if isinstance(each.result, Changed):
            word = "changed" if each.changed else "no change beyond chance"
            told = f"{word}; {100 * each.result.distance:.0f} % of its votes moved (p = {each.result.p:.3f})"
        else:
            told = each.result.reason
        st.text(f"{line(each.judge, 60)}: {told} · {each.anchors} pairs, {each.runs} runs")


def metrics(found: Report) -> None:
    """What was observed by day, as numbers."""
    st.subheader("By day and task", anchor=False)
    columns: dict[str, Callable[[Any], str]] = {
        "traces": lambda v: f"{v:,}",
        "scored": lambda v: f"{v:,}",
        "win_rate": lambda v: f"{v:.1%}",
        "new_passed": lambda v: f"{v:.1%}",
        "new_right": lambda v: f"{v:.1%}",
        "old_right": lambda v: f"{v:.1%}",
        "new_refused": lambda v: f"{v:.1%}",
        "old_refused": lambda v: f"{v:.1%}",
        "new_cut": lambda v: f"{v:.1%}",
        "new_confidence": lambda v: f"{v:.2f}",
        "new_latency_ms": lambda v: f"{v:,.0f}",
        "old_latency_ms": lambda v: f"{v:,.0f}",
        "new_characters": lambda v: f"{v:,.0f}",
        "old_characters": lambda v: f"{v:,.0f}",
    }
    titles = {"win_rate": "new wins", "new_passed": "new passed alone", "new_cut": "new cut off"}
    rows = [
        {
            "day": f"{each['begins']:%Y-%m-%d}",
            "task": line(named(each["task"]), 60),
            **{
                titles.get(name, name.replace("_", " ")): "" if each[name] is None else shown(each[name])
                for name, shown in columns.items()
            },
        }
        for each in found.windows[:200]
    ]
    if rows:
        st.dataframe(rows, hide_index=True, height=320)
    if found.metrics:
        st.caption("Traffic whose texts are dropped reports these alone.")
        names = ("latency_p50", "latency_p95", "timed_out", "failed", "refused", "cut", "characters", "tokens")
        st.dataframe(
            [
                {
                    "day": f"{each['day']:%Y-%m-%d}",
                    "task": line(named(each["task"]), 60),
                    "side": each["side"],
                    "exchanges": f"{each['exchanges']:,}",
                    **{name.replace("_", " "): "" if each[name] is None else f"{each[name]:,.3g}" for name in names},
                }
                for each in found.metrics
            ],
            hide_index=True,
        )
