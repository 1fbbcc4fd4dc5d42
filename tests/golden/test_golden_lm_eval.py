"""Files that the real harness wrote for its own mmlu_pro, bbh, ifeval and gpqa give the values that it reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from review import settings
from review.adapters import lm_eval
from review.adapters.lm_eval import Metric
from review.services import benchmarks, runs
from review.services.benchmarks import Options
from review.services.desk import OpenDesk, open_desk
from tests import harness

GOLDEN = Path(__file__).resolve().parent / "lm_eval"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenDesk]:
    with closing(open_desk(settings.load(tmp_path_factory.mktemp("golden") / "r.duckdb"), "ada")) as opened:
        for name in ("generated", "chosen"):
            spec = runs.described_by(["name=base"], ["name=q4"], name, "quantization", "a" * 64)
            opened.ask("runs.begin", spec.model_dump())
        yield opened


def taken(desk: OpenDesk, run: str, old: str, new: str, *tasks: str) -> dict[str, Any]:
    return benchmarks.import_output(desk, run, GOLDEN / old, GOLDEN / new, Options(tasks), lambda *_: None)


def test_what_was_generated_gives_the_harness_own_values_and_groups(desk: OpenDesk) -> None:
    found = taken(desk, "generated", "old", "new")
    tasks = {each["task"]: each for each in found["tasks"]}
    assert set(tasks) == {
        *("own_mmlu_pro_biology", "own_mmlu_pro_law", "own_bbh_boolean_expressions", "own_bbh_navigate"),
        *("own_ifeval", "own_gpqa_cot"),
    }
    for task in tasks.values():
        assert task["left_out"] == {}
        assert task["notes"] == []
        for metric in task["metrics"]:
            for side in ("old", "new"):
                assert metric[side]["value"] == pytest.approx(metric["reported"][side])
    groups = {each["group"]: each["metrics"] for each in found["groups"]}
    assert {name: [each["metric"] for each in metrics] for name, metrics in groups.items()} == {
        "own_bbh": ["exact_match,flexible-extract"],
        "own_mmlu_pro": ["exact_match,custom-extract"],
    }
    for metrics in groups.values():
        assert metrics[0]["weight_by_size"] is True
        assert metrics[0]["difference"]["value"] == pytest.approx(
            metrics[0]["reported"]["new"] - metrics[0]["reported"]["old"]
        )
    assert (
        next(each["metric"] for each in tasks["own_ifeval"]["metrics"] if each["primary"]) == "prompt_level_strict_acc"
    )
    strict = next(each for each in tasks["own_ifeval"]["metrics"] if each["metric"] == "inst_level_strict_acc")
    assert (strict["difference"]["n"], strict["difference"]["clusters"]) == (4, 3)


def test_choices_give_the_harness_own_values_and_are_shown_as_the_metric_made_them(desk: OpenDesk) -> None:
    for task in taken(desk, "chosen", "seed0", "seed7")["tasks"]:
        for metric in task["metrics"]:
            for side in ("old", "new"):
                assert metric[side]["value"] == pytest.approx(metric["reported"][side])
    output = lm_eval.read_output(GOLDEN / "seed0")
    for name in ("acc", "acc_norm"):
        metric = Metric(name, "none")
        for task in output.tasks.values():
            samples = lm_eval.read_samples(task)
            for doc, texts in lm_eval.read_texts(task, list(samples.values()), metric):
                assert (texts.response == texts.target) == (samples[doc].values[metric] == [1.0])


def test_the_files_that_tests_write_have_the_form_of_the_real_ones(tmp_path: Path) -> None:
    docs = [harness.Doc("1?", "1", "1", {"exact_match,strict-match": 1.0, "exact_match,flexible-extract": 0.0})]
    fake = harness.Fake("own_gpqa_cot", docs, filters=("strict-match", "flexible-extract"))
    folder = harness.write_output(tmp_path, "m", [fake])
    real = GOLDEN / "old"
    for pattern in ("results_*.json", "samples_own_gpqa_cot_*.jsonl"):
        ours, theirs = (
            json.loads(
                next(each.rglob(pattern)).read_text().splitlines()[0]
                if "samples" in pattern
                else next(each.rglob(pattern)).read_text()
            )
            for each in (folder, real)
        )
        assert set(ours) <= set(theirs)
        if "samples" in pattern:
            assert set(ours) == set(theirs)
            assert {name: type(value) for name, value in ours.items()} == {
                name: type(value) for name, value in theirs.items()
            }
        else:
            assert set(ours["configs"]["own_gpqa_cot"]) <= set(theirs["configs"]["own_gpqa_cot"])
            assert set(ours["results"]["own_gpqa_cot"]) == set(theirs["results"]["own_gpqa_cot"])
