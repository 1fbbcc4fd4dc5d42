"""The contract: what "as good as before" means, agreed before anybody looks at the numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from review.domain.identity import canonical
from review.domain.rubric import FailureCategory, Rubric

Kind = Literal["benchmark", "golden", "replay", "shadow", "adversarial"]
SliceName = Literal["long_context", "tool_chains"]


class Contract(BaseModel):
    """Margins, confidence and the number of looks.

    Attributes:
        tolerance: How much lower the share of right answers may be, of all traffic: .015 is 1.5 points.
        task_tolerance: Other tolerances by task.
        direction_margin: How far the balance of error direction D may move, of all traffic, either way.
        category_ceiling: How much a failure category may grow, of all traffic.
        confidence: Of every one-sided claim, over all looks together; alpha is 1 - confidence.
        power: With which probability the labels that are said to be missing would decide, if old and new are equal.
        looks: How often a verdict may be read off a growing round.
        planned_pairs: Labelled pairs at which the last look is due; by default the places of the rounds.
        judge: Whose verdicts carry the labels over to pairs without; by default the one that judged the most pairs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tolerance: float = Field(default=0.015, gt=0, lt=1)
    task_tolerance: Mapping[str, float] = Field(default_factory=dict[str, float])
    direction_margin: float = Field(default=0.05, gt=0, le=2)
    category_ceiling: float = Field(default=0.02, gt=0, lt=1)
    confidence: float = Field(default=0.95, ge=0.5, lt=1)
    power: float = Field(default=0.8, gt=0.5, lt=1)
    looks: int = Field(default=3, ge=1, le=20)
    planned_pairs: int | None = Field(default=None, ge=1)
    judge: str | None = None

    @property
    def alpha(self) -> float:
        """The one-sided error that all looks together may make."""
        return round(1 - self.confidence, 12)

    def tolerance_for(self, task: str | None) -> float:
        """The tolerance of a task, or of all tasks together."""
        return self.task_tolerance.get(task, self.tolerance) if task is not None else self.tolerance

    @property
    def digest(self) -> str:
        """SHA-256 of everything agreed, so that a verdict names its contract."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class AdversarialTerms(BaseModel):
    """The adversarial set's part: least pass rate of new, and what one case weighs against an ordinary example."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    floor: float = Field(default=0.85, ge=0, le=1)
    weight: float = Field(default=3.0, gt=0, le=1000)


class Terms(Contract):
    """Everything that is signed: the contract of labels, and what the gate holds beside it.

    Attributes:
        benchmark_tolerance: How much lower new may score on a benchmark; task_tolerance names others, by its task.
        golden_tolerance: The same of the golden set.
        tone_margin: How far old's tone may be the fitter one more often than new's, of labelled pairs; None: no term.
        calibration_margin: How far the Brier score may rise, and the wording move, either way, between too careful
            and too sure; None: no term.
        adversarial: Its floor and weight.
        regression_threshold: How much lower the weighted score may be.
        judge_agreement: Least share of pairs on which the judge says what people say; below it nothing that rests on
            the judge is taken for parity.
        slices: Tolerances of long_context and tool_chains whose every bucket must be shown to hold; a slice that is not
            named here can only fail by shown harm.
        requires: Kinds of evidence without which there is no parity; `replay` is met by shadow traffic too.
    """

    benchmark_tolerance: float = Field(default=0.015, gt=0, lt=1)
    golden_tolerance: float = Field(default=0.015, gt=0, lt=1)
    tone_margin: float | None = Field(default=0.1, gt=0, lt=1)
    calibration_margin: float | None = Field(default=0.1, gt=0, lt=1)
    adversarial: AdversarialTerms = AdversarialTerms()
    regression_threshold: float = Field(default=0.02, ge=0, le=1)
    judge_agreement: float = Field(default=0.6, ge=0, lt=1)
    slices: Mapping[SliceName, float] = Field(default_factory=dict[SliceName, float])
    requires: tuple[Kind, ...] = Field(default=("replay",), strict=False)

    def benchmark_for(self, task: str) -> float:
        """The tolerance of a benchmark's task."""
        return self.task_tolerance.get(task, self.benchmark_tolerance)

    def golden_for(self, task: str | None) -> float:
        """The tolerance of a task of the golden set."""
        return self.golden_tolerance if task is None else self.task_tolerance.get(task, self.golden_tolerance)

    def slice_for(self, name: SliceName) -> float:
        """The tolerance of a slice's buckets."""
        return self.slices.get(name, self.tolerance)


def signed_text(terms: Terms, rubric: Rubric, categories: Sequence[FailureCategory]) -> str:
    """What people sign, as canonical JSON: the terms, what reviewers are asked, and the ways to fail."""
    return canonical(
        {
            "terms": terms.model_dump(mode="json"),
            "rubric": rubric.model_dump(mode="json"),
            "failure_categories": [each.model_dump(mode="json") for each in categories],
        }
    )


def signed_digest(terms: Terms, rubric: Rubric, categories: Sequence[FailureCategory]) -> str:
    """SHA-256 of `signed_text`: another word in the rubric is another contract."""
    return hashlib.sha256(signed_text(terms, rubric, categories).encode()).hexdigest()


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What changed between two documents of `signed_text`: dotted key, value before, value after; None is absent."""
    old, new = dict(_flat(before, "")), dict(_flat(after, ""))
    return [(key, old.get(key), new.get(key)) for key in sorted({*old, *new}) if old.get(key) != new.get(key)]


def _flat(value: Any, key: str) -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]]
    if isinstance(value, Mapping):
        items = [(str(name), each) for name, each in value.items()]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # any JSON
    elif isinstance(value, list) and value and all(isinstance(each, dict) and "id" in each for each in value):  # pyright: ignore[reportUnknownVariableType]  # any JSON
        items = [(str(each["id"]), each) for each in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # any JSON
    else:
        return [(key, value)]
    return [found for name, each in items for found in _flat(each, f"{key}.{name}" if key else name)]
