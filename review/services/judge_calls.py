"""Asking judges: cached replies first, then the cheapest healthy provider; all votes of a pair from one served model.

A stage: a batch of pairs in, a batch of votes out. It keeps no state outside its batch and the content-addressed cache,
in which every reply stands the moment it has arrived.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import pyarrow

from review.adapters.cache import Cache
from review.adapters.chat.values import Completion, Request
from review.adapters.router import Router, cost
from review.domain import judge_prompt
from review.domain.judge_prompt import REPLY_TOKENS, Ask
from review.domain.pipeline import Judges, Provider
from review.domain.rubric import Rubric
from review.domain.types import Pair, Side
from review.errors import BadSettings, BudgetSpent, EndpointUnusable, ModelFailed, ReviewError
from review.services.asynchronous import to_the_end

pa: Any = pyarrow  # it carries no types
Purpose = Literal["vote", "arguments", "anchor", "audit", "criterion"]

KIND = "judge"
# A vote is asked for again when the gateway answered it with another model than the rest; so often at most.
GENERATIONS = 4
# Attempts at one provider where another can take over.
_RETRIES_WITH_FALLBACK = 1
# Times that one pair may fail at one provider.
TRIES = 2
# Seconds that a pair waits for providers that are left alone, before the run gives up.
PATIENCE = 20.0
# What a server says about this very request; another provider may see it otherwise, and this one is well.
ABOUT_THE_REQUEST = frozenset({"refused", "context_length", "bad_request", "unsupported", "mixed_models"})
# Characters a token, to know beforehand what a call will cost at most; few, to stay on the safe side.
_CHARACTERS_A_TOKEN = 3


class JudgeDown(ReviewError):
    """No provider of the judge can be asked."""


class NotJudged(ReviewError):
    """This pair could not be judged; `kind` is a word of ours."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"a pair could not be judged: {kind}")


class Client(Protocol):
    """Asks one provider, within its limits and the run's budget; review.adapters.chat.ChatClient is one."""

    async def complete(self, request: Request) -> Completion:
        """The answer.

        Raises:
            ModelFailed: after its own retries.
            BudgetSpent: it could have cost more than is left.
        """
        ...


@dataclass(frozen=True)
class JudgeSettings:
    """Everything a stage needs to judge; picklable. `spent_usd` counts against the run's budget."""

    judges: Judges
    rubric: Rubric
    cache_file: Path
    run_id: str
    spent_usd: float = 0.0

    @property
    def version(self) -> str:
        return judge_prompt.rubric_version(self.rubric)


@dataclass(frozen=True)
class Vote:
    """One vote to be had: its call, which side stands first, and the key of each time it may be asked."""

    ask: Ask
    shown_first: Side
    temperature: float
    number: int


@dataclass(frozen=True)
class Job:
    """One pair to be judged. `salt` sets it apart from an earlier judging that asked the same.

    `votes` are other questions than those about a pair; `pair_id` is then the name under which replies are kept.
    """

    pair_id: str
    pair: Pair | None
    purpose: Purpose
    salt: str = ""
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True)
class Reply:
    """One reply as the cache keeps it: what was said, by whom, when, in which run, for which pair, at what cost."""

    key: str
    text: str | None
    served: str
    provider: str
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float
    latency_ms: float | None
    attempts: int
    run_id: str
    pair_id: str
    purpose: Purpose
    called_at: str

    def to_bytes(self) -> bytes:
        return json.dumps(vars(self)).encode()

    @staticmethod
    def from_bytes(value: bytes) -> Reply:
        return Reply(**json.loads(value))


@dataclass(frozen=True)
class Judged:
    """All votes of one job, from one served model.

    Attributes:
        votes: In the order of the votes: the side that stood first, and the reply.
        paid: Every reply that was paid for this pair, also those of other models that were not used.
        asked: Calls that were made just now.
    """

    job: Job
    served: str
    votes: tuple[tuple[Side, Reply], ...]
    paid: tuple[Reply, ...]
    asked: int

    @property
    def cost_usd(self) -> float:
        return sum(each.cost_usd for each in self.paid)

    @property
    def saved_usd(self) -> float:
        """What the votes cost that were paid for another pair with the same texts."""
        return sum(reply.cost_usd for _, reply in self.votes if reply.pair_id != self.job.pair_id)


@dataclass
class Tally:
    """What a run has done so far; `arrived` are replies that nobody has taken to the database yet."""

    calls: int = 0
    cost_usd: float = 0.0
    arrived: list[Reply] = field(default_factory=list["Reply"])


class Judging:
    """Judges pairs through a router, for one run. Everything happens on one event loop."""

    def __init__(
        self,
        settings: JudgeSettings,
        clients: Mapping[str, Client],
        cache: Cache,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        patience: float | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.settings, self.clients, self.cache = settings, clients, cache
        self.router = Router(settings.judges.providers, clock)
        self.tally = Tally()
        self._now, self._sleep, self._clock = now, sleep, clock
        self._patience = PATIENCE if patience is None else patience
        self._version = settings.version
        self._flying: dict[str, asyncio.Future[Reply]] = {}

    async def judge(self, job: Job) -> Judged:
        """All votes of one job.

        Raises:
            NotJudged: nobody could answer this one.
            JudgeDown: no provider can be asked, and waiting did not help.
            BudgetSpent: the next call would spend more than the budget.
        """
        votes = self._votes(job)
        if (judged := self._kept(job, votes)) is not None:
            return judged
        return await self._route(job, votes, _tokens(votes))

    def kept(self, job: Job) -> Judged | None:
        """What the cache holds of a job, where that is all votes of one served model; of the cheapest provider."""
        return self._kept(job, self._votes(job))

    def _kept(self, job: Job, votes: Sequence[Vote]) -> Judged | None:
        for provider in self.router.by_price(_tokens(votes), REPLY_TOKENS):
            if (judged := self._complete(job, votes, provider, self._known(job, votes, provider), 0)) is not None:
                return judged
        return None

    async def _route(self, job: Job, votes: Sequence[Vote], tokens: int) -> Judged:
        """From provider to provider until one gives all votes."""
        tried: dict[str, int] = {}
        without: set[str] = set()
        last, deadline, said = "no_provider", None, ""
        while True:
            provider = self.router.choose(tokens, REPLY_TOKENS, without)
            if provider is None:
                if self.router.healthy():
                    if (wait := self.router.wait(without)) is None:
                        raise NotJudged(last)
                else:
                    # Nobody answers anybody: that is not this pair's fault.
                    wait = self.router.wait() or 0.0
                    without -= set(tried)
                    tried.clear()
                deadline = deadline or self._clock() + self._patience
                if self._clock() + wait > deadline or self.router.hopeless():
                    raise JudgeDown(f"No provider of the judge answers (judges.providers). {said}".strip())
                # At least a moment: a probe of somebody else may be under way.
                await self._sleep(max(wait, 0.05))
                continue
            try:
                judged = await self._by(job, votes, provider)
            except ModelFailed as error:
                last, said = error.kind, str(error)
                if error.kind in ABOUT_THE_REQUEST:
                    self.router.released(provider.name)
                    without.add(provider.name)
                else:
                    self.router.failed(provider.name, for_good=isinstance(error, EndpointUnusable))
                    tried[provider.name] = tried.get(provider.name, 0) + 1
                    if tried[provider.name] >= TRIES:
                        without.add(provider.name)
            except BudgetSpent:
                self.router.released(provider.name)
                if self._over(provider, tokens):
                    raise
                # Another provider may have some left of its own.
                without.add(provider.name)
                last = "budget"
            except BaseException:
                self.router.released(provider.name)
                raise
            else:
                self.router.succeeded(provider.name)
                return judged

    async def _by(self, job: Job, votes: Sequence[Vote], provider: Provider) -> Judged:
        """All votes from one provider; asked again where it answered some of them with another model."""
        asked = 0
        while True:
            known = self._known(job, votes, provider)
            if (judged := self._complete(job, votes, provider, known, asked)) is not None:
                return judged
            target = _target(known)
            missing = [at for at, replies in enumerate(known) if all(each.served != target for each in replies)]
            if any(len(known[at]) >= GENERATIONS for at in missing):
                raise ModelFailed("the provider answers with a different model each time", "mixed_models", asked)
            calls = [
                self._ask(job, votes[at], self._key(votes[at], provider, job.salt, len(known[at])), provider)
                for at in missing
            ]
            # All arrive and are kept, also when one of them fails.
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            # Not those that another pair with the same texts is paying for.
            asked += sum(isinstance(each, Reply) and each.pair_id == job.pair_id for each in outcomes)
            for each in outcomes:
                if isinstance(each, BaseException):
                    raise each

    async def _ask(self, job: Job, vote: Vote, key: str, provider: Provider) -> Reply:
        """One call, or the same call that is under way for another pair with the same texts."""
        if (flying := self._flying.get(key)) is not None:
            return await asyncio.shield(flying)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._flying[key] = future
        try:
            reply = await self._call(job, vote, key, provider)
        except BaseException as error:
            # Whoever waits for it tries by itself; without anybody the exception is seen here.
            stopped = ModelFailed("the same call for another pair was stopped", "connection", 0)
            future.set_exception(error if isinstance(error, ReviewError) else stopped)
            future.exception()
            raise
        else:
            future.set_result(reply)
            return reply
        finally:
            del self._flying[key]

    async def _call(self, job: Job, vote: Vote, key: str, provider: Provider) -> Reply:
        request = Request(
            messages=vote.ask.messages,
            parameters={"temperature": vote.temperature, "max_tokens": REPLY_TOKENS},
            response_schema=vote.ask.schema,
            schema_name=vote.ask.name,
            logprobs=False,
        )
        completion = await self.clients[provider.name].complete(request)
        reply = Reply(
            key=key,
            text=completion.output.content,
            served=completion.served or provider.model,
            provider=provider.name,
            input_tokens=completion.usage.get("prompt_tokens"),
            output_tokens=completion.usage.get("completion_tokens"),
            cost_usd=completion.cost_usd,
            latency_ms=completion.latency_ms,
            attempts=completion.attempts,
            run_id=self.settings.run_id,
            pair_id=job.pair_id,
            purpose=job.purpose,
            called_at=self._now().isoformat(),
        )
        self.cache.put(KIND, {key: reply.to_bytes()}, {key: job.pair_id})
        self.tally.calls += 1
        self.tally.arrived.append(reply)
        self.tally.cost_usd += reply.cost_usd
        return reply

    def _over(self, provider: Provider, tokens: int) -> bool:
        """Whether it is the run's budget that does not cover one more call, and not the provider's own."""
        limit = self.settings.judges.budget_usd
        if limit is None or provider.budget_usd is None:
            return provider.budget_usd is None
        worst = cost(provider, tokens * _CHARACTERS_A_TOKEN, REPLY_TOKENS)
        return self.settings.spent_usd + self.tally.cost_usd + worst > limit

    def _votes(self, job: Job) -> list[Vote]:
        """The votes of a job: three in balanced orders for a preference, one in each order for arguments."""
        if job.pair is None:
            return list(job.votes)
        if job.purpose == "arguments":
            # Two calls, without chance; arguments are the same when both orders say so.
            sides: tuple[Side, ...] = ("old", "new")
            return [Vote(judge_prompt.same_arguments(job.pair, side), side, 0.0, 1) for side in sides]
        judges, seen, votes = self.settings.judges, {"old": 0, "new": 0}, list[Vote]()
        for side in judge_prompt.shown_orders(job.pair_id, judges.votes):
            seen[side] += 1
            ask = judge_prompt.preference(job.pair, self.settings.rubric, side)
            votes.append(Vote(ask, side, judges.temperature, seen[side]))
        return votes

    def _key(self, vote: Vote, provider: Provider, salt: str, generation: int) -> str:
        again = f"{salt}#{generation}" if generation else salt
        return judge_prompt.call_key(vote.ask, provider.model, self._version, vote.temperature, vote.number, again)

    def _known(self, job: Job, votes: Sequence[Vote], provider: Provider) -> list[list[Reply]]:
        """What the cache holds of each vote, oldest first."""
        keys = [[self._key(vote, provider, job.salt, n) for n in range(GENERATIONS)] for vote in votes]
        found = self.cache.get(KIND, [key for each in keys for key in each])
        return [[Reply.from_bytes(found[key]) for key in each if key in found] for each in keys]

    def _complete(
        self, job: Job, votes: Sequence[Vote], provider: Provider, known: Sequence[Sequence[Reply]], asked: int
    ) -> Judged | None:
        """All votes of the model that most of those known of a provider come from, when it gave all of them."""
        target = _target(known)
        chosen = [next((each for each in replies if each.served == target), None) for replies in known]
        if any(each is None for each in chosen):
            return None
        replies = cast("list[Reply]", chosen)
        said: tuple[tuple[Side, Reply], ...] = tuple(
            (vote.shown_first, reply) for vote, reply in zip(votes, replies, strict=True)
        )
        models = {each.model: each for each in self.settings.judges.providers}
        by_model = [known if name == provider.model else self._known(job, votes, each) for name, each in models.items()]
        every = [reply for each in by_model for one in each for reply in one]
        return Judged(job, replies[0].served, said, tuple(each for each in every if each.pair_id == job.pair_id), asked)


def _tokens(votes: Sequence[Vote]) -> int:
    """About how many a call takes, at most."""
    return sum(len(message["content"]) for message in votes[0].ask.messages) // _CHARACTERS_A_TOKEN + 1


def _target(known: Sequence[Sequence[Reply]]) -> str | None:
    """The served model that has most of the votes, the newest where several have."""
    newest: dict[str, str] = {}
    count: dict[str, int] = {}
    for replies in known:
        for served in {each.served for each in replies}:
            count[served] = count.get(served, 0) + 1
        for each in replies:
            newest[each.served] = max(newest.get(each.served, ""), each.called_at)
    return max(count, key=lambda served: (count[served], newest[served]), default=None)


async def open_clients(stack: AsyncExitStack, judges: Judges, spent_usd: float) -> dict[str, Client]:
    """A client for each provider, all with the run's budget; where another can take over, none tries for long.

    Raises:
        BadSettings: a provider's key is not in the environment.
    """
    from review.adapters.chat import Budget, ChatClient

    budget = Budget(judges.budget_usd)
    budget.spent = spent_usd
    found: dict[str, Client] = {}
    for provider in judges.providers:
        retries = provider.retries if len(judges.providers) == 1 else min(provider.retries, _RETRIES_WITH_FALLBACK)
        client = ChatClient(provider.model_copy(update={"retries": retries}), _key(provider), budget=budget)
        found[provider.name] = await stack.enter_async_context(client)
    return found


def _key(provider: Provider) -> str | None:
    name = provider.api_key_env
    if name is not None and not os.environ.get(name):
        raise BadSettings(f"judges.providers: {name}, the key of {provider.name}, is not set. Set it and run again.")
    return os.environ[name] if name else None


VOTES = pa.schema(
    [
        ("pair_id", pa.string()),
        ("purpose", pa.string()),
        ("served", pa.string()),  # null: it could not be judged
        ("votes", pa.string()),  # JSON: [{shown_first, text}] in the order of the votes
        ("cost_usd", pa.float64()),
        ("failed", pa.string()),  # a word, null where it was judged
    ]
)


def judge_stage(batch: Any, settings: JudgeSettings) -> Any:
    """The stage: what judges say about a batch of pairs, one row a pair in their order.

    Args:
        batch: Columns pair_id, document (domain.types.Pair as JSON), purpose and salt (see Job).
        settings: Everything else; replies go to, and come from, its cache file.

    Raises:
        JudgeDown: no provider can be asked.
        BudgetSpent: the next call would spend more than the budget.
        BadSettings: a provider's key is not in the environment.
    """
    jobs = [
        Job(row["pair_id"], Pair.model_validate_json(row["document"]), row["purpose"], row["salt"])
        for row in batch.to_pylist()
    ]
    return pa.Table.from_pylist(to_the_end(_staged(jobs, settings)), VOTES)


async def _staged(jobs: Sequence[Job], settings: JudgeSettings) -> list[dict[str, Any]]:
    cache = Cache(settings.cache_file)
    try:
        async with AsyncExitStack() as stack:
            judging = Judging(settings, await open_clients(stack, settings.judges, settings.spent_usd), cache)

            async def one(job: Job) -> dict[str, Any]:
                row = {"pair_id": job.pair_id, "purpose": job.purpose}
                try:
                    judged = await judging.judge(job)
                except NotJudged as error:
                    return {**row, "failed": error.kind}
                votes = [{"shown_first": side, "text": reply.text} for side, reply in judged.votes]
                return {**row, "served": judged.served, "votes": json.dumps(votes), "cost_usd": judged.cost_usd}

            return list(await asyncio.gather(*(one(job) for job in jobs)))
    finally:
        cache.close()
