"""Calibration from plain files and from stored pairs: what counts, what is left out and counted, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from review.errors import BadInput, NotFound
from review.services import ingest, rounds
from review.services.calibration import CalibrationReport, calibration_of, calibration_of_files
from review.services.workspace import Workspace
from review.stats.calibration import MeanChange
from review.stats.estimate import Estimate, NotEstimable
from tests.agreeing import label
from tests.conftest import NOW
from tests.e2e.conftest import run_cli

GOOD = {"id": "a", "confidence": 0.8, "correct": True}


def write(path: Path, *rows: dict[str, Any] | str) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def many(shift: float = 0.0, flip: int = 5) -> list[dict[str, Any]]:
    return [
        {"id": n, "confidence": min(1.0, 0.5 + n % 5 / 10 + shift), "correct": n % flip > 0, "prompt_id": n // 3}
        for n in range(60)
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"id": "b", "correct": True}, '"confidence" is missing (fields seen: correct, id)'),
        ({"id": "b", "confidence": 70, "correct": True}, '"confidence" is 70; it must lie in 0 to 1. Divide'),
        ({"id": "b", "confidence": -0.1, "correct": True}, '"confidence" is -0.1'),
        ({"id": "b", "confidence": "zq7canary", "correct": 1}, '"confidence" is a text'),
        ({"id": "b", "confidence": True, "correct": 1}, '"confidence" is True'),
        ({"id": "b", "confidence": None, "correct": 1}, '"confidence" is null'),
        ({"id": "b", "confidence": 1, "correct": "zq7canary"}, '"correct" is a text; it must be true, false, 1 or 0'),
        ({"id": "b", "confidence": 1, "correct": 2}, '"correct" is 2'),
        ({"id": "", "confidence": 1, "correct": 1}, '"id" is an empty text'),
        ({"id": "a", "confidence": 1, "correct": 1}, '"id" stands on line 1 already'),
        ({"id": "b", "confidence": 1, "correct": 1, "prompt_id": []}, '"prompt_id" is a list'),
        ("{broken", "is not JSON"),
        ('{"id": "b", "confidence": NaN, "correct": 1}', "is not JSON (a number is NaN"),
    ],
)
def test_a_bad_line_is_named_with_its_field(tmp_path: Path, row: dict[str, Any] | str, told: str) -> None:
    file = write(tmp_path / "old.jsonl", GOOD, row, "{broken")
    with pytest.raises(BadInput) as error:
        calibration_of_files(file)
    assert str(error.value).startswith(f"{file} line 2: ")
    assert told in str(error.value)
    assert "1 more bad lines follow" in str(error.value)
    assert "zq7canary" not in str(error.value)


def test_csv_jsonl_and_parquet_give_the_same_numbers(tmp_path: Path) -> None:
    rows = many()
    frame = pd.DataFrame(rows)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.assign(correct=frame["correct"].astype(int), colour="x").to_csv(tmp_path / "b.csv", index=False)
    files = [write(tmp_path / "a.jsonl", *rows), *(tmp_path / name for name in ("a.parquet", "a.csv", "b.csv"))]
    documents = [calibration_of_files(file).to_json() for file in files]
    words = [document.pop("rules") for document in documents]
    assert all(document == documents[0] for document in documents)
    assert "Fields that were not used: colour." in words[3]["in_words"]  # type: ignore[index]  # plain JSON values
    bad = tmp_path / "bad.csv"
    bad.write_text("id,confidence,correct\n1,0.5,1\n2,much,1\n3,0.5,perhaps\n")
    with pytest.raises(BadInput, match=r'line 3: "confidence" cannot be read as a number\. 1 more'):
        calibration_of_files(bad)
    infinite = tmp_path / "inf.csv"
    infinite.write_text("id,confidence,correct\n1,nan,1\n")
    with pytest.raises(BadInput, match='line 2: "confidence" is nan'):
        calibration_of_files(infinite)


def test_ids_of_one_file_only_are_counted_and_prompts_must_agree(tmp_path: Path) -> None:
    old = write(tmp_path / "old.jsonl", *many(), GOOD | {"id": "only"})
    new = write(tmp_path / "new.jsonl", *({**row, "prompt_id": None} for row in many(0.05)[10:]))
    report = calibration_of_files(old, new)
    assert report.exclusions == {"only_in_old": 11, "only_in_new": 0}
    assert [each.n for each in report.systems.values()] == [50, 50]
    assert report.systems["new"].prompts == 17
    difference = report.brier_difference
    assert isinstance(difference, MeanChange)
    scores = [each.brier for each in report.systems.values()]
    assert isinstance(scores[0], Estimate)
    assert isinstance(scores[1], Estimate)
    assert difference.estimate.value == pytest.approx(scores[1].value - scores[0].value)
    mirrored = calibration_of_files(new, old).brier_difference
    assert isinstance(mirrored, MeanChange)
    assert mirrored.estimate.low == pytest.approx(-difference.estimate.high)
    other = write(tmp_path / "other.jsonl", *(row | {"prompt_id": "x"} for row in many()))
    with pytest.raises(BadInput, match='line 1: "prompt_id" differs'):
        calibration_of_files(old, other)
    with pytest.raises(BadInput, match="no id in common"):
        calibration_of_files(old, write(tmp_path / "none.jsonl", GOOD))
    with pytest.raises(BadInput, match="holds no records"):
        calibration_of_files(write(tmp_path / "empty.jsonl"))


def test_the_verb_prints_json_on_either_side_and_errors_in_one_line(tmp_path: Path) -> None:
    db = tmp_path / "none.duckdb"
    old, new = write(tmp_path / "old.jsonl", *many()), write(tmp_path / "new.jsonl", *many(0.1))
    done = run_cli(db, "--json", "calibration", "--old", str(old), "--new", str(new))
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert document["difference"]["brier"]["n"] == 60
    assert len(document["thresholds"]) == 21
    one = run_cli(db, "calibration", "--old", str(old), "--json")
    assert json.loads(one.stdout)["old"] == document["old"]
    assert "new" not in json.loads(one.stdout)
    people = run_cli(db, "calibration", "--old", str(old), "--new", str(new))
    assert "brier, new minus old" in people.stdout
    bad = run_cli(db, "calibration", "--old", str(write(tmp_path / "bad.jsonl", GOOD | {"confidence": 7})))
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (1, "", 1)
    assert run_cli(db, "calibration").returncode == 2
    assert not list(tmp_path.glob("none*"))


def pair(name: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {
        "pair_id": name,
        "prompt_id": name.split("-")[0],
        "messages": [{"role": "user", "content": 'Say "confidence": 0.1'}],
        "old": {"content": 'says "confidence": 0.2'} | old,
        "new": {"content": "b"} | new,
    }


def bring(workspace: Workspace, folder: Path, pairs: list[dict[str, Any]], labels: list[dict[str, Any]]) -> None:
    for kind, records in (("pairs", pairs), ("labels", labels)):
        if records:
            ingest.import_files(workspace, kind, [write(folder / f"{kind}.jsonl", *records)], now=NOW)  # type: ignore[arg-type]  # one of the kinds


def test_correctness_is_what_the_pair_says_else_what_people_say(workspace: Workspace, tmp_path: Path) -> None:
    sure = {"confidence": 0.9}
    bring(
        workspace,
        tmp_path,
        [
            pair("given", sure | {"correct": False}, sure | {"correct": True}),
            pair("majority", sure, {"confidence": 0.6}),
            pair("adjudicated", sure, sure),
            pair("split", sure, sure),
            pair("unclear", sure, sure),
            pair("silent", sure, sure),
            pair("half", sure | {"correct": True}, {}),
            pair("neither", {}, {}),
        ],
        [
            # The pair's own word stands against people's.
            label("given", "ana", None, error_old="none", error_new="confident"),
            label("majority", "ana", None, error_old="none", error_new="cautious"),
            label("majority", "ben", None, error_old="none", error_new="other"),
            label("majority", "cleo", None, error_old="confident", error_new="cautious"),
            label("majority", "dora", None, error_old="confident", error_new="none", surplus=True),
            label("majority", "ana", None, error_old="confident", error_new="none", occurrence=1),
            label("adjudicated", "ana", None, error_old="none", error_new="none"),
            label("adjudicated", "cleo", None, error_old="confident", error_new="none", kind="adjudication"),
            label("split", "ana", None, error_old="none", error_new="none"),
            label("split", "ben", None, error_old="confident", error_new="none"),
            label("unclear", "ana", None, error_old="none", error_new="cannot_tell"),
        ],
    )
    report = calibration_of(workspace)
    old, new = report.systems["old"], report.systems["new"]
    assert (old.n, new.n) == (3, 3)
    assert isinstance(old.accuracy, Estimate)
    assert isinstance(new.accuracy, Estimate)
    # Old is right on "majority" only, new on "given" and "adjudicated".
    assert (old.accuracy.value, new.accuracy.value) == pytest.approx((1 / 3, 2 / 3))
    assert report.sources == {"given": 2, "labels": 4}
    assert report.exclusions == {
        "not_labelled_old": 1,
        "people_unresolved_old": 1,
        "people_cannot_tell_old": 0,
        "not_labelled_new": 1,
        "people_unresolved_new": 0,
        "people_cannot_tell_new": 1,
        "only_usable_on_old": 2,
        "only_usable_on_new": 1,
    }


def test_one_side_alone_and_nothing_at_all(workspace: Workspace, tmp_path: Path) -> None:
    empty = calibration_of(workspace)
    assert empty.systems == {}
    assert empty.shift is not None
    assert isinstance(empty.shift.net, NotEstimable)
    json.dumps(empty.to_json(), allow_nan=False)
    pairs = [pair(f"p{n}", {}, {"confidence": n / 10, "correct": n > 5}) for n in range(11)]
    bring(workspace, tmp_path, pairs, [])
    report = calibration_of(workspace)
    assert list(report.systems) == ["new"]
    assert report.systems["new"].n == 11
    assert report.brier_difference is None
    assert report.thresholds[0].old is None
    with pytest.raises(NotFound, match="no round 'r'"):
        calibration_of(workspace, "r")


def shifts(report: CalibrationReport) -> MeanChange:
    assert report.shift is not None
    assert isinstance(report.shift.net, MeanChange)
    return report.shift.net


def test_the_shift_of_certainty(workspace: Workspace, tmp_path: Path) -> None:
    """By hand: 2 right to over, 1 under to right, 1 over to over of 4 pairs in 2 prompts: net 3/4."""
    steps = [("right", "over"), ("right", "over"), ("under", "right"), ("over", "over")]
    pairs = [pair(f"p{n % 2}-{n}", {}, {}) for n in range(6)]
    labels = [
        label(f"p{n % 2}-{n}", "ana", None, calibration_old=old, calibration_new=new)
        for n, (old, new) in enumerate(steps)
    ]
    more = [
        label("p0-4", "ana", None, calibration_old="right"),
        label("p1-5", "ana", None, calibration_old="right", calibration_new="right"),
        label("p1-5", "ben", None, calibration_old="over", calibration_new="right"),
    ]
    bring(workspace, tmp_path, pairs, [*labels, *more])
    report = calibration_of(workspace)
    assert report.shift is not None
    assert report.shift.counts == ((0, 1, 0), (0, 0, 2), (0, 0, 1))
    assert report.shift.totals()["new"] == {"under": 0, "right": 1, "over": 3}
    assert report.shift.excluded == {"only_one_side_answered": 1, "people_unresolved": 1}
    net = shifts(report)
    assert (net.estimate.value, net.estimate.n, net.estimate.clusters) == (0.75, 4, 2)


def test_a_round_counts_its_own_pairs_and_labels_only(workspace: Workspace, tmp_path: Path) -> None:
    pairs = [pair(f"p{n}", {"confidence": 0.7, "correct": n % 2 > 0}, {"confidence": 0.8}) for n in range(20)]
    bring(workspace, tmp_path, pairs, [])
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=8, seed=1), "lead", NOW)
    inside = [each[0] for each in workspace.database.cursor().execute("SELECT pair_id FROM slot").fetchall()]
    answer = {"error_new": "none", "calibration_old": "right", "calibration_new": "over"}
    more = [label(each, "ana", None, **answer, round_id=drawn.round_id) for each in inside[:6]]
    other = [label(each, "ben", None, **answer | {"error_new": "other"}) for each in inside[:6]]
    bring(workspace, tmp_path, [], [*more, *other])
    report, whole = calibration_of(workspace, drawn.round_id), calibration_of(workspace)
    assert report.shift is not None
    assert (report.systems["new"].n, report.shift.n) == (6, 6)
    assert report.exclusions["not_labelled_new"] == 2
    assert isinstance(report.systems["new"].accuracy, Estimate)
    assert report.systems["new"].accuracy.value == 1
    # Over all rounds ana and ben disagree on every pair.
    assert (whole.systems["new"].n, whole.exclusions["people_unresolved_new"]) == (0, 6)
    json.dumps(whole.to_json(), allow_nan=False)
