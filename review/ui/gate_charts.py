"""The pictures of the Gate page: the ladder of steps, and how much room each part leaves to what was agreed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from review.services.gate_report import TITLES, unproven
from review.ui.charts import ink
from review.ui.parity_charts import COLOURS, GOOD, HARM
from review.ui.text import line

Document = Mapping[str, Any]

OVERALL = "Verdict"
SIGNS = {"parity": "✓", "regression": "✕", "inconclusive": "?", "open": "·"}
# It need not hold, and does not provably: no harm is shown.
UNPROVEN = "○"
# A step that was never gated, and a part that its contract or its evidence does not have.
_NONE = "open"
_FILLS = {**COLOURS, _NONE: "#8a949733"}


def sign(part: Document) -> str:
    """A part's or a row's verdict as one sign."""
    return UNPROVEN if unproven(part) else SIGNS[part["verdict"]]


def ladder(steps: Sequence[tuple[str, Document | None]], opened: str) -> alt.LayerChart | None:
    """Steps from top to bottom in the order they were made, a square a part; a click sets `row` (field name).

    Args:
        steps: Of each run its name and its last verdict, None where it was never gated.
        opened: The run that is shown below.
    """
    if not steps:
        return None
    used = [
        id
        for id in TITLES
        if any(each["id"] == id for _, document in steps for each in (document["parts"] if document else ()))
    ]
    columns = [OVERALL, *(TITLES[id] for id in used)]
    rows: list[dict[str, Any]] = []
    for name, document in steps:
        verdicts = {each["id"]: each for each in (document["parts"] if document else ())}
        whole = document["verdict"] if document else _NONE
        rows.append(_square(name, OVERALL, whole, document["line"] if document else "not gated yet", name == opened))
        for id in used:
            part = verdicts.get(id)
            why = part["why"] if part else "no evidence for it, or no such term"
            square = _square(name, TITLES[id], part["verdict"] if part else _NONE, why, name == opened)
            rows.append(square | ({"verdict": "inconclusive", "sign": UNPROVEN} if part and unproven(part) else {}))
    chosen = alt.selection_point(name="row", fields=["name"], empty=False)
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y(
            "name:N",
            sort=[name for name, _ in steps],
            title=None,
            scale=alt.Scale(paddingInner=0.16),
            axis=alt.Axis(
                labelLimit=190, ticks=False, domain=False, labelFontSize=13, labelPadding=10, labelOverlap=False
            ),
        ),
        x=alt.X(
            "part:N",
            sort=columns,
            title=None,
            # An empty column leaves the last slanted name its room.
            scale=alt.Scale(paddingInner=0.12, domain=[*columns, " "]),
            axis=alt.Axis(
                orient="top",
                labelAngle=-35,
                ticks=False,
                domain=False,
                labelFontSize=12,
                labelPadding=6,
                labelLimit=170,
                labelOverlap=False,
            ),
        ),
        tooltip=[
            alt.Tooltip("name:N", title="step"),
            alt.Tooltip("part:N", title="part"),
            alt.Tooltip("verdict:N", title="verdict"),
            alt.Tooltip("why:N", title="why"),
        ],
    )
    scale = alt.Scale(domain=list(_FILLS), range=list(_FILLS.values()))
    squares = (
        base.mark_rect(cornerRadius=7, cursor="pointer", stroke=ink(), strokeOpacity=0.9)
        .encode(
            color=alt.Color("verdict:N", scale=scale, legend=None),
            strokeWidth=alt.condition("datum.opened && datum.part == 'Verdict'", alt.value(2.5), alt.value(0)),
            opacity=alt.condition("datum.opened", alt.value(1.0), alt.value(0.72)),
        )
        .add_params(chosen)
    )
    signs = base.mark_text(fontSize=17, fontWeight="bold", color="white", cursor="pointer").encode(
        text="sign:N", opacity=alt.condition(f"datum.verdict == '{_NONE}'", alt.value(0.0), alt.value(1.0))
    )
    layers = alt.LayerChart(layer=[squares, signs])
    return layers.properties(height=46 * len(steps) + 96)


def _square(name: str, part: str, verdict: str, why: str, opened: bool) -> dict[str, Any]:
    return {
        "name": name,
        "part": part,
        "verdict": verdict,
        "sign": SIGNS[verdict],
        "why": line(why, 240),
        "opened": opened,
    }


def room(parts: Sequence[Document]) -> alt.LayerChart | None:
    """How far each interval lies from what was agreed, in points: right of the line holds, left of it does not.

    Everything is turned so that better is right, whatever the part's own scale and direction; None without estimates.
    """
    rows = [row for each in parts if (row := _room(each)) is not None]
    if not rows:
        return None
    names = [row["name"] for row in rows]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y(
            "name:N",
            sort=names,
            title=None,
            axis=alt.Axis(
                labelLimit=210, ticks=False, domain=False, labelFontSize=12.5, labelPadding=8, labelOverlap=False
            ),
        ),
        tooltip=[
            alt.Tooltip("name:N", title="what"),
            alt.Tooltip("told:N", title="estimate"),
            alt.Tooltip("agreed:N", title="agreed"),
            alt.Tooltip("verdict:N", title="verdict"),
            alt.Tooltip("method:N", title="interval"),
        ],
    )
    # Margins are a point or two and intervals can be tens: near the line stays legible, far from it stays in sight.
    scale = alt.Scale(type="symlog", constant=2)
    axis = alt.Axis(
        title="points of room to what was agreed",
        values=[-50, -20, -10, -5, -2, 0, 2, 5, 10, 20, 50],
        format="+~f",
        domain=False,
        ticks=False,
    )
    colour = alt.Color("verdict:N", legend=None, scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())))
    bars = base.mark_bar(height=9, cornerRadius=4, opacity=0.42).encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q", color=colour
    )
    points = base.mark_point(size=95, filled=True, opacity=1).encode(x=alt.X("value:Q", scale=scale), color=colour)
    agreed = pd.DataFrame([{"at": 0, "told": "agreed"}])
    rule = alt.Chart(agreed).mark_rule(strokeWidth=2, color=HARM).encode(x=alt.X("at:Q", scale=scale))
    layers: list[alt.Chart] = [rule, bars, points]
    for side, text, colour_of in (("left", "◂ worse than agreed", HARM), ("right", "holds ▸", GOOD)):
        mark = alt.Chart(agreed).mark_text(
            align="right" if side == "left" else "left",
            dx=-8 if side == "left" else 8,
            baseline="bottom",
            fontSize=11.5,
            color=colour_of,
        )
        layers.append(mark.encode(x=alt.X("at:Q", scale=scale), y=alt.value(-6), text=alt.value(text)))
    return alt.LayerChart(layer=layers).properties(height=32 * len(rows) + 84)


def _room(each: Document) -> dict[str, Any] | None:
    estimate = each["estimate"]
    if "not_estimable" in estimate:
        return None
    low, value, high, bound = estimate["low"], estimate["value"], estimate["high"], each["bound"]
    if each["two_sided"]:
        nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        ends = (bound - max(abs(low), abs(high)), bound - abs(value), bound - nearest)
        agreed = f"between {-100 * bound:+.1f} and {100 * bound:+.1f}"
    elif each["bound_kind"] == "ceiling":
        ends = (bound - high, bound - value, bound - low)
        agreed = f"below {100 * bound:+.1f}"
    else:
        ends = (low - bound, value - bound, high - bound)
        agreed = f"above {100 * bound:+.1f}"
    return {
        "name": line(each["title"], 60),
        "low": 100 * ends[0],
        "value": 100 * ends[1],
        "high": 100 * ends[2],
        "told": f"{100 * value:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})",
        "agreed": agreed,
        "verdict": "inconclusive" if each["verdict"] == "parity" and ends[0] < 0 else each["verdict"],
        "method": estimate["method"],
    }
