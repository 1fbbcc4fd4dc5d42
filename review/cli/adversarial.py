"""`review adversarial …`."""

from __future__ import annotations

import sys
from typing import Any

import click

from review.cli.base import Context, main, verb


@main.group()
def adversarial() -> None:
    """The permanent adversarial set."""


@verb(adversarial)
def verify(context: Context) -> None:
    """Check the hash chain, the mirror and the count."""
    with context.desk() as desk:
        found = desk.ask("adversarial.verify").document
    context.print(found, [found["message"]])
    if not found["ok"]:
        if context.as_json:
            click.echo(f"error: {found['message']}", err=True)
        sys.exit(1)


@verb(adversarial)
@click.option("--run", required=True, help="Id, name or number of the run.")
@click.option("--repeats", type=click.IntRange(1, 100), default=1, show_default=True, help="Times each is asked.")
@click.option("--side", type=click.Choice(["both", "new"]), default="both", show_default=True, help="Which stacks.")
def replay(context: Context, run: str, repeats: int, side: str) -> None:
    """Ask a run's stacks the whole set, each entry against its own pass criterion, and record who passes.

    The set is as it stood when the run began. What is answered is kept, and never asked again.
    """
    from review.cli.replay import teller
    from review.services import adversarial_replay as service

    sides: Any = ("old", "new") if side == "both" else ("new",)
    with context.desk(asks_models=True) as desk:
        report = service.replay(desk, run, repeats=repeats, sides=sides, tell=teller())
    context.print(report.to_json(), _lines(report))
    for reason in report.stopped:
        click.echo(f"error: {reason} Nothing is recorded yet; what was answered is kept. Run it again.", err=True)
    if report.stopped:
        sys.exit(1)


@verb(adversarial)
def missed(context: Context) -> None:
    """How many failures nobody flags: what the weekly random audits say about the set's selection bias."""
    with context.desk() as desk:
        found = desk.ask("adversarial.missed").document
    context.print(found, [found["line"], *found["notes"]])


def _lines(report: Any) -> list[str]:
    """What a replay came to, for people."""
    if not report.recorded:
        return []
    left = [
        f"{report.erased} erased" if report.erased else "",
        f"{report.later} reported later" if report.later else "",
    ]
    out = ", ".join(filter(None, left))
    lines = [
        f"adversarial set in run {report.run['name']}: {report.entries} entries, {report.confirmed} confirmed"
        + (f"; left out: {out}" if out else "")
        + (" (recorded before)" if report.before else "")
    ]
    for name, counts in report.outcomes.items():
        undecided = f", {counts['undecided']} undecided" if counts["undecided"] else ""
        lines.append(f"  {name}: {counts['passed']} passed, {counts['failed']} failed{undecided}")
    lines.append(f"  {report.asked} answers asked for now; all of it cost ${report.cost_usd:.2f}")
    return lines
