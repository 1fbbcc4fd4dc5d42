"""What a report consists of before it is HTML or Markdown: blocks of our own words and values of the document.

A value is named by its place in the document (a JSON pointer, RFC 6901), so that every number can be traced back to it.
Our own words hold no digit: whatever has one comes from the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from review.adapters.html.numbers import Kind, written


@dataclass(frozen=True)
class Value:
    """A value of the document: where it stands there, what it is, and how it is written."""

    pointer: str
    raw: Any
    kind: Kind

    @property
    def text(self) -> str:
        return written(self.kind, self.raw)


Inline = str | Value
Line = tuple[Inline, ...]


@dataclass(frozen=True)
class Node:
    """A place in the document."""

    raw: Any
    pointer: str = ""

    def __getitem__(self, key: str | int) -> Node:
        step = str(key).replace("~", "~0").replace("/", "~1")
        return Node(self.raw[key], f"{self.pointer}/{step}")

    def __len__(self) -> int:
        return len(self.raw)

    def __contains__(self, key: str) -> bool:
        return isinstance(self.raw, dict) and key in self.raw

    def __bool__(self) -> bool:
        return bool(self.raw)

    def find(self, *keys: str) -> Node | None:
        """What stands below these keys; None where nothing does."""
        at = self
        for key in keys:
            if key not in at or at[key].raw is None:
                return None
            at = at[key]
        return at

    def each(self) -> Iterator[Node]:
        """The elements of a list."""
        return (self[at] for at in range(len(self.raw)))

    def entries(self) -> Iterator[tuple[str, Node]]:
        """The keys of an object, which are words of ours, and what stands there."""
        return ((key, self[key]) for key in cast("dict[str, Any]", self.raw))

    def __call__(self, kind: Kind) -> Value:
        """The value here, written as this kind."""
        return Value(self.pointer, self.raw, kind)


def said(template: str, *values: Value | Line) -> Line:
    """A line: `{}` in our own words stands for the next value."""
    words = template.split("{}")
    if len(words) != len(values) + 1:
        raise ValueError(f"{template!r} has room for {len(words) - 1} values, not {len(values)}")
    line: list[Inline] = [words[0]]
    for value, word in zip(values, words[1:], strict=True):
        line += [value] if isinstance(value, Value) else value
        line.append(word)
    return tuple(each for each in line if each != "")


def estimate(node: Node, kind: Kind = "points", *, unit: str = "") -> Line:
    """An estimate with its interval, or why there is none."""
    if "not_estimable" in node:
        return said("cannot be estimated: {}", node["not_estimable"]("text"))
    return said("{}" + unit + " ({} to {})", node["value"](kind), node["low"](kind), node["high"](kind))


@dataclass(frozen=True)
class Para:
    """A paragraph; a "note" is small, a "missing" one says what is not there and what would settle it."""

    line: Line
    role: Literal["plain", "lead", "note", "missing"] = "plain"


@dataclass(frozen=True)
class Table:
    """A table; `numbers` are the columns that are aligned to the right, `heat` a class from 0 to 4 for some cells."""

    head: tuple[str | Line, ...]
    rows: tuple[tuple[Line, ...], ...]
    caption: str
    numbers: frozenset[int] = frozenset()
    heat: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])


@dataclass(frozen=True)
class Facts:
    """Terms and what they are."""

    rows: tuple[tuple[str, Line], ...]


@dataclass(frozen=True)
class Bullets:
    """A list."""

    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Quote:
    """Foreign text as it is, or a command."""

    label: str
    value: Value
    code: bool = False


@dataclass(frozen=True)
class Figure:
    """A picture: SVG of ours. Markdown leaves it out, so the numbers stand in a table beside it too."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Group:
    """Blocks that belong together, with a title, and are not cut apart in print where they fit on a page."""

    title: Line
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Banner:
    """The verdict on top: its word, its sentence, and the parts."""

    verdict: Value
    sentence: Value
    parts: tuple[tuple[Value, Value], ...]
    blocks: tuple[Block, ...]


Block = Para | Table | Facts | Bullets | Quote | Figure | Group | Banner


@dataclass(frozen=True)
class Section:
    """A section of the report."""

    id: str
    title: str
    blocks: Sequence[Block]


def table(
    head: Sequence[str | Line], rows: Sequence[Sequence[Line | Value | str]], caption: str, numbers: str = ""
) -> Table:
    """A table from rows of lines, values or words; `numbers` has an "r" for each column aligned to the right."""
    lines = tuple(tuple(_line(cell) for cell in row) for row in rows)
    return Table(tuple(head), lines, caption, frozenset(at for at, each in enumerate(numbers) if each == "r"))


def _line(cell: Line | Value | str) -> Line:
    return cell if isinstance(cell, tuple) else (cell,)
