"""Logged traces from files into the database: every kind of file, twice, bad lines, clashes, a killed process."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from review import settings
from review.adapters import trace_files
from review.errors import BadInput, RejectedRecords
from review.services import trace_import, traces
from review.services.desk import LocalDesk
from review.services.trace_import import Imported, Options
from review.services.workspace import open_workspace
from review.settings import EvalConfig
from tests.conftest import ROOT, shared

PLAIN = EvalConfig.model_validate({"replay": {"strip_pii": False}})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[LocalDesk]:
    """A desk on a new database whose configuration does not strip."""
    found = settings.load(tmp_path / "db" / "review.duckdb").model_copy(update={"config": PLAIN})
    opened = LocalDesk(open_workspace(found), "tester")
    yield opened
    opened.close()


def trace(number: int, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Where is parcel {number}?"}]
    response = {"content": f"On its way, {number}.", "finish_reason": "stop"}
    return {"trace_id": f"t{number}", "messages": messages, "response": response} | more


def bring(desk: LocalDesk, *paths: Path, **options: Any) -> Imported:
    """Import files; their counts added up."""
    total = Imported()
    for place in trace_import.places([str(path) for path in paths]):
        done = trace_import.import_file(desk, place, Options(**options), lambda *_: None)
        total.read, total.new, total.present = (
            total.read + done.read,
            total.new + done.new,
            total.present + done.present,
        )
        total.bad += done.bad
        total.unknown.update(done.unknown)
        total.rejected += done.rejected
    return total


def stored(desk: LocalDesk, **arguments: Any) -> list[dict[str, Any]]:
    table = desk.ask("traces.read", arguments).table
    assert table is not None
    return table.to_pylist()


def lines(path: Path, records: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in records) + "\n")
    return path


def files_of(folder: Path, records: list[dict[str, Any]]) -> dict[str, Path]:
    """The same records in every kind of file."""
    made = {name: folder / name for name in ("a.jsonl.gz", "b.json", "c.json", "d.csv", "e.parquet", "f.ndjson")}
    with gzip.open(made["a.jsonl.gz"], "wt") as packed:
        packed.writelines(json.dumps(each) + "\n" for each in records)
    made["b.json"].write_text(json.dumps(records, indent=2))
    made["c.json"].write_text("\n".join(json.dumps(each, indent=1) for each in records))
    lines(made["f.ndjson"], records)
    flat = [
        {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in each.items()}
        for each in records
    ]
    with made["d.csv"].open("w", newline="") as file:
        writer = csv.DictWriter(file, list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)
    pq.write_table(pa.Table.from_pylist(flat), made["e.parquet"])
    return made


def test_every_kind_of_file_says_the_same_and_twice_writes_nothing(desk: LocalDesk, tmp_path: Path) -> None:
    records = [trace(number, ticket=f"Z-{number}", happened_at="2026-03-01T10:00:00+00:00") for number in range(25)]
    (tmp_path / "files").mkdir()
    made = files_of(tmp_path / "files", records)
    first = bring(desk, made["a.jsonl.gz"])
    assert (first.read, first.new, first.present) == (25, 25, 0)
    before = stored(desk)
    for name, path in made.items():
        again = bring(desk, path)
        assert (again.read, again.new, again.present) == (25, 0, 25), name
    everything = bring(desk, tmp_path / "files")
    assert (everything.read, everything.new) == (150, 0)
    assert stored(desk) == before


def test_customers_and_tickets_are_found_and_stand_nowhere(desk: LocalDesk, tmp_path: Path) -> None:
    records = [trace(1, ticket="ZD-77-secret", customer="ada-secret"), trace(2, metadata={"ticket_id": "ZD-77-secret"})]
    bring(desk, lines(tmp_path / "x.jsonl", records))
    assert {each["trace_id"] for each in traces.find_by(desk, ticket=" ZD-77-secret ")} == {"t1", "t2"}
    assert [each["trace_id"] for each in traces.find_by(desk, ticket="ZD-77-secret", customer="ada-secret")] == ["t1"]
    assert traces.find_by(desk, ticket="ZD-78") == []
    assert "secret" not in json.dumps(stored(desk), default=str)
    desk.workspace.database.cursor().execute("CHECKPOINT")
    assert b"secret" not in desk.settings.db.read_bytes()


def test_one_bad_line_and_nothing_of_the_file_is_written(desk: LocalDesk, tmp_path: Path) -> None:
    bad = {"messages": [{"role": "user", "content": 7}], "trace_id": "b"}
    late = {**trace(6), "happened_at": "2026-03-01T10:00:00"}
    twice = trace(1, metadata={"other": True})
    file = lines(tmp_path / "x.jsonl", [trace(1), "{broken", bad, late, {"messages": []}, "[1]", twice, trace(1)])
    with pytest.raises(RejectedRecords) as caught:
        bring(desk, file)
    assert [each.line for each in caught.value.rejected] == [2, 3, 4, 5, 6, 7]
    assert caught.value.rejected[1].field == "messages.0.content"
    assert "offset" in caught.value.rejected[2].reason
    assert caught.value.rejected[-1].field == "trace_id"
    assert stored(desk) == []
    done = bring(desk, file, skip_invalid=True)
    assert (done.read, done.new, done.present, done.bad) == (8, 1, 1, 6)
    again = bring(desk, file, skip_invalid=True)
    assert (again.read, again.new, again.present, again.bad) == (8, 0, 2, 6)


def test_an_id_that_stands_with_other_content_is_refused(desk: LocalDesk, tmp_path: Path) -> None:
    bring(desk, lines(tmp_path / "a.jsonl", [trace(1)]))
    changed = lines(tmp_path / "b.jsonl", [trace(2), trace(1, reference="other")])
    with pytest.raises(RejectedRecords) as caught:
        bring(desk, changed)
    assert [(each.line, each.field) for each in caught.value.rejected] == [(2, "trace_id")]
    assert [each["trace_id"] for each in stored(desk)] == ["t1"]
    assert bring(desk, changed, skip_invalid=True).new == 1
    assert stored(desk, ids=["t1"])[0]["reference"] is None


def test_traces_without_an_id_get_one_from_their_content(desk: LocalDesk, tmp_path: Path) -> None:
    record = trace(1)
    del record["trace_id"]
    other = lines(tmp_path / "b.jsonl", [json.dumps(record, indent=None, sort_keys=True)])
    assert bring(desk, lines(tmp_path / "a.jsonl", [record])).new == 1
    assert bring(desk, other).present == 1


def test_a_partitioned_lake_gives_its_partitions_as_metadata(desk: LocalDesk, tmp_path: Path) -> None:
    for day in (1, 2):
        folder = tmp_path / "lake" / f"day=2026-03-0{day}" / "region=eu"
        folder.mkdir(parents=True)
        rows = [trace(day * 10 + each) for each in range(3)]
        pq.write_table(pa.Table.from_pylist(rows), folder / "part-0.parquet")
    (tmp_path / "lake" / "_SUCCESS").touch()
    done = bring(desk, tmp_path / "lake")
    assert (done.read, done.new) == (6, 6)
    assert done.unknown == {"day": 6, "region": 6}
    first = stored(desk)[0]
    assert json.loads(first["metadata"]) == {"day": "2026-03-01", "region": "eu"}
    assert first["source"] == "day=2026-03-01/region=eu/part-0.parquet"
    assert bring(desk, tmp_path / "lake").new == 0


def test_windows_and_pages_read_everything_once(desk: LocalDesk, tmp_path: Path) -> None:
    records = [trace(n, happened_at=f"2026-03-{1 + n % 20:02}T00:00:00Z") for n in range(60)]
    bring(desk, lines(tmp_path / "x.jsonl", records))
    window = {"start": "2026-03-05T00:00:00Z", "end": "2026-03-10T00:00:00Z", "limit": 4, "columns": ["trace_id"]}
    found: list[str] = []
    while page := stored(desk, **window, after=found[-1] if found else ""):
        found += [each["trace_id"] for each in page]
    assert len(found) == len(set(found)) == 15
    expected = {each["trace_id"] for each in records if "2026-03-05" <= each["happened_at"][:10] < "2026-03-10"}
    assert set(found) == expected
    count = desk.ask("traces.count").document
    assert (count["traces"], count["unstripped"], count["answered"]) == (60, 60, 60)
    assert count["first"] == "2026-03-01T00:00:00+00:00"
    with pytest.raises(BadInput, match="columns"):
        stored(desk, columns=["trace_id, 1"])
    with pytest.raises(BadInput, match="offset"):
        stored(desk, start="2026-03-05")


def test_the_real_sets_come_in_whole(desk: LocalDesk, tmp_path: Path) -> None:
    tau = bring(desk, shared("data/tau_airline/traces.jsonl"))
    assert (tau.read, tau.new, tau.unknown) == (200, 200, {"task_id": 200, "trial": 200, "reward": 200})
    one = stored(desk, ids=["tau-0-0"])[0]
    with shared("data/tau_airline/traces.jsonl").open() as file:
        record = json.loads(file.readline())
    assert json.loads(one["messages"]) == record["messages"]
    assert any("tool_calls" in each for each in json.loads(one["messages"]))
    with shared("data/clinc150/traces.jsonl").open() as file:
        some = lines(tmp_path / "some.jsonl", [next(file).strip() for _ in range(500)])
    clinc = bring(desk, some)
    assert (clinc.read, clinc.new, clinc.unknown) == (500, 500, {})


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
IDS = st.text(st.characters(min_codepoint=33, exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "é"]), inner, max_size=2),
    max_leaves=5,
)
RECORDS = st.fixed_dictionaries(
    {
        "trace_id": IDS,
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": TEXT}),
            min_size=1,
            max_size=3,
        ),
    },
    optional={
        "response": st.fixed_dictionaries({"content": TEXT}, optional={"finish_reason": TEXT, "model": TEXT}),
        "metadata": st.dictionaries(st.sampled_from(["a", "b", "note"]), VALUES, min_size=1, max_size=3),
        "reference": TEXT,
        "task": IDS,
        "parameters": st.just({"temperature": 0.5}),
        "happened_at": st.just("2026-03-01T10:00:00+00:00"),
    },
)


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(records=st.lists(RECORDS, min_size=1, max_size=6, unique_by=lambda each: each["trace_id"]))
def test_whatever_our_format_says_comes_back(desk: LocalDesk, tmp_path: Path, records: list[dict[str, Any]]) -> None:
    desk.workspace.database.cursor().execute("DELETE FROM trace")
    file = tmp_path / "x.json"
    file.write_text(json.dumps(records))
    assert bring(desk, file).new == len(records)
    for record in records:
        (row,) = stored(desk, ids=[record["trace_id"]])
        for name in ("messages", "response", "metadata", "parameters"):
            assert (json.loads(row[name]) if row[name] else None) == record.get(name), name
        for name in ("reference", "task"):
            assert row[name] == record.get(name)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    values=st.lists(st.dictionaries(TEXT, VALUES, min_size=1, max_size=3), max_size=6),
    block=st.integers(1, 40),
    data=st.data(),
)
def test_arrays_are_cut_right_wherever_a_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[Any], block: int, data: st.DataObject
) -> None:
    monkeypatch.setattr(trace_files, "_BLOCK", block)
    file = tmp_path / "x.json"
    array = data.draw(st.booleans())
    indent = data.draw(st.sampled_from([None, 1]))
    written = (
        json.dumps(values, indent=indent, ensure_ascii=False)
        if array
        else "\n".join(json.dumps(each, indent=1) for each in values)
    )
    file.write_text("\n" + written)
    rows = list(trace_files.read(file, lambda *_: None, {}))
    assert [row.document for row in rows] == values, [row.reason for row in rows]


def test_what_is_cut_off_is_said_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('[\n{"a": 1},\n{"b": ')
    rows = list(trace_files.read(file, lambda *_: None, {}))
    assert rows[0].document == {"a": 1}
    assert "middle" in rows[1].reason
    packed = tmp_path / "x.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"a": 1}\n' * 5000)[:-20])
    with pytest.raises(BadInput, match="cannot be read"):
        list(trace_files.read(packed, lambda *_: None, {}))


COMMAND = [sys.executable, "-m", "review.cli"]


IMPORTS = """
import sys
from pathlib import Path
from review import settings
from review.services import trace_import
from review.services.desk import LocalDesk
from review.services.workspace import open_workspace

class Telling(LocalDesk):
    def ask(self, name, arguments=None, table=None):
        answer = super().ask(name, arguments, table)
        if name == "traces.put":
            print(answer.document["new"], flush=True)
        return answer

desk = Telling(open_workspace(settings.load(Path(sys.argv[1]))), "tester")
(place,) = trace_import.places([sys.argv[2]])
done = trace_import.import_file(desk, place, trace_import.Options(), lambda *_: None)
print("done", done.new, done.present, flush=True)
"""


def test_a_killed_import_goes_on_where_it_was(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("eval_config:\n  replay: {strip_pii: false}\n")
    environ = os.environ | {"REVIEW_CONFIG": str(config)}
    file = lines(tmp_path / "x.jsonl", [trace(number) for number in range(7_000)])
    db = tmp_path / "review.duckdb"
    command = [sys.executable, "-c", IMPORTS, str(db), str(file)]

    def standing() -> list[dict[str, Any]]:
        desk = LocalDesk(open_workspace(settings.load(db)), "tester")
        try:
            table = desk.workspace.database.cursor().sql("SELECT * EXCLUDE imported_at FROM trace ORDER BY trace_id")
            return table.to_arrow_table().to_pylist()
        finally:
            desk.close()

    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    handed_in = int(process.stdout.readline()) + int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    handed_in += sum(int(each) for each in process.stdout.read().split() if each.isdigit())
    process.wait()
    part = standing()
    assert 0 < handed_in <= len(part) < 7_000
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"done {7_000 - len(part)} {len(part)}"
    whole = standing()
    assert len(whole) == 7_000
    before = {row["trace_id"] for row in part}
    assert [each for each in whole if each["trace_id"] in before] == part


def test_the_command_says_format_place_and_remedy_and_no_text(tmp_path: Path) -> None:
    db = str(tmp_path / "review.duckdb")
    strange = lines(tmp_path / "strange.jsonl", [{"question": "zq7canary", "answer": "zq7canary"}])
    refused = subprocess.run([*COMMAND, "--db", db, "import", "traces", str(strange)], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "keys seen: question, answer" in refused.stderr
    assert "--format" in refused.stderr
    mapped = subprocess.run(
        [*COMMAND, "--db", db, "--json", "import", "traces", str(strange)]
        + [f"--map={each}" for each in ("messages=question", "response.content=answer")],
        capture_output=True,
        text=True,
    )
    assert json.loads(mapped.stdout)["new"] == 1, mapped.stderr
    bad = lines(tmp_path / "bad.jsonl", [trace(1), {"messages": [{"role": "user", "content": ["zq7canary"]}]}])
    told = subprocess.run([*COMMAND, "--db", db, "import", "traces", str(bad)], capture_output=True, text=True)
    assert told.returncode == 1
    assert "bad.jsonl line 2" in told.stderr
    assert "--skip-invalid" in told.stderr
    assert "zq7canary" not in refused.stdout + refused.stderr + mapped.stderr + told.stdout + told.stderr


def test_personal_data_is_gone_before_the_first_write(tmp_path: Path) -> None:
    db = tmp_path / "review.duckdb"
    said = "Write to zq7canary@example.com or call +49 30 901820."
    record = trace(1, metadata={"note": said}, response={"content": said}, reference=said)
    record["messages"] = [{"role": "user", "content": said}]
    file = lines(tmp_path / "x.jsonl", [record])
    command = [*COMMAND, "--db", str(db), "import", "traces", str(file), "--json"]
    # The configuration as it ships, which strips.
    environ = os.environ | {"REVIEW_CONFIG": str(ROOT / "data" / "eval_config.yaml")}
    done = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert json.loads(done.stdout)["new"] == 1, done.stderr
    opened = LocalDesk(open_workspace(settings.load(db)), "tester")
    try:
        (row,) = stored(opened)
    finally:
        opened.close()
    assert "canary" not in json.dumps(row, default=str)
    assert json.loads(row["redactions"])["EMAIL"] >= 1
    assert all(b"zq7canary" not in each.read_bytes() for each in tmp_path.glob("review.duckdb*"))
    again = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert json.loads(again.stdout)["present"] == 1
