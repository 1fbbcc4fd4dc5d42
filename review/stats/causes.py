"""Why a number moved: the inputs shifted, the model changed, the judge changed, or it cannot be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from review.stats.anchors import Changed as AnchorVotes
from review.stats.estimate import NotEstimable, Result
from review.stats.stability import Stability

Cause = Literal["inputs shifted", "model changed", "judge changed", "undetermined"]
Changed = Literal["changed", "unchanged", "unknown"]


@dataclass(frozen=True)
class Finding:
    """What was found about one possible cause, and why, in a sentence."""

    changed: Changed
    why: str


@dataclass(frozen=True)
class Diagnosis:
    """The cause, and what was found about each of the three."""

    cause: Cause
    why: str
    inputs: Finding
    model: Finding
    judge: Finding

    def to_json(self) -> dict[str, Any]:
        """The diagnosis as plain JSON values."""
        found = {"inputs": self.inputs, "model": self.model, "judge": self.judge}
        return {
            "cause": self.cause,
            "why": self.why,
            **{name: {"changed": each.changed, "why": each.why} for name, each in found.items()},
        }


def diagnose(inputs: Finding, model: Finding, judge: Finding) -> Diagnosis:
    """Name a cause only where it is the one that changed and the other two were looked at and did not.

    | changed | the others | cause |
    |---|---|---|
    | one of them | both unchanged | that one |
    | one of them | at least one unknown | undetermined |
    | two or three | whatever | undetermined |
    | none | whatever | undetermined |
    """
    names: tuple[tuple[Cause, Finding], ...] = (
        ("inputs shifted", inputs),
        ("model changed", model),
        ("judge changed", judge),
    )
    changed: list[Cause] = [name for name, found in names if found.changed == "changed"]
    unknown = [name for name, found in names if found.changed == "unknown"]
    cause: Cause = "undetermined"
    if len(changed) == 1 and not unknown:
        cause = changed[0]
        why = "It is the only one of the three that changed."
    elif len(changed) > 1:
        why = f"More than one thing changed ({', '.join(changed)}), so what each of them did cannot be told apart."
    elif changed:
        why = f"{changed[0].capitalize()}, but this is not known: {', '.join(unknown)}?"
    elif unknown:
        why = f"Nothing that was looked at changed, and this is not known: {', '.join(unknown)}?"
    else:
        why = "Neither inputs, model nor judge changed measurably: chance, or a change too small for these checks."
    return Diagnosis(cause, why, inputs, model, judge)


def of_estimate(result: Result, margin: float, what: str) -> Finding:
    """A finding from a difference with its interval: now minus then on the very same things.

    Changed where 0 lies outside of the interval; unchanged where the whole interval lies within the margin; else it
    is not known, because a small sample that shows nothing says nothing.

    Args:
        result: Of the model: re-run minus archived answers to the same inputs, judged in one sitting. Of the judge:
            its agreement on the anchors now, minus then.
        margin: What would not matter, such as half of the tolerance.
        what: The thing that was measured, as it begins a sentence.
    """
    if isinstance(result, NotEstimable):
        return Finding("unknown", f"{what}: {result.reason}.")
    if not margin > 0:
        raise ValueError(f"a margin is positive, got {margin}")
    said = f"{what} moved by {result.value:+.3f} ({result.low:+.3f} to {result.high:+.3f}, n = {result.n:,})"
    if result.low > 0 or result.high < 0:
        return Finding("changed", f"{said}.")
    if -margin < result.low and result.high < margin:
        return Finding("unchanged", f"{said}, which is within ±{margin:g}.")
    return Finding("unknown", f"{said}: too few to tell a change of {margin:g}.")


def of_votes(
    result: AnchorVotes | NotEstimable, alpha: float = 0.01, cells: int = 50, distance: float = 0.05
) -> Finding:
    """A finding about the judge from its votes on the anchors, then and now (stats.anchors.votes_changed).

    Args:
        result: The permutation test.
        alpha: Changed where p is at most this.
        cells: Unchanged needs at least as many anchors and orders …
        distance: … and votes that are on average no further apart.
    """
    if isinstance(result, NotEstimable):
        return Finding("unknown", f"The judge's votes on the anchors: {result.reason}.")
    said = (
        f"The judge's votes on {result.cells:,} anchors and orders lie {result.distance:.3f} apart (p = {result.p:.3g})"
    )
    if result.p <= alpha:
        return Finding("changed", f"{said}.")
    if result.cells >= cells and result.distance <= distance:
        return Finding("unchanged", f"{said}.")
    return Finding("unknown", f"{said}: too few, or too unsteady, to tell.")


def not_checked(why: str) -> Finding:
    """Nobody looked: there is no archive, no anchor, no endpoint to ask again."""
    return Finding("unknown", why)


@dataclass(frozen=True)
class Parts:
    """A fall of a mean, parted: by other shares of the clusters (`mix`), and within the clusters (`within`)."""

    mix: float
    within: float


def parts(before: Mapping[str, tuple[int, float]], after: Mapping[str, tuple[int, float]]) -> Parts:
    """Part the change of a mean over clusters into mix and within; together they are the whole change.

    mix = sum (w1 - w0) (m0 + m1) / 2, within = sum (w0 + w1) / 2 (m1 - m0). A cluster that is only on one side has no
    mean on the other: its own counts for both, so that it is all mix.

    Args:
        before: By cluster: how many observations, and their mean.
        after: The same of the traffic that is watched.

    Source: Kitagawa 1955, JASA 50:1168.
    """
    totals = [sum(count for count, _ in each.values()) for each in (before, after)]
    if min(totals) <= 0:
        raise ValueError("both sides need observations")
    mix = within = 0.0
    for name in {**before, **after}:
        (n0, m0), (n1, m1) = before.get(name, (0, 0.0)), after.get(name, (0, 0.0))
        m0, m1 = (m0 if n0 else m1), (m1 if n1 else m0)
        w0, w1 = n0 / totals[0], n1 / totals[1]
        mix += (w1 - w0) * (m0 + m1) / 2
        within += (w0 + w1) / 2 * (m1 - m0)
    return Parts(mix, within)


def of_inputs(stability: Stability | NotEstimable, parted: Parts | None) -> Finding:
    """A finding about the inputs: changed where the shares shifted and that carries most of the fall.

    Args:
        stability: From stability.psi().
        parted: Of the difference between old and new, by cluster; None where it is not known by cluster.
    """
    if isinstance(stability, NotEstimable):
        return Finding("unknown", f"Shares of the clusters: {stability.reason}.")
    chance = f"chance alone gives {stability.by_chance:.3f}"
    said = f"Shares of the clusters moved by a stability index of {stability.psi:.3f} ({chance})"
    if stability.verdict == "too few":
        return Finding("unknown", f"{said}: too few traces to tell a shift.")
    if stability.verdict == "stable":
        return Finding("unchanged", f"{said}.")
    if parted is None:
        return Finding("unknown", f"{said}; what each cluster's difference was before is not known.")
    carried = f"of {parted.mix + parted.within:+.3f}, other shares carry {parted.mix:+.3f}"
    if parted.mix < 0 and parted.mix <= parted.within:
        return Finding("changed", f"{said}; {carried}.")
    return Finding("unchanged", f"{said}; but {carried}, so the shift does not explain it.")
