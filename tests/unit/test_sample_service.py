"""Samples through the desk: strata, cap, floor, window, one sample a seed and frame, and what deviates; the command."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from review import settings
from review.errors import BadInput, Conflict
from review.services.desk import Answer, LocalDesk
from review.services.sample import Sampled, SampleSpec, sample
from review.services.workspace import Workspace, open_workspace
from tests.conftest import ROOT
from tests.traffic import NEWEST, Traffic, add_clusters, add_traces

SPEC = SampleSpec(size=60, seed=7, customer_share=0.1, audit_size=10)
TRAFFIC = [
    Traffic(160, "refunds", "loud"),
    *(Traffic(6, "refunds", f"customer {n}") for n in range(20)),
    *(Traffic(4, "billing", f"customer {n}") for n in range(20)),
    Traffic(6, "rare"),
    Traffic(14, "noise"),
    Traffic(20),
    Traffic(30, "refunds", "loud", days_ago=8),
]


@pytest.fixture
def desk(workspace: Workspace) -> LocalDesk:
    add_clusters(workspace, ["Refunds", "Billing", "Rare"])
    add_traces(workspace, TRAFFIC)
    return LocalDesk(workspace, "Mara")


def rows(desk: LocalDesk, sample_id: str) -> list[tuple[str, str, str, float, str | None, int]]:
    return (
        desk.workspace.database.cursor()
        .execute(
            """
            SELECT trace_id, purpose, stratum, pi, customer, position FROM sampled JOIN trace USING (trace_id)
            WHERE sample_id = ? ORDER BY position
            """,
            [sample_id],
        )
        .fetchall()
    )


def test_a_sample_keeps_what_it_says(desk: LocalDesk) -> None:
    drawn = sample(desk, SPEC)
    assert (drawn.new, drawn.number, drawn.size, drawn.audit, drawn.frame) == (True, 1, 60, 10, 400)
    strata = {each.stratum: each for each in drawn.strata}
    assert {name: each.frame for name, each in strata.items()} == {
        "refunds": 280,
        "billing": 80,
        "rare": 6,
        "noise": 14,
        "unclustered": 20,
    }
    assert strata["refunds"].name == "Refunds"
    assert strata["unclustered"].name == "(in no cluster yet)"
    assert all(each.drawn >= 5 for each in drawn.strata)
    found = rows(desk, drawn.sample_id)
    replay = [row for row in found if row[1] == "replay"]
    assert [row[5] for row in replay] == list(range(60))
    assert sum(row[4] == "loud" for row in replay) == 6
    assert {name: sum(row[2] == name for row in replay) for name in strata} == {
        name: each.drawn for name, each in strata.items()
    }
    assert {row[3] for row in found if row[1] == "audit"} == {10 / 400}
    assert list(dict.fromkeys(row[2] for row in replay[:40])) != sorted(strata)
    assert any("held to 6 traces" in note and "40.0% of the window" in note for note in drawn.notes)
    assert any("20 of 400 traces are in no cluster" in note for note in drawn.notes)


def test_the_same_seed_and_frame_are_the_same_sample(desk: LocalDesk) -> None:
    first = sample(desk, SPEC)
    again = sample(desk, SPEC)
    assert not again.new
    assert again.to_json() | {"new": True} == first.to_json()
    cursor = desk.workspace.database.cursor()
    assert cursor.execute("SELECT count(*), count(DISTINCT sample_id) FROM sampled").fetchone() == (70, 1)
    assert sample(desk, SampleSpec(size=60, seed=8, customer_share=0.1, audit_size=10)).number == 2
    add_traces(desk.workspace, [Traffic(1, "rare")], prefix="late")
    later = sample(desk, SPEC)
    assert later.new
    assert later.frame_hash != first.frame_hash


def test_a_drawn_trace_says_how_likely_it_was(desk: LocalDesk) -> None:
    """Over seeds each trace comes as often as its stored probability says, and weighted rates are those of traffic."""
    cursor = desk.workspace.database.cursor()
    frame = dict(
        cursor.execute("SELECT trace_id, customer = 'loud' IS TRUE FROM trace WHERE trace_id < 't4'").fetchall()
    )
    del frame
    names = [row[0] for row in cursor.execute("SELECT trace_id FROM trace").fetchall()]
    times, pi = dict.fromkeys(names, 0), dict.fromkeys(names, 0.0)
    weighted: list[float] = []
    plain: list[float] = []
    repeats = 30
    for seed in range(repeats):
        drawn = sample(desk, SampleSpec(size=60, seed=seed, customer_share=0.1, audit_size=0))
        found = rows(desk, drawn.sample_id)
        for name, _, _, probability, _, _ in found:
            times[name] += 1
            assert pi[name] in (0.0, probability)
            pi[name] = probability
        weight = np.array([1 / row[3] for row in found])
        loud = np.array([row[4] == "loud" for row in found])
        weighted.append(float(weight[loud].sum()))
        plain.append(float(loud.mean()))
    seen = [name for name in names if pi[name]]
    error = np.array([(times[n] / repeats - pi[n]) / max(np.sqrt(pi[n] * (1 - pi[n]) / repeats), 1e-9) for n in seen])
    assert len(seen) >= 300
    assert abs(error.mean()) < 0.2
    assert 0.8 < error.std() < 1.2
    assert np.mean(weighted) == pytest.approx(160, abs=1e-6)
    assert np.mean(plain) == pytest.approx(0.1)


def test_a_frame_that_moves_meanwhile_leaves_nothing_behind(desk: LocalDesk) -> None:
    class Busy(LocalDesk):
        def ask(self, name: str, arguments=None, table=None) -> Answer:  # type: ignore[no-untyped-def]  # as the desk's
            if name == "sample.finish":
                add_traces(self.workspace, [Traffic(1, "rare")], prefix="meanwhile")
            return super().ask(name, arguments, table)

    with pytest.raises(Conflict, match="Run it again"):
        sample(Busy(desk.workspace, "Mara"), SPEC)
    cursor = desk.workspace.database.cursor()
    assert cursor.execute("SELECT (SELECT count(*) FROM sampled), (SELECT count(*) FROM sample)").fetchone() == (0, 0)
    assert sample(desk, SPEC).number == 1


def test_a_run_that_stopped_halfway_is_taken_up(desk: LocalDesk) -> None:
    class Stopped(LocalDesk):
        def ask(self, name: str, arguments=None, table=None) -> Answer:  # type: ignore[no-untyped-def]  # as the desk's
            if name == "sample.finish":
                raise KeyboardInterrupt
            return super().ask(name, arguments, table)

    with pytest.raises(KeyboardInterrupt):
        sample(Stopped(desk.workspace, "Mara"), SPEC)
    drawn = sample(desk, SPEC)
    assert drawn.new
    assert (drawn.size, drawn.audit, len(rows(desk, drawn.sample_id))) == (60, 10, 70)


def test_synthetic_traces_are_never_mixed_with_real_ones(desk: LocalDesk) -> None:
    with pytest.raises(BadInput, match="no synthetic traces"):
        sample(desk, SampleSpec(size=5, seed=1, synthetic=True))
    add_traces(desk.workspace, [Traffic(10, "rare", synthetic=True)], prefix="made")
    made = sample(desk, SampleSpec(size=5, seed=1, audit_size=2, synthetic=True))
    assert (made.frame, made.synthetic) == (10, True)
    assert any("nothing about real traffic" in note for note in made.notes)
    assert sample(desk, SPEC).frame == 400


def test_nothing_to_sample_says_what_to_do(workspace: Workspace) -> None:
    desk = LocalDesk(workspace, "Mara")
    with pytest.raises(BadInput, match="review import traces"):
        sample(desk, SPEC)
    add_traces(workspace, [Traffic(3, synthetic=True)])
    with pytest.raises(BadInput, match="--synthetic"):
        sample(desk, SPEC)


def told(drawn: Sampled, words: str) -> bool:
    return any(words in note for note in drawn.notes)


def test_notes_say_what_deviates(workspace: Workspace) -> None:
    add_traces(workspace, [Traffic(30, "a", "one"), Traffic(5, "b", "two"), Traffic(5, "c", "three")])
    with workspace.database.transaction() as cursor:
        cursor.execute("UPDATE trace SET happened_at = NULL WHERE trace_id = 't0'")
        cursor.execute("UPDATE trace SET happened_at = now() + INTERVAL 3 DAY WHERE trace_id = 't1'")
    drawn = sample(LocalDesk(workspace, "Mara"), SampleSpec(size=500, seed=1, minimum_per_cluster=9))
    assert told(drawn, "500 traces were asked for and the window has 39")
    assert told(drawn, "Raise replay.customer_share")
    assert told(drawn, "each gives at most an even share")
    assert told(drawn, "1 trace does not say when")
    assert told(drawn, "1 trace is dated after now")
    assert told(drawn, "The audit has all 39")
    assert drawn.size == 16
    assert {each.stratum: each.drawn for each in drawn.strata} == {"a": 6, "b": 5, "c": 5}


def test_the_command_draws_once(tmp_path: Path) -> None:
    file = tmp_path / "review.duckdb"
    workspace = open_workspace(settings.load(file))
    add_traces(workspace, [Traffic(40, "a"), Traffic(60, days_ago=2), Traffic(7, days_ago=5)])
    workspace.close()

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "review.cli", "--db", str(file), "sample", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    drawn = run("--size", "20", "--seed", "5", "--window-days", "3", "--json")
    assert drawn.returncode == 0, drawn.stderr
    document = json.loads(drawn.stdout)
    assert (document["size"], document["frame"], document["new"], document["seed"]) == (20, 100, True, 5)
    assert document["window_from"] == (NEWEST - timedelta(days=3)).isoformat()
    assert "60 of 100 traces are in no cluster yet" in drawn.stderr
    again = run("--size", "20", "--seed", "5", "--window-days", "3")
    assert f"sample {document['sample_id']}: 20 of 100 traces" in again.stdout
    assert "drawn before" in again.stdout
    refused = run("--synthetic")
    assert refused.returncode == 1
    assert "no synthetic traces" in refused.stderr
