"""Asking again for an alarm's cause: archived inputs of the candidate's endpoint, archived pairs of the judge.

Runs in the command's process. Every answer is kept the moment it arrives, under the alarm, so that a round that was
killed asks for none of them twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from review.adapters.cache import Cache
from review.domain import structured
from review.domain.judge_prompt import read_preference
from review.domain.pipeline import Endpoint
from review.domain.sameness import identical
from review.domain.types import Output, Pair
from review.errors import BudgetSpent, ReviewError
from review.services import ask, watch_single
from review.services.asynchronous import to_the_end
from review.services.criteria import judge_criteria
from review.services.desk import Desk
from review.services.judge_calls import Client, Job, JudgeDown, JudgeSettings, Judging, NotJudged, open_clients
from review.services.judge_facts import verdict_word, ways
from review.services.replay import Progress
from review.stats import causes
from review.stats.causes import Finding
from review.stats.rerun import FEWEST, Rerun, inputs_for, of_rejudged, of_rerun, pairs_for

Row = Mapping[str, Any]
Votes = dict[str, list[tuple[str, str | None]]]
# Who is down may not hold an alert back for long.
_RETRIES = 2


class NotAnswered(ReviewError):
    """The endpoint did not answer everything that it was asked."""


@dataclass
class Means:
    """What asking again uses, and what it cost so far.

    Attributes:
        desk: where facts and settings are.
        clients: of judges, by provider name; made from the configuration by default.
        environ: where the endpoint's key is.
        cost_usd: of judging in this round; counts against the budget of judges.
        asked_usd: of the candidate's answers in this round; counts against the endpoint's budget.
    """

    desk: Desk
    clients: Mapping[str, Client] | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    cost_usd: float = 0.0
    asked_usd: float = 0.0


def model(means: Means, alarm: Row, margin: float) -> Finding:
    """Whether the candidate still answers inputs from before the change as it did then (stats.rerun.of_rerun).

    The same is asked of inputs since the change, against what live traffic was answered: where those differ too, the
    endpoint is not what answers the traffic (other parameters, another server), and nothing is known.

    Args:
        means: whom to ask.
        alarm: as alerts.pending lists it.
        margin: a change of the mean score that would not explain the alarm.
    """
    endpoints = means.desk.settings.config.endpoints
    if endpoints is None:
        return causes.not_checked("No endpoint of the candidate is configured (endpoints.new), so it was not asked.")
    before, since = (_archived(means, alarm, part, inputs_for(margin)) for part in ("before", "since"))
    if min(len(before), len(since)) < FEWEST:
        return causes.not_checked(
            f"The candidate was not asked archived inputs again: there are {len(before)} from before the change and "
            f"{len(since)} since, and {FEWEST} of each are needed."
        )
    try:
        then = of_rerun(_again(means, endpoints.new, alarm, before), margin, "Inputs from before the change")
        if then.changed == "unknown":
            return then
        now = of_rerun(_again(means, endpoints.new, alarm, since), margin, "Inputs since the change")
    except ReviewError as error:
        return causes.not_checked(f"The candidate could not be asked archived inputs again: {error}")
    if now.changed == "changed":
        return causes.not_checked(f"The endpoint (endpoints.new) is not what answers live traffic now. {now.why}")
    # A change was seen against the model's own noise, which is as large for both; that nothing changed needs proof.
    if now.changed == "unknown" and then.changed == "unchanged":
        return causes.not_checked(f"Whether endpoints.new is what answers live traffic now is not known. {now.why}")
    return then


def _archived(means: Means, alarm: Row, part: str, limit: int) -> list[Row]:
    said = {"task": alarm["task"], "since": alarm["since"], "part": part, "limit": limit, "single": alarm.get("single")}
    table = means.desk.ask("watch.archive", said).table
    return [] if table is None else table.to_pylist()


def _again(means: Means, endpoint: Endpoint, alarm: Row, rows: Sequence[Row]) -> Rerun:
    """Ask every input once; where answers moved let the judge compare them, or without one ask everything twice.

    Raises:
        ReviewError: the endpoint or the judge did not answer, or the budget is spent.
    """
    archived = {row["pair_id"]: Output.model_validate(json.loads(row["answer"])) for row in rows}
    fresh = _fresh(means, endpoint, alarm, rows, 0)
    moved = {name for name, old in archived.items() if (new := fresh[name]) is None or not identical(old, new)}
    found = Rerun(len(archived), len(moved))
    if not moved:
        return found
    compared = [
        _pair(row, archived[row["pair_id"]], new)
        for row in rows
        if row["pair_id"] in moved and (new := fresh[row["pair_id"]]) is not None
    ]
    if means.desk.settings.config.judges.providers and _only_texts(compared):
        votes = _votes(means, compared, _salt(alarm))
        if len(votes) == len(compared):
            words = [verdict_word(each) for each in votes.values()]
            # No answer where there was one is worse.
            lost = words.count("old") + len(moved) - len(compared)
            return Rerun(found.n, found.moved, lost, words.count("new"))
    second = _fresh(means, endpoint, alarm, rows, 1)
    archived_odd = fresh_odd = 0
    for name, old in archived.items():
        one, two = fresh[name], second[name]
        if one is not None and two is not None:
            same = [identical(one, two), identical(old, one), identical(old, two)]
            archived_odd += same == [True, False, False]
            fresh_odd += same in ([False, True, False], [False, False, True])
    return Rerun(found.n, found.moved, archived_odd=archived_odd, fresh_odd=fresh_odd)


def _fresh(means: Means, endpoint: Endpoint, alarm: Row, rows: Sequence[Row], number: int) -> dict[str, Output | None]:
    """What the endpoint answers now, by pair; None where it refuses, or the input is too long for it."""
    prompts = [
        ask.Prompt(
            row["pair_id"],
            json.loads(row["messages"]),
            json.loads(row["tools"]) if row["tools"] else None,
            json.loads(row["parameters"]) if row["parameters"] else None,
            # Another repeat for each alarm: what was answered for an earlier one, or in a replay, is not fresh.
            repeat=2 * int(_salt(alarm)[:10], 16) + number + 1,
            owner=row["trace_id"] or row["pair_id"],
        )
        for row in rows
    ]
    left = None if endpoint.budget_usd is None else max(0.0, endpoint.budget_usd - means.asked_usd)
    patient = endpoint.model_copy(update={"retries": min(endpoint.retries, _RETRIES), "budget_usd": left})
    came = ask.answers(means.desk, patient, prompts, name="endpoints.new", environ=means.environ)
    means.asked_usd += came.cost_usd
    if not came.whole:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(came.failed.items()))
        raise NotAnswered(came.stopped or f"{kinds}.")
    return {each.id: each.output for each in came}


def _pair(row: Row, old: Output, new: Output) -> Pair:
    """An archived and a fresh answer as a pair, as a judge is asked about it."""
    bare = [each.model_copy(update={"correct": None}) for each in (old, new)]
    tools = json.loads(row["tools"]) if row["tools"] else None
    given = {"pair_id": row["pair_id"], "messages": json.loads(row["messages"]), "tools": tools}
    return Pair.model_validate({**given, "old": bare[0], "new": bare[1]})


def _only_texts(pairs: Sequence[Pair]) -> bool:
    """Nothing structured is in them, of which a judge of texts says nothing."""
    return all(structured.compare(each.old, each.new) is None for each in pairs)


def judge(means: Means, alarm: Row, margin: float) -> Finding:
    """Whether the judge still judges what came before the change as it did then (stats.rerun.of_rejudged).

    Args:
        means: whom to ask.
        alarm: as alerts.pending lists it.
        margin: a change of the mean score that would not explain the alarm.
    """
    config = means.desk.settings.config
    if not config.judges.providers:
        return causes.not_checked("No judge is configured (judges.providers), so none was asked archived pairs again.")
    if alarm.get("single"):
        return _judge_alone(means, alarm, margin)
    recipe = ways(config)["recipe"]
    said = {"task": alarm["task"], "since": alarm["since"], "recipe": recipe, "limit": pairs_for(margin)}
    ids = means.desk.ask("watch.judged_before", said).document["pair_ids"]
    then: Votes = {}
    for row in means.desk.ask("judge.votes", {"recipe": recipe, "pair_ids": ids}).document["votes"]:
        then.setdefault(row["pair_id"], []).append((row["shown_first"], row["winner"]))
    documents = means.desk.ask("judge.documents", {"pair_ids": sorted(then)}).document
    if len(documents) < FEWEST:
        return causes.not_checked(
            f"The judge had judged {len(documents)} pairs before the change; {FEWEST} are needed."
        )
    pairs = [Pair.model_validate_json(documents[name]) for name in sorted(documents)]
    try:
        now = _votes(means, pairs, _salt(alarm))
    except ReviewError as error:
        return causes.not_checked(f"The judge could not be asked archived pairs again: {error}")
    moved = [_score(now[name]) - _score(then[name]) for name in sorted(now)]
    return of_rejudged(sum(each < 0 for each in moved), sum(each > 0 for each in moved), len(moved), margin)


def _judge_alone(means: Means, alarm: Row, margin: float) -> Finding:
    """The same where single answers are judged: verdicts on new's answers from before the change, asked for again."""
    config = means.desk.settings.config
    if not str(alarm["way"]).endswith(watch_single.way_hash(config, alarm["task"])):
        return causes.not_checked("Another criterion is configured now, so archived answers were not judged again.")
    asked = {name: alarm[name] for name in ("task", "way", "since")}
    table = means.desk.ask("watch.single_before", {**asked, "limit": pairs_for(margin)}).table
    rows: list[Row] = [] if table is None else table.to_pylist()
    if len(rows) < FEWEST:
        return causes.not_checked(f"The judge had judged {len(rows)} answers before the change; {FEWEST} are needed.")
    jobs = [watch_single.job(config.watch, row, f"cause {_salt(alarm)}") for row in rows]
    cost = 0.0

    def tell(progress: Progress) -> None:
        nonlocal cost
        cost = progress.cost_usd

    try:
        mets = judge_criteria(means.desk, jobs, tell, clients=means.clients, spent_usd=means.cost_usd)
    except ReviewError as error:
        return causes.not_checked(f"The judge could not be asked archived answers again: {error}")
    means.cost_usd += cost
    if any(each.missing for each in mets):
        return causes.not_checked("The judge could not be asked archived answers again: it stopped before the end.")
    moved = [(met.verdict == "passed") - (row["verdict"] == "passed") for met, row in zip(mets, rows, strict=True)]
    return of_rejudged(sum(each < 0 for each in moved), sum(each > 0 for each in moved), len(moved), margin)


def _score(votes: Sequence[tuple[str, str | None]]) -> int:
    """new - old of one pair, as watch_desk.decide has it."""
    return {"new": 1, "old": -1}.get(verdict_word(list(votes)), 0)


def _votes(means: Means, pairs: Sequence[Pair], salt: str) -> Votes:
    """Fresh votes by pair; a pair that cannot be judged has none.

    Raises:
        ReviewError: no provider answers, its key is missing, or the budget is spent.
    """
    config = means.desk.settings.config
    settings = JudgeSettings(config.judges, config.rubric, means.desk.settings.cache_file, "cause", means.cost_usd)
    return to_the_end(_judged(means, settings, pairs, salt))


async def _judged(means: Means, settings: JudgeSettings, pairs: Sequence[Pair], salt: str) -> Votes:
    found: Votes = {}
    cache = Cache(settings.cache_file)
    try:
        async with AsyncExitStack() as stack:
            asked = means.clients or await open_clients(stack, settings.judges, settings.spent_usd)
            judging = Judging(settings, asked, cache)
            following = iter(pairs)
            stopped: list[ReviewError] = []

            async def work() -> None:
                while not stopped and (pair := next(following, None)) is not None:
                    name = pair.pair_id or ""
                    try:
                        judged = await judging.judge(Job(name, pair, "anchor", salt=f"cause {salt}"))
                    except NotJudged:
                        continue
                    except (JudgeDown, BudgetSpent) as error:
                        stopped.append(error)
                        return
                    read = [(side, read_preference(reply.text, side)) for side, reply in judged.votes]
                    found[name] = [(side, each.winner if each else None) for side, each in read]

            try:
                # Enough at once to keep every provider busy.
                await asyncio.gather(
                    *(work() for _ in range(sum(each.concurrency for each in settings.judges.providers)))
                )
            finally:
                means.cost_usd += judging.tally.cost_usd
            if stopped:
                raise stopped[0]
    finally:
        cache.close()
    return found


def _salt(alarm: Row) -> str:
    """A name of the alarm's own."""
    return hashlib.sha256(f"{alarm['task']}\0{alarm['alarm']}".encode()).hexdigest()[:16]
