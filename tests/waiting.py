"""Awaiting a condition in a test."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(holds: Callable[[], bool], what: str, *, seconds: float = 60, every: float = 0.05) -> None:
    """Return as soon as `holds()`; fail by name when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(every)
