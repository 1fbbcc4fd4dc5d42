"""The chat client against llama.cpp's own server."""

from __future__ import annotations

import json

import pytest

from review.adapters.chat import ChatClient, Completion, Request
from review.adapters.local_model import ModelServer
from review.domain.pipeline import Endpoint
from review.errors import ModelFailed
from tests.loops import on_its_own_loop
from tests.servers import endpoint

SCHEMA = {
    "type": "object",
    "properties": {"winner": {"type": "string", "enum": ["A", "B", "tie"]}},
    "required": ["winner"],
    "additionalProperties": False,
}


@pytest.mark.slow
def test_a_real_server_gives_text_probabilities_and_bound_json_and_says_what_is_too_long(
    old_server: ModelServer,
) -> None:
    async def main() -> tuple[Completion, Completion, str]:
        async with ChatClient(Endpoint.model_validate(endpoint(old_server))) as client:
            user = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Name a colour."}]
            plain = await client.complete(Request(user))
            bound = await client.complete(Request(user, response_schema=SCHEMA))
            try:
                await client.complete(Request([{"role": "user", "content": "word " * 40_000}]))
            except ModelFailed as error:
                return plain, bound, error.kind
        raise AssertionError("a prompt of 40,000 words was taken")

    plain, bound, kind = on_its_own_loop(main)
    assert plain.output.content
    assert plain.output.confidence is not None
    assert 0.05 < plain.output.confidence <= 1
    assert plain.usage["completion_tokens"] > 0
    assert plain.attempts == 1
    assert bound.bound
    assert json.loads(bound.output.content or "")["winner"] in ("A", "B", "tie")
    assert kind == "context_length"
