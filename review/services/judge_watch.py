"""What to warn about when machines judge: a judge that changed, and judges that are kin to whom they judge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from review.domain.frame import family
from review.domain.pipeline import Judges
from review.services.workspace import Workspace
from review.stats.anchors import Changed, fewest_moves, votes_changed
from review.stats.estimate import NotEstimable
from review.stats.intervals import Ints
from review.store import judging as store

# A judge that does not change is accused in one run of a hundred.
ALPHA = 0.01
_MORE = "Three votes see every kind of change; 60 anchors see smaller moves one way."
_ONE_WAY = ", more of them one way than the other"
_SIDES = ("old", "new")
_WINNERS = ("old", "new", "tie", None)


@dataclass(frozen=True)
class Drift:
    """A judge's newest run on the anchors against its first.

    Attributes:
        judge: Its name.
        anchors: Pairs judged in both runs.
        runs: Runs with this judge.
        result: The test, or why there is none.
    """

    judge: str
    anchors: int
    runs: int
    result: Changed | NotEstimable

    @property
    def changed(self) -> bool:
        return isinstance(self.result, Changed) and self.result.p <= ALPHA


def drifts(workspace: Workspace) -> list[Drift]:
    """Every judge with two runs or more over the anchor set."""
    runs: dict[str, dict[str, dict[str, Ints]]] = {}
    for row in store.anchor_votes(workspace.database.cursor()):
        pairs = runs.setdefault(row["judge"], {}).setdefault(row["run_id"], {})
        votes = pairs.setdefault(row["pair_id"], np.zeros((2, 4), dtype=np.int64))
        votes[_SIDES.index(row["shown_first"]), _WINNERS.index(row["winner"])] += 1
    found: list[Drift] = []
    for judge, by_run in sorted(runs.items()):
        if len(by_run) < 2:
            continue
        # Pairs that joined the set later have their first run as reference.
        first: dict[str, Ints] = {}
        *earlier, newest = by_run.values()
        for pairs in earlier:
            first = pairs | first
        both = sorted(first.keys() & newest.keys())
        result = (
            votes_changed(
                np.stack([first[pair] for pair in both]),
                np.stack([newest[pair] for pair in both]),
                np.random.default_rng(len(by_run)),
            )
            if both
            else NotEstimable("no anchor pair was judged in both runs")
        )
        found.append(Drift(judge, len(both), len(by_run), result))
    return found


def weak_anchors(judges: Judges) -> str | None:
    """What the configured anchors cannot show, as a sentence; None where each anchor has two votes in one order.

    With fewer, only votes that move one way tell a change (stats.anchors.votes_changed).
    """
    votes = judges.anchors * judges.votes
    if not votes or judges.votes > 2 or not judges.providers:
        return None
    least = fewest_moves(ALPHA)
    said = (
        f"with judges.votes {judges.votes} a judge that changed shows on its anchors only where its votes move one way"
    )
    if votes < least:
        return (
            f"{said}, at least {least} of them, and judges.anchors {judges.anchors} has {votes}: it never shows. "
            + _MORE
        )
    return f"{said}, at least {least} of {votes} ({100 * least / votes:.0f} %). " + _MORE


def warnings(workspace: Workspace) -> list[str]:
    """Sentences for people; names in them come from outside."""
    told = [
        f"{each.judge} judges the {each.anchors} anchor pairs otherwise than in its first run: "
        f"{100 * each.result.distance:.0f} % of its votes moved{_ONE_WAY if each.result.one_way else ''}, which chance "
        f"alone does in {_chance(each.result.p)}. "
        "Do not compare its verdicts over time before people have checked it."
        for each in drifts(workspace)
        if each.changed and isinstance(each.result, Changed)
    ]
    kin: dict[tuple[str, str], set[str]] = {}
    for row in store.judges_and_models(workspace.database.cursor()):
        own, other = family(row["served"]), family(row["model"])
        if own is not None and own == other:
            kin.setdefault((row["judge"], own), set()).add(row["side"])
    for (judge, name), sides in sorted(kin.items()):
        whom = " and ".join(sorted(sides, reverse=True))
        told.append(
            f"{judge} is of the same family ({name}) as the {whom} model that it judges. Judges tend to prefer "
            "their kin: look at its agreement with people before you trust it."
        )
    return told


def _chance(p: float) -> str:
    return "fewer than one run in 1,000" if p < 0.001 else f"{100 * p:.1f} % of runs"
