"""How a value of the document is written: one way a kind, the same in HTML and Markdown."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import yaml

Kind = Literal[
    "text",
    "short",
    "foreign",
    "hash",
    "date",
    "moment",
    "count",
    "size",
    "points",
    "margin",
    "percent",
    "level",
    "rate",
    "signed",
    "p",
    "alpha",
    "usd",
    "verdict",
    "yaml",
    "lines",
    "axis",
    "axis points",
]

VERDICTS = {
    "parity": "Parity",
    "no harm shown": "No harm shown",
    "regression": "Regression",
    "inconclusive": "Inconclusive",
    None: "Not read",
}
_SHORT = 30


def written(kind: Kind, value: Any) -> str:
    """The value as a reader sees it.

    Kinds: "points" are hundredths with their sign, "margin" the same without one, "rate" lies in 0 to 1, "size" is the
    length of a list, "level" a confidence level or a share that is agreed; "foreign" keeps its line breaks.
    """
    if value is None and kind != "verdict":
        return "–"
    return _WRITERS[kind](value)


def clean(text: str, *, lines: bool = False) -> str:
    """Foreign text without what no page shows: control characters, marks of direction, halves of characters."""
    letters = [letter if _shown(letter) or (lines and letter in "\n\t") else _instead(letter) for letter in text]
    return "".join(letters) if lines else " ".join("".join(letters).split())


def _shown(letter: str) -> bool:
    return unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or letter == "\u200d"


def _instead(letter: str) -> str:
    return " " if letter in "\n\t\r\u2028\u2029\x85" else "\ufffd"


def _number(value: float, spec: str) -> str:
    """A fixed number of decimals, a real minus, and no minus before nothing."""
    text = format(float(value), spec)
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "\u2212")


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _moment(value: str) -> str:
    return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=True, allow_unicode=True, width=100).rstrip("\n")


def _writers() -> dict[Kind, Callable[[Any], str]]:
    def number(spec: str, times: float = 1, before: str = "", after: str = "") -> Callable[[Any], str]:
        return lambda value: before + _number(times * value, spec) + after

    def text(change: Callable[[str], str] = lambda each: each) -> Callable[[Any], str]:
        return lambda value: change(clean(str(value)))

    return {
        "text": text(),
        "short": text(lambda each: each if len(each) <= _SHORT else each[: _SHORT - 1].rstrip() + "…"),
        "hash": text(lambda each: each[:16]),
        "date": text(lambda each: each[:10]),
        "moment": text(_moment),
        "foreign": lambda value: clean(str(value), lines=True),
        "lines": lambda value: clean("\n".join(value), lines=True),
        "yaml": lambda value: clean(_yaml(value), lines=True),
        "verdict": lambda value: VERDICTS.get(value) or clean(str(value)),
        "count": number(",.0f"),
        "size": number(",.0f"),
        "points": number("+.2f", 100),
        "margin": number(".2f", 100),
        "percent": number(".1f", 100, after=" %"),
        "level": number(".4g", 100, after=" %"),
        "rate": number(".3f"),
        "signed": number("+.3f"),
        "alpha": number(".4g"),
        "p": _p,
        "usd": number(",.2f", before="$"),
        "axis": number(".4g"),
        "axis points": number("+.4g", 100),
    }


_WRITERS = _writers()
