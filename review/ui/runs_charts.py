"""The pictures of the Runs page: differences with whiskers, shares of old and new side by side, first wrong steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from review.services.run_slices import FirstWrong
from review.stats.estimate import Estimate, Result
from review.ui.charts import ink

# Okabe-Ito: blue is better, vermilion worse, grey open. Old stands in grey beside new.
BETTER, WORSE, OPEN = "#0072b2", "#d55e00", "#8a9498"
OLD, NEW = "#8a9498", "#0072b2"
# How far the picture goes on to the right of the longest whisker, in lengths of it.
ROOM = 2.6
COLOURS = {"better": BETTER, "worse": WORSE, "open": OPEN}


@dataclass(frozen=True)
class Dot:
    """One line: a name, its difference, and what stands behind it in a few words."""

    name: str
    result: Result
    told: str


def standing(result: Result) -> str:
    """Better or worse where the interval leaves 0 out, else open."""
    if not isinstance(result, Estimate) or result.low <= 0 <= result.high:
        return "open"
    return "better" if result.low > 0 else "worse"


def whiskers(dots: Sequence[Dot], title: str, *, harm_below: bool = True) -> alt.LayerChart | None:
    """Differences in points with their intervals; None where none can be estimated. A click sets `row` (field name).

    Lines that cannot be estimated keep their place, with what is told of them. `harm_below` False: above 0 is worse.
    """
    if not any(isinstance(each.result, Estimate) for each in dots):
        return None
    found_all = [each.result for each in dots if isinstance(each.result, Estimate)]
    reach = 108 * max([0.01, *(abs(limit) for found in found_all for limit in (found.low, found.high))])
    rows: list[dict[str, object]] = []
    for each in dots:
        found = each.result
        row: dict[str, object] = {"name": each.name, "told": each.told, "standing": "open", "number": ""}
        if isinstance(found, Estimate):
            kind = standing(found)
            if not harm_below and kind != "open":
                kind = "worse" if kind == "better" else "better"
            value, low, high = (100 * number for number in (found.value, found.low, found.high))
            row |= {"value": value, "low": low, "high": high, "standing": kind, "method": found.method}
            row |= {"number": f"{value:+.1f} ({low:+.1f} to {high:+.1f})"}
        rows.append(row)
    names = [each.name for each in dots]
    chosen = alt.selection_point(name="row", fields=["name"], empty=False)
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y("name:N", sort=names, title=None, axis=alt.Axis(labelLimit=200, ticks=False, domain=False)),
        tooltip=[
            alt.Tooltip("name:N", title="what"),
            alt.Tooltip("number:N", title="points"),
            alt.Tooltip("told:N", title="of"),
            alt.Tooltip("method:N", title="method"),
        ],
    )
    # The room on the right holds what is told, so that no text lies on a whisker.
    scale = alt.Scale(domain=[-reach, ROOM * reach], nice=False)
    ticks = [each for each in _ticks(reach) if abs(each) <= reach]
    axis = alt.Axis(title=title, titleAnchor="start", values=ticks, format="+~f", grid=True, domain=False)
    colour = alt.Color("standing:N", legend=None, scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())))
    ground = (
        base.mark_bar(height={"band": 0.9}, color=ink(), cornerRadius=4, cursor="pointer")
        .encode(
            x=alt.XDatum(-reach, scale=scale, axis=axis),
            x2=alt.X2Datum(ROOM * reach),
            opacity=alt.condition(chosen, alt.value(0.12), alt.value(0.001)),
        )
        .add_params(chosen)
    )
    zero = alt.Chart(pd.DataFrame([{"zero": 0}])).mark_rule(color=ink(), opacity=0.45).encode(x="zero:Q")
    bars = base.mark_rule(strokeWidth=3, strokeCap="round", opacity=0.55, cursor="pointer").encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q", color=colour
    )
    points = base.mark_point(size=100, filled=True, opacity=1, cursor="pointer").encode(x="value:Q", color=colour)
    numbers = base.mark_text(align="left", fontSize=12, color=ink(), dy=-7, cursor="pointer").encode(
        x=alt.XDatum(1.12 * reach, scale=scale), text="number:N"
    )
    told = base.mark_text(align="left", fontSize=11, color=ink(), opacity=0.65, dy=8, cursor="pointer").encode(
        x=alt.XDatum(1.12 * reach, scale=scale), text="told:N"
    )
    return alt.LayerChart(layer=[ground, zero, bars, points, numbers, told]).properties(height=44 * len(rows) + 66)


def _ticks(reach: float) -> list[float]:
    """About five round numbers on both sides of 0."""
    for step in (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0):
        if reach / step <= 3:
            return [step * at for at in range(-3, 4)]
    return [0.0]


def first_wrong(found: Sequence[FirstWrong]) -> alt.Chart | None:
    """In how many chains each step was the first wrong one, old beside new; None where no chain broke."""
    if not found:
        return None
    names = ["later" if each.step is None else str(each.step) for each in found]
    rows = [
        {"step": name, "side": side, "chains": count}
        for name, each in zip(names, found, strict=True)
        for side, count in (("old", each.old), ("new", each.new))
    ]
    chart: alt.Chart = (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=alt.X("step:N", sort=names, title="first wrong step", axis=alt.Axis(labelAngle=0, ticks=False)),
            xOffset=alt.XOffset("side:N", sort=["old", "new"]),
            y=alt.Y("chains:Q", title="chains", axis=alt.Axis(tickMinStep=1, tickCount=4, domain=False)),
            color=alt.Color(
                "side:N",
                sort=["old", "new"],
                scale=alt.Scale(domain=["old", "new"], range=[OLD, NEW]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=["side:N", alt.Tooltip("step:N", title="step"), alt.Tooltip("chains:Q", format=",")],
        )
        .properties(height=200)
    )
    return chart
