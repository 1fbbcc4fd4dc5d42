"""`review import` and `review export`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from review.cli.base import Context, main, progress, verb
from review.cli.bench import benchmark_options, import_benchmarks
from review.cli.cluster import import_suite
from review.cli.shadow import live_options
from review.cli.traces import TRACE_FORMATS, import_traces

_KINDS = ("pairs", "verdicts", "labels")
_SHOWN_REJECTS = 20


@verb(main, "import")
@click.argument("kind", type=click.Choice((*_KINDS, "traces", "suite", "lm-eval")))
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--skip-invalid", is_flag=True, help="Write the good lines of a file that has bad ones.")
@click.option("--map", "names", multiple=True, metavar="OURS=THEIRS", help="Rename a field of a foreign file.")
@click.option("--format", "form", type=click.Choice(TRACE_FORMATS), help="Traces: what logged them; found by itself.")
@live_options
@benchmark_options
def import_(
    context: Context,
    kind: Any,
    files: tuple[str, ...],
    skip_invalid: bool,
    names: tuple[str, ...],
    form: str | None,
    source: str | None,
    served: Any,
    **benchmark: Any,
) -> None:
    """Import pairs, verdicts, labels or traces from JSONL, CSV or Parquet files; an eval suite's prompts as text too.

    Traces also come from folders, partitioned Parquet lakes and s3:// addresses, gzipped or not, as logged by OpenAI
    clients, OpenTelemetry, Langfuse or LiteLLM. `review import lm-eval OLD_DIR NEW_DIR --run RUN` takes in what
    lm-evaluation-harness wrote with --log_samples.
    """
    if kind == "lm-eval":
        import_benchmarks(context, files, **benchmark)
        return
    if any(benchmark.values()):
        raise click.UsageError("--run, --tasks, --map-task and --common are for lm-eval.")
    if kind == "traces":
        import_traces(context, files, form or "auto", skip_invalid, mapping(names), source, served)
        return
    if form is not None or source is not None or served is not None:
        raise click.UsageError("--format, --source and --served are for traces.")
    if kind == "suite":
        import_suite(context, files)
        return
    from review.errors import RejectedRecords
    from review.services.ingest import Imported, Options
    from review.services.upload import import_file

    options = Options(skip_invalid=skip_invalid, names=mapping(names))
    total, failed = Imported(0, 0, 0), False
    with context.desk() as desk:
        for file in map(Path, files):
            try:
                with progress(f"{kind} {file.name}") as tell:
                    total += import_file(desk, kind, file, options=options, progress=tell)
            except RejectedRecords as error:
                failed = True
                total += Imported(error.read, 0, 0, error.rejected)
                show_rejected(str(file), error.rejected)
                click.echo(f"error: {error}. Correct them, or pass --skip-invalid to write the rest.", err=True)
    if skip_invalid and total.rejected:
        show_rejected(files[0] if len(files) == 1 else "", total.rejected)
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


def mapping(names: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in names:
        ours, equals, theirs = each.partition("=")
        if not (ours and equals and theirs):
            raise click.UsageError(f"--map takes OURS=THEIRS, as in old.content=answer_a; got {each!r}.")
        found[ours] = theirs
    return found


def show_rejected(file: str, rejected: Sequence[Any]) -> None:
    for each in rejected[:_SHOWN_REJECTS]:
        field = f'"{each.field}" ' if each.field else ""
        click.echo(f"{file} line {each.line}: {field}{each.reason}", err=True)
    if len(rejected) > _SHOWN_REJECTS:
        click.echo(f"… and {len(rejected) - _SHOWN_REJECTS} more", err=True)


@verb(main, "export")
@click.argument("what", type=click.Choice((*_KINDS, "adversarial")))
@click.option("--round", "round_id", help="Only what belongs to this round.")
@click.option("-o", "--output", "target", required=True, type=click.Path(path_type=Path), help="FILE, or - for stdout.")
def export_(context: Context, what: Any, round_id: str | None, target: Path) -> None:
    """Export what can be imported again without loss."""
    from review.services.export import export_through

    with context.desk() as desk, progress(f"{what} to {target.name}") as tell:
        count = export_through(desk, what, target, round_id=round_id, progress=tell)
    if str(target) != "-":
        context.print({"exported": count, "file": str(target)}, [f"{count} {what} written to {target}"])
