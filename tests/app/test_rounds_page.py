"""The Rounds page: an empty state, a preview that the draw keeps, progress, and conflicts decided blind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from review.domain.card import Answers, Card
from review.services import adjudicate, ingest, label, rounds
from review.services.workspace import Workspace
from tests.app.conftest import RunPage
from tests.conftest import NOW
from tests.traffic import Traffic, add_clusters, add_pairs, add_traces

SECRET_MODELS = ("stack-one", "stack-two")


def fill(workspace: Workspace, folder: Path, pairs: int = 24) -> None:
    def pair(number: int) -> dict[str, Any]:
        return {
            "pair_id": f"p{number}",
            "task": ("refunds", "billing")[number % 2],
            "messages": [{"role": "user", "content": f"Where is parcel {number}?"}],
            "old": {"model": SECRET_MODELS[0], "content": "It may come on Monday."},
            "new": {"model": SECRET_MODELS[1], "content": f"It comes on Monday, number {number}."},
        }

    file = folder / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(pair(number)) for number in range(pairs)))
    ingest.import_pairs(workspace, [file], now=NOW)


def shown(page: AppTest) -> str:
    return "\n".join(
        str(each.value) for each in [*page.text, *page.caption, *page.subheader, *page.markdown, *page.info]
    )


def view(page: AppTest, name: str) -> AppTest:
    page.button_group(key="view").set_value(name).run()
    assert not page.exception
    return page


def answer_all(workspace: Workspace, reviewer: str, round_id: str, error_left: str, better: str) -> None:
    def said(card: Card) -> Answers:
        return Answers.model_validate(
            {
                "label_id": f"{reviewer}-{card.card_id}",
                "card_id": card.card_id,
                "better": better,
                "error_left": error_left,
                "error_right": "none",
                "calibration_left": "right",
                "calibration_right": "right",
                "tone": "same",
            }
        )

    while cards := label.queue(workspace, reviewer, round_id, 5, NOW):
        label.submit(workspace, reviewer, [said(card) for card in cards], NOW)


def test_without_pairs_the_page_says_what_to_do(run_page: RunPage) -> None:
    page = run_page("rounds.py")
    assert "No round is drawn yet" in shown(page)
    assert "review import pairs" in shown(view(page, "draw")).replace("\\", "")


def test_what_the_preview_shows_is_what_is_drawn(workspace: Workspace, run_page: RunPage, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    page = view(run_page("rounds.py"), "draw")
    page.slider[0].set_value(20).run()
    assert "20 labels give an agreement rate to within ±20 points" in shown(page)
    next(button for button in page.button if button.label == "Draw this round").click().run()
    assert not page.exception
    (drawn,) = rounds.list_rounds(workspace)
    assert sum(stratum.drawn for stratum in drawn.strata) == 20
    assert drawn.drawn_by == "Mara"
    assert "0 of 20 labels" in shown(page)


def test_an_answer_that_names_its_model_is_pointed_out(workspace: Workspace, run_page: RunPage, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    record = {"messages": [{"role": "user", "content": "Who are you?"}], "old": {"content": "I am Claude."}}
    file.write_text(json.dumps(record | {"new": {"content": "An assistant."}}))
    ingest.import_pairs(workspace, [file], now=NOW)
    page = view(run_page("rounds.py"), "draw")
    assert any("1 answer in this draw names its own model" in each.label for each in page.expander)


def opened(page: AppTest, round_id: str) -> str:
    """The page's texts once somebody has opened the story of a round."""
    page.session_state[f"details_{round_id}"] = True
    page.run()
    assert not page.exception
    return shown(page)


def test_the_seed_is_closed_to_somebody_with_open_pairs(
    workspace: Workspace, run_page: RunPage, tmp_path: Path
) -> None:
    fill(workspace, tmp_path)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=10, seed=4711, repeat=0), "Mara", NOW)
    assert "Seed 4711" in opened(run_page("rounds.py", name="Lea"), drawn.round_id)
    (card,) = label.queue(workspace, "Lea", drawn.round_id, 1, NOW)
    label.shown(workspace, "Lea", card.card_id, NOW)
    story = opened(run_page("rounds.py", name="Lea"), drawn.round_id)
    assert "Drawn by Mara" in story
    assert "4711" not in story


def test_the_story_of_a_round_is_made_when_somebody_opens_it(
    workspace: Workspace, run_page: RunPage, tmp_path: Path
) -> None:
    fill(workspace, tmp_path)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=10, seed=7), "Mara", NOW)
    page = run_page("rounds.py")
    assert not page.get("vega_lite_chart")
    assert "Drawn by Mara" in opened(page, drawn.round_id)
    assert len(page.get("vega_lite_chart")) == 1


def test_a_conflict_is_decided_blind(workspace: Workspace, run_page: RunPage, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=4, seed=3, overlap=2, repeat=0), "Mara", NOW)
    for reviewer, error in (("Ben", "none"), ("Chloe", "confident")):
        answer_all(workspace, reviewer, drawn.round_id, error, "same")
    before = len(adjudicate.docket(workspace, drawn.round_id, "Mara").decidable)
    assert before >= 1
    page = run_page("rounds.py", query={"round": drawn.round_id})
    everything = shown(page) + "".join(each.label for each in page.radio)
    assert not any(word in everything for word in (*SECRET_MODELS, "Ben", "Chloe"))
    for radio in page.radio:
        radio.set_value(radio.options and ("confident" if "Error" in radio.label else "same"))
    next(button for button in page.button if button.label == "Decide and next").click().run()
    assert not page.exception
    docket = adjudicate.docket(workspace, drawn.round_id, "Mara")
    assert docket.decided == 1
    assert len(docket.decidable) == before - 1
    kinds = workspace.database.cursor().execute("SELECT kind, reviewer FROM label WHERE kind <> 'label'").fetchall()
    assert kinds == [("adjudication", "Mara")]


@pytest.mark.parametrize("role", ["reviewer", "support"])
def test_the_page_is_for_leads(run_page: RunPage, role: str) -> None:
    assert "for the role lead" in shown(run_page("rounds.py", role=role))


def test_the_address_names_a_cluster_to_draw_from(workspace: Workspace, run_page: RunPage) -> None:
    add_clusters(workspace, ["Refunds", "Billing"])
    add_pairs(workspace, add_traces(workspace, [Traffic(15, "refunds"), Traffic(12, "billing")]))
    page = run_page("rounds.py", query={"cluster": "billing"})
    assert [box.value for box in page.selectbox if box.label == "Cluster"] == ["billing"]
    next(button for button in page.button if button.label == "Draw this round").click().run()
    assert not page.exception
    (drawn,) = rounds.list_rounds(workspace)
    assert [each.frame for each in drawn.strata] == [12]
    page = run_page("rounds.py", query={"cluster": "weather"})
    assert "No pair comes from this cluster yet" in shown(page)
