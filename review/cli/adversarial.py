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
    from review.services import flag

    with context.workspace() as workspace:
        found = flag.verify(workspace)
    document = {
        "ok": found.ok,
        "entries": found.entries,
        "rows": found.rows,
        "head": found.head,
        "first_bad": found.first_bad,
        "mirror": found.mirror.state if found.mirror else None,
        "message": found.message,
    }
    context.print(document, [found.message])
    if not found.ok:
        if context.as_json:
            click.echo(f"error: {found.message}", err=True)
        sys.exit(1)
