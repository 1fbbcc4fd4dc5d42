"""A trace: one input from production, and what the stack of that time answered."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field, field_validator, model_validator

from review.domain.types import Identifier, Json, Message, Output, Record, Side, moment


class Trace(Record):
    """One trace of import format v1.

    `messages` is the input alone; the logged answer is `response`. `customer`, `conversation` and `ticket` come in as
    they are and are stored as keyed hashes. `happened_at` is when it happened, with an offset.

    Of live traffic `served` says which stack the logged answer is of, and `shadow` is what the other stack answered to
    the same input at the time; both answers then make a pair.
    """

    trace_id: Identifier | None = None
    task: Identifier | None = None
    messages: list[Message] = Field(min_length=1)
    tools: list[dict[str, Json]] | None = None
    parameters: dict[str, Json] | None = None
    response: Output | None = None
    shadow: Output | None = None
    served: Side | None = None
    reference: str | None = None
    customer: Identifier | None = None
    conversation: Identifier | None = None
    ticket: Identifier | None = None
    metadata: dict[str, Json] | None = None
    happened_at: datetime | None = None
    synthetic: bool = False

    @field_validator("happened_at", mode="before")
    @classmethod
    def parse_time(cls, value: object) -> object:
        """Accept ISO 8601 text; a time without an offset is refused, because it names no moment."""
        return moment(value)

    @model_validator(mode="after")
    def answers_both(self) -> Self:
        """What answered beside another needs the other."""
        if self.shadow is not None and self.response is None:
            raise ValueError('"shadow" stands without the "response" that was served')
        return self
