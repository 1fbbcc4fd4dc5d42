"""How many of each stratum a round takes, and which: proportional, at least two, without replacement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MINIMUM = 2


def too_small(counts: Sequence[int], size: int, minimum: int = MINIMUM) -> list[int]:
    """Positions of the strata to merge into one, so that every stratum can give `minimum` of `size` units.

    The smallest go first: those that hold fewer than `minimum`, then as many as it takes to make room. A merged
    stratum that is still too small takes the next smallest in.
    """
    order = sorted(range(len(counts)), key=lambda at: (counts[at], at))
    merged = [at for at in order if counts[at] < minimum]
    if len(merged) < len(order) and (len(merged) == 1 or 0 < sum(counts[at] for at in merged) < minimum):
        merged.append(order[len(merged)])
    while len(merged) < len(order) and minimum * _strata_after(len(order), len(merged)) > size:
        merged.append(order[len(merged)])
    return merged if len(merged) > 1 else []


def _strata_after(strata: int, merged: int) -> int:
    return strata - merged + (merged > 0)


def allocate(counts: Sequence[int], size: int, minimum: int = MINIMUM) -> list[int]:
    """Units a stratum, summing to min(size, sum(counts)): proportional to `counts`, at least `minimum` each.

    A stratum that holds fewer than `minimum` gives all it has; where `size` does not allow `minimum` everywhere, the
    largest give way.
    """
    total = sum(counts)
    size = min(size, total)
    if size == 0:
        return [0] * len(counts)
    quota = [size * count / total for count in counts]
    least = [min(minimum, count) for count in counts]
    if sum(least) > size:
        least = [0] * len(counts)
    drawn = [min(count, max(low, int(share))) for count, low, share in zip(counts, least, quota, strict=True)]
    while sum(drawn) < size:
        drawn[
            max((at for at in range(len(counts)) if drawn[at] < counts[at]), key=lambda at: quota[at] - drawn[at])
        ] += 1
    while sum(drawn) > size:
        drawn[
            max((at for at in range(len(counts)) if drawn[at] > least[at]), key=lambda at: drawn[at] - quota[at])
        ] -= 1
    return drawn


def choose(rng: np.random.Generator, count: int, drawn: int) -> list[int]:
    """`drawn` of the positions 0..count-1, each with probability drawn / count, in random order."""
    return [int(at) for at in rng.permutation(count)[:drawn]]
