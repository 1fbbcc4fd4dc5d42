"""What the card shows: folded long texts, differences, aligned calls, narrow windows, ends and empty states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Server
from tests.e2e.reviewing import at_card, label, press, saved, with_round

pytestmark = pytest.mark.chromium
Visit = Callable[..., Page]
WORDS = 30_000


def pair(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "pair_id": f"p{number}",
        "prompt_id": f"p{number}",
        "task": "refunds",
        "messages": [{"role": "user", "content": f"Question {number}"}],
        "old": {"content": "The refund takes five days."},
        "new": {"content": "The refund takes ten days."},
        **fields,
    }


def call(name: str, arguments: str) -> list[dict[str, Any]]:
    return [{"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}]


LONG = " ".join(f"word{number}" if number % 60 else f"word{number}.\n\n" for number in range(WORDS))
PAIRS = [
    pair(1, old={"content": LONG}, new={"content": LONG.replace("word777 ", "changed ")}),
    pair(
        2,
        old={"content": "Booked.", "tool_calls": call("book", '{"slot": "10:00", "place": "mobile"}')},
        new={"content": "Booked.", "tool_calls": call("book", '{"slot": "11:00", "place": "mobile"}')},
    ),
    pair(
        3, messages=[{"role": role, "content": f"{role} turn {n}"} for n in range(6) for role in ("user", "assistant")]
    ),
]


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(with_round(PAIRS, overlap=20))


def until(page: Page, selector: str) -> None:
    """Skip pairs until one has what `selector` finds."""
    for _ in PAIRS:
        at_card(page)
        if page.locator(f".layer:not(.ahead) {selector}").count():
            return
        press(page, ["s", "Enter"])
    raise AssertionError(f"no pair has {selector}")


def test_thirty_thousand_words_fold_and_unfold_without_a_long_frame(server: Server, visit: Visit) -> None:
    page = visit(server, "/label", name="Lena")
    until(page, ".answer .foldable")
    assert len(page.locator(".layer:not(.ahead) .answer.left .text").inner_text()) < 10_000
    expect(page.locator(".layer:not(.ahead) .answer.left .fold")).to_have_text("Show all 30,000 words")
    page.evaluate(
        """() => { window.longest = 0; let last = performance.now();
             const step = (now) => { window.longest = Math.max(window.longest, now - last); last = now;
               requestAnimationFrame(step); };
             requestAnimationFrame((now) => { last = now; step(now); }); }"""
    )
    longest: list[float] = []
    for _ in range(3):
        page.evaluate("() => { window.longest = 0; }")
        press(page, ["v"])
        for side in ("left", "right"):
            text = page.locator(f".layer:not(.ahead) .answer.{side} .text")
            expect(text).to_contain_text(f"word{WORDS - 1}")
        expect(page.locator(".layer:not(.ahead) .answers mark")).to_have_count(2)
        longest.append(page.evaluate("() => window.longest"))
        press(page, ["v"])
        expect(page.locator(".layer:not(.ahead) .answer.left .text")).not_to_contain_text(f"word{WORDS - 1}")
    # Usually under 50 ms. A busy machine adds pauses of its own, but not to each of three.
    assert min(longest) < 400


def test_differences_are_marked_and_d_hides_them(server: Server, visit: Visit) -> None:
    page = visit(server, "/label", name="Dora")
    until(page, ".answers mark")
    expect(page.locator(".card.diff")).to_have_count(1)
    press(page, ["d"])
    expect(page.locator(".card.diff")).to_have_count(0)
    press(page, ["d"])
    expect(page.locator(".card.diff")).to_have_count(1)


def test_tool_calls_stand_side_by_side_with_differing_values_marked(server: Server, visit: Visit) -> None:
    page = visit(server, "/label", name="Tom")
    until(page, ".calls")
    table = page.get_by_role("table")
    expect(table.get_by_role("row")).to_have_count(3)
    expect(table.locator("tr.differs th")).to_contain_text("slot")
    values = table.locator("tr.differs td").all_inner_texts()
    assert sorted(values) == ["10:00", "11:00"]


def test_earlier_turns_fold_and_the_last_ones_stay_in_sight(server: Server, visit: Visit) -> None:
    page = visit(server, "/label", name="Ona")
    until(page, ".earlier")
    expect(page.locator(".layer:not(.ahead) .prompt .message")).to_have_count(4)
    page.get_by_role("button", name="8 earlier messages").click()
    expect(page.locator(".layer:not(.ahead) .prompt .message")).to_have_count(12)


def test_the_sheet_of_keys_opens_and_closes_and_lists_the_categories(server: Server, visit: Visit) -> None:
    page = at_card(visit(server, "/label", name="Kay"))
    press(page, ["?"])
    sheet = page.get_by_role("dialog", name="Keys")
    for word in ("submit", "one row back", "reopen your last label", "Invented fact"):
        expect(sheet).to_contain_text(word)
    press(page, ["1", "Escape"])
    expect(sheet).to_have_count(0)
    expect(page.locator(".row .choice[aria-checked=true]")).to_have_count(0)


@pytest.mark.parametrize("width", [1400, 1000, 850, 420])
def test_every_row_is_in_the_window_and_nothing_sticks_out(server: Server, visit: Visit, width: int) -> None:
    page = at_card(visit(server, "/label", name=f"Wide{width}", width=width))
    left, right = (page.locator(f".layer:not(.ahead) .answer.{side}").bounding_box() for side in ("left", "right"))
    assert left is not None
    assert right is not None
    assert (left["y"] == right["y"]) == (width >= 900)
    assert page.evaluate(
        "() => document.querySelector('.stMain').scrollWidth <= document.querySelector('.stMain').clientWidth"
    )
    if width > 600:
        for box in (row.bounding_box() for row in page.locator(".row").all()):
            assert box
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= 900
            assert box["x"] + box["width"] <= width


def test_the_end_of_a_round_says_what_was_done_and_takes_corrections(server: Server, visit: Visit) -> None:
    page = at_card(visit(server, "/label", name="Fin"))
    label(page)
    press(page, ["f", "1", "i"])
    page.keyboard.type("Say ten days.")
    press(page, ["Control+Enter"])
    label(page)
    press(page, ["s", "Enter"])
    end = page.locator(".end")
    expect(end).to_contain_text("That was your last pair of this round.", timeout=60_000)
    facts = dict(text.split("\n")[::-1] for text in end.locator(".facts div").all_inner_texts())
    assert facts.pop("median seconds").isdigit()
    assert facts == {"labelled": "2", "skipped": "1", "flagged": "1"}
    press(page, ["u", "u"])
    expect(page.locator(".banner")).to_be_visible()
    press(page, ["Backspace"] * 6 + ["2", "Enter"])
    expect(end).to_be_visible()
    saved(page)
    page.reload()
    expect(page.locator(".end")).to_contain_text("That was your last pair of this round.", timeout=60_000)


def test_without_a_round_the_page_says_what_comes_first(make_server: Callable[..., Server], visit: Visit) -> None:
    server = make_server()
    page = visit(server, "/label", name="Early")
    expect(page.get_by_text("No round is drawn yet")).to_be_visible()


def test_a_lead_is_asked_before_the_first_pair_is_shown(server: Server, visit: Visit) -> None:
    page = visit(server, "/label", name="Lea", role="lead")
    page.get_by_role("button", name="Start labelling").click()
    at_card(page)
    page.reload()
    at_card(page)


def test_five_million_signs_in_one_line_are_shown_folded_and_labelled(
    make_server: Callable[..., Server], visit: Visit
) -> None:
    line = "<b>&never</b>" * 400_000
    giants = [pair(n, old={"content": line + f"old{n}"}, new={"content": line + f"new{n}"}) for n in (1, 2)]
    page = at_card(visit(make_server(with_round(giants)), "/label", name="Gina"))
    for _ in giants:
        at_card(page)
        shown = page.locator(".layer:not(.ahead) .answer.left .text").inner_text()
        assert shown.startswith("<b>&never</b><b>&never</b>")
        assert len(shown) < 20_000
        label(page)
    expect(page.locator(".end")).to_be_visible(timeout=60_000)
    saved(page)
