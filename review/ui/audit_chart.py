"""The chart of the weekly audit: error rates with intervals, week by week."""

from __future__ import annotations

from typing import TYPE_CHECKING

from review.services.audit import Week
from review.stats.estimate import Estimate

if TYPE_CHECKING:
    import altair as alt

_NAMES = {"error": "any error", "confident": "confident", "cautious": "cautious", "other": "other"}
_COLOURS = ["#2f6f73", "#b7620c", "#2b6cb0", "#7d8588"]


def rates_chart(weeks: list[Week]) -> alt.LayerChart:
    """Any error, and by direction, one mark an audit."""
    import altair as alt
    import pandas as pd

    rows = [
        {
            "audit": f"{week.audit.until:%d %b %Y} · {week.audit.number}",
            "kind": _NAMES[name],
            "rate": found.value,
            "low": found.low,
            "high": found.high,
            "read": week.read,
        }
        for week in weeks
        for name, found in week.rates.items()
        if isinstance(found, Estimate)
    ]
    order = list(_NAMES.values())
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("audit:N", title=None, sort=None, axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("kind:N", sort=order),
        color=alt.Color("kind:N", title=None, sort=order, scale=alt.Scale(domain=order, range=_COLOURS)),
        tooltip=[
            "audit:N",
            "kind:N",
            alt.Tooltip("rate:Q", format=".1%"),
            alt.Tooltip("low:Q", format=".1%"),
            alt.Tooltip("high:Q", format=".1%"),
            "read:Q",
        ],
    )
    bars = base.mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q", title="share of traces", axis=alt.Axis(format="%", grid=True)), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=70, opacity=1).encode(y="rate:Q")
    return alt.LayerChart(layer=[bars, points]).properties(height=260)
