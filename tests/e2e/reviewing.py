"""Helpers of the tests of the review card: a database with a round, a person at the card, what was stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, WebSocketRoute, expect

from review import settings
from review.services import rounds
from review.services.workspace import open_workspace
from tests.conftest import shared
from tests.e2e.conftest import Server, run_cli

PLAIN = "112222"  # no error, confidence right, same, same; the second 1 is "Error in B: none"
ROWS = ("error_left", "error_right", "calibration_left", "calibration_right", "tone", "better")


def phi3() -> list[dict[str, Any]]:
    """The real pairs of phi-3 and its successor."""
    return [json.loads(line) for line in shared("data/phi3_dpo/pairs.jsonl").read_text("utf-8").splitlines()]


def with_round(records: Sequence[dict[str, Any]], *, overlap: int = 1, repeat: float = 0.0) -> Callable[[Path], None]:
    """Fill a database with `records` and draw all of them as one round."""

    def fill(db: Path) -> None:
        workspace = open_workspace(settings.load(db))
        try:
            with workspace.database.transaction() as cursor:
                for record in records:
                    cursor.execute(
                        "INSERT INTO pair (pair_id, prompt_id, task, reference, messages, tools, old, new, identical, "
                        "structured_differs, source, imported_at) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, false, false, 'test', now())",
                        [
                            *(record.get(name) for name in ("pair_id", "prompt_id", "task", "reference")),
                            *(_json(record.get(name)) for name in ("messages", "tools", "old", "new")),
                        ],
                    )
            spec = rounds.DrawSpec(size=len(records), seed=7, overlap=overlap, repeat=repeat, name="The round")
            rounds.draw(workspace, spec, "lead", datetime.now(UTC))
        finally:
            workspace.close()

    return fill


def imported(db: Path) -> None:
    """Fill a database as a lead does: import the real pairs, draw all of them as one round for up to 20 reviewers."""
    run_cli(db, "import", "pairs", str(shared("data/phi3_dpo/pairs.jsonl"))).check_returncode()
    run_cli(db, "draw", "--size", "80", "--seed", "7", "--overlap", "20", "--repeat", "0").check_returncode()


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value)


def at_card(page: Page) -> Page:
    """Wait until a pair is in sight."""
    page.locator(".card[data-state=label] .layer:not(.ahead) .answers").wait_for(timeout=60_000)
    return page


def press(page: Page, keys: str | Sequence[str]) -> None:
    for key in keys:
        page.keyboard.press(key)


def twice(page: Page, digit: str) -> None:
    """A number key pressed twice before anything on the page can change."""
    page.evaluate(
        """digit => { for (const press of [1, 2]) document.body.dispatchEvent(new KeyboardEvent("keydown",
        { key: digit, code: `Digit${digit}`, keyCode: digit.charCodeAt(0), bubbles: true, cancelable: true })) }""",
        digit,
    )


def label(page: Page, digits: str = PLAIN) -> None:
    """Label the pair in sight by keyboard, without waiting for anything."""
    press(page, [*digits, "Enter"])


def saved(page: Page, timeout: float = 15_000) -> None:
    """Wait until everything is stored. After a lost connection two mounts of the card may stand for a moment."""
    expect(page.locator(".save[data-state=saved]").first).to_be_visible(timeout=timeout)
    expect(page.locator(".save")).to_have_count(1, timeout=timeout)
    expect(page.locator(".save")).to_have_attribute("data-state", "saved", timeout=timeout)


def answers_text(page: Page) -> str:
    return page.locator(".layer:not(.ahead) .answers").inner_text()


def done(page: Page) -> int:
    return int(page.locator(".progress b").inner_text().split()[0])


def stored(server: Server, query: str, *values: object) -> list[dict[str, Any]]:
    """Stop the app, ask its database, start the app again."""
    server.stop()
    workspace = open_workspace(settings.load(server.db))
    try:
        cursor = workspace.database.cursor().execute(query, list(values))
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    finally:
        workspace.close()
        server.start()


def labels_of(server: Server, reviewer: str) -> list[dict[str, Any]]:
    """The reviewer's rows, in the order in which they arrived."""
    return stored(server, "SELECT * FROM label WHERE reviewer = ? ORDER BY received_at, labelled_at", reviewer)


class Wire:
    """The websocket between a page and the app, to be cut and mended. Make it before the page is opened."""

    def __init__(self, page: Page) -> None:
        self._cut = False
        self._open: list[WebSocketRoute] = []
        page.route_web_socket("**/_stcore/stream", self._connect)

    def _connect(self, socket: WebSocketRoute) -> None:
        if self._cut:
            socket.close()
        else:
            socket.connect_to_server()
            self._open.append(socket)

    def cut(self) -> None:
        self._cut = True
        for socket in self._open:
            socket.close()
        self._open.clear()

    def mend(self) -> None:
        self._cut = False
