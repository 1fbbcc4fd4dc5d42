"""The pictures of the Drift page: a task's course, clusters that carry a loss, shares of clusters now and before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from review.services.drift import Task
from review.stats.stability import Stability
from review.ui import charts
from review.ui.text import line

COURSE, LIMIT, LOSS, BEFORE = "#2f8f8b", "#d55e00", "#d55e00", "#a6b1b5"
_LONGEST = 44
_CLUSTERS = 12


def course(task: Task) -> alt.LayerChart | None:
    """The sum of new minus old by day, and the line of half the tolerance below which it must not stay."""
    if len(task.course) < 2:
        return None
    rows = pd.DataFrame(
        {"day": each.day, "sum": each.total, "limit": each.limit, "scores": each.scores} for each in task.course
    )
    x = alt.X("day:T", title=None, axis=alt.Axis(format="%-d %b", tickCount=4, grid=False))
    y_title = "sum of pass − rate" if task.single else "sum of new − old"
    base = alt.Chart(rows)
    zero = alt.Chart(pd.DataFrame({"y": [0]})).mark_rule(color=charts.ink(), opacity=0.25).encode(y="y:Q")
    limit = base.mark_line(color=LIMIT, strokeDash=[5, 4], strokeWidth=1.5).encode(
        x=x, y=alt.Y("limit:Q", title=y_title, axis=alt.Axis(tickCount=3))
    )
    path = base.mark_line(color=COURSE, strokeWidth=2).encode(x=x, y="sum:Q")
    points = base.mark_point(color=COURSE, filled=True, size=90, opacity=0).encode(
        x=x,
        y="sum:Q",
        tooltip=[
            alt.Tooltip("day:T", format="%d %b %Y"),
            alt.Tooltip("sum:Q", title=y_title, format="+.1f"),
            alt.Tooltip("limit:Q", title="where an alert is due", format="+.1f"),
            alt.Tooltip("scores:Q", format=","),
        ],
    )
    return alt.LayerChart(layer=[zero, limit, path, points]).properties(height=190)


def carriers(
    clusters: Sequence[Mapping[str, Any]], limit: float, due: str = "half the tolerance"
) -> alt.LayerChart | None:
    """New minus old by cluster with its interval, the one that carries most of the loss first."""
    rows = [
        {
            "name": line(f"{each['name']} · {each['scores']:,} scores", _LONGEST),
            "whole": line(str(each["name"]), 120),
            "mean": each["mean"],
            "low": each["difference"].get("low"),
            "high": each["difference"].get("high"),
            "part": each["part"],
            "scores": each["scores"],
        }
        for each in clusters[:_CLUSTERS]
    ]
    if not rows:
        return None
    data = pd.DataFrame(rows)
    y = alt.Y(
        "name:N",
        sort=[row["name"] for row in rows],
        title=None,
        axis=alt.Axis(labelLimit=280, ticks=False, domain=False),
    )
    hover = [
        alt.Tooltip("whole:N", title="cluster"),
        alt.Tooltip("mean:Q", title="new − old", format="+.3f"),
        alt.Tooltip("low:Q", title="from", format="+.3f"),
        alt.Tooltip("high:Q", title="to", format="+.3f"),
        alt.Tooltip("part:Q", title="of the loss", format=".0%"),
        alt.Tooltip("scores:Q", format=","),
    ]
    rule = alt.Chart(pd.DataFrame({"x": [0.0, limit], "of": ["no difference", due]}))
    lines = rule.mark_rule(strokeDash=[4, 4]).encode(
        x="x:Q",
        color=alt.Color(
            "of:N",
            scale=alt.Scale(domain=["no difference", due], range=[BEFORE, LIMIT]),
            legend=alt.Legend(title=None, orient="top", columns=1),
        ),
    )
    bars = (
        alt.Chart(data)
        .mark_rule(strokeWidth=3, color=COURSE)
        .encode(
            y=y,
            x=alt.X("low:Q", title="new − old", axis=alt.Axis(format="+.0%", tickCount=6)),
            x2="high:Q",
            tooltip=hover,
        )
    )
    points = (
        alt.Chart(data).mark_point(filled=True, size=80, color=COURSE, opacity=1).encode(y=y, x="mean:Q", tooltip=hover)
    )
    return alt.LayerChart(layer=[lines, bars, points]).properties(height=38 * len(rows) + 140)


def shares(found: Stability, names: Mapping[str, str]) -> alt.LayerChart | None:
    """Each cluster's share of traffic before and in the newest week; the largest changes first."""
    moved = sorted(found.shares.items(), key=lambda item: -abs(item[1][1] - item[1][0]))[:_CLUSTERS]
    if not moved:
        return None
    rows = [
        {"name": line(names.get(each, each), _LONGEST), "of": of, "share": share}
        for each, (before, after) in moved
        for of, share in (("before", before), ("newest week", after))
    ]
    order = [line(names.get(each, each), _LONGEST) for each, _ in moved]
    data = pd.DataFrame(rows)
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=260, ticks=False, domain=False))
    x = alt.X("share:Q", title="share of traffic", axis=alt.Axis(format=".0%", tickCount=5))
    color = alt.Color(
        "of:N",
        scale=alt.Scale(domain=["before", "newest week"], range=[BEFORE, COURSE]),
        legend=alt.Legend(title=None, orient="top"),
    )
    base = alt.Chart(data)
    joined = base.mark_line(color=BEFORE, strokeWidth=2).encode(y=y, x=x, detail="name:N")
    points = base.mark_point(filled=True, size=85, opacity=1).encode(
        y=y, x=x, color=color, tooltip=["name:N", "of:N", alt.Tooltip("share:Q", format=".1%")]
    )
    return alt.LayerChart(layer=[joined, points]).properties(height=30 * len(moved) + 110)
