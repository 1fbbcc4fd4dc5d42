"""The pictures of the Coverage page: the map of the clusters, shares side by side, clusters that grow."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from review.services.coverage import Cluster, Report
from review.stats.estimate import Estimate
from review.ui import charts
from review.ui.text import line

# Okabe-Ito: told apart with every kind of colour vision.
TOUCHED, UNTOUCHED, PLAIN = "#0072b2", "#d55e00", "#2f8f8b"
SETS = {
    "traffic": "#2f8f8b",
    "eval suite": "#0072b2",
    "golden set": "#e69f00",
    "adversarial set": "#d55e00",
    "rounds": "#cc79a7",
}
_NAMED = 14
_LONGEST = 44


def short(name: str) -> str:
    """A cluster's name as an axis can hold it."""
    return line(name, _LONGEST)


def cluster_map(report: Report) -> alt.LayerChart | None:
    """A bubble a cluster, as large as its traffic; like clusters stand near each other. A click sets `row` (name)."""
    if not report.clusters:
        return None
    known = bool(report.suite.items)
    rows = [
        {
            "name": each.name,
            "label": line(" · ".join(each.terms[:2]) or each.name, 26),
            "x": each.x,
            "y": each.y,
            "traces": each.traces,
            "share": each.share,
            "suite": each.suite,
            "kind": ("touched by the suite" if each.suite else "not touched by the suite") if known else "cluster",
        }
        for each in report.clusters
    ]
    x = alt.X("x:Q", axis=None, scale=alt.Scale(padding=30))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(padding=20))
    dots = (
        alt.Chart(pd.DataFrame(report.dots, columns=["x", "y"]))
        .mark_circle(size=7, color=charts.ink(), opacity=0.16, tooltip=None)
        .encode(x=x, y=y)
    )
    chosen = alt.selection_point(name="row", fields=["name"], empty=False)
    kinds = {"touched by the suite": TOUCHED, "not touched by the suite": UNTOUCHED} if known else {"cluster": PLAIN}
    legend = alt.Legend(title=None, orient="top", labelLimit=260) if known else None
    bubbles = (
        alt.Chart(pd.DataFrame(rows))
        .mark_circle(cursor="pointer", strokeWidth=2.5)
        .encode(
            x=x,
            y=y,
            size=alt.Size("traces:Q", scale=alt.Scale(range=[30, 1600], zero=True), legend=None),
            color=alt.Color("kind:N", scale=alt.Scale(domain=list(kinds), range=list(kinds.values())), legend=legend),
            opacity=alt.condition(chosen, alt.value(0.95), alt.value(0.55)),
            stroke=alt.condition(chosen, alt.value(charts.ink()), alt.value("transparent")),
            order=alt.Order("traces:Q", sort="descending"),
            tooltip=[
                alt.Tooltip("name:N", title="cluster"),
                alt.Tooltip("traces:Q", title="traces in the window", format=","),
                alt.Tooltip("share:Q", title="of traffic", format=".1%"),
                alt.Tooltip("suite:Q", title="prompts of the suite", format=","),
            ],
        )
        .add_params(chosen)
    )
    names = (
        alt.Chart(pd.DataFrame(rows[:_NAMED]))
        .mark_text(fontSize=11, dy=-16, color=charts.ink(), tooltip=None)
        .encode(x=x, y=y, text="label:N")
    )
    return alt.LayerChart(layer=[dots, bubbles, names]).properties(height=520)


def shares(report: Report, clusters: Sequence[Cluster]) -> alt.LayerChart | None:
    """Each cluster's share of traffic as a bar, its share of what is tested as points, in the order given."""
    if not clusters:
        return None
    order = [short(each.name) for each in clusters]
    traffic = pd.DataFrame(
        {"name": short(each.name), "whole": each.name, "share": each.share, "count": each.traces, "of": "traffic"}
        for each in clusters
    )
    tested = pd.DataFrame(
        {"name": short(each.name), "whole": each.name, "share": count / of_all, "count": count, "of": of}
        for each in clusters
        for of, of_all, count in (
            ("eval suite", report.suite.items, each.suite),
            ("golden set", report.golden.items, each.golden),
            ("adversarial set", report.adversarial.items, each.adversarial),
            ("rounds", report.rounds.items, each.rounds),
        )
        if of_all
    )
    items = {
        "traffic": 1,
        "eval suite": report.suite.items,
        "golden set": report.golden.items,
        "adversarial set": report.adversarial.items,
        "rounds": report.rounds.items,
    }
    present = [of for of in SETS if items[of]]
    scale = alt.Scale(domain=present, range=[SETS[each] for each in present])
    color = alt.Color("of:N", scale=scale, legend=alt.Legend(title=None, orient="top", columns=3))
    # Vega would leave every second name out where rows are close.
    axis = alt.Axis(labelLimit=250, labelOverlap=False, ticks=False, domain=False)
    y = alt.Y("name:N", sort=order, title=None, axis=axis)
    x = alt.X("share:Q", title=None, axis=alt.Axis(format=".0%", tickCount=5))
    hover = [
        alt.Tooltip("whole:N", title="cluster"),
        alt.Tooltip("of:N", title="share of"),
        alt.Tooltip("share:Q", format=".1%"),
        alt.Tooltip("count:Q", format=","),
    ]
    bars = alt.Chart(traffic).mark_bar(height=13, cornerRadiusEnd=3, opacity=0.5)
    layers = [bars.encode(y=y, x=x, color=color, tooltip=hover)]
    if len(tested):
        points = alt.Chart(tested).mark_point(filled=True, size=75, opacity=0.9)
        layers.append(points.encode(y=y, x=x, color=color, tooltip=hover))
    return alt.LayerChart(layer=layers).properties(height=24 * len(clusters) + 100)


def growth(clusters: Sequence[Cluster]) -> alt.LayerChart | None:
    """How far shares of traffic moved since the window before, in points, with intervals, in the order given."""
    rows = [
        {
            "name": short(each.name),
            "value": 100 * each.growth.value,
            "low": 100 * each.growth.low,
            "high": 100 * each.growth.high,
            "told": f"{each.before:,} → {each.traces:,} traces",
        }
        for each in clusters
        if isinstance(each.growth, Estimate)
    ]
    if not rows:
        return None
    order = [str(row["name"]) for row in rows]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=250, ticks=False, domain=False)),
        tooltip=[
            alt.Tooltip("name:N", title="cluster"),
            alt.Tooltip("value:Q", title="points", format="+.1f"),
            alt.Tooltip("low:Q", title="at least", format="+.1f"),
            alt.Tooltip("high:Q", title="at most", format="+.1f"),
            alt.Tooltip("told:N", title="traces"),
        ],
    )
    axis = alt.Axis(title="percentage points of traffic", format="+.1f", tickCount=5)
    bars = base.mark_bar(height=7, cornerRadius=4, color=PLAIN, opacity=0.4).encode(
        x=alt.X("low:Q", axis=axis), x2="high:Q"
    )
    points = base.mark_point(size=80, filled=True, color=PLAIN, opacity=1).encode(x="value:Q")
    zero = alt.Chart(pd.DataFrame([{"zero": 0}])).mark_rule(strokeDash=[4, 4], color=charts.ink(), opacity=0.6)
    return alt.LayerChart(layer=[zero.encode(x="zero:Q"), bars, points]).properties(height=30 * len(rows) + 70)
