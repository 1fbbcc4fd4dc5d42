"""LiteLLM: the standard logging payload, and rows of the proxy's spend logs.

Fields as in https://docs.litellm.ai/docs/proxy/logging_spec (StandardLoggingPayload) and the table LiteLLM_SpendLogs of
the proxy's schema.prisma. Spend logs hold no prompt unless store_prompts_in_spend_logs is on; without one a row is
passed over. What identifies the proxy's own keys and users (`api_key`, `user`, `metadata.user_api_key…`) is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from review.adapters.trace_formats.common import (
    Document,
    Found,
    Passed,
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

NAME = "litellm"
_CALLS = frozenset({"completion", "acompletion", "text_completion", "atext_completion", "anthropic_messages", ""})
_KEPT = ("call_type", "model_group", "custom_llm_provider", "cache_hit", "request_tags", "status", "trace_id")


def matches(document: Mapping[str, object]) -> bool:
    """A call type beside what only the proxy logs."""
    inner = record(document.get("standard_logging_object")) or document
    return "call_type" in inner and any(name in inner for name in ("startTime", "request_id", "model_group"))


def convert(document: Document) -> Iterator[Result]:
    """One call, one trace."""
    logged = record(document.get("standard_logging_object")) or document
    if (text(logged.get("call_type")) or "") not in _CALLS:
        yield Passed(f"a call of type {text(logged.get('call_type'))}")
        return
    request = record(unpacked(logged.get("proxy_server_request")))
    request = record(unpacked(request.get("body"))) or request
    asked = unpacked(logged.get("messages"))
    # The payload has the prompt as a text for text completions; spend logs have {} where nothing is stored.
    asked = first(record(asked).get("messages"), asked)
    said = messages(asked or None) or messages(request.get("messages"))
    if said is None:
        yield Passed("the prompt was not stored (store_prompts_in_spend_logs is off)")
        return
    given = {**request, **record(unpacked(logged.get("model_parameters")))}
    parameters, rest = settings(
        given, frozenset({"messages", "tools", "metadata", "user", "model", "litellm_metadata"})
    )
    metadata = {
        **rest,
        **record(request.get("metadata")),
        **record(unpacked(logged.get("metadata"))),
        **{name: value for name in _KEPT if (value := logged.get(name)) not in (None, "", [], {})},
    }
    people = take_people(logged := dict(logged), metadata)
    if "customer" not in people and (customer := text(request.get("user"))):
        people["customer"] = customer
    start, end = logged.get("startTime"), logged.get("endTime")
    response = unpacked(logged.get("response"))
    trace = {
        "trace_id": first(text(logged.get("request_id")), text(logged.get("id"))),
        "messages": said,
        "tools": records(given.get("tools")),
        "parameters": parameters,
        "response": answer(
            response,
            model=first(text(record(response).get("model")), text(logged.get("model"))),
            usage=record(record(response).get("usage")) or _usage(logged),
            latency_ms=milliseconds(start, end),
        )
        if response
        else None,
        "happened_at": moment(start),
        "metadata": {name: value for name, value in metadata.items() if not name.startswith("user_api_key")},
        **people,
    }
    yield Found(present(trace), document)


def _usage(logged: Document) -> Document:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: int(value) for name in names if (value := number(logged.get(name))) is not None}
