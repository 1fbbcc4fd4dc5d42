"""The golden set through the command line: items in, a changed item is a further version, sets are frozen by hash."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from review.cli import main

pa: Any = pyarrow  # it carries no types

ITEM: dict[str, Any] = {
    "item_id": "refund-1",
    "task": "billing",
    "prompt": "Can I get a refund after 40 days?",
    "reference": "No, refunds end after 30 days; a credit is possible.",
    "rubric": ["Says that refunds end after 30 days", {"item": "Offers a credit", "weight": 2}],
}

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run("freeze")` gives the JSON of `review golden freeze`; `fails=…` gives what is said on failing."""

    def invoke(*words: object, fails: bool = False) -> Any:
        arguments = ["golden", *map(str, words), "--db", str(tmp_path / "r.duckdb")]
        done = CliRunner().invoke(main, arguments if fails else [*arguments, "--json"])
        assert (done.exit_code != 0) == fails, done.output
        return done.output if fails else json.loads(done.stdout)

    return invoke


def lines(path: Path, *items: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in items), encoding="utf-8")
    return path


def many(count: int) -> list[dict[str, Any]]:
    return [{**ITEM, "item_id": f"item-{at:04}", "prompt": f"Question {at}?"} for at in range(count)]


def test_an_import_twice_is_one_and_a_changed_item_is_a_further_version(run: Run, tmp_path: Path) -> None:
    file = lines(tmp_path / "items.jsonl", ITEM)
    first = run("import", file)
    assert (first["new"], first["cost_usd"]) == (1, None)  # this machine makes the vectors
    again = run("import", file)
    assert (again["new"], again["changed"], again["present"]) == (0, 0, 1)
    before = run("freeze", "--name", "first")
    lines(file, {**ITEM, "reference": "No. After 30 days we give a credit."})
    assert run("import", file)["changed"] == 1
    after = run("freeze")
    assert after["number"] == 2
    assert after["version"] != before["version"]
    assert run("diff", "first", "2")["changed"] == [{"item_id": "refund-1", "fields": ["reference"]}]
    frozen = run("list", "--version", "first")["items"]
    assert frozen[0]["form"]["reference"] == ITEM["reference"]
    assert [each["kind"] for each in run("show", "refund-1")["history"]] == ["imported", "imported"]


def test_the_same_items_in_whatever_order_and_form_are_the_same_version(run: Run, tmp_path: Path) -> None:
    spelled = {
        **{name: ITEM[name] for name in ("reference", "task", "item_id")},
        "messages": [{"content": ITEM["prompt"], "role": "user"}],
        "rubric": [{"weight": 1, "item": ITEM["rubric"][0]}, {"weight": 2.0, "item": "Offers a credit"}],
    }
    run("import", lines(tmp_path / "a.jsonl", ITEM, *many(3)))
    first = run("freeze")
    run("import", lines(tmp_path / "b.jsonl", *reversed(many(3)), spelled))
    second = run("freeze")
    assert (second["version"], second["new"]) == (first["version"], False)
    assert "fewer than 200" in first["note"]


def test_csv_and_parquet_say_the_same_as_jsonl(run: Run, tmp_path: Path) -> None:
    run("import", lines(tmp_path / "a.jsonl", ITEM))
    rubric = "Says that refunds end after 30 days\nOffers a credit"
    plain = {**ITEM, "rubric": rubric}
    table = pa.Table.from_pylist([{**ITEM, "rubric": [{"item": "Offers a credit", "weight": 2.0}]}])
    pa.parquet.write_table(table, tmp_path / "c.parquet")
    names = list(plain)
    quoted = ",".join('"' + str(plain[name]) + '"' for name in names)
    (tmp_path / "b.csv").write_text(",".join(names) + "\n" + quoted + "\n", encoding="utf-8")
    assert run("import", tmp_path / "b.csv")["changed"] == 1
    shown = run("show", "refund-1")["form"]
    assert [each["item"] for each in shown["rubric"]] == rubric.splitlines()
    assert shown["messages"] == [{"role": "user", "content": ITEM["prompt"]}]
    assert run("import", tmp_path / "c.parquet")["changed"] == 1
    assert run("show", "refund-1")["form"]["rubric"] == [{"item": "Offers a credit", "weight": 2.0}]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"reference": None}, 'line 2: "reference" is missing'),
        ({"rubric": []}, 'line 2: "rubric" is empty'),
        ({"rubric": [{"item": "x", "weight": 0}]}, 'line 2: "rubric.0.weight"'),
        ({"rubrics": "x"}, 'line 2: "rubrics" is not a field of ours'),
        ({"item_id": "item-0000"}, 'line 2: "item_id" is that of line 1 too'),
        ({"prompt": None, "messages": []}, 'line 2: "messages" is empty'),
    ],
)
def test_a_bad_line_is_named_with_field_and_remedy_and_nothing_is_written(
    run: Run, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    bad = {name: value for name, value in {**ITEM, **changed}.items() if value is not None}
    file = lines(tmp_path / "items.jsonl", many(1)[0], bad)
    output = run("import", file, fails=True)
    assert said in output
    assert "refund" not in output.replace("refund-1", "")
    assert run("list")["items"] == []
    assert run("import", file, "--skip-invalid")["new"] == 1


def test_exported_items_come_back_as_the_same_set(run: Run, tmp_path: Path) -> None:
    run("import", lines(tmp_path / "items.jsonl", ITEM, *many(600)))
    version = run("freeze")["version"]
    assert run("export", "-o", tmp_path / "out.jsonl")["exported"] == 601
    other = CliRunner().invoke(
        main, ["golden", "import", str(tmp_path / "out.jsonl"), "--db", str(tmp_path / "o.duckdb")]
    )
    assert "601 new" in other.output
    frozen = CliRunner().invoke(main, ["golden", "freeze", "--json", "--db", str(tmp_path / "o.duckdb")])
    assert json.loads(frozen.stdout)["version"] == version
    assert json.loads(frozen.stdout)["note"] is None


def test_frozen_sets_and_decisions_cannot_be_changed_in_the_database(run: Run, tmp_path: Path) -> None:
    run("import", lines(tmp_path / "items.jsonl", ITEM))
    run("freeze")
    with duckdb.connect(str(tmp_path / "r.duckdb")) as database:
        for table in ("golden_item", "golden_event", "golden_version", "golden_version_item"):
            with pytest.raises(duckdb.Error, match="append-only"):
                database.execute(f"DELETE FROM {table}")


def test_what_is_not_there_is_said_with_what_to_do(run: Run, tmp_path: Path) -> None:
    assert "review golden import FILE" in run("freeze", fails=True)
    assert "review golden freeze" in run("diff", "1", "2", fails=True)
    run("import", lines(tmp_path / "items.jsonl", ITEM))
    run("freeze", "--name", "first")
    run("import", lines(tmp_path / "items.jsonl", *many(2)))
    assert "choose another" in run("freeze", "--name", "first", fails=True)
    assert "review golden list" in run("show", "nothing", fails=True)
    assert "review golden versions" in run("list", "--version", "nothing", fails=True)
