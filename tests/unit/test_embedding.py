"""Embedding: each text once, kept by content hash; a server is asked in batches and patiently."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest

from review.adapters.cache import Cache
from review.adapters.embedding import RemoteEncoder, embed, open_encoder
from review.domain.pipeline import Embedding
from review.errors import BadInput, BadSettings

SECRET = b"k" * 32


def _server(answers: list[httpx.Response], seen: list[list[str]]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        if answers:
            return answers.pop(0)
        texts = json.loads(request.content)["input"]
        seen.append(texts)
        rows = [{"index": place, "embedding": [float(len(text)), 1.0]} for place, text in enumerate(texts)]
        return httpx.Response(200, json={"data": rows[::-1]})

    return httpx.MockTransport(answer)


def test_each_text_is_embedded_once_in_batches_and_found_again_by_content(tmp_path: Path) -> None:
    seen: list[list[str]] = []
    texts = [f"text number {number % 200}" for number in range(400)]
    owners = [f"trace-{number}" for number in range(400)]
    encoder = RemoteEncoder("http://embedder/v1", "small", transport=_server([], seen))
    with closing(Cache(tmp_path / "cache")) as cache:
        first = embed(encoder, cache, SECRET, texts, owners)
        again = embed(encoder, cache, SECRET, texts, owners)
        assert cache.forget(["trace-7"]) == 1
        assert embed(encoder, cache, SECRET, texts, owners).computed == 1
    assert (first.computed, again.computed) == (200, 0)
    assert max(map(len, seen)) <= 128
    assert np.array_equal(first.vectors, again.vectors)
    assert np.allclose(np.linalg.norm(first.vectors, axis=1), 1, atol=1e-6)
    assert b"text number" not in (tmp_path / "cache").read_bytes()


def test_a_busy_server_is_waited_for_as_long_as_it_says() -> None:
    waits: list[float] = []
    busy = [httpx.Response(429, headers={"retry-after": "17"}), httpx.Response(503)]
    encoder = RemoteEncoder("http://embedder/v1", "small", transport=_server(busy, []), wait=waits.append)
    assert encoder.encode(["one"]).shape == (1, 2)
    assert waits[0] >= 17
    assert len(waits) == 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (httpx.Response(401), "status 401"),
        (httpx.Response(200, json={"data": []}), "no form that can be read"),
        (httpx.Response(200, text="<html>"), "no form that can be read"),
        (httpx.Response(200, json={"error": "no model"}), "no form that can be read"),
    ],
)
def test_a_refusal_names_the_server_and_neither_key_nor_text(answer: httpx.Response, told: str) -> None:
    encoder = RemoteEncoder("http://embedder/v1", "small", "sk-secret", transport=_server([answer], []))
    with pytest.raises(BadInput, match=told) as caught:
        encoder.encode(["a private matter"])
    assert "sk-secret" not in str(caught.value)
    assert "private" not in str(caught.value)


def test_a_server_that_stays_away_is_given_up() -> None:
    encoder = RemoteEncoder(
        "http://embedder/v1", "m", transport=_server([httpx.Response(500)] * 9, []), wait=lambda _: None
    )
    with pytest.raises(BadInput, match="no answer in 6 attempts"):
        encoder.encode(["one"])


def test_a_key_that_is_not_in_the_environment_is_named() -> None:
    wanted = Embedding(base_url="http://embedder/v1", api_key_env="EMBED_KEY")
    with pytest.raises(BadSettings, match="EMBED_KEY"):
        open_encoder(wanted, {})
