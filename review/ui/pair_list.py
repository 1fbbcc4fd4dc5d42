"""The pairs behind a figure, as a list whose rows open the pair's page."""

from __future__ import annotations

import streamlit as st

from review.services import agreement
from review.services.workspace import Workspace
from review.stats.intervals import Ints
from review.store.agreement import PairLine
from review.ui import shell
from review.ui.text import plain

SHOWN = 200


def pair_list(workspace: Workspace, rows: Ints, heading: str, key: str, round_id: str | None = None) -> None:
    """The first SHOWN of the pairs with these row numbers.

    Args:
        workspace: The open workspace.
        rows: Row numbers.
        heading: What the pairs have in common; may hold foreign text.
        key: Unique on the page.
        round_id: The round that the page looks at: where a pair is come upon.
    """
    count = len(rows)
    st.markdown(f"**{plain(heading, 160)}: {count:,} {'pair' if count == 1 else 'pairs'}**")
    if count:
        show_lines(count, agreement.pair_lines(workspace, rows, SHOWN), key, round_id)


def show_lines(count: int, lines: list[PairLine], key: str, round_id: str | None = None) -> None:
    """Lines of `count` pairs; a selected row opens its pair."""
    picked = st.dataframe(
        [{"Pair": line.pair_id, "Task": line.task or "", "Last message": line.ask} for line in lines],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"pairs_{key}",
    )
    st.caption(
        f"The first {len(lines)} of {count:,}. Select a row to open its pair."
        if count > len(lines)
        else "Select a row to open its pair."
    )
    if picked.selection.rows:
        chosen = lines[picked.selection.rows[0]].pair_id
        seen = {"from": f"round:{round_id}"} if round_id else {}
        st.switch_page(shell.PAGES_FOLDER / "pair.py", query_params={"pair": chosen, **seen})
