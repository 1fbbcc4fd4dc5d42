"""Replaying the permanent adversarial set into a run: every entry against its own pass criterion, old and new.

The set is as it stood when the run began: who adds, corrects or confirms an entry later may have seen the answers.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow

from review.domain import criterion, steps
from review.domain.failure import standing
from review.domain.identity import canonical
from review.domain.judge_prompt import shown
from review.domain.pipeline import Endpoint
from review.domain.run import Outcome, Part
from review.domain.stack import stack_id
from review.domain.types import Output, Side
from review.errors import BadInput, BadSettings, Conflict
from review.services import ask, flag, runs
from review.services.ask import Prompt
from review.services.criteria import CriterionJob, judge_criteria
from review.services.desk import Answer, Call, Desk
from review.services.judge_calls import Client
from review.services.replay import OWN_FAULT, Progress
from review.services.workspace import Workspace
from review.store import adversarial as set_store
from review.store import adversarial_runs as store

pa: Any = pyarrow  # it carries no types
PART = "set"
# Entries read in one operation.
PAGE = 200
METRIC = "passed"

_ENTRIES = pa.schema(
    [
        ("seq", pa.int64()),
        ("entry_id", pa.string()),
        ("pair_id", pa.string()),
        ("prompt_id", pa.string()),
        ("task", pa.string()),
        ("confirmed", pa.bool_()),
        ("text", pa.string()),  # JSON: messages, tools, reference; null: erased
        ("criterion", pa.string()),
        ("expected", pa.bool_()),  # the criterion is somebody's own words, and not only the category's
    ]
)


@dataclass(frozen=True)
class Decided:
    """What became of one answer: passed (None: nobody can tell), who decided, whether it was cut off."""

    passed: bool | None
    by: str
    cut: bool | None = None


@dataclass
class Report:
    """What a replay came to.

    Attributes:
        run: id and name of the run.
        recorded: the outcomes stand in the run; otherwise something is missing, and running it again goes on.
        before: they stood there already, and nothing was asked.
        entries: replayed.
        confirmed: of those, confirmed before the run began: what a gate tests.
        erased: left out, because their text is erased.
        later: left out, because they were reported after the run began.
        outcomes: passed, failed and undecided answers, by side.
        asked: answers that were asked for now.
        cost_usd: of all answers and verdicts that the outcomes come from, whenever they were paid for.
        stopped: why something is missing, in sentences.
    """

    run: dict[str, str]
    recorded: bool = False
    before: bool = False
    entries: int = 0
    confirmed: int = 0
    erased: int = 0
    later: int = 0
    outcomes: dict[Side, dict[str, int]] = field(default_factory=dict[Side, dict[str, int]])
    asked: int = 0
    cost_usd: float = 0.0
    stopped: list[str] = field(default_factory=list[str])

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dict(vars(self))


@dataclass(frozen=True)
class _Entry:
    """An entry that has its text."""

    entry_id: str
    pair_id: str
    prompt_id: str
    task: str | None
    confirmed: bool
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    criterion: str
    structured: Output | None


def replay(
    desk: Desk,
    run: str,
    *,
    repeats: int = 1,
    sides: Sequence[Side] = ("old", "new"),
    tell: Callable[[Progress], None] | None = None,
    environ: Mapping[str, str] = os.environ,
    clients: Mapping[str, Client] | None = None,
) -> Report:
    """Ask the run's stacks every entry of the set, decide each answer, and record the outcomes in the run.

    What the entry's own criterion is, decides how: tool calls or a JSON object (as the expected behaviour, or as the
    reference where nobody said what should happen) are compared exactly (domain.structured); words are judged
    (services.criteria). An answer that the server refuses to give, or whose input is too long for it, fails. Running it
    again asks only for what is missing; once recorded, nobody is asked.

    Args:
        desk: where facts are.
        run: id, name or number.
        repeats: how often each stack is asked.
        sides: which stacks.
        tell: told how far it is.
        environ: where keys are looked up.
        clients: of the judge's providers; made from the configuration by default.

    Raises:
        NotFound: there is no such run.
        BadSettings: endpoints, a judge or a key are not configured.
        BadInput: the run is of other stacks than the configuration's; the set is empty.
        Conflict: the run has the set already, with other repeats or sides.
    """
    look = desk.ask("adversarial.look", {"run": run}).document
    report = Report({"run_id": look["run"]["run_id"], "name": look["run"]["name"]}, later=look["later"])
    if look["part"] is not None:
        return _standing(report, look["part"], repeats, sides)
    stacks = _endpoints(desk, look["run"], sides)
    entries = _read(desk, report)
    _judge_is_there(desk, entries)
    said: dict[Side, dict[tuple[str, int], ask.Answer]] = {}
    cost = 0.0
    for side, endpoint in stacks.items():
        prompts = [_prompt(each, number) for each in entries for number in range(repeats)]
        came = ask.answers(desk, endpoint, prompts, tell, name=f"endpoints.{side} ({endpoint.model})", environ=environ)
        report.asked += came.asked
        cost += sum(each.cost_usd for each in came)
        said[side] = {(each.id, each.repeat): each for each in came}
        if not came.whole:
            missing = sum(each.output is None for each in came)
            report.stopped.append(came.stopped or f"{side}: {missing} answers are missing ({dict(came.failed)}).")
    if report.stopped:
        return report
    decided, judging, why = _decide(desk, entries, said, tell, clients)
    if why:
        report.stopped.append(why)
        return report
    report.cost_usd = cost + judging
    for side in stacks:
        of_side = [each.passed for (_, _, at), each in decided.items() if at == side]
        words = {"passed": of_side.count(True), "failed": of_side.count(False), "undecided": of_side.count(None)}
        report.outcomes[side] = words
    rows = [_outcome(each, number, said, decided) for each in entries for number in range(repeats)]
    part = Part(
        evidence="adversarial",
        part=PART,
        data_hash=_hash(entries),
        detail={
            "repeats": repeats,
            "sides": list(stacks),
            "stacks": {side: stack_id(endpoint) for side, endpoint in stacks.items()},
            "confirmed": report.confirmed,
            "erased": report.erased,
            "entries": report.entries,
            "outcomes": report.outcomes,
            "chain_head": look["head"],
            "chain_rows": look["rows"],
            "criterion": criterion.VERSION,
            "votes": desk.settings.config.judges.votes,
            "temperature": desk.settings.config.judges.temperature,
        },
        cost_usd=report.cost_usd,
    )
    runs.record(desk, report.run["run_id"], part, pa.Table.from_pylist([each.model_dump() for each in rows]))
    report.recorded = True
    return report


def _standing(report: Report, part: Mapping[str, Any], repeats: int, sides: Sequence[Side]) -> Report:
    """What the run has already."""
    detail = part["detail"]
    if (detail["repeats"], sorted(detail["sides"])) != (repeats, sorted(sides)):
        raise Conflict(
            f"Run {report.run['name']!r} has the adversarial set already, with --repeats {detail['repeats']} of "
            f"{' and '.join(detail['sides'])}. Runs are never overwritten: begin another run."
        )
    report.recorded = report.before = True
    report.entries, report.confirmed, report.erased = detail["entries"], detail["confirmed"], detail["erased"]
    report.outcomes, report.cost_usd = detail["outcomes"], part["cost_usd"]
    return report


def _endpoints(desk: Desk, run: Mapping[str, Any], sides: Sequence[Side]) -> dict[Side, Endpoint]:
    """The endpoints that are asked, which must be the run's."""
    endpoints = desk.settings.config.endpoints
    if endpoints is None:
        raise BadSettings("eval_config.endpoints is missing: the set is replayed through endpoints.old and .new.")
    found: dict[Side, Endpoint] = {}
    for side in sides:
        endpoint = endpoints.old if side == "old" else endpoints.new
        known = run["baseline" if side == "old" else "candidate"].get("config_hash")
        if known is not None and known != stack_id(endpoint):
            raise BadInput(
                f"Run {run['name']!r} is of another {side} stack than endpoints.{side} of the configuration. Configure "
                "the run's own, or begin a run of these: review run start"
            )
        found[side] = endpoint
    return found


def _read(desk: Desk, report: Report) -> list[_Entry]:
    """The entries that can be replayed, oldest first."""
    found: list[_Entry] = []
    after = 0
    while True:
        table: Any = desk.ask("adversarial.entries", {"run": report.run["run_id"], "after": after}).table
        if not table.num_rows:
            break
        after = table["seq"][-1].as_py()
        for row in table.to_pylist():
            if row["text"] is None:
                report.erased += 1
                continue
            text = json.loads(row["text"])
            found.append(
                _Entry(
                    **{name: row[name] for name in ("entry_id", "pair_id", "prompt_id", "task", "confirmed")},
                    messages=text["messages"],
                    tools=text["tools"],
                    criterion=_criterion(row, text["reference"]),
                    structured=steps.expected(row["criterion"] if row["expected"] else text["reference"]),
                )
            )
    if not found:
        raise BadInput(
            f"No entry of the adversarial set had its text when run {report.run['name']!r} began: there is nothing to "
            "replay. Flag failures first, then begin a run."
        )
    report.entries, report.confirmed = len(found), sum(each.confirmed for each in found)
    return found


def _criterion(row: Mapping[str, Any], reference: str | None) -> str:
    """What a judge is told; where nobody said what should happen, a right answer helps to see the category's fault."""
    if row["expected"] or not reference:
        return row["criterion"]
    return f"{row['criterion']}\nFor comparison, a right answer says: {reference}"


def _judge_is_there(desk: Desk, entries: Sequence[_Entry]) -> None:
    """Before anything is paid for."""
    words = sum(each.structured is None for each in entries)
    if words and not desk.settings.config.judges.providers:
        raise BadSettings(
            f"judges.providers is empty, and {words} entries of the adversarial set have a criterion in words, which a "
            "judge has to decide. See README, From traffic to a round."
        )


def _prompt(entry: _Entry, repeat: int) -> Prompt:
    return Prompt(entry.entry_id, entry.messages, entry.tools, None, repeat, entry.entry_id)


def _decide(
    desk: Desk,
    entries: Sequence[_Entry],
    said: Mapping[Side, Mapping[tuple[str, int], ask.Answer]],
    tell: Callable[[Progress], None] | None,
    clients: Mapping[str, Client] | None,
) -> tuple[dict[tuple[str, int, Side], Decided], float, str]:
    """Each answer by entry, repeat and side; what judging cost; why something is missing, or ""."""
    decided: dict[tuple[str, int, Side], Decided] = {}
    jobs: list[CriterionJob] = []
    where: list[tuple[str, int, Side]] = []
    known = {each.entry_id: each for each in entries}
    for side, answers in said.items():
        for (entry_id, repeat), came in answers.items():
            entry = known[entry_id]
            at: tuple[str, int, Side] = (entry_id, repeat, side)
            if came.output is None:
                # The server will not answer this, so whoever asks gets nothing. A bad request may be our own fault.
                refused = came.failed in OWN_FAULT
                decided[at] = Decided(False, "known") if refused else Decided(None, "nobody")
            elif entry.structured is not None:
                cut = steps.cut(came.output)
                decided[at] = Decided(steps.makes(came.output, entry.structured), "structured", cut)
            else:
                jobs.append(CriterionJob(entry_id, entry.messages, came.output, entry.criterion, entry.tools, entry_id))
                where.append(at)
    found = judge_criteria(desk, jobs, tell, clients=clients)
    missing = [each.failed or "" for each in found if each.missing]
    why = f"The judge gave no verdict on {len(missing)} answers ({', '.join(sorted(set(missing)))})." if missing else ""
    words: dict[str, bool | None] = {"passed": True, "failed": False, "undecided": None}
    for at, job, met in zip(where, jobs, found, strict=True):
        by = f"judge {met.judge}"[:200] if met.judge else "nobody"
        decided[at] = Decided(words[met.verdict], by, steps.cut(job.answer))
    return decided, sum(each.cost_usd for each in found), why


def _outcome(
    entry: _Entry,
    repeat: int,
    said: Mapping[Side, Mapping[tuple[str, int], ask.Answer]],
    decided: Mapping[tuple[str, int, Side], Decided],
) -> Outcome:
    sides: dict[Side, Decided] = {side: decided[entry.entry_id, repeat, side] for side in said}
    old, new = sides.get("old"), sides.get("new")
    outputs = [said[side][entry.entry_id, repeat].output for side in said]
    same = len(outputs) == 2 and all(outputs) and len({canonical(shown(each)) for each in outputs if each}) == 1
    # Where one side had no answer, whoever decided the other is named.
    named = [each.by for each in (new, old) if each is not None]
    by = next((each for each in named if each not in ("known", "nobody")), named[0])
    return Outcome(
        example_id=entry.entry_id,
        metric=METRIC,
        repeat=repeat,
        prompt_id=entry.prompt_id,
        task=entry.task,
        pair_id=entry.pair_id,
        old=None if old is None or old.passed is None else float(old.passed),
        new=None if new is None or new.passed is None else float(new.passed),
        same=same,
        decided_by=by,
        old_cut=None if old is None else old.cut,
        new_cut=None if new is None else new.cut,
    )


def _hash(entries: Sequence[_Entry]) -> str:
    """Everything that is asked and decided by."""
    whole = hashlib.sha256()
    for each in entries:
        said = [each.entry_id, each.messages, each.tools, each.criterion, each.confirmed]
        whole.update(canonical(said).encode("utf-8", "surrogatepass"))
    return whole.hexdigest()


# What follows is asked through a desk.


def look(workspace: Workspace, call: Call) -> Answer:
    """The run, its part of the set if it has one, and the chain as it stood when the run began. Argument: run."""
    run = runs.get(workspace, str(call.arguments["run"]))
    recorded = runs.parts(workspace, run.run_id)
    document = runs.described(run, recorded)
    found = next((each for each in document["parts"] if each["evidence"] == "adversarial"), None)
    cursor = workspace.database.cursor()
    rows, head = set_store.head(cursor, set_store.chain_id(workspace.database))
    return Answer(
        {"run": document, "part": found, "later": store.counts(cursor, run.started_at)[1], "head": head, "rows": rows}
    )


def entries(workspace: Workspace, call: Call) -> Answer:
    """The next entries of the set as it stood when the run began. Arguments: run, after (a row of the chain)."""
    run = runs.get(workspace, str(call.arguments["run"]))
    cursor = workspace.database.cursor()
    page = store.page(cursor, int(call.arguments["after"]), run.started_at, PAGE)
    stood = as_of(cursor, page, run.started_at)
    seqs = [each.seq for each in page] + [each.pass_seq for each in stood.values()]
    texts = set_store.texts(workspace.database, seqs)
    rows = [_row(workspace, each, stood[each.entry_id], texts) for each in page]
    return Answer({}, pa.Table.from_pylist(rows, _ENTRIES))


def as_of(cursor: Any, page: Sequence[set_store.EntryRow], moment: datetime) -> dict[str, Any]:
    """How entries stood at a moment, by id; an erasure counts whenever it came, because the text is gone."""
    of_entry: dict[str, list[Any]] = {}
    for event in store.events(cursor, [each.entry_id for each in page]):
        if event.acted_at <= moment or event.kind == "erasure":
            of_entry.setdefault(event.entry_id, []).append(event)
    return {
        each.entry_id: standing(each.seq, each.category, each.actor, of_entry.get(each.entry_id, [])) for each in page
    }


def _row(
    workspace: Workspace, row: set_store.EntryRow, stood: Any, texts: Mapping[int, dict[str, Any]]
) -> dict[str, Any]:
    text = None if stood.status == "erased" else texts.get(row.seq)
    said = texts.get(stood.pass_seq) or {}
    kept = None if text is None else {name: text.get(name) for name in ("messages", "tools", "reference")}
    return {
        **{name: getattr(row, name) for name in ("seq", "entry_id", "pair_id", "prompt_id", "task")},
        "confirmed": stood.status == "confirmed",
        "text": None if kept is None else json.dumps(kept),
        "criterion": None if text is None else flag.passes_when(workspace, said, stood.category),
        "expected": bool(said.get("expected")),
    }
