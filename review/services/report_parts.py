"""The sections of the report, each from facts that stand: what was compared, the parts, people and judge, examples."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from review.domain.contract import Terms
from review.domain.run import KINDS
from review.errors import ReviewError
from review.services import adversarial_runs, contracts, gate, looks, run_slices, runs
from review.services.gate_report import unproven
from review.services.parity import parity
from review.services.parity_report import FailureModes
from review.services.workspace import Workspace
from review.store import report as store
from review.store.runs import RunRow

Document = dict[str, Any]

EXAMPLES = 3  # of each failure category that is new or gone
MODELS = 20  # named for each side
_LONG = {"asked": 1_200, "answer": 2_400, "comment": 800}
_SIGNIFICANT = 9
# What an estimate that nobody has looked at must not say.
_VERDICTS = ("verdict", "part_verdicts", "direction", "p", "p_adjusted")
_LEFT_OUT = "(left out)"
_STRANGE = "a category outside of the configuration"


@dataclass(frozen=True)
class Subject:
    """What a report is about, and for whom.

    Attributes:
        run: An evaluation run; its traffic alone counts.
        round_id: Or one round.
        redact: Leave out all texts and people's names.
    """

    workspace: Workspace
    run: RunRow | None
    round_id: str | None
    redact: bool

    @property
    def scope(self) -> store.Scope:
        """Which facts count: a run's own traffic, a round's, or everything."""
        sources = None if self.run is None else runs.traffic_sources(self.workspace, self.run.run_id)
        return store.Scope(self.round_id, sources)

    def person(self, name: str) -> str:
        """A person's name, or that it was left out."""
        return _LEFT_OUT if self.redact else name

    def reviewers(self) -> dict[str, str]:
        """Reviewers' names as the report shows them: themselves, or numbered in the order of their names."""
        names = store.reviewer_names(self.workspace.database.cursor())
        return {name: f"Reviewer {at}" if self.redact else name for at, name in enumerate(names, 1)}


def plain(document: object) -> Any:
    """As JSON has it; numbers with nine significant digits, because sums may differ in their last bits.

    Times become ISO 8601 text in UTC.
    """
    if isinstance(document, Mapping):
        return {str(key): plain(value) for key, value in cast("Mapping[object, object]", document).items()}
    if isinstance(document, list | tuple):
        return [plain(each) for each in cast("list[object]", document)]
    if isinstance(document, bool | int | str) or document is None:
        return document
    if isinstance(document, float):
        return float(f"{document:.{_SIGNIFICANT}g}")
    if hasattr(document, "isoformat"):
        return cast(Any, document).isoformat()
    raise TypeError(f"a report holds no {type(document).__name__}")


def compared(subject: Subject) -> Document:
    """What was compared: the systems, the pairs, who labelled them and how, the judges, the rounds."""
    cursor, scope = subject.workspace.database.cursor(), subject.scope
    shown = subject.reviewers()
    models = store.models(cursor, scope)
    drawn = store.rounds(cursor, scope)
    return {
        "run": None if subject.run is None else _run(subject, subject.run),
        "pairs": store.pairs(cursor, scope),
        "sources": [{**row, "source": _file_name(row["source"])} for row in store.sources(cursor, scope)],
        "models": {
            side: [{"model": row["model"], "pairs": row["pairs"]} for row in models if row["side"] == side][:MODELS]
            for side in ("old", "new")
        },
        "labels": store.blind(cursor, scope),
        "reviewers": [{**row, "name": shown[row["name"]]} for row in store.reviewers(cursor, scope)],
        "judges": store.judges(cursor, scope),
        "rounds": [_round(subject, row) for row in drawn],
        "newest": store.newest(cursor, scope),
        "config_hash": runs.config_hash(subject.workspace.settings),
    }


def _run(subject: Subject, run: RunRow) -> Document:
    document = runs.described(run, runs.parts(subject.workspace, run.run_id))
    for part in document["parts"]:
        part["recorded_by"] = subject.person(part["recorded_by"])
        # What makes a part comparable may quote prompts.
        part["detail"] = {} if subject.redact else part["detail"]
    return {**document, "started_by": subject.person(run.started_by)}


def _round(subject: Subject, row: store.Row) -> Document:
    source = row["source"]
    return {
        **row,
        "name": None if subject.redact else row["name"],
        "drawn_by": subject.person(row["drawn_by"]),
        "source": None if source is None else _file_name(source),
    }


def _file_name(source: str) -> str:
    """A source without the folders of the machine it came from."""
    return re.split(r"[\\/]", source)[-1] or source


def verdict(subject: Subject) -> Document:
    """The three parts as they were last read, else as estimates that are no verdict; of a run, its last gate."""
    if subject.run is not None:
        return _of_run(subject, subject.run)
    report = parity(subject.workspace, round_id=subject.round_id)
    plan = looks.plan(subject.workspace, report)
    last = plan.last
    return {
        "basis": "estimate" if last is None else "look",
        "look": None if last is None else {**last.to_json(), "taken_by": subject.person(last.taken_by)},
        "plan": {
            "looks_taken": len(plan.looks),
            "looks_planned": plan.planned_looks,
            "labelled_pairs": plan.labelled,
            "planned_pairs": plan.planned,
            "under_other_contracts": plan.other_contracts,
            "refusal": plan.refusal,
        },
        "newer": last is not None and last.evidence != report.evidence,
        "labelled_now": report.labelled,
        "gate": None,
        "failures": failures(subject, report.failure_modes),
        "contract": {"digest": report.contract.digest, "version": None, "signed": [], **report.contract.model_dump()},
        "parity": _named(subject, unread(report.to_json()) if last is None else last.report),
    }


def _of_run(subject: Subject, run: RunRow) -> Document:
    """A run's gate, and its three parts in detail: estimates, because each verdict on them is the gate's."""
    gated = gate.last(subject.workspace, run.run_id)
    held = contracts.held(subject.workspace).to_json() if gated is None else gated["contract"]
    terms = Terms.model_validate({key: held[key] for key in held if key in Terms.model_fields})
    alpha = None if gated is None or not gated["alpha"] else gated["alpha"]
    report = parity(subject.workspace, sources=subject.scope.sources, contract=terms, alpha=alpha)
    signed = [{**each, "name": subject.person(each["name"]), "signed_by": None} for each in held["signed"]]
    return {
        "basis": "estimate" if gated is None else "gate",
        "look": None,
        "plan": None,
        "newer": gated is not None and gate.standing(subject.workspace, run, terms).changed,
        "labelled_now": report.labelled,
        "gate": None if gated is None else _gate(subject, gated),
        "failures": failures(subject, report.failure_modes),
        "contract": {**held, "signed": signed},
        "parity": _named(subject, unread(report.to_json())),
    }


_OF_GATE = (
    "verdict",
    "line",
    "gated_at",
    "alpha",
    "look",
    "looks",
    "labelled_pairs",
    "planned_pairs",
    "notes",
    "number",
)
_OF_PART = ("id", "title", "evidence", "verdict", "estimate", "bound", "bound_kind", "two_sided", "missing", "why")


def _gate(subject: Subject, document: Document) -> Document:
    """What the gate said: of its parts only what is known to hold no text of a trace."""
    said = {key: document[key] for key in _OF_GATE}
    return {
        **said,
        "evidence": document["evidence"],
        "parts": [_gate_part(subject, each) for each in document["parts"]],
    }


def _gate_part(subject: Subject, part: Document) -> Document:
    rows = [_gate_part(subject, each) for each in part["rows"]]
    found: Document = {**{key: part[key] for key in _OF_PART}, "rows": rows}
    if unproven(part):
        found["verdict"] = "no harm shown"
    if part["id"] == "failure_modes":
        named = {each["id"]: category_name(subject, each["id"]) for each in rows}
        found["rows"] = [{**each, "id": named[each["id"]], "title": named[each["id"]]} for each in rows]
        if subject.redact and any(name == _STRANGE for name in named.values()):
            found["why"] = None  # it may quote the category
    return found


def unread(document: Any) -> Any:
    """A parity report without its verdicts and their p values: nobody has looked."""
    if isinstance(document, dict):
        known = cast(Document, document)
        return {
            key: unread(value)
            for key, value in known.items()
            # "direction" is a verdict where it is a word, and a part where it is a document.
            if key not in _VERDICTS or (key == "direction" and isinstance(value, dict))
        }
    return [unread(each) for each in cast("list[Any]", document)] if isinstance(document, list) else document


def _named(subject: Subject, document: Document) -> Document:
    """The categories with the names that people know them by."""
    modes = document["parts"]["failure_modes"]
    categories = [{**each, "category": category_name(subject, each["category"])} for each in modes["categories"]]
    parts = {**document["parts"], "failure_modes": {**modes, "categories": categories}}
    return {**document, "parts": parts}


def category_name(subject: Subject, category: str) -> str:
    """A failure category's name; one that the configuration does not know is somebody's text."""
    names = {each.id: each.name for each in subject.workspace.settings.config.failure_categories}
    return names.get(category) or (_STRANGE if subject.redact else category)


def agreement(subject: Subject) -> Document:
    """Judges against people, and people among each other."""
    from review.services.agreement import agreement as compare

    document: Document = compare(subject.workspace, round_id=subject.round_id, sources=subject.scope.sources).to_json()
    shown = subject.reviewers()
    people = document["humans"]
    pairwise = [{**each, "a": shown[each["a"]], "b": shown[each["b"]]} for each in people["pairwise"]]
    people = {**people, "names": [shown[name] for name in people["names"]], "pairwise": pairwise}
    return {**document, "humans": people}


def tone(subject: Subject) -> Document:
    """Whose tone people found fitter, and how the wording changed."""
    from review.services.tone import tone_of

    return tone_of(subject.workspace, subject.round_id, sources=subject.scope.sources).to_json()


def calibration(subject: Subject) -> Document:
    """Whether confidence means what it says, old against new."""
    from review.services.calibration import calibration_of

    return calibration_of(subject.workspace, subject.round_id, subject.scope.sources).to_json()


def failures(subject: Subject, modes: FailureModes) -> Document:
    """Categories that are seen on one side only, with examples that anybody finds again."""
    cursor, scope = subject.workspace.database.cursor(), subject.scope
    found: list[Document] = []
    for each in modes.categories:
        kind = "new" if each.new_only else "gone" if each.old and not each.new else "both"
        side = "old" if kind == "gone" else "new"
        pairs, ids = store.example_ids(cursor, scope, each.category, side, EXAMPLES)
        if kind == "both" or not ids:
            continue
        found.append(
            {
                "category": category_name(subject, each.category),
                "kind": kind,
                "side": side,
                "old": each.old,
                "new": each.new,
                "pairs": pairs,
                "examples": [_example(subject, scope, pair_id) for pair_id in ids],
            }
        )
    return {"categories": found, "shown": EXAMPLES, "seen": len(modes.categories)}


def _example(subject: Subject, scope: store.Scope, pair_id: str) -> Document:
    cursor = subject.workspace.database.cursor()
    pair = store.texts(cursor, pair_id)
    said = store.said(cursor, scope, [pair_id])
    shown = subject.reviewers()
    example: Document = {"pair_id": pair_id, "task": pair["task"], "labels": len(said)}
    if subject.redact:
        return example
    return {
        **example,
        "asked": _cut(_asked(pair["messages"]), _LONG["asked"]),
        "old": _cut(_answer(pair["old"]), _LONG["answer"]),
        "new": _cut(_answer(pair["new"]), _LONG["answer"]),
        "said": [
            {
                "reviewer": shown[row["reviewer"]],
                "error_old": row["error_old"],
                "error_new": row["error_new"],
                "comment": _cut(row["comment"], _LONG["comment"]) if row["comment"] else None,
            }
            for row in said
        ],
    }


def _asked(messages: list[Document]) -> str:
    """The last message of a person, else the last one."""
    said = [each for each in messages if each.get("role") == "user"] or messages[-1:]
    return _content(said[-1].get("content")) if said else ""


def _content(content: Any) -> str:
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        return "\n".join(str(cast(Document, each).get("text", "")) for each in parts if isinstance(each, dict))
    return "" if content is None else str(content)


def _answer(output: Document) -> str:
    """An answer's text, and its tool calls as name and arguments."""
    lines = [_content(output.get("content"))]
    for call in cast("list[Document]", output.get("tool_calls") or []):
        function: Document = call.get("function") or {}
        arguments: Any = function.get("arguments")
        written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        lines.append(f"→ {function.get('name', '')} {written or ''}")
    return "\n".join(line for line in lines if line)


def _cut(text: str, limit: int) -> Document:
    """A text for a reader: without what no file or terminal can hold, and not longer than anybody reads."""
    whole = "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text[: limit + 1])
    return {"text": whole[:limit] + ("…" if len(whole) > limit else ""), "characters": len(text)}


def slices(subject: Subject) -> Document:
    """Prompts by length, and chains of tool calls, of the run."""
    if subject.run is None:
        return {"missing": "The report is about no evaluation run, of whose outcomes slices are made.", "settle": _RUN}
    lengths = run_slices.long_context(subject.workspace, subject.run.run_id)
    chains = run_slices.tool_chains(subject.workspace, subject.run.run_id)
    found = {"long_context": lengths.to_json(), "tool_chains": chains.to_json()}
    if any(each.n for each in lengths.buckets) or chains.chains:
        return found
    settle = "Put evidence with lengths of prompts or tool calls into it: review run record."
    return {
        "missing": "No outcome of the run tells the length of its prompt or calls tools.",
        "settle": settle,
        **found,
    }


def evidence(subject: Subject) -> Document:
    """Every part of the run: benchmarks, golden set, replay, shadow."""
    if subject.run is None:
        return {"parts": [], "missing": "The report is about no evaluation run, so it has neither.", "settle": _RUN}
    parts = run_slices.by_part(subject.workspace, subject.run.run_id)
    has = {each.evidence for each in parts}
    lacks = [kind for kind in KINDS if kind not in has]
    return {
        "parts": [each.to_json() for each in parts if each.evidence != "adversarial"],
        "lacks": lacks,
        "missing": None if has & set(KINDS) else "The run has no evidence yet.",
        "settle": None if has & set(KINDS) else "review run record, review import lm-eval, review golden.",
    }


_RUN = "Begin a run, put evidence into it, and name it here: review run start NAME --step quantization."


def adversarial(subject: Subject) -> Document:
    """The permanent adversarial set: its chain, how it grew, what kinds of failure it holds."""
    from review.services import flag

    found, summary = flag.verify(subject.workspace), flag.summary(subject.workspace)
    categories: dict[str, int] = {}
    for (category, _), count in summary.categories.items():
        name = category_name(subject, category)
        categories[name] = categories.get(name, 0) + count
    return {
        "verified": found.ok,
        "head": found.head,
        "rows": found.rows,
        "first_bad": found.first_bad,
        "entries": summary.entries,
        "confirmed": summary.confirmed,
        "erased": summary.erased,
        "waiting": summary.waiting,
        "standing": None if subject.run is None else _standing(subject, subject.run),
        "categories": [{"category": name, "entries": categories[name]} for name in sorted(categories)],
        "growth": [
            {"day": each.day, "entries": each.entries, "confirmed": each.confirmed, "erased": each.erased}
            for each in summary.growth
        ],
    }


def _standing(subject: Subject, run: RunRow) -> Document | None:
    """How the set stood in the run; None where it was not asked."""
    if not any(each.evidence == "adversarial" for each in runs.parts(subject.workspace, run.run_id)):
        return None
    found = adversarial_runs.standing(subject.workspace, run)
    judge = found.judge
    return {
        "entries": [
            {
                "entry_id": each.entry_id,
                "task": each.task,
                "failed": each.failed,
                "before": {True: "passed", False: "failed", None: "not known"}[each.before],
                "lost": each.lost,
                **{
                    f"{side}_{what}": sum(repeat is value for repeat in repeats)
                    for side, repeats in (("old", each.old), ("new", each.new))
                    for what, value in (("passed", True), ("failed", False), ("undecided", None))
                },
            }
            for each in sorted(found.entries, key=lambda each: each.entry_id)
        ],
        "missing": list(found.missing),
        "lost": list(found.lost),
        "previous": None if found.previous is None else found.previous.name,
        "unconfirmed": found.unconfirmed,
        "later": found.later,
        "size": found.size,
        "repeats": found.repeats,
        "judge": {
            "positives": judge.positives,
            "negatives": judge.negatives,
            "sensitivity": judge.sensitivity.to_json(),
            "specificity": judge.specificity.to_json(),
        },
    }


def configuration(subject: Subject) -> Document:
    """What the evaluation was configured to do, without addresses, keys and paths."""
    config: Document = subject.workspace.settings.config.model_dump(mode="json")
    config["adversarial"].pop("path", None)
    return _without_addresses(config)


_ADDRESSES = ("base_url", "api_key_env", "path", "url", "webhook", "host", "secret_env", "password_env")


def _without_addresses(document: Any) -> Any:
    if isinstance(document, dict):
        known = cast(Document, document)
        return {
            key: _without_addresses(value)
            for key, value in known.items()
            if key not in _ADDRESSES and not key.endswith(("_env", "_url", "_path"))
        }
    return (
        [_without_addresses(each) for each in cast("list[Any]", document)] if isinstance(document, list) else document
    )


def section(name: str, subject: Subject) -> Document:
    """One section by its name.

    Raises:
        ReviewError: There is no such section.
    """
    if name not in SECTIONS:
        raise ReviewError(f"The report has no section {name[:40]!r}; it has {', '.join(SECTIONS)}.")
    return cast(Document, plain(SECTIONS[name](subject)))


SECTIONS = {
    "compared": compared,
    "verdict": verdict,
    "agreement": agreement,
    "tone": tone,
    "calibration": calibration,
    "slices": slices,
    "evidence": evidence,
    "adversarial": adversarial,
    "configuration": configuration,
}
