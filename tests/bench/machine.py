"""The state of the machine, noted beside every measurement."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence

import psutil


def state() -> dict[str, object]:
    """Cores, load, free memory and versions at this moment."""
    return {
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "memory_available_gb": round(psutil.virtual_memory().available / 2**30, 1),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
    }


def summary(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    """Median, 95th percentile, least and largest of at least two measurements."""
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "median": round(statistics.median(ordered), digits),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], digits),
        "min": round(ordered[0], digits),
        "max": round(ordered[-1], digits),
    }
