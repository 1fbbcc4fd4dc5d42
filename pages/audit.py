"""Weekly audit: random logged answers, read one at a time; for leads the error rates by week."""

from datetime import datetime

import streamlit as st

from review.services import audit
from review.services.audit import Audit, Week
from review.stats.estimate import NotEstimable
from review.ui import shell
from review.ui.audit_card import audit_card
from review.ui.audit_chart import rates_chart

WORDS = {"error": "With an error", "confident": "Confident error", "cautious": "Cautious error", "other": "Other error"}

session = shell.page("audit.py")
workspace, actor = session.workspace, session.actor


def span(since: datetime, until: datetime) -> str:
    return f"{since:%d %b} to {until:%d %b %Y}"


def title(each: Audit) -> str:
    if each.alert is not None:
        return f"Alert {each.alert} · {each.done} of {each.wanted} read"
    made = " · synthetic" if each.synthetic else ""
    return f"{span(each.since, each.until)} · {each.done} of {each.wanted} read{made}"


def results(weeks: list[Week]) -> None:
    """Error rates over the weeks."""
    latest = weeks[-1]
    st.subheader(f"{span(latest.audit.since, latest.audit.until)}", anchor=False)
    with st.container(key="tiles"):
        columns = st.columns(len(WORDS))
    for column, (name, words) in zip(columns, WORDS.items(), strict=True):
        found = latest.rates[name]
        if isinstance(found, NotEstimable):
            column.metric(words, "–", border=True)
        else:
            limits = f"{100 * found.low:.0f} to {100 * found.high:.0f} %"
            column.metric(words, f"{100 * found.value:.0f} %", limits, "off", delta_arrow="off", border=True)
    st.altair_chart(rates_chart(weeks), key="rates")
    unclear = f"; {latest.unclear} of which nobody could tell are left out" if latest.unclear else ""
    st.caption(
        f"Shares of all {latest.audit.frame:,} traces of the window, from {latest.read} random logged answers that "
        f"people read (95 % Wilson intervals){unclear}."
    )
    if latest.audit.synthetic:
        st.warning("These traces are synthetic: the rates say nothing about real traffic.", icon=":material/science:")
    if latest.audit.unreadable:
        st.caption(f"{latest.audit.unreadable} traces of the audit carry no logged answer and cannot be read.")


with shell.errors():
    drawn = audit.audits(workspace)
if not drawn and audit.without_answers(workspace):
    st.title("Weekly audit", anchor=False)
    shell.empty(
        "Nothing to read",
        "An audit is drawn, but none of its traces carries the answer that was given then. Import traces with their "
        "`response`, and draw the next sample: `review sample`.",
    )
    st.stop()
if not drawn:
    st.title("Weekly audit", anchor=False)
    shell.empty(
        "No audit is drawn yet",
        "An audit is 50 random traces of the week, outside all rules: people read what was answered, one at a time. "
        "It comes with each sample: `review sample`.",
    )
    st.stop()

by_id = {each.sample_id: each for each in drawn}
asked = st.query_params.get("audit", drawn[0].sample_id)
chosen = asked if asked in by_id else drawn[0].sample_id
if len(by_id) > 1:
    chosen = st.sidebar.selectbox(
        "Audit", list(by_id), index=list(by_id).index(chosen), format_func=lambda each: title(by_id[each])
    )
reading = st.session_state.get("reading", actor.role == "reviewer")
if not reading:
    st.title("Weekly audit", anchor=False)
    st.text(title(by_id[chosen]))
    if st.button("Read answers", type="primary", icon=":material/chrome_reader_mode:"):
        st.session_state["reading"] = True
        st.rerun()
    with shell.errors():
        weeks = audit.weeks(workspace)
    if weeks:
        results(weeks)
    else:
        shell.empty("Nothing is read yet", "The error rates stand here as soon as somebody has read an answer.")
    st.stop()
if actor.role == "lead" and st.sidebar.button("Show the rates", icon=":material/monitoring:"):
    st.session_state["reading"] = False
    st.rerun()
audit_card(session, chosen)
