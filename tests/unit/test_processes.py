"""Worker processes start from wherever they are asked for, whatever script runs there."""

from __future__ import annotations

import sys
import types
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from review.services.processes import Spawning


def test_the_script_that_asks_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As in the app, where the main module is the page that was shown last.
    script = tmp_path / "page.py"
    script.write_text("raise SystemExit('a page ran outside the app')\n")
    page = types.ModuleType("__main__")
    page.__file__ = str(script)
    monkeypatch.setitem(sys.modules, "__main__", page)
    with ProcessPoolExecutor(1, mp_context=Spawning()) as pool:
        assert pool.submit(pow, 2, 5).result(60) == 32
    assert sys.modules["__main__"] is page
