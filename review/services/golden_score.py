"""Scores of a frozen golden set: both stacks answer, the judge says of each rubric item whether it is met."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import pyarrow

from review.adapters.files import Row
from review.domain import golden as rules
from review.domain import sameness
from review.domain.golden import Item
from review.domain.identity import canonical
from review.domain.pipeline import Endpoint
from review.domain.run import Part, source_of
from review.domain.stack import stack_id
from review.domain.types import Output, Side
from review.errors import BadInput, BadSettings, Conflict, NotFound
from review.services import golden, ingest, runs
from review.services.ask import Answers, Prompt, answers
from review.services.criteria import CriterionJob, Met, judge_criteria
from review.services.desk import Answer, Call, Desk
from review.services.golden_people import Values, by_people
from review.services.replay import Progress
from review.services.workspace import Workspace
from review.store import golden as store
from review.store import staging
from review.store.golden import ItemRow

pa: Any = pyarrow  # it carries no types
Step = Literal["old", "new", "judge"]
Tell = Callable[[Step], Callable[[Progress], None]]

_BATCH = 200
_CUT = frozenset({"length", "max_tokens"})


@dataclass(frozen=True)
class Scored:
    """What a scoring did.

    Attributes:
        run: the run's name.
        version: of the frozen set.
        items: of the set.
        asked: items that were asked in this call or before; with a limit, not all of them.
        without_answer: items of them that one stack did not answer, by kind of failure.
        rubric: rubric items of the answered items.
        undecided: of them, where the judge or people did not say of both answers whether they meet it.
        by_people: of them, decided by people.
        differ: of them, met by one answer and not by the other.
        pairs: made of items in which a rubric item differs, for people to read.
        recorded: outcomes that the run has now; 0 where the part is not whole yet.
        stood: the run had this part already, and nothing was asked.
        cost_usd: of all answers and votes, whenever they were asked for.
        spent_usd: of it, in this call.
        stopped: why it ended before its end, or None.
    """

    run: str
    version: str
    items: int
    asked: int = 0
    without_answer: dict[str, int] = field(default_factory=dict[str, int])
    rubric: int = 0
    undecided: int = 0
    by_people: int = 0
    differ: int = 0
    pairs: int = 0
    recorded: int = 0
    stood: bool = False
    cost_usd: float = 0.0
    spent_usd: float = 0.0
    stopped: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Options:
    """How to score.

    Attributes:
        limit: ask at most so many items; the part is recorded once all of them are scored.
        record: put the outcomes into the run; without it people can score before they count.
        with_gaps: record although some items have no answer or no verdict: those stay NULL.
        name: record once more under this name, once people have scored; the earlier part stays and counts no longer.
    """

    limit: int | None = None
    record: bool = True
    with_gaps: bool = False
    name: str | None = None


@dataclass(frozen=True)
class _Pair:
    """An item with both answers."""

    item: Item
    item_hash: str
    prompt_id: str
    answers_id: str
    old: Output
    new: Output


def score(
    desk: Desk, run: str, version: str | None = None, options: Options = Options(), tell: Tell | None = None
) -> Scored:
    """Ask both stacks every item of a frozen set, and the judge every rubric item of each answer.

    What was asked before is not asked again. People's scores win over the judge's. Once everything is there, the
    outcomes go into the run, one a rubric item, and never change: later scores of people count in the next run, or in
    a recording under another name.

    Args:
        desk: where facts are.
        run: its id, name or number.
        version: the frozen set's name, number or hash; the newest by default.
        options: how.
        tell: gives, for a step, who is told how far it is.

    Raises:
        NotFound: there is no such run or frozen set.
        BadSettings: no endpoints or no judge are configured.
        Conflict: the run was begun with other stacks than are configured now.
    """
    said = desk.ask("runs.read", {"run": run}).document["runs"][0]
    frozen = desk.ask("golden.version", {"version": version}).document
    part = rules.short(frozen["version"]) + (f" {options.name}" if options.name else "")
    if (standing := _standing(said, frozen, part)) is not None:
        return standing
    endpoints = _endpoints(desk, said)
    whole = list(golden.pages(desk, version=frozen["version"]))
    # By hash, so that a limit takes some of everything, and the same ones each time.
    chosen = sorted(whole, key=lambda each: str(each["item_hash"]))[: options.limit]
    work = _Work(desk, said, frozen, chosen, tell or _quiet)
    work.ask(endpoints)
    work.judge()
    rows = list(work.outcomes())
    made = work.make_pairs({row["example_id"] for row in rows if _differs(row)})
    report = work.report(rows, len(made))
    lost = report.without_answer and not options.with_gaps
    if options.record and rows and len(chosen) == len(whole) and report.stopped is None and not lost:
        return replace(report, recorded=work.record(part, rows, made, report))
    return report


def _quiet(_step: Step) -> Callable[[Progress], None]:
    def nobody(_progress: Progress) -> None:
        """Tell nobody."""

    return nobody


def _standing(run: Mapping[str, Any], frozen: Mapping[str, Any], name: str) -> Scored | None:
    """What the run holds of the set already, under this name."""
    for part in run["parts"]:
        if (part["evidence"], part["part"]) == ("golden", name):
            detail = part["detail"]
            return Scored(
                *(run["name"], frozen["version"], frozen["items"], frozen["items"], detail["without_answer"]),
                rubric=detail["rubric"],
                undecided=detail["undecided"],
                by_people=detail["by_people"],
                differ=detail["differ"],
                pairs=detail["pairs"],
                recorded=part["examples"],
                stood=True,
                cost_usd=part["cost_usd"],
            )
    return None


class _Work:
    """One scoring: what was answered, what the judge and people said of it, and what comes of that."""

    def __init__(
        self,
        desk: Desk,
        run: Mapping[str, Any],
        frozen: Mapping[str, Any],
        items: Sequence[Mapping[str, Any]],
        tell: Tell,
    ) -> None:
        self.desk, self.run, self.frozen, self.items, self.tell = desk, run, frozen, items, tell
        self.source = source_of("golden", rules.short(frozen["version"]))
        self.said_by: dict[Side, Answers] = {}
        self.pairs: list[_Pair] = []
        self.mets: list[Met] = []
        self.judged: dict[tuple[str, int], _Judged] = {}
        self.people: dict[tuple[str, int], Values] = {}
        self.judging_usd = 0.0

    def ask(self, endpoints: Mapping[Side, Endpoint]) -> None:
        """Both stacks answer; the answers are kept for people to score."""
        prompts = [Prompt(each["item_id"], each["form"]["messages"], each["form"].get("tools")) for each in self.items]
        for side, endpoint in endpoints.items():
            found = answers(self.desk, endpoint, prompts, self.tell(side), name=f"endpoints.{side}")
            self.said_by[side] = found
        self.pairs = _answered(self.desk.key, self.items, self.said_by)
        said = {"run": self.run["run_id"], "version": self.frozen["version"]}
        for some in _batches(self.pairs):
            table = pa.Table.from_pylist([_answers_row(each) for each in some], store.ANSWERS)
            self.desk.ask("golden.answered", said, table)

    def judge(self) -> None:
        """The judge says of every answer whether it meets each rubric item; what people said is looked up."""
        tell = self.tell("judge")

        def spent(progress: Progress) -> None:
            self.judging_usd = progress.cost_usd
            tell(progress)

        self.mets = judge_criteria(self.desk, [job for each in self.pairs for job in _jobs(each)], spent)
        self.judged = _judged(self.pairs, self.mets)
        _hand_in_scores(self.desk, self.pairs, self.judged)
        self.people = _people(self.desk, self.pairs)

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """One a rubric item, also of items that a stack did not answer."""
        for pair in self.pairs:
            yield from _outcomes(pair, self.judged, self.people)
        there = {each.item.item_id for each in self.pairs}
        for each in self.items:
            if each["item_id"] not in there:
                yield from _unknown(each)

    def make_pairs(self, item_ids: Collection[str]) -> dict[str, str]:
        """Pairs for people to read; pair ids by item id."""
        found: dict[str, str] = {}
        for some in _batches([each for each in self.pairs if each.item.item_id in item_ids]):
            documents = [{"item_id": each.item.item_id, "answers_id": each.answers_id} for each in some]
            asked = {"source": self.source, "items": documents}
            found |= self.desk.ask("golden.pairs", asked).document["pairs"]
        return found

    def report(self, rows: Sequence[Mapping[str, Any]], made: int) -> Scored:
        """What was done so far."""
        answers_usd = sum(each.cost_usd for one in self.said_by.values() for each in one)
        return Scored(
            run=self.run["name"],
            version=self.frozen["version"],
            items=self.frozen["items"],
            asked=len(self.items),
            without_answer=_without_answer(self.said_by),
            rubric=len(rows),
            undecided=sum(None in (row["old"], row["new"]) for row in rows),
            by_people=sum(row["decided_by"] == "label" for row in rows),
            differ=sum(_differs(row) for row in rows),
            pairs=made,
            cost_usd=answers_usd + sum(each.cost_usd for each in self.mets),
            spent_usd=sum(each.cost_usd for each in self.said_by.values()) + self.judging_usd,
            stopped=self._stopped(),
        )

    def _stopped(self) -> str | None:
        """Why something is missing that asking again may bring."""
        for each in self.said_by.values():
            if each.stopped is not None:
                return each.stopped
        missing = [str(each.failed) for each in self.mets if each.missing]
        words = {"budget": "judges.budget_usd is spent", "no_provider": "no provider of the judge answers"}
        if missing:
            return words.get(missing[0], f"the judge did not answer {len(missing):,} questions ({missing[0]})")
        return None

    def record(self, name: str, rows: Sequence[Mapping[str, Any]], made: Mapping[str, str], report: Scored) -> int:
        """Put the outcomes into the run, instead of those that it has of this set; returns how many."""
        standing = [each["part"] for each in self.run["parts"] if each["evidence"] == "golden"]
        earlier = [each for each in standing if each.startswith(rules.short(self.frozen["version"]))]
        table = pa.Table.from_pylist([{**row, "pair_id": made.get(row["example_id"])} for row in rows], _OUTCOMES)
        counted = ("without_answer", "rubric", "undecided", "by_people", "differ", "pairs")
        detail = {
            **{name: self.frozen[name] for name in ("version", "name", "items")},
            **{name: getattr(report, name) for name in counted},
            "judges": sorted({each.judge for each in self.mets if each.judge}),
            "votes": self.desk.settings.config.judges.votes,
            "weights": "an item counts 1, shared among its rubric items",
            **({"supersedes": earlier} if earlier else {}),
        }
        part = Part(
            evidence="golden",
            part=name,
            source=self.source,
            data_hash=self.frozen["version"],
            detail=detail,
            cost_usd=report.cost_usd,
        )
        return runs.record(self.desk, self.run["run_id"], part, table)


_OUTCOMES = pa.schema(
    [
        *((name, pa.string()) for name in ("example_id", "metric", "prompt_id", "task", "pair_id")),
        *((name, pa.float64()) for name in ("old", "new")),
        ("same", pa.bool_()),
        ("decided_by", pa.string()),
        ("weight", pa.float64()),
        ("prompt_tokens", pa.int64()),
        *((name, pa.bool_()) for name in ("old_cut", "new_cut")),
    ]
)


def _endpoints(desk: Desk, run: Mapping[str, Any]) -> dict[Side, Endpoint]:
    """The configuration's two stacks, if they are the run's."""
    endpoints = desk.settings.config.endpoints
    if endpoints is None:
        raise BadSettings("The configuration names no endpoints. Say endpoints.old and endpoints.new.")
    found: dict[Side, Endpoint] = {"old": endpoints.old, "new": endpoints.new}
    cards: dict[Side, Any] = {"old": run["baseline"], "new": run["candidate"]}
    for side, endpoint in found.items():
        if cards[side].get("config_hash") not in (None, stack_id(endpoint)):
            raise Conflict(
                f"Run {run['name']!r} was begun with another endpoints.{side} than is configured now. Begin a run of "
                "the two that are: review run start NAME --step …"
            )
    return found


def _answered(key: bytes, items: Sequence[Mapping[str, Any]], said_by: Mapping[Side, Answers]) -> list[_Pair]:
    """Items that both stacks have answered."""
    found: list[_Pair] = []
    for document, old, new in zip(items, said_by["old"], said_by["new"], strict=True):
        if old.output is None or new.output is None:
            continue
        # Checked when it came in.
        item = Item.model_validate(document["form"])
        said = [document["item_hash"], *(_said(each.output) for each in (old, new))]
        digest = hmac.new(key, b"golden answers " + canonical(said).encode("utf-8", "surrogatepass"), hashlib.sha256)
        name = f"answers-{digest.hexdigest()[:32]}"
        found.append(_Pair(item, document["item_hash"], document["prompt_id"], name, old.output, new.output))
    return found


def _said(output: Output | None) -> dict[str, Any]:
    """What makes an answer: not how long it took."""
    return {} if output is None else output.model_dump(include={"content", "tool_calls", "finish_reason"})


def _answers_row(pair: _Pair) -> dict[str, Any]:
    return {
        "item_id": pair.item.item_id,
        "item_hash": pair.item_hash,
        "answers_id": pair.answers_id,
        "old": json.dumps(pair.old.model_dump(mode="json", exclude_none=True), ensure_ascii=False),
        "new": json.dumps(pair.new.model_dump(mode="json", exclude_none=True), ensure_ascii=False),
    }


def _jobs(pair: _Pair) -> Iterator[CriterionJob]:
    """A question a rubric item and answer: old, then new."""
    form = pair.item.form()
    for place, each in enumerate(pair.item.rubric, 1):
        for side, output in (("old", pair.old), ("new", pair.new)):
            name = f"{pair.item.item_id} {place} {side}"
            yield CriterionJob(name, form["messages"], output, each.item, form.get("tools"), pair.item.item_id)


@dataclass(frozen=True)
class _Judged:
    """What the judge said of one rubric item of both answers."""

    judge: str | None
    values: Values


def _judged(pairs: Sequence[_Pair], mets: Sequence[Met]) -> dict[tuple[str, int], _Judged]:
    """By answers and the rubric item's place."""
    following = iter(mets)
    found: dict[tuple[str, int], _Judged] = {}
    for pair in pairs:
        for place in range(1, len(pair.item.rubric) + 1):
            old, new = next(following), next(following)
            names = dict.fromkeys(each.judge for each in (old, new) if each.judge)
            found[pair.answers_id, place] = _Judged(" and ".join(names) or None, (_passed(old), _passed(new)))
    return found


def _passed(met: Met) -> bool | None:
    return {"passed": True, "failed": False}.get(met.verdict)


def _hand_in_scores(desk: Desk, pairs: Sequence[_Pair], judged: Mapping[tuple[str, int], _Judged]) -> None:
    for some in _batches(pairs):
        rows: list[dict[str, Any]] = []
        for pair in some:
            for place in range(1, len(pair.item.rubric) + 1):
                each = judged[pair.answers_id, place]
                if each.judge is None:
                    continue
                said = canonical([pair.answers_id, place, each.judge, each.values])
                rows.append(
                    {
                        "score_id": "judge-" + hashlib.sha256(said.encode()).hexdigest()[:32],
                        "answers_id": pair.answers_id,
                        "rubric": place,
                        "kind": "judge",
                        "scored_by": each.judge[:200],
                        "old": each.values[0],
                        "new": each.values[1],
                        "shown_first": None,
                    }
                )
        for start in range(0, len(rows), 1000):
            desk.ask("golden.scored", {}, pa.Table.from_pylist(rows[start : start + 1000], store.SCORES))


def _people(desk: Desk, pairs: Sequence[_Pair]) -> dict[tuple[str, int], Values]:
    """What people said, by answers and the rubric item's place, as far as they did."""
    found: dict[tuple[str, int], Values] = {}
    for some in _batches(pairs):
        asked = {"answers": [each.answers_id for each in some]}
        for answers_id, place, old, new in desk.ask("golden.people", asked).document["scores"]:
            found[answers_id, place] = (old, new)
    return found


def _outcomes(
    pair: _Pair, judged: Mapping[tuple[str, int], _Judged], people: Mapping[tuple[str, int], Values]
) -> Iterator[dict[str, Any]]:
    """One outcome a rubric item; people's word counts instead of the judge's where there is one."""
    same = sameness.identical(pair.old, pair.new)
    for place, share in enumerate(pair.item.shares(), 1):
        by_judge = judged[pair.answers_id, place]
        by_people = people.get((pair.answers_id, place))
        old, new = by_people if by_people is not None else by_judge.values
        judge = f"judge {by_judge.judge}"[:200] if by_judge.judge else "judge"
        yield {
            "example_id": pair.item.item_id,
            "metric": f"rubric {place}",
            "prompt_id": pair.item.item_id,
            "task": pair.item.task,
            "old": None if old is None else float(old),
            "new": None if new is None else float(new),
            "same": same,
            "decided_by": "label" if by_people is not None else judge,
            "weight": share,
            "prompt_tokens": _tokens(pair.old),
            "old_cut": _cut(pair.old),
            "new_cut": _cut(pair.new),
        }


def _unknown(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The outcomes of an item that one stack did not answer."""
    item = Item.model_validate(document["form"])
    for place, share in enumerate(item.shares(), 1):
        yield {
            **dict.fromkeys(_OUTCOMES.names),
            "example_id": item.item_id,
            "metric": f"rubric {place}",
            "prompt_id": item.item_id,
            "task": item.task,
            "same": False,
            "decided_by": "judge",
            "weight": share,
        }


def _tokens(output: Output) -> int | None:
    count = (output.usage or {}).get("prompt_tokens")
    return count if isinstance(count, int) and count >= 0 else None


def _cut(output: Output) -> bool | None:
    return None if output.finish_reason is None else output.finish_reason in _CUT


def _differs(row: Mapping[str, Any]) -> bool:
    return None not in (row["old"], row["new"]) and row["old"] != row["new"]


def _without_answer(said_by: Mapping[Side, Answers]) -> dict[str, int]:
    """Items that a stack did not answer, by kind of failure."""
    kinds = Counter[str]()
    for old, new in zip(said_by["old"], said_by["new"], strict=True):
        kind = old.failed or new.failed
        if kind is not None:
            kinds[kind] += 1
    return dict(sorted(kinds.items()))


def _batches(pairs: Sequence[_Pair]) -> Iterator[Sequence[_Pair]]:
    for start in range(0, len(pairs), _BATCH):
        yield pairs[start : start + _BATCH]


# What follows is asked through a desk.


def version(workspace: Workspace, call: Call) -> Answer:
    """Operation golden.version: {version} gives a frozen set; the newest where it is None."""
    from review.services.golden_desk import version_document

    asked = call.arguments.get("version")
    return Answer(version_document(golden.version(workspace, None if asked is None else str(asked))))


def answered(workspace: Workspace, call: Call) -> Answer:
    """Operation golden.answered: answers (store.golden.ANSWERS) that a {run} has for a {version}."""
    said = call.arguments
    with workspace.database.transaction() as cursor:
        new = store.put_answers(
            cursor, _table(call).cast(store.ANSWERS), str(said["run"]), str(said["version"]), call.now
        )
    return Answer({"new": new})


def scored(workspace: Workspace, call: Call) -> Answer:
    """Operation golden.scored: a judge's scores (store.golden.SCORES)."""
    table = _table(call).cast(store.SCORES)
    if set(table["kind"].to_pylist()) - {"judge"}:
        raise BadInput("People score on the page Golden set.")
    with workspace.database.transaction() as cursor:
        return Answer({"new": store.put_scores(cursor, table, call.now)})


def people(workspace: Workspace, call: Call) -> Answer:
    """Operation golden.people: what people say in sum of {answers}: [answers_id, rubric, old, new] each."""
    rows = store.scores(workspace.database.cursor(), [str(each) for each in call.arguments["answers"]])
    return Answer({"scores": [[*key, *values] for key, values in by_people(rows).items()]})


def make_pairs(workspace: Workspace, call: Call) -> Answer:
    """Operation golden.pairs: pairs of kept answers, under a {source}; gives their ids by item id."""
    source, wanted = str(call.arguments["source"]), list(call.arguments["items"])
    found: dict[str, str] = {}
    with workspace.database.transaction() as cursor:
        rows: list[Row] = []
        for at, each in enumerate(wanted):
            kept = store.answers(cursor, str(each["answers_id"]))
            if kept is None:
                raise NotFound("Answers that are to become a pair are not kept. Run review golden score again.")
            item_hash, old, new = kept
            row = store.items(cursor, [item_hash])[item_hash]
            name = "pair-" + str(each["answers_id"]).removeprefix("answers-")
            found[str(each["item_id"])] = name
            rows.append(Row(at, _pair(row, name, old, new)))
        batch = ingest.check_rows(workspace.key, "pairs", rows, {})
        present = {each.line for each in staging.known(cursor, "pairs", batch.staged)}
        staging.write(cursor, "pairs", staging.without(batch.staged, present), source, call.now)
    return Answer({"pairs": found})


def _pair(row: ItemRow, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    form = row.item.form()
    return {
        "pair_id": name,
        "prompt_id": row.prompt_id,
        **{each: form[each] for each in ("task", "messages", "tools", "reference") if each in form},
        "old": dict(old),
        "new": dict(new),
        "metadata": {"golden_item": row.item.item_id, "golden_hash": row.item_hash},
    }


def _table(call: Call) -> Any:
    if call.table is None:
        raise BadInput("A table of rows belongs to this operation.")
    return call.table
