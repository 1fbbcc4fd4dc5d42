"""Ways in which such numbers have been published wrong, and that ours do not come out so."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from review.services.agreement import agreement
from review.services.workspace import Workspace
from review.stats.agreement import cohen_kappa
from review.stats.estimate import Estimate, NotEstimable
from tests.agreeing import bring, label, verdict

PAIRS = [f"p{n:02}" for n in range(40)]
WINS = {pair: "old" if n % 4 else "new" for n, pair in enumerate(PAIRS)}
# The judge is wrong on every fifth pair, and those pairs have most labels and votes.
SAID = {pair: ("new" if WINS[pair] == "old" else "old") if n % 5 == 0 else WINS[pair] for n, pair in enumerate(PAIRS)}


def test_a_join_of_labels_with_votes_does_not_multiply_pairs(workspace: Workspace, tmp_path: Path) -> None:
    labels = [
        label(pair, f"r{who}", WINS[pair]) for n, pair in enumerate(PAIRS) for who in range(3 if n % 5 == 0 else 1)
    ]
    votes = [
        verdict(pair, SAID[pair], vote=vote)
        for n, pair in enumerate(PAIRS)
        for vote in range(1, 4 if n % 5 == 0 else 2)
    ]
    bring(workspace, tmp_path, pairs=PAIRS, verdicts=votes, labels=labels)
    row = workspace.database.cursor().execute(
        "SELECT avg((l.preference = v.winner)::INTEGER), count(*) FROM label l JOIN verdict v USING (pair_id)"
    )
    naive, multiplied = row.fetchone() or (None, None)
    assert multiplied == 32 + 8 * 9
    assert naive is not None
    found = agreement(workspace).judges[0].preference
    assert isinstance(found.raw, Estimate)
    assert (found.n, found.raw.value) == (40, 0.8)
    assert abs(naive - 0.8) > 0.4


def kappa(one: list[str], two: list[str], answers: tuple[str, str]) -> float:
    table = np.zeros((2, 2))
    for a, b in zip(one, two, strict=True):
        table[answers.index(a), answers.index(b)] += 1
    found = cohen_kappa(table)
    assert not isinstance(found, NotEstimable)
    return found.value


def test_kappa_is_about_old_and_new_and_not_about_left_and_right(workspace: Workspace, tmp_path: Path) -> None:
    first = {pair: "old" if n % 3 else "new" for n, pair in enumerate(PAIRS)}
    labels = [label(pair, "ana", WINS[pair], shown_first=first[pair]) for pair in PAIRS]
    bring(workspace, tmp_path, pairs=PAIRS, verdicts=[verdict(pair, SAID[pair]) for pair in PAIRS], labels=labels)
    found = agreement(workspace).judges[0].preference.kappa

    def place(answer: str, pair: str) -> str:
        return "left" if answer == first[pair] else "right"

    sides = kappa(
        [place(WINS[pair], pair) for pair in PAIRS], [place(SAID[pair], pair) for pair in PAIRS], ("left", "right")
    )
    true = kappa([WINS[pair] for pair in PAIRS], [SAID[pair] for pair in PAIRS], ("old", "new"))
    assert isinstance(found, Estimate)
    assert abs(found.value - true) < 1e-12
    assert abs(sides - true) > 0.05
