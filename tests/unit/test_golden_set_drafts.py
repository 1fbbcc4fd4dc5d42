"""Drafts of golden items: of clusters that nothing tests, never paid twice, nothing before a person accepts."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from review import settings
from review.cli import main
from review.services import coverage, golden
from review.services.workspace import Actor, open_workspace
from tests import clustered as sets
from tests.conftest import NOW
from tests.faults import FaultServer, prompt_of


def drafted(document: dict[str, Any]) -> str:
    """A reference and two rubric items; of a conversation about hotels nothing usable."""
    assert document["response_format"]["json_schema"]["schema"]["required"] == ["reference", "rubric"]
    if "hotel" in prompt_of(document):
        return "I would rather not."
    return json.dumps({"reference": "A careful answer.", "rubric": ["Answers the question", "Names  the day"]})


def test_clusters_that_nothing_tests_get_drafts_once_and_people_decide(
    clustered: sets.Set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = clustered.copy(tmp_path)
    monkeypatch.setenv("REVIEW_CONFIG", str(tmp_path / "config.yaml"))

    def cli(*words: object) -> Any:
        done = CliRunner().invoke(main, ["golden", *map(str, words), "--db", str(db), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    with FaultServer(answer=drafted) as server:
        provider = {"name": "near", "base_url": server.url, "model": "j", "price": {"input": 1.0, "output": 1.0}}
        block = {"replay": {"strip_pii": False}, "judges": {"providers": [provider]}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({"eval_config": block}), encoding="utf-8")
        item = {"item_id": "w", "prompt": "what is the weather today", "reference": "Sunny.", "rubric": ["Says sunny"]}
        (tmp_path / "items.jsonl").write_text(json.dumps(item) + "\n", encoding="utf-8")
        cli("import", tmp_path / "items.jsonl")
        cli("freeze")
        first = cli("draft", "--per-cluster", 2)
        asked = sum(server.counts.values())
        second = cli("draft", "--per-cluster", 2)
    with closing(open_workspace(settings.load(db))) as workspace:
        report = coverage.report(workspace)
        touched = [each for each in report.clusters if each.golden]
        standing = golden.standings(workspace)
        rows = golden.items(workspace, [each.item_hash for each in standing.values()])
        drafts = [each for each in rows.values() if each.source == "draft"]
        assert [each.golden for each in touched] == [1]
        assert "weather" in touched[0].name
        assert report.golden.items == 1
        # A draft has the cluster of the trace whose prompt it is, and counts for nothing.
        assert {each.cluster_id for each in drafts} == {each.drafted_for for each in drafts}
        assert touched[0].cluster_id not in {each.cluster_id for each in drafts}
        assert {each.state for name, each in standing.items() if name != "w"} == {"draft"}
        assert [each.item for each in drafts[0].item.rubric] == ["Answers the question", "Names the day"]
        lead = Actor("Lea", "lead")
        for each in drafts[:2]:
            golden.decide(workspace, lead, standing[each.item.item_id], "accepted", NOW)
        after = coverage.report(workspace)
        assert after.golden.items == 3
        assert coverage.data_version(workspace) != ""
        assert len(after.untested) < len(report.untested)
    assert first["clusters"] == len(report.clusters) - 1
    assert first["wanted"] == 2 * first["clusters"] == asked
    assert first["new"] + first["failed"] == first["wanted"]
    assert first["failed"] > 0
    assert first["new"] == first["waiting"] == len(drafts)
    assert first["cost_usd"] > 0
    # Only what came to nothing is asked again.
    assert (second["new"], second["wanted"]) == (0, first["failed"])
