"""`review synthesize`: synthetic traces where real traffic may not be used."""

from __future__ import annotations

from dataclasses import asdict

import click

from review.cli.base import Context, main, progress, verb


@verb(main)
@click.option(
    "--per-cluster", type=click.IntRange(1, 1000), default=20, show_default=True, help="Traces for each cluster."
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=7, show_default=True, help="Which traces these are.")
def synthesize(context: Context, per_cluster: int, seed: int) -> None:
    """Write synthetic traces for each cluster, from its terms and shape only."""
    from review.services.synthesize import synthesize as write

    with context.desk(asks_models=True) as desk, progress("synthetic traces") as tell:
        made = write(desk, per_cluster, seed, tell)
    lines = [
        f"synthetic traces: {made.new:,} written by {made.served}, {made.present:,} there before, "
        f"{made.failed:,} failed; ${made.cost_usd:.4f}",
        "Next: review cluster, then review sample --synthetic",
    ]
    if made.stopped:
        click.echo(f"stopped: {made.stopped}", err=True)
    context.print(asdict(made), lines)
    if made.stopped or made.failed:
        raise click.exceptions.Exit(1)
