"""From strata and their labels to shares of all traffic: small strata join, unlabelled ones are counted as unknown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from review.stats.intervals import Bools, Floats, Ints

LEAST_ROWS = 2


@dataclass(frozen=True)
class Sample:
    """Labelled rows in strata that all have labels, and what of the traffic no label speaks for.

    Attributes:
        strata: Stratum of each row as a code from 0 without gaps, shape (n,).
        joined: The new code of each old stratum, -1 where no label speaks for it, shape (old strata,).
        shares: Share of all traffic of each stratum, shape (strata,).
        known: Share of all traffic that cannot differ (identical outputs).
        unlabelled: Share of all traffic that can differ and has no label that could have been drawn for it.

    The shares, known and unlabelled add up to 1.
    """

    strata: Ints
    joined: Ints
    shares: Floats
    known: float
    unlabelled: float


def pool(rows: Ints, sizes: Floats, families: Ints, reachable: Bools, known_size: float) -> Sample | None:
    """Join strata that have fewer than two rows with others of their family; None where no stratum has a row.

    A stratum without rows joins when its pairs could have been drawn, because then the rows that were drawn beside
    them speak for them too (a round merges its smallest strata in the same way). Where nothing could be drawn, such
    as judged ties without an audit, the traffic stays unlabelled, and the caller has to reckon with the worst.

    Args:
        rows: Stratum of each labelled row as a code from 0, shape (n,).
        sizes: Traffic of each stratum, shape (strata,).
        families: Strata join only within a family (disagreements, judged ties, known outcomes), shape (strata,).
        reachable: Whether pairs of the stratum could have been drawn, shape (strata,).
        known_size: Traffic that cannot differ.
    """
    counts = np.bincount(rows, minlength=len(sizes))
    if not counts.any():
        return None
    joined = np.full(len(sizes), -1, dtype=np.int64)
    groups: list[float] = []
    for family in np.unique(families):
        members = np.flatnonzero((families == family) & (sizes > 0) & ((counts > 0) | reachable))
        if not counts[members].any():
            continue
        small = _to_join(members, counts)
        for each in members:
            if each not in small:
                joined[each] = len(groups)
                groups.append(float(sizes[each]))
        if small:
            joined[list(small)] = len(groups)
            groups.append(float(sizes[list(small)].sum()))
    total = float(sizes.sum()) + known_size
    shares = np.array(groups) / total
    known = known_size / total
    return Sample(joined[rows], joined, shares, known, max(0.0, 1.0 - known - float(shares.sum())))


def _to_join(members: Ints, counts: Ints) -> set[int]:
    """The strata that become one: those with fewer than LEAST_ROWS, and as many more as that takes."""
    order = sorted((int(each) for each in members), key=lambda each: (counts[each], each))
    small = [each for each in order if counts[each] < LEAST_ROWS]
    while small and int(counts[small].sum()) < LEAST_ROWS and len(small) < len(order):
        small.append(order[len(small)])
    return set(small)
