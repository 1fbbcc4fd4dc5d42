"""The report's three parts: right answers, ways to fail, direction of error; with examples of what is new or gone."""

from __future__ import annotations

from review.adapters.html import svg
from review.adapters.html.blocks import (
    Block,
    Figure,
    Group,
    Line,
    Node,
    Para,
    Quote,
    Section,
    Table,
    Value,
    estimate,
    said,
    table,
)
from review.adapters.html.svg import Bar

WORDS = {"none": "nothing wrong", "cautious": "cautious", "confident": "confident", "other": "other"}
TOLD = {**WORDS, "cannot_tell": "cannot tell", None: "not said"}


def _task(row: Node) -> Value | str:
    if row["task"].raw == "overall":
        return "All traffic"
    return "(no task)" if row["task"].raw is None else row["task"]("short")


def _verdict(row: Node) -> list[Line | Value | str]:
    return [row["verdict"]("verdict")] if "verdict" in row else []


def _style(row: Node) -> str | None:
    return row["verdict"].raw if "verdict" in row else None


def tolerance(document: Node) -> Section:
    """Part one: the share of right answers, overall and by task, against its tolerance."""
    parity = document["parity"]
    rows = parity["parts"]["tolerance"]
    overall = rows[0]
    shares = overall["shares"]
    blocks: list[Block] = [
        Para(
            said(
                "Share of right answers, new minus old, of all traffic: {}. Agreed: new may be lower by {} "
                "points at most.",
                estimate(overall["difference"], unit=" points"),
                overall["tolerance"]("margin"),
            ),
            "lead",
        ),
        Para(
            said(
                "Of the traffic {} answered the same on both sides and contributes nothing, {} are judged ties, {} are "
                "disagreements, and {} came with known correctness. {} pairs in all; {} of them labelled.",
                shares["identical"]("percent"),
                shares["judged_tie"]("percent"),
                shares["disagreement"]("percent"),
                shares["known"]("percent"),
                shares["pairs"]("count"),
                parity["labelled_pairs"]("count"),
            )
        ),
    ]
    if overall["judge"].raw is not None:
        line = said(
            "The {} labelled pairs are carried over to all others by the verdicts of {}; without the judge: {}.",
            overall["pairs"]("count"),
            overall["judge"]("text"),
            estimate(overall["labels_only"], unit=" points"),
        )
        blocks.append(Para(line))
    bars = [Bar(_task(each), each["difference"], (-each["tolerance"].raw,), _style(each)) for each in rows.each()]
    picture = svg.intervals(
        "tolerance-chart", "Difference of right answers by task", bars, "points", "points of the traffic, new minus old"
    )
    if picture:
        blocks.append(Figure(picture, "Right answers, new minus old, with the tolerance as a red line"))
    head = [
        "Task",
        *(["Verdict"] if "verdict" in overall else []),
        "Difference, points",
        "Tolerance",
        "Known pairs",
        "Pairs missing",
    ]
    lines = [
        [
            _task(each),
            *_verdict(each),
            estimate(each["difference"]),
            said("−{}", each["tolerance"]("margin")),
            each["pairs"]("count"),
            _needed(each),
        ]
        for each in rows.each()
    ]
    numbers = "llrrrr" if "verdict" in overall else "lrrrr"
    blocks.append(table(head, lines, "Right answers by task", numbers))
    blocks.append(_level(document))
    return Section("tolerance", "Right answers within tolerance", blocks)


def _needed(row: Node) -> Line | Value | str:
    needed = row["labels_needed"]
    if needed.raw is None:
        return "none"
    return needed("count") if isinstance(needed.raw, int) else "cannot be said"


def _level(document: Node) -> Para:
    line = said(
        "Every interval of the three parts has limits at a one-sided α of {}, so that each claim alone is wrong "
        "at most "
        "that often. Pairs missing: further labelled pairs that would decide, were old and new equally good.",
        document["verdict"]["alpha"]("alpha"),
    )
    return Para(line, "note")


def failures(document: Node) -> Section:
    """Part two: failure categories on old and new, and examples of those that are new or gone."""
    part = document["parity"]["parts"]["failure_modes"]
    blocks: list[Block] = [
        Para(
            said(
                "A failure category may grow by at most {} points of all traffic. {} labelled pairs say what "
                "went wrong.",
                part["ceiling"]("margin"),
                part["pairs"]("count"),
            ),
            "lead",
        )
    ]
    if isinstance(part["could_have_missed"].raw, float):
        line = said(
            "A way to fail that nobody saw could still stand in up to {} of the traffic on new.",
            part["could_have_missed"]("percent"),
        )
        blocks.append(Para(line))
    if len(part["categories"]):
        blocks += _categories(part)
    else:
        blocks.append(Para(said("No label names a failure category, so nothing can be compared."), "missing"))
    blocks += _examples(document)
    return Section("failures", "Ways to fail", blocks)


def _categories(part: Node) -> list[Block]:
    ceiling = part["ceiling"].raw
    bars = [
        Bar(each["category"]("short"), each["growth"], (ceiling,), _style(each)) for each in part["categories"].each()
    ]
    picture = svg.intervals(
        "failures-chart", "Growth of failure categories", bars, "points", "points of all traffic, new minus old"
    )
    read = any("verdict" in each for each in part["categories"].each())
    head = [
        "Category",
        *(["Verdict"] if read else []),
        "On old",
        "On new",
        "Growth, points",
        *(["p, adjusted"] if read else []),
    ]
    rows = [
        [
            each["category"]("text"),
            *_verdict(each),
            each["old"]("count"),
            each["new"]("count"),
            estimate(each["growth"]),
            *([each["p_adjusted"]("p")] if read else []),
        ]
        for each in part["categories"].each()
    ]
    counts = table(
        head, rows, "Labels that name a category, and its growth in all traffic", "llrrrr" if read else "lrrr"
    )
    figure = [Figure(picture, "Growth of each category with its ceiling as a red line")] if picture else []
    return [*figure, counts]


def _examples(document: Node) -> list[Block]:
    node = document["failures"]
    blocks: list[Block] = []
    for each in node["categories"].each():
        template = "{}: seen on new and not on old" if each["kind"].raw == "new" else "{}: seen on old and gone on new"
        inner: list[Block] = [
            Para(
                said(
                    "{} labels name it on old and {} on new; {} pairs have it on this side alone. Shown are "
                    "those whose "
                    "ids have the least hashes, so that nobody chose them.",
                    each["old"]("count"),
                    each["new"]("count"),
                    each["pairs"]("count"),
                ),
                "note",
            )
        ]
        for example in each["examples"].each():
            inner += _example(example)
        blocks.append(Group(said(template, each["category"]("text")), tuple(inner)))
    if not blocks and node["seen"].raw:
        blocks.append(Para(said("No category is seen on one side only.")))
    return blocks


def _example(example: Node) -> list[Block]:
    task = () if example["task"].raw is None else said(", task {}", example["task"]("text"))
    title = said("Pair {}{}, {} labels", example["pair_id"]("text"), task, example["labels"]("count"))
    if "asked" not in example:
        return [Para(title)]
    quotes: list[Block] = [
        Quote(name, example[key]["text"]("foreign"))
        for name, key in (("Asked", "asked"), ("Old answered", "old"), ("New answered", "new"))
    ]
    for each in example["said"].each():
        line = said(
            "{}: old {}, new {}",
            each["reviewer"]("text"),
            (TOLD[each["error_old"].raw],),
            (TOLD[each["error_new"].raw],),
        )
        quotes.append(Para(line, "note"))
        if each["comment"].raw is not None:
            quotes.append(Quote("Comment", each["comment"]["text"]("foreign")))
    return [Group(title, tuple(quotes))]


def direction(document: Node) -> Section:
    """Part three: where errors went, and the balance D against its margin."""
    part = document["parity"]["parts"]["direction"]
    blocks: list[Block] = [
        Para(
            said(
                "D is the share of confident errors minus that of cautious ones on new, minus the same on old: above "
                "zero, errors became more confident. D is {}. Agreed: within {} points either way.",
                estimate(part["balance"], unit=" points"),
                part["margin"]("margin"),
            ),
            "lead",
        )
    ]
    if "not_estimable" in part["shift"]:
        return Section("direction", "Direction of error", blocks)
    if picture := svg.flow("flow-chart", document["flow"]):
        blocks.append(Figure(picture, "Where errors went; pairs without an error on either side are left out"))
    blocks.append(_moves(part["shift"]))
    margin = part["margin"].raw
    bars = [Bar("All traffic", part["balance"], (-margin, margin), _style(part))]
    bars += [Bar(_task(each), each["balance"], (-margin, margin), _style(each)) for each in part["tasks"].each()]
    if picture := svg.intervals("balance-chart", "The balance D", bars, "points", "D, points of the traffic"):
        blocks.append(Figure(picture, "D overall and by task, between its margins"))
    rows = [
        ["All traffic", estimate(part["balance"])],
        *([_task(each), estimate(each["balance"])] for each in part["tasks"].each()),
    ]
    blocks.append(table(["Task", "D, points"], rows, "The balance D", "lr"))
    blocks += _tests(part)
    return Section("direction", "Direction of error", blocks)


def _moves(shift: Node) -> Table:
    names = [each.raw for each in shift["errors"].each()]
    rows = [
        [WORDS[old], *(shift["table"][row][column]("percent") for column in range(len(names)))]
        for row, old in enumerate(names)
    ]
    found = table(
        ["Old ↓ / new →", *(WORDS[each] for each in names)],
        rows,
        "Share of all traffic that moved from the kind of error on old (row) to that on new (column)",
        "l" + "r" * len(names),
    )
    off = [shift["table"][r][c].raw for r in range(len(names)) for c in range(len(names)) if (r, c) != (0, 0)]
    most = max([*off, 1e-12])
    heat = {
        (r, c + 1): min(4, int(4.999 * shift["table"][r][c].raw / most))
        for r in range(len(names))
        for c in range(len(names))
        if (r, c) != (0, 0)
    }
    return Table(found.head, found.rows, found.caption, found.numbers, heat)


def _tests(part: Node) -> list[Block]:
    tests = part["tests"]
    blocks: list[Block] = []
    if "not_estimable" in tests:
        blocks.append(Para(said("Tests on plain counts are left out: {}.", tests["not_estimable"]("text")), "note"))
    else:
        found = {"Bowker": "symmetry", "Stuart–Maxwell": "margins"}
        lines: list[Line] = []
        for name, key in found.items():
            test = tests[key]
            lines.append(
                said(name + ": {}", test["not_estimable"]("text"))
                if "not_estimable" in test
                else said(name + " p {}", test["p"]("p"))
                if "p" in test
                else said(name)
            )
        if "p_exact" in tests["correct"]:
            lines.append(said("McNemar p {}", tests["correct"]["p_exact"]("p")))
        joined: Line = ()
        for at, each in enumerate(lines):
            joined = (*joined, *(("; ",) if at else ()), *each)
        blocks.append(Para(said("On plain counts: {}.", joined), "note"))
    if part["cannot_tell"].raw:
        blocks.append(Para(said("Left out: {} labels that could not tell.", part["cannot_tell"]("count")), "note"))
    return blocks
