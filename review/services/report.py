"""The report: one document from everything that stands, and its three renderings."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from review import __version__
from review.errors import BadInput, Conflict
from review.services import report_parts, runs
from review.services.desk import Answer, Call, Desk
from review.services.report_method import METHODS
from review.services.report_parts import SECTIONS, Document, Subject
from review.services.workspace import Workspace
from review.store import agreement as agreement_store
from review.store import report as store

Form = Literal["html", "markdown", "json"]

FORMAT = "parity-report 1"
PARTS = {
    "tolerance": "Right answers within tolerance",
    "failure_modes": "No new ways to fail",
    "direction": "Direction of error preserved",
}
SENTENCES = {
    "parity": "Every part of the contract holds: new is as good as old within the margins that were agreed.",
    "no harm": "Every part of the contract that must be shown to hold does; in the others no harm is shown.",
    "regression": "At least one part of the contract is broken beyond chance.",
    "inconclusive": "Nothing is broken beyond chance, and not everything is shown to hold.",
    "estimate": "An estimate, not a verdict: nobody has read a verdict off these labels yet.",
    "nothing": "Nothing can be said yet: there are no labels and no known outcomes to judge by.",
}
REDACTED = (
    "This report is redacted: texts of prompts, answers and comments, and people's names, are left out. "
    "Counts, rates and intervals are those of the full report."
)
WORDS = {"estimate": "No verdict yet", "nothing": "Nothing to judge"}
_LIBRARIES = ("numpy", "scipy", "statsmodels", "scikit-learn", "duckdb", "krippendorff")
_ATTEMPTS = 3


@dataclass(frozen=True)
class Asked:
    """What a report is about: a run by its id, name or number, or a round, or neither: all rounds and imports."""

    run: str | None = None
    round_id: str | None = None
    redact: bool = False

    def __post_init__(self) -> None:
        if self.run is not None and self.round_id is not None:
            raise BadInput("A report is about a run or about a round, not both. Leave out --run or --round.")


def build(desk: Desk, asked: Asked, tell: Callable[[int, int], None] = lambda _done, _all: None) -> Document:
    """The report as one JSON document. It takes no look, and twice from the same data it is the same.

    Args:
        desk: Where the facts are.
        asked: What it is about.
        tell: Called with how many sections are done, and of how many.

    Raises:
        NotFound: There is no such run or round.
        Conflict: Facts came in all the while.
    """
    said = {"run": asked.run, "round": asked.round_id, "redact": asked.redact}
    for _ in range(_ATTEMPTS):
        parts: dict[str, Document] = {}
        versions: set[str] = set()
        for done, name in enumerate(SECTIONS):
            answer = desk.ask("report.section", {**said, "section": name}).document
            parts[name] = answer["section"]
            versions.add(answer["version"])
            tell(done + 1, len(SECTIONS))
        if len(versions) == 1:
            return _assembled(asked, parts)
    raise Conflict("Labels or verdicts came in while the report was written, so its parts would not fit. Try again.")


def section(workspace: Workspace, call: Call) -> Answer:
    """One section; arguments: section, run, round, redact. For the desk."""
    said = call.arguments
    run = None if said.get("run") is None else runs.get(workspace, str(said["run"]))
    round_id = said.get("round")
    if round_id is not None:
        round_id = _round(workspace, str(round_id))
    subject = Subject(workspace, run, round_id, bool(said.get("redact")))
    version = store.version(workspace.database.cursor())
    return Answer({"section": report_parts.section(str(said["section"]), subject), "version": version})


def _round(workspace: Workspace, asked: str) -> str:
    """The round's id.

    Raises:
        NotFound: There is none.
    """
    from review.errors import NotFound

    if asked not in agreement_store.round_names(workspace.database.cursor()):
        raise NotFound(f"There is no round {asked!r}. See them with: review rounds")
    return asked


def rendered(document: Document, form: Form) -> str:
    """The document as one self-contained HTML file, as Markdown, or as JSON."""
    from review.adapters import html

    if form == "json":
        return json.dumps(document, ensure_ascii=True, indent=1, allow_nan=False) + "\n"
    return html.page(document) if form == "html" else html.markdown(document)


def _assembled(asked: Asked, parts: dict[str, Document]) -> Document:
    standing, about = parts["verdict"], parts["compared"]
    document: Document = {
        "format": FORMAT,
        "product": f"parity-review {__version__}",
        "redacted": REDACTED if asked.redact else None,
        "scope": _scope(asked, about),
        "date": _date(about, standing),
        "verdict": _verdict(standing),
        **{name: parts[name] for name in SECTIONS if name not in ("verdict", "configuration")},
        "gate": standing["gate"],
        "contract": standing["contract"],
        "parity": standing["parity"],
        "failures": standing["failures"],
        "flow": _flow(standing["parity"]),
        "method": [each._asdict() for each in METHODS],
        "reproduce": {
            "commands": _commands(asked, about),
            "configuration": parts["configuration"],
            "versions": _versions(),
        },
    }
    return {**document, "open": _open(document)}


def _scope(asked: Asked, about: Document) -> Document:
    if asked.run is not None:
        run = about["run"]
        return {"kind": "run", "name": run["name"], "id": run["run_id"]}
    if asked.round_id is not None:
        number = next((each["number"] for each in about["rounds"]), None)
        return {"kind": "round", "name": f"Round {number}", "id": asked.round_id}
    return {"kind": "all", "name": "All rounds and imports", "id": None}


def _date(about: Document, standing: Document) -> str | None:
    """When the newest fact came in: a report has no clock, so that it is the same whenever it is made."""
    run: Document = about["run"] or {}
    times: list[str | None] = [about["newest"], (standing["look"] or {}).get("taken_at"), run.get("started_at")]
    times += [(standing["gate"] or {}).get("gated_at"), *(each["signed_at"] for each in standing["contract"]["signed"])]
    times += [each["recorded_at"] for each in run.get("parts", [])]
    return max((_utc(each) for each in times if each), default=None)


def _utc(moment: str) -> str:
    from datetime import UTC, datetime

    return datetime.fromisoformat(moment).astimezone(UTC).isoformat(timespec="seconds")


def _verdict(standing: Document) -> Document:
    """The verdict on top: what it is, who read it off when, and what became of each part."""
    parity, gated = standing["parity"], standing["gate"]
    verdicts = parity.get("part_verdicts", {})
    said, parts = None, [{"id": each, "title": title, "verdict": verdicts.get(each)} for each, title in PARTS.items()]
    if gated is not None:
        said = gated["verdict"]
        parts = [{"id": each["id"], "title": each["title"], "verdict": each["verdict"]} for each in gated["parts"]]
    elif standing["basis"] == "look":
        said = parity["verdict"]
    kind = said or ("estimate" if standing["labelled_now"] else "nothing")
    bare = kind == "parity" and any(each["verdict"] == "no harm shown" for each in parts)
    return {
        "basis": standing["basis"],
        "verdict": said,
        "word": WORDS.get(kind, kind.capitalize()),
        "sentence": SENTENCES["no harm" if bare else kind],
        "parts": parts,
        "alpha": parity["alpha"] if gated is None else gated["alpha"],
        "look": standing["look"],
        "plan": standing["plan"],
        "newer": standing["newer"],
        "labelled_now": standing["labelled_now"],
    }


def _flow(parity: Document) -> Document:
    """Shares of traffic by kind of error, and what moved; without what has no error on either side."""
    shift = parity["parts"]["direction"]["shift"]
    if "not_estimable" in shift:
        return {"old": [], "new": [], "moves": []}
    errors, table = shift["errors"], shift["table"]
    moves = [
        {"old": old, "new": new, "share": table[row][column]}
        for row, old in enumerate(errors)
        for column, new in enumerate(errors)
        if (row, column) != (0, 0) and table[row][column] > 0
    ]
    sides = {
        side: [
            {"error": error, "share": report_parts.plain(sum(each["share"] for each in moves if each[side] == error))}
            for error in errors
            if any(each[side] == error for each in moves)
        ]
        for side in ("old", "new")
    }
    return {**sides, "moves": moves}


def _open(document: Document) -> list[Document]:
    """What cannot be said yet, and what would settle it."""
    found: list[Document] = []
    verdict, parts = document["verdict"], document["parity"]["parts"]
    if verdict["basis"] == "estimate":
        settle = "Label, then take a look on the Parity page or with review parity."
        found.append({"part": "The verdict", "why": SENTENCES["estimate"], "settle": settle})
    elif document["gate"] is not None:
        found += [_undecided(each) for each in document["gate"]["parts"] if each["verdict"] == "inconclusive"]
        return [*found, *_absent(document)]
    for row in parts["tolerance"]:
        if row.get("verdict") in ("inconclusive", None) and row["labels_needed"] is not None:
            found.append(_missing_labels(row))
    modes, direction = parts["failure_modes"], parts["direction"]
    for row in modes["categories"]:
        if row.get("verdict") == "inconclusive":
            why = "New shows it and old does not." if row["new_only"] else "Its growth is not shown to stay below."
            found.append({"part": f"Failure category {row['category']}", "why": why, "settle": _MORE})
    if modes.get("verdict") == "inconclusive" and not any(
        row.get("verdict") == "inconclusive" for row in modes["categories"]
    ):
        why = "A category that nobody saw could still stand in more of the traffic than was agreed."
        found.append({"part": PARTS["failure_modes"], "why": why, "settle": _MORE})
    if direction.get("verdict") == "inconclusive":
        why = "The interval of the balance D reaches over its margin."
        found.append({"part": PARTS["direction"], "why": why, "settle": _MORE})
    return [*found, *_absent(document)]


_MORE = "More labelled pairs: draw a further round."


def _undecided(part: Document) -> Document:
    """A part that the gate left undecided."""
    item: Document = {"part": part["title"], "why": part["why"] or "It is undecided.", "settle": _WANTS[part["id"]]}
    return item | ({} if part["missing"] is None else {"missing": part["missing"]})


_LABELS = "Labelled pairs of the run's traffic: draw a further round from its pairs."
_WANTS = {
    **dict.fromkeys(("tolerance", "failure_modes", "direction", "tone", "calibration", "judge_agreement"), _LABELS),
    "benchmark": "More examples of the benchmark: review bench or review import lm-eval.",
    "golden": "More items of the golden set: review golden.",
    "long_context": "More examples with long prompts.",
    "tool_chains": "More examples that call tools.",
    "weighted_score": "More examples of every kind of evidence.",
    "adversarial": "More confirmed entries, and the set asked in this run: review adversarial replay.",
}


def _missing_labels(row: Document) -> Document:
    task = row["task"]
    item: Document = {
        "part": PARTS["tolerance"] + ("" if task == "overall" else f": {task or '(no task)'}"),
        "why": "The interval reaches over the tolerance.",
        "settle": _MORE,
    }
    for name in ("labels_needed", "labels_needed_with_judge"):
        if isinstance(row[name], int):
            item[name] = row[name]
    if "not_estimable" in row["difference"]:
        item["why"] = "There is no estimate: " + row["difference"]["not_estimable"] + "."
    return item


def _absent(document: Document) -> list[Document]:
    """Sections that have nothing to say."""
    found: list[Document] = []
    if not document["compared"]["labels"]["labels"]:
        settle = "review draw, then label in the browser; or review import labels."
        found.append({"part": "Labels", "why": "No person has labelled a pair.", "settle": settle})
    if not document["compared"]["judges"]:
        settle = "review judge, or review import verdicts."
        found.append({"part": "Judge", "why": "No judge has given a verdict.", "settle": settle})
    if "old" not in document["calibration"] and "new" not in document["calibration"]:
        settle = "Import pairs whose answers state a confidence from 0 to 1."
        found.append(
            {"part": "Calibration", "why": "No answer has both a confidence and a known correctness.", "settle": settle}
        )
    for name, title in (("slices", "Long contexts and tool use"), ("evidence", "Benchmarks and golden set")):
        if document[name].get("missing"):
            found.append({"part": title, "why": document[name]["missing"], "settle": document[name]["settle"]})
    if not document["adversarial"]["entries"]:
        settle = "Flag failures on the Flag page, and let a second person confirm them."
        found.append({"part": "Adversarial set", "why": "The set is empty.", "settle": settle})
    return found


def _commands(asked: Asked, about: Document) -> list[str]:
    """What makes these numbers again from the same data."""
    drawn = [
        f"review draw --size {each['size']} --seed {each['seed']} --overlap {each['overlap']}"
        for each in about["rounds"]
        if asked.round_id is None or each
    ]
    chosen = [f"--round {asked.round_id}"] if asked.round_id else []
    whose = f"--run {about['run']['run_id']}" if about["run"] else " ".join(chosen)
    redact = " --redact" if asked.redact else ""
    return [
        "review config check",
        *drawn,
        *(
            [f"review run show {about['run']['run_id']}"]
            if about["run"]
            else [" ".join(["review parity --json", *chosen])]
        ),
        " ".join(f"review agreement --json {whose}".split()),
        "review adversarial verify",
        " ".join(f"review report {whose}".split()) + f" -o parity.html{redact}",
    ]


def _versions() -> list[dict[str, str]]:
    """What computed the numbers."""
    here = [{"name": "parity-review", "version": __version__}]
    here.append({"name": "Python", "version": ".".join(str(each) for each in sys.version_info[:3])})
    return here + [{"name": name, "version": importlib.metadata.version(name)} for name in _LIBRARIES]


def of_workspace(workspace: Workspace, by: str, asked: Asked) -> Document:
    """The report in the process that has the workspace open, as the page does it."""
    from review.services.desk import LocalDesk

    desk: Any = LocalDesk(workspace, by)
    return build(desk, asked)
