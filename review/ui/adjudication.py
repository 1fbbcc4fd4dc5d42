"""Adjudication on a page: one disputed pair at a time, blind to sides, authors and verdicts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from review.domain.card import Answers, BetterAnswer
from review.domain.types import ERROR_DIRECTIONS, ErrorDirection, Output
from review.services import adjudicate
from review.services.adjudicate import Case, Docket, Question
from review.services.rounds import RoundSummary
from review.ui import failure, shell
from review.ui.shell import Session
from review.ui.text import line, plain

QUESTION_WORDS: dict[Question, str] = {
    "error_left": "Error in A",
    "error_right": "Error in B",
    "better": "Better overall",
}
VALUE_WORDS: dict[str, str] = {
    "none": "none",
    "cautious": "cautious",
    "confident": "confident",
    "other": "other",
    "cannot_tell": "can't tell",
    "left": "A",
    "same": "same",
    "right": "B",
    "both_bad": "both bad",
}
BETTER: tuple[BetterAnswer, ...] = ("left", "same", "right", "both_bad")
# What would tell the stacks apart stays on the server.
_UNSHOWN: dict[str, Any] = {"model": None, "latency_ms": None, "usage": None, "confidence": None, "outcomes": None}


def adjudication(session: Session, drawn: Sequence[RoundSummary]) -> None:
    """Choose a round with conflicts, then decide its pairs one after the other."""
    failure.style()
    with shell.errors():
        dockets = {
            each.round_id: adjudicate.docket(session.workspace, each.round_id, session.actor.name)
            for each in drawn
            if each.overlap > 1
        }
    disputed = {key: docket for key, docket in dockets.items() if docket.decidable or docket.own or docket.decided}
    if not disputed:
        shell.empty(
            "Nothing to adjudicate",
            "Conflicts appear when two people label the same pair differently, which needs a round drawn with an "
            "overlap of two or more.",
        )
        return
    titles = {each.round_id: each.title for each in drawn}
    asked = st.query_params.get("round")
    choices = list(disputed)
    chosen = st.selectbox(
        "Round",
        choices,
        index=choices.index(asked) if asked in choices else 0,
        format_func=lambda each: line(f"{titles[each]} ({len(disputed[each].decidable)} open)", 90),
    )
    _stand(disputed[chosen])
    if disputed[chosen].decidable:
        _decide(session, chosen, disputed[chosen].decidable[0].pair_id)


def _stand(docket: Docket) -> None:
    """How many are left, and what stands in the way of the rest."""
    left = len(docket.decidable)
    st.progress(docket.decided / max(1, docket.decided + left + docket.own))
    parts = [f"{docket.decided} decided", f"{left} for you"]
    if docket.own:
        parts.append(f"{docket.own} that you labelled yourself, for somebody else")
    st.caption(" · ".join(parts))
    if not left and not docket.own:
        st.success("Every conflict of this round is decided.", icon=":material/check_circle:")


def _decide(session: Session, round_id: str, pair_id: str) -> None:
    with shell.errors():
        this = adjudicate.case(session.workspace, round_id, pair_id, session.actor.name)
    _show(this)
    with st.form(f"decide_{this.card.card_id}", enter_to_submit=False):
        st.caption("What people said, in no order. Decide what is right, not who.")
        given = {question: _ask(question, values) for question, values in this.values.items()}
        comment = st.text_input("Comment", placeholder="Optional: why", max_chars=2000)
        sent = st.form_submit_button("Decide and next", type="primary", shortcut="Ctrl+Enter")
    if not sent:
        return
    if any(answer is None for answer in given.values()):
        st.error("Please answer every question; each is in dispute.", icon=":material/edit:")
        return
    answers = Answers(
        label_id=st.session_state.setdefault(f"decision_{this.card.card_id}", str(uuid.uuid4())),
        card_id=this.card.card_id,
        comment=comment or None,
        **given,  # pyright: ignore[reportArgumentType] the radios offer legal values only
    )
    with shell.errors():
        adjudicate.decide(session.workspace, round_id, pair_id, session.actor.name, answers, datetime.now(UTC))
    st.rerun()


def _show(this: Case) -> None:
    pair, card = this.card.pair, this.card
    st.caption(plain(pair.task or "", 80))
    with st.container(border=True):
        failure.conversation([message.model_dump(exclude_none=True) for message in pair.messages], "case")
    if pair.reference:
        with st.expander("What a right answer says"):
            failure.said(pair.reference, "case_reference")
    outputs: tuple[Output, Output] = (pair.old, pair.new) if card.shown_first == "old" else (pair.new, pair.old)
    with st.container(key="halves"):
        columns = st.columns(2)
    for column, letter, output in zip(columns, "AB", outputs, strict=True):
        with column, st.container(border=True):
            st.markdown(f"**Answer {letter}**")
            failure.answer(output.model_copy(update=_UNSHOWN).model_dump(exclude_none=True), f"case_{letter}")


def _ask(question: Question, values: Sequence[str]) -> ErrorDirection | BetterAnswer | None:
    """One disputed question; what people said stands beside it."""
    said = " / ".join(VALUE_WORDS[each] for each in values)
    options: tuple[str, ...] = BETTER if question == "better" else ERROR_DIRECTIONS
    return st.radio(
        f"{QUESTION_WORDS[question]} — people said {said}",
        options,
        index=None,
        horizontal=True,
        key=f"{question}_answer",
        format_func=VALUE_WORDS.__getitem__,
    )  # pyright: ignore[reportReturnType] the options are the legal values
