"""What a server loads in the background: everything slow that pages need, and nothing heavier."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading

import pytest

from review.ui import warm
from tests.loops import on_its_own_loop

LOADED = """
import json, sys
from review.ui import warm
before = [name for name in warm.MODULES if name in sys.modules]
warm.load()
print(json.dumps([before, [name for name in (*warm.MODULES, "torch", "sklearn") if name in sys.modules]]))
"""


def test_all_that_is_named_is_loaded_and_no_learning_library() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True, timeout=120)
    before, after = json.loads(done.stdout)
    assert before == []
    assert after == list(warm.MODULES)


def test_the_server_does_not_wait_for_it_and_its_end_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on = threading.Event(), threading.Event()

    def load() -> None:
        began.set()
        go_on.wait(30)

    async def serve() -> None:
        async with warm.warming(None):
            assert await asyncio.to_thread(began.wait, 30)

    monkeypatch.setattr(warm, "load", load)
    monkeypatch.setattr(warm, "AFTER", 0.0)
    on_its_own_loop(serve)
    go_on.set()

    began.clear()
    monkeypatch.setattr(warm, "AFTER", 3600.0)

    async def end_at_once() -> None:
        async with warm.warming(None):
            waiting.extend(each for each in threading.enumerate() if isinstance(each, threading.Timer))

    waiting: list[threading.Thread] = []
    on_its_own_loop(end_at_once)
    assert waiting
    for each in waiting:
        each.join(30)
    assert not began.is_set()
