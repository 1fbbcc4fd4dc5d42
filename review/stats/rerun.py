"""Do a model and a judge that are asked archived things again still say what they said? No truth is needed for that."""

from __future__ import annotations

import math
from dataclasses import dataclass

from review.stats.causes import Finding, of_estimate
from review.stats.estimate import Estimate

# A model that does not change is accused in one alert of a hundred.
ALPHA = 0.01
LEVEL = 0.95
# Inputs: fewer say nothing, and more are not paid for.
FEWEST, MOST = 40, 200


@dataclass(frozen=True)
class Rerun:
    """What came of asking again, over distinct inputs.

    Attributes:
        n: Inputs that were asked again.
        moved: Of them, those whose fresh answer is not the archived one; no answer at all is one of these.
        lost: Fresh answers that the judge finds worse than the archived ones, in one sitting; None: none was asked.
        won: And better.
        archived_odd: With two fresh answers: those are the same, and the archived one is not; None: not asked twice.
        fresh_odd: With two fresh answers: the archived one and one of them are the same, and the other is not.
    """

    n: int
    moved: int
    lost: int | None = None
    won: int | None = None
    archived_odd: int | None = None
    fresh_odd: int | None = None


def inputs_for(margin: float) -> int:
    """How many inputs to ask again, so that no change among them rules out one of `margin`: FEWEST to MOST."""
    if not margin > 0:
        raise ValueError(f"a margin is positive, got {margin}")
    tail = (1 - LEVEL) / 4
    wanted = math.ceil(math.log(tail) / math.log1p(-min(margin, 0.5))) + 1
    return max(FEWEST, min(MOST, wanted))


def of_rerun(found: Rerun, margin: float, what: str) -> Finding:
    """A finding about the model; the first of these rules that says something.

    | asked | changed | unchanged |
    |---|---|---|
    | once | – | the upper 97.5 % limit of the share of moved answers lies below the margin |
    | a judge | the interval of (won - lost) / n lies below 0 | it lies within the margin |
    | twice | the archived answer is the odd one out too often, p <= ALPHA, by a share of the margin at least | – |

    How good the answers are cannot have moved by more than the share of answers that are others. A judge that sees
    archived and fresh answer side by side, in both orders, prefers neither on average while both come from one model,
    however much that varies. Without a judge the model's own variation decides: three answers of one model to one input
    are exchangeable, so where exactly two are the same, the odd one is the archived one in a third of the cases.

    Args:
        found: What came of asking again.
        margin: A change that would not explain what was seen, such as half of the fall.
        what: Whose inputs these were, as it begins a sentence.

    Source: Clopper & Pearson 1934, lost and won at half of the error each (Bonferroni); the triangle test, Bengtsson
    1953, and its binomial null of 1/3.
    """
    if found.n < FEWEST:
        return Finding("unknown", f"{what}: {found.n} could be asked again, {FEWEST} are needed.")
    said = f"{what}: {found.moved} of {found.n} answers are others than they were"
    if (upper := _limits(found.moved, found.n, 1 - LEVEL)[1]) < margin:
        return Finding("unchanged", f"{said} (at most {upper:.1%}, and {margin:.1%} or more would matter).")
    if found.lost is not None and found.won is not None:
        return _by_judge(found.lost, found.won, found.n, margin, said)
    if found.archived_odd is not None and found.fresh_odd is not None:
        return _by_noise(found.archived_odd, found.fresh_odd, found.n, margin, said)
    return Finding("unknown", f"{said}, and nobody can say whether that is more than chance.")


def pairs_for(margin: float) -> int:
    """How many pairs to judge again; see of_rejudged."""
    return inputs_for(margin / 2)


def of_rejudged(lost: int, won: int, n: int, margin: float) -> Finding:
    """A finding about the judge: its verdicts on archived pairs now, against those of then.

    While the judge is the same, a verdict moves up as often as down, however much it varies. Changed: the interval of
    (won - lost) / n lies below 0. A verdict can move by 2, from new to old, so unchanged is within half of the margin.

    Args:
        lost: Pairs whose verdict is worse for new now.
        won: And better.
        n: Pairs with a verdict of both times, one a prompt.
        margin: A change of the mean score that would not explain what was seen.
    """
    said = f"Of {n} archived pairs the judge now judges {lost} worse for new and {won} better"
    if n < FEWEST:
        return Finding("unknown", f"{said}; {FEWEST} pairs are needed.")
    return _by_judge(lost, won, n, margin / 2, said)


def _by_judge(lost: int, won: int, n: int, margin: float, said: str) -> Finding:
    low_won, high_won = _limits(won, n, (1 - LEVEL) / 2)
    low_lost, high_lost = _limits(lost, n, (1 - LEVEL) / 2)
    value = (won - lost) / n
    exact = Estimate(value, low_won - high_lost, high_won - low_lost, LEVEL, n, n, "Clopper-Pearson, Bonferroni")
    finding = of_estimate(exact, margin, f"{said}; the share")
    if finding.changed == "changed" and value > 0:
        return Finding("unknown", f"{finding.why} That is for the better, and does not explain a fall.")
    return finding


def _by_noise(archived: int, fresh: int, n: int, margin: float, said: str) -> Finding:
    from scipy.special import bdtrc  # imported here: scipy takes longer to load than a page to draw

    odd = archived + fresh
    p = float(bdtrc(archived - 1, odd, 1 / 3)) if archived else 1.0
    excess = (archived - fresh / 2) / n
    said += (
        f"; asked twice, the archived answer is the odd one of three in {archived} of {odd} cases "
        f"(p = {p:.3g}, a third is chance)"
    )
    if p <= ALPHA and excess >= margin:
        return Finding("changed", f"{said}.")
    return Finding("unknown", f"{said}: no change that would explain the fall can be told from the model's own noise.")


def _limits(count: int, n: int, error: float) -> tuple[float, float]:
    """Clopper-Pearson, two-sided."""
    from scipy.special import betaincinv  # as above

    low = float(betaincinv(count, n - count + 1, error / 2)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - error / 2)) if count < n else 1.0
    return low, high
