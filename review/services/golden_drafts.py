"""Drafts of golden items for clusters that nothing tests: real or synthetic prompts, reference and rubric by a model.

A draft counts for nothing until a person accepts it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx

from review.adapters.cache import Cache
from review.adapters.chat import Budget, ChatClient, Request
from review.domain import golden as rules
from review.domain.golden import Item
from review.domain.identity import canonical
from review.domain.pipeline import Endpoint
from review.errors import BadInput, BudgetSpent, EndpointUnusable, ModelFailed
from review.services import coverage, golden, strip
from review.services.asynchronous import to_the_end
from review.services.desk import Answer, Call, Desk
from review.services.replay import Progress
from review.services.synthesize import writer
from review.services.workspace import Workspace
from review.store import golden as store

_KIND = "golden_draft"
# Drafts that one run makes at most: a person reads each of them.
_MOST = 1000
Tell = Callable[[Progress], None]


@dataclass(frozen=True)
class Drafted:
    """What a run made.

    Attributes:
        clusters: with traffic that neither golden set nor eval suite touches.
        wanted: drafts that were still to be made for them.
        new: made now, waiting for a person.
        failed: the model gave no usable answer; the next run tries again.
        waiting: drafts that wait for a person in all.
        cost_usd: of this run.
        model: who wrote references and rubric items.
        stopped: why the run ended early, or None.
    """

    clusters: int
    wanted: int
    new: int
    failed: int
    waiting: int
    cost_usd: float
    model: str
    stopped: str | None


def draft(
    desk: Desk,
    per_cluster: int,
    *,
    synthetic: bool = False,
    tell: Tell | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Drafted:
    """Draft items for every cluster that nothing tests; what was drafted for it before, rejected or not, stays so.

    A prompt is the trace nearest to the cluster's centre that is no item yet. Reference and rubric items come from the
    judge's cheapest provider; each reply is kept the moment it arrives and never paid for twice.

    Args:
        desk: where clusters are and drafts go.
        per_cluster: waiting drafts that a cluster should have.
        synthetic: of synthetic traces (`review synthesize`), where real traffic may not be used.
        tell: told how far it is.
        transport: in place of the network, for tests.

    Raises:
        BadInput: there are no clusters.
        BadSettings: no model is configured.
    """
    endpoint = writer(desk.settings.config)
    gaps = desk.ask("golden.gaps", {"per_cluster": per_cluster, "synthetic": synthetic}).document
    if not gaps["clusters"]:
        raise BadInput("There are no clusters to draft items for. Import traces and cluster them: review cluster.")
    cache = Cache(desk.settings.cache_file)
    run = _Run(cache, endpoint.model, gaps["prompts"], tell)
    try:
        if gaps["prompts"]:
            to_the_end(run.all(endpoint, Budget(desk.settings.config.judges.budget_usd), transport))
    finally:
        cache.close()
    settings, new = strip.settings_at(desk), 0
    for start in range(0, len(run.items), 100):
        some = run.items[start : start + 100]
        new += int(desk.ask("golden.put", {}, golden.stripped(some, desk.key, settings)).document["new"])
    left = desk.ask("golden.count", {"state": "draft"}).document["count"]
    return Drafted(
        gaps["untested"], len(gaps["prompts"]), new, run.failed, int(left), run.cost, endpoint.model, run.stopped
    )


class _Run:
    """Asks for all drafts, as many at a time as the endpoint allows."""

    def __init__(self, cache: Cache, model: str, prompts: Sequence[Mapping[str, Any]], tell: Tell | None) -> None:
        self.cache, self.model, self.prompts, self.tell = cache, model, prompts, tell
        self.items: list[tuple[Item, dict[str, Any]]] = []
        self.failed = self.done = 0
        self.cost = 0.0
        self.stopped: str | None = None

    async def all(self, endpoint: Endpoint, budget: Budget, transport: httpx.AsyncBaseTransport | None) -> None:
        following = iter(self.prompts)

        async def work(client: ChatClient) -> None:
            while self.stopped is None and (prompt := next(following, None)) is not None:
                await self._one(client, prompt)
                self.done += 1
                if self.tell is not None:
                    self.tell(Progress(self.done, len(self.prompts), self.cost))

        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(httpx.AsyncClient(transport=transport)) if transport else None
            client = await stack.enter_async_context(ChatClient(endpoint, budget=budget, http=http))
            async with asyncio.TaskGroup() as group:
                for _ in range(endpoint.concurrency):
                    group.create_task(work(client))

    async def _one(self, client: ChatClient, prompt: Mapping[str, Any]) -> None:
        asked = rules.ask_draft(prompt["messages"])
        key = hashlib.sha256(canonical([self.model, asked, rules.DRAFT_SCHEMA]).encode()).hexdigest()
        kept = self.cache.get(_KIND, [key]).get(key)
        if kept is None:
            request = Request(
                messages=asked,
                parameters={"temperature": 0.3, "max_tokens": rules.DRAFT_TOKENS},
                response_schema=rules.DRAFT_SCHEMA,
                schema_name="golden_item",
                logprobs=False,
            )
            try:
                completion = await client.complete(request)
            except (EndpointUnusable, BudgetSpent) as error:
                self.stopped = str(error)
                return
            except ModelFailed:
                self.failed += 1
                return
            self.cost += completion.cost_usd
            kept = (completion.output.content or "").encode("utf-8", "replace")
            if rules.read_draft(kept.decode()) is not None:
                # What was paid for is kept before anything else can go wrong.
                self.cache.put(_KIND, {key: kept}, {key: prompt["trace_id"]})
        if (read := rules.read_draft(kept.decode())) is None:
            self.failed += 1
            return
        reference, rubric = read
        item = Item.model_validate(
            {
                "item_id": prompt["item_id"],
                "task": prompt["task"],
                "messages": prompt["messages"],
                "tools": prompt["tools"],
                "reference": reference,
                "rubric": [{"item": each} for each in rubric],
            }
        )
        more = {name: prompt[name] for name in ("prompt_id", "trace_id", "cluster_id", "synthetic")}
        self.items.append((item, {**more, "source": "draft", "kind": "drafted", "model": self.model}))


# What follows is asked through a desk.


def gaps(workspace: Workspace, call: Call) -> Answer:
    """Operation golden.gaps: what to draft. {per_cluster, synthetic} gives {clusters, untested, prompts}."""
    per_cluster, synthetic = int(call.arguments["per_cluster"]), bool(call.arguments["synthetic"])
    report = coverage.report(workspace)
    standing = golden.standings(workspace)
    cursor = workspace.database.cursor()
    drafts = store.drafted(cursor)
    waiting: dict[str, int] = {}
    for item_id, (cluster, _) in drafts.items():
        if cluster is not None and item_id in standing and standing[item_id].state == "draft":
            waiting[cluster] = waiting.get(cluster, 0) + 1
    taken = {prompt for _, prompt in drafts.values()}
    frozen = store.versions(cursor)
    touched = set[str | None]()
    if frozen:
        touched = set(store.by_cluster(cursor, list(store.held(cursor, frozen[-1].version).values())))
    untested = [each for each in report.untested if each.cluster_id not in touched]
    prompts: list[dict[str, Any]] = []
    for each in untested:
        wanted = per_cluster - waiting.get(each.cluster_id, 0)
        if wanted < 1 or len(prompts) >= _MOST:
            continue
        rows = store.nearest(cursor, each.cluster_id, wanted + len(taken), synthetic=synthetic)
        fresh = [row for row in rows if row["prompt_id"] not in taken][:wanted]
        prompts += [
            {
                **row,
                "item_id": _item_id(workspace.key, row["trace_id"]),
                "messages": json.loads(row["messages"]),
                "tools": None if row["tools"] is None else json.loads(row["tools"]),
                "cluster_id": each.cluster_id,
                "synthetic": synthetic,
            }
            for row in fresh
        ]
    return Answer({"clusters": len(report.clusters), "untested": len(untested), "prompts": prompts})


def count(workspace: Workspace, call: Call) -> Answer:
    """Operation golden.count: how many items are in a {state}."""
    state = call.arguments["state"]
    return Answer({"count": sum(each.state == state for each in golden.standings(workspace).values())})


def _item_id(key: bytes, trace_id: str) -> str:
    return "golden-" + hmac.new(key, f"golden {trace_id}".encode(), hashlib.sha256).hexdigest()[:16]
