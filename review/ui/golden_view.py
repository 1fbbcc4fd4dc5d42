"""The parts of the page Golden set: the set at a glance, one item, drafts, two answers to score, agreement."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pandas as pd
import streamlit as st

from review.domain import golden as rules
from review.errors import ReviewError
from review.services import golden, golden_overview, golden_people
from review.services.golden_overview import Line, Overview
from review.services.golden_people import Agreement, Asking, Choice, Sheet
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable, Result
from review.ui import charts, coverage_charts, coverage_view, failure, question, shell, verbatim
from review.ui.shell import Session
from review.ui.text import line, plain

STATES = {"accepted": "Accepted", "draft": "Draft", "rejected": "Rejected"}
_EVENTS = {
    "imported": "Imported",
    "drafted": "Drafted",
    "edited": "Edited",
    "accepted": "Accepted",
    "rejected": "Rejected",
    "undone": "Undone",
}
_CHOICES: dict[Choice, str] = {
    "both": "Both do",
    "a": "Only A",
    "b": "Only B",
    "neither": "Neither",
    "cannot_tell": "Can’t tell",
}
_CLUSTERS = 15


@st.cache_resource(ttl=3600, max_entries=16, show_spinner="Reading the golden set …")
def _computed(key: tuple[Hashable, ...], _work: Callable[[], Any]) -> Any:  # noqa: ARG001 the cache's key
    return _work()


def overview(workspace: Workspace) -> tuple[tuple[Hashable, ...], Overview]:
    """The set, computed once for all visits until it changes, and the key that says which one it is."""
    key = (workspace.settings.db, "golden", golden.data_version(workspace))
    return key, _computed(key, lambda: golden_overview.overview(workspace))


def tiles(found: Overview) -> None:
    """The set in numbers."""
    frozen = found.newest
    name = "nothing is frozen" if frozen is None else (frozen.name or rules.short(frozen.version))
    numbers = {
        "Accepted": (f"{len(found.of('accepted')):,}", f"of {rules.FEWEST} to {rules.MOST:,}"),
        "Rubric items": (f"{sum(len(each.item.rubric) for each in found.of('accepted')):,}", "of accepted items"),
        "Drafts": (f"{len(found.of('draft')):,}", "wait for a person"),
        "Newest frozen set": ("—" if frozen is None else f"{frozen.items:,}", line(name, 18)),
        "Not frozen yet": (f"{found.unfrozen:,}", "items differ from it"),
    }
    with st.container(key="tiles"):
        columns = st.columns(len(numbers))
    for column, (title, (value, told)) in zip(columns, numbers.items(), strict=True):
        column.metric(
            title, plain(value), plain(told), delta_color="off", delta_arrow="off", border=True, height="stretch"
        )


def freeze(session: Session, found: Overview) -> None:
    """Freeze what is accepted."""
    accepted = len(found.of("accepted"))
    if not accepted or not found.unfrozen:
        return
    with st.form("freeze", border=True):
        st.text(
            f"{accepted:,} items are accepted, and no frozen set is exactly these. A run is scored on a frozen set."
        )
        if (note := golden.size_note(accepted)) is not None:
            st.caption(plain(note))
        name, button = st.columns([3, 1], vertical_alignment="bottom")
        named = name.text_input("Name of the frozen set", max_chars=60, placeholder="such as 2026-03")
        sent = button.form_submit_button("Freeze", icon=":material/ac_unit:", width="stretch")
    if sent:
        with shell.errors():
            golden.freeze(session.workspace, named.strip() or None, session.actor.name, datetime.now(UTC))
        st.rerun()


def items(session: Session, key: tuple[Hashable, ...], found: Overview) -> None:
    """All items as a table; a chosen one below it."""
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    state = left.selectbox(
        "State", ["all", *STATES], format_func=lambda each: STATES.get(each, "All"), key="golden_state"
    )
    words = right.text_input("Find", placeholder="words of prompt, rubric or id", key="golden_find").lower().split()
    shown = [
        each
        for each in found.lines
        if state in ("all", each.standing.state) and all(word in _searched(each) for word in words)
    ]
    picked = st.dataframe(
        _table(shown),
        hide_index=True,
        width="stretch",
        height=min(35 * (len(shown) + 1) + 3, 420),
        on_select="rerun",
        selection_mode="single-row",
        key="golden_table",
    )
    rows = picked.selection.rows
    asked = st.query_params.get("item")
    chosen = shown[rows[0]] if rows and rows[0] < len(shown) else None
    if chosen is None and asked:
        chosen = next((each for each in found.lines if each.item.item_id == asked), None)
    if chosen is None:
        st.caption("Choose a row to read the item, change it, or take back what was decided.")
    else:
        with st.container(border=True):
            one_item(session, chosen)
    coverage(session.workspace, key)


def _searched(each: Line) -> str:
    rubric = " ".join(one.item for one in each.item.rubric)
    return f"{each.item.item_id} {each.item.task or ''} {each.prompt} {rubric}".lower()


def _table(shown: Sequence[Line]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Item": [line(each.item.item_id, 60) for each in shown],
            "State": [STATES[each.standing.state] for each in shown],
            "Frozen": ["yes" if each.frozen else "" for each in shown],
            "Task": [line(each.item.task or "", 40) for each in shown],
            "Rubric items": [len(each.item.rubric) for each in shown],
            "Prompt": [line(each.prompt, 160) for each in shown],
            "Version": [rules.short(each.row.item_hash)[:8] for each in shown],
        }
    )


def one_item(session: Session, each: Line) -> None:
    """An item: what it asks, what became of it, and the form to change it."""
    st.subheader(plain(each.item.item_id, 80), anchor=False)
    who = f" by {each.standing.decided_by}" if each.standing.decided_by else ""
    told = f"{STATES[each.standing.state]}{who} · version {rules.short(each.row.item_hash)}"
    st.caption(plain(told + (" · in the newest frozen set" if each.frozen else "")))
    failure.conversation(each.item.form()["messages"], f"item_{each.row.item_hash}")
    sent = _form(each, "Save", f"edit_{each.standing.number}_{each.row.item_hash}")
    if sent is not None:
        with shell.errors():
            golden.edit(session.workspace, session.actor, each.standing, sent, datetime.now(UTC))
        st.rerun()
    accept, reject, undo = st.columns([1, 2, 1], vertical_alignment="bottom")
    if each.standing.state != "accepted" and accept.button("Accept", icon=":material/check:", width="stretch"):
        _decide(session, each, "accepted")
    if each.standing.state != "rejected":
        with reject:
            _rejection(session, each, "item")
    steps = each.standing.steps > 1
    if steps and undo.button("Undo the last step", icon=":material/undo:", width="stretch"):
        _decide(session, each, "undone")
    with st.expander("What became of it"):
        for one in golden_overview.history(session.workspace, each.item.item_id):
            why = f": {one['reason']}" if one["reason"] else ""
            at = failure.moment(one["at"])
            st.text(line(f"{at} · {_EVENTS[one['kind']]} {rules.short(one['item_hash'])[:8]} by {one['by']}{why}", 400))


def _form(each: Line, label: str, key: str) -> dict[str, Any] | None:
    """Task, reference and rubric to be changed; what a person sent, or None."""
    with st.form(key, border=False):
        reference = st.text_area("Good response", each.item.reference, key=f"{key}_reference", height=110)
        rubric = st.text_area(
            "Rubric: one item a line; “2 × …” counts twice",
            rules.rubric_text(each.item.rubric),
            key=f"{key}_rubric",
            height=100,
        )
        task = st.text_input("Task", each.item.task or "", key=f"{key}_task", max_chars=200)
        sent = st.form_submit_button(label, icon=":material/check:", type="primary")
    if not sent:
        return None
    changed: dict[str, Any] = {"reference": reference, "task": task.strip() or None}
    if rubric != rules.rubric_text(each.item.rubric):
        changed["rubric"] = rules.rubric_lines(rubric)
    return changed


def _rejection(session: Session, each: Line, key: str) -> None:
    with st.form(f"reject_{key}_{each.standing.number}", border=False, clear_on_submit=True):
        words, button = st.columns([3, 1], vertical_alignment="bottom")
        reason = words.text_input("Why not", max_chars=golden.LONGEST_REASON, key=f"why_{key}_{each.standing.number}")
        sent = button.form_submit_button("Reject", icon=":material/close:", width="stretch")
    if sent:
        _decide(session, each, "rejected", reason)


def _decide(session: Session, each: Line, kind: rules.EventKind, reason: str = "") -> None:
    with shell.errors():
        golden.decide(session.workspace, session.actor, each.standing, kind, datetime.now(UTC), reason=reason)
    st.session_state["golden_last"] = None if kind == "undone" else each.item.item_id
    st.rerun()


def coverage(workspace: Workspace, key: tuple[Hashable, ...]) -> None:
    """Traffic's clusters against the set's."""
    st.subheader("Which traffic it covers", anchor=False)
    _, report = coverage_view.report(workspace)
    if not report.clusters:
        st.caption("Clusters of traffic stand here once there are some: review import traces, then review cluster.")
        return
    bare = [each for each in report.clusters if each.traces and not each.golden]
    share = sum(each.share for each in bare)
    st.text(f"{len(bare)} of {len(report.clusters)} clusters, {share:.0%} of traffic, have no accepted item.")
    if report.untested:
        st.caption(f"{len(report.untested)} of them no prompt of the eval suite either. Draft items for these:")
        verbatim.show("review golden draft --per-cluster 3", "draft")
    listed = report.clusters[:_CLUSTERS]
    charts.draw(
        (*key, "golden shares", coverage_view.report(workspace)[0]),
        lambda: coverage_charts.shares(report, listed),
        "; ".join(f"{each.name}: {each.share:.1%} of traffic, {each.golden} items" for each in listed),
    )


def drafts(session: Session, found: Overview) -> None:
    """One draft after the other: accept as it stands or as corrected, reject with a reason, or leave for later."""
    last = st.session_state.get("golden_last")
    before = next((each for each in found.lines if each.item.item_id == last), None)
    if before is not None and before.standing.state != "draft":
        told, undo = st.columns([4, 1], vertical_alignment="center")
        told.caption(plain(f"{before.item.item_id} is {STATES[before.standing.state].lower()}.", 200))
        if undo.button("Undo", key="undo_last", icon=":material/undo:", width="stretch"):
            _decide(session, before, "undone")
    waiting = found.of("draft")
    if not waiting:
        shell.empty(
            "No draft waits",
            "Drafts are proposed for clusters of traffic that neither this set nor the eval suite touches. Beside this "
            "app, on the command line:",
        )
        verbatim.show("review golden draft --per-cluster 3", "draft")
        return
    at = int(st.session_state.get("golden_draft", 0)) % len(waiting)
    each = waiting[at]
    st.caption(f"Draft {at + 1} of {len(waiting)}. Nothing counts before a person accepts it; correct what is wrong.")
    with st.container(border=True):
        origin = "A synthetic prompt" if each.row.synthetic else "A stripped trace"
        st.caption(plain(f"{origin} of a cluster that nothing tests · reference and rubric by {each.row.model or '?'}"))
        failure.conversation(each.item.form()["messages"], f"draft_{each.row.item_hash}")
        sent = _form(each, "Accept", f"draft_{each.standing.number}_{each.row.item_hash}")
        if sent is not None:
            with shell.errors():
                now = datetime.now(UTC)
                standing = golden.edit(session.workspace, session.actor, each.standing, sent, now)
                golden.decide(session.workspace, session.actor, standing, "accepted", now)
            st.session_state["golden_last"] = each.item.item_id
            st.rerun()
        _rejection(session, each, "draft")
    if len(waiting) > 1 and st.button("Leave for later", icon=":material/skip_next:"):
        st.session_state["golden_draft"] = at + 1
        st.rerun()


def scoring(session: Session) -> None:
    """Two answers side by side, blind; a rubric item at a time."""
    found = golden_people.askings(session.workspace)
    if not found:
        shell.empty(
            "No answers to score yet",
            "Both stacks answer a frozen set in a run. Beside this app, on the command line:",
        )
        verbatim.show("review golden freeze\nreview golden score --run my-run --no-record", "freeze")
        return
    names = [f"set {line(each.named, 40)} · {each.items:,} items · {at + 1}" for at, each in enumerate(found)]
    at = 0
    if len(found) > 1:
        at = names.index(st.selectbox("Answers to score", names, key="golden_asking") or names[0])
    _sheet(session, found[at])


@st.fragment
def _sheet(session: Session, asking: Asking) -> None:
    """The next item; a score reruns only this."""
    trail: list[tuple[str, int]] = st.session_state.setdefault("golden_trail", [])
    back: tuple[str, int] | None = st.session_state.get("golden_back")
    if (problem := st.session_state.pop("golden_problem", None)) is not None:
        st.error(plain(problem), icon=":material/error:")
    sheet = golden_people.sheet(session.workspace, session.actor.name, asking, back[0] if back else None)
    if sheet is None:
        st.success("You have scored every item of this set.")
        if trail:
            st.button("Back", icon=":material/undo:", shortcut="Backspace", on_click=_back, args=(trail,))
        return
    place = back[1] if back else sheet.open or 1
    st.progress(sheet.done / sheet.total, f"{sheet.done} of {sheet.total} items scored by you")
    failure.conversation(sheet.item.form()["messages"], f"score_{sheet.answers_id}")
    with st.expander("The good response"):
        failure.said(sheet.item.reference, f"reference_{sheet.answers_id}")
    with st.container(key="halves_golden"):
        columns = st.columns(2)
    for column, name, output in zip(columns, "AB", sheet.shown, strict=True):
        with column, st.container(border=True):
            st.caption(f"Answer {name}")
            failure.answer(output.model_dump(mode="json", exclude_none=True), f"{name}_{sheet.answers_id}")
    question.ask(
        "golden_question",
        f"{sheet.answers_id}:{place}",
        f"Rubric item {place} of {len(sheet.item.rubric)}: which answers do this?",
        [("", sheet.item.rubric[place - 1].item)],
        [
            question.Option(each, str(number), _CHOICES[each], each == sheet.given.get(place))
            for number, each in enumerate(_CHOICES, 1)
        ],
        lambda answer: _said(session, sheet, place, trail, answer),
        back=bool(trail),
    )


def _said(session: Session, sheet: Sheet, place: int, trail: list[tuple[str, int]], answer: str) -> None:
    if answer == question.BACK:
        _back(trail)
        return
    choice = cast("Choice", answer)
    try:
        golden_people.say(session.workspace, session.actor, sheet.answers_id, place, choice, datetime.now(UTC))
    except ReviewError as error:
        st.session_state["golden_problem"] = str(error)
        return
    if trail[-1:] != [(sheet.answers_id, place)]:
        trail.append((sheet.answers_id, place))
    st.session_state.pop("golden_back", None)


def _back(trail: list[tuple[str, int]]) -> None:
    st.session_state["golden_back"] = trail.pop()


def agreement(workspace: Workspace, key: tuple[Hashable, ...]) -> None:
    """How often judge and people say the same, in all and by rubric item."""

    def work() -> list[Agreement]:
        return golden_people.agreements(workspace)

    found: list[Agreement] = _computed((*key, "agreement"), work)
    if not found:
        shell.empty(
            "Judge and people have not scored the same answers yet",
            "Score some under “Score”: even 30 answers say whether the judge can be trusted with these rubric items.",
        )
    for each in found:
        st.subheader(plain(each.judge, 80), anchor=False)
        st.text("Judge and people say the same of " + _words(each.overall))
        if each.undecided:
            st.caption(f"{each.undecided:,} answers are left out, where the judge or people did not decide.")
        st.dataframe(
            pd.DataFrame(
                {
                    "Item": [line(one.item_id, 60) for one in each.items],
                    "Rubric": [one.place for one in each.items],
                    "Words": [line(one.words, 160) for one in each.items],
                    "Same": [_words(one.agreement) for one in each.items],
                }
            ),
            hide_index=True,
            width="stretch",
        )
    if found:
        st.caption(
            "95 % intervals: over all items clustered by item; by rubric item Wilson's, wide where few are scored."
        )


def _words(found: Result) -> str:
    if isinstance(found, NotEstimable):
        return f"nothing that can be told: {found.reason}"
    return _share(found)


def _share(found: Estimate) -> str:
    return f"{found.value:.0%} of {found.n:,} answers ({found.low:.0%} to {found.high:.0%})"
