"""The router: cheapest healthy provider, circuit breaking with half-open probes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from review.adapters.router import COOLDOWN, LONGEST_COOLDOWN, THRESHOLD, Router
from review.domain.pipeline import Price, Provider


def provider(name: str, input: float, output: float) -> Provider:
    return Provider(name=name, base_url="http://127.0.0.1:1/v1", model="m", price=Price(input=input, output=output))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def make() -> tuple[Router, Clock]:
    clock = Clock()
    return Router([provider("dear", 3, 15), provider("cheap", 1, 5), provider("middle", 2, 4)], clock), clock


def name(chosen: Provider | None) -> str | None:
    return chosen.name if chosen else None


def test_the_cheapest_for_the_call_at_hand_is_chosen() -> None:
    router, _ = make()
    assert name(router.choose(1000, 100)) == "cheap"  # 1500 against 2400 and 4500
    assert name(router.choose(10, 1000)) == "middle"  # 4020 against 5010
    assert name(router.choose(1000, 100, without={"cheap"})) == "middle"
    assert router.choose(1, 1, without={"cheap", "middle", "dear"}) is None


def test_equal_prices_go_by_the_order_of_the_configuration() -> None:
    router = Router([provider("b", 1, 1), provider("a", 1, 1)], Clock())
    assert name(router.choose(10, 10)) == "b"


def test_a_provider_that_keeps_failing_is_left_alone_and_probed_once() -> None:
    router, clock = make()
    for _ in range(THRESHOLD):
        assert name(router.choose(1000, 100)) == "cheap"
        router.failed("cheap")
    assert name(router.choose(1000, 100)) == "middle"
    assert router.state()["cheap"] == "open"
    clock.now = COOLDOWN
    assert name(router.choose(1000, 100)) == "cheap"  # the probe
    assert router.state()["cheap"] == "half-open"
    assert name(router.choose(1000, 100)) == "middle"  # nobody else while it is under way
    router.failed("cheap")
    clock.now += 1.9 * COOLDOWN
    assert name(router.choose(1000, 100)) == "middle"  # twice as long now
    clock.now += 0.1 * COOLDOWN
    assert name(router.choose(1000, 100)) == "cheap"
    router.succeeded("cheap")
    assert router.state()["cheap"] == "closed"
    assert [name(router.choose(1000, 100)) for _ in range(3)] == ["cheap"] * 3


def test_success_in_between_forgets_failures_and_a_wrong_key_opens_at_once() -> None:
    router, _ = make()
    for _ in range(3 * THRESHOLD):
        router.failed("cheap")
        router.succeeded("cheap")
    assert router.state()["cheap"] == "closed"
    router.failed("cheap", for_good=True)
    assert router.state()["cheap"] == "open"
    assert not router.hopeless()
    for name_ in ("middle", "dear"):
        router.failed(name_, for_good=True)
    assert router.hopeless()
    assert not router.healthy()
    router.succeeded("dear")
    assert router.healthy()
    assert not router.hopeless()


def test_a_probe_that_says_nothing_leaves_room_for_the_next() -> None:
    router, clock = make()
    router.failed("cheap", for_good=True)
    clock.now = COOLDOWN
    assert name(router.choose(1000, 100)) == "cheap"
    router.released("cheap")
    assert name(router.choose(1000, 100)) == "cheap"


def test_how_long_until_somebody_may_be_asked() -> None:
    router, clock = make()
    assert router.wait() == 0
    for each in ("cheap", "middle", "dear"):
        router.failed(each, for_good=True)
        clock.now += 1
    assert router.choose(1, 1) is None
    assert router.wait() == COOLDOWN - 3
    assert router.wait(without={"cheap"}) == COOLDOWN - 2
    assert router.wait(without={"cheap", "middle", "dear"}) is None


@given(st.lists(st.sampled_from(["fail", "succeed", "release", "wait"]), max_size=60))
def test_a_breaker_never_stays_shut_for_ever(events: list[str]) -> None:
    clock = Clock()
    router = Router([provider("only", 1, 1)], clock)
    for event in events:
        if event == "wait":
            clock.now += COOLDOWN
        elif router.choose(1, 1) is not None:
            {"fail": router.failed, "succeed": router.succeeded, "release": router.released}[event]("only")
    clock.now += LONGEST_COOLDOWN
    assert name(router.choose(1, 1)) == "only"
