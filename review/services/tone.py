"""Tone: which answer's people found fitter, how the wording changed, and which change goes with what people said.

The wording is measured, not judged, and on a sample where there are many pairs: always the same pairs, by a hash of
their ids, so that a page shows the same numbers until the data change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from review.domain.wording import TRAITS, Trait, Wording, measure
from review.errors import BadInput, NotFound
from review.services.facts import Facts, Rules, people_answers
from review.services.workspace import Workspace
from review.stats.effects import (
    Association,
    association,
    holm_adjusted,
    mean_difference,
    median_difference,
    standardised_difference,
)
from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Bools, Floats, Ints, clustered_mean, compact
from review.stats.paired import SignTest, sign_test
from review.store import agreement as labels_store
from review.store import wording as store
from review.store.agreement import DIMENSIONS, PairLine, VoteRows

ANSWERS = DIMENSIONS["tone"]
# At most so many pairs in each of the two groups, and not many more characters: half a second on one slow core.
SAMPLE = 2_000
CHARACTERS = 600_000


@dataclass(frozen=True)
class Measured:
    """Which pairs were measured.

    Attributes:
        of: Pairs there are.
        sampled: Pairs drawn from them; all of them when there are few.
        without_prose: Of those drawn, left out because an answer has no prose (tool calls, code or JSON only).
        n: Pairs measured.
        prompts: Distinct prompts among them.
    """

    of: int
    sampled: int
    without_prose: int
    n: int
    prompts: int

    def to_json(self) -> dict[str, object]:
        """The counts as plain JSON values."""
        return {
            "of": self.of,
            "sampled": self.sampled,
            "without_prose": self.without_prose,
            "n": self.n,
            "prompts": self.prompts,
        }


@dataclass(frozen=True)
class TraitChange:
    """One trait, old against new.

    Attributes:
        trait: What was counted.
        old, new: Its mean over the measured disagreements, in its unit; None when there are none.
        difference: Mean of new - old, in its unit.
        median: Median of new - old, in its unit.
        ratio: For lengths, the geometric mean of new / old; None for rates.
        effect: d_z on the trait's scale (logarithm of lengths, root of rates).
        goes_with: On labelled pairs, whether it rose more where people found old's tone fitter (above 0).
    """

    trait: Trait
    old: float | None
    new: float | None
    difference: Result
    median: Result
    ratio: Result | None
    effect: Result
    goes_with: Association | NotEstimable

    def to_json(self) -> dict[str, object]:
        """The trait as plain JSON values."""
        ratio = {} if self.ratio is None else {"ratio": self.ratio.to_json()}
        return {
            "trait": self.trait.key,
            "unit": self.trait.unit,
            "old": self.old,
            "new": self.new,
            "difference": self.difference.to_json(),
            "median": self.median.to_json(),
            **ratio,
            "effect": {"kind": "d_z", "scale": self.trait.scale, **self.effect.to_json()},
            "goes_with_old_fits_better": _association_json(self.goes_with),
        }


@dataclass(frozen=True)
class ToneReport:
    """Everything about tone that a page shows.

    Attributes:
        round_id: Whose labels; None for all.
        level: Confidence level of every interval.
        preferred: The sign test over pairs, with the share for new minus that for old; the reverse of `balance`.
        balance: Share of pairs where old's tone fits better minus the share where new's does.
        shares: Per answer (old, same, new) its share of the labelled pairs.
        counts: Per answer how many pairs.
        labels: Labels that count, and how many of them are simulated.
        excluded: What was left out, by reason.
        disagreements: The pairs behind old, new, differences and effects: all disagreements, labelled or not.
        labelled: The pairs behind `goes_with`: labelled ones with a side.
        traits: In the order of domain.wording.TRAITS.
    """

    round_id: str | None
    level: float
    preferred: SignTest | NotEstimable
    balance: Result
    shares: dict[str, Result]
    counts: dict[str, int]
    labels: dict[str, int]
    excluded: dict[str, int]
    disagreements: Measured
    labelled: Measured
    traits: tuple[TraitChange, ...]

    @property
    def n(self) -> int:
        """Labelled pairs with a final answer."""
        return sum(self.counts.values())

    def strongest(self) -> list[TraitChange]:
        """Traits that go with people's choice beyond chance after Holm, the strongest first."""
        found = [
            (abs(each.goes_with.value.value), each)
            for each in self.traits
            if isinstance(each.goes_with, Association) and each.goes_with.adjusted < 1 - self.level
        ]
        return [each for _, each in sorted(found, key=lambda pair: -pair[0])]

    def to_json(self) -> dict[str, object]:
        """The report as plain JSON values."""
        preferred = self.preferred
        test = (
            preferred.to_json()
            if isinstance(preferred, NotEstimable)
            else {"p": preferred.p, "method": preferred.p_method}
        )
        return {
            "round": self.round_id,
            "level": self.level,
            "people": {
                "n": self.n,
                "counts": dict(self.counts),
                "shares": {answer: share.to_json() for answer, share in self.shares.items()},
                "old_minus_new": self.balance.to_json(),
                "sign_test": test,
                "labels": dict(self.labels),
                "excluded": dict(self.excluded),
            },
            "disagreements": self.disagreements.to_json(),
            "labelled": self.labelled.to_json(),
            "traits": [each.to_json() for each in self.traits],
        }


def tone_of(
    workspace: Workspace,
    round_id: str | None = None,
    *,
    sources: tuple[str, ...] | None = None,
    level: float = 0.95,
) -> ToneReport:
    """What people said about tone, how the wording changed, and what goes together.

    Args:
        workspace: The open workspace.
        round_id: Only this round's labels; all of them by default. The disagreements are those of all rounds.
        sources: Only labels and disagreements from these, as services.runs.traffic_sources says of a run.
        level: Confidence level of every interval.

    Raises:
        NotFound: There is no such round.
    """
    facts = _facts(workspace, round_id, sources)
    pair, answer, excluded = people_answers(facts, "tone", Rules(level=level))
    clusters = compact(facts.prompts[pair])
    side = answer - ANSWERS.index("same")  # -1 old, 0 same, 1 new
    preferred = sign_test(side, clusters, level)
    balance = preferred if isinstance(preferred, NotEstimable) else _reversed(preferred.difference)
    counted = facts.counted() & (facts.labels.answers["tone"] >= 0)
    cursor = workspace.database.cursor()
    decided = pair[side != 0]
    every, said = _measure(
        workspace,
        (store.disagreements(cursor, SAMPLE, sources), store.among(cursor, decided.tolist(), SAMPLE)),
        facts.prompts,
    )
    prefers_old = np.isin(said.pair, pair[side < 0])
    return ToneReport(
        round_id=round_id,
        level=level,
        preferred=preferred,
        balance=balance,
        shares={
            name: clustered_mean((answer == code).astype(np.float64), clusters, level)
            for code, name in enumerate(ANSWERS)
        },
        counts={name: int((answer == code).sum()) for code, name in enumerate(ANSWERS)},
        labels={"counted": int(counted.sum()), "of_them_simulated": int((counted & facts.labels.simulated).sum())},
        excluded=excluded,
        disagreements=every.counts,
        labelled=said.counts,
        traits=_changes(every, said, prefers_old, level),
    )


def pairs_behind(
    workspace: Workspace, answer: str, round_id: str | None = None, limit: int = 200
) -> tuple[int, list[PairLine]]:
    """The pairs whose final answer on tone is `answer`: how many, and the first `limit` of them by id.

    Raises:
        NotFound: There is no such round.
        BadInput: Tone has no such answer.
    """
    if answer not in ANSWERS:
        raise BadInput(f"tone has no answer {answer!r}; it has {', '.join(ANSWERS)}.")
    pair, given, _ = people_answers(_facts(workspace, round_id), "tone", Rules())
    rows = pair[given == ANSWERS.index(answer)]
    return len(rows), labels_store.pair_lines(workspace.database.cursor(), rows.tolist(), limit)


def _facts(workspace: Workspace, round_id: str | None, sources: tuple[str, ...] | None = None) -> Facts:
    """The labels; no judge's votes, which tone does not need and which can be many."""
    cursor = workspace.database.cursor()
    if round_id is not None and round_id not in labels_store.round_names(cursor):
        raise NotFound(f"There is no round {round_id!r}. See them with: review rounds")
    none = np.zeros(0, dtype=np.int64)
    return Facts(
        labels=labels_store.label_rows(cursor, round_id, sources),
        votes=VoteRows(none, none, none, none, {}, ()),
        prompts=labels_store.prompts(cursor),
        skips=0,
        superseded=0,
    )


@dataclass(frozen=True)
class _Sample:
    """Measured pairs: row numbers, prompts as codes, and each trait's values, shape (n, traits)."""

    pair: Ints
    clusters: Ints
    old: Floats
    new: Floats
    counts: Measured


def _measure(workspace: Workspace, groups: tuple[store.Chosen, ...], prompts: Ints) -> list[_Sample]:
    """Measure as many of each group's pairs as the time allows, a pair of both groups once."""
    cursor = workspace.database.cursor()
    lengths = store.characters(cursor, np.unique(np.concatenate([group.pair for group in groups])).tolist())
    drawn = [_affordable(group.pair.tolist(), lengths) for group in groups]
    texts = store.texts(cursor, list(dict.fromkeys(row for rows in drawn for row in rows)))
    wordings = {row: (measure(old), measure(new)) for row, (old, new) in texts.items()}
    return [_sample(group.of, rows, wordings, prompts) for group, rows in zip(groups, drawn, strict=True)]


def _affordable(rows: list[int], lengths: dict[int, int]) -> list[int]:
    """The first rows that together have about CHARACTERS; by their mean length.

    Not by where the sum is reached, which would favour short answers at the end.
    """
    if not rows:
        return rows
    mean = sum(lengths[row] for row in rows) / len(rows)
    return rows[: max(1, math.floor(CHARACTERS / max(1.0, mean)))]


def _sample(of: int, rows: list[int], wordings: dict[int, tuple[Wording, Wording]], prompts: Ints) -> _Sample:
    """The measured pairs of one group that have prose on both sides."""
    kept = [(row, *wordings[row]) for row in rows if wordings[row][0].words and wordings[row][1].words]
    pair = np.array([row for row, _, _ in kept], dtype=np.int64)
    clusters = compact(prompts[pair])
    groups = int(clusters.max()) + 1 if len(clusters) else 0
    return _Sample(
        pair,
        clusters,
        _values([old for _, old, _ in kept]),
        _values([new for _, _, new in kept]),
        Measured(of, len(rows), len(rows) - len(kept), len(kept), groups),
    )


def _values(wordings: Sequence[Wording]) -> Floats:
    rows = [[trait.value(each) for trait in TRAITS] for each in wordings]
    return np.array(rows, dtype=np.float64).reshape(len(wordings), len(TRAITS))


def _changes(every: _Sample, said: _Sample, prefers_old: Bools, level: float) -> tuple[TraitChange, ...]:
    """Each trait's change, the associations adjusted for one another."""
    found: list[Association | NotEstimable] = [
        association(said.new[:, index] - said.old[:, index], prefers_old, said.clusters, level)
        for index in range(len(TRAITS))
    ]
    adjusted = holm_adjusted(found)
    return tuple(
        _change(trait, every.old[:, index], every.new[:, index], every.clusters, adjusted[index], level)
        for index, trait in enumerate(TRAITS)
    )


def _change(
    trait: Trait, old: Floats, new: Floats, clusters: Ints, goes_with: Association | NotEstimable, level: float
) -> TraitChange:
    scaled = np.log(new) - np.log(old) if trait.scale == "log" else np.sqrt(new) - np.sqrt(old)
    ratio = mean_difference(scaled, clusters, level) if trait.scale == "log" else None
    return TraitChange(
        trait=trait,
        old=float(old.mean()) if len(old) else None,
        new=float(new.mean()) if len(new) else None,
        difference=mean_difference(new - old, clusters, level),
        median=median_difference(new - old, clusters, level),
        ratio=_exponential(ratio) if isinstance(ratio, Estimate) else ratio,
        effect=standardised_difference(scaled, clusters, level),
        goes_with=goes_with,
    )


def _exponential(log: Estimate) -> Estimate:
    """The estimate of a mean logarithm as a geometric mean."""
    value, low, high = (math.exp(number) for number in (log.value, log.low, log.high))
    return replace(log, value=value, low=low, high=high, method=f"geometric mean; {log.method}")


def _reversed(result: Result) -> Result:
    """The estimate of new - old as old - new."""
    if isinstance(result, NotEstimable):
        return result
    return replace(result, value=-result.value, low=-result.high, high=-result.low)


def _association_json(found: Association | NotEstimable) -> dict[str, object]:
    if isinstance(found, NotEstimable):
        return found.to_json()
    return {**found.value.to_json(), "old": found.old, "new": found.new, "p": found.p, "p_adjusted": found.adjusted}
