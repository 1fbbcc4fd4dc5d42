"""Slices of a run against values by hand: parts, prompts by length, chains of tool calls, two runs compared."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from review.domain import steps
from review.domain.steps import Chain, Step
from review.domain.types import Output
from review.services import run_slices
from review.services.runs import conform
from review.stats.estimate import Estimate, NotEstimable
from review.stats.paired import tango


def outcomes(rows: list[dict[str, Any]]) -> Any:
    """A table as store.runs.outcomes gives it; what a row does not say has its default."""
    defaults: dict[str, Any] = {"metric": "acc", "old": None, "new": None, "evidence": "replay", "part": "s"}
    whole = [{**defaults, "example_id": f"e{at}", "prompt_id": f"p{at}", **row} for at, row in enumerate(rows)]
    names = {name for row in whole for name in row} - {"evidence", "part"}
    fill = {"repeat": 0, "same": False, "decided_by": "metric", "weight": 1.0}
    columns = {name: [row.get(name, fill.get(name)) for row in whole] for name in names}
    table: Any = conform(pa.table(columns))
    for at, name in enumerate(("evidence", "part")):
        table = table.add_column(at, name, pa.array([row[name] for row in whole]))
    return table


def rights(values: list[tuple[float | None, float | None]], **same: Any) -> list[dict[str, Any]]:
    return [{"old": old, "new": new, **same} for old, new in values]


def value(result: object) -> Estimate:
    assert isinstance(result, Estimate)
    return result


def test_a_part_of_equal_examples_has_tangos_difference() -> None:
    table = outcomes(rights([(1, 1)] * 60 + [(1, 0)] * 9 + [(0, 1)] * 3 + [(0, 0)] * 28))
    (part,) = run_slices.by_part_of(table)
    by_hand = value(tango(60, 9, 3, 28))
    found = value(part.difference)
    assert found.value == pytest.approx(-0.06)
    # Student's t with 99 degrees of freedom instead of the normal: a little wider.
    assert (found.low, found.high) == pytest.approx((by_hand.low, by_hand.high), abs=0.003)
    assert found.low < by_hand.low
    assert value(part.old).value == pytest.approx(0.69)
    assert value(part.new).value == pytest.approx(0.63)
    assert (part.worse, part.better, part.undecided, part.examples) == (9, 3, 0, 100)


def test_an_example_counts_as_its_traffic_and_the_same_and_a_tie_are_no_difference() -> None:
    rows = [
        {"old": 1.0, "new": 0.0, "weight": 6.0},
        {"same": True, "weight": 2.0},
        {"decided_by": "judge j", "weight": 1.0},  # a tie
        {"old": 0.0, "new": 1.0, "weight": 3.0},
        {"decided_by": "nobody", "weight": 50.0},
    ]
    (part,) = run_slices.by_part_of(outcomes(rows))
    found = value(part.difference)
    assert found.value == pytest.approx((-6 + 3) / 12)
    assert found.n == 4
    assert found.exclusions == {"nothing says who is right": 1}
    assert part.undecided == 1


def test_buckets_by_length_keep_empty_ones_and_leave_the_adversarial_set_out() -> None:
    lengths = [0, 4095, 4096, 16383, 16384, 32767, None]
    rows = [{"old": 1.0, "new": float(at % 2), "prompt_tokens": tokens} for at, tokens in enumerate(lengths)]
    rows.append({"old": 0.0, "new": 0.0, "prompt_tokens": 50_000, "evidence": "adversarial"})
    found = run_slices.long_context_of(outcomes(rows))
    assert [(each.name, each.n) for each in found.buckets] == [
        ("under 4k", 2),
        ("4k to 16k", 2),
        ("16k to 32k", 2),
        ("over 32k", 0),
    ]
    assert found.without == 1
    assert value(found.buckets[0].difference).value == pytest.approx(-0.5)
    assert isinstance(found.buckets[3].difference, NotEstimable)
    assert found.to_json()["buckets"][3]["n"] == 0


def test_parts_are_joined_by_examples_and_not_by_traffic() -> None:
    replay = rights([(1, 0), (1, 1), (1, 1), (1, 1)], prompt_tokens=10, weight=500.0)
    bench = rights([(0, 1), (1, 1)], prompt_tokens=10, evidence="benchmark", part="mmlu")
    bucket = run_slices.long_context_of(outcomes([*replay, *bench])).buckets[0]
    assert value(bucket.difference).value == pytest.approx((-1 + 1) / 6)
    by_kind = {kind: (n, value(found).value) for kind, n, found in bucket.by_evidence}
    assert by_kind == {"benchmark": (2, pytest.approx(0.5)), "replay": (4, pytest.approx(-0.25))}


def test_several_metrics_are_one_example_and_repeats_count_nowhere() -> None:
    rows = [
        {"example_id": "a", "prompt_id": "a", "metric": "m1", "old": 1.0, "new": 0.0},
        {"example_id": "a", "prompt_id": "a", "metric": "m2", "old": 1.0, "new": 1.0},
        {"example_id": "b", "prompt_id": "b", "old": 1.0, "new": 1.0},
        {"example_id": "b", "prompt_id": "b", "old": 0.0, "new": None, "repeat": 1},
    ]
    (part,) = run_slices.by_part_of(outcomes(rows))
    assert value(part.difference).value == pytest.approx(-0.25)  # (mean(-1, 0) + 0) / 2
    assert (part.examples, value(part.difference).clusters) == (2, 2)


def test_chains_are_completed_or_break_at_a_step() -> None:
    rows = [
        {"steps": 3, "old_steps": 3, "new_steps": 3, "old_cut": False, "new_cut": False},
        {"steps": 3, "old_steps": 3, "new_steps": 1, "old_cut": False, "new_cut": True},
        {"steps": 1, "old_steps": 1, "new_steps": 0, "old_cut": False, "new_cut": False},
        {"steps": 20, "old_steps": 2, "new_steps": 15},
        {"old": 1.0, "new": 1.0},  # no chain
    ]
    found = run_slices.tool_chains_of(outcomes(rows))
    assert (found.chains, found.single) == (4, 1)
    assert value(found.completed_old).value == pytest.approx(0.75)
    assert value(found.completed_new).value == pytest.approx(0.25)
    difference = value(found.difference)
    assert difference.value == pytest.approx(-0.5)
    assert difference.low < -0.5 < difference.high
    broken = [(each.step, each.old, each.new) for each in found.first_wrong if each.old or each.new]
    assert broken == [(1, 0, 1), (2, 0, 1), (3, 1, 0), (None, 0, 1)]
    assert value(found.cut_new).value == pytest.approx(1 / 3)  # of three chains that tell
    assert value(found.cut_difference).value == pytest.approx(1 / 3)


def test_without_chains_that_is_said() -> None:
    found = run_slices.tool_chains_of(outcomes(rights([(1, 1)])))
    assert found.to_json()["difference"] == {"not_estimable": "no chain of tool calls"}
    assert found.first_wrong == ()


def test_two_candidates_are_compared_example_by_example() -> None:
    a = outcomes(rights([(1, 1), (1, 0), (1, 1), (0, 1), (1, 1)]))
    rows = [{"example_id": f"e{at}", "prompt_id": f"p{at}", "old": 1.0} for at in range(6)]
    for row, new in zip(rows, (0.0, 1.0, 1.0, 1.0, None, 1.0), strict=True):
        row["new"] = new
    found = run_slices.compare_of(a, outcomes(rows), same_baseline=True)
    assert (found.shared, found.only_a, found.only_b, found.unknown) == (5, 0, 1, 1)
    assert [(each.example_id, each.old, each.new) for each in found.worse] == [("e0", 1.0, 0.0)]
    assert [each.example_id for each in found.better] == ["e1"]
    assert value(found.difference).value == pytest.approx(0.0)
    assert [(each.evidence, each.n, each.better, each.worse) for each in found.kinds] == [("replay", 5, 1, 1)]


def test_open_values_compare_by_a_common_baseline_alone() -> None:
    a = outcomes([{"decided_by": "judge j", "old": 1.0, "new": 0.0}, {"same": True}])
    b = outcomes([{"decided_by": "judge j"}, {"same": True}])  # a tie with old, where A was worse
    assert [each.example_id for each in run_slices.compare_of(a, b, same_baseline=True).better] == ["e0"]
    assert run_slices.compare_of(a, b, same_baseline=False).unknown == 2


def test_versions_of_a_golden_set_are_not_the_same_examples_and_samples_are() -> None:
    for evidence, shared in (("golden", 0), ("replay", 1), ("adversarial", 1)):
        one, other = (outcomes([{"evidence": evidence, "part": part, "new": 1.0}]) for part in ("v1", "v2"))
        assert run_slices.compare_of(one, other, same_baseline=True).shared == shared


def test_a_hundred_thousand_outcomes_take_less_than_two_seconds() -> None:
    count, rng = 100_000, np.random.default_rng(5)
    names = np.arange(count)
    table: Any = conform(
        pa.table(
            {
                "example_id": [f"e{at}" for at in names],
                "metric": ["acc"] * count,
                "prompt_id": [f"p{at // 2}" for at in names],
                "old": (rng.random(count) < 0.8).astype(float),
                "new": (rng.random(count) < 0.8).astype(float),
                "weight": rng.uniform(1, 9, count),
                "prompt_tokens": rng.integers(0, 50_000, count),
                "steps": np.where(names % 3 == 0, 4, 1).astype(np.int32),
                "old_steps": rng.integers(0, 2, count).astype(np.int32),
                "new_steps": rng.integers(0, 2, count).astype(np.int32),
            }
        )
    )
    table = table.add_column(0, "evidence", pa.array(["replay"] * count)).add_column(1, "part", pa.array(["s"] * count))
    for work in (
        lambda: run_slices.by_part_of(table),
        lambda: run_slices.long_context_of(table),
        lambda: run_slices.tool_chains_of(table),
        lambda: run_slices.compare_of(table, table, same_baseline=True),
    ):
        begun = time.process_time()
        work()
        assert time.process_time() - begun < 2


def test_a_chain_counts_steps_that_were_not_asked_as_right() -> None:
    assert steps.chain([Step(4, old=True, new=False, old_cut=False)]) == Chain(4, 4, 3, False, None)
    assert steps.chain([Step(1, old=False, new=True), Step(2, old=True, new=True)]) == Chain(2, 0, 2, None, None)


@pytest.mark.parametrize(
    "reference",
    [
        '{"name": "find", "arguments": {"id": 1}}',
        '{"name": "find", "arguments": "{\\"id\\": 1.0}"}',
        '[{"function": {"name": "find", "arguments": {"id": 1}}}]',
        '{"tool_calls": [{"function": {"name": "find", "arguments": {"id": 1}}}]}',
    ],
)
def test_a_reference_is_a_call_in_any_spelling(reference: str) -> None:
    found = steps.expected(reference)
    assert found is not None
    answer = {"content": "Let me look.", "tool_calls": [{"function": {"name": "find", "arguments": '{"id": 1}'}}]}
    assert steps.makes(Output.model_validate(answer), found)
    answer["tool_calls"] = [{"function": {"name": "find", "arguments": '{"id": "1"}'}}]
    assert not steps.makes(Output.model_validate(answer), found)
    assert not steps.makes(Output(content="prose"), found)


@pytest.mark.parametrize(
    "reference", [None, "", "Say that it is late.", "{not JSON", "[]", "[1, 2]", '{"tool_calls": [7]}']
)
def test_what_is_no_structured_reference_is_none(reference: str | None) -> None:
    assert steps.expected(reference) is None


def test_a_json_reference_is_compared_by_value() -> None:
    reference = steps.expected('{"total": 3, "items": ["a"]}')
    assert reference is not None
    assert steps.makes(Output(content='{"items": ["a"], "total": 3.0}'), reference)
    assert not steps.makes(Output(content='{"items": ["a"], "total": 4}'), reference)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"content": "a", "finish_reason": "length"}, True),
        ({"content": "a", "finish_reason": "stop"}, False),
        ({"content": "a"}, None),
        ({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": '{"a": '}}]}, True),
        ({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}]}, False),
        ({"content": '{"a": '}, True),
    ],
)
def test_what_tells_that_an_answer_was_cut_off(answer: dict[str, Any], expected: bool | None) -> None:
    assert steps.cut(Output.model_validate(answer)) is expected
