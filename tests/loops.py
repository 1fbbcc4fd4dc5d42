"""Running asynchronous code in a test.

Playwright's synchronous interface keeps a loop running in the thread of the tests that came before, so `asyncio.run` in
that thread fails or not by the order of the tests: a loop of its own needs a thread of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def on_its_own_loop(main: Callable[[], Awaitable[T]]) -> T:
    """What `main()` comes to, or raises."""

    async def awaited() -> T:
        return await main()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(lambda: asyncio.run(awaited())).result()
