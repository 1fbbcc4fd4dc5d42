"""The report as one HTML file: no network, no script, its own style, for screen and paper."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
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
    Section,
    Table,
    Value,
)
from review.adapters.html.content import content

TITLE = "Parity report"
_LONG = 14  # rows above which a table may be cut between two pages, its head repeated
_TAGS = {"plain": "p", "lead": 'p class="lead"', "note": 'p class="note"', "missing": 'p class="missing"'}


def page(document: dict[str, Any]) -> str:
    """The document as HTML."""
    node, banner, sections = content(document)
    style = files("review.adapters.html").joinpath("report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    contents = "".join(f'<li><a href="#{each.id}">{escape(each.title)}</a></li>' for each in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="robots" content="noindex">'
        f"<title>{TITLE}</title><style>{style}</style></head><body>\n"
        f'<header><p class="kicker">{TITLE}</p><p class="about">{_value(node["scope"]["name"]("text"))} · '
        f"{_value(node['date']('date'))}</p></header>\n<main>\n{_banner(banner)}\n"
        f'<nav aria-label="Contents"><ol>{contents}</ol></nav>\n'
        + "\n".join(_section(each) for each in sections)
        + f"\n</main>\n<footer><p>{_value(node['product']('text'))}, {_value(node['format']('text'))}. "
        "Every number carries its place in the JSON of the same report.</p></footer>\n</body></html>\n"
    )


def _banner(banner: Banner) -> str:
    parts = "".join(
        f'<li class="{verdict.raw or "unread"}"><span>{_value(title)}</span> <strong>{_value(verdict)}</strong></li>'
        for title, verdict in banner.parts
    )
    inner = "".join(_block(each) for each in banner.blocks)
    word = _value(banner.verdict)
    return (
        f'<section class="verdict {escape(str(banner.verdict.raw).lower().split()[0])}" id="verdict"><h1>{word}</h1>'
        f'<p class="sentence">{_value(banner.sentence)}</p><ul class="parts">{parts}</ul>{inner}</section>'
    )


def _section(section: Section) -> str:
    inner = "\n".join(_block(each) for each in section.blocks)
    return f'<section id="{section.id}"><h2>{escape(section.title)}</h2>\n{inner}\n</section>'


def _block(block: Block, level: int = 3) -> str:
    if isinstance(block, Para):
        return f"<{_TAGS[block.role]}>{_line(block.line)}</p>"
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Facts):
        rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{_line(line)}</dd></div>" for name, line in block.rows)
        return f"<dl>{rows}</dl>"
    if isinstance(block, Bullets):
        return "<ul>" + "".join(f"<li>{_line(each)}</li>" for each in block.lines) + "</ul>"
    if isinstance(block, Quote):
        label = f'<p class="label">{escape(block.label)}</p>' if block.label else ""
        style = "code" if block.code else "foreign"
        return f'{label}<pre class="{style}" dir="auto">{_value(block.value)}</pre>'
    if isinstance(block, Figure):
        return f"<figure>{block.svg}<figcaption>{escape(block.caption)}</figcaption></figure>"
    if isinstance(block, Group):
        inner = "".join(_block(each, level + 1) for each in block.blocks)
        return f'<div class="group"><h{level}>{_line(block.title)}</h{level}>{inner}</div>'
    return _banner(block)


def _table(block: Table) -> str:
    head = "".join(
        f'<th scope="col"{_right(block, at)}>{escape(each) if isinstance(each, str) else _line(each)}</th>'
        for at, each in enumerate(block.head)
    )
    rows = "".join(
        "<tr>" + "".join(_cell(block, at, column, line) for column, line in enumerate(row)) + "</tr>"
        for at, row in enumerate(block.rows)
    )
    long = ' class="long"' if len(block.rows) > _LONG else ""
    return (
        f'<div class="wide"><table{long}><caption>{escape(block.caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(block: Table, row: int, column: int, line: Line) -> str:
    if column == 0:
        return f'<th scope="row">{_line(line)}</th>'
    heat = block.heat.get((row, column))
    styles = [*(["n"] if column in block.numbers else []), *([f"h{heat}"] if heat is not None else [])]
    verdict = next((each.raw for each in line if isinstance(each, Value) and each.kind == "verdict"), None)
    styles += [str(verdict)] if verdict in ("parity", "regression", "inconclusive") else []
    shown = f' class="{" ".join(styles)}"' if styles else ""
    return f"<td{shown}>{_line(line)}</td>"


def _right(block: Table, column: int) -> str:
    return ' class="n"' if column in block.numbers else ""


def _line(line: Line) -> str:
    return "".join(_inline(each) for each in line)


def _inline(each: Inline) -> str:
    return escape(each) if isinstance(each, str) else _value(each)


def _value(value: Value) -> str:
    return f'<data data-path="{escape(value.pointer)}" data-as="{value.kind}">{escape(value.text)}</data>'
