"""Put production replay, or imported pairs, into a run as what each example came to.

What says whether an answer is right, the first that says it:

1. known correctness that came with both answers ("known");
2. people: the final label of both sides, adjudicated or by majority; no error is right, "cannot tell" stays unknown
   ("label");
3. structure: a reference that is a tool call or JSON, which each answer is or is not; or both answers the same, so
   that their difference is 0 ("structured");
4. the judge ("judge NAME"): its own errors by the majority of its votes, else the side it prefers is right and the
   other wrong. A tie leaves both values open: services.runs.differences reads it as no difference;
5. nobody ("nobody"): the values stay open and the example counts nowhere.

Parts are never overwritten. A part that is recorded again after further labels or verdicts came is another part of the
same pairs, with a name of its own; it supersedes the earlier one, which stays to be seen and no longer counts.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow

from review.domain import steps, structured
from review.domain.run import CHARACTERS_A_TOKEN, Evidence, Part
from review.domain.stack import stack_id
from review.domain.steps import Step
from review.domain.types import ERROR_DIRECTIONS, Output
from review.errors import BadInput, Conflict, NotFound
from review.services import runs
from review.services.desk import Desk
from review.services.runs import NOBODY
from review.settings import Settings
from review.stats.consensus import NEW, OLD, TIE, UNRESOLVED, combine_votes, final_answers, majority
from review.store.runs import OUTCOMES

pa: Any = pyarrow  # it carries no types
PAGE = 1000
METRIC = "judged"
_FEW_USAGES = 20
# How the sources of live traffic begin.
LIVE = ("shadow:", "production:")
_NONE, _CANNOT_TELL = ERROR_DIRECTIONS.index("none"), ERROR_DIRECTIONS.index("cannot_tell")

Tell = Callable[[int, int], None]
Right = tuple[float | None, float | None]


@dataclass(frozen=True)
class Recorded:
    """A part as it stands.

    Attributes:
        part: Its name in the run.
        new: It was recorded now; False where it stood, with the same data.
        examples: Outcomes.
        decided: How many each source of truth decided.
        chains: Chains of tool calls among them.
        detail: What is stored beside it.
        notes: What people should know of it.
    """

    run_id: str
    evidence: Evidence
    part: str
    source: str
    new: bool
    examples: int
    decided: dict[str, int]
    chains: int
    detail: dict[str, Any]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The part as plain JSON values."""
        return asdict(self)


def record(
    desk: Desk,
    run: str,
    *,
    sample: str | None = None,
    sources: Sequence[str] = (),
    name: str | None = None,
    shadow: bool = False,
    tell: Tell | None = None,
) -> list[Recorded]:
    """Record the pairs of a sample (by default the newest of the run's two stacks), or those of imported sources.

    Args:
        desk: Where the facts are.
        run: Id, name or number.
        sample: A sample's id.
        sources: Names that imported pairs came in with.
        name: Of the part; by default the sample's id or the source. A later recording of the same pairs needs one.
        shadow: The pairs were made by live shadow traffic and not by a replay; sources of LIVE are so in any case.
        tell: Told how many pairs of how many are done.

    Raises:
        NotFound: There is no such run, sample or source.
        BadInput: The sample's stacks are not the run's.
        Conflict: The part stands already, and the data have changed since.
    """
    described = desk.ask("runs.read", {"run": run}).document["runs"][0]
    asked: list[dict[str, Any]] = [{"source": each} for each in sources]
    if sample is not None or not sources:
        asked.insert(0, {"sample": sample, **_stacks(desk.settings, described)})
    if name is not None and len(asked) > 1:
        raise BadInput("--as names one part; record one sample or one source at a time.")
    return [_recorded(desk, described, each, name, shadow=shadow, tell=tell or _quietly) for each in asked]


def _quietly(done: int, total: int) -> None:
    """Tell nobody."""


def _stacks(settings: Settings, run: Mapping[str, Any]) -> dict[str, Any]:
    """The stacks whose pairs belong to the run, by side; None where the run does not say. Answers adopted from the log
    have an id of their own, which the configuration tells.
    """
    old, new = run["baseline"].get("config_hash"), run["candidate"].get("config_hash")
    endpoints = settings.config.endpoints
    logged = [stack_id(endpoints.old, logged=True)] if endpoints and stack_id(endpoints.old) == old else []
    return {"run": run["name"], "old": old and [old, *logged], "new": new and [new], "logged": logged}


def _recorded(
    desk: Desk, run: Mapping[str, Any], asked: Mapping[str, Any], name: str | None, *, shadow: bool, tell: Tell
) -> Recorded:
    """One part, from looking for its pairs to its end."""
    look = desk.ask("runs.look", dict(asked)).document
    judge: str | None = look["judge"]
    gathered = _Gathered(judge, bool(look["adopted"]))
    for batch in _pages(desk, look["scope"], judge):
        gathered.take(batch)
        tell(len(gathered.rows), look["pairs"])
    if not gathered.rows:
        raise NotFound(f"{look['title']} has no pairs.")
    table, detail = gathered.table(), {**look["detail"], **gathered.told()}
    live = shadow or look["source"].startswith(LIVE)
    evidence: Evidence = "shadow" if live else "replay"
    part = name or look["name"]
    digest = runs.data_hash(table)
    standing = [each for each in run["parts"] if each["evidence"] == evidence and each["source"] == look["source"]]
    same = next((each for each in standing if each["data_hash"] == digest and each["superseded_by"] is None), None)
    if same is not None:
        part = same["part"]
    elif any(each["part"] == part and each["evidence"] == evidence for each in run["parts"]):
        raise Conflict(
            f"Run {run['name']!r} has {evidence} {part!r} already, and labels, verdicts or pairs came since. Parts "
            f"are never overwritten. Record it anew under another name, which then counts in its place: review run "
            f"record … --as NAME; or begin another run."
        )
    elif standing:
        detail["supersedes"] = [each["part"] for each in standing]
    made = Part(
        evidence=evidence, part=part, source=look["source"], data_hash=digest, detail=detail, cost_usd=look["cost_usd"]
    )
    examples = runs.record(desk, run["run_id"], made, table)
    stored = same["detail"] if same is not None else detail
    return Recorded(
        run["run_id"],
        evidence,
        part,
        look["source"],
        same is None,
        examples,
        gathered.decided,
        gathered.chains,
        stored,
        tuple(_notes(look, gathered, examples)),
    )


def _pages(desk: Desk, scope: Mapping[str, Any], judge: str | None) -> Iterator[list[dict[str, Any]]]:
    """All pairs of the scope, some at a time."""
    listed: Any = desk.ask("runs.places", scope).table
    for start in range(0, listed.num_rows, PAGE):
        table = desk.ask("runs.pairs", {"judge": judge}, listed.slice(start, PAGE)).table
        yield [] if table is None else table.to_pylist()


def _notes(look: Mapping[str, Any], gathered: _Gathered, examples: int) -> list[str]:
    notes: list[str] = list(look["notes"])
    open_ = gathered.decided.get(NOBODY, 0)
    if open_:
        notes.append(
            f"{open_:,} of {examples:,} examples have nothing that says who is right; they count nowhere. "
            "Judge them, or have people label them: review judge, review draw"
        )
    if gathered.circular:
        notes.append(
            f"{gathered.circular:,} steps of tool calls have no reference but the log, which is the old stack's own "
            "answer: old is right there by definition, and new is where it does the same."
        )
    return notes


@dataclass
class _Row:
    """One pair on its way to an outcome."""

    pair: dict[str, Any]
    right: Right
    same: bool
    decided_by: str
    tokens: int | None
    step: Step | None
    old_cut: bool | None
    new_cut: bool | None


@dataclass
class _Gathered:
    """What the pairs of one part came to, so far. `adopted`: the old stack's answers are the log's where it has any."""

    judge: str | None
    adopted: bool
    rows: list[_Row] = field(default_factory=list["_Row"])
    circular: int = 0
    by_log: int = 0

    def take(self, pairs: list[dict[str, Any]]) -> None:
        """Decide one page."""
        people, judged = _people(pairs), _judged(pairs)
        for pair, label, verdict in zip(pairs, people, judged, strict=True):
            self.rows.append(self._row(pair, label, verdict))

    @property
    def decided(self) -> dict[str, int]:
        return dict(Counter(each.decided_by for each in self.rows).most_common())

    @property
    def chains(self) -> int:
        return len(self._chains())

    def _row(self, pair: dict[str, Any], label: Right | None, verdict: Right | None) -> _Row:
        answers, served = {side: json.loads(pair[side]) for side in ("old", "new")}, pair["served"]
        parsed = {side: _structured(answers[side]) for side in answers}
        # Where new serves live traffic, the log is its own answer and says nothing about it.
        reference, log = steps.expected(pair["reference"]), steps.logged(None if served == "new" else pair["logged"])
        whole = reference is not None or log is not None
        old, new = (parsed[side] or (Output.model_validate(answers[side]) if whole else None) for side in parsed)
        truth = (
            None
            if reference is None or old is None or new is None
            else (steps.makes(old, reference), steps.makes(new, reference))
        )
        cuts = [_cut(answers[side], each) for side, each in (("old", old), ("new", new))]
        known = (answers["old"].get("correct"), answers["new"].get("correct"))
        pair["alike"] = _alike(parsed["old"], parsed["new"])
        right, same, decided_by = self._decided(pair, known, label, truth, verdict)
        step: Step | None = None
        expected = reference if reference is not None and reference.tool_calls else log
        if expected is not None and old is not None and new is not None:
            place = int(pair["called"]) + 1
            step = Step(place, steps.makes(old, expected), steps.makes(new, expected), cuts[0], cuts[1])
            self.by_log += expected is log
            own = self.adopted or served == "old"
            self.circular += own and expected is log and old.tool_calls == expected.tool_calls
        return _Row(pair, right, same, decided_by, _tokens(answers), step, cuts[0], cuts[1])

    def _decided(
        self,
        pair: Mapping[str, Any],
        known: tuple[bool | None, bool | None],
        label: Right | None,
        truth: tuple[bool, bool] | None,
        verdict: Right | None,
    ) -> tuple[Right, bool, str]:
        """Which values stand, whether both answers are the same, and who says so; see the module's order."""
        identical = bool(pair["identical"])
        if known[0] is not None and known[1] is not None:
            return (float(known[0]), float(known[1])), identical, "known"
        if label is not None:
            return label, identical, "label"
        if truth is not None:
            return (float(truth[0]), float(truth[1])), identical, "structured"
        if identical or pair["settled"] or (pair["settled"] is None and pair["alike"]):
            return (None, None), True, "structured"
        if verdict is not None:
            return verdict, False, f"judge {self.judge}"[:200]
        return (None, None), False, NOBODY

    def _chains(self) -> dict[str, list[_Row]]:
        """The steps of each conversation, in their order."""
        found: dict[str, list[_Row]] = defaultdict(list)
        for row in self.rows:
            if row.step is not None:
                found[row.pair["conversation"] or row.pair["trace_id"] or row.pair["pair_id"]].append(row)
        for members in found.values():
            members.sort(key=lambda row: (row.pair["called"], row.pair["turns"], row.pair["moment"] or 0))
        return found

    def told(self) -> dict[str, Any]:
        """What of the data makes parts comparable."""
        counted = sum(each.tokens is not None for each in self.rows)
        ratio, measured = self._characters_a_token()
        replayed = sum(each.step is not None for each in self.rows)
        return {
            "decided": self.decided,
            "judge": self.judge,
            "prompt_tokens": {
                "counted": counted,
                "estimated": len(self.rows) - counted,
                "characters_a_token": round(ratio, 3),
                "how": "characters of the input as JSON (messages and tools) / characters a token, "
                + ("as measured on the examples whose length was counted" if measured else "a rule of thumb"),
            },
            "steps": {
                "chains": self.chains,
                "steps": replayed,
                "by_reference": replayed - self.by_log,
                "by_log": self.by_log,
                "old_is_the_log": self.circular,
            },
        }

    def _characters_a_token(self) -> tuple[float, bool]:
        """Characters of the input a token, and whether they were measured on these pairs."""
        told = [(each.pair["characters"], each.tokens) for each in self.rows if each.tokens]
        if len(told) < _FEW_USAGES:
            return CHARACTERS_A_TOKEN, False
        return sum(one for one, _ in told) / sum(tokens for _, tokens in told), True

    def table(self) -> Any:
        """The outcomes, in the schema OUTCOMES."""
        ratio, _ = self._characters_a_token()
        seen: Counter[str] = Counter()
        made: dict[int, steps.Chain] = {
            members[-1].pair["row"]: steps.chain(row.step for row in members if row.step is not None)
            for members in self._chains().values()
        }
        columns: dict[str, list[Any]] = {name: [] for name in OUTCOMES.names}
        for row in self.rows:
            pair, link = row.pair, made.get(row.pair["row"])
            seen[pair["prompt_id"]] += 1
            again = seen[pair["prompt_id"]]
            values = {
                # Several pairs of one prompt are told apart by their order in the import.
                "example_id": pair["trace_id"] or pair["prompt_id"] + (f" #{again}" if again > 1 else ""),
                "metric": METRIC,
                "repeat": 0,
                "prompt_id": pair["prompt_id"],
                "task": pair["task"],
                "pair_id": pair["pair_id"],
                "old": row.right[0],
                "new": row.right[1],
                "same": row.same,
                "decided_by": row.decided_by,
                "weight": pair["weight"],
                "prompt_tokens": row.tokens if row.tokens is not None else round(pair["characters"] / ratio),
                "steps": link.steps if link else None,
                "old_steps": link.old_steps if link else None,
                "new_steps": link.new_steps if link else None,
                "old_cut": link.old_cut if link else row.old_cut,
                "new_cut": link.new_cut if link else row.new_cut,
            }
            for name, value in values.items():
                columns[name].append(value)
        return pa.table(columns, schema=OUTCOMES)


def _structured(answer: Mapping[str, Any]) -> Output | None:
    """An answer that calls tools or may be JSON, as a value; others need none."""
    begins = (answer.get("content") or "").lstrip()[:1]
    return Output.model_validate(answer) if answer.get("tool_calls") or begins in ("{", "`") else None


def _cut(answer: Mapping[str, Any], parsed: Output | None) -> bool | None:
    if parsed is not None:
        return steps.cut(parsed)
    reason = answer.get("finish_reason")
    return None if reason is None else reason in steps.CUT


def _alike(old: Output | None, new: Output | None) -> bool:
    """Structured parts that are the same, with no text left to judge; for pairs that no judge run compared yet."""
    if old is None or new is None:
        return False
    found = structured.compare(old, new)
    return found is not None and found.outcome == "same" and not found.text_differs


def _tokens(answers: Mapping[str, Mapping[str, Any]]) -> int | None:
    """The input's length as a server counted it; the baseline's count, so that candidates compare in the same bands."""
    for side in ("old", "new"):
        usage: Mapping[str, Any] = answers[side].get("usage") or {}
        count = usage.get("prompt_tokens")
        if isinstance(count, int) and count >= 0:
            return count
    return None


def _people(pairs: Sequence[Mapping[str, Any]]) -> list[Right | None]:
    """What people finally say of both sides: adjudicated, else the majority; None where a side has no final answer."""
    finals = {side: _final(pairs, side) for side in ("old", "new")}
    found: list[Right | None] = []
    for old, new in zip(finals["old"].tolist(), finals["new"].tolist(), strict=True):
        found.append(None if UNRESOLVED in (old, new) else (_right(old), _right(new)))
    return found


def _final(pairs: Sequence[Mapping[str, Any]], side: str) -> Any:
    counts = np.zeros((len(pairs), len(ERROR_DIRECTIONS)), dtype=np.int64)
    ruled = np.full(len(pairs), UNRESOLVED, dtype=np.int64)
    for at, pair in enumerate(pairs):
        for label in pair["labels"] or ():
            if label[side] < 0:
                continue
            if label["ruling"]:
                ruled[at] = label[side]
            else:
                counts[at, label[side]] += 1
    given = counts.sum(axis=1) > 0
    return np.where(given | (ruled != UNRESOLVED), final_answers(counts, ruled), UNRESOLVED)


def _right(error: int) -> float | None:
    return None if error == _CANNOT_TELL else float(error == _NONE)


def _judged(pairs: Sequence[Mapping[str, Any]]) -> list[Right | None]:
    """What the judge says of both sides; both open for a tie; None where it says nothing that can be used."""
    votes = np.zeros((len(pairs), 3, 4), dtype=np.int64)
    errors = {side: np.zeros((len(pairs), len(ERROR_DIRECTIONS)), dtype=np.int64) for side in ("old", "new")}
    for at, pair in enumerate(pairs):
        for vote in pair["votes"] or ():
            votes[at, vote["first"], vote["winner"]] += 1
            for side, counts in errors.items():
                if vote[side] >= 0:
                    counts[at, vote[side]] += 1
    said = {
        side: np.where(counts.sum(axis=1) > 0, majority(counts), UNRESOLVED).tolist() for side, counts in errors.items()
    }
    by_preference: dict[int, Right] = {OLD: (1.0, 0.0), NEW: (0.0, 1.0), TIE: (None, None)}
    found: list[Right | None] = []
    for old, new, verdict in zip(said["old"], said["new"], combine_votes(votes).verdict.tolist(), strict=True):
        told = UNRESOLVED not in (old, new) and _CANNOT_TELL not in (old, new)
        found.append((_right(old), _right(new)) if told else by_preference.get(verdict))
    return found
