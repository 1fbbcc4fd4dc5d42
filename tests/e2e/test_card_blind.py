"""The card tells the browser nothing about sides, and shows hostile texts as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Request, WebSocket, expect

from review import settings
from review.services.workspace import open_workspace
from tests.e2e.conftest import Server
from tests.e2e.reviewing import at_card, label, phi3, press, saved, with_round

pytestmark = pytest.mark.chromium
Visit = Callable[..., Page]
SECRETS = {"model": ("zz-first-model", "zz-second-model"), "finish_reason": ("zz-first-reason", "zz-second-reason")}
# As a name or a value in JSON; as a piece of an answer's text both words may occur.
NAMED = [sign for side in ("old", "new") for sign in (f'"{side}":', f': "{side}"', f':"{side}"')]
HOSTILE = [
    "<script>window.hacked = 1</script>",
    "<img src=http://127.0.0.1:9/a.png onerror='window.hacked = 2'>",
    "![picture](http://127.0.0.1:9/b.png) [link](javascript:window.hacked=3)",
    "\x1b[31mred\x1b[0m \x00nul \x07bell",
    "\u202eright to left\u202c \u2066isolate\u2069",
    "=cmd|' /C calc'!A0",
    "</textarea></style><svg onload=window.hacked=4>",
    ":red[**bold**] $x^2$ :material/home: `code`",
    "x" * 200_000,
]


def hostile_pairs() -> list[dict[str, Any]]:
    """One text in every field of a pair that the card shows."""
    return [
        {
            "pair_id": f"hostile-{index}",
            "prompt_id": f"p{index}",
            "task": "".join(sign for sign in text[:60] if sign.isprintable()),
            "reference": text,
            "messages": [
                {"role": "system", "content": text},
                {
                    "role": text[:20],
                    "name": text[:40],
                    "content": [{"type": "text", "text": text}, {"type": text[:10]}],
                },
                {"role": "assistant", "tool_calls": [{"function": {"name": text[:40], "arguments": text}}]},
                {"role": "tool", "content": text},
            ],
            "tools": [{"type": "function", "function": {"name": text[:40], "description": text[:100]}}],
            "old": {"content": text, "tool_calls": [{"function": {"name": text[:40], "arguments": {text[:30]: text}}}]},
            "new": {"content": f"B {text}", "tool_calls": [{"function": {"name": text[:40], "arguments": text}}]},
        }
        for index, text in enumerate(HOSTILE)
    ]


def test_nothing_that_reaches_the_browser_tells_the_sides(make_server: Callable[..., Server], visit: Visit) -> None:
    records = phi3()[:20]
    for record in records:
        record["metadata"] = {"customer": "zz-customer"}
        record["prompt_id"] = f"zz-prompt-{record['prompt_id']}"
        for index, side in enumerate(("old", "new")):
            record[side] |= {name: values[index] for name, values in SECRETS.items()} | {"latency_ms": 98_765 + index}
    server = make_server(with_round(records))
    page = at_card(visit(server, "/label", name="Eve"))
    frames: list[bytes] = []

    def keep(payload: str | bytes) -> None:
        frames.append(payload.encode() if isinstance(payload, str) else payload)

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", keep)
        socket.on("framesent", keep)

    page.on("websocket", listen)
    page.reload()
    at_card(page)
    label(page)
    press(page, ["2", "i", "1", "2", "2", "1", "1", "Enter", "u", "Escape", "f", "1", "i"])
    page.keyboard.type("It should say so.")
    press(page, ["Control+Enter", "s", "Enter"])
    saved(page)
    page.reload()
    at_card(page)
    saved_dom = page.evaluate("() => document.documentElement.outerHTML + JSON.stringify({...localStorage})")
    inside = page.locator(".card").evaluate("card => card.outerHTML")
    wire = b"\n".join(frames)
    assert any(each["messages"][0]["content"][:30].encode() in wire for each in records), "the frames were recorded"
    server.stop()
    workspace = open_workspace(settings.load(server.db))
    rows = workspace.database.cursor().execute("SELECT shown_first FROM label").fetchall()
    workspace.close()
    assert len(rows) >= 3
    words = [*(each["pair_id"] for each in records), "zz-", "98765", "98766", "shown_first", *NAMED]
    for place, content in (("frames", wire.decode(errors="replace")), ("page", saved_dom), ("card", inside)):
        plain = content.replace('\\"', '"')
        told = [plain[plain.index(word) - 60 : plain.index(word) + 60] for word in words if word in plain]
        assert told == [], place


def test_hostile_texts_are_shown_as_text_and_no_request_leaves_the_page(
    make_server: Callable[..., Server], visit: Visit
) -> None:
    server = make_server(with_round(hostile_pairs()))
    page = at_card(visit(server, "/label", name="<b>Eve</b>"))
    outside: list[str] = []
    broken: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith((server.url, "blob:", "data:")):
            outside.append(request.url)

    page.on("request", note)
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.reload()
    seen: set[str] = set()
    for _ in HOSTILE:
        at_card(page)
        text = page.locator(".stage").inner_text()
        seen |= {name for name, sign in SIGNS.items() if sign in text}
        assert page.locator(".stage :is(script, img, svg, style, iframe, a)").count() == 0
        press(page, ["v", "d", "f", "1", "o"])
        page.keyboard.type(HOSTILE[1])
        press(page, ["Control+Enter", "c"])
        page.keyboard.insert_text(HOSTILE[0])
        press(page, ["Escape"])
        label(page)
    expect(page.locator(".end")).to_be_visible(timeout=60_000)
    saved(page)
    assert seen == set(SIGNS)
    assert page.evaluate("() => window.hacked") is None
    assert (outside, broken) == ([], [])


SIGNS = {
    "script": "<script>window.hacked",
    "handler": "onerror='window.hacked = 2'",
    "markdown": "![picture](http://127.0.0.1:9/b.png)",
    "escape": "␛[31mred",
    "nul": "␀nul",
    "override": "⟨U+202E⟩right to left",
    "formula": "=cmd|",
    "directive": ":red[**bold**]",
}


def test_an_item_that_can_never_be_stored_is_named_and_holds_nothing_up(
    make_server: Callable[..., Server], visit: Visit
) -> None:
    server = make_server(with_round(phi3()[:10]))
    page = at_card(visit(server, "/label", name="Eve"))
    server.kill()
    label(page)
    names = page.evaluate("() => Object.keys(localStorage).filter((name) => name.startsWith('review.outbox.'))")
    forged = {"label_id": "forged-label-1", "card_id": "not-a-card-of-mine", "better": "old"}
    entry = json.dumps({"type": "answers", "item": forged, "tab": "gone", "at": 0, "sequence": 1})
    page.evaluate("([name, value]) => localStorage.setItem(name, value)", [names[0][:-36] + "forged-label-1", entry])
    server.start()
    page.reload()
    at_card(page)
    expect(page.locator(".notice")).to_contain_text("a label is not in order (better)")
    saved(page)
    label(page)
    saved(page)
    page.reload()
    at_card(page)
    expect(page.locator(".notice")).to_contain_text("1 entry could not be stored and stays in this browser")
