"""Anthropic's Messages: another form of messages, tools and answers, brought to and from OpenAI's.

System messages stand apart; results of tools are a user's blocks, all of one turn in one message; a limit of length
must be given; there are no logprobs, no seed and no penalties; temperature ends at 1. A schema goes into
`output_config.format` (until 2025 `output_format`, in beta), whose objects must be closed and which knows no bounds of
numbers, strings or lists. An overloaded service answers 529 (platform.claude.com/docs, Errors and Structured outputs).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from review.adapters.chat import plain
from review.adapters.chat.values import Answer, BadBody, Request
from review.domain.pipeline import Endpoint

PATH = "/messages"
_VERSION = "2023-06-01"
_LIMIT = 4096
_TAKEN = frozenset({"temperature", "top_p", "top_k", "max_tokens"})
_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
}
_UNKNOWN_TO_SCHEMAS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems"}
)


def headers(key: str | None) -> dict[str, str]:
    """The headers beside the content type."""
    return {"anthropic-version": _VERSION, **({"x-api-key": key} if key else {})}


def body(endpoint: Endpoint, request: Request) -> dict[str, Any]:
    """The request's body."""
    logged = plain.parameters(request.parameters, endpoint.parameters)
    lead, rest = plain.system_first(plain.messages(request.messages))
    sent: dict[str, Any] = {"model": endpoint.model, "max_tokens": _LIMIT, "messages": _turns(rest)}
    if lead:
        sent["system"] = lead
    sent |= {name: value for name, value in logged.items() if name in _TAKEN}
    if isinstance(sent.get("temperature"), int | float):
        sent["temperature"] = min(1, sent["temperature"])
    if (stop := logged.get("stop")) is not None:
        sent["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if request.tools:
        sent["tools"] = [_tool(each) for each in request.tools]
        if choice := _choice(logged.get("tool_choice"), logged.get("parallel_tool_calls")):
            sent["tool_choice"] = choice
    schema = request.response_schema
    if schema is None:
        wanted = plain.fields(logged.get("response_format"))
        schema = plain.fields(plain.fields(wanted.get("json_schema")).get("schema")) or None
    if schema is not None:
        sent["output_config"] = {"format": {"type": "json_schema", "schema": _closed(schema)}}
    own = plain.parameters(None, endpoint.parameters)
    return sent | {name: value for name, value in own.items() if name not in plain.SAMPLING}


def _turns(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages as turns of user and assistant; neighbours of one role are one turn."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message["role"] == "assistant" else "user"
        blocks = _blocks(message)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if message["role"] == "tool":
        return [{"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": plain.joined(content) or ""}]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else plain.items(content)
    blocks = [_part(plain.fields(part)) for part in parts]
    # An empty text block is refused.
    blocks = [block for block in blocks if block.get("type") != "text" or block["text"]]
    for call in plain.items(message.get("tool_calls")):
        function = call["function"]
        used = {"type": "tool_use", "id": call["id"], "name": function["name"], "input": _input(function["arguments"])}
        blocks.append(used)
    return blocks


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("type") != "image_url":
        return {"type": "text", "text": plain.text(part.get("text"))} if part.get("type") == "text" else dict(part)
    address = plain.text(plain.fields(part.get("image_url")).get("url"))
    kind, comma, data = address.partition(";base64,")
    if comma and kind.startswith("data:"):
        source = {"type": "base64", "media_type": kind.removeprefix("data:"), "data": data}
    else:
        source = {"type": "url", "url": address}
    return {"type": "image", "source": source}


def _input(arguments: str) -> dict[str, Any]:
    """Arguments as the object that is wanted; what is no object stands in one."""
    try:
        value: object = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        value = None
    return plain.fields(value) or ({} if value == {} else {"arguments": arguments})


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = plain.fields(tool.get("function")) or dict(tool)
    made: dict[str, Any] = {"name": function.get("name")}
    if function.get("description"):
        made["description"] = function["description"]
    return made | {"input_schema": plain.fields(function.get("parameters")) or {"type": "object", "properties": {}}}


def _choice(choice: object, parallel: object) -> dict[str, Any] | None:
    named = plain.fields(plain.fields(choice).get("function")).get("name")
    kinds = {"auto": "auto", "required": "any", "none": "none"}
    made: dict[str, Any] = {}
    if named:
        made = {"type": "tool", "name": named}
    elif isinstance(choice, str) and choice in kinds:
        made = {"type": kinds[choice]}
    if parallel is False and made.get("type") != "none":
        made = {"type": "auto"} | made | {"disable_parallel_tool_use": True}
    return made or None


def _closed(schema: object) -> Any:
    """A schema with closed objects and without what is not known there."""
    if several := plain.items(schema):
        return [_closed(each) for each in several]
    given = plain.fields(schema)
    if not given:
        return schema
    made = {key: _closed(each) for key, each in given.items() if key not in _UNKNOWN_TO_SCHEMAS}
    if "properties" in given:
        # Names of properties are the caller's, and may be those of a bound.
        made["properties"] = {key: _closed(each) for key, each in plain.fields(given["properties"]).items()}
    if given.get("type") == "object":
        made["additionalProperties"] = False
    return made


def read(document: object) -> Answer:
    """An answer out of a response's body.

    Raises:
        BadBody: there is none in it.
    """
    found = plain.fields(document)
    reason = found.get("stop_reason")
    if not isinstance(found.get("content"), list) or (not found["content"] and reason is None):
        raise BadBody
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for block in map(plain.fields, plain.items(found["content"])):
        if block.get("type") == "text":
            texts.append(plain.text(block.get("text")))
        elif block.get("type") == "tool_use":
            called = {"name": plain.text(block.get("name")), "arguments": plain.as_text(block.get("input") or {})}
            if not called["name"]:
                raise BadBody
            calls.append({"id": plain.text(block.get("id")) or None, "type": "function", "function": called})
    named = plain.text(reason)[:60] or None
    return Answer(
        content="".join(texts) if texts or not calls else None,
        tool_calls=calls or None,
        finish_reason=_REASONS.get(named or "", named),
        confidence=None,
        served=plain.text(found.get("model")) or None,
        usage=_usage(plain.numbers(found.get("usage"))),
    )


def _usage(given: Mapping[str, Any]) -> dict[str, Any]:
    """Counts by OpenAI's names; cached input is input."""
    cached = {name: given.get(f"cache_{name}_input_tokens", 0) for name in ("read", "creation")}
    prompt = given.get("input_tokens", 0) + sum(cached.values())
    completion = given.get("output_tokens", 0)
    if not given:
        return {}
    counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return counted | ({"cached_tokens": cached["read"]} if cached["read"] else {})
