"""The page Golden set: drafts are accepted, corrected, rejected and taken back; two answers are scored blind by key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from streamlit.testing.v1 import AppTest

from review.cli import main
from review.domain.types import Output
from review.errors import Conflict
from review.services import golden, golden_people, golden_score
from review.services.desk import Call, LocalDesk
from review.services.workspace import Actor, Workspace
from tests.app.conftest import RunPage, verbatim
from tests.conftest import NOW

HOSTILE = "**bold** <script>alert(1)</script> [link](http://example.org)"


def add(workspace: Workspace, count: int, kind: str = "drafted", text: str = "question") -> None:
    items = [
        golden.Item.model_validate(
            {
                "item_id": f"item-{at}",
                "messages": [{"role": "user", "content": f"{text} {at}"}],
                "reference": f"good {text}",
                "rubric": [{"item": f"says {text}"}, {"item": "is short", "weight": 2.0}],
            }
        )
        for at in range(count)
    ]
    more = {"source": "draft", "kind": kind, "model": "j", "trace_id": "t", "cluster_id": "c"}
    table = golden.stripped([(each, more) for each in items], workspace.key, None)
    LocalDesk(workspace, "Lea").ask("golden.put", {}, table)


def press(page: AppTest, label: str) -> AppTest:
    next(each for each in page.button if each.label == label).click()
    page.run()
    assert not page.exception
    return page


def states(workspace: Workspace) -> dict[str, str]:
    return {name: each.state for name, each in golden.standings(workspace).items()}


def test_without_items_the_page_says_what_to_do(run_page: RunPage) -> None:
    assert "review golden import" in verbatim(run_page("golden.py"))[0]
    assert "for the role" in run_page("golden.py", role="support").info[0].value


def test_a_draft_counts_only_once_a_person_accepts_it_as_corrected(workspace: Workspace, run_page: RunPage) -> None:
    add(workspace, 3)
    assert golden.accepted(workspace) == {}
    page = run_page("golden.py")
    rubric = next(each for each in page.text_area if each.label.startswith("Rubric"))
    assert rubric.value == "says question\n2 × is short"
    rubric.set_value("says question\n3 × is kind")
    press(page, "Accept")
    assert states(workspace) == {"item-0": "accepted", "item-1": "draft", "item-2": "draft"}
    kept = golden.items(workspace, list(golden.accepted(workspace).values()))
    (row,) = kept.values()
    assert [(each.item, each.weight) for each in row.item.rubric] == [("says question", 1.0), ("is kind", 3.0)]
    assert golden.standings(workspace)["item-0"].decided_by == "Mara"
    press(page, "Undo")
    assert states(workspace)["item-0"] == "draft"


def test_a_rejection_needs_a_reason_and_can_be_taken_back(workspace: Workspace, run_page: RunPage) -> None:
    add(workspace, 1)
    page = run_page("golden.py")
    press(page, "Reject")
    assert "Say why" in page.error[0].value
    assert states(workspace) == {"item-0": "draft"}
    page = run_page("golden.py")
    next(each for each in page.text_input if each.label == "Why not").set_value("nobody asks this")
    press(page, "Reject")
    assert states(workspace) == {"item-0": "rejected"}
    page = run_page("golden.py", query={"item": "item-0", "show": "items"})
    assert any("nobody asks this" in each.value for each in page.text)
    press(page, "Undo the last step")
    assert states(workspace) == {"item-0": "draft"}


def test_what_somebody_else_decided_meanwhile_is_not_decided_over(workspace: Workspace, run_page: RunPage) -> None:
    add(workspace, 1)
    page = run_page("golden.py")
    seen = golden.standings(workspace)["item-0"]
    lead = Actor("Noor", "lead")
    golden.decide(workspace, lead, seen, "rejected", NOW, reason="twice")
    with pytest.raises(Conflict, match="Noor has changed"):
        golden.decide(workspace, lead, seen, "accepted", NOW)
    # Whoever still sees the draft learns on the next click that it waits no more.
    press(page, "Accept")
    assert states(workspace) == {"item-0": "rejected"}


def test_leads_freeze_on_the_page_and_foreign_text_stays_text(workspace: Workspace, run_page: RunPage) -> None:
    add(workspace, 2, "imported", HOSTILE)
    page = run_page("golden.py", query={"item": "item-1"})
    next(each for each in page.text_input if each.label.startswith("Name")).set_value("march")
    press(page, "Freeze")
    assert [each.name for each in golden.versions(workspace)] == ["march"]
    shown = [*page.markdown, *page.caption, *page.subheader, *page.metric]
    assert not any("<script>" in str(each.value) or "**bold**" in str(each.value) for each in shown)
    assert any(HOSTILE in each.value for each in page.text)


def answered(workspace: Workspace, count: int) -> None:
    """A run's answers: old says ALPHA, new says BETA."""
    add(workspace, count, "imported")
    version = golden.freeze(workspace, "march", "Lea", NOW).row.version
    rows: list[dict[str, Any]] = []
    for name, digest in golden.accepted(workspace).items():
        said = {side: Output(content=f"{text} {name}") for side, text in (("old", "ALPHA"), ("new", "BETA"))}
        outputs = {side: json.dumps(each.model_dump(exclude_none=True)) for side, each in said.items()}
        rows.append({"item_id": name, "item_hash": digest, "answers_id": f"answers-{name}", **outputs})
    table = golden_score.pa.Table.from_pylist(rows, golden.store.ANSWERS)
    golden_score.answered(workspace, Call({"run": "run-x", "version": version}, table, "Lea", NOW))


@pytest.mark.usefixtures("answering")
def test_a_reviewer_scores_two_answers_blind_a_rubric_item_at_a_time(workspace: Workspace, run_page: RunPage) -> None:
    answered(workspace, 6)
    page = run_page("golden.py", role="reviewer")
    firsts: list[str] = []
    for _ in range(6):
        texts = [each.value.split()[0] for each in page.text if each.value.startswith(("ALPHA", "BETA"))]
        assert sorted(texts) == ["ALPHA", "BETA"]
        firsts.append(texts[0])
        # Old answers do the first thing, and nobody can tell the second.
        press(page, "Only A" if texts[0] == "ALPHA" else "Only B")
        press(page, "Can’t tell")
    assert "every item" in page.success[0].value
    assert len(set(firsts)) == 2
    scores = golden.store.scores(workspace.database.cursor())
    assert {(each.rubric, each.old, each.new, each.scored_by) for each in scores} == {
        (1, True, False, "Mara"),
        (2, None, None, "Mara"),
    }
    press(page, "Back")
    press(page, "Neither")
    now = golden_people.by_people(golden.store.scores(workspace.database.cursor()))
    assert list(now.values()).count((False, False)) == 1
    stored = workspace.database.cursor().execute("SELECT count(*) FROM golden_score").fetchone()
    assert stored == (13,)


def test_the_command_line_export_of_drafts_does_not_accept_them(workspace: Workspace, tmp_path: Path) -> None:
    add(workspace, 2)
    workspace.close()
    db = ["--db", str(workspace.settings.db)]
    out = tmp_path / "drafts.jsonl"
    cli = CliRunner()
    assert cli.invoke(main, ["golden", "export", "--drafts", "-o", str(out), *db]).exit_code == 0
    assert "2 present already" in cli.invoke(main, ["golden", "import", str(out), *db]).output
    assert cli.invoke(main, ["golden", "freeze", *db]).exit_code == 1
