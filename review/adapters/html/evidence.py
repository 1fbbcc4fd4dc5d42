"""The report's sections on further evidence: gate, slices, benchmarks, golden set, the adversarial set."""

from __future__ import annotations

from review.adapters.html import svg
from review.adapters.html.blocks import (
    Block,
    Figure,
    Line,
    Node,
    Para,
    Section,
    Value,
    estimate,
    said,
    table,
)
from review.adapters.html.svg import Bar

BOUNDS = {"margin": -1.0, "floor": 1.0, "ceiling": 1.0}


def gate(document: Node) -> Section | None:
    """Every part of the contract as the gate judged it."""
    node = document.find("gate")
    if node is None:
        return None
    blocks: list[Block] = [Para((node["line"]("text"),), "lead")]
    rows: list[list[Line | Value | str]] = []
    for part in node["parts"].each():
        rows.append(_gate_row(part))
        rows += [_gate_row(row, inner=True) for row in (part.find("rows") or Node([])).each()]
    head = ["Part", "Verdict", "Estimate", "Agreed", "Missing"]
    blocks.append(table(head, rows, "The contract, part by part", "llrrr"))
    for part in node["parts"].each():
        if part["verdict"].raw != "parity" and part.find("why") is not None:
            blocks.append(Para(said("{}: {}", part["title"]("text"), part["why"]("text"))))
    blocks += [Para((note("text"),), "note") for note in node["notes"].each()]
    return Section("gate", "The contract, part by part", blocks)


def _gate_row(part: Node, *, inner: bool = False) -> list[Line | Value | str]:
    title = part["title"]("text")
    bound, missing = part.find("bound"), part.find("missing")
    return [
        said("– {}", title) if inner else title,
        part["verdict"]("verdict"),
        "–" if part.find("estimate") is None else estimate(part["estimate"], "signed"),
        "–" if bound is None else said("{} {}", (part["bound_kind"].raw or "",), bound("rate")),
        "none" if missing is None else missing("count"),
    ]


def slices(document: Node) -> Section:
    """Long contexts and chains of tool calls."""
    node = document["slices"]
    blocks: list[Block] = []
    if missing := node.find("missing"):
        blocks.append(Para(said("{} To settle it: {}", missing("text"), node["settle"]("text")), "missing"))
    for key, title in (("long_context", "Long contexts"), ("tool_chains", "Chains of tool calls")):
        rows_of = node.find(key)
        if rows_of is None or not len(rows_of["rows"]):
            continue
        rows = list(rows_of["rows"].each())
        bars = [Bar(each["name"]("short"), each["difference"]) for each in rows]
        if picture := svg.intervals(f"{key}-chart", title, bars, "points", "points, new minus old"):
            blocks.append(Figure(picture, title + ": new minus old"))
        lines = [[each["name"]("text"), each["n"]("count"), estimate(each["difference"])] for each in rows]
        blocks.append(table(["Slice", "Examples", "New minus old, points"], lines, title, "lrr"))
    return Section("slices", "Long contexts and tool use", blocks)


def benchmarks(document: Node) -> Section:
    """Benchmarks and golden set of the run."""
    node = document["evidence"]
    if missing := node.find("missing"):
        line = said("{} To settle it: {}", missing("text"), node["settle"]("text"))
        return Section("benchmarks", "Benchmarks and golden set", [Para(line, "missing")])
    parts = list(node["parts"].each())
    bars = [Bar(each["part"]("short"), each["difference"]) for each in parts]
    blocks: list[Block] = [
        Para(
            said(
                "Each line is one metric of one benchmark or golden version, over the examples of the run; "
                "nothing is weighted."
            )
        )
    ]
    if picture := svg.intervals(
        "benchmark-chart", "Benchmarks and golden set", bars, "points", "points, new minus old"
    ):
        blocks.append(Figure(picture, "New minus old on each benchmark and golden version"))
    rows = [
        [
            said("{} {}", each["evidence"]("text"), each["part"]("text")),
            each["metric"]("text"),
            each["n"]("count"),
            _mean(each["old"]),
            _mean(each["new"]),
            estimate(each["difference"]),
        ]
        for each in parts
    ]
    head = ["Part", "Metric", "Examples", "Old", "New", "New minus old, points"]
    blocks.append(table(head, rows, "Benchmarks and golden set", "llrrrr"))
    return Section("benchmarks", "Benchmarks and golden set", blocks)


def _mean(node: Node) -> Value:
    return node["not_estimable"]("text") if "not_estimable" in node else node["value"]("percent")


def adversarial(document: Node) -> Section:
    """The permanent adversarial set: chain, growth, and how the run did on it."""
    node = document["adversarial"]
    if not node["entries"].raw:
        line = said(
            "The set is empty: nobody has flagged a failure. Flagged and confirmed failures are asked anew in "
            "every run."
        )
        return Section("adversarial", "The adversarial set", [Para(line, "missing")])
    state = "fits, row by row" if node["verified"].raw else "DOES NOT FIT"
    blocks: list[Block] = [
        Para(
            said(
                "{} failures are in the set, {} of them confirmed by a second person, {} erased, {} waiting. "
                "The chain of "
                "{} rows {}; its head is {}.",
                node["entries"]("count"),
                node["confirmed"]("count"),
                node["erased"]("count"),
                node["waiting"]("count"),
                node["rows"]("count"),
                (state,),
                node["head"]("text"),
            ),
            "lead",
        )
    ]
    if node["first_bad"].raw is not None:
        blocks.append(Para(said("The first entry that does not fit is {}.", node["first_bad"]("text")), "missing"))
    if picture := svg.growth("growth-chart", node["growth"]):
        blocks.append(Figure(picture, "Entries by day"))
    days = [
        [each["day"]("date"), each["entries"]("count"), each["confirmed"]("count"), each["erased"]("count")]
        for each in list(node["growth"].each())[-12:]
    ]
    blocks.append(table(["Day", "Entries", "Confirmed", "Erased"], days, "Growth, the latest days", "lrrr"))
    kinds = [[each["category"]("text"), each["entries"]("count")] for each in node["categories"].each()]
    blocks.append(table(["Failure category", "Entries"], kinds, "What kinds of failure it holds", "lr"))
    return Section("adversarial", "The adversarial set", [*blocks, *_standing(node)])


def _standing(node: Node) -> list[Block]:
    standing = node.find("standing")
    if standing is None:
        return [Para(said("No run has been asked the set’s questions in this report’s scope."), "note")]
    return []
