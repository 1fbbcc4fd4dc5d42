"""False alarms over simulated years of hourly looks, and delays, of the drift detectors and of a daily fixed-n test.

    python -m tests.bench.watch_stats [--years N]

Prints JSON. "year" figures are the share of years in which any of five tasks raised an alarm although none got worse.
Seeded: the same N gives the same figures. A thousand years take about two minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from statistics import NormalDist
from typing import Any

import numpy as np

from review.stats.delay import LOOKS, Alarms, Paired, expected_delay, plan, simulate
from review.stats.edetector import Plan, rate_floor, split
from review.stats.intervals import Floats
from review.stats.stability import Stability, psi

TASKS, PER_DAY, ALPHA = 5, 200.0, 0.05
CASES = ((0.015, 0.1), (0.015, 0.03), (0.03, 0.1), (0.03, 0.03), (0.05, 0.1))


def years_with(alarms: Floats) -> float:
    """The share of years in which any of the tasks alarmed; streams are TASKS to the year."""
    return float(np.isfinite(alarms).reshape(-1, TASKS).any(axis=1).mean())


def told(alarms: Alarms) -> dict[str, float]:
    return {
        "year": years_with(alarms.either),
        "e_detector": years_with(alarms.wealth),
        "cusum": years_with(alarms.fast),
    }


def false_alarms(tolerance: float, discordance: float, years: int, rng: np.random.Generator) -> dict[str, Any]:
    """Years of hourly looks: nothing changed, and exactly at the edge of the null; fewer years with a wrong plan."""
    traffic = Paired(discordance)
    watched = plan(tolerance, traffic, PER_DAY, split(ALPHA, TASKS))
    laws = {
        "at_the_edge": (years, traffic.law(tolerance / 2)),
        "no_drift": (years, traffic.law(0.0)),
        "at_the_edge_with_twice_the_discordance": (years // 2, Paired(min(1.0, 2 * discordance)).law(tolerance / 2)),
    }
    found: dict[str, Any] = {"tolerance": tolerance, "discordance": discordance, "cusum_limit": watched.fast_limit}
    for name, (count, law) in laws.items():
        alarms = simulate(watched, law, law, PER_DAY, streams=TASKS * max(1, count), rng=rng)
        found[name] = {"years": max(1, count), **told(alarms)}
        tell(f"{tolerance} {discordance} {name} {found[name]}")
    return found


def tell(line: str) -> None:
    """Where it is, on standard error."""
    print(line, file=sys.stderr, flush=True)


def unpaired(years: int, rng: np.random.Generator, rate: float = 0.9, old_traces: int = 2000) -> dict[str, Any]:
    """Old's rate estimated anew for each stream from 2,000 traces; 0.015 tolerance, new exactly at the edge."""
    tolerance, streams = 0.015, TASKS * years
    shares = split(ALPHA, TASKS, floor=0.5)
    seen = rng.binomial(old_traces, rate, streams)
    floors = {count: rate_floor(np.repeat([0.0, 1.0], [old_traces - count, count]), shares[2]) for count in set(seen)}
    under = np.array([floors[count] for count in seen])
    bets = plan(tolerance, Paired(0.1), PER_DAY, shares)
    watched = Plan(bets.null, bets.bets, bets.fast, *shares[:2], math.log(LOOKS / shares[1]))
    found: dict[str, Any] = {"old_rate": rate, "old_traces": old_traces}
    for name, floor in (("floor", under), ("taken_for_known", seen / old_traces)):
        for case, drift in (("no_drift", 0.0), ("at_the_edge", tolerance / 2)):
            law = (np.stack([-floor, 1 - floor], axis=1), np.array([1 - rate + drift, rate - drift]))
            alarms = simulate(watched, law, law, PER_DAY, streams=streams, rng=rng)
            found.setdefault(name, {})[case] = years_with(alarms.either)
    return found


def fixed_n(tolerance: float, discordance: float, years: int, rng: np.random.Generator) -> dict[str, Any]:
    """A one-sided 5 % z test of the last n values, n for 80 % power at one tolerance, looked at every day.

    `same_promise` is the same test with the critical value that keeps 5 % of years at the edge of the null, over all
    tasks, and with the window (n times 1, 2, 3 or 4) that finds a drift soonest then.
    """
    z, power = NormalDist().inv_cdf(1 - ALPHA), NormalDist().inv_cdf(0.8)
    n = (z + power) ** 2 * discordance / (tolerance / 2) ** 2
    window = max(1, math.ceil(n / PER_DAY))

    def statistics(days: int, before: float, after: float, change: int, streams: int) -> Floats:
        counts = [np.empty((streams, change + 365)) for _ in range(2)]
        for start, end, drift in ((0, change, before), (change, change + 365, after)):
            chances = Paired(discordance).law(drift)[1]
            for count, chance in zip(counts, (chances[0], chances[2]), strict=True):
                count[:, start:end] = rng.poisson(chance * PER_DAY, (streams, end - start))
        minus, plus = (np.cumsum(np.pad(each, ((0, 0), (1, 0))), axis=1) for each in counts)
        lost, won = (each[:, days:] - each[:, :-days] for each in (minus, plus))  # full windows alone are looked at
        size = days * PER_DAY
        return (won - lost + size * tolerance / 2) / np.sqrt(np.maximum(won + lost, 1))

    def delay(days: int, critical: float) -> float:
        found = statistics(days, 0.0, tolerance, days, 1000) < -critical
        first = np.where(found.any(axis=1), found.argmax(axis=1), np.inf)
        return float(np.quantile(first[first > 0], 0.5, method="higher"))

    found: dict[str, Any] = {"n": round(n), "window_days": window}
    for case, drift in (("no_drift", 0.0), ("at_the_edge", tolerance / 2)):
        alarmed = (statistics(window, drift, drift, window, TASKS * years) < -z).any(axis=1)
        year = float(alarmed.reshape(-1, TASKS).any(axis=1).mean())
        found[case] = {"year": year, "task": float(alarmed.mean())}
    found["delay_median_days"] = delay(window, z)
    kept: list[tuple[float, int, float]] = []
    for days in (window, 2 * window, 3 * window, 4 * window):
        lowest = statistics(days, tolerance / 2, tolerance / 2, days, TASKS * years).min(axis=1)
        critical = -float(np.quantile(lowest.reshape(-1, TASKS).min(axis=1), ALPHA))
        kept.append((delay(days, critical), days, critical))
    soonest, days, critical = min(kept)
    found["same_promise"] = {"delay_median_days": soonest, "window_days": days, "critical_z": round(critical, 2)}
    tell(f"{tolerance} {discordance} {found}")
    return found


def delays(tolerance: float, discordance: float) -> dict[str, Any]:
    """Days to an alert after four quiet weeks, by how large the drift is."""
    traffic = Paired(discordance)
    watched = plan(tolerance, traffic, PER_DAY, split(ALPHA, TASKS))
    found: dict[str, Any] = {}
    for times in (1, 2, 4):
        one = expected_delay(watched, traffic, times * tolerance, PER_DAY, streams=400)
        found[f"{times}_tolerances"] = one.to_json()
    tell(f"{tolerance} {discordance} {found}")
    return found


def shares_of_clusters(rng: np.random.Generator) -> dict[str, Any]:
    """How often small samples of unchanged shares are called shifted: the usual rule, and ours at one look."""
    shares = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.04, 0.03, 0.02, 0.01])
    found: dict[str, Any] = {}
    for n in (60, 200, 1000):
        usual = ours = 0
        for _ in range(500):
            counts = [rng.multinomial(size, shares).tolist() for size in (2000, n)]
            before, after = (dict(zip("abcdefghij", each, strict=True)) for each in counts)
            one = psi(before, after)
            if isinstance(one, Stability):
                usual, ours = usual + (one.psi > 0.1), ours + (one.verdict == "shifted")
        found[str(n)] = {"above_0.1": usual / 500, "shifted": ours / 500}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=1000)
    years = parser.parse_args().years
    rng = np.random.default_rng(20260304)
    print(
        json.dumps(
            {
                "years": years,
                "tasks": TASKS,
                "per_day": PER_DAY,
                "false_alarms": [
                    false_alarms(*CASES[0], years, rng),
                    false_alarms(*CASES[3], years // 4, rng),
                ],
                "unpaired": unpaired(max(1, years // 10), rng),
                "fixed_n": [
                    {"tolerance": one, "discordance": two, **fixed_n(one, two, max(1, years // 4), rng)}
                    for one, two in CASES
                ],
                "delays": [{"tolerance": one, "discordance": two, **delays(one, two)} for one, two in CASES],
                "psi": shares_of_clusters(rng),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
