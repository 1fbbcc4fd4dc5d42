"""A contract as a YAML file in plain words: every term with what it means and its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from review.domain.contract import Terms

_HEAD = """\
# The contract: what "as good as before" means. Agree on it before anybody looks at the numbers, then:
#   review contract check {file}
#   review contract sign {file} --name "Your Name"      (everybody who agrees, the same file)
# Shares are of all traffic where nothing else is said: 0.015 is 1.5 points. What is signed is this file's terms
# with the rubric and the failure categories of the configuration; another word in any of them is a new version.
contract:
"""

_MEANINGS: dict[str, str] = {
    "tolerance": "How much lower the share of right answers may be, overall and in each task.",
    "task_tolerance": "Other tolerances by task (or by benchmark): tighter where an error does harm, looser where the\n"
    "baseline itself wavers.",
    "direction_margin": "How far the balance of confident over cautious errors may move, either way. Errors that were\n"
    "cautious and became confident are a regression even where their number stays the same.",
    "category_ceiling": "How much any failure category may grow.",
    "confidence": "Of each claim, over all looks together.",
    "power": "With which probability the labels that are said to be missing would decide.",
    "looks": "How often a verdict may be read off labels that still grow.",
    "planned_pairs": "Labelled pairs at which the last look is due; null: the places of the rounds.",
    "judge": "Whose verdicts carry labels over to other pairs; null: the judge of the most pairs.",
    "benchmark_tolerance": "How much lower new may score on a benchmark.",
    "golden_tolerance": "How much lower new may score on the golden set.",
    "tone_margin": "How much more often people may find old's tone the fitter one than new's, of labelled pairs;\n"
    "null: no such term.",
    "calibration_margin": "How far the Brier score may rise, and how far the certainty of the wording may move either\n"
    "way, in steps from too careful (-1) to too sure (+1); null: no such term.",
    "adversarial": "The adversarial set: `floor` is the least pass rate of new, shown with the confidence above;\n"
    "`weight` is what one of its cases weighs in the weighted score against an ordinary example.",
    "regression_threshold": "How much lower the weighted score of everything together may be.",
    "judge_agreement": "Least share of pairs on which the judge says what people say. Below it, nothing that rests on\n"
    "the judge is taken for parity.",
    "slices": "Slices whose every bucket must be shown to hold, each with its tolerance, as in\n"
    "{long_context: 0.03, tool_chains: 0.03}. A slice that is not named can only fail by harm that is shown.",
    "requires": "Kinds of evidence without which there is no parity: benchmark, golden, replay, shadow, adversarial.",
}


def written(terms: Terms, tasks: Sequence[str], noise: Mapping[str, float], file: str) -> str:
    """The file.

    Args:
        terms: What to write.
        tasks: Tasks that there are, for which task_tolerance shows the tolerance in force.
        noise: How far the baseline differs from itself, by task.
        file: How the person will call the file.
    """
    lines = [_HEAD.format(file=file if file.isprintable() else "contract.yaml").rstrip("\n")]
    for name, value in terms.model_dump(mode="json").items():
        lines += ["", *(f"  # {each}" for each in _MEANINGS[name].splitlines())]
        if name == "task_tolerance":
            lines += _tasks(terms, tasks, noise)
        else:
            lines.append(f"  {name}: {_scalar(value)}")
    return "\n".join(lines) + "\n"


def _tasks(terms: Terms, tasks: Sequence[str], noise: Mapping[str, float]) -> list[str]:
    named = list(dict.fromkeys([*terms.task_tolerance, *tasks, *noise]))
    if not named:
        return ["  task_tolerance: {}"]
    lines = ["  task_tolerance:"]
    for task in named:
        tolerance = terms.task_tolerance.get(task, terms.tolerance)
        beside = ""
        if task in noise:
            below = "; BELOW its noise, so no number of examples like these can hold it" * (tolerance < noise[task])
            beside = f"  # asked again, the baseline itself comes out up to {noise[task]:.4f} apart{below}"
        lines.append(f"    {_scalar(task)}: {_scalar(tolerance)}{beside}")
    return lines


def _scalar(value: Any) -> str:
    """A value on one line, quoted wherever it could be read as anything else."""
    style = '"' if isinstance(value, str) else None
    text = yaml.safe_dump([value], default_flow_style=True, default_style=style, width=10**9, allow_unicode=True)
    return text.strip()[1:-1]
