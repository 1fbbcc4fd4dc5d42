"""The contract: what "as good as before" means, agreed before anybody looks at the numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field


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
