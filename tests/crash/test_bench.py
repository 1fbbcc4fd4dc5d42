"""`review bench` killed at any moment: every answer that arrived is kept, by the harness's own cache.

The harness is the real one as far as it asks and keeps; finding its tasks takes it ten seconds a start, so a script
takes the tasks' place (tests/e2e/test_bench.py has the whole of it).
"""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import harness
from tests.faults import FaultServer
from tests.waiting import until

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS, CONCURRENCY = 48, 8
PYTHON = """#!{python}
import os, sys
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ["PYTHONPYCACHEPREFIX"] = {compiled!r}
words = sys.argv[1:] if sys.argv[1] == "-c" else [{script!r}, sys.argv[-1]]
os.execv({harness!r}, [{harness!r}, *words])
"""
# What lm_eval's evaluator does between its tasks and their metrics.
SCRIPT = """
import json, sys
from pathlib import Path
from lm_eval.api.instance import Instance
from lm_eval.api.model import CachingLM
from lm_eval.models.openai_completions import LocalChatCompletion
config = json.loads(Path(sys.argv[1]).read_text())
assert (config["model"], config["tasks"]) == ("local-chat-completions", ["t"])
model = CachingLM(LocalChatCompletion(**config["model_args"]), config["use_cache"] + "_rank0.db")
prompts = [[dict(role="user", content=f"Document {{at}}")] for at in range({documents})]
asked = [(model.apply_chat_template(each), dict(until=[chr(10)], max_gen_toks=8)) for each in prompts]
answers = model.generate_until([Instance("generate_until", {{}}, each, 0) for each in asked])
sys.path.insert(0, {root!r})
from tests.harness import Doc, Fake, write_output
docs = [Doc(f"Document {{at}}", "1", each, {{"exact_match,none": 1.0}}) for at, each in enumerate(answers)]
write_output(Path(config["output_path"]), config["model_args"]["model"], [Fake("t", docs)])
"""


def standing_in(folder: Path) -> Path:
    """A Python with the harness, whose `-m lm_eval` asks the documents of this test."""
    script, python = folder / "script.py", folder / "python"
    script.write_text(SCRIPT.format(documents=DOCUMENTS, root=str(ROOT)))
    said = {"python": sys.executable, "compiled": str(folder / "compiled"), "script": str(script)}
    python.write_text(PYTHON.format(**said, harness=str(harness.provide())))
    python.chmod(0o755)
    return python


def is_free(lock: Path) -> bool:
    """Nobody works there: the harness outlives who started it by one answer."""
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def test_killed_it_asks_again_at_most_what_was_on_its_way(tmp_path: Path) -> None:
    db = ["--db", str(tmp_path / "r.duckdb")]
    review = [sys.executable, "-m", "review.cli"]
    start = ["run", "start", "q", "--step", "kernel", "--old", "model=a", "--new", "model=b", *db]
    subprocess.run([*review, *start], check=True, stdout=subprocess.DEVNULL)

    def slower(_prompt: str, _nth: int) -> None:
        if sum(old.good.values()) >= 12:
            old.latency = 1.0  # so that it is killed in the middle, however busy this machine is

    with FaultServer(slower) as old, FaultServer() as new:
        sides = ["--old", old.url, "a", "--new", new.url, "b", "--harness", str(standing_in(tmp_path))]
        bench = [*review, "bench", "--run", "q", "--tasks", "t", *sides, "--json", *db]
        process = subprocess.Popen(bench, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: sum(old.good.values()) >= 12, "answers", every=0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert sum(old.counts.values()) < DOCUMENTS
        (kept,) = (tmp_path / "r.duckdb.bench").iterdir()
        until(lambda: is_free(kept / "lock"), "the harness to end")
        old.plan, old.latency = lambda prompt, nth: None, 0.0

        done = subprocess.run(bench, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["tasks"][0]["documents"] == DOCUMENTS
        assert len(old.good) == DOCUMENTS
        assert sum(old.counts.values()) <= DOCUMENTS + CONCURRENCY
        assert sum(new.counts.values()) == DOCUMENTS
    # What is finished needs no cache any more.
    assert not list(tmp_path.glob("r.duckdb.bench/*/answers*"))
