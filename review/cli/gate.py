"""`review gate`: whether a run's candidate holds the contract, for people and for CI."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from review.cli.base import Context, main, verb
from review.errors import BadInput


@verb(main)
@click.option("--candidate", "run", required=True, metavar="RUN", help="The run: name, number or id.")
@click.option("--contract", "file", type=click.Path(path_type=Path), help="By default the newest one that was signed.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write the parts as JUnit XML.")
@click.option("--github", is_flag=True, help="Write a step summary to $GITHUB_STEP_SUMMARY.")
def gate(context: Context, run: str, file: Path | None, junit: Path | None, github: bool) -> None:
    """Gate a candidate: every part of the contract, three-valued. Exit 0 parity, 3 regression, 4 inconclusive.

    A look at labels that grew is recorded, and the contract plans how many there are. Without anything new the last
    verdict is shown again. What is undecided is an error in JUnit, so that no CI takes it for passed.
    """
    from review.cli.contract import read
    from review.services import gate_report

    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if github and not summary:
        raise BadInput("--github writes to the file that GITHUB_STEP_SUMMARY names, and it is not set here.")
    terms = None if file is None else read(file)
    with context.desk() as desk:
        found = desk.ask("gate.take", {"run": run, "terms": terms}).document
    document = found["document"]
    if junit is not None:
        _write(junit, gate_report.junit(document), append=False)
    if github and summary:
        _write(Path(summary), gate_report.markdown(document), append=True)
    context.print(document, gate_report.lines(document))
    if not found["new"]:
        click.echo(f"Nothing has changed since {document['gated_at'][:16]} UTC: that verdict stands.", err=True)
    if context.as_json:
        click.echo(document["line"], err=True)
    sys.exit({"parity": 0, "regression": 3}.get(document["verdict"], 4))


def _write(path: Path, text: str, *, append: bool) -> None:
    try:
        with path.open("a" if append else "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({type(error).__name__}). Choose another file.") from error
