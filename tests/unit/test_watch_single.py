"""Watching traffic that new answers alone: old's answers as a baseline, a floor under it, alerts, what is not known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from review.domain.pipeline import Endpoint, Endpoints
from review.domain.watch import Watch
from review.services import alerts, watch, watch_single, watch_single_desk
from review.services.desk import LocalDesk
from review.services.workspace import Workspace
from review.stats.delay import simulate
from review.stats.edetector import rate_floor, split
from review.store import watch_single as store
from tests.conftest import NOW
from tests.faults import FaultServer, prompt_of
from tests.judging import PART, judges, provider
from tests.traffic import add_clusters
from tests.unit.test_watch import desk_of
from tests.watching import START, add_alone, add_pairs


def verdict(document: dict[str, Any]) -> str:
    """Met where the answer says "good"."""
    parts = {name: json.loads(text) for name, _, text in PART.findall(prompt_of(document))}
    met = "yes" if "good" in json.dumps(parts["answer"]) else "no"
    return json.dumps({"rationale": "it says good", "met": met})


def test_single_answers_are_held_to_old_ones_and_an_alert_says_which_cluster_and_answers(workspace: Workspace) -> None:
    add_clusters(workspace, ["Parcels", "Refunds"])
    both = ("parcels", "refunds")
    add_alone(workspace, 1000, prefix="o", served="old", days=10, wrong=0.1, clusters=both)
    desk = LocalDesk(workspace, "tester")
    change = START + timedelta(days=24)
    add_alone(workspace, 600, start=START + timedelta(days=10), days=14, wrong=0.1, clusters=both)
    first = watch.once(desk)
    assert (first.answers, first.observed, first.alerts, first.baseline) == (600, 600, 0, 1000)
    (said,) = watch.outlook(desk)["tasks"]
    assert said["baseline"]["n"] == 1000
    assert said["baseline"]["floor"] < said["baseline"]["rate"] == pytest.approx(0.9, abs=0.03)
    assert "new answers alone; old passed" in said["words"]
    assert "known from too few answers" in said["words"]
    add_alone(workspace, 400, start=change, days=4, prefix="w", wrong=0.7, clusters=both, worse="refunds")
    rows = workspace.database.cursor().execute("SELECT trace_id, response ->> '$.content' FROM trace").fetchall()
    archived = {f"Ask {name}": words for name, words in rows}

    def answer(body: dict[str, Any]) -> str:
        """The candidate of today: bad at what was asked before the change."""
        asked = prompt_of(body)
        return "Very bad" if asked.startswith("Ask n-") else archived[asked]

    with FaultServer(answer=answer) as server:
        stack = Endpoint(base_url=server.url, model="new", retries=0)
        asking = desk_of(workspace, endpoints=Endpoints(old=stack, new=stack))
        second, third = watch.once(asking), watch.once(asking)
    assert (second.alerts, third.alerts, third.scored, third.baseline) == (1, 0, 0, 0)
    found = alerts.alerts(workspace, NOW)[0]
    assert found.since is not None
    assert abs(found.since - change) < timedelta(days=2)
    assert found.document["clusters"][0]["name"] == "Refunds"
    assert found.document["clusters"][0]["part"] > 0.8
    assert found.document["pairs"] == []
    failed = store.verdicts(workspace.database.cursor(), "refund", "known", "new", found.since).to_pylist()
    assert set(found.document["traces"]) <= {row["answer_id"] for row in failed if row["verdict"] == "failed"}
    assert len(found.document["traces"]) == 10
    cause = found.document["cause"]
    assert (cause["cause"], cause["model"]["changed"]) == ("model changed", "changed"), cause
    words = " ".join(alerts.summary(alerts.described(found)))
    assert "New passed" in words
    assert "Answers to read:" in words


def test_old_answers_of_pairs_are_a_baseline_beside_the_pairs_own_scores(workspace: Workspace) -> None:
    add_pairs(workspace, 25, lost=0.2, won=0.0)
    add_pairs(workspace, 25, lost=0.0, won=0.3, prefix="p")
    add_alone(workspace, 20)
    done = watch.once(LocalDesk(workspace, "tester"))
    assert (done.observed, done.answers, done.scored, done.baseline) == (70, 20, 70, 50)
    (both,) = store.baselines(workspace.database.cursor()).items()
    lost = workspace.database.cursor().execute("SELECT count(*) FROM pair WHERE NOT (old ->> '$.correct')::BOOLEAN")
    assert both == (("refund", "known"), (50, 50 - lost.fetchall()[0][0]))


def test_old_answers_of_a_sample_that_was_replayed_are_thinned_to_equal_chances(workspace: Workspace) -> None:
    """Every trace of one half was replayed, a fifth of the other: as many of each are to be left, about."""
    add_pairs(workspace, 500, prefix="a", source="replay:old", lost=0.0, won=0.0)
    add_pairs(workspace, 500, prefix="b", source="replay:old", lost=0.0, won=1.0)
    with workspace.database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO sampled SELECT sample_id, trace_id, 'replay', 0, 'unclustered', "
            "CASE WHEN pair_id LIKE 'a%' THEN 1.0 ELSE 0.2 END FROM pair_origin"
        )
    add_alone(workspace, 5)
    assert 540 <= watch.once(LocalDesk(workspace, "tester")).baseline <= 660
    ((count, passed),) = store.baselines(workspace.database.cursor()).values()
    assert count - passed == 500
    assert 60 <= passed <= 140


def test_without_old_answers_nothing_is_watched_and_it_is_said_what_to_do(workspace: Workspace) -> None:
    add_alone(workspace, 100)
    desk = LocalDesk(workspace, "tester")
    done = watch.once(desk)
    assert (done.answers, done.scored, done.alarms) == (100, 100, 0)
    assert any("not watched: 0 of old's answers" in note and "--served old" in note for note in done.notes)
    said = watch.outlook(desk)["tasks"][0]
    assert said["delay"] is None
    assert "not watched" in said["words"]


def test_a_judge_scores_a_sample_of_new_and_old_once_and_old_traffic_that_said_so_counts(workspace: Workspace) -> None:
    add_alone(workspace, 50, prefix="o", served="old", wrong=0.3, known=False)
    add_alone(workspace, 200, start=START + timedelta(days=20), wrong=0.3, known=False)
    with FaultServer(answer=verdict) as server:
        desk = desk_of(
            workspace, judges=judges(provider(server), votes=1), watch=Watch(sample_per_task=18, baseline_per_task=30)
        )
        done = watch.once(desk)
        asked = server.counts.total()
        again = watch.once(desk)
        assert (again.judged, again.scored, again.baseline) == (0, 0, 0)
        assert server.counts.total() == asked
    assert 8 <= done.chosen == done.scored <= 29
    assert done.baseline == 30
    assert done.judged == done.scored + 30
    (way,) = store.recent_ways(workspace.database.cursor(), 100)["refund"]
    assert watch_single.judge_of(way) == "judge-1-served"
    other = desk.settings.config.model_copy(update={"watch": Watch(criteria={"refund": "It is short."})})
    assert not way.endswith(watch_single.way_hash(other, "refund"))
    assert way.endswith(watch_single.way_hash(desk.settings.config, "refund"))


def test_a_judge_that_is_down_or_out_of_budget_leaves_the_rest_for_the_next_round(workspace: Workspace) -> None:
    add_alone(workspace, 20, prefix="o", served="old", known=False)
    add_alone(workspace, 20, start=START + timedelta(days=20), known=False)
    with FaultServer(lambda _prompt, nth: "401", answer=verdict) as server:
        done = watch.once(desk_of(workspace, judges=judges(provider(server), votes=1)))
    assert (done.scored, done.baseline) == (0, 0)
    assert any("Judging single answers stopped" in note for note in done.notes)
    with FaultServer(answer=verdict) as server:
        done = watch.once(desk_of(workspace, judges=judges(provider(server), votes=1)))
    assert (done.scored, done.baseline) == (20, 20)


def test_the_way_that_is_watched_stays_while_it_is_in_use() -> None:
    assert watch_single_desk.chosen_way({"a": 40, "b": 60}, None) == "b"
    assert watch_single_desk.chosen_way({"a": 40, "b": 60}, "a") == "a"
    assert watch_single_desk.chosen_way({"a": 20, "b": 80}, "a") == "b"
    assert watch_single_desk.chosen_way({"b": 80}, "a") == "b"


def test_in_years_at_the_edge_an_estimated_baseline_raises_no_more_alarms_than_promised() -> None:
    rate, count, years, tasks = 0.9, 500, 20, 5
    rng = np.random.default_rng(20261121)
    each = {"tolerance": 0.015, "baseline": {"n": count, "passed": 450}}
    plan = watch_single.made(each, split(0.05, tasks, floor=0.5), 200.0)[0]
    assert plan.floor is not None
    assert plan.floor < 0.9 - 0.02
    # Every stream has its own estimate of old's rate; new is exactly at the edge of what is accepted.
    seen = rng.binomial(count, rate, years * tasks)
    floor = {n: rate_floor(np.repeat([0.0, 1.0], [count - n, n]), plan.floor_alpha) for n in set(seen.tolist())}
    under = np.array([floor[n] for n in seen.tolist()])
    law = (np.stack([-under, 1 - under], axis=1), np.array([1 - rate + 0.0075, rate - 0.0075]))
    alarms = simulate(plan, law, law, 200.0, streams=years * tasks, rng=rng)
    assert float(np.isfinite(alarms.either).reshape(years, tasks).any(axis=1).mean()) <= 0.05


def _rows(name: str, start: datetime, count: int, bad: int, **more: Any) -> list[dict[str, Any]]:
    """Records with one answer; every `bad`th of them says so."""
    return [
        {
            "trace_id": f"{name}-{at}",
            "task": "refund",
            "messages": [{"role": "user", "content": f"Question {name} {at}"}],
            "happened_at": (start + timedelta(hours=at / 4)).isoformat(),
            "response": {"content": f"It is {'good' if at % bad else 'bad'}."},
            **more,
        }
        for at in range(count)
    ]


def test_production_traffic_with_single_answers_that_get_worse_raises_an_alert(tmp_path: Path) -> None:
    """Through the command line: old's traffic, a quiet day of new's, then hours in which every other answer is bad."""
    new = START + timedelta(days=20)
    parts = {
        "before": [*_rows("old", START, 150, 25, served="old"), *_rows("quiet", new, 100, 25)],
        "after": _rows("worse", new + timedelta(hours=25), 60, 2),
    }
    with FaultServer(answer=verdict) as server:
        near = {"name": "near", "base_url": server.url, "model": "judge-1", "retries": 1}
        config = {
            "replay": {"strip_pii": False},
            "judges": {"providers": [near], "votes": 1, "anchors": 0, "cache": {"semantic": False}},
            "watch": {
                "sample_per_task": 500,
                "file": "alerts.jsonl",
                "folder": str(tmp_path / "traffic"),
                "source": "production:gate",
            },
        }
        (tmp_path / "eval_config.yaml").write_text(yaml.safe_dump({"eval_config": config}), encoding="utf-8")
        environ = os.environ | {"REVIEW_CONFIG": str(tmp_path / "eval_config.yaml")}

        def run(*words: str) -> dict[str, Any]:
            command = [sys.executable, "-m", "review.cli", "--db", str(tmp_path / "r.duckdb"), *words, "--json"]
            done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=120)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout.splitlines()[-1])

        def written(folder: Path, name: str) -> str:
            folder.mkdir(exist_ok=True)
            file = folder / f"{name}.jsonl"
            file.write_text("".join(json.dumps(row) + "\n" for row in parts[name]), encoding="utf-8")
            return str(file)

        run("import", "traces", written(tmp_path, "before"), "--source", "production:gate")
        first = run("watch", "--once")
        written(tmp_path / "traffic", "after")
        second = run("watch", "--once")
    assert (first["answers"], first["scored"], first["baseline"], first["alerts"]) == (100, 100, 150, 0)
    assert (second["files"], second["answers"], second["scored"], second["alerts"]) == (1, 60, 60, 1)
    assert second["delivered"] == {"file": 1}
    said = (tmp_path / "alerts.jsonl").read_text()
    assert "Question" not in said
    alert = json.loads(said)
    assert (alert["single"], alert["task"]) == (True, "refund")
    assert {each.split("-")[0] for each in alert["traces"]} == {"worse"}
