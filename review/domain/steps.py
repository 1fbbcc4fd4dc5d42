"""Steps of a chain of tool calls: what the right next call is, whether an answer makes it, whether it was cut off.

A step is one answer of the assistant that calls tools (several calls at once are one step). Every step is asked with
the conversation as it was logged up to there, so a wrong step does not spoil the ones after it. A side's step is right
where its calls are those of the reference: the same tools in the same order, with arguments that are equal as JSON
values (domain.structured); what is said beside the calls does not matter. The reference is the one that came with the
data or, without one, the call that was logged. Where the log does not call a tool, there is no step.

A chain is the steps of one conversation. Its length counts the steps up to the last one that has a reference; a step
that was not asked again counts as right, as the log has it. A side completes the chain where all its steps are right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError

from review.domain import structured
from review.domain.types import Output

# What servers say of an answer that reached its token limit: OpenAI's word, and Anthropic's.
CUT = frozenset({"length", "max_tokens"})


@dataclass(frozen=True)
class Step:
    """One step that both stacks were asked for.

    Attributes:
        position: 1 for the conversation's first call.
        old: The baseline made the right call.
        new: The candidate did.
        old_cut: The baseline's answer was cut off; None where nothing tells.
        new_cut: The same of the candidate.
    """

    position: int
    old: bool
    new: bool
    old_cut: bool | None = None
    new_cut: bool | None = None


@dataclass(frozen=True)
class Chain:
    """A conversation's steps, as domain.run.Outcome has them."""

    steps: int
    old_steps: int
    new_steps: int
    old_cut: bool | None
    new_cut: bool | None


def chain(steps: Iterable[Step]) -> Chain:
    """The chain of some steps of one conversation, at least one.

    >>> chain([Step(2, True, False), Step(3, False, True)])
    Chain(steps=3, old_steps=2, new_steps=1, old_cut=None, new_cut=None)
    """
    known = list(steps)
    length = max(each.position for each in known)
    return Chain(
        length,
        min((each.position - 1 for each in known if not each.old), default=length),
        min((each.position - 1 for each in known if not each.new), default=length),
        _any(each.old_cut for each in known),
        _any(each.new_cut for each in known),
    )


def _any(said: Iterable[bool | None]) -> bool | None:
    known = [each for each in said if each is not None]
    return any(known) if known else None


def expected(reference: str | None) -> Output | None:
    """A reference that is structured: tool calls or a JSON object; None for prose.

    Tool calls are {"name": …, "arguments": …}, OpenAI's {"function": {…}}, a list of those, or {"tool_calls": [ … ]}.
    """
    if reference is None or reference.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value: Any = json.loads(reference)
    except (ValueError, RecursionError):
        return None
    calls = _calls_in(value)
    if calls is not None:
        return _output({"tool_calls": calls})
    return Output(content=reference) if isinstance(value, dict) else None


def logged(calls: str | None) -> Output | None:
    """The tool calls of a logged answer as JSON; None where it made none."""
    if calls is None:
        return None
    value: Any = json.loads(calls)
    return _output({"tool_calls": value}) if value else None


def makes(answer: Output, reference: Output) -> bool:
    """Whether an answer is the structured reference."""
    found = structured.compare(reference, answer)
    return found is not None and found.outcome == "same"


def cut(answer: Output) -> bool | None:
    """Whether an answer was cut off: by the token limit, or in the middle of a call or a JSON object."""
    if answer.finish_reason in CUT:
        return True
    itself = structured.compare(answer, answer)
    if itself is None:
        return None if answer.finish_reason is None else False
    return itself.outcome == "broken"


def _calls_in(value: Any) -> list[Any] | None:
    """The calls that a reference names in any of its spellings."""
    if isinstance(value, list):
        each = [_call(one) for one in cast("list[Any]", value)]
        return each if each and None not in each else None
    if isinstance(value, dict) and isinstance(inner := cast("dict[str, Any]", value).get("tool_calls"), list):
        return cast("list[Any]", inner) or None
    one = _call(value)
    return None if one is None else [one]


def _call(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    said = cast("Mapping[str, Any]", value)
    if isinstance(said.get("function"), dict):
        return {"function": said["function"]}
    if isinstance(said.get("name"), str) and "arguments" in said:
        return {"function": {"name": said["name"], "arguments": said["arguments"]}}
    return None


def _output(document: Mapping[str, Any]) -> Output | None:
    """An output, or None where the calls are none."""
    try:
        return Output.model_validate(document)
    except ValidationError:
        return None
