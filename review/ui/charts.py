"""The pictures of the agreement pages: intervals, matrices, shares. One look, light and dark, colour-blind safe."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.components.v2 import component
from streamlit.delta_generator import DeltaGenerator

from review.services.agreement import Comparison, OrderEffect, TwoPeople
from review.stats.estimate import Estimate, Result
from review.ui.text import line

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
DRAWN_AS_SVG = {"embedOptions": {"renderer": "svg"}}

Build = Callable[[], alt.LayerChart | alt.Chart | None]


# The pictures are in the page already, so the browser saves what it shows: nothing is drawn a second time.
_downloads = component(
    "review_downloads",
    css="""button { font: inherit; font-size: 14px; padding: .3rem .8rem; border-radius: 8px; cursor: pointer;
        border: 1px solid var(--st-border-color); background: none; color: var(--st-text-color); }
        button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }""",
    js="""const save = (svg, number) => {
        const copy = svg.cloneNode(true);
        const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        for (const side of ["width", "height"]) ground.setAttribute(side, "100%");
        ground.setAttribute("fill", getComputedStyle(document.querySelector(".stApp")).backgroundColor);
        copy.prepend(ground);
        const link = document.createElement("a");
        const text = new XMLSerializer().serializeToString(copy);
        link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
        link.download = `picture-${number}.svg`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    };
    export default function ({ data, parentElement }) {
        let button = parentElement.querySelector("button");
        if (!button) {
            button = parentElement.appendChild(document.createElement("button"));
            button.type = "button";
            button.addEventListener("click", () => {
                const pictures = document.querySelectorAll("[data-testid=stVegaLiteChart] svg.marks");
                pictures.forEach((svg, index) => setTimeout(() => save(svg, index + 1), 250 * index));
            });
        }
        button.textContent = data.label;
    }""",
)


def style() -> None:
    """Let side-by-side parts go below each other where the window is narrow."""
    st.html(
        """<style>
        [class*="st-key-beside"] [data-testid="stColumn"] { min-width: 24rem; }
        .st-key-rules [data-testid="stColumn"] { min-width: 17rem; }
        [class*="st-key-parts"] [data-testid="stColumn"] { min-width: 13rem; }
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


def ink() -> str:
    """The colour of text and lines."""
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
    labels = base.mark_text(align="center", dy=-14, fontSize=12, color=ink()).encode(
        x=alt.X("value:Q", scale=scale), text=alt.Text("value:Q", format=".2f")
    )
    return alt.LayerChart(layer=[bars, points, labels]).properties(height=ROW * len(rows) + 40)


@dataclass(frozen=True)
class Line:
    """One line of a forest: a name, its estimate, and how many it is about."""

    name: str
    result: Result
    n: int


def forest(lines: Sequence[Line], *, reference: float | None = None, order: bool = True) -> alt.LayerChart | None:
    """Shares as lines of one picture, the highest on top; None when none of them can be estimated.

    A click on a line sets the selection `row` (field name).

    Args:
        lines: Those that cannot be given are left to the text.
        reference: A share to compare with, drawn as a dashed line.
        order: Sorted by value; else as given.
    """
    rows = [
        {
            "name": each.name,
            "value": each.result.value,
            "low": each.result.low,
            "high": each.result.high,
            "n": each.n,
            "text": f"{100 * each.result.value:.0f} %",
            "of": f"of {each.n:,}",
            "interval": f"{each.result.low:.0%} to {each.result.high:.0%}",
            "prompts": each.result.clusters,
            "method": each.result.method,
        }
        for each in lines
        if isinstance(each.result, Estimate)
    ]
    if not rows:
        return None
    if order:
        rows.sort(key=lambda row: (-float(row["value"]), str(row["name"])))
    chosen = alt.selection_point(name="row", fields=["name"], empty=False)
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y(
            "name:N",
            sort=[str(row["name"]) for row in rows],
            title=None,
            axis=alt.Axis(labelLimit=210, ticks=False, domain=False),
        ),
        tooltip=[
            alt.Tooltip("name:N", title="which"),
            alt.Tooltip("value:Q", title="share", format=".1%"),
            alt.Tooltip("interval:N", title="interval"),
            alt.Tooltip("n:Q", title="compared", format=","),
            alt.Tooltip("prompts:Q", title="prompts", format=","),
            alt.Tooltip("method:N", title="method"),
        ],
    )
    # The room right of 100 % holds the numbers, so that they never lie on a bar.
    scale = alt.Scale(domain=[0, 1.4], nice=False, zero=True)
    axis = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format="%", title=None, domain=False, ticks=False)
    # The whole line takes the click, not only its thin bar.
    ground = base.mark_bar(height={"band": 0.9}, color=ink(), cornerRadius=4, cursor="pointer").encode(
        x=alt.XDatum(0, scale=scale, axis=axis),
        x2=alt.X2Datum(1.4),
        opacity=alt.condition(chosen, alt.value(0.12), alt.value(0.001)),
    )
    ground = ground.add_params(chosen)
    bars = base.mark_bar(height=7, cornerRadius=4, color=_cell(), opacity=0.4, cursor="pointer").encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"
    )
    points = base.mark_point(size=85, filled=True, color=_cell(), opacity=1, cursor="pointer").encode(
        x=alt.X("value:Q", scale=scale)
    )
    numbers = base.mark_text(align="left", fontSize=12, color=ink(), cursor="pointer").encode(
        x=alt.XDatum(1.03, scale=scale), text="text:N"
    )
    counts = base.mark_text(align="left", fontSize=11, color=ink(), opacity=0.65, cursor="pointer").encode(
        x=alt.XDatum(1.2, scale=scale), text="of:N"
    )
    layers: list[alt.Chart] = [ground]
    if reference is not None:
        data = pd.DataFrame([{"reference": reference}])
        layers.append(
            alt.Chart(data)
            .mark_rule(strokeDash=[4, 4], color=ink(), opacity=0.7)
            .encode(x=alt.X("reference:Q", scale=scale), tooltip=[alt.Tooltip("reference:Q", format=".0%")])
        )
    return alt.LayerChart(layer=[*layers, bars, points, numbers, counts]).properties(height=30 * len(rows) + 34)


def trend(lines: Sequence[Line], reference: float) -> alt.LayerChart | None:
    """Shares over rounds, in the order given, with a dashed line to compare with; a click sets `row` (field name)."""
    rows = [
        {
            "name": each.name,
            "value": each.result.value,
            "low": each.result.low,
            "high": each.result.high,
            "n": each.n,
            "interval": f"{each.result.low:.0%} to {each.result.high:.0%}",
        }
        for each in lines
        if isinstance(each.result, Estimate)
    ]
    if not rows:
        return None
    chosen = alt.selection_point(name="row", fields=["name"], empty=False)
    scale = alt.Scale(domain=[0, 1], nice=False)
    names = [str(row["name"]) for row in rows]
    x = alt.X("name:N", sort=names, title=None, axis=alt.Axis(labelAngle=0, labelLimit=110, labelOverlap="greedy"))
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=x,
        tooltip=[
            alt.Tooltip("name:N", title="round"),
            alt.Tooltip("value:Q", title="agreement", format=".1%"),
            alt.Tooltip("interval:N", title="interval"),
            alt.Tooltip("n:Q", title="compared", format=","),
        ],
    )
    axis = alt.Axis(format="%", tickCount=5, title=None)
    y = alt.Y("value:Q", scale=scale, axis=axis)
    way = base.mark_line(color=_cell(), opacity=0.6).encode(y=y)
    bars = base.mark_bar(width=7, cornerRadius=4, color=_cell(), opacity=0.4).encode(
        y=alt.Y("low:Q", scale=scale, axis=axis), y2="high:Q"
    )
    points = (
        base.mark_point(size=120, filled=True, color=_cell(), cursor="pointer")
        .encode(
            y=y,
            opacity=alt.value(1),
            stroke=alt.condition(chosen, alt.value(ink()), alt.value("transparent")),
            strokeWidth=alt.value(2.5),
        )
        .add_params(chosen)
    )
    goal = alt.Chart(pd.DataFrame([{"reference": reference, "told": f"{reference:.0%}"}])).encode(
        y=alt.Y("reference:Q", scale=scale)
    )
    rule = goal.mark_rule(strokeDash=[4, 4], color=JUDGE)
    told = goal.mark_text(align="right", baseline="bottom", dy=-3, color=JUDGE, fontSize=12).encode(
        x=alt.value("width"), text="told:N"
    )
    return alt.LayerChart(layer=[rule, told, bars, way, points]).properties(height=260)


@st.cache_resource(max_entries=256, ttl=3600, show_spinner=False)
def _specification(key: tuple[Hashable, ...], is_dark: bool, _build: Build) -> dict[str, Any] | None:  # noqa: ARG001 the cache's key
    """A chart as the dictionary that the browser gets. Building and converting one takes longer than a whole page."""
    chart = _build()
    if chart is None:
        return None
    specification = chart.to_dict()
    specification.pop("config", None)  # Streamlit's own look
    specification["usermeta"] = DRAWN_AS_SVG
    return specification


def show(chart: alt.Chart | alt.LayerChart | alt.HConcatChart | alt.VConcatChart) -> None:
    """Show a chart that is built at every visit."""
    st.altair_chart(chart.properties(usermeta=DRAWN_AS_SVG), width="stretch")


def downloads() -> None:
    """A button that saves the pictures now on the page as SVG files. A chart's own toolbar saves it as PNG."""
    _downloads(data={"label": "Save pictures as SVG"}, key="downloads")


def draw(key: tuple[Hashable, ...], build: Build, alt_text: str) -> bool:
    """Show a chart, built once for all visits with the same `key`; False when there is nothing to draw.

    Args:
        key: What the picture depends on: the data's version, the rules, the part.
        build: Makes the chart, or None.
        alt_text: What it shows, for people who do not see it.
    """
    specification = _specification(key, dark(), build)
    if specification is None:
        return False
    st.vega_lite_chart(specification, width="stretch", alt=alt_text)
    return True


def pick(
    key: tuple[Hashable, ...],
    build: Build,
    alt_text: str,
    names: Sequence[str],
    *,
    name: str,
    label: str = "Show the pairs behind",
    hint: str = "click a line above, or choose here",
) -> str | None:
    """Show a forest or a trend and return the line that was chosen, by a click on it or from the list below it.

    Args:
        key: As in draw().
        build: Makes the chart, or None.
        alt_text: As in draw().
        names: The lines, in the order of the list.
        name: Unique on the page.
        label: What choosing does, for those who do not see the picture.
        hint: What the list says while nothing is chosen.
    """
    box, picture = f"{name}_box", f"{name}_picture"

    def clicked() -> None:
        rows: list[dict[str, str]] = st.session_state[picture].selection.get("row") or []
        if rows and rows[0].get("name") in names:
            st.session_state[box] = rows[0]["name"]

    specification = _specification(key, dark(), build)
    if specification is not None:
        st.vega_lite_chart(
            specification, width="stretch", key=picture, on_select=clicked, selection_mode="row", alt=alt_text
        )
    return st.selectbox(
        label,
        list(names),
        None,
        key=box,
        format_func=lambda each: line(each, 80),
        placeholder=hint,
        label_visibility="collapsed",
    )


def cell(key: tuple[Hashable, ...], build: Build, alt_text: str, *, name: str) -> dict[str, str] | None:
    """Show a matrix and return the cell that was clicked (fields human, verdict); arguments as in pick()."""
    specification = _specification(key, dark(), build)
    if specification is None:
        return None
    event = st.vega_lite_chart(
        specification, width="stretch", key=name, on_select="rerun", selection_mode="cell", alt=alt_text
    )
    cells: list[dict[str, str]] = event.selection.get("cell") or []
    return cells[0] if cells else None


def counts(found: Mapping[str, int]) -> alt.LayerChart:
    """Counts as bars in the order given; a click sets the selection `row` (field name)."""
    total = max(sum(found.values()), 1)
    data = pd.DataFrame(
        {"name": name, "count": count, "share": count / total, "text": f"{count:,}  ({count / total:.0%})"}
        for name, count in found.items()
    )
    chosen = alt.selection_point(name="row", fields=["name"], empty=False)
    most = max(max(found.values()), 1)
    base = alt.Chart(data).encode(
        y=alt.Y("name:N", sort=list(found), title=None, axis=alt.Axis(labelLimit=260, ticks=False, domain=False)),
        x=alt.X("count:Q", title=None, axis=None, scale=alt.Scale(domain=[0, most * 1.3], nice=False)),
        tooltip=["name:N", alt.Tooltip("count:Q", format=","), alt.Tooltip("share:Q", format=".1%")],
    )
    bars = (
        base.mark_bar(cornerRadiusEnd=3, height=20, color=_cell(), cursor="pointer")
        .encode(stroke=alt.condition(chosen, alt.value(ink()), alt.value("transparent")), strokeWidth=alt.value(2.5))
        .add_params(chosen)
    )
    labels = base.mark_text(align="left", dx=6, color=ink()).encode(text="text:N")
    return alt.LayerChart(layer=[bars, labels]).properties(height=36 * len(found) + 20)


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
            stroke=alt.condition(chosen, alt.value(ink()), alt.value("transparent")),
            strokeWidth=alt.value(2.5),
        )
        .add_params(chosen)
    )
    # White on a well-filled cell, the page's own ink on a pale one.
    strong = "#0f1416" if dark() else "#ffffff"
    numbers = base.mark_text(fontSize=14, fontWeight=600, tooltip=None).encode(
        text=alt.Text("count:Q", format=","),
        color=alt.condition("datum.share > 0.55", alt.value(strong), alt.value(ink())),
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
    labels = base.mark_text(align="left", dx=6, color=ink()).encode(text="text:N")
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
        color=alt.condition("datum.strength > 0.55", alt.value(strong), alt.value(ink())),
    )
    return alt.LayerChart(layer=[cells, numbers]).properties(height=46 * len(names) + 50)
