"""Our own format (domain/trace.py): one trace a record; what it does not know goes to metadata.

Ids of tickets, customers and conversations are taken out of metadata, also under their usual other names. Without
`response`, a last message of the assistant is the logged answer, and what stands before it the input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from review.adapters.trace_formats.common import (
    Document,
    Found,
    Refused,
    Result,
    output,
    record,
    settings,
    split,
    take_people,
    text,
)

NAME = "own"
FIELDS = (
    *("trace_id", "task", "messages", "tools", "parameters", "response", "shadow", "served", "reference"),
    *("customer", "conversation", "ticket", "metadata", "happened_at", "synthetic"),
)


def matches(document: Mapping[str, object]) -> bool:
    """A list of messages at the top."""
    return isinstance(document.get("messages"), list)


def convert(document: Document) -> Iterator[Result]:
    """One record, one trace."""
    trace = {name: value for name, value in document.items() if name in FIELDS and value is not None}
    unknown = {name: value for name, value in document.items() if name not in FIELDS}
    # Systems number their tickets and customers; ids are text here.
    for name in ("trace_id", "customer", "conversation", "ticket"):
        if isinstance(trace.get(name), int) and (value := text(trace[name])):
            trace[name] = value
    for name in ("response", "shadow"):
        if isinstance(trace.get(name), str):
            trace[name] = {"content": trace[name]}
    messages = trace.get("messages")
    if "response" not in trace and isinstance(messages, list):
        trace["messages"], answer = split(cast(list[object], messages))
        if answer is not None:
            trace["response"] = output(answer)
    parameters = trace.get("parameters")
    if isinstance(parameters, dict):
        trace["parameters"], rest = settings(record(cast(object, parameters)), frozenset())
        if customer := text(rest.pop("user", None)):
            trace.setdefault("customer", customer)
        if not trace["parameters"]:
            del trace["parameters"]
        if rest:
            unknown["parameters"] = rest
    metadata = trace.get("metadata", {})
    if not isinstance(metadata, dict):
        yield Refused("metadata", "must be an object.")
        return
    metadata = dict(record(cast(object, metadata)))
    for kind, value in take_people(unknown, metadata).items():
        trace.setdefault(kind, value)
    if clashing := [name for name in unknown if name in metadata and metadata[name] != unknown[name]]:
        reason = "stands beside the trace's fields and in its metadata, with different values."
        yield Refused(clashing[0], reason)
        return
    trace["metadata"] = metadata | unknown
    if not trace["metadata"]:
        del trace["metadata"]
    yield Found(trace, document, tuple(unknown))
