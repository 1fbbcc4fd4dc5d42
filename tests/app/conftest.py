"""Run a page as somebody, on the workspace that the test has open."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from review.services.workspace import Actor, Role, Workspace
from tests.conftest import ROOT

RunPage = Callable[..., AppTest]


@pytest.fixture
def run_page(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> RunPage:
    """`run_page("rounds.py", name="Mara", role="lead", query={…})` runs it and fails on any exception."""
    monkeypatch.setattr("review.ui.shell.workspace", lambda: workspace)

    def run(file: str, *, name: str = "Mara", role: Role = "lead", query: dict[str, str] | None = None) -> AppTest:
        page = AppTest.from_file(str(ROOT / "pages" / file), default_timeout=60)
        page.session_state["actor"] = Actor(name, role)
        for key, value in (query or {}).items():
            page.query_params[key] = value
        page.run()
        assert not page.exception
        return page

    return run


def shown(page: AppTest, component: str) -> list[dict[str, Any]]:
    """What the page gave the mounts of a component of ours, in their order."""
    protos = [each.proto for each in page.get("bidi_component")]
    return [json.loads(each.json)[0] for each in protos if each.component_name == component]


def verbatim(page: AppTest) -> list[str]:
    """Commands and texts that the page shows exactly as they are."""
    return [each["text"] for each in shown(page, "review_verbatim")]


def tables(page: AppTest) -> list[list[dict[str, str]]]:
    """The page's tables, each as its rows by column."""
    found = shown(page, "review_table")
    return [[dict(zip(each["columns"], row, strict=True)) for row in each["rows"]] for each in found]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions answer to plain buttons: AppTest has no browser in which ours could run."""

    def mount(key: str, data: list[dict[str, Any]], on_said_change: Callable[[], None]) -> None:
        def say(answer: str) -> None:
            st.session_state[key] = {"said": {"token": data[0]["token"], "answer": answer, "count": 1}}
            on_said_change()

        for option in data[0]["options"]:
            st.button(option["label"], key=f"{key}_{option['id']}", on_click=say, args=(option["id"],))

    monkeypatch.setattr("review.ui.question._mount", mount)
