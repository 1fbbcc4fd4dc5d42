"""Evaluation runs through the command line and the desk: begun once, put together in batches, never overwritten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from review import settings
from review.cli import main
from review.domain.run import Part
from review.errors import BadInput, Conflict
from review.services import runs
from review.services.desk import OpenDesk, open_desk

HASH = "a" * 64


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[OpenDesk]:
    with closing(open_desk(settings.load(tmp_path / "r.duckdb"), "ada")) as opened:
        yield opened


def begin(desk: OpenDesk, name: str = "awq") -> str:
    spec = runs.described_by(["name=base"], ["name=awq", "quantization=awq-4bit"], name, "quantization", HASH)
    return str(desk.ask("runs.begin", spec.model_dump()).document["run_id"])


def outcomes(count: int, wrong: int = 0) -> object:
    return pa.table(
        {
            "example_id": [f"e{at}" for at in range(count)],
            "metric": ["acc"] * count,
            "prompt_id": [f"p{at // 2}" for at in range(count)],
            "old": [1.0] * count,
            "new": [0.0 if at < wrong else 1.0 for at in range(count)],
        }
    )


def test_a_run_is_begun_once_and_its_name_is_taken(desk: OpenDesk) -> None:
    assert begin(desk) == begin(desk)
    other = runs.described_by(["name=base"], ["name=gptq"], "awq", "quantization", HASH)
    with pytest.raises(Conflict, match="choose another name"):
        desk.ask("runs.begin", other.model_dump())


def test_a_part_in_batches_stands_once_and_refuses_other_data(desk: OpenDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "BATCH", 7)
    run = begin(desk)
    table = outcomes(30, wrong=3)
    part = Part(evidence="benchmark", part="mmlu", data_hash=runs.data_hash(table))
    assert runs.record(desk, run, part, table) == 30
    assert runs.record(desk, run, part, table) == 30
    other = outcomes(30, wrong=4)
    assert runs.data_hash(other) != part.data_hash
    with pytest.raises(Conflict, match="never overwritten"):
        runs.record(desk, run, part.model_copy(update={"data_hash": runs.data_hash(other)}), other)
    stored = desk.ask("runs.read", {"run": "awq"}).document["runs"][0]
    assert [(each["part"], each["examples"]) for each in stored["parts"]] == [("mmlu", 30)]


def test_what_was_left_unfinished_goes_when_the_part_is_recorded_again(desk: OpenDesk) -> None:
    run = begin(desk)
    part = Part(evidence="replay", part="week", data_hash=HASH)
    said = {"run_id": run, "part": part.model_dump()}
    desk.ask("runs.begin_part", said)
    desk.ask("runs.put", said, outcomes(10, wrong=10))  # and the power went
    assert runs.record(desk, run, part, outcomes(4)) == 4


def test_two_outcomes_of_the_same_example_are_refused_and_nothing_stands(desk: OpenDesk) -> None:
    run = begin(desk)
    twice = pa.concat_tables([outcomes(3), outcomes(3)])
    part = Part(evidence="golden", part="v1", data_hash=HASH)
    with pytest.raises(BadInput, match="same example"):
        runs.record(desk, run, part, twice)
    assert desk.ask("runs.read", {"run": run}).document["runs"][0]["parts"] == []


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(BadInput, match="score"):
        runs.conform(pa.table({"example_id": ["a"], "metric": ["m"], "prompt_id": ["p"], "score": [1.0]}))


def test_the_command_line_begins_lists_and_shows(tmp_path: Path) -> None:
    db = ["--db", str(tmp_path / "r.duckdb")]
    cli = CliRunner()
    start = ["run", "start", "awq", "--step", "quantization", "--old", "model=base", "--new", "model=awq", *db]
    assert cli.invoke(main, start).exit_code == 0
    listed = cli.invoke(main, ["run", "list", *db])
    assert "awq" in listed.output
    assert "no evidence yet" in listed.output
    shown = cli.invoke(main, ["run", "show", "1", "--json", *db])
    assert json.loads(shown.output)["candidate"] == {"name": "awq", "model": "awq"}
    assert "review run list" in cli.invoke(main, ["run", "show", "nothing", *db]).output
    assert "KEY=VALUE" in cli.invoke(main, [*start[:-4], "--new", "awq", *db]).output
