"""`review serve` and `review demo`."""

from __future__ import annotations

import importlib.util
import os
from contextlib import closing
from typing import TYPE_CHECKING

import click

from review.cli.base import Context, main, verb

if TYPE_CHECKING:
    from review.settings import Settings


def _serve(settings: Settings, port: int, open_browser: bool) -> None:
    """Serve in this process until stopped."""
    os.environ["REVIEW_DB"] = str(settings.db)
    from review.settings import ROOT

    os.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("app", ROOT / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.run(port, open_browser=open_browser)


_port = click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
_no_browser = click.option("--no-browser", is_flag=True, help="Do not open a browser.")


@verb(main)
@_port
@_no_browser
def serve(context: Context, port: int, no_browser: bool) -> None:
    """Serve the app on your database."""
    _serve(context.settings(), port, not no_browser)


@verb(main)
@_port
@_no_browser
@click.option("--reset", is_flag=True, help="Start over: delete what the demo built, and build it anew.")
def demo(context: Context, port: int, no_browser: bool, reset: bool) -> None:
    """Build the demo, unless it is there, and serve it."""
    from datetime import UTC, datetime

    from review.services import demo as service
    from review.services.workspace import open_workspace
    from review.settings import ROOT

    settings = context.settings(default=ROOT / "data" / "demo" / "review.duckdb")
    if reset:
        service.reset(settings)
    with closing(open_workspace(settings)) as workspace:
        built = service.build(workspace, datetime.now(UTC))
    context.say(f"The demo is {'built' if built.built else 'there'}: {settings.db}")
    _serve(settings, port, not no_browser)
