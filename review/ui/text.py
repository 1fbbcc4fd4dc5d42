"""Foreign text where Streamlit would read Markdown."""

from __future__ import annotations

import re

# Everything that Markdown or Streamlit's directives (:red[…], :material/…:, $…$, <…>) could take for markup.
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^&=\"'/@])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

# Addresses become links after escapes are undone; an invisible word joiner inside keeps them text.
_ADDRESS = re.compile(r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)")


def plain(text: str, limit: int | None = None) -> str:
    """`text` so that a Streamlit label, caption or title shows it literally, on one line.

    Args:
        text: foreign text, of any length.
        limit: at most so many characters of it, then an ellipsis.
    """
    line = " ".join(_CONTROL.sub("\ufffd", text).split())
    if limit is not None and len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return _MARKUP.sub(r"\\\1", _ADDRESS.sub("\u2060", line))
