"""An evaluation run: which candidate against which baseline, on what evidence, and what each example came to."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, StringConstraints

from review.domain.identity import canonical
from review.domain.types import Identifier, Record

Evidence = Literal["benchmark", "golden", "replay", "shadow", "adversarial"]
Step = Literal["quantization", "kernel", "runtime", "model", "other"]

EVIDENCE: tuple[Evidence, ...] = get_args(Evidence)
# The four kinds that a migration step should have; the adversarial set is a slice of its own.
KINDS: tuple[Evidence, ...] = EVIDENCE[:4]
STEPS: tuple[Step, ...] = get_args(Step)

# Without any usage to measure it by; English prose has about four characters a token, and JSON a little fewer.
CHARACTERS_A_TOKEN = 4.0

Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class StackCard(Record):
    """What one side of a run is, as far as anybody said.

    `name` is how people speak of it; `config_hash` is that of its endpoint (domain.stack.stack_id), if there is one.
    """

    name: Identifier
    model: Identifier | None = None
    revision: Identifier | None = None
    quantization: Identifier | None = None
    runtime: Identifier | None = None
    config_hash: Sha | None = None


class RunSpec(Record):
    """A run before anything is recorded."""

    name: Identifier
    step: Step
    baseline: StackCard
    candidate: StackCard
    config_hash: Sha

    @property
    def run_id(self) -> str:
        """The same for the same run, so that starting it twice starts it once."""
        return "run-" + hashlib.sha256(canonical(self.model_dump()).encode()).hexdigest()[:16]


class Part(Record):
    """One body of evidence: `detail` is what makes it comparable, `source` names its pairs, where it has any."""

    evidence: Evidence
    part: Identifier
    source: Identifier | None = None
    data_hash: Sha
    detail: dict[str, Any] = Field(default_factory=dict)
    cost_usd: float = Field(default=0.0, ge=0)


class Outcome(Record):
    """What one example came to.

    Attributes:
        example_id: The same in every run, so that runs can be compared example by example.
        metric: What was measured: acc, exact_match, judged, an instruction, a rubric item, passed …
        repeat: 0, or a further asking; repeats with `old` alone measure how far the baseline differs from itself.
        prompt_id: The statistical cluster.
        task: The unit of tolerance.
        pair_id: The pair that people can read.
        old: How right the baseline was, 0 to 1; None is unknown.
        new: The same of the candidate.
        same: Both answered the same, so that the difference is 0 whatever the values.
        decided_by: "metric", "known", "structured", "label" or "judge NAME"; "nobody" where nothing tells. A judge's
            tie leaves both values open (services.runs.differences).
        weight: How many examples of traffic it stands for.
        prompt_tokens: Length of the input.
        steps: Steps of a chain of tool calls; None where it is none.
        old_steps: Right steps of the baseline before its first wrong one; `steps` where it completed the chain.
        new_steps: The same of the candidate.
        old_cut: The baseline's call or answer was truncated.
        new_cut: The same of the candidate.
    """

    example_id: Identifier
    metric: Identifier
    repeat: int = Field(default=0, ge=0)
    prompt_id: Identifier
    task: Identifier | None = None
    pair_id: Identifier | None = None
    old: float | None = Field(default=None, ge=0, le=1)
    new: float | None = Field(default=None, ge=0, le=1)
    same: bool = False
    decided_by: Identifier = "metric"
    weight: float = Field(default=1.0, gt=0)
    prompt_tokens: int | None = Field(default=None, ge=0)
    steps: int | None = Field(default=None, ge=1)
    old_steps: int | None = Field(default=None, ge=0)
    new_steps: int | None = Field(default=None, ge=0)
    old_cut: bool | None = None
    new_cut: bool | None = None


def source_of(evidence: Evidence, name: str) -> str:
    """What the pairs of a part are called as a source; benchmark, golden and adversarial are no traffic."""
    return f"{evidence}:{name}"


def is_traffic(source: str) -> bool:
    """Whether pairs from here say something about the shares of traffic. The database has the same rule: of_traffic."""
    return not source.startswith(tuple(f"{each}:" for each in ("benchmark", "golden", "adversarial")))
