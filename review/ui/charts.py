"""The pictures of the agreement pages: intervals, matrices, shares. One look, light and dark, colour-blind safe."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from review.services.agreement import Comparison, OrderEffect, TwoPeople
from review.stats.estimate import Estimate, Result

# Okabe-Ito: told apart with every kind of colour vision.
PEOPLE, JUDGE = "#0072b2", "#d55e00"
KINDS = {
    "consistent": ("same verdict in both orders", "#56937b"),
    "to_first": ("picks whichever is shown first", "#d55e00"),
    "to_second": ("picks whichever is shown second", "#e69f00"),
    "mixed": ("a tie one way, a winner the other", "#a6b1b5"),
}
ANSWERS = {
    "old": "old",
    "new": "new",
    "tie": "same",
    "both_bad": "both bad",
    "same": "same",
    "cannot_tell": "can't tell",
    "under": "too low",
    "right": "right",
    "over": "too high",
    "inconsistent": "changes with order",
    "unresolved": "votes split",
    "unparsable": "unparsable",
}
ROW = 46


def style() -> None:
    """Let side-by-side parts go below each other where the window is narrow."""
    st.html(
        """<style>
        [class*="st-key-beside"] [data-testid="stColumn"] { min-width: 24rem; }
        .st-key-rules [data-testid="stColumn"] { min-width: 17rem; }
        </style>"""
    )


@contextmanager
def beside(key: str) -> Generator[tuple[DeltaGenerator, DeltaGenerator]]:
    """Two columns that stack where the window is narrow; `key` is unique on the page."""
    with st.container(key=f"beside_{key}"):
        left, right = st.columns(2, gap="large")
        yield left, right


def dark() -> bool:
    """Whether the visitor looks at the dark theme."""
    return st.context.theme.type == "dark"


def words(answer: str) -> str:
    """An answer's code in words."""
    return ANSWERS.get(answer, answer)


def _ink() -> str:
    return "#e4e7e8" if dark() else "#1f2529"


def _cell() -> str:
    return "#6fb7b4" if dark() else "#2f6f73"


def intervals(results: Mapping[str, Result], low: float = 0.0) -> alt.LayerChart | None:
    """One line an estimate: its interval as a bar, its value as a point; None when nothing can be estimated.

    Args:
        results: Name to estimate; those that cannot be given are left to the text.
        low: Where the axis starts; further left when an interval reaches there.
    """
    rows = [
        {
            "name": name,
            "value": each.value,
            "low": each.low,
            "high": each.high,
            "text": f"{each.value:.2f}  ({each.low:.2f} to {each.high:.2f})",
            "method": each.method,
            "n": each.n,
            "prompts": each.clusters,
        }
        for name, each in results.items()
        if isinstance(each, Estimate)
    ]
    if not rows:
        return None
    start = min([low, *(float(row["low"]) for row in rows)])
    data = pd.DataFrame(rows)
    hover = [
        alt.Tooltip("name:N", title="measure"),
        alt.Tooltip("text:N", title="value and interval"),
        alt.Tooltip("n:Q", title="compared"),
        alt.Tooltip("prompts:Q", title="prompts"),
        alt.Tooltip("method:N", title="interval"),
    ]
    y = alt.Y("name:N", sort=list(results), title=None, axis=alt.Axis(labelLimit=190, ticks=False, domain=False))
    base = alt.Chart(data).encode(y=y, tooltip=hover)
    scale = alt.Scale(domain=[max(-1.0, start), 1.0], nice=False)
    axis = alt.Axis(format=".1f", tickCount=5, title=None, grid=True)
    bars = base.mark_bar(height=8, cornerRadius=4, color=_cell(), opacity=0.35).encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"
    )
    points = base.mark_point(size=110, filled=True, color=_cell(), opacity=1).encode(x=alt.X("value:Q", scale=scale))
    labels = base.mark_text(align="center", dy=-14, fontSize=12, color=_ink()).encode(
        x=alt.X("value:Q", scale=scale), text=alt.Text("value:Q", format=".2f")
    )
    return alt.LayerChart(layer=[bars, points, labels]).properties(height=ROW * len(rows) + 40)


def matrix(comparison: Comparison) -> alt.LayerChart:
    """The confusion matrix as a heat map, rows people. A click sets the selection `cell` (fields human, verdict)."""
    states = [state for state, column in comparison.other.items() if sum(column)]
    rates = comparison.base_rates()
    # An answer that nobody gave would only be a row and a column of zeros.
    given = [
        index
        for index, answer in enumerate(comparison.answers)
        if rates["people"][answer] or rates["judge"][answer] or answer in ("old", "new", "tie")
    ]
    answers = [comparison.answers[index] for index in given]
    columns = [*answers, *states]
    rows: list[dict[str, Any]] = []
    for index, human in zip(given, answers, strict=True):
        counts = [
            *(comparison.counts[index][column] for column in given),
            *(comparison.other[state][index] for state in states),
        ]
        total = sum(counts)
        for verdict, count in zip(columns, counts, strict=True):
            rows.append(
                {
                    "human": human,
                    "verdict": verdict,
                    "people": words(human),
                    "judge": words(verdict),
                    "count": count,
                    "share": count / total if total else 0.0,
                    "agrees": human == verdict,
                }
            )
    data = pd.DataFrame(rows)
    chosen = alt.selection_point(name="cell", fields=["human", "verdict"], empty=False)
    across = [words(each) for each in columns]
    down = [words(each) for each in answers]
    # Lines of a label grow towards the cells, so the tallest decides how far up all of them begin.
    lines = max(len(each.split()) for each in across)
    base = alt.Chart(data).encode(
        x=alt.X(
            "judge:N",
            sort=across,
            title="the judge says",
            axis=alt.Axis(
                orient="top",
                labelAngle=0,
                labelExpr="split(datum.label, ' ')",  # one word a line: columns are narrow
                labelOverlap=False,
                labelPadding=5 + 13 * (lines - 1),
                ticks=False,
                domain=False,
            ),
            scale=alt.Scale(paddingInner=0.04),
        ),
        y=alt.Y(
            "people:N",
            sort=down,
            title="people say",
            axis=alt.Axis(ticks=False, domain=False),
            scale=alt.Scale(paddingInner=0.06),
        ),
        tooltip=[
            alt.Tooltip("people:N", title="people say"),
            alt.Tooltip("judge:N", title="the judge says"),
            alt.Tooltip("count:Q", title="pairs or labels"),
            alt.Tooltip("share:Q", title="share of the row", format=".0%"),
        ],
    )
    cells = (
        base.mark_rect(cornerRadius=4, cursor="pointer")
        .encode(
            color=alt.condition(alt.datum.agrees, alt.value(_cell()), alt.value(JUDGE)),
            opacity=alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.07, 1.0]), legend=None),
            stroke=alt.condition(chosen, alt.value(_ink()), alt.value("transparent")),
            strokeWidth=alt.value(2.5),
        )
        .add_params(chosen)
    )
    # White on a well-filled cell, the page's own ink on a pale one.
    strong = "#0f1416" if dark() else "#ffffff"
    numbers = base.mark_text(fontSize=14, fontWeight=600, tooltip=None).encode(
        text=alt.Text("count:Q", format=","),
        color=alt.condition("datum.share > 0.55", alt.value(strong), alt.value(_ink())),
    )
    return alt.LayerChart(layer=[cells, numbers]).properties(height=54 * len(answers) + 60)


def base_rates(comparison: Comparison) -> alt.Chart:
    """How often people and the judge gave each answer, side by side, as shares."""
    rates = comparison.base_rates()
    rows = [
        {"answer": words(answer), "who": who, "share": count / max(comparison.n, 1), "count": count}
        for who, counts in rates.items()
        for answer, count in counts.items()
        if rates["people"].get(answer, 0) or rates["judge"].get(answer, 0)
    ]
    order = list(dict.fromkeys(words(answer) for answer in (*rates["people"], *rates["judge"])))
    chart: alt.Chart = (
        alt.Chart(pd.DataFrame(rows, columns=["answer", "who", "share", "count"]))
        .mark_bar(cornerRadiusEnd=3, height={"band": 0.85})
        .encode(
            y=alt.Y("answer:N", sort=order, title=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=140)),
            yOffset=alt.YOffset("who:N", sort=["people", "judge"]),
            x=alt.X("share:Q", title=None, axis=alt.Axis(format="%", tickCount=5)),
            color=alt.Color(
                "who:N",
                sort=["people", "judge"],
                scale=alt.Scale(domain=["people", "judge"], range=[PEOPLE, JUDGE]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=["who:N", "answer:N", alt.Tooltip("share:Q", format=".1%"), "count:Q"],
        )
        .properties(height=44 * len({row["answer"] for row in rows}) + 70)
    )
    return chart


def order_effect(order: OrderEffect) -> alt.LayerChart:
    """What happened to the verdicts when the order was swapped: one bar a kind, with its count."""
    counts = {
        "consistent": order.consistent,
        "to_first": order.to_first,
        "to_second": order.to_second,
        "mixed": order.mixed,
    }
    data = pd.DataFrame(
        {
            "kind": KINDS[kind][0],
            "count": count,
            "share": count / max(order.usable, 1),
            "text": f"{count:,}  ({count / max(order.usable, 1):.0%})",
        }
        for kind, count in counts.items()
    )
    names = [name for name, _ in KINDS.values()]
    base = alt.Chart(data).encode(
        y=alt.Y("kind:N", sort=names, title=None, axis=alt.Axis(labelLimit=230, ticks=False, domain=False)),
        x=alt.X("share:Q", title=None, axis=alt.Axis(format="%", tickCount=5), scale=alt.Scale(domain=[0, 1])),
        tooltip=["kind:N", "count:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    bars = base.mark_bar(cornerRadiusEnd=3, height=20).encode(
        color=alt.Color(
            "kind:N", scale=alt.Scale(domain=names, range=[colour for _, colour in KINDS.values()]), legend=None
        )
    )
    labels = base.mark_text(align="left", dx=6, color=_ink()).encode(text="text:N")
    return alt.LayerChart(layer=[bars, labels]).properties(height=190)


def people_matrix(pairwise: Sequence[TwoPeople], names: Sequence[str]) -> alt.LayerChart | None:
    """Kappa between every two people as a heat map; None when no two labelled the same pair."""
    rows = [
        {
            "one": one,
            "two": two,
            "kappa": each.kappa.value,
            "interval": f"{each.kappa.low:.2f} to {each.kappa.high:.2f}",
            "raw": f"{each.raw.value:.0%}" if isinstance(each.raw, Estimate) else "not estimable",
            "n": each.n,
        }
        for each in pairwise
        for one, two in ((each.a, each.b), (each.b, each.a))
        if isinstance(each.kappa, Estimate)
    ]
    if not rows:
        return None
    data = pd.DataFrame(rows)
    data["strength"] = data["kappa"].clip(lower=0)
    base = alt.Chart(data).encode(
        x=alt.X(
            "one:N",
            sort=list(names),
            title=None,
            axis=alt.Axis(orient="top", labelAngle=0, labelLimit=120, ticks=False, domain=False),
            scale=alt.Scale(paddingInner=0.04),
        ),
        y=alt.Y(
            "two:N",
            sort=list(names),
            title=None,
            axis=alt.Axis(ticks=False, domain=False, labelLimit=160),
            scale=alt.Scale(paddingInner=0.06),
        ),
        tooltip=[
            alt.Tooltip("one:N", title="one"),
            alt.Tooltip("two:N", title="the other"),
            alt.Tooltip("kappa:Q", format=".2f"),
            alt.Tooltip("interval:N", title="95 % interval"),
            alt.Tooltip("raw:N", title="same answer"),
            alt.Tooltip("n:Q", title="pairs both labelled"),
        ],
    )
    cells = base.mark_rect(cornerRadius=4, color=_cell()).encode(
        opacity=alt.Opacity("strength:Q", scale=alt.Scale(domain=[0, 1], range=[0.07, 1.0]), legend=None)
    )
    strong = "#0f1416" if dark() else "#ffffff"
    numbers = base.mark_text(fontSize=13, fontWeight=600, tooltip=None).encode(
        text=alt.Text("kappa:Q", format=".2f"),
        color=alt.condition("datum.strength > 0.55", alt.value(strong), alt.value(_ink())),
    )
    return alt.LayerChart(layer=[cells, numbers]).properties(height=46 * len(names) + 50)
