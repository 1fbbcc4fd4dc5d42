"""The real app in a process of its own, and a real Chromium to visit it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from tests.__main__ import BROWSERS

# A busy machine is slow, not wrong: what is awaited may take its time.
expect.set_options(timeout=60_000)

REVIEW = [sys.executable, "-m", "review.cli"]
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Server:
    """The app on `db`, served on `port` by a process that a test may kill and start again."""

    db: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until it answers."""
        log = (self.db.parent / "server.log").open("ab")
        self.process = subprocess.Popen(
            [*REVIEW, "serve", "--no-browser", "--port", str(self.port), "--db", str(self.db)],
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if httpx.get(self.url + "/review/health", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise AssertionError(f"the app did not start:\n{self.log()[-3000:]}")

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        """Ask it to end, and wait."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def log(self) -> str:
        return (self.db.parent / "server.log").read_text(errors="replace")


def run_cli(db: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, on `db`."""
    return subprocess.run([*REVIEW, *arguments, "--db", str(db)], capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def make_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Make servers on databases of their own; `prepare(db)` fills the file before the app opens it."""
    made: list[Server] = []

    def make(prepare: Callable[[Path], None] | None = None) -> Server:
        server = Server(tmp_path_factory.mktemp("app") / "review.duckdb")
        if prepare is not None:
            prepare(server.db)
        server.start()
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """One Chromium for the session: the machine's own where there is one, else Playwright's."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    launched = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
    yield launched
    launched.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page of a server as somebody, in a browser context of its own."""
    contexts: list[BrowserContext] = []

    def open_page(
        server: Server, path: str = "/", *, name: str = "Mara", role: str = "reviewer", width: int = 1400
    ) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.goto(server.url + path)
        sign_in(page, name, role)
        return page

    yield open_page
    for context in contexts:
        context.close()


def sign_in(page: Page, name: str, role: str) -> None:
    """Answer the question who is there."""
    page.get_by_label("Your name").fill(name)
    page.get_by_text(role.capitalize(), exact=True).click()
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Your name").wait_for(state="detached")
    # The page remembers by a cookie that it sets a moment later; whoever goes on before it asks again.
    page.wait_for_function("() => document.cookie.includes('review_actor=')", timeout=60_000)
