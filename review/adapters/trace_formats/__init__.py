"""The formats in which traces are logged: which one a file has, and its records as traces of import format v1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from review.adapters.trace_formats import langfuse, litellm, openai, otel, own
from review.adapters.trace_formats.common import Document, Found, Passed, Refused, Result

__all__ = ["FORMATS", "Document", "Format", "Found", "Passed", "Refused", "Result", "recognise"]


class Format(NamedTuple):
    """How records of one kind are told and read. `convert` never raises on any JSON object."""

    name: str
    matches: Callable[[Mapping[str, object]], bool]
    convert: Callable[[Document], Iterator[Result]]


# In the order in which they are tried: the plainest last, because it fits most.
FORMATS: dict[str, Format] = {
    module.NAME: Format(module.NAME, module.matches, module.convert)
    for module in (otel, langfuse, litellm, openai, own)
}


def recognise(documents: Sequence[Document]) -> Format | None:
    """The format that fits most of the records, the more specific one on a tie; None where none fits any."""
    counts = {name: sum(each.matches(document) for document in documents) for name, each in FORMATS.items()}
    best = max(counts.values(), default=0)
    return next((FORMATS[name] for name, count in counts.items() if count == best), None) if best else None
