"""`review judge`: compare structured parts, ask judges about the rest, keep every verdict, pay for none twice.

The command's own process computes; facts are read and handed in through a desk, in batches.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np

from review.adapters.cache import Cache
from review.domain.judge_prompt import read_preference, read_same_arguments
from review.domain.types import Pair, Side
from review.errors import BudgetSpent
from review.services.asynchronous import to_the_end
from review.services.compare import compare_stage
from review.services.desk import Desk
from review.services.engine import run_stage
from review.services.judge_calls import (
    Client,
    Job,
    Judged,
    JudgeDown,
    JudgeSettings,
    Judging,
    NotJudged,
    Reply,
    open_clients,
)
from review.services.judge_facts import EXACT, MOST_ORIGINALS, verdict_word, ways
from review.services.near_duplicates import Originals, Parts, Vectors, parts, split

Row = dict[str, Any]
# The columns of judge_call beside its key.
_CALL = (
    *("run_id", "pair_id", "purpose", "provider", "served", "input_tokens", "output_tokens"),
    *("cost_usd", "latency_ms", "attempts", "called_at"),
)

PAGE = 200
# Finished pairs between two batches handed in, and seconds.
_BATCH, _SECONDS = 50, 2.0


@dataclass(frozen=True)
class Standing:
    """How far a run is: pairs done of `total`, calls made, US dollars spent."""

    done: int
    total: int
    calls: int
    cost_usd: float


Tell = Callable[[Standing], None]


@dataclass
class Report:
    """What a run did.

    Attributes:
        run_id: None when nothing was asked.
        sample: The sample whose pairs were judged; None for all pairs.
        pairs: Chosen, without identical ones.
        identical: Pairs with nothing to compare.
        already: Judged before.
        judged: Verdicts made in this run.
        structured: Structured comparisons made in this run that left no text to judge, or differ.
        exact_hits: Verdicts from replies that were there already.
        semantic_hits: Verdicts of near-duplicates.
        failed: Pairs that could not be judged, by kind.
        calls: Calls made now.
        cost_usd: What they cost.
        saved_usd: What verdicts from the cache would have cost.
        vectors_usd: Paid for vectors to find near-duplicates by; None where this machine makes them, or none were made.
        left: Pairs not judged yet.
        reason: Why it ended: done, limit, budget, no_provider.
        why: The last two in a sentence.
        semantic: Whether the semantic cache answered, and why not.
        verdicts: Verdicts of this run, by judge.
        totals: Structured outcomes, costs by run and week, warnings, as the database has them.
    """

    run_id: str | None
    sample: str | None
    pairs: int
    identical: int
    already: int
    judged: int = 0
    structured: int = 0
    exact_hits: int = 0
    semantic_hits: int = 0
    failed: dict[str, int] = field(default_factory=dict[str, int])
    calls: int = 0
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    vectors_usd: float | None = None
    left: int = 0
    reason: str = "done"
    why: str = ""
    semantic: str = ""
    verdicts: dict[str, int] = field(default_factory=dict[str, int])
    totals: Row = field(default_factory=dict[str, Any])


def judge(
    desk: Desk,
    *,
    sample: str | None = None,
    everything: bool = False,
    limit: int | None = None,
    tell: Tell | None = None,
    clients: Mapping[str, Client] | None = None,
) -> Report:
    """Judge what is not judged yet; a second run of the same pairs makes no call.

    Args:
        desk: Where facts are.
        sample: Only pairs of this sample; without it and `everything`, the newest sample that has pairs, else all.
        everything: All pairs.
        limit: Pairs to take up at most.
        tell: Told how far it is.
        clients: By provider name; made from the configuration by default.

    Raises:
        NotFound: there is no such sample.
        BadSettings: a provider's key is not in the environment.
    """
    known = ways(desk.settings.config)
    seen = {**known, **desk.ask("judge.look", {**known, "sample": sample, "all": everything}).document}
    report = Report(
        run_id=None,
        sample=seen["sample"],
        pairs=seen["chosen"],
        identical=seen["identical"],
        already=seen["done"],
        semantic=seen["semantic"]["why"],
    )
    if seen["chosen"] > seen["done"]:
        to_the_end(_Run(desk, known, seen, report, limit, tell).main(clients))
        after = desk.ask("judge.look", {**known, "sample": seen["sample"], "all": seen["sample"] is None}).document
        report.left = after["chosen"] - after["done"]
    report.totals = desk.ask("judge.totals", {"sample": seen["sample"]}).document
    return report


@dataclass(frozen=True)
class _Verdict:
    """What a near-duplicate can take over: the rows of the votes, the model that served, the word, the cost."""

    rows: tuple[Row, ...]
    served: str
    word: str
    cost_usd: float


class _Run:
    """One run over pages of pairs. Everything happens on one event loop."""

    def __init__(self, desk: Desk, known: Row, seen: Row, report: Report, limit: int | None, tell: Tell | None) -> None:
        self.desk, self.known, self.seen, self.report, self.limit, self.tell = desk, known, seen, report, limit, tell
        self.judges = desk.settings.config.judges
        self.rows: dict[str, list[Row]] = {}
        self.finished = 0
        self.taken = 0
        self.flushed_at = 0.0
        self.stopped: str | None = None
        self.verdicts: dict[str, asyncio.Future[_Verdict | None]] = {}
        self.own_turn: set[str] = set()
        self.anchors: list[str] = []
        self.originals: Originals | None = None
        self.documents: dict[str, str] = {}

    async def main(self, clients: Mapping[str, Client] | None) -> None:
        """Judge page by page."""
        if not self.judges.providers:
            await self._pages(None)
            if self.seen["chosen"] > self.seen["done"] + self.report.structured:
                self.report.reason = "no_provider"
                self.report.why = "No provider of a judge is configured (judges.providers), so no text was judged."
            return
        begun = self.desk.ask("judge.begin", self.known).document
        self.report.run_id, self.anchors = begun["run_id"], begun["anchors"]
        settings = JudgeSettings(
            judges=self.judges,
            rubric=self.desk.settings.config.rubric,
            cache_file=self.desk.settings.cache_file,
            run_id=begun["run_id"],
            spent_usd=begun["spent_usd"],
        )
        cache = Cache(settings.cache_file)
        try:
            async with AsyncExitStack() as stack:
                asked = clients or await open_clients(stack, self.judges, begun["spent_usd"])
                judging = Judging(settings, asked, cache)
                await self._load_originals(cache)
                await self._anchors(judging, begun["anchors_judged"])
                await self._pages(judging, cache)
        finally:
            cache.close()
        reason = self.stopped or ("limit" if self.limit is not None and self.taken >= self.limit else "done")
        self.report.reason = reason
        # A run that could not go on stays open: the next one takes it up, with its budget and its anchors.
        if reason in ("done", "limit"):
            self.desk.ask("judge.end", {"run_id": begun["run_id"], "reason": reason, "semantic": self.report.semantic})

    async def _pages(self, judging: Judging | None, cache: Cache | None = None) -> None:
        """Take up pairs in the order of their ids; a page is read when the one before is nearly done."""
        after, pending = "", set[asyncio.Task[None]]()
        # Enough pairs at once to keep every provider busy with votes.
        window = asyncio.Semaphore(max(1, sum(each.concurrency for each in self.judges.providers)))
        while self.stopped is None and (size := self._room()) > 0:
            page = self.desk.ask(
                "judge.todo", {**self.known, "sample": self.seen["sample"], "after": after, "limit": size}
            ).table
            if page is None or page.num_rows == 0:
                break
            after = page.column("pair_id")[-1].as_py()
            self.taken += page.num_rows
            jobs = await self._compared(page, judging)
            if judging is not None:
                work = await self._matched(jobs, cache)
                pending |= {asyncio.create_task(self._one(window, judging, each)) for each in work}
                while len(pending) > PAGE // 2:
                    finished, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    for each in finished:
                        each.result()  # whatever was not expected is not passed over
            await self._flush(judging)
        await asyncio.gather(*pending)
        await self._flush(judging)

    def _room(self) -> int:
        return PAGE if self.limit is None else min(PAGE, self.limit - self.taken)

    async def _compared(self, page: Any, judging: Judging | None) -> list[_Work]:
        """Write the structured outcomes of a page, and return what a judge has to be asked."""
        outcomes = next(iter(run_stage(compare_stage, [page], None, workers=0)))
        asks = judging is not None and self.known["version"] != EXACT
        work: list[_Work] = []
        for pair, found in zip(page.to_pylist(), outcomes.to_pylist(), strict=True):
            item = _Work(Pair.model_validate_json(pair["document"]), pair["document"], pair["exempt"], pair["anchor"])
            if found["outcome"] is None:
                work.append(item)
                continue
            item.found, item.exempt = found, True
            unsure = asks and found["outcome"] == "other_arguments"
            if unsure or self._structured(item, None, None):
                work.append(item)
            else:
                self._done()
        return work

    def _structured(self, item: _Work, same: bool | None, served: str | None) -> bool:
        """Note a structured outcome; True where a text is left to judge."""
        found = item.found
        assert found is not None
        equal = found["outcome"] == "same" or bool(same)
        self._add(
            "structured",
            pair_id=item.pair_id,
            version=self.known["version"],
            outcome=found["outcome"],
            differs=not equal or found["otherwise"],
            settled=equal and not found["text_differs"],
            detail=found["detail"],
            served=served,
            arguments_same=same,
        )
        item.found = None
        if equal and found["text_differs"]:
            return True
        self.report.structured += 1
        return False

    async def _matched(self, work: Sequence[_Work], cache: Cache | None) -> Sequence[_Work]:
        """Give each pair that may have one its nearest original; the others become originals themselves."""
        mine = [each for each in work if not each.exempt]
        if self.originals is None or not mine or cache is None:
            return work
        named = [parts(each.pair) for each in mine]
        vectors = await asyncio.to_thread(self._embed, cache, named, [each.pair_id for each in mine])
        known: dict[str, list[_Work]] = {}
        for item, part, vector in zip(mine, named, vectors, strict=True):
            item.original = self.originals.nearest(part.shape, vector)
            if item.original is None:
                self.originals.add(item.pair_id, part.shape, vector)
                self.documents[item.pair_id] = item.document
                self.verdicts[item.pair_id] = asyncio.get_running_loop().create_future()
            elif item.original not in self.verdicts:
                known.setdefault(item.original, []).append(item)
        for original, verdict in self._earlier(list(known)).items():
            future: asyncio.Future[_Verdict | None] = asyncio.get_running_loop().create_future()
            future.set_result(verdict)
            self.verdicts[original] = future
        return work

    def _earlier(self, pair_ids: list[str]) -> dict[str, _Verdict | None]:
        """Verdicts of earlier runs."""
        found: dict[str, list[Row]] = {}
        if pair_ids:
            for row in self.desk.ask("judge.votes", {**self.known, "pair_ids": pair_ids}).document["votes"]:
                found.setdefault(row["pair_id"], []).append(row)
        verdicts: dict[str, _Verdict | None] = dict.fromkeys(pair_ids)
        for pair_id, rows in found.items():
            votes = tuple({k: v for k, v in row.items() if k not in ("judge", "served", "paid")} for row in rows)
            verdicts[pair_id] = _Verdict(votes, rows[0]["served"], _word(votes), rows[0]["paid"])
        return verdicts

    async def _one(self, window: asyncio.Semaphore, judging: Judging, item: _Work) -> None:
        """Everything about one pair. A pair that cannot be judged is noted, and the run goes on."""
        future = self.verdicts.get(item.pair_id) if item.original is None else None
        try:
            async with window:
                if self.stopped is None:
                    await self._judged(judging, item)
        except NotJudged as error:
            self._failed(item.pair_id, error.kind)
        except JudgeDown as error:
            self.stopped, self.report.why = "no_provider", str(error)
        except BudgetSpent as error:
            self.stopped, self.report.why = "budget", str(error)
        finally:
            if future is not None and not future.done():
                future.set_result(None)
        await self._maybe_flush(judging)

    async def _judged(self, judging: Judging, item: _Work) -> None:
        if item.found is not None:
            judged = await judging.judge(Job(item.pair_id, item.pair, "arguments"))
            read = [read_same_arguments(reply.text) for _, reply in judged.votes]
            # Both orders have to say so; in doubt they are not the same.
            same = None if all(each is None for each in read) else all(each is not None and each.same for each in read)
            self._calls(judged.paid)
            if not self._structured(item, same, judged.served):
                self._done()
                return
        if item.original is not None and await self._from_cache(judging, item):
            return
        judged = await judging.judge(Job(item.pair_id, item.pair, "vote"))
        self._verdict(item, judged)

    async def _from_cache(self, judging: Judging, item: _Work) -> bool:
        """Take over the original's verdict; or judge for the audit what it would have been worth."""
        assert item.original is not None
        verdict = await asyncio.shield(self.verdicts[item.original])
        if verdict is None or verdict.word == "unparsable":
            return False
        audited = _share(item.pair_id) < self.judges.cache.audit_share
        if self.seen["semantic"]["on"] and not audited:
            for row in verdict.rows:
                self._add("votes", **{**row, "pair_id": item.pair_id, "served": verdict.served, "cost_usd": 0.0})
            self._comparison(item.pair_id, verdict.served, "semantic", item.original, 0.0, verdict.cost_usd)
            self.report.semantic_hits += 1
            return True
        judged = await judging.judge(Job(item.pair_id, item.pair, "vote"))
        fresh = self._verdict(item, judged)
        if judged.served != verdict.served:
            return True  # another model's verdict says nothing about this cache
        again: str | None = None
        if audited:
            again = await self._again(judging, item.original)
        self._add(
            "audits",
            pair_id=item.pair_id,
            served=judged.served,
            original=item.original,
            cached=verdict.word,
            fresh=fresh.word,
            again=again,
        )
        return True

    async def _again(self, judging: Judging, original: str) -> str | None:
        """The original's verdict when it is simply asked for again, in the same orders."""
        if original not in self.documents:
            self.documents.update(self.desk.ask("judge.documents", {"pair_ids": [original]}).document)
        pair = Pair.model_validate_json(self.documents[original])
        job = Job(original, pair, "audit", salt=f"audit {self.report.run_id}")
        judged = await judging.judge(job)
        self._calls(judged.paid)
        return _word(_vote_rows(judged))

    def _verdict(self, item: _Work, judged: Judged) -> _Verdict:
        rows = _vote_rows(judged)
        verdict = _Verdict(tuple(rows), judged.served, _word(rows), judged.cost_usd)
        for row in rows:
            self._add("votes", **row, served=judged.served)
        if item.anchor:
            self._anchor_votes(judged, rows)
        source = "asked" if judged.asked else "exact"
        self.report.exact_hits += source == "exact"
        self._comparison(item.pair_id, judged.served, source, None, judged.cost_usd, judged.saved_usd)
        self._calls(judged.paid)
        if (future := self.verdicts.get(item.pair_id)) is not None and not future.done():
            future.set_result(verdict)
        return verdict

    def _comparison(
        self, pair_id: str, served: str, source: str, original: str | None, cost_usd: float, saved_usd: float
    ) -> None:
        self._add(
            "comparisons",
            pair_id=pair_id,
            served=served,
            source=source,
            original=original,
            cost_usd=cost_usd,
            saved_usd=saved_usd,
        )
        self.report.judged += 1
        self.report.saved_usd += saved_usd
        self.report.verdicts[served] = self.report.verdicts.get(served, 0) + 1
        self._done()

    async def _anchors(self, judging: Judging, judged_before: Sequence[str]) -> None:
        """Judge the anchors anew; those that this run judges for the first time are judged with the others."""
        wanted = [each for each in self.anchors if each in set(judged_before)]
        if not wanted:
            return
        found = self.desk.ask("judge.documents", {"pair_ids": wanted}).document
        work = [_Work(Pair.model_validate_json(found[each]), found[each], True, True) for each in wanted]

        async def one(item: _Work) -> None:
            try:
                job = Job(item.pair_id, item.pair, "anchor", salt=f"anchor {self.report.run_id}")
                judged = await judging.judge(job)
            except NotJudged as error:
                self._failed(item.pair_id, error.kind)
            except JudgeDown as error:
                self.stopped, self.report.why = "no_provider", str(error)
            except BudgetSpent as error:
                self.stopped, self.report.why = "budget", str(error)
            else:
                self._anchor_votes(judged, _vote_rows(judged))
                self._calls(judged.paid)

        await asyncio.gather(*(one(each) for each in work))
        await self._flush(judging)

    def _anchor_votes(self, judged: Judged, rows: Iterable[Row]) -> None:
        for row in rows:
            names = ("pair_id", "vote", "shown_first", "winner")
            self._add("anchor_votes", **{name: row[name] for name in names}, served=judged.served)

    async def _load_originals(self, cache: Cache) -> None:
        """The pairs whose verdicts may answer for near-duplicates; their vectors mostly stand in the cache."""
        if not self.judges.cache.semantic:
            return
        self.originals = Originals(self.judges.cache.threshold)
        after, loaded = "", 0
        while loaded < MOST_ORIGINALS:
            found = self.desk.ask("judge.originals", {**self.known, "after": after, "limit": 500}).document
            if found["last"] is None:
                break
            after, ids = found["last"], list(found["documents"])
            loaded += len(ids)
            named = [parts(Pair.model_validate_json(found["documents"][each])) for each in ids]
            vectors = await asyncio.to_thread(self._embed, cache, named, ids)
            for pair_id, part, vector in zip(ids, named, vectors, strict=True):
                self.originals.add(pair_id, part.shape, vector)

    def _embed(self, cache: Cache, named: Sequence[Parts], pair_ids: Sequence[str]) -> list[Vectors]:
        """One array a pair, shape (pieces, dimensions)."""
        from review.adapters.embedding import embed, open_encoder

        if not hasattr(self, "_encoder"):
            self._encoder = open_encoder(self.desk.settings.config.embedding)
        texts = [text for each in named for text in each.texts]
        owners = [pair_id for pair_id, each in zip(pair_ids, named, strict=True) for _ in each.texts]
        made = embed(self._encoder, cache, self.desk.key, texts, owners).vectors
        self.report.vectors_usd = self._encoder.cost_usd
        return split(np.asarray(made, dtype=np.float32), [len(each.texts) for each in named])

    def _failed(self, pair_id: str, kind: str) -> None:
        self._add("failures", pair_id=pair_id, kind=kind, failed_at=datetime.now(UTC).isoformat())
        self.report.failed[kind] = self.report.failed.get(kind, 0) + 1
        self._done()

    def _calls(self, replies: Iterable[Reply]) -> None:
        """Note what was paid for; what is noted already stays as it is."""
        for reply in replies:
            self._add("calls", call_key=reply.key, **{name: getattr(reply, name) for name in _CALL})

    def _add(self, table: str, **row: Any) -> None:
        self.rows.setdefault(table, []).append(row)

    def _done(self) -> None:
        self.finished += 1

    async def _maybe_flush(self, judging: Judging | None) -> None:
        now = asyncio.get_running_loop().time()
        if sum(map(len, self.rows.values())) >= 8 * _BATCH or now - self.flushed_at > _SECONDS:
            await self._flush(judging)

    async def _flush(self, judging: Judging | None) -> None:
        """Hand in what has come together, and say how far it is."""
        self.flushed_at = asyncio.get_running_loop().time()
        if judging is not None:
            arrived, judging.tally.arrived = judging.tally.arrived, []
            self._calls(arrived)
            self.report.calls, self.report.cost_usd = judging.tally.calls, judging.tally.cost_usd
        rows, self.rows = self.rows, {}
        if rows:
            batch = {**self.known, "run_id": self.report.run_id or "", **rows}
            await asyncio.to_thread(self.desk.ask, "judge.record", batch)
        if self.tell is not None:
            total = self.seen["chosen"] - self.seen["done"]
            total = total if self.limit is None else min(total, self.limit)
            self.tell(Standing(min(self.finished, total), total, self.report.calls, self.report.cost_usd))


@dataclass
class _Work:
    """One pair on its way: `found` is a structured outcome that an argument judge has to be asked about."""

    pair: Pair
    document: str
    exempt: bool
    anchor: bool
    found: Row | None = None
    original: str | None = None

    @property
    def pair_id(self) -> str:
        return cast(str, self.pair.pair_id)


def _vote_rows(judged: Judged) -> list[Row]:
    """Votes as rows of `verdict`; what cannot be read has no winner and keeps its text."""
    rows: list[Row] = []
    for number, (side, reply) in enumerate(judged.votes, 1):
        read = read_preference(reply.text, side)
        rows.append(
            {
                "pair_id": judged.job.pair_id,
                "vote": number,
                "shown_first": side,
                "winner": read.winner if read else None,
                "raw": None if read else reply.text or "",
                "rationale": read.rationale if read else None,
                "cost_usd": reply.cost_usd if reply.pair_id == judged.job.pair_id else 0.0,
                "error_old": read.error_old if read else None,
                "error_new": read.error_new if read else None,
                "tone": read.tone if read else None,
                "calibration_old": read.calibration_old if read else None,
                "calibration_new": read.calibration_new if read else None,
            }
        )
    return rows


def _word(rows: Iterable[Row]) -> str:
    return verdict_word([(cast(Side, row["shown_first"]), row["winner"]) for row in rows])


def _share(pair_id: str) -> float:
    """A number in [0, 1) as good as random, always the same for a pair."""
    return int.from_bytes(hashlib.sha256(f"audit {pair_id}".encode()).digest()[:6]) / 2**48


__all__ = ["Report", "Standing", "judge"]
