"""`review import traces` and `review traces`: logged traffic in, and found again by a ticket."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from review.cli.base import Context, main, verb

if TYPE_CHECKING:
    from review.services.trace_import import Imported

# As in review.adapters.trace_formats, which is not loaded for --help.
TRACE_FORMATS = ("auto", "otel", "langfuse", "litellm", "openai", "own")
_SHOWN = 20


def import_traces(
    context: Context,
    places: Sequence[str],
    form: str,
    skip_invalid: bool,
    names: Mapping[str, str],
    source: str | None = None,
    served: Any = None,
) -> None:
    """Import files, folders and lakes one file after the other, and say what became of them."""
    from review.domain import live
    from review.errors import RejectedRecords
    from review.services import shadow, trace_import

    try:
        came = None if source is None and served is None else live.parse(source or "production", served)
    except ValueError as error:
        raise click.UsageError(f"--source: {error}; got {_clean(str(source))!r}.") from error
    options = trace_import.Options(form, skip_invalid, names, came)
    reports: list[dict[str, Any]] = []
    failed = False
    with context.desk() as desk:
        for place in trace_import.places(places):
            watch = Ticker(place.source)
            try:
                if came is not None and came.kind == "metrics":
                    done = shadow.import_metrics(desk, place, came, skip_invalid, watch)
                else:
                    done = trace_import.import_file(desk, place, options, watch)
                if skip_invalid:
                    _show(place.shown, done.rejected, done.bad)
            except RejectedRecords as error:
                failed = True
                watch.end()
                done = trace_import.Imported(read=error.read, bad=len(error.rejected), rejected=list(error.rejected))
                _show(place.shown, error.rejected, len(error.rejected))
                click.echo(f"error: {error}. Correct them, or pass --skip-invalid to write the rest.", err=True)
            watch.end()
            reports.append(_report(place.shown, done))
            context.say(f"{place.shown}: {_words(done)}")
    total = {name: sum(each[name] for each in reports) for name in ("read", "new", "present", "passed", "rejected")}
    words = ", ".join(f"{count:,} {name}" for name, count in total.items())
    context.print({**total, "files": reports}, [f"traces: {words}"] if len(reports) > 1 else [])
    if failed:
        sys.exit(1)


def _report(place: str, done: Imported) -> dict[str, Any]:
    return {
        "file": place,
        "format": done.format,
        "read": done.read,
        "new": done.new,
        "present": done.present,
        "passed": done.passed.total(),
        "passed_why": dict(done.passed),
        "to_metadata": dict(done.unknown),
        "rejected": done.bad,
        "rejects": [{"line": each.line, "field": each.field, "reason": each.reason} for each in done.rejected],
    }


def _words(done: Imported) -> str:
    words = [f"{done.read:,} read", f"{done.new:,} new", f"{done.present:,} present already", f"{done.bad:,} rejected"]
    if done.format:
        words.insert(0, f"format {done.format}")
    if done.passed:
        words.append(f"passed over: {_counted(done.passed)}")
    if done.unknown:
        words.append(f"put under metadata: {_counted(done.unknown)}")
    return "; ".join(words)


def _counted(counts: Counter[str]) -> str:
    most = counts.most_common(8)
    more = ", …" if len(counts) > len(most) else ""
    return ", ".join(f"{_clean(name)} ({count:,})" for name, count in most) + more


def _clean(name: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name[:60])


def _show(file: str, rejected: Sequence[Any], count: int) -> None:
    for each in rejected[:_SHOWN]:
        field = f'"{each.field}" ' if each.field else ""
        click.echo(f"{file} line {each.line}: {field}{each.reason}", err=True)
    if count > _SHOWN:
        click.echo(f"… and {count - _SHOWN:,} more", err=True)


class Ticker:
    """What is done, how fast, and how long it will take, on standard error; nothing in the first second."""

    def __init__(self, label: str) -> None:
        self._label, self._phase, self._shown = label, "", False
        self._begun = self._told = time.monotonic()
        self._live = sys.stderr.isatty()

    def __call__(self, phase: str, records: int, done: int, total: int) -> None:
        """Told by the import now and then."""
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._begun = phase, now
        # A terminal's line is written over; a log gets a line now and then.
        if now - self._told < (0.5 if self._live else 10) or now - self._begun < 1:
            return
        self._told, self._shown = now, True
        passed = now - self._begun
        left = f", {clock(passed * (total - done) / done)} left" if 0 < done <= total else ""
        line = f"{self._label}: {phase} {records:,} records, {records / passed:,.0f}/s{left}"
        click.echo(f"\r\x1b[K{line}" if self._live else line, nl=not self._live, err=True)

    def end(self) -> None:
        """End the line."""
        if self._shown and self._live:
            click.echo(err=True)
        self._shown = False


def clock(seconds: float) -> str:
    """Seconds as minutes or hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@main.group("traces")
def traces() -> None:
    """What stands of the traffic."""


@verb(traces, "count")
def count_(context: Context) -> None:
    """How many traces there are, and from when to when."""
    with context.desk() as desk:
        found = desk.ask("traces.count").document
    context.print(found, [f"{name}: {value if value is not None else '–'}" for name, value in found.items()])


@verb(traces, "find")
@click.option("--ticket", help="The ticket as the helpdesk calls it.")
@click.option("--customer", help="The customer's id.")
@click.option("--conversation", help="The conversation's id.")
def find_(context: Context, ticket: str | None, customer: str | None, conversation: str | None) -> None:
    """Find traces by a ticket, customer or conversation. The ids are not stored, only keyed hashes of them."""
    from review.services.traces import find_by

    if not (ticket or customer or conversation):
        raise click.UsageError("Name a --ticket, --customer or --conversation.")
    with context.desk() as desk:
        found = find_by(desk, ticket=ticket, customer=customer, conversation=conversation)
    lines = [
        f"{each['trace_id']}  {each['at']}  {each['task'] or '–'}  {', '.join(each['pairs']) or 'no pair'}"
        for each in found
    ]
    context.print({"traces": found}, lines or ["No trace of it is here."])
