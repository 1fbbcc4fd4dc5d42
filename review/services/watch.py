"""`review watch`: take in live traffic, observe it, score a sample, let detectors see it, raise and deliver alerts.

A round is made of short steps that each begin where the database stands: ended at any moment, the next round goes on.
What takes long (files, clusters, a judge, plans, deliveries) happens here, in the command's process; facts go through
the desk, a batch a call.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow

from review.domain.types import Output
from review.domain.watch import Channel, signs
from review.domain.wording import TRAITS, Trait, measure
from review.errors import BadInput, ReviewError
from review.services import alerts, watch_single
from review.services import judge as judging
from review.services.desk import Desk
from review.services.judge_calls import Client
from review.services.judge_facts import ways
from review.services.watch_desk import MOST
from review.stats.estimate import Estimate
from review.store import watch as store

pa: Any = pyarrow  # it carries no types
# The scope of `review judge` that means: the sample of live traffic.
SCOPE = "watch"
# Scores from which a task's plan is made: fewer say too little about how often answers differ.
ENOUGH = 30
# The traffic that a plan is made for may grow so much before a new one is made.
_GROWTH = 2.0
_SPARE = 1.25
# Seconds after which a round that failed is tried again.
_AGAIN = 60.0
_WORDS = ("words", "sentence_length", "hedges", "boosters", "apologies")

Tell = Callable[[str], None]


@dataclass
class Round:
    """What a round did.

    Attributes:
        files: taken in now; `read`, `new` and `rejected` are their records.
        placed: traces that were given a cluster.
        observed: exchanges of live traffic seen for the first time; `answers` of them have new's answer alone.
        chosen: of them, in the sample whose scores count.
        judged: pairs and single answers that a judge was asked about.
        scored: differences, and passes of single answers, that became known; `baseline` the same of old's answers.
        alarms: of detectors; `alerts` are the new alerts made of them.
        delivered: messages that arrived, by channel; `failed` those that did not.
        cost_usd: of judging, and of asking the candidate again where an alert was raised.
        notes: what deviates, for people.
    """

    files: int = 0
    read: int = 0
    new: int = 0
    rejected: int = 0
    placed: int = 0
    observed: int = 0
    answers: int = 0
    chosen: int = 0
    judged: int = 0
    scored: int = 0
    baseline: int = 0
    alarms: int = 0
    alerts: int = 0
    delivered: dict[str, int] = field(default_factory=dict[str, int])
    failed: dict[str, int] = field(default_factory=dict[str, int])
    cost_usd: float = 0.0
    notes: list[str] = field(default_factory=list[str])
    # Tasks whose baseline waits for a judge that stopped.
    unfinished: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "unfinished"}


def once(
    desk: Desk,
    *,
    tell: Tell = lambda _line: None,
    clients: Mapping[str, Client] | None = None,
    stop: threading.Event | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Round:
    """One round. Twice without new traffic changes nothing, asks no model and delivers nothing.

    Args:
        desk: where facts are.
        tell: told in a line what is done.
        clients: of judges, by provider name; made from the configuration by default.
        stop: set from outside to end the round after the step at hand.
        environ: where keys of channels and of the candidate's endpoint are.
    """
    done, begun = Round(), datetime.now(UTC)
    steps: list[Callable[[], None]] = [
        lambda: _take_in(desk, done, tell, stop),
        lambda: _place(desk, done),
        lambda: _observe(desk, done, stop),
        lambda: _judge(desk, done, clients),
        lambda: _score(desk, done),
        lambda: _score_single(desk, done, clients),
        lambda: _plan(desk, done),
        lambda: _advance(desk, done),
        lambda: _raise(desk, done, clients, environ),
        lambda: _deliver(desk, done, environ),
    ]
    for step in steps:
        if stop is not None and stop.is_set():
            return done
        step()
    if done.files or done.observed or done.scored or done.baseline or done.alerts:
        said = {name: getattr(done, name) for name in ("files", "observed", "scored", "alerts", "notes")}
        desk.ask("watch.finish", {**said, "started_at": begun.isoformat()})
    return done


def daemon(
    opening: Callable[[], AbstractContextManager[Desk]],
    stop: threading.Event,
    seconds: float,
    tell: Tell,
    *,
    report: Callable[[Round], None],
) -> None:
    """Rounds until `stop` is set. A round that fails for a reason that may pass is told, and soon tried again.

    Args:
        opening: opens a desk for a round: between two of them other commands may ask models.
        stop: set by a signal; the step at hand is ended first.
        seconds: between two rounds.
        tell: told in a line what is done, and what failed.
        report: given each round.
    """
    while not stop.is_set():
        wait = seconds
        try:
            with opening() as desk:
                report(once(desk, tell=tell, stop=stop))
        except ReviewError as error:
            tell(f"round not finished: {error}")
            wait = min(seconds, _AGAIN)
        stop.wait(wait)


def outlook(desk: Desk) -> dict[str, Any]:
    """What is watched and the delay to expect at the traffic seen; plans that are not made yet are made for a look."""
    state = desk.ask("watch.stands").document
    unplanned = [each for each in state["tasks"] if _needs_plan(each)]
    looked = {_key(each): plan_of(desk, each, len(unplanned), state["batch"]) for each in unplanned}
    tasks: list[dict[str, Any]] = []
    for each in state["tasks"]:
        plan = looked.get(_key(each)) or each["plan"]
        tasks.append(
            {
                **{name: each[name] for name in ("task", "single", "tolerance", "scores", "undecided", "evidence")},
                "per_day": each["blocks"] / max(1.0, each["days"]),
                "delay": None if plan is None else plan["delay"],
                "baseline": None if plan is None else plan.get("baseline"),
                "words": _outlook_words(each, plan),
            }
        )
    return {"tasks": tasks}


def _key(each: Mapping[str, Any]) -> tuple[str, bool]:
    return each["task"], each["single"]


def _outlook_words(each: Mapping[str, Any], plan: Mapping[str, Any] | None) -> str:
    missing = watch_single.missing_baseline(each, ENOUGH) if each["single"] else None
    if missing is not None and (plan is None or watch_single.another_plan(each)):
        return missing
    if plan is None:
        return f"fewer than {ENOUGH} scores: not watched yet."
    return floor_words(plan.get("baseline")) + delay_words(plan["delay"])


# Taking in.


def _take_in(desk: Desk, done: Round, tell: Tell, stop: threading.Event | None) -> None:
    config = desk.settings.config.watch
    if config.folder is None:
        return
    folder = Path(config.folder).expanduser()
    if not folder.is_dir():
        done.notes.append("The watched folder (watch.folder) does not exist yet.")
        return
    take_in(desk, folder, config.source, done, tell, stop)


def take_in(
    desk: Desk, folder: Path, source: str | None, done: Round, tell: Tell, stop: threading.Event | None = None
) -> None:
    """Take in the files of a folder that were not read with this content before.

    Args:
        desk: where they go.
        folder: with the files; those below it count too.
        source: what live traffic they are, as watch.source; None: traces that were only logged.
        done: counts them.
        tell: told of each.
        stop: set from outside to end after the file at hand.
    """
    for path in sorted(_files(folder)):
        if stop is not None and stop.is_set():
            return
        file = path.relative_to(folder).as_posix()
        content = _digest(path)
        if content is None or desk.ask("watch.has_file", {"file": file, "content_hash": content}).document["has"]:
            continue
        _take_file(desk, path, file, content, source, done, tell)


def _files(folder: Path) -> list[Path]:
    """Files below a folder, without hidden ones and those that are still being written (.part, .tmp)."""
    return [
        each
        for each in folder.rglob("*")
        if each.is_file()
        and not any(part.startswith(".") for part in each.relative_to(folder).parts)
        and each.suffix not in (".part", ".tmp")
    ]


def _digest(path: Path) -> str | None:
    """SHA-256 of a file; None where it went away."""
    hashed = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                hashed.update(block)
    except OSError:
        return None
    return hashed.hexdigest()


def _take_file(desk: Desk, path: Path, file: str, content: str, source: str | None, done: Round, tell: Tell) -> None:
    """Import a file; bad records are passed over and counted, because nobody is there to correct them."""
    row: dict[str, Any] = {"file": file, "content_hash": content, "read": 0, "new": 0, "rejected": 0, "problem": None}
    try:
        found = _import(desk, path, file, source)
    except BadInput:
        # Its text names what the file holds; the log of a daemon is no place for that.
        row["problem"] = "cannot be read, or is of no known format; see: review import traces"
        done.notes.append(f"A file of the watched folder {row['problem']}.")
    else:
        row |= found
        done.read, done.new, done.rejected = (
            done.read + found["read"],
            done.new + found["new"],
            done.rejected + found["rejected"],
        )
        if found["rejected"]:
            done.notes.append(f"{found['rejected']:,} bad records of a file were passed over.")
    desk.ask("watch.took", row)
    done.files += 1
    tell(f"taken in: {row['read']:,} records, {row['new']:,} new, {row['rejected']:,} rejected")


def _import(desk: Desk, path: Path, file: str, source: str | None) -> dict[str, int]:
    from review.domain import live
    from review.services import shadow, trace_import

    came = None if source is None else live.parse(source)
    place = trace_import.Place(file, file, str(path))
    if came is not None and came.kind == "metrics":
        found = shadow.import_metrics(desk, place, came, True, _unwatched)
    else:
        options = trace_import.Options(skip_invalid=True, live=came)
        found = trace_import.import_file(desk, place, options, _unwatched)
    return {"read": found.read, "new": found.new, "rejected": found.bad}


def _unwatched(_phase: str, _records: int, _done: int, _total: int) -> None:
    """Nobody watches."""


def _place(desk: Desk, done: Round) -> None:
    """Give new traces their clusters, where clusters are; making the first ones is left to `review cluster`."""
    if not done.new:
        return
    from review.adapters.cache import Cache
    from review.adapters.embedding import open_encoder
    from review.services.cluster import cluster

    config = desk.settings.config
    state = desk.ask("cluster.state", {"window_days": config.replay.window_days}).document
    if not state["clusters"]:
        done.notes.append("There are no clusters yet, so no alert can say which of them carries a regression.")
        return
    with closing(Cache(desk.settings.cache_file)) as cache:
        done.placed = cluster(desk, open_encoder(config.embedding), cache).placed


# Observing.


def _observe(desk: Desk, done: Round, stop: threading.Event | None) -> None:
    """Every new pair of live traffic becomes an observation; a sample of them is chosen to be scored."""
    waiting: list[dict[str, Any]] = desk.ask("watch.waiting").document["tasks"]
    rates = _rates(desk, done, waiting, "pairs")
    while stop is None or not stop.is_set():
        table = desk.ask("watch.fresh", {"limit": MOST}).table
        if table is None or not table.num_rows:
            break
        done.observed += _write(desk, done, [observation(each, rates) for each in table.to_pylist()])
    alone: list[dict[str, Any]] = desk.ask("watch.single_waiting").document["tasks"]
    rates = _rates(desk, done, alone, "single answers")
    while stop is None or not stop.is_set():
        table = desk.ask("watch.single_fresh", {"limit": MOST}).table
        if table is None or not table.num_rows:
            break
        rows = [watch_single.observation(each, _chosen_alone(each, rates)) for each in table.to_pylist()]
        new = _write(desk, done, rows)
        done.observed, done.answers = done.observed + new, done.answers + new


def _write(desk: Desk, done: Round, rows: list[dict[str, Any]]) -> int:
    """Hand observations in; returns how many were new."""
    done.chosen += sum(row["chosen"] for row in rows)
    return int(desk.ask("watch.observe", {}, pa.Table.from_pylist(rows, store.OBSERVATIONS)).document["new"])


def _chosen_alone(row: Mapping[str, Any], rates: Mapping[str, _Rate]) -> bool:
    known = Output.model_validate(json.loads(row["new"])).correct is not None
    return _chosen(row["trace_id"], known, rates.get(row["task"], _Rate(0.0)))


@dataclass(frozen=True)
class _Rate:
    """Which of a task's new pairs are scored: those below `share` of the lot; only known ones without a judge."""

    share: float
    known_only: bool = False


def _chosen(name: str, known: bool, rate: _Rate) -> bool:
    return (known or not rate.known_only) and lot(name) < rate.share


def _rates(desk: Desk, done: Round, waiting: list[dict[str, Any]], what: str) -> dict[str, _Rate]:
    """Where every pair can be decided without a judge all of them count; else a random sample, the same ones included
    on which nothing is to decide: a sample without them would see differences everywhere."""
    config = desk.settings.config
    rates: dict[str, _Rate] = {}
    blind = 0
    for each in waiting:
        if not each["undecided"]:
            rates[each["task"]] = _Rate(1.0)
        elif config.judges.providers:
            rates[each["task"]] = _Rate(min(1.0, config.watch.sample_per_task / each["pairs"]))
        else:
            rates[each["task"]] = _Rate(1.0, known_only=True)
            blind += each["pairs"] - each["known"]
    if blind:
        done.notes.append(
            f"{blind:,} {what} are not scored: no judge is configured (judges.providers), and their correctness is not "
            "known. Their metrics count."
        )
    return rates


def observation(row: Mapping[str, Any], rates: Mapping[str, _Rate]) -> dict[str, Any]:
    """A row of store.watch.OBSERVATIONS out of a pair: what its answers show, and not what they say."""
    old, new = (Output.model_validate(json.loads(row[side])) for side in ("old", "new"))
    both = {"old": signs(old), "new": signs(new)}
    rate = rates.get(row["task"], _Rate(0.0))
    known = old.correct is not None and new.correct is not None
    return {
        "observed_id": row["pair_id"],
        **{name: row[name] for name in ("trace_id", "pair_id", "prompt_id", "task", "cluster_id", "source")},
        "happened_at": row["happened_at"],
        "identical": row["identical"],
        "chosen": _chosen(row["pair_id"], known, rate),
        **{f"{side}_{name}": value for side, found in both.items() for name, value in found.items()},
        "traits": _traits(old.content or "", new.content or ""),
    }


def lot(name: str) -> float:
    """A number in [0, 1) as good as random, always the same for a pair."""
    return int.from_bytes(hashlib.sha256(f"watch {name}".encode()).digest()[:6]) / 2**48


def _traits(old: str, new: str) -> str | None:
    """Traits of the wording of both sides, where both have prose."""
    measured = measure(old), measure(new)
    if not all(each.words and each.sentences for each in measured):
        return None
    return json.dumps({trait.key: [round(trait.value(each), 4) for each in measured] for trait in watched_traits()})


def watched_traits() -> list[Trait]:
    """The traits of wording that are observed."""
    return [trait for trait in TRAITS if trait.key in _WORDS]


# Scoring.


def _judge(desk: Desk, done: Round, clients: Mapping[str, Client] | None) -> None:
    """Compare structured parts, and ask a judge about the chosen pairs that nothing else decides."""
    report = judging.judge(desk, sample=SCOPE, clients=clients)
    done.judged, done.cost_usd = report.judged, report.cost_usd
    if report.reason in ("budget", "no_provider") and desk.settings.config.judges.providers:
        done.notes.append(f"Judging stopped: {report.why} What is left is judged in the next round.")


def _score(desk: Desk, done: Round) -> None:
    recipe = ways(desk.settings.config)["recipe"]
    while (scored := desk.ask("watch.score", {"recipe": recipe}).document["scored"]) > 0:
        done.scored += scored
        if scored < MOST:
            return


def _score_single(desk: Desk, done: Round, clients: Mapping[str, Client] | None) -> None:
    """New's answers that come alone, and the baseline of old's that they are held to."""
    found = watch_single.score(desk, clients, done.cost_usd, fresh=done.observed > 0)
    done.judged, done.scored, done.baseline = done.judged + found.judged, done.scored + found.new, found.old
    done.cost_usd, done.unfinished = done.cost_usd + found.cost_usd, found.unfinished
    if found.stopped is not None:
        done.notes.append(f"Judging single answers stopped ({found.stopped}). The rest is judged in the next round.")


# Planning and looking.


def _plan(desk: Desk, done: Round) -> None:
    """Plans for tasks that have none, or whose tolerance or traffic is another now."""
    state = desk.ask("watch.stands").document
    wanted = [each for each in state["tasks"] if _needs_plan(each, done.unfinished)]
    if wanted:
        plans = [plan_of(desk, each, len(wanted), state["batch"]) for each in wanted]
        desk.ask("watch.plan", {"batch": state["batch"], "plans": plans})
        done.notes += [
            f"Watching {each['task'] or 'all traffic'} for a regression beyond {100 * each['tolerance'] / 2:.2f} "
            f"points: {floor_words(each.get('baseline'))}{delay_words(each['delay'])}"
            for each in plans
        ]
    for each in state["tasks"]:
        why = watch_single.missing_baseline(each, ENOUGH) if each["single"] else None
        if why is not None and (each["plan"] is None or watch_single.another_plan(each)):
            done.notes.append(f"Single answers of {each['task'] or 'all traffic'} are {why}")
    early = [each for each in state["tasks"] if each["plan"] is None and each["scores"] < ENOUGH]
    if early:
        done.notes.append(f"{len(early)} tasks have fewer than {ENOUGH} scores and are not watched yet.")


def _needs_plan(each: Mapping[str, Any], unfinished: frozenset[str] = frozenset()) -> bool:
    if each["scores"] < ENOUGH or (each["single"] and not watch_single.needs_plan(each, ENOUGH, unfinished)):
        return False
    plan = each["plan"]
    if plan is None or (each["single"] and watch_single.another_plan(each)):
        return True
    # A day at least: the first hours of a day say little about its traffic.
    grown = each["days"] >= 1 and per_day(each) > _GROWTH * plan["per_day"]
    return bool(plan["tolerance"] != each["tolerance"] or grown)


def per_day(each: Mapping[str, Any]) -> float:
    """Values a day of a task, with something to spare, as a plan wants its upper end."""
    return _SPARE * each["blocks"] / max(1.0, each["days"])


def plan_of(desk: Desk, each: Mapping[str, Any], together: int, batch: int) -> dict[str, Any]:
    """How to watch a task: a row of watch_plan, and the delay to be expected.

    False alarms are split: batch j of plans has 1/(j (j + 1)) of them, so that all batches together have no more than
    was allowed, however many tasks come later.
    """
    from review.stats import delay
    from review.stats.edetector import split
    from review.stats.intervals import wilson

    alpha = desk.settings.config.watch.false_alarms / (batch * (batch + 1))
    if each["single"]:
        return watch_single.plan_of(each, alpha, together, per_day(each), _SPARE)
    moved = wilson(each["moved"], each["scores"])
    discordance = moved.high if isinstance(moved, Estimate) else 1.0
    traffic, many = delay.Paired(min(1.0, max(discordance, each["tolerance"]))), per_day(each)
    made = delay.plan(each["tolerance"], traffic, many, split(alpha, together))
    expected = delay.expected_delay(made, traffic, each["tolerance"], many / _SPARE)
    return {
        "task": each["task"],
        "tolerance": each["tolerance"],
        "discordance": traffic.discordance,
        "per_day": many,
        "plan": made.to_json(),
        "delay": expected.to_json(),
    }


def floor_words(baseline: Mapping[str, Any] | None) -> str:
    """What single answers are held to, in words; nothing for pairs."""
    if baseline is None:
        return ""
    return (
        f"new answers alone; old passed {100 * baseline['rate']:.1f} % of {baseline['n']:,}, at least "
        f"{100 * baseline['floor']:.1f} % as far as is certain; "
    )


def delay_words(delay: Mapping[str, Any]) -> str:
    """The delay to expect, in words."""
    if "not_estimable" in delay:
        larger = delay.get("larger")
        told = f"a drift of one tolerance is not found in time: {delay['not_estimable']}."
        if larger is None or "not_estimable" in larger:
            return told
        points, days = 100 * larger["drift"], larger["median_days"]
        return f"{told} One of {points:.1f} points is found after about {days:.1f} days (median)."
    late = delay["late_days"]
    told = f", nine of ten within {late:.0f}" if late is not None else ""
    return f"a drift of one tolerance is found after about {delay['median_days']:.1f} days (median{told})."


def _advance(desk: Desk, done: Round) -> None:
    for each in desk.ask("watch.stands").document["tasks"]:
        while (
            each["plan"] is not None
            and (moved := desk.ask("watch.advance", {"task": each["task"], "single": each["single"]}).document)["seen"]
        ):
            done.alarms += moved["alarms"]


# Alerting.


def _raise(desk: Desk, done: Round, clients: Mapping[str, Client] | None, environ: Mapping[str, str]) -> None:
    """Alerts of new alarms, and of judges that changed."""
    from review.services import watch_again, watch_cause

    means = watch_again.Means(desk, clients, environ, done.cost_usd)
    for each in desk.ask("alerts.pending").document["alarms"]:
        document = {name: value for name, value in each.items() if name not in ("task", "since", "alarm")}
        document["cause"] = watch_cause.cause(means, each)
        done.cost_usd = means.cost_usd + means.asked_usd
        said = {"kind": "regression", "task": each["task"], "alarm": each["alarm"], "since": each["since"]}
        done.alerts += desk.ask("alerts.put", {**said, "document": document}).document["new"]
    for each in desk.ask("watch.judges").document["changed"]:
        said = {"kind": "judge", "task": each.pop("judge"), "alarm": None, "since": None}
        done.alerts += desk.ask("alerts.put", {**said, "document": each}).document["new"]


def _deliver(desk: Desk, done: Round, environ: Mapping[str, str]) -> None:
    """Everything in the outbox that is due; each attempt is noted before and after it is made."""
    from review.adapters.delivery import NotDelivered, deliver
    from review.errors import BadSettings

    config = desk.settings.config.watch
    if not config.channels:
        return
    for each in desk.ask("alerts.outbox", {"channels": list(config.channels)}).document["due"]:
        attempt = {name: each[name] for name in ("alert_id", "channel", "attempt")}
        if not desk.ask("alerts.claim", attempt).document["mine"]:
            continue
        channel: Channel = each["channel"]
        problem: str | None = None
        try:
            deliver(channel, config, alerts.message(each["alert"], config.app_url), datetime.now(UTC), environ)
        except (NotDelivered, BadSettings) as error:
            problem = str(error)
            done.notes.append(f"{channel}: {problem} It is tried again.")
        desk.ask("alerts.settle", {**attempt, "problem": problem})
        counted = done.delivered if problem is None else done.failed
        counted[channel] = counted.get(channel, 0) + 1
