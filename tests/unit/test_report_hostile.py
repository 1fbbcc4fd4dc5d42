"""A set whose every text is hostile, for the tests of the report."""

from __future__ import annotations

from pathlib import Path

from review.services.workspace import Workspace
from tests.agreeing import bring, label, verdict
from tests.e2e.test_hostile_pages import CANARY, HOSTILE

__all__ = ["CANARY", "bring_hostile"]

NAMES = ("<b onmouseover=window.hacked=1>ann</b>", "=1+1 ![n](http://leak.test/n.png)", "**bob** `x` \u202ebob")


def bring_hostile(workspace: Workspace, folder: Path) -> None:
    """Pairs, verdicts and labels; every task, model, text, name, comment and category hostile."""
    pairs = [f"h{at}" for at in range(len(HOSTILE))]
    more = {
        pair: {
            "task": "".join(letter for letter in text[:60] if ord(letter) > 31 and ord(letter) != 127),
            "messages": [{"role": "user", "content": text + "\n```\n````\n<!-- "}],
            "old": {"model": "<u>one</u>|", "content": text},
            "new": {
                "model": NAMES[1],
                "content": text + " and more",
                "tool_calls": [{"function": {"name": text[:80], "arguments": text[:900]}}],
            },
        }
        for pair, text in zip(pairs, HOSTILE, strict=True)
    }
    labels = [
        label(
            pair,
            name,
            "old",
            error_old="none",
            error_new="confident",
            comment=text,
            categories_new=[NAMES[0], "unsafe"],
        )
        for pair, text in zip(pairs, HOSTILE, strict=True)
        for name in NAMES
    ]
    verdicts = [{**verdict(pair, "old"), "judge": NAMES[0]} for pair in pairs]
    bring(workspace, folder, pairs=pairs, verdicts=verdicts, labels=labels, more=more)
