"""Differences: whatever the texts, nothing of them is lost, and what is not marked is the same on both sides."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from review.domain.difference import Segment, compare_calls, compare_texts
from review.domain.types import FunctionCall, Json, ToolCall

WORDS = st.lists(
    st.sampled_from(["the", "a", "refund", "Refund", "order", "5", ",", ".", "!", "it's\n", "-", "退", "款", "é"]),
    max_size=60,
).map(" ".join)
TEXTS = st.one_of(WORDS, st.text(max_size=120))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
ARGUMENTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4) | st.text(max_size=30) | st.none()


def joined(segments: tuple[Segment, ...], differs: bool | None = None) -> str:
    return "".join(segment.text for segment in segments if differs is None or segment.differs is differs)


def words(text: str) -> str:
    return re.sub(r"\s+", "", text)


@given(TEXTS, TEXTS)
def test_segments_join_to_the_texts_and_alternate(left: str, right: str) -> None:
    found = compare_texts(left, right)
    assert (joined(found.left), joined(found.right)) == (left, right)
    for segments in (found.left, found.right):
        assert all(segment.text for segment in segments)
        assert all(a.differs != b.differs for a, b in itertools.pairwise(segments))


@given(TEXTS, TEXTS)
def test_unmarked_words_are_the_same_on_both_sides(left: str, right: str) -> None:
    found = compare_texts(left, right)
    assert words(joined(found.left, differs=False)) == words(joined(found.right, differs=False))


@given(TEXTS)
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    found = compare_texts(text, text)
    assert found.shared == 1
    assert joined(found.left, differs=True) == joined(found.right, differs=True) == ""


def tool_call(arguments: Json) -> ToolCall:
    return ToolCall(function=FunctionCall(name="f", arguments=arguments))


@given(ARGUMENTS, ARGUMENTS)
def test_rows_differ_exactly_where_the_values_do(left: Json, right: Json) -> None:
    (compared,) = compare_calls([tool_call(left)], [tool_call(right)])
    assert all(row.differs == (row.left != row.right) for row in compared.rows)
    (same,) = compare_calls([tool_call(left)], [tool_call(left)])
    assert not same.differs
