"""What every verb shares: the group, the context, progress and errors. Heavy imports stand where they are used."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import click

if TYPE_CHECKING:
    from review.services.desk import OpenDesk
    from review.services.workspace import Workspace
    from review.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Group(click.Group):
    """Turns an error of ours into one line and exit code 1. REVIEW_DEBUG=1 shows the traceback."""

    # False where another program calls the command line with arguments of its own.
    owns_process = False

    def main(self, args: Sequence[str] | None = None, *rest: Any, **more: Any) -> Any:
        Group.owns_process = args is None
        return super().main(args, *rest, **more)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:  # the door: nothing unexpected may reach a person as a traceback
            fail(error)


def fail(error: Exception) -> NoReturn:
    from review.errors import ReviewError

    if os.environ.get("REVIEW_DEBUG"):
        traceback.print_exc()
    if isinstance(error, ReviewError):
        click.echo(f"error: {error}", err=True)
    else:
        kind = type(error).__name__
        click.echo(f"error: unexpected {kind}. Run again with REVIEW_DEBUG=1 to see where, and report it.", err=True)
    sys.exit(1)


def common(command: _Command) -> _Command:
    """--db and --json, accepted before and after the verb."""
    command = click.option("--json", "as_json", is_flag=True, help="Machine output on stdout, messages on stderr.")(
        command
    )
    return click.option("--db", type=click.Path(path_type=Path), help="The database file.")(command)


def verb(group: click.Group, name: str | None = None) -> Callable[[Callable[..., None]], click.Command]:
    """A verb whose function gets the merged settings as `context`."""

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(db: Path | None, as_json: bool, **arguments: Any) -> None:
            given = click.get_current_context().find_root().params
            context = Context(db or given.get("db"), as_json or bool(given.get("as_json")))
            function(context, **arguments)

        return group.command(name or function.__name__.removesuffix("_"))(common(run))

    return decorate


class Context:
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

    @contextmanager
    def desk(self, *, asks_models: bool = False) -> Generator[OpenDesk]:
        """Where facts are read and handed in: through the running app, or on the file when no app has it.

        Args:
            asks_models: the command pays for answers. Two at a time would pay for the same ones twice, so the second
                is refused.
        """
        from review.services.desk import open_desk

        settings = self.settings()
        with _alone(settings.db) if asks_models else nullcontext(), closing(open_desk(settings, who())) as opened:
            if opened.beside_app:
                _yield_to_the_app()
            if opened.other_config:
                text = "note: the running app was started with another configuration, and its own holds there."
                click.echo(text, err=True)
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


@contextmanager
def _alone(db: Path) -> Generator[None]:
    """Nobody else pays for answers for this database meanwhile. The lock goes with the process, however it ends."""
    from filelock import FileLock, Timeout

    from review.errors import Conflict

    db.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(db.with_name(db.name + ".models"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise Conflict(
            f"Another command asks models for {db} at this moment (a replay, a judge, a pipeline). Both would pay for "
            "the same answers: wait until it is done, and run this again. What it got is kept."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _yield_to_the_app() -> None:
    """Reviewers come first: what a command computes beside the app gets the processor that the app leaves."""
    if Group.owns_process and hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, max(10, os.getpriority(os.PRIO_PROCESS, 0)))


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@common
def main(db: Path | None, as_json: bool) -> None:
    """Human review of old-versus-new LLM answers: blind labels, honest intervals, a permanent adversarial set."""
    del db, as_json  # read from the context by each verb


@contextmanager
def progress(label: str) -> Generator[Callable[[int, int], None]]:
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


def who() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"


def shown(result: dict[str, Any]) -> str:
    """An estimate with its interval, or why there is none."""
    if "not_estimable" in result:
        return f"not estimable: {result['not_estimable']}"
    return f"{result['value']:.3f} ({result['low']:.3f} to {result['high']:.3f})"
