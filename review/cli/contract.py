"""`review contract`: what "as good as before" means, written, checked and signed before anybody looks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from review.cli.base import Context, main, verb
from review.errors import BadInput


@main.group()
def contract() -> None:
    """The contract that the gate holds a candidate to."""


@verb(contract)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("contract.yaml"), show_default=True)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(context: Context, output: Path, force: bool) -> None:
    """Write a contract to agree on: every term in plain words, with its default and the noise measured here."""
    if output.exists() and not force:
        raise BadInput(f"{output} is there already. Choose another name with -o, or say --force.")
    with context.desk() as desk:
        document = desk.ask("contract.draft", {"file": str(output)}).document
    try:
        output.write_text(document["text"], encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{output} cannot be written ({type(error).__name__}). Choose another place with -o.") from error
    noisy = [each for each in document["noise"].values() if "floor" in each]
    measured = (
        f"noise measured for {len(noisy)} tasks" if noisy else "no baseline was asked twice, so no noise is known"
    )
    context.print(
        {"file": str(output), **{key: document[key] for key in ("tasks", "noise", "warnings")}},
        [
            f"{output}: {len(document['tasks'])} tasks, {measured}.",
            f'Agree on every line, then: review contract sign {output} --name "Your Name"',
        ],
    )
    _warn(document["warnings"])


@verb(contract)
@click.argument("file", type=click.Path(path_type=Path))
def check(context: Context, file: Path) -> None:
    """Check a contract: every mistake with its line, or what is in it and who signed it."""
    terms = read(file)
    with context.desk() as desk:
        document = desk.ask("contract.examine", {"terms": terms}).document
    context.print(document, [f"{file} is in order.", *_terms(document), *_signed(document)])
    for note in document["notes"]:
        click.echo(f"note: {note}", err=True)
    _warn(document["warnings"])


@verb(contract)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Who agrees.")
def sign(context: Context, file: Path, name: str) -> None:
    """Put a name under a contract, its rubric and its failure categories. Other terms than before: a new version."""
    terms = read(file)
    with context.desk() as desk:
        document = desk.ask("contract.sign", {"terms": terms, "name": name}).document
    done = "signed" if document["new"] else "had signed already"
    lines = [f"version {document['version']} ({document['digest'][:12]}): {document['name']} {done}."]
    context.print(document, [*lines, *_changes(document["changes"]), *_signed(document)])
    _warn(document["warnings"])


@verb(contract)
def show(context: Context) -> None:
    """The contract in force, and all versions with who signed them."""
    with context.desk() as desk:
        document = desk.ask("contract.read").document
    lines = [f"in force: {_which(document)}", *_terms(document)]
    for each in document["versions"]:
        names = ", ".join(f"{person['name']} ({person['signed_at'][:10]})" for person in each["signed"])
        lines.append(f"version {each['version']} ({each['digest'][:12]}): {names}")
    context.print(document, lines)
    for note in document["notes"]:
        click.echo(f"note: {note}", err=True)


@verb(contract)
@click.argument("before", type=int, required=False)
@click.argument("after", type=int, required=False)
def diff(context: Context, before: int | None, after: int | None) -> None:
    """What changed between two versions; the last two by default."""
    with context.desk() as desk:
        document = desk.ask("contract.compare", {"before": before, "after": after}).document
    lines = [f"version {document['before']} to version {document['after']}:", *_changes(document["changes"])]
    context.print(document, lines if document["changes"] else [lines[0] + " nothing changed"])


def read(file: Path) -> dict[str, Any]:
    """The terms that a file says, as JSON; the command ends where it has mistakes, each named in a line."""
    from review.domain.contract import Terms
    from review.settings import check_file

    terms, problems = check_file(file, "contract", Terms, "Correct it, or write one with: review contract init")
    if terms is None:
        for problem in problems:
            click.echo(f"error: {problem}", err=True)
        sys.exit(1)
    return terms.model_dump(mode="json")


def _which(document: dict[str, Any]) -> str:
    if document["version"] is None:
        return f"nobody signed it ({document['digest'][:12]})"
    return f"version {document['version']} ({document['digest'][:12]})"


def _terms(document: dict[str, Any]) -> list[str]:
    beside = ("digest", "version", "signed", "notes", "warnings", "versions")
    return [f"  {key}: {_value(value)}" for key, value in document.items() if key not in beside]


def _signed(document: dict[str, Any]) -> list[str]:
    return [f"signed by {each['name']} on {each['signed_at'][:10]}" for each in document["signed"]]


def _changes(changes: list[dict[str, Any]]) -> list[str]:
    return [f"  {each['key']}: {_value(each['before'])} -> {_value(each['after'])}" for each in changes]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(each)}" for key, each in value.items()) + "}"  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # any JSON
    text = "none" if value is None else str(value)
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return text if len(text) <= 200 else text[:199] + "…"


def _warn(warnings: list[str]) -> None:
    for each in warnings:
        click.echo(f"warning: {each}", err=True)
