"""LiteLLM's proxy as a real gateway, in an environment of its own: its requirements would take ours back by years.

`python -m tests.gateway` installs it, as `python -m tests` does in the background while the checks run: about 75 s of
network and one core, once; the folder stands in that of the environment that runs the tests.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from review.adapters.local_model import ModelServer
from tests.waiting import until

REQUIREMENT = "litellm[proxy]==1.106.2"
KEY = "sk-tests-only"
NAME = "gate"
# It asks no host but the servers behind it: no price list, no blog, no telemetry.
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "LITELLM_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "NO_DOCS": "True",
    "NO_REDOC": "True",
}


def provide() -> Path:
    """The gateway's command; installed when absent. Whoever comes meanwhile waits.

    Raises:
        CalledProcessError: it cannot be installed; what pip said stands on standard error.
    """
    own = sys.prefix != sys.base_prefix  # else this is the system's Python, which is not ours to add to
    beside = Path(sys.prefix) if own else Path.home() / ".cache" / "parity-review"
    beside.mkdir(parents=True, exist_ok=True)
    folder = beside / f"gateway-{REQUIREMENT.rpartition('=')[2]}"
    command, whole = folder / "bin" / "litellm", folder / "whole"
    with (beside / "gateway.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            # Compiling 120 packages of which a few are used takes as long as the rest.
            install = [folder / "bin" / "python", "-m", "pip", "install", "-q", "--no-compile", REQUIREMENT]
            subprocess.run(install, check=True, stdout=sys.stderr)
            whole.touch()
    return command


@dataclass(frozen=True)
class Gateway:
    """A gateway that serves the model `gate` from several servers; `url` goes up to and including /v1."""

    address: str
    log: Path

    @property
    def url(self) -> str:
        return self.address + "/v1"


@contextmanager
def gateway(servers: Sequence[ModelServer], folder: Path, port: int) -> Generator[Gateway]:
    """A gateway in front of `servers` that turns away from one that fails."""
    behind = [
        {
            "model_name": NAME,
            "litellm_params": {"model": f"openai/{each.model.name}", "api_base": each.url, "api_key": "none"},
        }
        for each in servers
    ]
    routing = {"num_retries": 2, "allowed_fails": 0, "cooldown_time": 60, "routing_strategy": "simple-shuffle"}
    config = {
        "model_list": behind,
        "router_settings": routing,
        "litellm_settings": {"telemetry": False},
        "general_settings": {"master_key": KEY},
    }
    file, log = folder / "gateway.json", folder / "gateway.log"
    file.write_text(json.dumps(config))
    command = [provide(), "--config", file, "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    with log.open("ab") as messages:
        process = subprocess.Popen(command, stdout=messages, stderr=messages, cwd=folder, env=os.environ | QUIET)
    started = Gateway(f"http://127.0.0.1:{port}", log)

    def answers() -> bool:
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        try:
            return httpx.get(started.address + "/health/liveliness", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers, "the gateway answers", seconds=400)
        yield started
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    print(provide())
