"""The main job on real input, through the doors people use: import, draw, label by keyboard, export; Agreement."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import shared
from tests.e2e.conftest import Server, run_cli
from tests.e2e.reviewing import at_card, label, saved

pytestmark = pytest.mark.chromium
Visit = Callable[..., Page]


def cli(db: Path, *arguments: str) -> Any:
    """The command's JSON answer."""
    done = run_cli(db, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_phi3_from_file_to_labels_and_out_again(
    make_server: Callable[..., Server], visit: Visit, tmp_path: Path
) -> None:
    drawn: dict[str, Any] = {}

    def prepare(db: Path) -> None:
        assert cli(db, "import", "pairs", str(shared("data/phi3_dpo/pairs.jsonl")))["new"] == 80
        assert cli(db, "import", "verdicts", str(shared("data/phi3_dpo/verdicts.jsonl")))["new"] == 150
        drawn.update(cli(db, "draw", "--size", "60", "--seed", "7", "--repeat", "0"))

    server = make_server(prepare)
    assert drawn["size"] == sum(stratum["drawn"] for stratum in drawn["strata"]) == 60
    assert all(stratum["pi"] == stratum["drawn"] / stratum["frame"] for stratum in drawn["strata"])

    page = at_card(visit(server, "/label", name="Mara"))
    for digits in ("112222", "113222", "112213"):
        label(page, digits)
    saved(page)
    # The app has the file open; the command asks the app.
    assert cli(server.db, "export", "labels", "-o", str(tmp_path / "early.jsonl"))["exported"] == 3
    server.stop()

    target = tmp_path / "labels.jsonl"
    assert cli(server.db, "export", "labels", "--round", drawn["round_id"], "-o", str(target))["exported"] == 3
    rows = sorted(
        (json.loads(line) for line in target.read_text("utf-8").splitlines()), key=lambda row: row["labelled_at"]
    )
    assert {row["reviewer"] for row in rows} == {"Mara"}
    third = rows[2]
    right = "new" if third["shown_first"] == "old" else "old"
    assert third["preference"] == right
    assert (third["tone"], third["error_old"], third["error_new"]) == (third["shown_first"], "none", "none")
    assert rows[1][f"calibration_{rows[1]['shown_first']}"] == "over"

    judge = cli(server.db, "agreement")["judges"][0]
    assert judge["judge"] == "gpt-4"
    assert judge["n"] + sum(judge["excluded"].values()) == 3  # 5 of the 80 pairs were never judged


def test_pandalm_stands_on_the_agreement_page(make_server: Callable[..., Server], visit: Visit) -> None:
    def prepare(db: Path) -> None:
        for kind, rows in (("pairs", 999), ("verdicts", 1998), ("labels", 2997)):
            assert cli(db, "import", kind, str(shared(f"data/pandalm/{kind}.jsonl")))["new"] == rows

    page = visit(make_server(prepare), "/agreement", name="Mara", role="lead")
    main = page.get_by_test_id("stMain")
    expect(main).to_contain_text("gpt-3.5-turbo", timeout=60_000)
    expect(main).to_contain_text("Agrees with people on 71 % of 999 pairs from 170 prompts (67 to 75 % at 95 %)")
    expect(main).to_contain_text("Agrees with people on 67 % of 999 pairs from 170 prompts (62 to 71 % at 95 %)")
    expect(
        page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg").first
    ).to_be_visible()
