"""The shared golden vectors, skipped by name where they are absent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
VECTORS = SHARED / "golden" / "vectors.json"


def vectors(name: str) -> list[dict[str, Any]]:
    """The golden entries of this name; none where ../shared is absent."""
    if not VECTORS.exists():
        return []
    return [entry for entry in json.loads(VECTORS.read_text()) if entry["name"] == name]


def golden(name: str) -> Callable[..., Any]:
    """Parametrize a test with the golden entries of a name, or skip it by that name."""
    entries = vectors(name)
    if not entries:
        return pytest.mark.parametrize(
            "entry", [pytest.param({}, marks=pytest.mark.skip(f"../shared/golden has no {name!r}"))]
        )
    return pytest.mark.parametrize("entry", entries, ids=[f"{name}-{index}" for index in range(len(entries))])


def near(entry: dict[str, Any], key: str) -> Any:
    """The expected value of an entry as an approximate number at the entry's own tolerance."""
    return pytest.approx(entry["expected"][key], abs=entry["tolerance"], rel=0)
