"""Rounds by the cluster of a pair's trace, and what pairs from unequally sampled clusters say about traffic."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from review import settings
from review.domain.frame import FrameGroup, FramePair, frame_hash, strata
from review.errors import BadInput
from review.services import parity, rounds, slices
from review.services.desk import LocalDesk
from review.services.population import population
from review.services.rounds import DrawSpec
from review.services.sample import SampleSpec, sample
from review.services.workspace import Workspace, open_workspace
from review.store.rounds import read_frame
from tests.conftest import NOW, ROOT
from tests.traffic import Traffic, add_clusters, add_pairs, add_traces


def add_labels(workspace: Workspace, round_id: str, errors: dict[str, str]) -> None:
    """A label of each pair of a round: old is right, new errs as said."""
    with workspace.database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO label BY NAME
            SELECT 'label-' || $round || unnest($pairs::VARCHAR[]) AS label_id, unnest($pairs::VARCHAR[]) AS pair_id,
                   'ann' AS reviewer, 'label' AS kind, $round AS round_id, 'tie' AS preference, 'none' AS error_old,
                   unnest($errors::VARCHAR[]) AS error_new, now() AS received_at, 'test' AS source
            """,
            {"round": round_id, "pairs": list(errors), "errors": list(errors.values())},
        )


def test_disagreements_are_parted_by_the_cluster_of_their_trace(workspace: Workspace) -> None:
    add_clusters(workspace, ["Refunds", "Billing"])
    names = add_traces(workspace, [Traffic(12, "refunds"), Traffic(8, "billing"), Traffic(6, "noise"), Traffic(4)])
    add_pairs(workspace, names)
    drawn = rounds.draw(workspace, DrawSpec(size=15, seed=3, by="cluster"), "lead", NOW)
    assert {each.stratum: (each.frame, each.drawn) for each in drawn.strata} == {
        "disagreement: Refunds": (12, 6),
        "disagreement: Billing": (8, 4),
        "disagreement: noise": (6, 3),
        "disagreement: (no cluster)": (4, 2),
    }
    assert rounds.clusters(workspace) == {"billing": "Billing", "noise": "noise", "refunds": "Refunds"}
    found = population(workspace, drawn.round_id)
    stored = dict(
        workspace.database.cursor().execute("SELECT p.rowid, s.pi FROM slot s JOIN pair p USING (pair_id)").fetchall()
    )
    assert len(stored) == 15
    assert all(found.pi[row] == pytest.approx(pi) for row, pi in stored.items())
    assert sorted(np.round(found.pi, 6).tolist()) == sorted([0.5] * 30)


def test_a_round_of_one_cluster_takes_from_no_other(workspace: Workspace) -> None:
    add_clusters(workspace, ["Refunds", "Billing"])
    names = add_traces(workspace, [Traffic(12, "refunds"), Traffic(8, "billing")])
    add_pairs(workspace, names)
    drawn = rounds.draw(workspace, DrawSpec(size=4, seed=3, cluster="billing"), "lead", NOW)
    assert drawn.frame == 8
    found = population(workspace, drawn.round_id)
    assert found.inside.sum() == 8
    assert set(found.pi[found.inside]) == {0.5}
    assert set(population(workspace, None).pi) == {0.0, 0.5}
    with pytest.raises(BadInput, match="no pairs of this cluster"):
        rounds.draw(workspace, DrawSpec(size=4, seed=3, cluster="weather"), "lead", NOW)


def test_the_frame_knows_the_clusters(workspace: Workspace) -> None:
    names = add_traces(workspace, [Traffic(3, "refunds"), Traffic(2)])
    add_pairs(workspace, names)
    before = read_frame(workspace.database, None, None, None)
    pairs = [
        FramePair(f"pair-{name}", None, "disagreement", "refunds" if at < 3 else None) for at, name in enumerate(names)
    ]
    assert before.hash == frame_hash(pairs)
    with workspace.database.transaction() as cursor:
        cursor.execute("UPDATE assignment SET cluster_id = 'billing' WHERE trace_id = 't0'")
    assert read_frame(workspace.database, None, None, None).hash != before.hash
    assert [each.pair_ids for each in read_frame(workspace.database, None, None, None, "billing").groups] == [
        ["pair-t0"]
    ]


def test_two_clusters_of_a_name_are_two_strata() -> None:
    groups = [FrameGroup("disagreement", "task", [f"p{n}"], f"c{n}") for n in range(3)]
    names = {"c0": "Parcel", "c1": "Parcel", "c2": "Refund"}
    assert [each.name for each in strata(groups, "cluster", names)] == [
        "disagreement: Parcel (c0)",
        "disagreement: Parcel (c1)",
        "disagreement: Refund",
    ]


def test_what_a_trace_stands_for_counts_once_over_samples(workspace: Workspace) -> None:
    """Two samples of one window: each pair stands for 1 / (1 - (1 - pi1)(1 - pi2)) traces, drawn by either or both."""
    add_clusters(workspace, ["Big", "Rare"])
    names = add_traces(workspace, [Traffic(90, "big"), Traffic(10, "rare")])
    desk = LocalDesk(workspace, "lead")
    first, second = (sample(desk, SampleSpec(size=size, seed=size, audit_size=0)) for size in (20, 40))
    cursor = workspace.database.cursor()
    ids = cursor.execute("SELECT DISTINCT trace_id FROM sampled").fetchall()
    add_pairs(workspace, [row[0] for row in ids], first.sample_id)
    found = population(workspace, None)
    pi = {
        (number, stratum): value
        for number, stratum, value in cursor.execute(
            "SELECT number, stratum, min(pi) FROM sampled JOIN sample USING (sample_id) GROUP BY ALL"
        ).fetchall()
    }
    assert second.number == 2
    for row, name in cursor.execute("SELECT p.rowid, trace_id FROM pair_origin JOIN pair p USING (pair_id)").fetchall():
        stratum = "big" if names.index(name) < 90 else "rare"
        either = 1 - (1 - pi[1, stratum]) * (1 - pi[2, stratum])
        assert found.traffic[row] == pytest.approx(1 / either, rel=1e-6)
    assert found.sampled.all()


ERRS = {"big": 0.05, "rare": 0.8, "tiny": 0.5}


def test_a_rate_about_traffic_is_unbiased_where_clusters_are_sampled_unequally(workspace: Workspace) -> None:
    """Traffic -> sample with floors and a cap -> pairs -> round: the weighted rate against the plain one."""
    add_clusters(workspace, ["Big", "Rare", "Tiny"])
    loud = Traffic(250, "big", "loud")
    names = add_traces(workspace, [loud, Traffic(250, "big"), Traffic(25, "rare"), Traffic(15, "tiny")])
    cluster = ["big"] * 500 + ["rare"] * 25 + ["tiny"] * 15
    rng = np.random.default_rng(1)
    wrong = {name: float(rng.random() < ERRS[where]) for name, where in zip(names, cluster, strict=True)}
    truth = float(np.mean(list(wrong.values())))
    weighted, plain, whole = [], [], []
    desk = LocalDesk(workspace, "lead")
    for seed in range(25):
        spec = SampleSpec(size=60, seed=seed, minimum_per_cluster=10, customer_share=0.1, audit_size=0)
        made = sample(desk, spec)
        cursor = workspace.database.cursor()
        taken = [row[0] for row in cursor.execute("SELECT trace_id FROM sampled").fetchall()]
        add_pairs(workspace, taken, made.sample_id)
        drawn = rounds.draw(workspace, DrawSpec(size=50, seed=seed, by="cluster"), "lead", NOW)
        found = population(workspace, drawn.round_id)
        rows = dict(cursor.execute("SELECT p.rowid, s.pair_id FROM slot s JOIN pair p USING (pair_id)").fetchall())
        weight = np.array([found.traffic[row] / found.pi[row] for row in rows])
        value = np.array([wrong[pair.removeprefix("pair-")] for pair in rows.values()])
        weighted.append(float(weight @ value) / len(names))
        plain.append(float(value.mean()))
        whole.append(float(weight.sum()))
        with workspace.database.transaction() as inside:
            for table in ("slot", "stratum", "round", "pair_origin", "pair", "sampled", "sample"):
                inside.execute(f"DELETE FROM {table}")
    error = float(np.std(weighted)) / np.sqrt(len(weighted))
    assert abs(np.mean(weighted) - truth) < 3.5 * error
    assert error < 0.04
    assert abs(np.mean(plain) - truth) > 0.1
    assert abs(np.mean(whole) - len(names)) < 3.5 * np.std(whole) / np.sqrt(len(whole))


def test_parity_speaks_about_traffic(workspace: Workspace) -> None:
    """All sampled pairs labelled: the difference is the Horvitz-Thompson one, and a note says what pairs stand for."""
    add_clusters(workspace, ["Big", "Rare"])
    names = add_traces(workspace, [Traffic(300, "big"), Traffic(20, "rare")])
    desk = LocalDesk(workspace, "lead")
    made = sample(desk, SampleSpec(size=40, seed=2, minimum_per_cluster=10, audit_size=0))
    cursor = workspace.database.cursor()
    taken = [row[0] for row in cursor.execute("SELECT trace_id FROM sampled ORDER BY position").fetchall()]
    add_pairs(workspace, taken, made.sample_id)
    drawn = rounds.draw(workspace, DrawSpec(size=40, seed=2, by="cluster"), "lead", NOW)
    rare = {f"pair-{name}" for name in names[300:]}
    add_labels(workspace, drawn.round_id, {f"pair-{n}": "confident" if f"pair-{n}" in rare else "none" for n in taken})
    report = parity.parity(workspace)
    overall = report.tolerance[0].difference
    assert overall.to_json()["value"] == pytest.approx(-20 / 320, abs=1e-6)
    assert report.direction.shift.balance.to_json()["value"] == pytest.approx(20 / 320, abs=1e-6)
    assert any("40 pairs come from samples of traffic: each stands for 2.0 to 10.0 traces" in n for n in report.notes)


def test_agreement_by_cluster(workspace: Workspace) -> None:
    add_clusters(workspace, ["Refunds", "Billing"])
    names = add_traces(workspace, [Traffic(6, "refunds"), Traffic(4, "billing"), Traffic(2)])
    add_pairs(workspace, names)
    assert "cluster" not in slices.properties(workspace)
    drawn = rounds.draw(workspace, DrawSpec(size=12, seed=3), "lead", NOW)
    add_labels(workspace, drawn.round_id, {f"pair-{name}": "none" for name in names})
    with workspace.database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO verdict BY NAME
            SELECT pair_id, 'judge' AS judge, 1 AS vote, 'tie' AS winner, now() AS imported_at FROM pair
            """
        )
    assert "cluster" in slices.properties(workspace)
    found = slices.slices(workspace, "judge", "cluster")
    assert {each.name: each.n for each in found.slices} == {"Refunds": 6, "Billing": 4}
    assert found.without == 2


def test_the_command_draws_by_cluster(tmp_path) -> None:  # type: ignore[no-untyped-def]  # pytest's
    file = tmp_path / "review.duckdb"
    workspace = open_workspace(settings.load(file))
    add_clusters(workspace, ["Refunds", "Billing"])
    add_pairs(workspace, add_traces(workspace, [Traffic(12, "refunds"), Traffic(8, "billing")]))
    workspace.close()

    def run(*words: str) -> dict[str, object]:
        command = [sys.executable, "-m", "review.cli", "--db", str(file), "draw", "--seed", "1", "--json", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        return json.loads(done.stdout)

    by_cluster = run("--size", "10", "--by", "cluster")
    assert {each["stratum"] for each in by_cluster["strata"]} == {"disagreement: Refunds", "disagreement: Billing"}  # type: ignore[attr-defined]  # JSON
    assert run("--size", "10", "--cluster", "billing")["frame"] == 8
