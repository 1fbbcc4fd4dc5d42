"""The Drift page's numbers: each task's course and evidence, shares of clusters, judges on their anchors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from review.services import contracts, judge_watch, shadow
from review.services.judge_watch import Drift
from review.services.watch import ENOUGH, delay_words
from review.services.workspace import Workspace
from review.stats.estimate import NotEstimable
from review.stats.stability import Stability, psi
from review.store import watch as store

# Days of a course, and of "now" against everything before it.
COURSE = 60
RECENT = 7


@dataclass(frozen=True)
class Day:
    """A day of a task: scores so far and the sum of their differences so far, and where half the tolerance lies."""

    day: datetime
    scores: int
    total: float
    limit: float


@dataclass(frozen=True)
class Task:
    """How a task is.

    Attributes:
        tolerance: of the contract in force; an alarm is due beyond half of it.
        scores: all; `undecided` wait for a judge.
        evidence: 0 nothing, 1 an alarm; None while it is not watched.
        delay: what to expect, in words.
        course: the newest days.
    """

    task: str
    tolerance: float
    scores: int
    undecided: int
    evidence: float | None
    delay: str
    course: tuple[Day, ...]

    @property
    def mean(self) -> float | None:
        """New minus old over the course."""
        return self.course[-1].total / self.course[-1].scores if self.course else None


@dataclass(frozen=True)
class Report:
    """Everything the page shows but alerts, which change with the clock.

    Attributes:
        windows: by day and task, newest first; see store.watch.windows.
        clusters: shares of the newest week against all before, or why there are none.
        names: of clusters, by id.
        judges: each on its anchors.
        rounds: the newest rounds of watching.
        metrics: by day, task and side, of traffic whose texts are dropped; see store.live.metrics.
    """

    tasks: tuple[Task, ...]
    windows: tuple[dict[str, Any], ...]
    clusters: Stability | NotEstimable
    names: dict[str, str]
    judges: tuple[Drift, ...]
    rounds: tuple[dict[str, Any], ...]
    metrics: tuple[dict[str, Any], ...]

    @property
    def empty(self) -> bool:
        """Nothing was watched yet."""
        return not self.windows and not self.rounds and not self.metrics


def data_version(workspace: Workspace) -> str:
    """A text that changes whenever a number here can change."""
    return store.data_version(workspace.database.cursor())


def report(workspace: Workspace) -> Report:
    """What watching has seen."""
    cursor = workspace.database.cursor()
    windows = store.windows(cursor, "day", None, 2000)
    return Report(
        tasks=tuple(_tasks(workspace)),
        windows=tuple(windows),
        clusters=_clusters(cursor, max((each["begins"] for each in windows), default=None)),
        names=store.cluster_names(cursor),
        judges=tuple(judge_watch.drifts(workspace)),
        rounds=tuple(store.rounds(cursor, 10)),
        metrics=tuple(shadow.metrics(workspace)[:200]),
    )


def _tasks(workspace: Workspace) -> list[Task]:
    cursor = workspace.database.cursor()
    contract = contracts.in_force(workspace)
    plans, detectors, undecided = store.plans(cursor), store.detectors(cursor), store.undecided(cursor)
    counts = {each["task"]: int(each["scores"]) for each in store.tallies(cursor)}
    days: dict[str, list[Day]] = {}
    for task, day, scores, total in store.daily(cursor, COURSE):
        course = days.setdefault(task, [])
        n, so_far = (course[-1].scores, course[-1].total) if course else (0, 0.0)
        limit = -contract.tolerance_for(task or None) / 2 * (n + scores)
        course.append(Day(day, n + scores, so_far + total, limit))
    tasks: list[Task] = []
    for task in sorted({*counts, *undecided}):
        plan, detector = plans.get(task), detectors.get(task)
        tasks.append(
            Task(
                task=task,
                tolerance=contract.tolerance_for(task or None),
                scores=counts.get(task, 0),
                undecided=undecided.get(task, 0),
                evidence=None if plan is None else (0.0 if detector is None else detector.evidence),
                delay=f"Watched from {ENOUGH} scores on." if plan is None else delay_words(plan.delay),
                course=tuple(days.get(task, ())),
            )
        )
    # What is nearest to an alarm first.
    return sorted(tasks, key=lambda each: (-(each.evidence or 0.0), each.task))


def _clusters(cursor: store.Cursor, newest: datetime | None) -> Stability | NotEstimable:
    if newest is None:
        return NotEstimable("nothing was observed yet")
    start = newest - timedelta(days=RECENT - 1)
    before, after = store.shares(cursor, None, start), store.shares(cursor, start, None)
    if not before or not after:
        return NotEstimable(f"it takes clustered traffic of the newest {RECENT} days and of the time before")
    return psi(before, after)
