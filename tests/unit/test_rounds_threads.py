"""Sixteen reviewers at once on one round: no pair gets more labels than asked for, none is left unserved."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from review.domain.card import Answers, Card
from review.services import ingest, label, rounds
from review.services.workspace import Workspace
from tests.conftest import NOW

PEOPLE = 16
PAIRS = 40


def fill(workspace: Workspace, folder: Path) -> None:
    file = folder / "pairs.jsonl"
    record = {"messages": [{"role": "user", "content": "Hi"}], "new": {"content": "b"}}
    lines = [json.dumps(record | {"pair_id": f"p{n}", "old": {"content": f"a{n}"}}) for n in range(PAIRS)]
    file.write_text("\n".join(lines))
    ingest.import_pairs(workspace, [file], now=NOW)


def said(card: Card, reviewer: str, **more: object) -> Answers:
    return Answers.model_validate(
        {
            "label_id": f"by-{reviewer}-{card.card_id}",
            "card_id": card.card_id,
            "better": "left",
            "error_left": "none",
            "error_right": "other",
            "calibration_left": "right",
            "calibration_right": "over",
            "tone": "same",
        }
        | more
    )


def work(workspace: Workspace, reviewer: str, round_id: str, begin: threading.Barrier, failed: list[str]) -> None:
    begin.wait()
    try:
        while cards := label.queue(workspace, reviewer, round_id, 3, NOW):
            for card in cards:
                label.shown(workspace, reviewer, card.card_id, NOW)
                for receipt in label.submit(workspace, reviewer, [said(card, reviewer)], NOW):
                    if receipt.status not in ("stored", "surplus"):
                        failed.append(f"{receipt.status}: {receipt.reason}")
    except Exception as error:  # a thread's exception would vanish
        failed.append(repr(error))


@pytest.mark.parametrize("overlap", [1, 2])
def test_every_place_is_filled_once(workspace: Workspace, tmp_path: Path, overlap: int) -> None:
    fill(workspace, tmp_path)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=PAIRS, seed=5, overlap=overlap, repeat=0), "lead", NOW)
    begin, failed = threading.Barrier(PEOPLE), []
    threads = [
        threading.Thread(target=work, args=(workspace, f"person-{n}", drawn.round_id, begin, failed))
        for n in range(PEOPLE)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    rows = workspace.database.cursor().execute("SELECT pair_id, reviewer FROM label WHERE NOT surplus").fetchall()
    assert Counter(pair for pair, _ in rows) == {f"p{n}": overlap for n in range(PAIRS)}
    assert len(set(rows)) == len(rows), "the same person twice on one pair"
    assert rounds.progress(workspace, drawn.round_id).state == "finished"


def test_an_expired_lease_goes_to_somebody_else_and_the_late_label_is_kept(
    workspace: Workspace, tmp_path: Path
) -> None:
    fill(workspace, tmp_path)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=1, seed=5, repeat=0, audit=0), "lead", NOW)
    (first,) = label.queue(workspace, "Ana", drawn.round_id, 1, NOW)
    label.shown(workspace, "Ana", first.card_id, NOW)
    assert label.queue(workspace, "Ben", drawn.round_id, 1, NOW + timedelta(minutes=29)) == []
    (second,) = label.queue(workspace, "Ben", drawn.round_id, 1, NOW + timedelta(minutes=31))
    assert second.pair_id == first.pair_id
    later = NOW + timedelta(minutes=40)
    label.shown(workspace, "Ben", second.card_id, later)
    assert label.submit(workspace, "Ben", [said(second, "Ben")], later)[0].status == "stored"
    assert label.submit(workspace, "Ana", [said(first, "Ana")], later)[0].status == "surplus"
    stored = workspace.database.cursor().execute("SELECT reviewer, surplus FROM label ORDER BY 1").fetchall()
    assert stored == [("Ana", True), ("Ben", False)]


def test_a_closed_tab_resumes_at_the_same_cards(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=20, seed=5, repeat=0), "lead", NOW)
    before = label.queue(workspace, "Ana", drawn.round_id, 4, NOW)
    again = label.queue(workspace, "Ana", drawn.round_id, 4, NOW + timedelta(minutes=5))
    assert [card.card_id for card in again] == [card.card_id for card in before]
    assert [card.shown_first for card in again] == [card.shown_first for card in before]


def test_sending_twice_stores_once_and_a_correction_supersedes(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=5, seed=5, repeat=0), "lead", NOW)
    (card, *_) = label.queue(workspace, "Ana", drawn.round_id, 1, NOW)
    once = said(card, "Ana")
    assert [label.submit(workspace, "Ana", [once], NOW)[0].status for _ in range(2)] == ["stored", "duplicate"]
    better = said(card, "Ana", label_id="correction-1", supersedes=once.label_id, better="right")
    assert label.submit(workspace, "Ana", [better], NOW)[0].status == "stored"
    cursor = workspace.database.cursor()
    assert cursor.execute("SELECT count(*) FROM label").fetchone() == (2,)
    assert cursor.execute("SELECT label_id FROM current_label").fetchall() == [("correction-1",)]
    foreign = said(card, "Ana", label_id="correction-2", supersedes="correction-1")
    assert label.submit(workspace, "Ben", [foreign], NOW)[0].status == "refused"


def test_the_same_seed_draws_the_same_pairs_and_pi_sums_to_the_frame(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    spec = rounds.DrawSpec(size=15, seed=11, repeat=0)
    ids = [rounds.draw(workspace, spec, "lead", NOW).round_id for _ in range(2)]
    cursor = workspace.database.cursor()
    drawn = [
        cursor.execute("SELECT pair_id, pi FROM slot WHERE round_id = ? ORDER BY position", [each]).fetchall()
        for each in ids
    ]
    assert drawn[0] == drawn[1]
    assert sum(1 / pi for _, pi in drawn[0]) == pytest.approx(PAIRS)


def test_hidden_repeats_come_back_with_the_sides_swapped(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=PAIRS, seed=5, repeat=0.2), "lead", NOW)
    cards: list[Card] = []
    while queued := label.queue(workspace, "Ana", drawn.round_id, 2, NOW):
        cards += queued
        label.submit(workspace, "Ana", [said(card, "Ana") for card in queued], NOW)
    first = {card.pair_id: card for card in cards if card.occurrence == 0}
    again = [card for card in cards if card.occurrence == 1]
    assert len(first) == PAIRS
    assert len(again) == pytest.approx(0.2 * PAIRS, abs=1)
    assert all(card.shown_first != first[card.pair_id].shown_first for card in again)
    assert rounds.progress(workspace, drawn.round_id).done == PAIRS
