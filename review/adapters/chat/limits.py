"""How fast, how often and for how much money a server may be asked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from review.errors import BudgetSpent

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]

FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
# A server that asks for more is asked again in the next run.
LONGEST_RETRY_AFTER = 300.0


def backoff(attempt: int, rng: random.Random) -> float:
    """Seconds to wait after the failed attempt number `attempt` (from 1): uniform in 0 … min(60, 0.5 · 2^(attempt-1)).

    Full jitter, because clients that fail together must not come back together.
    Source: Brooker 2015, "Exponential Backoff And Jitter", AWS Architecture Blog.
    """
    return rng.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt - 1, 30)))


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date (RFC 9110).

    None where it says nothing that can be read. A date in the past is 0.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * scale
        except (KeyError, ValueError):
            continue
        if seconds == seconds and seconds != float("inf"):
            return max(0.0, seconds)
    try:
        date = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    moment = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


class Bucket:
    """A token bucket: `per_minute` evenly, and at most one second's worth at once.

    In any minute at most per_minute + max(1, per_minute / 60) are let through, but for a single amount larger than the
    bucket, which passes when the bucket is full and is paid off afterwards. First come, first served.
    """

    def __init__(self, per_minute: float, clock: Clock, sleep: Sleep) -> None:
        self._rate = per_minute / 60
        self._size = max(1.0, self._rate)
        self._level = self._size
        self._clock, self._sleep = clock, sleep
        self._filled = clock()
        self._turn = asyncio.Lock()

    async def take(self, amount: float) -> None:
        """Wait until `amount` may pass."""
        async with self._turn:
            self._fill()
            # Rounding may leave a hair's breadth missing, and a wait for it would never end.
            while (missing := min(amount, self._size) - self._level) > 1e-9:
                await self._sleep(missing / self._rate)
                self._fill()
            self._level -= amount

    def settle(self, taken: float, used: float) -> None:
        """Give back what was taken too much, or take what was taken too little."""
        self._fill()
        self._level = min(self._size, self._level + taken - used)

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._filled) * self._rate)
        self._filled = now


class Budget:
    """Money that may be spent: what is under way counts with the most it can cost.

    Attributes:
        limit: US dollars, or None without a limit.
        spent: on answers, known; and assumed where an attempt failed after the server may have worked.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.spent = 0.0
        self._held = 0.0
        self._under_way = 0
        self._changed = asyncio.Event()

    async def hold(self, worst: float) -> None:
        """Set `worst` dollars aside, and wait while it is only what is under way that stands against it.

        Raises:
            BudgetSpent: it would go beyond the limit even if what is under way came back whole.
        """
        while self.limit is not None and self.spent + self._held + worst > self.limit:
            if self.spent + worst > self.limit or not self._under_way:
                raise BudgetSpent(
                    f"the budget of ${self.limit:g} does not allow another request: ${self.spent:.4f} are spent, and "
                    f"the next may cost up to ${worst:.4f}. Raise budget_usd, or lower max_tokens, and run again; "
                    "what is finished is kept."
                )
            self._changed.clear()
            await self._changed.wait()
        self._held += worst
        self._under_way += 1

    def settle(self, held: float, cost: float) -> None:
        """Release what was held and book what it cost."""
        self._under_way -= 1
        # Sums of floats keep crumbs.
        self._held = self._held - held if self._under_way else 0.0
        self.spent += cost
        self._changed.set()


class Pause:
    """Everybody waits when the server asks one of us to."""

    def __init__(self, clock: Clock, sleep: Sleep) -> None:
        self._clock, self._sleep = clock, sleep
        self._until = 0.0

    def until(self, seconds: float) -> None:
        """No request for so many seconds from now."""
        self._until = max(self._until, self._clock() + seconds)

    async def over(self) -> None:
        """Wait for its end."""
        while (left := self._until - self._clock()) > 0:
            await self._sleep(left)
