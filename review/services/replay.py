"""Replay: each sampled trace through old and new, every answer kept the moment it arrives, none paid for twice."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as _pa

from review.adapters.cache import Cache
from review.adapters.chat import ChatClient, Request
from review.domain.pipeline import Endpoint
from review.domain.stack import stack_id
from review.domain.types import Side
from review.errors import BadSettings, BudgetSpent, EndpointUnusable, ModelFailed
from review.services.asynchronous import to_the_end
from review.services.desk import Desk
from review.store.replays import FAILURES, RESPONSES

pa: Any = _pa  # it carries no types
KIND = "response"
# Failures one after the other, without an answer between them, after which a side is given up for this run.
GIVE_UP = 20
# Traces read at once: the app does nothing else meanwhile, so it must be short.
PAGE = 50
_HAND_IN_ROWS = 200
_HAND_IN_BYTES = 4_000_000
_HAND_IN_SECONDS = 1.0
# What the input itself is the reason for says nothing about the endpoint.
OWN_FAULT = frozenset({"context_length", "refused"})

Row = dict[str, Any]
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Ask:
    """What to replay.

    Attributes:
        sample: its id; the newest by default.
        sides: which stacks are asked.
        limit: only the sample's first so many traces.
    """

    sample: str | None = None
    sides: tuple[Side, ...] = ("old", "new")
    limit: int | None = None


@dataclass(frozen=True)
class Progress:
    """How far a run is: answers and failures of `total` to come, and dollars spent in this run."""

    done: int
    total: int
    cost_usd: float


@dataclass
class SideReport:
    """What became of one side in a run.

    Attributes:
        model: as configured.
        stack: the id of everything that shapes its answers.
        adopted: answers taken from the log.
        kept: answers of an earlier run that had not been handed in.
        answered: answers that came in this run.
        failed: failures in this run, by kind.
        failing: traces without an answer, by the kind of their last error.
        cost_usd: of this run.
        dropped: parameters that the server does not take.
        stopped: why the side was given up, or None.
    """

    model: str
    stack: str
    adopted: int = 0
    kept: int = 0
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    failing: dict[str, int] = field(default_factory=dict[str, int])
    cost_usd: float = 0.0
    dropped: tuple[str, ...] = ()
    stopped: str | None = None


@dataclass
class Report:
    """What a run came to.

    Attributes:
        sample: its id.
        sampled: traces in the sample.
        chosen: of those, the ones that may be sent and are within the limit.
        old: of those, answered by old.
        new: of those, answered by new.
        pairs: of those, pairs.
        made: pairs made in this run.
        unpairable: traces whose answers break a rule of pairs.
        sides: by side.
        noise: the noise floor as JSON, or None where the logged answers serve as old's.
    """

    sample: str
    sampled: int
    chosen: int
    old: int
    new: int
    pairs: int
    made: int
    unpairable: int
    sides: dict[Side, SideReport]
    noise: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        sides = {side: {**vars(each), "failed": dict(each.failed)} for side, each in self.sides.items()}
        return {**vars(self), "sides": sides}


def stacks(old: Endpoint, new: Endpoint, stripped: bool) -> dict[Side, str]:
    """The stacks' ids. Where nothing is stripped, the logged answers are old's own; only what they lack is asked."""
    return {"old": stack_id(old, logged=not stripped), "new": stack_id(new)}


def replay(
    desk: Desk,
    ask: Ask,
    *,
    environ: Mapping[str, str] = os.environ,
    tell: Callable[[Progress], None] | None = None,
    clock: Clock = lambda: datetime.now(UTC),
) -> Report:
    """Replay a sample as far as it can be, then make its pairs. Running it again asks only for what is missing.

    Not inside a running event loop. Ended at any moment, even by SIGKILL, it loses no answer that has arrived: each is
    in the cache beside the database first, and is handed in by the next run.

    Raises:
        BadSettings: no endpoints are configured, or a key is not in the environment.
        NotFound: there is no such sample.
    """
    endpoints = desk.settings.config.endpoints
    if endpoints is None:
        raise BadSettings(
            "eval_config.endpoints is missing: replay needs endpoints.old and endpoints.new, each with base_url and "
            "model. See README, From traffic to a round."
        )
    stripped = desk.settings.config.replay.strip_pii
    named = stacks(endpoints.old, endpoints.new, stripped)
    scope: dict[str, Any] = {"stripped": stripped, "limit": ask.limit}
    before = desk.ask("replay.look", {**scope, "sample": ask.sample, **named}).document
    scope["sample"] = before["sample"]
    reports: dict[Side, SideReport] = {
        "old": SideReport(endpoints.old.model, named["old"]),
        "new": SideReport(endpoints.new.model, named["new"]),
    }
    if not stripped:
        reports["old"].adopted = desk.ask("replay.adopt", {**scope, "stack": named["old"]}).document["adopted"]
        before = desk.ask("replay.look", {**scope, **named}).document
    cache = Cache(desk.settings.cache_file)
    try:
        run = _Run(desk, cache, scope, tell, clock)
        for side in ask.sides:
            run.total += before["chosen"] - before[side]
        asked: dict[Side, Endpoint] = {"old": endpoints.old, "new": endpoints.new}
        wanted: dict[Side, tuple[Endpoint, SideReport]] = {side: (asked[side], reports[side]) for side in ask.sides}
        to_the_end(run.all(wanted, environ))
    finally:
        cache.close()
    if stripped:
        for listed in _places(desk, {**scope, "what": "measure", "stack": named["old"]}):
            desk.ask("replay.measure", {"stack": named["old"]}, listed)
    made = unpairable = 0
    for listed in _places(desk, {**scope, "what": "pair", **named}):
        batch = desk.ask("replay.pair", {"sample": scope["sample"], **named}, listed).document
        made += batch["made"]
        unpairable += batch["rejected"]
    after = desk.ask("replay.look", {**scope, **named}).document
    for side, report in reports.items():
        report.failing = after["failing"][side]
    return Report(
        sample=after["sample"],
        **{name: after[name] for name in ("sampled", "chosen", "old", "new", "pairs")},
        made=made,
        unpairable=unpairable,
        sides={side: reports[side] for side in ask.sides},
        noise=desk.ask("replay.noise", {**scope, "stack": named["old"]}).document if stripped else None,
    )


def _places(desk: Desk, arguments: Mapping[str, Any]) -> Iterable[Any]:
    """Where what is to be done stands, as many at a time as one operation may read."""
    after = -1
    while True:
        listed: Any = desk.ask("replay.places", {**arguments, "after": after}).table
        if not len(listed):
            return
        after = listed["trace"][-1].as_py()
        for start in range(0, len(listed), PAGE):
            yield listed.slice(start, PAGE)


class _Run:
    """What both sides of a run share."""

    def __init__(
        self,
        desk: Desk,
        cache: Cache,
        scope: Mapping[str, Any],
        tell: Callable[[Progress], None] | None,
        clock: Clock,
    ) -> None:
        self.desk, self.cache, self.scope, self.clock = desk, cache, scope, clock
        self.done = self.total = 0
        self._tell = tell
        self._clients: list[ChatClient] = []

    async def all(self, wanted: Mapping[Side, tuple[Endpoint, SideReport]], environ: Mapping[str, str]) -> None:
        """Both sides at once; each has limits of its own."""
        async with AsyncExitStack() as opened:
            sides: list[_Side] = []
            for name, (endpoint, report) in wanted.items():
                client = ChatClient(endpoint, name=f"endpoints.{name} ({endpoint.model})", environ=environ)
                self._clients.append(await opened.enter_async_context(client))
                sides.append(_Side(self, client, report))
            try:
                async with asyncio.TaskGroup() as group:
                    for side in sides:
                        group.create_task(side.run())
            except ExceptionGroup as several:
                # One of them says what is wrong; the others were ended because of it.
                raise first_error(several) from None

    def tell(self) -> None:
        """Say how far it is."""
        if self._tell is not None:
            self._tell(Progress(self.done, max(self.total, self.done), sum(each.spent.spent for each in self._clients)))


def first_error(several: Any) -> BaseException:
    """One error out of a group of them."""
    error: Any = several.exceptions[0]
    return first_error(error) if hasattr(error, "exceptions") else error


class _Side:
    """One stack's share of a run: a feeder, as many askers as may be under way, and one who hands in."""

    def __init__(self, run: _Run, client: ChatClient, report: SideReport) -> None:
        self.shared, self.client, self.report = run, client, report
        self._answers: list[Row] = []
        self._failures: list[Row] = []
        self._in_a_row = 0
        self._all_asked = asyncio.Event()

    async def run(self) -> None:
        """Ask for everything that is missing, and hand it in."""
        askers = self.client.endpoint.concurrency
        queue: asyncio.Queue[Row | None] = asyncio.Queue(maxsize=max(2 * askers, PAGE))
        try:
            async with asyncio.TaskGroup() as outer:
                outer.create_task(self._hand_in_as_they_come())
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._feed(queue, askers))
                    for _ in range(askers):
                        group.create_task(self._work(queue))
                self._all_asked.set()
        finally:
            self.report.cost_usd = self.client.spent.spent
            self.report.dropped = tuple(sorted(self.client.dropped))

    async def _feed(self, queue: asyncio.Queue[Row | None], askers: int) -> None:
        """Page by page what waits for an answer. What an earlier run was answered is handed in, not asked again."""
        desk, stack = self.shared.desk, self.report.stack
        pages = iter(_places(desk, {**self.shared.scope, "what": "answer", "stack": stack}))
        seen: set[str] = set()
        while not self.report.stopped:
            listed: Any = await asyncio.to_thread(next, pages, None)
            if listed is None:
                break
            # Places move when traces are erased meanwhile; nothing is asked twice for it.
            ids = [each for each in listed["trace_id"].to_pylist() if each not in seen]
            seen.update(ids)
            keys = {trace_id: cache_key(stack, trace_id) for trace_id in ids}
            kept = await asyncio.to_thread(self.shared.cache.get, KIND, list(keys.values()))
            for trace_id in ids:
                if (value := kept.get(keys[trace_id])) is not None:
                    self._answers.append(_row(trace_id, stack, value))
                    self.report.kept += 1
                    self._count()
            if len(kept) < len(ids):
                found: Any = await asyncio.to_thread(desk.ask, "replay.work", {}, listed)
                for row in found.table.to_pylist():
                    if keys.get(row["trace_id"], "") not in kept and row["trace_id"] in keys:
                        await queue.put(row)
        for _ in range(askers):
            await queue.put(None)

    async def _work(self, queue: asyncio.Queue[Row | None]) -> None:
        while (row := await queue.get()) is not None:
            if not self.report.stopped:
                await self._ask(row)

    async def _ask(self, row: Row) -> None:
        trace_id = row["trace_id"]
        try:
            value = await answer(self.client, row, self.shared.clock)
        except BudgetSpent as error:
            self.report.stopped = str(error)
            return
        except ModelFailed as error:
            self._fail(trace_id, error)
            return
        # From here on it survives the process.
        self.shared.cache.put(KIND, {(key := cache_key(self.report.stack, trace_id)): value}, {key: trace_id})
        self._answers.append(_row(trace_id, self.report.stack, value))
        self.report.answered += 1
        self._in_a_row = 0
        self._count()

    def _fail(self, trace_id: str, error: ModelFailed) -> None:
        self._failures.append(
            {
                "trace_id": trace_id,
                "stack": self.report.stack,
                "kind": error.kind,
                "attempts": error.attempts,
                "failed_at": self.shared.clock(),
            }
        )
        self.report.failed[error.kind] += 1
        self._in_a_row += error.kind not in OWN_FAULT
        if isinstance(error, EndpointUnusable):
            self.report.stopped = str(error)
        elif self._in_a_row >= GIVE_UP:
            self.report.stopped = f"{GIVE_UP} requests in a row failed, the last because {error}"
        self._count()

    def _count(self) -> None:
        self.shared.done += 1
        self.shared.tell()

    async def _hand_in_as_they_come(self) -> None:
        while not (self._all_asked.is_set() and not self._answers and not self._failures):
            try:
                async with asyncio.timeout(_HAND_IN_SECONDS):
                    await self._all_asked.wait()
            except TimeoutError:
                pass
            await self._hand_in()

    async def _hand_in(self) -> None:
        """Everything there is, batch by batch. What comes in meanwhile waits for the next time."""
        desk = self.shared.desk
        answers, self._answers = self._answers, []
        failures, self._failures = self._failures, []
        for batch in batches(answers):
            await asyncio.to_thread(desk.ask, "replay.put", {}, pa.Table.from_pylist(batch, RESPONSES))
        for batch in batches(failures):
            await asyncio.to_thread(desk.ask, "replay.fail", {}, pa.Table.from_pylist(batch, FAILURES))


def batches(rows: Sequence[Row]) -> Iterable[list[Row]]:
    """The rows in batches that one operation may take."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        length = len(row.get("output") or "")
        if batch and (len(batch) >= _HAND_IN_ROWS or size + length > _HAND_IN_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += length
    if batch:
        yield batch


def cache_key(stack: str, trace_id: str) -> str:
    """Where a trace's answer by a stack is kept."""
    return f"{stack}:{trace_id}"


async def answer(client: ChatClient, row: Mapping[str, Any], clock: Clock) -> bytes:
    """A trace's answer, as the bytes that are kept: JSON with output, served, attempts, cost_usd and at.

    Args:
        client: of the stack.
        row: messages, tools and parameters as JSON text.
        clock: what time it is.

    Raises:
        ModelFailed, BudgetSpent: as `ChatClient.complete`.
    """
    tools, parameters = (json.loads(row[name]) if row[name] is not None else None for name in ("tools", "parameters"))
    completion = await client.complete(Request(json.loads(row["messages"]), tools, parameters))
    about = {
        "served": completion.served,
        "attempts": completion.attempts,
        "cost_usd": completion.cost_usd,
        "at": clock().isoformat(),
    }
    output = completion.output.model_dump_json(exclude_none=True)
    return f'{{"output":{output},{json.dumps(about)[1:]}'.encode()


def _row(trace_id: str, stack: str, value: bytes) -> Row:
    """A row of RESPONSES out of kept bytes."""
    kept = json.loads(value)
    return {
        "trace_id": trace_id,
        "stack": stack,
        "output": json.dumps(kept["output"], ensure_ascii=False, separators=(",", ":")),
        "served": kept["served"],
        "attempts": kept["attempts"],
        "cost_usd": kept["cost_usd"],
        "replayed_at": datetime.fromisoformat(kept["at"]),
    }


@dataclass(frozen=True)
class StageSettings:
    """What the stage needs; picklable.

    Attributes:
        endpoint: the stack's.
        stack: its id.
        key: the API key, or None for the one in the environment.
        cache_file: where answers are kept the moment they arrive; None for nowhere.
    """

    endpoint: Endpoint
    stack: str
    key: str | None = field(default=None, repr=False)
    cache_file: Path | None = None


def answer_batch(batch: Any, settings: StageSettings) -> Any:
    """The stage: a batch of traces (trace_id, messages, tools, parameters) in, their answers out.

    A row of RESPONSES a trace, with a further column `error`: the kind of error where there is no answer, whose other
    columns are null then. Answers in the cache are taken from there. Limits and budget hold for the batch.
    """
    cache = None if settings.cache_file is None else Cache(settings.cache_file)
    try:
        rows = to_the_end(_answer_all(batch.to_pylist(), settings, cache))
    finally:
        if cache is not None:
            cache.close()
    return pa.Table.from_pylist(rows, RESPONSES.append(pa.field("error", pa.string())))


async def _answer_all(rows: Sequence[Row], settings: StageSettings, cache: Cache | None) -> list[Row]:
    keys = [cache_key(settings.stack, row["trace_id"]) for row in rows]
    kept = cache.get(KIND, keys) if cache else {}

    async def one(row: Row, key: str) -> Row:
        if (value := kept.get(key)) is None:
            try:
                value = await answer(client, row, lambda: datetime.now(UTC))
            except ModelFailed as error:
                return {"trace_id": row["trace_id"], "stack": settings.stack, "error": error.kind}
            except BudgetSpent:
                return {"trace_id": row["trace_id"], "stack": settings.stack, "error": "budget"}
            if cache:
                cache.put(KIND, {key: value}, {key: row["trace_id"]})
        return _row(row["trace_id"], settings.stack, value)

    async with ChatClient(settings.endpoint, settings.key) as client:
        return await asyncio.gather(*(one(row, key) for row, key in zip(rows, keys, strict=True)))
