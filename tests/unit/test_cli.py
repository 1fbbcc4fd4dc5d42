"""The command line in a process of its own: options on both sides of the verb, exit codes, errors in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from review.cli import main
from tests.conftest import shared
from tests.e2e.conftest import run_cli

PAIR: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hi"}],
    "old": {"content": "a"},
    "new": {"content": "b"},
}


def invoke(db: Path, *arguments: str) -> None:
    """The same command line in this process, where thirty commands in a row do not start thirty times."""
    found = CliRunner().invoke(main, [*arguments, "--db", str(db)])
    assert found.exit_code == 0, found.output


def write(path: Path, *records: object) -> str:
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in records) + "\n")
    return str(path)


def test_one_bad_line_and_nothing_is_written(tmp_path: Path) -> None:
    db = tmp_path / "x.duckdb"
    file = write(tmp_path / "pairs.jsonl", PAIR, "{broken", PAIR | {"old": {"text": "zq7canary"}}, PAIR | {"x": 1})
    done = run_cli(db, "import", "pairs", file, "--json")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert (answer["read"], answer["new"]) == (4, 0)
    assert [each["line"] for each in answer["rejected"]] == [2, 3, 4]
    assert "line 3" in done.stderr
    assert "zq7canary" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(run_cli(db, "status", "--json").stdout)["pairs"] == 0
    rest = json.loads(run_cli(db, "import", "pairs", file, "--json", "--skip-invalid").stdout)
    assert (rest["new"], len(rest["rejected"])) == (1, 3)
    again = json.loads(run_cli(db, "import", "pairs", file, "--json", "--skip-invalid").stdout)
    assert (again["new"], again["present"]) == (0, 1)


def test_foreign_names_are_mapped(tmp_path: Path) -> None:
    db = tmp_path / "x.duckdb"
    foreign = {"messages": PAIR["messages"], "answer_a": "a", "nested": {"b": "b"}}
    file = write(tmp_path / "pairs.jsonl", foreign)
    done = run_cli(
        db, "import", "pairs", file, "--map", "old.content=answer_a", "--map", "new.content=nested.b", "--json"
    )
    assert json.loads(done.stdout)["new"] == 1, done.stderr


def test_usage_errors_exit_with_two_and_ours_with_one(tmp_path: Path) -> None:
    db = tmp_path / "x.duckdb"
    assert run_cli(db, "import", "nothing", "file").returncode == 2
    assert run_cli(db, "draw", "--size", "0", "--seed", "1").returncode == 2
    missing = run_cli(db, "import", "pairs", str(tmp_path / "none.jsonl"))
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1
    unknown = run_cli(db, "export", "pairs", "--round", "none", "-o", str(tmp_path / "out.jsonl"))
    assert unknown.returncode == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_what_is_exported_comes_back_the_same(tmp_path: Path) -> None:
    first = tmp_path / "first.duckdb"
    hostile = ["=1+1", "", "'x", 'a,b\n"c"', "\u2028é\ud83d\ude00", "-", "null", "5"]
    pairs = [
        PAIR
        | {"pair_id": f"p{n}", "reference": text, "old": {"content": text, "correct": n % 2 == 0, "usage": {"n": n}}}
        for n, text in enumerate(hostile)
    ]
    labels = [
        {"pair_id": f"p{n}", "reviewer": "Ana", "comment": text, "seconds": n / 3} for n, text in enumerate(hostile)
    ]
    verdicts = [{"pair_id": "p0", "judge": "j", "vote": 1, "winner": None, "raw": "=x", "cost_usd": 0.1}]
    for kind, rows in (("pairs", pairs), ("labels", labels), ("verdicts", verdicts)):
        invoke(first, "import", kind, write(tmp_path / f"{kind}.jsonl", *rows))
        there = tmp_path / f"{kind}-there.jsonl"
        invoke(first, "export", kind, "-o", str(there))
        for suffix in ("jsonl", "csv", "parquet"):
            out, back = tmp_path / f"{kind}-out.{suffix}", tmp_path / f"{kind}-back-{suffix}.jsonl"
            second = tmp_path / f"{suffix}.duckdb"
            if suffix == "jsonl":
                out = there
            else:
                invoke(first, "export", kind, "-o", str(out))
            invoke(second, "import", kind, str(out))
            invoke(second, "export", kind, "-o", str(back))
            assert back.read_bytes() == there.read_bytes()


def test_real_verdicts_count_and_the_set_verifies(tmp_path: Path) -> None:
    db = tmp_path / "x.duckdb"
    for kind in ("pairs", "verdicts"):
        assert run_cli(db, "import", kind, str(shared(f"data/phi3_dpo/{kind}.jsonl"))).returncode == 0
    checked = json.loads(run_cli(db, "adversarial", "verify", "--json").stdout)
    assert (checked["ok"], checked["entries"]) == (True, 0)
