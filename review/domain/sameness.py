"""Whether two outputs are the same, and whether they differ in something that needs no reading."""

from __future__ import annotations

import json

from review.domain.identity import canonical
from review.domain.types import Output, ToolCall


def identical(old: Output, new: Output) -> bool:
    """Equal text after whitespace, and equal tool calls."""
    return (old.content or "").split() == (new.content or "").split() and _calls(old) == _calls(new)


def structured_differs(old: Output, new: Output) -> bool:
    """Tool calls, known correctness or the reason for stopping differ, where both say it."""

    def differ(one: object, other: object) -> bool:
        return one is not None and other is not None and one != other

    return (
        _calls(old) != _calls(new) or differ(old.correct, new.correct) or differ(old.finish_reason, new.finish_reason)
    )


def _calls(output: Output) -> list[tuple[str, str]]:
    return [(call.function.name, _arguments(call)) for call in output.tool_calls or []]


def _arguments(call: ToolCall) -> str:
    """Arguments without the spacing and key order that mean nothing; what is no JSON stands as it is."""
    arguments = call.function.arguments
    if isinstance(arguments, str):
        try:
            return canonical(json.loads(arguments))
        except (ValueError, RecursionError):
            return arguments
    return canonical(arguments or {})
