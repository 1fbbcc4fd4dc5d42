"""Sample traffic: which traces are replayed, with known probabilities, and which people read in the weekly audit.

The window, its cells and the chosen traces stay at the desk; the design of the sample is computed by whoever asks.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from review.domain.identity import canonical
from review.domain.pipeline import Replay
from review.errors import BadInput
from review.services.desk import Desk
from review.stats import sampling
from review.stats.sampling import Design
from review.store.samples import UNCLUSTERED, CellRow, Taken

MAX_SEED = 2**63 - 1
# Only so many customers get cells of their own; the next ones send too little to come near the cap.
_CUSTOMERS = 500
# Traces among which one operation chooses, so that each is short and there are few.
_AT_ONCE = 500_000

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class SampleSpec:
    """What to draw.

    Attributes:
        size: traces wanted for the replay.
        seed: makes the sample repeatable.
        window_days: how far back it reaches from the newest trace.
        customer_share: one customer's largest share of the sample.
        minimum_per_cluster: traces that a rare cluster gives at least.
        audit_size: random traces for the weekly human audit.
        synthetic: draw from synthetic traces instead of real ones.
    """

    size: int
    seed: int
    window_days: int = 7
    customer_share: float = 0.05
    minimum_per_cluster: int = 5
    audit_size: int = 50
    synthetic: bool = False

    @classmethod
    def of(cls, replay: Replay, seed: int, **changed: Any) -> SampleSpec:
        """What the configuration says, and what somebody says otherwise (None says nothing)."""
        values: dict[str, Any] = {
            "size": replay.sample_size,
            "window_days": replay.window_days,
            "customer_share": replay.customer_share,
            "minimum_per_cluster": replay.minimum_per_cluster,
            "audit_size": replay.audit_size,
        }
        return cls(seed=seed, **{**values, **{name: value for name, value in changed.items() if value is not None}})


@dataclass(frozen=True)
class DrawnCluster:
    """One stratum of a sample: `drawn` of `frame` traces."""

    stratum: str
    name: str
    frame: int
    drawn: int


@dataclass(frozen=True)
class Sampled:
    """A sample as drawn.

    Attributes:
        sample_id: names it.
        number: counts samples from 1.
        new: it was drawn now; False where the same seed and frame had drawn it before.
        size: traces to replay.
        audit: traces for people to read.
        frame: traces in the window.
        synthetic: they are synthetic.
        notes: what deviates from what was asked, for people.
    """

    sample_id: str
    number: int
    new: bool
    seed: int
    size: int
    audit: int
    frame: int
    frame_hash: str
    window_from: str
    window_to: str
    synthetic: bool
    strata: tuple[DrawnCluster, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The sample as plain JSON values."""
        return asdict(self)


def sample(desk: Desk, spec: SampleSpec, tell: Tell | None = None) -> Sampled:
    """Draw a sample of the window, unless the same seed has drawn it from the same frame before.

    Raises:
        BadInput: the spec is out of range, or there is nothing to draw from.
        Conflict: traces came in or were clustered meanwhile; nothing is kept.
    """
    _check(spec)
    asked = {"window_days": spec.window_days, "synthetic": spec.synthetic}
    frame = desk.ask("sample.frame", asked).document
    if not frame["traces"]:
        raise BadInput(_nothing(spec, frame))
    window = {"from": frame["from"], "to": frame["to"], "synthetic": spec.synthetic}
    sample_id = _sample_id(desk.key, spec, frame["hash"])
    found = desk.ask("sample.read", {"sample_id": sample_id}).document["sample"]
    if found is not None:
        return _sampled(found, new=False)
    histogram = np.array(frame["customers"], dtype=np.int64).reshape(-1, 2)
    size, cap = sampling.size_and_cap(histogram[:, 0], histogram[:, 1], frame["alone"], spec.size, spec.customer_share)
    above = _large(histogram, cap, spec.customer_share)
    cells = [CellRow(*row) for row in desk.ask("sample.cells", {**window, "above": above}).document["cells"]]
    plan, taken = _planned(cells, size, cap, spec)
    _choose(desk, sample_id, spec, window, cells, taken, tell or _quietly)
    strata = _strata(cells, taken)
    drawn = desk.ask(
        "sample.finish",
        {
            "sample_id": sample_id,
            "spec": _stored_spec(spec, plan, cells),
            "window": window,
            "frame_hash": frame["hash"],
            "strata": strata,
            "notes": _notes(spec, frame, cells, plan, strata),
        },
    ).document
    return _sampled(drawn["sample"], new=True)


def _quietly(done: int, total: int) -> None:
    """Tell nobody."""


def _check(spec: SampleSpec) -> None:
    if not 1 <= spec.size <= 1_000_000:
        raise BadInput(f"The size of a sample is {spec.size}; it must be from 1 to 1,000,000 traces.")
    if not 0 <= spec.seed <= MAX_SEED:
        raise BadInput(f"The seed is {spec.seed}; it must be a whole number from 0 to {MAX_SEED}.")
    if not 1 <= spec.window_days <= 3650:
        raise BadInput(f"The window is {spec.window_days} days; it must be from 1 to 3650.")


def _nothing(spec: SampleSpec, frame: Mapping[str, Any]) -> str:
    if frame["others"]:
        if spec.synthetic:
            return "There are no synthetic traces. Write some with `review synthesize`, or leave --synthetic out."
        return "There are only synthetic traces. Pass --synthetic to sample them; they stand for no real traffic."
    return "There are no traces to sample. Import some first: `review import traces FILE`."


def _sample_id(key: bytes, spec: SampleSpec, frame_hash: str) -> str:
    """The same seed, settings and frame are the same sample."""
    said = canonical({**asdict(spec), "frame": frame_hash})
    return "sample-" + hmac.new(key, said.encode(), hashlib.sha256).hexdigest()[:16]


def _large(histogram: np.ndarray[Any, np.dtype[np.int64]], cap: int, share: float) -> int:
    """The number of traces above which a customer gets cells of their own: the cap, or more where very many pass it."""
    most = max(_CUSTOMERS, int(10 / share))
    above, customers = cap, 0
    for traces, count in histogram[np.argsort(-histogram[:, 0])].tolist():
        customers += count
        if traces > cap and customers > most:
            return max(above, traces)
    return above


def _planned(cells: Sequence[CellRow], size: int, cap: int, spec: SampleSpec) -> tuple[Design, list[Taken]]:
    """The design, and what each cell gives in this draw."""
    strata = {name: code for code, name in enumerate(sorted({each.stratum for each in cells}))}
    customers = {name: code for code, name in enumerate(sorted({each.customer for each in cells if each.customer}))}
    rows = np.array([strata[each.stratum] for each in cells], dtype=np.int64)
    columns = np.array([customers[each.customer] if each.customer else -1 for each in cells], dtype=np.int64)
    counts = np.array([each.traces for each in cells], dtype=np.int64)
    plan = sampling.design(counts, rows, columns, size, cap, spec.minimum_per_cluster)
    drawn = sampling.round_at_random(plan.units, rows, columns, np.random.default_rng(spec.seed))
    taken = [
        Taken(each.stratum, each.customer, int(many), float(pi))
        for each, many, pi in zip(cells, drawn, plan.pi, strict=True)
    ]
    return plan, taken


def _choose(
    desk: Desk,
    sample_id: str,
    spec: SampleSpec,
    window: Mapping[str, Any],
    cells: Sequence[CellRow],
    taken: Sequence[Taken],
    tell: Tell,
) -> None:
    """Have the traces chosen, some strata at a time."""
    asked = {"sample_id": sample_id, "seed": spec.seed, "window": dict(window)}
    frame, done = sum(each.traces for each in cells), 0
    for some, held in _portions(cells, taken):
        desk.ask("sample.take", {**asked, "cells": [[c.stratum, c.customer, c.drawn, c.pi] for c in some]})
        done += held
        tell(done, frame)
    if spec.audit_size:
        desk.ask("sample.audit", {**asked, "size": spec.audit_size, "frame": frame})


def _portions(cells: Sequence[CellRow], taken: Sequence[Taken]) -> Iterator[tuple[list[Taken], int]]:
    """The cells of whole strata, so many that one operation is short, and how many traces they hold."""
    by_stratum: dict[str, list[Taken]] = defaultdict(list)
    held: dict[str, int] = defaultdict(int)
    for cell, each in zip(cells, taken, strict=True):
        by_stratum[cell.stratum].append(each)
        held[cell.stratum] += cell.traces
    portion: list[Taken] = []
    inside = 0
    for name, mine in by_stratum.items():
        if portion and inside + held[name] > _AT_ONCE:
            yield portion, inside
            portion, inside = [], 0
        portion += mine
        inside += held[name]
    yield portion, inside


def _strata(cells: Sequence[CellRow], taken: Sequence[Taken]) -> list[dict[str, Any]]:
    """What each stratum holds and gives."""
    found: dict[str, dict[str, Any]] = {}
    for cell, each in zip(cells, taken, strict=True):
        at = found.setdefault(cell.stratum, {"stratum": cell.stratum, "frame": 0, "drawn": 0})
        at["frame"] += cell.traces
        at["drawn"] += each.drawn
    return list(found.values())


def _stored_spec(spec: SampleSpec, plan: Design, cells: Sequence[CellRow]) -> dict[str, Any]:
    """What was asked for, and what gives the probability of any trace of the window: rate of stratum x factor."""
    strata = sorted({each.stratum for each in cells})
    customers = sorted({each.customer for each in cells if each.customer})
    return {
        **asdict(spec),
        "drawn": plan.size,
        "cap": plan.cap,
        "floor": plan.floor,
        "rates": {name: float(plan.rates[at]) for at, name in enumerate(strata)},
        "factors": {name: float(plan.factors[at]) for at, name in enumerate(customers) if plan.factors[at] < 1},
    }


def _notes(
    spec: SampleSpec,
    frame: Mapping[str, Any],
    cells: Sequence[CellRow],
    plan: Design,
    strata: Sequence[Mapping[str, Any]],
) -> list[str]:
    """What deviates from what was asked, for people."""
    total = int(frame["traces"])
    notes: list[str] = []
    if spec.synthetic:
        notes.append("These traces are synthetic: rates from them say nothing about real traffic.")
    if spec.size > total:
        notes.append(f"{spec.size:,} traces were asked for and the window has {total:,}.")
    if plan.size < min(spec.size, total):
        notes.append(
            f"Only {plan.size:,} are drawn: with more, one customer would stand for more than "
            f"{plan.cap / plan.size:.1%} of the sample. Raise replay.customer_share to take more."
        )
    if frame["customers"] and plan.cap > math.floor(spec.customer_share * plan.size + 1e-9):
        notes.append(
            f"There are so few customers that {spec.customer_share:.1%} each cannot fill a sample: each gives at most "
            f"an even share, {plan.cap:,} traces."
        )
    capped = int((plan.factors < 1).sum())
    if capped:
        sent = _sent(cells)
        largest = max(sent.values()) / total
        notes.append(
            f"{capped:,} customer{'s are' if capped > 1 else ' is'} held to {plan.cap:,} traces; the largest sends "
            f"{largest:.1%} of the window. Weights 1/pi make up for it where a rate is about traffic."
        )
    if plan.floor < spec.minimum_per_cluster:
        notes.append(
            f"A cluster gives at least {plan.floor} and not {spec.minimum_per_cluster} traces: {len(strata)} strata of "
            f"that many do not fit into {plan.size:,}."
        )
    if len(plan.short):
        notes.append(
            f"{len(plan.short)} rare clusters may give fewer than {plan.floor} traces, because they come from "
            "customers at the cap."
        )
    loose = sum(each.traces for each in cells if each.stratum == UNCLUSTERED)
    if loose:
        notes.append(f"{loose:,} of {total:,} traces are in no cluster yet and make a stratum: `review cluster`.")
    if frame["undated"]:
        said = "trace does" if frame["undated"] == 1 else "traces do"
        notes.append(f"{frame['undated']:,} {said} not say when it happened; the time of the import counts.")
    if frame["later"]:
        said = "trace is" if frame["later"] == 1 else "traces are"
        notes.append(f"{frame['later']:,} {said} dated after now and left out.")
    if spec.audit_size > total:
        notes.append(f"The audit has all {total:,} traces of the window instead of {spec.audit_size:,}.")
    return notes


def _sent(cells: Sequence[CellRow]) -> dict[str, int]:
    """Traces of each customer who has cells of their own."""
    sent: dict[str, int] = defaultdict(int)
    for each in cells:
        if each.customer:
            sent[each.customer] += each.traces
    return sent


def _sampled(found: Mapping[str, Any], *, new: bool) -> Sampled:
    strata = tuple(DrawnCluster(**each) for each in found["strata"])
    rest = {name: found[name] for name in _SHOWN}
    return Sampled(**rest, strata=strata, notes=tuple(found["notes"]), new=new)


_SHOWN = (
    "sample_id",
    "number",
    "seed",
    "size",
    "audit",
    "frame",
    "frame_hash",
    "window_from",
    "window_to",
    "synthetic",
)
