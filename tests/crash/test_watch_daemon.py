"""The daemon is killed again and again while files arrive: each is taken in once, each pair counted once, one alert."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from review import settings
from review.services import alerts
from review.services.desk import OpenDesk, open_desk
from review.services.workspace import open_workspace
from review.store import watch as store
from tests.conftest import NOW, ROOT
from tests.watching import START, configure, quick_plan, timedelta, write_file

_FILES, _ROWS = 4, 150
_PATIENCE = 90.0


@contextmanager
def daemon(environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`review watch` in a process of its own; gone afterwards, whatever happens."""
    command = [sys.executable, "-m", "review.cli", "watch"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def scores(desk: OpenDesk) -> int:
    """Scores that the detector has seen. The file is let go at once: the daemon wants it."""
    try:
        return sum(each["seen"] for each in desk.ask("watch.stands").document["tasks"])
    finally:
        desk.close()


def until(desk: OpenDesk, wanted: int) -> None:
    """Wait for the daemon to have counted so many."""
    end = time.monotonic() + _PATIENCE
    while scores(desk) < wanted:
        assert time.monotonic() < end, "the daemon does not get on"
        time.sleep(0.5)


def test_a_daemon_killed_again_and_again_counts_every_pair_once(tmp_path: Path) -> None:
    alerted = tmp_path / "alerts.jsonl"
    config = configure(tmp_path, interval_minutes=0.01, file="alerts.jsonl")
    db = tmp_path / "r.duckdb"
    environ = os.environ | {"REVIEW_CONFIG": str(config), "REVIEW_DB": str(db)}
    traffic = tmp_path / "traffic"
    with closing(open_desk(settings.load(db, environ), "tester")) as desk:
        quick_plan(desk)
        desk.close()
        for at in range(_FILES):
            write_file(traffic, f"f{at}", _ROWS, start=START + timedelta(hours=6 * at), every=3 if at >= 2 else 0)
            if at in (0, 2):
                with daemon(environ) as process:  # killed somewhere in the next file
                    until(desk, at * _ROWS + 1)
                    write_file(traffic, f"later{at}", _ROWS, start=START + timedelta(hours=6 * at + 3))
                    os.kill(process.pid, signal.SIGKILL)
        total = (_FILES + 2) * _ROWS
        with daemon(environ) as process:
            until(desk, total)
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=_PATIENCE)
        assert process.returncode == 0
        assert output.splitlines()[-1] == "stopped"
    with closing(open_workspace(settings.load(db, environ), patience=10)) as opened:
        cursor = opened.database.cursor()
        counted = cursor.execute("SELECT count(*), count(DISTINCT observed_id), max(place) FROM watch_score").fetchall()
        assert counted == [(total, total, total)]
        assert cursor.execute("SELECT count(*) FROM observation").fetchall() == [(total,)]
        assert cursor.execute("SELECT count(*) FROM watch_file").fetchall() == [(_FILES + 2,)]
        assert store.detectors(cursor)["refund"].last == total
        raised = alerts.alerts(opened, NOW)
        assert len(raised) == 1
    assert [json.loads(each)["alert_id"] for each in alerted.read_text().splitlines()] == [raised[0].alert_id]
