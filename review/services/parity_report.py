"""What a parity verdict says: values of each part, ready for page, command line and record."""

from __future__ import annotations

from dataclasses import dataclass

from review.domain.contract import Contract
from review.services.outcomes import TrafficShares
from review.stats.estimate import NotEstimable, Result
from review.stats.shift import Direction, DirectionShift, MoveTests
from review.stats.verdict import Verdict, joined

OVERALL = "overall"


@dataclass(frozen=True)
class TaskParity:
    """Part 1 for one task, or for all of them.

    Attributes:
        task: The task; None where pairs name none; OVERALL for all.
        verdict: Against the tolerance.
        difference: Share right on new minus on old, of all traffic: what decides.
        labels_only: The same without the judge.
        judge: Whose verdicts `difference` uses, if any.
        tolerance: How much lower new may be.
        p: One-sided p value of "lower by more than the tolerance".
        p_adjusted: After Holm over the tasks; the overall claim stands alone.
        pairs: Labelled pairs (or pairs with known correctness) it rests on.
        shares: Of the traffic.
        missing: Labelled pairs that are missing for a decision, without and with the judge; None where decided.
    """

    task: str | None
    verdict: Verdict
    difference: Result
    labels_only: Result
    judge: str | None
    tolerance: float
    p: float
    p_adjusted: float
    pairs: int
    shares: TrafficShares
    missing: Missing | None

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            "task": self.task,
            "verdict": self.verdict,
            "difference": self.difference.to_json(),
            "tolerance": self.tolerance,
            "labels_needed": None if self.missing is None else _count_json(self.missing.labels),
            "labels_needed_with_judge": None
            if self.missing is None or self.missing.with_judge is None
            else _count_json(self.missing.with_judge),
            "labels_only": self.labels_only.to_json(),
            "judge": self.judge,
            "p": self.p,
            "p_adjusted": self.p_adjusted,
            "pairs": self.pairs,
            "shares": dict(self.shares.__dict__),
        }


@dataclass(frozen=True)
class Missing:
    """Further labelled pairs for a decision, should the true difference be 0. `with_judge` is None without a judge."""

    labels: int | NotEstimable
    with_judge: int | NotEstimable | None


@dataclass(frozen=True)
class CategoryGrowth:
    """One failure category on old and new.

    `old` and `new` count labels that name it, `growth` is the difference of its rates in all traffic. `pairs` are some
    of the pairs on which new has it.
    """

    category: str
    verdict: Verdict
    old: int
    new: int
    growth: Result
    p: float
    p_adjusted: float
    pairs: tuple[str, ...]

    @property
    def new_only(self) -> bool:
        return self.new > 0 and self.old == 0

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            "category": self.category,
            "verdict": self.verdict,
            "old": self.old,
            "new": self.new,
            "growth": self.growth.to_json(),
            "p": self.p,
            "p_adjusted": self.p_adjusted,
            "new_only": self.new_only,
            "pairs": list(self.pairs),
        }


@dataclass(frozen=True)
class FailureModes:
    """Part 2. `missed` is the largest rate in all traffic of a new category that these labels could have missed."""

    verdict: Verdict
    categories: tuple[CategoryGrowth, ...]
    missed: float | NotEstimable
    ceiling: float
    pairs: int

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        missed = self.missed.to_json() if isinstance(self.missed, NotEstimable) else self.missed
        return {
            "verdict": self.verdict,
            "ceiling": self.ceiling,
            "pairs": self.pairs,
            "could_have_missed": missed,
            "categories": [each.to_json() for each in self.categories],
        }


@dataclass(frozen=True)
class TaskDirection:
    """The balance D of one task; it decides only where it is a regression after Holm over the tasks."""

    task: str | None
    verdict: Verdict
    direction: Direction
    balance: Result
    p_adjusted: float

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            "task": self.task,
            "verdict": self.verdict,
            "direction": self.direction,
            "balance": self.balance.to_json(),
            "p_adjusted": self.p_adjusted,
        }


@dataclass(frozen=True)
class ErrorDirection:
    """Part 3. A shift either way beyond the margin is a regression: errors are not of the kind people knew."""

    verdict: Verdict
    direction: Direction
    shift: DirectionShift | NotEstimable
    margin: float
    tests: MoveTests | NotEstimable
    tasks: tuple[TaskDirection, ...]
    cannot_tell: int

    @property
    def balance(self) -> Result:
        return self.shift if isinstance(self.shift, NotEstimable) else self.shift.balance

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            "verdict": self.verdict,
            "direction": self.direction,
            "balance": self.balance.to_json(),
            "margin": self.margin,
            "shift": self.shift.to_json(),
            "tests": self.tests.to_json() if isinstance(self.tests, NotEstimable) else _tests_json(self.tests),
            "tasks": [each.to_json() for each in self.tasks],
            "cannot_tell": self.cannot_tell,
        }


@dataclass(frozen=True)
class NextRound:
    """How a further round of `size` pairs would be spread to shrink the overall interval most (Neyman)."""

    size: int
    strata: tuple[tuple[str, int, int], ...]  # name, pairs left to draw, pairs to draw

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            "size": self.size,
            "strata": [{"stratum": name, "left": left, "draw": draw} for name, left, draw in self.strata],
        }


@dataclass(frozen=True)
class ParityReport:
    """Everything the Parity page and `review parity` say, at one one-sided alpha."""

    verdict: Verdict
    alpha: float
    contract: Contract
    round_id: str | None
    tolerance: tuple[TaskParity, ...]
    failure_modes: FailureModes
    direction: ErrorDirection
    next_round: NextRound | None
    notes: tuple[str, ...]
    labels: int
    labelled: int
    evidence: str

    @property
    def overall(self) -> TaskParity:
        return self.tolerance[0]

    def part_verdicts(self) -> dict[str, Verdict]:
        """The verdict of each part."""
        return {
            "tolerance": joined(each.verdict for each in self.tolerance),
            "failure_modes": self.failure_modes.verdict,
            "direction": self.direction.verdict,
        }

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            "verdict": self.verdict,
            "alpha": self.alpha,
            "round": self.round_id,
            "labels": self.labels,
            "labelled_pairs": self.labelled,
            "part_verdicts": self.part_verdicts(),
            "parts": {
                "tolerance": [each.to_json() for each in self.tolerance],
                "failure_modes": self.failure_modes.to_json(),
                "direction": self.direction.to_json(),
            },
            "next_round": None if self.next_round is None else self.next_round.to_json(),
            "contract": {**self.contract.model_dump(), "sha256": self.contract.digest},
            "notes": list(self.notes),
            "evidence": self.evidence,
        }


def _tests_json(tests: MoveTests) -> dict[str, object]:
    """The tests that accompany D as plain JSON values."""
    found: dict[str, object] = {"repeated_prompts": tests.repeated}
    for name in ("symmetry", "margins", "correct"):
        result = getattr(tests, name)
        found[name] = result.to_json() if isinstance(result, NotEstimable) else dict(result.__dict__)
    return found


def _count_json(count: int | NotEstimable) -> object:
    return count.to_json() if isinstance(count, NotEstimable) else count
