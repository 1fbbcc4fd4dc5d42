"""How long each page takes with 100,000 pairs, labels and traces, and how much memory the app holds.

`python -m tests.bench.pages [--rows 100000] [--visits 5]` prints JSON. A visit goes to the page's address in a
signed-in browser and ends when the script has run; the first load is that of a browser that has nothing cached.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import psutil
from playwright.sync_api import Page, sync_playwright

from review import settings
from review.services import rounds
from review.services.desk import LocalDesk
from review.services.sample import SampleSpec, sample
from review.services.workspace import open_workspace
from tests.__main__ import BROWSERS
from tests.bench import machine
from tests.conftest import NOW
from tests.e2e.conftest import CHROMIUM_FLAGS, Server, sign_in

PAGES = {
    "Home": "/",
    "Label": "/label",
    "Flag": "/flag",
    "Rounds": "/rounds",
    "Agreement": "/agreement",
    "Parity": "/parity",
    "Adversarial set": "/adversarial",
    "Pair": "/pair?pair=bench-77",
    "Coverage": "/coverage",
    "Weekly audit": "/audit",
    "Privacy": "/pii_audit",
    "Runs": "/runs",
    "Golden set": "/golden",
    "Gate": "/gate",
    "Drift": "/drift",
}

FILL = """
INSERT INTO pair
SELECT 'bench-' || i, 'prompt-' || (i % 60000), 'task ' || (i % 11),
       json_array(json_object('role', 'user', 'content', 'Order ' || i || '? ' || repeat('It was due Monday. ', 15))),
       NULL, NULL,
       json_object('model', 'stack-one', 'content', 'It left. ' || repeat('It should come soon. ', 20) || i),
       json_object('model', 'stack-two', 'content', 'It comes on day ' || (i % 30) || repeat(' Thank you.', 28)),
       json_object('customer', 'c' || (i % 900), 'ticket', 'T-' || i), false, false, 'bench', now()
FROM range($rows) t(i);

INSERT INTO verdict
SELECT 'bench-' || i, 'judge', v, CASE WHEN v % 2 = 0 THEN 'old' ELSE 'new' END,
       CASE hash(i * 7 + v) % 5 WHEN 0 THEN 'tie' WHEN 1 THEN 'old' WHEN 2 THEN 'old' ELSE 'new' END,
       NULL, 'The second one is shorter.', 0.001, NULL, NULL, NULL, NULL, NULL, now()
FROM range($rows) t(i), range(1, 4) u(v);

INSERT INTO label BY NAME
SELECT 'bench-label-' || i AS label_id, 'bench-' || (i % ($rows // 2)) AS pair_id,
       'reviewer ' || (i * 2 // $rows) AS reviewer, 'label' AS kind, 0 AS occurrence, 'old' AS shown_first,
       CASE hash(i) % 6 WHEN 0 THEN 'tie' WHEN 1 THEN 'old' WHEN 2 THEN 'old' WHEN 3 THEN 'both_bad' ELSE 'new' END
           AS preference,
       CASE hash(i + 1) % 4 WHEN 0 THEN 'cautious' WHEN 1 THEN 'confident' ELSE 'none' END AS error_old,
       CASE hash(i + 2) % 4 WHEN 0 THEN 'confident' WHEN 1 THEN 'other' ELSE 'none' END AS error_new,
       CASE hash(i + 3) % 3 WHEN 0 THEN 'old' WHEN 1 THEN 'same' ELSE 'new' END AS tone,
       20.0 AS seconds, now() AS labelled_at, now() AS received_at, 'bench' AS source
FROM range($rows) t(i);

INSERT INTO trace BY NAME
SELECT 'trace-' || i AS trace_id, 'h' || i AS content_hash, 'trace-prompt-' || i AS prompt_id, 'bench' AS source,
       json_array(json_object('role', 'user', 'content', 'Where is order ' || i || '?')) AS messages,
       json_object('content', 'It left on Monday. ' || repeat('It should come soon. ', 20)) AS response,
       'customer-' || (i % 900) AS customer, TIMESTAMPTZ '2026-03-01' + to_minutes(i // 10) AS happened_at,
       false AS synthetic, JSON '{}' AS redactions, now() AS imported_at
FROM range($rows) t(i);

INSERT INTO clustering VALUES ('bench-run', 'all-MiniLM-L6-v2', '{}', $rows, 0, 'bench', now());

INSERT INTO cluster BY NAME
SELECT 'cluster-' || i AS cluster_id, 'bench-run' AS born_in, 'topic ' || i AS name, ['topic', 'order'] AS terms,
       ['trace-' || i] AS examples, 'all-MiniLM-L6-v2' AS model, [0.5]::FLOAT[] AS centroid,
       cos(i * 2.4) * sqrt(i / 190) AS x, sin(i * 2.4) * sqrt(i / 190) AS y
FROM range(190) t(i);

INSERT INTO assignment
SELECT 'trace-' || i, 'cluster-' || (hash(i) % 190), 0.8, cos(i) * (i % 97) / 97, sin(i) * (i % 97) / 97, 'bench-run',
       now() FROM range($rows) t(i);

INSERT INTO run VALUES
    ('run-bench', 1, 'bench', 'quantization', '{"name": "old"}', '{"name": "new"}', 'x', 'bench', now());

INSERT INTO outcome BY NAME
SELECT 'run-bench' AS run_id, 'benchmark' AS evidence, 'task ' || (i % 11) AS part, 'e' || i AS example_id,
       'acc' AS metric, 0 AS repeat, 'q' || (i // 2) AS prompt_id, 'task ' || (i % 11) AS task,
       (hash(i) % 5 > 1)::INT AS old, (hash(i + 1) % 5 > 1)::INT AS new, false AS same, 'metric' AS decided_by,
       1.0 AS weight, hash(i + 2) % 40000 AS prompt_tokens
FROM range($rows) t(i);

INSERT INTO run_part
SELECT run_id, evidence, part, NULL, 'hash', count(*), '{}', 0.0, 'bench', now() FROM outcome GROUP BY ALL;
"""


def fill(db: Path, rows: int) -> None:
    """A database with `rows` pairs, three votes on each, `rows` labels by two people, and one open round of 80.

    And as many traces in 190 clusters, an audit of 50 of them, and a run of as many outcomes of benchmarks.
    """
    workspace = open_workspace(settings.load(db))
    with workspace.database.transaction() as cursor:
        for statement in FILL.split(";\n"):
            if statement.strip():
                cursor.execute(statement, {"rows": rows} if "$rows" in statement else {})
    rounds.draw(workspace, rounds.DrawSpec(size=80, seed=7), "bench", NOW)
    sample(LocalDesk(workspace, "bench"), SampleSpec(size=100, seed=7, audit_size=50))
    workspace.close()


READY = """() => {
    const app = document.querySelector('[data-testid="stApp"]');
    return app && app.getAttribute('data-test-script-state') === 'notRunning'
        && document.querySelectorAll('[data-testid="stSkeleton"]').length === 0
        && document.querySelectorAll('[data-testid="stMain"] [data-testid="stElementContainer"]').length > 0;
}"""


def settle(page: Page) -> None:
    """Wait until the script has stopped running and its elements stand."""
    page.wait_for_function(READY, timeout=60_000, polling="raf")


def measure(server: Server, visits: int) -> dict[str, object]:
    """Milliseconds a visit for each page; the first load is that of a browser that has nothing cached."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    results: dict[str, object] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        firsts: list[float] = []
        for _ in range(visits):
            context = browser.new_context(viewport={"width": 1400, "height": 900})
            page = context.new_page()
            started = time.perf_counter()
            page.goto(server.url)
            page.get_by_label("Your name").wait_for()
            firsts.append((time.perf_counter() - started) * 1000)
            context.close()
        results["first load, cold browser, to sign-in"] = machine.summary(firsts)
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        page = context.new_page()
        page.goto(server.url)
        sign_in(page, "Bench", "lead")
        page.wait_for_timeout(500)
        for title, address in PAGES.items():
            times: list[float] = []
            for _ in range(visits):
                started = time.perf_counter()
                page.goto(server.url + address)
                settle(page)
                times.append((time.perf_counter() - started) * 1000)
            results[title] = {"first": round(times[0], 1)} | machine.summary(times[1:])
        browser.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--visits", type=int, default=6)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "review.duckdb")
        fill(server.db, arguments.rows)
        before = machine.state()
        server.start()
        assert server.process is not None
        try:
            pages = measure(server, arguments.visits)
            resident = psutil.Process(server.process.pid).memory_info().rss / 2**20
        finally:
            server.stop()
    print(
        json.dumps(
            {"machine": before, "rows": arguments.rows, "ms": pages, "app_resident_mb": round(resident)}, indent=1
        )
    )


if __name__ == "__main__":
    main()
