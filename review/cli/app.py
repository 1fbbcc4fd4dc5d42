"""`review serve` and `review demo`."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import click

from review.cli.base import Context, fail, main, verb, who

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

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
@click.option("--live", is_flag=True, help="A real migration on this machine: two model servers, replayed and judged.")
def demo(context: Context, port: int, no_browser: bool, reset: bool, live: bool) -> None:
    """Build the demo, unless it is there, and serve it."""
    if live:
        _live(context, port, not no_browser, reset)
        return
    from datetime import UTC, datetime

    from review.services import demo as service
    from review.services import demo_traffic
    from review.services.workspace import open_workspace
    from review.settings import ROOT

    settings = context.settings(default=ROOT / "data" / "demo" / "review.duckdb")
    if reset:
        service.reset(settings)
    with closing(open_workspace(settings)) as workspace:
        built = service.build(workspace, datetime.now(UTC))
        whole = demo_traffic.is_built(workspace)
    context.say(f"The demo is {'built' if built.built else 'there'}: {settings.db}")
    if not whole:
        _add_traffic(context, settings)
    _serve(settings, port, not no_browser)


def _add_traffic(context: Context, settings: Settings) -> None:
    """Build the demo's traffic in a process of its own: the app that follows keeps none of the models in memory."""
    from review.services.processes import Spawning

    heard, told = Spawning().Pipe(duplex=False)
    # A daemon: it ends with this command.
    process = Spawning().Process(target=_build_traffic, args=(settings, told), daemon=True)
    process.start()
    told.close()
    with suppress(EOFError):
        while True:
            context.say(heard.recv())
    process.join()
    if process.exitcode:
        context.say("Without its traffic the demo has empty pages. `review demo` builds what is missing.")


def _build_traffic(settings: Settings, told: Connection[str, None]) -> None:
    """What the process does, telling in words how far it is; at the top of the module, where it finds it."""
    from datetime import UTC, datetime

    # Read when the models are loaded: two threads that wait for each other take longer than one on so few texts.
    os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the command, which says so

    from review.services import demo_traffic
    from review.services.workspace import open_workspace

    try:
        with closing(open_workspace(settings)) as workspace:
            made = demo_traffic.build(workspace, datetime.now(UTC), told.send)
    except BrokenPipeError:  # the command was ended; its next call goes on from here
        sys.exit(1)
    except Exception as error:  # a door, too: nothing unexpected may reach a person as a traceback
        fail(error)
    if made is not None:
        alerts = "1 drift alert" if made.alerts == 1 else f"{made.alerts} drift alerts"
        told.send(
            f"Traffic is there: {made.traces} traces in {made.clusters} clusters, {made.golden} golden items, {alerts}"
        )


def _live(context: Context, port: int, open_browser: bool, reset: bool) -> None:
    """Run the live demo to its round, unless that is there, and serve it."""
    from review.cli import pipeline
    from review.services import demo as service
    from review.services import live_demo
    from review.settings import ROOT

    settings = context.settings(default=ROOT / "data" / "demo" / "live" / "review.duckdb")
    if reset:
        service.reset(settings, live_demo.BUILT_BY)
    summary = live_demo.build(settings, who(), pipeline.Teller(), context.say)
    for line in pipeline.lines(summary) if summary else [f"The live demo is there: {settings.db}"]:
        context.say(line)
    if summary is not None and summary.stopped:
        raise click.ClickException(f"stopped at {summary.stopped}")
    address = f"http://localhost:{port}/label"
    context.say(f"The round waits at {address}")
    if open_browser:
        threading.Thread(target=_show, args=(port, address), daemon=True).start()
    _serve(settings, port, open_browser=False)


def _show(port: int, address: str) -> None:
    """Open the page in a browser as soon as the app listens."""
    import socket
    import time
    import webbrowser

    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            webbrowser.open(address)
            return
