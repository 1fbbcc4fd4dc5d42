"""Watching traffic that new answers alone: observe it, score a sample, score old's answers once, plan against a floor.

Steps of a round of `review watch` (services.watch), which owns their order.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow

from review.domain import criterion
from review.domain.identity import canonical
from review.domain.types import Output
from review.domain.watch import Watch, signs
from review.domain.wording import measure
from review.services.criteria import CriterionJob, Met, judge_criteria
from review.services.desk import Desk
from review.services.judge_calls import Client
from review.services.workspace import Workspace
from review.settings import EvalConfig
from review.store import watch as watch_store
from review.store import watch_single as store

if TYPE_CHECKING:
    from review.stats.delay import Delay, Unpaired
    from review.stats.edetector import Plan
    from review.stats.estimate import NotEstimable

pa: Any = pyarrow  # it carries no types
Row = Mapping[str, Any]
_PAGE = 200
KNOWN = "known"
# The floor's part of a stream's false alarms; the rest is shared by its detectors.
_FLOOR = 0.5
# A baseline that grew so much promises a floor that is worth a new plan.
_GROWTH = 2.0


def observation(row: Row, chosen: bool) -> dict[str, Any]:
    """A row of store.watch.OBSERVATIONS out of a trace that new alone answered: what it shows, not what it says."""
    new = Output.model_validate(json.loads(row["new"]))
    found = {f"new_{name}": value for name, value in signs(new).items()}
    return {
        **dict.fromkeys(watch_store.OBSERVATIONS.names),
        "observed_id": row["trace_id"],
        **{name: row[name] for name in ("trace_id", "prompt_id", "task", "cluster_id", "source", "happened_at")},
        "identical": False,
        "chosen": chosen,
        **found,
        "traits": _traits(new.content or ""),
    }


def _traits(text: str) -> str | None:
    from review.services.watch import watched_traits

    measured = measure(text)
    if not (measured.words and measured.sentences):
        return None
    return json.dumps({each.key: [None, round(each.value(measured), 4)] for each in watched_traits()})


# Scoring.


@dataclass
class Scored:
    """What judging single answers came to.

    Attributes:
        judged: answers that were asked about.
        new: verdicts that became known, on answers of new; `old` the same of old.
        cost_usd: of it.
        stopped: why a judge ended early; None when it did not.
        unfinished: tasks of which answers of old wait for a judge that stopped.
    """

    judged: int = 0
    new: int = 0
    old: int = 0
    cost_usd: float = 0.0
    stopped: str | None = None
    unfinished: frozenset[str] = frozenset()


def score(desk: Desk, clients: Mapping[str, Client] | None, spent_usd: float, fresh: bool = True) -> Scored:
    """Score new's chosen answers, then as many of old's as a baseline takes. Twice asks nobody anything.

    Args:
        desk: where answers and settings are.
        clients: of judges, by provider name; made from the configuration by default.
        spent_usd: what this round's judging has cost already.
        fresh: live traffic came in since the last round; without any there is nothing known to look for.
    """
    found = Scored()
    while (wrote := desk.ask("watch.single_known").document["new"]) > 0:
        found.new += wrote
    judge = _Judge(desk, clients, spent_usd)
    while desk.settings.config.judges.providers and judge.stopped is None:
        table = desk.ask("watch.single_open", {"limit": _PAGE}).table
        if table is None or not table.num_rows:
            break
        if (wrote := judge.page(table.to_pylist())) == 0:
            break
        found.new += wrote
    for each in desk.ask("watch.single_ways").document["tasks"]:
        if each["way"] == KNOWN and (fresh or found.new):
            found.old += desk.ask("watch.single_old_known", {"task": each["task"]}).document["new"]
        # Another judge, or other words, made the verdicts on new: answers of old can be scored by today's alone.
        if not each["way"].endswith(way_hash(desk.settings.config, each["task"])):
            continue
        asked = {"task": each["task"], "way": each["way"], "limit": _PAGE}
        while judge.stopped is None:
            table = desk.ask("watch.single_old", asked).table
            if table is None or not table.num_rows:
                break
            wrote = judge.page(table.to_pylist(), each["way"])
            found.old += wrote
            if wrote == 0:
                break
        if judge.stopped is not None:
            found.unfinished |= {each["task"]}
    found.judged, found.cost_usd, found.stopped = judge.judged, judge.cost_usd, judge.stopped
    return found


class _Judge:
    """Asks about pages of answers, and hands in what they come to."""

    def __init__(self, desk: Desk, clients: Mapping[str, Client] | None, spent_usd: float) -> None:
        self.desk, self.clients, self.spent_usd = desk, clients, spent_usd
        self.config = desk.settings.config
        self.judged, self.cost_usd = 0, 0.0
        self.stopped: str | None = None

    def page(self, rows: Sequence[Row], way: str | None = None) -> int:
        """Judge a page; returns how many verdicts in this way (None: in any) are new."""
        before = self.cost_usd

        def tell(progress: Any) -> None:
            self.cost_usd = before + progress.cost_usd

        spent = self.spent_usd + self.cost_usd
        jobs = [job(self.config.watch, row) for row in rows]
        mets = judge_criteria(self.desk, jobs, tell, clients=self.clients, spent_usd=spent)
        self.judged += sum(each.judge is not None for each in mets)
        missing = [each.failed or "" for each in mets if each.missing]
        if missing:
            self.stopped = Counter(missing).most_common(1)[0][0]
        verdicts = [
            {**{name: row[name] for name in store.VERDICTS.names if name in row}, "way": said, "verdict": met.verdict}
            for row, met, said in zip(rows, mets, self._ways(rows, mets, way), strict=True)
            if said is not None
        ]
        if verdicts:
            table = pa.Table.from_pylist(verdicts, store.VERDICTS)
            self.desk.ask("watch.single_put", {}, table)
        return sum(way is None or each["way"] == way for each in verdicts)

    def _ways(self, rows: Sequence[Row], mets: Sequence[Met], way: str | None) -> list[str | None]:
        """How each verdict was reached; None where there is none yet.

        What a judge's server refuses is undecided for every judge: it counts where most of its page do.
        """
        served = Counter(each.judge for each in mets if each.judge is not None).most_common(1)
        found: list[str | None] = []
        for row, met in zip(rows, mets, strict=True):
            judge = met.judge or (served[0][0] if served else None)
            if met.missing:
                found.append(None)
            elif met.judge is None and way is not None:
                found.append(way)
            else:
                found.append(None if judge is None else way_of(self.config, row["task"], judge))
        return found


def job(watch: Watch, row: Row, salt: str = "") -> CriterionJob:
    """What a judge is asked about one answer of a table of store.watch_single."""
    tools = json.loads(row["tools"]) if row["tools"] else None
    answer = Output.model_validate(json.loads(row["answer"]))
    words = watch.criteria.get(row["task"], watch.criterion)
    return CriterionJob(row["answer_id"], json.loads(row["messages"]), answer, words, tools, row["owner"], salt)


def way_of(config: EvalConfig, task: str, served: str) -> str:
    """How a verdict is reached: the model that served, and criterion and votes as a hash. Others do not compare."""
    return f"judge {served[:120]} {way_hash(config, task)}"


def way_hash(config: EvalConfig, task: str) -> str:
    """What a judge is asked about answers of a task, and how often, as a hash."""
    words = config.watch.criteria.get(task, config.watch.criterion)
    said = [criterion.VERSION, words, config.judges.votes, config.judges.temperature]
    return hashlib.sha256(canonical(said).encode()).hexdigest()[:12]


def judge_of(way: str) -> str | None:
    """The model that judged; None where correctness was known."""
    return None if way == KNOWN else way.removeprefix("judge ").rpartition(" ")[0]


def of_alert(workspace: Workspace, alert_id: str) -> tuple[int, int]:
    """How many pairs, and how many single answers of new, an alert is about."""
    paired, alone = store.of_alert(workspace.database.cursor(), alert_id)
    return paired, len(alone)


# Planning.


def missing_baseline(each: Row, enough: int) -> str | None:
    """Why a task cannot be watched and what to do, in a sentence; None where its baseline is there."""
    count = each["baseline"]["n"]
    if count >= enough:
        return None
    how = "whose correctness is known" if each["way"] == KNOWN else "scored by the same judge"
    return (
        f"not watched: {count:,} of old's answers {how} are there, {enough} are needed, and 2,000 are better. Bring "
        "traffic that old answered: review import traces FILE --source shadow:NAME (both answers), or --source "
        "production:NAME --served old; pairs of review replay count too."
    )


def needs_plan(each: Row, enough: int, unfinished: frozenset[str] = frozenset()) -> bool:
    """Whether single answers of a task are to be planned for; services.watch adds what holds for pairs, too."""
    return missing_baseline(each, enough) is None and each["task"] not in unfinished


def another_plan(each: Row) -> bool:
    """Whether the plan is for another way of scoring, or its baseline has grown much since."""
    standing = each["plan"]["baseline"]
    return bool(standing["way"] != each["way"] or each["baseline"]["n"] >= _GROWTH * standing["n"])


def plan_of(each: Row, alpha: float, together: int, per_day: float, spare: float) -> dict[str, Any]:
    """How to watch single answers of a task: a row of watch_plan, and the delay to be expected.

    Args:
        each: as watch_single_desk.stands has it.
        alpha: false alarms of all plans that are made together.
        together: how many those are.
        per_day: values a day, the upper end.
        spare: by how much that lies above what was seen.
    """
    from review.stats.edetector import split

    plan, traffic = made(each, split(alpha, together, floor=_FLOOR), per_day)
    return {
        "task": each["task"],
        "tolerance": each["tolerance"],
        "discordance": 1 - traffic.rate,
        "per_day": per_day,
        "plan": plan.to_json(),
        "delay": _expected(plan, traffic, each["tolerance"], per_day / spare),
        "baseline": {"way": each["way"], **each["baseline"], "rate": traffic.rate, "floor": traffic.floor},
    }


def made(each: Row, shares: tuple[float, float, float], per_day: float) -> tuple[Plan, Unpaired]:
    """The plan, and what the traffic is taken to be like: old's rate as seen, and the floor under it.

    Args:
        each: as watch_single_desk.stands has it.
        shares: of false alarms, from stats.edetector.split; the last one is the floor's.
        per_day: values a day, the upper end.
    """
    import numpy as np

    from review.stats import delay
    from review.stats.edetector import rate_floor

    count, passed = each["baseline"]["n"], each["baseline"]["passed"]
    floor = rate_floor(np.repeat([0.0, 1.0], [count - passed, passed]), shares[2])
    traffic = delay.Unpaired(passed / count, min(floor, passed / count))
    return delay.plan(each["tolerance"], traffic, per_day, shares), traffic


def _expected(watched: Plan, traffic: Unpaired, tolerance: float, per_day: float) -> dict[str, Any]:
    """The delay of a drift of one tolerance; where that is hidden by what is not known of old, also of a larger one."""
    from review.stats import delay
    from review.stats.delay import Delay

    one: Delay | NotEstimable = delay.expected_delay(watched, traffic, tolerance, per_day)
    if isinstance(one, Delay):
        return one.to_json()
    larger = 2 * tolerance + traffic.rate - traffic.floor
    found = delay.expected_delay(watched, traffic, larger, per_day)
    return {**one.to_json(), "larger": {"drift": larger, **found.to_json()}}
