"""OpenTelemetry GenAI spans in JSON: each model call is a trace; agents, tools and everything else are passed over.

OTLP JSON ({resourceSpans: [{scopeSpans: [{spans}]}]}, https://opentelemetry.io/docs/specs/otlp/) as the collector's
file exporter writes it, log records ({resourceLogs}), or one span a record with plain attributes, as SDKs print it. The
messages stand, by the version of https://opentelemetry.io/docs/specs/semconv/gen-ai/, in

- attributes gen_ai.input.messages, gen_ai.output.messages, gen_ai.system_instructions and gen_ai.tool.definitions:
  JSON lists of {role, parts} (gen-ai-input-messages.json and its kin; since 1.37);
- events gen_ai.user.message, gen_ai.choice and so on, in the span or as log records of one span in one document;
- events gen_ai.content.prompt and gen_ai.content.completion (1.26);
- indexed attributes gen_ai.prompt.N.role, gen_ai.completion.N.content … as OpenLLMetry writes them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, cast

from review.adapters.trace_formats.common import (
    Document,
    Found,
    Passed,
    Result,
    call,
    first,
    message,
    messages,
    milliseconds,
    moment,
    number,
    output,
    plain,
    present,
    record,
    records,
    take_people,
    text,
    unpacked,
)

NAME = "otel"
_CHATS = frozenset({"chat", "text_completion", "completion", "generate_content", "generate"})
_INDEXED = re.compile(r"^gen_ai\.(prompt|completion)\.(\d+)\.(.+)$")
_CALL = re.compile(r"^tool_calls\.(\d+)\.(id|name|arguments)$")
_FUNCTION = re.compile(r"^llm\.request\.functions\.(\d+)\.(name|description|parameters)$")
_PARAMETERS = {
    **{name: name for name in ("temperature", "top_p", "top_k", "max_tokens", "seed")},
    **{name: name for name in ("frequency_penalty", "presence_penalty")},
    "stop_sequences": "stop",
    "choice.count": "n",
}
_FINISHES = {"tool_call": "tool_calls"}


def matches(document: Mapping[str, object]) -> bool:
    """An OTLP envelope, or a span with GenAI attributes."""
    if any(name in document for name in ("resourceSpans", "resource_spans", "resourceLogs", "resource_logs")):
        return True
    names = _attributes(document.get("attributes"))
    ids = record(document.get("context")) or document
    return any(name in ids for name in ("spanId", "span_id")) and (
        "attributes" in document and ("startTimeUnixNano" in document or any(_is_ours(name) for name in names))
    )


def convert(document: Document) -> Iterator[Result]:
    """Each model call of the record."""
    if envelopes := records(first(document.get("resourceSpans"), document.get("resource_spans"))):
        for envelope in envelopes:
            service = _attributes(record(envelope.get("resource")).get("attributes")).get("service.name")
            for scope in records(first(envelope.get("scopeSpans"), envelope.get("scope_spans"))):
                for span in records(scope.get("spans")):
                    yield _span(span, service)
    elif envelopes := records(first(document.get("resourceLogs"), document.get("resource_logs"))):
        yield from _logs(envelopes)
    elif "attributes" in document:
        yield _span(document, None)
    else:
        yield Passed("an empty export")


def _is_ours(name: str) -> bool:
    return name.startswith(("gen_ai.", "llm."))


def _span(span: Document, service: object) -> Result:
    attributes = _attributes(span.get("attributes"))
    if not any(map(_is_ours, attributes)):
        return Passed("a span of something else")
    operation = first(text(attributes.get("gen_ai.operation.name")), text(attributes.get("llm.request.type")), "chat")
    if operation not in _CHATS:
        return Passed(f"a span of {operation}")
    events: list[Document] = [
        {"name": text(each.get("name")) or "", "body": _event(_attributes(each.get("attributes")))}
        for each in records(span.get("events"))
    ]
    for each in events:
        attributes |= {name: value for name, value in each["body"].items() if _is_ours(name) and name not in attributes}
    ids = record(span.get("context")) or span
    trace, own = (text(first(ids.get(f"{name}Id"), ids.get(f"{name}_id"))) for name in ("trace", "span"))
    start = first(span.get("startTimeUnixNano"), span.get("start_time_unix_nano"), span.get("start_time"))
    end = first(span.get("endTimeUnixNano"), span.get("end_time_unix_nano"), span.get("end_time"))
    return _trace(attributes, events, (trace, own, start, end, service, span))


def _logs(envelopes: list[Document]) -> Iterator[Result]:
    """Log records of one span make one trace."""
    spans: dict[tuple[str, str], list[Document]] = defaultdict(list)
    for envelope in envelopes:
        for scope in records(first(envelope.get("scopeLogs"), envelope.get("scope_logs"))):
            for logged in records(first(scope.get("logRecords"), scope.get("log_records"))):
                trace, own = (
                    text(first(logged.get(f"{each}Id"), logged.get(f"{each}_id"))) for each in ("trace", "span")
                )
                spans[trace or "", own or ""].append(logged)
    for (trace, own), logs in spans.items():
        attributes: Document = {}
        events: list[Document] = []
        for logged in logs:
            found = _attributes(logged.get("attributes"))
            name = first(text(logged.get("eventName")), text(found.get("event.name")), "")
            events.append({"name": name, "body": record(_value(logged.get("body"))) or _event(found)})
            attributes |= found
        if not any(each["name"].startswith("gen_ai.") for each in events):
            yield Passed("a log record of something else")
            continue
        start = first(logs[0].get("timeUnixNano"), logs[0].get("observedTimeUnixNano"))
        yield _trace(attributes, events, (trace or None, own or None, start, None, None, {"logs": logs}))


def _trace(attributes: Document, events: list[Document], about: tuple[Any, ...]) -> Result:
    trace, own, start, end, service, raw = about
    asked, said, finish = _conversation(attributes, events)
    if not asked:
        return Passed("a call whose messages were not captured")
    rest = {
        name.removeprefix("traceloop.association.properties."): value
        for name, value in attributes.items()
        if not _is_ours(name) or name == "gen_ai.conversation.id"
    }
    people = take_people(rest)
    metadata = present({"trace": trace, "service": service, **rest})
    provider = first(attributes.get("gen_ai.provider.name"), attributes.get("gen_ai.system"))
    model = first(attributes.get("gen_ai.response.model"), attributes.get("gen_ai.request.model"))
    reasons = attributes.get("gen_ai.response.finish_reasons")
    reason = first(finish, cast("list[Any]", reasons)[0] if isinstance(reasons, list) and reasons else None)
    fields = {
        "model": text(model),
        "finish_reason": _FINISHES.get(str(reason), text(reason)),
        "latency_ms": milliseconds(start, end),
        "usage": _usage(attributes),
    }
    found = {
        "trace_id": f"{trace}-{own}" if trace and own else None,
        "messages": asked,
        "tools": _tools(attributes),
        "parameters": {
            ours: value
            for theirs, ours in _PARAMETERS.items()
            if (value := attributes.get(f"gen_ai.request.{theirs}")) is not None
        },
        "response": output(said, **fields) if said else None,
        "happened_at": moment(start),
        "metadata": metadata | present({"provider": provider}),
        **people,
    }
    return Found(present(found), raw)


def _conversation(attributes: Document, events: list[Document]) -> tuple[list[Document], Document | None, str | None]:
    """The input, the first answer and why it stopped, from wherever they stand."""
    newer = unpacked(attributes.get("gen_ai.input.messages"))
    if newer is not None:
        asked = [each for one in records(newer) for each in _parts(one)]
        system = _system(unpacked(attributes.get("gen_ai.system_instructions")))
        answers = records(unpacked(attributes.get("gen_ai.output.messages")))
        said = _parts(answers[0]) if answers else []
        finish = text(answers[0].get("finish_reason")) if answers else None
        return [*system, *asked], said[0] if said else None, finish
    indexed = _indexed(attributes)
    if indexed["prompt"]:
        said = indexed["completion"][0] if indexed["completion"] else None
        return indexed["prompt"], said, text(said.pop("finish_reason", None)) if said else None
    asked, said, finish = _events(events)
    if not asked:
        asked = messages(attributes.get("gen_ai.prompt")) or []
        answers = messages(attributes.get("gen_ai.completion")) or []
        said = answers[0] if answers else None
    return asked, said, finish


def _parts(said: Document) -> list[Document]:
    """A message of parts as OpenAI's: text joined, tool calls listed, each tool's result a message of its own."""
    if "parts" not in said:
        return [message(said)]
    role = text(said.get("role")) or "user"
    texts: list[str] = []
    others: list[Document] = []
    calls: list[Document] = []
    results: list[Document] = []
    for part in records(said["parts"]):
        kind = part.get("type")
        if kind == "text":
            texts.append(plain(part.get("content")))
        elif kind == "tool_call":
            calls.append(call(part))
        elif kind == "tool_call_response":
            result = first(part.get("response"), part.get("result"), "")
            results.append(present({"role": "tool", "tool_call_id": text(part.get("id")), "content": plain(result)}))
        elif kind != "reasoning":  # a thought is no part of what was said
            others.append(part)
    content: Any = [*({"type": "text", "text": each} for each in texts), *others] if others else "\n".join(texts)
    own = {"role": role, "content": content if texts or others else None, **({"tool_calls": calls} if calls else {})}
    return ([own] if texts or others or calls else []) + results


def _system(found: object) -> list[Document]:
    if isinstance(found, str):
        return [{"role": "system", "content": found}]
    texts = [plain(part.get("content")) for part in records(found) if part.get("content") is not None]
    return [{"role": "system", "content": "\n".join(texts)}] if texts else []


def _indexed(attributes: Document) -> dict[str, list[Document]]:
    """OpenLLMetry's attributes gathered by their numbers."""
    found: dict[str, dict[int, Document]] = {"prompt": defaultdict(dict), "completion": defaultdict(dict)}
    for name, value in attributes.items():
        if (place := _INDEXED.match(name)) is None:
            continue
        one = found[place[1]][int(place[2])]
        if inner := _CALL.match(place[3]):
            one.setdefault("calls", defaultdict(dict))[int(inner[1])][inner[2]] = value
        else:
            one[place[3]] = value
    return {
        name: [_gathered(one, "user" if name == "prompt" else "assistant") for _, one in sorted(numbered.items())]
        for name, numbered in found.items()
    }


def _gathered(one: Document, role: str) -> Document:
    calls = [call(each) for _, each in sorted(one.pop("calls", {}).items())]
    names = ("tool_call_id", "name", "finish_reason")
    content = unpacked(one.get("content"))
    return {
        "role": text(one.get("role")) or role,
        "content": content if len(records(content)) > 0 else one.get("content"),
        **({"tool_calls": calls} if calls else {}),
        **{name: one[name] for name in names if text(one.get(name))},
    }


def _events(events: list[Document]) -> tuple[list[Document], Document | None, str | None]:
    asked: list[Document] = []
    said: Document | None = None
    finish: str | None = None
    for each in events:
        name, body = each["name"], each["body"]
        if name == "gen_ai.choice":
            if said is None:
                inner = record(body.get("message")) or body
                kept = {key: inner[key] for key in ("content", "tool_calls") if key in inner}
                said = message({"content": body.get("content"), **kept, "role": "assistant"})
                finish = text(body.get("finish_reason"))
        elif name.startswith("gen_ai.") and name.endswith(".message"):
            role = text(body.get("role")) or name.removeprefix("gen_ai.").removesuffix(".message")
            own = {key: body[key] for key in ("content", "tool_calls", "name") if body.get(key) is not None}
            if role == "tool" and text(body.get("id")):
                own["tool_call_id"] = text(body.get("id"))
            own["content"] = own.get("content")
            if own["content"] is not None and not records(own["content"]):
                own["content"] = plain(own["content"])
            asked.append(message({"role": role, **own}))
    return asked, said, finish


def _event(attributes: Document) -> Document:
    """An event's own fields: its attributes, or the JSON in the one that Azure's and others' clients write."""
    content = record(unpacked(attributes.get("gen_ai.event.content")))
    own = {name: unpacked(value) if name in ("tool_calls", "message") else value for name, value in attributes.items()}
    return {**own, **content}


def _usage(attributes: Document) -> Document:
    names = {
        "prompt_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        "completion_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
        "cached_tokens": ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
    }
    found = {ours: number(first(*(attributes.get(each) for each in theirs))) for ours, theirs in names.items()}
    return {name: int(value) for name, value in found.items() if value is not None}


def _tools(attributes: Document) -> list[Document]:
    listed = records(unpacked(attributes.get("gen_ai.tool.definitions")))
    numbered: dict[int, Document] = defaultdict(dict)
    for name, value in attributes.items():
        if place := _FUNCTION.match(name):
            numbered[int(place[1])][place[2]] = unpacked(value)
    listed = listed or [one for _, one in sorted(numbered.items())]
    return [
        each
        if "function" in each
        else {"type": "function", "function": {name: value for name, value in each.items() if name != "type"}}
        for each in listed
    ]


def _attributes(found: object) -> Document:
    """Attributes as a plain object, from OTLP's list of keys and typed values."""
    if isinstance(found, dict):
        return dict(record(cast(object, found)))
    return {key: _value(each.get("value")) for each in records(found) if (key := text(each.get("key")))}


def _value(found: object) -> Any:
    """OTLP's AnyValue as a plain value. Whole numbers are texts there."""
    value = record(found)
    if "stringValue" in value:
        return value["stringValue"]
    if "intValue" in value:
        whole = number(value["intValue"])
        return int(whole) if whole is not None else None
    if "arrayValue" in value:
        return [_value(each) for each in records(record(value["arrayValue"]).get("values"))]
    if "kvlistValue" in value:
        return _attributes(record(value["kvlistValue"]).get("values"))
    return next((value[name] for name in ("doubleValue", "boolValue", "bytesValue") if name in value), None)
