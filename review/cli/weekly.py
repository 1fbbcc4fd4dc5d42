"""`review weekly`: the weekly refresh as one resumable command."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from review.cli import pipeline as pipeline_verb
from review.cli.base import Context, main, verb
from review.cli.replay import duration


@verb(main)
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--run", metavar="RUN", help="Record the sample's pairs in this run.")
@click.option("--size", type=click.IntRange(1), default=80, show_default=True, help="Pairs in the round.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=7, show_default=True, help="Makes it repeatable.")
@click.option("--overlap", type=click.IntRange(1, 20), default=1, show_default=True, help="Different reviewers a pair.")
def weekly(context: Context, folder: Path | None, run: str | None, size: int, seed: int, overlap: int) -> None:
    """Import a FOLDER's new files (the watched one by default), sample, replay and judge, and draw round and audit.

    Ended at any moment it goes on when started again; without new traffic it changes nothing and asks no model.
    """
    from review.services import pipeline
    from review.services import weekly as service

    began = time.monotonic()
    with context.desk(asks_models=True) as desk:
        done = service.weekly(
            desk,
            pipeline.Plan(seed, size, overlap),
            folder=folder,
            run=run,
            say=lambda line: click.echo(line, err=True),
            tell=pipeline_verb.Teller(),
        )
    took = time.monotonic() - began
    shown: list[str] = []
    if (taken := done.taken) is not None:
        shown.append(f"import   {taken.files:,} files: {taken.new:,} new traces, {taken.rejected:,} rejected")
    shown += pipeline_verb.lines(done.pipeline)
    shown.append(f"audit    {done.pipeline.sampled.audit:,} random traces for people: Weekly audit")
    shown += [f"recorded {each['examples']:,} outcomes in {each['evidence']} {each['part']}" for each in done.recorded]
    context.print(done.to_json() | {"seconds": round(took, 1)}, [*shown, f"in {duration(took)}"])
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    if done.stopped:
        click.echo(f"error: stopped at {done.stopped}", err=True)
        sys.exit(1)
