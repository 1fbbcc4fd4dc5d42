"""The pictures of calibration: reliability, thresholds, people's under / right / over. In the look of charts.py."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from review.services.calibration import CalibrationReport, CertaintyShift, SystemCalibration
from review.stats.estimate import Estimate, NotEstimable, Result
from review.ui import charts

# Okabe-Ito, other than people and judge on the Agreement page; lighter where the page is dark.
OLD, NEW = ("#7a8288", "#9aa3a8"), ("#0072b2", "#56b4e9")
LEVELS = {"under": "#e69f00", "right": "#56937b", "over": "#d55e00"}
SIZE = 340
LEFT = 46  # both pictures of a system leave the same room left of them, so that their confidences align


def _colours(sides: list[str]) -> alt.Scale:
    return alt.Scale(domain=sides, range=[_colour(side) for side in sides])


def _colour(side: str) -> str:
    return (OLD if side == "old" else NEW)[1 if charts.dark() else 0]


def _legend(sides: list[str]) -> alt.Legend | None:
    return alt.Legend(title=None, orient="top", symbolOpacity=1) if len(sides) > 1 else None


def reliability(side: str, system: SystemCalibration) -> alt.LayerChart:
    """One system: the isotonic line over the band in which a calibrated one would lie."""
    points = pd.DataFrame([each.to_json() for each in system.curve])
    points["band"] = [f"{each.low:.2f} to {each.high:.2f}" for each in system.curve]
    colour, whole = _colour(side), alt.Scale(domain=[0, 1], nice=False)
    x = alt.X("confidence:Q", scale=whole, axis=alt.Axis(format="%", tickCount=5, title=None))
    up = alt.Axis(format="%", tickCount=5, title="share correct", minExtent=LEFT)
    y = alt.Y("correct:Q", scale=whole, axis=up)
    ends = pd.DataFrame({"confidence": [0.0, 1.0], "correct": [0.0, 1.0]})
    diagonal = alt.Chart(ends).mark_line(color=_quiet(), strokeDash=[4, 4], strokeWidth=1.5).encode(x=x, y=y)
    base = alt.Chart(points).encode(
        x=x,
        tooltip=[
            alt.Tooltip("confidence:Q", format=".2f"),
            alt.Tooltip("correct:Q", title="share correct (isotonic)", format=".2f"),
            alt.Tooltip("band:N", title="if it were calibrated"),
            alt.Tooltip("n:Q", title="answers", format=","),
        ],
    )
    band = base.mark_area(color=colour, opacity=0.2, line=False).encode(
        y=alt.Y("low:Q", scale=whole, axis=up), y2="high:Q"
    )
    line = base.mark_line(color=colour, strokeWidth=2.5).encode(y=y)
    dots = base.mark_point(color=colour, filled=True, opacity=1, size=40 if len(points) <= 40 else 12).encode(y=y)
    return alt.LayerChart(layer=[band, diagonal, line, dots]).properties(height=SIZE)


def _quiet() -> str:
    return "#7c878d" if charts.dark() else "#8a9398"


def counts(side: str, system: SystemCalibration) -> alt.Chart:
    """How many answers have which confidence, in the bins of the ECE; stands right below the reliability."""
    bins = [] if isinstance(system.ece, NotEstimable) else [each.to_json() | {"none": 0} for each in system.ece.bins]
    chart: alt.Chart = (
        alt.Chart(pd.DataFrame(bins, columns=["low", "high", "n", "none", "confidence", "accuracy"]))
        .mark_rect(color=_colour(side), opacity=0.75)
        .encode(
            x=alt.X(
                "low:Q",
                scale=alt.Scale(domain=[0, 1], nice=False),
                axis=alt.Axis(format="%", tickCount=5, title="confidence"),
            ),
            x2="high:Q",
            y=alt.Y("n:Q", axis=alt.Axis(tickCount=2, title="answers", format="~s", minExtent=LEFT)),
            y2="none:Q",
            tooltip=[
                alt.Tooltip("low:Q", title="from", format=".0%"),
                alt.Tooltip("high:Q", title="to", format=".0%"),
                alt.Tooltip("n:Q", title="answers", format=","),
                alt.Tooltip("confidence:Q", title="mean confidence", format=".2f"),
                alt.Tooltip("accuracy:Q", title="share correct", format=".2f"),
            ],
        )
        .properties(height=150)
    )
    return chart


def thresholds(report: CalibrationReport, what: str) -> alt.LayerChart | None:
    """Coverage or error over the threshold, a line a system with its interval; None when nothing can be estimated.

    Args:
        report: The report.
        what: "coverage" or "error".
    """
    sides = list(report.systems)
    rows: list[dict[str, Any]] = []
    for threshold in report.thresholds:
        for side in sides:
            routed = threshold.old if side == "old" else threshold.new
            result: Result | None = None if routed is None else getattr(routed, what)
            if isinstance(result, Estimate):
                rows.append(
                    {
                        "at": threshold.at,
                        "side": side,
                        "value": result.value,
                        "low": result.low,
                        "high": result.high,
                        "text": f"{result.value:.1%}  ({result.low:.1%} to {result.high:.1%})",
                        "n": result.n,
                    }
                )
    if not rows:
        return None
    title = {"coverage": "answered by the machine", "error": "wrong among those"}[what]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X(
            "at:Q",
            scale=alt.Scale(domain=[0, 1], nice=False),
            axis=alt.Axis(format="%", tickCount=5, title="answered from this confidence on"),
        ),
        color=alt.Color("side:N", sort=sides, scale=_colours(sides), legend=_legend(sides)),
        tooltip=[
            alt.Tooltip("side:N", title="system"),
            alt.Tooltip("at:Q", title="threshold", format=".0%"),
            alt.Tooltip("text:N", title=title),
            alt.Tooltip("n:Q", title="of answers", format=","),
        ],
    )
    up = alt.Y("value:Q", axis=alt.Axis(format="%", tickCount=5, title=title), scale=alt.Scale(domainMin=0))
    band = base.mark_area(opacity=0.18, line=False).encode(
        y=alt.Y("low:Q", axis=alt.Axis(format="%", tickCount=5, title=title)), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=28, opacity=1)).encode(y=up)
    return alt.LayerChart(layer=[band, line]).properties(height=290)


def shift(found: CertaintyShift) -> alt.LayerChart:
    """People's under / right / over as one bar a system."""
    rows: list[dict[str, Any]] = []
    for side, counts in found.totals().items():
        start = 0.0
        for level, count in counts.items():
            share = count / max(1, found.n)
            rows.append(
                {
                    "side": side,
                    "level": charts.words(level),
                    "count": count,
                    "from": start,
                    "to": start + share,
                    "middle": start + share / 2,
                    "share": share,
                    "text": f"{share:.0%}" if share >= 0.06 else "",
                }
            )
            start += share
    names = [charts.words(level) for level in LEVELS]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y(
            "side:N",
            sort=["old", "new"],
            title=None,
            axis=alt.Axis(ticks=False, domain=False),
            scale=alt.Scale(paddingInner=0.25),
        ),
        tooltip=[
            alt.Tooltip("side:N", title="system"),
            alt.Tooltip("level:N", title="certainty of the wording"),
            alt.Tooltip("count:Q", title="pairs", format=","),
            alt.Tooltip("share:Q", format=".1%"),
        ],
    )
    bars = base.mark_bar().encode(
        x=alt.X("from:Q", title=None, axis=alt.Axis(format="%", tickCount=5), scale=alt.Scale(domain=[0, 1])),
        x2="to:Q",
        color=alt.Color(
            "level:N",
            sort=names,
            scale=alt.Scale(domain=names, range=list(LEVELS.values())),
            legend=alt.Legend(title=None, orient="top"),
        ),
    )
    labels = base.mark_text(fontWeight=600, tooltip=None).encode(
        x="middle:Q",
        text="text:N",
        # White is not readable on amber.
        color=alt.condition(alt.datum.level == names[0], alt.value("#1f2529"), alt.value("#ffffff")),
    )
    return alt.LayerChart(layer=[bars, labels]).properties(height=190)


def shift_matrix(found: CertaintyShift) -> alt.LayerChart:
    """How many pairs moved from which certainty (rows, old) to which (columns, new)."""
    names = [charts.words(answer) for answer in found.answers]
    most = max(1, *(max(row) for row in found.counts))
    rows = [
        {"old": old, "new": new, "count": count, "strength": count / most, "same": old == new}
        for old, counts in zip(names, found.counts, strict=True)
        for new, count in zip(names, counts, strict=True)
    ]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X(
            "new:N",
            sort=names,
            title="new is",
            axis=alt.Axis(orient="top", labelAngle=0, ticks=False, domain=False),
            scale=alt.Scale(paddingInner=0.04),
        ),
        y=alt.Y(
            "old:N",
            sort=names,
            title="old is",
            axis=alt.Axis(ticks=False, domain=False),
            scale=alt.Scale(paddingInner=0.06),
        ),
        tooltip=[
            alt.Tooltip("old:N", title="old is"),
            alt.Tooltip("new:N", title="new is"),
            alt.Tooltip("count:Q", title="pairs", format=","),
        ],
    )
    cell, ink = ("#6fb7b4", "#e4e7e8") if charts.dark() else ("#2f6f73", "#1f2529")
    strong = "#0f1416" if charts.dark() else "#ffffff"
    cells = base.mark_rect(cornerRadius=4).encode(
        color=alt.condition(alt.datum.same, alt.value(cell), alt.value(charts.JUDGE)),
        opacity=alt.Opacity("strength:Q", scale=alt.Scale(domain=[0, 1], range=[0.07, 1.0]), legend=None),
    )
    numbers = base.mark_text(fontSize=14, fontWeight=600, tooltip=None).encode(
        text=alt.Text("count:Q", format=","),
        color=alt.condition("datum.strength > 0.55", alt.value(strong), alt.value(ink)),
    )
    return alt.LayerChart(layer=[cells, numbers]).properties(height=54 * len(names) + 60)
