"""Loads, in the background of a server that serves already, what pages would import at their first visit."""

from __future__ import annotations

import importlib
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

# Seconds. The server opens its port and the first visitor gets the sign-in before the imports take the processor.
AFTER = 3.0
MODULES = (
    *("pandas", "altair", "scipy.special", "scipy.optimize"),
    *("review.services.agreement", "review.services.parity", "review.services.tone", "review.services.calibration"),
    *("review.services.gate", "review.services.report"),
)


@asynccontextmanager
async def warming(_app: Any) -> AsyncGenerator[None]:
    """A lifespan of the server: the imports begin a moment after its start, and end with the process."""
    timer = threading.Timer(AFTER, load)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def load() -> None:
    """Import what is slow to import. Pages import it themselves too, so nothing depends on this having run."""
    for name in MODULES:
        importlib.import_module(name)
