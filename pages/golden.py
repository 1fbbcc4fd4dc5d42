"""Golden set: curated prompts with rubric items: what counts, drafts to decide, answers to score, the judge checked."""

import streamlit as st

from review.ui import charts, failure, golden_view, shell, verbatim

session = shell.page("golden.py")
workspace, lead = session.workspace, session.actor.role == "lead"

charts.style()
failure.style()
st.title("Golden set", anchor=False)
st.caption("Curated prompts, each with a good response and what any answer must do, frozen by hash.")
with shell.errors():
    key, found = golden_view.overview(workspace)
if not found.lines:
    shell.empty(
        "No golden item yet",
        "An item is a prompt, the good response and rubric items in words; 200 to 2,000 make a set. Beside this app, "
        "on the command line:",
    )
    verbatim.show("review golden import items.jsonl\nreview golden draft --per-cluster 3", "begin")
    st.stop()
if not lead:
    with shell.errors():
        golden_view.scoring(session)
    st.stop()
golden_view.tiles(found)
drafts = len(found.of("draft"))
names = {"items": "Items", "drafts": f"Drafts ({drafts:,})" if drafts else "Drafts", "score": "Score"}
names["agreement"] = "Judge and people"
asked = st.query_params.get("show", "drafts" if drafts else "items")
view = st.segmented_control(
    "View",
    list(names),
    default=asked if asked in names else "items",
    required=True,
    format_func=names.__getitem__,
    key="golden_view",
    label_visibility="collapsed",
)
with shell.errors():
    if view == "drafts":
        golden_view.drafts(session, found)
    elif view == "score":
        golden_view.scoring(session)
    elif view == "agreement":
        golden_view.agreement(workspace, key)
    else:
        golden_view.freeze(session, found)
        golden_view.items(session, key, found)
