"""A judge's agreement over the whole frame: labels weighted by how likely their pairs were to be labelled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from review.services.facts import Facts, Rules, compare_with_people
from review.services.population import Population
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import Floats, compact
from review.stats.weighted import hajek


@dataclass(frozen=True)
class PopulationAgreement:
    """The raw agreement with people on the preference, for all pairs that could be drawn.

    Attributes:
        rate: Weighted by 1 / (probability of a label x labels on the pair); Hájek, with finite-population correction.
        unweighted: The plain share of the same rows.
        of: What `rate` is a rate of, in words.
        pairs: How many pairs that are.
        uncovered: How many of them lie in strata in which nobody has labelled a pair.
        reason: Why both figures differ, or why there is no weighted one.
    """

    rate: Result
    unweighted: float | NotEstimable
    of: str
    pairs: int
    uncovered: int
    reason: str

    def to_json(self) -> dict[str, object]:
        """The figures as plain JSON values."""
        plain = self.unweighted
        return {
            "raw": self.rate.to_json(),
            "unweighted": plain.to_json() if isinstance(plain, NotEstimable) else plain,
            "of": self.of,
            "pairs": self.pairs,
            "uncovered": self.uncovered,
            "reason": self.reason,
        }


def weighted_agreement(facts: Facts, judge: int, rules: Rules, frame: Population) -> PopulationAgreement:
    """The agreement of one judge with people over the frame's disagreements and, where they were audited, judged ties.

    Adjudications, surplus labels and hidden repeats do not count here: nobody drew them.

    Args:
        facts: Labels and verdicts.
        judge: The judge's index.
        rules: As for agreement().
        frame: The population that the labels speak for.
    """
    part = replace(facts, labels=facts.labels.only(~facts.labels.adjudication))
    compared = compare_with_people(part, judge, "preference", rules)
    if not len(compared.pair):
        return _none("no pair has both a label of a person and a verdict of this judge")
    undrawn = int(np.count_nonzero(~frame.designed[np.unique(compared.pair)]))
    if undrawn:
        return _none(
            f"{undrawn:,} labelled pairs belong to no drawn round (imported labels), so how likely they were to be "
            "labelled is unknown and nothing can be weighted; the figures are about the labelled pairs"
        )
    inside = frame.inside[compared.pair] & (frame.kind[compared.pair] != Population.IDENTICAL)
    pair = compared.pair[inside]
    if not len(pair):
        return _none("only pairs with identical outputs have labels")
    agrees = (compared.people == compared.judge)[inside].astype(np.float64)
    audited = bool((frame.kind[pair] == Population.JUDGED_TIE).any())
    kinds = [Population.DISAGREEMENT, *([Population.JUDGED_TIE] if audited else [])]
    target = frame.inside & np.isin(frame.kind, kinds)
    weights = frame.weights(pair)
    strata, codes = np.unique(frame.stratum[pair], return_inverse=True)
    units = compact(pair)
    rate = hajek(
        agrees,
        weights / np.bincount(units)[units],
        units,
        strata=codes.astype(np.int64),
        sizes=frame.sizes[strata],
        fpc=True,
        units=units,
        level=rules.level,
        exclusions=compared.excluded,
    )
    return PopulationAgreement(
        rate=rate,
        unweighted=float(agrees.mean()),
        of="all disagreements and judged ties" if audited else "all disagreements",
        pairs=int(target.sum()),
        uncovered=int((target & ~np.isin(frame.stratum, strata)).sum()),
        reason=_reason(weights),
    )


def _reason(weights: Floats) -> str:
    """Why weighting changes the figure."""
    least, most = float(weights.min()), float(weights.max())
    if most < 1.05 * least:
        return f"every labelled pair stands for {most:.1f} pairs, so weighting changes little"
    return (
        f"a labelled pair stands for {least:.1f} to {most:.1f} pairs, because strata were drawn at different rates; "
        "unweighted, the thinly drawn ones count too little"
    )


def _none(reason: str) -> PopulationAgreement:
    """No weighted figure, and why."""
    missing = NotEstimable(reason)
    return PopulationAgreement(missing, missing, "", 0, 0, reason)
