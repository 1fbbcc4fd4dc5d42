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
    app = AppTest.from_file(str(ROOT / "pages" / file), default_timeout=30)
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
