"""Labelling by keyboard over real pairs: seven keys a pair, undo, skip, flag, reload, and what is stored then."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Server
from tests.e2e.reviewing import ROWS, answers_text, at_card, done, imported, label, labels_of, press, saved, stored

pytestmark = pytest.mark.chromium
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(imported)


def test_a_round_by_keyboard_is_stored_as_it_was_meant(server: Server, visit: Visit) -> None:
    page = at_card(visit(server, "/label", name="Mara"))
    first = answers_text(page)
    label(page, "114123")  # seven keys: an invalid digit on row three changes nothing, so one more is needed
    expect(page.locator(".hint")).to_have_text("Still open: Better overall")
    assert answers_text(page) == first
    label(page, "4")
    second = answers_text(page)
    assert second != first
    press(page, ["2", "i", "r", "1", "2", "3", "1", "1", "Enter"])  # an error with two categories in nine keys
    third = answers_text(page)
    assert third != second
    press(page, ["s"])
    page.keyboard.type("not my language")
    press(page, ["Enter"])
    assert answers_text(page) != third
    saved(page)
    assert done(page) == 3
    press(page, ["u", "u"])  # past the skip, to the second label
    assert answers_text(page) == second
    expect(page.locator(".banner")).to_be_visible()
    expect(page.locator(".row[data-row=error_left] [aria-checked=true] span")).to_have_text("cautious")
    press(page, ["Backspace"] * 9 + ["3", "Enter"])
    expect(page.locator(".banner")).to_be_hidden()
    saved(page)
    assert done(page) == 3

    rows = labels_of(server, "Mara")
    assert [row["kind"] for row in rows] == ["label", "label", "skip", "label"]
    one, two, skip, correction = rows
    placed = shown(one)
    assert [placed[row] for row in ROWS] == ["none", "none", "under", "right", "right", "both_bad"]
    assert one["seconds"] < 60
    assert shown(two)["error_left"] == "cautious"
    assert sorted(shown(two)["categories_left"]) == ["invented_fact", "refusal"]
    assert (shown(two)["tone"], shown(two)["better"]) == ("left", "left")
    assert (skip["comment"], skip["preference"]) == ("not my language", None)
    assert (correction["supersedes"], shown(correction)["error_left"]) == (two["label_id"], "confident")
    assert correction["pair_id"] == two["pair_id"]
    assert two["supersedes"] is None


def shown(row: dict[str, object]) -> dict[str, object]:
    """A stored label in shown order again: the reviewer's left and right."""
    left, right = ("old", "new") if row["shown_first"] == "old" else ("new", "old")
    sides = {left: "left", right: "right"}
    placed: dict[str, object] = {
        f"{name}_{place}": row[f"{name}_{side}"]
        for name in ("error", "calibration", "categories")
        for side, place in sides.items()
    }
    tie = {"tie": "same", "same": "same", "both_bad": "both_bad", **sides}
    return placed | {"tone": tie[str(row["tone"])], "better": tie[str(row["preference"])]}


def test_a_flag_names_the_failing_side_and_joins_the_adversarial_set(server: Server, visit: Visit) -> None:
    page = at_card(visit(server, "/label", name="Flo"))
    text = page.locator(".layer:not(.ahead) .answer.right .text").inner_text()
    press(page, ["f", "3", "i"])
    page.keyboard.type("It says that it does not know. 1 2 3 s u d")
    press(page, ["Control+Enter"])
    expect(page.locator("dialog")).to_have_count(0)
    saved(page)
    (entry,) = stored(server, "SELECT * FROM adversarial_entry")
    (pair,) = stored(server, "SELECT old, new FROM pair WHERE pair_id = ?", entry["pair_id"])
    assert (entry["category"], entry["actor"]) == ("invented_fact", "Flo")
    assert (
        text.split()[:12]
        == pair[entry["failed"]][len('{"model": ') :]
        .split('"content":')[-1]
        .strip(' "')
        .replace("\\n", " ")
        .replace('\\"', '"')
        .split()[:12]
    )


def test_nothing_fires_while_typing(server: Server, visit: Visit) -> None:
    page = at_card(visit(server, "/label", name="Tilda"))
    before = answers_text(page)
    press(page, ["1", "c"])
    page.keyboard.type("1 2 3 s u f d ? v")
    press(page, ["Enter", "Backspace"])
    assert answers_text(page) == before
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(".choice[aria-checked=true]")).to_have_count(1)
    expect(page.locator(".comment")).to_have_value("1 2 3 s u f d ? v")
    press(page, ["Escape"])
    label(page, "12222")
    saved(page)
    (row,) = labels_of(server, "Tilda")
    assert row["comment"] == "1 2 3 s u f d ? v"


def test_a_reload_in_mid_round_keeps_place_draft_and_undo(server: Server, visit: Visit) -> None:
    page = at_card(visit(server, "/label", name="Rea"))
    first = answers_text(page)
    label(page)
    second = answers_text(page)
    press(page, ["1", "3", "c"])
    page.keyboard.type("half a thought")
    saved(page)
    page.reload()
    at_card(page)
    assert answers_text(page) == second
    assert done(page) == 1
    expect(page.locator(".comment")).to_have_value("half a thought")
    expect(page.locator(".row[data-row=error_right] [aria-checked=true] span")).to_have_text("confident")
    press(page, ["u"])
    assert answers_text(page) == first
    press(page, ["Escape"])
    assert answers_text(page) == second
    expect(page.locator(".comment")).to_have_value("half a thought")


def test_mouse_and_labelled_radio_groups(server: Server, visit: Visit) -> None:
    page = at_card(visit(server, "/label", name="Mo"))
    before = answers_text(page)
    page.get_by_role("radiogroup", name="Error in A").get_by_role("radio", name="confident").click()
    page.get_by_role("group", name="Failure categories of A").get_by_role("checkbox", name="Refusal").click()
    page.get_by_role("radiogroup", name="Error in B").get_by_role("radio", name="none").click()
    for place in "AB":
        page.get_by_role("radiogroup", name=f"Confidence in {place}").get_by_role("radio", name="right").click()
    page.get_by_role("radiogroup", name="Tone fits better").get_by_role("radio", name="same").click()
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".hint")).to_have_text("Still open: Better overall")
    page.get_by_role("radiogroup", name="Better overall").get_by_role("radio", name="B", exact=True).click()
    page.get_by_role("button", name="Submit").click()
    assert answers_text(page) != before
    saved(page)


def test_several_reviewers_at_once_each_have_their_own_pairs_and_progress(server: Server, visit: Visit) -> None:
    pages = [at_card(visit(server, "/label", name=f"Rev{number}")) for number in range(3)]
    for turn in range(3):
        for page in pages:
            label(page, PLAINS[turn])
    for page in pages:
        saved(page)
        assert done(page) == 3
    rows = stored(server, "SELECT * FROM label WHERE reviewer LIKE 'Rev%'")
    assert len(rows) == 9
    assert len({(row["reviewer"], row["pair_id"]) for row in rows}) == 9


PLAINS = ("112221", "112222", "112223")
