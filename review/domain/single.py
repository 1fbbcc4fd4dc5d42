"""What passes between the server and the card of a single answer, in the weekly audit of logged traffic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import Field

from review.domain.card import ClientId
from review.domain.trace import Trace
from review.domain.types import Calibration, ErrorDirection, Identifier, Record

Manner = Literal["good", "fair", "poor"]


@dataclass(frozen=True)
class SingleCard:
    """One logged answer to be read. Only `card_id` and the texts may reach the browser."""

    card_id: str
    sample_id: str
    trace_id: str
    trace: Trace


class SingleAnswers(Record):
    """What a reviewer said about one logged answer, as the browser sends it: the left side's fields of the card."""

    label_id: ClientId
    card_id: ClientId
    kind: Literal["label", "skip"] = "label"
    error_left: ErrorDirection | None = None
    calibration_left: Calibration | None = None
    tone: Manner | None = None
    categories_left: list[Identifier] = Field(default_factory=list[str])
    comment: str | None = Field(default=None, max_length=20_000)
    seconds: float | None = Field(default=None, ge=0)
    labelled_at: datetime | None = None
    supersedes: ClientId | None = None
    better: None = None
    error_right: None = None
    calibration_right: None = None
    categories_right: list[Identifier] = Field(default_factory=list[str], max_length=0)
