"""What a verdict of the gate says: its parts as values, and as JSON, a sentence, JUnit XML and Markdown."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.multiple import holm
from review.stats.verdict import Verdict, harm_p, joined

Bound = Literal["margin", "floor", "ceiling"]
Document = dict[str, Any]

TITLES: dict[str, str] = {
    "tolerance": "Right answers",
    "failure_modes": "Ways to fail",
    "direction": "Direction of error",
    "tone": "Tone",
    "calibration": "Calibration",
    "benchmark": "Benchmarks",
    "golden": "Golden set",
    "long_context": "Long context",
    "tool_chains": "Chains of tool calls",
    "weighted_score": "Weighted score",
    "adversarial": "Adversarial set",
    "judge_agreement": "Judge against people",
}
_ORDER = tuple(TITLES)
_SHOWN = 120


@dataclass(frozen=True)
class Finding:
    """A part of the contract, or one row of it, such as a task.

    Attributes:
        id: Of the part; of a row its name (a task, a category), which is untrusted text.
        verdict: Of three.
        estimate: What it is read from.
        bound: The number that was agreed.
        bound_kind: "margin": the lower limit lies above it (it is below 0); "floor": the lower limit lies above it;
            "ceiling": the upper limit lies below it.
        two_sided: The estimate lies between -bound and bound.
        evidence: What it rests on, in a word.
        why: The reason for the verdict, in a sentence.
        missing: Further labels, examples or cases for a decision; None where it is decided or cannot be said.
        judged: It rests on a judge's verdicts.
        alpha: One-sided.
        proven: False for a parity that says only that no harm is shown, where the contract does not ask for more.
        rows: Its rows.
    """

    id: str
    verdict: Verdict
    estimate: Result
    bound: float
    bound_kind: Bound
    evidence: str
    why: str
    alpha: float
    missing: int | None = None
    two_sided: bool = False
    judged: bool = False
    proven: bool = True
    rows: tuple[Finding, ...] = ()

    @property
    def title(self) -> str:
        """The part's name for people; a row is called what it is."""
        return TITLES.get(self.id, self.id)

    def but(self, reason: str) -> Finding:
        """The same, not taken for parity, for a reason that stands in front of its own."""
        if self.verdict != "parity":
            return replace(self, why=f"{self.why} {reason}")
        return replace(self, verdict="inconclusive", why=f"{reason} {self.why}")

    def to_json(self) -> Document:
        """As plain JSON values."""
        return {
            "id": self.id,
            "title": self.title,
            "evidence": self.evidence,
            "verdict": self.verdict,
            "estimate": self.estimate.to_json(),
            "bound": self.bound,
            "bound_kind": self.bound_kind,
            "two_sided": self.two_sided,
            "alpha": self.alpha,
            "missing": self.missing,
            "judged": self.judged,
            "proven": self.proven,
            "why": self.why,
            "rows": [each.to_json() for each in self.rows],
        }


def stored(document: Document) -> Finding:
    """The finding that `to_json` wrote."""
    said = document["estimate"]
    estimate: Result = NotEstimable(said["not_estimable"]) if "not_estimable" in said else Estimate(**said)
    plain = {key: document[key] for key in document.keys() - {"title", "estimate", "rows"}}
    return Finding(**plain, estimate=estimate, rows=tuple(stored(each) for each in document["rows"]))


def unproven(part: Mapping[str, Any]) -> bool:
    """Whether a part or row passed because no harm is shown, and not because its interval holds."""
    return part["verdict"] == "parity" and not part.get("proven", True)


@dataclass(frozen=True)
class Claim:
    """Something that must stay within a bound, before it is judged.

    Attributes:
        name: Of the row.
        at: The estimate at a two-sided level.
        bound, bound_kind, two_sided: As in Finding.
        missing: From the estimate, how many further observations would decide.
    """

    name: str
    at: Callable[[float], Result]
    bound: float
    bound_kind: Bound
    missing: Callable[[Result], int | NotEstimable | None]
    two_sided: bool = False

    def harmful(self, found: Estimate) -> bool:
        """Whether the interval lies wholly beyond the bound."""
        if self.two_sided:
            return found.low > self.bound or found.high < -self.bound
        return found.low > self.bound if self.bound_kind == "ceiling" else found.high < self.bound

    def holds(self, found: Estimate) -> bool:
        """Whether the interval lies wholly within the bound."""
        if self.two_sided:
            return found.high < self.bound and found.low > -self.bound
        return found.high < self.bound if self.bound_kind == "ceiling" else found.low > self.bound


def judged(claims: Sequence[Claim], alpha: float, evidence: str, *, must_hold: bool = True) -> tuple[Finding, ...]:
    """The claims' verdicts; harm after Holm over them.

    Args:
        claims: Rows of one part.
        alpha: One-sided.
        evidence: What they rest on.
        must_hold: Where False, a row fails by shown harm and by nothing else.
    """
    if len(claims) == 1:
        only = claims[0].at(1 - 2 * alpha)
        ps = [0.0 if isinstance(only, Estimate) and claims[0].harmful(only) else 1.0]
    else:
        ps = holm([harm_p(claim.at, claim.harmful, alpha) for claim in claims])
    found: list[Finding] = []
    for claim, adjusted in zip(claims, ps, strict=True):
        estimate = claim.at(1 - 2 * alpha)
        verdict: Verdict = "inconclusive"
        if adjusted <= alpha:
            verdict = "regression"
        elif isinstance(estimate, Estimate) and claim.holds(estimate):
            verdict = "parity"
        shown = verdict == "inconclusive"
        if shown and not must_hold:
            verdict = "parity"
        more = claim.missing(estimate) if shown and must_hold else None
        found.append(
            Finding(
                id=claim.name,
                verdict=verdict,
                estimate=estimate,
                bound=claim.bound,
                bound_kind=claim.bound_kind,
                evidence=evidence,
                why=why(estimate, verdict, claim.bound, claim.bound_kind, claim.two_sided)
                if must_hold or not shown
                else f"No harm is shown: {told(estimate)}.",
                alpha=alpha,
                missing=more if isinstance(more, int) else None,
                two_sided=claim.two_sided,
                proven=must_hold or not shown,
            )
        )
    return tuple(found)


def part(id: str, rows: Sequence[Finding], *, judged: bool = False) -> Finding:
    """A part that holds where all its rows hold; the row that decides speaks for it."""
    verdict = joined(each.verdict for each in rows)
    speaking = [each for each in rows if each.verdict == verdict]
    first = min(speaking, key=_room)
    missing = [each.missing for each in speaking if each.missing is not None]
    if len(rows) == 1:
        return replace(first, id=id, rows=(), judged=judged)
    names = ", ".join(clipped(each.id, 40) for each in speaking[:3]) + (", …" if len(speaking) > 3 else "")
    bare = [each for each in rows if not each.proven]
    held = f"No harm is shown in {len(bare)} of {len(rows)}" if bare else f"All {len(rows)} hold"
    said = {
        "parity": f"{held}; closest is {clipped(first.id, 60)}: {first.why}",
        "regression": f"{len(speaking)} of {len(rows)} fail ({names}). {clipped(first.id, 60)}: {first.why}",
        "inconclusive": f"{len(speaking)} of {len(rows)} are undecided ({names}). {clipped(first.id, 60)}: {first.why}",
    }[verdict]
    return replace(
        first,
        id=id,
        verdict=verdict,
        why=said,
        missing=max(missing) if missing else None,
        judged=judged,
        proven=not bare,
        rows=tuple(rows),
    )


def _room(found: Finding) -> float:
    """How far the interval's worse end lies within the bound; what cannot be estimated comes first."""
    estimate = found.estimate
    if isinstance(estimate, NotEstimable):
        return float("-inf")
    if found.two_sided:
        return found.bound - max(estimate.high, -estimate.low)
    return found.bound - estimate.high if found.bound_kind == "ceiling" else estimate.low - found.bound


def why(estimate: Result, verdict: Verdict, bound: float, kind: Bound, two_sided: bool = False) -> str:
    """The reason of a verdict in a sentence."""
    if isinstance(estimate, NotEstimable):
        return f"Not to be said: {estimate.reason}."
    if two_sided:
        agreed = f"between {-bound:+.3g} and {bound:+.3g}"
    else:
        agreed = f"{'below' if kind == 'ceiling' else 'above'} {bound:.3g}"
    inside = estimate.high < bound if kind == "ceiling" else estimate.low > bound
    beyond = estimate.low > bound if kind == "ceiling" else estimate.high < bound
    if two_sided:
        inside, beyond = -bound < estimate.low and estimate.high < bound, bound < estimate.low or estimate.high < -bound
    ending = f"all of it {agreed}, as agreed" if inside else f"not all of it {agreed}, as agreed, and not all beyond"
    if beyond:
        ending = f"none of it {agreed}, as agreed"
        ending += ", yet among so many claims that may be chance" * (verdict == "inconclusive")
    return f"{told(estimate)}: {ending}."


def told(estimate: Result) -> str:
    """An estimate with its interval."""
    if isinstance(estimate, NotEstimable):
        return f"not estimable ({estimate.reason})"
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"


def clipped(text: str, length: int = _SHOWN) -> str:
    """Untrusted text on one short line."""
    whole = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return whole if len(whole) <= length else whole[: length - 1] + "…"


@dataclass(frozen=True)
class GateReport:
    """A verdict of the gate, as stored.

    Attributes:
        verdict: Parity where all parts hold.
        document: Everything that was read.
        new: It was recorded now; False where nothing had changed since.
        refusal: Why labels could not be looked at anew; None where they were, or where there are none.
    """

    verdict: Verdict
    document: Document
    new: bool
    refusal: str | None

    @property
    def line(self) -> str:
        """The verdict in a sentence."""
        return str(self.document["line"])

    def to_json(self) -> Document:
        """The document that was stored."""
        return self.document


def ordered(parts: Sequence[Finding]) -> tuple[Finding, ...]:
    """The parts in the order people know them in."""
    return tuple(sorted(parts, key=lambda each: _ORDER.index(each.id)))


def sentence(verdict: Verdict, run: Mapping[str, Any], parts: Sequence[Finding]) -> str:
    """The line a person reads at the end."""
    candidate, baseline = clipped(str(run["candidate"]["name"]), 60), clipped(str(run["baseline"]["name"]), 60)
    who = f"run {run['number']} ({clipped(str(run['name']), 60)}), {candidate} against {baseline}"
    named = {each: [part.title for part in parts if part.verdict == each] for each in ("regression", "inconclusive")}
    if verdict == "parity":
        bare = [part.title for part in parts if not part.proven]
        if not bare:
            return f"PARITY: {who}: all {len(parts)} parts of the contract hold."
        held = f"{len(parts) - len(bare)} parts of the contract hold"
        return f"PARITY: {who}: {held}, and no harm is shown in {', '.join(bare)}."
    if verdict == "regression":
        return f"REGRESSION: {who}: worse than agreed in {', '.join(named['regression'])}."
    missing = [
        f"{part.title.lower()} about {part.missing:,} more {unit(part.id)}"
        for part in parts
        if part.missing is not None and part.verdict == "inconclusive"
    ]
    lacking = f" Missing: {'; '.join(missing)}." if missing else ""
    return f"INCONCLUSIVE: {who}: undecided in {', '.join(named['inconclusive']) or 'everything'}.{lacking}"


def unit(id: str) -> str:
    """What is counted as missing for a part."""
    if id in ("tolerance", "failure_modes", "direction", "tone", "calibration", "judge_agreement"):
        return "labelled pairs"
    return "entries" if id == "adversarial" else "examples"


def lines(document: Document) -> list[str]:
    """For the terminal: a line a part, a line a row that does not hold, what to know, and the verdict last."""
    contract, mark = document["contract"], {"parity": "  ok  ", "regression": " FAIL ", "inconclusive": "  ?   "}
    said = [f"contract: {contract_words(contract)}; alpha {document['alpha']:.4g} at look {document['look'] or '-'}"]
    for each in document["parts"]:
        said.append(f"{'  -   ' if unproven(each) else mark[each['verdict']]}{each['title']}: {each['why']}")
        said += [
            f"      {mark[row['verdict']].strip()} {clipped(row['title'])}: {row['why']}"
            for row in each["rows"]
            if row["verdict"] != "parity"
        ]
    said += [f"note: {each}" for each in document["notes"]]
    return [*said, document["line"]]


def contract_words(contract: Mapping[str, Any]) -> str:
    """Which contract, and who signed it."""
    if contract["version"] is None:
        return f"{contract['digest'][:12]}, which nobody signed"
    names = ", ".join(clipped(each["name"], 60) for each in contract["signed"])
    return f"version {contract['version']} ({contract['digest'][:12]}), signed by {names}"


def junit(document: Document) -> str:
    """The verdict as JUnit XML: a case a part; a regression is a failure, what is undecided is an error.

    An error and not a skipped case: CI passes over skipped cases, and nothing undecided may look green.
    """
    parts = document["parts"]
    counts = {each: sum(part["verdict"] == each for part in parts) for each in ("regression", "inconclusive")}
    attributes = {
        "name": "review gate",
        "tests": str(len(parts)),
        "failures": str(counts["regression"]),
        "errors": str(counts["inconclusive"]),
        "skipped": "0",
        "timestamp": str(document["gated_at"])[:19],
    }
    suites = ET.Element("testsuites", {key: attributes[key] for key in ("name", "tests", "failures", "errors")})
    suite = ET.SubElement(suites, "testsuite", {**attributes, "name": _xml(str(document["run"]["name"]))})
    for each in parts:
        case = ET.SubElement(suite, "testcase", {"classname": "review.gate", "name": each["title"], "time": "0"})
        if each["verdict"] != "parity":
            kind = "failure" if each["verdict"] == "regression" else "error"
            ET.SubElement(case, kind, {"message": _xml(each["why"]), "type": each["verdict"]}).text = _xml(
                "\n".join(f"{row['title']}: {row['verdict']}: {row['why']}" for row in each["rows"]) or each["why"]
            )
    ET.SubElement(suite, "system-out").text = _xml(document["line"])
    return ET.tostring(suites, encoding="unicode", xml_declaration=False)


def _xml(text: str) -> str:
    """Text without what XML 1.0 cannot hold."""
    return "".join(
        letter
        if letter in "\t\n" or "\x20" <= letter <= "\ud7ff" or "\ue000" <= letter <= "\ufffd" or letter > "\uffff"
        else "\ufffd"
        for letter in text
    )


def markdown(document: Document) -> str:
    """The verdict as GitHub's Markdown for a step summary; names and texts cannot become markup."""
    sign = {"parity": ":white_check_mark:", "regression": ":x:", "inconclusive": ":grey_question:"}
    table = ["| Part | Verdict | Estimate | Agreed | Why |", "| --- | --- | --- | --- | --- |"]
    for each in document["parts"]:
        table.append(_row(each, sign, each["title"]))
        table += [
            _row(row, sign, "↳ " + clipped(row["title"], 60)) for row in each["rows"] if row["verdict"] != "parity"
        ]
    return "\n".join(
        [
            f"## {sign[document['verdict']]} {document['verdict'].capitalize()}",
            "",
            _cell(document["line"]),
            "",
            *table,
            "",
            _cell(f"Contract: {contract_words(document['contract'])}. Look {document['look'] or '–'}."),
            *(f"- {_cell(each)}" for each in document["notes"]),
            "",
        ]
    )


def _row(each: Document, sign: Mapping[str, str], title: str) -> str:
    estimate = each["estimate"]
    shown = (
        "–"
        if "not_estimable" in estimate
        else f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"
    )
    agreed = {"margin": "above", "floor": "above", "ceiling": "below"}[each["bound_kind"]]
    agreed = f"within ±{each['bound']:.3g}" if each["two_sided"] else f"{agreed} {each['bound']:.3g}"
    verdict = ":white_circle: no harm shown" if unproven(each) else f"{sign[each['verdict']]} {each['verdict']}"
    cells = [_cell(title), verdict, shown, agreed, _cell(each["why"])]
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    plain = clipped(text.replace("\n", " "), 600)
    escaped = "".join("\\" + letter if letter in r"\`*_{}[]()#+-!|~>@:" else letter for letter in plain)
    return escaped.replace("&", "&amp;").replace("<", "&lt;")
