"""A real gateway in front of two model servers, one of which dies in mid-run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from review.adapters.local_model import LocalModel, ModelServer
from tests.e2e.conftest import free_port
from tests.gateway import KEY, NAME, Gateway, gateway
from tests.servers import served

pytestmark = pytest.mark.slow


def ask(through: Gateway, text: str) -> httpx.Response:
    body = {"model": NAME, "messages": [{"role": "user", "content": text}], "max_tokens": 6, "temperature": 0}
    return httpx.post(
        f"{through.url}/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=60
    )


def test_answers_go_on_when_a_server_behind_the_gateway_dies(old_server: ModelServer, tmp_path: Path) -> None:
    with (
        served(LocalModel(name="smollm2-135m-mortal"), tmp_path) as mortal,
        gateway([old_server, mortal], tmp_path, free_port()) as through,
        ThreadPoolExecutor(2) as threads,
    ):
        asked = [threads.submit(ask, through, f"Say {number}.") for number in range(8)]
        assert [each.result().status_code for each in asked] == [200] * 8
        assert mortal.tokens() > 0, "both are asked"
        mortal.kill()
        asked = [threads.submit(ask, through, f"Say {number}.") for number in range(8)]
        assert [each.result().status_code for each in asked] == [200] * 8
