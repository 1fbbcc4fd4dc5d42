"""Benchmarks run against both endpoints by lm-evaluation-harness; what is finished is kept beside the database."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from review.adapters import harness, leaks
from review.adapters.harness import Job, Kind
from review.domain.identity import canonical
from review.domain.pipeline import Endpoint
from review.domain.stack import stack_id
from review.errors import BadInput, BadSettings, NotFound
from review.settings import Settings

# Told the side, how many requests are answered, and how many there are.
Tell = Callable[[str, int, int], None]

# What the task says of its own: how long an answer is, where it stops, how it is sampled.
_OF_THE_TASK = frozenset(
    [
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "temperature",
        "top_p",
        "n",
        "stream",
        "stream_options",
        "logprobs",
        "top_logprobs",
    ]
)
_FOREIGN = ("anthropic",)  # dialects that are not OpenAI's


@dataclass(frozen=True)
class Plan:
    """What is run, the same on both sides.

    Attributes:
        tasks: of the harness, or of `include`.
        include: a folder of task files of one's own.
        limit: documents a task, at most.
        shots: few-shot examples, where the tasks do not say it.
        kind: chat, or completions: the only one with log-likelihoods.
        tokenizer: for log-likelihoods: a Hugging Face name, or remote.
        python: the Python that has the harness.
    """

    tasks: tuple[str, ...]
    include: Path | None = None
    limit: int | None = None
    shots: int | None = None
    kind: Kind = "chat"
    tokenizer: str | None = None
    python: str = sys.executable


def endpoint_of(settings: Settings, side: str, named: tuple[str, str] | None, key_env: str | None) -> Endpoint:
    """A side's endpoint: the URL and model that were named, else the configuration's.

    Raises:
        BadInput: there is none, or it does not speak OpenAI's dialect.
    """
    if named is not None:
        return Endpoint.model_validate({"base_url": named[0], "model": named[1], "api_key_env": key_env})
    endpoints = settings.config.endpoints
    if endpoints is None:
        raise BadInput(f"The configuration names no endpoints. Say endpoints.{side} there, or --{side} URL MODEL.")
    found: Endpoint = getattr(endpoints, side)
    if found.api in _FOREIGN:
        raise BadInput(f"endpoints.{side} speaks {found.api}; the harness asks OpenAI-compatible servers alone.")
    return found


def run(
    settings: Settings, plan: Plan, endpoints: Mapping[str, Endpoint], tell: Tell, *, fresh: datetime | None = None
) -> dict[str, Path]:
    """Run the harness against every side that is not finished.

    Args:
        endpoints: by side, old first.
        fresh: now; a finished run is put aside under this time, and run again.

    Returns:
        The folder of results by side.

    Raises:
        NotFound: the harness is not installed; names the command.
        HarnessFailed: it ended without results.
    """
    harness.check_tasks(plan.tasks)
    if plan.include is not None and not plan.include.is_dir():
        raise BadInput(f"--include-path {plan.include}: there is no such folder.")
    _require(plan.python)
    keys = {side: _key(endpoint) for side, endpoint in endpoints.items()}
    found: dict[str, Path] = {}
    for side, endpoint in endpoints.items():
        folder = folder_of(settings, plan, endpoint)
        if fresh is not None and folder.exists():
            folder.rename(folder.with_name(f"{folder.name}-until-{fresh:%Y%m%dT%H%M%S}"))
        found[side] = harness.run(plan.python, _job(plan, endpoint), folder, keys[side], _of(side, tell))
    return found


def folder_of(settings: Settings, plan: Plan, endpoint: Endpoint) -> Path:
    """Where the outputs of this plan against this endpoint are kept: the same for the same content."""
    said = {
        "stack": stack_id(endpoint),
        "harness": harness.VERSION,
        "tasks": sorted(plan.tasks),
        "include": _content(plan.include),
        "limit": plan.limit,
        "shots": plan.shots,
        "kind": plan.kind,
        "tokenizer": plan.tokenizer,
    }
    return _kept(settings) / hashlib.sha256(canonical(said).encode()).hexdigest()[:16]


def _kept(settings: Settings) -> Path:
    """Where all outputs are kept, those that were put aside too."""
    return settings.db.with_name(settings.db.name + ".bench").absolute()


def outputs_with(settings: Settings, words: re.Pattern[str]) -> list[Path]:
    """The kept outputs in which the words stand, those of interrupted runs and those put aside too.

    Raises:
        Conflict: a benchmark runs.
    """
    kept = _kept(settings)
    folders = sorted(each for each in kept.iterdir() if each.is_dir()) if kept.is_dir() else []
    return [each for each in folders if harness.holds(each, lambda value: leaks.stands_in(value, words))]


def remove(outputs: Sequence[Path]) -> int:
    """Remove kept outputs whole: a sample's hashes would let the words be guessed. Returns how many there were.

    Such a side is asked anew when its benchmark is run again.
    """
    for each in outputs:
        shutil.rmtree(each)
    return len(outputs)


def _of(side: str, tell: Tell) -> harness.Progress:
    return lambda done, total: tell(side, done, total)


def _job(plan: Plan, endpoint: Endpoint) -> Job:
    return Job(
        base_url=endpoint.base_url,
        model=endpoint.model,
        kind=plan.kind,
        tasks=tuple(sorted(plan.tasks)),
        include=plan.include.absolute() if plan.include else None,
        limit=plan.limit,
        shots=plan.shots,
        tokenizer=plan.tokenizer,
        parameters={name: value for name, value in endpoint.parameters.items() if name not in _OF_THE_TASK},
        concurrency=endpoint.concurrency,
        retries=endpoint.retries,
        timeout=endpoint.timeout_seconds,
    )


def _require(python: str) -> None:
    found = harness.version(python)
    if found is None:
        raise NotFound(
            "review bench runs lm-evaluation-harness, which is not installed here. "
            "Install it: pip install -e '.[bench]' (or name a Python that has it: --harness PYTHON)"
        )
    if found != harness.VERSION:
        raise NotFound(
            f"review bench runs lm_eval {harness.VERSION}, and {found[:20]} is installed. "
            f"Install it: pip install '{harness.REQUIREMENT}'"
        )


def _key(endpoint: Endpoint) -> str | None:
    if endpoint.api_key_env is None:
        return None
    if not (key := os.environ.get(endpoint.api_key_env, "").strip()):
        raise BadSettings(
            f"{endpoint.model} needs a key, and the environment variable {endpoint.api_key_env} is not set."
        )
    return key


def _content(folder: Path | None) -> list[tuple[str, str]]:
    """The files of a folder by their SHA-256, in order: tasks, data and code of one's own."""
    if folder is None:
        return []
    files = sorted(each for each in folder.rglob("*") if each.is_file() and "__pycache__" not in each.parts)
    return [(str(each.relative_to(folder)), hashlib.sha256(each.read_bytes()).hexdigest()) for each in files]
