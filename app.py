"""The ASGI app: the Streamlit script and, beside it, the HTTP routes."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import streamlit as st
from altair.utils.schemapi import disable_debug_mode
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from review import __version__, api
from review.settings import ROOT
from review.ui import card, shell, warm


async def health(_: Request) -> JSONResponse:
    """Answers when the process serves; says which version and process it is."""
    return JSONResponse({"status": "ok", "version": __version__, "pid": os.getpid()})


async def asset(request: Request) -> Response:
    """The review card's script and style sheet. Their address names their content, so browsers may keep them."""
    found = card.asset(request.path_params["name"])
    if found is None:
        return Response(status_code=404)
    content, kind = found
    return Response(content, media_type=kind, headers={"cache-control": "public, max-age=31536000, immutable"})


@asynccontextmanager
async def lifespan(app: object) -> AsyncGenerator[None]:
    """While it serves: slow imports in the background, and a way in for commands."""
    async with warm.warming(app), api.announced(shell.workspace, _url()):
        yield


def _url() -> str:
    """Where this machine's own processes reach the server."""
    host, port = str(st.get_option("server.address") or ""), int(st.get_option("server.port"))
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 (compared, not bound)
    return f"http://{host}:{port}"


app = st.App(
    ROOT / "review" / "ui" / "main.py",
    routes=[
        Route("/review/health", health),
        Route(f"{card.ASSET_PATH}/{{name}}", asset),
        *api.routes(shell.workspace),
    ],
    lifespan=lifespan,
)


def run(port: int = 8501, *, open_browser: bool = True) -> None:
    """Serve on loopback until stopped.

    Raises:
        DatabaseLocked: another process has the database open; found before the server starts.
    """
    shell.workspace()
    # The tests check what our charts say against the schema; doing it at every visit is half of a chart page's time.
    disable_debug_mode()
    sys.argv = [str(ROOT / "app.py")]  # Streamlit reads its configuration beside the launcher
    app.run(config={"server.port": port, "server.headless": not open_browser})


if __name__ == "__main__":
    run()
