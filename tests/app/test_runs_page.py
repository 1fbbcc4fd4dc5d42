"""The Runs page: what to do first, which kinds of evidence a run has, one run opened, foreign text as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from review.domain.failure import Provenance
from review.domain.run import Part
from review.services import loop, run_record, runs
from review.services.desk import LocalDesk
from review.services.workspace import Workspace
from review.ui.runs_view import in_words
from tests.app.conftest import RunPage, tables, verbatim
from tests.conftest import NOW
from tests.running import Asked, add_pairs, begin, call, desk_of, pair_of

HOSTILE = "**bold** <script>alert(1)</script> [link](http://example.org)"


@pytest.fixture
def desk(workspace: Workspace, tmp_path: Path) -> LocalDesk:
    return desk_of(workspace, tmp_path)


def benchmark(desk: LocalDesk, run: str, wrong: int, part: str = "mmlu") -> None:
    count = 20
    table: Any = pa.table(
        {
            "example_id": [f"e{at}" for at in range(count)],
            "metric": ["acc"] * count,
            "prompt_id": [f"p{at}" for at in range(count)],
            "old": [1.0] * count,
            "new": [0.0 if at < wrong else 1.0 for at in range(count)],
            "prompt_tokens": [100] * count,
        }
    )
    runs.record(desk, run, Part(evidence="benchmark", part=part, data_hash=runs.data_hash(table)), table)


def texts(page: Any) -> str:
    return " ".join(each.value for each in (*page.caption, *page.markdown, *page.text, *page.subheader))


def test_without_a_run_the_page_says_what_to_type(run_page: RunPage) -> None:
    page = run_page("runs.py")
    assert "review run start" in verbatim(page)[0]
    assert "review run record" in verbatim(page)[0]


def test_a_run_without_evidence_says_how_each_kind_comes_in(desk: LocalDesk, run_page: RunPage) -> None:
    begin(desk)
    page = run_page("runs.py")
    assert "No evidence yet" in texts(page)
    assert "review run record 1" in verbatim(page)[0]


def test_which_kinds_are_there_and_which_lack() -> None:
    assert in_words({"benchmark", "golden", "replay", "adversarial"}) == (
        "3 of 4 kinds: lacks live shadow traffic; most teams have one or two."
    )
    assert in_words({"replay"}) == "1 of 4 kinds: lacks standard benchmarks, the golden set and live shadow traffic."
    assert in_words({"adversarial"}).startswith("0 of 4 kinds")
    assert "All 4" in in_words({"benchmark", "golden", "replay", "shadow"})


def test_a_run_shows_parts_slices_and_what_got_worse(desk: LocalDesk, run_page: RunPage) -> None:
    log = [call("find")]
    right, wrong = {"content": None, "tool_calls": log}, {"content": None, "tool_calls": [call("other")]}
    add_pairs(desk, [Asked(right, right, log=log), Asked(right, wrong, log=log, called=1), Asked("a", "b")])
    run = begin(desk)
    run_record.record(desk, run)
    benchmark(desk, run, wrong=4)
    page = run_page("runs.py")
    shown = texts(page)
    assert "2 of 4 kinds" in shown
    assert "2 chains, 1 of several steps" in shown
    assert "no example has 4k to 16k, 16k to 32k, over 32k tokens" in shown
    assert "3 examples, of 2 nothing says who is right" in shown.replace("\\", "")
    assert "The lengths of 3 are estimated" in shown
    stacks, recorded = tables(page)
    assert [each["Part"] for each in recorded] == ["sample-1", "mmlu"]
    assert [each[""] for each in stacks if each["Change"] == "differs"] == ["name", "model", "config hash"]
    page.selectbox(key=f"parts_{run}_box").select("Benchmarks: mmlu").run()
    assert not page.exception
    assert "4 got worse" in texts(page)
    listed = page.dataframe[0].value
    assert listed["Example"].tolist() == ["e0", "e1", "e2", "e3"]
    assert set(listed["New"]) == {"0"}


def test_what_got_worse_shows_that_it_stands_in_the_adversarial_set(desk: LocalDesk, run_page: RunPage) -> None:
    add_pairs(desk, [Asked({"content": "a", "correct": True}, {"content": "b", "correct": False})])
    run = begin(desk)
    run_record.record(desk, run)
    pair = pair_of(desk.workspace, "sample-1-t0")
    page = run_page("runs.py")
    box = page.selectbox(key=f"parts_{run}_box")
    box.select(box.options[0]).run()
    assert page.dataframe[0].value["Adversarial set"].tolist() == ["Into the set"]
    loop.promote(desk.workspace, pair, "new", "other", Provenance("run", run), "Mara", NOW)
    page.run()
    assert not page.exception
    assert page.dataframe[0].value["Adversarial set"].tolist() == ["A-00001"]


def test_two_runs_are_compared_and_a_link_opens_one(desk: LocalDesk, run_page: RunPage) -> None:
    first, second = begin(desk, "first"), begin(desk, "second")
    benchmark(desk, first, wrong=4)
    benchmark(desk, second, wrong=1)
    page = run_page("runs.py", query={"run": first})
    assert any("first" in each.value for each in page.subheader)
    page.button(key=f"open_{second}").click().run()
    page.selectbox(key=f"compare_{second}").select(first).run()
    assert not page.exception
    shown = texts(page)
    assert "20 outcomes in both" in shown
    assert "Got worse: 0" in shown
    assert "Got better: 3" in shown


def test_foreign_text_stays_text(desk: LocalDesk, run_page: RunPage) -> None:
    run = begin(desk, HOSTILE, old=[f"name={HOSTILE}"], new=["name=b", f"model={HOSTILE}"])
    benchmark(desk, run, wrong=2, part=HOSTILE)
    page = run_page("runs.py")
    page.selectbox(key=f"parts_{run}_box").select(page.selectbox(key=f"parts_{run}_box").options[0]).run()
    assert not page.exception
    marked = [*page.markdown, *page.caption, *page.subheader]
    assert not any("<script>" in each.value or "**bold**" in each.value for each in marked)
    assert "**bold**" not in page.button(key=f"open_{run}").label


def test_only_leads_see_it(run_page: RunPage) -> None:
    assert "for the role lead" in run_page("runs.py", role="reviewer").info[0].value
