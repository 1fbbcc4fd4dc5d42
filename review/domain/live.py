"""Live traffic: what it is called as a source, and what it reports where inputs and outputs are dropped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from review.domain.types import Identifier, Record, Side, moment

Kind = Literal["production", "shadow", "metrics"]
KINDS: tuple[Kind, ...] = get_args(Kind)
UNNAMED = "live"
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_LONGEST = 60

_WORD = re.compile(r"[a-z0-9_-]{1,40}")


@dataclass(frozen=True)
class Live:
    """Where live traffic comes from.

    Attributes:
        kind: "shadow": old serves and new answers beside it; "production": whatever serves; "metrics": no texts.
        name: Of the gateway or stage, as people call it.
        served: Who served where a record does not say; None: a record with two answers has to say.
    """

    kind: Kind = "production"
    name: str = UNNAMED
    served: Side | None = None

    @property
    def source(self) -> str:
        """As a source of pairs; shadow and production are traffic (domain.run.is_traffic)."""
        return f"{self.kind}:{self.name}"


def parse(text: str, served: Side | None = None) -> Live:
    """A source as it is written on the command line: KIND or KIND:NAME.

    Raises:
        ValueError: For people: no such kind, or a name with other characters.
    """
    kind, colon, name = text.partition(":")
    if kind not in KINDS:
        raise ValueError(f"a source is one of {', '.join(KINDS)}, and may have a name, as in shadow:gateway")
    if colon and not (0 < len(name) <= _LONGEST and set(name) <= _LETTERS):
        raise ValueError(f"a source's name has 1 to {_LONGEST} letters, digits, dots, dashes and underscores")
    return Live(kind, name or UNNAMED, served or ("old" if kind == "shadow" else None))


class Measures(Record):
    """What one stack's answer was like, without the answer.

    `latency_ms` is in milliseconds; `characters` is the answer's length; the tokens are the provider's counts.
    """

    latency_ms: float | None = Field(default=None, ge=0)
    timed_out: bool | None = None
    failed: bool | None = None
    refused: bool | None = None
    finish_reason: str | None = None
    characters: int | None = Field(default=None, ge=0)
    prompt_tokens: int | None = Field(default=None, ge=0)
    completion_tokens: int | None = Field(default=None, ge=0)

    @field_validator("finish_reason")
    @classmethod
    def is_a_word(cls, value: str | None) -> str | None:
        """A provider's word such as "content_filter": nothing that could carry a text."""
        if value is not None and not _WORD.fullmatch(value):
            raise ValueError("it is one word of at most 40 small letters, digits, dashes and underscores")
        return value

    @model_validator(mode="after")
    def says_something(self) -> Self:
        """At least one measure."""
        if not self.model_fields_set:
            raise ValueError(f"it has none of {', '.join(type(self).model_fields)}")
        return self


class Metrics(Record):
    """One exchange whose texts are dropped: what old's answer was like, or new's, or both."""

    trace_id: Identifier | None = None
    task: Identifier | None = None
    happened_at: datetime
    old: Measures | None = None
    new: Measures | None = None

    @field_validator("happened_at", mode="before")
    @classmethod
    def parse_time(cls, value: object) -> object:
        """Accept ISO 8601 text; a time without an offset is refused, because it names no moment."""
        return moment(value)

    @model_validator(mode="after")
    def has_a_side(self) -> Self:
        """A record measures something."""
        if self.old is None and self.new is None:
            raise ValueError("it has neither old nor new")
        return self
