"""Which provider is asked: the cheapest healthy one. A provider that keeps failing is left alone for a while."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from review.domain.pipeline import Provider

# Failures in a row before a provider is left alone.
THRESHOLD = 3
# Seconds until it is tried again; doubled with each failed trial.
COOLDOWN = 5.0
LONGEST_COOLDOWN = 300.0


@dataclass
class _Health:
    failures: int = 0
    cooldown: float = 0.0
    open_until: float | None = None
    probing: bool = False
    for_good: bool = False


class Router:
    """Chooses among providers, by price for the call at hand; equal prices by their order in the configuration.

    A circuit breaker stands before each: closed, everything passes; open after THRESHOLD failures in a row, nothing
    passes until the cooldown is over; then half-open, one call is let through as a probe and closes it or opens it
    for twice as long. Not for several threads at once.
    """

    def __init__(
        self, providers: Sequence[Provider], clock: Callable[[], float], *, cooldown: float = COOLDOWN
    ) -> None:
        self._providers = tuple(providers)
        self._clock = clock
        self._cooldown = cooldown
        self._health = {each.name: _Health() for each in providers}

    def by_price(self, input_tokens: int, output_tokens: int) -> list[Provider]:
        """All providers, the cheapest for such a call first."""
        return sorted(self._providers, key=lambda each: cost(each, input_tokens, output_tokens))

    def choose(self, input_tokens: int, output_tokens: int, without: Collection[str] = ()) -> Provider | None:
        """The cheapest provider that may be asked now; None while there is none.

        Whoever gets one says afterwards succeeded(), failed() or released().
        """
        for provider in self.by_price(input_tokens, output_tokens):
            if provider.name not in without and self._admits(self._health[provider.name]):
                return provider
        return None

    def _admits(self, health: _Health) -> bool:
        if health.open_until is None:
            return True
        if health.probing or self._clock() < health.open_until:
            return False
        health.probing = True
        return True

    def succeeded(self, name: str) -> None:
        """It answered: closed from now on."""
        self._health[name] = _Health()

    def failed(self, name: str, *, for_good: bool = False) -> None:
        """It did not answer; `for_good` (a wrong key, no such model) opens the breaker at once."""
        health = self._health[name]
        health.failures += 1
        health.for_good = for_good
        if health.probing or for_good or health.failures >= THRESHOLD:
            # Calls that were under way when it opened fail too; they are no further trials.
            if health.open_until is None or health.probing:
                health.cooldown = min(health.cooldown * 2 or self._cooldown, LONGEST_COOLDOWN)
                health.open_until = self._clock() + health.cooldown
            health.probing = False

    def released(self, name: str) -> None:
        """The call came to nothing that says anything about its health."""
        self._health[name].probing = False

    def wait(self, without: Collection[str] = ()) -> float | None:
        """Seconds until some provider may be tried; 0 now, None never."""
        waits = [
            max(0.0, health.open_until - self._clock()) if health.open_until is not None else 0.0
            for name, health in self._health.items()
            if name not in without
        ]
        return min(waits, default=None)

    def healthy(self) -> bool:
        """Somebody's breaker is closed."""
        return any(health.open_until is None for health in self._health.values())

    def hopeless(self) -> bool:
        """Nobody will answer, however long one waits: keys or addresses are wrong everywhere."""
        return all(health.for_good for health in self._health.values())

    def state(self) -> dict[str, str]:
        """Each provider's breaker in a word: closed, open or half-open."""
        words: dict[str, str] = {}
        for name, health in self._health.items():
            if health.open_until is None:
                words[name] = "closed"
            else:
                words[name] = "half-open" if health.probing or self._clock() >= health.open_until else "open"
        return words


def cost(provider: Provider, input_tokens: float, output_tokens: float) -> float:
    """US dollars for one call by the price table."""
    return (provider.price.input * input_tokens + provider.price.output * output_tokens) / 1e6
