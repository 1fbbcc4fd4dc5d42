"""Run a page as somebody, on the workspace that the test has open."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from review.services.workspace import Actor, Role, Workspace
from tests.conftest import ROOT

RunPage = Callable[..., AppTest]


@pytest.fixture
def run_page(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> RunPage:
    """`run_page("rounds.py", name="Mara", role="lead", query={…})` runs it and fails on any exception."""
    monkeypatch.setattr("review.ui.shell.workspace", lambda: workspace)

    def run(file: str, *, name: str = "Mara", role: Role = "lead", query: dict[str, str] | None = None) -> AppTest:
        page = AppTest.from_file(str(ROOT / "pages" / file), default_timeout=20)
        page.session_state["actor"] = Actor(name, role)
        for key, value in (query or {}).items():
            page.query_params[key] = value
        page.run()
        assert not page.exception
        return page

    return run
