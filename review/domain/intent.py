"""Which part of a trace says what the person wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from review.domain.redaction import PLACEHOLDER

# A message of fewer words ("yes, please", "my id is 7") seldom says an intent.
_SUBSTANCE = 8
_MESSAGES = 3
_HEAD, _TAIL = 700, 300
_READ = 20_000
_MACHINES = frozenset({"system", "developer", "tool", "function"})


def intent_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the person wrote first, and next of substance, on one line; "" where there is no text.

    System prompts and tool results are left out: they are the same, or noise, for many intents. A short message after
    the first ("yes, please") counts only where there is nothing longer. A long text gives its beginning and its end,
    about 1,000 characters.

    Args:
        messages: in OpenAI chat format, oldest first.
    """
    spoken = [text for each in messages if each.get("role") == "user" and (text := plain_text(each.get("content")))]
    if not spoken:
        spoken = [
            text for each in messages if each.get("role") not in _MACHINES and (text := plain_text(each.get("content")))
        ]
    later = [text for text in spoken[1:] if _has_substance(text)]
    opening = int(bool(spoken) and not _has_substance(spoken[0]))
    telling = spoken[:1] + later if later else spoken
    return _shortened(" ".join(telling[: _MESSAGES + opening]))


def plain_text(content: object) -> str:
    """The text of a message's content (a string or parts), on one line."""
    if isinstance(content, str):
        text = content
    elif isinstance(content, list):
        parts = cast("list[Any]", content)
        said = [cast("dict[str, Any]", part).get("text") for part in parts if isinstance(part, dict)]
        text = " ".join(each for each in said if isinstance(each, str))
    else:
        return ""
    return " ".join(text[:_READ].split())


def neutral(text: str) -> str:
    """`text` with the placeholders of stripped data as plain words ("<PERSON_1>" → "person"), as models read them."""
    return PLACEHOLDER.sub(lambda found: found[1].lower(), text)


def _has_substance(text: str) -> bool:
    return len(text.split(None, _SUBSTANCE)) >= _SUBSTANCE


def _shortened(text: str) -> str:
    if len(text) <= _HEAD + _TAIL:
        return text
    return f"{text[:_HEAD].rstrip()} … {text[-_TAIL:].lstrip()}"
