"""OpenAI chat completions as people log them: the request and its response in one record.

The shapes: {request, response}; {body, response: {body}} with a custom_id, which is a Batch API input line joined with
its output line; a request whose response stands beside its messages; a request with `choices`. Request and response
are those of https://platform.openai.com/docs/api-reference/chat (create, the completion object) and .../batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from review.adapters.trace_formats.common import (
    Document,
    Found,
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

NAME = "openai"
_REQUESTS = ("request", "request_body", "body", "kwargs", "input")
_RESPONSES = ("response", "response_body", "completion", "output")
_REQUEST_FIELDS = frozenset({"messages", "prompt", "tools", "functions", "metadata", "user", "safety_identifier"})
_TIMES = ("created_at", "timestamp", "time", "start_time", "started_at", "date")
_LATENCIES = {"latency_ms": 1.0, "duration_ms": 1.0, "response_time_ms": 1.0, "latency_s": 1e3, "duration_s": 1e3}


def matches(document: Mapping[str, object]) -> bool:
    """A request with messages somewhere, and a completion with choices or a Batch envelope."""
    request, response = _request(document), _response(document)
    envelope = any(name in document for name in ("request", "request_body", "body", "custom_id"))
    return ("messages" in request or "prompt" in request or "custom_id" in document) and (
        envelope or bool(records(response.get("choices")))
    )


def convert(document: Document) -> Iterator[Result]:
    """One record, one trace."""
    request, response = _request(document), _response(document)
    said = messages(first(request.get("messages"), request.get("prompt")))
    if said is None:
        batch = "custom_id" in document
        remedy = "Join the batch's input and output files by custom_id." if batch else "Log the request too."
        yield Refused("messages", f"is missing or no list of messages. {remedy}")
        return
    nested = any(name in document for name in _REQUESTS)
    parameters, rest = settings(request, _REQUEST_FIELDS | _RESPONSE_FIELDS if not nested else _REQUEST_FIELDS)
    outer = {name: value for name, value in document.items() if name not in _ENVELOPE} if nested else {}
    metadata = {**rest, **outer, **record(document.get("metadata")), **record(request.get("metadata"))}
    people = take_people(metadata)
    if customer := first(text(request.get("user")), text(request.get("safety_identifier")), text(outer.get("user"))):
        people["customer"] = customer
    metadata.pop("user", None)
    for name in ("model", "id", *_TIMES, *_LATENCIES):
        metadata.pop(name, None)
    latency = _latency(document)
    model = first(text(response.get("model")), text(request.get("model")))
    trace = {
        # A custom_id is unique in its batch only.
        "trace_id": first(text(response.get("id")), text(document.get("id")), text(document.get("request_id"))),
        "messages": said,
        "tools": records(request.get("tools")) or _functions(request),
        "parameters": parameters,
        "response": answer(response, model=model, latency_ms=latency) if response else None,
        "happened_at": first(moment(_any(document, _TIMES)), moment(response.get("created"))),
        "metadata": metadata,
        **people,
    }
    yield Found(present(trace), document)


_ENVELOPE = frozenset({*_REQUESTS, *_RESPONSES, "metadata", "method", "url", "object"})
_RESPONSE_FIELDS = frozenset({*_RESPONSES, "choices", "usage", "created", "object", "system_fingerprint"})


def _request(document: Mapping[str, object]) -> Document:
    for name in _REQUESTS:
        inner = record(unpacked(document.get(name)))
        inner = record(inner.get("body")) or inner
        if "messages" in inner or "prompt" in inner:
            return inner
    return dict(document) if "messages" in document or "prompt" in document else {}


def _response(document: Mapping[str, object]) -> Document:
    for name in _RESPONSES:
        inner = unpacked(document.get(name))
        if isinstance(inner, str):
            return {"content": inner}
        whole = record(inner)
        whole = record(unpacked(whole.get("body"))) or whole
        if "choices" in whole or "content" in whole:
            return whole
    return dict(document) if records(document.get("choices")) else {}


def _functions(request: Document) -> list[Document]:
    """The older `functions` as tools."""
    return [{"type": "function", "function": each} for each in records(request.get("functions"))]


def _latency(document: Document) -> float | None:
    for name, scale in _LATENCIES.items():
        found = number(document.get(name))
        if found is not None and found >= 0:
            return found * scale
    return milliseconds(
        _any(document, ("start_time", "started_at")), _any(document, ("end_time", "ended_at", "finished_at"))
    )


def _any(document: Document, names: tuple[str, ...]) -> object:
    return next((document[name] for name in names if document.get(name) is not None), None)
