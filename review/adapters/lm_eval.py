"""What lm-evaluation-harness 0.4.x writes: results_*.json and, with --log_samples, samples_TASK_*.jsonl.

Read from the harness's own sources, 0.4.3 to 0.4.13. Several filters give several lines for a document; before 0.4.8
they do not name their filter, and come in the order of the task's filter_list.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from review.errors import BadInput

Document = dict[str, Any]

_DATED = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)\.json$")
_SAMPLES = re.compile(r"^samples_(.+)_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)\.jsonl$")
_HASH = re.compile(r"^[0-9a-f]{8,128}$")
# As pairs and outcomes name a task: they travel through URLs, file names and the terminal.
_NAME = re.compile(r"^[^\x00-\x1f\x7f]{1,120}$")
_LETTER = re.compile(r"^\(?([A-Z])\)?[.)]?$")
NO_FILTER = "none"


class Metric(NamedTuple):
    """A metric and the filter that the responses passed before it: `acc,none` is how the harness writes it."""

    name: str
    filter: str

    def __str__(self) -> str:
        return self.name if self.filter == NO_FILTER else f"{self.name},{self.filter}"


@dataclass(frozen=True)
class Task:
    """A task of one side, as the newest results say it. `written` is their time, as in the file's name.

    Attributes:
        reported: the harness's own value of each metric.
        means: metrics that the task declares to be a mean over documents.
        lower: metrics of which less is better.
        filters: each filter's definition, as canonical JSON; it tells whether two are the same.
        generation: the generation arguments, likewise.
        targeted: documents have a target to be shown; of IFEval's the harness says 0.
        output_type: generate_until, multiple_choice, loglikelihood …
        earlier: how many older results of this task stand beside it.
    """

    name: str
    model: str
    written: str
    harness: str
    version: str
    shots: str
    output_type: str
    generation: str
    targeted: bool
    filters: Mapping[str, str]
    reported: Mapping[Metric, float]
    means: frozenset[str]
    lower: frozenset[str]
    samples: Path
    earlier: int


@dataclass(frozen=True)
class Group:
    """Subtasks that the harness sums up, with the value it reports for each metric."""

    name: str
    tasks: tuple[str, ...]
    reported: Mapping[Metric, float]


@dataclass(frozen=True)
class Output:
    """All that one side wrote."""

    folder: str
    tasks: Mapping[str, Task]
    groups: Mapping[str, Group]
    # Tasks of which there are results and no samples.
    unlogged: tuple[str, ...]


@dataclass
class Sample:
    """A document of a task: what identifies it, and what each metric gave; a list where it gave one a part.

    `answer` tells whether two responses are the same. `characters` is the length of what the model was sent, examples
    included. `at` is where the document's first line begins in the file.
    """

    doc_id: int
    doc_hash: str
    prompt_hash: str
    target_hash: str
    answer: str
    characters: int
    at: int
    values: dict[Metric, list[float]] = field(default_factory=dict[Metric, list[float]])
    # Metrics whose value is no number in [0, 1].
    odd: set[Metric] = field(default_factory=set[Metric])
    listed: set[Metric] = field(default_factory=set[Metric])


@dataclass(frozen=True)
class Texts:
    """What people read of a document: prompt, target, and the response; None where there is no text."""

    messages: list[Document]
    target: str | None
    response: str | None


def read_output(folder: Path, wanted: Sequence[str] | None = None) -> Output:
    """The newest results of every task that a folder holds, model-name subfolders included.

    Args:
        folder: the harness's --output_path, or a folder below it.
        wanted: the tasks, or groups of them, that are asked for; all by default.

    Raises:
        BadInput: there are none, they are of another layout, or of several models.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder. Name the --output_path of lm_eval.")
    dated = {path: at[1] for path in sorted(folder.rglob("*.json")) if (at := _DATED.search(path.name))}
    if not dated:
        raise BadInput(
            f"{folder} holds no results_*.json of lm_eval 0.4.3 or later. Name its --output_path, with --log_samples."
        )
    found: dict[str, list[Task]] = {}
    groups: dict[str, Group] = {}
    bare: set[str] = set()
    for path, written in sorted(dated.items(), key=lambda each: (each[1], str(each[0]))):
        document = _results(path)
        logged = _logged(path.parent, written)
        for name in _configured(document):
            if name in logged:
                found.setdefault(name, []).append(_task(document, name, written, logged[name], path.name))
            else:
                bare.add(name)
        groups |= {each.name: each for each in _groups(document)}
    chosen = _wanted(found, groups, wanted)
    if not chosen:
        raise BadInput(f"{folder} holds no samples_*.jsonl beside its results. Run lm_eval with --log_samples.")
    for name in chosen:
        if len(models := {each.model for each in found[name]}) > 1:
            raise BadInput(
                f"{folder} holds results of {len(models)} models for {shown(name)}. Name one model's folder."
            )
    newest = {name: found[name][-1] for name in chosen}
    tasks = {name: replace(each, earlier=len(found[name]) - 1) for name, each in newest.items()}
    kept = {name: each for name, each in groups.items() if set(each.tasks) <= set(tasks)}
    return Output(str(folder), tasks, kept, tuple(sorted(bare - set(found))))


def read_samples(task: Task) -> dict[int, Sample]:
    """The documents of a task by doc_id, without their texts.

    Raises:
        BadInput: a line is not what the harness writes; names file and line.
    """
    samples: dict[int, Sample] = {}
    seen: Counter[int] = Counter()
    filters = list(task.filters) or [NO_FILTER]
    metrics = _by_filter(task.reported)
    for line, at, document in _lines(task.samples):
        try:
            doc_id = _integer(document["doc_id"])
            hashes = [_hash(document[name]) for name in ("doc_hash", "prompt_hash", "target_hash")]
            turn, seen[doc_id] = seen[doc_id], seen[doc_id] + 1
            through = document.get("filter")
            if not isinstance(through, str):
                through = filters[turn] if turn < len(filters) else NO_FILTER
            sample = samples.get(doc_id)
            if sample is None:
                answer, characters = _digest(document.get("resps")), len(_sent(_requests(document)))
                sample = Sample(doc_id, hashes[0], hashes[1], hashes[2], answer, characters, at)
                samples[doc_id] = sample
            if [sample.doc_hash, sample.prompt_hash, sample.target_hash] != hashes:
                raise ValueError("document twice, with different hashes")
            for metric in metrics.get(through, ()):
                if metric.name in document:
                    _put(sample, metric, document[metric.name])
        except (KeyError, TypeError, ValueError) as error:
            reason = f'"{error.args[0]}" is missing' if isinstance(error, KeyError) else str(error)
            raise BadInput(
                f"{task.samples.name} line {line}: {reason}. It is no sample of lm_eval 0.4.3 or later."
            ) from None
    return samples


def read_texts(task: Task, samples: Iterable[Sample], metric: Metric | None) -> Iterator[tuple[int, Texts]]:
    """Prompt, target and response of some documents, by doc_id. `metric` says how a choice was made."""
    with task.samples.open("rb") as file:
        for sample in samples:
            file.seek(sample.at)
            yield sample.doc_id, _texts(json.loads(file.readline()), task, metric)


def shown(name: str) -> str:
    """A name from a file, fit for a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name[:60])


def _results(path: Path) -> Document:
    try:
        document: object = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path.name} cannot be read as JSON ({type(error).__name__}).") from None
    if not isinstance(document, dict) or not isinstance(cast(Document, document).get("results"), dict):
        raise BadInput(f'{path.name} has no "results": it is none of lm_eval\'s.')
    document = cast(Document, document)
    harness = document.get("lm_eval_version")
    if isinstance(harness, str) and not harness.startswith("0.4."):
        raise BadInput(
            f"{path.name} was written by lm_eval {shown(harness)}; versions 0.4.3 and later of 0.4 are read."
        )
    return document


def _logged(folder: Path, written: str) -> dict[str, Path]:
    """The files of samples of one run, by task. Names are taken from the folder, never made from what a file says."""
    named = ((path, _SAMPLES.match(path.name)) for path in sorted(folder.glob("samples_*.jsonl")))
    return {found[1]: path for path, found in named if found and found[2] == written}


def _configured(document: Document) -> list[str]:
    """Tasks, without groups."""
    groups = {name for name, _ in _subtasks(document)}
    return [each for each in _mapping(document.get("configs")) if each in document["results"] and each not in groups]


def _task(document: Document, name: str, written: str, samples: Path, file: str) -> Task:
    if not _NAME.match(name):
        raise BadInput(f"{file} has a task whose name has control characters or more than 120 letters.")
    config = _mapping(_mapping(document["configs"])[name])
    declared = [_mapping(each) for each in _sequence(config.get("metric_list"))]
    better = _mapping(_mapping(document.get("higher_is_better")).get(name))
    filters = [_mapping(each) for each in _sequence(config.get("filter_list"))]
    return Task(
        name=name,
        model=_text(document.get("model_name")),
        written=written,
        harness=_text(document.get("lm_eval_version")) or "unknown",
        version=_text(_mapping(document.get("versions")).get(name)),
        shots=_text(_mapping(document.get("n-shot")).get(name)),
        output_type=_text(config.get("output_type")),
        generation=_canonical(config.get("generation_kwargs")),
        targeted=not isinstance(config.get("doc_to_target"), int),
        filters={_text(each.get("name")): _canonical(each.get("filter")) for each in filters},
        reported=_reported(_mapping(document["results"][name])),
        means=frozenset(_text(each.get("metric")) for each in declared if each.get("aggregation") == "mean"),
        lower=frozenset(metric for metric, higher in better.items() if higher is False),
        samples=samples,
        earlier=0,
    )


def _groups(document: Document) -> Iterator[Group]:
    """Groups with a value of their own; groups of groups down to the tasks."""
    below = {name: [_text(each) for each in _sequence(names)] for name, names in _subtasks(document)}

    def leaves(name: str, above: frozenset[str]) -> list[str]:
        if name not in below or name in above:
            return [name]
        return [leaf for each in below[name] for leaf in leaves(each, above | {name})]

    for name in below:
        if (reported := _reported(_mapping(document["results"].get(name)))) and _NAME.match(name):
            yield Group(name, tuple(dict.fromkeys(leaves(name, frozenset()))), reported)


def _subtasks(document: Document) -> Iterator[tuple[str, Any]]:
    for name, names in _mapping(document.get("group_subtasks")).items():
        if names:  # a task stands here too in some versions, with nothing below it
            yield name, names


def _reported(values: Document) -> dict[Metric, float]:
    found: dict[Metric, float] = {}
    for key, value in values.items():
        name, comma, through = key.partition(",")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if comma and number and not name.endswith("_stderr") and _NAME.match(key):
            found[Metric(name, through)] = float(value)
    return found


def _wanted(found: Mapping[str, list[Task]], groups: Mapping[str, Group], wanted: Sequence[str] | None) -> list[str]:
    if not wanted:
        return sorted(found)
    names: list[str] = []
    for each in wanted:
        below = groups[each].tasks if each in groups else (each,)
        if missing := [name for name in below if name not in found]:
            there = ", ".join(map(shown, [*sorted(groups), *sorted(found)][:20]))
            raise BadInput(f"There are no samples of {', '.join(map(shown, missing[:5]))}. There are: {there}.")
        names += below
    return sorted(set(names))


def _lines(path: Path) -> Iterator[tuple[int, int, Document]]:
    """Line, byte offset and document."""
    at = 0
    with path.open("rb") as file:
        for line, raw in enumerate(file, 1):
            begun, at = at, at + len(raw)
            if not raw.strip():
                continue
            try:
                document: object = json.loads(raw)
            except (ValueError, RecursionError):
                raise BadInput(f"{path.name} line {line}: no JSON. Was lm_eval interrupted while it wrote?") from None
            if not isinstance(document, dict):
                raise BadInput(f"{path.name} line {line}: a sample is a JSON object.")
            yield line, begun, cast(Document, document)


def _by_filter(metrics: Iterable[Metric]) -> dict[str, list[Metric]]:
    found: dict[str, list[Metric]] = {}
    for each in metrics:
        found.setdefault(each.filter, []).append(each)
    return found


def _put(sample: Sample, metric: Metric, value: object) -> None:
    if isinstance(value, list):
        sample.listed.add(metric)
    values = [_score(each) for each in cast("list[object]", value if isinstance(value, list) else [value])]
    if any(each is None for each in values):
        sample.odd.add(metric)
    else:
        sample.values[metric] = cast("list[float]", values)


def _score(value: object) -> float | None:
    """A number in [0, 1]."""
    if not isinstance(value, bool | int | float):
        return None
    number = float(value)
    return number if math.isfinite(number) and 0 <= number <= 1 else None


def _texts(document: Document, task: Task, metric: Metric | None) -> Texts:
    requests = _requests(document)
    prompt = requests[0][0] if requests and requests[0] else ""
    target = _text(document.get("target"))
    if task.output_type == "multiple_choice":
        choices = [_text(each[1]) if len(each) > 1 else "" for each in requests]
        at = _chosen(_sequence(document.get("resps")), choices, metric)
        gold = int(target) if target.isdecimal() and int(target) < len(choices) else None
        right = _choice(choices, gold) if gold is not None else target
        return Texts(_messages(prompt), right, None if at is None else _choice(choices, at))
    response: object = document.get("resps")
    while isinstance(response, list) and response:
        response = cast("list[object]", response)[0]
    readable = task.output_type == "generate_until" and isinstance(response, str)
    return Texts(_messages(prompt), target if task.targeted else None, cast(str, response) if readable else None)


def _requests(document: Document) -> list[list[Any]]:
    """What the harness asked of the model for a document: of each request the prompt, and what goes with it."""
    return [list(_mapping(each).values()) for each in _mapping(document.get("arguments")).values()]


def _sent(requests: Sequence[Sequence[Any]]) -> str:
    """The first request's prompt as it was sent: a text, or a chat as JSON."""
    prompt: object = requests[0][0] if requests and requests[0] else ""
    parts = _sequence(prompt)
    if len(parts) == 1 and isinstance(parts[0], str):
        return parts[0]
    return prompt if isinstance(prompt, str) else _canonical(prompt)


def _chosen(resps: Sequence[Any], choices: Sequence[str], metric: Metric | None) -> int | None:
    """The choice with the largest log-likelihood; for acc_norm by the choice's letters, for acc_bytes by its bytes."""
    scores: list[float] = []
    for response, choice in zip(resps, choices, strict=False):
        while isinstance(response, list) and response and isinstance(response[0], list):
            response = cast("list[Any]", response)[0]
        try:
            score = float(cast("list[Any]", response)[0])
        except (TypeError, ValueError, IndexError):
            return None
        length = {"acc_norm": len(choice.lstrip()), "acc_bytes": len(choice.lstrip().encode())}.get(
            metric.name if metric else "", 1
        )
        scores.append(score / max(1, length))
    return max(range(len(scores)), key=scores.__getitem__) if scores else None


def _choice(choices: Sequence[str], at: int) -> str:
    """A choice as people read it: its letter, with the text where that is more than the letter."""
    text = choices[at].strip()
    if _LETTER.match(text) or at >= 26:
        return text
    return f"({chr(65 + at)}) {text}"


def _messages(prompt: object) -> list[Document]:
    """A prompt as the model got it: a text, or a chat as JSON text in a list of one, or as a list of messages."""
    parts = _sequence(prompt)
    if len(parts) == 1 and isinstance(parts[0], str):
        prompt = parts[0]
        try:
            parts = _sequence(json.loads(prompt))
        except (ValueError, RecursionError):
            parts = []
    chat = [_mapping(each) for each in parts]
    if chat and all(isinstance(each.get("role"), str) and isinstance(each.get("content"), str) for each in chat):
        return [{"role": each["role"], "content": each["content"]} for each in chat]
    return [{"role": "user", "content": prompt if isinstance(prompt, str) else _canonical(prompt)}]


def _mapping(value: object) -> Document:
    return cast(Document, value) if isinstance(value, dict) else {}


def _sequence(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError('"doc_id" is no whole number')
    return value


def _hash(value: object) -> str:
    if not isinstance(value, str) or not _HASH.match(value):
        raise ValueError("a hash of document, prompt or target is none")
    return value


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _digest(value: object) -> str:
    return hashlib.sha256(_canonical(value).encode("utf-8", "surrogatepass")).hexdigest()
