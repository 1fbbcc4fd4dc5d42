"""Asking one endpoint any list of prompts: within its limits, every answer kept as it arrives, none paid for twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from review.adapters.cache import Cache
from review.adapters.chat import ChatClient
from review.domain.identity import canonical
from review.domain.pipeline import Endpoint
from review.domain.stack import stack_id
from review.domain.types import Output
from review.errors import BadInput, BudgetSpent, EndpointUnusable, ModelFailed
from review.services.asynchronous import to_the_end
from review.services.desk import Desk
from review.services.replay import GIVE_UP, OWN_FAULT, Progress, answer, first_error

KIND = "ask"
# Keys looked up at once.
_PAGE = 1000


@dataclass(frozen=True)
class Prompt:
    """One question.

    Attributes:
        id: the caller's; answers carry it. Each (id, repeat) once.
        messages: OpenAI chat format.
        tools: the same.
        parameters: of the request; the endpoint's own win.
        repeat: 0, or the number of a further asking of the same: another answer is drawn and kept.
        owner: what is erased together with the answer (a trace's, pair's or entry's id); the id by default.
    """

    id: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] | None = None
    parameters: Mapping[str, Any] | None = None
    repeat: int = 0
    owner: str | None = None


@dataclass(frozen=True)
class Answer:
    """What came of one prompt.

    Attributes:
        output: None where there is none.
        failed: the kind of failure (review.errors.ModelFailed), or "not_asked" where asking stopped before; else None.
        served: the model that answered, as the server said.
        cost_usd: what the answer cost, whenever it was asked for; 0 where another prompt of the list paid for it.
        kept: it was asked for earlier.
    """

    id: str
    repeat: int
    output: Output | None
    failed: str | None = None
    served: str | None = None
    cost_usd: float = 0.0
    kept: bool = False


@dataclass
class Answers:
    """All that came back, one answer a prompt in the order of the prompts.

    Attributes:
        asked: answers that came in this call; identical prompts are asked once.
        kept: answers that were there already.
        failed: failures by kind.
        cost_usd: spent in this call.
        stopped: why asking stopped before its end, in a sentence; None where it did not.
        dropped: parameters that the server does not take.
    """

    answers: list[Answer] = field(default_factory=list["Answer"])
    asked: int = 0
    kept: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    cost_usd: float = 0.0
    stopped: str | None = None
    dropped: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    @property
    def whole(self) -> bool:
        """Nothing is missing that asking again could bring: what failed, failed by the prompt's own fault."""
        return self.stopped is None and not set(self.failed) - OWN_FAULT - {"bad_request"}


def answers(
    desk: Desk,
    endpoint: Endpoint,
    prompts: Iterable[Prompt],
    tell: Callable[[Progress], None] | None = None,
    *,
    name: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Answers:
    """Ask an endpoint every prompt. What it answered before is not asked again; what failed is.

    Not inside a running event loop. Each answer is in the cache beside the database the moment it arrives, so that even
    SIGKILL loses none. The cache's key is everything that shapes the answer (domain.stack.stack_id, messages, tools,
    parameters) and the repeat's number, not the id.

    Args:
        desk: for its settings; nothing is asked of the database.
        endpoint: of the configuration.
        prompts: any number.
        tell: told how far it is.
        name: how errors speak of the endpoint, as in endpoints.new.
        environ: where the key is looked up.

    Raises:
        BadSettings: the endpoint's key is not in the environment.
        BadInput: a prompt comes twice.
    """
    listed = list(prompts)
    names = Counter((each.id, each.repeat) for each in listed)
    if twice := [each for each, count in names.items() if count > 1]:
        raise BadInput(
            f"Prompt {twice[0][0][:60]!r}, repeat {twice[0][1]}, comes {names[twice[0]]} times; once is meant."
        )
    stack = stack_id(endpoint)
    keys = [key_of(stack, each) for each in listed]
    cache = Cache(desk.settings.cache_file)
    try:
        run = _Run(cache, tell, dict(zip(keys, listed, strict=True)))
        to_the_end(run.all(endpoint, name or endpoint.model, environ))
    finally:
        cache.close()
    run.report.answers = list(_collected(listed, keys, run))
    return run.report


def key_of(stack: str, prompt: Prompt) -> str:
    """Where an answer is kept."""
    said = [stack, list(prompt.messages), prompt.tools and list(prompt.tools), prompt.parameters, prompt.repeat]
    return hashlib.sha256(canonical(said).encode("utf-8", "surrogatepass")).hexdigest()


def kept(cache: Cache, stack: str, prompt: Prompt) -> Output | None:
    """What a stack (domain.stack.stack_id) answered to a prompt; None where nothing is kept."""
    key = key_of(stack, prompt)
    value = cache.get(KIND, [key]).get(key)
    return None if value is None else Output.model_validate(json.loads(value)["output"])


def _collected(listed: Sequence[Prompt], keys: Sequence[str], run: _Run) -> Iterator[Answer]:
    paid: set[str] = set()
    for prompt, key in zip(listed, keys, strict=True):
        if (value := run.values.get(key)) is None:
            yield Answer(prompt.id, prompt.repeat, None, run.failures.get(key, "not_asked"))
            continue
        said = json.loads(value)
        cost = 0.0 if key in paid else float(said["cost_usd"])
        paid.add(key)
        output = Output.model_validate(said["output"])
        yield Answer(prompt.id, prompt.repeat, output, None, said["served"], cost, key in run.known)


class _Run:
    """One call: what is known, what is asked, and when to give up."""

    def __init__(self, cache: Cache, tell: Callable[[Progress], None] | None, wanted: Mapping[str, Prompt]) -> None:
        self.cache, self.tell, self.wanted = cache, tell, wanted
        self.report = Answers()
        self.values: dict[str, bytes] = {}
        self.failures: dict[str, str] = {}
        self._in_a_row = 0
        keys = list(wanted)
        for start in range(0, len(keys), _PAGE):
            self.values |= cache.get(KIND, keys[start : start + _PAGE])
        self.known = set(self.values)
        self.report.kept = len(self.known)

    async def all(self, endpoint: Endpoint, name: str, environ: Mapping[str, str]) -> None:
        """Ask for everything that is missing, as many at a time as the endpoint allows."""
        missing = iter([(key, prompt) for key, prompt in self.wanted.items() if key not in self.values])
        async with ChatClient(endpoint, name=name, environ=environ) as client:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(endpoint.concurrency):
                        group.create_task(self._work(client, missing))
            except ExceptionGroup as several:
                raise first_error(several) from None
            finally:
                self.report.cost_usd = client.spent.spent
                self.report.dropped = tuple(sorted(client.dropped))

    async def _work(self, client: ChatClient, missing: Iterator[tuple[str, Prompt]]) -> None:
        while self.report.stopped is None and (following := next(missing, None)) is not None:
            await self._ask(client, *following)
            if self.tell is not None:
                done = len(self.values) + len(self.failures)
                self.tell(Progress(done, len(self.wanted), client.spent.spent))

    async def _ask(self, client: ChatClient, key: str, prompt: Prompt) -> None:
        row = {
            "messages": json.dumps(list(prompt.messages)),
            "tools": json.dumps(list(prompt.tools)) if prompt.tools else None,
            "parameters": json.dumps(dict(prompt.parameters)) if prompt.parameters else None,
        }
        try:
            value = await answer(client, row, lambda: datetime.now(UTC))
        except BudgetSpent as error:
            self.report.stopped = str(error)
            return
        except ModelFailed as error:
            self._fail(key, error)
            return
        # From here on it survives the process.
        self.cache.put(KIND, {key: value}, {key: prompt.owner or prompt.id})
        self.values[key] = value
        self.report.asked += 1
        self._in_a_row = 0

    def _fail(self, key: str, error: ModelFailed) -> None:
        self.failures[key] = error.kind
        self.report.failed[error.kind] += 1
        self._in_a_row += error.kind not in OWN_FAULT
        if isinstance(error, EndpointUnusable):
            self.report.stopped = str(error)
        elif self._in_a_row >= GIVE_UP:
            self.report.stopped = f"{GIVE_UP} requests in a row failed, the last because {error}"
