"""Watching a stream for a regression: a restarting e-detector and a CUSUM of the same bets, updated batch by batch.

The values are differences new - old in [-1, 1], or passes of new minus a floor under the rate of old. The null is a
mean of at least -tolerance/2, whatever else the stream does. A bet b multiplies its stake by 1 - b (x - null), which
under the null is worth at most 1 on average. State is a few numbers; stats/delay.py makes a Plan and says how long an
alert takes. Proof and figures stand in review/docs/statistics.md, "Drift".
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from review.stats.intervals import Floats

HOURS = 8760.0  # of the year over which the promise is made
_LARGEST_LOG = 690.0  # exp() of it is still a float, and far above every limit

Detector = Literal["e-detector", "cusum"]


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first value is seen.

    Attributes:
        null: The mean that is still accepted: -tolerance/2.
        bets: Shares of the stake, each in (0, 1/(1 + |null|)); the e-detector mixes them all.
        fast: The place in `bets` of the one that the CUSUM uses.
        alpha: Expected false alarms of the e-detector in a year, at most.
        fast_alpha: Chance of a false alarm of the CUSUM in a year, at most.
        fast_limit: The CUSUM's limit, in natural logarithms of wealth, for the traffic it was calibrated for.
        floor: Unpaired watching: the bound below the old rate that is subtracted from each pass; None where paired.
        floor_alpha: The chance that old's rate lies below the floor.
    """

    null: float
    bets: tuple[float, ...]
    fast: int
    alpha: float
    fast_alpha: float
    fast_limit: float
    floor: float | None = None
    floor_alpha: float = 0.0

    def __post_init__(self) -> None:
        if not -1 < self.null <= 0:
            raise ValueError(f"the null lies in (-1, 0], got {self.null}")
        if not self.bets or not all(0 < bet < 1 / (1 - self.null) for bet in self.bets):
            raise ValueError(f"bets lie in (0, {1 / (1 - self.null):.4g}), got {self.bets}")
        if not (0 < self.alpha < 1 and 0 < self.fast_alpha < 1 and 0 <= self.floor_alpha < 1):
            raise ValueError(f"no error rates: {self.alpha}, {self.fast_alpha}, {self.floor_alpha}")
        if not 0 <= self.fast < len(self.bets) or not self.fast_limit > 0:
            raise ValueError(f"no CUSUM: bet {self.fast} of {len(self.bets)}, limit {self.fast_limit}")

    @property
    def limit(self) -> float:
        """The wealth at which the e-detector alarms."""
        return 1 / self.alpha

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return {
            "null": self.null,
            "bets": list(self.bets),
            "fast": self.fast,
            "alpha": self.alpha,
            "fast_alpha": self.fast_alpha,
            "fast_limit": self.fast_limit,
            "floor": self.floor,
            "floor_alpha": self.floor_alpha,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Plan:
        """What to_json() wrote."""
        fields: dict[str, Any] = {**document, "bets": tuple(document["bets"])}
        return cls(**fields)


@dataclass(frozen=True)
class State:
    """Where a stream stands.

    Attributes:
        wealth: The e-detector's wealth by bet.
        run: The CUSUM's logarithm of wealth by bet, 0 where nothing speaks for a change.
        since: By bet, when its run left 0: when what it sees began. None where the run is 0.
        n: Values since the last alarm.
        total: Sum of those values.
        alarms: How many there were.
    """

    wealth: tuple[float, ...]
    run: tuple[float, ...]
    since: tuple[str | None, ...]
    n: int = 0
    total: float = 0.0
    alarms: int = 0

    def to_json(self) -> dict[str, Any]:
        """The state as plain JSON values."""
        return {
            "wealth": list(self.wealth),
            "run": list(self.run),
            "since": list(self.since),
            "n": self.n,
            "total": self.total,
            "alarms": self.alarms,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> State:
        """What to_json() wrote."""
        lists = {name: tuple(document[name]) for name in ("wealth", "run", "since")}
        fields: dict[str, Any] = {**document, **lists}
        return cls(**fields)


@dataclass(frozen=True)
class Alarm:
    """A regression beyond half of the tolerance.

    Attributes:
        by: Which detector said so; the e-detector where both did.
        at: The batch at which it did.
        since: The batch in which what it sees began, as the run of the bet that sees it most clearly says.
        evidence: The wealth over its limit, or the exponential of the run over its own: 1 and more.
        n: Values since the alarm before.
    """

    by: Detector
    at: str
    since: str
    evidence: float
    n: int


def begin(plan: Plan) -> State:
    """A stream of which nothing was seen."""
    size = len(plan.bets)
    return State((0.0,) * size, (0.0,) * size, (None,) * size)


def update(plan: Plan, state: State, values: Sequence[float], at: str, hours: float) -> tuple[State, Alarm | None]:
    """Take in one batch, and restart where it raises an alarm.

    The order of the values inside the batch does not matter, to the last digit.

    Args:
        plan: What the stream is watched with.
        state: Where it stood before.
        values: One for each block (see blocks()): new - old in [-1, 1], or new - plan.floor where old did not answer.
        at: The batch's name, such as its hour as ISO text; comes back in `since`.
        hours: Hours since the batch before: how many starts are due. 1 for a batch an hour. Their sum must not be more
            than the hours that really passed, or the promise is for as much less time.

    Raises:
        ValueError: A value is no number of [-1, 1], `hours` is negative, or the state is of another plan.
    """
    if len(state.wealth) != len(plan.bets):
        raise ValueError(f"the state has {len(state.wealth)} bets and the plan {len(plan.bets)}")
    if not 0 <= hours < math.inf:
        raise ValueError(f"hours must not be negative, got {hours}")
    batch = np.sort(np.asarray(values, dtype=np.float64))
    if not (np.abs(batch) <= 1).all():
        raise ValueError("every value must lie in [-1, 1]")
    gains = log_gains(plan, batch)
    stake = hours / HOURS / len(plan.bets)
    wealth = tuple(
        (before + stake) * math.exp(min(gain, _LARGEST_LOG)) for before, gain in zip(state.wealth, gains, strict=True)
    )
    # min: a product of two large numbers is infinite, and JSON has no infinity.
    wealth = tuple(min(each, math.exp(_LARGEST_LOG)) for each in wealth)
    run = tuple(max(0.0, before + gain) for before, gain in zip(state.run, gains, strict=True))
    since = tuple((begun or at) if now > 0 else None for begun, now in zip(state.since, run, strict=True))
    count, total = state.n + len(batch), state.total + float(batch.sum())
    alarm = _alarm(plan, wealth, run, since, at, count)
    if alarm is None:
        return State(wealth, run, since, count, total, state.alarms), None
    fresh = begin(plan)
    return State(fresh.wealth, fresh.run, fresh.since, alarms=state.alarms + 1), alarm


def log_gains(plan: Plan, values: Floats) -> list[float]:
    """The logarithm of what each bet makes of the values: sum of log(1 - bet (x - null))."""
    return np.log1p(np.outer(plan.bets, plan.null - values)).sum(axis=1).tolist()


def _alarm(
    plan: Plan,
    wealth: tuple[float, ...],
    run: tuple[float, ...],
    since: tuple[str | None, ...],
    at: str,
    n: int,
) -> Alarm | None:
    total = math.fsum(wealth)
    if total >= plan.limit:
        clearest = wealth.index(max(wealth))
        return Alarm("e-detector", at, since[clearest] or at, total / plan.limit, n)
    if run[plan.fast] >= plan.fast_limit:
        over = math.exp(min(run[plan.fast] - plan.fast_limit, _LARGEST_LOG))
        return Alarm("cusum", at, since[plan.fast] or at, over, n)
    return None


def evidence(plan: Plan, state: State) -> float:
    """How far a stream is on its way to an alarm: 0 nothing, 1 an alarm; on the scale of logarithms, for a chart.

    Both detectors have their say; the larger counts.
    """
    total = math.fsum(state.wealth)
    slow = math.log1p(total) / math.log1p(plan.limit)
    return max(slow, state.run[plan.fast] / plan.fast_limit)


def blocks(
    rows: Iterable[tuple[Hashable, float]], seen: AbstractSet[Hashable] = frozenset()
) -> tuple[list[float], set[Hashable]]:
    """One value for each block (conversation, customer or prompt) of a batch: the mean of its rows.

    What shares a prompt or a conversation comes out alike, and counted one by one it would look like evidence many
    times over. `seen` are the blocks that counted already in the same day: they do not count again, whatever they say.

    Returns:
        The values, in the order in which the blocks came, and `seen` with them.
    """
    sums: dict[Hashable, tuple[float, int]] = {}
    for key, value in rows:
        if key not in seen:
            total, count = sums.get(key, (0.0, 0))
            sums[key] = (total + value, count + 1)
    return [total / count for total, count in sums.values()], {*seen, *sums}


def split(alpha: float, streams: int, fast: float = 0.5, floor: float = 0.0) -> tuple[float, float, float]:
    """The shares of one stream in alpha: e-detector, CUSUM, floor under an estimated old rate; together alpha/streams.

    Args:
        alpha: False alarms allowed in a year, over all streams and detectors together.
        streams: How many streams (tasks, or tasks times metrics) can raise an alarm.
        fast: The CUSUM's part of what the floor leaves.
        floor: The floor's part; 0 where old and new answered the same inputs.
    """
    if not 0 < alpha < 1 or streams < 1 or not 0 < fast < 1 or not 0 <= floor < 1:
        raise ValueError(f"cannot split {alpha} over {streams} streams with shares {fast} and {floor}")
    own = alpha / streams
    rest = own * (1 - floor)
    return rest * (1 - fast), rest * fast, own * floor


def rate_floor(values: Floats, alpha: float) -> float:
    """A bound below which the mean of old lies with a chance of at most alpha, for watching without paired answers.

    Exact (Clopper and Pearson) where all values are 0 or 1; else by betting against every smaller mean, in the order
    given. The values must be independent: one for each block.

    Args:
        values: Old's results, shape (n,), in [0, 1].
        alpha: The chance of being wrong.

    Source: Clopper & Pearson 1934; Waudby-Smith & Ramdas 2024, JRSS B 86:1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
    if len(values) == 0:
        return 0.0
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("every value must lie in [0, 1]")
    if ((values == 0) | (values == 1)).all():
        from scipy.special import betaincinv  # imported here: scipy takes longer to load than a page to draw

        passed = int(values.sum())
        return float(betaincinv(passed, len(values) - passed + 1, alpha)) if passed else 0.0
    low, high = 0.0, float(values.mean())
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _against(values, middle) >= -math.log(alpha) else (low, middle)
    return low


def _against(values: Floats, mean: float) -> float:
    """The logarithm of wealth from betting that the mean is above: an equal mixture of 24 fixed bets."""
    bets = np.geomspace(1e-3, 0.95, 24) / max(mean, 0.05)
    logs = np.log1p(np.outer(bets, values - mean)).sum(axis=1)
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).sum()) / len(bets))
