"""`review run`: evaluation runs, each a candidate against a baseline on up to four kinds of evidence."""

from __future__ import annotations

from typing import Any

import click

from review.cli.base import Context, main, verb

# The four kinds of evidence that a migration step should have.
KINDS = ("benchmark", "golden", "replay", "shadow")


@main.group()
def run() -> None:
    """Evaluation runs: a candidate against a baseline. Nothing of a run is ever overwritten."""


@verb(run)
@click.argument("name")
@click.option(
    "--step",
    type=click.Choice(["quantization", "kernel", "runtime", "model", "other"]),
    required=True,
    help="What the migration changes.",
)
@click.option("--old", "old", multiple=True, metavar="KEY=VALUE", help="name, model, revision, quantization, runtime.")
@click.option("--new", "new", multiple=True, metavar="KEY=VALUE", help="The same of the candidate.")
def start(context: Context, name: str, step: Any, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    """Begin a run of the configuration's two endpoints, or of what --old and --new say."""
    from review.services import runs

    with context.desk() as desk:
        if old or new:
            spec = runs.described_by(old, new, name, step, runs.config_hash(desk.settings))
        else:
            spec = runs.configured(desk.settings, name, step)
        document = desk.ask("runs.begin", spec.model_dump()).document
    context.print(document, _lines(document))


@verb(run, "list")
def list_(context: Context) -> None:
    """All runs, and which kinds of evidence each has."""
    with context.desk() as desk:
        document = desk.ask("runs.read", {}).document
    lines = [_line(each) for each in document["runs"]]
    context.print(document, lines or ["No run yet. Begin one with: review run start NAME --step quantization"])


@verb(run)
@click.argument("run")
def show(context: Context, run: str) -> None:
    """One run, by name, number or id: its stacks and its evidence."""
    with context.desk() as desk:
        document = desk.ask("runs.read", {"run": run}).document["runs"][0]
    context.print(document, _lines(document))


def _line(document: dict[str, Any]) -> str:
    has = {each["evidence"] for each in document["parts"]}
    kinds = ", ".join(each for each in (*KINDS, "adversarial") if each in has) or "no evidence yet"
    return f"{document['number']:4}  {document['name']}  {document['step']}: {kinds}"


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [f"run {document['number']} {document['name']}: {document['step']}, {document['run_id']}"]
    for title, side in (("baseline ", document["baseline"]), ("candidate", document["candidate"])):
        lines.append(f"  {title}  " + ", ".join(str(side[key]) for key in side if key != "config_hash"))
    for each in document["parts"]:
        lines.append(f"  {each['evidence']:11} {each['part']}: {each['examples']:,} outcomes, ${each['cost_usd']:.2f}")
    missing = [each for each in KINDS if each not in {part["evidence"] for part in document["parts"]}]
    return [*lines, *([f"  lacks: {', '.join(missing)}"] if missing else [])]
