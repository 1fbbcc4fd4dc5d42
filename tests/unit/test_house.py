"""The house rules that a machine can check: the layout, the two commands, what is light to import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "app.py", "pages", "review", "data", "tests"}
LIGHT = (
    "import review.cli, sys, json; heavy = ('pydantic', 'duckdb', 'pandas', 'numpy', 'streamlit'); "
    "print(json.dumps([name for name in heavy if name in sys.modules]))"
)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(line) for line in listed.splitlines()]


def test_top_level_holds_exactly_the_agreed_entries() -> None:
    tops = {path.parts[0] for path in tracked()}
    assert {top for top in tops if not top.startswith(".")} == TOP_LEVEL


def test_ci_runs_the_test_command_as_the_readme_prints_it() -> None:
    command = "pip install -e '.[test]' && python -m tests"
    assert f"\n{command}\n" in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci" / "run").read_text().endswith(f"\n{command}\n")


def test_every_module_says_its_purpose_in_its_first_line() -> None:
    silent = [
        str(path)
        for path in tracked()
        if path.suffix == ".py" and path.name != "__init__.py" and not (ROOT / path).read_text().startswith('"""')
    ]
    assert silent == []


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    found = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True).stdout
    assert json.loads(found) == []
