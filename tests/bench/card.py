"""How fast the review card is: key press to next pair painted, label to acknowledged, first load.

`python -m tests.bench.card [--browsers 1 8] [--seconds 60] [--think 3]` prints JSON. Each browser labels one pair after
about `think` seconds, by key events on the real page of a real server. Painted is measured in the page: from the event
to the task after the first frame that shows the next pair. Acknowledged is from the moment at which a label is in
localStorage until it is taken out again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from tests.__main__ import BROWSERS
from tests.bench import machine
from tests.e2e.conftest import CHROMIUM_FLAGS, Server, sign_in
from tests.e2e.reviewing import at_card, phi3, with_round

FLAGS = [
    *CHROMIUM_FLAGS,
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
]
DRIVE = """async ({ seconds, think }) => {
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const painted = () => new Promise((resolve) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => resolve(performance.now());
    channel.port2.postMessage(0);
  }));
  const card = [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]
    .map((each) => each.shadowRoot).find((root) => root?.querySelector('.card'));
  const out = { next: [], digit: [], acknowledged: [] };
  const began = new Map();
  const set = Storage.prototype.setItem, remove = Storage.prototype.removeItem;
  Storage.prototype.setItem = function (name, value) {
    if (name.startsWith('review.outbox.')) began.set(name, performance.now());
    set.call(this, name, value);
  };
  Storage.prototype.removeItem = function (name) {
    if (began.has(name)) out.acknowledged.push(performance.now() - began.get(name));
    began.delete(name);
    remove.call(this, name);
  };
  const press = async (key) => {
    const target = card.activeElement ?? document.body;
    const from = performance.now();
    target.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, composed: true, cancelable: true }));
    return (await painted()) - from;
  };
  const until = performance.now() + 1000 * seconds;
  await wait(1000 * think * Math.random());
  while (performance.now() < until && card.querySelector('.card').dataset.state === 'label') {
    await wait(1000 * think * (0.5 + Math.random()) - 6 * 90);
    for (const digit of '112222') { out.digit.push(await press(digit)); await wait(75); }
    const before = card.querySelector('.answers');
    const took = await press('Enter');
    if (card.querySelector('.answers') === before) throw new Error('the next pair was not shown');
    out.next.push(took);
  }
  for (let left = 100; began.size && left; left--) await wait(100);
  out.unacknowledged = began.size;
  return out;
}"""
START = f"(options) => {{ window.driven = ({DRIVE})(options).catch((error) => ({{ error: String(error) }})); }}"


def first_loads(browser: Browser, server: Server, visits: int) -> list[float]:
    """Seconds from going to the address to the first pair in sight, each in a browser with nothing cached."""
    taken: list[float] = []
    for visit in range(visits):
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        page = context.new_page()
        page.goto(server.url + "/label")
        sign_in(page, f"Load{visit}", "reviewer")
        at_card(page)
        fresh = browser.new_context(viewport={"width": 1400, "height": 900}, storage_state=context.storage_state())
        context.close()
        page = fresh.new_page()
        began = time.perf_counter()
        page.goto(server.url + "/label")
        at_card(page)
        taken.append(time.perf_counter() - began)
        fresh.close()
    return taken


def measure(browser: Browser, server: Server, count: int, seconds: float, think: float) -> dict[str, Any]:
    """`count` browsers label at the same time for `seconds`."""
    pages: list[Page] = []
    for number in range(count):
        page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
        page.goto(server.url + "/label")
        sign_in(page, f"Bench{count}-{number}", "reviewer")
        pages.append(at_card(page))
    noted = machine.state()
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    busy = process.cpu_times()
    for page in pages:
        page.evaluate(START, {"seconds": seconds, "think": think})
    driven = [page.evaluate("() => window.driven") for page in pages]
    used = process.cpu_times()
    for page in pages:
        page.context.close()
    errors = [each["error"] for each in driven if "error" in each]
    assert not errors, errors
    return {
        "browsers": count,
        "next_pair_painted_ms": machine.summary([value for each in driven for value in each["next"]]),
        "digit_painted_ms": machine.summary([value for each in driven for value in each["digit"]]),
        "acknowledged_ms": machine.summary([value for each in driven for value in each["acknowledged"]]),
        "unacknowledged": sum(each["unacknowledged"] for each in driven),
        "server_cpu_seconds": round(used.user + used.system - busy.user - busy.system, 1),
        "server_memory_mb": round(process.memory_info().rss / 2**20),
        "machine": noted,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browsers", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=3, help="seconds a pair")
    chosen = parser.parse_args()
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder) / "review.duckdb")
        with_round(phi3(), overlap=20)(server.db)
        server.start()
        try:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            result = {
                "first_load_s": machine.summary(first_loads(browser, server, 4), digits=2),
                "runs": [measure(browser, server, n, chosen.seconds, chosen.think) for n in chosen.browsers],
                "chromium": browser.version,
            }
            browser.close()
        finally:
            server.stop()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
