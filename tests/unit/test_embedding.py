"""Embedding: each text once, kept by content hash; a server is asked in batches and patiently."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner

from review.adapters.cache import Cache
from review.adapters.embedding import RemoteEncoder, embed, open_encoder
from review.cli import main
from review.domain.pipeline import Embedding
from review.errors import BadInput, BadSettings
from tests.faults import FaultServer

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


def test_what_a_server_is_paid_is_counted_by_its_tokens_or_by_characters() -> None:
    usage = [{"usage": {"prompt_tokens": 40_000}}, {}]
    answers = [httpx.Response(200, json={"data": [{"index": 0, "embedding": [1.0]}], **each}) for each in usage]
    price = Embedding(price={"input": 2.0}).price  # type: ignore[arg-type]  # pydantic makes the section of it
    encoder = RemoteEncoder("http://embedder/v1", "m", price=price, transport=_server(answers, []))
    encoder.encode(["one"])
    assert encoder.cost_usd == pytest.approx(0.08)
    encoder.encode(["x" * 400_000])
    assert encoder.cost_usd == pytest.approx(0.28)
    assert open_encoder(Embedding()).cost_usd is None


def test_how_far_it_is_is_told_from_what_was_known_on_request_by_request(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    encoder = RemoteEncoder("http://embedder/v1", "small", transport=_server([], []))
    texts = [f"text number {number}" for number in range(300)]
    with closing(Cache(tmp_path / "cache")) as cache:
        embed(encoder, cache, SECRET, texts[:20], texts[:20])
        embed(encoder, cache, SECRET, texts, texts, lambda done, total: told.append((done, total)))
    assert told == [(20, 300), (148, 300), (276, 300), (300, 300)]


def test_clustering_with_a_server_says_how_far_it_is_how_fast_and_what_it_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = [
        {"trace_id": f"t{at}", "messages": [{"role": "user", "content": f"Where is parcel number {at}"}]}
        for at in range(600)
    ]
    (tmp_path / "traces.jsonl").write_text("".join(json.dumps(each) + "\n" for each in traces))
    # It refuses at last, so that nothing is left to cluster.
    with FaultServer(lambda _, nth: "403_text" if nth > 4 else None, api="embeddings", latency=0.35) as server:
        said = {"base_url": server.url, "model": "words", "price": {"input": 1000.0}}
        config = {"eval_config": {"embedding": said, "replay": {"strip_pii": False}}}
        (tmp_path / "config.yaml").write_text(json.dumps(config))
        monkeypatch.setenv("REVIEW_CONFIG", str(tmp_path / "config.yaml"))
        db = ["--db", str(tmp_path / "r.duckdb")]
        done = CliRunner().invoke(main, ["import", "traces", str(tmp_path / "traces.jsonl"), *db])
        assert done.exit_code == 0, done.output
        done = CliRunner().invoke(main, ["cluster", *db])
    assert done.exit_code == 1
    assert "status 403" in done.stderr
    # Five words a text are five tokens at .001 dollars.
    found = re.search(r"(\d+) of 600 texts embedded, [\d.]+ a second, \$([\d.]+), \d+ s left", done.stderr)
    assert found is not None, done.stderr
    assert float(found[2]) == pytest.approx(0.005 * int(found[1]))
