"""Leaked words and structures as expressions: to find them everywhere, and never to search for ever."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Sequence
from typing import Any, cast

import regex

from review.adapters import pii_rules
from review.errors import BadInput

_LONGEST = 200
# Seconds for each of the texts that make a bad expression run away.
_TIME = 0.2
_HOSTILE = tuple(
    each * (4000 // len(each)) + "!" for each in ("a", "0", "A", " ", "-", "a0", "0-", "aA ", "ACC-0", "1 ", ".", "\n")
)
_ORDINARY = (
    "please help me with my order, the delivery is late and nobody answers",
    "Thank you for your message. We will look into it on Monday at 10:30.",
)
# What may part words: blanks and signs, also as JSON writes them.
_BETWEEN = r"(?:\\[nrtbf\"\\/]|\\u[0-9a-fA-F]{4}|[\W_])+"


def tokens(words: str) -> list[str]:
    """The words as rules count them."""
    return [match.group().casefold() for match in pii_rules.words_of(words)]


def digest(key: bytes, words: Sequence[str]) -> str:
    """The keyed hash by which the stripper knows the words again."""
    return pii_rules.word_digest(key, words)


def expression(words: Sequence[str]) -> re.Pattern[str]:
    """Finds the words wherever they stand in this order, in plain text and inside of JSON."""
    written = [f"(?:{re.escape(word)}|{re.escape(json.dumps(word)[1:-1])})" for word in words]
    return re.compile(rf"(?<![^\W_]){_BETWEEN.join(written)}(?![^\W_])", re.IGNORECASE)


def needles(words: Sequence[str]) -> list[str]:
    """What a text in lower case must hold if the words stand in it: the longest, plain and as JSON escapes it."""
    longest = max(words, key=len)
    return list(dict.fromkeys((longest.lower(), json.dumps(longest)[1:-1].lower())))


def replaced(document: Any, words: re.Pattern[str], placeholder: str) -> Any:
    """A JSON value with the words replaced in all of its texts; keys stand as they are."""
    if isinstance(document, str):
        return words.sub(placeholder, document)
    if isinstance(document, list):
        return [replaced(each, words, placeholder) for each in cast("list[Any]", document)]
    if isinstance(document, dict):
        return {key: replaced(value, words, placeholder) for key, value in cast("dict[str, Any]", document).items()}
    if isinstance(document, int | float) and not isinstance(document, bool) and words.fullmatch(repr(document)):
        return placeholder
    return document


def stands_in(value: bytes, words: re.Pattern[str]) -> bool:
    """Whether the words stand in what a cache keeps."""
    return words.search(value.decode("utf-8", "replace")) is not None


def check_pattern(pattern: str) -> None:
    """Refuse an expression that is none, that takes out ordinary words, or that some text keeps busy for ever.

    Raises:
        BadInput: says which.
    """
    if not 1 <= len(pattern) <= _LONGEST:
        raise BadInput(f"An expression has 1 to {_LONGEST} characters.")
    try:
        re.compile(pattern)
        made = regex.compile(pattern)
    except (re.error, regex.error) as error:
        raise BadInput(
            f"This is no regular expression of Python ({type(error).__name__}). Example: ACC-\\d{{6}}"
        ) from error
    try:
        for text in ("", *_ORDINARY, string.ascii_letters):
            if made.search(text, timeout=_TIME):
                raise BadInput("This expression finds ordinary words. Say more of the structure, as in ACC-\\d{6}.")
        for text in _HOSTILE:
            made.findall(text, timeout=_TIME)
    except TimeoutError as error:
        raise BadInput("This expression can take for ever. Avoid repeats inside of repeats, as in (a+)+.") from error
