"""A sample of traffic: proportional to strata, a customer's cap, a floor for rare strata, every probability known.

The probability of a trace is the rate of its stratum times the factor of its customer:

    pi = t_h b_c,   t_h = max(r, the least rate <= 1 that meets the floor),   b_c = min(1, cap / sum_h N_hc t_h)

with r such that all probabilities add up to the sample's size. Where every floor can be met these are the probabilities
that are closest to proportional ones (in Kullback-Leibler divergence) among all that keep caps and floors: their first
order conditions are just this form. Where a rare stratum comes from capped customers alone, the cap wins.

The draw keeps these probabilities exactly. Expected counts of stratum x customer are rounded at random, so that each
stratum, each customer and the whole take the whole number below or above what is expected of them, and never less or
more; then as many traces are chosen at random in each cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from review.stats.intervals import Floats, Ints, compact

BITS = 30
UNIT = 1 << BITS  # expected counts are kept as whole multiples of 1 / UNIT, so that nothing is lost in rounding
_TIGHT = 1e-7  # floors are asked for this much higher, so that the grid cannot fall below them
_SWEEPS = 500


@dataclass(frozen=True)
class Design:
    """What is expected of each cell (the traces of one stratum and one customer).

    Attributes:
        units: Expected traces of each cell times UNIT, shape (cells,).
        counts: Traces of each cell, shape (cells,).
        rates: t_h, shape (strata,).
        factors: b_c, shape (customers,).
        size: Traces in the sample.
        cap: The most traces of one customer.
        floor: Traces that each stratum gives at least, where it has them and the cap allows it; at most what was asked.
        short: Strata from which less than the floor is expected, because of the cap.
    """

    units: Ints
    counts: Ints
    rates: Floats
    factors: Floats
    size: int
    cap: int
    floor: int
    short: Ints

    @property
    def pi(self) -> Floats:
        """The inclusion probability of the traces of each cell, shape (cells,)."""
        return self.units / UNIT / self.counts


def size_and_cap(sizes: Ints, customers: Ints, alone: int, wanted: int, share: float) -> tuple[int, int]:
    """The largest sample in which no customer stands for more than their share, and the cap in traces.

    The cap is `share` of the sample, or an even share where there are fewer customers than that takes. A customer with
    little traffic gives all of it; if the others may not fill the rest, the sample is smaller than wanted.

    Args:
        sizes: Different numbers of traces that customers have, shape (k,).
        customers: How many customers have each, shape (k,).
        alone: Traces without a customer; each counts as a customer of its own.
        wanted: Traces wanted.
        share: A customer's largest share of the sample, above 0, at most 1.

    Returns:
        Size and cap; (0, 0) where there are no traces.

    Raises:
        ValueError: If the share is out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share lies above 0 and is at most 1, got {share}")
    everybody = int(customers.sum()) + alone
    target = min(wanted, int(sizes @ customers) + alone)
    if target < 1:
        return 0, 0
    most = _cap(target, share, everybody)
    caps = np.arange(1, most + 1)
    order = np.argsort(sizes)
    small, many = sizes[order], customers[order]
    below = np.searchsorted(small, caps, side="right")
    held = np.concatenate([[0], np.cumsum(small * many)])[below]
    above = int(many.sum()) - np.concatenate([[0], np.cumsum(many)])[below]
    possible = np.minimum(target, held + above * caps + alone)
    allowed = np.maximum(np.floor(share * possible + 1e-9), np.ceil(possible / everybody))
    size = int(possible[allowed >= caps].max())
    return size, _cap(size, share, everybody)


def _cap(size: int, share: float, everybody: int) -> int:
    return max(math.floor(share * size + 1e-9), -(-size // everybody))


def design(counts: Ints, strata: Ints, customers: Ints, size: int, cap: int, floor: int) -> Design:
    """The probabilities of every trace.

    Args:
        counts: Traces of each cell, above 0, shape (cells,).
        strata: The stratum of each cell as a code from 0, shape (cells,).
        customers: The customer of each cell as a code from 0, or -1 for traces of customers who cannot reach the cap;
            shape (cells,). A stratum and a customer have one cell together.
        size: Traces in the sample, at most what the cap allows.
        cap: The most traces of one customer.
        floor: Traces that each stratum gives at least, where it has as many and the cap allows it.

    Raises:
        ValueError: If the cells do not fit, or the cap does not allow the size.
    """
    _check(counts, strata, customers, size, cap)
    cells = _Cells(counts.astype(np.float64), strata, customers, float(cap))
    most, least = int(counts.sum()), int(min(floor, size))
    while least and cells.total(cells.rates(1e-12, least)) > size:
        least -= 1
    rates = np.ones(cells.height) if size == most else cells.solve(size, least)
    factors = cells.factors(rates)
    units = _on_grid(cells, rates, factors, size, cap)
    got = np.bincount(strata, units, cells.height) / UNIT
    asked = np.minimum(floor, np.bincount(strata, counts, cells.height))
    short = np.flatnonzero(got < np.minimum(asked, least) - 1e-9)
    return Design(units, counts, rates, factors, size, cap, least, short)


class _Cells:
    """The table of strata by customers, and what rates and factors make of it."""

    def __init__(self, counts: Floats, strata: Ints, customers: Ints, cap: float) -> None:
        self.counts, self.strata, self.customers, self.cap = counts, strata, customers, cap
        self.height = int(strata.max()) + 1
        self.width = int(customers.max()) + 1
        self.sizes = np.bincount(strata, counts, self.height)
        self.named = customers >= 0

    def taken(self, rates: Floats) -> Floats:
        """Expected traces of each customer before the cap."""
        named = self.named
        held = (self.counts * rates[self.strata])[named]
        return np.bincount(self.customers[named], held, self.width).astype(np.float64)

    def factors(self, rates: Floats) -> Floats:
        return np.minimum(1.0, self.cap / np.maximum(self.taken(rates), 1e-300))

    def total(self, rates: Floats) -> float:
        """Expected traces in all."""
        free = float((self.counts * rates[self.strata])[~self.named].sum())
        return free + float(np.minimum(self.taken(rates), self.cap).sum())

    def rates(self, rate: float, floor: int, start: Floats | None = None) -> Floats:
        """The least rates, at least `rate`, that meet the floor; 1 where none does. They rise sweep by sweep.

        A higher rate of one stratum leaves less of a capped customer for the others, whose rates rise in turn; no rate
        passes 1, so this ends.
        """
        needed = np.minimum(self.sizes, floor + _TIGHT) if floor else np.zeros(self.height)
        rates = np.maximum(np.full(self.height, rate) if start is None else start, rate)
        for _ in range(_SWEEPS):
            weight = np.where(self.named, self.factors(rates)[self.customers], 1.0) if self.width else 1.0
            reach = np.bincount(self.strata, self.counts * weight, self.height)
            higher = np.maximum(rates, np.minimum(1.0, needed / reach))
            if float((higher - rates).max()) < 1e-13:
                break
            rates = higher
        return rates

    def solve(self, size: int, floor: int) -> Floats:
        """The rates that add up to `size`; the total rises with the common rate."""
        low, high = 1e-12, 1.0
        start = self.rates(low, floor)
        if self.total(start) >= size:
            return start
        for _ in range(80):
            middle = math.sqrt(low * high) if low < 1e-3 * high else (low + high) / 2
            rates = self.rates(middle, floor, start)
            if self.total(rates) < size:
                low, start = middle, rates
            else:
                high = middle
            if high - low < 1e-15 * high:
                break
        return self.rates(high, floor, start)


def _check(counts: Ints, strata: Ints, customers: Ints, size: int, cap: int) -> None:
    """Refuse what would give a wrong number."""
    if not len(counts) == len(strata) == len(customers) or not len(counts):
        raise ValueError(f"cells differ: {len(counts)} counts, {len(strata)} strata, {len(customers)} customers")
    if counts.min() < 1 or strata.min() < 0 or customers.min() < -1:
        raise ValueError("a cell has at least one trace, a stratum from 0 and a customer from 0, or -1")
    if len(np.unique(strata * (int(customers.max()) + 2) + customers + 1)) < len(counts):
        raise ValueError("a stratum and a customer have more than one cell together")
    named = customers >= 0
    held = np.bincount(customers[named], counts[named]) if named.any() else np.zeros(1)
    most = int(counts[~named].sum() + np.minimum(held, cap).sum())
    if not 1 <= size <= most:
        raise ValueError(f"the size is {size}; with a cap of {cap} it lies from 1 to {most}")


def _on_grid(cells: _Cells, rates: Floats, factors: Floats, size: int, cap: int) -> Ints:
    """Expected counts as whole units that add up to the size exactly, and to the cap where a customer is at it."""
    factor = np.where(cells.named, factors[cells.customers], 1.0) if cells.width else 1.0
    counts = cells.counts.astype(np.int64)
    units = np.clip(np.rint(cells.counts * rates[cells.strata] * factor * UNIT).astype(np.int64), 1, counts * UNIT)
    order = np.argsort(-units, kind="stable")
    for customer in np.flatnonzero(factors < 1):
        _shift(units, counts, order[cells.customers[order] == customer], cap * UNIT)
    free = ~cells.named if not cells.width else ~cells.named | (factors[cells.customers] >= 1)
    rest = size * UNIT - int(units[~free].sum())
    _shift(units, counts, order[free[order]], rest)
    return units


def _shift(units: Ints, counts: Ints, at: Ints, total: int) -> None:
    """Make the cells `at`, largest first, add up to `total`; what rounding left is a few units."""
    left = total - int(units[at].sum())
    for each in at:
        if left == 0:
            return
        step = min(max(left, 1 - int(units[each])), int(counts[each]) * UNIT - int(units[each]))
        units[each] += step
        left -= step


def round_at_random(units: Ints, strata: Ints, customers: Ints, rng: np.random.Generator) -> Ints:
    """How many traces each cell gives: expected units / UNIT each, the whole number below or above it.

    Strata, customers (other than -1) and the whole take the whole number below or above what is expected of them too.
    Bit by bit, from the lowest: the cells in which the bit is set are paired within each row and each column (slack
    cells make their number even), which makes rings of an even length; along each ring the bit is added and taken away
    in turn, starting with either with equal chance. Each step keeps all expectations and all sums.

    Args:
        units: Expected count of each cell times UNIT, shape (cells,); all together a multiple of UNIT.
        strata: Row of each cell as a code from 0, shape (cells,).
        customers: Column of each cell as a code from 0, -1 for none, shape (cells,).
        rng: Where the chance comes from.

    Source: Doerr 2006, "Generating randomized roundings with cardinality constraints and derandomizations"; Cox 1987
    (JASA 82:520) for controlled rounding.
    """
    height, width = int(strata.max()) + 1, int(customers.max()) + 1
    # A cell without a customer has a column to itself, and its rest in the slack row like any other column.
    columns = np.where(customers >= 0, customers, width + np.arange(len(units)))
    columns = compact(columns)
    wide = int(columns.max()) + 1
    part = units % UNIT
    by_row = -np.bincount(strata, part, height).astype(np.int64) % UNIT
    by_column = -np.bincount(columns, part, wide).astype(np.int64) % UNIT
    rows = np.concatenate([strata, np.arange(height), np.full(wide, height)])
    places = np.concatenate([columns, np.full(height, wide), np.arange(wide)])
    values = np.concatenate([part, by_row, by_column])
    for bit in range(BITS):
        at = np.flatnonzero(values >> bit & 1)
        if len(at):
            values[at] += _signs(rows[at], places[at], rng) << bit
    return units // UNIT + values[: len(units)] // UNIT


def _signs(rows: Ints, columns: Ints, rng: np.random.Generator) -> Ints:
    """+1 or -1 for each edge of a bipartite graph of even degrees, so that they cancel at each node."""
    beside, across = _partners(rows), _partners(columns)
    # Two steps lead from an edge to the next one of the same sign; its partner in the row has the other sign.
    group = _rings(across[beside])
    other = group[beside]
    coins = rng.integers(0, 2, len(rows)) * 2 - 1
    return np.where(group < other, coins[np.minimum(group, other)], -coins[np.minimum(group, other)]).astype(np.int64)


def _rings(following: Ints) -> Ints:
    """The least member of the ring that each element is on, by doubling the step."""
    least, step = np.arange(len(following)), following
    for _ in range(len(following).bit_length()):
        least = np.minimum(least, least[step])
        step = step[step]
    return least.astype(np.int64)


def _partners(codes: Ints) -> Ints:
    """Edges of the same node two by two: the position of each one's partner."""
    order = np.argsort(codes, kind="stable")
    found = np.empty(len(codes), dtype=np.int64)
    found[order[0::2]], found[order[1::2]] = order[1::2], order[0::2]
    return found
