"""Ids derived from content, and when two outputs are the same."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from review.domain import identity, sameness
from review.domain.types import Output

KEY = bytes(range(32))
PAIR: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Grüße"}],
    "old": {"model": "a", "content": "x"},
    "new": {"content": "y"},
}


def test_a_prompt_id_is_the_hmac_of_the_canonical_input() -> None:
    text = '{"messages":[{"content":"Grüße","role":"user"}],"tools":null}'
    digest = hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()
    assert identity.prompt_id(KEY, PAIR) == "prompt-" + digest[:32]


def test_the_order_of_keys_and_what_else_a_record_says_do_not_change_its_ids() -> None:
    turned = {
        "metadata": {"ticket": 7},
        "new": {"latency_ms": 3, "content": "y", "tool_calls": None},
        "old": {"content": "x", "model": "a"},
        "messages": [{"content": "Grüße", "role": "user"}],
        "tools": None,
    }
    assert identity.pair_id(KEY, turned) == identity.pair_id(KEY, PAIR)
    assert identity.prompt_id(KEY, turned) == identity.prompt_id(KEY, PAIR)


@pytest.mark.parametrize(
    "change", [{"old": {"model": "a", "content": "x "}}, {"old": {"model": "b", "content": "x"}}, {"tools": []}]
)
def test_another_answer_model_or_tool_is_another_pair(change: dict[str, Any]) -> None:
    assert identity.pair_id(KEY, PAIR | change) != identity.pair_id(KEY, PAIR)


def test_an_id_tells_nothing_without_the_key() -> None:
    assert identity.pair_id(bytes(32), PAIR) != identity.pair_id(KEY, PAIR)


def call(arguments: str | dict[str, Any] | None, name: str = "refund", call_id: str | None = None) -> dict[str, Any]:
    return {"id": call_id, "function": {"name": name, "arguments": arguments}}


def output(content: str | None = "x", calls: list[dict[str, Any]] | None = None, **more: Any) -> Output:
    return Output.model_validate({"content": content, "tool_calls": calls, **more})


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (output("a  b\n"), output(" a b"), True),
        (output("a\u00a0b"), output("a b"), True),
        (output("ab"), output("a b"), False),
        (output(""), output(None, [call("{}")]), False),
        (output("x", [call('{"a": 1, "b": 2}')]), output("x", [call('{"b":2,"a":1}')]), True),
        (output("x", [call('{"a": 1}', call_id="one")]), output("x", [call({"a": 1}, call_id="two")]), True),
        (output("x", [call('{"a": 1')]), output("x", [call('{"a": 1}')]), False),
        (output("x", [call("{}", "refund")]), output("x", [call("{}", "cancel")]), False),
        (output("x", []), output("x"), True),
    ],
)
def test_outputs_are_identical_up_to_spacing_and_the_ids_of_calls(old: Output, new: Output, same: bool) -> None:
    assert sameness.identical(old, new) is same
    assert sameness.identical(new, old) is same


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        (output(correct=True), output(correct=False), True),
        (output(correct=True), output(), False),
        (output(finish_reason="stop"), output(finish_reason="length"), True),
        (output(finish_reason="stop"), output("y"), False),
        (output(calls=[call("{}")]), output(), True),
        (output("x"), output("y"), False),
    ],
)
def test_structured_outcomes_differ_only_where_both_sides_say_them(old: Output, new: Output, differs: bool) -> None:
    assert sameness.structured_differs(old, new) is differs
