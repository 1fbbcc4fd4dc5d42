"""`review sample`: which traces are replayed, and which people read in the weekly audit."""

from __future__ import annotations

from typing import Any

import click

from review.cli.base import Context, main, progress, verb


@verb(main)
@click.option("--size", type=click.IntRange(1, 1_000_000), help="Traces to replay.  [default: replay.sample_size]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=7, show_default=True, help="Repeats the sample.")
@click.option(
    "--window-days",
    type=click.IntRange(1, 3650),
    help="Days up to the newest trace.  [default: replay.window_days]",
)
@click.option("--synthetic", is_flag=True, help="From synthetic traces instead of real ones.")
def sample(context: Context, **asked: Any) -> None:
    """Draw a sample of the traces, by cluster, and some for the weekly audit."""
    from review.services.sample import SampleSpec
    from review.services.sample import sample as draw

    with context.desk() as desk, progress("traces") as tell:
        drawn = draw(desk, SampleSpec.of(desk.settings.config.replay, **asked), tell)
    for note in drawn.notes:
        click.echo(note, err=True)
    state = "" if drawn.new else ", drawn before"
    lines = [
        f"sample {drawn.sample_id}: {drawn.size:,} of {drawn.frame:,} traces from {drawn.window_from[:10]} to "
        f"{drawn.window_to[:10]}, and {drawn.audit:,} for the audit{state}"
    ]
    lines += [f"{each.drawn:6,} of {each.frame:8,}  {each.name}" for each in drawn.strata]
    context.print(drawn.to_json(), lines)
