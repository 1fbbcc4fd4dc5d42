"""The parts of the contract that rest on a run's recorded outcomes: benchmarks, golden set, slices, weighted score."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from review.domain.contract import SliceName, Terms
from review.services import runs
from review.services.gate_report import Claim, Finding, judged, part
from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Bools, Floats, Ints
from review.stats.pass_rate import mixture
from review.stats.weighted_score import Differences, missing

# Prompt tokens from which the next bucket begins.
BUCKETS: tuple[tuple[str, int], ...] = (("< 4k", 0), ("4-16k", 4_000), ("16-32k", 16_000), ("> 32k", 32_000))
# A metric that at least this share of a task's examples has is a claim of its own; rarer ones, as IFEval's single
# instructions are, count together.
_OWN = 0.5
_SINGLE = re.compile(r"inst \d+")


@dataclass(frozen=True)
class Outcomes:
    """A run's outcomes as arrays, shape (rows,); repeats among them.

    Attributes:
        evidence, part, task, metric, example, prompt: Codes into the names beside them.
        value: New minus old, 0 where it is not known.
        known: It is known.
        old, new: How right each side was, NaN where that is not known.
        by_judge: A judge decided it.
        weight: Of the example; a replay's stand for traffic, and are on average 1 within their part.
        names: For each of the codes its names; of a task, None where there is none.
        judges: Which judges decided anything, by evidence.
    """

    evidence: Ints
    part: Ints
    task: Ints
    metric: Ints
    example: Ints
    prompt: Ints
    value: Floats
    known: Bools
    old: Floats
    new: Floats
    by_judge: Bools
    weight: Floats
    tokens: Floats
    steps: Floats
    old_steps: Floats
    new_steps: Floats
    cut: Floats
    names: dict[str, list[Any]]
    judges: dict[str, tuple[str, ...]]

    def of(self, evidence: str) -> Bools:
        """Rows of a kind of evidence."""
        names = self.names["evidence"]
        return self.evidence == names.index(evidence) if evidence in names else np.zeros(len(self.value), np.bool_)


def read(table: Any) -> Outcomes:
    """The table of services.runs.outcomes as arrays."""
    codes: dict[str, Ints] = {}
    names: dict[str, list[Any]] = {}
    columns = {"evidence": "evidence", "part": "part", "task": "task", "metric": "metric", "prompt": "prompt_id"}
    for name, column in {**columns, "example": "example_id", "decider": "decided_by"}.items():
        encoded = table[column].combine_chunks().dictionary_encode(null_encoding="encode")
        codes[name] = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        names[name] = encoded.dictionary.to_pylist()
    value, known = runs.differences(table)
    deciders: list[str] = names["decider"]
    is_judge = np.array([f"{each} ".startswith(runs.JUDGED) for each in deciders] or [False], dtype=np.bool_)
    by_judge = is_judge[codes["decider"]] if len(deciders) else np.zeros(0, np.bool_)
    judges: dict[str, tuple[str, ...]] = {}
    for at, kind in enumerate(names["evidence"]):
        named: list[int] = np.unique(codes["decider"][by_judge & (codes["evidence"] == at)]).tolist()
        judges[kind] = tuple(sorted(deciders[code].removeprefix(runs.JUDGED) for code in named))
    # The same name in two parts is two examples, and a prompt of a benchmark is none of a golden set's.
    whole = codes["evidence"] * max(1, len(names["part"])) + codes["part"]
    example = _dense(whole * max(1, len(names["example"])) + codes["example"])
    return Outcomes(
        **{name: codes[name] for name in ("evidence", "part", "task", "metric", "prompt")},
        example=example,
        value=value,
        known=known,
        old=_floats(table, "old"),
        new=_floats(table, "new"),
        by_judge=by_judge,
        weight=_weights(_floats(table, "weight"), _dense(whole), codes["evidence"], names["evidence"]),
        tokens=_floats(table, "prompt_tokens"),
        steps=_floats(table, "steps"),
        old_steps=_floats(table, "old_steps"),
        new_steps=_floats(table, "new_steps"),
        # Above 0: old alone was cut off.
        cut=_floats(table, "old_cut") - _floats(table, "new_cut"),
        names=names,
        judges=judges,
    )


def benchmarks(rows: Outcomes, terms: Terms, alpha: float) -> Finding | None:
    """Each benchmark's task, and within it each metric that its examples share, against its tolerance."""
    kept = rows.of("benchmark") & rows.known
    if not rows.of("benchmark").any():
        return None
    claims: list[Claim] = []
    for code in np.unique(rows.part[rows.of("benchmark")]).tolist():
        task = str(rows.names["part"][code])
        inside = kept & (rows.part == code)
        metrics = list(_metrics(rows, inside))
        for name, chosen in metrics:
            title = f"{task}, {name}" if len(metrics) > 1 else task
            claims.append(_claim(title, differences(rows, chosen), terms.benchmark_for(task), terms, alpha))
    return part("benchmark", judged(claims, alpha, "benchmark"), judged=bool((kept & rows.by_judge).any()))


def _metrics(rows: Outcomes, inside: Bools) -> Iterable[tuple[str, Bools]]:
    """The rows of each metric that at least half of the examples have, and of all others together."""
    examples = len(np.unique(rows.example[inside]))
    rare = inside.copy()
    codes: list[int] = np.unique(rows.metric[inside]).tolist()
    for code in codes:
        chosen = inside & (rows.metric == code)
        single = _SINGLE.fullmatch(str(rows.names["metric"][code])) is not None
        if not single and len(np.unique(rows.example[chosen])) >= _OWN * examples:
            rare &= ~chosen
            yield str(rows.names["metric"][code]), chosen
    if rare.any() or not inside.any():
        yield "its single checks together" if inside.any() else "no outcome", rare


def golden(rows: Outcomes, terms: Terms, alpha: float) -> Finding | None:
    """All golden items together, and each task that they name."""
    whole = rows.of("golden")
    if not whole.any():
        return None
    kept = whole & rows.known
    claims = [_claim("all items", differences(rows, kept), terms.golden_for(None), terms, alpha)]
    codes = [code for code in np.unique(rows.task[kept]).tolist() if rows.names["task"][code] is not None]
    if len(codes) > 1:
        for code in codes:
            task = str(rows.names["task"][code])
            chosen = differences(rows, kept & (rows.task == code))
            claims.append(_claim(task, chosen, terms.golden_for(task), terms, alpha))
    return part("golden", judged(claims, alpha, "golden"), judged=bool((kept & rows.by_judge).any()))


def long_context(rows: Outcomes, terms: Terms, alpha: float) -> Finding | None:
    """Right answers by length of the prompt; the first bucket is the ordinary one and only shown beside the others."""
    kept = rows.known & ~np.isnan(rows.tokens) & ~rows.of("adversarial")
    if not (kept & (rows.tokens >= BUCKETS[1][1])).any():
        return None
    ends = [*(start for _, start in BUCKETS[1:]), np.inf]
    chosen = [
        (name, kept & (rows.tokens >= start) & (rows.tokens < end))
        for (name, start), end in zip(BUCKETS, ends, strict=True)
    ]
    groups = [(f"{name} tokens", differences(rows, inside)) for name, inside in chosen if inside.any()]
    return _slice("long_context", groups, terms, alpha, by_judge=bool((kept & rows.by_judge).any()))


def tool_chains(rows: Outcomes, terms: Terms, alpha: float) -> Finding | None:
    """Chains of tool calls: completed, right up to where, and cut off."""
    chain = ~np.isnan(rows.steps) & ~rows.of("adversarial") & ~np.isnan(rows.old_steps) & ~np.isnan(rows.new_steps)
    if not chain.any():
        return None
    completed: Floats = (rows.new_steps >= rows.steps).astype(np.float64) - (rows.old_steps >= rows.steps)
    gained = np.minimum(rows.new_steps, rows.steps) - np.minimum(rows.old_steps, rows.steps)
    reached: Floats = (gained / rows.steps).astype(np.float64)
    groups = [
        ("chains completed", differences(rows, chain, completed)),
        ("right steps before the first wrong one", differences(rows, chain, reached)),
    ]
    told = chain & ~np.isnan(rows.cut)
    if told.any():
        groups.append(("chains not cut off", differences(rows, told, rows.cut)))
    return _slice("tool_chains", groups, terms, alpha, by_judge=False)


def _slice(
    name: SliceName, groups: Sequence[tuple[str, Differences]], terms: Terms, alpha: float, *, by_judge: bool
) -> Finding:
    named = name in terms.slices
    claims = [_claim(title, each, terms.slice_for(name), terms, alpha) for title, each in groups]
    return part(name, judged(claims, alpha, "outcomes", must_hold=named), judged=by_judge)


def weighted_score(
    rows: Outcomes, cases: Differences | None, traffic: Finding | None, terms: Terms, alpha: float
) -> Finding | None:
    """All examples together, those of the adversarial set with their weight.

    Where people labelled traffic, its examples count with the difference that the labels show for all of it: the
    examples that anybody decided are none drawn at random, and a judge's verdicts on the others may err.

    Args:
        rows: All outcomes.
        cases: The entries of the adversarial set that count.
        traffic: What the labels say of all traffic; None or without an estimate: its outcomes stand for it.
        terms: What was agreed.
        alpha: One-sided, where no labels are read.
    """
    of_traffic = rows.of("replay") | rows.of("shadow")
    known = None if traffic is None or isinstance(traffic.estimate, NotEstimable) else traffic.estimate
    kept = rows.known & ~rows.of("adversarial") & (~of_traffic if known else True)
    found = differences(rows, kept)
    kinds = _counted(rows, kept)
    if cases is not None and len(cases.values):
        found = _together(found, replace(cases, weights=np.full(len(cases.values), terms.adversarial.weight)))
        kinds.append((f"adversarial, each {terms.adversarial.weight:g} times", len(cases.values)))
    at = found.intervals()
    if known is not None and traffic is not None:
        alpha = traffic.alpha
        size = len(np.unique(rows.example[of_traffic])) or known.n
        kinds.append(("traffic, by its labels", size))
        at = _mixed(at, found, known, size)
    elif not len(found.values):
        return None
    tolerance = terms.regression_threshold
    claim = Claim("weighted_score", at, -tolerance, "margin", _missing(tolerance, terms, alpha))
    by_judge = bool((kept & rows.by_judge).any()) or (known is not None and traffic is not None and traffic.judged)
    whole = part("weighted_score", judged([claim], alpha, "outcomes"), judged=by_judge)
    counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds)
    return replace(whole, why=f"{whole.why} Examples: {counts}.")


def _mixed(
    at: Callable[[float], Result], others: Differences, traffic: Estimate, size: int
) -> Callable[[float], Result]:
    """Traffic, by its labels, and all other examples, each with the weight of its examples."""
    weight = float(others.weights.sum())
    share = size / (size + weight)

    def both(level: float) -> Result:
        parts: list[tuple[float, Result]] = [(share, traffic)]
        if weight:
            parts.append((1 - share, at(level)))
        clusters = traffic.clusters + len(np.unique(others.clusters))
        return mixture(parts, traffic.n + len(others.values), clusters, traffic.level, (-1.0, 1.0))

    return both


def _together(first: Differences, second: Differences) -> Differences:
    """Both, as strata and prompts of their own."""
    clusters = int(first.clusters.max(initial=-1)) + 1 + second.clusters
    strata = int(first.strata.max(initial=-1)) + 1 + second.strata
    return Differences(
        values=np.concatenate([first.values, second.values]),
        weights=np.concatenate([first.weights, second.weights]),
        clusters=np.concatenate([first.clusters, clusters]),
        strata=np.concatenate([first.strata, strata]),
    )


def differences(rows: Outcomes, chosen: Bools, value: Floats | None = None) -> Differences:
    """One difference an example: the mean over its metrics and repeats, where they are known."""
    example = _dense(rows.example[chosen])
    size = int(example.max()) + 1 if len(example) else 0
    counts = np.maximum(np.bincount(example, minlength=size), 1)
    values = np.bincount(example, (rows.value if value is None else value)[chosen], size) / counts
    first = _first(example, np.flatnonzero(chosen))
    return Differences(
        values=np.clip(values, -1.0, 1.0),
        weights=rows.weight[first],
        clusters=rows.evidence[first] * (len(rows.names["prompt"]) + 1) + rows.prompt[first],
        strata=_dense(rows.evidence[first] * (len(rows.names["part"]) + 1) + rows.part[first]),
    )


def _claim(name: str, found: Differences, tolerance: float, terms: Terms, alpha: float) -> Claim:
    return Claim(
        name=name,
        at=found.intervals(),
        bound=-tolerance,
        bound_kind="margin",
        missing=_missing(tolerance, terms, alpha),
    )


def _missing(tolerance: float, terms: Terms, alpha: float) -> Callable[[Result], int | NotEstimable]:
    return lambda found: missing(found, tolerance, alpha=alpha, power=terms.power)


def _counted(rows: Outcomes, kept: Bools) -> list[tuple[str, int]]:
    """Different examples of each kind of evidence."""
    codes: list[int] = np.unique(rows.evidence[kept]).tolist()
    return [
        (str(rows.names["evidence"][code]), len(np.unique(rows.example[kept & (rows.evidence == code)])))
        for code in codes
    ]


def _weights(weights: Floats, parts: Ints, evidence: Ints, names: Sequence[str]) -> Floats:
    """What each row's example weighs: 1, and in traffic its design weight with a mean of 1 within each part.

    How traffic was sampled decides the shares in a part, not its size; a golden item's rubric items share its weight.
    """
    if not len(weights):
        return weights
    levelled = weights / (np.bincount(parts, weights) / np.bincount(parts))[parts]
    traffic = np.isin(evidence, [at for at, name in enumerate(names) if name in ("replay", "shadow")])
    return np.where(traffic, levelled, 1.0)


def _dense(codes: Ints) -> Ints:
    """Codes renumbered from 0; they may be large and far apart."""
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


def _first(codes: Ints, values: Ints) -> Ints:
    """The value of each code's first row, in the order of the codes (from 0, without gaps)."""
    _, at = np.unique(codes, return_index=True)
    return values[at]


def _floats(table: Any, name: str) -> Floats:
    """A column of numbers or truths; NaN where there is none."""
    column = table[name]
    if str(column.type) == "bool":
        column = column.cast("int8")
    return column.cast("float64").to_numpy(zero_copy_only=False).astype(np.float64)
