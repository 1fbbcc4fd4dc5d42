"""What servers say when they do not answer, brought down to a few kinds.

The same trouble comes in many dresses, all of which were met in the wild:

* errors in an `error` object (OpenAI, Anthropic, LiteLLM, Bifrost, vLLM since 0.10.1, llama.cpp) or at the top of the
  body (`{"object": "error", "message": …, "code": 400}`: older vLLM, SGLang, TensorRT-LLM; vllm-project/vllm#12886
  and #22099), as plain text or HTML from proxies, or inside a body with status 200;
* too long a prompt as 400 with a code (OpenAI `context_length_exceeded`; llama.cpp `exceed_context_size_error`,
  ggml-org/llama.cpp#15780), as 400 with words only (vLLM "maximum context length", Anthropic "prompt is too long"),
  as 500 (llama.cpp "Context size has been exceeded.", ggml-org/llama.cpp#19774), or as 413;
* 429 that waiting does not cure: OpenAI `insufficient_quota`, Anthropic `enforced_spend_limit_reached`, a gateway's
  own budget;
* an unknown model as 404 (most), or as 400 (LiteLLM "Invalid model name passed in");
* parameters that a model does not take (OpenAI `unsupported_parameter`: max_tokens and temperature of reasoning
  models; LiteLLM UnsupportedParamsError; pydantic's `extra_forbidden` at TensorRT-LLM and vLLM).

A server's message may quote the prompt. It is read here and goes no further; only a short code word leaves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from review.adapters.chat.limits import retry_after
from review.adapters.chat.plain import fields
from review.adapters.chat.values import Kind, Refusal

_TOO_LONG = re.compile(
    r"context[ _-]?(?:length|window|size)|maximum context|prompt is too long|(?:prompt|input|request) (?:is )?too long"
    r"|too many (?:input )?tokens|max_(?:seq|model|input|num)_?(?:len|tokens)?|longer than the model"
    r"|exceeds? the (?:available|maximum|model)|ContextWindowExceeded",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"content[ _-]?(?:filter|policy)|content management policy|responsible ?ai|usage polic|flagged",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"insufficient_quota|exceeded your current quota|credit[ _]balance|spend[ _]limit|billing|budget[ _]?(?:has been )?"
    r"exceeded|payment required",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model[^.]{0,80}(?:does not exist|not found|not supported by|is not available|unknown)|invalid model|"
    r"unknown model|no such model|no healthy deployment|unknown provider|provider not found",
    re.IGNORECASE,
)
_BAD_KEY = re.compile(r"api[ _-]?key|authentication|unauthorized|permission", re.IGNORECASE)
_NOT_TAKEN = re.compile(
    r"unsupported|not[ _]support|does(?: not|n't) support|extra_forbidden|extra (?:inputs|fields)|not permitted"
    r"|cannot both|unrecognized|unknown (?:field|parameter|name|argument)|deprecated|not allowed|UnsupportedParams",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z][A-Za-z_.-]{0,59}")
# Not understood; too big; or of a kind that the client could send otherwise.
_BAD_REQUEST = frozenset({400, 409, 411, 413, 415, 422, 431})


def read_refusal(
    status: int, headers: Mapping[str, str], content: bytes, sent: Collection[str], models: Collection[str] = ()
) -> Refusal:
    """The refusal that a response amounts to. Call it for every status but 2xx, and for a 2xx that says `error`.

    Args:
        status: of HTTP.
        headers: with names in lower case, or without regard to case.
        content: the body.
        sent: the names of the parameters that were sent.
        models: model names that were sent, whose own words ("gpt-context") must not be taken for a complaint.
    """
    body = _parsed(content)
    error = _error(body)
    inner = _status(body, error) if 200 <= status < 300 else status
    words = _words(error, content)
    for model in models:
        words = re.sub(rf"(?<!\w){re.escape(model)}(?!\w)", "model", words)
    kind, names = _kind(inner, words, sent, from_error=bool(error))
    return Refusal(kind, _code(error, body), inner or status, _wait(headers, body), names)


def says_error(body: object) -> bool:
    """A body that is an error, whatever the status beside it."""
    document = fields(body)
    return bool(document.get("error")) or "error" in (document.get("object"), document.get("type"))


def _kind(status: int, words: str, sent: Collection[str], *, from_error: bool) -> tuple[Kind, tuple[str, ...]]:
    kind: Kind = "bad_body"
    names: tuple[str, ...] = ()
    if status == 402 or (status in (400, 403, 429) and _QUOTA.search(words)):
        kind = "quota"
    elif status == 429:
        kind = "rate_limited"
    elif status in (401, 403, 407):
        kind = "refused" if _REFUSED.search(words) else "auth"
    elif status in (404, 405, 410) or 300 <= status < 400:
        kind = "bad_model"
    elif status == 408:
        kind = "timeout"
    elif status == 425 or status >= 500:
        kind = "context_length" if _TOO_LONG.search(words) else "server_error"
    elif status in _BAD_REQUEST or 400 <= status < 500:
        kind, names = _bad_request(status, words, sent)
    elif from_error:
        kind = _by_words(words)
    return kind, names


def _bad_request(status: int, words: str, sent: Collection[str]) -> tuple[Kind, tuple[str, ...]]:
    """What is wrong with the request, by the server's words."""
    if status == 413 or _TOO_LONG.search(words):
        # "max_tokens is too large" names a parameter too, and the prompt is not what is wrong then.
        return "context_length", ()
    if _REFUSED.search(words):
        return "refused", ()
    if _NOT_TAKEN.search(words):
        names = tuple(sorted(name for name in sent if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", words)))
        if names:
            return "unsupported", names
    if _NO_MODEL.search(words):
        return "bad_model", ()
    if re.search(r"invalid[^.]{0,20}api[ _-]?key|API_KEY_INVALID|api key not valid", words, re.IGNORECASE):
        return "auth", ()
    return "bad_request", ()


def _by_words(words: str) -> Kind:
    """An error in a body with status 200 that has no number of its own."""
    if _TOO_LONG.search(words):
        return "context_length"
    if _REFUSED.search(words):
        return "refused"
    if _QUOTA.search(words):
        return "quota"
    if re.search(r"rate[ _-]?limit|too many requests", words, re.IGNORECASE):
        return "rate_limited"
    if _NO_MODEL.search(words):
        return "bad_model"
    if _BAD_KEY.search(words):
        return "auth"
    if re.search(r"overloaded|internal|unavailable|server[ _]error|timed? ?out", words, re.IGNORECASE):
        return "server_error"
    return "bad_body"


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        return fields(json.loads(content))
    except (ValueError, RecursionError):
        return {}


def _error(body: Mapping[str, Any]) -> dict[str, Any]:
    error = body.get("error")
    if isinstance(error, str):
        return {"message": error}
    return fields(error) or (dict(body) if says_error(body) or "message" in body or "detail" in body else {})


def _words(error: Mapping[str, Any], content: bytes) -> str:
    """Everything that the error says, bounded; of a body without one, its beginning."""
    said = [error.get(name) for name in ("type", "code", "param", "message", "detail")]
    details = fields(error.get("details"))
    said += [details.get("error_code"), error.get("metadata")]
    if not error:
        said.append(content[:4000].decode("utf-8", "replace"))
    return " ".join(each if isinstance(each, str) else json.dumps(each) for each in said if each is not None)[:8000]


def _code(error: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    """A short word that the server has for it. Anything longer than a word may quote the prompt and is left out."""
    for value in (error.get("code"), error.get("type"), body.get("type")):
        if isinstance(value, str) and _WORD.fullmatch(value) and value != "error":
            return value
    return ""


def _status(body: Mapping[str, Any], error: Mapping[str, Any]) -> int:
    """The status that a body with HTTP status 200 speaks of, or 0."""
    for value in (body.get("status_code"), error.get("status_code"), error.get("code"), error.get("status")):
        if isinstance(value, str) and value.isdecimal():
            value = int(value[:6])
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return 0


def _wait(headers: Mapping[str, str], body: Mapping[str, Any]) -> float | None:
    """Bifrost says it in the body."""
    said = retry_after(headers)
    milliseconds = fields(body.get("extra_fields")).get("retry_after_ms")
    if said is None and isinstance(milliseconds, int | float) and milliseconds >= 0:
        return milliseconds / 1000
    return said
