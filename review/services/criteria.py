"""Does an answer meet a criterion in words? Asked of the configured judge, by majority of its votes, paid for once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from review.adapters.cache import Cache
from review.domain import criterion
from review.domain.criterion import Verdict
from review.domain.identity import canonical
from review.domain.types import Output
from review.errors import BadSettings, BudgetSpent
from review.services.asynchronous import to_the_end
from review.services.desk import Desk
from review.services.judge_calls import (
    ABOUT_THE_REQUEST,
    Client,
    Job,
    Judged,
    JudgeDown,
    JudgeSettings,
    Judging,
    NotJudged,
    Vote,
    open_clients,
)
from review.services.replay import Progress, first_error


@dataclass(frozen=True)
class CriterionJob:
    """One answer and what it has to do.

    Attributes:
        id: the caller's.
        messages: the conversation before the answer.
        answer: what is judged.
        criterion: in words.
        tools: what the answer could call.
        owner: what is erased together with the judge's replies (a trace's, pair's or entry's id); the id by default.
        salt: sets it apart from an earlier judging that asked the same.
    """

    id: str
    messages: Sequence[Mapping[str, Any]]
    answer: Output
    criterion: str
    tools: Sequence[Mapping[str, Any]] | None = None
    owner: str | None = None
    salt: str = ""


@dataclass(frozen=True)
class Met:
    """What the judge says about one job.

    Attributes:
        verdict: by majority of all votes; undecided without one.
        votes: each True (met), False, or None (cannot tell, or no readable reply).
        judge: the one model that all votes come from, as its server said; None where it could not be judged.
        cost_usd: what the votes cost, whenever they were asked for; 0 where another job paid for them.
        rationale: of the first vote of the majority; a model's words, untrusted.
        failed: why it could not be judged, in a word of ours; None where it was.
    """

    id: str
    verdict: Verdict
    votes: tuple[bool | None, ...] = ()
    judge: str | None = None
    cost_usd: float = 0.0
    rationale: str = ""
    failed: str | None = None

    @property
    def missing(self) -> bool:
        """It was not judged, and asking again may cure that."""
        return self.failed is not None and self.failed not in ABOUT_THE_REQUEST


class _Settings(JudgeSettings):
    @property
    def version(self) -> str:
        # The rubric of preferences has no part in this.
        return criterion.VERSION


def judge_criteria(
    desk: Desk,
    jobs: Sequence[CriterionJob],
    tell: Callable[[Progress], None] | None = None,
    *,
    clients: Mapping[str, Client] | None = None,
    spent_usd: float = 0.0,
) -> list[Met]:
    """Whether each answer meets its criterion; one Met a job, in their order. A second call asks nobody.

    `judges.votes` votes at `judges.temperature`, all of one served model, through the router of `judges.providers`.
    Jobs that say the same are judged once. When no provider answers, or the budget is spent, what is left is undecided
    with failed "no_provider" or "budget". Not inside a running event loop.

    Args:
        desk: for its settings; nothing is asked of the database.
        jobs: any number.
        tell: told how far it is.
        clients: by provider name; made from the configuration by default.
        spent_usd: what counts against judges.budget_usd already.

    Raises:
        BadSettings: no provider is configured, or its key is not in the environment.
    """
    if not jobs:
        return []
    judges = desk.settings.config.judges
    if not judges.providers:
        raise BadSettings(
            "judges.providers is empty: a criterion in words needs a judge. See README, From traffic to a round."
        )
    settings = _Settings(judges, desk.settings.config.rubric, desk.settings.cache_file, "criteria", spent_usd)
    keys = [_key(each) for each in jobs]
    first = dict(zip(reversed(keys), reversed(jobs), strict=True))
    found = to_the_end(_Run(settings, tell).all(first, clients))
    mets: list[Met] = []
    for key, job in zip(keys, jobs, strict=True):
        met = replace(found[key], id=job.id)
        mets.append(met if first[key] is job else replace(met, cost_usd=0.0))
    return mets


class _Run:
    """All jobs of one call, on one event loop."""

    def __init__(self, settings: JudgeSettings, tell: Callable[[Progress], None] | None) -> None:
        self.settings, self.tell = settings, tell
        self.found: dict[str, Met] = {}
        self.stopped: str | None = None

    async def all(self, jobs: Mapping[str, CriterionJob], clients: Mapping[str, Client] | None) -> dict[str, Met]:
        """What is said about each, by key."""
        judges = self.settings.judges
        cache = Cache(self.settings.cache_file)
        try:
            async with AsyncExitStack() as stack:
                asked = clients or await open_clients(stack, judges, self.settings.spent_usd)
                judging = Judging(self.settings, asked, cache)
                following = iter(jobs.items())

                async def work() -> None:
                    for key, job in following:
                        self.found[key] = await self._one(judging, job)
                        if self.tell is not None:
                            self.tell(Progress(len(self.found), len(jobs), judging.tally.cost_usd))

                async with asyncio.TaskGroup() as group:
                    # Enough at once to keep every provider busy.
                    for _ in range(sum(each.concurrency for each in judges.providers)):
                        group.create_task(work())
        except ExceptionGroup as several:
            # One of them says what is wrong; the others were ended because of it.
            raise first_error(several) from None
        finally:
            cache.close()
        return self.found

    async def _one(self, judging: Judging, job: CriterionJob) -> Met:
        # What is kept already is read also after asking stopped.
        asked = Job(job.owner or job.id, None, "criterion", job.salt, _votes(job, self.settings))
        if self.stopped is not None:
            known = judging.kept(asked)
            return Met(job.id, "undecided", failed=self.stopped) if known is None else _met(job.id, known)
        try:
            return _met(job.id, await judging.judge(asked))
        except NotJudged as error:
            return Met(job.id, "undecided", failed=error.kind)
        except JudgeDown:
            self.stopped = "no_provider"
        except BudgetSpent:
            self.stopped = "budget"
        return Met(job.id, "undecided", failed=self.stopped)


def _votes(job: CriterionJob, settings: JudgeSettings) -> tuple[Vote, ...]:
    ask = criterion.ask(job.messages, job.answer, job.criterion, job.tools)
    judges = settings.judges
    # There is one answer and no side that stands first: the field says nothing here.
    return tuple(Vote(ask, "new", judges.temperature, number) for number in range(1, judges.votes + 1))


def _met(id: str, judged: Judged) -> Met:
    read = [criterion.read(reply.text) for _, reply in judged.votes]
    votes = tuple(vote for vote, _ in read)
    verdict = criterion.majority(votes)
    wanted = {"passed": True, "failed": False}.get(verdict)
    rationale = next((words for vote, words in read if vote is wanted), "")
    return Met(id, verdict, votes, judged.served, judged.cost_usd, rationale)


def _key(job: CriterionJob) -> str:
    said = [list(job.messages), job.tools and list(job.tools), criterion.shown(job.answer), job.criterion, job.salt]
    return hashlib.sha256(canonical(said).encode("utf-8", "surrogatepass")).hexdigest()
