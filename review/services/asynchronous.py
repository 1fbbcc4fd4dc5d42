"""Running asynchronous work from a plain function, whatever else runs in this thread."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """What the work comes to, or raises: here, so that Ctrl-C ends it, or in a thread of its own where a loop runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()
