"""A sample of disagreements weighted back to all pairs, against the golden row about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from review.services.facts import Rules, joined_verdicts, load_facts, people_answers
from review.stats.estimate import Estimate
from review.stats.weighted import hajek, post_stratified, post_stratified_se
from tests.golden.golden_vectors import golden, near
from tests.golden.test_golden_agreement import imported


@golden("pandalm_biased_sample")
def test_pandalm_biased_sample(tmp_path: Path, entry: dict[str, Any]) -> None:
    workspace = imported(tmp_path, "pandalm")
    facts = load_facts(workspace, None)
    pair, people, _ = people_answers(facts, "preference", Rules())
    gpt, other = (
        np.where(codes > 2, 2, codes)  # unparsable counts as a tie
        for codes in (
            joined_verdicts(facts, facts.votes.judges.index(name)).verdict for name in facts.votes.judges[::-1]
        )
    )
    ids = workspace.database.cursor().execute("SELECT rowid, pair_id FROM pair").fetchall()
    number = np.array([int(name.split("-")[1]) for _, name in sorted(ids)])
    workspace.close()
    assert len(pair) == len(number) == 999
    agrees, differ = (gpt == people).astype(np.float64), gpt != other
    assert agrees.mean() == near(entry, "truth")
    drawn = differ | (number % 4 == 0)
    assert (differ.sum(), drawn.sum()) == (308, 484)
    y, strata, pairs = agrees[drawn], (~differ)[drawn].astype(np.int64), pair[drawn]
    sizes, weights = np.array([308.0, 691.0]), np.where(differ[drawn], 1.0, 4.0)
    assert y.mean() == near(entry, "naive")
    weighted = hajek(y, weights, pairs)
    stratified = post_stratified(y, weights, pairs, strata, sizes, fpc=True)
    assert isinstance(weighted, Estimate)
    assert isinstance(stratified, Estimate)
    assert weighted.value == near(entry, "hajek")
    assert stratified.value == near(entry, "post_stratified")
    assert post_stratified_se(y, weights, pairs, strata, sizes, fpc=True) == near(entry, "post_stratified_se")
    # The claim about these 999 pairs is sharper than the one about other prompts.
    prompts = facts.prompts[pairs]
    beyond = post_stratified(y, weights, prompts, strata, sizes)
    assert isinstance(beyond, Estimate)
    assert beyond.value == pytest.approx(stratified.value)
    assert beyond.high - beyond.low > 1.3 * (stratified.high - stratified.low)
    assert stratified.low < entry["expected"]["truth"] < stratified.high
