"""What people ask for, against what is tested: clusters of traffic beside rounds, adversarial set and eval suite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from review.domain.intent import intent_text
from review.services import golden
from review.services.workspace import Workspace
from review.stats.change import change
from review.stats.estimate import Estimate, Result
from review.stats.intervals import wilson
from review.store import coverage as store

NOISE = "noise"
_LEVEL = 0.95
_DOTS = 1_500


@dataclass(frozen=True)
class Cluster:
    """One group of what people ask for.

    Attributes:
        terms: distinctive, most so first.
        x, y: place on the map, about -1 to 1.
        traces: real traffic in the window; `share` of all real traffic there, 0–1.
        before: traffic in the window before.
        suite: prompts of the imported eval suite. golden: accepted items of the golden set. adversarial: entries.
        rounds: different pairs of all rounds.
        new: made by a later run than the first, within a window of the last run.
        growth: change of the share from the window before, its interval widened for the number of clusters.
    """

    cluster_id: str
    name: str
    terms: tuple[str, ...]
    x: float
    y: float
    traces: int
    share: float
    before: int
    suite: int
    golden: int
    adversarial: int
    rounds: int
    new: bool
    growth: Result

    @property
    def grows(self) -> bool:
        """The share grew beyond chance."""
        return isinstance(self.growth, Estimate) and self.growth.low > 0


@dataclass(frozen=True)
class Set:
    """Something that is tested: how many items, how many fit no cluster, how many have no cluster yet."""

    items: int
    noise: int
    unplaced: int


@dataclass(frozen=True)
class Report:
    """Coverage of one window.

    Attributes:
        traces: real traffic in the window. noise: of it, near no cluster. unclustered: of it, not clustered yet.
        before: traffic in the window before, as far as it was clustered then.
        clusters: the most frequent first.
        last_run: when `review cluster` ended last; None before the first time.
        dots: places of some traces on the map.
    """

    window_from: datetime | None
    window_to: datetime | None
    days: int
    traces: int
    before: int
    noise: int
    unclustered: int
    last_run: datetime | None
    clusters: tuple[Cluster, ...]
    suite: Set
    golden: Set
    adversarial: Set
    rounds: Set
    dots: tuple[tuple[float, float], ...]

    @property
    def untested(self) -> tuple[Cluster, ...]:
        """Clusters with traffic that neither the suite nor the golden set has anything of."""
        return tuple(each for each in self.untouched if not each.golden)

    @property
    def untouched(self) -> tuple[Cluster, ...]:
        """Clusters with traffic that no prompt of the suite belongs to."""
        return tuple(each for each in self.clusters if each.traces and not each.suite)


@dataclass(frozen=True)
class Line:
    """A trace of a cluster; `text` is what it says of its intent."""

    trace_id: str
    happened_at: datetime
    similarity: float
    synthetic: bool
    text: str


def data_version(workspace: Workspace) -> str:
    """A text that changes whenever a number here can change."""
    return store.data_version(workspace.database)


def report(workspace: Workspace) -> Report:
    """Traffic of the newest window by cluster, beside what is tested."""
    days = workspace.settings.config.replay.window_days
    found = store.traffic(workspace.database, days)
    rows = store.clusters(workspace.database, found, days) if found.window_from else []
    suite, adversarial, rounds = (
        counted(workspace.database) for counted in (store.in_suite, store.in_adversarial_set, store.in_rounds)
    )
    in_golden = golden.in_clusters(workspace)
    # So that among many clusters hardly one seems to grow by chance (Bonferroni).
    level = 1 - (1 - _LEVEL) / max(len(rows), 1)
    clusters = tuple(
        Cluster(
            *(row.cluster_id, row.name, row.terms, row.x, row.y),
            traces=row.traces,
            share=row.traces / max(found.traces, 1),
            before=row.before,
            suite=suite.get(row.cluster_id, 0),
            golden=in_golden.get(row.cluster_id, 0),
            adversarial=adversarial.get(row.cluster_id, 0),
            rounds=rounds.get(row.cluster_id, 0),
            new=_is_new(row, found, days),
            growth=change(wilson(row.before, found.before, level), wilson(row.traces, found.traces, level)),
        )
        for row in rows
    )
    known = {each.cluster_id for each in clusters}
    return Report(
        window_from=found.window_from,
        window_to=found.window_to,
        days=days,
        traces=found.traces,
        before=found.before,
        noise=found.noise,
        unclustered=found.unclustered,
        last_run=found.last_run,
        clusters=clusters,
        suite=_set(suite, known),
        golden=_set(in_golden, known),
        adversarial=_set(adversarial, known),
        rounds=_set(rounds, known),
        dots=tuple(store.dots(workspace.database, found.window_from, _DOTS)) if found.window_from else (),
    )


def traces(workspace: Workspace, cluster_id: str, *, limit: int = 10, offset: int = 0) -> tuple[int, list[Line]]:
    """How many traces a cluster has, and a page of them, those nearest to its centre first."""
    lines = [
        Line(each.trace_id, each.happened_at, each.similarity, each.synthetic, intent_text(each.messages))
        for each in store.traces(workspace.database, cluster_id, limit, offset)
    ]
    return store.count_traces(workspace.database, cluster_id), lines


def _is_new(row: store.ClusterRow, found: store.Traffic, days: int) -> bool:
    if row.first_run or row.born_at is None or found.last_run is None:
        return False
    return row.born_at >= found.last_run - timedelta(days=days)


def _set(counted: Mapping[str | None, int], known: set[str]) -> Set:
    items, noise = sum(counted.values()), counted.get(NOISE, 0)
    return Set(items, noise, items - noise - sum(count for each, count in counted.items() if each in known))
