"""Labels survive what goes wrong: a killed server, a cut websocket, a closed tab, two tabs of one reviewer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Server
from tests.e2e.reviewing import Wire, answers_text, at_card, done, label, labels_of, phi3, saved, with_round

pytestmark = pytest.mark.chromium
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(with_round(phi3(), overlap=20))


def test_a_server_killed_in_mid_round_loses_nothing_and_doubles_nothing(server: Server, visit: Visit) -> None:
    page = at_card(visit(server, "/label", name="Kill"))
    for _ in range(2):
        label(page)
    saved(page)
    label(page)  # on its way, or not
    server.kill()
    label(page)
    label(page)
    expect(page.locator(".save")).to_contain_text("kept in this browser", timeout=10_000)
    server.start()
    saved(page, timeout=30_000)
    label(page)  # the same page goes on
    saved(page)
    assert done(page) == 6
    rows = labels_of(server, "Kill")
    assert len(rows) == len({row["pair_id"] for row in rows}) == 6


def test_a_killed_server_and_a_closed_tab_lose_nothing(server: Server, visit: Visit) -> None:
    page = at_card(visit(server, "/label", name="Close"))
    label(page)
    saved(page)
    server.kill()
    label(page)
    label(page)
    context = page.context
    page.close()
    server.start()
    again = context.new_page()
    again.goto(server.url + "/label")
    at_card(again)
    saved(again)
    assert done(again) == 3
    rows = labels_of(server, "Close")
    assert len(rows) == len({row["pair_id"] for row in rows}) == 3


def test_a_cut_websocket_keeps_labels_waiting_until_it_is_back(server: Server, visit: Visit) -> None:
    page = visit(server, "/label", name="Cut")
    wire = Wire(page)
    page.reload()
    at_card(page)
    label(page)
    saved(page)
    wire.cut()
    for _ in range(3):
        label(page)
    expect(page.locator(".save")).to_contain_text("3 waiting", timeout=20_000)
    expect(page.locator(".save")).to_contain_text("offline, kept in this browser", timeout=10_000)
    wire.mend()
    saved(page, timeout=30_000)
    assert done(page) == 4
    rows = labels_of(server, "Cut")
    assert len(rows) == len({row["pair_id"] for row in rows}) == 4


def test_two_tabs_of_one_reviewer_share_the_outbox(server: Server, visit: Visit) -> None:
    one = at_card(visit(server, "/label", name="Twin"))
    two = one.context.new_page()
    two.goto(server.url + "/label")
    at_card(two)
    assert answers_text(one) == answers_text(two)
    first = answers_text(one)
    label(one)
    expect(two.locator(".notice")).to_have_text("This pair was labelled in another tab.")
    assert answers_text(two) != first
    saved(one)
    server.kill()
    for labelling, watching in ((one, two), (two, one), (one, two)):
        seen = answers_text(watching)
        label(labelling)  # the other tab moves on, so that the next label is about a third pair
        expect(watching.locator(".layer:not(.ahead) .answers")).not_to_have_text(seen, use_inner_text=True)
    for page in (one, two):
        expect(page.locator(".save")).to_contain_text("3 waiting", timeout=20_000)
    two.close()  # its label waits in storage; the other tab brings it
    server.start()
    saved(one, timeout=30_000)
    rows = labels_of(server, "Twin")
    assert len(rows) == len({row["pair_id"] for row in rows}) == 4
