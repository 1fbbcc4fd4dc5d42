"""The report's pictures: small SVG of our own, coloured by classes, readable in the dark, on paper and aloud."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from review.adapters.html.blocks import Node, Value
from review.adapters.html.numbers import Kind, written

WIDTH = 720
_LABEL, _RIGHT = 214, 20
_ROW = 28
_AXIS = 40
# How an axis writes the round numbers of a kind.
_AXES: dict[Kind, Kind] = {"points": "axis points", "rate": "axis", "signed": "axis"}
ERRORS = ("none", "cautious", "confident", "other")


@dataclass(frozen=True)
class Bar:
    """A row of a picture of intervals: its name, the estimate (or why there is none), margins, and its verdict."""

    name: Value | str
    result: Node
    margins: tuple[float, ...] = ()
    verdict: str | None = None


@dataclass(frozen=True)
class Scale:
    """From numbers to places between `left` and `right`."""

    low: float
    high: float
    left: float
    right: float

    def __call__(self, value: float) -> str:
        share = (value - self.low) / (self.high - self.low)
        return f"{self.left + share * (self.right - self.left):.1f}"

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers inside."""
        rough = (self.high - self.low) / most
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * each for each in (1, 2, 5, 10) if size * each >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [round(at * step, 12) for at in range(first, math.floor(self.high / step + 1e-9) + 1)]


def drawing(name: str, title: str, told: str, body: Sequence[str], height: float, width: float = WIDTH) -> str:
    """A picture with a title and a description for those who cannot see it."""
    return (
        f'<svg role="img" aria-labelledby="{name}-t {name}-d" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(told)}</desc>{"".join(body)}</svg>'
    )


def label(at: tuple[str, str], text: Value | str, *, anchor: str = "start", style: str = "") -> str:
    """A text in a picture; a value says where in the document it stands."""
    place = f'x="{at[0]}" y="{at[1]}" text-anchor="{anchor}"' + (f' class="{style}"' if style else "")
    if isinstance(text, str):
        return f"<text {place}>{escape(text)}</text>"
    return f'<text {place} data-path="{escape(text.pointer)}" data-as="{text.kind}">{escape(text.text)}</text>'


def tick(at: tuple[str, str], value: float, kind: Kind, anchor: str = "middle") -> str:
    """A number of an axis, which stands for no value of the document."""
    place = f'x="{at[0]}" y="{at[1]}" text-anchor="{anchor}"'
    return f'<text {place} class="tick" data-tick="{value!r}" data-as="{kind}">{escape(written(kind, value))}</text>'


def line(x1: str, y1: str, x2: str, y2: str, style: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{style}"/>'


def intervals(
    name: str, title: str, bars: Sequence[Bar], kind: Kind, axis: str, *, whole: tuple[float, float] | None = None
) -> str | None:
    """Estimates as dots with their intervals as bars, against margins as ticks; None where there is no estimate.

    Args:
        name: Unique on the page.
        title: What it shows.
        bars: In the order shown.
        kind: How the axis is written.
        axis: What the axis is, in words.
        whole: The ends of the scale; by default as far as the intervals and margins reach.
    """
    drawn = [each for each in bars if "value" in each.result]
    if not drawn:
        return None
    low, high = whole or _reach(drawn)
    scale = Scale(low, high, _LABEL, WIDTH - _RIGHT)
    height = _ROW * len(bars) + _AXIS + 8
    foot = height - _AXIS
    body = [line(scale(each), "4", scale(each), f"{foot:.1f}", "grid") for each in scale.ticks()]
    if low < 0 < high:
        body.append(line(scale(0), "4", scale(0), f"{foot:.1f}", "zero"))
    for row, bar in enumerate(bars):
        body += _bar(bar, scale, 8 + _ROW * (row + 0.5))
    body += [tick((scale(each), f"{foot + 15:.1f}"), each, _AXES[kind]) for each in scale.ticks()]
    body.append(
        label((f"{(_LABEL + WIDTH - _RIGHT) / 2:.1f}", f"{foot + 33:.1f}"), axis, anchor="middle", style="axis")
    )
    told = "A row each: the estimate as a dot, its interval as a bar" + (
        ", what was agreed as a red line." if any(each.margins for each in bars) else "."
    )
    return drawing(name, title, told + " The table below has the numbers.", body, height)


def _bar(bar: Bar, scale: Scale, middle: float) -> list[str]:
    y, result = f"{middle:.1f}", bar.result
    body = [label((f"{_LABEL - 12:.1f}", f"{middle + 4:.1f}"), bar.name, anchor="end")]
    if "value" not in result:
        return [*body, label((f"{_LABEL + 4:.1f}", f"{middle + 4:.1f}"), "no estimate", style="tick")]
    style = bar.verdict or "plain"
    low, high = (min(max(result[end].raw, scale.low), scale.high) for end in ("low", "high"))
    body.append(
        f'<rect x="{scale(low)}" y="{middle - 5:.1f}" rx="5" height="10" class="bar {style}" '
        f'width="{max(1.0, float(scale(high)) - float(scale(low))):.1f}"/>'
    )
    body.append(f'<circle cx="{scale(result["value"].raw)}" cy="{y}" r="5" class="dot {style}"/>')
    return body + [
        line(scale(each), f"{middle - 11:.1f}", scale(each), f"{middle + 11:.1f}", "margin") for each in bar.margins
    ]


def _reach(bars: Sequence[Bar]) -> tuple[float, float]:
    ends = [0.0, *(each.result[end].raw for each in bars for end in ("low", "high"))]
    ends += [margin for each in bars for margin in each.margins]
    room = 0.04 * (max(ends) - min(ends) or 1.0)
    return min(ends) - room, max(ends) + room


def flow(name: str, node: Node) -> str | None:
    """Where errors went: bands from the kinds on old (left) to those on new (right), as wide as their share."""
    moves = [(each["old"].raw, each["new"].raw, float(each["share"].raw)) for each in node["moves"].each()]
    total = sum(share for _, _, share in moves)
    if total <= 0:
        return None
    room, gap, left, right = 250.0, 16.0, 190.0, WIDTH - 190.0
    sides = {side: _tops(node[side], room / total, gap) for side in ("old", "new")}
    at = {side: {error: top for error, (top, _) in places.items()} for side, places in sides.items()}
    body: list[str] = []
    for old, new, share in moves:
        tall = share * room / total
        y1, y2 = at["old"][old], at["new"][new]
        at["old"][old], at["new"][new] = y1 + tall, y2 + tall
        x = (left + right) / 2
        body.append(
            f'<path class="flow {new}" d="M{left:.1f},{y1:.1f} C{x:.1f},{y1:.1f} {x:.1f},{y2:.1f} {right:.1f},{y2:.1f} '
            f"L{right:.1f},{y2 + tall:.1f} C{x:.1f},{y2 + tall:.1f} {x:.1f},{y1 + tall:.1f} {left:.1f},{y1 + tall:.1f} "
            f'Z"/>'
        )
    for side, x, anchor, away in (("old", left, "end", -1), ("new", right, "start", 1)):
        for each in node[side].each():
            top, tall = sides[side][each["error"].raw]
            body.append(
                f'<rect x="{x - 3 if away < 0 else x:.1f}" y="{top:.1f}" width="3" height="{max(1.0, tall):.1f}" '
                f'class="kind {each["error"].raw}"/>'
            )
            place, middle = f"{x + 10 * away:.1f}", top + tall / 2
            body.append(label((place, f"{middle - 1:.1f}"), _ERROR[each["error"].raw], anchor=anchor, style="strong"))
            body.append(label((place, f"{middle + 14:.1f}"), each["share"]("percent"), anchor=anchor, style="tick"))
        body.append(label((f"{x:.1f}", "14"), "on old" if away < 0 else "on new", anchor=anchor, style="axis"))
    height = max(top + tall for places in sides.values() for top, tall in places.values()) + 26
    told = "Bands lead from the kind of error on old to the kind on new, as wide as their share of all traffic. "
    return drawing(name, "Where errors went from old to new", told + "The table below has the numbers.", body, height)


_ERROR = {"none": "no error", "cautious": "cautious", "confident": "confident", "other": "other"}


def _tops(node: Node, size: float, gap: float) -> dict[str, tuple[float, float]]:
    """Where each kind begins and how tall it is; a label needs two lines, so small ones keep their distance."""
    places: dict[str, tuple[float, float]] = {}
    top = 32.0
    for each in node.each():
        tall = float(each["share"].raw) * size
        places[each["error"].raw] = (top, tall)
        top += max(tall, 22.0) + gap
    return places


def reliability(name: str, title: str, systems: Sequence[tuple[str, Node]]) -> str | None:
    """Stated confidence against the share that is right, a square each system, with the band of a calibrated one."""
    drawn = [(side, node) for side, node in systems if len(node["curve"])]
    if not drawn:
        return None
    size, margin, top = 270.0, 58.0, 26.0
    body: list[str] = []
    for at, (side, node) in enumerate(drawn):
        left = margin + at * (size + margin + 22)
        body += _square(Scale(0, 1, left, left + size), Scale(0, 1, top + size, top), side, node)
    told = "Each curve should follow the dashed diagonal; the band is where a calibrated system would lie. "
    return drawing(name, title, told + "The table below has the numbers.", body, top + size + 44)


def _square(x: Scale, y: Scale, side: str, node: Node) -> list[str]:
    points = list(node["curve"].each())

    def path(name: str, *, back: bool = False) -> list[str]:
        rows = reversed(points) if back else points
        return [f"{x(each['confidence'].raw)},{y(each[name].raw)}" for each in rows]

    body = [line(x(each), y(0), x(each), y(1), "grid") for each in (0, 0.25, 0.5, 0.75, 1)]
    body += [line(x(0), y(each), x(1), y(each), "grid") for each in (0, 0.25, 0.5, 0.75, 1)]
    body.append(f'<polygon class="band {side}" points="{" ".join(path("low") + path("high", back=True))}"/>')
    body.append(line(x(0), y(0), x(1), y(1), "diagonal"))
    body.append(f'<polyline class="curve {side}" points="{" ".join(path("correct"))}"/>')
    if len(points) <= 40:
        body += [
            f'<circle class="point {side}" r="3" cx="{x(each["confidence"].raw)}" cy="{y(each["correct"].raw)}"/>'
            for each in points
        ]
    body += [tick((x(each), f"{y.left + 15:.1f}"), each, "level") for each in (0.0, 0.5, 1.0)]
    body += [tick((f"{x.left - 6:.1f}", f"{float(y(each)) + 4:.1f}"), each, "level", "end") for each in (0.0, 0.5, 1.0)]
    body.append(
        label(
            (f"{(x.left + x.right) / 2:.1f}", f"{y.left + 34:.1f}"), "stated confidence", anchor="middle", style="axis"
        )
    )
    body.append(label((f"{x.left:.1f}", f"{y.right - 10:.1f}"), f"{side}: share right", style="strong"))
    return body


def growth(name: str, node: Node) -> str | None:
    """How many entries the adversarial set had by day."""
    from datetime import date

    points = [(date.fromisoformat(each["day"].raw).toordinal(), each["entries"].raw) for each in node.each()]
    if len(points) < 2:
        return None
    height, top = 170.0, 20.0
    x = Scale(points[0][0], points[-1][0], 60, WIDTH - 60)
    y = Scale(0, max(count for _, count in points), height - 34, top)
    steps = [f"M{x(points[0][0])},{y(points[0][1])}"]
    steps += [f"H{x(day)} V{y(count)}" for day, count in points[1:]]
    last = len(node) - 1
    body = [line(x(points[0][0]), y(0), x(points[-1][0]), y(0), "zero")]
    body.append(f'<path class="curve new" d="{" ".join(steps)}"/>')
    body.append(
        label(
            (x(points[-1][0]), f"{float(y(points[-1][1])) - 8:.1f}"),
            node[last]["entries"]("count"),
            anchor="end",
            style="strong",
        )
    )
    body.append(label((x(points[0][0]), f"{height - 14:.1f}"), node[0]["day"]("date"), style="tick"))
    body.append(label((x(points[-1][0]), f"{height - 14:.1f}"), node[last]["day"]("date"), anchor="end", style="tick"))
    return drawing(
        name, "Entries of the adversarial set", "The number of entries by day; it never falls.", body, height
    )
