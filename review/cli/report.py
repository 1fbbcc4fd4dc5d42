"""`review report`: one document for whoever decides, as HTML, Markdown or JSON."""

from __future__ import annotations

from pathlib import Path

import click

from review.cli.base import Context, main, progress, verb


@verb(main)
@click.option("--run", "run", metavar="RUN", help="An evaluation run, by name, number or id.")
@click.option("--round", "round_id", metavar="ID", help="Only this round's frame and labels.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="The file to write, as parity.html."
)
@click.option("--markdown", "as_markdown", is_flag=True, help="Markdown instead of HTML.")
@click.option(
    "--redact", is_flag=True, help="Leave out the texts of prompts, answers and comments, and people's names."
)
def report(
    context: Context, run: str | None, round_id: str | None, output: Path | None, as_markdown: bool, redact: bool
) -> None:
    """Write the report: verdict, evidence, methods. It takes no look: it shows the last one, or the gate's verdict.

    Without --run and --round it is about all rounds and imports. --json and --markdown go to standard output where no
    file is named; twice from the same data the file is the same, byte by byte.
    """
    if output is None and not (as_markdown or context.as_json):
        raise click.UsageError("Name the file to write: review report -o parity.html (or --markdown, or --json).")
    from review.services import report as service

    asked = service.Asked(run, round_id, redact)
    with context.desk() as desk, progress("report") as tell:
        document = service.build(desk, asked, tell)
    text = service.rendered(document, "json" if context.as_json else "markdown" if as_markdown else "html")
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise click.ClickException(f"{output} could not be written: {error.strerror}. Name another file.") from error
    click.echo(f"{document['verdict']['word']}. Written: {output}", err=True)
