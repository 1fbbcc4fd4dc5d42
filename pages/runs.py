"""Runs: each migration step, a candidate against its baseline, and which kinds of evidence it has."""

import streamlit as st

from review.services import agreement, runs
from review.ui import charts, runs_view, shell, verbatim

session = shell.page("runs.py")
workspace = session.workspace

charts.style()
st.title("Runs", anchor=False)
st.caption("A run is one step of a migration: a candidate against a baseline, on up to four kinds of evidence.")
with shell.errors():
    agreement.require_sight(workspace, session.actor.name)
    listed = runs.list_runs(workspace)
    recorded = runs.parts(workspace)
if not listed:
    shell.empty(
        "No run yet",
        "Begin one for the endpoints of the configuration, then put the replayed sample into it. Beside this app, on "
        "the command line:",
    )
    verbatim.show("review run start my-first-step --step quantization\nreview run record my-first-step", "begin")
    st.stop()
known = {each.run_id: each for each in listed}
asked = st.query_params.get("run", "")
if "runs_open" not in st.session_state and asked in known:
    st.session_state["runs_open"] = asked
opened = st.session_state.get("runs_open")
run = known.get(opened or "", listed[-1])
runs_view.overview(listed, recorded, run.run_id)
key = ("runs", workspace.settings.db, runs.version(workspace))
with st.container(border=True), shell.errors():
    runs_view.one_run(workspace, session.actor, run, [each for each in recorded if each.run_id == run.run_id], key)
with shell.errors():
    runs_view.comparison(workspace, session.actor, run, listed, key)
charts.downloads()
