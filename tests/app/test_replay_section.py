"""The Rounds page says what was replayed and how far old differs from itself, once there is something to say."""

from __future__ import annotations

from pathlib import Path

from review.services.workspace import Workspace
from tests.app.conftest import RunPage
from tests.faults import FaultServer
from tests.replaying import add_sample, configure, logged, replay
from tests.unit.test_replay import PROMPTS


def test_the_noise_floor_stands_on_the_rounds_page(
    workspace: Workspace, run_page: RunPage, tmp_path: Path, monkeypatch
) -> None:
    add_sample(workspace, PROMPTS, responses={prompt: logged("other") for prompt in PROMPTS[:3]})
    with FaultServer() as server:
        made = configure(tmp_path, {"base_url": server.url})
        ours = Workspace(workspace.database, made, workspace.key)
        monkeypatch.setattr("review.ui.shell.workspace", lambda: ours)
        assert "What was replayed, and old's noise floor" not in [each.label for each in run_page("rounds.py").expander]
        replay(workspace, made)
    page = run_page("rounds.py")
    box = next(each for each in page.expander if each.label == "What was replayed, and old's noise floor")
    assert not box.text
    page.session_state["replayed"] = True
    page.run()
    assert not page.exception
    shown = "\n".join(each.value for each in page.text)
    assert "Sample 1: 12 of 12 traces answered by old, 12 by new; 12 pairs." in shown
    assert "in its text             25.0%" in shown
    assert "in tool calls or JSON   0.0%" in shown
    assert "m-served" not in shown
