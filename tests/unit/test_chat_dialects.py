"""What each dialect sends and how it reads answers, quirk by quirk."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from review.adapters.chat import Request, anthropic, openai, plain
from review.adapters.chat.failures import read_refusal
from review.adapters.chat.values import BadBody, confidence
from review.domain.pipeline import Api, Endpoint
from review.domain.types import Output

COMPATIBLE: tuple[Api, ...] = ("openai", "vllm", "sglang", "tensorrt_llm", "llama_cpp", "litellm", "bifrost")
SCHEMA = {
    "type": "object",
    "properties": {"winner": {"type": "string", "enum": ["A", "B"]}, "score": {"type": "integer", "minimum": 1}},
    "required": ["winner", "score"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "refund", "description": "d", "parameters": {"type": "object"}}}
# As an old log has it: a developer message, function_call, a lost id, arguments as an object, private keys.
LOGGED = [
    {"role": "system", "content": "one"},
    {"role": "developer", "content": "two"},
    {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "Mara", "tool_calls": None},
    {"role": "assistant", "content": None, "function_call": {"name": "refund", "arguments": {"order": 7}}},
    {"role": "function", "name": "refund", "content": "done"},
    {
        "role": "assistant",
        "content": "",
        "reasoning_content": "secret thoughts",
        "tool_calls": [{"id": None, "type": "function", "function": {"name": "refund", "arguments": '{"order": 8}'}}],
    },
    {"role": "tool", "tool_call_id": None, "content": [{"type": "text", "text": "done too"}]},
]


def endpoint(api: Api = "openai", url: str = "http://h/v1", **more) -> Endpoint:
    return Endpoint.model_validate({"base_url": url, "model": "m", "api": api} | more)


def body(api: Api, request: Request, url: str = "http://h/v1", **more) -> dict:
    return (anthropic if api == "anthropic" else openai).body(endpoint(api, url, **more), request)


@pytest.mark.parametrize("api", COMPATIBLE)
def test_logged_messages_are_sent_in_todays_form(api: Api) -> None:
    sent = body(api, Request(LOGGED, [TOOL]))["messages"]
    rest = sent[2:] if openai.QUIRKS[api].developer else sent[1:]
    assert [each["role"] for each in rest] == ["user", "assistant", "tool", "assistant", "tool"]
    if openai.QUIRKS[api].developer:
        assert [(each["role"], each["content"]) for each in sent[:2]] == [("system", "one"), ("developer", "two")]
    else:
        assert sent[0] == {"role": "system", "content": "one\n\ntwo"}
    first, second = rest[1]["tool_calls"][0], rest[3]["tool_calls"][0]
    assert first == {"id": "call_0", "type": "function", "function": {"name": "refund", "arguments": '{"order": 7}'}}
    assert (rest[2]["tool_call_id"], second["id"], rest[4]["tool_call_id"]) == ("call_0", "call_1", "call_1")
    known = {"role", "content", "name", "tool_calls", "tool_call_id"}
    assert all(set(each) <= known for each in sent)
    assert "secret thoughts" not in str(sent)


def test_messages_are_turns_and_blocks_for_anthropic() -> None:
    sent = body("anthropic", Request(LOGGED, [TOOL], {"tool_choice": "required", "temperature": 1.7, "stop": "END"}))
    assert sent["system"] == "one\n\ntwo"
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    used = {"type": "tool_use", "id": "call_0", "name": "refund", "input": {"order": 7}}
    assert sent["messages"][1]["content"] == [used]
    assert sent["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "call_0", "content": "done"}]
    assert sent["messages"][4]["content"] == [{"type": "tool_result", "tool_use_id": "call_1", "content": "done too"}]
    assert sent["tools"] == [{"name": "refund", "description": "d", "input_schema": {"type": "object"}}]
    assert (sent["tool_choice"], sent["temperature"], sent["stop_sequences"]) == ({"type": "any"}, 1, ["END"])
    assert sent["max_tokens"] == 4096
    assert not {"stop", "logprobs", "stream"} & set(sent)


def test_results_of_parallel_calls_are_one_turn_for_anthropic() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": "no json"}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [{"id": "a", **call}, {"id": "b", **call}]},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
    ]
    turns = body("anthropic", Request(messages))["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [block.get("tool_use_id") for block in turns[2]["content"]] == ["b", "a", None]
    assert turns[1]["content"][0]["input"] == {"arguments": "no json"}
    assert turns[2]["content"][2]["source"] == {"type": "base64", "media_type": "image/png", "data": "AAAA"}


def test_the_endpoints_parameters_win_and_what_is_no_sampling_parameter_is_not_sent() -> None:
    logged = {
        "temperature": 1,
        "max_completion_tokens": 9,
        "stream": True,
        "user": "u",
        "model": "x",
        "n": 3,
        "seed": 1,
    }
    given = {"temperature": 0, "max_tokens": 5, "chat_template_kwargs": {"thinking": False}, "stream": True}
    sent = body("vllm", Request([{"role": "user", "content": "x"}], parameters=logged), parameters=given)
    assert {name: sent[name] for name in ("temperature", "max_tokens", "seed", "stream", "model")} == {
        "temperature": 0,
        "max_tokens": 5,
        "seed": 1,
        "stream": False,
        "model": "m",
    }
    assert sent["chat_template_kwargs"] == {"thinking": False}
    assert not {"user", "n", "max_completion_tokens"} & set(sent)


def test_the_limit_has_its_new_name_where_it_is_known() -> None:
    request = Request([{"role": "user", "content": "x"}], parameters={"max_tokens": 5})
    assert body("openai", request, "https://api.openai.com/v1")["max_completion_tokens"] == 5
    assert body("openai", request, "https://x.openai.azure.com/openai/v1")["max_completion_tokens"] == 5
    assert body("openai", request, "http://localhost:8000/v1")["max_tokens"] == 5
    assert body("anthropic", request)["max_tokens"] == 5


def test_token_probabilities_are_asked_for_as_each_server_wants_it() -> None:
    request = Request([{"role": "user", "content": "x"}])
    tops = {api: body(api, request).get("top_logprobs") for api in COMPATIBLE}
    assert tops == dict.fromkeys(COMPATIBLE) | {"vllm": 0, "llama_cpp": 1}
    assert all(body(api, request)["logprobs"] is True for api in COMPATIBLE)
    assert "logprobs" not in body("openai", Request([{"role": "user", "content": "x"}], logprobs=False))
    assert body("openai", request, parameters={"logprobs": False})["logprobs"] is False


def test_a_schema_binds_as_each_server_wants_it() -> None:
    request = Request([{"role": "user", "content": "x"}], response_schema=SCHEMA, schema_name="verdict")
    wrapped = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": SCHEMA}}
    for api in COMPATIBLE:
        expected = {"type": "json", "schema": SCHEMA} if api == "tensorrt_llm" else wrapped
        assert body(api, request)["response_format"] == expected, api
    closed = body("anthropic", request)["output_config"]["format"]["schema"]
    assert closed["properties"]["score"] == {"type": "integer"}
    assert closed["additionalProperties"] is False
    # One that a log brings is translated too; one whose objects are open cannot be strict.
    logged = {"response_format": wrapped}
    assert body("tensorrt_llm", Request(request.messages, parameters=logged))["response_format"]["type"] == "json"
    assert body("anthropic", Request(request.messages, parameters=logged))["output_config"] == {
        "format": {"type": "json_schema", "schema": closed}
    }
    open_one = {"type": "object", "properties": {"minimum": {"type": "string"}}}
    loose = body("openai", Request(request.messages, response_schema=open_one))
    assert loose["response_format"]["json_schema"]["strict"] is False
    kept = body("anthropic", Request(request.messages, response_schema=open_one))["output_config"]["format"]["schema"]
    assert kept["properties"] == {"minimum": {"type": "string"}}


def choice(message: dict, **more) -> dict:
    return {"model": "s", "choices": [{"message": message, "finish_reason": "stop"} | more]}


def test_tool_calls_in_every_shape_are_read_alike() -> None:
    expected = [("refund", '{"order": 7}')]
    for message in (
        {"content": None, "tool_calls": [{"id": "a", "function": {"name": "refund", "arguments": '{"order": 7}'}}]},
        {"content": None, "tool_calls": [{"id": None, "function": {"name": "refund", "arguments": {"order": 7}}}]},
        {"tool_calls": [{"name": "refund", "arguments": {"order": 7}}]},
        {"content": None, "function_call": {"name": "refund", "arguments": '{"order": 7}'}},
    ):
        read = openai.read(choice(message))
        assert [(call["function"]["name"], call["function"]["arguments"]) for call in read.tool_calls or []] == expected
        assert read.finish_reason == "tool_calls"
        assert Output.model_validate({"content": read.content, "tool_calls": read.tool_calls})
    assert openai.read(choice({"content": "x", "tool_calls": []})).tool_calls is None


def test_an_empty_answer_is_one_and_a_missing_answer_is_none() -> None:
    assert openai.read(choice({"content": ""})).content == ""
    assert openai.read(choice({"content": None, "reasoning_content": "…"}, finish_reason="length")).content == ""
    filtered = openai.read(choice({"content": None}, finish_reason="content_filter"))
    assert (filtered.content, filtered.finish_reason) == ("", "content_filter")
    refused = openai.read(choice({"content": None, "refusal": "I cannot."}))
    assert (refused.content, refused.finish_reason) == ("I cannot.", "refusal")
    joined = openai.read(choice({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}))
    assert joined.content == "ab"
    empty = {"model": "s", "content": [], "stop_reason": "refusal", "usage": {"input_tokens": 3, "output_tokens": 0}}
    assert (anthropic.read(empty).content, anthropic.read(empty).finish_reason) == ("", "refusal")
    for nothing in (
        {},
        None,
        [],
        {"choices": []},
        {"choices": [None]},
        choice({}),
        choice({"content": "x"}, finish_reason="abort"),
    ):
        with pytest.raises(BadBody):
            openai.read(nothing)
    for nothing in ({}, None, {"content": "text"}, {"content": []}):
        with pytest.raises(BadBody):
            anthropic.read(nothing)


def test_reasons_and_usage_are_called_alike() -> None:
    assert openai.read(choice({"content": "x"}, finish_reason="eos")).finish_reason == "stop"
    blocks = [{"type": "thinking", "thinking": "…"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    usage = {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 100, "service_tier": "standard"}
    read = anthropic.read({"model": "s", "content": blocks, "stop_reason": "max_tokens", "usage": usage})
    assert (read.content, read.finish_reason) == ("ab", "length")
    assert read.usage == {"prompt_tokens": 103, "completion_tokens": 5, "total_tokens": 108, "cached_tokens": 100}
    counted = choice({"content": "x"}) | {
        "usage": {"prompt_tokens": 3, "x": None, "d": {"reasoning_tokens": 2, "y": "z"}}
    }
    assert openai.read(counted).usage == {"prompt_tokens": 3, "d": {"reasoning_tokens": 2}}


def test_confidence_is_the_mean_of_the_tokens_probabilities() -> None:
    assert confidence([math.log(0.5), math.log(0.9)]) == pytest.approx(0.7)
    assert confidence([0.0, 1e-6, 1e9]) == 1.0
    assert confidence([-9999.0, 0.0]) == 0.5
    assert confidence([None, float("nan")]) is None
    assert confidence([]) is None
    tokens = {"content": [{"token": "a", "logprob": math.log(0.5)}, {"token": "b", "logprob": None}]}
    for name in ("logprobs", "log_probs"):
        assert openai.read(choice({"content": "x"}, **{name: tokens})).confidence == pytest.approx(0.5)
    old = {"tokens": ["a"], "token_logprobs": [math.log(0.25)]}
    assert openai.read(choice({"content": "x"}, logprobs=old)).confidence == pytest.approx(0.25)
    assert openai.read(choice({"content": "x"}, logprobs=None)).confidence is None


def test_text_that_no_file_can_hold_is_mended() -> None:
    read = openai.read(choice({"content": "a\ud800b"}))
    assert read.content == "a\ufffdb"
    assert Output(content=read.content).model_dump_json()


NAMES = """choices message content tool_calls function name arguments logprobs usage error model finish_reason
function_call id type text logprob stop_reason input code"""
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES.split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(json_values)
def test_whatever_json_comes_it_is_an_output_or_no_answer(document: object) -> None:
    import json

    for dialect in (openai, anthropic):
        for given_ in (document, choice(plain.fields(document)), {"content": [document], "stop_reason": "end_turn"}):
            try:
                read = dialect.read(given_)
            except BadBody:
                continue
            made = {"content": read.content, "tool_calls": read.tool_calls, "confidence": read.confidence}
            Output.model_validate(
                made | {"usage": read.usage, "finish_reason": read.finish_reason, "model": read.served}
            )
    refusal = read_refusal(200, {}, json.dumps(document).encode("utf-8", "replace"), ["temperature"])
    assert len(refusal.code) <= 60


@settings(max_examples=100, deadline=None)
@given(st.integers(100, 599), st.binary(max_size=60), st.dictionaries(st.just("retry-after"), st.text(max_size=9)))
def test_whatever_bytes_come_with_an_error_it_has_a_kind(status: int, content: bytes, headers: dict[str, str]) -> None:
    assert read_refusal(status, headers, content, []).kind
