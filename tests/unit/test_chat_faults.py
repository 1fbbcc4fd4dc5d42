"""Every dialect against every fault: what passes is tried again, what lasts is not, and nothing leaks."""

from __future__ import annotations

import asyncio
import random

import pytest

from review.adapters.chat import ChatClient, Completion, Request
from review.domain.pipeline import Endpoint
from review.errors import EndpointUnusable, ModelFailed
from tests.faults import LASTING, ODD_BUT_GOOD, PASSING, FaultServer
from tests.loops import on_its_own_loop

DIALECTS = ("openai", "anthropic", "vllm", "sglang", "tensorrt_llm", "llama_cpp", "litellm", "bifrost")
SECRET = "the card number is 4929"
TIMED = {name: kind for name, kind in PASSING.items() if kind == "timeout"}
UNTIMED = {name: kind for name, kind in PASSING.items() if kind != "timeout"}


def endpoint(server: FaultServer, api: str, **more) -> Endpoint:
    return Endpoint.model_validate(
        {"base_url": server.url, "model": "m", "api": api, "timeout_seconds": 30.0, "retries": 3, "concurrency": 32}
        | more
    )


def ask_all(server: FaultServer, prompts: list[str], api: str, **more) -> dict[str, Completion | Exception]:
    """Ask every prompt at once; waits are cut short, because they are measured elsewhere."""

    async def main() -> dict[str, Completion | Exception]:
        async def no_wait(seconds: float) -> None:
            await asyncio.sleep(min(seconds, 0.01))

        async with ChatClient(endpoint(server, api, **more), "sk-test", rng=random.Random(1), sleep=no_wait) as client:
            asked = [
                client.complete(Request([{"role": "user", "content": prompt}], parameters={"temperature": 0}))
                for prompt in prompts
            ]
            return dict(zip(prompts, await asyncio.gather(*asked, return_exceptions=True), strict=True))

    return on_its_own_loop(main)


@pytest.mark.parametrize("api", DIALECTS)
def test_what_passes_is_asked_again_and_answered(api: str) -> None:
    def plan(prompt: str, nth: int) -> str | None:
        fault = prompt.split(":")[0]
        return fault if nth <= (0 if fault == "good" else 2) else None

    prompts = [f"{fault}: {SECRET}" for fault in (*UNTIMED, "good")]
    with FaultServer(plan, api=api) as server:
        results = ask_all(server, prompts, api)
        # A busy machine may be late for an answer that was in time.
        late = ask_all(server, [f"{fault}: {SECRET}" for fault in TIMED], api, timeout_seconds=0.3, retries=20)
    assert all(isinstance(each, Completion) and each.attempts >= 3 for each in late.values()), late
    for prompt, result in results.items():
        assert isinstance(result, Completion), (prompt, result)
        expected = 1 if prompt.startswith("good") else 3
        assert (result.attempts, server.counts[prompt], server.good[prompt]) == (expected, expected, 1), prompt
        assert result.output.content == f"answer to {prompt}"
        assert result.served == "m-served"
        assert result.output.finish_reason == "stop"


@pytest.mark.parametrize("api", DIALECTS)
def test_what_stays_is_told_by_kind_and_never_quotes_the_prompt(api: str) -> None:
    def plan(prompt: str, nth: int) -> str | None:
        return prompt.split(":")[0]

    kinds = UNTIMED | LASTING
    with FaultServer(plan, api=api) as server:
        results = ask_all(server, [f"{fault}: {SECRET}" for fault in kinds], api, retries=1)
        late = ask_all(server, [f"{fault}: {SECRET}" for fault in TIMED], api, retries=0, timeout_seconds=0.2)
    assert [each.kind for each in late.values() if isinstance(each, ModelFailed)] == ["timeout"] * len(TIMED)
    for fault, kind in kinds.items():
        prompt = f"{fault}: {SECRET}"
        error = results[prompt]
        assert isinstance(error, ModelFailed), (fault, error)
        assert error.kind == kind, fault
        assert isinstance(error, EndpointUnusable) == (kind in ("auth", "bad_model", "quota")), fault
        asked = 2 if fault in PASSING else 1
        assert (server.counts[prompt], error.attempts) == (asked, asked), fault
        assert "4929" not in str(error)
        assert "sk-" not in str(error)
        assert str(error).startswith("m at 127.0.0.1:")


def test_an_odd_content_type_is_no_reason_to_refuse_an_answer() -> None:
    with FaultServer(lambda prompt, nth: prompt) as server:
        results = ask_all(server, list(ODD_BUT_GOOD), "openai")
    assert all(isinstance(each, Completion) and each.attempts == 1 for each in results.values())


def test_a_parameter_that_the_model_does_not_take_is_left_out_from_then_on() -> None:
    def plan(prompt: str, nth: int) -> str | None:
        return f"refuses:{prompt.split()[0]}"

    async def main() -> tuple[list[Completion], set[str]]:
        async with ChatClient(endpoint(server, "openai"), None) as client:
            made = []
            for word in ("logprobs", "temperature", "max_tokens", "temperature"):
                parameters = {"temperature": 0.7, "max_tokens": 5}
                made.append(await client.complete(Request([{"role": "user", "content": word}], parameters=parameters)))
            return made, client.dropped

    with FaultServer(plan) as server:
        made, dropped = on_its_own_loop(main)
    assert [each.attempts for each in made] == [2, 2, 2, 1]
    assert dropped == {"logprobs", "top_logprobs", "temperature"}
    assert made[0].output.confidence is None
    assert made[1].dropped == ("logprobs", "temperature", "top_logprobs")
    last = server.requests[-1]
    assert last["max_completion_tokens"] == 5
    assert not {"max_tokens", "temperature", "logprobs"} & set(last)


def test_a_parameter_of_the_configuration_is_never_left_out_silently() -> None:
    async def main() -> None:
        async with ChatClient(endpoint(server, "openai", parameters={"temperature": 0}), None) as client:
            await client.complete(Request([{"role": "user", "content": "x"}]))

    with (
        FaultServer(lambda prompt, nth: "refuses:temperature") as server,
        pytest.raises(EndpointUnusable, match=r"does not take a parameter .* \(temperature\)"),
    ):
        on_its_own_loop(main)
    assert server.counts["x"] == 1


@pytest.mark.parametrize(("own", "kept"), [({}, "temperature"), ({"top_p": 0.9}, "top_p")])
def test_of_two_parameters_that_exclude_each_other_the_configured_one_stays(own: dict[str, float], kept: str) -> None:
    async def main() -> Completion:
        async with ChatClient(endpoint(server, "anthropic", parameters=own), None) as client:
            parameters = {"temperature": 0.7, "top_p": 0.5}
            return await client.complete(Request([{"role": "user", "content": "x"}], parameters=parameters))

    with FaultServer(lambda prompt, nth: "refuses_both", api="anthropic") as server:
        made = on_its_own_loop(main)
    assert made.attempts == 2
    assert {"temperature", "top_p"} & set(server.requests[-1]) == {kept}


def test_no_more_requests_at_once_than_configured() -> None:
    with FaultServer(latency=0.01) as server:
        results = ask_all(server, [f"p{number}" for number in range(40)], "openai", concurrency=4)
    assert all(isinstance(each, Completion) for each in results.values())
    assert server.most_under_way == 4


def test_a_server_that_is_not_there_is_named() -> None:
    with FaultServer() as server:
        pass
    error = ask_all(server, ["x"], "openai", retries=1)["x"]
    assert isinstance(error, ModelFailed)
    assert (error.kind, error.attempts) == ("connection", 2)


def test_a_key_that_no_header_can_carry_is_refused_before_anything_is_sent() -> None:
    with FaultServer() as server, pytest.raises(EndpointUnusable, match="api_key_env"):
        ChatClient(endpoint(server, "openai"), "ключ")
