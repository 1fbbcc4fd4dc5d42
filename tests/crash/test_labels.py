"""Labels outlive SIGKILL: whatever was acknowledged is there after reopening, once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from review import settings
from review.services import ingest, label, rounds
from review.services.workspace import open_workspace
from tests.conftest import NOW

PAIRS = 60
SUBMITS = """
import sys
from pathlib import Path
from review import settings
from review.domain.card import Answers
from review.services import label
from review.services.workspace import open_workspace
from tests.conftest import NOW

workspace = open_workspace(settings.load(Path(sys.argv[1])))
while cards := label.queue(workspace, "Mara", sys.argv[2], 3, NOW):
    for card in cards:
        said = Answers(label_id="sent-" + card.card_id, card_id=card.card_id, better="same", tone="same",
                       error_left="none", error_right="none", calibration_left="right", calibration_right="right")
        (receipt,) = label.submit(workspace, "Mara", [said], NOW)
        print(receipt.label_id, receipt.status, flush=True)
"""


@pytest.mark.parametrize("kill_after", [1, 7, 23])
def test_every_acknowledged_label_is_there_once(tmp_path: Path, kill_after: int) -> None:
    db = tmp_path / "review.duckdb"
    workspace = open_workspace(settings.load(db))
    file = tmp_path / "pairs.jsonl"
    record = {"messages": [{"role": "user", "content": "Hi"}], "new": {"content": "b"}}
    lines = [json.dumps(record | {"pair_id": f"p{n}", "old": {"content": f"a{n}"}}) for n in range(PAIRS)]
    file.write_text("\n".join(lines))
    ingest.import_pairs(workspace, [file], now=NOW)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=PAIRS, seed=1, repeat=0), "lead", NOW)
    workspace.close()

    process = subprocess.Popen(
        [sys.executable, "-c", SUBMITS, str(db), drawn.round_id], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().split() for _ in range(kill_after)]
    process.send_signal(signal.SIGKILL)
    acknowledged += [line.split() for line in process.stdout.read().splitlines() if line.count(" ") == 1]
    process.wait()
    assert len(acknowledged) >= kill_after
    assert {status for _, status in acknowledged} == {"stored"}

    workspace = open_workspace(settings.load(db))
    try:
        stored = [row[0] for row in workspace.database.cursor().execute("SELECT label_id FROM label").fetchall()]
        assert len(stored) == len(set(stored))
        assert {label_id for label_id, _ in acknowledged} <= set(stored)
        progress = label.progress(workspace, "Mara", drawn.round_id)
        assert progress.mine_done == len(stored)
        assert progress.all_done + progress.mine_open == PAIRS
    finally:
        workspace.close()
