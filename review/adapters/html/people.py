"""The report's sections on people, judge and wording: agreement, tone, calibration."""

from __future__ import annotations

from review.adapters.html import svg
from review.adapters.html.blocks import (
    Block,
    Figure,
    Inline,
    Line,
    Node,
    Para,
    Section,
    Table,
    Value,
    estimate,
    said,
    table,
)
from review.adapters.html.svg import Bar

ANSWERS = {
    "old": "old",
    "new": "new",
    "tie": "same",
    "both_bad": "both bad",
    "same": "same",
    "under": "too low",
    "right": "right",
    "over": "too high",
    "inconsistent": "changes with order",
    "unresolved": "votes split",
    "unparsable": "unparsable",
}
MEASURES = {"raw": "Raw agreement", "kappa": "Cohen’s κ", "ac1": "Gwet’s AC one", "alpha": "Krippendorff’s α"}
QUESTIONS = {
    "preference": "Preference",
    "error_old": "Error of old",
    "error_new": "Error of new",
    "tone": "Tone",
    "calibration_old": "Certainty of old",
    "calibration_new": "Certainty of new",
}
OWN = "These figures are about the run’s own traffic alone."
NO_TRAFFIC = "The run has no traffic of its own: neither a replay nor shadow traffic was recorded into it. "
UNLABELLED = "Nothing of this run’s traffic is labelled. "


def whose(document: Node) -> list[Block]:
    """Which pairs a section is about, where that is not all there are."""
    return [Para((OWN,), "note")] if _of_run(document) and _pairs(document) else []


def unlabelled(document: Node, otherwise: str) -> Para:
    """Why there is nothing to show: a run without traffic or without labels, or else what `otherwise` says."""
    if _of_run(document) and not _pairs(document):
        return Para((NO_TRAFFIC + UNLABELLED,), "missing")
    if _of_run(document) and not document["compared"]["labels"]["labels"].raw:
        return Para((UNLABELLED + otherwise,), "missing")
    return Para((otherwise,), "missing")


def _of_run(document: Node) -> bool:
    return document["scope"]["kind"].raw == "run"


def _pairs(document: Node) -> int:
    return document["compared"]["pairs"]["pairs"].raw


def agreement(document: Node) -> Section:
    """Judges against people, and people among each other."""
    node = document["agreement"]
    blocks: list[Block] = []
    judges = list(node["judges"].each())
    if not judges:
        nobody = "No judge has spoken about these pairs, so nobody can be compared with people."
        blocks.append(unlabelled(document, nobody))
    elif not any(judge["n"].raw for judge in judges):
        nothing = "No pair has both a label of a person and a judge’s verdict, so nothing can be compared."
        blocks.append(unlabelled(document, nothing))
    for at, judge in enumerate(judges):
        blocks += _judge(judge, f"judge-{at}")
    blocks += _humans(node["humans"])
    blocks += whose(document)
    blocks += [Para((rule("text"),), "note") for rule in node["rules"]["in_words"].each()]
    return Section("agreement", "Agreement of judge and people", blocks)


def _judge(judge: Node, name: str) -> list[Block]:
    lead = said(
        "{} and people say the same on {} of {} pairs: {}.",
        judge["judge"]("text"),
        judge["agree"]("count"),
        judge["n"]("count"),
        estimate(judge["raw"], "rate"),
    )
    blocks: list[Block] = [Para(lead, "lead")]
    population = judge["population"]
    if "value" in population["raw"]:
        line = said(
            "Over {} ({} pairs) by design weights: {}; {}.",
            population["of"]("text"),
            population["pairs"]("count"),
            estimate(population["raw"], "rate"),
            population["reason"]("text"),
        )
        blocks.append(Para(line))
    bars = [Bar(title, judge[key]) for key, title in MEASURES.items()]
    picture = svg.intervals(name, "Agreement of judge and people", bars, "rate", "agreement", whole=_whole(bars))
    if picture:
        blocks.append(
            Figure(
                picture, "Four measures of the same agreement; one is the best, zero is chance but for the raw share"
            )
        )
    questions = [("preference", judge), *judge["dimensions"].entries()]
    rows = [
        [
            QUESTIONS.get(key, key),
            each["n"]("count"),
            estimate(each["raw"], "rate"),
            estimate(each["kappa"], "rate"),
            estimate(each["ac1"], "rate"),
        ]
        for key, each in questions
        if each["n"].raw
    ]
    if rows:
        head = ["Question", "Pairs", "Raw", "κ", "AC"]
        blocks.append(table(head, rows, "Agreement by question; AC is Gwet’s first coefficient", "lrrrr"))
    if judge["n"].raw:
        blocks.append(_confusion(judge["confusion"]))
    return [*blocks, *_order(judge["order"])]


def _whole(bars: list[Bar]) -> tuple[float, float]:
    low = min([0.0, *(each.result["low"].raw for each in bars if "low" in each.result)])
    return (low, 1.0)


def _confusion(node: Node) -> Table:
    order = [each.raw for each in node["order"].each()]
    states = [key for key, column in node["other"].entries() if any(column.raw)]
    rows: list[list[Line | Value | str]] = []
    counts: list[list[int]] = []
    for at, answer in enumerate(order):
        cells = [node["counts"][at][column] for column in range(len(order))]
        cells += [node["other"][state][at] for state in states]
        rows.append([ANSWERS[answer], *(each("count") for each in cells)])
        counts.append([each.raw for each in cells])
    head = ["People ↓ / judge →", *(ANSWERS[each] for each in [*order, *states])]
    found = table(head, rows, "People’s answer (row) and the judge’s (column)", "l" + "r" * (len(head) - 1))
    most = max(max(row) for row in counts) or 1
    heat = {
        (r, c + 1): min(4, int(4.999 * value / most)) for r, row in enumerate(counts) for c, value in enumerate(row)
    }
    return Table(found.head, found.rows, found.caption, found.numbers, heat)


def _order(node: Node) -> list[Block]:
    if "not_estimable" in node:
        return [
            Para(
                said("Whether the order changes its verdict cannot be said: {}.", node["not_estimable"]("text")), "note"
            )
        ]
    line = said(
        "Judged in both orders, {} of its verdicts change: {} follow whichever stands first, {} whichever "
        "stands second, "
        "{} are a tie one way only.",
        estimate(node["changed"], "percent"),
        node["to_first"]("count"),
        node["to_second"]("count"),
        node["mixed"]("count"),
    )
    return [Para(line)]


def _humans(node: Node) -> list[Block]:
    if not node["reviewers"].raw:
        return [Para(said("No two people have labelled the same pair, so their agreement cannot be told."), "missing")]
    line = said(
        "Among each other, {} people agree on {} pairs that more than one of them labelled, by Krippendorff’s α: {}.",
        node["reviewers"]("count"),
        node["pairs"]("count"),
        estimate(node["alpha"], "rate"),
    )
    rows = [
        [
            said("{} and {}", each["a"]("text"), each["b"]("text")),
            each["n"]("count"),
            estimate(each["raw"], "rate"),
            estimate(each["kappa"], "rate"),
        ]
        for each in node["pairwise"].each()
    ]
    blocks: list[Block] = [Para(line)]
    if rows:
        blocks.append(table(["Two people", "Pairs", "Raw", "κ"], rows, "People among each other", "lrrr"))
    return blocks


def tone(document: Node) -> Section:
    """Whose tone people found fitter, and how the wording changed."""
    node = document["tone"]
    people = node["people"]
    blocks: list[Block] = []
    if people["n"].raw:
        line = said(
            "Of {} labelled pairs old’s tone fits better on {}, new’s on {}, neither on {}. Old minus new: {} points.",
            people["n"]("count"),
            people["counts"]["old"]("count"),
            people["counts"]["new"]("count"),
            people["counts"]["same"]("count"),
            estimate(people["old_minus_new"]),
        )
        blocks.append(Para(line, "lead"))
        if "p" in people["sign_test"]:
            blocks.append(
                Para(
                    said("Sign test: p {} ({}).", people["sign_test"]["p"]("p"), people["sign_test"]["method"]("text")),
                    "note",
                )
            )
    else:
        blocks.append(unlabelled(document, "No label says whose tone fits better. The review card asks for it."))
    blocks += _wording(node)
    if document["scope"]["kind"].raw == "round":
        blocks.append(Para((ALL_WORDING,), "note"))
    return Section("tone", "Tone", [*blocks, *whose(document)])


# Wording is measured, labelled or not.
ALL_WORDING = "The wording was measured on the disagreements of all rounds and imports, not of this round alone."


def _wording(node: Node) -> list[Block]:
    measured = node["disagreements"]
    traits = list(node["traits"].each())
    if not measured["n"].raw:
        return [Para(said("No pair has prose on both sides, so the wording was not measured."), "missing")]
    line = said(
        "The wording was measured on {} of {} disagreements; {} were left out because an answer has no prose.",
        measured["n"]("count"),
        measured["of"]("count"),
        measured["without_prose"]("count"),
    )
    bars = [Bar(each["trait"]("short"), each["effect"]) for each in traits]
    picture = svg.intervals(
        "tone-chart", "Standardised change of each trait", bars, "signed", "standardised change, new minus old"
    )
    rows = [
        [
            said("{} ({})", each["trait"]("text"), each["unit"]("text")),
            each["old"]("rate"),
            each["new"]("rate"),
            estimate(each["difference"], "signed"),
            estimate(each["effect"], "signed"),
        ]
        for each in traits
    ]
    head = ["Trait", "Old", "New", "New minus old", "Standardised"]
    blocks: list[Block] = [Para(line)]
    if picture:
        blocks.append(Figure(picture, "How the wording changed; right of the line there is more of it on new"))
    return [*blocks, table(head, rows, "Traits of the wording, means over disagreements", "lrrrr")]


def calibration(document: Node) -> Section:
    """Whether stated confidence means what it says."""
    node = document["calibration"]
    sides = [(side, node[side]) for side in ("old", "new") if side in node and node[side]["n"].raw]
    blocks: list[Block] = []
    if not sides:
        nothing = "No answer states a confidence and is known to be right or wrong, so calibration cannot be measured."
        blocks.append(unlabelled(document, nothing))
    elif difference := node.find("difference", "brier"):
        line = said(
            "New minus old, the Brier score moved by {}: below zero new’s confidence is the better guide.",
            estimate(difference, "signed"),
        )
        blocks.append(Para(line, "lead"))
    if picture := svg.reliability("reliability-chart", "Reliability of stated confidence", sides):
        blocks.append(Figure(picture, "Reliability: the share right at each stated confidence"))
    if sides:
        blocks += [_systems(sides), *(_bins(side, each) for side, each in sides if "bins" in each["ece"])]
    if shift := node.find("shift"):
        blocks += _certainty(shift)
    blocks += whose(document)
    blocks += [Para((rule("text"),), "note") for rule in node["rules"]["in_words"].each()]
    return Section("calibration", "Calibration", blocks)


def _systems(sides: list[tuple[str, Node]]) -> Table:
    rows: list[list[Line | Value | str]] = []
    for key, title in (("accuracy", "Share right"), ("confidence", "Mean confidence"), ("brier", "Brier score")):
        rows.append([title, *(estimate(each[key], "rate") for _, each in sides)])
    rows.append(["Expected calibration error", *(_one(each["ece"], "value") for _, each in sides)])
    rows.append(["Answers", *((each["n"]("count"),) for _, each in sides)])
    return table(
        ["", *(side.capitalize() for side, _ in sides)], rows, "Calibration of each system on the same answers", "lrr"
    )


def _one(node: Node, key: str) -> tuple[Inline, ...]:
    return (node["not_estimable"]("text"),) if "not_estimable" in node else (node[key]("rate"),)


def _bins(side: str, system: Node) -> Table:
    rows = [
        [
            said("{} to {}", each["low"]("level"), each["high"]("level")),
            each["n"]("count"),
            each["confidence"]("rate"),
            each["accuracy"]("rate"),
        ]
        for each in system["ece"]["bins"].each()
        if each["n"].raw
    ]
    return table(
        ["Stated confidence", "Answers", "Mean confidence", "Share right"],
        rows,
        f"Confidence and correctness of {side}",
        "lrrr",
    )


def _certainty(shift: Node) -> list[Block]:
    order = [each.raw for each in shift["order"].each()]
    if not shift["n"].raw:
        return [Para(said("No label says of both answers whether their certainty fits."), "missing")]
    line = said(
        "People find the certainty of the wording moved by {} steps towards too sure, on {} pairs.",
        estimate(shift["net"], "signed"),
        shift["n"]("count"),
    )
    rows = [
        [ANSWERS[answer], *(shift["counts"][at][column]("count") for column in range(len(order)))]
        for at, answer in enumerate(order)
    ]
    head = ["Old ↓ / new →", *(ANSWERS[each] for each in order)]
    return [
        Para(line),
        table(head, rows, "Certainty of the wording as people find it: old (row), new (column)", "lrrr"),
    ]
