"""The report's last sections: what is open, the methods, and how to make it again."""

from __future__ import annotations

from review.adapters.html.blocks import Block, Line, Node, Para, Quote, Section, Value, said, table


def still_open(document: Node) -> Section:
    """What cannot be said yet, and what would settle it."""
    node = document["open"]
    if not len(node):
        return Section(
            "open", "What is open", [Para(said("Nothing: every part was decided, and every section has its data."))]
        )
    rows: list[list[Line | Value | str]] = []
    for each in node.each():
        rows.append([each["part"]("text"), each["why"]("text"), _settle(each)])
    return Section(
        "open",
        "What is open, and what would settle it",
        [table(["Part", "Why", "What would settle it"], rows, "Open points")],
    )


def _settle(item: Node) -> Line:
    line = (item["settle"]("text"),)
    if missing := item.find("missing"):
        return (*line, *said(" About {} more.", missing("count")))
    if needed := item.find("labels_needed"):
        line = (*line, *said(" About {} further labelled pairs", needed("count")))
        if judged := item.find("labels_needed_with_judge"):
            line = (*line, *said(", or {} together with the judge’s verdicts", judged("count")))
        line = (*line, *said(", if old and new are equally good."))
    return line


def method(document: Node) -> Section:
    """Formulas and sources."""
    rows = [
        [each["number"]("text"), each["formula"]("text"), each["source"]("text")] for each in document["method"].each()
    ]
    line = said(
        "Old and new are always the systems, never the sides as they were shown. Intervals are clustered by prompt."
    )
    return Section(
        "method", "Methods", [Para(line), table(["Number", "Formula", "Source"], rows, "How each number is computed")]
    )


def reproduce(document: Node) -> Section:
    """Commands, versions, configuration."""
    node = document["reproduce"]
    versions = [[each["name"]("text"), each["version"]("text")] for each in node["versions"].each()]
    blocks: list[Block] = [
        Para(
            said(
                "On the same database these commands give the same numbers; the report made twice is the same, "
                "byte by byte."
            )
        ),
        Quote("", node["commands"]("lines"), code=True),
        table(["Software", "Version"], versions, "What computed the numbers"),
        Quote("Contract", document["contract"]("yaml"), code=True),
        Quote("Configuration, without addresses and keys", node["configuration"]("yaml"), code=True),
    ]
    return Section("reproduce", "How to make it again", blocks)
