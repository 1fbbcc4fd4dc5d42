"""How to watch a stream, and how long an alert will take: plans for stats/edetector.py, made by seeded simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from review.stats.edetector import HOURS, Plan
from review.stats.estimate import NotEstimable
from review.stats.intervals import Floats

LOOKS = int(HOURS)
_WARM_UP = 28 * 24  # hours without a change before the one whose delay is measured
_YEARS = 400
_SEED = 20_260_301


@dataclass(frozen=True)
class Paired:
    """Old and new answer the same inputs. `discordance` is the share of inputs on which one is right and one wrong."""

    discordance: float

    def __post_init__(self) -> None:
        if not 0 < self.discordance <= 1:
            raise ValueError(f"discordance lies in (0, 1], got {self.discordance}")

    def law(self, drift: float) -> tuple[Floats, Floats]:
        """The values -1, 0, 1 and how likely they are when the mean is -drift."""
        moved = max(self.discordance, abs(drift))
        return np.array([-1.0, 0.0, 1.0]), np.array([(moved + drift) / 2, 1 - moved, (moved - drift) / 2])


@dataclass(frozen=True)
class Unpaired:
    """Only new answers; old's `rate` is an estimate, and `floor` the bound below it (edetector.rate_floor)."""

    rate: float
    floor: float

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= self.rate <= 1:
            raise ValueError(f"a floor lies below its rate, got {self.floor} and {self.rate}")

    def law(self, drift: float) -> tuple[Floats, Floats]:
        """The values -floor and 1 - floor and how likely they are when new's rate is rate - drift."""
        wrong = min(1.0, max(0.0, 1 - self.rate + drift))
        return np.array([-self.floor, 1 - self.floor]), np.array([wrong, 1 - wrong])

    def at_null(self, null: float) -> tuple[Floats, Floats]:
        """The same where new's rate is exactly floor + null."""
        return self.law(self.rate - self.floor - null)


Traffic = Paired | Unpaired


def plan(
    tolerance: float,
    traffic: Traffic,
    per_day: float,
    shares: tuple[float, float, float],
    *,
    drift: float | None = None,
    seed: int = _SEED,
) -> Plan:
    """How to watch one stream so that in a year without a change an alarm is as rare as `shares` says.

    The e-detector's promise needs nothing but values in [-1, 1]; the CUSUM's limit is simulated for this traffic.

    Args:
        tolerance: Of the contract; an alarm is due beyond half of it.
        traffic: What differences look like. Take the upper end of what the discordance may be: where it is larger than
            said the CUSUM's chance of a false alarm grows, about in proportion.
        per_day: Values (blocks) a day; the upper end of it, too.
        shares: Of alpha, from edetector.split().
        drift: The one the CUSUM is tuned for; by default one tolerance, unpaired below the floor: nearer ones are
            hidden by what is not known of old.
        seed: Of the simulation; the same gives the same plan.

    Raises:
        ValueError: An argument is out of its range.
    """
    if not 0 < tolerance < 1 or not per_day > 0:
        raise ValueError(f"tolerance lies in (0, 1) and traffic is positive, got {tolerance} and {per_day}")
    null, largest = -tolerance / 2, 0.95 / (1 + tolerance / 2)
    if drift is None:
        drift = tolerance + (traffic.rate - traffic.floor if isinstance(traffic, Unpaired) else 0.0)
    best = best_bet(null, traffic.law(drift), largest)
    bets = _bets(best, largest)
    floor = traffic.floor if isinstance(traffic, Unpaired) else None
    at_null = traffic.at_null(null) if isinstance(traffic, Unpaired) else traffic.law(-null)
    limit = fast_limit(null, best, at_null, per_day, shares[1], seed)
    return Plan(null, bets, bets.index(best), shares[0], shares[1], limit, floor, shares[2])


def best_bet(null: float, law: tuple[Floats, Floats], largest: float) -> float:
    """The bet in (0, largest] whose wealth grows fastest under the law; a small one where none grows."""
    low, high = 1e-3, largest
    for _ in range(60):  # the growth is concave in the bet: follow its slope
        middle = (low + high) / 2
        gap = law[0] - null
        slope = -float((law[1] * gap / (1 - middle * gap)).sum())
        low, high = (middle, high) if slope > 0 else (low, middle)
    return low


def _bets(best: float, largest: float) -> tuple[float, ...]:
    """The best bet and others around it, each twice the one before, up to the largest."""
    around = {best * 2.0**step for step in range(-3, 12) if step == 0 or best * 2.0**step < largest / 1.2}
    return tuple(sorted(around | ({largest} if largest > 1.2 * best else set[float]())))


def fast_limit(
    null: float, bet: float, law: tuple[Floats, Floats], per_day: float, alpha: float, seed: int = _SEED
) -> float:
    """The CUSUM's limit with at most alpha of simulated years at the null above it.

    400 years show how high the largest run of a year is, and how often it passes a moderate height u. From there on the
    wealth of a bet is a supermartingale under the null: the chance to come h - u further is at most exp(u - h) (Ville),
    or it starts again from 0. So P(h) <= P(u) E exp(overshoot) exp(u - h) / (1 - P(u)), and no rare event is simulated.
    P(u) is taken at its upper 99 % limit.
    """
    rng = np.random.default_rng(seed)
    gains = np.log1p(-bet * (law[0] - null))
    runs = np.zeros((LOOKS + 1, _YEARS))
    for look in range(LOOKS):
        counts = rng.poisson(law[1] * (per_day / 24), (_YEARS, len(gains)))
        runs[look + 1] = np.maximum(0.0, runs[look] + counts @ gains)
    # Where hardly anything happens in a year, most runs never leave 0: some height above it is needed.
    height = max(0.5, float(np.quantile(runs.max(axis=0), 0.75)))
    passed = runs >= height
    above = passed.any(axis=0)
    first = runs[passed.argmax(axis=0), np.arange(_YEARS)][above]
    share = _upper(int(above.sum()), _YEARS)
    overshoot = float(np.exp(first - height).mean()) if len(first) else 1.0
    limit = height + math.log(share / (1 - share) * overshoot / alpha)
    # The limit that needs no simulation: one start a look, each with a chance of at most exp(-limit).
    return max(height, min(limit, math.log(LOOKS / alpha)))


def _upper(count: int, n: int) -> float:
    """Clopper and Pearson's upper 99 % limit of a rate."""
    from scipy.special import betaincinv  # imported here: scipy takes longer to load than a page to draw

    return float(betaincinv(count + 1, n - count, 0.99)) if count < n else 1.0


@dataclass(frozen=True)
class Alarms:
    """Hours until the first alarm of each simulated stream, shape (streams,); infinite where none came."""

    either: Floats
    wealth: Floats
    fast: Floats


def simulate(
    watched: Plan,
    before: tuple[Floats, Floats],
    after: tuple[Floats, Floats],
    per_day: float,
    *,
    hours: int = LOOKS,
    change_at: int = 0,
    streams: int = 1000,
    rng: np.random.Generator,
    until_all: bool = False,
) -> Alarms:
    """First alarms of many streams that are looked at every hour; edetector.update(), vectorised over streams.

    Args:
        watched: The plan.
        before: Values, shape (v,) or for each stream its own (streams, v), and probabilities, shape (v,), until
            `change_at`.
        after: The same from then on.
        per_day: Expected values a day; each hour has a Poisson number of them.
        hours: How long each stream is watched.
        change_at: The hour of the change.
        streams: How many streams.
        rng: Where chance comes from.
        until_all: Stop once every stream has alarmed.
    """
    bets = np.array(watched.bets)
    tables = [np.log1p((watched.null - law[0])[..., None] * bets) for law in (before, after)]
    rates = [law[1] * (per_day / 24) for law in (before, after)]
    wealth, run = np.zeros((streams, len(bets))), np.zeros(streams)
    slow, fast = np.full(streams, np.inf), np.full(streams, np.inf)
    stake = 1 / HOURS / len(bets)
    for hour in range(hours):
        later = int(hour >= change_at)
        counts = rng.poisson(rates[later], (streams, len(rates[later])))
        table = tables[later]
        gains = counts @ table if table.ndim == 2 else np.einsum("sv,svk->sk", counts, table)
        wealth = np.minimum((wealth + stake) * np.exp(gains), 1e200)
        run = np.maximum(0.0, run + gains[:, watched.fast])
        slow = np.where(np.isinf(slow) & (wealth.sum(axis=1) >= watched.limit), hour + 1, slow)
        fast = np.where(np.isinf(fast) & (run >= watched.fast_limit), hour + 1, fast)
        if until_all and hour >= change_at and np.isfinite(np.minimum(slow, fast)).all():
            break
    return Alarms(np.minimum(slow, fast), slow, fast)


@dataclass(frozen=True)
class Delay:
    """How long after a drift the alert comes, in days.

    Attributes:
        median: Half of the alerts come sooner.
        late: Nine of ten come sooner; None where fewer do within a year.
        found: Share of drifts that are found within a year.
    """

    median: float
    late: float | None
    found: float

    def to_json(self) -> dict[str, Any]:
        """The delay as plain JSON values."""
        return {"median_days": self.median, "late_days": self.late, "found_in_a_year": self.found}


def expected_delay(
    watched: Plan, traffic: Traffic, drift: float, per_day: float, *, streams: int = 200, seed: int = _SEED
) -> Delay | NotEstimable:
    """What to expect of a plan at this traffic, if new gets worse by `drift` after four quiet weeks.

    Args:
        watched: The plan.
        traffic: What differences look like.
        drift: By how much the mean falls, such as the tolerance; of interest beyond half of it.
        per_day: Values a day.
        streams: How many are simulated; 200 give the median within about a tenth.
        seed: Of the simulation.

    Returns:
        NotEstimable where fewer than half of the drifts are found within a year, with the reason.
    """
    after = traffic.law(drift)
    if float((after[0] * after[1]).sum()) >= watched.null:  # within what is accepted: nothing to simulate
        return NotEstimable(_hopeless(watched, traffic, drift, per_day, 0.0))
    alarms = simulate(
        watched,
        traffic.law(0.0),
        after,
        per_day,
        hours=_WARM_UP + LOOKS,
        change_at=_WARM_UP,
        streams=streams,
        rng=np.random.default_rng(seed),
        until_all=True,
    ).either
    days = (alarms[alarms > _WARM_UP] - _WARM_UP) / 24  # not the one in hundreds that was false and came before
    found = float(np.isfinite(days).mean()) if len(days) else 0.0
    if found < 0.5:
        return NotEstimable(_hopeless(watched, traffic, drift, per_day, found))
    late = float(np.quantile(days, 0.9, method="higher"))
    return Delay(float(np.quantile(days, 0.5, method="higher")), late if math.isfinite(late) else None, found)


def _hopeless(watched: Plan, traffic: Traffic, drift: float, per_day: float, found: float) -> str:
    values, shares = traffic.law(drift)
    mean = float((values * shares).sum())
    if mean >= watched.null:
        if watched.floor is not None:
            least = traffic.rate - watched.floor - watched.null if isinstance(traffic, Unpaired) else 0.0
            return (
                f"old's rate is known from too few answers: only a drift beyond {100 * least:.2g} points lies below "
                "what is certain of it. Let old answer the same inputs, or take more answers of old"
            )
        return f"a drift of {100 * drift:.2g} points is within half of the tolerance, and no alert is due"
    return (
        f"at {per_day:,.0f} a day fewer than half of such drifts ({100 * found:.0f} %) are found within a year: score "
        "more traffic, or accept a wider tolerance"
    )
