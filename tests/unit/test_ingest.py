"""Import on a real database: all of a file or nothing, facts kept, every bad line named without its texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from review.errors import BadInput, RejectedRecords
from review.services import ingest
from review.services.export import export
from review.services.ingest import Imported, Options
from review.services.workspace import Workspace
from tests.conftest import NOW, shared

SECRET = "what the customer wrote"
PAIR: dict[str, Any] = {
    "pair_id": "p1",
    "messages": [{"role": "user", "content": SECRET}],
    "old": {"content": "a"},
    "new": {"content": "b"},
}
CELL = '"[{""role"":""user"",""content"":""hi""}]"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def lines(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def run(workspace: Workspace, kind: Any, path: Path, **options: Any) -> Imported:
    return ingest.import_files(workspace, kind, [path], now=NOW, options=Options(**options))


def count(workspace: Workspace, table: str = "pair") -> int:
    return workspace.database.cursor().execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]


def refusals(workspace: Workspace, kind: Any, path: Path) -> list[tuple[int, str, str]]:
    with pytest.raises(RejectedRecords) as caught:
        run(workspace, kind, path)
    return [(each.line, each.field, each.reason) for each in caught.value.rejected]


def test_the_same_file_twice_adds_nothing(workspace: Workspace, folder: Path) -> None:
    path = lines(folder / "pairs.jsonl", PAIR, {**PAIR, "pair_id": "p2"}, PAIR)
    assert run(workspace, "pairs", path) == Imported(3, 2, 1)
    assert run(workspace, "pairs", path) == Imported(3, 0, 3)
    turned = {name: PAIR[name] for name in ("new", "old", "messages", "pair_id")}
    assert run(workspace, "pairs", lines(folder / "turned.jsonl", turned)) == Imported(1, 0, 1)


def test_a_stored_pair_is_not_overwritten(workspace: Workspace, folder: Path) -> None:
    run(workspace, "pairs", lines(folder / "one.jsonl", PAIR))
    other = lines(folder / "other.jsonl", {**PAIR, "pair_id": "p2"}, {**PAIR, "old": {"content": "changed"}})
    [(line, field, reason)] = refusals(workspace, "pairs", other)
    assert (line, field) == (2, "pair_id")
    assert "not overwritten" in reason
    assert count(workspace) == 1


def test_one_bad_line_and_nothing_is_written_unless_it_may_be_skipped(workspace: Workspace, folder: Path) -> None:
    path = lines(folder / "pairs.jsonl", PAIR, {**PAIR, "pair_id": "p2", "old": {"text": SECRET}}, {"pair_id": "p3"})
    found = refusals(workspace, "pairs", path)
    assert [line for line, _, _ in found] == [2, 3]
    assert count(workspace) == 0
    skipped = run(workspace, "pairs", path, skip_invalid=True)
    assert (skipped.read, skipped.new, len(skipped.rejected)) == (3, 1, 2)
    assert count(workspace) == 1


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        (
            {"old": {"text": SECRET, "model": "m"}},
            "old.content",
            'Rename "text" to "content" or pass --map old.content=old.text',
        ),
        ({"old": {}}, "old.content", "is missing (keys seen: none)"),
        ({"messages": None}, "messages", "is null; it must be a list"),
        ({"pair_id": 7}, "pair_id", "is a number; it must be text"),
        ({"pair_id": "a\nb"}, "pair_id", "control character"),
        ({"answer": SECRET}, "answer", "Put it under metadata"),
        ({"old": {"content": "a", "confidence": 7}}, "old.confidence", "is 7; it must be at most 1.0"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content", "is a number; it must be text"),
        ({"metadata": {"deep": json.loads("[" * 150 + "]" * 150)}}, "", "nested more than 100 levels"),
        ({"old": [SECRET]}, "old", "is a list; it must be an object"),
    ],
)
def test_a_bad_line_is_told_with_field_and_remedy_and_without_its_texts(
    workspace: Workspace, folder: Path, change: dict[str, Any], field: str, said: str
) -> None:
    [(line, named, reason)] = refusals(workspace, "pairs", lines(folder / "x.jsonl", {**PAIR, **change}))
    assert (line, named) == (1, field)
    assert said in reason
    assert SECRET not in reason


@pytest.mark.parametrize(
    ("raw", "bad"),
    [
        (b"\xef\xbb\xbf%s\r\n\r\n", []),
        (b"\n \n%s", []),
        (b"%s\n\x00\x00\n", [2]),
        (b'%s\n{"pair_id":"\xff"}\n', [2]),
        (b'%s\n{"metadata":%s}\n' % (b"%s", b"[" * 100_000), [2]),
        (b'%s\n{"metadata":{"n":%s}}\n' % (b"%s", b"9" * 5000), [2]),
        (b'%s\n{"metadata":{"n":NaN}}\n', [2]),
        (b"%s\n[]\ntrue\n\n{,}\n", [2, 3, 5]),
        (b"[\n%s\n]\n", [1, 3]),
        (b"\x1f\x8b\x08\x00cut off", [1]),
    ],
)
def test_strange_bytes_are_bad_lines_with_their_numbers(
    workspace: Workspace, folder: Path, raw: bytes, bad: list[int]
) -> None:
    path = folder / "x.jsonl"
    path.write_bytes(raw.replace(b"%s", json.dumps(PAIR).encode()))
    if bad:
        assert [line for line, _, _ in refusals(workspace, "pairs", path)] == bad
        assert count(workspace) == 0
    else:
        assert run(workspace, "pairs", path) == Imported(1, 1, 0)


def test_lone_surrogates_become_the_replacement_character(workspace: Workspace, folder: Path) -> None:
    path = folder / "x.jsonl"
    path.write_text(json.dumps({**PAIR, "old": {"content": "a\ud800b"}}))
    run(workspace, "pairs", path)
    stored = workspace.database.cursor().execute("SELECT old->>'content' FROM pair").fetchall()
    assert stored == [("a\ufffdb",)]


def test_a_line_of_five_megabytes_is_a_line(workspace: Workspace, folder: Path) -> None:
    long = {**PAIR, "old": {"content": "wort " * 1_000_000}}
    assert run(workspace, "pairs", lines(folder / "x.jsonl", PAIR | {"pair_id": "p0"}, long)) == Imported(2, 2, 0)


@pytest.mark.parametrize("name", ["missing.jsonl", "folder.jsonl", "notes.txt", "broken.parquet"])
def test_what_is_no_file_of_records_is_refused_in_one_line(workspace: Workspace, folder: Path, name: str) -> None:
    (folder / "folder.jsonl").mkdir()
    for file in ("notes.txt", "broken.parquet"):
        (folder / file).write_bytes(b"PAR1" + b"x" * 50)
    with pytest.raises(BadInput) as caught:
        run(workspace, "pairs", folder / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_csv_lines_are_counted_as_an_editor_counts_them(workspace: Workspace, folder: Path) -> None:
    path = folder / "x.csv"
    path.write_text(
        f'pair_id,messages,old.content,new.content\nc1,{CELL},"two\nlines",b\n\nc2,{CELL}\nc3,"{{",a,b\nc4,{CELL},a"b,c\n'
    )
    assert [line for line, _, _ in refusals(workspace, "pairs", path)] == [5, 6]
    assert run(workspace, "pairs", path, skip_invalid=True).new == 2


@pytest.mark.parametrize("raw", [b"", b"pair_id,messages,old.content,new.content\n"])
def test_an_empty_csv_is_no_records(workspace: Workspace, folder: Path, raw: bytes) -> None:
    path = folder / "x.csv"
    path.write_bytes(raw)
    assert run(workspace, "pairs", path) == Imported(0, 0, 0)


def test_foreign_fields_are_renamed(workspace: Workspace, folder: Path) -> None:
    foreign = {"id": 7, "prompt": "hi", "a": {"text": "x", "score": 0.5}, "b": "y"}
    names = {
        "pair_id": "id",
        "messages": "prompt",
        "old.content": "a.text",
        "old.confidence": "a.score",
        "new.content": "b",
    }
    assert run(workspace, "pairs", lines(folder / "x.jsonl", foreign), names=names) == Imported(1, 1, 0)
    (folder / "x.csv").write_text("id,prompt,answer,score,b\n7,hi,x,0.5,y\n")
    columns = names | {"old.content": "answer", "old.confidence": "score"}
    assert run(workspace, "pairs", folder / "x.csv", names=columns) == Imported(1, 0, 1)


def test_verdicts_and_labels_need_their_pair(workspace: Workspace, folder: Path) -> None:
    verdict = lines(folder / "v.jsonl", {"pair_id": "p1", "judge": "j", "winner": None})
    label = lines(folder / "l.jsonl", {"pair_id": "p1", "reviewer": "r", "preference": "old"})
    for kind, path in (("verdicts", verdict), ("labels", label)):
        [(line, field, reason)] = refusals(workspace, kind, path)
        assert (line, field) == (1, "pair_id")
        assert "Import the pairs first" in reason
    run(workspace, "pairs", lines(folder / "p.jsonl", PAIR))
    for kind, path in (("verdicts", verdict), ("labels", label)):
        assert run(workspace, kind, path) == Imported(1, 1, 0)
        assert run(workspace, kind, path) == Imported(1, 0, 1)


@pytest.mark.parametrize(
    ("kind", "record", "field"),
    [
        ("verdicts", {"judge": "j", "winner": "A"}, "winner"),
        ("verdicts", {"judge": "j", "vote": 10**12}, "vote"),
        ("verdicts", {"judge": "j", "vote": True}, "vote"),
        ("labels", {"reviewer": "r", "labelled_at": "2026-03-01T10:00:00"}, "labelled_at"),
        ("labels", {"reviewer": "r", "labelled_at": "yesterday"}, "labelled_at"),
        ("labels", {"reviewer": "r", "labelled_at": "0001-01-01T00:00:00+14:00"}, "labelled_at"),
        ("labels", {"reviewer": "r", "categories_old": "refusal"}, "categories_old"),
    ],
)
def test_values_out_of_range_are_named(
    workspace: Workspace, folder: Path, kind: str, record: dict[str, Any], field: str
) -> None:
    run(workspace, "pairs", lines(folder / "p.jsonl", PAIR))
    assert [each[1] for each in refusals(workspace, kind, lines(folder / "x.jsonl", {"pair_id": "p1", **record}))] == [
        field
    ]


def test_a_label_without_an_id_gets_the_same_one_from_every_format(workspace: Workspace, folder: Path) -> None:
    run(workspace, "pairs", lines(folder / "p.jsonl", PAIR))
    said = {"pair_id": "p1", "reviewer": "r", "preference": "old", "seconds": 3, "categories_old": ["refusal"]}
    first = lines(folder / "l.jsonl", said | {"labelled_at": "2026-03-01T15:02:11+01:00"})
    assert run(workspace, "labels", first) == Imported(1, 1, 0)
    (folder / "l.csv").write_text(
        "pair_id,reviewer,preference,seconds,categories_old,labelled_at\n"
        'p1,r,old,3.0,"[""refusal""]",2026-03-01T14:02:11Z\n'
    )
    assert run(workspace, "labels", folder / "l.csv") == Imported(1, 0, 1)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_real_pairs_survive_every_format(workspace: Workspace, folder: Path, suffix: str) -> None:
    from review import settings
    from review.services.workspace import open_workspace

    source = {kind: shared(f"data/pandalm/{kind}.jsonl") for kind in ("pairs", "verdicts", "labels")}
    for kind, path in source.items():
        run(workspace, kind, path)
        export(workspace, kind, folder / f"{kind}.{suffix}")  # type: ignore[arg-type]  # the keys are kinds
        export(workspace, kind, folder / f"{kind}.first.jsonl")  # type: ignore[arg-type]
    fresh = open_workspace(settings.load(folder / "fresh" / "review.duckdb"))
    try:
        for kind in source:
            again = run(fresh, kind, folder / f"{kind}.{suffix}")
            assert again.new == again.read > 900
            export(fresh, kind, folder / f"{kind}.second.jsonl")  # type: ignore[arg-type]
            first, second = (folder / f"{kind}.{turn}.jsonl" for turn in ("first", "second"))
            assert first.read_bytes() == second.read_bytes()
    finally:
        fresh.close()
