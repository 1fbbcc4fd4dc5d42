"""Foreign text where Streamlit would read Markdown."""

from __future__ import annotations

import re

# Everything that Markdown or Streamlit's directives (:red[…], :material/…:, $…$, <…>) could take for markup.
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^&=\"'/@])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

# Addresses become links after escapes are undone; an invisible word joiner inside keeps them text.
_ADDRESS = re.compile(r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)")


def line(text: str, limit: int | None = None) -> str:
    """`text` on one line, for places that show text as it is (the options of a select box, cells, tooltips).

    Args:
        text: foreign text, of any length.
        limit: at most so many characters of it, then an ellipsis.
    """
    whole = " ".join(_CONTROL.sub("\ufffd", text).split())
    return whole if limit is None or len(whole) <= limit else whole[: limit - 1].rstrip() + "…"


def plain(text: str, limit: int | None = None) -> str:
    """`text` so that a Streamlit label, caption or title, which reads Markdown, shows it literally, on one line."""
    return _MARKUP.sub(r"\\\1", _ADDRESS.sub("\u2060", line(text, limit)))
