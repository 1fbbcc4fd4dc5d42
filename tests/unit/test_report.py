"""The report: every number is that of the JSON, twice the same, nothing of it alive, redacted where that was asked."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from review import settings
from review.adapters import html
from review.errors import BadInput, NotFound
from review.services import demo, looks, report
from review.services.parity import parity
from review.services.report import Asked
from review.services.workspace import Workspace, open_workspace
from tests.conftest import NOW
from tests.e2e.conftest import run_cli
from tests.reporting import Shown, at, fits, read
from tests.unit.test_report_hostile import CANARY, bring_hostile


@pytest.fixture(scope="module")
def demo_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's database; nobody may change it (copy it)."""
    db = tmp_path_factory.mktemp("report") / "review.duckdb"
    with closing(open_workspace(settings.load(db))) as workspace:
        demo.build(workspace, NOW)
    return db


@pytest.fixture
def copied(demo_db: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the demo's database, to change."""
    for file in demo_db.parent.iterdir():
        shutil.copy(file, tmp_path)
    with closing(open_workspace(settings.load(tmp_path / demo_db.name))) as workspace:
        yield workspace


def made(workspace: Workspace, **asked: Any) -> dict[str, Any]:
    document = report.of_workspace(workspace, "tester", Asked(**asked))
    return json.loads(report.rendered(document, "json"))


@pytest.fixture(scope="module")
def reports(demo_db: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The demo's report before anybody looked, after a look, and redacted; nobody may change them."""
    folder = tmp_path_factory.mktemp("reports")
    for file in demo_db.parent.iterdir():
        shutil.copy(file, folder)
    with closing(open_workspace(settings.load(folder / demo_db.name))) as workspace:
        before = made(workspace)
        assert looks.plan(workspace, parity(workspace)).looks == (), "the report takes no look"
        looks.take(workspace, None, "Mara Quandt", NOW)
        return {"estimate": before, "look": made(workspace), "redacted": made(workspace, redact=True)}


def wrong(document: dict[str, Any]) -> list[Shown]:
    """The values of the page that are not those of the document."""
    return [
        each
        for each in read(html.page(document)).shown
        if not fits(each, each.tick if each.pointer is None else at(document, each.pointer))
    ]


@pytest.mark.parametrize("which", ["estimate", "look", "redacted"])
def test_every_number_of_the_page_is_that_of_the_json(reports: dict[str, dict[str, Any]], which: str) -> None:
    page = read(html.page(reports[which]))
    assert wrong(reports[which]) == []
    assert len([each for each in page.shown if each.pointer]) > 500
    # Whatever has a digit comes from the document: no number stands in our own words.
    assert [text for text in page.bare if any(letter.isdigit() for letter in text)] == []


def test_a_number_that_differs_is_found(reports: dict[str, dict[str, Any]]) -> None:
    document = copy.deepcopy(reports["look"])
    page = html.page(document)
    document["parity"]["parts"]["tolerance"][0]["difference"]["value"] += 0.0003
    changed = [each for each in read(page).shown if each.pointer and not fits(each, at(document, each.pointer))]
    assert {each.pointer for each in changed} == {"/parity/parts/tolerance/0/difference/value"}


def test_dots_stand_where_the_axis_says(reports: dict[str, dict[str, Any]]) -> None:
    """The picture of the tolerance: a dot's place, read off the axis by two of its ticks, is the difference."""
    picture = html.page(reports["look"]).split('aria-labelledby="tolerance-chart-t', 1)[1].split("</svg>", 1)[0]
    ticks = [(float(x), float(value)) for x, value in re.findall(r'x="([\d.]+)"[^>]*data-tick="([^"]+)"', picture)]
    (x1, v1), (x2, v2) = ticks[0], ticks[-1]
    dots = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', picture)]
    rows = [each["difference"]["value"] for each in reports["look"]["parity"]["parts"]["tolerance"]]
    assert len(dots) == len(rows) == 12
    for x, value in zip(dots, rows, strict=True):
        assert v1 + (x - x1) * (v2 - v1) / (x2 - x1) == pytest.approx(value, abs=0.002)


def test_markdown_says_the_same_numbers_in_the_same_order(reports: dict[str, dict[str, Any]]) -> None:
    text = html.markdown(reports["look"]).replace("\\", "").replace("\u2060", "")
    where = 0
    for each in read(html.page(reports["look"])).shown:
        if not each.in_picture:
            literal = each.kind in ("foreign", "yaml", "lines")
            found = text.find(each.text if literal else " ".join(each.text.split()), where)
            assert found >= 0, each
            where = found


def test_without_a_look_there_are_estimates_and_no_verdict(reports: dict[str, dict[str, Any]]) -> None:
    document = reports["estimate"]
    assert (document["verdict"]["basis"], document["verdict"]["verdict"]) == ("estimate", None)
    parts = json.dumps(document["parity"])
    assert '"verdict"' not in parts
    assert "regression" not in parts


def test_the_last_look_stands_on_top(reports: dict[str, dict[str, Any]]) -> None:
    document = reports["look"]
    assert document["verdict"]["basis"] == "look"
    assert document["verdict"]["verdict"] == document["parity"]["verdict"] == document["verdict"]["look"]["verdict"]
    assert document["verdict"]["look"]["taken_by"] == "Mara Quandt"
    assert document["parity"]["alpha"] == document["verdict"]["look"]["alpha"]
    page = html.page(document)
    assert page.index(f">{document['verdict']['word']}<") < page.index("What was compared")


def test_twice_the_same_byte_by_byte_in_two_processes(demo_db: Path, tmp_path: Path) -> None:
    file = tmp_path / "parity.html"
    done = run_cli(demo_db, "report", "-o", str(file))
    assert done.returncode == 0, done.stderr
    with closing(open_workspace(settings.load(demo_db))) as workspace:
        document = report.of_workspace(workspace, "somebody else", Asked())
    assert file.read_text(encoding="utf-8") == report.rendered(document, "html")
    assert str(demo_db.parent) not in report.rendered(document, "json")


def test_redacted_it_has_none_of_the_texts_and_names_and_all_of_the_numbers(
    reports: dict[str, dict[str, Any]], copied: Workspace
) -> None:
    full, bare = reports["look"], reports["redacted"]
    forms: tuple[report.Form, ...] = ("html", "markdown", "json")
    written = [report.rendered(bare, form).casefold() for form in forms]
    rows = copied.database.cursor().execute("SELECT messages, old, new, reference FROM pair").fetchall()
    texts: set[str] = set()
    for messages, old, new, reference in rows:
        said = [each.get("content") for each in json.loads(messages)] + [json.loads(old).get("content")]
        texts |= {each for each in [*said, json.loads(new).get("content"), reference] if isinstance(each, str)}
    comments = copied.database.cursor().execute("SELECT DISTINCT comment FROM label WHERE comment <> ''").fetchall()
    texts |= {row[0] for row in comments}
    texts |= {"sim-ana", "sim-ben", "sim-chloe", "Mara Quandt"}
    configured = json.dumps(bare["reproduce"]).casefold()  # its own words may be anybody's, as "cut off"
    texts = {each.casefold() for each in texts if len(each) >= 5 and each.casefold() not in configured}
    assert [each for each in texts if any(each in text for text in written)] == []
    assert len(texts) > 300
    assert "redacted" in bare["redacted"]
    # Counts and rates stay.
    for part in ("parity", "tone", "calibration", "flow"):
        assert bare[part] == full[part]
    assert bare["agreement"]["judges"] == full["agreement"]["judges"]
    sizes = [[each["pairs"] for each in document["failures"]["categories"]] for document in (full, bare)]
    assert sizes[0] == sizes[1]


def test_examples_are_three_of_those_that_have_it_on_that_side_alone(
    reports: dict[str, dict[str, Any]], copied: Workspace
) -> None:
    document = reports["look"]
    categories = {each["category"]: each for each in document["failures"]["categories"]}
    assert categories["Unsafe"]["kind"] == "new"
    for each in categories.values():
        assert len(each["examples"]) == min(3, each["pairs"])
        for example in each["examples"]:
            labels = copied.database.cursor().execute(
                f"SELECT categories_{each['side']} FROM current_label WHERE pair_id = $pair",
                {"pair": example["pair_id"]},
            )
            assert any(row[0] for row in labels.fetchall())


def test_an_empty_database_says_what_is_missing(workspace: Workspace) -> None:
    document = made(workspace)
    assert document["verdict"]["word"] == "Nothing to judge"
    assert wrong(document) == []
    missing = {each["part"] for each in document["open"]}
    assert missing >= {"Labels", "Judge", "Calibration", "Benchmarks and golden set", "Adversarial set"}
    assert all(each["settle"] for each in document["open"])
    assert "cannot be estimated" in html.page(document)
    assert "nan" not in report.rendered(document, "json").casefold().split()


def test_a_run_and_a_round_are_asked_for_by_name(copied: Workspace) -> None:
    with pytest.raises(NotFound, match="no round"):
        made(copied, round_id="nowhere")
    with pytest.raises(NotFound, match="no run"):
        made(copied, run="nowhere")
    with pytest.raises(BadInput, match="not both"):
        Asked("a", "b")
    round_id = copied.database.cursor().execute("SELECT round_id FROM round WHERE number = 1").fetchall()[0][0]
    document = made(copied, round_id=round_id)
    assert document["scope"]["name"] == "Round 1"
    assert document["compared"]["pairs"]["pairs"] == 40
    assert wrong(document) == []


def test_hostile_texts_are_shown_and_stay_text(workspace: Workspace, tmp_path: Path) -> None:
    bring_hostile(workspace, tmp_path)
    document = made(workspace)
    page = html.page(document)
    reader = read(page)
    assert CANARY in page
    assert not set(reader.tags) & {"script", "img", "iframe", "object", "embed", "link", "form", "base", "b", "u"}
    assert [name for _, name, _ in reader.attributes if name.startswith("on") or name in ("src", "style")] == []
    assert {value for _, name, value in reader.attributes if name == "href" and not str(value).startswith("#")} == set()
    assert wrong(document) == []
    assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in page)
    assert not any(letter in page for letter in "\u202e\u2066\u200b\u0085\u2028")
    markdown = html.markdown(document)
    outside = _outside_fences(markdown)
    assert CANARY in outside
    assert "<script" not in outside.replace("\\<", "")
    assert "](" not in outside


def _outside_fences(text: str) -> str:
    """The Markdown without its fenced blocks."""
    kept: list[str] = []
    fence: str | None = None
    for line in text.split("\n"):
        if fence is None and line.startswith("```"):
            fence = line.removesuffix("text")
        elif fence is not None and line == fence:
            fence = None
        elif fence is None:
            kept.append(line)
    assert fence is None, "every fence is closed"
    return "\n".join(kept)


def test_the_command_says_what_it_needs(demo_db: Path, tmp_path: Path) -> None:
    done = run_cli(demo_db, "report")
    assert done.returncode == 2
    assert "-o parity.html" in done.stderr
    nowhere = run_cli(demo_db, "report", "-o", str(tmp_path / "no" / "x.html"))
    assert nowhere.returncode == 1
    assert "could not be written" in nowhere.stderr
