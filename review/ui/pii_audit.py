"""What the Privacy page shows: a trace's parts as plain text, the leakage rate, what was erased."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from review.stats.estimate import NotEstimable, Result


def parts(texts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(what it is, its text) of everything in a trace that people or models wrote."""
    for message in texts.get("messages", ()):
        yield str(message.get("role", "message")), _plain({k: v for k, v in message.items() if k != "role"})
    for name in ("response", "reference", "metadata", "parameters", "tools"):
        if name in texts:
            yield name, _plain(texts[name])


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if set(fields) == {"content"}:
            value = fields["content"]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)


def rate(result: Result) -> str:
    """The leakage rate with its interval, or why there is none."""
    if isinstance(result, NotEstimable):
        return "none read yet"
    return f"{result.value:.1%} ({result.low:.1%} to {result.high:.1%})"


def told(places: Mapping[str, int]) -> str:
    """Where an erasure found the words."""
    if not places:
        return "The words stood nowhere. From now on they are taken out of everything that comes in."
    return "Erased: " + ", ".join(f"{count} in {name.replace('_', ' ')}" for name, count in places.items()) + "."
