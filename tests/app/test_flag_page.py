"""The Flag page: find a pair, say what failed; nothing tells which side is which."""

from __future__ import annotations

import re

import pytest
from streamlit.testing.v1 import AppTest

from review.services import flag
from review.services.workspace import Actor, Workspace
from review.ui import shell
from tests.adversarial import a_report, add_pairs
from tests.conftest import NOW, ROOT


@pytest.fixture
def app(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("REVIEW_DB", str(workspace.settings.db))
    monkeypatch.setattr(shell, "_workspace", lambda db: workspace)
    add_pairs(workspace, "p1", "p2")
    app = AppTest.from_file(str(ROOT / "pages" / "flag.py"), default_timeout=60)
    app.session_state["actor"] = Actor("Ines", "support")
    return app


def texts(app: AppTest) -> str:
    shown = [*app.text, *app.caption, *app.markdown, *app.button, *app.success, *app.error, *app.warning]
    return "\n".join(str(getattr(each, "value", "")) + str(getattr(each, "label", "")) for each in shown)


def search(app: AppTest, text: str) -> AppTest:
    app.text_input(key="query").set_value(text)
    app.button[0].click().run()
    assert not app.exception
    return app


def fill(app: AppTest, *, place: str, category: str | None, expected: str) -> AppTest:
    app.radio(key="failed").set_value(place)
    if category:
        app.radio(key="category").set_value(category)
    app.text_area(key="expected").set_value(expected)
    next(each for each in app.button if each.label == "Add to the adversarial set").click()
    app.run()
    assert not app.exception
    return app


def test_from_search_to_entry(app: AppTest, workspace: Workspace) -> None:
    search(app.run(), "T-p1")
    app.button(key="hit_0").click().run()
    assert not app.exception
    assert app.query_params["pair"] == "p1"
    fill(app, place="right", category="invented_fact", expected="Asks for the order number")
    entry = flag.entries(workspace)[0]
    assert entry.failed == flag.side_of(workspace, "p1", "Ines", "right")
    assert (entry.reported_by, entry.source, entry.category) == ("Ines", "flag_page", "invented_fact")
    assert "A\\-00001" in texts(app)
    assert "pair" not in app.query_params


def test_no_model_and_no_side_is_shown(app: AppTest) -> None:
    app.query_params["pair"] = "p1"
    shown = texts(app.run())
    assert "Let me look that up." in shown
    assert "It is on its way." in shown
    for word in ("stack-1", "stack-2", "old", "new"):
        assert word not in shown.lower().split(), word


def test_what_is_missing_is_named_and_nothing_is_stored(app: AppTest, workspace: Workspace) -> None:
    app.query_params["pair"] = "p1"
    fill(app.run(), place="left", category=None, expected=" ")
    assert app.error[0].value == "Please say what went wrong and what should have happened."
    assert flag.entries(workspace) == []
    fill(app, place="left", category="refusal", expected="Helps")
    assert len(flag.entries(workspace)) == 1


def test_the_second_report_says_that_it_joined(app: AppTest, workspace: Workspace) -> None:
    side = flag.side_of(workspace, "p1", "Ines", "left")
    flag.report(workspace, a_report(failed=side), "Mara", NOW)
    app.query_params["pair"] = "p1"
    fill(app.run(), place="left", category="refusal", expected="Helps")
    assert "has your report too" in app.success[0].value
    assert flag.entries(workspace)[0].standing.reports == 2


def test_nothing_found_and_an_unknown_pair_say_what_to_do(app: AppTest) -> None:
    assert "Nothing found" in [each.value for each in search(app.run(), "zebra").subheader]
    app.query_params["pair"] = "p99"
    app.run()
    assert "no pair" in app.error[0].value
    assert not app.exception


UNESCAPED = re.compile(r"(?<!\\)<img|(?<!\\)!\[|(?<!\\)\]\(|(?<!\\):red")
HOSTILE = "<img src=x onerror=alert(1)> ![x](http://evil/a.png) [a](javascript:1) :red[x] $x$ \x00 \u202eabc"


def test_hostile_texts_are_only_ever_text(app: AppTest, workspace: Workspace) -> None:
    add_pairs(
        workspace,
        "evil",
        messages=[{"role": HOSTILE[:40].replace("\x00", ""), "content": HOSTILE}],
        old={"content": HOSTILE, "tool_calls": [{"function": {"name": HOSTILE, "arguments": HOSTILE}}]},
        metadata={HOSTILE: HOSTILE, "ticket": HOSTILE},
    )
    search(app.run(), "onerror")
    assert len([each for each in app.button if str(each.key).startswith("hit_")]) == 1
    app.button(key="hit_0").click().run()
    assert not app.exception
    for each in (*app.markdown, *app.caption, *app.button):
        said = str(getattr(each, "value", "")) + str(getattr(each, "label", ""))
        assert not UNESCAPED.search(said), said
    assert any("![x](http://evil/a.png)" in each.value for each in app.text)


def test_the_page_alone_asks_who_is_there(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_workspace", lambda db: workspace)
    app = AppTest.from_file(str(ROOT / "pages" / "flag.py"), default_timeout=60).run()
    assert not app.exception
    assert [each.label for each in app.text_input] == ["Your name"]
