"""lm-evaluation-harness as a process: asks an OpenAI-compatible server, keeps every answer, can be taken up again."""

from __future__ import annotations

import fcntl
import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from review.errors import BadInput, Conflict, HarnessFailed, NotFound

VERSION = "0.4.13"
REQUIREMENT = f"lm_eval[api,ifeval]=={VERSION}"
# How the files of its cache begin: each answer is there once it arrived, whatever becomes of the process.
_ANSWERS = "answers"
Kind = Literal["chat", "completions"]
# Told how many requests are answered, and how many there are.
Progress = Callable[[int, int], None]

_STEP = re.compile(rb"Requesting API:[^\r\n|]*\|[^\r\n|]*\| *(\d+)/(\d+) ")
_TAIL = 1 << 16
# What its messages say, and what that means for whoever reads them.
_MEANINGS = (
    (
        r"[Ll]oglikelihood .{0,60}is not supported for chat completions",
        "a task needs log-likelihoods, which no chat server gives. Pass --api completions, with a server that returns "
        "log-probabilities of the prompt (vLLM does), or choose tasks that generate",
    ),
    (
        r"Only no echo is supported",
        "a task needs log-likelihoods of the prompt, and this server gives none (llama.cpp does not; vLLM does). "
        "Choose tasks that generate, as gpqa_main_cot_zeroshot instead of gpqa_main_zeroshot",
    ),
    (r"Tokenizer is required for loglikelihood", "a task needs log-likelihoods: pass --tokenizer NAME or remote"),
    (r"[Tt]asks? (?:names )?(?:were )?not found|No tasks found|Unknown task", "there is no such task"),
    (r"Cannot connect to host|Connection refused|ClientConnectorError|ConnectionError", "the server does not answer"),
    (r"Couldn't reach|OfflineModeIsEnabled|LocalEntryNotFoundError", "a data set cannot be fetched or is not here"),
    (r"401|Unauthorized", "the server refuses the key"),
)
_MODULE = re.compile(r"No module named '([\w.]{1,60})'")


@dataclass(frozen=True)
class Job:
    """What is run against one server.

    Attributes:
        base_url: up to and including the version, as in http://localhost:8000/v1.
        model: the name the server knows it by.
        kind: chat, or completions: the only one with log-likelihoods.
        tasks: of the harness, or of `include`.
        include: a folder of task files of one's own.
        limit: documents a task, at most.
        shots: few-shot examples, where the tasks do not say it.
        tokenizer: needed for log-likelihoods: a Hugging Face name, or remote.
        parameters: sent with every request, beside what the tasks ask for.
        concurrency: requests in flight.
        retries: after the first attempt.
        timeout: for one answer, in seconds.
    """

    base_url: str
    model: str
    kind: Kind
    tasks: tuple[str, ...]
    include: Path | None = None
    limit: int | None = None
    shots: int | None = None
    tokenizer: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    concurrency: int = 8
    retries: int = 5
    timeout: float = 120.0


def version(python: str) -> str | None:
    """The harness's version that this Python has, None where it has none.

    Raises:
        NotFound: there is no such Python.
    """
    asked = "import importlib.metadata as m; print(m.version('lm_eval'))"
    try:
        # S603: no shell, and the user's own choice of a Python.
        found = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise NotFound(f"{python} cannot be started ({type(error).__name__}).") from None
    return found.stdout.strip() if found.returncode == 0 else None


def run(python: str, job: Job, folder: Path, key: str | None, progress: Progress) -> Path:
    """Run the harness, unless it ran to its end here before. Answers are kept as they come, and not asked for again.

    Args:
        python: the Python that has the harness.
        job: what is run.
        folder: where everything of this job is kept; nothing else is.
        key: of the server; it goes through the environment alone.
        progress: told now and then.

    Returns:
        The folder of results and samples.

    Raises:
        Conflict: another process works there.
        HarnessFailed: it ended with an error; names its log.
    """
    output, done = folder / "output", folder / "done.json"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(f"Another process runs this benchmark, in {folder}. Wait until it is done.") from None
        if done.exists():
            return output
        config = folder / "config.json"
        config.write_text(json.dumps(_config(job, folder), indent=1), encoding="utf-8")
        # The harness holds the lock too, so that one that outlives its parent is noticed.
        _watch(python, config, lock.fileno(), folder / "harness.log", _environment(key), progress)
        if not any(output.rglob("results_*.json")) or not any(output.rglob("samples_*.jsonl")):
            raise HarnessFailed(f"lm_eval wrote no results. What it said stands in {folder / 'harness.log'}")
        done.write_text(json.dumps({"harness": VERSION}), encoding="utf-8")
        # Nobody is asked again from here on: its cache would only be a second place for every answer.
        for each in folder.glob(f"{_ANSWERS}*"):
            each.unlink()
    return output


def holds(folder: Path, has: Callable[[bytes], bool]) -> bool:
    """Whether something that was kept of a job has what `has` looks for, its cached answers included.

    Raises:
        Conflict: a process works there, and what it will write cannot be known.
    """
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                f"A benchmark runs, in {folder}, and what it writes may hold what is to be erased. Wait until it is "
                "done, or end it; then erase. Nothing was erased yet."
            ) from None
        # Prompts of a chat stand in the samples as JSON within JSON.
        return any(has(part) or has(part.replace(b"\\\\", b"\\")) for part in _parts(folder))


def _parts(folder: Path) -> Iterator[bytes]:
    """Everything that was kept, in parts that a word does not reach out of."""
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        if path.name.startswith(_ANSWERS) and path.suffix == ".db":
            with closing(sqlite3.connect(path)) as answers:
                yield from (bytes(value) for (value,) in answers.execute("SELECT value FROM unnamed"))
        elif path.suffix == ".jsonl":
            with path.open("rb") as lines:
                yield from lines
        else:
            yield path.read_bytes()


def _config(job: Job, folder: Path) -> dict[str, Any]:
    """The configuration that `lm_eval run --config` reads; JSON is YAML."""
    chat = job.kind == "chat"
    arguments: dict[str, Any] = {
        "model": job.model,
        "base_url": job.base_url.rstrip("/") + ("/chat/completions" if chat else "/completions"),
        "num_concurrent": job.concurrency,
        "max_retries": job.retries + 1,
        "timeout": round(job.timeout),
        "tokenized_requests": False,
        # Beyond it prompts would be cut at the left without a word; the server refuses what is too long for it.
        "max_length": 1 << 20,
        "tokenizer_backend": "none",
    }
    if job.tokenizer == "remote":
        arguments |= {"tokenizer_backend": "remote", "tokenized_requests": True}
    elif job.tokenizer:
        arguments |= {"tokenizer_backend": "huggingface", "tokenizer": job.tokenizer}
    config: dict[str, Any] = {
        "model": "local-chat-completions" if chat else "local-completions",
        "model_args": arguments,
        "tasks": list(job.tasks),
        "gen_kwargs": dict(job.parameters),
        "output_path": str(folder / "output"),
        "log_samples": True,
        "use_cache": str(folder / _ANSWERS),
        "apply_chat_template": chat,
    }
    said = {"limit": job.limit, "num_fewshot": job.shots, "include_path": job.include and str(job.include)}
    return config | {name: value for name, value in said.items() if value is not None}


def _environment(key: str | None) -> dict[str, str]:
    """Ours, with the server's key where the harness looks for it and no other key there."""
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    return environment | ({"OPENAI_API_KEY": key} if key else {}) | {"PYTHONUNBUFFERED": "1"}


def _watch(python: str, config: Path, lock: int, log: Path, environment: dict[str, str], progress: Progress) -> None:
    command = [python, "-m", "lm_eval", "run", "--config", str(config)]
    with log.open("wb") as messages:
        process = subprocess.Popen(  # noqa: S603 (no shell; the user's own Python)
            command,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=subprocess.PIPE,
            cwd=log.parent,
            env=environment,
            pass_fds=[lock],
        )
        try:
            assert process.stderr is not None
            _follow(process.stderr, messages, progress)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if code != 0:
        raise HarnessFailed(f"lm_eval ended with code {code}: {meaning(log)}. What it said stands in {log}")


def _follow(stderr: IO[bytes], messages: IO[bytes], progress: Progress) -> None:
    """Copy its messages, and tell what its progress bar says."""
    rest = b""
    while chunk := os.read(stderr.fileno(), 1 << 14):
        messages.write(chunk)
        rest = (rest + chunk)[-4096:]
        if found := _STEP.findall(rest):
            done, total = found[-1]
            progress(int(done), int(total))


def meaning(log: Path) -> str:
    """What went wrong, in words of ours: its messages may carry answers of models."""
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL))
        said = file.read().decode("utf-8", "replace")
    if (module := _MODULE.search(said)) is not None:
        return f"a task needs the Python package {module[1]}, which is not installed beside it"
    known = (words for pattern, words in _MEANINGS if re.search(pattern, said))
    return next(known, "it does not say why in words known here")


def check_tasks(tasks: tuple[str, ...]) -> None:
    """Raises BadInput where a name could be something else than a task's."""
    for each in tasks:
        if not re.fullmatch(r"[A-Za-z0-9][\w.:+-]{0,119}", each):
            raise BadInput(f"--tasks {each[:60]!r}: a task's name has letters, digits and _ . : + - alone.")
    if not tasks:
        raise BadInput("--tasks names no task. See them with: lm_eval ls tasks")
