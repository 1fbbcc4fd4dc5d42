"""The card of the weekly audit: the review card with one logged answer, and its server side."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import streamlit as st
from pydantic import ValidationError

from review.domain.single import SingleAnswers, SingleCard
from review.errors import BadInput, Conflict, NotFound, ReviewError
from review.services import audit
from review.services.workspace import Workspace
from review.ui.card import (
    PREFETCH,
    REPLY_CHARS,
    ROOM,
    FlagItem,
    Outbox,
    mount,
    noted,
    read_outbox,
    setup,
    shown_call,
    shown_message,
    shown_tool,
    where_wrong,
)
from review.ui.shell import Session


@st.fragment
def audit_card(session: Session, sample_id: str) -> None:
    """Show the card for an audit. A label reruns only this fragment."""
    st.html(ROOM)
    said = f"audit outbox\0{session.actor.name}\0{sample_id}".encode()
    scope = hmac.new(session.workspace.key, said, hashlib.sha256).hexdigest()[:24]
    key = f"audit-{scope}"
    outbox = read_outbox(st.session_state.get(key))
    reply = answer(session.workspace, session.actor.name, sample_id, outbox, datetime.now(UTC))
    mount(key=key, data=[{"scope": scope, "single": True, **reply}], on_outbox_change=noted)


def answer(workspace: Workspace, reviewer: str, sample_id: str, outbox: Outbox | None, now: datetime) -> dict[str, Any]:
    """Store what the browser sent, then say what is stored, what comes next and how far the audit is."""
    asked = outbox or Outbox(nonce="nothing-yet", hello=True)
    reply: dict[str, Any] = {"nonce": outbox.nonce if outbox else None, "saved": [], "refused": []}
    try:
        _store(workspace, reviewer, sample_id, asked, now, reply)
        if asked.hello or asked.want:
            cards = audit.queue(workspace, reviewer, sample_id, PREFETCH)
            reply["queue"] = [card.card_id for card in cards]
            reply["cards"] = _new(cards, set(asked.have))
            reply.update(_how_far(workspace, reviewer, sample_id))
        if asked.hello:
            reply["setup"] = setup(workspace)
            last = audit.last(workspace, reviewer, sample_id)
            if last is not None:
                reply["last"] = {"card": payload(last[0]), "answers": last[1].model_dump(mode="json")}
    except ReviewError as error:
        reply["problem"] = str(error)
    return reply


def payload(card: SingleCard) -> dict[str, Any]:
    """What the browser may know of a trace: its texts. Ids, model and keys do not pass."""
    trace, response = card.trace, card.trace.response
    text = (response.content if response else None) or ""
    return {
        "card_id": card.card_id,
        "task": trace.task,
        "messages": [shown_message(each) for each in trace.messages],
        "tools": [shown_tool(each) for each in trace.tools or []],
        "reference": trace.reference,
        "left": {"text": [text] if text else [], "words": len(text.split())},
        "made": [shown_call(each) for each in (response.tool_calls if response else None) or []],
        "calls": [],
        "shared": None,
        "marks": False,
    }


def _new(cards: list[SingleCard], known: set[str]) -> list[dict[str, Any]]:
    """The cards that the browser lacks, the first in any case, then as many as fit into one answer."""
    sent: list[dict[str, Any]] = []
    room = REPLY_CHARS
    for card in cards:
        if card.card_id in known:
            continue
        shown = payload(card)
        room -= len(json.dumps(shown))
        if sent and room < 0:
            break
        sent.append(shown)
    return sent


def _how_far(workspace: Workspace, reviewer: str, sample_id: str) -> dict[str, Any]:
    now = audit.progress(workspace, reviewer, sample_id)
    return {
        "progress": {"mine": {"done": now.done, "total": now.total}, "all": None, "held": 0, "ended": False},
        "summary": {"labelled": now.mine, "skipped": now.skipped, "median_seconds": now.median_seconds},
    }


def _store(
    workspace: Workspace, reviewer: str, sample_id: str, outbox: Outbox, now: datetime, reply: dict[str, Any]
) -> None:
    """Fill `saved` and `refused`. An id is named only after its commit; a busy database leaves the rest for later."""

    def refuse(name: object, reason: str) -> None:
        reply["refused"].append({"id": name, "reason": reason})

    answers: list[SingleAnswers] = []
    for item in outbox.answers:
        try:
            answers.append(SingleAnswers.model_validate_json(json.dumps(item)))
        except ValidationError as error:
            refuse(item.get("label_id"), f"a label is not in order ({where_wrong(error)}).")
    try:
        for receipt in audit.submit(workspace, reviewer, sample_id, answers, now) if answers else []:
            if receipt.status == "refused":
                refuse(receipt.label_id, receipt.reason or "it cannot be stored.")
            else:
                reply["saved"].append(receipt.label_id)
        for item in outbox.flags:
            try:
                one = FlagItem.model_validate_json(json.dumps(item))
                audit.report(workspace, reviewer, sample_id, one.card_id, one.flag_id, one.category, one.expected, now)
            except ValidationError as error:
                refuse(item.get("flag_id"), f"a flag is not in order ({where_wrong(error)}).")
            except (BadInput, NotFound) as error:
                refuse(item.get("flag_id"), str(error))
            else:
                reply["saved"].append(item["flag_id"])
    except Conflict as error:
        reply["problem"] = str(error)
