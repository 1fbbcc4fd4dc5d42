"""What the Flag page and the adversarial set share: how a conversation, an answer and the set's growth look."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.components.v2 import component

from review.domain.failure import Source, Status
from review.services.flag import GrowthPoint
from review.settings import EvalConfig
from review.ui import verbatim
from review.ui.text import plain

STATUS_COLOURS: dict[Status, str] = {"confirmed": "#2f6f73", "reported": "#d0a24c", "erased": "#9aa3a8"}
BADGES: dict[Status, Literal["green", "orange", "gray"]] = {
    "confirmed": "green",
    "reported": "orange",
    "erased": "gray",
}
STATUS_WORDS: dict[Status, str] = {"confirmed": "Confirmed", "reported": "To be confirmed", "erased": "Erased"}
SOURCE_WORDS: dict[Source, str] = {"label": "Review card", "flag_page": "Flag page", "api": "Helpdesk"}
_LONGEST = 60_000
_TALL = 900
_CHART = 330

_STYLE = """<style>
[class*="st-key-hit_"] button { justify-content: flex-start; text-align: left; }
[class*="st-key-hit_"] button * { justify-content: flex-start; text-align: left; }
[class*="st-key-hit_"] button > * { width: 100%; }
.st-key-category [role="radiogroup"] {
    display: grid; grid-template-columns: repeat(auto-fill, minmax(15.5rem, 1fr)); gap: .5rem 1.25rem; width: 100%;
}
.st-key-category, .st-key-category [data-testid="stRadio"] { width: 100%; }
.st-key-numbers [data-testid="stColumn"], .st-key-filters [data-testid="stColumn"] { min-width: 9.5rem; }
.st-key-pictures [data-testid="stColumn"], .st-key-story [data-testid="stColumn"] { min-width: 21rem; }
[class*="st-key-said"] [data-testid="stText"] {
    font-family: inherit; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.55;
}
</style>"""

# A person who has just come, or has just searched, types or presses Enter at once: the focus goes there by itself.
_focus = component(
    "review_focus",
    js="""let done = null;
    export default function ({ data }) {
        if (done === data.turn) return;
        done = data.turn;
        let frames = 0;
        let held = false;
        // The page may still be drawing: look again for a second, and give up as soon as the person goes elsewhere.
        const look = () => {
            const found = document.querySelector(data.selector);
            const free = !held || document.activeElement === document.body;
            if (found && free) { found.focus(); held = true; }
            if (++frames < 60 && (free || document.activeElement === found)) requestAnimationFrame(look);
        };
        look();
    }""",
)


def style() -> None:
    """The few rules that these pages add to the theme."""
    st.html(_STYLE)


def focus(selector: str, turn: str) -> None:
    """Put the keyboard focus on `selector`, once for each `turn`."""
    _focus(data={"selector": selector, "turn": turn}, key="focus_component")


def moment(when: datetime) -> str:
    """A time for people, in UTC."""
    return when.astimezone(UTC).strftime("%d %b %Y, %H:%M UTC")


def category_name(config: EvalConfig, category: str) -> str:
    """The category's name; its id when the configuration knows it no more."""
    return next((each.name for each in config.failure_categories if each.id == category), category)


def said(text: str, key: str) -> None:
    """Foreign text exactly as it is, wrapped, in a box that scrolls when it is long."""
    whole = text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")
    with st.container(key=f"said_{key}", height=340 if len(whole) > _TALL or whole.count("\n") > 14 else "content"):
        st.text(whole[:_LONGEST])
    if len(whole) > _LONGEST:
        st.caption(f"The first {_LONGEST:,} of {len(whole):,} characters.")


def answer(output: dict[str, Any], key: str) -> None:
    """One answer: its text, then its tool calls as they were made."""
    if output.get("content"):
        said(str(output["content"]), key)
    elif not output.get("tool_calls"):
        st.caption("The answer is empty.")
    _calls(output.get("tool_calls"), key)


def conversation(messages: Sequence[dict[str, Any]], key: str) -> None:
    """The conversation up to the answer: the last message in sight, what came before folded."""
    *earlier, last = messages
    if earlier:
        with st.expander(f"Before that: {len(earlier)} message{'s' if len(earlier) > 1 else ''}"):
            for index, message in enumerate(earlier):
                _message(message, f"{key}_{index}")
    _message(last, f"{key}_last")


def _message(message: dict[str, Any], key: str) -> None:
    st.caption(plain(str(message.get("role", "")).capitalize(), 40))
    content = message.get("content")
    if isinstance(content, list):
        content = json.dumps(content, ensure_ascii=False, indent=1)
    if content:
        said(str(content), key)
    _calls(message.get("tool_calls"), key)


def _calls(calls: Sequence[dict[str, Any]] | None, key: str) -> None:
    for index, call in enumerate(calls or ()):
        function = call.get("function", {})
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False, indent=2)
        st.caption(plain(f"Tool call: {function.get('name', '')}", 120))
        said = arguments.encode("utf-8", "replace").decode("utf-8")[:_LONGEST]
        verbatim.show(said, f"{key}_call_{index}", wrapped=True)


def growth_chart(points: Sequence[GrowthPoint], today: datetime) -> alt.Chart:
    """The set's size over time, stacked by what the entries are by then."""
    days = list(points)
    if points[-1].day < today.date():  # the set stands as it is until today, so the last step is drawn out to it
        days.append(replace(points[-1], day=today.date()))
    rows = [
        {"day": pd.Timestamp(point.day), "status": STATUS_WORDS[status], "entries": count, "order": order}
        for point in days
        for order, (status, count) in enumerate(_standing_at(point))
    ]
    return (
        alt.Chart(pd.DataFrame(rows))
        .mark_area(interpolate="step-after", line=True, opacity=0.75)
        .encode(
            x=alt.X("day:T", title=None, axis=alt.Axis(grid=False, tickCount=6)),
            y=alt.Y("entries:Q", title="entries", stack=True, axis=alt.Axis(tickMinStep=1)),
            color=_status_colour(),
            order="order:Q",
            tooltip=[alt.Tooltip("day:T", title="until"), "status:N", "entries:Q"],
        )
        .properties(height=_CHART)
    )


def _standing_at(point: GrowthPoint) -> list[tuple[Status, int]]:
    return [
        ("confirmed", point.confirmed),
        ("reported", point.entries - point.confirmed - point.erased),
        ("erased", point.erased),
    ]


def category_chart(categories: dict[tuple[str, Source], int], config: EvalConfig) -> alt.Chart:
    """How many entries each category has, split by where they were noticed."""
    rows = [
        {"category": category_name(config, category), "source": SOURCE_WORDS[source], "entries": count}
        for (category, source), count in categories.items()
    ]
    return (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar(cornerRadiusEnd=3, height={"band": 0.7})
        .encode(
            y=alt.Y(
                "category:N",
                title=None,
                sort="-x",
                axis=alt.Axis(labelLimit=180, labelOverlap=False, ticks=False, domain=False),
            ),
            x=alt.X("entries:Q", title="entries", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color(
                "source:N",
                scale=alt.Scale(domain=list(SOURCE_WORDS.values()), range=["#2f6f73", "#8fb8b2", "#d0a24c"]),
                legend=alt.Legend(title=None, orient="bottom", columns=2),
            ),
            tooltip=["category:N", "source:N", "entries:Q"],
        )
        .properties(height=_CHART)
    )


def _status_colour() -> alt.Color:
    order: tuple[Status, ...] = ("confirmed", "reported", "erased")
    return alt.Color(
        "status:N",
        scale=alt.Scale(domain=[STATUS_WORDS[each] for each in order], range=[STATUS_COLOURS[each] for each in order]),
        legend=alt.Legend(title=None, orient="bottom"),
    )
