"""The database file is released only when calls that are under way are done."""

from __future__ import annotations

import threading
from pathlib import Path

import duckdb
import pytest

from review.store import database
from review.store.database import Database


class Held:
    """A call in another thread that lasts until it is released."""

    def __init__(self, opened: Database) -> None:
        self.inside, self.released = threading.Event(), threading.Event()
        cursor = opened.cursor()
        cursor.create_function("hold", self._hold, ["INTEGER"], "INTEGER")
        self.thread = threading.Thread(target=lambda: cursor.execute("SELECT hold(1)"))
        self.thread.start()
        assert self.inside.wait(20)

    def _hold(self, value: int) -> int:
        self.inside.set()
        self.released.wait(20)
        return value

    def release(self) -> None:
        self.released.set()
        self.thread.join(20)


def test_closing_waits_for_a_call_of_another_thread(tmp_path: Path) -> None:
    opened = Database(tmp_path / "review.duckdb")
    held = Held(opened)
    closing = threading.Thread(target=opened.close)
    closing.start()
    closing.join(0.1)
    assert closing.is_alive()
    held.release()
    closing.join(20)
    assert not closing.is_alive()
    again = Database(tmp_path / "review.duckdb")
    assert again.cursor().execute("SELECT 1").fetchone() == (1,)
    again.close()


def test_closing_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_CLOSING", 0.05)
    opened = Database(tmp_path / "review.duckdb")
    held = Held(opened)
    with pytest.raises(duckdb.ResourceInUseException):
        opened.close()
    held.release()
    opened.close()
