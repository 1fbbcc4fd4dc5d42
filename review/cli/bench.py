"""`review import lm-eval` and `review bench`: benchmarks into a run, from the harness's files or by running it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from review.cli.base import Context, main, shown, verb
from review.cli.traces import Ticker, clock

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SHOWN = 20


def benchmark_options(command: _Command) -> _Command:
    """What `review import lm-eval` takes beyond two folders."""
    for option in (
        click.option("--common", is_flag=True, help="lm-eval: take what both sides have, and say what is left out."),
        click.option("--map-task", multiple=True, metavar="OURS=THEIRS", help="lm-eval: what we call a task or group."),
        click.option("--tasks", metavar="A,B", help="lm-eval: these tasks or groups; all by default."),
        click.option("--run", help="lm-eval: the run that the benchmarks go into."),
    ):
        command = option(command)
    return command


def import_benchmarks(
    context: Context,
    folders: Sequence[str],
    run: str | None,
    tasks: str | None,
    map_task: Sequence[str],
    common: bool,
) -> None:
    """Import two output folders of the harness into a run."""
    if len(folders) != 2:
        raise click.UsageError("Name two folders: review import lm-eval OLD_DIR NEW_DIR --run RUN")
    if run is None:
        raise click.UsageError("Say --run RUN. Begin one with: review run start NAME --step quantization")
    with context.desk() as desk:
        take_in(context, desk, run, (Path(folders[0]), Path(folders[1])), options(tasks, map_task, common))


def options(tasks: str | None, map_task: Sequence[str], common: bool) -> Any:
    """What was said on the command line, as services.benchmarks.Options."""
    from review.services.benchmarks import Options

    names: dict[str, str] = {}
    for each in map_task:
        ours, equals, theirs = each.partition("=")
        if not (ours and equals and theirs):
            raise click.UsageError(f"--map-task takes OURS=THEIRS, as in law=mmlu_pro_law; got {each!r}.")
        names[ours] = theirs
    return Options([each.strip() for each in (tasks or "").split(",") if each.strip()], names, common)


@verb(main)
@click.option("--run", "run_name", required=True, help="The run that the benchmarks go into.")
@click.option("--tasks", required=True, metavar="A,B", help="Tasks or groups of the harness, or of --include-path.")
@click.option("--include-path", type=click.Path(path_type=Path), help="A folder of task files of your own.")
@click.option("--limit", type=click.IntRange(min=1), help="Documents a task, at most.")
@click.option("--num-fewshot", type=click.IntRange(min=0), help="Few-shot examples, where the tasks do not say it.")
@click.option("--old", nargs=2, metavar="URL MODEL", help="The baseline; the configuration's endpoints.old by default.")
@click.option("--new", nargs=2, metavar="URL MODEL", help="The candidate; endpoints.new by default.")
@click.option("--key-env", metavar="NAME", help="The variable that holds the key of servers named by URL.")
@click.option(
    "--api", type=click.Choice(["chat", "completions"]), default="chat", show_default=True, help="How to ask."
)
@click.option("--tokenizer", help="For log-likelihoods, with --api completions: a Hugging Face name, or remote.")
@click.option("--map-task", multiple=True, metavar="OURS=THEIRS", help="What we call a task or group.")
@click.option("--harness", metavar="PYTHON", help="The Python that has lm_eval; this one by default.")
@click.option("--fresh", is_flag=True, help="Run again what is finished; its outputs are put aside.")
def bench(
    context: Context,
    run_name: str,
    tasks: str,
    include_path: Path | None,
    limit: int | None,
    num_fewshot: int | None,
    key_env: str | None,
    api: Any,
    tokenizer: str | None,
    map_task: tuple[str, ...],
    harness: str | None,
    fresh: bool,
    **named: tuple[str, str] | None,
) -> None:
    """Run lm-evaluation-harness against both endpoints, and import what it says into a run.

    A side that is finished is not run again, and answers of one that was interrupted are not asked for again.
    """
    from review.services import bench as service

    how = options(tasks, map_task, common=False)
    plan = service.Plan(
        tuple(how.tasks),
        include_path,
        limit,
        num_fewshot,
        kind=api,
        tokenizer=tokenizer,
        python=harness or sys.executable,
    )
    with context.desk() as desk:
        desk.ask("runs.read", {"run": run_name})  # before anything is paid for
        endpoints = {side: service.endpoint_of(desk.settings, side, named[side], key_env) for side in ("old", "new")}
        watch = _Requests()
        try:
            folders = service.run(desk.settings, plan, endpoints, watch, fresh=datetime.now(UTC) if fresh else None)
        finally:
            watch.end()
        for side, folder in folders.items():
            context.say(f"{side}: {folder}")
        take_in(context, desk, run_name, (folders["old"], folders["new"]), options(None, map_task, common=False))


class _Requests:
    """Requests answered, how fast, and how long it will take, on standard error."""

    def __init__(self) -> None:
        self._of, self._begun, self._first, self._told = ("", 0), 0.0, 0, 0.0
        self._last = ("", 0, 0)
        self._live, self._shown = sys.stderr.isatty(), False

    def __call__(self, side: str, done: int, total: int) -> None:
        now = time.monotonic()
        if (side, total) != self._of:
            self._of, self._begun, self._first = (side, total), now, done
        if (side, done, total) == self._last or (now - self._told < (0.5 if self._live else 10) and done < total):
            return
        self._told, self._shown, self._last = now, True, (side, done, total)
        rate = (done - self._first) / passed if (passed := now - self._begun) > 0 else 0.0
        left = f", {clock((total - done) / rate)} left" if rate > 0 and done < total else ""
        line = f"{side}: {done:,} of {total:,} requests" + (f", {rate:.1f}/s" if rate > 0 else "") + left
        click.echo(f"\r\x1b[K{line}" if self._live else line, nl=not self._live, err=True)

    def end(self) -> None:
        """End the line."""
        if self._shown and self._live:
            click.echo(err=True)
        self._shown = False


def take_in(context: Context, desk: Any, run: str, folders: tuple[Path, Path], how: Any) -> None:
    """Import, print what there is to say, and end with 1 where the two cannot be compared."""
    from review.errors import NotComparable
    from review.services import benchmarks

    watch = Ticker("lm-eval")
    try:
        report = benchmarks.import_output(
            desk, run, *folders, how, lambda phase, done, total: watch(phase, done, done, total)
        )
    except NotComparable as error:
        watch.end()
        differences = [each.__dict__ for each in error.differences]
        context.print({"refused": differences}, [])
        for each in error.differences[:_SHOWN]:
            click.echo(f"{each.task}: {each.field}: {each.old} in OLD, {each.new} in NEW", err=True)
        if len(differences) > _SHOWN:
            click.echo(f"… and {len(differences) - _SHOWN} more", err=True)
        click.echo(f"error: {error}. {_remedy({each.field for each in error.differences})}", err=True)
        sys.exit(1)
    finally:
        watch.end()
    context.print(report, _lines(report))


def _remedy(fields: set[str]) -> str:
    if fields <= {"task", "documents"}:
        return "Run both on the same tasks and documents, or pass --common to compare what both have."
    return "Run both with the same version of the harness, the same task files, few-shot and template."


def _lines(report: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for each in report["groups"]:
        for metric in each["metrics"]:
            lines.append(f"{_name(each['group'])} ({len(each['tasks'])} tasks)  {_values(metric)}")
    for each in report["tasks"]:
        called = f" as {each['as']}" if each["as"] != each["task"] else ""
        for metric in each["metrics"]:
            lines.append(f"{_name(each['task'])}{called}  {_values(metric)}")
        left = [f"{each[key]:,} only in {key[5:].upper()}" for key in ("only_old", "only_new") if each[key]]
        stood = "; stood already" if each["stood"] else ""
        alone = f"; left out: {', '.join(left)}" if left else ""
        lines.append(f"  {each['documents']:,} documents, {each['pairs']:,} disagreements to read{alone}{stood}")
        lines += [f"  {_name(metric)} is left out: {why}" for metric, why in each["left_out"].items()]
        lines += [f"  note: {note}" for note in each["notes"]]
    return [*lines, *(f"note: {each}" for each in report["notes"])]


def _values(metric: dict[str, Any]) -> str:
    sides = "  ".join(f"{side} {_level(metric[side])}" for side in ("old", "new"))
    return f"{_name(metric['metric'])}: {sides}  difference {shown(metric['difference'])}"


def _level(value: Any) -> str:
    """A side's value: an estimate, or a number, or nothing that can be said."""
    number = cast("dict[str, Any]", value).get("value") if isinstance(value, dict) else value
    return "–" if number is None else f"{number:.4f}"


def _name(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text[:80])
