"""`review judge`: compare and judge pairs, with progress and costs."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from review.cli.base import Context, main, verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from review.services.judge import Report, Standing


@verb(main)
@click.option("--sample", metavar="ID", help="Only the pairs of this sample.  [default: the newest that has pairs]")
@click.option("--all", "everything", is_flag=True, help="All pairs, whatever they came from.")
@click.option("--limit", type=click.IntRange(1), help="Take up so many pairs at most.")
def judge(context: Context, sample: str | None, everything: bool, limit: int | None) -> None:
    """Compare tool calls and JSON, and have a judge prefer one answer where there is text."""
    from dataclasses import asdict

    from review.services import judge as service

    if sample is not None and everything:
        raise click.UsageError("--sample and --all exclude each other.")
    with context.desk(asks_models=True) as desk:
        report = service.judge(desk, sample=sample, everything=everything, limit=limit, tell=_teller())
    document = {name: value for name, value in asdict(report).items() if name != "totals"} | report.totals
    context.print(document, _lines(report))
    for warning in report.totals["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    if report.left and report.why and report.run_id is None:
        click.echo(f"note: {report.why}", err=True)
    elif report.left and report.why:
        click.echo(f"error: {report.why} What was answered is kept; run it again.", err=True)
        sys.exit(1)


def _teller() -> Callable[[Standing], None]:
    """Progress on standard error: each second on a terminal, each ten seconds elsewhere, nothing in the first."""
    started, live = time.monotonic(), sys.stderr.isatty()
    shown = started + 1 - (1 if live else 10)

    def tell(now: Standing) -> None:
        nonlocal shown
        at = time.monotonic()
        if at - shown < (1 if live else 10) or now.total == 0:
            return
        shown = at
        rate = now.done / (at - started)
        left = f"{(now.total - now.done) / rate:,.0f} s left" if rate else "no rate yet"
        line = f"judged {now.done:,} of {now.total:,} · {rate:.1f}/s · ${now.cost_usd:,.4f} · {left}"
        click.echo(f"\r{line:<78}" if live else line, err=True, nl=not live or now.done == now.total)

    return tell


def _lines(report: Report) -> list[str]:
    """The report for people."""
    from review.domain.structured import OUTCOME_WORDS, OUTCOMES

    where = f"sample {report.sample}" if report.sample else "all pairs"
    lines = [
        f"{where}: {report.pairs:,} pairs to compare, {report.identical:,} more are identical, "
        f"{report.already:,} were judged before"
    ]
    counts: dict[str, int] = report.totals["structured"]
    if counts:
        told = ", ".join(f"{counts[name]:,} {OUTCOME_WORDS[name]}" for name in OUTCOMES if counts.get(name))
        lines.append(f"tool calls and JSON: {told}")
    each = report.cost_usd / report.judged if report.judged else 0.0
    lines.append(
        f"judged now: {report.judged:,} verdicts with {report.calls:,} calls for ${report.cost_usd:.4f} "
        f"(${each:.5f} a verdict)"
    )
    lines += [f"  {count:,} by {_printable(name)}" for name, count in sorted(report.verdicts.items())]
    if report.exact_hits or report.semantic_hits:
        lines.append(
            f"from the cache: {report.exact_hits:,} exact, {report.semantic_hits:,} near-duplicates, "
            f"${report.saved_usd:.4f} saved"
        )
    paid = "" if report.vectors_usd is None else f" (its vectors: ${report.vectors_usd:.4f})"
    lines.append(f"cache for near-duplicates: {report.semantic}{paid}")
    lines += [f"failed: {count:,} {kind}" for kind, count in sorted(report.failed.items())]
    if report.left:
        lines.append(f"left: {report.left:,} pairs ({report.reason})")
    weeks: list[dict[str, Any]] = report.totals["weeks"]
    if weeks:
        week = weeks[0]
        lines.append(f"week of {week['week']}: ${week['cost_usd']:.4f} for {week['calls']:,} calls")
    return lines


def _printable(name: str) -> str:
    """A model's name without what a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in name[:80])
