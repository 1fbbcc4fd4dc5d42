"""The review card: mounts card.js, answers its messages, and decides what of a pair may reach the browser."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from streamlit.components.v2 import component

from review.domain.card import Answers, Card, ClientId, Place, side_at
from review.domain.difference import CallComparison, Segment, compare_calls, compare_texts
from review.domain.failure import Report
from review.domain.types import Identifier, Json, Message, Output, ToolCall
from review.errors import BadInput, Conflict, NotFound, ReviewError
from review.services import flag, label, rounds
from review.services.workspace import Workspace
from review.ui.shell import Session

PREFETCH = 7  # the pair in sight and six more
# Pairs beyond this many characters wait for the next message: a queue of giants must not hold up the first.
REPLY_CHARS = 600_000
# Texts that share less than this are not marked unless asked: a page full of marks shows nothing.
MARK_FROM = 0.4

_FOLDER = Path(__file__).parent
# Streamlit sends a component's script and style sheet with every answer; so they are one line that fetches them once.
_ASSETS = {name: (_FOLDER / name).read_text(encoding="utf-8") for name in ("card.js", "card.css")}
_VERSION = hashlib.sha256("".join(_ASSETS.values()).encode()).hexdigest()[:12]
ASSET_PATH = "/review/assets"
mount = component(
    "review_card",
    js=f"""const at = (name) => `${{location.origin}}{ASSET_PATH}/${{name}}?{_VERSION}`;
        const text = fetch(at("card.css")).then((sent) => sent.text());
        const [card, style] = await Promise.all([import(at("card.js")), text]);
        export default (component) => card.default(component, style);""",
)
# The card needs the room that Streamlit leaves around a page.
ROOM = """<style>
.stMainBlockContainer { padding: 0.6rem 1rem 0 1rem; max-width: none; }
.stMainBlockContainer > .stVerticalBlock { gap: 0; }
.stAppHeader { height: 2.9rem; min-height: 2.9rem; background: transparent; pointer-events: none; }
.stAppHeader button { pointer-events: auto; }
.stStatusWidget { display: none; }
</style>"""


def asset(name: str) -> tuple[str, str] | None:
    """The card's script or style sheet with its media type, for the route below ASSET_PATH; None for any other name."""
    kind = {"card.js": "text/javascript", "card.css": "text/css"}.get(name)
    return (_ASSETS[name], kind) if kind else None


class FlagItem(BaseModel):
    """A flagged failure as the browser sends it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    flag_id: ClientId
    card_id: ClientId
    place: Place
    category: Identifier
    expected: str = Field(max_length=flag.MAX_TEXT)


class Outbox(BaseModel):
    """One message of the browser: everything that it does not know to be stored, and which cards it holds.

    Attributes:
        nonce: new with every sending; the answer repeats it.
        hello: the browser knows nothing yet.
        want: it runs low on cards; asked apart from labels, because a refill reads the whole round.
        have: ids of the cards that it holds.
        shown: the card in sight.
        answers: labels and skips, not yet checked.
        flags: flagged failures, not yet checked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    nonce: ClientId
    hello: bool = False
    want: bool = False
    have: list[ClientId] = Field(default_factory=list[str], max_length=200)
    shown: ClientId | None = None
    answers: list[dict[str, Json]] = Field(default_factory=list[dict[str, Json]], max_length=2000)
    flags: list[dict[str, Json]] = Field(default_factory=list[dict[str, Json]], max_length=500)


@st.fragment
def review_card(session: Session, round_id: str) -> None:
    """Show the card for `round_id`. A label reruns only this fragment."""
    st.html(ROOM)
    scope = scope_of(session.workspace, session.actor.name, round_id)
    key = f"card-{scope}"
    outbox = read_outbox(st.session_state.get(key))
    data = {"scope": scope, **answer(session.workspace, session.actor.name, round_id, outbox, datetime.now(UTC))}
    # In a list, because Streamlit looks through a dict for data frames, and imports pandas for it.
    mount(key=key, data=[data], on_outbox_change=noted)


def scope_of(workspace: Workspace, reviewer: str, round_id: str) -> str:
    """The name under which a browser keeps this reviewer's unsent labels of this round; tells nothing."""
    return hmac.new(workspace.key, f"outbox\0{reviewer}\0{round_id}".encode(), hashlib.sha256).hexdigest()[:24]


def takes_part(workspace: Workspace, reviewer: str, round_id: str) -> bool:
    """Whether the reviewer was shown or has answered anything of the round."""
    done = label.progress(workspace, reviewer, round_id)
    return done.mine_done + done.mine_skipped > 0 or rounds.has_open_slots(workspace, reviewer, round_id)


def answer(workspace: Workspace, reviewer: str, round_id: str, outbox: Outbox | None, now: datetime) -> dict[str, Any]:
    """Store what the browser sent, then say what is stored, what comes next and how far the reviewer is.

    Without a message it is answered as a browser that knows nothing. The answer depends on the message and the
    database only, so that it may be lost and asked for again.
    """
    asked = outbox or Outbox(nonce="nothing-yet", hello=True)
    reply: dict[str, Any] = {"nonce": outbox.nonce if outbox else None, "saved": [], "refused": []}
    try:
        _store(workspace, reviewer, asked, now, reply)
        if asked.shown is not None:
            label.renew(workspace, reviewer, asked.shown, now)
        if asked.hello or asked.want:
            cards = label.queue(workspace, reviewer, round_id, PREFETCH, now)
            reply["queue"] = [card.card_id for card in cards]
            reply["cards"] = _new_cards(cards, set(asked.have))
            reply["progress"] = _progress(workspace, reviewer, round_id)
            if not cards:
                reply["summary"] = _summary(workspace, reviewer, round_id)
        if asked.hello:
            reply["setup"] = setup(workspace)
            last = label.last(workspace, reviewer, round_id)
            if last is not None:
                reply["last"] = {"card": card_payload(last[0]), "answers": last[1].model_dump(mode="json")}
    except ReviewError as error:
        reply["problem"] = str(error)
    return reply


def card_payload(card: Card) -> dict[str, Any]:
    """What the browser may know of a card: the texts, in shown order. Only named fields pass, ids and models do not."""
    pair = card.pair
    left, right = _output(card, "left"), _output(card, "right")
    difference = _compared(left.content or "", right.content or "")
    return {
        "card_id": card.card_id,
        "task": pair.task,
        "messages": [shown_message(message) for message in pair.messages],
        "tools": [shown_tool(tool) for tool in pair.tools or []],
        "reference": pair.reference,
        "left": difference["left"],
        "right": difference["right"],
        "shared": difference["shared"],
        "marks": difference["shared"] is not None and difference["shared"] >= MARK_FROM,
        "calls": [_comparison(each) for each in compare_calls(left.tool_calls or [], right.tool_calls or [])],
    }


def noted() -> None:
    """Streamlit keeps a state value only for a component that names a callback for it."""


def read_outbox(state: object) -> Outbox | None:
    """The browser's message, checked; None when there is none or it is not one of ours."""
    message = cast(dict[str, Json], state).get("outbox") if isinstance(state, dict) else None
    if message is None:
        return None
    try:
        return Outbox.model_validate_json(json.dumps(message))
    except ValidationError:
        return None


def _store(workspace: Workspace, reviewer: str, outbox: Outbox, now: datetime, reply: dict[str, Any]) -> None:
    """Fill `saved` and `refused`. An id is named only after its commit; a busy database leaves the rest for later."""

    def refuse(item: dict[str, Json], name: str, reason: str) -> None:
        reply["refused"].append({"id": item.get(name), "reason": reason})

    answers: list[Answers] = []
    for item in outbox.answers:
        try:
            answers.append(Answers.model_validate_json(json.dumps(item)))
        except ValidationError as error:
            refuse(item, "label_id", f"a label is not in order ({where_wrong(error)}).")
    try:
        for receipt in label.submit(workspace, reviewer, answers, now) if answers else []:
            if receipt.status == "refused":
                reply["refused"].append({"id": receipt.label_id, "reason": receipt.reason})
            else:
                reply["saved"].append(receipt.label_id)
        for item in outbox.flags:
            try:
                _flag(workspace, reviewer, FlagItem.model_validate_json(json.dumps(item)), now)
            except ValidationError as error:
                refuse(item, "flag_id", f"a flag is not in order ({where_wrong(error)}).")
            except BadInput as error:
                refuse(item, "flag_id", str(error))
            except NotFound:  # its message names the pair, which the browser must not learn
                refuse(item, "flag_id", "the flagged pair is not yours, or is gone.")
            else:
                reply["saved"].append(item["flag_id"])
    except Conflict as error:
        reply["problem"] = str(error)


def _flag(workspace: Workspace, reviewer: str, item: FlagItem, now: datetime) -> None:
    card = label.card(workspace, reviewer, item.card_id)
    failure = Report(
        report_id=item.flag_id,
        pair_id=card.pair_id,
        failed=side_at(item.place, card.shown_first),
        category=item.category,
        expected=item.expected,
        source="label",
        round_id=card.round_id,
    )
    flag.report(workspace, failure, reviewer, now)


def where_wrong(error: ValidationError) -> str:
    return ", ".join(".".join(str(part) for part in each["loc"]) for each in error.errors()[:3])


def _new_cards(cards: Sequence[Card], known: set[str]) -> list[dict[str, Any]]:
    """The cards that the browser lacks, the first in any case, then as many as fit into one answer."""
    sent: list[dict[str, Any]] = []
    room = REPLY_CHARS
    for card in cards:
        if card.card_id in known:
            continue
        payload = card_payload(card)
        room -= len(json.dumps(payload)) if _is_large(card) else 0
        if sent and room < 0:
            break
        sent.append(payload)
    return sent


def _is_large(card: Card) -> bool:
    """Whether it is worth measuring."""
    texts = [card.pair.old.content, card.pair.new.content, *(message.content for message in card.pair.messages)]
    return sum(len(text) for text in texts if isinstance(text, str)) > 50_000


def _progress(workspace: Workspace, reviewer: str, round_id: str) -> dict[str, Any]:
    now = label.progress(workspace, reviewer, round_id)
    skipped = now.mine_skipped
    return {
        "mine": {"done": now.mine_done + skipped, "total": now.mine_total + skipped},
        "all": {"done": now.all_done, "total": now.all_total},
        "held": now.held_by_others,
        "ended": now.ended,
    }


def _summary(workspace: Workspace, reviewer: str, round_id: str) -> dict[str, Any]:
    """What an end of round shows."""
    done = label.summary(workspace, reviewer, round_id)
    mine = [
        entry
        for entry in flag.entries(workspace, source="label")
        if entry.round_id == round_id and entry.reported_by == reviewer
    ]
    others = [
        each
        for each in rounds.list_rounds(workspace)
        if each.round_id != round_id
        and each.progress.state == "open"
        and label.progress(workspace, reviewer, each.round_id).mine_open
    ]
    return {
        "labelled": done.labelled,
        "skipped": done.skipped,
        "with_error": done.with_error,
        "median_seconds": done.median_seconds,
        "flags": len(mine),
        "round_open": done.round_open,
        "other_rounds": len(others),
    }


def setup(workspace: Workspace) -> dict[str, Any]:
    config = workspace.settings.config
    return {
        "rubric": config.rubric.model_dump(),
        "categories": [category.model_dump() for category in config.failure_categories],
    }


def _output(card: Card, place: Place) -> Output:
    return card.pair.old if side_at(place, card.shown_first) == "old" else card.pair.new


@lru_cache(maxsize=64)
def _compared(left: str, right: str) -> dict[str, Any]:
    difference = compare_texts(left, right)
    return {
        "left": {"text": _pieces(difference.left), "words": len(left.split())},
        "right": {"text": _pieces(difference.right), "words": len(right.split())},
        "shared": None if difference.shared is None else round(difference.shared, 3),
    }


def _pieces(segments: Sequence[Segment]) -> list[str]:
    """Segments as texts that alternate: same, differing, same, …"""
    pieces: list[str] = []
    for segment in segments:
        if segment.differs == (len(pieces) % 2 == 0):
            pieces.append("")
        pieces.append(segment.text)
    return pieces


def shown_message(message: Message) -> dict[str, Any]:
    text = _text(message.content)
    shown: dict[str, Any] = {"role": message.role, "text": text, "words": len(text.split())}
    if message.name:
        shown["name"] = message.name
    if message.tool_calls:
        shown["calls"] = [shown_call(call) for call in message.tool_calls]
    return shown


def _text(content: str | list[dict[str, Json]] | None) -> str:
    """The text of a message; a part that is no text is named by its type."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n\n".join(
        part["text"] if isinstance(part.get("text"), str) else f"[{part.get('type', 'part')}]" for part in content
    )


def shown_call(call: ToolCall) -> dict[str, str]:
    arguments = call.function.arguments
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return {"name": call.function.name, "arguments": str(arguments)}
    line = json.dumps(arguments or {}, ensure_ascii=False)
    shown = line if len(line) <= 80 else json.dumps(arguments, ensure_ascii=False, indent=2)
    return {"name": call.function.name, "arguments": shown}


def shown_tool(tool: dict[str, Json]) -> dict[str, str]:
    function = tool.get("function", tool)
    named = cast(dict[str, Json], function) if isinstance(function, dict) else {}
    return {"name": str(named.get("name", "tool")), "description": str(named.get("description") or "")}


def _comparison(compared: CallComparison) -> dict[str, Any]:
    return {
        "left": compared.left,
        "right": compared.right,
        "left_broken": compared.left_broken,
        "right_broken": compared.right_broken,
        "rows": [[row.path, row.left, row.right, row.differs] for row in compared.rows],
        "hidden": compared.hidden,
    }
