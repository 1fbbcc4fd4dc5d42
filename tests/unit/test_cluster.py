"""Clustering real queries: as people sort them, stable from week to week, nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from review import settings
from review.adapters import clustering
from review.services import coverage
from review.services.desk import LocalDesk
from review.services.workspace import open_workspace
from review.store.clusters import ASSIGNMENTS
from tests import clustered as sets

REVIEW = [sys.executable, "-m", "review.cli"]


def test_clusters_are_what_people_call_intents(clustered: sets.Set) -> None:
    before = clustered.assigned[0]
    found = adjusted_rand_score([clustered.intents[each] for each in before], list(before.values()))
    assert found >= 0.7
    assert clustered.runs[0].noise is not None
    assert clustered.runs[0].noise <= 0.10
    assert sum(each == "noise" for each in before.values()) <= 0.05 * len(before)


def test_old_clusters_stay_and_new_ones_are_made_only_of_what_fits_nowhere(clustered: sets.Set) -> None:
    before, after = clustered.assigned
    assert all(after[each] == cluster for each, cluster in before.items() if cluster != "noise")
    made = set(after.values()) - set(before.values()) - {"noise"}
    assert 1 <= len(made) == len(clustered.runs[1].made) <= 4
    inside = Counter(clustered.intents[each] for each, cluster in after.items() if cluster in made)
    assert sum(inside[each] for each in sets.LATER) >= 0.9 * sum(inside.values())
    assert inside[sets.LATER[0]] >= 20


def test_a_run_without_new_traces_changes_nothing_and_embeds_nothing(clustered: sets.Set) -> None:
    third = clustered.runs[2]
    assert (third.run, third.placed, third.embedded, third.made) == (None, 0, 0, ())


def test_names_are_words_of_the_queries(clustered: sets.Set, tmp_path: Path) -> None:
    with closing(open_workspace(settings.load(clustered.copy(tmp_path)))) as workspace:
        rows = workspace.database.cursor().execute("SELECT name, terms FROM cluster").fetchall()
    names = {str(name) for name, _ in rows}
    assert len(names) == len(rows)
    assert any("weather" in name for name in names)
    assert any("luggage" in name for name in names)


def test_command_suite_and_coverage(clustered: sets.Set, tmp_path: Path) -> None:
    """On the command line: a suite is placed, nothing is done twice; the page's report says what it touches."""
    db = clustered.copy(tmp_path)
    suite = tmp_path / "suite.jsonl"
    prompts = ["what is the weather in rome", "will it rain tomorrow", "what is the square root of the moon's mass"]
    suite.write_text("\n".join(json.dumps({"prompt": each}) for each in prompts), encoding="utf-8")
    assert _review(db, "import", "suite", str(suite)) == {"read": 3, "new": 3, "present": 0, "placed": 3}
    assert _review(db, "import", "suite", str(suite)) == {"read": 3, "new": 0, "present": 3, "placed": 0}
    assert _review(db, "cluster")["clustering_id"] is None
    with closing(open_workspace(settings.load(db))) as workspace:
        report = coverage.report(workspace)
        touched = [each for each in report.clusters if each.suite]
        total, lines = coverage.traces(workspace, touched[0].cluster_id)
    assert [("weather" in each.name, each.suite) for each in touched] == [(True, 2)]
    assert (report.suite.items, report.suite.noise, report.suite.unplaced) == (3, 1, 0)
    assert len(report.untouched) == len(report.clusters) - 1
    assert sum(each.traces for each in report.clusters) + report.noise == report.traces == len(clustered.intents)
    assert {each.name for each in report.clusters if each.new} == set(clustered.runs[1].made)
    assert total >= 30
    assert lines[0].similarity >= lines[-1].similarity
    assert lines[0].text


def _review(db: Path, *arguments: str) -> dict[str, object]:
    done = subprocess.run([*REVIEW, *arguments, "--db", str(db), "--json"], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_without_traces_the_next_step_is_said(tmp_path: Path) -> None:
    done = subprocess.run([*REVIEW, "cluster", "--db", str(tmp_path / "r.duckdb")], capture_output=True, text=True)
    assert done.returncode == 1
    assert "review import traces" in done.stderr


def test_few_vectors_make_no_cluster_and_frequent_texts_make_their_own() -> None:
    vectors = np.eye(8, dtype=np.float32)
    found, noise = clustering.cluster(vectors, np.ones(8, np.int64), clustering.Settings(5))
    assert noise.all()
    assert (found.label == -1).all()


def test_the_smallest_cluster_follows_the_root_of_n() -> None:
    assert [clustering.smallest(15, n) for n in (100, 2_000, 10_000, 20_000)] == [5, 7, 15, 21]


def test_what_is_near_is_measured_by_the_clusters_own_spread() -> None:
    tight, wide = np.array([0.95, 0.0], np.float32), np.array([0.0, 0.5], np.float32)
    side = np.array([[0.6, 0.0], [0.0, 0.6]], np.float32)
    vectors = np.concatenate([side, np.full((2, 1), 0.8, np.float32)], axis=1)
    centroid = np.concatenate([np.stack([tight, wide]), np.zeros((2, 1), np.float32)], axis=1)
    label, similarity = clustering.assign(vectors, centroid)
    assert label.tolist() == [-1, 1]
    assert similarity == pytest.approx([0.6, 0.6])


def test_a_fresh_start_puts_the_former_clusters_out_of_use(clustered: sets.Set, tmp_path: Path) -> None:
    with closing(open_workspace(settings.load(clustered.copy(tmp_path)))) as workspace:
        desk = LocalDesk(workspace, "tests")
        arguments = {"run": "clustering-2", "model": "all-MiniLM-L6-v2", "fresh": True, "clusters": []}

        desk.ask("cluster.save", arguments, ASSIGNMENTS.empty_table())
        state = desk.ask("cluster.state", {"window_days": 7}).document
    assert (state["clusters"], state["unassigned"]) == (0, len(clustered.intents))


def test_a_new_cluster_stands_beside_the_old_bubbles_and_covers_none() -> None:
    old = np.eye(4, dtype=np.float32)
    places = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.0], [0.9, 0.9]], np.float32)
    # As like the first three: their middle is where the third one stands.
    (place,) = clustering.beside(np.array([[1, 1, 1, 0]], np.float32), old, places)
    assert 0.1 < np.linalg.norm(places - place, axis=1).min() < 0.3
