"""The command line: parse, call one service, print. Heavy imports stand where they are used: `--help` must be quick."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import click

if TYPE_CHECKING:
    from review.services.workspace import Workspace
    from review.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])
_KINDS = ("pairs", "verdicts", "labels")
_SHOWN_REJECTS = 20


class _Group(click.Group):
    """Turns an error of ours into one line and exit code 1. REVIEW_DEBUG=1 shows the traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:  # the door: nothing unexpected may reach a person as a traceback
            _fail(error)


def _fail(error: Exception) -> NoReturn:
    from review.errors import ReviewError

    if os.environ.get("REVIEW_DEBUG"):
        traceback.print_exc()
    if isinstance(error, ReviewError):
        click.echo(f"error: {error}", err=True)
    else:
        kind = type(error).__name__
        click.echo(f"error: unexpected {kind}. Run again with REVIEW_DEBUG=1 to see where, and report it.", err=True)
    sys.exit(1)


def _common(command: _Command) -> _Command:
    """--db and --json, accepted before and after the verb."""
    command = click.option("--json", "as_json", is_flag=True, help="Machine output on stdout, messages on stderr.")(
        command
    )
    return click.option("--db", type=click.Path(path_type=Path), help="The database file.")(command)


def _verb(group: click.Group, name: str | None = None) -> Callable[[Callable[..., None]], click.Command]:
    """A verb whose function gets the merged settings as `context`."""

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(db: Path | None, as_json: bool, **arguments: Any) -> None:
            given = click.get_current_context().find_root().params
            context = _Context(db or given.get("db"), as_json or bool(given.get("as_json")))
            function(context, **arguments)

        return group.command(name or function.__name__.removesuffix("_"))(_common(run))

    return decorate


class _Context:
    """What every verb needs: which database, and how to print."""

    def __init__(self, db: Path | None, as_json: bool) -> None:
        self.db = db
        self.as_json = as_json

    def settings(self, default: Path | None = None) -> Settings:
        from review import settings

        return settings.load(self.db or (None if os.environ.get("REVIEW_DB") else default))

    @contextmanager
    def workspace(self) -> Generator[Workspace]:
        from review.services.workspace import open_workspace

        with closing(open_workspace(self.settings())) as opened:
            yield opened

    def print(self, document: object, lines: Sequence[str]) -> None:
        """The document as JSON, or the lines for people."""
        if self.as_json:
            click.echo(json.dumps(document, ensure_ascii=True, allow_nan=False, default=str))
        else:
            for line in lines:
                click.echo(line)

    def say(self, line: str) -> None:
        """A message beside the output."""
        click.echo(line, err=self.as_json)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@_common
def main(db: Path | None, as_json: bool) -> None:
    """Human review of old-versus-new LLM answers: blind labels, honest intervals, a permanent adversarial set."""
    del db, as_json  # read from the context by each verb


@_verb(main, "import")
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--skip-invalid", is_flag=True, help="Write the good lines of a file that has bad ones.")
@click.option("--map", "names", multiple=True, metavar="OURS=THEIRS", help="Rename a field of a foreign file.")
def import_(context: _Context, kind: Any, files: tuple[Path, ...], skip_invalid: bool, names: tuple[str, ...]) -> None:
    """Import pairs, verdicts or labels from JSONL, CSV or Parquet files."""
    from datetime import UTC, datetime

    from review.errors import RejectedRecords
    from review.services.ingest import Imported, Options, import_files

    options = Options(skip_invalid=skip_invalid, names=_mapping(names))
    total, failed = Imported(0, 0, 0), False
    with context.workspace() as workspace:
        for file in files:
            try:
                with _progress(f"{kind} {file.name}") as tell:
                    total += import_files(
                        workspace, kind, [file], now=datetime.now(UTC), options=options, progress=tell
                    )
            except RejectedRecords as error:
                failed = True
                total += Imported(error.read, 0, 0, error.rejected)
                _show_rejected(str(file), error.rejected)
                click.echo(f"error: {error}. Correct them, or pass --skip-invalid to write the rest.", err=True)
    if skip_invalid and total.rejected:
        _show_rejected(str(files[0]) if len(files) == 1 else "", total.rejected)
    document = {
        "read": total.read,
        "new": total.new,
        "present": total.present,
        "rejected": [{"line": each.line, "field": each.field, "reason": each.reason} for each in total.rejected],
    }
    words = f"{total.read} read, {total.new} new, {total.present} present already, {len(total.rejected)} rejected"
    context.print(document, [f"{kind}: {words}"])
    if failed:
        sys.exit(1)


def _mapping(names: Sequence[str]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for each in names:
        ours, equals, theirs = each.partition("=")
        if not (ours and equals and theirs):
            raise click.UsageError(f"--map takes OURS=THEIRS, as in old.content=answer_a; got {each!r}.")
        mapping[ours] = theirs
    return mapping


def _show_rejected(file: str, rejected: Sequence[Any]) -> None:
    for each in rejected[:_SHOWN_REJECTS]:
        field = f'"{each.field}" ' if each.field else ""
        click.echo(f"{file} line {each.line}: {field}{each.reason}", err=True)
    if len(rejected) > _SHOWN_REJECTS:
        click.echo(f"… and {len(rejected) - _SHOWN_REJECTS} more", err=True)


@contextmanager
def _progress(label: str) -> Generator[Callable[[int, int], None]]:
    """A progress bar on standard error, shown once a second has passed."""
    started, bar = time.monotonic(), cast("Any", None)

    def tell(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            if time.monotonic() - started < 1:
                return
            bar = click.progressbar(length=total, label=label, file=sys.stderr)
            bar.__enter__()
        bar.update(done - bar.pos)

    try:
        yield tell
    finally:
        if bar is not None:
            bar.__exit__(None, None, None)


@_verb(main, "export")
@click.argument("what", type=click.Choice((*_KINDS, "adversarial")))
@click.option("--round", "round_id", help="Only what belongs to this round.")
@click.option("-o", "--output", "target", required=True, type=click.Path(path_type=Path), help="FILE, or - for stdout.")
def export_(context: _Context, what: Any, round_id: str | None, target: Path) -> None:
    """Export what can be imported again without loss."""
    from review.services.export import export

    with context.workspace() as workspace, _progress(f"{what} to {target.name}") as tell:
        count = export(workspace, what, target, round_id=round_id, progress=tell)
    if str(target) != "-":
        context.print({"exported": count, "file": str(target)}, [f"{count} {what} written to {target}"])


@_verb(main)
@click.option("--size", type=click.IntRange(1), required=True, help="Pairs in the round, 50 to 100 as a rule.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), required=True, help="Makes the draw repeatable.")
@click.option("--overlap", type=click.IntRange(1, 20), default=1, show_default=True, help="Different reviewers a pair.")
@click.option("--overlap-share", type=click.FloatRange(0, 1), help="Only this share gets a second reviewer.")
@click.option(
    "--repeat", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="Share shown again, hidden."
)
@click.option("--by", type=click.Choice(["task", "none"]), default="task", show_default=True, help="Strata.")
@click.option("--audit", type=click.FloatRange(0, 1), default=0.10, show_default=True, help="Share of judged ties.")
@click.option("--name", help="A name for people.")
def draw(context: _Context, **asked: Any) -> None:
    """Draw a round from the disagreements, and print its strata."""
    from datetime import UTC, datetime

    from review.services import rounds

    with context.workspace() as workspace:
        drawn = rounds.draw(workspace, rounds.DrawSpec(**asked), _who(), datetime.now(UTC))
    for note in drawn.notes:
        click.echo(note, err=True)
    if drawn.leaks:
        noun = "answer names its" if len(drawn.leaks) == 1 else "answers name their"
        click.echo(f"{len(drawn.leaks)} {noun} own model or maker; see the Rounds page.", err=True)
    strata = [
        {"stratum": each.stratum, "frame": each.frame, "drawn": each.drawn, "pi": each.pi} for each in drawn.strata
    ]
    document = {"round_id": drawn.round_id, "frame": drawn.frame, "size": drawn.size, "strata": strata}
    lines = [f"{each['stratum']}: {each['drawn']} of {each['frame']} (pi {each['pi']:.3f})" for each in strata]
    context.print(document, [f"round {drawn.round_id}: {drawn.size} pairs from a frame of {drawn.frame}", *lines])


def _who() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"


@_verb(main)
def rounds(context: _Context) -> None:
    """List the rounds and how far they are."""
    from review.services import rounds as service

    with context.workspace() as workspace:
        drawn = service.list_rounds(workspace)
    document = [
        {
            "round_id": each.round_id,
            "name": each.title,
            "size": each.size,
            "overlap": each.overlap,
            "state": each.progress.state,
            "labels": each.progress.done,
            "places": each.progress.places,
            "surplus": each.progress.surplus,
            "skips": each.progress.skips,
            "reviewers": each.progress.reviewers,
            "drawn_at": each.drawn_at.isoformat(),
        }
        for each in drawn
    ]
    lines = [f"{e['round_id']}  {e['state']:8}  {e['labels']}/{e['places']} labels  {e['name']}" for e in document]
    context.print(document, lines or ["No round is drawn yet. Draw one: review draw --size 80 --seed 7"])


@_verb(main)
def status(context: _Context) -> None:
    """Say how much there is of everything, and where."""
    from review.services import overview

    with context.workspace() as workspace:
        facts = overview.facts(workspace)._asdict()
        place = {"db": str(workspace.settings.db), "mirror": str(workspace.settings.mirror)}
    context.print(place | facts, [f"{name:10} {value}" for name, value in (place | facts).items()])


@_verb(main)
@click.option("--round", "round_id", help="Only this round's labels.")
@click.option("--unit", type=click.Choice(["majority", "each"]), default="majority", show_default=True)
@click.option("--unparsable", type=click.Choice(["tie", "wrong", "dropped"]), default="tie", show_default=True)
@click.option("--inconsistent", type=click.Choice(["own", "tie"]), default="own", show_default=True)
def agreement(context: _Context, **asked: Any) -> None:
    """Compare the judges with people, and people with each other."""
    from review.services.agreement import agreement as compare

    with context.workspace() as workspace:
        report = compare(workspace, **asked)
    document = report.to_json()
    context.print(document, _agreement_lines(cast("dict[str, Any]", document)))


def _agreement_lines(document: dict[str, Any]) -> list[str]:
    """The numbers of the report as a short table for the terminal."""

    lines: list[str] = []
    for judge in document["judges"]:
        lines.append(f"{judge['judge']}: {judge['n']} pairs, {judge['prompts']} prompts")
        lines += [f"  {name:6} {_shown(judge[name])}" for name in ("raw", "kappa", "ac1")]
        lines += [f"  left out: {count} {reason}" for reason, count in judge["excluded"].items() if count]
    if not lines:
        lines.append("No judge and person have spoken about the same pair yet.")
    people = document["humans"]
    lines.append(f"people: {people['reviewers']} reviewers, alpha {_shown(people['alpha'])}")
    return [*lines, *document["rules"]["in_words"]]


@_verb(main)
@click.option("--round", "round_id", help="Only this round's frame and labels.")
def parity(context: _Context, round_id: str | None) -> None:
    """Look: is new as good as old under the contract? Exit 0 parity, 3 regression, 4 inconclusive.

    A look is recorded, and the contract plans how many there are; without anything new the last one is shown again.
    """
    from datetime import UTC, datetime

    from review.services import looks
    from review.services.parity import parity as judge

    with context.workspace() as workspace:
        look, plan = looks.take(workspace, round_id, _who(), datetime.now(UTC))
        report = look.report if look else judge(workspace, round_id=round_id).to_json()
    taken = {"looks_taken": len(plan.looks), "looks_planned": plan.planned_looks, "another": plan.refusal or "possible"}
    document = cast("dict[str, Any]", {**report, "look": look.to_json() if look else None, "plan": taken})
    context.print(document, _parity_lines(document))
    if plan.refusal:
        click.echo(plan.refusal, err=True)
    sys.exit({"parity": 0, "regression": 3}.get(document["verdict"], 4))


def _parity_lines(document: dict[str, Any]) -> list[str]:
    """The verdict, its parts and what is missing, for the terminal."""
    parts = document["parts"]
    lines = [f"{document['verdict'].upper()} at a one-sided alpha of {document['alpha']:.4g}"]
    lines.append(f"share right, new minus old, of all traffic: {document['part_verdicts']['tolerance']}")
    for row in parts["tolerance"]:
        missing = row["labels_needed"]
        needed = f"; about {missing:,} more labelled pairs" if isinstance(missing, int) else ""
        lines.append(
            f"  {row['task'] or '(no task)'}: {row['verdict']}, {_shown(row['difference'])}, "
            f"tolerance {row['tolerance']}{needed}"
        )
    failures = parts["failure_modes"]
    lines.append(f"failure categories: {failures['verdict']}")
    lines += [
        f"  {row['category']}: {row['verdict']}, {row['old']} on old, {row['new']} on new"
        for row in failures["categories"]
    ]
    direction = parts["direction"]
    said = direction["direction"].replace("_", " ")
    lines.append(f"direction of error: {direction['verdict']}, {said}, D {_shown(direction['balance'])}")
    return [*lines, *document["notes"]]


@_verb(main)
@click.option("--old", required=True, type=click.Path(path_type=Path), help="FILE of id, confidence, correct.")
@click.option("--new", type=click.Path(path_type=Path), help="The same of the new system, by the same ids.")
def calibration(context: _Context, old: Path, new: Path | None) -> None:
    """Compare confidences with correctness, in plain files; needs no database."""
    from review.services.calibration import calibration_of_files

    document = calibration_of_files(old, new).to_json()
    context.print(document, _calibration_lines(cast("dict[str, Any]", document)))


def _calibration_lines(document: dict[str, Any]) -> list[str]:
    """The report as a short table for the terminal."""
    lines: list[str] = []
    for side in ("old", "new"):
        if side not in document:
            continue
        system = document[side]
        lines.append(f"{side}: {system['n']} answers, {system['prompts']} prompts")
        lines += [f"  {name:10} {_shown(system[name])}" for name in ("accuracy", "confidence", "brier")]
        lines.append(f"  {'ece':10} {system['ece']['value']:.4f}")
    for name, result in document.get("difference", {}).items():
        p = f", p {result['p']:.3g}" if "p" in result else ""
        lines.append(f"{name}, new minus old: {_shown(result)}{p}")
    lines += [f"left out: {count} {reason}" for reason, count in document["exclusions"].items() if count]
    return [*lines, *document["rules"]["in_words"]]


def _shown(result: dict[str, Any]) -> str:
    """An estimate with its interval, or why there is none."""
    if "not_estimable" in result:
        return f"not estimable: {result['not_estimable']}"
    return f"{result['value']:.3f} ({result['low']:.3f} to {result['high']:.3f})"


@main.group()
def adversarial() -> None:
    """The permanent adversarial set."""


@_verb(adversarial)
def verify(context: _Context) -> None:
    """Check the hash chain, the mirror and the count."""
    from review.services import flag

    with context.workspace() as workspace:
        found = flag.verify(workspace)
    document = {
        "ok": found.ok,
        "entries": found.entries,
        "rows": found.rows,
        "head": found.head,
        "first_bad": found.first_bad,
        "mirror": found.mirror.state if found.mirror else None,
        "message": found.message,
    }
    context.print(document, [found.message])
    if not found.ok:
        if context.as_json:
            click.echo(f"error: {found.message}", err=True)
        sys.exit(1)


def _serve(settings: Settings, port: int, open_browser: bool) -> None:
    """Serve in this process until stopped."""
    os.environ["REVIEW_DB"] = str(settings.db)
    from review.settings import ROOT

    os.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("app", ROOT / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.run(port, open_browser=open_browser)


_port = click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
_no_browser = click.option("--no-browser", is_flag=True, help="Do not open a browser.")


@_verb(main)
@_port
@_no_browser
def serve(context: _Context, port: int, no_browser: bool) -> None:
    """Serve the app on your database."""
    _serve(context.settings(), port, not no_browser)


@_verb(main)
@_port
@_no_browser
@click.option("--reset", is_flag=True, help="Start over: delete what the demo built, and build it anew.")
def demo(context: _Context, port: int, no_browser: bool, reset: bool) -> None:
    """Build the demo, unless it is there, and serve it."""
    from datetime import UTC, datetime

    from review.services import demo as service
    from review.services.workspace import open_workspace
    from review.settings import ROOT

    settings = context.settings(default=ROOT / "data" / "demo" / "review.duckdb")
    if reset:
        service.reset(settings)
    with closing(open_workspace(settings)) as workspace:
        built = service.build(workspace, datetime.now(UTC))
    context.say(f"The demo is {'built' if built.built else 'there'}: {settings.db}")
    _serve(settings, port, not no_browser)


if __name__ == "__main__":
    main()
