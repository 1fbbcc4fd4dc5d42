"""What answers of one task showed over time: small pictures of passes, wins, refusals, wording, old beside new."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from datetime import datetime

import altair as alt
import pandas as pd
import streamlit as st

from review.domain.types import Side
from review.services import drift
from review.services.alerts import Alert
from review.services.drift import Report, Series
from review.services.workspace import Workspace
from review.ui import charts
from review.ui.drift_charts import BEFORE, COURSE, LIMIT
from review.ui.text import line, plain

# Days that a point of the line is the mean of.
SMOOTH = 7
SIDES: tuple[Side, ...] = ("old", "new")
_ROW = 4
_COLOURS = {"old": BEFORE, "new": COURSE}


@st.cache_resource(ttl=3600, max_entries=64, show_spinner=False)
def _computed(key: tuple[Hashable, ...], _work: Callable[[], tuple[Series, ...]]) -> tuple[Series, ...]:  # noqa: ARG001 the cache's key
    return _work()


def section(workspace: Workspace, key: tuple[Hashable, ...], found: Report, listed: Sequence[Alert]) -> None:
    """One task's answers over time, chosen from those that were observed."""
    st.subheader("Over time", anchor=False)
    # In the order of the tasks above; then those of which nothing is scored yet.
    known = list(dict.fromkeys([*(each.task for each in found.tasks), *(each["task"] for each in found.windows)]))
    if not known:
        st.text("Answers are drawn here once live traffic with texts was observed.")
        return
    task = known[0]
    if len(known) > 1:
        task = st.selectbox("Task", known, format_func=lambda each: line(each, 60) or "All traffic", key="signs_task")
    every = _computed((*key, "signs", task), lambda: drift.signs(workspace, task))
    drawn = [each for each in every if sum(_told(day) for day in each.days) > 1]
    if not drawn:
        st.text("A picture takes two days of traffic.")
        return
    changes = tuple(each.since for each in listed if each.kind == "regression" and each.task == task and each.since)
    marked = "; the dashed mark is where a regression began that an alert tells of" if changes else ""
    st.caption(f"Lines are means of {SMOOTH} days of traffic, points are days; old is grey and new green{marked}.")
    for start in range(0, len(drawn), _ROW):
        with st.container(key=f"parts_signs_{start}"):
            columns = st.columns(_ROW, gap="medium")
        for column, each in zip(columns, drawn[start : start + _ROW], strict=False):
            with column:
                st.markdown(f"**{plain(each.title)}**", help=f"{plain(each.unit)}")
                charts.draw(
                    (*key, "sign", task, each.key, changes),
                    lambda each=each: picture(each, changes),
                    described(each),
                )


def _told(day: tuple[datetime, float | None, float | None, int]) -> bool:
    return day[1] is not None or day[2] is not None


def described(series: Series) -> str:
    """The picture in words: where each side stands at its end."""
    said: list[str] = []
    form = ".1%" if series.share else ".3g"
    for side in SIDES:
        ends = [each for each in smoothed(series.of(side)) if each is not None]
        if ends:
            said.append(f"{side} from {ends[0]:{form}} to {ends[-1]:{form}}")
    return f"{series.title} by day ({series.unit}): {', '.join(said)}"


def smoothed(rows: Sequence[tuple[float | None, int]]) -> list[float | None]:
    """For each day the mean of it and the days before, SMOOTH in all, weighted by their answers; None without any."""
    found: list[float | None] = []
    for at in range(len(rows)):
        span = [(mean, count) for mean, count in rows[max(0, at - SMOOTH + 1) : at + 1] if mean is not None]
        total = sum(count for _, count in span)
        found.append(sum(mean * count for mean, count in span) / total if total else None)
    return found


def picture(series: Series, changes: Sequence[datetime]) -> alt.LayerChart | None:
    """Old and new by day, and where alerts see a change begin."""
    rows: list[dict[str, object]] = []
    for side in SIDES:
        means = series.of(side)
        for day, (mean, count), smooth in zip(series.days, means, smoothed(means), strict=True):
            if mean is not None:
                rows.append({"day": day[0], "of": side, "mean": mean, "smooth": smooth, "answers": count})
    if not rows:
        return None
    shape = ".0%" if series.share else ".3~g"
    # The same days in all pictures, also where a side or a score ends early.
    days_of = alt.Scale(domain=[series.days[0][0].isoformat(), series.days[-1][0].isoformat()])
    x = alt.X("day:T", title=None, scale=days_of, axis=alt.Axis(format="%-d %b", tickCount=3, grid=False))
    axis = alt.Axis(format=shape, tickCount=3, title=None)
    scale = alt.Scale(zero=False, padding=8)
    color = alt.Color("of:N", scale=alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values())), legend=None)
    base = alt.Chart(pd.DataFrame(rows))
    days = base.mark_point(filled=True, size=14, opacity=0.45).encode(
        x=x, y=alt.Y("mean:Q", axis=axis, scale=scale), color=color
    )
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=alt.Y("smooth:Q", axis=axis, scale=scale), color=color)
    hover = base.mark_point(filled=True, size=120, opacity=0).encode(
        x=x,
        y="smooth:Q",
        tooltip=[
            alt.Tooltip("day:T", format="%d %b %Y"),
            alt.Tooltip("of:N", title="whose"),
            alt.Tooltip("mean:Q", title="day", format=".1%" if series.share else ".3~g"),
            alt.Tooltip("smooth:Q", title=f"{SMOOTH} days", format=".1%" if series.share else ".3~g"),
            alt.Tooltip("answers:Q", title="answers of the day", format=","),
        ],
    )
    layers: list[alt.Chart] = [days, lines, hover]
    if changes:
        marks = pd.DataFrame({"day": list(changes)})
        layers.insert(0, alt.Chart(marks).mark_rule(color=LIMIT, strokeDash=[4, 4], opacity=0.7).encode(x=x))
    return alt.LayerChart(layer=layers).properties(height=130)
