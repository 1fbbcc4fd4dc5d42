"""Real model servers for tests: llama.cpp with a small model, started when a test first asks, shared by the session.

A test that uses them is marked `slow`. `old_server` serves the model as it is, `new_server` the same model with its
key-value cache quantized to four bits: as in many a migration, most answers change a little. Both serve as a judge too.
A test that kills a server or counts its requests starts its own with `served`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from review.adapters.local_model import LocalModel, ModelServer, start

OLD = LocalModel(name="smollm2-135m-old")
NEW = LocalModel(name="smollm2-135m-new", kv_type="q4_0")


@contextmanager
def served(model: LocalModel, folder: Path, *, port: int = 0) -> Generator[ModelServer]:
    """A server of a test's own; whatever the test does to it, it is gone afterwards."""
    server = start(model, folder / f"{model.name}.log", port=port)
    try:
        yield server
    finally:
        server.stop()


def endpoint(server: ModelServer, **changes: Any) -> dict[str, Any]:
    """The server as a section of the configuration: of `endpoints`, or with a `name` of `judges.providers`.

    Answers are short and greedy, so that a test is quick and can be repeated.
    """
    return {
        "base_url": server.url,
        "model": server.model.name,
        "api": "llama_cpp",
        "parameters": {"temperature": 0, "max_tokens": 24, "seed": 1},
        "concurrency": server.model.slots,
        "timeout_seconds": 60.0,
        **changes,
    }


@pytest.fixture(scope="session")
def old_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """The model as it is."""
    with served(OLD, tmp_path_factory.mktemp("models")) as server:
        yield server


@pytest.fixture(scope="session")
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """The same model with a quantized key-value cache."""
    with served(NEW, tmp_path_factory.mktemp("models")) as server:
        yield server
