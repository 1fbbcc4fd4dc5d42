"""Recording replay into a run: who decides each example, what it stands for, chains of tool calls, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from review.cli import main
from review.errors import BadInput, Conflict, NotFound
from review.services import contracts, run_record, run_slices, runs
from review.services.desk import Call, LocalDesk
from review.services.population import population
from review.services.workspace import Workspace
from review.stats.estimate import Estimate
from tests.conftest import NOW, shared
from tests.running import Asked, add_pairs, begin, call, desk_of, label, pair_of, stacks_of, vote


@pytest.fixture
def desk(workspace: Workspace, tmp_path: Path) -> LocalDesk:
    return desk_of(workspace, tmp_path)


def recorded(desk: LocalDesk, run: str) -> dict[str, dict[str, Any]]:
    """The outcomes by example."""
    return {row["example_id"].rsplit("-", 1)[1]: row for row in runs.outcomes(desk.workspace, run).to_pylist()}


def values(row: dict[str, Any]) -> tuple[object, ...]:
    return (row["old"], row["new"], row["same"], row["decided_by"])


def test_known_correctness_then_people_then_structure_then_the_judge_decide(desk: LocalDesk) -> None:
    tool, other = {"content": None, "tool_calls": [call("find", {"id": 1})]}, [call("find", {"id": 2.0})]
    reference = json.dumps({"name": "find", "arguments": {"id": 1.0}})
    add_pairs(
        desk,
        [
            Asked(
                {"content": "a", "correct": True}, {"content": "b", "correct": False}
            ),  # t0 known, whatever people say
            Asked("a", "b"),  # t1 people
            Asked("a", "b"),  # t2 people cannot tell of new
            Asked(tool, {"content": None, "tool_calls": other}, reference=reference),  # t3 by the reference
            Asked("same", "same"),  # t4 identical
            Asked(tool, {"content": None, "tool_calls": [call("find", '{"id": 1.0}')]}),  # t5 the same call
            Asked("a", "b"),  # t6 the judge's errors
            Asked("a", "b"),  # t7 the judge's preference
            Asked("a", "b"),  # t8 a tie
            Asked("a", "b"),  # t9 nobody
            Asked("a", "b"),  # t10 people split, so the judge
        ],
    )
    workspace = desk.workspace
    pairs = [pair_of(workspace, f"sample-1-t{at}") for at in range(11)]
    label(workspace, pairs[0], "confident", "none")
    label(workspace, pairs[1], "none", "cautious")
    vote(workspace, pairs[1], "new")
    label(workspace, pairs[2], "none", "cannot_tell")
    vote(workspace, pairs[6], "new", old="none", new="none")
    vote(workspace, pairs[7], "new")
    vote(workspace, pairs[8], "tie")
    label(workspace, pairs[10], "none", "none", reviewer="Mara")
    label(workspace, pairs[10], "other", "none", reviewer="Noor")
    vote(workspace, pairs[10], "old")
    run = begin(desk)
    (made,) = run_record.record(desk, "awq")
    found = {name: values(row) for name, row in recorded(desk, run).items()}
    assert found == {
        "t0": (1.0, 0.0, False, "known"),
        "t1": (1.0, 0.0, False, "label"),
        "t2": (1.0, None, False, "label"),
        "t3": (1.0, 0.0, False, "structured"),
        "t4": (None, None, True, "structured"),
        "t5": (None, None, True, "structured"),
        "t6": (1.0, 1.0, False, "judge judge-1"),
        "t7": (0.0, 1.0, False, "judge judge-1"),
        "t8": (None, None, False, "judge judge-1"),
        "t9": (None, None, False, "nobody"),
        "t10": (1.0, 0.0, False, "judge judge-1"),
    }
    assert made.decided == {"judge judge-1": 4, "structured": 3, "label": 2, "known": 1, "nobody": 1}
    # A tie and the same answers are no difference; what people cannot tell and nobody decides is unknown.
    table = runs.outcomes(workspace, run)
    differences, known = runs.differences(table)
    names = [each.rsplit("-", 1)[1] for each in table["example_id"].to_pylist()]
    assert {name for name, told in zip(names, known, strict=True) if not told} == {"t2", "t9"}
    assert {name: value for name, value in zip(names, differences.tolist(), strict=True) if value} == {
        "t0": -1.0,
        "t1": -1.0,
        "t3": -1.0,
        "t7": 1.0,
        "t10": -1.0,
    }


def test_an_adjudication_outranks_the_majority_and_a_verdict_that_follows_the_order_says_nothing(
    desk: LocalDesk,
) -> None:
    add_pairs(desk, [Asked("a", "b"), Asked("a", "b")])
    first, second = (pair_of(desk.workspace, f"sample-1-t{at}") for at in range(2))
    for reviewer in ("Mara", "Noor", "Ida"):
        label(desk.workspace, first, "none", "confident", reviewer=reviewer)
    label(desk.workspace, first, "none", "none", reviewer="Lea", kind="adjudication")
    with desk.workspace.database.transaction() as cursor:
        for number, side in ((1, "old"), (2, "new")):
            cursor.execute(
                "INSERT INTO verdict (pair_id, judge, vote, shown_first, winner, imported_at) SELECT ?, ?, ?, ?, ?, ?",
                [second, "judge-1", number, side, side, NOW],
            )
    run = begin(desk)
    run_record.record(desk, run)
    found = recorded(desk, run)
    assert values(found["t0"]) == (1.0, 1.0, False, "label")
    assert values(found["t1"]) == (None, None, False, "nobody")


def test_the_judge_of_the_contract_that_was_signed_decides_and_not_the_configurations(desk: LocalDesk) -> None:
    add_pairs(desk, [Asked("a", "b"), Asked("a", "b")])
    first, second = (pair_of(desk.workspace, f"sample-1-t{at}") for at in range(2))
    vote(desk.workspace, first, "old", judge="busy")
    vote(desk.workspace, second, "old", judge="busy")
    vote(desk.workspace, first, "new", judge="agreed")
    run = begin(desk)

    def decided(name: str) -> dict[str, int]:
        return run_record.record(desk, run, name=name)[0].decided

    assert decided("whoever judged most") == {"judge busy": 2}
    contract = desk.settings.config.contract.model_copy(update={"judge": "busy"})
    configured = desk.settings.config.model_copy(update={"contract": contract})
    workspace = Workspace(
        desk.workspace.database, desk.settings.model_copy(update={"config": configured}), desk.workspace.key
    )
    for judge in ("agreed", "absent"):
        terms = contracts.configured(configured).model_copy(update={"judge": judge})
        contracts.sign(workspace, Call({"terms": terms.model_dump(mode="json"), "name": "Ana"}, None, "ana", NOW))
        (made,) = run_record.record(LocalDesk(workspace, "Lea"), run, name=judge)
        assert made.decided == ({"judge agreed": 1, "nobody": 1} if judge == "agreed" else {"nobody": 2})
        assert any("judged none of these pairs" in each for each in made.notes) == (judge == "absent")


def test_an_example_stands_for_the_traffic_of_its_sample(desk: LocalDesk) -> None:
    # Of 4 traces drawn with 1/2 in one cluster 2 became pairs: each stands for 4; in the other, drawn with 1/5, for 5.
    part = [Asked("a", "b", paired=at % 2 == 0) for at in range(4)]
    add_pairs(desk, [*part, Asked("a", "b", pi=0.2, stratum="cluster-1")])
    run = begin(desk)
    (made,) = run_record.record(desk, run)
    assert {name: row["weight"] for name, row in recorded(desk, run).items()} == {"t0": 4.0, "t2": 4.0, "t4": 5.0}
    assert made.detail["drawn"] == 5
    assert "3 of 5 traces" in made.notes[0]
    # With one sample that is what the population says, which parity is weighted by.
    frame = population(desk.workspace, None, runs.traffic_sources(desk.workspace, run))
    assert sorted(frame.traffic[frame.inside].tolist()) == pytest.approx([4.0, 4.0, 5.0])


def test_the_prompt_is_as_long_as_the_baseline_counted_else_estimated_from_those_that_were_counted(
    desk: LocalDesk,
) -> None:
    counted = [
        Asked({"content": "a", "usage": {"prompt_tokens": 50}}, {"content": "b", "usage": {"prompt_tokens": 70}})
        for _ in range(20)
    ]
    add_pairs(desk, [*counted, Asked("a", {"content": "b", "usage": {"prompt_tokens": 9}}), Asked("a", "b")])
    run = begin(desk)
    (made,) = run_record.record(desk, run)
    found = recorded(desk, run)
    assert found["t0"]["prompt_tokens"] == 50
    assert found["t20"]["prompt_tokens"] == 9
    length = len('[{"role":"user","content":"What now?"}]')
    # All inputs are alike: 21 of them have 20 * 50 + 9 tokens.
    assert found["t21"]["prompt_tokens"] == round(1009 / 21)
    said = made.detail["prompt_tokens"]
    assert (said["counted"], said["estimated"]) == (21, 1)
    assert said["characters_a_token"] == pytest.approx(21 * length / 1009, rel=0.1)
    assert "as measured" in said["how"]


def test_steps_of_a_conversation_make_one_chain(desk: LocalDesk) -> None:
    log = [call("find", {"id": 1})]
    right = {"content": None, "tool_calls": [call("find", {"id": 1.0})], "finish_reason": "tool_calls"}
    wrong = {"content": None, "tool_calls": [call("find", {"id": "1"})], "finish_reason": "tool_calls"}
    cut = {"content": None, "tool_calls": [call("find", '{"id": ')], "finish_reason": "length"}
    add_pairs(
        desk,
        [
            Asked(right, right, called=0, conversation="c1", log=log),
            Asked(right, wrong, called=1, conversation="c1", log=log),
            Asked("Anything else?", "Bye", called=2, conversation="c1"),  # the log calls nothing: no step
            Asked(right, cut, called=2, conversation="c2", log=log),  # two calls of the log came before
            Asked("done", "done", conversation="c3"),
        ],
    )
    run = begin(desk)
    (made,) = run_record.record(desk, run)
    found = recorded(desk, run)
    chain = ("steps", "old_steps", "new_steps", "old_cut", "new_cut")
    assert [found["t1"][name] for name in chain] == [2, 2, 1, False, False]
    assert [found["t3"][name] for name in chain] == [3, 3, 2, False, True]
    assert {name for name, row in found.items() if row["steps"] is not None} == {"t1", "t3"}
    assert made.chains == 2
    assert made.detail["steps"] == {"chains": 2, "steps": 3, "by_reference": 0, "by_log": 3, "old_is_the_log": 0}


def test_real_conversations_with_tools_become_chains(desk: LocalDesk) -> None:
    """Airline conversations: every logged call is asked again; new gets some wrong, each time at a known step."""
    lines = shared("data/tau_airline/traces.jsonl").read_text("utf-8").splitlines()[:12]
    rng = np.random.default_rng(11)
    asked: list[Asked] = []
    expected: dict[str, tuple[int, int, bool]] = {}
    for conversation in map(json.loads, lines):
        name, messages = conversation["trace_id"], conversation["messages"]
        calls = [at for at, message in enumerate(messages) if message.get("tool_calls")]
        wrong = rng.random(len(calls)) < 0.2
        for step, at in enumerate(calls):
            right = {"content": None, "tool_calls": messages[at]["tool_calls"], "finish_reason": "tool_calls"}
            function = messages[at]["tool_calls"][0]["function"]
            cut = {"function": {"name": function["name"], "arguments": function["arguments"][:-1]}}
            broken = {"content": None, "tool_calls": [cut], "finish_reason": "length"}
            asked.append(
                Asked(
                    right,
                    broken if wrong[step] else right,
                    conversation=name,
                    log=messages[at]["tool_calls"],
                    messages=messages[:at],
                    prompt_id=name,
                )
            )
        if calls:
            first = int(np.argmax(wrong)) if wrong.any() else len(calls)
            expected[name] = (len(calls), first, bool(wrong.any()))
    add_pairs(desk, asked)
    run = begin(desk)
    (made,) = run_record.record(desk, run)
    rows = [row for row in runs.outcomes(desk.workspace, run).to_pylist() if row["steps"] is not None]
    assert {row["prompt_id"]: (row["steps"], row["new_steps"], row["new_cut"]) for row in rows} == expected
    assert all(row["old_steps"] == row["steps"] for row in rows)
    assert made.detail["steps"]["steps"] == len(asked) > 30
    found = run_slices.tool_chains(desk.workspace, run)
    assert isinstance(found.completed_new, Estimate)
    assert found.completed_new.n == len(expected)


def test_a_given_reference_outranks_the_log(desk: LocalDesk) -> None:
    answers = [{"content": None, "tool_calls": [call(name)]} for name in ("book", "cancel")]
    add_pairs(desk, [Asked(*answers, log=[call("book")], reference='[{"name": "cancel", "arguments": {}}]')])
    run = begin(desk)
    run_record.record(desk, run)
    row = recorded(desk, run)["t0"]
    assert (row["old_steps"], row["new_steps"], row["old"], row["new"]) == (0, 1, 0.0, 1.0)


def test_where_the_log_is_olds_own_answer_that_is_said(workspace: Workspace, tmp_path: Path) -> None:
    desk = desk_of(workspace, tmp_path, strip_pii=False)
    answer = {"content": None, "tool_calls": [call("find")]}
    add_pairs(desk, [Asked(answer, {"content": "no"}, log=[call("find")])], logged=True)
    begin(desk)
    (made,) = run_record.record(desk, "awq")
    assert made.detail["steps"]["old_is_the_log"] == 1
    assert any("old is right there by definition" in each for each in made.notes)


def test_recording_twice_is_once_and_later_labels_need_another_name(desk: LocalDesk) -> None:
    add_pairs(desk, [Asked("a", "b"), Asked("c", "d")])
    run = begin(desk)
    assert [each.new for each in run_record.record(desk, run)] == [True]
    assert [each.new for each in run_record.record(desk, run)] == [False]
    label(desk.workspace, pair_of(desk.workspace, "sample-1-t0"), "none", "confident")
    with pytest.raises(Conflict, match="--as NAME"):
        run_record.record(desk, run)
    (made,) = run_record.record(desk, run, name="with labels")
    assert made.detail["supersedes"] == ["sample-1"]
    document = desk.ask("runs.read", {"run": run}).document["runs"][0]
    assert [(each["part"], each["superseded_by"]) for each in document["parts"]] == [
        ("sample-1", "with labels"),
        ("with labels", None),
    ]
    assert document["cost_usd"] == pytest.approx(0.004)  # two traces, two answers each; counted once
    table = runs.outcomes(desk.workspace, run)
    assert set(table["part"].to_pylist()) == {"with labels"}
    assert runs.all_outcomes(desk, run).num_rows == 2
    # Without a name, what stands under another one is found again.
    assert [(each.part, each.new) for each in run_record.record(desk, run)] == [("with labels", False)]


def test_a_sample_of_other_stacks_is_refused(desk: LocalDesk, tmp_path: Path) -> None:
    add_pairs(desk, [Asked("a", "b")])
    other = runs.configured(desk.settings, "awq", "quantization")
    candidate = other.candidate.model_copy(update={"config_hash": "b" * 64})
    desk.ask("runs.begin", other.model_copy(update={"candidate": candidate}).model_dump())
    with pytest.raises(
        BadInput, match=f"bbbbbbbbbbbb; the newest sample sample-1 has pairs of {stacks_of(desk)[0][:12]}"
    ):
        run_record.record(desk, "awq")
    begin(desk, "words", old=["name=base"], new=["name=awq"])
    (made,) = run_record.record(desk, "words")
    assert "does not say of which configuration its baseline and candidate came" in made.notes[0]
    with pytest.raises(NotFound, match="Sample 'sample-9' has no pairs"):
        run_record.record(desk, "words", sample="sample-9")


def test_imported_pairs_of_a_source_are_told_apart_by_prompt_and_order(desk: LocalDesk, tmp_path: Path) -> None:
    records = [
        {
            "prompt_id": "p",
            "messages": [{"role": "user", "content": "x"}],
            "old": {"content": "a"},
            "new": {"content": "b"},
        },
        {
            "prompt_id": "p",
            "messages": [{"role": "user", "content": "y"}],
            "old": {"content": "a"},
            "new": {"content": "b"},
        },
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(each) for each in records))
    desk.workspace.close()
    db, cli = ["--db", str(tmp_path / "review.duckdb")], CliRunner()
    for words in (
        ["import", "pairs", str(file)],
        ["run", "start", "r", "--step", "kernel", "--old", "name=a", "--new", "name=b"],
    ):
        assert cli.invoke(main, [*words, *db]).exit_code == 0
    unknown = cli.invoke(main, ["run", "record", "r", "--source", "other.jsonl", *db])
    assert unknown.exit_code == 1
    assert "There are: pairs.jsonl" in unknown.output
    done = cli.invoke(main, ["run", "record", "r", "--source", "pairs.jsonl", "--shadow", "--json", *db])
    assert done.exit_code == 0, done.output
    (part,) = json.loads(done.stdout)["parts"]
    assert (part["evidence"], part["source"], part["examples"]) == ("shadow", "pairs.jsonl", 2)
    shown = json.loads(cli.invoke(main, ["run", "show", "r", "--json", *db]).stdout)
    assert shown["slices"][0]["undecided"] == 2
    assert "2 undecided" in cli.invoke(main, ["run", "show", "r", *db]).output
    compared = json.loads(cli.invoke(main, ["run", "compare", "r", "r", "--json", *db]).stdout)
    assert (compared["shared"], compared["unknown"]) == (2, 2)


def test_pages_of_pairs_are_joined_without_loss(desk: LocalDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("review.services.run_record.PAGE", 3)
    add_pairs(desk, [Asked(f"a{at}", f"b{at}") for at in range(8)])
    run = begin(desk)
    told: list[tuple[int, int]] = []
    run_record.record(desk, run, tell=lambda done, total: told.append((done, total)))
    assert told == [(3, 8), (6, 8), (8, 8)]
    assert np.array_equal(sorted(recorded(desk, run)), [f"t{at}" for at in range(8)])


@pytest.mark.parametrize(("served", "by_log"), [("old", 1), ("new", 0)])
def test_live_traffic_is_evidence_of_the_kind_shadow(desk: LocalDesk, tmp_path: Path, served: str, by_log: int) -> None:
    record = {
        "trace_id": "live-1",
        "messages": [{"role": "user", "content": "Find it"}],
        "response": {"content": None, "tool_calls": [call("find")]},
        "shadow": {"content": None, "tool_calls": [call("other")]},
        "conversation": "c",
        "served": served,
    }
    file = tmp_path / "live.jsonl"
    file.write_text(json.dumps(record))
    desk.workspace.close()
    db, cli = ["--db", str(tmp_path / "review.duckdb")], CliRunner()
    sides = ["--old", "name=a", "--new", "name=b"]
    for words in (
        ["import", "traces", str(file), "--source", "shadow:web"],
        ["run", "start", "r", "--step", "kernel", *sides],
    ):
        done = cli.invoke(main, [*words, *db])
        assert done.exit_code == 0, done.output
    done = cli.invoke(main, ["run", "record", "r", "--source", "shadow:web", "--json", *db])
    assert done.exit_code == 0, done.output
    (part,) = json.loads(done.stdout)["parts"]
    assert (part["evidence"], part["examples"]) == ("shadow", 1)
    # The log is the answer of whoever served: of old it says how far new follows; of new it says nothing.
    steps = part["detail"]["steps"]
    assert (steps["by_log"], steps["old_is_the_log"], part["chains"]) == (by_log, by_log, by_log)
