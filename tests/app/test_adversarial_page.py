"""The adversarial set's page: numbers, search, an entry's story, and what each role may do."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from review.adapters.cache import Cache
from review.domain.run import Part
from review.services import adversarial_runs, ask, flag, rounds, runs
from review.services.desk import LocalDesk
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
    made = AppTest.from_file(str(ROOT / "pages" / "adversarial.py"), default_timeout=60)
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


def replayed(workspace: Workspace, name: str, passed: dict[str, bool | None], days: int) -> str:
    """A run in which the entries came to this, on new; on old all passed."""
    spec = runs.described_by(
        ["name=base"], [f"name={name}"], name, "quantization", runs.config_hash(workspace.settings)
    )
    run = runs.start(workspace, spec, "Lea", NOW + timedelta(days=days))
    rows = [
        {
            "example_id": entry,
            "metric": "passed",
            "prompt_id": entry,
            "old": 1.0,
            "new": None if value is None else float(value),
            "decided_by": "judge j",
        }
        for entry, value in passed.items()
    ]
    detail = {"repeats": 1, "sides": ["old", "new"], "stacks": {"old": "s-old", "new": "s-new"}}
    part = Part(evidence="adversarial", part="set", data_hash="0" * 64, detail=detail)
    runs.record(LocalDesk(workspace, "Lea"), run.run_id, part, pa.Table.from_pylist(rows))
    return run.run_id


def test_strips_filters_and_a_verdict_put_right(app: AppTest, workspace: Workspace) -> None:
    add_pairs(workspace, "p3")
    for number in (1, 2, 3):
        flag.report(workspace, a_report(pair_id=f"p{number}"), "Mara", NOW)
    replayed(workspace, "one", {"A-00001": True, "A-00002": True}, 1)
    last = replayed(workspace, "two", {"A-00001": False, "A-00002": True}, 2)
    run(app)
    assert "two: 1 pass, 1 fail, 1 passed before and fail now" in texts(app).replace("\\", "")
    table = app.dataframe[0].value
    assert list(table["Now"]) == ["", "passes", "fails"]
    assert all(each.startswith("data:image/svg+xml;base64,") for each in table["In runs"])
    assert len(set(table["In runs"])) == 3
    wanted = next(each for each in app.selectbox if each.label == "In runs")
    for value, expected in (
        ("fails", ["A-00001"]),
        ("lost", ["A-00001"]),
        ("never", ["A-00003"]),
        ("undecided", []),
    ):
        wanted.set_value(value).run()
        assert not app.exception
        shown = list(app.dataframe[0].value["Entry"]) if app.dataframe else []
        assert shown == expected, value
        wanted = next(each for each in app.selectbox if each.label == "In runs")
    run(app, "A-00001")
    assert "It failed, decided by judge j" in texts(app).replace("\\", "")
    assert "it is not kept any more" in texts(app)
    press(app, "Wrong: it passes")
    assert "It passed, decided by a person" in texts(app).replace("\\", "")
    point = adversarial_runs.history(workspace, "A-00001")[-1]
    assert (point.run_id, point.new, point.new_by) == (last, (True,), ("label",))
    app.query_params.clear()
    run(app)
    assert list(app.dataframe[0].value["Now"]) == ["", "passes", "passes"]


def test_a_person_checks_the_judge_without_seeing_what_it_said(app: AppTest, workspace: Workspace) -> None:
    flag.report(workspace, a_report(pair_id="p1"), "Mara", NOW)
    replayed(workspace, "one", {"A-00001": False}, 1)
    story = flag.story(workspace, "A-00001")
    assert story.snapshot is not None
    prompt = ask.Prompt("A-00001", story.snapshot["messages"])
    cache = Cache(workspace.settings.cache_file)
    for stack, words in (("s-old", "Which order?"), ("s-new", "<b>Which</b> one?")):
        value = json.dumps({"output": {"content": words}, "served": "m", "attempts": 1, "cost_usd": 0.0}).encode()
        cache.put(ask.KIND, {ask.key_of(stack, prompt): value}, {ask.key_of(stack, prompt): "A-00001"})
    cache.close()
    run(app)
    app.toggle(key="checking").set_value(True).run()
    for checked in range(2):
        assert "not known yet" in texts(app) or checked
        assert any(each in texts(app) for each in ("Which order?", "<b>Which</b> one?"))
        press(app, "It passes")
    assert "Nothing is left to check" in texts(app)
    errors = adversarial_runs.judge_errors(workspace)
    assert (errors.positives, errors.true_positive, errors.negatives) == (2, 1, 0)
    # The story says who decides now, and what was answered, as text.
    run(app, "A-00001")
    assert "<b>Which</b> one?" in [each.value for each in app.text]
