"""Warnings about judges and their costs on the Agreement page, after real runs of `review judge`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from review.services.judge import judge
from review.services.workspace import Workspace
from review.ui import shell
from tests.app.test_agreement_page import page, texts
from tests.faults import FaultServer
from tests.judging import bring, desk, judges, opinion, pair, provider


@pytest.fixture
def here(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("REVIEW_DB", str(workspace.settings.db))
    monkeypatch.setattr(shell, "_workspace", lambda db: workspace)
    return workspace


def test_kin_and_change_are_warned_about_and_costs_are_shown(here: Workspace, tmp_path: Path) -> None:
    def said(name: str) -> dict[str, Any]:
        return pair(name, {"content": "good", "model": "gpt-4"}, {"content": "bad", "model": "other"})

    bring(here, tmp_path, [said(f"p{n}") for n in range(8)])
    with FaultServer(answer=opinion) as server:
        configured = judges(provider(server, model="gpt-5"), anchors=8)
        judge(desk(here, configured), everything=True)
        bring(here, tmp_path, [said("q")])
        server.answer = lambda document: json.dumps(json.loads(opinion(document)) | {"winner": "tie"})
        judge(desk(here, configured), everything=True)
    app = page("agreement.py")
    warned = [each.value for each in app.warning]
    assert len(warned) == 2
    assert "judges the 8 anchor pairs otherwise than in its first run" in warned[0]
    assert "same family" in warned[1]
    assert "Costs: " in texts(app)
    weeks, runs = (each.value for each in app.dataframe[-2:])
    assert weeks["Calls"].sum() == runs["Calls"].sum() == 24 + 27
    assert runs["Ended"].tolist() == ["done", "done"]


def test_without_a_run_there_is_neither(here: Workspace, tmp_path: Path) -> None:
    app = page("agreement.py")
    assert not app.warning
    assert "Costs" not in texts(app)
