"""`review watch`: live traffic in, detectors, alerts; and what people do about them."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from review.cli.base import Context, common, main, verb

if TYPE_CHECKING:
    from review.services.watch import Round


@main.group(invoke_without_command=True)
@common
@click.option("--once", is_flag=True, help="One round, for cron; otherwise rounds until it is stopped.")
@click.pass_context
def watch(click_context: click.Context, db: Any, as_json: bool, once: bool) -> None:
    """Watch live traffic after the cutover: files of the watched folder in, a sample scored, alerts out.

    All state is in the database: ended at any moment, the next round goes on. Beside the running app it works through
    it.
    """
    if click_context.invoked_subcommand is not None:
        if once:
            raise click.UsageError("--once goes with `review watch` alone.")
        return
    given = click_context.find_root().params
    context = Context(db or given.get("db"), as_json or bool(given.get("as_json")))
    if once:
        _once(context)
    else:
        _daemon(context)


def _once(context: Context) -> None:
    from review.services import watch as service

    with context.desk(asks_models=True) as desk:
        done = service.once(desk, tell=context.say)
    _print(context, done)
    if done.failed:
        sys.exit(1)


def _daemon(context: Context) -> None:
    from review.services import watch as service

    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        """The first signal ends the daemon after the step at hand, a second one at once: nothing is lost either way."""
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, end)
    minutes = context.settings().config.watch.interval_minutes
    context.say(f"watching; a round every {minutes:g} minutes, until it is stopped")
    service.daemon(
        lambda: context.desk(asks_models=True),
        stop,
        minutes * 60,
        context.say,
        report=lambda done: _print(context, done),
    )
    context.say("stopped")


def _print(context: Context, done: Round) -> None:
    context.print(done.to_json(), lines(done))
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    sys.stdout.flush()


def lines(done: Round) -> list[str]:
    """A round for people."""
    shown = [
        f"files     {done.files:,} taken in: {done.read:,} records, {done.new:,} new, {done.rejected:,} rejected",
        f"observed  {done.observed - done.answers:,} pairs, {done.answers:,} answers of new alone; "
        f"{done.chosen:,} of them to be scored",
        f"scored    {done.scored:,}, {done.baseline:,} of old as a baseline ({done.judged:,} judged now, "
        f"${done.cost_usd:.4f})",
        f"alerts    {done.alerts:,} new",
    ]
    for word, counts in (("delivered", done.delivered), ("failed", done.failed)):
        if counts:
            shown.append(f"{word:9} " + ", ".join(f"{channel} {count}" for channel, count in counts.items()))
    return shown


@verb(watch)
def setup(context: Context) -> None:
    """Say what is watched, with which delay to expect, and where alerts go. Changes nothing."""
    from review.services import watch as service
    from review.services.alerts import channel_names

    with context.desk() as desk:
        document = service.outlook(desk)
        config = desk.settings.config.watch
    shown = [
        f"folder    {'none (watch.folder)' if config.folder is None else 'set'}; source {config.source}",
        f"alerts to {channel_names(config.channels)}",
    ]
    for each in document["tasks"]:
        shown.append(
            f"{_clean(each['task']) or 'all traffic'}: tolerance {100 * each['tolerance']:.2f} points, "
            f"{each['scores']:,} {'single answers scored' if each['single'] else 'scores'} "
            f"({each['per_day']:,.0f} a day); {each['words']}"
        )
    if not document["tasks"]:
        shown.append("No live traffic is scored yet. Name watch.folder, put files there and run: review watch --once")
    context.print(document, shown)


@verb(watch)
def alerts(context: Context) -> None:
    """List the alerts, newest first."""
    from review.services.alerts import title

    with context.desk() as desk:
        document = desk.ask("alerts.read").document
    shown = [
        f"{each['number']:4}  {each['alert_id']}  {each['state']:12} {each['raised_at'][:16]}  {_clean(title(each))}"
        for each in document["alerts"]
    ]
    context.print(document, shown or ["No alert was raised."])


@verb(watch)
@click.argument("alert_id")
@click.option("--comment", default="", help="What is done about it.")
def acknowledge(context: Context, alert_id: str, comment: str) -> None:
    """Say that somebody looks after an alert: it is not delivered any more, and the next alarm is a new alert."""
    with context.desk() as desk:
        desk.ask("alerts.answer", {"alert_id": alert_id, "comment": comment})
    context.print({"alert_id": alert_id}, ["acknowledged"])


@verb(watch)
@click.argument("task", required=False)
@click.option("--days", type=click.FloatRange(0, 90), required=True, help="For how long; 0 ends a silence.")
@click.option("--comment", default="", help="Why.")
def silence(context: Context, task: str | None, days: float, comment: str) -> None:
    """Deliver nothing about a task (without one: about any) for some days; what is open then is delivered then."""
    with context.desk() as desk:
        desk.ask("alerts.answer", {"alert_id": None, "task": task, "days": days, "comment": comment})
    context.print({"task": task, "days": days}, ["silenced" if days else "no longer silenced"])


def _clean(text: str) -> str:
    return "".join(each if each.isprintable() else "\ufffd" for each in text[:80])
