"""Whatever a file holds: an error of ours or a whole import, never half a file, and what was taken comes out again."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from review import settings as app_settings
from review.errors import ReviewError
from review.services import ingest
from review.services.export import export
from review.services.ingest import Options
from review.services.workspace import Workspace, open_workspace
from tests.conftest import NOW, ROOT

KINDS = ("pairs", "verdicts", "labels")
TABLES = {"pairs": "pair", "verdicts": "verdict", "labels": "label"}
FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

GOOD = {
    "pairs": {
        "pair_id": "p1",
        "messages": [{"role": "user", "content": "hi"}],
        "old": {"content": "a", "confidence": 0.5, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
        "new": {"content": "b", "usage": {"n": 1}},
        "metadata": {"ticket": "T-1"},
    },
    "verdicts": {"pair_id": "known", "judge": "j", "vote": 1, "winner": "old", "cost_usd": 0.1},
    "labels": {"pair_id": "known", "reviewer": "r", "preference": "tie", "labelled_at": "2026-03-01T10:00:00+00:00"},
}
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "\x00", "=cmd", "'", "''", "old", "2026-01-01", "9" * 30, "x" * 300])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
)


@st.composite
def records(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """A good record with a few things changed, added or taken away."""
    record: dict[str, Any] = json.loads(json.dumps(GOOD[kind]))
    names = [*ingest.MODELS[kind].model_fields, "extra"]
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(names))
        if isinstance(record.get(name), dict) and draw(st.booleans()):
            inside = record[name]
            inside[draw(st.sampled_from([*inside, "content", "extra"]))] = draw(VALUES)
        elif draw(st.integers(0, 3)) == 0:
            record.pop(name, None)
        else:
            record[name] = draw(VALUES)
    return record


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        cells = [row.get(name) for name in names]
        writer.writerow([json.dumps(cell) if isinstance(cell, dict | list) else cell for cell in cells])
    return file.getvalue().encode("utf-8", "replace")


@pytest.fixture(scope="module")
def opened() -> Iterator[Workspace]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(app_settings.load(Path(folder) / "review.duckdb"))
        known = Path(folder) / "known.jsonl"
        known.write_text(json.dumps(GOOD["pairs"] | {"pair_id": "known"}))
        ingest.import_pairs(workspace, [known], now=NOW)
        yield workspace
        workspace.close()


def counts(workspace: Workspace) -> dict[str, int]:
    cursor = workspace.database.cursor()
    return {kind: cursor.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for kind, table in TABLES.items()}


@contextmanager
def reading_many_at_a_time(many: bool) -> Iterator[None]:
    """Small files are read row by row, unless the limit is lowered."""
    with pytest.MonkeyPatch.context() as patch:
        if many:
            patch.setattr(ingest, "SMALL", 0)
        yield


def attempt(workspace: Workspace, kind: Any, raw: bytes, suffix: str, skip: bool) -> None:
    """Import; check that all or nothing of what is reported happened, and that a second time adds nothing."""
    before = counts(workspace)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(raw)
        options = Options(skip_invalid=skip)
        try:
            done = ingest.import_files(workspace, kind, [path], now=NOW, options=options)
        except ReviewError:
            assert counts(workspace) == before
            return
        assert done.read == done.new + done.present + len(done.rejected)
        assert counts(workspace) == before | {kind: before[kind] + done.new}
        again = ingest.import_files(workspace, kind, [path], now=NOW, options=options)
        assert (again.new, again.present) == (0, done.new + done.present)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@given(raw=st.binary(max_size=200) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")))
@FEW
def test_any_bytes(opened: Workspace, suffix: str, raw: bytes) -> None:
    with reading_many_at_a_time(True):
        attempt(opened, "pairs", raw, suffix, skip=True)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), skip=st.booleans(), many=st.booleans())
@FEW
def test_any_records(opened: Workspace, kind: str, data: st.DataObject, skip: bool, many: bool) -> None:
    rows = data.draw(st.lists(records(kind), max_size=4))
    with reading_many_at_a_time(many):
        attempt(opened, kind, as_jsonl(rows), ".jsonl", skip)
        attempt(opened, kind, as_csv(rows), ".csv", skip)


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from(
    ["", "'", "''=1", "=1+1", "+", "-", "@x", "\t", "\r", "\r\n", "\n", '"', '"",', "\x00", " ", "null", "[]", "\ufeff"]
)
NULLABLE = st.none() | TEXTS
WHOLE_PAIRS = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["user", "bot"]), "content": NULLABLE}),
            min_size=1,
            max_size=2,
        ),
        "old": st.fixed_dictionaries({"content": TEXTS, "model": NULLABLE, "confidence": st.none() | st.floats(0, 1)}),
        "new": st.fixed_dictionaries({"content": TEXTS, "correct": st.none() | st.booleans()}),
        "reference": NULLABLE,
        "metadata": st.none() | st.dictionaries(TEXTS, st.none() | TEXTS | st.integers() | st.booleans(), max_size=2),
    }
)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
@given(pairs=st.lists(WHOLE_PAIRS, max_size=6), many=st.booleans())
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_exported_comes_back_the_same(suffix: str, pairs: list[dict[str, Any]], many: bool) -> None:
    with reading_many_at_a_time(many), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source.jsonl"
        source.write_text("\n".join(json.dumps({"pair_id": f"p{i}", **pair}) for i, pair in enumerate(pairs)))
        first, second = (open_workspace(app_settings.load(folder / turn / "r.duckdb")) for turn in ("first", "second"))
        try:
            ingest.import_pairs(first, [source], now=NOW)
            export(first, "pairs", folder / f"out{suffix}")
            assert ingest.import_pairs(second, [folder / f"out{suffix}"], now=NOW).new == len(pairs)
            for workspace, target in ((first, "first.jsonl"), (second, "second.jsonl")):
                export(workspace, "pairs", folder / target)
            assert (folder / "first.jsonl").read_bytes() == (folder / "second.jsonl").read_bytes()
        finally:
            first.close()
            second.close()


@given(data=st.data())
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_command_line_never_shows_a_traceback(data: st.DataObject) -> None:
    rows = data.draw(st.lists(records("pairs"), min_size=1, max_size=3))
    junk = data.draw(st.binary(max_size=20))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.jsonl"
        path.write_bytes(as_jsonl(rows) + b"\n" + junk)
        command = [
            sys.executable,
            "-m",
            "review.cli",
            "import",
            "pairs",
            str(path),
            "--db",
            f"{folder}/r.duckdb",
            "--json",
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode in (0, 1)
        assert "Traceback" not in done.stderr
        assert "unexpected" not in done.stderr
        assert set(json.loads(done.stdout)) == {"read", "new", "present", "rejected"}
