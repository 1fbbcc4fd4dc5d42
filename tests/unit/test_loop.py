"""From a failing example into the adversarial set: one report a click, its provenance beside it, digests as ever."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from review.domain.failure import Provenance
from review.errors import BadInput, NotFound
from review.services import flag, loop
from review.services.workspace import Actor, Workspace
from review.ui import shell
from tests.adversarial import a_report, add_pairs
from tests.conftest import NOW, ROOT

ALERT = Provenance("alert", "alert-7")


def add_label(workspace: Workspace, pair_id: str, categories: list[str]) -> None:
    workspace.database.cursor().execute(
        "INSERT INTO label (label_id, pair_id, reviewer, kind, categories_new, labelled_at, received_at, source) "
        "VALUES (?, ?, 'Rob', 'label', ?, ?, ?, 'test')",
        [f"l-{pair_id}", pair_id, categories, NOW, NOW],
    )


def test_one_click_is_one_report_with_its_provenance_and_the_chain_verifies(workspace: Workspace) -> None:
    add_pairs(workspace, "p1", "p2")
    before = flag.report(workspace, a_report(pair_id="p2"), "Rob", NOW)
    digest = flag.entry(workspace, before.entry_id).digest
    add_label(workspace, "p1", ["unsafe", "tone_mismatch"])
    found = loop.suggest(workspace, "p1")
    assert (found.failed, found.category, found.standing) == ("new", "tone_mismatch", None)
    made = loop.promote(workspace, "p1", found.failed, found.category, ALERT, "Lea", NOW)
    assert made.new
    again = loop.promote(workspace, "p1", found.failed, found.category, ALERT, "Lea", NOW)
    assert (again.new, again.entry_id) == (False, made.entry_id)
    story = flag.story(workspace, made.entry_id)
    assert story.snapshot is not None
    assert story.snapshot["provenance"] == {"kind": "alert", "id": "alert-7"}
    assert (story.entry.standing.reports, story.entry.status) == (1, "reported")
    assert loop.suggest(workspace, "p1").standing == made.entry_id
    # Another who comes upon it elsewhere reports it once more, from there.
    loop.promote(workspace, "p1", "new", "tone_mismatch", Provenance("gate", "run-1"), "Rob", NOW)
    story = flag.story(workspace, made.entry_id)
    assert story.entry.standing.reports == 2
    assert story.chapters[0].text == {"provenance": {"kind": "gate", "id": "run-1"}}
    check = flag.verify(workspace)
    assert check.ok, check.message
    assert flag.entry(workspace, before.entry_id).digest == digest
    row = flag.export_rows(workspace)[1]
    assert row["provenance"] == {"kind": "alert", "id": "alert-7"}
    assert json.dumps(row)


def test_erasing_takes_the_provenance_along(workspace: Workspace) -> None:
    add_pairs(workspace, "p1")
    made = loop.promote(workspace, "p1", "new", "unsafe", ALERT, "Lea", NOW, expected="It declines")
    flag.erase(workspace, made.entry_id, Actor("Lea", "lead"), "asked to", NOW)
    assert flag.story(workspace, made.entry_id).snapshot is None
    assert flag.verify(workspace).ok


def test_what_is_not_legal_is_refused(workspace: Workspace) -> None:
    add_pairs(workspace, "p1")
    with pytest.raises(BadInput, match="provenance"):
        loop.promote(workspace, "p1", "new", "unsafe", Provenance("dream", "x"), "Lea", NOW)  # type: ignore[arg-type] - the point
    with pytest.raises(BadInput, match="provenance"):
        loop.promote(workspace, "p1", "new", "unsafe", Provenance("gate", "a\nb"), "Lea", NOW)
    with pytest.raises(BadInput, match="category"):
        loop.promote(workspace, "p1", "new", "sadness", ALERT, "Lea", NOW)
    with pytest.raises(NotFound):
        loop.promote(workspace, "p9", "new", "unsafe", ALERT, "Lea", NOW)
    assert flag.summary(workspace).entries == 0


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("gate:run-1", Provenance("gate", "run-1")),
        ("alert:a:b", Provenance("alert", "a:b")),
        ("gate:", None),
        ("dream:x", None),
        ("", None),
        (None, None),
    ],
)
def test_an_address_says_where_from(said: str | None, read: Provenance | None) -> None:
    assert Provenance.read(said) == read


def test_one_click_on_the_pair_page(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIEW_DB", str(workspace.settings.db))
    monkeypatch.setattr(shell, "_workspace", lambda db: workspace)
    add_pairs(workspace, "p1")
    app = AppTest.from_file(str(ROOT / "pages" / "pair.py"), default_timeout=60)
    app.session_state["actor"] = Actor("Lea", "lead")
    app.query_params["pair"] = "p1"
    app.query_params["from"] = "gate:run-1"
    app.run()
    assert not app.exception
    app.button(key="promote_now").click().run()
    assert not app.exception
    story = flag.story(workspace, "A-00001")
    assert story.snapshot is not None
    assert story.snapshot["provenance"] == {"kind": "gate", "id": "run-1"}
    assert (story.entry.failed, story.entry.category, story.entry.reported_by) == ("new", "other", "Lea")
    # The same again is not offered; another side or category is.
    assert "promote_now" not in [each.key for each in app.button]
    app.radio(key="promote_side").set_value("old")
    app.selectbox(key="promote_category").set_value("unsafe")
    app.text_area(key="promote_expected").set_value("It declines")
    next(
        each for each in app.button if "form" in str(each.key).lower() or each.label == "Into the adversarial set"
    ).click()
    app.run()
    assert not app.exception
    found = flag.entry(workspace, "A-00002")
    assert (found.failed, found.category, found.passes_when) == ("old", "unsafe", "It declines")
