"""The pictures of the Parity page: differences against margins, categories old and new, where errors went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from review.stats.estimate import Estimate, Result
from review.stats.intervals import Floats
from review.stats.shift import ERRORS
from review.ui.charts import dark

# Okabe-Ito again: blue is fine, vermilion is harm, grey is open.
GOOD, HARM, OPEN = "#0072b2", "#d55e00", "#7d8588"
COLOURS = {"parity": GOOD, "regression": HARM, "inconclusive": OPEN}
ERROR_COLOURS = {"none": "#9aa5a8", "cautious": "#0072b2", "confident": "#d55e00", "other": "#cc79a7"}
_STEPS = 24


@dataclass(frozen=True)
class Against:
    """A difference beside the margin it must keep. Colour by verdict; "inconclusive" where none is read."""

    name: str
    result: Result
    margin: float
    verdict: str


def _ink() -> str:
    return "#e4e7e8" if dark() else "#1f2529"


def differences(lines: Sequence[Against], *, both: bool, title: str) -> alt.LayerChart | None:
    """Differences in points of all traffic with their intervals, the margin of each as a tick; None without any.

    Args:
        lines: In the order shown; those that cannot be estimated are left to the text.
        both: The margin counts either way; else only downwards (or upwards where it is negative).
        title: Of the axis.
    """
    rows = [
        {
            "name": each.name,
            "value": 100 * each.result.value,
            "low": 100 * each.result.low,
            "high": 100 * each.result.high,
            "margin": -100 * each.margin,
            "far": 100 * each.margin,
            "verdict": each.verdict,
            "n": each.result.n,
            "prompts": each.result.clusters,
            "told": f"{100 * each.result.value:+.2f} ({100 * each.result.low:+.2f} to {100 * each.result.high:+.2f})",
            "method": each.result.method,
        }
        for each in lines
        if isinstance(each.result, Estimate)
    ]
    if not rows:
        return None
    names = [str(row["name"]) for row in rows]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y("name:N", sort=names, title=None, axis=alt.Axis(labelLimit=190, ticks=False, domain=False)),
        tooltip=[
            alt.Tooltip("name:N", title="what"),
            alt.Tooltip("told:N", title="points"),
            alt.Tooltip("margin:Q", title="margin", format="+.2f"),
            alt.Tooltip("n:Q", title="labels", format=","),
            alt.Tooltip("prompts:Q", title="prompts", format=","),
            alt.Tooltip("method:N", title="method"),
        ],
    )
    colour = alt.Color("verdict:N", legend=None, scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())))
    axis = alt.Axis(title=title, tickCount=6, format="+~f", grid=True, domain=False)
    bars = base.mark_bar(height=9, cornerRadius=4, opacity=0.4).encode(
        x=alt.X("low:Q", axis=axis), x2="high:Q", color=colour
    )
    points = base.mark_point(size=95, filled=True, opacity=1).encode(x="value:Q", color=colour)
    margin = base.mark_tick(thickness=2, size=22, color=HARM, opacity=0.9).encode(x="margin:Q")
    zero = alt.Chart(pd.DataFrame([{"zero": 0}])).mark_rule(color=_ink(), opacity=0.45).encode(x="zero:Q")
    layers: list[alt.Chart] = [zero, bars, points, margin]
    if both:
        layers.append(base.mark_tick(thickness=2, size=22, color=HARM, opacity=0.9).encode(x="far:Q"))
    return alt.LayerChart(layer=layers).properties(height=30 * len(rows) + 52)


def categories(rows: Sequence[tuple[str, int, int, str]]) -> alt.LayerChart | None:
    """How many labels name each category on old and on new, as two points on a line; None without any.

    Args:
        rows: Name, count on old, count on new, verdict; in the order shown.
    """
    if not rows:
        return None
    data = pd.DataFrame({"name": name, "old": old, "new": new, "verdict": verdict} for name, old, new, verdict in rows)
    base = alt.Chart(data).encode(
        y=alt.Y(
            "name:N",
            sort=[row[0] for row in rows],
            title=None,
            axis=alt.Axis(labelLimit=190, ticks=False, domain=False),
        ),
        tooltip=["name:N", "old:Q", "new:Q"],
    )
    axis = alt.Axis(title="labels that name it", tickMinStep=1, grid=True, domain=False)
    way = base.mark_rule(strokeWidth=3, opacity=0.35, color=_ink()).encode(x=alt.X("old:Q", axis=axis), x2="new:Q")
    old = base.mark_point(size=90, filled=False, strokeWidth=2, color=_ink(), opacity=0.8).encode(x="old:Q")
    new = base.mark_point(size=95, filled=True, opacity=1).encode(
        x="new:Q",
        color=alt.Color("verdict:N", legend=None, scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values()))),
    )
    return alt.LayerChart(layer=[way, old, new]).properties(height=28 * len(rows) + 46)


def flow(table: Floats) -> alt.LayerChart | None:
    """Where errors went: bands from the kinds on old (left) to those on new (right), as wide as their share.

    What has no error on either side is left out, because it would dwarf the rest; None where nothing else is left.

    Args:
        table: Shares of all traffic, rows old, columns new, classes as in ERRORS, shape (4, 4).
    """
    shares = table.copy()
    shares[0, 0] = 0.0
    total = float(shares.sum())
    if total <= 0:
        return None
    gap = 0.04 * total
    left, right = _tops(shares.sum(axis=1), gap), _tops(shares.sum(axis=0), gap)
    bands: list[pd.DataFrame] = []
    x = np.linspace(0, 1, _STEPS)
    ease = x * x * (3 - 2 * x)
    for row, old in enumerate(ERRORS):
        for column, new in enumerate(ERRORS):
            width = float(shares[row, column])
            if width <= 0:
                continue
            top = left[row] + (right[column] - left[row]) * ease
            told = f"{old} on old, {new} on new"
            bands.append(
                pd.DataFrame(
                    {
                        "x": x,
                        "top": top,
                        "bottom": top + width,
                        "band": told,
                        "colour": ERROR_COLOURS[new],
                        "share": f"{100 * width:.2f} % of traffic",
                    }
                )
            )
            left[row] += width
            right[column] += width
    scale = alt.Scale(reverse=True, nice=False, zero=False)
    areas = (
        alt.Chart(pd.concat(bands))
        .mark_area(opacity=0.62)
        .encode(
            x=alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.02, 1.02], nice=False)),
            y=alt.Y("top:Q", axis=None, scale=scale),
            y2="bottom:Q",
            detail="band:N",
            color=alt.Color("colour:N", scale=None),
            tooltip=[alt.Tooltip("band:N", title="moved"), alt.Tooltip("share:N", title="share")],
        )
    )
    layers: list[alt.Chart] = [areas]
    for side, at, align, totals in (
        ("old", 0.0, "left", shares.sum(axis=1)),
        ("new", 1.0, "right", shares.sum(axis=0)),
    ):
        layers.append(_names(side, at, align, totals, gap, scale))
    return alt.LayerChart(layer=layers).properties(height=260)


def _tops(totals: Floats, gap: float) -> list[float]:
    """Where each class begins, from the top; a class that nothing moved to takes no room."""
    tops: list[float] = []
    at = 0.0
    for total in totals:
        tops.append(at)
        at += float(total) + (gap if total > 0 else 0.0)
    return tops


def _names(side: str, at: float, align: str, totals: Floats, gap: float, scale: alt.Scale) -> alt.Chart:
    """The classes of one side, with their share of all traffic."""
    rows = [
        {"x": at, "y": top + float(total) / 2, "told": f"{name}  {100 * float(total):.2g} %"}
        for name, total, top in zip(ERRORS, totals, _tops(totals, gap), strict=True)
        if total > 0
    ]
    mark = alt.Chart(pd.DataFrame(rows)).mark_text(
        align="left" if align == "left" else "right", dx=6 if align == "left" else -6, fontSize=12, color=_ink()
    )
    return mark.encode(x="x:Q", y=alt.Y("y:Q", scale=scale), text="told:N", tooltip=alt.value(f"on {side}"))
