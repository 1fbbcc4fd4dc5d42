"""Why a record is refused, in words for people and without any of its texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from review.domain.live import Measures, Metrics
from review.domain.types import Output

_SHOWN_NAMES = 12
_SHOWN_LETTERS = 40
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "datetime_type": "a time as text, like 2026-03-01T14:02:11+00:00",
}
# What the branches of `text | list` and the like are called in an error's place.
_BRANCHES = ("str", "list[dict[str,any]]", "dict[str,any]")


def explain(errors: Sequence[ErrorDetails], document: Mapping[str, Any], model: type[BaseModel]) -> tuple[str, str]:
    """The dotted field and the reason of what is most wrong with a record.

    Args:
        errors: all that pydantic found.
        document: the record as it was read.
        model: the record's type.
    """
    # A field that is missing explains the unknown one beside it: it has only another name.
    error = next((each for each in errors if each["type"] == "missing"), errors[0])
    place = tuple(part for part in error["loc"] if part not in _BRANCHES)
    field = clean(".".join(str(part) for part in place))
    parent = _at(document, place[:-1])
    kind, limits = error["type"], error.get("ctx", {})
    answers = model is not Metrics  # old and new are answers in every other record that has them
    if kind == "missing":
        return field, _missing(field, parent)
    if kind == "extra_forbidden":
        if (
            answers
            and place[0] in ("old", "new")
            and isinstance(parent, dict)
            and not {"content", "tool_calls"} & set(cast(Any, parent))
        ):
            return f"{place[0]}.content", _missing(f"{place[0]}.content", cast(Any, parent), field)
        known = ", ".join(model.model_fields if len(place) == 1 else (Output if answers else Measures).model_fields)
        return field, f"is not a field of ours. Put it under metadata, or rename it (fields: {known})."
    if kind == "value_error" and answers and place in (("old",), ("new",)):
        return f"{field}.content", _missing(f"{field}.content", _at(document, place))
    if kind == "literal_error":
        return field, f"is {clean(repr(error['input']))}; accepted: {limits.get('expected', '')}."
    if kind in _EXPECTED:
        return field, f"is {_named(error['input'])}; it must be {_EXPECTED[kind]}."
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = "at least" if kind == "greater_than_equal" else "at most"
        return field, f"is {clean(repr(error['input']))}; it must be {bound} {limits.get('ge', limits.get('le'))}."
    reasons = {
        "string_too_short": "is empty.",
        "too_short": "is empty; it must have at least one item.",
        "string_too_long": f"is longer than {limits.get('max_length')} characters.",
        "string_pattern_mismatch": "has a control character, such as a line break; only printable ones are accepted.",
        "finite_number": "is not a finite number.",
    }
    return field, reasons.get(kind, f"is not accepted: {error['msg'].removeprefix('Value error, ')}.")


def clean(text: str) -> str:
    """Foreign names and enum values in a message: printable and short."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text[:_SHOWN_LETTERS])


def _missing(field: str, parent: object, stranger: str | None = None) -> str:
    seen = f" (keys seen: {_names(cast(Mapping[str, Any], parent))})" if isinstance(parent, dict) else ""
    if stranger:
        ours = field.rsplit(".", 1)[-1]
        theirs = stranger.rsplit(".", 1)[-1]
        return f'is missing{seen}. Rename "{theirs}" to "{ours}" or pass --map {field}={stranger}.'
    return f"is missing{seen}. Rename a field, or pass --map {field}=ITS_NAME."


def _names(document: Mapping[str, Any]) -> str:
    names = [clean(str(name)) for name in document]
    return ", ".join(names[:_SHOWN_NAMES]) + (", …" if len(names) > _SHOWN_NAMES else "") if names else "none"


def _named(value: object) -> str:
    """What kind of JSON value it is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else "a number"


def _at(document: Any, place: Sequence[int | str]) -> Any:
    for part in place:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document
