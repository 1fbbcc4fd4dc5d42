"""The population behind labels: kinds and strata of today, probabilities over rounds, unbiased rates through draws."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from review.domain.frame import kind_of
from review.errors import NotFound
from review.services import rounds
from review.services.population import ASSUMED, Population, population
from review.services.rounds import DrawSpec
from review.services.workspace import Workspace
from review.stats.estimate import Estimate
from review.stats.weighted import hajek, post_stratified

EARLY = datetime(2026, 3, 1, tzinfo=UTC)
DRAW = EARLY + timedelta(days=1)
LATE = EARLY + timedelta(days=2)
LATER = EARLY + timedelta(days=3)


def add_pairs(
    workspace: Workspace,
    names: list[str],
    *,
    task: str | None = None,
    tie: bool = False,
    identical: bool = False,
    at: datetime = EARLY,
    source: str = "one",
) -> None:
    """Pairs of one task and kind; the prompt is the name without its last letter."""
    with workspace.database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO pair SELECT n, left(n, -1), $task, '[{"role":"user","content":"Ask"}]', NULL, NULL,
                   '{"content":"old"}', '{"content":"new"}', NULL, $identical, false, $source, $at
            FROM (SELECT unnest($names::VARCHAR[]) AS n)
            """,
            {"names": names, "task": task, "identical": identical, "source": source, "at": at},
        )
        if tie:
            add_verdicts(cursor, names, "tie")


def add_verdicts(cursor: object, names: list[str], winner: str | None, judge: str = "judge") -> None:
    cursor.execute(  # type: ignore[attr-defined]  # a DuckDB cursor
        """
        INSERT INTO verdict BY NAME SELECT unnest($names::VARCHAR[]) AS pair_id, $judge AS judge, 1 AS vote,
               'old' AS shown_first, $winner AS winner, now() AS imported_at
        """,
        {"names": names, "winner": winner, "judge": judge},
    )


def add_labels(workspace: Workspace, round_id: str | None, names: list[str], kind: str = "label") -> None:
    with workspace.database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO label BY NAME SELECT uuid()::VARCHAR AS label_id, unnest($names::VARCHAR[]) AS pair_id,
                   'ann' AS reviewer, $kind AS kind, $round AS round_id, 'tie' AS preference, now() AS received_at,
                   'test' AS source
            """,
            {"names": names, "round": round_id, "kind": kind},
        )


def numbers(workspace: Workspace) -> dict[str, int]:
    return dict(workspace.database.cursor().execute("SELECT pair_id, rowid FROM pair").fetchall())


def slots(workspace: Workspace, round_id: str) -> dict[str, float]:
    found = workspace.database.cursor().execute("SELECT pair_id, pi FROM slot WHERE round_id = $r", {"r": round_id})
    return dict(found.fetchall())


def named(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{index}{letter}" for index in range(math.ceil(count / 2)) for letter in "ab"][:count]


def strata_of(found: Population) -> dict[tuple[str, str | None], int]:
    assert np.bincount(found.stratum[found.stratum >= 0]).tolist() == [each.size for each in found.strata]
    return {(each.kind, each.task): each.size for each in found.strata}


def test_strata_are_those_of_the_frame(workspace: Workspace) -> None:
    add_pairs(workspace, named("i", 5), task="a", identical=True)
    add_pairs(workspace, named("t", 4), task="a", tie=True)
    add_pairs(workspace, named("x", 6), task="a")
    add_pairs(workspace, named("y", 3), task="b")
    add_pairs(workspace, named("z", 2))
    found = population(workspace, None)
    assert strata_of(found) == {
        ("identical", None): 5,
        ("judged_tie", None): 4,
        ("disagreement", "a"): 6,
        ("disagreement", "b"): 3,
        ("disagreement", None): 2,
    }
    assert found.tasks == ("a", "b", None)
    assert found.identical.tolist() == [0]
    assert (found.pi == 0).all()
    assert not found.designed.any()
    at = numbers(workspace)
    assert found.prompt[at["x0a"]] == found.prompt[at["x0b"]] != found.prompt[at["x1a"]]
    assert {found.tasks[found.task[at[name]]] for name in ("z0a", "z0b")} == {None}


def test_the_kind_follows_the_rule_of_the_frame(workspace: Workspace) -> None:
    cases = [(), ("tie",), ("tie", "tie"), ("tie", "old"), ("tie", None), (None,), ("new",)]
    for index, winners in enumerate(cases):
        add_pairs(workspace, [f"p{index}a"])
        with workspace.database.transaction() as cursor:
            for judge, winner in enumerate(winners):
                add_verdicts(cursor, [f"p{index}a"], winner, f"judge {judge}")
    found, at = population(workspace, None), numbers(workspace)
    kinds = ("identical", "judged_tie", "disagreement")
    for index, winners in enumerate(cases):
        assert kinds[found.kind[at[f"p{index}a"]]] == kind_of(False, False, winners), winners  # type: ignore[arg-type]  # literals


def test_an_empty_database_and_an_unknown_round(workspace: Workspace) -> None:
    found = population(workspace, None)
    assert found.strata == ()
    assert len(found.pi) == 0
    with pytest.raises(NotFound, match="no round 'nowhere'"):
        population(workspace, "nowhere")


def test_one_round_with_an_audit_and_merged_strata(workspace: Workspace) -> None:
    """The stored probabilities come back, also for pairs of the strata that were not drawn themselves."""
    add_pairs(workspace, named("i", 50), identical=True)
    add_pairs(workspace, named("t", 40), task="a", tie=True)
    add_pairs(workspace, named("x", 60), task="a")
    for small in "bcdefgh":
        add_pairs(workspace, named(small, 2), task=small)
    drawn = rounds.draw(workspace, DrawSpec(size=12, seed=4, audit=0.2), "lead", DRAW)
    found, at = population(workspace, drawn.round_id), numbers(workspace)
    stored = slots(workspace, drawn.round_id)
    assert any(len(each.tasks) > 1 for each in drawn.strata)
    for each in drawn.strata:
        letters = (
            "t" if each.kind == "judged_tie" else "".join("x" if task == "a" else str(task) for task in each.tasks)
        )
        rows = [row for name, row in at.items() if name[0] in letters]
        assert len(rows) == each.frame
        assert found.pi[rows] == pytest.approx(each.pi)
    assert all(found.pi[at[name]] == pi for name, pi in stored.items())
    assert (found.pi[[row for name, row in at.items() if name[0] == "i"]] == 0).all()
    assert set(np.flatnonzero(found.drawn)) == {at[name] for name in stored}
    assert found.pi.sum() == pytest.approx(len(stored))
    assert not found.designed.any()
    add_labels(workspace, drawn.round_id, list(stored))
    labelled = population(workspace, drawn.round_id)
    rows = np.array([at[name] for name in stored])
    weights, assumption = labelled.label_weights(rows)
    assert assumption is None
    assert weights == pytest.approx(1 / labelled.pi[rows])
    assert weights.sum() == pytest.approx(found.sizes.sum() - 50)


def test_rounds_over_a_growing_frame_add_up(workspace: Workspace) -> None:
    add_pairs(workspace, named("x", 100), task="a")
    first = rounds.draw(workspace, DrawSpec(size=20, seed=1), "lead", DRAW)
    add_pairs(workspace, named("y", 60), task="a", at=LATE)
    add_pairs(workspace, named("o", 30), task="a", at=LATE, source="two")
    second = rounds.draw(workspace, DrawSpec(size=40, seed=2, source="one"), "lead", LATER)
    at = numbers(workspace)
    both = population(workspace, None)
    old, new, other = (np.array([row for name, row in at.items() if name[0] == each]) for each in "xyo")
    assert both.pi[old] == pytest.approx(0.2 + 0.25)
    assert both.pi[new] == pytest.approx(0.25)
    assert (both.pi[other] == 0).all()
    assert both.inside.all()
    assert strata_of(population(workspace, first.round_id)) == {("disagreement", "a"): 100}
    assert strata_of(population(workspace, second.round_id)) == {("disagreement", "a"): 160}
    # Labels decide: with those of the first round alone, the second has not happened yet.
    names = list(slots(workspace, first.round_id))
    add_labels(workspace, first.round_id, names)
    rows = np.array([at[name] for name in names])
    assert population(workspace, None).weights(rows) == pytest.approx(5.0)
    more = list(slots(workspace, second.round_id))
    add_labels(workspace, second.round_id, more[:20])
    half = population(workspace, None)
    assert half.labelled_pi[rows] == pytest.approx(1 - 0.8 * (1 - 0.25 / 2))
    add_labels(workspace, second.round_id, more[20:])
    whole = population(workspace, None)
    assert whole.labelled_pi[rows] == pytest.approx(1 - 0.8 * 0.75)
    assert whole.labelled_pi[new] == pytest.approx(0.25)


def test_what_was_drawn_keeps_its_probability_when_a_verdict_moves_it(workspace: Workspace) -> None:
    add_pairs(workspace, named("x", 40), task="a")
    add_pairs(workspace, named("t", 40), task="a", tie=True)
    drawn = rounds.draw(workspace, DrawSpec(size=20, seed=1, audit=0.1), "lead", DRAW)
    stored = slots(workspace, drawn.round_id)
    moved = next(name for name in stored if name[0] == "t")
    with workspace.database.transaction() as cursor:
        add_verdicts(cursor, [moved], "old", "second judge")
    found, at = population(workspace, None), numbers(workspace)
    assert found.kind[at[moved]] == Population.DISAGREEMENT
    assert found.pi[at[moved]] == stored[moved] == 2 / 40
    assert strata_of(found)[("disagreement", "a")] == 41


def test_labels_that_no_round_asked_for(workspace: Workspace) -> None:
    """Imported labels, and labels on pairs that the named round never drew, have no probability."""
    add_pairs(workspace, named("x", 90), task="a")
    add_pairs(workspace, named("y", 10), task="b")
    drawn = rounds.draw(workspace, DrawSpec(size=10, seed=1), "lead", DRAW)
    at, asked = numbers(workspace), list(slots(workspace, drawn.round_id))
    free = [name for name in at if name not in asked]
    add_labels(workspace, drawn.round_id, asked[:5])
    add_labels(workspace, drawn.round_id, asked[5:], kind="skip")
    add_labels(workspace, drawn.round_id, free[:1])
    add_labels(workspace, None, free[1:3] + asked[5:6])
    found = population(workspace, None)
    assert set(np.flatnonzero(found.designed)) == {at[name] for name in asked[:5]}
    rows = np.array([at[name] for name in [*asked[:5], *free[:3]]])
    with pytest.raises(ValueError, match="3 of 8 pairs"):
        found.weights(rows)
    weights, assumption = found.label_weights(np.append(rows, rows[0]))
    assert assumption == ASSUMED
    for stratum in np.unique(found.stratum[rows]):
        mine = found.stratum[rows] == stratum
        assert weights[:-1][mine].sum() == pytest.approx(found.sizes[stratum])
    # A label that its author turned into a skip is none.
    with workspace.database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO label BY NAME SELECT 'later' AS label_id, pair_id, reviewer, 'skip' AS kind, round_id,
                   received_at, source, label_id AS supersedes FROM label WHERE pair_id = $pair
            """,
            {"pair": asked[0]},
        )
    assert not population(workspace, None).designed[at[asked[0]]]


def value(result: object) -> float:
    assert isinstance(result, Estimate)
    return result.value


def forget_rounds(workspace: Workspace) -> None:
    with workspace.database.transaction() as cursor:
        for table in ("round", "stratum", "slot"):
            cursor.execute(f"DELETE FROM {table}")


def test_weighted_rates_are_unbiased_through_draws(workspace: Workspace) -> None:
    """Two rounds over a growing frame, judged ties audited: the plain rate is off by .1, the weighted ones are not.

    The outcome is 1 on the early disagreements of task a and on every fourth other pair.
    """
    for prefix, count, task, tie, when in (
        ("x", 120, "a", False, EARLY),
        ("y", 30, "b", False, EARLY),
        ("t", 150, "a", True, EARLY),
        ("u", 60, "b", False, LATE),
        ("v", 40, "c", False, LATE),
    ):
        add_pairs(workspace, named(prefix, count), task=task, tie=tie, at=when)
    at = numbers(workspace)
    outcome = np.zeros(len(at))
    for name, row in at.items():
        outcome[row] = 1.0 if name[0] == "x" else float(row % 4 == 0)
    truth, found = float(outcome.mean()), []
    for seed in range(40):
        forget_rounds(workspace)
        before = rounds.draw(workspace, DrawSpec(size=40, seed=seed, imported_to=LATE), "lead", DRAW)
        after = rounds.draw(workspace, DrawSpec(size=40, seed=999 - seed, audit=0.2), "lead", LATER)
        labelled = {each: list(slots(workspace, each.round_id)) for each in (before, after)}
        for each, names in labelled.items():
            add_labels(workspace, each.round_id, names)
        frame = population(workspace, None)
        rows = np.unique([at[name] for names in labelled.values() for name in names])
        weights, y = frame.weights(rows), outcome[rows]
        found.append(
            (
                value(hajek(y, weights, frame.prompt[rows])),
                value(post_stratified(y, weights, frame.prompt[rows], frame.stratum[rows], frame.sizes)),
                float(weights.sum()),
                float(y.mean()),
            )
        )
    means, errors = np.mean(found, axis=0), np.std(found, axis=0) / math.sqrt(len(found))
    assert np.all(errors[:2] < 0.012)
    assert np.all(np.abs(means[:2] - truth) < 3.5 * errors[:2])
    assert abs(means[2] - len(at)) < 3.5 * errors[2]
    assert abs(means[3] - truth) > 0.08
