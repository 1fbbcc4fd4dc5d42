"""What the formats share: what becomes of a record, and small readings of foreign values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

Document = dict[str, Any]

# What shapes an answer and names nobody. Other request fields go to metadata, which is stripped of personal data.
PARAMETERS = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "stop", "seed", "n"),
        *("presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "logprobs", "top_logprobs"),
        *("response_format", "tool_choice", "parallel_tool_calls", "reasoning_effort", "verbosity", "service_tier"),
        *("guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs"),
        *("chat_template_kwargs", "grammar", "json_schema", "stream", "modalities", "truncation", "thinking"),
        *("max_output_tokens", "output_type", "encoding_formats", "stop_sequences"),
    }
)


class Found(NamedTuple):
    """A trace in import format v1, the record its hash is made of, and names that went to metadata unasked."""

    document: Document
    raw: Document
    unknown: tuple[str, ...] = ()


class Passed(NamedTuple):
    """A record that is no trace, and why: an embedding, a span of something else."""

    reason: str


class Refused(NamedTuple):
    """A record that should be a trace and cannot be read: the field, and why."""

    field: str
    reason: str


Result = Found | Passed | Refused


def record(value: object) -> Document:
    """The value if it is an object, else an empty one."""
    return cast(Document, value) if isinstance(value, dict) else {}


def records(value: object) -> list[Document]:
    """The objects of a list."""
    return (
        [cast(Document, each) for each in cast(list[object], value) if isinstance(each, dict)]
        if isinstance(value, list)
        else []
    )


def text(value: object) -> str | None:
    """An id or a name: text that is not blank, a whole number as text, else None."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def number(value: object) -> float | None:
    """A finite number, also out of text; else None."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def unpacked(value: object) -> Any:
    """JSON inside a text becomes the value it says: an object or a list. Everything else stays."""
    if isinstance(value, str) and value[:1].strip()[:1] in ("", "{", "[") and value.strip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def first(*values: Any) -> Any:
    """The first value that is not None."""
    return next((value for value in values if value is not None), None)


def moment(value: object) -> str | None:
    """A time as ISO 8601 in UTC: out of ISO text (UTC where it has no offset) or seconds, ms or ns since 1970."""
    if isinstance(value, datetime):
        stamp = value
    elif isinstance(value, str) and not value.strip().replace(".", "", 1).isdigit():
        try:
            stamp = datetime.fromisoformat(value.strip().removesuffix(" UTC"))
        except ValueError:
            return None
    else:
        since = number(value)
        if since is None or since <= 0:
            return None
        # 1e11 s is the year 5138, 1e11 ms is 1973: what stands between tells the unit.
        scale = next(unit for unit in (1.0, 1e3, 1e6, 1e9) if since / unit < 1e11 or unit == 1e9)
        try:
            stamp = datetime.fromtimestamp(since / scale, UTC)
        except (OverflowError, OSError, ValueError):
            return None
    try:
        return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except OverflowError:
        return None


def milliseconds(start: object, end: object) -> float | None:
    """The time between two moments; None where one is missing or they stand the wrong way round."""
    begun, ended = moment(start), moment(end)
    if begun is None or ended is None:
        return None
    passed = (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds() * 1000
    return passed if passed >= 0 else None


def present(values: Mapping[str, Any]) -> Document:
    """The values without those that are None or empty objects and lists."""
    return {name: value for name, value in values.items() if value is not None and value not in ({}, [])}


def message(foreign: Mapping[str, Any]) -> Document:
    """A message in OpenAI's chat form; it may come in LangChain's or Anthropic's."""
    role = text(foreign.get("role")) or text(foreign.get("type")) or "user"
    own = {**foreign, "role": _ROLES.get(role, role)}
    if "role" not in foreign:
        own.pop("type", None)
    blocks = records(foreign.get("content"))
    calls = [*records(foreign.get("tool_calls")), *(each for each in blocks if each.get("type") == "tool_use")]
    if calls:
        own["tool_calls"] = [call(each) for each in calls]
        if any(each.get("type") == "tool_use" for each in blocks):
            own["content"] = joined(blocks)
    content = own.get("content")
    if content is not None and not isinstance(content, str) and len(blocks) != len(cast("list[Any]", content)):
        own["content"] = plain(content)
    return {name: value for name, value in own.items() if value is not None or name == "content"}


_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "AIMessage": "assistant", "HumanMessage": "user"}


def messages(found: object) -> list[Document] | None:
    """A conversation in OpenAI's chat form: a text is one user message. None where it is none."""
    found = unpacked(found)
    if isinstance(found, str):
        return [{"role": "user", "content": found}] if found else None
    if isinstance(found, dict):
        one = record(cast(object, found))
        return [message(one)] if "role" in one and "content" in one else None
    said = records(found)
    if not said or len(said) != len(cast("list[Any]", found)):
        return None
    return [message(each) for each in said] if all("role" in each or "type" in each for each in said) else None


def plain(value: object) -> str:
    """A text as it is; another value as its JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def joined(content: object) -> str | None:
    """An answer's text: as it is, or the text parts of a list joined by line breaks."""
    if content is None or isinstance(content, str):
        return content
    texts = [part for each in records(content) if isinstance(part := each.get("text"), str)]
    return "\n".join(texts) if texts else None


def output(said: Mapping[str, Any], **fields: Any) -> Document:
    """An answer in our form out of an assistant's message and what else is known of it."""
    own = message({"role": "assistant", **said})
    calls = records(own.get("tool_calls"))
    legacy = record(own.get("function_call"))  # OpenAI's form before tools
    if legacy and not calls:
        calls = [call(legacy)]
    content = joined(own.get("content"))
    if content is None and not calls:
        content = text(own.get("refusal")) or ""
    return present({"content": content, "tool_calls": calls, **fields})


def call(foreign: Document) -> Document:
    """A tool call in OpenAI's form; it may come flat ({name, args, id}), or as Anthropic's tool_use."""
    if "function" in foreign:
        return {name: value for name, value in foreign.items() if value is not None}
    arguments = first(foreign.get("arguments"), foreign.get("args"), foreign.get("input"))
    # Arguments are JSON text there.
    said = arguments if isinstance(arguments, str) or arguments is None else json.dumps(arguments, ensure_ascii=False)
    function = present({"name": foreign.get("name"), "arguments": said})
    return present({"id": text(foreign.get("id")), "type": "function", "function": function})


def answer(response: object, **fields: Any) -> Document | None:
    """A logged answer of any usual shape: a completion with choices, a message, a list of one, or text."""
    response = unpacked(response)
    if isinstance(response, str):
        return output({"content": response}, **fields)
    if isinstance(response, list):
        said = records(cast(object, response))
        return answer(said[-1], **fields) if said else None
    whole = record(response)
    if choices := records(whole.get("choices")):
        choice = choices[0]
        said = record(choice.get("message")) or {"content": choice.get("text")}
        found = {
            "model": text(whole.get("model")),
            "confidence": confidence(choice.get("logprobs")),
            "finish_reason": text(choice.get("finish_reason")),
            "usage": record(whole.get("usage")),
        }
        return output(said, **{**found, **present(fields)})
    if "content" in whole or whole.get("tool_calls"):
        known = {
            "model": text(whole.get("model")),
            "finish_reason": first(text(whole.get("finish_reason")), text(whole.get("stop_reason"))),
            "usage": record(whole.get("usage")),
        }
        names = ("role", "content", "tool_calls", "function_call", "refusal")
        return output({name: whole[name] for name in names if name in whole}, **{**known, **present(fields)})
    for name in ("completion", "text", "output"):
        if isinstance(whole.get(name), str):
            return output({"content": whole[name]}, **fields)
    return None


def confidence(logprobs: object) -> float | None:
    """The mean probability of an answer's tokens, from OpenAI's `logprobs` of a choice; None where there are none."""
    found = record(logprobs)
    # Chat completions list tokens under `content`; the older completions have a plain list.
    logged: list[Any] = [each.get("logprob") for each in records(found.get("content"))]
    logged = logged or (
        cast(list[Any], found["token_logprobs"]) if isinstance(found.get("token_logprobs"), list) else []
    )
    values = [value for each in logged if (value := number(each)) is not None and value <= 0]
    return sum(math.exp(value) for value in values) / len(values) if values else None


def split(messages: Sequence[Any]) -> tuple[list[Any], Document | None]:
    """The input, and the last message where it is the assistant's: it is the logged answer."""
    if len(messages) > 1 and record(messages[-1]).get("role") == "assistant":
        return list(messages[:-1]), record(messages[-1])
    return list(messages), None


# How systems name the ticket, the customer and the conversation in free-form metadata.
_NAMES = {
    "ticket": ("ticket", "ticket_id", "ticketId", "case_id", "caseId"),
    "customer": (
        *("customer", "customer_id", "customerId", "user_id", "userId", "end_user", "end_user_id", "enduser.id"),
        *("user.id", "langfuse.user.id", "user_api_key_end_user_id", "trace_user_id"),
    ),
    "conversation": (
        *("conversation", "conversation_id", "conversationId", "session_id", "sessionId", "thread_id", "session.id"),
        *("langfuse.session.id", "gen_ai.conversation.id", "litellm_session_id"),
    ),
}


def take_people(*places: Document) -> dict[str, str]:
    """Take the ids of ticket, customer and conversation out of dicts, so that they are stored nowhere."""
    found: dict[str, str] = {}
    for kind, names in _NAMES.items():
        for place in places:
            for name in names:
                if name in place and (value := text(place[name])) is not None:
                    found.setdefault(kind, value)
                    del place[name]
    return found


def settings(request: Mapping[str, Any], known: frozenset[str]) -> tuple[Document, Document]:
    """A request's parameters, and what is neither one nor in `known`."""
    parameters = {name: value for name, value in request.items() if name in PARAMETERS and value is not None}
    rest = {name: value for name, value in request.items() if name not in PARAMETERS | known and value is not None}
    return parameters, rest
