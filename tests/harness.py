"""lm-evaluation-harness for tests: its files, written in its own format, and the real one in an environment of its own.

The format is that of 0.4.13, seen in what it wrote for its own mmlu_pro, bbh, ifeval and gpqa (tests/e2e/test_bench.py
compares the two). `python -m tests.harness` installs it, as `python -m tests` does in the background: its requirements
fit with ours, and what it brings (`datasets`) would be loaded by libraries of ours that find it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from review.adapters.harness import REQUIREMENT

WRITTEN = "2026-11-20T10-11-12.345678"


def provide() -> Path:
    """The Python that has the harness; installed when absent. Whoever comes meanwhile waits.

    Raises:
        CalledProcessError: it cannot be installed; what pip said stands on standard error.
    """
    own = sys.prefix != sys.base_prefix  # else this is the system's Python, which is not ours to add to
    beside = Path(sys.prefix) if own else Path.home() / ".cache" / "parity-review"
    beside.mkdir(parents=True, exist_ok=True)
    folder = beside / f"harness-{REQUIREMENT.rpartition('=')[2]}"
    python, whole = folder / "bin" / "python", folder / "whole"
    with (beside / "harness.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            install = [python, "-m", "pip", "install", "-q", "--no-compile", REQUIREMENT]
            subprocess.run(install, check=True, stdout=sys.stderr)
            whole.touch()
    return python


@dataclass
class Doc:
    """A document as a test says it: the prompt, the target, and the response with what each metric gave."""

    prompt: str
    target: str
    response: str
    # "exact_match,custom-extract": 1.0, or a list for the instructions of IFEval.
    values: Mapping[str, Any]
    # Of a multiple-choice document: each choice with its log-likelihood.
    choices: Sequence[tuple[str, float]] = ()
    doc: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Fake:
    """A task as the harness would have run it."""

    name: str
    docs: Sequence[Doc]
    version: Any = 1.0
    shots: int = 0
    output_type: str = "generate_until"
    filters: Sequence[str] = ("none",)
    regex: str = "(-?[0-9]+)"
    means: bool = True
    doc_to_target: Any = "answer"
    lower: Sequence[str] = ()

    def metrics(self) -> list[str]:
        return list(dict.fromkeys(name for doc in self.docs for name in doc.values))

    def value(self, metric: str) -> float:
        flat: list[float] = []
        for doc in self.docs:
            value = doc.values[metric]
            flat += value if isinstance(value, list) else [value]
        return sum(map(float, flat)) / len(flat)


def write_output(
    folder: Path,
    model: str,
    tasks: Sequence[Fake],
    groups: Mapping[str, Sequence[str]] | None = None,
    *,
    by_size: bool = True,
    written: str = WRITTEN,
    harness: str | None = "0.4.13",
    named_filters: bool = True,
    change: Mapping[str, Any] | None = None,
) -> Path:
    """Results and samples of one run of the harness, in a folder of the model's name."""
    into = folder / model
    into.mkdir(parents=True, exist_ok=True)
    by_name = {each.name: each for each in tasks}
    results: dict[str, Any] = {each.name: _values(each) for each in tasks}
    for group, names in (groups or {}).items():
        results[group] = {"alias": group, "name": group} | _summed([by_name[each] for each in names], by_size)
    document: dict[str, Any] = {
        "results": results,
        "groups": {name: results[name] for name in groups or {}},
        "group_subtasks": {name: list(names) for name, names in (groups or {}).items()},
        "configs": {each.name: _config(each) for each in tasks},
        "versions": {each.name: each.version for each in tasks},
        "n-shot": {each.name: each.shots for each in tasks},
        "higher_is_better": {
            each.name: {metric.partition(",")[0]: metric not in each.lower for metric in each.metrics()}
            for each in tasks
        },
        "n-samples": {each.name: {"original": len(each.docs), "effective": len(each.docs)} for each in tasks},
        "config": {"model": "local-chat-completions", "model_args": {"model": model}, "limit": None},
        "model_source": "local-chat-completions",
        "model_name": model,
        "model_name_sanitized": model,
        **({"lm_eval_version": harness} if harness else {}),
        **(change or {}),
    }
    (into / f"results_{written}.json").write_text(json.dumps(document, indent=2))
    for each in tasks:
        lines = [
            json.dumps(_sample(each, at, doc, through, named_filters))
            for through in each.filters
            for at, doc in enumerate(each.docs)
        ]
        (into / f"samples_{each.name}_{written}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def _values(task: Fake) -> dict[str, Any]:
    found: dict[str, Any] = {"name": task.name, "alias": task.name, "sample_len": len(task.docs)}
    for metric in task.metrics():
        name, _, through = metric.partition(",")
        found[metric] = task.value(metric)
        found[f"{name}_stderr,{through}"] = "N/A"
    return found


def _summed(tasks: Sequence[Fake], by_size: bool) -> dict[str, float]:
    shared = [each for each in tasks[0].metrics() if all(each in task.metrics() for task in tasks)]
    weights = [len(each.docs) if by_size else 1 for each in tasks]
    return {
        metric: sum(each.value(metric) * weight for each, weight in zip(tasks, weights, strict=True)) / sum(weights)
        for metric in shared
    }


def _config(task: Fake) -> dict[str, Any]:
    names = list(dict.fromkeys(metric.partition(",")[0] for metric in task.metrics()))
    plain = list(task.filters) == ["none"]
    return {
        "task": task.name,
        "doc_to_target": task.doc_to_target,
        "num_fewshot": task.shots,
        "metric_list": [
            {
                "metric": name,
                "aggregation": "mean" if task.means and not name.startswith("inst_level") else "def agg(items):\n ...",
                "higher_is_better": True,
            }
            for name in names
        ],
        "output_type": task.output_type,
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8},
        **({} if plain else {"filter_list": [{"name": each, "filter": [task.regex]} for each in task.filters]}),
        "metadata": {"version": task.version},
    }


def _sample(task: Fake, at: int, doc: Doc, through: str, named: bool) -> dict[str, Any]:
    whole = {"question": doc.prompt, "answer": doc.target, **doc.doc}
    if doc.choices:
        requests = [[doc.prompt, f" {text}"] for text, _ in doc.choices]
        resps: list[Any] = [[[str(score), "False"]] for _, score in doc.choices]
        filtered: list[Any] = [each[0] for each in resps]
    else:
        requests = [[doc.prompt, {"until": ["\n"], "max_gen_toks": 8}]]
        resps, filtered = [[doc.response]], [doc.response]
    values = {
        metric.partition(",")[0]: value for metric, value in doc.values.items() if metric.partition(",")[2] == through
    }
    return {
        "doc_id": at,
        "doc": whole,
        "target": doc.target,
        "arguments": {
            f"gen_args_{number}": {f"arg_{place}": value for place, value in enumerate(request)}
            for number, request in enumerate(requests)
        },
        "resps": resps,
        "filtered_resps": filtered,
        **({"filter": through, "metrics": list(values)} if named else {}),
        "doc_hash": _hash(json.dumps(whole, indent=2)),
        "prompt_hash": _hash(doc.prompt),
        "target_hash": _hash(doc.target),
        **values,
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    print(provide())
