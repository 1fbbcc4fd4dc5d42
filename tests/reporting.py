"""Reading a report as a stranger would: what it shows, where each value stands in the JSON, what no value covers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "br", "hr", "img", "input", "link"}
# Kinds that are numbers: by how much the value is multiplied, and how many decimals are written.
NUMBERS = {
    "count": (1, 0),
    "points": (100, 2),
    "margin": (100, 2),
    "percent": (100, 1),
    "rate": (1, 3),
    "signed": (1, 3),
    "p": (1, 3),
    "usd": (1, 2),
}
SIGNIFICANT = {"level": 100, "alpha": 1, "axis": 1, "axis points": 100}


@dataclass
class Shown:
    """A value of the page: its JSON pointer (None for a number of an axis), kind and text."""

    pointer: str | None
    kind: str
    text: str
    in_picture: bool
    tick: float | None = None


@dataclass
class Reader(HTMLParser):
    """Collects values, and all other text."""

    shown: list[Shown] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[tuple[str, Shown | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        value = None
        if "data-path" in given or "data-tick" in given:
            tick = given.get("data-tick")
            picture = any(each == "svg" for each, _ in self.stack)
            value = Shown(
                given.get("data-path"), str(given["data-as"]), "", picture, None if tick is None else float(tick)
            )
            self.shown.append(value)
        if tag not in VOID and tag not in {"circle", "rect", "line", "path", "polygon", "polyline"}:
            self.stack.append((tag, value))

    def handle_endtag(self, tag: str) -> None:
        if self.stack and self.stack[-1][0] == tag:
            self.stack.pop()

    def handle_data(self, data: str) -> None:
        value = next((each for _, each in reversed(self.stack) if each is not None), None)
        if value is not None:
            value.text += data
        elif not any(tag == "style" for tag, _ in self.stack):
            self.bare.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert reader.stack == [], "every element is closed"
    return reader


def at(document: Any, pointer: str) -> Any:
    """What stands at a JSON pointer (RFC 6901)."""
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def number(text: str) -> float:
    """A number as it is written for people."""
    return float(re.sub(r"[,%$ ]", "", text).replace("\u2212", "-"))


def fits(shown: Shown, value: Any) -> bool:
    """Whether a shown text says the value, rounded as its kind is and not more."""
    text, kind = shown.text, shown.kind
    if value is None:
        return text in ("–", "Not read")
    if kind == "size":
        return text == f"{len(value):,}"
    if kind in NUMBERS:
        times, decimals = NUMBERS[kind]
        if text == "<0.001":
            return value < 0.001
        written = text.rstrip(" %")
        shows = len(written.partition(".")[2])
        return shows == decimals and abs(number(text) - times * value) <= 0.5000001 * 10**-decimals
    if kind in SIGNIFICANT:
        wanted = SIGNIFICANT[kind] * value
        return abs(number(text) - wanted) <= 0.00051 * abs(wanted)
    if kind in ("date", "hash"):
        return str(value).startswith(text) and len(text) in (10, 16, len(str(value)))
    if kind == "moment":
        return text == f"{str(value)[:10]} {str(value)[11:16]} UTC"
    if kind == "lines":
        return text == "\n".join(value)
    if kind == "verdict":
        return text.lower() == value
    if kind == "short":
        return _letters(str(value)).startswith(_letters(text.rstrip("…")))
    if kind == "yaml":
        import yaml

        return yaml.safe_load(text) == value
    assert kind in ("text", "foreign"), kind
    return _letters(text) == _letters(str(value))


def _letters(text: str) -> str:
    """What can be read of a text: control and direction marks may be replaced."""
    return "".join(
        letter for letter in text if letter.isprintable() and letter not in "\ufffd " and ord(letter) < 0xFFF0
    )


def numbers_of(document: Any) -> list[float]:
    """All numbers of a document."""
    if isinstance(document, Mapping):
        return [each for value in document.values() for each in numbers_of(value)]
    if isinstance(document, list):
        return [each for value in document for each in numbers_of(value)]
    return [float(document)] if isinstance(document, int | float) and not isinstance(document, bool) else []
