"""Each format of logged traces by hand-written records of its real shape: what is kept, what is passed over."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from review.adapters.trace_formats import FORMATS, Found, Passed, Refused, recognise
from review.domain.trace import Trace

CALL = {"id": "call_9", "type": "function", "function": {"name": "find_seat", "arguments": '{"row": 12}'}}
TOOL = {"type": "function", "function": {"name": "find_seat", "parameters": {"type": "object"}}}
REQUEST: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "A window seat?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_9", "content": '{"seat": "12A"}'},
    ],
    "tools": [TOOL],
    "temperature": 0.2,
    "user": "cust-5",
    "store": True,
}
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-77",
    "object": "chat.completion",
    "created": 1772359200,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Seat 12A.", "refusal": None},
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "Seat", "logprob": math.log(0.5)}, {"token": ".", "logprob": 0.0}]},
        }
    ],
    "usage": {"prompt_tokens": 40, "completion_tokens": 4, "total_tokens": 44},
}


def one(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The one trace of a record; recognised by itself, valid by the domain's type."""
    form = recognise([document])
    assert form is not None
    assert form.name == name
    (found,) = [each for each in form.convert(document) if not isinstance(each, Passed)]
    assert isinstance(found, Found), found
    Trace.model_validate(found.document)
    return found.document


def passed(document: dict[str, Any], name: str) -> list[str]:
    results = list(FORMATS[name].convert(document))
    assert all(isinstance(each, Passed) for each in results), results
    return [each.reason for each in results if isinstance(each, Passed)]


@pytest.mark.parametrize(
    "document",
    [
        {"request": REQUEST, "response": COMPLETION, "latency_ms": 850},
        {"custom_id": "r-1", "body": REQUEST, "response": {"status_code": 200, "body": COMPLETION}, "latency_ms": 850},
        {**REQUEST, "response": COMPLETION, "latency_ms": 850},
        {
            **REQUEST,
            "choices": COMPLETION["choices"],
            "usage": COMPLETION["usage"],
            "id": "chatcmpl-77",
            "latency_ms": 850,
        }
        | {"created": 1772359200, "model": COMPLETION["model"]},
        {"request_body": json.dumps(REQUEST), "response_body": json.dumps(COMPLETION), "duration_s": 0.85},
    ],
    ids=["pair", "batch", "beside", "flat", "texts"],
)
def test_openai_in_every_shape_keeps_everything(document: dict[str, Any]) -> None:
    trace = one(document, "openai")
    assert trace["trace_id"] == "chatcmpl-77"
    assert trace["messages"] == REQUEST["messages"]
    assert trace["tools"] == [TOOL]
    assert trace["parameters"] == {"temperature": 0.2}
    assert trace["customer"] == "cust-5"
    assert "cust-5" not in json.dumps(trace["metadata"])
    assert trace["metadata"]["store"] is True
    assert trace["happened_at"] == "2026-03-01T10:00:00+00:00"
    response = trace["response"]
    assert (response["content"], response["finish_reason"], response["latency_ms"]) == ("Seat 12A.", "stop", 850)
    assert response["model"] == "gpt-4o-2024-08-06"
    assert response["usage"]["total_tokens"] == 44
    assert response["confidence"] == pytest.approx(0.75)


def test_openai_answers_with_tool_calls_and_the_old_functions() -> None:
    completion = {"choices": [{"message": {"content": None, "tool_calls": [CALL]}, "finish_reason": "tool_calls"}]}
    trace = one({"request": REQUEST, "response": completion}, "openai")
    assert trace["response"]["tool_calls"] == [CALL]
    assert "content" not in trace["response"]
    old = {"messages": [{"role": "user", "content": "x"}], "functions": [TOOL["function"]]}
    legacy = {"choices": [{"message": {"role": "assistant", "function_call": CALL["function"]}}]}
    trace = one({"request": old, "response": legacy}, "openai")
    assert trace["tools"] == [TOOL]
    assert trace["response"]["tool_calls"] == [{"type": "function", "function": CALL["function"]}]


def test_openai_failed_calls_are_traces_without_an_answer() -> None:
    trace = one({"request": REQUEST, "response": {"error": {"message": "overloaded"}}}, "openai")
    assert "response" not in trace
    (refused,) = FORMATS["openai"].convert({"custom_id": "r-1", "response": {"status_code": 200, "body": COMPLETION}})
    assert isinstance(refused, Refused)
    assert "custom_id" in refused.reason


def attributes(**values: Any) -> list[dict[str, Any]]:
    def typed(value: Any) -> dict[str, Any]:
        if isinstance(value, list):
            return {"arrayValue": {"values": [typed(each) for each in value]}}
        if isinstance(value, dict):
            return {"kvlistValue": {"values": attributes(**value)}}
        kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
        return {kinds[type(value)]: str(value) if type(value) is int else value}

    return [{"key": name.replace("__", "."), "value": typed(value)} for name, value in values.items()]


def span(*events: dict[str, Any], **values: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 40,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.conversation.id": "conv-3",
        "user.id": "cust-5",
    }
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": "chat gpt-4o",
        "kind": 3,
        "startTimeUnixNano": "1772359200000000000",
        "endTimeUnixNano": "1772359200850000000",
        "attributes": attributes(**{name: value for name, value in (defaults | values).items() if value is not None}),
        "events": list(events),
    }


def envelope(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": attributes(service__name="helpdesk")}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "x"}, "spans": list(spans)}]}]}


NEWER = {
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
    "gen_ai.input.messages": json.dumps(
        [
            {"role": "user", "parts": [{"type": "text", "content": "A window seat?"}]},
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "id": "call_9", "name": "find_seat", "arguments": {"row": 12}}],
            },
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "call_9", "response": {"seat": "12A"}}],
            },
        ]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "Seat 12A."}], "finish_reason": "stop"}]
    ),
    "gen_ai.tool.definitions": json.dumps(
        [{"type": "function", "name": "find_seat", "parameters": {"type": "object"}}]
    ),
}
INDEXED = {
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "Be brief.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "A window seat?",
    "gen_ai.prompt.2.role": "assistant",
    "gen_ai.prompt.2.tool_calls.0.id": "call_9",
    "gen_ai.prompt.2.tool_calls.0.name": "find_seat",
    "gen_ai.prompt.2.tool_calls.0.arguments": '{"row": 12}',
    "gen_ai.prompt.3.role": "tool",
    "gen_ai.prompt.3.content": '{"seat": "12A"}',
    "gen_ai.prompt.3.tool_call_id": "call_9",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "Seat 12A.",
    "gen_ai.completion.0.finish_reason": "stop",
    "llm.request.functions.0.name": "find_seat",
    "llm.request.functions.0.parameters": '{"type": "object"}',
    "llm.request.type": "chat",
    "gen_ai.operation.name": None,
}
EVENTS: list[dict[str, Any]] = [
    {"name": "gen_ai.system.message", "attributes": attributes(content="Be brief.")},
    {"name": "gen_ai.user.message", "attributes": attributes(content="A window seat?", role="user")},
    {"name": "gen_ai.assistant.message", "attributes": attributes(tool_calls=json.dumps([CALL]))},
    {"name": "gen_ai.tool.message", "attributes": attributes(id="call_9", content='{"seat": "12A"}')},
    {
        "name": "gen_ai.choice",
        "attributes": attributes(
            gen_ai__event__content=json.dumps(
                {"index": 0, "finish_reason": "stop", "message": {"content": "Seat 12A."}}
            )
        ),
    },
]
OTEL_TOOLS = attributes(**{"gen_ai.tool.definitions": NEWER["gen_ai.tool.definitions"]})


@pytest.mark.parametrize(
    "document",
    [
        envelope(span(**NEWER)),
        envelope(span(**INDEXED)),
        envelope(span(*EVENTS, **{"gen_ai.tool.definitions": NEWER["gen_ai.tool.definitions"]})),
    ],
    ids=["messages", "indexed", "events"],
)
def test_opentelemetry_of_every_age_says_the_same(document: dict[str, Any]) -> None:
    trace = one(document, "otel")
    assert trace["trace_id"] == "5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174"
    roles = [each["role"] for each in trace["messages"]]
    assert roles == ["system", "user", "assistant", "tool"]
    assert [each.get("content") for each in trace["messages"]] == [
        "Be brief.",
        "A window seat?",
        None,
        '{"seat": "12A"}',
    ]
    assert trace["messages"][2]["tool_calls"] == [CALL]
    assert trace["messages"][3]["tool_call_id"] == "call_9"
    assert trace["tools"] == [TOOL]
    assert trace["parameters"] == {"temperature": 0.2}
    assert (trace["customer"], trace["conversation"]) == ("cust-5", "conv-3")
    assert "cust-5" not in json.dumps(trace.get("metadata", {}))
    assert trace["happened_at"] == "2026-03-01T10:00:00+00:00"
    response = trace["response"]
    assert (response["content"], response["finish_reason"], response["latency_ms"]) == ("Seat 12A.", "stop", 850.0)
    assert response["usage"] == {"prompt_tokens": 40, "completion_tokens": 4}
    assert response["model"] == "gpt-4o-2024-08-06"


def test_opentelemetry_log_records_of_one_span_make_one_trace() -> None:
    def logged(name: str, **body: Any) -> dict[str, Any]:
        return {
            "timeUnixNano": "1772359200000000000",
            "traceId": "t",
            "spanId": "s",
            "eventName": name,
            "body": {"kvlistValue": {"values": attributes(**body)}},
        }

    records = [
        logged("gen_ai.user.message", content="A window seat?"),
        logged("gen_ai.choice", index=0, finish_reason="stop", message={"content": "Seat 12A."}),
    ]
    trace = one({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}, "otel")
    assert trace["messages"] == [{"role": "user", "content": "A window seat?"}]
    assert trace["response"] == {"content": "Seat 12A.", "finish_reason": "stop"}


def test_opentelemetry_passes_over_what_is_no_model_call() -> None:
    tool = span(**{"gen_ai.operation.name": "execute_tool"})
    silent = span()
    web = {"traceId": "t", "spanId": "s", "attributes": attributes(http__method="GET")}
    assert passed(envelope(tool, silent, web), "otel") == [
        "a span of execute_tool",
        "a call whose messages were not captured",
        "a span of something else",
    ]
    printed = {"name": "chat", "context": {"trace_id": "0x1", "span_id": "0x2"}, "attributes": NEWER}
    assert one(printed | {"start_time": "2026-03-01T10:00:00.000000Z"}, "otel")["trace_id"] == "0x1-0x2"


GENERATION: dict[str, Any] = {
    "id": "obs-1",
    "traceId": "tr-1",
    "type": "GENERATION",
    "name": "answer",
    "startTime": "2026-03-01T10:00:00.000Z",
    "endTime": "2026-03-01T10:00:00.850Z",
    "model": "gpt-4o",
    "modelParameters": {"temperature": 0.2},
    "input": {"messages": REQUEST["messages"], "tools": [TOOL]},
    "output": {"role": "assistant", "content": "Seat 12A."},
    "usageDetails": {"input": 40, "output": 4, "total": 44},
    "userId": "cust-5",
    "sessionId": "conv-3",
    "metadata": {"ticket_id": "ZD-9", "team": "web"},
}
SNAKE = {
    "id": "obs-1",
    "trace_id": "tr-1",
    "type": "GENERATION",
    "start_time": "2026-03-01 10:00:00.000000",
    "end_time": "2026-03-01 10:00:00.850000",
    "provided_model_name": "gpt-4o",
    "model_parameters": '{"temperature": 0.2}',
    "input": json.dumps(GENERATION["input"]),
    "output": json.dumps({"choices": [{"message": {"content": "Seat 12A."}}]}),
    "usage_details": '{"input": 40, "output": 4, "total": 44}',
    "user_id": "cust-5",
    "session_id": "conv-3",
    "metadata": '{"ticket_id": "ZD-9", "team": "web"}',
}


@pytest.mark.parametrize("document", [GENERATION, SNAKE, {"data": [GENERATION], "meta": {"page": 1}}])
def test_langfuse_in_both_spellings(document: dict[str, Any]) -> None:
    trace = one(document, "langfuse")
    assert trace["trace_id"] == "obs-1"
    assert trace["messages"] == REQUEST["messages"]
    assert trace["tools"] == [TOOL]
    assert (trace["customer"], trace["conversation"], trace["ticket"]) == ("cust-5", "conv-3", "ZD-9")
    assert trace["metadata"]["team"] == "web"
    assert "ZD-9" not in json.dumps(trace["metadata"])
    assert trace["happened_at"] == "2026-03-01T10:00:00+00:00"
    usage = {"prompt_tokens": 40, "completion_tokens": 4, "total_tokens": 44}
    assert trace["response"] == {"content": "Seat 12A.", "model": "gpt-4o", "usage": usage, "latency_ms": 850.0}


def test_langfuse_traces_with_observations_and_what_is_passed_over() -> None:
    inner = {name: value for name, value in GENERATION.items() if name not in ("userId", "sessionId")}
    other = {"id": "o2", "traceId": "tr-1", "type": "SPAN", "input": "x"}
    document = {"trace": {"id": "tr-1", "userId": "cust-5"}, "observations": [inner, other]}
    assert one(document, "langfuse")["customer"] == "cust-5"
    assert passed(other, "langfuse") == ["an observation of type SPAN"]
    assert passed(GENERATION | {"input": {"k": 1}}, "langfuse") == ["a generation whose input is no conversation"]
    assert one(GENERATION | {"input": "Hello", "output": "Hi"}, "langfuse")["messages"] == [
        {"role": "user", "content": "Hello"}
    ]


PAYLOAD: dict[str, Any] = {
    "id": "chatcmpl-77",
    "trace_id": "lt-1",
    "call_type": "acompletion",
    "status": "success",
    "model": "gpt-4o",
    "model_group": "gpt-4o",
    "messages": REQUEST["messages"],
    "response": COMPLETION,
    "model_parameters": {"temperature": 0.2, "tools": [TOOL]},
    "startTime": 1772359200.0,
    "endTime": 1772359200.85,
    "end_user": "cust-5",
    "metadata": {"user_api_key_hash": "88dc", "user_api_key_end_user_id": "cust-5", "ticket": "ZD-9", "team": "web"},
}
SPEND = {
    "request_id": "chatcmpl-77",
    "call_type": "acompletion",
    "api_key": "88dc",
    "model": "gpt-4o",
    "user": "default_user_id",
    "messages": {},
    "proxy_server_request": json.dumps(REQUEST),
    "response": json.dumps(COMPLETION),
    "startTime": "2026-03-01T10:00:00.000Z",
    "endTime": "2026-03-01T10:00:00.850Z",
    "end_user": "cust-5",
    "session_id": "conv-3",
    "metadata": {"ticket": "ZD-9", "team": "web"},
}


@pytest.mark.parametrize("document", [PAYLOAD, SPEND, {"standard_logging_object": PAYLOAD}])
def test_litellm_payloads_and_spend_logs(document: dict[str, Any]) -> None:
    trace = one(document, "litellm")
    assert trace["trace_id"] == "chatcmpl-77"
    assert trace["messages"] == REQUEST["messages"]
    assert trace["tools"] == [TOOL]
    assert trace["parameters"] == {"temperature": 0.2}
    assert (trace["customer"], trace["ticket"]) == ("cust-5", "ZD-9")
    kept = json.dumps(trace["metadata"])
    assert not any(secret in kept for secret in ("88dc", "cust-5", "ZD-9", "default_user_id"))
    assert trace["metadata"]["team"] == "web"
    assert trace["response"]["latency_ms"] == pytest.approx(850)
    assert trace["response"]["finish_reason"] == "stop"
    assert trace["response"]["confidence"] == pytest.approx(0.75)


def test_litellm_passes_over_embeddings_and_what_was_not_stored() -> None:
    assert passed(PAYLOAD | {"call_type": "aembedding"}, "litellm") == ["a call of type aembedding"]
    (reason,) = passed(SPEND | {"proxy_server_request": "{}"}, "litellm")
    assert "store_prompts_in_spend_logs" in reason


def test_our_own_format_takes_the_last_answer_and_keeps_strangers() -> None:
    document = {
        "trace_id": "t1",
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        "ticket": 4711,
        "reward": 0.5,
        "user_id": "cust-5",
        "parameters": {"temperature": 0, "user": "cust-5", "house": "rule"},
    }
    trace = one(document, "own")
    assert trace["messages"] == [{"role": "user", "content": "Hi"}]
    assert trace["response"] == {"content": "Hello"}
    assert trace["ticket"] == "4711"
    assert trace["customer"] == "cust-5"
    assert trace["parameters"] == {"temperature": 0}
    assert trace["metadata"] == {"reward": 0.5, "parameters": {"house": "rule"}}
    (found,) = FORMATS["own"].convert(document)
    assert isinstance(found, Found)
    assert set(found.unknown) == {"reward", "parameters"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**12) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        *sorted({*GENERATION, *SNAKE, *PAYLOAD, *SPEND, *REQUEST, *COMPLETION}),
        *("observations", "data", "trace", "request", "resourceSpans", "resourceLogs", "scopeSpans", "scopeLogs"),
        *("spans", "attributes", "events", "context", "body", "custom_id", "message", "content", "role", "parts"),
        *("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.prompt.0.content", "gen_ai.choice", "spanId"),
    ]
)
WILD = st.recursive(
    JSON | st.sampled_from([GENERATION, PAYLOAD, COMPLETION, REQUEST, NEWER, INDEXED, span(*EVENTS), envelope(span())]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("name", list(FORMATS))
@hypothesis_settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=st.dictionaries(NAMES, WILD, max_size=6))
def test_no_record_makes_a_format_fall_over(name: str, document: dict[str, Any]) -> None:
    before = json.dumps(document)
    recognise([document])
    for result in FORMATS[name].convert(document):
        assert isinstance(result, Found | Passed | Refused)
    assert json.dumps(document) == before  # the hash is made of the record as it came in
