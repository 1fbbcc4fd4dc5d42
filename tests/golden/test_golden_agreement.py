"""The real sets, imported as files and compared under each rule, against the golden rows about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from review import settings
from review.services import ingest
from review.services.agreement import Comparison, JudgeAgreement, agreement
from review.services.stability import stability
from review.services.two_judges import TwoJudges, two_judges
from review.services.workspace import Workspace, open_workspace
from review.stats.estimate import Estimate, NotEstimable
from tests.conftest import NOW, shared
from tests.golden.golden_vectors import golden, near

UNPARSABLE = {"counted as tie": "tie", "counted as wrong": "wrong", "dropped": "dropped"}


def imported(folder: Path, name: str) -> Workspace:
    """A workspace with one of the shared sets in it."""
    data = shared(f"data/{name}")
    workspace = open_workspace(settings.load(folder / "review.duckdb"))
    ingest.import_pairs(workspace, [data / "pairs.jsonl"], now=NOW)
    ingest.import_verdicts(workspace, [data / "verdicts.jsonl"], now=NOW)
    if (data / "labels.jsonl").exists():
        ingest.import_files(workspace, "labels", [data / "labels.jsonl"], now=NOW)
    return workspace


@pytest.fixture(scope="module")
def pandalm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    workspace = imported(tmp_path_factory.mktemp("pandalm"), "pandalm")
    yield workspace
    workspace.close()


@pytest.fixture(scope="module")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    workspace = imported(tmp_path_factory.mktemp("phi3"), "phi3_dpo")
    yield workspace
    workspace.close()


def value(result: object) -> float:
    assert isinstance(result, Estimate)
    return result.value


def judge_of(workspace: Workspace, name: str, **rules: Any) -> JudgeAgreement:
    return next(each for each in agreement(workspace, **rules).judges if each.judge == name)


@golden("pandalm_judge")
def test_pandalm_judges(pandalm: Workspace, entry: dict[str, Any]) -> None:
    rule = UNPARSABLE[entry["input"].get("unparsable", "counted as tie")]
    got = judge_of(pandalm, entry["input"]["judge"], unparsable=rule).preference
    expected = entry["expected"]
    assert not isinstance(got.macro, NotEstimable)
    assert not isinstance(got.symmetry, NotEstimable)
    assert not isinstance(got.margins, NotEstimable)
    assert isinstance(got.raw, Estimate)
    numbers = {
        "n": got.n,
        "raw": got.raw.value,
        "agree": got.agree,
        "kappa": value(got.kappa),
        "kappa_se": got.se["kappa_independent"],
        "ac1": value(got.ac1),
        "macro_precision": got.macro.precision,
        "macro_recall": got.macro.recall,
        "macro_f1": got.macro.f1,
        "cluster_se": got.se["raw_clustered"],
        "cluster_low": got.raw.low,
        "cluster_high": got.raw.high,
        "iid_se": got.se["raw_independent"],
        "n_clusters": got.prompts,
        "bowker": got.symmetry.statistic,
        "stuart_maxwell": got.margins.statistic,
    }
    assert len(expected.keys() & numbers.keys()) >= 2
    for key in expected.keys() & numbers.keys():
        assert numbers[key] == near(entry, key), key
    if "confusion_human_rows_judge_columns_tie_old_new" in expected:
        assert in_order(got, ("tie", "old", "new")) == expected["confusion_human_rows_judge_columns_tie_old_new"]


def in_order(comparison: Comparison, order: tuple[str, ...]) -> list[list[int]]:
    places = [comparison.answers.index(answer) for answer in order]
    return [[comparison.counts[row][column] for column in places] for row in places]


@golden("pandalm_humans")
def test_pandalm_people(pandalm: Workspace, entry: dict[str, Any]) -> None:
    report = agreement(pandalm)
    people, expected, tolerance = report.people, entry["expected"], entry["tolerance"]
    assert report.judges[0].preference.base_rates()["people"] == {**expected["majority_counts"], "both_bad": 0}
    assert people.fleiss == near(entry, "fleiss")
    assert value(people.alpha) == near(entry, "alpha")
    assert value(people.ac1) == near(entry, "ac1")
    pairs = {f"{two.a[-1]}-{two.b[-1]}": two for two in people.pairwise}
    assert {name: value(two.kappa) for name, two in pairs.items()} == pytest.approx(
        expected["pairwise_kappa"], abs=tolerance
    )
    assert {name: value(two.raw) for name, two in pairs.items()} == pytest.approx(
        expected["pairwise_raw"], abs=tolerance
    )


@golden("phi3_judge_order")
def test_phi3_judge_over_orders(phi3: Workspace, entry: dict[str, Any]) -> None:
    judge, expected = judge_of(phi3, entry["input"]["judge"]), entry["expected"]
    assert isinstance(judge.preference.raw, NotEstimable)
    assert not isinstance(judge.order, NotEstimable)
    order = judge.order
    assert order.usable + order.unparsable + order.unresolved == expected["judged"]
    assert (order.unparsable, order.usable, order.consistent) == (
        expected["with_errors"],
        expected["usable"],
        expected["consistent"],
    )
    assert (order.to_first, order.to_second, order.mixed) == (
        expected["first_position_flips"],
        expected["second_position_flips"],
        expected["mixed_tie_and_win"],
    )
    assert {kind: judge.verdicts[kind] for kind in expected["verdicts"]} == expected["verdicts"]
    ties = judge.verdicts["tie"] + judge.verdicts["inconsistent"]
    assert (judge.verdicts["new"] + ties / 2) / order.usable == pytest.approx(
        expected["new_win_rate_ties_half"], abs=5e-5
    )


@golden("pandalm_two_judges_paired")
def test_pandalm_two_judges(pandalm: Workspace, entry: dict[str, Any]) -> None:
    found = two_judges(pandalm, "gpt-3.5-turbo", "PandaLM-7B")
    assert isinstance(found, TwoJudges)
    assert not isinstance(found.test, NotEstimable)
    assert len(found.cells["one_only"]) == entry["expected"]["gpt_only_right"]
    assert len(found.cells["two_only"]) == entry["expected"]["pandalm_only_right"]
    assert found.test.p_exact == near(entry, "mcnemar_exact_p")
    assert isinstance(found.difference, Estimate)
    assert found.difference.value == near(entry, "tango_difference")
    assert found.difference.low == near(entry, "low")
    assert found.difference.high == near(entry, "high")
    # Prompts repeat here, so the page shows the interval that knows it beside Tango's.
    assert found.prompts == 170
    assert found.clustered is not None


@golden("pandalm_judge")
def test_pandalm_taste_for_length(entry: dict[str, Any], tmp_path: Path) -> None:
    if "prefers_longer" not in entry["expected"]:
        pytest.skip("this entry says nothing about length")
    # Some answers of this set are a bare `true` that lost its blanks on the way through YAML. Those of one model must
    # have ended in two or more: with them restored all four counts are the published ones, without them 599 and 569.
    data = shared("data/pandalm")
    pairs = tmp_path / "pairs.jsonl"
    with pairs.open("w", encoding="utf-8") as file:
        for line in (data / "pairs.jsonl").read_text("utf-8").splitlines():
            record = json.loads(line)
            for side in ("old", "new"):
                if record[side]["content"] is True:
                    record[side]["content"] = "True  " if record[side]["model"] == "opt-7b" else "True"
            file.write(json.dumps(record) + "\n")
    workspace = open_workspace(settings.load(tmp_path / "review.duckdb"))
    ingest.import_pairs(workspace, [pairs], now=NOW)
    ingest.import_verdicts(workspace, [data / "verdicts.jsonl"], now=NOW)
    ingest.import_files(workspace, "labels", [data / "labels.jsonl"], now=NOW)
    found = stability(workspace, entry["input"]["judge"])
    workspace.close()
    for figure, key in ((found.people_longer, "human"), (found.judge_longer, "judge")):
        assert f"{figure.count}/{figure.of}" == entry["expected"]["prefers_longer"][key]
        assert isinstance(figure.share, Estimate)
