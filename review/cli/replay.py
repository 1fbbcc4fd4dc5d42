"""`review replay`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from review.cli.base import Context, main, verb

if TYPE_CHECKING:
    from review.services.replay import Progress, Report

_EVERY_ON_A_SCREEN = 0.5
_EVERY_IN_A_LOG = 10.0


@verb(main)
@click.option("--sample", metavar="ID", help="The sample to replay; the newest by default.")
@click.option("--old-only", is_flag=True, help="Ask old alone.")
@click.option("--new-only", is_flag=True, help="Ask new alone.")
@click.option("--limit", type=click.IntRange(1), help="Only the sample's first so many traces.")
def replay(context: Context, sample: str | None, old_only: bool, new_only: bool, limit: int | None) -> None:
    """Run a sample's traces through old and new, and make pairs of the answers.

    What is answered is kept, and never asked again; what failed is tried again by the next run.
    """
    if old_only and new_only:
        raise click.UsageError("--old-only and --new-only exclude each other; leave both out to ask both.")
    from review.services import replay as service

    sides: Any = ("old",) if old_only else ("new",) if new_only else ("old", "new")
    with context.desk(asks_models=True) as desk:
        report = service.replay(desk, service.Ask(sample, sides, limit), tell=teller())
    context.print(report.to_json(), lines(report))
    stopped = [each.stopped for each in report.sides.values() if each.stopped]
    for reason in stopped:
        click.echo(f"error: {reason}", err=True)
    if stopped:
        sys.exit(1)


def teller(what: str = "answers") -> Callable[[Progress], None]:
    """Says how far a run is on standard error: done, rate, cost and time left; nothing in the first second.

    What is done when it is first told does not count for the rate.
    """
    screen = sys.stderr.isatty()
    every = _EVERY_ON_A_SCREEN if screen else _EVERY_IN_A_LOG
    begin = told = 0.0
    first = 0

    def tell(progress: Progress) -> None:
        nonlocal begin, told, first
        now = time.monotonic()
        if not begin:
            # The first answer sets the clock: what came before it was starting up.
            begin, told, first = now, now + 1 - every, progress.done
        last = progress.done >= progress.total and now - begin > 1
        if now - told < every and not (last and screen):
            return
        told = now
        rate = (progress.done - first) / (now - begin)
        left = (progress.total - progress.done) / rate if rate else 0.0
        said = f"{progress.done:,} of {progress.total:,} {what}, {rate:.1f} a second, ${progress.cost_usd:.4f}"
        text = f"{said}, {duration(left)} left"
        click.echo(f"\r{text:<78}" + ("\n" if last else "") if screen else text, nl=not screen, err=True)

    return tell


def duration(seconds: float) -> str:
    """A time left for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def lines(report: Report) -> list[str]:
    """A run for people."""
    from review.services.noise import in_words

    unsent = report.sampled - report.chosen
    shown = [
        f"sample {report.sample}: {report.sampled:,} traces" + (f", {unsent:,} of them not sent" if unsent else "")
    ]
    counts = {"old": report.old, "new": report.new}
    for name, side in report.sides.items():
        parts = [f"{side.answered:,} in this run"]
        parts += [f"{side.kept:,} kept from an earlier run"] if side.kept else []
        parts += [f"{side.adopted:,} taken from the log"] if side.adopted else []
        said = f"{name} {side.model}: {counts[name]:,} of {report.chosen:,} answered ({', '.join(parts)})"
        shown.append(f"{said}, ${side.cost_usd:.4f}")
        if side.failing:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in side.failing.items())
            shown.append(f"  without an answer: {kinds}. Run it again to try them again.")
        if side.dropped:
            shown.append(f"  asked without {', '.join(side.dropped)}, which the server does not take")
    unpairable = f", {report.unpairable:,} cannot be pairs" if report.unpairable else ""
    shown.append(f"pairs: {report.pairs:,} ({report.made:,} new{unpairable})")
    return shown + (in_words(report.noise) if report.noise else ["noise floor: not measured, old is the log itself"])
