"""Label: the review card for one round."""

import streamlit as st

from review.services import rounds
from review.ui import shell
from review.ui.card import review_card, takes_part
from review.ui.text import line

st.set_page_config(initial_sidebar_state="collapsed")  # the texts need the width
session = shell.page("label.py")
with shell.errors():
    drawn = {each.round_id: each for each in rounds.list_rounds(session.workspace)}  # newest first

if not drawn:
    st.title("Label")
    shell.empty(
        "No round is drawn yet",
        "A lead imports pairs and draws a round; then the pairs appear here.",
        [("rounds.py", "Draw a round")] if session.actor.role == "lead" else [("home.py", "Home")],
    )
    st.stop()

# The round that the address names, else the newest open one, else the newest.
choices = [each for each in drawn if drawn[each].progress.state == "open"] or list(drawn)[:1]
asked = st.query_params.get("round", choices[0])
if asked in drawn and asked not in choices:
    choices.append(asked)
chosen = asked if asked in choices else choices[0]
if len(choices) > 1:
    chosen = st.sidebar.selectbox(
        "Round", choices, index=choices.index(chosen), format_func=lambda each: line(drawn[each].title)
    )

# A lead who was shown pairs is blind until they are done, so a mere look at this page must not begin that.
if session.actor.role == "lead" and not takes_part(session.workspace, session.actor.name, chosen):
    st.title("Label")
    st.text(f"{drawn[chosen].title}: {drawn[chosen].size} pairs, {drawn[chosen].progress.done} labels so far.")
    st.caption("While you label, pages that show sides and verdicts of this round are closed to you.")
    if not st.button("Start labelling", type="primary"):
        st.stop()
review_card(session, chosen)
