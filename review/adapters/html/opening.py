"""The report's first pages: the verdict on top, and what was compared by whom."""

from __future__ import annotations

from review.adapters.html.blocks import (
    Banner,
    Block,
    Facts,
    Line,
    Node,
    Para,
    Section,
    Table,
    Value,
    said,
    table,
)


def verdict(document: Node) -> Banner:
    """The verdict in a sentence, what became of each part, and what it rests on."""
    node = document["verdict"]
    parts = tuple((part["title"]("text"), part["verdict"]("verdict")) for part in node["parts"].each())
    return Banner(node["word"]("text"), node["sentence"]("text"), parts, tuple(_rests_on(document)))


def _rests_on(document: Node) -> list[Block]:
    node = document["verdict"]
    blocks: list[Block] = []
    if look := node.find("look"):
        line = said(
            "Read off at look {} of {} on {} labelled pairs, by {} at {}, at a one-sided α of {}.",
            look["number"]("count"),
            node["plan"]["looks_planned"]("count"),
            look["labelled_pairs"]("count"),
            look["taken_by"]("text"),
            look["taken_at"]("moment"),
            look["alpha"]("alpha"),
        )
        blocks.append(Para(line))
    elif gate := document.find("gate"):
        line = said(
            "Read off by the gate at {}, on {} labelled pairs, at a one-sided α of {}.",
            gate["gated_at"]("moment"),
            gate["labelled_pairs"]("count"),
            node["alpha"]("alpha"),
        )
        blocks.append(Para(line))
    else:
        line = said(
            "Below are estimates at a one-sided α of {}. A verdict is read off at a look or by the gate; looks "
            "are few, "
            "because reading until it says “parity” misleads.",
            node["alpha"]("alpha"),
        )
        blocks.append(Para(line))
    if node["newer"].raw:
        of = "The parts of the contract below are those of the verdict; " if document.find("gate") else _OF_LOOK
        line = said("Since then the evidence has changed. " + of + "all else is of now.")
        blocks.append(Para(line, "note"))
    blocks += [Para((note("text"),), "note") for note in document["parity"]["notes"].each()]
    if document["redacted"].raw:
        blocks.append(Para((document["redacted"]("text"),), "missing"))
    return blocks


_OF_LOOK = "The three parts below are those of the verdict; "


def compared(document: Node) -> Section:
    """Versions, hashes, dates, who labelled, how many, blind."""
    node = document["compared"]
    blocks: list[Block] = [Facts(tuple(_what(document)))]
    if run := node.find("run"):
        blocks.append(_stacks(run))
    if len(node["models"]["old"]) or len(node["models"]["new"]):
        blocks.append(_models(node))
    blocks.append(_sources(node))
    blocks += _people(node)
    if len(node["judges"]):
        blocks.append(_judges(node))
    if len(node["rounds"]):
        blocks.append(_rounds(node))
        if node.find("run"):
            blocks.append(Para((OF_ROUNDS,), "note"))
    return Section("compared", "What was compared", blocks)


OF_ROUNDS = "A round may have drawn from more than this run’s traffic; these are the counts of the whole round."


def _what(document: Node) -> list[tuple[str, Line]]:
    node, pairs, parity = document["compared"], document["compared"]["pairs"], document["parity"]
    rows: list[tuple[str, Line]] = [
        ("About", (document["scope"]["name"]("text"),)),
        ("Newest fact", (document["date"]("moment"),)),
        (
            "Pairs",
            said(
                "{} pairs of old and new answers to {} prompts in {} tasks; {} of them answered the same",
                pairs["pairs"]("count"),
                pairs["prompts"]("count"),
                pairs["tasks"]("count"),
                pairs["identical"]("count"),
            ),
        ),
    ]
    if run := node.find("run"):
        rows.append(
            ("Run", said("{} (number {}, {})", run["name"]("text"), run["number"]("count"), run["step"]("text")))
        )
        rows.append(("Begun", said("{} by {}", run["started_at"]("moment"), run["started_by"]("text"))))
    rows += [
        ("Contract", _contract(document["contract"])),
        ("Configuration", _configuration(node)),
        ("Evidence", said("hash {} of labels, known outcomes and judge’s view", parity["evidence"]("text"))),
    ]
    return rows


def _configuration(node: Node) -> Line:
    line, run = said("hash {}", node["config_hash"]("text")), node.find("run")
    if run is None or run["config_hash"].raw == node["config_hash"].raw:
        return line
    return (*line, *said("; the run began under another one, hash {}", run["config_hash"]("text")))


def _contract(node: Node) -> Line:
    line = said("hash {}", node["digest"]("text"))
    if node["version"].raw is None:
        return (*line, ", signed by nobody")
    line = (*said("version {}, ", node["version"]("count")), *line)
    for each in node["signed"].each():
        line = (*line, *said(", signed by {} on {}", each["name"]("text"), each["signed_at"]("date")))
    return line


def _stacks(run: Node) -> Table:
    rows: list[list[Value | str]] = []
    for key in ("name", "model", "revision", "quantization", "runtime", "config_hash"):
        sides = [run[side].find(key) for side in ("baseline", "candidate")]
        if any(each is not None for each in sides):
            kind = "hash" if key == "config_hash" else "text"
            rows.append([key.replace("_", " "), *("–" if each is None else each(kind) for each in sides)])
    return table(["", "Old (baseline)", "New (candidate)"], rows, "The two stacks of the run")


def _models(node: Node) -> Table:
    rows: list[list[Value | str]] = []
    for side in ("old", "new"):
        for each in node["models"][side].each():
            model = "not said" if each["model"].raw is None else each["model"]("text")
            rows.append([side, model, each["pairs"]("count")])
    return table(["Side", "Model, as the answers name it", "Pairs"], rows, "The models", "llr")


def _sources(node: Node) -> Table:
    rows = [
        [each["source"]("text"), each["pairs"]("count"), said("{} to {}", each["first"]("date"), each["last"]("date"))]
        for each in node["sources"].each()
    ]
    return table(["Source", "Pairs", "Came in"], rows, "Where the pairs came from", "lrl")


def _people(node: Node) -> list[Block]:
    labels = node["labels"]
    if not labels["labels"].raw:
        return [
            Para(
                said("No person has labelled any of these pairs. A round drawn and labelled would change that."),
                "missing",
            )
        ]
    blocks: list[Block] = [Para(said("{} labels and adjudications count.", labels["labels"]("count")))]
    if labels["blind"].raw:
        line = said(
            "{} of them were given blind in the app: sides shown as A and B, old on the left {} times and new "
            "{} times, "
            "as chance had it, and the judge’s verdict hidden until the label stood.",
            labels["blind"]("count"),
            labels["old_left"]("count"),
            labels["new_left"]("count"),
        )
        blocks.append(Para(line))
    if labels["imported"].raw:
        line = said("{} were imported; whether they were given blind is not known here.", labels["imported"]("count"))
        blocks.append(Para(line))
    if labels["simulated"].raw:
        blocks.append(
            Para(said("{} of the labels are simulated by the demo.", labels["simulated"]("count")), "missing")
        )
    rows = [
        [
            each["name"]("text"),
            each["labels"]("count"),
            each["adjudications"]("count"),
            said("{} to {}", each["first"]("date"), each["last"]("date")),
            "simulated" if each["simulated"].raw else "person",
        ]
        for each in node["reviewers"].each()
    ]
    head = ["Who", "Labels", "Adjudications", "When", "Kind"]
    return [*blocks, table(head, rows, "Who labelled", "lrrll")]


def _judges(node: Node) -> Table:
    rows = [
        [
            each["judge"]("text"),
            each["votes"]("count"),
            each["pairs"]("count"),
            said("{} to {}", each["first"]("date"), each["last"]("date")),
        ]
        for each in node["judges"].each()
    ]
    return table(["Judge", "Votes", "Pairs", "Came in"], rows, "Which judges", "lrrl")


def _rounds(node: Node) -> Table:
    rows = [
        [
            said("{}", each["number"]("count"))
            if each["name"].raw is None
            else said("{} {}", each["number"]("count"), each["name"]("text")),
            each["drawn"]("count"),
            each["overlap"]("count"),
            each["seed"]("text"),
            said(
                "{} disagreements, {} judged ties, {} identical",
                each["disagreement"]("count"),
                each["judged_tie"]("count"),
                each["identical"]("count"),
            ),
            said("{} {} by {}", each["frame_hash"]("hash"), each["drawn_at"]("date"), each["drawn_by"]("text")),
        ]
        for each in node["rounds"].each()
    ]
    head = ["Round", "Drawn", "Labels a pair", "Seed", "Drawn from", "Frame, when, by whom"]
    return table(head, rows, "How the pairs to label were drawn", "lrrrll")
