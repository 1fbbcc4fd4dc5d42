"""Gate: the ladder of migration steps, each held to the contract that people signed before."""

import streamlit as st

from review.services import adversarial_runs, agreement, contracts, gate, golden, runs
from review.ui import charts, gate_view, shell, verbatim
from review.ui.text import line

session = shell.page("gate.py")
workspace = session.workspace

charts.style()
st.title("Gate", anchor=False)
st.caption("Every step of the migration, held to the contract that people signed before anybody looked.")
with shell.errors():
    agreement.require_sight(workspace, session.actor.name)
    listed = runs.list_runs(workspace)
    held = contracts.held(workspace)
    verdicts = gate.history(workspace)
if not listed:
    shell.empty(
        "No step to gate yet",
        "A step is a run: begin one, bring its evidence, sign a contract, gate it. Beside this app, on the command "
        "line:",
        [("runs.py", "See runs")],
    )
    verbatim.show(
        "review contract init -o contract.yaml\n"
        'review contract sign contract.yaml --name "Your Name"\n'
        "review run start my-first-step --step quantization\n"
        "review run record my-first-step\n"
        "review gate --candidate my-first-step",
        "begin",
    )
    st.stop()
gate_view.contract_strip(held)
of_run = {run.run_id: [each for each in verdicts if each["run"]["run_id"] == run.run_id] for run in listed}
names = {line(run.name): run for run in listed}
asked = next((name for name, run in names.items() if run.run_id == st.query_params.get("run")), None)
opened = st.session_state.get("gate_ladder_box") or asked or line(listed[-1].name)
run = names[opened]
key = (
    "gate",
    workspace.settings.db,
    agreement.data_version(workspace),
    runs.version(workspace),
    adversarial_runs.version(workspace),
    golden.data_version(workspace),
    held.digest,
    len(verdicts),
)
steps = [(each, of_run[each.run_id][-1] if of_run[each.run_id] else None) for each in listed]
gate_view.ladder(key, steps, opened)
with st.container(border=True), shell.errors():
    found = gate_view.standing_of((*key, run.run_id), workspace, run)
    gate_view.verdict(workspace, run, found, session.actor.name)
shown = of_run[run.run_id]
if shown:
    with st.container(border=True):
        gate_view.evidence(workspace, session.actor, (*key, run.run_id, shown[-1]["number"]), shown[-1])
    with st.expander("What to know beside the parts"):
        gate_view.beside(shown[-1])
    if len(shown) > 1:
        with st.expander(f"Earlier verdicts of this step ({len(shown) - 1})"):
            gate_view.earlier(shown)
    charts.downloads()
