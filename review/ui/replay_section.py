"""What was replayed, and how far old differs from itself: a part of the Rounds page that opens on demand."""

from __future__ import annotations

import streamlit as st

from review.services import noise
from review.services.workspace import Workspace


@st.fragment
def show(workspace: Workspace) -> None:
    """Nothing, until a sample was replayed; then a line that opens."""
    if not noise.anything_replayed(workspace):
        return
    box = st.expander("What was replayed, and old's noise floor", key="replayed", on_change="rerun")
    if not box.open:
        return
    with box:
        found = noise.replayed(workspace)
        if not found:
            st.text("No sample was replayed through the stacks that are configured now.")
        for each in found:
            counts = each.counts
            st.text(
                f"Sample {each.number}: {counts['old']:,} of {counts['chosen']:,} traces answered by old, "
                f"{counts['new']:,} by new; {counts['pairs']:,} pairs."
            )
            if each.noise is not None:
                st.text("\n".join(noise.in_words(each.noise.to_json())))
        st.caption(
            "Old saw the stripped input and answered again, so that both stacks had the same to go by. What differs "
            "from its own logged answer is chance, what was stripped, or a stack that has changed since: a difference "
            "between old and new that is no larger says nothing about new."
        )
