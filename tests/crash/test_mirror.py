"""Killed at any moment: what was acknowledged is in the set, the chain verifies, and the mirror is whole or mended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from review import settings
from review.adapters import mirror
from review.services import flag
from review.services.workspace import Actor, open_workspace
from tests.adversarial import a_report, add_pairs
from tests.conftest import NOW, ROOT

# Reports without end, one line for each that was acknowledged; every seventh entry is erased.
REPORTER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from review import settings
from review.services import flag
from review.services.workspace import Actor, open_workspace
workspace = open_workspace(settings.load(Path(sys.argv[1])))
number = int(sys.argv[2])
while True:
    report = flag.Report(f"report-{number}", f"p{number}", "new", "refusal", "x" * 4000, comment=f"secret-{number}")
    made = flag.report(workspace, report, "Mara", datetime.now(UTC))
    print(number, made.entry_id, made.mirror.state, flush=True)
    if number % 7 == 0:
        flag.erase(workspace, made.entry_id, Actor("Lea", "lead"), "personal data", datetime.now(UTC))
        print("erased", made.entry_id, flush=True)
    number += 1
"""


def test_kill_9_in_a_loop_of_reports_loses_nothing_acknowledged(tmp_path: Path) -> None:
    db = tmp_path / "review.duckdb"
    workspace = open_workspace(settings.load(db))
    add_pairs(workspace, *(f"p{number}" for number in range(400)))
    workspace.close()

    acknowledged: dict[str, int] = {}
    erased: set[str] = set()
    start = 1
    for acknowledgements in (1, 9, 4, 16):
        command = [sys.executable, "-c", REPORTER, str(db), str(start)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout is not None
        seen = 0
        while seen < acknowledgements:
            line = process.stdout.readline().split()
            assert line, "the reporter ended by itself"
            if line[0] == "erased":
                erased.add(line[1])
            else:
                acknowledged[line[1]] = int(line[0])
                seen += 1
        process.send_signal(signal.SIGKILL)
        # What it had acknowledged before the signal came may still be in the pipe.
        for rest in process.stdout.read().splitlines():
            first, *more = rest.split()
            if first == "erased" and more:
                erased.add(more[0])
            elif len(more) == 2:
                acknowledged[more[0]] = int(first)
        process.wait()
        process.stdout.close()

        workspace = open_workspace(settings.load(db))
        try:
            check = flag.verify(workspace)
            assert check.ok, check.message
            entries = {each.entry_id: each for each in flag.entries(workspace)}
            assert acknowledged.items() <= {key: int(each.pair_id[1:]) for key, each in entries.items()}.items()
            assert erased <= {key for key, each in entries.items() if each.status == "erased"}
            lines = [json.loads(line) for line in workspace.settings.mirror.read_text().rstrip("\n").split("\n")]
            assert len(lines) == check.rows + 1
            assert not any("text" in line for line in lines[1:] if entries[line["entry_id"]].status == "erased")
            start = max(int(each.pair_id[1:]) for each in entries.values()) + 1
        finally:
            workspace.close()
    assert len(acknowledged) >= 30


@pytest.fixture
def path_with_three_entries(tmp_path: Path) -> Path:
    db = tmp_path / "review.duckdb"
    workspace = open_workspace(settings.load(db))
    add_pairs(workspace, "p1", "p2", "p3", "p4")
    for pair in ("p1", "p2", "p3"):
        flag.report(workspace, a_report(pair_id=pair, comment=f"secret {pair}"), "Mara", NOW)
    workspace.close()
    return db


def checked(db: Path) -> flag.Verification:
    workspace = open_workspace(settings.load(db))
    try:
        return flag.verify(workspace)
    finally:
        workspace.close()


@pytest.mark.parametrize(
    ("left", "state"),
    [
        (lambda raw: None, "recreated"),
        (lambda raw: raw[:-40], "repaired"),  # the last line is torn
        (lambda raw: raw[: raw.rindex(b"\n", 0, -1) + 1], "repaired"),  # the last line was never written
        (lambda raw: raw + b'{"half', "repaired"),
        (lambda raw: raw, "current"),
    ],
)
def test_what_a_crash_leaves_is_mended(path_with_three_entries: Path, left, state: str) -> None:
    file = path_with_three_entries.parent / "adversarial_permanent.jsonl"
    whole = file.read_bytes()
    remains = left(whole)
    file.unlink() if remains is None else file.write_bytes(remains)
    check = checked(path_with_three_entries)
    assert (check.ok, check.mirror and check.mirror.state) == (True, state)
    assert file.read_bytes() == whole


def test_a_report_mends_the_mirror_too(path_with_three_entries: Path) -> None:
    file = path_with_three_entries.parent / "adversarial_permanent.jsonl"
    file.write_bytes(file.read_bytes()[:-40])
    workspace = open_workspace(settings.load(path_with_three_entries))
    try:
        assert flag.report(workspace, a_report(pair_id="p4"), "Mara", NOW).mirror.state == "repaired"
        assert flag.verify(workspace).mirror == mirror.MirrorState("current", "The mirror has every row.")
    finally:
        workspace.close()


def test_an_erasure_that_never_reached_the_mirror_reaches_it_with_the_next_check(path_with_three_entries: Path) -> None:
    file = path_with_three_entries.parent / "adversarial_permanent.jsonl"
    before = file.read_bytes()
    workspace = open_workspace(settings.load(path_with_three_entries))
    flag.erase(workspace, "A-00002", Actor("Lea", "lead"), "personal data", NOW)
    workspace.close()
    after = file.read_bytes()
    # As if killed between the commit and the rename: the old file, and the same with the erasure's own row.
    for left in (before, before + after[after.rindex(b"\n", 0, -1) + 1 :]):
        file.write_bytes(left)
        assert b"secret p2" in file.read_bytes()
        assert checked(path_with_three_entries).ok
        assert file.read_bytes() == after


@pytest.mark.parametrize(
    ("change", "state", "entry_id"),
    [
        (lambda raw: raw.replace(b"secret p2", b"secret px"), "altered", "A-00002"),
        (lambda raw: raw.replace(b'"failed":"new"', b'"failed":"old"', 1), "altered", "A-00001"),
        (
            lambda raw: b"".join(raw.splitlines(keepends=True)[:2] + raw.splitlines(keepends=True)[3:]),
            "altered",
            "A-00002",
        ),
        (lambda raw: raw + raw.splitlines(keepends=True)[-1].replace(b"A-00003", b"A-00004"), "ahead", "A-00004"),
        (lambda raw: raw.replace(b'"chain_id":"', b'"chain_id":"x', 1), "foreign", None),
        (lambda raw: b"something else\n", "altered", None),
    ],
)
def test_a_mirror_that_contradicts_is_named_and_never_overwritten(
    path_with_three_entries: Path, change, state: str, entry_id: str | None
) -> None:
    file = path_with_three_entries.parent / "adversarial_permanent.jsonl"
    file.write_bytes(change(file.read_bytes()))
    before = file.read_bytes()
    check = checked(path_with_three_entries)
    assert (check.ok, check.first_bad, check.mirror and check.mirror.state) == (False, entry_id, state)
    assert file.read_bytes() == before
    # A flag is never lost to it, and the file still says what it said.
    workspace = open_workspace(settings.load(path_with_three_entries))
    try:
        assert flag.report(workspace, a_report(pair_id="p4"), "Mara", NOW).new
    finally:
        workspace.close()
    assert file.read_bytes().startswith(before)


def test_a_folder_that_cannot_be_written_loses_no_flag(path_with_three_entries: Path) -> None:
    file = path_with_three_entries.parent / "adversarial_permanent.jsonl"
    file.unlink()
    file.mkdir()  # also refuses root, unlike a mode
    workspace = open_workspace(settings.load(path_with_three_entries))
    try:
        made = flag.report(workspace, a_report(pair_id="p4"), "Mara", NOW)
        assert (made.new, made.mirror.state) == (True, "unwritable")
        file.rmdir()
        assert flag.verify(workspace).mirror == mirror.MirrorState(
            "recreated", "adversarial_permanent.jsonl was missing and was written anew."
        )
    finally:
        workspace.close()


def test_a_new_start_sets_the_old_mirror_aside(path_with_three_entries: Path) -> None:
    file = path_with_three_entries.parent / "adversarial_permanent.jsonl"
    whole = file.read_bytes()
    aside = mirror.set_aside(file)
    assert aside is not None
    assert (aside.read_bytes(), file.exists(), mirror.set_aside(file)) == (whole, False, None)
