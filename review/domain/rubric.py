"""The rubric that reviewers see, and the categories of failure."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Rubric(BaseModel):
    """One plain explanation for each question on the card."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    error: str = "Is something wrong, and which way: too cautious, too confident, or otherwise?"
    calibration: str = "Does the certainty of the wording fit what the answer can know?"
    tone: str = "Which answer's tone fits the situation better?"
    better: str = "Which answer would you rather have sent?"


class FailureCategory(BaseModel):
    """One way to fail: a stable `id`, the letter `key` on the card, a name and one line of help."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    key: str = Field(pattern=r"^[a-z]$")
    name: str = Field(min_length=1, max_length=40)
    help: str = Field(min_length=1, max_length=200)


def _category(id: str, key: str, name: str, help: str) -> FailureCategory:
    return FailureCategory(id=id, key=key, name=name, help=help)


DEFAULT_CATEGORIES: tuple[FailureCategory, ...] = (
    _category("truncated_tool_call", "t", "Truncated tool call", "A tool call that is cut off or cannot be parsed."),
    _category("wrong_tool", "w", "Wrong tool", "A tool that does not do what was asked, or none where one was needed."),
    _category("wrong_argument", "a", "Wrong argument", "The right tool with a wrong, missing or invented value."),
    _category("invented_fact", "i", "Invented fact", "Stated without support in the conversation, documents or tools."),
    _category("refusal", "r", "Refusal", "It declines to do what it may and can do."),
    _category("ignored_instruction", "n", "Ignored instruction", "It does not do what was asked for."),
    _category("lost_context", "l", "Lost context", "It forgets or contradicts what was said earlier."),
    _category("format_error", "e", "Format error", "The asked-for format is not kept."),
    _category("tone_mismatch", "m", "Tone mismatch", "The wording does not fit the person or the situation."),
    _category("unsafe", "x", "Unsafe", "It could harm somebody, or gives away what it must not."),
    _category("other", "o", "Other", "Wrong in a way that no other category names."),
)
