"""The Agreement page and the pair page: what they say, under which rules, to whom, and hostile names as text."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from review.services import rounds
from review.services.label import queue
from review.services.workspace import Actor, Workspace
from review.ui import shell
from tests.agreeing import bring, label, verdict
from tests.conftest import NOW, ROOT

HOSTILE = "<img src=x onerror=alert(1)> **judge** :red[x] $y$"


@pytest.fixture
def here(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("REVIEW_DB", str(workspace.settings.db))
    monkeypatch.setattr(shell, "_workspace", lambda db: workspace)
    return workspace


def page(file: str, name: str = "Lea", role: str = "lead", **query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "pages" / file), default_timeout=60)
    app.session_state["actor"] = Actor(name, role)  # type: ignore[arg-type]  # a legal role
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    shown = [*app.title, *app.subheader, *app.text, *app.caption, *app.markdown, *app.error, *app.info, *app.expander]
    return "\n".join(str(getattr(each, "value", "")) + str(getattr(each, "label", "")) for each in shown)


def fill(workspace: Workspace, folder: Path) -> None:
    pairs = [f"p{index}" for index in range(10)]
    bring(
        workspace,
        folder,
        pairs=pairs,
        verdicts=[
            {**verdict(pair, "old" if index < 8 else None, rationale="<script>alert(2)</script>"), "judge": HOSTILE}
            for index, pair in enumerate(pairs)
        ],
        labels=[
            label(
                pair, reviewer, "new" if index == 0 else "tie" if index == 9 else "old", comment="[x](http://evil.test)"
            )
            for index, pair in enumerate(pairs)
            for reviewer in ("ana", "ben")
        ],
    )


def test_an_empty_workspace_says_what_to_do_next(here: Workspace) -> None:
    assert here is not None
    said = texts(page("agreement.py"))
    assert "Nothing to compare yet" in said
    assert "review import verdicts" in said


def test_rules_are_chosen_and_the_numbers_follow(here: Workspace, tmp_path: Path) -> None:
    fill(here, tmp_path)
    app = page("agreement.py")
    assert "**80 %** of 10 pairs from 10 prompts" in texts(app)
    control = next(each for each in app.segmented_control if each.label == "An unparsable verdict is")
    control.set_value("dropped").run()
    assert not app.exception
    said = texts(app)
    assert "**88 %** of 8 pairs" in said
    assert "2 with an unparsable verdict" in said
    assert "Unparsable verdicts are left out." in said
    next(each for each in app.segmented_control if each.label == "People count as").set_value("each").run()
    assert "**88 %** of 16 labels from 8 prompts" in texts(app)


def test_foreign_names_stand_as_text(here: Workspace, tmp_path: Path) -> None:
    fill(here, tmp_path)
    heading = page("agreement.py").subheader[0].value
    assert "\\<img" in heading
    assert "\\*\\*judge\\*\\*" in heading
    assert "\\:red\\[" in heading
    pair = page("pair.py", pair="p1")
    assert "<script>alert(2)</script>" in [each.value for each in pair.text]
    assert not any("<script>" in each.value for each in pair.markdown)


def test_the_pair_page_reveals_both_sides(here: Workspace, tmp_path: Path) -> None:
    fill(here, tmp_path)
    app = page("pair.py", pair="p1")
    assert [each.value for each in app.subheader] == ["Old", "New", "Labels", "Verdicts"]
    assert {"old answer to p1", "new answer to p1"} <= {each.value for each in app.text}
    assert app.dataframe[0].value["Reviewer"].tolist() == ["ana", "ben"]
    assert "There is no pair" in texts(page("pair.py", pair="nothing"))
    assert "Which pair?" in texts(page("pair.py"))


def test_pages_are_closed_to_who_still_labels_and_to_other_roles(here: Workspace, tmp_path: Path) -> None:
    fill(here, tmp_path)
    drawn = rounds.draw(here, rounds.DrawSpec(size=4, seed=3), "Lea", NOW)
    queue(here, "Ana", drawn.round_id, 2, NOW + timedelta(minutes=1))
    assert "still have pairs to label" in texts(page("agreement.py", name="Ana"))
    closed = [texts(page("pair.py", name="Ana", pair=f"p{index}")) for index in range(10)]
    assert sum("you still label" in said for said in closed) == 4
    assert not any("old answer" in said for said in closed if "you still label" in said)
    assert "for the role lead" in texts(page("agreement.py", role="reviewer"))


def look(app: AppTest, section: str) -> AppTest:
    """Choose one of the page's five parts."""
    app.segmented_control(key="agreement_section").set_value(section).run()
    assert not app.exception
    return app


def test_slices_open_their_pairs_from_the_list_too(here: Workspace, tmp_path: Path) -> None:
    fill(here, tmp_path)
    app = look(page("agreement.py"), "Slices")
    assert "Without any pair: " not in texts(app)
    by = next(each for each in app.segmented_control if each.label == "By")
    by.set_value("margin").run()
    assert "Without any pair: one label, unanimous" in texts(app).replace("\\", "")
    box = next(each for each in app.selectbox if each.label == "Show the pairs behind")
    assert box.options == ["2–0"]
    box.select("2–0").run()
    assert not app.exception
    assert "2–0: 10 pairs" in texts(app).replace("\\", "")
    assert app.dataframe[0].value["Pair"].tolist() == sorted(f"p{index}" for index in range(10))
    by = next(each for each in app.segmented_control if each.label == "By")
    by.set_value("reviewer").run()
    assert "All together 80 %. No slice differs clearly from that." in texts(app)


def test_the_trend_has_a_line_that_can_be_moved(here: Workspace, tmp_path: Path) -> None:
    fill(here, tmp_path)
    drawn = rounds.draw(here, rounds.DrawSpec(size=6, seed=3), "Lea", NOW)
    bring(
        here,
        tmp_path,
        labels=[label(f"p{index}", "cleo", "old", round_id=drawn.round_id) for index in range(1, 7)],
    )
    app = look(page("agreement.py"), "Slices")
    next(each for each in app.segmented_control if each.label == "By").set_value("round").run()
    assert "The dashed line is at 78 %" in texts(app)
    assert "20 imported labels belong to no round" in texts(app)
    app.slider(key="slice_reference").set_value(60).run()
    assert not app.exception
    assert "The dashed line is at 60 %" in texts(app)


def test_stability_says_what_cannot_be_known(here: Workspace, tmp_path: Path) -> None:
    fill(here, tmp_path)
    said = texts(look(page("agreement.py"), "Stability"))
    assert "votes not unanimous, votes without a majority: cannot be estimated" in said
    assert "Longer by characters" in said


def test_people_are_shown_one_by_one_to_leads(here: Workspace, tmp_path: Path) -> None:
    fill(here, tmp_path)
    bring(here, tmp_path, labels=[label("p1", "ana", "new", occurrence=1), label("p2", "ana", "old", occurrence=1)])
    app = look(page("agreement.py"), "People")
    said = texts(app)
    assert "People repeat their own answer in **50 %" in said
    assert "2 repeats of all people and rounds together; below 30" in said
    table = app.dataframe[0].value
    assert table["Reviewer"].tolist() == ["ana", "ben"]
    assert table["Own repeats"].tolist() == ["1 of 2 the same", "none"]
    app.selectbox(key="who").select("ana").run()
    app.selectbox(key="which").select("repeats answered differently").run()
    assert "ana: repeats answered differently: 1 pair" in texts(app).replace("\\", "")
    assert app.dataframe[1].value["Pair"].tolist() == ["p1"]


def test_foreign_names_stand_as_text_in_every_part(here: Workspace, tmp_path: Path) -> None:
    fill(here, tmp_path)
    bring(
        here,
        tmp_path,
        pairs=["x-1", "y-1"],
        verdicts=[{**verdict(pair, "old"), "judge": name} for pair in ("x-1", "y-1") for name in (HOSTILE, "other")],
        labels=[label(pair, HOSTILE, "old", shown_first="old", seconds=0.1) for pair in ("x-1", "y-1")],
        more={pair: {"task": HOSTILE} for pair in ("x-1", "y-1")},
    )
    app = page("agreement.py")
    for section in ("Judges", "Slices", "Stability", "People", "Two judges"):
        look(app, section)
        for box in app.selectbox:
            if box.label in ("Show the pairs behind", "Show the pairs of"):
                box.select(box.options[0]).run()
                assert not app.exception
        shown = [*app.markdown, *app.caption, *app.subheader, *app.error]
        read = [each.value for each in shown if "onerror" in each.value]
        bare = [each.replace("\\<img", "").replace("\\:red", "").replace("\\*", "") for each in read]
        assert not any("<img" in each or ":red" in each or "**judge" in each for each in bare), (section, read)
        assert read or section == "Stability", section


def test_two_judges_need_two(here: Workspace, tmp_path: Path) -> None:
    fill(here, tmp_path)
    assert "There is one judge only" in texts(look(page("agreement.py"), "Two judges"))
    bring(
        here,
        tmp_path,
        verdicts=[{**verdict(f"p{index}", "old" if index else "new"), "judge": "other"} for index in range(10)],
    )
    app = look(page("agreement.py"), "Two judges")
    said = texts(app)
    assert "On the 10 pairs that people and both judges decided" in said
    assert "**80 %**" in said
    assert "**90 %**" in said
    box = next(each for each in app.selectbox if each.label == "Show the pairs behind")
    box.select("only other is right").run()
    assert app.dataframe[0].value["Pair"].tolist() == ["p0", "p8"]  # of p8 the first judge has no readable verdict


def test_a_drawn_round_is_weighted_and_imports_are_not(here: Workspace, tmp_path: Path) -> None:
    fill(here, tmp_path)
    drawn = rounds.draw(here, rounds.DrawSpec(size=6, seed=3), "Lea", NOW)
    slots = here.database.cursor().execute("SELECT pair_id FROM slot ORDER BY pair_id").fetchall()
    bring(here, tmp_path, labels=[label(pair, "cleo", "old", round_id=drawn.round_id) for (pair,) in slots])
    app = page("agreement.py")
    assert "Not weighted:" in texts(app)
    app.selectbox[0].select(drawn.round_id).run()
    said = texts(app)
    assert "of all disagreements" in said
    assert "Weighted to " in said
    assert "Unweighted: " in said
    assert "Why they differ: every labelled pair stands for " in said


def test_the_pair_page_says_how_the_final_label_came_about(here: Workspace, tmp_path: Path) -> None:
    fill(here, tmp_path)
    assert "Better overall: **old** · majority, 2 of 2" in texts(page("pair.py", pair="p1")).replace("\\", "")
    bring(here, tmp_path, labels=[label("p1", "lea", "new", kind="adjudication")])
    said = texts(page("pair.py", pair="p1")).replace("\\", "")
    assert "Better overall: **new** · adjudicated by lea (labels: 2 × old)" in said
