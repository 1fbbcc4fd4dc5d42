"""Leaked words as keyed hashes: how words are counted, and what is hashed."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence


def word_digest(key: bytes, words: Sequence[str]) -> str:
    """The keyed hash by which leaked words are known again, however they are spaced and capitalised."""
    return hmac.new(key, b"leak\0" + "\0".join(words).encode(), hashlib.sha256).hexdigest()[:32]


def words_of(text: str) -> list[re.Match[str]]:
    """The words of a text as rules count them."""
    return list(re.finditer(r"[^\W_]+", text))
