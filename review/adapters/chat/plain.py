"""Reading JSON that others wrote, and bringing logged messages and parameters into a form that every server takes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

# What shapes an answer. A log also holds `user`, `metadata`, `stream` …, which are nobody's business here.
SAMPLING = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "max_tokens",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "logit_bias",
        "response_format",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning_effort",
        "chat_template_kwargs",
    }
)
# Ours to say, whatever the configuration has.
RESERVED = frozenset({"model", "messages", "tools", "stream", "stream_options", "n"})


def fields(value: object) -> dict[str, Any]:
    """The value as a JSON object, or an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """The value as a JSON array, or an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def text(value: object) -> str:
    """A string that UTF-8 can hold; lone surrogates, which JSON can spell, become U+FFFD. "" for what is no string."""
    if not isinstance(value, str):
        return ""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def numbers(value: object, deep: bool = True) -> dict[str, Any]:
    """The finite numbers of an object, and those one level below: token counts without anything else."""
    found: dict[str, Any] = {}
    for key, each in fields(value).items():
        if isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each):
            found[text(key)] = each
        elif deep and (inner := numbers(each, deep=False)):
            found[text(key)] = inner
    return found


def as_text(arguments: object) -> str:
    """A tool call's arguments as the text that OpenAI's format has."""
    if isinstance(arguments, str):
        return text(arguments)
    return "" if arguments is None else text(json.dumps(arguments, ensure_ascii=False))


def joined(content: object) -> str | None:
    """The text of a message: a string, or parts of which the text ones are joined. None for nothing."""
    if isinstance(content, str):
        return text(content)
    parts = [fields(part) for part in items(content)]
    texts = [text(part.get("text")) for part in parts if part.get("type") in ("text", "output_text")]
    return "".join(texts) if texts else None


def parameters(logged: Mapping[str, Any] | None, configured: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent: the logged sampling parameters, over them the endpoint's own. One name for the length limit."""
    chosen = {name: value for name, value in _limit_named(logged or {}).items() if name in SAMPLING}
    chosen |= {name: value for name, value in _limit_named(configured).items() if name not in RESERVED}
    return {name: value for name, value in chosen.items() if value is not None}


def _limit_named(given: Mapping[str, Any]) -> dict[str, Any]:
    """`max_completion_tokens` under its older name; a dialect renames it where it must."""
    renamed = dict(given)
    limit = renamed.pop("max_completion_tokens", None)
    if limit is not None:
        renamed["max_tokens"] = limit
    return renamed


def messages(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages with only the keys that every server knows, in today's form.

    `function_call` and role `function`, which vLLM and others refuse, become tool calls and results; ids that logs
    have lost are made anew, the same on both sides of a call (llama.cpp refuses null ids); arguments are text. A
    model's earlier reasoning is left out.
    """
    plain: list[dict[str, Any]] = []
    open_calls: list[str] = []
    count = 0
    for message in given:
        role = str(message.get("role"))
        made: dict[str, Any] = {"role": "tool" if role == "function" else role}
        content = message.get("content")
        made["content"] = "" if content is None and role != "assistant" else content
        if role not in ("tool", "function") and isinstance(message.get("name"), str):
            made["name"] = message["name"]
        calls = [fields(call) for call in items(message.get("tool_calls"))]
        if legacy := fields(message.get("function_call")):
            calls.append({"function": legacy})
        if calls:
            made["tool_calls"] = []
            open_calls = []
            for call in calls:
                function = fields(call.get("function"))
                name = call.get("id") or f"call_{count}"
                count += 1
                open_calls.append(name)
                described = {"name": function.get("name"), "arguments": as_text(function.get("arguments")) or "{}"}
                made["tool_calls"].append({"id": name, "type": "function", "function": described})
        elif role == "assistant" and content is None:
            made["content"] = ""
        if made["role"] == "tool":
            name = message.get("tool_call_id") or (open_calls[0] if open_calls else f"call_{count}")
            if name in open_calls:
                open_calls.remove(name)
            made["tool_call_id"] = name
        plain.append(made)
    return plain


def system_first(given: Sequence[Mapping[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The leading system and developer messages as one text, and the rest."""
    lead: list[str] = []
    rest = [dict(each) for each in given]
    while rest and rest[0]["role"] in ("system", "developer"):
        lead.append(joined(rest.pop(0).get("content")) or "")
    return "\n\n".join(part for part in lead if part), rest
