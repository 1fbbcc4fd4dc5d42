"""Comparing tool calls and JSON answers: what is the same, what differs and in which field."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NoReturn, cast

from review.domain.types import Output, Side, ToolCall

Outcome = Literal["same", "other_arguments", "other_tool", "missing", "extra", "broken"]
OUTCOMES: tuple[Outcome, ...] = ("same", "other_arguments", "other_tool", "missing", "extra", "broken")
OUTCOME_WORDS: dict[Outcome, str] = {
    "same": "same",
    "other_arguments": "same tool, other arguments",
    "other_tool": "other tool",
    "missing": "missing in new",
    "extra": "extra in new",
    "broken": "truncated or invalid JSON",
}
FieldChange = Literal["missing", "extra", "type", "value"]
SIDES: tuple[Side, Side] = ("old", "new")

_MOST_FIELDS = 50
_LONGEST_PATH = 200


@dataclass(frozen=True)
class Field:
    """One field that differs.

    Attributes:
        call: Number of the tool call from 0; None for a JSON answer.
        path: Where, as in `items[2].price`; "" for the whole. It names keys, never values.
        change: The field is missing in new, extra in new, of another type, or has another value.
    """

    call: int | None
    path: str
    change: FieldChange


@dataclass(frozen=True)
class Comparison:
    """What became of the structured parts of a pair.

    Attributes:
        outcome: old is what new is measured against.
        what: Tool calls, or whole answers that are JSON.
        fields: The fields that differ, at most 50; only where arguments differ.
        sides: Which sides are broken, where one is.
        text_differs: Beside the tool calls stand texts, and they differ too.
    """

    outcome: Outcome
    what: Literal["tool_calls", "json"]
    fields: tuple[Field, ...] = ()
    sides: tuple[Side, ...] = ()
    text_differs: bool = False

    def detail(self) -> dict[str, object]:
        """The comparison as JSON; no value of an answer is in it."""
        return {
            "what": self.what,
            "sides": list(self.sides),
            "fields": [{"call": each.call, "path": each.path, "change": each.change} for each in self.fields],
        }


class _Broken(Exception):
    """No JSON, or cut off."""


def compare(old: Output, new: Output) -> Comparison | None:
    """The structured parts of both answers, or None where neither has any.

    Tool calls count where either side has one; answers count as JSON where either is a JSON object, whole or broken.
    Names and order must be equal. Arguments and fields are equal as JSON values: 1 is 1.0, the order of keys and the
    way characters are written mean nothing, but "1" is not 1.
    """
    if old.tool_calls or new.tool_calls:
        return _compare_calls(old, new)
    return _compare_json(old, new)


def equal(one: str, other: str) -> bool:
    """Whether two JSON texts are the same value; False where either is no JSON."""
    try:
        return not any(_differences(parse(one), parse(other)))
    except ValueError:
        return False


def parse(text: str) -> Any:
    """A JSON text as a value with exact numbers (Decimal) and strings in Unicode's composed form (NFC).

    Raises:
        ValueError: it is no JSON; NaN and Infinity are none.
    """
    try:
        value = json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_json)
        return _composed(value)
    except (RecursionError, InvalidOperation) as error:
        raise ValueError("nested too deep, or a number beyond any use") from error


def _no_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _composed(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, list):
        return [_composed(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {_composed(key): _composed(each) for key, each in cast("dict[str, Any]", value).items()}
    return value


def _compare_calls(old: Output, new: Output) -> Comparison:
    calls = {"old": old.tool_calls or [], "new": new.tool_calls or []}
    parsed: dict[str, list[Any]] = {}
    broken: list[Side] = []
    for side in SIDES:
        try:
            parsed[side] = [_arguments(call) for call in calls[side]]
        except _Broken:
            broken.append(side)
    if broken:
        return Comparison("broken", "tool_calls", sides=tuple(broken))
    names = [[call.function.name for call in calls[side]] for side in SIDES]
    text_differs = (old.content or "").split() != (new.content or "").split()
    if names[0] != names[1]:
        return Comparison(_other_names(names[0], names[1]), "tool_calls", text_differs=text_differs)
    fields = tuple(
        Field(number, path, change)
        for number, (before, after) in enumerate(zip(parsed["old"], parsed["new"], strict=True))
        for path, change in _differences(before, after)
    )
    outcome: Outcome = "other_arguments" if fields else "same"
    return Comparison(outcome, "tool_calls", fields[:_MOST_FIELDS], text_differs=text_differs)


def _other_names(old: Sequence[str], new: Sequence[str]) -> Outcome:
    """Names that differ: some of old's calls are missing, new has some more, or they are others."""
    if len(new) < len(old) and _within(new, old):
        return "missing"
    if len(old) < len(new) and _within(old, new):
        return "extra"
    return "other_tool"


def _within(few: Sequence[str], many: Sequence[str]) -> bool:
    """`few` comes out of `many` by leaving some out."""
    left = iter(many)
    return all(name in left for name in few)


def _arguments(call: ToolCall) -> Any:
    """A call's arguments as a value; no arguments are an empty object."""
    arguments = call.function.arguments
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    try:
        value: object = parse(text) if text.strip() else {}
    except ValueError as error:
        raise _Broken from error
    if not isinstance(value, dict):
        raise _Broken
    return cast("dict[str, Any]", value)


def _compare_json(old: Output, new: Output) -> Comparison | None:
    values = {"old": _json_answer(old), "new": _json_answer(new)}
    broken: tuple[Side, ...] = tuple(
        side for side, output in zip(SIDES, (old, new), strict=True) if values[side] is None and _begins_as_json(output)
    )
    if broken:
        return Comparison("broken", "json", sides=broken)
    if values["old"] is None and values["new"] is None:
        return None
    if values["new"] is None:
        return Comparison("missing", "json")
    if values["old"] is None:
        return Comparison("extra", "json")
    fields = tuple(Field(None, path, change) for path, change in _differences(values["old"], values["new"]))
    return Comparison("other_arguments" if fields else "same", "json", fields[:_MOST_FIELDS])


def _json_answer(output: Output) -> dict[str, Any] | None:
    """The object that the whole answer is, or None. A fence around it is no part of it."""
    if not _begins_as_json(output):
        return None
    try:
        return cast("dict[str, Any]", parse(_unfenced(output.content or "")))
    except ValueError:
        return None


def _begins_as_json(output: Output) -> bool:
    """It begins as an object; prose in braces does not."""
    text = _unfenced(output.content or "")
    return text.startswith("{") and text[1:].lstrip()[:1] in ('"', "}", "")


def _unfenced(text: str) -> str:
    text = text.strip()
    if not text.startswith("```json"):
        return text
    return text.removeprefix("```json").removesuffix("```").strip()


def _differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, FieldChange]]:
    """Where two JSON values differ, depth first."""
    if isinstance(old, dict) and isinstance(new, dict):
        before, after = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
        for key in [*before, *(key for key in after if key not in before)]:
            inner = f"{path}.{key}" if path else key
            if key not in after:
                yield inner[:_LONGEST_PATH], "missing"
            elif key not in before:
                yield inner[:_LONGEST_PATH], "extra"
            else:
                yield from _differences(before[key], after[key], inner)
    elif isinstance(old, list) and isinstance(new, list):
        first, second = cast("list[Any]", old), cast("list[Any]", new)
        for at in range(max(len(first), len(second))):
            inner = f"{path}[{at}]"
            if at >= len(second):
                yield inner[:_LONGEST_PATH], "missing"
            elif at >= len(first):
                yield inner[:_LONGEST_PATH], "extra"
            else:
                yield from _differences(first[at], second[at], inner)
    elif type(cast("object", old)) is not type(cast("object", new)):
        yield path[:_LONGEST_PATH], "type"
    elif old != new:
        yield path[:_LONGEST_PATH], "value"
