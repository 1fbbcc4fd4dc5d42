"""OpenAI's chat completions, and the servers and gateways that speak the same with differences.

What differs, and where it was read:

vLLM
    `guided_json` is gone since 0.12; `response_format` of type json_schema works before and after
    (docs.vllm.ai, Structured Outputs). Early versions refuse `logprobs` without `top_logprobs`
    (vllm-project/vllm#4795). -inf comes as -9999. Answers without tool calls carry an empty list. Unknown message
    keys and `functions` are refused.
SGLang
    Errors stand at the top of the body. A request that was aborted comes as an answer with finish_reason "abort".
    Reasoning stands in `reasoning_content`.
TensorRT-LLM
    Refuses every key that it does not know (NVIDIA/TensorRT-LLM#9709). `response_format` of type json_schema hands the
    wrapper instead of the schema to the grammar, and constrains nothing (NVIDIA/TensorRT#4855); type "json" with
    `schema` does. Without a guided decoding backend the constraint is dropped silently: the reply is parsed strictly
    in any case.
llama.cpp
    503 while it loads the model. `top_logprobs` is 20 unless said, 0 gives none at all; logprobs together with tools
    are fine while streaming is off (ggml-org/llama.cpp#28478). Refuses tool calls whose id is null
    (sigoden/aichat#1296). Does not look at the model's name.
LiteLLM
    Says the cost in `x-litellm-response-cost`; refuses parameters that the provider behind it lacks, in words
    ("does not support parameters: ['logprobs']"); an unknown model is a 400.
Bifrost
    Model names are provider/model; `extra_fields` names who served; logprobs may stand in `log_probs`; the wait after a
    429 is in the body (`extra_fields.retry_after_ms`; docs.getbifrost.ai, API reference).
OpenAI
    Reasoning models take `max_completion_tokens` only, no logprobs and no temperature; what is refused is learned from
    the refusal, because names of models say little. Azure's filter answers 400 with code content_filter.

Everywhere: `function_call` of old, arguments as an object, content as parts, "stop" as the reason of a tool call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from review.adapters.chat import plain
from review.adapters.chat.values import Answer, BadBody, Request, confidence
from review.domain.pipeline import Api, Endpoint

PATH = "/chat/completions"
_REASONS = {
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
}


@dataclass(frozen=True)
class Quirks:
    """How a server differs.

    Attributes:
        logprobs: what asks for token probabilities.
        developer: knows the role "developer", and system messages anywhere.
        wrapped: takes a schema wrapped as OpenAI does; else bare under `response_format.schema` with type "json".
    """

    logprobs: Mapping[str, Any] = field(default_factory=lambda: {"logprobs": True})
    developer: bool = False
    wrapped: bool = True


QUIRKS: dict[Api, Quirks] = {
    "openai": Quirks(developer=True),
    "vllm": Quirks(logprobs={"logprobs": True, "top_logprobs": 0}),
    "sglang": Quirks(),
    "tensorrt_llm": Quirks(wrapped=False),
    "llama_cpp": Quirks(logprobs={"logprobs": True, "top_logprobs": 1}),
    "litellm": Quirks(developer=True),
    "bifrost": Quirks(developer=True),
}


def headers(key: str | None) -> dict[str, str]:
    """The headers beside the content type."""
    return {"authorization": f"Bearer {key}"} if key else {}


def body(endpoint: Endpoint, request: Request) -> dict[str, Any]:
    """The request's body."""
    quirks = QUIRKS[endpoint.api]
    sent = plain.parameters(request.parameters, endpoint.parameters)
    if request.response_schema is not None:
        sent["response_format"] = wrapped(request.response_schema, request.schema_name)
    if not quirks.wrapped and "response_format" in sent:
        sent["response_format"] = _bare(sent["response_format"])
    if request.logprobs and "logprobs" not in sent:
        sent |= quirks.logprobs
    # A server that has never heard of the new name would write without end; one that wants it says so.
    host = urlsplit(endpoint.base_url).hostname or ""
    if "max_tokens" in sent and endpoint.api == "openai" and host.endswith((".openai.com", ".azure.com")):
        sent["max_completion_tokens"] = sent.pop("max_tokens")
    messages = plain.messages(request.messages)
    if not quirks.developer:
        lead, rest = plain.system_first(messages)
        messages = [{"role": "system", "content": lead}, *rest] if lead else rest
        messages = [each | {"role": "system"} if each["role"] == "developer" else each for each in messages]
    tools = {"tools": list(request.tools)} if request.tools else {}
    if not tools:  # without tools they are refused
        sent.pop("tool_choice", None)
        sent.pop("parallel_tool_calls", None)
    return {"model": endpoint.model, "messages": messages, **tools, **sent, "stream": False}


def wrapped(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A schema as `response_format`; strict where it has the form that strictness asks for."""
    return {"type": "json_schema", "json_schema": {"name": name, "strict": _is_closed(schema), "schema": dict(schema)}}


def _bare(response_format: object) -> object:
    given = plain.fields(response_format)
    if given.get("type") != "json_schema":
        return response_format
    inner = plain.fields(given.get("json_schema"))
    return {"type": "json", "schema": inner.get("schema", inner)}


def _is_closed(schema: object) -> bool:
    """OpenAI's strict mode: every object closed, every property required."""
    given = plain.fields(schema)
    if given.get("type") == "object":
        properties = plain.fields(given.get("properties"))
        if given.get("additionalProperties") is not False or set(plain.items(given.get("required"))) != set(properties):
            return False
        if not all(_is_closed(each) for each in properties.values()):
            return False
    return all(_is_closed(each) for key in ("anyOf", "prefixItems") for each in plain.items(given.get(key))) and (
        "items" not in given or _is_closed(given["items"])
    )


def read(document: object) -> Answer:
    """An answer out of a response's body.

    Raises:
        BadBody: there is none in it.
    """
    found = plain.fields(document)
    choices = plain.items(found.get("choices"))
    choice = plain.fields(choices[0]) if choices else {}
    message = plain.fields(choice.get("message"))
    reason = choice.get("finish_reason")
    if not message or choice.get("error") or reason in ("abort", "error"):
        raise BadBody
    calls = _calls(message)
    content = plain.joined(message.get("content"))
    if content is None and not calls:
        if not message.get("refusal") and reason is None:
            raise BadBody
        # A refusal is an answer too. So is nothing, where all went into reasoning or the filter took it.
        content = plain.text(message.get("refusal"))
        reason = "refusal" if content else reason
    extra = plain.fields(found.get("extra_fields"))
    served = extra.get("resolved_model_used") or found.get("model") or extra.get("model_requested")
    return Answer(
        content=content,
        tool_calls=calls or None,
        finish_reason=_reason(reason, bool(calls)),
        confidence=confidence(_logprobs(choice)),
        served=plain.text(served) or None,
        usage=plain.numbers(found.get("usage")),
    )


def _calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tool calls in today's form: arguments as text, the id where there is one."""
    given = [plain.fields(call) for call in plain.items(message.get("tool_calls"))]
    if not given and (legacy := plain.fields(message.get("function_call"))):
        given = [{"function": legacy}]
    calls: list[dict[str, Any]] = []
    for call in given:
        function = plain.fields(call.get("function")) or call
        name = plain.text(function.get("name"))
        if not name:
            raise BadBody
        called = {"name": name, "arguments": plain.as_text(function.get("arguments"))}
        calls.append({"id": plain.text(call.get("id")) or None, "type": "function", "function": called})
    return calls


def _logprobs(choice: Mapping[str, Any]) -> list[Any]:
    """The chosen tokens' log-probabilities, of chat answers or in the older form of completions."""
    given = plain.fields(choice.get("logprobs") or choice.get("log_probs"))
    if tokens := plain.items(given.get("content")):
        return [plain.fields(token).get("logprob") for token in tokens]
    return plain.items(given.get("token_logprobs"))


def _reason(reason: object, calls: bool) -> str | None:
    named = plain.text(reason)[:60] or None
    named = _REASONS.get(named or "", named)
    # Some say "stop" beside a tool call, others "tool_calls"; the difference means nothing.
    return "tool_calls" if calls and named in ("stop", None) else named
