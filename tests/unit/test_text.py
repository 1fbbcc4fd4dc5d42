"""Foreign text in Streamlit labels stands literally, on one line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.ui.text import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**b**", r"\*\*b\*\*"),
        (":red[x]", r"\:red\[x\]"),
        ("two\n lines\t", "two lines"),
        ("http://x.test", "http\\:\u2060\\/\\/x\\.test"),
        ("WWW.x.test", "WWW\u2060\\.x\\.test"),
        ("a@b.c", "a\\@\u2060b\\.c"),
        ("a\x1b[31m", "a\ufffd\\[31m"),
    ],
)
def test_markup_is_escaped(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_long_text_ends_in_an_ellipsis() -> None:
    assert plain("word " * 30, 12) == "word word w…"


@given(st.text())
def test_no_address_survives_unescaping(text: str) -> None:
    """GitHub-flavoured Markdown looks for addresses in the text after backslashes are gone."""
    unescaped = re.sub(r"\\(.)", r"\1", plain(text))
    assert not re.search(r"(?i)https?://|www\.|@[-\w]", unescaped)
