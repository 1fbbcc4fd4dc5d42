"""The local model server: it answers, keeps texts to itself, differs when quantized, and ends when it should."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from review.adapters import local_model
from review.adapters.local_model import LocalModel, ModelServer
from review.errors import ReviewError
from tests.servers import served

pytestmark = pytest.mark.slow
QUESTIONS = ("How do I reset my password?", "What is my balance, canary-5317?", "My card is lost. What now?")
VERDICT = {
    "type": "object",
    "properties": {"winner": {"type": "string", "enum": ["A", "B", "tie"]}},
    "required": ["winner"],
    "additionalProperties": False,
}


def ask(server: ModelServer, text: str, **options: Any) -> dict[str, Any]:
    body = {
        "model": server.model.name,
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "seed": 1,
        "max_tokens": 32,
        **options,
    }
    return httpx.post(f"{server.url}/chat/completions", json=body, timeout=60).raise_for_status().json()


def test_it_answers_with_its_name_usage_and_probabilities(old_server: ModelServer) -> None:
    answered = ask(old_server, QUESTIONS[0], logprobs=True)
    assert answered["model"] == old_server.model.name
    assert answered["usage"]["completion_tokens"] > 3
    tokens = answered["choices"][0]["logprobs"]["content"]
    assert len(tokens) == answered["usage"]["completion_tokens"]
    assert all(token["logprob"] <= 0 for token in tokens)


def test_a_quantized_cache_changes_what_the_model_says(old_server: ModelServer, new_server: ModelServer) -> None:
    answers = [
        [ask(server, text)["choices"][0]["message"]["content"] for text in QUESTIONS]
        for server in (old_server, new_server)
    ]
    assert all(all(each) for each in answers)
    assert answers[0] != answers[1]


def test_an_answer_keeps_to_a_schema(new_server: ModelServer) -> None:
    bound = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": VERDICT, "strict": True}}
    answered = ask(new_server, "Which is better, A: yes or B: no?", response_format=bound)
    assert json.loads(answered["choices"][0]["message"]["content"])["winner"] in {"A", "B", "tie"}


def test_it_counts_tokens_and_keeps_texts_to_itself(tmp_path: Path) -> None:
    with served(LocalModel(), tmp_path) as server:
        before = server.tokens()
        answered = ask(server, QUESTIONS[1], max_tokens=5)
        assert answered["choices"][0]["finish_reason"] == "length"
        assert answered["usage"]["completion_tokens"] == 5
        assert server.tokens() == before + answered["usage"]["total_tokens"]
        assert "canary" not in server.log.read_text()
        assert httpx.get(f"{server.address}/slots").status_code == 501
        process = psutil.Process(server.process.pid)
    assert not process.is_running()


def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal; from review.adapters.local_model import LocalModel, start; "
        f"server = start(LocalModel(), pathlib.Path({str(tmp_path / 'log')!r})); "
        "print(server.process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert killed.returncode == -9
    pid = int(killed.stdout)
    if psutil.pid_exists(pid):
        psutil.Process(pid).wait(timeout=20)
    assert not psutil.pid_exists(pid)


def test_a_server_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(os.urandom(1000))
    with pytest.raises(ReviewError, match="ended before it answered") as refused:
        local_model.start(LocalModel(gguf=broken), tmp_path / "broken.log")
    assert "broken.log" in str(refused.value)
