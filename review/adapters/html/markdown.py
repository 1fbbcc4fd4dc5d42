"""The report as Markdown: the same blocks and numbers, pictures left out because tables beside them say the same."""

from __future__ import annotations

import re
from typing import Any

from review.adapters.html.blocks import (
    Banner,
    Block,
    Bullets,
    Facts,
    Figure,
    Group,
    Inline,
    Line,
    Para,
    Quote,
    Table,
    Value,
)
from review.adapters.html.content import content

# Everything that Markdown or HTML within it could take for markup; and what would become a link or a mention.
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+!|~$&@])")
_LINK = re.compile(r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)")
_BEGINS = re.compile(r"^(\s*)([-=]|\d+[.)])")


def markdown(document: dict[str, Any]) -> str:
    """The document as Markdown."""
    node, banner, sections = content(document)
    lines = ["# Parity report", "", f"{_value(node['scope']['name']('text'))} · {_value(node['date']('date'))}", ""]
    lines += _banner(banner)
    for section in sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += _block(block, 3)
    lines.append(f"{_value(node['product']('text'))}, {_value(node['format']('text'))}")
    return "\n".join(lines) + "\n"


def _banner(banner: Banner) -> list[str]:
    lines = [f"**{_value(banner.verdict)}.** {_value(banner.sentence)}", ""]
    lines += [f"- {_value(title)}: **{_value(verdict)}**" for title, verdict in banner.parts]
    lines.append("")
    for block in banner.blocks:
        lines += _block(block, 3)
    return lines


def _block(block: Block, level: int) -> list[str]:
    if isinstance(block, Para):
        return [_BEGINS.sub(r"\1\\\2", _line(block.line)), ""]
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Facts):
        return [*(f"- {name}: {_line(line)}" for name, line in block.rows), ""]
    if isinstance(block, Bullets):
        return [*(f"- {_line(each)}" for each in block.lines), ""]
    if isinstance(block, Quote):
        return _quote(block)
    if isinstance(block, Figure):
        return []
    if isinstance(block, Group):
        lines = [f"{'#' * level} {_line(block.title)}", ""]
        for each in block.blocks:
            lines += _block(each, level + 1)
        return lines
    return _banner(block)


def _quote(block: Quote) -> list[str]:
    text = block.value.text
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [*([f"{block.label}:", ""] if block.label else []), f"{fence}text", text, fence, ""]


def _table(block: Table) -> list[str]:
    head = [each if isinstance(each, str) else _line(each) for each in block.head]
    rule = ["---:" if at in block.numbers else "---" for at in range(len(head))]
    rows = [[_line(cell) for cell in row] for row in block.rows]
    lines = ["| " + " | ".join(each) + " |" for each in (head, rule, *rows)]
    return [f"{block.caption}:", "", *lines, ""]


def _line(line: Line) -> str:
    return "".join(_inline(each) for each in line)


def _inline(each: Inline) -> str:
    return each if isinstance(each, str) else _value(each)


def _value(value: Value) -> str:
    text = " ".join(value.text.split())
    return _MARKUP.sub(r"\\\1", _LINK.sub("\u2060", text))
