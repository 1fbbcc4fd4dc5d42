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


def gate(document: Node) -> Section | None:
    """Every part of the contract as the gate judged it."""
    node = document.find("gate")
    if node is None:
        return None
    blocks: list[Block] = [Para((node["line"]("text"),), "lead")]
    # Floors are far from the margins around zero: they stand in the table alone.
    bars = [_bar(part) for part in node["parts"].each() if part["bound_kind"].raw != "floor"]
    if picture := svg.intervals("gate-chart", "The parts of the contract", bars, "signed", "estimate, as shares"):
        blocks.append(Figure(picture, "Each part with a margin as a share, with what was agreed as a red line"))
    rows: list[list[Line | Value | str]] = []
    for part in node["parts"].each():
        rows.append(_gate_row(part))
        rows += [_gate_row(row, inner=True) for row in part["rows"].each()]
    blocks.append(table(["Part", "Verdict", "Estimate", "Agreed", "Missing"], rows, "Part by part", "llrrr"))
    why = [each for each in node["parts"].each() if each["verdict"].raw != "parity" and each["why"].raw is not None]
    blocks += [Para(said("{}: {}", part["title"]("text"), part["why"]("text"))) for part in why]
    blocks += [Para((note("text"),), "note") for note in node["notes"].each()]
    return Section("gate", "The contract, part by part", blocks)


def _bar(part: Node) -> Bar:
    bound = float(part["bound"].raw)
    margins = (-bound, bound) if part["two_sided"].raw else (bound,)
    verdict = part["verdict"].raw
    return Bar(part["title"]("short"), part["estimate"], margins, None if verdict == "no harm shown" else verdict)


def _gate_row(part: Node, *, inner: bool = False) -> list[Line | Value | str]:
    title, missing = part["title"]("text"), part["missing"]
    way = "within ±" if part["two_sided"].raw else "below " if part["bound_kind"].raw == "ceiling" else "above "
    return [
        said("– {}", title) if inner else title,
        part["verdict"]("verdict"),
        "not estimable" if "not_estimable" in part["estimate"] else estimate(part["estimate"], "signed"),
        said(way + "{}", part["bound"]("alpha")),
        "" if missing.raw is None else missing("count"),
    ]


def slices(document: Node) -> Section:
    """Long contexts and chains of tool calls."""
    node = document["slices"]
    if missing := node.find("missing"):
        line = said("{} To settle it: {}", missing("text"), node["settle"]("text"))
        return Section("slices", "Long contexts and tool use", [Para(line, "missing")])
    return Section(
        "slices", "Long contexts and tool use", [*_lengths(node["long_context"]), *_chains(node["tool_chains"])]
    )


def _lengths(node: Node) -> list[Block]:
    buckets = list(node["buckets"].each())
    bars = [Bar(each["name"]("short"), each["difference"]) for each in buckets]
    rows = [
        [each["name"]("text"), each["n"]("count"), each["prompts"]("count"), _or_none(each["difference"])]
        for each in buckets
    ]
    blocks: list[Block] = []
    if picture := svg.intervals("lengths-chart", "Right answers by length of the prompt", bars, "points", _NEW_OLD):
        blocks.append(Figure(picture, "Right answers by length of the prompt in tokens"))
    head = ["Prompt, tokens", "Examples", "Prompts", "New minus old, points"]
    blocks.append(table(head, rows, "By length of the prompt", "lrrr"))
    if node["without"].raw:
        blocks.append(Para(said("Of {} examples nobody told the length.", node["without"]("count")), "note"))
    return blocks


_NEW_OLD = "points, new minus old"


def _chains(node: Node) -> list[Block]:
    if not node["chains"].raw:
        return [Para(said("No outcome of the run is a chain of tool calls."), "note")]
    line = said("{} chains of tool calls, {} of a single step.", node["chains"]("count"), node["single"]("count"))
    rows = [
        [title, *(_share(node[f"{key}_{side}"]) for side in ("old", "new")), _or_none(node[change])]
        for title, key, change in (
            ("Completed", "completed", "difference"),
            ("With a truncated call or answer", "cut", "cut_difference"),
        )
    ]
    blocks: list[Block] = [Para(line), table(["Chains", "Old", "New", "New minus old, points"], rows, "Chains", "lrrr")]
    steps = [
        ["later" if each["step"].raw is None else each["step"]("count"), each["old"]("count"), each["new"]("count")]
        for each in node["first_wrong"].each()
    ]
    if steps:
        blocks.append(table(["First wrong step", "Chains on old", "Chains on new"], steps, "Where chains broke", "lrr"))
    return blocks


def _or_none(node: Node) -> Line:
    return said("{}", node["not_estimable"]("text")) if "not_estimable" in node else estimate(node)


def _share(node: Node) -> Value:
    return node["not_estimable"]("text") if "not_estimable" in node else node["value"]("percent")


def benchmarks(document: Node) -> Section:
    """Every part of the run's evidence."""
    node = document["evidence"]
    if missing := node.find("missing"):
        line = said("{} To settle it: {}", missing("text"), node["settle"]("text"))
        return Section("benchmarks", "Benchmarks and golden set", [Para(line, "missing")])
    parts = list(node["parts"].each())
    bars = [Bar(each["part"]("short"), each["difference"]) for each in parts]
    blocks: list[Block] = []
    if picture := svg.intervals("benchmark-chart", "Parts of the run", bars, "points", _NEW_OLD):
        blocks.append(Figure(picture, "New minus old on each part of the run"))
    rows = [
        [
            said("{} {}", each["evidence"]("text"), each["part"]("text")),
            each["examples"]("count"),
            each["undecided"]("count"),
            _share(each["old"]),
            _share(each["new"]),
            _or_none(each["difference"]),
            said("{} / {}", each["worse"]("count"), each["better"]("count")),
        ]
        for each in parts
    ]
    head = ["Part", "Examples", "Undecided", "Old right", "New right", "New minus old, points", "Worse / better"]
    blocks.append(table(head, rows, "Evidence of the run, part by part", "lrrrrrr"))
    if lacks := list(node["lacks"].each()):
        kinds: Line = ()
        for at, kind in enumerate(lacks):
            kinds = (*kinds, *((", ",) if at else ()), kind("text"))
        blocks.append(Para(said("The run has no evidence of these kinds: {}.", kinds), "missing"))
    return Section("benchmarks", "Benchmarks, golden set and traffic of the run", blocks)


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
    if document["scope"]["kind"].raw == "run":
        blocks.append(Para((OF_SET,), "note"))
    return Section("adversarial", "The adversarial set", [*blocks, *_standing(node)])


OF_SET = "The set belongs to no run: its counts are those of the whole workspace, up to the newest event."


def _standing(node: Node) -> list[Block]:
    standing = node.find("standing")
    if standing is None:
        return [Para(said("The set was not asked in a run that this report is about."), "note")]
    line = said(
        "In this run {} entries count, each asked {} times; {} are missing, {} were not confirmed, {} came later.",
        (Value(standing["entries"].pointer, len(standing["entries"]), "size"),),
        standing["repeats"]("count"),
        (Value(standing["missing"].pointer, len(standing["missing"]), "size"),),
        standing["unconfirmed"]("count"),
        standing["later"]("count"),
    )
    blocks: list[Block] = [Para(line)]
    if len(standing["lost"]):
        names: Line = ()
        for at, each in enumerate(standing["lost"].each()):
            names = (*names, *((", ",) if at else ()), each("text"))
        blocks.append(Para(said("Passed in the run before and fail now: {}.", names), "missing"))
    rows = [
        [
            each["entry_id"]("text"),
            "–" if each["task"].raw is None else each["task"]("text"),
            each["failed"]("text"),
            said("{} / {} / {}", *(each[f"old_{key}"]("count") for key in _CAME)),
            said("{} / {} / {}", *(each[f"new_{key}"]("count") for key in _CAME)),
            each["before"]("text"),
        ]
        for each in standing["entries"].each()
        if each["lost"].raw or not each["new_passed"].raw or each["new_failed"].raw or each["new_undecided"].raw
    ]
    if rows:
        head = ["Entry", "Task", "Flagged on", "Old", "New", "Before"]
        caption = "Entries that new does not always pass; passed / failed / undecided of all repeats"
        blocks.append(table(head, rows, caption, "lllrrl"))
    judge = standing["judge"]
    if judge["positives"].raw or judge["negatives"].raw:
        line = said(
            "Checked by people, the judge lets {} of passing answers pass and fails {} of failing ones.",
            estimate(judge["sensitivity"], "percent"),
            estimate(judge["specificity"], "percent"),
        )
        blocks.append(Para(line))
    return blocks


_CAME = ("passed", "failed", "undecided")
