"""Synthetic traces: what people of a cluster might ask, written by a model from the cluster's terms and shape alone.

For where real traffic may not be used. The model sees words, turns, lengths and names of tools, never a text. Each
trace is marked as synthetic; samples, rounds and parity say so.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import httpx
import numpy as np
import pyarrow
from pydantic import ValidationError

from review.adapters.cache import Cache
from review.adapters.chat import Budget, ChatClient, Request
from review.domain import identity
from review.domain.pipeline import Endpoint
from review.domain.trace import Trace
from review.errors import BadInput, BadSettings, BudgetSpent, EndpointUnusable, ModelFailed
from review.services.asynchronous import to_the_end
from review.services.desk import Answer, Call, Desk
from review.services.workspace import Workspace
from review.settings import EvalConfig
from review.store import shapes as store
from review.store import traces as traces_store

pa: Any = pyarrow  # it carries no types
SOURCE = "synthetic"
_KIND = "synthesize"
_BATCH = 50
_LONGEST = 4000
Tell = Callable[[int, int], None]

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["turns"],
    "properties": {"turns": {"type": "array", "minItems": 1, "maxItems": 12, "items": {"type": "string"}}},
}
_TASK = (
    "You invent what people write to an assistant, so that it can be tested without real conversations. "
    "You get the words that mark a topic, and a shape. Write what one person says, turn by turn, as real people do: "
    "plain, specific, sometimes curt or misspelt. Invent names, numbers and addresses that belong to nobody. "
    'Answer with JSON alone: {"turns": ["...", "..."]}.'
)


@dataclass(frozen=True)
class Synthesized:
    """What a run made.

    Attributes:
        wanted: traces asked for, over all clusters.
        new: written now.
        present: stood already.
        failed: the model gave no usable answer; the next run tries again.
        cost_usd: of this run.
        served: who wrote them.
        stopped: why the run ended early, or None.
    """

    wanted: int
    new: int
    present: int
    failed: int
    cost_usd: float
    served: str
    stopped: str | None


@dataclass(frozen=True)
class _Job:
    """One trace to be written."""

    trace_id: str
    cluster_id: str
    request: Request


def writer(config: EvalConfig) -> Endpoint:
    """The model that writes: the judge's cheapest provider, else the old stack.

    The judge comes first, because traces in the manner of one of the two stacks would favour it.

    Raises:
        BadSettings: neither is configured.
    """
    if config.judges.providers:
        return min(config.judges.providers, key=lambda each: each.price.input + each.price.output)
    if config.endpoints is not None:
        return config.endpoints.old
    raise BadSettings(
        "Nobody can write synthetic traces: eval_config.judges.providers and eval_config.endpoints are both absent. "
        "Configure one of them."
    )


def synthesize(
    desk: Desk,
    per_cluster: int,
    seed: int = 7,
    tell: Tell | None = None,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Synthesized:
    """Write synthetic traces for every cluster that has real ones; what the same seed has written stays as it is.

    Args:
        desk: where clusters are and traces go.
        per_cluster: traces of each cluster.
        seed: which shapes are drawn, and which traces these are.
        tell: is told done and total.
        transport: in place of the network, for tests.

    Raises:
        BadInput: there are no clusters.
        BadSettings: no model is configured.
    """
    endpoint = writer(desk.settings.config)
    shapes = desk.ask("synthesize.shapes").document["clusters"]
    if not shapes:
        raise BadInput("There are no clusters to write traces for. Import traces and cluster them: `review cluster`.")
    jobs = [job for shape in shapes for job in _jobs(desk.key, shape, per_cluster, seed)]
    stand = _standing(desk, [job.trace_id for job in jobs])
    missing = [job for job in jobs if job.trace_id not in stand]
    cache = Cache(desk.settings.cache_file)
    try:
        run = _Run(desk, endpoint, cache, len(jobs), len(stand), tell)
        if missing:
            to_the_end(run.all(missing, transport))
    finally:
        cache.close()
    return Synthesized(len(jobs), run.new, len(stand), run.failed, run.cost, endpoint.model, run.stopped)


def _jobs(key: bytes, shape: Mapping[str, Any], count: int, seed: int) -> list[_Job]:
    """What is asked for one cluster: shapes are drawn from those of its real traces."""
    found: list[_Job] = []
    for number in range(count):
        said = f"synthetic\0{shape['cluster_id']}\0{seed}\0{number}".encode()
        digest = hmac.new(key, said, hashlib.sha256).hexdigest()
        rng = np.random.default_rng(int(digest[:16], 16))
        turns, size = shape["shapes"][int(rng.integers(len(shape["shapes"])))]
        tools = [name for name, share in shape["tools"] if rng.random() < share]
        found.append(
            _Job(f"synthetic-{digest[:32]}", shape["cluster_id"], _request(shape["terms"], turns, size, tools))
        )
    return found


def _request(terms: Sequence[str], turns: int, size: int, tools: Sequence[str]) -> Request:
    turns = max(1, min(turns, 12))
    words = max(3, round(min(size, _LONGEST) / 5.5))
    text = (
        f"Words of the topic: {', '.join(terms[:12])}.\nTurns of the person: {turns}.\n"
        f"Length of a turn: about {words} words.\n"
        + (f"The assistant has these tools at hand: {', '.join(tools)}.\n" if tools else "")
    )
    return Request(
        messages=[{"role": "system", "content": _TASK}, {"role": "user", "content": text}],
        parameters={"temperature": 1.0, "max_tokens": min(8000, 100 + 3 * words * turns)},
        response_schema=_SCHEMA,
        schema_name="turns",
        logprobs=False,
    )


def _standing(desk: Desk, ids: Sequence[str]) -> set[str]:
    """Which of the traces stand already."""
    found: set[str] = set()
    for start in range(0, len(ids), 1000):
        some = list(ids[start : start + 1000])
        table = desk.ask("traces.read", {"ids": some, "columns": ["trace_id"]}).table
        found.update(cast("list[str]", table.column("trace_id").to_pylist()) if table is not None else [])
    return found


class _Run:
    """Asks for all missing traces at once, as the endpoint's limits allow, and hands them in by the batch."""

    def __init__(
        self, desk: Desk, endpoint: Endpoint, cache: Cache, total: int, present: int, tell: Tell | None
    ) -> None:
        self.desk, self.endpoint, self.cache, self.tell = desk, endpoint, cache, tell
        self.total, self.done = total, present
        self.new = self.failed = 0
        self.cost = 0.0
        self.stopped: str | None = None
        self.rows: list[dict[str, Any]] = []

    async def all(self, jobs: Sequence[_Job], transport: httpx.AsyncBaseTransport | None) -> None:
        http = httpx.AsyncClient(transport=transport) if transport else None
        async with ChatClient(self.endpoint, budget=Budget(None), http=http) as client:
            try:
                async with asyncio.TaskGroup() as group:
                    for job in jobs:
                        group.create_task(self._one(client, job))
            except* (EndpointUnusable, BudgetSpent) as stopped:
                self.stopped = str(stopped.exceptions[0])
        if http is not None:
            await http.aclose()
        self._hand_in()

    async def _one(self, client: ChatClient, job: _Job) -> None:
        kept = self.cache.get(_KIND, [job.trace_id]).get(job.trace_id)
        if kept is None:
            try:
                completion = await client.complete(job.request)
            except EndpointUnusable:
                raise
            except ModelFailed:
                self.failed += 1
                self._tick()
                return
            self.cost += completion.cost_usd
            kept = (completion.output.content or "").encode()
            if turns_of(kept):
                # What was paid for is kept before anything else can go wrong.
                self.cache.put(_KIND, {job.trace_id: kept}, {job.trace_id: job.trace_id})
        turns = turns_of(kept)
        if not turns:
            self.failed += 1
        else:
            self.rows.append(_row(self.desk.key, job, turns))
            if len(self.rows) >= _BATCH:
                self._hand_in()
        self._tick()

    def _hand_in(self) -> None:
        rows, self.rows = self.rows, []
        if rows:
            table = pa.Table.from_pylist(rows, traces_store.SCHEMA)
            self.new += int(self.desk.ask("traces.put", {}, table).document["new"])

    def _tick(self) -> None:
        self.done += 1
        if self.tell:
            self.tell(self.done, self.total)


def turns_of(answer: bytes) -> list[str]:
    """What the person says, out of the model's answer; empty where it is not in the asked-for form."""
    try:
        document = json.loads(answer)
    except ValueError:
        return []
    turns = cast("dict[str, Any]", document).get("turns") if isinstance(document, dict) else None
    if not isinstance(turns, list):
        return []
    said = [each.strip() for each in cast("list[Any]", turns) if isinstance(each, str) and each.strip()]
    return said[:12] if len(said) == len(cast("list[Any]", turns)) else []


def _row(key: bytes, job: _Job, turns: Sequence[str]) -> dict[str, Any]:
    """A trace of store.traces.SCHEMA. Only the person's turns are there; the stacks answer the last one."""
    messages = [{"role": "user", "content": text} for text in turns]
    try:
        Trace.model_validate({"messages": messages})
    except ValidationError as error:  # our own words around a checked list
        raise BadInput("A synthetic trace is not in order.") from error
    document = {"messages": messages}
    return {
        **dict.fromkeys(traces_store.SCHEMA.names),
        "trace_id": job.trace_id,
        "content_hash": identity.trace_hash(key, identity.canonical(document)),
        "prompt_id": identity.prompt_id(key, document),
        "source": SOURCE,
        "messages": json.dumps(messages, ensure_ascii=False),
        "metadata": json.dumps({"cluster": job.cluster_id}),
        "happened_at": datetime.now(UTC),
        "synthetic": True,
        "redactions": "{}",
    }


def shapes(workspace: Workspace, _call: Call) -> Answer:
    """Operation synthesize.shapes: terms and shapes of the clusters, without any text."""
    return Answer({"clusters": [each.__dict__ for each in store.cluster_shapes(workspace.database.cursor())]})
