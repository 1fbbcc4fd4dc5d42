"""The adversarial set's page: numbers, search, an entry's story, and what each role may do."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from streamlit.testing.v1 import AppTest

from review.services import flag, rounds
from review.services.workspace import Actor, Workspace
from review.ui import shell
from tests.adversarial import a_report, add_pairs
from tests.conftest import NOW, ROOT

LEAD = Actor("Lea", "lead")


@pytest.fixture
def app(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("REVIEW_DB", str(workspace.settings.db))
    monkeypatch.setattr(shell, "_workspace", lambda db: workspace)
    add_pairs(workspace, "p1", "p2")
    made = AppTest.from_file(str(ROOT / "pages" / "adversarial.py"), default_timeout=20)
    made.session_state["actor"] = LEAD
    return made


def run(app: AppTest, entry: str | None = None, actor: Actor | None = None) -> AppTest:
    if entry:
        app.query_params["entry"] = entry
    if actor:
        app.session_state["actor"] = actor
    app.run()
    assert not app.exception
    return app


def labels(app: AppTest) -> list[str]:
    return [each.label for each in app.button]


def texts(app: AppTest) -> str:
    return "\n".join(str(each.value) for each in (*app.text, *app.caption, *app.markdown, *app.subheader, *app.info))


def press(app: AppTest, label: str) -> AppTest:
    next(each for each in app.button if each.label == label).click()
    app.run()
    assert not app.exception
    return app


def test_an_empty_set_says_what_it_is_for(app: AppTest) -> None:
    assert "No failure has been flagged yet" in [each.value for each in run(app).subheader]


def test_numbers_and_table(app: AppTest, workspace: Workspace) -> None:
    first = flag.report(workspace, a_report(), "Mara", NOW).entry_id
    flag.report(workspace, a_report(pair_id="p2", category="unsafe"), "Mara", NOW)
    flag.confirm(workspace, first, "Ben", NOW)
    run(app)
    assert {each.label: each.value for each in app.metric} == {
        "Entries": "2",
        "Confirmed": "1",
        "To be confirmed": "1",
        "Erased": "0",
    }
    assert "Chain, mirror and count fit" in texts(app)
    table = app.dataframe[0].value
    assert list(table["Entry"]) == ["A-00002", "A-00001"]
    app.text_input(key="text").set_value("zebra").run()
    assert "No entry fits" in texts(app)
    app.text_input(key="text").set_value("t-p2").run()
    assert list(app.dataframe[0].value["Entry"]) == ["A-00002"]


def test_a_broken_mirror_shows_on_the_page(app: AppTest, workspace: Workspace) -> None:
    flag.report(workspace, a_report(), "Mara", NOW)
    mirror = workspace.settings.mirror
    mirror.write_text(mirror.read_text().replace("Asks for", "Never asks for"))
    run(app)
    assert "A\\-00001" in app.error[0].value


def test_a_second_person_confirms_and_the_reporter_cannot(app: AppTest, workspace: Workspace) -> None:
    flag.report(workspace, a_report(), "Mara", NOW)
    run(app, "A-00001", Actor("Mara", "support"))
    assert "Confirm this failure" not in labels(app)
    assert "A second person has to confirm it" in texts(app)
    run(app, actor=Actor("Ben", "support"))
    press(app, "Confirm this failure")
    assert flag.entry(workspace, "A-00001").standing.confirmed_by == "Ben"
    assert "**Confirmed** by Ben" in texts(app)


def test_a_correction_is_one_more_row_of_the_story(app: AppTest, workspace: Workspace) -> None:
    flag.report(workspace, a_report(), "Mara", NOW)
    run(app, "A-00001", Actor("Mara", "reviewer"))
    app.text_input(key="new_comment").set_value("flagged by mistake")
    press(app, "Add the correction")
    assert "**Corrected** by Mara" in texts(app)
    assert "flagged by mistake" in texts(app)
    press(app, "Add the correction")
    assert "needs a category" in app.error[0].value


def test_only_a_lead_erases_and_only_after_typing_the_id(app: AppTest, workspace: Workspace) -> None:
    flag.report(workspace, a_report(comment="Jane Doe"), "Mara", NOW)
    run(app, "A-00001", Actor("Ben", "support"))
    assert "Erase its text" not in labels(app)
    run(app, actor=LEAD)
    reason, typed = app.text_input[-2], app.text_input[-1]
    reason.set_value("personal data")
    typed.set_value("A-0000")
    press(app, "Erase its text")
    assert flag.entry(workspace, "A-00001").status == "reported"
    app.text_input[-2].set_value("personal data")
    app.text_input[-1].set_value("A-00001")
    press(app, "Erase its text")
    assert flag.entry(workspace, "A-00001").status == "erased"
    assert "Jane" not in texts(app)
    assert "personal data" in texts(app)
    assert labels(app) == ["All entries"]


def test_an_unknown_entry_is_one_line(app: AppTest) -> None:
    assert "no entry" in run(app, "A-00099").error[0].value


def test_who_labels_the_pair_does_not_learn_which_side_failed(
    app: AppTest, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag.report(workspace, a_report(), "Mara", NOW)
    flag.report(workspace, a_report(pair_id="p2", failed="old"), "Mara", NOW)
    monkeypatch.setattr(rounds, "open_pairs_of", lambda workspace, reviewer: frozenset({"p1"}))
    run(app, actor=Actor("Ben", "reviewer"))
    assert list(app.dataframe[0].value["Failed"]) == ["old", ""]
    run(app, "A-00001")
    assert "is closed for you now" in texts(app)
    for word in ("stack-2", "It is on its way", "Refusal"):
        assert word not in texts(app)


def test_hostile_texts_are_only_ever_text(app: AppTest, workspace: Workspace) -> None:
    hostile = "![x](http://evil/a.png) <script>1</script> \x00 :red[x]"
    add_pairs(workspace, "evil", new={"model": hostile, "content": hostile})
    flag.report(workspace, a_report(pair_id="evil", expected=hostile, comment=hostile, ticket=hostile), "Mara", NOW)
    flag.erase(workspace, flag.report(workspace, a_report(), "Mara", NOW).entry_id, LEAD, hostile[:40], NOW)
    for entry in ("A-00001", "A-00002"):
        run(app, entry)
        for each in (*app.markdown, *app.caption, *app.button):
            said = str(getattr(each, "value", "")) + str(getattr(each, "label", ""))
            assert not re.search(r"(?<!\\)!\[|(?<!\\)<script|(?<!\\):red", said), said


def test_only_a_web_address_becomes_a_link(app: AppTest, workspace: Workspace) -> None:
    now = datetime.now(UTC)
    for number, ticket in enumerate(("javascript:alert(1)", "https://help.example/1"), start=1):
        flag.report(workspace, a_report(pair_id=f"p{number}", ticket=ticket), "Mara", now)
        run(app, f"A-0000{number}")
        assert len(app.get("link_button")) == (number == 2)
