"""The report: every number is that of the JSON, twice the same, nothing of it alive, redacted where that was asked."""

from __future__ import annotations

import json
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


def wrong(document: dict[str, Any]) -> list[Shown]:
    """The values of the page that are not those of the document."""
    return [
        each
        for each in read(html.page(document)).shown
        if not fits(each, each.tick if each.pointer is None else at(document, each.pointer))
    ]


def test_every_number_of_the_page_is_that_of_the_json(copied: Workspace) -> None:
    for look in (False, True):
        if look:
            looks.take(copied, None, "Mara", NOW)
        document = made(copied)
        page = read(html.page(document))
        assert wrong(document) == []
        assert len([each for each in page.shown if each.pointer]) > 500
        # Whatever has a digit comes from the document: no number stands in our own words.
        assert [text for text in page.bare if any(letter.isdigit() for letter in text)] == []


def test_a_number_that_differs_is_found(copied: Workspace) -> None:
    document = made(copied)
    page = html.page(document)
    row = document["parity"]["parts"]["tolerance"][0]["difference"]
    row["value"] += 0.0003
    changed = [each for each in read(page).shown if each.pointer and not fits(each, at(document, each.pointer))]
    assert {each.pointer for each in changed} == {"/parity/parts/tolerance/0/difference/value"}


def test_bars_and_dots_stand_where_the_axis_says(copied: Workspace) -> None:
    """The picture of the tolerance: a dot's place, read off the axis by two of its ticks, is the difference."""
    import re

    document = made(copied)
    picture = html.page(document).split('aria-labelledby="tolerance-chart-t', 1)[1].split("</svg>", 1)[0]
    ticks = [(float(x), float(value)) for x, value in re.findall(r'x="([\d.]+)"[^>]*data-tick="([^"]+)"', picture)]
    (x1, v1), (x2, v2) = ticks[0], ticks[-1]
    dots = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', picture)]
    rows = [each["difference"]["value"] for each in document["parity"]["parts"]["tolerance"]]
    assert len(dots) == len(rows) == 12
    for x, value in zip(dots, rows, strict=True):
        assert v1 + (x - x1) * (v2 - v1) / (x2 - x1) == pytest.approx(value, abs=0.002)


def test_markdown_says_the_same_numbers_in_the_same_order(copied: Workspace) -> None:
    looks.take(copied, None, "Mara", NOW)
    document = made(copied)
    text = html.markdown(document).replace("\\", "").replace("\u2060", "")
    where = 0
    for each in read(html.page(document)).shown:
        if each.in_picture:
            continue
        found = text.find(
            " ".join(each.text.split()) if each.kind not in ("foreign", "yaml", "lines") else each.text, where
        )
        assert found >= 0, each
        where = found


def test_without_a_look_there_are_estimates_and_no_verdict(copied: Workspace) -> None:
    document = made(copied)
    assert document["verdict"]["basis"] == "estimate"
    assert document["verdict"]["verdict"] is None
    parts = json.dumps(document["parity"])
    assert '"verdict"' not in parts
    assert "regression" not in parts
    assert looks.plan(copied, _parity(copied)).looks == ()


def test_the_last_look_stands_on_top_with_its_own_numbers(copied: Workspace) -> None:
    taken, _ = looks.take(copied, None, "Mara", NOW)
    assert taken is not None
    document = made(copied)
    assert document["verdict"]["verdict"] == taken.verdict
    assert document["verdict"]["look"]["taken_by"] == "Mara"
    assert document["parity"]["alpha"] == pytest.approx(taken.alpha)
    assert html.page(document).index("Regression" if taken.verdict == "regression" else "Inconclusive") > 0
    again = made(copied)
    assert again == document
    assert len(looks.plan(copied, _parity(copied)).looks) == 1


def _parity(workspace: Workspace) -> Any:
    from review.services.parity import parity

    return parity(workspace)


def test_twice_the_same_byte_by_byte_in_two_processes(demo_db: Path, tmp_path: Path) -> None:
    files = {form: tmp_path / f"parity.{form}" for form in ("html", "json")}
    for form, file in files.items():
        done = run_cli(demo_db, "report", *(["--json"] if form == "json" else []), "-o", str(file))
        assert done.returncode == 0, done.stderr
    with closing(open_workspace(settings.load(demo_db))) as workspace:
        document = report.of_workspace(workspace, "somebody else", Asked())
    for form, file in files.items():
        assert file.read_text(encoding="utf-8") == report.rendered(document, form)  # type: ignore[arg-type]  # a literal
    assert str(demo_db.parent) not in files["json"].read_text(encoding="utf-8")


def test_redacted_it_has_none_of_the_texts_and_names_and_all_of_the_numbers(copied: Workspace) -> None:
    looks.take(copied, None, "Mara Quandt", NOW)
    full, bare = made(copied), made(copied, redact=True)
    written = [report.rendered(bare, form).casefold() for form in ("html", "markdown", "json")]  # type: ignore[arg-type]  # a literal each
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
    assert wrong(bare) == []
    # Counts and rates stay.
    for part in ("parity", "tone", "calibration", "flow"):
        assert bare[part] == full[part]
    assert bare["agreement"]["judges"] == full["agreement"]["judges"]
    assert [each["pairs"] for each in bare["failures"]["categories"]] == [
        each["pairs"] for each in full["failures"]["categories"]
    ]


def test_examples_are_three_of_those_that_have_it_on_that_side_alone(copied: Workspace) -> None:
    document = made(copied)
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
