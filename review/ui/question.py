"""A question with a few answers, each one key: what stands on the screen is what an answer counts for.

Streamlit's own buttons with keys change one by one and a moment after the texts around them: a quick key is lost, or
counts for something that nobody has read. Here texts and keys change in one step, and every answer names its question.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import streamlit as st
from streamlit.components.v2 import component

_FOLDER = Path(__file__).parent
_mount = component(
    "review_question",
    css=(_FOLDER / "question.css").read_text(encoding="utf-8"),
    js=(_FOLDER / "question.js").read_text(encoding="utf-8"),
)
BACK = "back"


class Option(NamedTuple):
    """An answer: what `said` is told, the key that gives it, its words, and whether it was given before."""

    answer: str
    key: str
    label: str
    chosen: bool = False


def ask(
    key: str,
    about: str,
    caption: str,
    texts: Sequence[tuple[str, str]],
    options: Sequence[Option],
    said: Callable[[str], None],
    *,
    back: bool = False,
) -> None:
    """Show a question and have `said` called with the answer, once, before the page runs again.

    Args:
        key: Unique on the page.
        about: What the question is about; an answer to anything else is dropped.
        caption: Our own words above the texts.
        texts: (name or nothing, text) to read for it; foreign text is shown as it is.
        options: The answers in their order.
        said: Stores the answer; it is called as a callback, before anything is drawn.
        back: Offer to go back (Backspace), told as `BACK`.
    """
    turns = f"{key}_turn"
    turn = st.session_state.setdefault(turns, secrets.token_hex(8))
    token = f"{turn}:{about}"
    shown = [_shown(each.answer, each.key, each.label, "chosen" if each.chosen else "") for each in options]
    if back:
        shown.append(_shown(BACK, "Backspace", "Back", "back", "⌫"))
    known = {each["id"] for each in shown}

    def answered() -> None:
        answer = _answer(st.session_state.get(key), token)
        if answer in known:
            said(answer)
        # Asked anew in any case: a browser that waits for an answer always gets one.
        st.session_state[turns] = secrets.token_hex(8)

    data = {"token": token, "caption": caption, "texts": [list(each) for each in texts], "options": shown}
    # In a list, because Streamlit looks through a dict for data frames, and imports pandas for it.
    _mount(key=key, data=[data], on_said_change=answered)


def _shown(answer: str, key: str, label: str, kind: str, sign: str | None = None) -> dict[str, str]:
    return {"id": answer, "key": key, "label": label, "kind": kind, "sign": sign or key}


def _answer(state: object, token: str) -> str | None:
    """The browser's answer; None when it is none of ours, or one to a question that stands no longer."""
    message: Any = cast("dict[str, Any]", state).get("said") if isinstance(state, dict) else None
    if not isinstance(message, dict):
        return None
    found = cast("dict[str, Any]", message)
    return str(found.get("answer")) if found.get("token") == token else None
