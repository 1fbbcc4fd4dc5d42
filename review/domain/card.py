"""What passes between the server and the blind card: cards out, answers in left/right terms back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from review.domain.types import Calibration, ErrorDirection, Identifier, Label, Pair, Preference, Record, Side, Tone

Place = Literal["left", "right"]
BetterAnswer = Literal["left", "same", "right", "both_bad"]
ToneAnswer = Literal["left", "same", "right"]

# The browser makes the id (a UUID), so that sending twice stores once.
ClientId = Annotated[str, StringConstraints(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


@dataclass(frozen=True)
class Card:
    """One pair to be labelled by one reviewer. Only `card_id` may reach the browser; it is opaque.

    Attributes:
        card_id: opaque, stable for (round, pair, reviewer, occurrence).
        shown_first: the side that stands left, as A.
        occurrence: 0, or 1 and more for a hidden repeat.
    """

    card_id: str
    round_id: str
    pair_id: str
    occurrence: int
    shown_first: Side
    pair: Pair


class Answers(Record):
    """What a reviewer said about one card, as the browser sends it: left and right, never old and new."""

    label_id: ClientId
    card_id: ClientId
    kind: Literal["label", "skip"] = "label"
    better: BetterAnswer | None = None
    error_left: ErrorDirection | None = None
    error_right: ErrorDirection | None = None
    calibration_left: Calibration | None = None
    calibration_right: Calibration | None = None
    tone: ToneAnswer | None = None
    categories_left: list[Identifier] = Field(default_factory=list[str])
    categories_right: list[Identifier] = Field(default_factory=list[str])
    comment: str | None = Field(default=None, max_length=20_000)
    seconds: float | None = Field(default=None, ge=0)
    labelled_at: datetime | None = None
    supersedes: ClientId | None = None


def other(side: Side) -> Side:
    """The other stack."""
    return "new" if side == "old" else "old"


def side_at(place: Place, shown_first: Side) -> Side:
    """Which stack stands at `place`."""
    return shown_first if place == "left" else other(shown_first)


def to_label(answers: Answers, card: Card, reviewer: str) -> Label:
    """Translate answers from shown order to old/new."""
    kept = card.shown_first == "old"
    error_old, error_new = (
        (answers.error_left, answers.error_right) if kept else (answers.error_right, answers.error_left)
    )
    calibration_old, calibration_new = (
        (answers.calibration_left, answers.calibration_right)
        if kept
        else (answers.calibration_right, answers.calibration_left)
    )
    categories_old, categories_new = (
        (answers.categories_left, answers.categories_right)
        if kept
        else (answers.categories_right, answers.categories_left)
    )
    return Label(
        pair_id=card.pair_id,
        reviewer=reviewer,
        preference=_preference(answers.better, card.shown_first),
        error_old=error_old,
        error_new=error_new,
        tone=_tone(answers.tone, card.shown_first),
        calibration_old=calibration_old,
        calibration_new=calibration_new,
        categories_old=categories_old or None,
        categories_new=categories_new or None,
        comment=answers.comment or None,
        labelled_at=answers.labelled_at,
        label_id=answers.label_id,
        round_id=card.round_id,
        occurrence=card.occurrence,
        shown_first=card.shown_first,
        kind=answers.kind,
        supersedes=answers.supersedes,
        seconds=answers.seconds,
    )


def to_answers(label: Label, card: Card) -> Answers:
    """Translate a stored label back to shown order, so that a reviewer can reopen it."""
    kept = card.shown_first == "old"
    error_left, error_right = (label.error_old, label.error_new) if kept else (label.error_new, label.error_old)
    calibration_left, calibration_right = (
        (label.calibration_old, label.calibration_new) if kept else (label.calibration_new, label.calibration_old)
    )
    categories_left, categories_right = (
        (label.categories_old, label.categories_new) if kept else (label.categories_new, label.categories_old)
    )
    return Answers(
        label_id=label.label_id or "",
        card_id=card.card_id,
        kind="skip" if label.kind == "skip" else "label",
        better=_better(label.preference, card.shown_first),
        error_left=error_left,
        error_right=error_right,
        calibration_left=calibration_left,
        calibration_right=calibration_right,
        tone=_tone_answer(label.tone, card.shown_first),
        categories_left=list(categories_left or []),
        categories_right=list(categories_right or []),
        comment=label.comment,
        seconds=label.seconds,
        labelled_at=label.labelled_at,
        supersedes=label.supersedes,
    )


def _preference(better: BetterAnswer | None, shown_first: Side) -> Preference | None:
    if better is None or better == "both_bad":
        return better
    return "tie" if better == "same" else side_at(better, shown_first)


def _tone(tone: ToneAnswer | None, shown_first: Side) -> Tone | None:
    if tone is None or tone == "same":
        return tone
    return side_at(tone, shown_first)


def _place_of(side: Side, shown_first: Side) -> Place:
    return "left" if side == shown_first else "right"


def _better(preference: Preference | None, shown_first: Side) -> BetterAnswer | None:
    if preference is None or preference == "both_bad":
        return preference
    return "same" if preference == "tie" else _place_of(preference, shown_first)


def _tone_answer(tone: Tone | None, shown_first: Side) -> ToneAnswer | None:
    if tone is None or tone == "same":
        return tone
    return _place_of(tone, shown_first)
