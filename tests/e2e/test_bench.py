"""`review bench` with the real harness, and `review golden score`, against two real model servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from review.adapters.local_model import ModelServer
from review.cli import main
from tests import harness
from tests.servers import endpoint

pytestmark = pytest.mark.slow
KEY = "sk-tests-only-0815"
TASK = """task: own_sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}} Answer with a number alone."
doc_to_target: "{{{{answer}}}}"
filter_list:
  - name: last-number
    filter: [{{function: regex, regex_pattern: '(-?[0-9]+)', group_select: -1}}, {{function: take_first}}]
generation_kwargs: {{until: ["\\n"], max_gen_toks: 12, temperature: 0}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1.0}}
"""


def test_the_real_harness_runs_against_both_servers_once_and_its_values_are_ours(
    tmp_path: Path, old_server: ModelServer, new_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_KEY", KEY)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    questions = [{"question": f"What is {at} plus {at + 1}?", "answer": str(2 * at + 1)} for at in range(8)]
    (tasks / "sums.jsonl").write_text("".join(json.dumps(each) + "\n" for each in questions))
    (tasks / "sums.yaml").write_text(TASK.format(data=tasks / "sums.jsonl"))
    db = ["--db", str(tmp_path / "r.duckdb")]
    cli = CliRunner()
    start = ["run", "start", "q4", "--step", "quantization", "--old", "model=f16", "--new", "model=q4", *db]
    assert cli.invoke(main, start).exit_code == 0
    bench = ["bench", "--run", "q4", "--tasks", "own_sums", "--include-path", str(tasks), "--limit", "6"]
    sides = ["--old", old_server.url, old_server.model.name, "--new", new_server.url, new_server.model.name]
    asked = [*bench, *sides, "--key-env", "BENCH_KEY", "--harness", str(harness.provide()), "--json", *db]

    first = cli.invoke(main, asked)
    assert first.exit_code == 0, first.output
    task = json.loads(first.stdout)["tasks"][0]
    assert (task["task"], task["documents"], task["stood"]) == ("own_sums", 6, False)
    metric = task["metrics"][0]
    assert metric["metric"] == "exact_match,last-number"
    for side in ("old", "new"):
        assert metric[side]["value"] == pytest.approx(metric["reported"][side])
    assert "old: 6 of 6 requests" in first.stderr
    assert "new: 6 of 6 requests" in first.stderr
    kept = tmp_path / "r.duckdb.bench"
    models = {json.loads(each.read_text())["model_name"] for each in kept.rglob("results_*.json")}
    assert models == {old_server.model.name, new_server.model.name}
    assert not [each for each in kept.rglob("*") if each.is_file() and KEY.encode() in each.read_bytes()]

    tokens = old_server.tokens(), new_server.tokens()
    again = cli.invoke(main, asked)
    assert json.loads(again.stdout)["tasks"][0]["stood"] is True
    assert (old_server.tokens(), new_server.tokens()) == tokens
    shown = cli.invoke(main, ["run", "show", "q4", "--json", *db])
    assert [each["part"] for each in json.loads(shown.stdout)["parts"]] == ["own_sums"]


def test_a_golden_set_is_scored_with_two_real_stacks_and_a_real_judge(
    tmp_path: Path, old_server: ModelServer, new_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    more: dict[str, Any] = {"parameters": {"seed": 1}, "timeout_seconds": 300.0}
    judge = {"name": "here", **endpoint(old_server, price={"input": 1.0, "output": 2.0}, **more)}
    # One token is the same from both, so that the judge, which reads slowly here, is asked once.
    short = {"temperature": 0, "max_tokens": 1, "seed": 1}
    said = {
        "endpoints": {
            "old": endpoint(old_server, parameters=short),
            "new": endpoint(new_server, parameters=short),
        },
        "judges": {"votes": 1, "providers": [judge]},
        "replay": {"strip_pii": False},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"eval_config": said}))
    monkeypatch.setenv("REVIEW_CONFIG", str(tmp_path / "config.yaml"))
    item = {"item_id": "i", "prompt": "Name a city.", "reference": "Lima.", "rubric": ["Names a city"]}
    (tmp_path / "items.jsonl").write_text(json.dumps(item) + "\n")

    def review(*words: str) -> dict[str, Any]:
        done = CliRunner().invoke(main, [*words, "--json", "--db", str(tmp_path / "r.duckdb")])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    review("golden", "import", str(tmp_path / "items.jsonl"))
    review("golden", "freeze")
    review("run", "start", "q4", "--step", "quantization")
    scored = review("golden", "score", "--run", "q4", "--with-gaps")
    assert (scored["asked"], scored["without_answer"], scored["rubric"], scored["recorded"]) == (1, {}, 1, 1)
    assert scored["stopped"] is None
    assert scored["spent_usd"] > 0
    tokens = old_server.tokens(), new_server.tokens()
    again = review("golden", "score", "--run", "q4")
    assert (again["stood"], again["spent_usd"]) == (True, 0)
    (part,) = review("run", "show", "q4")["parts"]
    assert part["detail"]["judges"] == [old_server.model.name]
    assert (old_server.tokens(), new_server.tokens()) == tokens
