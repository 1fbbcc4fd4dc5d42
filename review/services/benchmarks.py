"""Benchmarks into a run: two outputs of lm-evaluation-harness, compared document by document, or refused by name."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from review.adapters import lm_eval
from review.adapters.lm_eval import Group, Metric, Output, Sample, Task
from review.domain.identity import canonical, content_hash
from review.domain.run import CHARACTERS_A_TOKEN, Part, source_of
from review.errors import BadInput, Difference, NotComparable
from review.services import runs, upload
from review.services.desk import Desk
from review.services.ingest import Options as Reading
from review.stats.effects import mean_difference
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import Floats, Ints, clustered_mean, compact
from review.stats.stratified import stratified_difference

pa: Any = pyarrow  # it carries no types
# Told what is being done, how much of it is done, and how much there is.
Tell = Callable[[str, int, int], None]

# How the parts of a metric that has several a document are called: the instructions of IFEval.
_PARTS = {"inst_level_strict_acc": "inst", "inst_level_loose_acc": "loose inst"}
_CLOSE = 1e-9
_PER_DOCUMENT = ("doc_hash", "target_hash", "prompt_hash")


@dataclass(frozen=True)
class Options:
    """What is taken in.

    Attributes:
        tasks: these, or groups of them; all by default.
        names: what we call a task, and what the harness calls it or its group.
        common: where the sides have different tasks or documents, those of both count, and the rest is told.
    """

    tasks: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    common: bool = False


@dataclass(frozen=True)
class _Series:
    """A metric of a task: shape (n,) each. `example` says which document and, of several, which part."""

    metric: Metric
    examples: list[tuple[int, str]]
    old: Floats
    new: Floats
    clusters: Ints
    whole: tuple[float, float]


@dataclass(frozen=True)
class _Compared:
    """A task on both sides. `keys` are the documents of both; `left_out` says of a metric why it is not taken."""

    old: Task
    new: Task
    samples: tuple[dict[int, Sample], dict[int, Sample]]
    keys: list[int]
    series: dict[Metric, _Series]
    left_out: dict[str, str]
    notes: list[str]

    @property
    def name(self) -> str:
        return self.old.name


def import_output(desk: Desk, asked: str, old: Path, new: Path, options: Options, tell: Tell) -> dict[str, Any]:
    """Take two outputs of the harness into a run: outcomes of every document, and disagreements as pairs to be read.

    Args:
        asked: the run, by name, number or id.
        old: the baseline's --output_path, or a folder in it.
        new: the candidate's.

    Returns:
        What there is to say of every task and group: JSON values.

    Raises:
        NotComparable: the two differ in something that makes values incomparable; nothing was written.
        BadInput: a folder holds nothing that can be read, or samples do not give what their results say.
        Conflict: the run has one of the tasks already, from other data.
    """
    run = desk.ask("runs.read", {"run": asked}).document["runs"][0]
    wanted = list(options.tasks) or None
    sides = lm_eval.read_output(old, wanted), lm_eval.read_output(new, wanted)
    found = _compare(sides, options, tell)
    groups = _groups(sides, found)
    ours = _our_names(options.names, found, groups)
    primary = {name: _primary(each, groups) for name, each in found.items()}
    stood = {
        name: _write(desk, run, each, primary[name], ours[name], _of_groups(name, groups), tell)
        for name, each in sorted(found.items())
    }
    return {
        "run": run["name"],
        "tasks": [_task_report(found[name], primary[name], ours[name], *stood[name]) for name in sorted(found)],
        "groups": [_group_report(group, found, sides) for _, group in sorted(groups.items())],
        "notes": _notes(sides, found),
    }


def _compare(sides: tuple[Output, Output], options: Options, tell: Tell) -> dict[str, _Compared]:
    """Every task that both sides have, when nothing speaks against comparing them."""
    old, new = sides
    differences: list[Difference] = []
    if not options.common:
        differences += [Difference(name, "task", "there", "not there") for name in old.tasks if name not in new.tasks]
        differences += [Difference(name, "task", "not there", "there") for name in new.tasks if name not in old.tasks]
    names = [name for name in old.tasks if name in new.tasks]
    if not names and not differences:
        raise BadInput("The two have no task in common.")
    found: dict[str, _Compared] = {}
    # Equal documents are one cluster, also in different tasks.
    codes: dict[str, int] = {}
    for done, name in enumerate(names):
        tell("compare", done, len(names))
        before, after = old.tasks[name], new.tasks[name]
        if settled := list(_settings(before, after)):
            differences += settled
            continue
        samples = lm_eval.read_samples(before), lm_eval.read_samples(after)
        if apart := list(_documents(name, samples, options.common)):
            differences += apart
            continue
        found[name] = _series_of(before, after, samples, codes)
    if differences:
        raise NotComparable("OLD and NEW cannot be compared, and nothing was written", differences)
    return found


def _settings(old: Task, new: Task) -> Iterator[Difference]:
    """What differs in how the task was put."""
    for what, before, after in (
        ("version", old.version, new.version),
        ("num_fewshot", old.shots, new.shots),
        ("output_type", old.output_type, new.output_type),
        ("metrics", _listed(old.reported), _listed(new.reported)),
        ("filter", ", ".join(sorted(old.filters)), ", ".join(sorted(new.filters))),
    ):
        if before != after:
            yield Difference(old.name, what, before or "none", after or "none")
    for through in sorted(set(old.filters) & set(new.filters)):
        if old.filters[through] != new.filters[through]:
            before, after = (_short(each.filters[through]) for each in (old, new))
            yield Difference(old.name, f"filter {through}", before, after)


def _documents(name: str, samples: tuple[dict[int, Sample], dict[int, Sample]], common: bool) -> Iterator[Difference]:
    """What differs between the documents: hashes, shortened, never texts."""
    old, new = samples
    shared = sorted(old.keys() & new.keys())
    for hashed in _PER_DOCUMENT:
        apart = [each for each in shared if getattr(old[each], hashed) != getattr(new[each], hashed)]
        if apart:
            first = apart[0]
            more = f" and {len(apart) - 1:,} more" if len(apart) > 1 else ""
            before, after = (str(getattr(side[first], hashed))[:12] for side in samples)
            yield Difference(name, f"{hashed} of document {first}{more}", before, after)
            return  # what was asked of another document has another prompt too
    if not common and len(shared) < max(len(old), len(new)):
        only = f"{len(old):,}, {len(old) - len(shared):,} of them missing on the other side"
        yield Difference(name, "documents", only, f"{len(new):,}, {len(new) - len(shared):,} of them missing")


def _series_of(
    old: Task, new: Task, samples: tuple[dict[int, Sample], dict[int, Sample]], codes: dict[str, int]
) -> _Compared:
    keys = sorted(samples[0].keys() & samples[1].keys())
    series: dict[Metric, _Series] = {}
    left_out: dict[str, str] = {}
    notes: list[str] = []
    for metric in sorted(old.reported):
        everything = [each for side in samples for each in side.values()]
        if metric.name in old.lower | new.lower:
            left_out[str(metric)] = "less is better"
            continue
        if any(metric in each.odd for each in everything):
            left_out[str(metric)] = "values are no numbers from 0 to 1"
            continue
        if not all(any(metric in each.values for each in side.values()) for side in samples):
            left_out[str(metric)] = "samples do not have it"
            continue
        whole = _checked(old, samples[0], metric, notes), _checked(new, samples[1], metric, notes)
        made = _one_series(metric, samples, keys, codes, whole)
        if len(made.examples):
            series[metric] = made
        else:
            left_out[str(metric)] = "no document has it on both sides"
    if not series:
        raise BadInput(f"{lm_eval.shown(old.name)} has no metric from 0 to 1 of which more is better.")
    if old.generation != new.generation:
        notes.append(f"generation arguments differ: {_short(old.generation)} and {_short(new.generation)}")
    return _Compared(old, new, samples, keys, series, left_out, notes)


def _one_series(
    metric: Metric,
    samples: tuple[dict[int, Sample], dict[int, Sample]],
    keys: Sequence[int],
    codes: dict[str, int],
    whole: tuple[float, float],
) -> _Series:
    examples: list[tuple[int, str]] = []
    values: list[tuple[float, float]] = []
    clusters: list[int] = []
    for key in keys:
        sample, other = samples[0][key], samples[1][key]
        before, after = sample.values.get(metric, []), other.values.get(metric, [])
        if len(before) != len(after):
            continue  # a document without a value on one side says nothing of the difference
        parted = metric in sample.listed
        for number, pair in enumerate(zip(before, after, strict=True), 1):
            examples.append((key, _outcome_metric(metric, number if parted else None)))
            values.append(pair)
            clusters.append(codes.setdefault(sample.doc_hash, len(codes)))
    table = np.array(values, dtype=np.float64).reshape(-1, 2)
    return _Series(metric, examples, table[:, 0], table[:, 1], np.array(clusters, dtype=np.int64), whole)


def _outcome_metric(metric: Metric, number: int | None) -> str:
    """What an outcome calls its metric: as the harness does, and "inst N" of an instruction."""
    if number is None:
        return str(metric)
    return f"{Metric(_PARTS.get(metric.name, metric.name), metric.filter)} {number}"


def _checked(task: Task, samples: Mapping[int, Sample], metric: Metric, notes: list[str]) -> float:
    """The mean over a side's documents.

    Raises:
        BadInput: the harness reports another value of a metric that is a mean.
    """
    values = [value for each in samples.values() for value in each.values.get(metric, [])]
    mean, reported = sum(values) / len(values), task.reported[metric]
    if abs(mean - reported) > _CLOSE:
        if metric.name in task.means:
            raise BadInput(
                f"{lm_eval.shown(task.name)}: the results of {task.written} report {metric} {reported:.6f}, "
                f"and their {len(samples):,} samples give {mean:.6f}. These files do not belong together."
            )
        notes.append(f"{metric}: the harness reports {reported:.4f}, which is no mean; documents alone are compared")
    return mean


def _groups(sides: tuple[Output, Output], found: Mapping[str, _Compared]) -> dict[str, Group]:
    """Groups whose tasks are all there, the same on both sides."""
    old, new = (side.groups for side in sides)
    return {
        name: group
        for name, group in old.items()
        if name in new and new[name].tasks == group.tasks and set(group.tasks) <= set(found)
    }


def _of_groups(name: str, groups: Mapping[str, Group]) -> list[str]:
    return sorted(each.name for each in groups.values() if name in each.tasks)


def _our_names(names: Mapping[str, str], found: Mapping[str, _Compared], groups: Mapping[str, Group]) -> dict[str, str]:
    """What each task is called here: the unit of tolerance."""
    ours = {name: name for name in found}
    for mine, theirs in names.items():
        below = groups[theirs].tasks if theirs in groups else (theirs,)
        if missing := [each for each in below if each not in found]:
            raise BadInput(f"--map-task {mine}={theirs}: there is no task {lm_eval.shown(missing[0])}.")
        ours |= dict.fromkeys(below, mine)
    return ours


def _primary(compared: _Compared, groups: Mapping[str, Group]) -> Metric:
    """The metric that says whether a response was right: its group's, else the first that is one value a document."""
    for name in _of_groups(compared.name, groups):
        for metric in groups[name].reported:
            if metric in compared.series:
                return metric
    listed = {metric for sample in compared.samples[0].values() for metric in sample.listed}
    there = [each for each in compared.old.reported if each in compared.series]
    return next((each for each in there if each not in listed), there[0])


def _write(
    desk: Desk,
    run: Mapping[str, Any],
    compared: _Compared,
    primary: Metric,
    task: str,
    groups: list[str],
    tell: Tell,
) -> tuple[int, bool]:
    """Record a task. Returns how many pairs it gives, and whether it stood already."""
    tell(f"record {lm_eval.shown(compared.name)}", 0, len(compared.keys))
    apart = _disagreements(compared, primary)
    pair_ids = {key: _pair_id(desk.key, str(run["run_id"]), compared, key) for key in apart}
    table = _outcomes(desk.key, compared, task, pair_ids)
    readable = compared.old.output_type in ("generate_until", "multiple_choice")
    short = run["name"] if len(run["name"]) <= 60 else run["run_id"]
    part = Part(
        evidence="benchmark",
        part=compared.name,
        source=source_of("benchmark", f"{short}:{compared.name}") if pair_ids and readable else None,
        data_hash=_data_hash(compared),
        detail=_detail(compared, primary, groups),
    )
    said = {"run_id": run["run_id"], "part": part.model_dump()}
    stands = bool(desk.ask("runs.begin_part", said).document["stands"])
    if not readable:
        compared.notes.append("log-likelihoods alone: there is no response to read")
        table = table.set_column(table.column_names.index("pair_id"), "pair_id", pa.nulls(len(table), pa.string()))
    elif not stands and part.source:
        _import_pairs(desk, _pairs(desk.key, compared, primary, task, pair_ids), part.source)
    runs.record(desk, run["run_id"], part, table)
    return len(pair_ids) if readable else 0, stands


def _disagreements(compared: _Compared, primary: Metric) -> dict[int, tuple[bool, bool]]:
    """Documents that one side alone has right, and which."""
    series = compared.series[primary]
    rights = zip(series.examples, series.old >= 0.5, series.new >= 0.5, strict=True)
    return {key: (bool(old), bool(new)) for (key, _), old, new in rights if old != new}


def _outcomes(key: bytes, compared: _Compared, task: str, pair_ids: Mapping[int, str]) -> Any:
    """One row a document and metric, or instruction."""
    before, after = compared.samples
    rows: list[dict[str, Any]] = []
    for series in compared.series.values():
        for (doc, metric), old, new in zip(series.examples, series.old.tolist(), series.new.tolist(), strict=True):
            rows.append(
                {
                    "example_id": _example_id(compared, doc),
                    "metric": metric,
                    "prompt_id": _prompt_id(key, before[doc]),
                    "task": task,
                    "pair_id": pair_ids.get(doc),
                    "old": old,
                    "new": new,
                    "same": old == new and before[doc].answer == after[doc].answer,
                    "prompt_tokens": round(before[doc].characters / CHARACTERS_A_TOKEN),
                }
            )
    columns = ("example_id", "metric", "prompt_id", "task", "pair_id", "old", "new", "same", "prompt_tokens")
    kinds = {"old": pa.float64(), "new": pa.float64(), "same": pa.bool_(), "prompt_tokens": pa.int64()}
    return pa.table({name: pa.array([row[name] for row in rows], kinds.get(name, pa.string())) for name in columns})


def _example_id(compared: _Compared, doc: int) -> str:
    return f"{compared.name}:{doc}:{compared.samples[0][doc].doc_hash[:12]}"


def _prompt_id(key: bytes, sample: Sample) -> str:
    """One for equal documents, also of different tasks: they are no independent evidence."""
    return f"prompt-{content_hash(key, {'document': sample.doc_hash})}"


def _pair_id(key: bytes, run_id: str, compared: _Compared, doc: int) -> str:
    answers = [side[doc].answer for side in compared.samples]
    said = {"run": run_id, "example": _example_id(compared, doc), "answers": answers}
    return f"pair-{content_hash(key, said)}"


def _data_hash(compared: _Compared) -> str:
    """SHA-256 of every document, answer and value of both sides."""
    digest = hashlib.sha256()
    for key in compared.keys:
        for side in compared.samples:
            sample = side[key]
            values = {str(metric): value for metric, value in sample.values.items()}
            digest.update(canonical([sample.doc_id, sample.doc_hash, sample.answer, values]).encode() + b"\n")
    return digest.hexdigest()


def _detail(compared: _Compared, primary: Metric, groups: list[str]) -> dict[str, Any]:
    """What makes parts of different runs comparable, and what the harness itself says."""
    old, new = compared.old, compared.new
    prompts = hashlib.sha256("".join(compared.samples[0][key].prompt_hash for key in compared.keys).encode())
    return {
        "harness": {"old": old.harness, "new": new.harness},
        "model": {"old": lm_eval.shown(old.model), "new": lm_eval.shown(new.model)},
        "written": {"old": old.written, "new": new.written},
        "version": old.version,
        "num_fewshot": old.shots,
        "filters": sorted(old.filters),
        "prompts": prompts.hexdigest(),
        # The harness keeps what it sent, and not what the server counted.
        "prompt_tokens": {
            "counted": 0,
            "estimated": len(compared.keys),
            "characters_a_token": CHARACTERS_A_TOKEN,
            "how": "characters of the prompt as the harness sent it / characters a token, a rule of thumb",
        },
        "primary": str(primary),
        "groups": groups,
        "documents": len(compared.keys),
        "only_old": len(compared.samples[0]) - len(compared.keys),
        "only_new": len(compared.samples[1]) - len(compared.keys),
        "metrics": {
            str(metric): {
                "outcomes": sorted({name for _, name in series.examples}),
                "reported": {"old": old.reported[metric], "new": new.reported[metric]},
            }
            for metric, series in compared.series.items()
        },
        "left_out": compared.left_out,
    }


def _pairs(
    key: bytes, compared: _Compared, primary: Metric, task: str, pair_ids: Mapping[int, str]
) -> Iterator[dict[str, Any]]:
    """The disagreements as records of import format v1."""
    right = _disagreements(compared, primary)
    before, after = compared.samples
    answered = [
        lm_eval.read_texts(side, [samples[doc] for doc in pair_ids], primary)
        for side, samples in ((compared.old, before), (compared.new, after))
    ]
    for (doc, old), (_, new) in zip(*answered, strict=True):
        yield {
            "pair_id": pair_ids[doc],
            "prompt_id": _prompt_id(key, before[doc]),
            "task": task,
            "messages": old.messages,
            "reference": old.target,
            "old": {"model": compared.old.model or None, "content": old.response or "", "correct": right[doc][0]},
            "new": {"model": compared.new.model or None, "content": new.response or "", "correct": right[doc][1]},
            "metadata": {"benchmark": compared.name, "document": doc, "metric": str(primary)},
        }


def _import_pairs(desk: Desk, pairs: Iterable[Mapping[str, Any]], source: str) -> None:
    """Through the ordinary way in: checked, and stripped of personal data as configured."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.jsonl"
        with file.open("w", encoding="ascii") as out:
            for each in pairs:
                out.write(json.dumps(each) + "\n")
        upload.import_file(desk, "pairs", file, options=Reading(), source=source)


def _task_report(compared: _Compared, primary: Metric, task: str, pairs: int, stood: bool) -> dict[str, Any]:
    old, new = compared.old, compared.new
    before, after = compared.samples
    return {
        "task": compared.name,
        "as": task,
        "version": old.version,
        "num_fewshot": old.shots,
        "documents": len(compared.keys),
        "only_old": len(before) - len(compared.keys),
        "only_new": len(after) - len(compared.keys),
        "written": {"old": old.written, "new": new.written},
        "earlier": {"old": old.earlier, "new": new.earlier},
        "pairs": pairs,
        "stood": stood,
        "metrics": [
            {
                "metric": str(metric),
                "primary": metric == primary,
                "reported": {"old": old.reported[metric], "new": new.reported[metric]},
                **_estimates(each.old, each.new, compact(each.clusters)),
            }
            for metric, each in compared.series.items()
        ],
        "left_out": compared.left_out,
        "notes": compared.notes,
    }


def _estimates(old: Floats, new: Floats, clusters: Ints) -> dict[str, Any]:
    return {
        "old": clustered_mean(old, clusters).to_json(),
        "new": clustered_mean(new, clusters).to_json(),
        "difference": _difference(new - old, clusters).to_json(),
    }


def _difference(steps: Floats, clusters: Ints) -> Result:
    """The mean of new minus old, clustered by document."""
    if np.all(steps == np.rint(steps)):
        return stratified_difference(steps, clusters)
    return mean_difference(steps, clusters)


def _group_report(group: Group, found: Mapping[str, _Compared], sides: tuple[Output, Output]) -> dict[str, Any]:
    """A group as the harness sums it up: over all documents, or over tasks alike, whichever gives what it reports."""
    metrics: list[dict[str, Any]] = []
    for metric in group.reported:
        reported = [side.groups[group.name].reported.get(metric) for side in sides]
        parts = [found[name].series[metric] for name in group.tasks if metric in found[name].series]
        if len(parts) < len(group.tasks) or None in reported:
            continue
        sizes = [[len(found[name].samples[side]) for name in group.tasks] for side in (0, 1)]
        by_size = _weighted_by_size(parts, sizes, [each or 0.0 for each in reported])
        metrics.append(
            {
                "metric": str(metric),
                "weight_by_size": by_size,
                "reported": {"old": reported[0], "new": reported[1]},
                "difference": _of_group(parts, by_size).to_json(),
                **{side: _level(parts, by_size, side) for side in ("old", "new")},
            }
        )
    return {"group": group.name, "tasks": list(group.tasks), "metrics": metrics}


def _weighted_by_size(parts: Sequence[_Series], sizes: list[list[int]], reported: list[float]) -> bool | None:
    """Whether tasks count by their documents (True) or alike (False); None where neither gives what is reported."""
    for by_size in (True, False):
        given = [
            np.average([each.whole[side] for each in parts], weights=sizes[side] if by_size else None)
            for side in (0, 1)
        ]
        if all(abs(mine - theirs) <= _CLOSE for mine, theirs in zip(given, reported, strict=True)):
            return by_size
    return None


def _level(parts: Sequence[_Series], by_size: bool | None, side: str) -> float | None:
    """A side's value on the documents that are compared."""
    if by_size is None:
        return None
    values: list[Floats] = [getattr(each, side) for each in parts]
    weights = [len(each) for each in values] if by_size else None
    return float(np.average([each.mean() for each in values], weights=weights))


def _of_group(parts: Sequence[_Series], by_size: bool | None) -> Result:
    if by_size is None:
        return NotEstimable("the group's value is neither its documents' mean nor its tasks'")
    steps = np.concatenate([each.new - each.old for each in parts])
    clusters = compact(np.concatenate([each.clusters for each in parts]))
    strata = np.repeat(np.arange(len(parts)), [len(each.examples) for each in parts])
    if not np.all(steps == np.rint(steps)):
        if by_size:
            return mean_difference(steps, clusters)
        return NotEstimable("graded metrics of tasks that count alike have no interval here")
    counts = np.bincount(strata).astype(np.float64)
    shares = counts / counts.sum() if by_size else np.full(len(parts), 1 / len(parts))
    return stratified_difference(steps, clusters, strata=strata, shares=shares)


def _notes(sides: tuple[Output, Output], found: Mapping[str, _Compared]) -> list[str]:
    notes: list[str] = []
    for title, side, other in (("OLD", sides[0], sides[1]), ("NEW", sides[1], sides[0])):
        if alone := [lm_eval.shown(name) for name in side.tasks if name not in other.tasks]:
            notes.append(f"{title} alone has {len(alone)} tasks, which are left out: {', '.join(alone[:8])}")
        if side.unlogged:
            names = ", ".join(map(lm_eval.shown, side.unlogged[:8]))
            notes.append(f"{title} has results without samples: {names}")
    for name, each in found.items():
        for title, task in (("OLD", each.old), ("NEW", each.new)):
            if task.earlier:
                notes.append(
                    f"{lm_eval.shown(name)}: {task.earlier + 1} results in {title}; those of {task.written} are taken"
                )
    return notes


def _listed(metrics: Iterable[Metric]) -> str:
    return " ".join(sorted(map(str, metrics)))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
