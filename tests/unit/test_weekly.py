"""The weekly refresh goes from a folder of traces to a round, an audit and a run, and does nothing the second time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from review.cli import main
from tests.crash.test_pipeline import said, write_traces
from tests.faults import FaultServer
from tests.judging import opinion


@pytest.mark.slow
def test_a_week_from_a_folder_to_a_run_and_again_at_no_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIEW_CONFIG", str(tmp_path / "config.yaml"))
    folder, cli = tmp_path / "week", CliRunner()
    folder.mkdir()
    write_traces(folder / "monday.jsonl")
    db = ["--db", str(tmp_path / "r.duckdb")]
    with FaultServer(answer=said) as stack, FaultServer(answer=opinion) as judge:
        common = {"base_url": stack.url, "price": {"input": 1.0, "output": 1.0}}
        block = {
            "endpoints": {"old": common | {"model": "old"}, "new": common | {"model": "new"}},
            "replay": {"audit_size": 5, "customer_share": 0.1, "strip_pii": False},
            "judges": {
                "providers": [{"name": "near", "base_url": judge.url, "model": "judge-1"}],
                "votes": 1,
                "anchors": 0,
                "cache": {"semantic": False},
            },
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({"eval_config": block}))
        assert cli.invoke(main, ["run", "start", "awq", "--step", "quantization", *db]).exit_code == 0
        week = ["weekly", str(folder), "--run", "awq", "--json", *db]
        first = cli.invoke(main, week)
        assert first.exit_code == 0, first.output
        asked = len(stack.requests), len(judge.requests)
        second = cli.invoke(main, week)
        assert (len(stack.requests), len(judge.requests)) == asked
        unknown = cli.invoke(main, ["weekly", str(folder), "--run", "nothing", *db])
    one, two = (json.loads(each.stdout.splitlines()[-1]) for each in (first, second))
    assert (one["import"]["new"], two["import"]["files"], two["cost_usd"]) == (48, 0, 0)
    assert one["audit"] == 5
    assert one["round"]["round_id"] == two["round"]["round_id"]
    assert one["recorded"][0]["examples"] == one["pairs"] == 48
    assert "There is no run 'nothing'" in unknown.output
