"""The records of import format v1, as typed values: Pair, Verdict, Label and their parts.

Validation here is the authority on what a legal record is; whatever is faster elsewhere must agree with it.
Unknown keys are refused in the records themselves (a misspelt field must not vanish) and kept in messages, tool calls
and `metadata`, which belong to the caller.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

Side = Literal["old", "new"]
Winner = Literal["old", "new", "tie"]
Preference = Literal["old", "new", "tie", "both_bad"]
ErrorDirection = Literal["none", "cautious", "confident", "other", "cannot_tell"]
Tone = Literal["old", "same", "new"]
Calibration = Literal["under", "right", "over"]
LabelKind = Literal["label", "skip", "adjudication"]

PREFERENCES: tuple[Preference, ...] = ("old", "new", "tie", "both_bad")
ERROR_DIRECTIONS: tuple[ErrorDirection, ...] = ("none", "cautious", "confident", "other", "cannot_tell")
TONES: tuple[Tone, ...] = ("old", "same", "new")
CALIBRATIONS: tuple[Calibration, ...] = ("under", "right", "over")

# Identifiers travel through URLs, file names of exports and the terminal: printable, bounded.
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Json = Any


class Record(BaseModel):
    """A frozen record; unknown keys are errors; numbers and booleans are never guessed from strings."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FunctionCall(BaseModel):
    """The function of a tool call; `arguments` is the model's text (JSON if it is whole) or an object."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: str
    arguments: str | dict[str, Json] | None = None


class ToolCall(BaseModel):
    """One tool call in OpenAI chat format."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    id: str | None = None
    type: str | None = None
    function: FunctionCall


class Message(BaseModel):
    """One message in OpenAI chat format: text or parts, tool calls of an assistant, result of a tool."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    role: str = Field(min_length=1, max_length=40)
    content: str | list[dict[str, Json]] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class Output(Record):
    """What one stack answered.

    `confidence` is the stated probability of being right, 0–1; `correct` is known correctness. `outcomes` are later
    signals (clicked, resolved, reopened). `latency_ms` is in milliseconds; `usage` is the provider's token counts.
    """

    model: str | None = None
    content: str | None = None
    tool_calls: list[ToolCall] | None = None
    confidence: float | None = Field(default=None, ge=0, le=1)
    correct: bool | None = None
    outcomes: dict[str, Json] | None = None
    finish_reason: str | None = None
    latency_ms: float | None = Field(default=None, ge=0)
    usage: dict[str, Json] | None = None

    @field_validator("content", mode="before")
    @classmethod
    def scalar_to_text(cls, value: object) -> object:
        """A bare true, false or number stands as its JSON text: files that went through YAML have such answers."""
        return json.dumps(value) if isinstance(value, bool | int | float) else value

    @model_validator(mode="after")
    def says_something(self) -> Self:
        """An output has a text (possibly empty) or tool calls."""
        if self.content is None and not self.tool_calls:
            raise ValueError('"content" is missing and there are no "tool_calls"')
        return self


class Pair(Record):
    """The old and the new stack's answers to one input. `prompt_id` is the statistical cluster."""

    pair_id: Identifier | None = None
    prompt_id: Identifier | None = None
    task: Identifier | None = None
    messages: list[Message] = Field(min_length=1)
    tools: list[dict[str, Json]] | None = None
    reference: str | None = None
    old: Output
    new: Output
    metadata: dict[str, Json] | None = None


class Verdict(Record):
    """One vote of a judge on one pair. `winner` None is an unparsable verdict; `shown_first` None is unknown order."""

    pair_id: Identifier
    judge: Identifier
    vote: int = Field(default=1, ge=1, le=1_000_000)
    shown_first: Side | None = None
    winner: Winner | None = None
    raw: str | None = None
    rationale: str | None = None
    cost_usd: float | None = Field(default=None, ge=0)
    error_old: ErrorDirection | None = None
    error_new: ErrorDirection | None = None
    tone: Tone | None = None
    calibration_old: Calibration | None = None
    calibration_new: Calibration | None = None


class Label(Record):
    """One reviewer's row about one pair: a label, a skip or an adjudication. A correction supersedes, never overwrites.

    `occurrence` 0 is the first showing; 1 and more are hidden repeats. `shown_first` is the side that stood left (A).
    `seconds` is the time from shown to submitted. `surplus` marks a label beyond the round's overlap.
    """

    pair_id: Identifier
    reviewer: Identifier
    preference: Preference | None = None
    error_old: ErrorDirection | None = None
    error_new: ErrorDirection | None = None
    tone: Tone | None = None
    calibration_old: Calibration | None = None
    calibration_new: Calibration | None = None
    categories_old: list[Identifier] | None = None
    categories_new: list[Identifier] | None = None
    comment: str | None = None
    labelled_at: datetime | None = None
    label_id: Identifier | None = None
    round_id: Identifier | None = None
    occurrence: int = Field(default=0, ge=0, le=1_000_000)
    shown_first: Side | None = None
    kind: LabelKind = "label"
    supersedes: Identifier | None = None
    seconds: float | None = Field(default=None, ge=0)
    surplus: bool = False
    simulated: bool = False

    @field_validator("labelled_at", mode="before")
    @classmethod
    def parse_time(cls, value: object) -> object:
        """Accept ISO 8601 text; a time without an offset is refused, because it names no moment."""
        return moment(value)


def moment(value: object) -> object:
    """A time with an offset, in UTC, out of ISO 8601 text; what is no time passes on to the type's own check.

    Raises:
        ValueError: for people: no ISO 8601, no offset, or outside the years 1 to 9999.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("a time is written as in 2026-03-01T14:02:11+00:00") from None
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ValueError("a time needs an offset, as in 2026-03-01T14:02:11+00:00")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time lies in the years 1 to 9999") from None
