"""Tool calls and JSON answers compared: outcomes, fields, and what counts as the same value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.domain.structured import Comparison, compare, equal
from review.domain.types import FunctionCall, Output, ToolCall


def calls(*named: tuple[str, Any], text: str | None = None) -> Output:
    return Output(
        content=text,
        tool_calls=[ToolCall(function=FunctionCall(name=name, arguments=arguments)) for name, arguments in named],
    )


def found(old: Output, new: Output) -> Comparison:
    comparison = compare(old, new)
    assert comparison is not None
    return comparison


PAY = ("pay", '{"amount": 10, "to": {"name": "Zoë", "tags": ["a", "b"]}}')


@pytest.mark.parametrize(
    ("old", "new", "outcome"),
    [
        (calls(PAY), calls(("pay", '{"to":{"tags":["a","b"],"name":"Zoe\\u0308"},"amount":10.0}')), "same"),
        (calls(("pay", "")), calls(("pay", "{}")), "same"),
        (calls(("pay", None)), calls(("pay", {})), "same"),
        (calls(("pay", '{"a": 1e2}')), calls(("pay", {"a": 100})), "same"),
        (calls(("pay", '{"a": 0.1}')), calls(("pay", {"a": 0.10})), "same"),
        (calls(("pay", '{"a": 1}')), calls(("pay", '{"a": "1"}')), "other_arguments"),
        (calls(("pay", '{"a": 1}')), calls(("pay", '{"a": true}')), "other_arguments"),
        (calls(("pay", '{"a": null}')), calls(("pay", "{}")), "other_arguments"),
        (calls(("pay", '{"a": [1, 2]}')), calls(("pay", '{"a": [2, 1]}')), "other_arguments"),
        (calls(("pay", '{"a": 9007199254740993}')), calls(("pay", '{"a": 9007199254740992}')), "other_arguments"),
        (calls(("pay", "{}")), calls(("refund", "{}")), "other_tool"),
        (calls(("pay", "{}"), ("tell", "{}")), calls(("tell", "{}"), ("pay", "{}")), "other_tool"),
        (calls(("pay", "{}"), ("tell", "{}")), calls(("tell", "{}")), "missing"),
        (calls(("pay", "{}")), Output(content="Done."), "missing"),
        (calls(("tell", "{}")), calls(("pay", "{}"), ("tell", "{}")), "extra"),
        (Output(content="Done."), calls(("pay", "{}")), "extra"),
        (calls(PAY), calls(("pay", '{"amount": 10, "to": {"na')), "broken"),
        (calls(PAY), calls(("pay", '{"amount": NaN}')), "broken"),
        (calls(PAY), calls(("pay", "[1]")), "broken"),
        (Output(content='{"a": 1, "b": 2}'), Output(content='```json\n{"b": 2.0, "a": 1}\n```'), "same"),
        (Output(content='{"a": 1}'), Output(content='{"a": 2}'), "other_arguments"),
        (Output(content='{"a": 1}'), Output(content='{"a": '), "broken"),
        (Output(content='{"a": '), Output(content='{"a": '), "broken"),
        (Output(content='{"a": 1}'), Output(content='{"a": 1} I hope that helps.'), "broken"),
        (Output(content='{"a": 1}'), Output(content="It is 1."), "missing"),
        (Output(content="It is 1."), Output(content='{"a": 1}'), "extra"),
    ],
)
def test_outcomes(old: Output, new: Output, outcome: str) -> None:
    assert found(old, new).outcome == outcome


@pytest.mark.parametrize("text", ["Hello", "", "{name}, hello", "[1] says so", "true", "12", None])
def test_plain_answers_have_no_structured_part(text: str | None) -> None:
    answer = Output(content=text) if text is not None else Output(content="")
    assert compare(answer, Output(content="Good day")) is None


def test_fields_are_named_by_path_without_their_values() -> None:
    old = calls(("pay", '{"amount": 10, "to": {"iban": "SECRET1"}, "items": [{"n": 1}], "gone": 1}'))
    new = calls(("pay", '{"amount": "10", "to": {"iban": "SECRET2"}, "items": [{"n": 2}, {"n": 3}], "come": 1}'))
    comparison = found(old, new)
    assert {(each.call, each.path, each.change) for each in comparison.fields} == {
        (0, "amount", "type"),
        (0, "to.iban", "value"),
        (0, "items[0].n", "value"),
        (0, "items[1]", "extra"),
        (0, "gone", "missing"),
        (0, "come", "extra"),
    }
    assert "SECRET" not in json.dumps(comparison.detail())


def test_the_broken_side_is_named_and_texts_beside_equal_calls_are_seen() -> None:
    assert found(calls(PAY), calls(("pay", "{"))).sides == ("new",)
    assert not found(calls(PAY, text="a  b"), calls(PAY, text="a b")).text_differs
    assert found(calls(PAY, text="a"), calls(PAY, text="b")).text_differs


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any) -> Any:
    """The same value with its keys the other way round and whole numbers as floats where that is exact."""
    if isinstance(value, dict):
        return {key: shuffled(each) for key, each in reversed(value.items())}
    if isinstance(value, list):
        return [shuffled(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**50:
        return float(value)
    return value


@given(values)
def test_writing_a_value_otherwise_changes_nothing(value: Any) -> None:
    assert equal(json.dumps(value), json.dumps(shuffled(value), ensure_ascii=False, indent=3))


@given(st.dictionaries(st.text(min_size=1), values, min_size=1), st.data())
def test_every_changed_field_is_found(arguments: dict[str, Any], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(arguments)))
    changed = {**arguments, key: [arguments[key]]}
    comparison = found(calls(("f", arguments)), calls(("f", json.dumps(changed))))
    assert comparison.outcome == "other_arguments"
    assert comparison.fields


@given(st.text(), st.text())
def test_any_text_as_arguments_gives_an_outcome(one: str, other: str) -> None:
    there, back = found(calls(("f", one)), calls(("f", other))), found(calls(("f", other)), calls(("f", one)))
    assert there.outcome == back.outcome
    assert found(calls(("f", one)), calls(("f", one))).outcome in ("same", "broken")


def test_arguments_nested_without_end_are_broken_not_a_crash() -> None:
    deep = '{"a":' * 5000 + "1" + "}" * 5000
    assert found(calls(("f", deep)), calls(("f", "{}"))).outcome == "broken"
    assert found(calls(("f", '{"a": 1e99999999999999999999}')), calls(("f", "{}"))).outcome in (
        "broken",
        "other_arguments",
    )
