"""Langfuse exports: each observation of type GENERATION is a trace; spans, events and tools are passed over.

The tables' export as JSON, JSONL or CSV, the blob storage export, pages of the observations API ({data, meta}), and a
trace downloaded with its observations. Names are camelCase in the one and snake_case in the other; fields as in
https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields and /features/export-from-ui. Times
without an offset are UTC there. `sessionId` is our conversation, `userId` our customer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from review.adapters.trace_formats.common import (
    Document,
    Found,
    Passed,
    Refused,
    Result,
    answer,
    first,
    messages,
    milliseconds,
    moment,
    number,
    present,
    record,
    records,
    settings,
    take_people,
    text,
    unpacked,
)

NAME = "langfuse"
_TYPES = frozenset(
    {
        *("GENERATION", "SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL"),
    }
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def matches(document: Mapping[str, object]) -> bool:
    """An observation, a page of them, or a trace with its observations."""
    inside = records(document.get("data")) or records(document.get("observations"))
    return _is_observation(document) or any(_is_observation(each) for each in inside[:5])


def convert(document: Document) -> Iterator[Result]:
    """Each generation of the record."""
    if _is_observation(document):
        yield _observation(document, {})
        return
    inside = records(document.get("observations"))
    outer = record(document.get("trace")) or document if inside else {}
    inside = inside or records(document.get("data"))
    if not inside:
        yield Refused("type", "is missing: it is no observation. Export the observations, not the traces alone.")
    for each in inside:
        yield _observation(each, outer)


def _is_observation(document: Mapping[str, object]) -> bool:
    kind = document.get("type")
    return ("traceId" in document or "trace_id" in document) and isinstance(kind, str) and kind.upper() in _TYPES


def _observation(observation: Document, outer: Document) -> Result:
    fields = {_snake(name): unpacked(value) for name, value in observation.items()}
    kind = text(fields.get("type")) or "none"
    if kind.upper() != "GENERATION":
        return Passed(f"an observation of type {kind.upper()}")
    asked = fields.get("input")
    said = messages(first(record(asked).get("messages"), record(asked).get("prompt"), asked))
    if said is None:
        return Passed("a generation whose input is no conversation")
    around = {_snake(name): unpacked(value) for name, value in outer.items()}
    parameters, rest = settings(record(fields.get("model_parameters")), frozenset())
    metadata: Document = {**rest, **record(around.get("metadata")), **record(fields.get("metadata"))}
    people = take_people(fields, around, metadata)
    kept = {"trace": fields.get("trace_id"), "name": fields.get("name"), "level": fields.get("level")}
    metadata |= present(kept | {"tags": first(fields.get("tags"), fields.get("trace_tags"), around.get("tags"))})
    start, end = fields.get("start_time"), fields.get("end_time")
    trace = {
        "trace_id": text(fields.get("id")),
        "messages": said,
        "tools": _tools(record(asked).get("tools")),
        "parameters": parameters,
        "response": _response(fields, start, end),
        "happened_at": moment(start),
        "metadata": metadata,
        **people,
    }
    return Found(present(trace), {**observation, **({"trace": outer.get("id")} if outer else {})})


def _response(fields: Document, start: object, end: object) -> Document | None:
    if fields.get("output") in (None, "", {}, []):
        return None
    model = first(text(fields.get("provided_model_name")), text(fields.get("model")), text(fields.get("model_name")))
    latency = milliseconds(start, end)
    if latency is None and (seconds := number(fields.get("latency"))) is not None and seconds >= 0:
        latency = seconds * 1000
    return answer(fields["output"], model=model, usage=_usage(fields), latency_ms=latency)


def _usage(fields: Document) -> Document:
    """Token counts under OpenAI's names; Langfuse calls them input, output and total, and may price by them."""
    found = record(fields.get("usage_details")) or record(fields.get("usage"))
    names = {"input": "prompt_tokens", "output": "completion_tokens", "total": "total_tokens"}
    usage = {names.get(name, _snake(name)): value for name, value in found.items() if number(value) is not None}
    if not usage:
        loose = {name: number(fields.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
        usage = {name: int(value) for name, value in loose.items() if value is not None}
    return usage


def _tools(found: Any) -> list[Document]:
    """Tools as OpenAI has them; other shapes are left out rather than guessed."""
    return [each for each in records(unpacked(found)) if "function" in each]


def _snake(name: str) -> str:
    return _CAMEL.sub("_", name).lower() if name.isidentifier() else name
