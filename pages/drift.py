"""Drift: whether new stays as good as it was after the cutover, alerts, and what is done about them."""

from datetime import UTC, datetime

import streamlit as st

from review.services import alerts
from review.ui import charts, drift_signs, drift_view, shell, verbatim

session = shell.page("drift.py")
workspace, actor = session.workspace, session.actor

charts.style()
st.title("Drift", anchor=False)
st.caption("Live traffic after the cutover: does new stay as good as old, task by task, and who has to know?")
with shell.errors():
    key, report = drift_view.report(workspace)
    listed = alerts.alerts(workspace, datetime.now(UTC))
if report.empty:
    shell.empty(
        "Nothing is watched yet",
        "Name a folder in the configuration (watch.folder), let your gateway write live traffic there, and watch it on "
        "the command line, beside this app: one round for cron, or all the time.",
    )
    verbatim.show("review watch --once\nreview watch", "begin")
    st.stop()
drift_view.tiles(report, listed)
st.subheader("Alerts", anchor=False)
if listed:
    drift_view.alert_list(workspace, actor, key, listed)
else:
    st.text("No alert was raised.")
st.subheader("Tasks", anchor=False)
st.caption(
    "The line is the sum of new − old; where it stays below the dashed one, new loses more than half the tolerance. "
    "Where new answers alone, it is the sum of its passes less old's rate, and what is not certain of old's rate comes "
    "on top."
)
drift_view.tasks(key, report, listed)
drift_signs.section(workspace, key, report, listed)
with charts.beside("inputs") as (left, right):
    with left:
        drift_view.inputs(key, report)
    with right:
        drift_view.judges(report)
drift_view.metrics(report)
charts.downloads()
