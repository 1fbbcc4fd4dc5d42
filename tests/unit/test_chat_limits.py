"""Rates, waits and budgets of the chat client, on a clock that only the test moves."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from review.adapters.chat import Budget, ChatClient, Completion, Request
from review.adapters.chat.limits import Bucket, backoff, retry_after
from review.domain.pipeline import Endpoint, Price
from review.errors import BudgetSpent, ModelFailed
from tests.faults import FaultServer
from tests.loops import on_its_own_loop

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@settings(max_examples=30, deadline=None)
@given(
    per_minute=st.integers(1, 600),
    amounts=st.lists(st.tuples(st.floats(0.1, 30), st.floats(0, 20)), min_size=1, max_size=60),
)
def test_no_minute_lets_more_through_than_allowed(per_minute: int, amounts: list[tuple[float, float]]) -> None:
    time = Time()
    size = max(1.0, per_minute / 60)

    async def main() -> list[tuple[float, float]]:
        bucket = Bucket(per_minute, time, time.sleep)
        passed = []
        for amount, idle in amounts:
            time.now += idle
            await bucket.take(min(amount, size))
            passed.append((time.now, min(amount, size)))
        return passed

    passed = on_its_own_loop(main)
    for start, _ in passed:
        within = sum(amount for at, amount in passed if start <= at < start + 60)
        assert within <= per_minute + size + 1e-6


def test_an_amount_larger_than_the_bucket_is_paid_off_afterwards() -> None:
    time = Time()

    async def main() -> None:
        bucket = Bucket(600, time, time.sleep)  # 10 a second
        await bucket.take(100)
        await bucket.take(10)

    on_its_own_loop(main)
    assert time.now == pytest.approx(10.0)


def test_settling_gives_back_what_was_not_used() -> None:
    time = Time()

    async def main() -> None:
        bucket = Bucket(600, time, time.sleep)
        await bucket.take(10)
        bucket.settle(10, 4)
        await bucket.take(6)

    on_its_own_loop(main)
    assert time.now == pytest.approx(0.0)


def test_full_jitter_spreads_over_the_whole_wait_and_stops_growing() -> None:
    rng = random.Random(7)
    for attempt, most in ((1, 0.5), (2, 1.0), (4, 4.0), (8, 60.0), (500, 60.0)):
        waits = [backoff(attempt, rng) for _ in range(2000)]
        assert 0 <= min(waits) < 0.05 * most
        assert 0.95 * most < max(waits) <= most
        assert sum(waits) / len(waits) == pytest.approx(most / 2, rel=0.06)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


def ask(server: FaultServer, count: int, time: Time | None = None, budget: Budget | None = None, **more):
    async def main():
        described = {"base_url": server.url, "model": "m", "concurrency": 8} | more
        waits = {"clock": time, "sleep": time.sleep} if time else {}
        async with ChatClient(
            Endpoint.model_validate(described), rng=random.Random(3), budget=budget, **waits
        ) as client:
            asked = [client.complete(Request([{"role": "user", "content": f"p{number}"}])) for number in range(count)]
            return client, await asyncio.gather(*asked, return_exceptions=True)

    return on_its_own_loop(main)


def test_retry_after_holds_everybody_and_is_kept() -> None:
    time = Time()
    with FaultServer(lambda prompt, nth: "429" if nth == 1 else None, retry_after=20) as server:
        _, results = ask(server, 3, time)
    assert all(isinstance(each, Completion) and each.attempts == 2 for each in results)
    assert time.now >= 20


def test_who_asks_to_wait_for_an_hour_is_asked_in_the_next_run() -> None:
    time = Time()
    with FaultServer(lambda prompt, nth: "429", retry_after=3600) as server:
        _, results = ask(server, 1, time)
    assert isinstance(results[0], ModelFailed)
    assert (results[0].kind, results[0].attempts, time.now) == ("rate_limited", 1, 0.0)


def test_requests_a_minute_are_kept_by_the_client() -> None:
    time = Time()
    with FaultServer() as server:
        _, results = ask(server, 31, time, requests_per_minute=60)
    assert all(isinstance(each, Completion) for each in results)
    assert time.now == pytest.approx(30, abs=0.01)


PRICE = Price(input=0.0, output=1000.0)  # 0.1 cent a token


def test_a_budget_is_never_exceeded_and_what_is_under_way_counts_in_full() -> None:
    # An answer has 3 tokens ("answer to p0") and may have 10, a dollar a thousand.
    with FaultServer(latency=0.01) as server:
        client, results = ask(
            server, 40, price=PRICE.model_dump(), budget_usd=0.04, parameters={"max_tokens": 10}, timeout_seconds=5.0
        )
    good = [each for each in results if isinstance(each, Completion)]
    stopped = [each for each in results if isinstance(each, BudgetSpent)]
    assert len(good) + len(stopped) == 40
    assert sum(each.cost_usd for each in good) == pytest.approx(client.spent.spent)
    assert client.spent.spent <= 0.04
    # It used what it could: another answer of the largest size would not have fitted.
    assert client.spent.spent + 10 * PRICE.output / 1e6 > 0.04
    assert "raise budget_usd" in str(stopped[0]).lower()
    assert server.most_under_way <= 4


def test_a_shared_budget_counts_for_all_who_share_it() -> None:
    async def main() -> tuple[Budget, list[object]]:
        budget = Budget(0.02)
        described = {"base_url": server.url, "model": "m", "price": PRICE.model_dump(), "parameters": {"max_tokens": 3}}
        async with (
            ChatClient(Endpoint.model_validate(described), budget=budget) as one,
            ChatClient(Endpoint.model_validate(described), budget=budget) as other,
        ):
            asked = [each.complete(Request([{"role": "user", "content": "p"}])) for each in (one, other) * 8]
            return budget, await asyncio.gather(*asked, return_exceptions=True)

    with FaultServer() as server:
        budget, results = on_its_own_loop(main)
    assert sum(isinstance(each, Completion) for each in results) == 6
    assert sum(isinstance(each, BudgetSpent) for each in results) == 10
    assert budget.spent == pytest.approx(0.018)


def test_what_may_have_been_paid_without_an_answer_counts_against_the_budget() -> None:
    with FaultServer(lambda prompt, nth: "truncated" if nth == 1 else None) as server:
        client, results = ask(server, 1, Time(), price=PRICE.model_dump(), parameters={"max_tokens": 10})
    assert isinstance(results[0], Completion)
    assert results[0].cost_usd == pytest.approx(0.003)
    assert client.spent.spent == pytest.approx(0.013)


def test_a_gateway_says_the_price_where_the_table_has_none() -> None:
    with FaultServer(api="litellm") as server:
        _, results = ask(server, 1, api="litellm")
    assert results[0].cost_usd == pytest.approx(0.0021)
