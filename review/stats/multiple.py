"""Holm over several claims of harm; that all parts hold is an intersection-union test and needs no adjustment."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values, in the order given: those at most alpha hold together at alpha.

    For claims of harm, of which any one is a finding ("a category grew", "this task got worse"). Not for "every part
    is at parity": there each part is tested at alpha, and all must reject (Berger 1982, intersection-union).

    Raises:
        ValueError: If a p value lies outside 0 to 1.

    Source: Holm 1979, Scand J Stat 6:65; statsmodels multipletests(method="holm").
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError(f"p values lie between 0 and 1, got {list(p_values)}")
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted
