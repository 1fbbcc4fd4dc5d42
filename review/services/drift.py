"""The Drift page's numbers: each task's course and evidence, shares of clusters, judges on their anchors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from review.domain.types import Side
from review.services import contracts, judge_watch, shadow, watch_single, watch_single_desk
from review.services.judge_watch import Drift
from review.services.watch import ENOUGH, delay_words, floor_words, watched_traits
from review.services.workspace import Workspace
from review.stats.estimate import NotEstimable
from review.stats.stability import Stability, psi
from review.store import watch as store
from review.store import watch_single as single_store

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
    """How a task is: its pairs, or its single answers.

    Attributes:
        tolerance: of the contract in force; an alarm is due beyond half of it.
        scores: all; `undecided` wait for a judge.
        evidence: 0 nothing, 1 an alarm; None while it is not watched.
        delay: what to expect, in words.
        course: the newest days; of single answers each pass less old's rate.
        single: new answers alone; `passed` of its scored answers passed, and `baseline` is what they are held to.
    """

    task: str
    tolerance: float
    scores: int
    undecided: int
    evidence: float | None
    delay: str
    course: tuple[Day, ...]
    single: bool = False
    passed: int = 0
    baseline: Mapping[str, Any] | None = None

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
        tasks=tuple(sorted([*_tasks(workspace), *_single_tasks(workspace)], key=_nearest)),
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
    return tasks


def _nearest(each: Task) -> tuple[float, str, bool]:
    """What is nearest to an alarm first."""
    return -(each.evidence or 0.0), each.task, each.single


def _single_tasks(workspace: Workspace) -> list[Task]:
    """Tasks of which new answers come alone."""
    days: dict[tuple[str, str], list[tuple[datetime, int, int]]] = {}
    for task, way, day, count, passed in single_store.daily(workspace.database.cursor(), COURSE):
        days.setdefault((task, way), []).append((day, count, passed))
    tasks: list[Task] = []
    for each in watch_single_desk.stands(workspace):
        way = each["way"]
        plan: dict[str, Any] = each["plan"] or {}
        # A plan for another judge or criterion says nothing of these verdicts.
        if plan and plan["baseline"]["way"] != way:
            plan = {}
        baseline = plan.get("baseline")
        missing = watch_single.missing_baseline(each, ENOUGH)
        words = f"Watched from {ENOUGH} scores on."
        if baseline is not None:
            words = floor_words(baseline) + delay_words(plan["delay"])
        elif missing is not None:
            words = missing
        tasks.append(
            Task(
                task=each["task"],
                tolerance=each["tolerance"],
                scores=each["scores"],
                undecided=each["undecided"],
                evidence=each["evidence"] if plan else None,
                delay=words,
                course=_course(days.get((each["task"], way), []), baseline, each["tolerance"]),
                single=True,
                passed=each["passed"],
                baseline=baseline,
            )
        )
    return tasks


def _course(
    days: Sequence[tuple[datetime, int, int]], baseline: Mapping[str, Any] | None, tolerance: float
) -> tuple[Day, ...]:
    """Passes less old's rate, added up, and where the floor under it and half the tolerance lie; () without old's."""
    if baseline is None:
        return ()
    course: list[Day] = []
    n, total = 0, 0.0
    for day, count, passed in days:
        n, total = n + count, total + passed - baseline["rate"] * count
        course.append(Day(day, n, total, (baseline["floor"] - baseline["rate"] - tolerance / 2) * n))
    return tuple(course)


@dataclass(frozen=True)
class Series:
    """One thing that answers of a task show, by day.

    Attributes:
        key: its name here.
        title: for people; `unit` says what the values are in.
        share: the values are shares of answers.
        days: (day, old's mean, new's mean, answers of the day); None where nobody tells.
    """

    key: str
    title: str
    unit: str
    share: bool
    days: tuple[tuple[datetime, float | None, float | None, int], ...]

    def of(self, side: Side) -> list[tuple[float | None, int]]:
        """One side's mean and the answers of each day."""
        return [(old if side == "old" else new, count) for _, old, new, count in self.days]


_SHOWN = (
    ("passed", "Passed", "of the answers that were scored"),
    ("won", "New wins", "of scored pairs, a tie as half"),
    ("refused", "Declined", "of the answers"),
    ("cut", "Cut off", "of the answers that say why they ended"),
    ("confidence", "Confidence", "mean probability of a token"),
)


def signs(workspace: Workspace, task: str) -> tuple[Series, ...]:
    """What a task's answers showed over the newest days; what nobody observed is left out."""
    traits = watched_traits()
    rows = store.signs(workspace.database.cursor(), task, [each.key for each in traits], COURSE)
    shown = [(key, title, unit, True) for key, title, unit in _SHOWN]
    shown += [(each.key, each.name, each.unit, False) for each in traits]
    found: list[Series] = []
    for key, title, unit, share in shown:
        days = tuple((row["day"], row.get(f"old_{key}"), row[f"new_{key}"], row["traces"]) for row in rows)
        if any(old is not None or new is not None for _, old, new, _ in days):
            found.append(Series(key, title, unit, share, days))
    return tuple(found)


def _clusters(cursor: store.Cursor, newest: datetime | None) -> Stability | NotEstimable:
    if newest is None:
        return NotEstimable("nothing was observed yet")
    start = newest - timedelta(days=RECENT - 1)
    before, after = store.shares(cursor, None, start), store.shares(cursor, start, None)
    if not before or not after:
        return NotEstimable(f"it takes clustered traffic of the newest {RECENT} days and of the time before")
    return psi(before, after)
