"""Slices of a run that regress silently: its parts, prompts by length, chains of tool calls; and two runs side by side.

All of them are computed from outcomes of any kind of evidence, repeats left out; the adversarial set, which holds
failures that somebody picked, counts in its own part alone. An example of a part counts as the traffic it stands for;
parts are joined by their numbers of examples, so that neither traffic nor a large benchmark drowns the others. An
example with several metrics counts once. Differences are new minus old, right answers as shares (services.runs.
differences); intervals are clustered by prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute

from review.domain.run import EVIDENCE, Evidence
from review.services import runs
from review.services.runs import differences
from review.services.workspace import Workspace
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import Bools, Floats, Ints, compact
from review.stats.weighted import hajek

pa: Any = pyarrow  # it carries no types
pc: Any = pyarrow.compute

LEVEL = 0.95
# Tokens of the input; k is 1,024, as in the sizes of context windows.
BUCKETS: tuple[tuple[str, int, int | None], ...] = (
    ("under 4k", 0, 4 * 1024),
    ("4k to 16k", 4 * 1024, 16 * 1024),
    ("16k to 32k", 16 * 1024, 32 * 1024),
    ("over 32k", 32 * 1024, None),
)
LISTED = 200
# First wrong steps are listed up to here; what goes wrong later is counted together.
STEPS = 10
UNDECIDED = "nothing says who is right"


@dataclass(frozen=True)
class PartSlice:
    """One part of a run.

    Attributes:
        old: Share right on the baseline, of the examples with both values known.
        new: The same of the candidate.
        difference: New minus old.
        examples: How many there are, undecided ones too.
        undecided: Examples with nothing that says who is right.
        worse: Outcomes in which the candidate is worse.
        better: Outcomes in which it is better.
    """

    evidence: Evidence
    part: str
    old: Result
    new: Result
    difference: Result
    examples: int
    undecided: int
    worse: int
    better: int

    def to_json(self) -> dict[str, Any]:
        """The part as plain JSON values."""
        return {
            "evidence": self.evidence,
            "part": self.part,
            "old": self.old.to_json(),
            "new": self.new.to_json(),
            "difference": self.difference.to_json(),
            "examples": self.examples,
            "undecided": self.undecided,
            "worse": self.worse,
            "better": self.better,
        }


@dataclass(frozen=True)
class Bucket:
    """Examples whose input has from `low` to below `high` tokens (None: any more). Empty ones are there, with n 0."""

    name: str
    low: int
    high: int | None
    n: int
    prompts: int
    difference: Result
    by_evidence: tuple[tuple[Evidence, int, Result], ...]

    def to_json(self) -> dict[str, Any]:
        """The bucket as plain JSON values."""
        return {
            "name": self.name,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "prompts": self.prompts,
            "difference": self.difference.to_json(),
            "by_evidence": [
                {"evidence": evidence, "n": n, "difference": found.to_json()} for evidence, n, found in self.by_evidence
            ],
        }


@dataclass(frozen=True)
class LongContext:
    """The difference by the length of the input; `without` counts examples whose length nobody told."""

    buckets: tuple[Bucket, ...]
    without: int

    def to_json(self) -> dict[str, Any]:
        """The slice as plain JSON values."""
        return {"buckets": [each.to_json() for each in self.buckets], "without": self.without}


@dataclass(frozen=True)
class FirstWrong:
    """In how many chains a side's first wrong step was this one; `step` None counts those after STEPS together."""

    step: int | None
    old: int
    new: int


@dataclass(frozen=True)
class ToolChains:
    """Chains of tool calls; what a step and a chain are: review/domain/steps.py.

    Attributes:
        chains: How many chains there are.
        single: Of those, chains of one step.
        completed_old: Share of chains all of whose steps the baseline has right.
        completed_new: The same of the candidate.
        difference: New minus old.
        first_wrong: Where chains broke, the earliest step first.
        cut_old: Share of chains with a truncated call or answer on the baseline.
        cut_new: The same on the candidate.
        cut_difference: New minus old: above 0, the candidate truncates more.
    """

    chains: int
    single: int
    completed_old: Result
    completed_new: Result
    difference: Result
    first_wrong: tuple[FirstWrong, ...]
    cut_old: Result
    cut_new: Result
    cut_difference: Result

    def to_json(self) -> dict[str, Any]:
        """The slice as plain JSON values."""
        return {
            "chains": self.chains,
            "single": self.single,
            "completed_old": self.completed_old.to_json(),
            "completed_new": self.completed_new.to_json(),
            "difference": self.difference.to_json(),
            "first_wrong": [{"step": each.step, "old": each.old, "new": each.new} for each in self.first_wrong],
            "cut_old": self.cut_old.to_json(),
            "cut_new": self.cut_new.to_json(),
            "cut_difference": self.cut_difference.to_json(),
        }


@dataclass(frozen=True)
class Example:
    """One outcome, to be read: what it was worth before and after, and the pair that shows it.

    Between two runs `old` and `new` are the values of the two candidates.
    """

    evidence: Evidence
    part: str
    example_id: str
    metric: str
    task: str | None
    pair_id: str | None
    old: float | None
    new: float | None
    decided_by: str

    def to_json(self) -> dict[str, Any]:
        """The example as plain JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class KindCompared:
    """Two candidates on one kind of evidence."""

    evidence: Evidence
    n: int
    better: int
    worse: int
    difference: Result

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain JSON values."""
        return {
            "evidence": self.evidence,
            "n": self.n,
            "better": self.better,
            "worse": self.worse,
            "difference": self.difference.to_json(),
        }


@dataclass(frozen=True)
class Compared:
    """Candidate B against candidate A, example by example.

    Attributes:
        shared: Outcomes that both runs have.
        only_a: Outcomes of A that B lacks.
        only_b: Outcomes of B that A lacks.
        unknown: Shared outcomes of which no difference is known.
        difference: B minus A over all kinds but the adversarial set.
        kinds: By kind of evidence, those both have.
        worse: Outcomes that A has right and B wrong, the first LISTED.
        better: Outcomes that B has right and A wrong, the first LISTED.
    """

    shared: int
    only_a: int
    only_b: int
    unknown: int
    difference: Result
    kinds: tuple[KindCompared, ...]
    worse: tuple[Example, ...]
    better: tuple[Example, ...]

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain JSON values."""
        return {
            "shared": self.shared,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "unknown": self.unknown,
            "difference": self.difference.to_json(),
            "kinds": [each.to_json() for each in self.kinds],
            "worse": [each.to_json() for each in self.worse],
            "better": [each.to_json() for each in self.better],
        }


def by_part(workspace: Workspace, run_id: str, level: float = LEVEL) -> tuple[PartSlice, ...]:
    """Each counted part of a run, by kind of evidence."""
    return by_part_of(runs.outcomes(workspace, run_id), level)


def long_context(workspace: Workspace, run_id: str, level: float = LEVEL) -> LongContext:
    """The difference by the length of the input."""
    return long_context_of(runs.outcomes(workspace, run_id), level)


def tool_chains(workspace: Workspace, run_id: str, level: float = LEVEL) -> ToolChains:
    """Chains of tool calls: how many are completed, where they break, what is cut off."""
    return tool_chains_of(runs.outcomes(workspace, run_id), level)


def worse(
    workspace: Workspace, run_id: str, evidence: Evidence, part: str | None = None, limit: int = LISTED
) -> list[Example]:
    """Examples of a part (None: of all) that the candidate does worse on, the largest losses first."""
    table = runs.outcomes(workspace, run_id, evidence)
    values, known = differences(table)
    there = np.ones(table.num_rows, np.bool_)
    if part is not None:
        there = pc.equal(table["part"], part).to_numpy(zero_copy_only=False).astype(np.bool_)
    rows = np.flatnonzero(there & known & (values < 0) & (_whole(table, "repeat") == 0))
    rows = rows[np.argsort(values[rows], kind="stable")][:limit]
    return [Example(**row) for row in _examples(table, rows)]


def compare(workspace: Workspace, run_a: str, run_b: str, level: float = LEVEL) -> Compared:
    """Which examples flipped between the candidates of two runs."""
    a, b = runs.get(workspace, run_a), runs.get(workspace, run_b)
    same = same_baseline(runs.described(a), runs.described(b))
    return compare_of(runs.outcomes(workspace, a.run_id), runs.outcomes(workspace, b.run_id), same, level)


def same_baseline(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two described runs have the same baseline, so that differences from it compare."""
    return a["baseline"] == b["baseline"]


def by_part_of(table: Any, level: float = LEVEL) -> tuple[PartSlice, ...]:
    """The parts of a table of outcomes."""
    rows = _Rows(table)
    found: list[PartSlice] = []
    for code, (evidence, part) in enumerate(rows.parts):
        inside = (rows.part == code) & rows.first
        both = inside & rows.told
        found.append(
            PartSlice(
                evidence,
                part,
                rows.mean(rows.old, both, level),
                rows.mean(rows.new, both, level),
                rows.difference(inside, level),
                rows.examples(inside),
                rows.examples(inside & rows.nobody),
                int((inside & rows.known & (rows.values < 0)).sum()),
                int((inside & rows.known & (rows.values > 0)).sum()),
            )
        )
    return tuple(sorted(found, key=lambda each: (EVIDENCE.index(each.evidence), each.part)))


def long_context_of(table: Any, level: float = LEVEL) -> LongContext:
    """The buckets of a table of outcomes."""
    rows = _Rows(table)
    tokens = _floats(table, "prompt_tokens")
    counted = rows.first & ~rows.adversarial
    buckets: list[Bucket] = []
    for name, low, high in BUCKETS:
        inside = counted & (tokens >= low) & (tokens < (np.inf if high is None else high))
        difference = rows.difference(inside, level)
        kinds: list[tuple[Evidence, int, Result]] = []
        for code, kind in enumerate(EVIDENCE):
            own = inside & (rows.evidence == code)
            if not own.any():
                continue
            alone = int(own.sum()) == int(inside.sum())
            found = difference if alone else rows.difference(own, level)
            kinds.append((kind, rows.examples(own), found))
        prompts = len(np.unique(rows.prompt[inside]))
        buckets.append(Bucket(name, low, high, rows.examples(inside), prompts, difference, tuple(kinds)))
    return LongContext(tuple(buckets), rows.examples(counted & np.isnan(tokens)))


def tool_chains_of(table: Any, level: float = LEVEL) -> ToolChains:
    """The chains of a table of outcomes."""
    rows = _Rows(table)
    steps, old, new = (_floats(table, name) for name in ("steps", "old_steps", "new_steps"))
    chain = rows.first & ~rows.adversarial & ~np.isnan(steps) & ~np.isnan(old) & ~np.isnan(new)
    done_old, done_new = (old >= steps).astype(np.float64), (new >= steps).astype(np.float64)
    cut_old, cut_new = _floats(table, "old_cut"), _floats(table, "new_cut")
    cut = chain & ~np.isnan(cut_old) & ~np.isnan(cut_new)
    nothing = "no chain of tool calls" if not chain.any() else "nothing tells whether calls were cut off"
    return ToolChains(
        int(chain.sum()),
        int((chain & (steps == 1)).sum()),
        rows.mean(done_old, chain, level, nothing),
        rows.mean(done_new, chain, level, nothing),
        rows.mean(done_new - done_old, chain, level, nothing, lowest=-1.0),
        _first_wrong(old[chain & (done_old == 0)], new[chain & (done_new == 0)]),
        rows.mean(np.nan_to_num(cut_old), cut, level, nothing),
        rows.mean(np.nan_to_num(cut_new), cut, level, nothing),
        rows.mean(np.nan_to_num(cut_new) - np.nan_to_num(cut_old), cut, level, nothing, lowest=-1.0),
    )


def _first_wrong(old: Floats, new: Floats) -> tuple[FirstWrong, ...]:
    """From the right steps before the first wrong one, of chains that broke, to how often each step was it."""
    sides = [np.bincount(np.minimum(side, STEPS).astype(np.int64), minlength=STEPS + 1).tolist() for side in (old, new)]
    found = [FirstWrong(at + 1 if at < STEPS else None, *counts) for at, counts in enumerate(zip(*sides, strict=True))]
    last = max((at for at, each in enumerate(found) if each.old or each.new), default=-1)
    return tuple(found[: last + 1])


def compare_of(a: Any, b: Any, same_baseline: bool, level: float = LEVEL) -> Compared:
    """Two tables of outcomes, candidate B against candidate A.

    Where a value is open, because both answers of a run are the same or a judge called a tie, the differences from the
    baseline compare instead, if it is the same in both runs.
    """
    at_a, at_b, only_a, only_b = _matched(a, b)
    left, right = _Rows(a.take(at_a)), _Rows(b.take(at_b))
    told = ~np.isnan(left.new) & ~np.isnan(right.new)
    by_baseline = ~told & left.known & right.known if same_baseline else np.zeros(len(told), np.bool_)
    values = np.where(told, np.nan_to_num(right.new) - np.nan_to_num(left.new), right.values - left.values)
    known = told | by_baseline
    values = np.where(known, values, 0.0)
    counted = ~right.adversarial
    kinds: list[KindCompared] = []
    for code, kind in enumerate(EVIDENCE):
        inside = right.evidence == code
        if inside.any():
            kinds.append(
                KindCompared(
                    kind,
                    int(inside.sum()),
                    int((inside & (values > 0)).sum()),
                    int((inside & (values < 0)).sum()),
                    _between(right, values, inside, known, level),
                )
            )
    flips = {sign: np.flatnonzero(known & (np.sign(values) == sign))[:LISTED] for sign in (-1, 1)}
    before = a.take(at_a)["new"]
    after = b.take(at_b).set_column(b.schema.get_field_index("old"), "old", before)
    return Compared(
        len(at_a),
        only_a,
        only_b,
        int((~known).sum()),
        _between(right, values, counted, known, level),
        tuple(kinds),
        tuple(Example(**row) for row in _examples(after, flips[-1])),
        tuple(Example(**row) for row in _examples(after, flips[1])),
    )


def _between(rows: _Rows, values: Floats, inside: Bools, known: Bools, level: float) -> Result:
    """B minus A; by the baseline a preference may move by two."""
    undecided = int((inside & ~known).sum())
    step = 2.0 if (np.abs(values) > 1).any() else 1.0
    return rows.mean(values, inside & known, level, lowest=-step, highest=step, undecided=undecided)


def _matched(a: Any, b: Any) -> tuple[Ints, Ints, int, int]:
    """Where the outcomes that both tables have stand in each, in the order of A, and how many either has alone.

    An example is the same where its kind, id and metric are; of benchmarks and golden sets, whose parts are versions,
    the part too. Of several in one table the first counts.
    """
    keys = pa.chunked_array([*_keys(a).chunks, *_keys(b).chunks], pa.string())
    codes = _codes(keys)
    first, second = (
        np.flatnonzero(_whole(table, "repeat") == 0) + offset for table, offset in ((a, 0), (b, a.num_rows))
    )
    ones, place_a = np.unique(codes[first], return_index=True)
    others, place_b = np.unique(codes[second], return_index=True)
    _, in_a, in_b = np.intersect1d(ones, others, assume_unique=True, return_indices=True)
    at_a, at_b = first[place_a[in_a]], second[place_b[in_b]] - a.num_rows
    order = np.argsort(at_a, kind="stable")
    return at_a[order], at_b[order], len(ones) - len(at_a), len(others) - len(at_b)


def _keys(table: Any) -> Any:
    versioned = pc.is_in(table["evidence"], value_set=pa.array(["benchmark", "golden"]))
    part = pc.if_else(versioned, table["part"], "")
    return pc.binary_join_element_wise(table["evidence"], part, table["example_id"], table["metric"], "\x1f")


class _Rows:
    """A table of outcomes as arrays, one element a row.

    `weight` counts an example of a part as the traffic it stands for, and the part as its number of examples.
    """

    def __init__(self, table: Any) -> None:
        self.values, self.known = differences(table)
        self.old, self.new = _floats(table, "old"), _floats(table, "new")
        self.told = ~np.isnan(self.old) & ~np.isnan(self.new)
        self.first = _whole(table, "repeat") == 0
        self.nobody = ~self.known
        kind = table["evidence"].combine_chunks()
        self.evidence: Ints = pc.index_in(kind, value_set=pa.array(EVIDENCE)).to_numpy(zero_copy_only=False)
        self.adversarial = self.evidence == EVIDENCE.index("adversarial")
        self.prompt = _codes(table["prompt_id"])
        named = pc.binary_join_element_wise(table["evidence"], table["part"], "\x1f")
        self.part = _codes(named)
        first_rows = np.unique(self.part, return_index=True)[1]
        self.parts: list[tuple[Evidence, str]] = [
            (table["evidence"][int(at)].as_py(), table["part"][int(at)].as_py()) for at in first_rows
        ]
        example = _codes(pc.binary_join_element_wise(named, table["example_id"], "\x1f"))
        self.example = example
        self.weight = self._weights(_floats(table, "weight"))

    def _weights(self, traffic: Floats) -> Floats:
        """Traffic shared among an example's rows, scaled so that a part's weights add up to its examples."""
        if not len(traffic):
            return traffic
        rows = np.bincount(self.example[self.first], minlength=int(self.example.max()) + 1)
        shared = traffic / np.maximum(rows[self.example], 1)
        size = int(self.part.max()) + 1
        total = np.bincount(self.part[self.first], shared[self.first], size)
        part_of = np.zeros(len(rows), dtype=np.int64)
        part_of[self.example] = self.part
        examples = np.bincount(part_of[rows > 0], minlength=size)
        return shared * (examples / np.maximum(total, 1e-300))[self.part]

    def examples(self, inside: Bools) -> int:
        """How many different examples."""
        return len(np.unique(self.example[inside]))

    def difference(self, inside: Bools, level: float) -> Result:
        """New minus old over these rows; those of which it is not known are left out and counted."""
        undecided = int((inside & ~self.known).sum())
        return self.mean(self.values, inside & self.known, level, lowest=-1.0, undecided=undecided)

    def mean(
        self,
        values: Floats,
        inside: Bools,
        level: float,
        nothing: str = "no example of it is decided",
        *,
        lowest: float = 0.0,
        highest: float = 1.0,
        undecided: int = 0,
    ) -> Result:
        """The weighted mean over these rows, clustered by prompt; parts were drawn apart."""
        if not inside.any():
            return NotEstimable(nothing)
        return hajek(
            values[inside],
            self.weight[inside],
            compact(self.prompt[inside]),
            strata=compact(self.part[inside]),
            bounds=(lowest, highest),
            level=level,
            exclusions={UNDECIDED: undecided} if undecided else {},
        )


def _codes(column: Any) -> Ints:
    """A code from 0 for each different text, in the order in which they come."""
    encoded = pc.dictionary_encode(column)
    whole = encoded.unify_dictionaries() if hasattr(encoded, "unify_dictionaries") else encoded
    chunks = [each.indices.to_numpy(zero_copy_only=False) for each in getattr(whole, "chunks", [whole])]
    return np.concatenate(chunks).astype(np.int64) if chunks else np.zeros(0, dtype=np.int64)


def _floats(table: Any, name: str) -> Floats:
    """A column of numbers or booleans with NaN where it is NULL."""
    return pc.cast(table[name], pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)


def _whole(table: Any, name: str) -> Ints:
    return table[name].to_numpy(zero_copy_only=False).astype(np.int64)


def _examples(table: Any, rows: Ints) -> list[dict[str, Any]]:
    names = ["evidence", "part", "example_id", "metric", "task", "pair_id", "old", "new", "decided_by"]
    return table.select(names).take(pa.array(rows, pa.int64())).to_pylist()
