"""Home: where do I stand, and what is next, by role."""

from datetime import UTC, datetime

import streamlit as st

from review.services import overview
from review.services.workspace import Role
from review.ui import shell, verbatim
from review.ui.text import plain

WELCOME: dict[Role, str] = {
    "reviewer": "Two answers side by side, blind. Say what is wrong, which way, and which you would rather have sent.",
    "support": "Something went wrong in a ticket? Find it, say what should have happened, and it is tested for ever.",
    "lead": "How far the new stack is from the old one, as people see it, and how far the judge can be trusted.",
}

session = shell.page("home.py")
actor = session.actor
with shell.errors():
    stand = overview.standing(session.workspace, actor, datetime.now(UTC))

st.title(f"Hello {plain(actor.name, 40)}", anchor=False)
st.caption(WELCOME[actor.role])

if stand.facts.pairs == 0:
    if stand.facts.traces:
        st.subheader("From traces to pairs", anchor=False)
        traces = "1 trace is" if stand.facts.traces == 1 else f"{stand.facts.traces:,} traces are"
        st.text(f"{traces} here and no pairs yet. Beside this app, on the command line:")
        verbatim.show("review pipeline", "pipeline")
        st.text(
            "It groups, samples, replays and judges them, and draws a round. eval_config.yaml names the two stacks."
        )
    else:
        st.subheader("Begin with pairs, or with traffic", anchor=False)
        st.text("There are no pairs yet. Beside this app, on the command line, bring in files of pairs:")
        verbatim.show("review import pairs pairs.jsonl\nreview import verdicts verdicts.jsonl", "pairs")
        st.text("Or logged traffic, which is stripped of personal data and replayed through both stacks:")
        verbatim.show("review import traces traces.jsonl\nreview pipeline", "traces")
        st.text("Or look around in the demo: review demo")
    st.stop()

if actor.role == "lead":
    facts = stand.facts
    tiles = {
        "Pairs": (facts.pairs, f"{facts.prompts:,} prompts"),
        "Judged": (facts.judged, f"{facts.verdicts:,} verdicts"),
        "Rounds": (facts.rounds, f"{facts.reviewers} reviewers"),
        "Labels by people": (facts.labels, f"{facts.simulated:,} simulated" if facts.simulated else None),
        "Adversarial entries": (facts.entries, None),
    }
    with st.container(key="tiles"):
        columns = st.columns(len(tiles))
    for column, (name, (value, beside)) in zip(columns, tiles.items(), strict=True):
        column.metric(name, f"{value:,}", beside, delta_color="off", delta_arrow="off", border=True, height="stretch")

with st.container(key="halves"):
    left, right = st.columns([3, 2], gap="large")
with left:
    st.subheader("Next", anchor=False)
    for step in stand.next_steps:
        with st.container(border=True):
            st.text(step.text)
            if step.share is not None:
                st.progress(step.share)
            shell.link(step.page, step.action, query=step.query)
with right:
    st.subheader("Lately", anchor=False)
    if not stand.lately:
        st.caption("Labels, flags and rounds will show here.")
    for line in stand.lately:
        st.text(f"{line.when:%d %b %H:%M}  {line.text}")
