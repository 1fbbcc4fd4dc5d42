"""`review config check`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from review.cli.base import Context, main, verb

if TYPE_CHECKING:
    from review.settings import EvalConfig


@main.group()
def config() -> None:
    """The evaluation's configuration."""


@verb(config)
@click.argument("file", type=click.Path(path_type=Path))
def check(context: Context, file: Path) -> None:
    """Check a configuration file, and say what is in force with it."""
    from review import settings

    found, problems = settings.check_config(file)
    if found is None:
        for problem in problems:
            click.echo(f"error: {problem}", err=True)
        sys.exit(1)
    in_force, given = found.model_dump(mode="json"), found.model_dump(mode="json", exclude_unset=True)
    notes = list(_notes(found))
    context.print({"ok": True, "in_force": in_force, "notes": notes}, [f"{file} is in order. In force:"])
    if not context.as_json:
        # Their texts are for the card; which ones there are is enough here.
        in_force["failure_categories"] = [each.id for each in found.failure_categories]
        for key, value in _flat(in_force, ()):
            default = "" if _given(given, key) else "  (default)"
            click.echo(f"  {'.'.join(key)}: {_short(value)}{default}")
    for note in notes:
        click.echo(f"note: {note}", err=True)


def _flat(value: Any, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key with its value; a list of sections by place."""
    inner = _inner(value)
    if inner is None:
        yield key, value
    else:
        for name, each in inner.items():
            yield from _flat(each, (*key, name))


def _inner(value: Any) -> dict[str, Any] | None:
    """What stands below a section or a list of sections; None of a plain value."""
    if isinstance(value, dict) and value:
        return cast("dict[str, Any]", value)
    listed = cast("list[Any]", value) if isinstance(value, list) else []
    if listed and all(isinstance(each, dict) for each in listed):
        return {str(place): each for place, each in enumerate(listed)}
    return None


def _given(document: Any, key: tuple[str, ...]) -> bool:
    for part in key:
        inner = _inner(document) or {}
        if part not in inner:
            return False
        document = inner[part]
    return True


def _short(value: Any) -> str:
    text = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 100 else text[:99] + "…"


def _notes(found: EvalConfig) -> Iterator[str]:
    """What is legal and will yet stop a step of the pipeline."""
    if found.endpoints is None:
        yield "without endpoints.old and endpoints.new nothing can be replayed."
    if not found.judges.providers:
        yield "without judges.providers nothing is judged."
    from review.services.judge_watch import weak_anchors

    if (weak := weak_anchors(found.judges)) is not None:
        yield weak
    endpoints = [found.endpoints.old, found.endpoints.new] if found.endpoints else []
    for name in {each.api_key_env for each in (*endpoints, *found.judges.providers, found.embedding)} - {None}:
        if not os.environ.get(str(name)):
            yield f"the environment variable {name} is not set here."
