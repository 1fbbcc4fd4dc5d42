"""Which population labelled pairs speak for: all pairs of the frame by stratum, and how likely each was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from review.domain.frame import KINDS, Kind
from review.domain.run import is_traffic
from review.errors import NotFound
from review.services.workspace import Workspace
from review.stats.intervals import Bools, Floats, Ints
from review.store import population as store
from review.store.population import DrawnRound, DrawnStratum, Frame, PairColumns, SlotColumns

ASSUMED = (
    "Some labels belong to no drawn round, so how likely their pairs were to be labelled is unknown: labelled pairs "
    "are taken for a random sample of the pairs of the same kind and task."
)


@dataclass(frozen=True)
class PopulationStratum:
    """One stratum as of today: pairs of a kind, and of a task where they are disagreements."""

    kind: Kind
    task: str | None
    size: int


@dataclass(frozen=True)
class Population:
    """All pairs of a frame; arrays are indexed by the pairs' row numbers.

    Attributes:
        inside: The pair belongs to the frame (the round's source and time, or everything).
        kind: IDENTICAL, JUDGED_TIE or DISAGREEMENT by the verdicts of today, -1 where there is no pair.
        task: Index into `tasks`.
        prompt: A code per prompt.
        stratum: Index into `strata`, -1 outside the frame.
        pi: In how many rounds the pair is expected to be drawn: the sum of its inclusion probabilities over the
            rounds in whose frame it stands; 0 where none could draw it.
        labelled_pi: How likely at least one of those rounds draws the pair and gets a label for it. A round whose
            labels are still coming in counts as far as they have come, a stratum at a time; among the pairs of a run,
            where those are the frame, because people may have labelled one run of a round's before another.
        traffic: How many traces of traffic the pair stands for: 1, or where it came from a sample 1 / (how likely the
            sample and the replay made a pair of its trace).
        sampled: The pair came from a sample.
        synthetic: The pair came from a synthetic trace.
        drawn: One of those rounds drew the pair.
        designed: The pair has a label of a round that drew it. Labels without such a round have no probability.
        tasks: Tasks of all pairs; None for pairs without one.
        strata: Identical pairs, judged ties, and the disagreements of each task, by the verdicts of today.
    """

    IDENTICAL: ClassVar[int] = KINDS.index("identical")
    JUDGED_TIE: ClassVar[int] = KINDS.index("judged_tie")
    DISAGREEMENT: ClassVar[int] = KINDS.index("disagreement")

    inside: Bools
    kind: Ints
    task: Ints
    prompt: Ints
    stratum: Ints
    pi: Floats
    labelled_pi: Floats
    traffic: Floats
    sampled: Bools
    synthetic: Bools
    drawn: Bools
    designed: Bools
    tasks: tuple[str | None, ...]
    strata: tuple[PopulationStratum, ...]

    @property
    def sizes(self) -> Floats:
        """Pairs in each stratum, shape (strata,)."""
        return np.array([each.size for each in self.strata], dtype=np.float64)

    @property
    def identical(self) -> Ints:
        """The strata of identical outputs, whose differences are known without labels."""
        return np.array([at for at, each in enumerate(self.strata) if each.kind == "identical"], dtype=np.int64)

    def weights(self, pairs: Ints) -> Floats:
        """How many pairs of the frame each labelled pair stands for: 1 / labelled_pi.

        A pair that several rounds drew counts once; divide by its number of rows where it has several.

        Args:
            pairs: Row numbers of designed pairs, shape (n,).

        Raises:
            ValueError: If a pair is not designed; assumed_weights takes those.
        """
        unknown = int(np.count_nonzero(~self.designed[pairs]))
        if unknown:
            raise ValueError(
                f"{unknown} of {len(pairs)} pairs have no label of a round that drew them; use label_weights"
            )
        return 1.0 / self.labelled_pi[pairs]

    def assumed_weights(self, pairs: Ints) -> Floats:
        """Pairs of the stratum by labelled pairs of the stratum: what ASSUMED says, for pairs that no round drew.

        Args:
            pairs: Row numbers inside the frame, shape (n,), all that are used; a pair may occur several times.
        """
        labelled = np.bincount(self.stratum[np.unique(pairs)], minlength=len(self.strata))
        return (self.sizes / np.maximum(labelled, 1))[self.stratum[pairs]]

    def label_weights(self, pairs: Ints) -> tuple[Floats, str | None]:
        """The weights where every labelled pair is designed, else assumed ones and the sentence that says so.

        Args:
            pairs: Row number of the pair of each label, inside the frame, shape (n,); a pair may occur several times.
        """
        if bool(self.designed[pairs].all()):
            return self.weights(pairs), None
        return self.assumed_weights(pairs), ASSUMED


def population(workspace: Workspace, round_id: str | None, sources: tuple[str, ...] | None = None) -> Population:
    """The frame of one round, or of all traffic, with what the rounds drew of it.

    Args:
        workspace: The open workspace.
        round_id: Only this round's frame.
        sources: Only pairs from these, as those of a run; by default all that are of traffic, which benchmarks are not.

    Raises:
        NotFound: There is no such round.
    """
    frame = store.read(workspace.database, round_id)
    pairs, rounds, slots = frame.pairs, frame.rounds, frame.slots
    if round_id is not None and not rounds:
        raise NotFound(f"There is no round {round_id!r}. See them with: review rounds")
    inside = _of_traffic(pairs) if round_id is None else _window(pairs, rounds[0])
    if sources is not None:
        inside = (pairs.kind >= 0) & _from(pairs, sources)
    elif round_id is not None:
        inside[slots.pair] = True
    stratum, named = _strata_of_today(pairs, inside)
    pi, labelled_pi = _probabilities(frame, None if sources is None else inside)
    drawn, designed = (np.zeros(len(inside), dtype=np.bool_) for _ in range(2))
    drawn[slots.pair] = True
    designed[slots.pair[slots.labelled]] = True
    return Population(
        inside=inside,
        kind=pairs.kind,
        task=pairs.task,
        prompt=pairs.prompt,
        stratum=stratum,
        pi=pi,
        labelled_pi=labelled_pi,
        traffic=pairs.traffic,
        sampled=pairs.sampled,
        synthetic=pairs.synthetic,
        drawn=drawn,
        designed=designed,
        tasks=pairs.tasks,
        strata=named,
    )


def _probabilities(frame: Frame, part: Bools | None) -> tuple[Floats, Floats]:
    """`pi` and `labelled_pi` of every pair, the latter as the labels of `part` of the pairs have come in."""
    pairs, strata, slots = frame.pairs, frame.strata, frame.slots
    answered = _answered(strata, slots, part)
    pi = np.zeros(len(pairs.kind))
    never = np.ones(len(pairs.kind))
    for index, each in enumerate(frame.rounds):
        window = _window(pairs, each)
        parts, names = (pairs.cluster, pairs.clusters) if each.by == "cluster" else (pairs.task, pairs.tasks)
        table = np.zeros((2, len(KINDS), max(1, len(names))))
        for stratum in strata:
            if stratum.round_id == each.round_id:
                chance = stratum.drawn / stratum.frame
                cells = KINDS.index(stratum.kind), _parts_of(stratum, each, names)
                table[0][cells] = chance
                table[1][cells] = chance * answered[stratum.row]
        expected, labelled = np.where(window, table[:, pairs.kind, parts], 0.0)
        # What was drawn keeps the probability that was stored; verdicts may have moved the pair since.
        mine = slots.round == index
        expected[slots.pair[mine]] = slots.pi[mine]
        labelled[slots.pair[mine]] = slots.pi[mine] * answered[slots.stratum[mine]]
        pi += expected
        never *= 1 - labelled
    return pi, 1 - never


def _answered(strata: list[DrawnStratum], slots: SlotColumns, part: Bools | None) -> Floats:
    """The share of each stratum's slots that have a label, by the stratum's row.

    Counted on the slots of `part` of the pairs, and on all where that has none of the stratum.
    """
    size = max((each.row for each in strata), default=-1) + 1

    def share(which: Bools) -> tuple[Ints, Floats]:
        drawn = np.bincount(slots.stratum[which], minlength=size).astype(np.int64)
        labelled = np.bincount(slots.stratum[which & slots.labelled], minlength=size)
        return drawn, labelled / np.maximum(drawn, 1)

    everywhere = share(np.ones(len(slots.pair), dtype=np.bool_))[1]
    if part is None:
        return everywhere
    drawn, here = share(part[slots.pair])
    return np.where(drawn > 0, here, everywhere)


def _parts_of(stratum: DrawnStratum, drawn: DrawnRound, names: tuple[str | None, ...]) -> Ints:
    """The tasks or clusters a stratum covers; those of judged ties, and of a round that parted nothing, are all."""
    if stratum.kind != "disagreement" or drawn.by == "none":
        return np.arange(len(names))
    return np.array([names.index(part) for part in stratum.tasks if part in names], dtype=np.int64)


def _from(pairs: PairColumns, sources: Sequence[str]) -> Bools:
    """The pairs from these sources."""
    return np.isin(pairs.source, [at for at, each in enumerate(pairs.sources) if each in sources])


def _of_traffic(pairs: PairColumns) -> Bools:
    """The pairs that say something about the shares of traffic."""
    return (pairs.kind >= 0) & _from(pairs, [each for each in pairs.sources if is_traffic(each)])


def _window(pairs: PairColumns, drawn: DrawnRound) -> Bools:
    """The pairs that a round could draw from, by source, time and cluster."""
    inside = _of_traffic(pairs) if drawn.source is None else (pairs.kind >= 0) & _from(pairs, [drawn.source])
    inside &= pairs.imported <= drawn.until
    if drawn.cluster is not None:
        inside &= pairs.cluster == (pairs.clusters.index(drawn.cluster) if drawn.cluster in pairs.clusters else -2)
    if drawn.alerted is not None:
        inside &= np.isin(np.arange(len(inside)), drawn.alerted)
    if drawn.imported_from is not None:
        inside &= pairs.imported >= drawn.imported_from
    if drawn.imported_to is not None:
        inside &= pairs.imported < drawn.imported_to
    return inside


def _strata_of_today(pairs: PairColumns, inside: Bools) -> tuple[Ints, tuple[PopulationStratum, ...]]:
    """Identical pairs, judged ties, and the disagreements of each task."""
    last = Population.DISAGREEMENT
    code = np.where(inside, np.where(pairs.kind == last, last + pairs.task, pairs.kind), -1)
    sizes = np.bincount(code + 1, minlength=last + 1 + len(pairs.tasks))[1:]
    present = np.flatnonzero(sizes)
    found = tuple(
        PopulationStratum(KINDS[min(at, last)], pairs.tasks[at - last] if at >= last else None, int(sizes[at]))
        for at in present.tolist()
    )
    place = np.full(len(sizes) + 1, -1, dtype=np.int64)
    place[present + 1] = np.arange(len(present))
    return place[code + 1], found
