"""What a key of the configuration may hold, in words; and what is wrong with one that holds something else."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import ErrorDetails

Schema = Mapping[str, Any]
_SECRET = re.compile(r"key|token|secret|password|authorization", re.IGNORECASE)
_SHOWN = 60
# What a pattern means, by the key it belongs to.
_PATTERNS = {
    "base_url": "an address with its version, like http://localhost:8000/v1",
    "api_key_env": "the name of an environment variable, like OPENAI_API_KEY; the key itself never stands in the file",
    "id": "lower-case letters, digits and underscores, beginning with a letter",
    "key": "one letter from a to z",
}
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "keys with values",
    "null": "null",
}


def complain(error: ErrorDetails, model: type[BaseModel], top: str) -> str:
    """One sentence or two: the dotted key below `top`, its value, and what is legal there."""
    schema = model.model_json_schema()
    place = tuple(str(part) for part in error["loc"])
    key = ".".join((top, *place))
    if error["type"] == "extra_forbidden":
        known = list(_keys(schema, _at(schema, schema, place[:-1])))
        near = difflib.get_close_matches(place[-1], known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return f"{key} is not a key{_value(place[-1], error['input'])}.{hint} Legal keys: {', '.join(known)}."
    legal = words(schema, _at(schema, schema, place), place[-1] if place else top)
    if error["type"] == "missing":
        return f"{key} is missing. It must be {legal}."
    if error["type"] == "value_error":
        return f"{key}: {error['msg'].removeprefix('Value error, ')}."
    return f"{key} is wrong{_value(place[-1] if place else top, error['input'])}. Legal: {legal}."


def words(schema: Schema, field: Schema, name: str) -> str:
    """What a field may hold."""
    field = _resolved(schema, field)
    if "anyOf" in field:
        return " or ".join(words(schema, each, name) for each in cast("list[Schema]", field["anyOf"]))
    if "enum" in field or "const" in field:
        return " or ".join(str(each) for each in field.get("enum", [field.get("const")]))
    if "pattern" in field:
        return _PATTERNS.get(name, f"text of the form {field['pattern']}")
    if "properties" in field:
        return f"a section with keys from {', '.join(_keys(schema, field))}"
    said = _TYPES.get(str(field.get("type")), "a value")
    if field.get("type") == "array" and "items" in field:
        said += f", each item {words(schema, field['items'], name)}"
    return " ".join((said, *_range(field)))


def _range(field: Schema) -> Iterator[str]:
    """The bounds of a number or of a text's length."""
    bounds = (
        ("minimum", "from {}"),
        ("exclusiveMinimum", "above {}"),
        ("maximum", "to {}"),
        ("exclusiveMaximum", "below {}"),
        ("minLength", "of at least {} character"),
        ("maxLength", "and at most {}"),
    )
    for name, wording in bounds:
        if name in field:
            alone = name == "maximum" and not {"minimum", "exclusiveMinimum"} & set(field)
            yield (wording if not alone else "of at most {}").format(f"{field[name]:,}")


def _value(key: str, value: object) -> str:
    """The value that was seen, unless it may be a secret or is whole section."""
    if key != "key" and _SECRET.search(key) and isinstance(value, str):
        return " (value not shown)"
    if isinstance(value, dict | list):
        return " (a list)" if isinstance(value, list) else " (a section)"
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in repr(value)[:_SHOWN])
    return f" (value: {text})"


def _at(schema: Schema, field: Schema, place: Sequence[str]) -> Schema:
    """The part of the schema that speaks of a place; empty where none does."""
    for part in place:
        options = [_resolved(schema, each) for each in _options(schema, field)]
        found: Schema | None = None
        for option in options:
            if part in option.get("properties", {}):
                found = option["properties"][part]
            elif option.get("type") == "array" and part.isdigit():
                found = option.get("items", {})
            elif isinstance(option.get("additionalProperties"), dict):
                found = option["additionalProperties"]
        field = found if found is not None else {}
    return field


def _options(schema: Schema, field: Schema) -> list[Schema]:
    field = _resolved(schema, field)
    return cast("list[Schema]", field.get("anyOf", [field]))


def _resolved(schema: Schema, field: Schema) -> Schema:
    if "$ref" in field:
        return schema["$defs"][str(field["$ref"]).rsplit("/", 1)[-1]]
    return field


def _keys(schema: Schema, field: Schema) -> Iterator[str]:
    for option in _options(schema, field):
        yield from _resolved(schema, option).get("properties", {})
