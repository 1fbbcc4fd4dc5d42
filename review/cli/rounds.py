"""`review draw`, `rounds` and `status`."""

from __future__ import annotations

from typing import Any

import click

from review.cli.base import Context, main, verb


@verb(main)
@click.option("--size", type=click.IntRange(1), required=True, help="Pairs in the round, 50 to 100 as a rule.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), required=True, help="Makes the draw repeatable.")
@click.option("--overlap", type=click.IntRange(1, 20), default=1, show_default=True, help="Different reviewers a pair.")
@click.option("--overlap-share", type=click.FloatRange(0, 1), help="Only this share gets a second reviewer.")
@click.option(
    "--repeat", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="Share shown again, hidden."
)
@click.option("--by", type=click.Choice(["task", "cluster", "none"]), default="task", show_default=True, help="Strata.")
@click.option("--cluster", metavar="ID", help="Only pairs whose trace is in this cluster; see `review cluster`.")
@click.option("--source", metavar="NAME", help="Only pairs imported from here, as benchmark:RUN:TASK.")
@click.option("--audit", type=click.FloatRange(0, 1), default=0.10, show_default=True, help="Share of judged ties.")
@click.option("--name", help="A name for people.")
def draw(context: Context, **asked: Any) -> None:
    """Draw a round from the disagreements, and print its strata."""
    with context.desk() as desk:
        drawn = desk.ask("rounds.draw", asked).document
    for note in drawn["notes"]:
        click.echo(note, err=True)
    if drawn["leaks"]:
        noun = "answer names its" if drawn["leaks"] == 1 else "answers name their"
        click.echo(f"{drawn['leaks']} {noun} own model or maker; see the Rounds page.", err=True)
    made = drawn["round"]
    lines = [f"{each['stratum']}: {each['drawn']} of {each['frame']} (pi {each['pi']:.3f})" for each in made["strata"]]
    context.print(made, [f"round {made['round_id']}: {made['size']} pairs from a frame of {made['frame']}", *lines])


@verb(main)
def rounds(context: Context) -> None:
    """List the rounds and how far they are."""
    with context.desk() as desk:
        document = desk.ask("rounds.list").document["rounds"]
    lines = [f"{e['round_id']}  {e['state']:8}  {e['labels']}/{e['places']} labels  {e['name']}" for e in document]
    context.print(document, lines or ["No round is drawn yet. Draw one: review draw --size 80 --seed 7"])


@verb(main)
def status(context: Context) -> None:
    """Say how much there is of everything, and where."""
    with context.desk() as desk:
        facts = desk.ask("status.read").document
        place = {"db": str(desk.settings.db), "mirror": str(desk.settings.mirror)}
    context.print(place | facts, [f"{name:10} {value}" for name, value in (place | facts).items()])
