"""`review shadow`: live traffic, where it came from, and its part in a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from review.cli.base import Context, main, progress, verb


def live_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `review import traces` that say that traffic is live."""
    source = click.option(
        "--source",
        metavar="KIND[:NAME]",
        help="Traces: live traffic. shadow: old serves, new answers beside it; production; metrics: without texts.",
    )
    served = click.option(
        "--served", type=click.Choice(["old", "new"]), help="Traces: who served, where a record does not say."
    )
    return source(served(command))


@main.group()
def shadow() -> None:
    """Live traffic that both stacks answer at once: review import traces FILE --source shadow:NAME."""


@verb(shadow, "list")
def list_(context: Context) -> None:
    """Where live traffic came from, and how much of it has both answers."""
    with context.desk() as desk:
        document = desk.ask("shadow.sources").document
    lines = [
        f"{each['source']}: {each['exchanges']:,} exchanges, {each['pairs']:,} pairs, {each['first']} to {each['last']}"
        for each in document["sources"]
    ]
    context.print(document, lines or ["No live traffic yet. Import it with: review import traces FILE --source shadow"])


@verb(shadow)
@click.argument("run")
@click.option("--source", help="Only what came from here, as in shadow:gateway.")
def record(context: Context, run: str, source: str | None) -> None:
    """Put live traffic into a run as its evidence of the kind shadow."""
    from review.services import shadow as service

    with context.desk() as desk, progress("pairs") as tell:
        recorded = service.record(desk, run, source, tell)
    lines: list[str] = []
    for each in recorded:
        lines.append(f"{each.part}: {each.examples:,} outcomes{'' if each.new else ', stood already'}")
        lines += [f"  {note}" for note in each.notes]
    context.print({"parts": [each.to_json() for each in recorded]}, lines)
