"""A real gateway in front of two model servers, one of which dies while a sample is replayed through it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from review import settings
from review.adapters.local_model import LocalModel, ModelServer
from review.domain.pipeline import Endpoint, Endpoints, Judges, Provider
from review.services.desk import LocalDesk
from review.services.judge import judge
from review.services.replay import Ask, replay
from review.services.workspace import Workspace
from tests.e2e.conftest import free_port
from tests.gateway import KEY, NAME, Gateway, gateway
from tests.replaying import add_sample
from tests.servers import served
from tests.waiting import until

pytestmark = pytest.mark.slow
PROMPTS = [f"Name a word that begins like {word}." for word in ("apple", "bread", "candle", "door", "egg", "fish")] * 3
ENVIRON = {"GATE_KEY": KEY}


def configured(workspace: Workspace, through: Gateway) -> settings.Settings:
    """Old and new are two ways to ask the gateway, which judges too."""
    common: Mapping[str, Any] = {
        **{"base_url": through.url, "model": NAME, "api": "litellm", "api_key_env": "GATE_KEY"},
        **{"concurrency": 2, "timeout_seconds": 120.0},
    }
    old, new = (Endpoint(**common, parameters={"temperature": 0, "max_tokens": most}) for most in (8, 4))
    # One at a time: each call then finds what they all begin with read already.
    provider = Provider(name="gate", **{**common, "concurrency": 1}, parameters={"max_tokens": 100})
    judges = Judges(judge_model=NAME, providers=(provider,), votes=1, anchors=0)
    config = workspace.settings.config.model_copy(update={"endpoints": Endpoints(old=old, new=new), "judges": judges})
    return workspace.settings.model_copy(update={"config": config})


def test_replay_and_judging_go_on_when_a_server_behind_the_gateway_dies(
    workspace: Workspace, old_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE_KEY", KEY)
    prompts = [f"{prompt} Case {at}." for at, prompt in enumerate(PROMPTS)]
    add_sample(workspace, prompts)
    with (
        served(LocalModel(name="smollm2-135m-mortal"), tmp_path) as mortal,
        gateway([old_server, mortal], tmp_path, free_port()) as through,
        ThreadPoolExecutor(1) as thread,
    ):
        desk = LocalDesk(Workspace(workspace.database, configured(workspace, through), workspace.key), "Lea")
        seen: list[int] = []
        replaying = thread.submit(
            replay, desk, Ask(), environ=ENVIRON, tell=lambda progress: seen.append(progress.done)
        )
        until(lambda: len(seen) >= 6 and mortal.tokens() > 0, "some answers came from both", seconds=180)
        mortal.kill()
        assert not replaying.done(), "it died in mid-run"
        report = replaying.result(timeout=300)
        assert {side: (each.failed, each.stopped) for side, each in report.sides.items()} == {
            "old": ({}, None),
            "new": ({}, None),
        }
        assert report.pairs == len(prompts)
        judged = thread.submit(judge, desk, limit=2).result(timeout=300)
        assert (judged.judged, judged.failed) == (2, {})
