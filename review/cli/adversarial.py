"""`review adversarial …`."""

from __future__ import annotations

import sys

import click

from review.cli.base import Context, main, verb


@main.group()
def adversarial() -> None:
    """The permanent adversarial set."""


@verb(adversarial)
def verify(context: Context) -> None:
    """Check the hash chain, the mirror and the count."""
    with context.desk() as desk:
        found = desk.ask("adversarial.verify").document
    context.print(found, [found["message"]])
    if not found["ok"]:
        if context.as_json:
            click.echo(f"error: {found['message']}", err=True)
        sys.exit(1)
