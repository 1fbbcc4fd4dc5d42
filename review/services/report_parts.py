"""The sections of the report, each from facts that stand: what was compared, the parts, people and judge, examples."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from review.errors import ReviewError
from review.services import looks, runs
from review.services.parity import parity
from review.services.workspace import Workspace
from review.stats.intervals import clustered_mean, compact
from review.stats.stratified import stratified_difference
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
    """The three parts as they were last read, else as estimates that are no verdict."""
    workspace, run = subject.workspace, subject.run
    sources = subject.scope.sources
    report = parity(workspace, round_id=subject.round_id, sources=sources)
    if run is not None:
        basis, document, look, newer = "estimate", unread(report.to_json()), None, False
        planned: Document | None = None
    else:
        plan = looks.plan(workspace, report)
        planned = {"looks_taken": len(plan.looks), "looks_planned": plan.planned_looks}
        planned |= {"labelled_pairs": plan.labelled, "planned_pairs": plan.planned}
        planned |= {"under_other_contracts": plan.other_contracts, "refusal": plan.refusal}
        last = plan.last
        basis, document, look, newer = "estimate", unread(report.to_json()), None, False
        if last is not None:
            basis, document = "look", last.report
            look = {**last.to_json(), "taken_by": subject.person(last.taken_by)}
            newer = last.evidence != report.evidence
    return {
        "basis": basis,
        "look": look,
        "plan": planned,
        "newer": newer,
        "labelled_now": report.labelled,
        "parity": _named(subject, document),
    }


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
    return names.get(category) or ("a category outside of the configuration" if subject.redact else category)


def agreement(subject: Subject) -> Document:
    """Judges against people, and people among each other."""
    from review.services.agreement import agreement as compare

    document: Document = compare(subject.workspace, round_id=subject.round_id).to_json()
    shown = subject.reviewers()
    people = document["humans"]
    pairwise = [{**each, "a": shown[each["a"]], "b": shown[each["b"]]} for each in people["pairwise"]]
    people = {**people, "names": [shown[name] for name in people["names"]], "pairwise": pairwise}
    return {**document, "humans": people}


def tone(subject: Subject) -> Document:
    """Whose tone people found fitter, and how the wording changed."""
    from review.services.tone import tone_of

    return tone_of(subject.workspace, subject.round_id).to_json()


def calibration(subject: Subject) -> Document:
    """Whether confidence means what it says, old against new."""
    from review.services.calibration import calibration_of

    return calibration_of(subject.workspace, subject.round_id).to_json()


def failures(subject: Subject) -> Document:
    """Categories that are seen on one side only, or that grew beyond chance, with examples that anybody finds again."""
    cursor, scope = subject.workspace.database.cursor(), subject.scope
    report = parity(subject.workspace, round_id=subject.round_id, sources=scope.sources)
    found: list[Document] = []
    for each in report.failure_modes.categories:
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
    return {"categories": found, "shown": EXAMPLES, "seen": len(report.failure_modes.categories)}


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


def evidence(subject: Subject) -> Document:
    """Benchmarks and golden set: each part of the run with its means and their difference."""
    if subject.run is None:
        return {"parts": [], "missing": "The report is about no evaluation run, so it has neither.", "settle": _RUN}
    found: list[Document] = []
    for kind in ("benchmark", "golden"):
        table = runs.outcomes(subject.workspace, subject.run.run_id, kind)
        names = [table[name].to_pylist() for name in ("part", "metric")]
        keys = list(zip(*names, strict=True))
        for part, metric in sorted(set(keys)):
            inside = np.array([key == (part, metric) for key in keys])
            found.append({"evidence": kind, "part": part, "metric": metric, **_difference(table, inside)})
    missing = None if found else "The run has neither benchmarks nor a golden set."
    return {"parts": found, "missing": missing, "settle": None if found else _RUN}


def slices(subject: Subject) -> Document:
    """Long contexts and chains of tool calls of the run."""
    if subject.run is None:
        return {"missing": "The report is about no evaluation run, which slices are made of.", "settle": _RUN}
    return {"missing": "The run has no slices.", "settle": _RUN}


_RUN = "review run start NAME --step quantization, then put evidence into it and name it here with --run."


def _difference(table: Any, inside: Any) -> Document:
    """Means of both sides and their difference over a part's examples, repeats as one example."""

    def numbers(name: str) -> Any:
        return np.array([np.nan if each is None else each for each in table[name].to_pylist()], dtype=np.float64)

    old, new = numbers("old"), numbers("new")
    same = np.array(table["same"].to_pylist(), dtype=np.bool_)
    known = ~np.isnan(old) & ~np.isnan(new)
    used = inside & known & (np.array(table["repeat"].to_pylist()) == 0)
    prompts = np.array(table["prompt_id"].to_pylist(), dtype=object)[used].astype(str)
    clusters = compact(np.unique(prompts, return_inverse=True)[1].astype(np.int64))
    steps = np.where(same, 0.0, new - old)[used]
    return {
        "n": int(used.sum()),
        "unknown": int((inside & ~known).sum()),
        "old": clustered_mean(old[used], clusters, 0.95).to_json(),
        "new": clustered_mean(new[used], clusters, 0.95).to_json(),
        "difference": stratified_difference(steps, clusters, level=0.95).to_json(),
    }


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
        "categories": [{"category": name, "entries": categories[name]} for name in sorted(categories)],
        "growth": [
            {"day": each.day, "entries": each.entries, "confirmed": each.confirmed, "erased": each.erased}
            for each in summary.growth
        ],
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
    "failures": failures,
    "slices": slices,
    "evidence": evidence,
    "adversarial": adversarial,
    "configuration": configuration,
}
