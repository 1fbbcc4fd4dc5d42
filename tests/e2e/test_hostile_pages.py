"""Hostile texts in every field, on every page: shown as text, no request leaves, no crash, nothing in the log."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import Server, run_cli

pytestmark = pytest.mark.chromium

CANARY = "zq7canary"
HOSTILE = (
    f"{CANARY} <script>window.hacked=1</script><img src=x onerror=window.hacked=1>",
    f"{CANARY} ![x](http://leak.test/a.png) [y](javascript:window.hacked=1) :red[z] $\\alpha$ `c`",
    f"{CANARY} \x1b[31m\x1b]0;t\x07 \u202egnirts\u2066 \u200b \ufeff\u0000 \u0085\u2028",
    f'=HYPERLINK("http://leak.test","{CANARY}")',
    f"{CANARY} <svg/onload=window.hacked=1> <iframe src=http://leak.test></iframe> <a href=http://leak.test>a</a>",
)
NAMES = (
    "<b onmouseover=window.hacked=1>ann</b>",
    "=1+1 ![n](http://leak.test/n.png)",
    "**bob** :material/home: \u202ebob",
)
PAGES = ("/", "/label", "/flag", "/rounds", "/agreement", "/parity", "/adversarial", "/pair?pair=h-0")

READY = """() => {
    const app = document.querySelector('[data-testid=stApp]');
    return app?.getAttribute('data-test-script-state') === 'notRunning'
        && document.querySelectorAll('[data-testid=stMain] [data-testid=stElementContainer]').length > 0;
}"""


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    # Lone surrogates can only stand as escapes.
    path.write_text("\n".join(json.dumps(row).replace("LONE", "\\ud800") for row in rows) + "\n", encoding="utf-8")
    return str(path)


def hostile_set(folder: Path) -> dict[str, str]:
    """Files of pairs, verdicts and labels, each free text and name hostile; one pair of 5 MB."""
    texts = [*HOSTILE, f"{CANARY} LONE {'word ' * 1_000_000}"]
    pairs = [
        {
            "pair_id": f"h-{number}",
            "task": text[:60].replace("\x1b", "").replace("\x07", "").replace("\x00", "") if number < 5 else "long",
            "messages": [
                {"role": "system", "content": text[:5000]},
                {"role": "user", "content": text[:5000]},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c", "function": {"name": text[:80], "arguments": text[:900]}}],
                },
                {"role": "tool", "tool_call_id": "c", "name": text[:80], "content": text[:5000]},
            ],
            "reference": text[:5000],
            "old": {"model": "stack-one", "content": text},
            "new": {
                "model": "stack-two",
                "content": text + " and more",
                "tool_calls": [{"function": {"name": text[:80], "arguments": text[:900]}}],
            },
            "metadata": {"ticket": text[:200], "customer": text[:200]},
        }
        for number, text in enumerate(texts)
    ]
    verdicts = [
        {"pair_id": f"h-{number}", "judge": NAMES[0], "vote": 1, "winner": "new", "raw": text, "rationale": text}
        for number, text in enumerate(HOSTILE)
    ]
    labels = [
        {
            "pair_id": f"h-{number}",
            "reviewer": name,
            "preference": "old",
            "error_old": "none",
            "error_new": "confident",
            "comment": text,
            "categories_old": ["other", NAMES[0]],
        }
        for number, text in enumerate(HOSTILE)
        for name in NAMES
    ]
    return {
        "pairs": write(folder / "pairs.jsonl", pairs),
        "verdicts": write(folder / "verdicts.jsonl", verdicts),
        "labels": write(folder / "labels.jsonl", labels),
    }


def test_nothing_hostile_comes_alive_on_any_page(
    make_server: Callable[..., Server], visit: Callable[..., Page], tmp_path: Path
) -> None:
    def prepare(db: Path) -> None:
        for kind, file in hostile_set(tmp_path).items():
            done = run_cli(db, "import", kind, file)
            assert done.returncode == 0, done.stderr
            assert CANARY not in done.stdout + done.stderr
        drawn = run_cli(db, "draw", "--size", "6", "--seed", "1", "--name", NAMES[1])
        assert drawn.returncode == 0, drawn.stderr
        exported = run_cli(db, "export", "labels", "-o", str(tmp_path / "labels.csv"))
        assert exported.returncode == 0, exported.stderr

    server = make_server(prepare)
    requests: list[str] = []
    dialogs: list[str] = []
    page = visit(server, "/", name="Mara", role="lead")
    page.on("request", lambda request: requests.append(request.url))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    for path in PAGES:
        page.goto(server.url + path)
        page.wait_for_function(READY, timeout=60_000)
        if path == "/rounds":  # a round's story, with its picture of the tasks, is made when it is opened
            page.get_by_text("Who, what from, and how it was drawn").click()
            page.get_by_text("Drawn by").wait_for()
            page.locator("[data-testid=stVegaLiteChart] .marks").wait_for()
        assert page.locator("[data-testid=stException]").count() == 0, path
        assert page.evaluate("() => window.hacked") is None, path
        assert page.locator("a[href*='leak.test'], img[src*='leak.test'], iframe[src*='leak.test']").count() == 0, path
    assert [url for url in requests if not url.startswith((server.url, "data:", "blob:"))] == []
    assert dialogs == []
    server.stop()
    assert CANARY not in server.log()
    assert "Traceback" not in server.log()

    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert any(CANARY in cell for cell in cells)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
