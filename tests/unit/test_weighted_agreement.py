"""The agreement over the whole frame against numbers worked out by hand, and what cannot be weighted."""

from __future__ import annotations

from pathlib import Path

import pytest

from review.services import rounds
from review.services.agreement import agreement
from review.services.weighted_agreement import PopulationAgreement
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable
from tests.agreeing import bring, label, verdict
from tests.conftest import NOW


def drawn_round(workspace: Workspace, folder: Path) -> tuple[str, list[str]]:
    """30 disagreements of one task, 10 judged ties, a round of 20 with a fifth of it from the ties, and its pairs."""
    pairs = [f"p{index:02}" for index in range(40)]
    bring(
        workspace,
        folder,
        pairs=pairs,
        verdicts=[verdict(pair, "old" if index < 30 else "tie") for index, pair in enumerate(pairs)],
        more={pair: {"task": "support"} for pair in pairs},
    )
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=20, seed=5, audit=0.2), "lea", NOW)
    cursor = workspace.database.cursor()
    slots = cursor.execute("SELECT pair_id FROM slot ORDER BY pair_id").fetchall()
    return drawn.round_id, [pair for (pair,) in slots]


def found(workspace: Workspace, **rules: str) -> PopulationAgreement:
    return agreement(workspace, **rules).judges[0].population  # type: ignore[arg-type]  # legal rules


def test_each_stratum_counts_by_its_size(workspace: Workspace, tmp_path: Path) -> None:
    round_id, slots = drawn_round(workspace, tmp_path)
    ties = [pair for pair in slots if pair >= "p30"]
    judged = [pair for pair in slots if pair < "p30"]
    assert (len(judged), len(ties)) == (16, 4)
    # People agree with the judge on 12 of 16 disagreements and on 1 of 4 ties.
    bring(
        workspace,
        tmp_path,
        labels=[
            *(label(pair, "ana", "old" if at < 12 else "new", round_id=round_id) for at, pair in enumerate(judged)),
            *(label(pair, "ana", "tie" if at < 1 else "new", round_id=round_id) for at, pair in enumerate(ties)),
            label(judged[15], "lea", "old", kind="adjudication", round_id=round_id),
            label(judged[0], "cleo", "new", surplus=True, round_id=round_id),
            label(judged[0], "ana", "new", occurrence=1, round_id=round_id),
        ],
    )
    whole = found(workspace)
    assert isinstance(whole.rate, Estimate)
    assert whole.rate.value == pytest.approx((30 * 12 / 16 + 10 * 1 / 4) / 40)
    assert whole.unweighted == pytest.approx(13 / 20)
    assert (whole.of, whole.pairs, whole.uncovered) == ("all disagreements and judged ties", 40, 0)
    assert "1.9 to 2.5 pairs" in whole.reason
    # The adjudication counts on the labelled pairs only.
    plain = agreement(workspace).judges[0].preference
    assert (plain.n, plain.agree) == (20, 14)


def test_several_labels_share_the_weight_of_their_pair(workspace: Workspace, tmp_path: Path) -> None:
    round_id, slots = drawn_round(workspace, tmp_path)
    judged = [pair for pair in slots if pair < "p30"]
    bring(
        workspace,
        tmp_path,
        labels=[
            *(label(pair, "ana", "old", round_id=round_id) for pair in judged),
            *(label(judged[0], other, "new", round_id=round_id) for other in ("ben", "cleo", "dana")),
        ],
    )
    whole = found(workspace, unit="each")
    assert isinstance(whole.rate, Estimate)
    assert whole.rate.value == pytest.approx((15 + 1 / 4) / 16)
    assert (whole.of, whole.pairs) == ("all disagreements", 30)
    assert whole.reason.startswith("every labelled pair stands for 1.9 pairs")


def test_labels_without_a_draw_are_not_weighted_and_it_is_said(workspace: Workspace, tmp_path: Path) -> None:
    round_id, slots = drawn_round(workspace, tmp_path)
    outside = next(pair for pair in ("p00", "p01", "p02", "p03", "p04", "p05", "p06") if pair not in slots)
    bring(
        workspace,
        tmp_path,
        labels=[label(slots[0], "ana", "old", round_id=round_id), label(outside, "ana", "old")],
    )
    whole = found(workspace)
    assert isinstance(whole.rate, NotEstimable)
    assert whole.reason.startswith("1 labelled pairs belong to no drawn round")
    assert set(whole.to_json()) == {"raw", "unweighted", "of", "pairs", "uncovered", "reason"}
    only = agreement(workspace, round_id=round_id).judges[0].population
    assert only.unweighted == 1.0


def test_over_a_run_the_weights_count_the_labels_of_that_run(workspace: Workspace, tmp_path: Path) -> None:
    """One round draws all pairs of two runs; people labelled all of the first, and of the second one task only."""
    runs = {name: [f"{name}{number:02}" for number in range(30)] for name in ("a", "b")}
    for name, pairs in runs.items():
        bring(
            workspace,
            tmp_path,
            pairs=pairs,
            verdicts=[verdict(pair, "old") for pair in pairs],
            more={pair: {"task": "long" if at < 20 else "short"} for at, pair in enumerate(pairs)},
            source=f"{name}.jsonl",
        )
    round_id = rounds.draw(workspace, rounds.DrawSpec(size=60, seed=5), "lea", NOW).round_id
    # People agree with the judge on the 20 long pairs of the first run, and on no short one.
    said = [(pair, "old" if at < 20 else "new") for at, pair in enumerate(runs["a"])]
    said += [(pair, "new") for pair in runs["b"][20:]]
    bring(workspace, tmp_path, labels=[label(pair, "ana", answer, round_id=round_id) for pair, answer in said])
    first, second = (agreement(workspace, sources=(f"{name}.jsonl",)).judges[0] for name in runs)
    # All of it is labelled, so the rate is the plain one and nothing of it is uncertain.
    assert isinstance(first.population.rate, Estimate)
    assert first.population.rate.value == pytest.approx(20 / 30)
    assert first.population.rate.high - first.population.rate.low < 1e-6
    assert (first.population.of, first.population.pairs, first.population.uncovered) == ("all disagreements", 30, 0)
    assert (second.preference.n, second.preference.agree) == (10, 0)
    assert (second.population.pairs, second.population.uncovered) == (30, 20)
    # Both together: the long pairs of the first stand for those of the second.
    both = found(workspace)
    assert isinstance(both.rate, Estimate)
    assert (both.rate.value, both.pairs) == (pytest.approx(40 / 60), 60)
