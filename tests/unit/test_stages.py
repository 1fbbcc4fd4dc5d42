"""Stage functions run wherever they are: here, in other processes, and so on other machines, with the same result."""

from __future__ import annotations

import importlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from review.adapters import clustering
from review.domain.pipeline import Embedding
from review.domain.rubric import Rubric
from review.services.engine import run_stage
from review.services.judge_calls import JudgeSettings
from review.services.strip import StripSettings
from tests.faults import FaultServer
from tests.judging import judges, opinion, pair, provider

VECTORS = np.eye(4, 8, dtype=np.float32)
STAGES: dict[str, Any] = {
    "review.services.strip:strip_batch": StripSettings(key=b"k" * 32, patterns=(r"\bT-\d+\b",)),
    "review.services.compare:compare_stage": None,
    "review.adapters.clustering:assign_stage": VECTORS,
    "review.adapters.clustering:cluster_stage": clustering.Settings(5),
    "review.adapters.embedding:encode_stage": Embedding(),
    "review.services.judge_calls:judge_stage": JudgeSettings(judges(), Rubric(), Path("cache"), "run"),
}


def stage(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def batches(name: str) -> list[pa.Table]:
    """Three batches of what the stage takes."""
    made: list[pa.Table] = []
    for at in range(3):
        ids = [f"{at}-{row}" for row in range(4)]
        documents = [json.dumps(pair(each, new="good" if at else "bad")) for each in ids]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.roll(VECTORS, at, axis=1).ravel()), 8)
        mails = [json.dumps([{"role": "user", "content": f"I am Anna Weber, anna{each}@example.org"}]) for each in ids]
        made.append(
            {
                "review.services.strip:strip_batch": pa.table({"trace_id": ids, "messages": mails}),
                "review.services.compare:compare_stage": pa.table({"pair_id": ids, "document": documents}),
                "review.adapters.clustering:assign_stage": pa.table({"vector": vectors}),
                "review.services.judge_calls:judge_stage": pa.table(
                    {"pair_id": ids, "document": documents, "purpose": ["vote"] * 4, "salt": [""] * 4}
                ),
            }[name]
        )
    return made


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_and_its_settings_can_be_sent_elsewhere(name: str) -> None:
    function = stage(name)
    assert function.__qualname__ == name.partition(":")[2], "it stands at the top of its module"
    assert pickle.loads(pickle.dumps(function)) is function
    sent = pickle.loads(pickle.dumps(STAGES[name]))
    assert np.array_equal(sent, STAGES[name]) if isinstance(sent, np.ndarray) else sent == STAGES[name]


@pytest.mark.parametrize(
    "name",
    [
        "review.services.strip:strip_batch",
        "review.services.compare:compare_stage",
        "review.adapters.clustering:assign_stage",
    ],
)
def test_a_stage_gives_the_same_here_and_in_two_other_processes(name: str) -> None:
    here = list(run_stage(stage(name), batches(name), STAGES[name], workers=0))
    elsewhere = list(run_stage(stage(name), batches(name), STAGES[name], workers=2))
    assert [each.to_pylist() for each in elsewhere] == [each.to_pylist() for each in here]
    assert [each.schema for each in elsewhere] == [each.schema for each in here]
    assert sum(len(each) for each in here) == 12


def test_judging_gives_the_same_in_two_other_processes_and_the_cache_is_shared(tmp_path: Path) -> None:
    name = "review.services.judge_calls:judge_stage"
    with FaultServer(answer=opinion) as server:
        settings = JudgeSettings(judges(provider(server)), Rubric(), tmp_path / "cache", "run")
        elsewhere = list(run_stage(stage(name), batches(name), settings, workers=2))
        asked = len(server.requests)
        here = list(run_stage(stage(name), batches(name), settings, workers=0))
        assert len(server.requests) == asked > 0
    names = ("pair_id", "served", "votes", "failed")
    assert [each.select(names).to_pylist() for each in elsewhere] == [each.select(names).to_pylist() for each in here]
