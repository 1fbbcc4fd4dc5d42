"""Ids derived from content: the same input gives the same id, and without the key the id tells nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]
# What `pseudonym` makes, and the ids that are derived here: no personal data, whatever their letters look like.
PSEUDONYM = re.compile(r"(?:ticket|customer|conversation)-[0-9a-f]{32}")
DERIVED = re.compile(r"(?:ticket|customer|conversation|trace|pair|prompt|label)-[0-9a-f]{32}")
_OUTPUT_FIELDS = ("model", "content", "tool_calls")


# json.dumps with parameters would make an encoder anew for every value.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: object) -> str:
    """JSON with sorted keys and without spaces: equal values give equal text."""
    return _ENCODER.encode(value)


def prompt_id(key: bytes, document: Document) -> str:
    """The id of an input: its messages and tools, as they came in."""
    return "prompt-" + _digest(key, {"messages": document.get("messages"), "tools": document.get("tools")})


def pair_id(key: bytes, document: Document) -> str:
    """The id of a pair: its input and what both stacks said, as they came in, before any redaction."""
    outputs = {
        side: {field: document[side].get(field) for field in _OUTPUT_FIELDS if document[side].get(field) is not None}
        for side in ("old", "new")
    }
    return "pair-" + _digest(key, {"messages": document.get("messages"), "tools": document.get("tools"), **outputs})


def label_id(key: bytes, document: Document) -> str:
    """The id of a label that came without one: all that it says."""
    return "label-" + _digest(key, {name: value for name, value in document.items() if value is not None})


def trace_hash(key: bytes, content: str) -> str:
    """What tells whether two traces say the same: the `canonical` record as it came in, before any redaction."""
    return hmac.new(key, b"trace " + content.encode("utf-8"), hashlib.sha256).hexdigest()[:32]


def content_hash(key: bytes, document: Document) -> str:
    """What tells whether a fact came in with the same content, before any redaction."""
    return _digest(key, {"content": document})


def pseudonym(key: bytes, kind: str, value: str) -> str:
    """A keyed hash instead of a customer's, conversation's or ticket's id. Blanks around it mean nothing."""
    return f"{kind}-" + _digest(key, {kind: value.strip()})


def _digest(key: bytes, value: object) -> str:
    return hmac.new(key, canonical(value).encode("utf-8"), hashlib.sha256).hexdigest()[:32]
