"""Fixtures for all tests: a workspace on a real database file, and the shared real sets where they are."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import itertools
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from review import settings
from review.services import workspace as workspaces
from review.services.workspace import Workspace, open_workspace
from tests import clustered as clustered_set
from tests.servers import new_server as new_server
from tests.servers import old_server as old_server

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def pytest_configure() -> None:
    """What is the same for all tests and the processes that they start."""
    configure()
    repeat_keys()


def configure() -> None:
    """Tests run with the shipped configuration, but import what it says without stripping it: that costs seconds, and
    is tested where it is meant (tests with pii in their name).
    """
    document = yaml.safe_load((ROOT / "data" / "eval_config.yaml").read_text(encoding="utf-8"))
    document["eval_config"].setdefault("replay", {})["strip_pii"] = False
    path = Path(tempfile.mkdtemp(prefix="review-tests-")) / "eval_config.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    os.environ["REVIEW_CONFIG"] = str(path)
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)


def repeat_keys() -> None:
    """A database made in this process has a key that depends on its test alone: ids and shown orders hang on it, and
    what fails by their luck fails again.
    """
    made: dict[str, Iterator[int]] = {}

    def token_hex(length: int) -> str:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").split(" (")[0]
        number = next(made.setdefault(test, itertools.count()))
        return hashlib.shake_256(f"{test} {number}".encode()).hexdigest(length)

    pytest.MonkeyPatch().setattr(workspaces, "secrets", SimpleNamespace(token_hex=token_hex))


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """An empty workspace in a folder of its own."""
    opened = open_workspace(settings.load(tmp_path / "review.duckdb"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> clustered_set.Set:
    """Real queries, clustered once for a run and all its workers: nobody may open this database (copy it)."""
    source, base = shared("data/clinc150/traces.jsonl"), tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "clustered"
    folder.mkdir(exist_ok=True)
    with (folder.parent / "clustered.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = folder.parent / "clustered.pickle"
        if not kept.exists():
            kept.write_bytes(pickle.dumps(clustered_set.build(source, folder)))
        found = pickle.loads(kept.read_bytes())
        assert isinstance(found, clustered_set.Set)
        return found


def shared(path: str) -> Path:
    """A file of the shared real sets; skips the test, by name, where it is absent."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"needs ../shared/{path}")
    return found
