"""One click from a failing example into the permanent adversarial set, wherever a page shows one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import streamlit as st

from review.domain.failure import Provenance
from review.domain.types import Side
from review.services import flag, loop
from review.services.workspace import Actor, Workspace
from review.ui import failure, shell
from review.ui.text import line, plain

COLUMN = "Adversarial set"
INTO = "Into the set"
_WIDTH = 130


def button(
    workspace: Workspace,
    actor: Actor,
    pair_id: str,
    provenance: Provenance,
    *,
    side: Side = "new",
    category: str | None = None,
    key: str = "promote",
) -> None:
    """A button that puts a failing answer into the adversarial set; beside it what exactly, to be said otherwise.

    Args:
        workspace: where.
        actor: who clicks.
        pair_id: of a pair or a trace.
        provenance: what the page shows: the gate, run, alert or round.
        side: whose answer failed.
        category: what went wrong, where the page knows; else what people's labels say most.
        key: tells several on one page apart.
    """
    config = workspace.settings.config
    names = {each.id: each.name for each in config.failure_categories}
    with shell.errors():
        found = loop.suggest(workspace, pair_id, side, category)
    with st.container(horizontal=True, vertical_alignment="center", key=f"{key}_row"):
        if found.standing is None:
            words = f"{names.get(found.category, found.category)} of {found.failed}"
            if st.button("Into the adversarial set", icon=":material/shield:", key=f"{key}_now", help=plain(words)):
                _promote(workspace, actor, pair_id, found.failed, found.category, provenance, "")
        for entry_id, failed, kind in found.entries:
            name = line(failure.category_name(config, kind), 60)
            shell.link("adversarial.py", plain(f"{entry_id}: {name} of {failed}"), query={"entry": entry_id})
        with st.popover("Say more", icon=":material/edit:", type="tertiary"):
            _form(workspace, actor, pair_id, provenance, found, names, key)


def table(
    workspace: Workspace,
    actor: Actor,
    rows: Sequence[Mapping[str, object]],
    pairs: Sequence[str | None],
    provenance: Provenance,
    key: str,
    *,
    offer: bool = True,
) -> None:
    """Examples as rows: a selected one opens its pair, a button in each puts what new failed into the set.

    Where an example stands in the set, the button is the entry's id, and opens it.

    Args:
        workspace: where.
        actor: who looks.
        rows: what is shown of each.
        pairs: the pair of each, where it has one.
        provenance: what the page shows, as in `button`.
        key: unique on the page.
        offer: they are failures, so that the buttons are there.
    """
    there = [each for each in pairs if each is not None] if offer else []
    with shell.errors():
        entries = loop.standing(workspace, there)
    # Ids and our own words alone: the labels of such buttons are read as Markdown.
    buttons = {COLUMN: [None if each is None else entries.get(each, INTO) for each in pairs]} if there else {}
    picked = st.dataframe(
        [{**{name: column[at] for name, column in buttons.items()}, **row} for at, row in enumerate(rows)],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=key,
        column_config={COLUMN: st.column_config.ButtonColumn(key=f"{key}_into", width=_WIDTH)} if there else None,
    )
    clicked: Mapping[str, int] | None = st.session_state.get(f"{key}_into") if there else None
    if clicked is not None and clicked["row"] < len(pairs):
        _clicked(workspace, actor, pairs[clicked["row"]], entries, provenance)
    elif picked.selection.rows:
        _open(pairs[picked.selection.rows[0]], provenance)


def _clicked(
    workspace: Workspace, actor: Actor, pair_id: str | None, entries: Mapping[str, str], provenance: Provenance
) -> None:
    """Open the entry that a pair has, else make it one."""
    if pair_id is None:
        return
    if entry := entries.get(pair_id):
        st.switch_page(shell.PAGES_FOLDER / "adversarial.py", query_params={"entry": entry})
    with shell.errors():
        found = loop.suggest(workspace, pair_id)
    _promote(workspace, actor, pair_id, found.failed, found.category, provenance, "")


def _open(pair_id: str | None, provenance: Provenance) -> None:
    if pair_id is None:
        st.caption("This example has no pair to read.")
        return
    query = {"pair": pair_id, "from": f"{provenance.kind}:{provenance.id}"}
    st.switch_page(shell.PAGES_FOLDER / "pair.py", query_params=query)


def _form(
    workspace: Workspace,
    actor: Actor,
    pair_id: str,
    provenance: Provenance,
    found: loop.Suggestion,
    names: dict[str, str],
    key: str,
) -> None:
    """The same with another side or category, and with what should have happened."""
    ids = list(names)
    sides: tuple[Side, Side] = ("old", "new")
    with st.form(f"{key}_form", border=False):
        side = st.radio("Which answer failed?", sides, sides.index(found.failed), horizontal=True, key=f"{key}_side")
        at = ids.index(found.category) if found.category in ids else 0
        category = st.selectbox(
            "What went wrong?", ids, at, format_func=lambda each: line(names[each]), key=f"{key}_category"
        )
        expected = st.text_area(
            "What should have happened?",
            height=90,
            max_chars=flag.MAX_TEXT,
            key=f"{key}_expected",
            help="Every later system is tested against it. Without it, a pass is that the fault is absent.",
        )
        if st.form_submit_button("Into the adversarial set", icon=":material/shield:"):
            _promote(workspace, actor, pair_id, side, category, provenance, expected or "")


def _promote(
    workspace: Workspace,
    actor: Actor,
    pair_id: str,
    side: Side,
    category: str,
    provenance: Provenance,
    expected: str,
) -> None:
    with shell.errors():
        made = loop.promote(
            workspace, pair_id, side, category, provenance, actor.name, datetime.now(UTC), expected=expected
        )
    what = "is in the adversarial set" if made.new else "has one more report"
    st.toast(plain(f"{made.entry_id} {what}; a second person confirms it."), icon=":material/shield:")
    st.rerun()
