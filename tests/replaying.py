"""A workspace with a sample of traces, a configuration of two endpoints, and replaying it in a test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from review import settings
from review.services import replay as service
from review.services.desk import LocalDesk
from review.services.workspace import Workspace, open_workspace
from review.store import traces
from tests.conftest import NOW


def logged(text: str) -> dict[str, Any]:
    return {"model": "gpt-logged", "content": text, "finish_reason": "stop"}


def add_sample(
    workspace: Workspace,
    prompts: Sequence[str],
    *,
    sample: str = "sample-1",
    number: int = 1,
    responses: dict[str, dict[str, Any]] | None = None,
    stripped: bool = True,
    pi: float = 0.5,
    **columns: Any,
) -> None:
    """Traces trace-0, trace-1 … with these prompts, all of them drawn into a sample."""
    answers = responses or {}
    rows = [
        {
            "trace_id": f"{columns.get('prefix', 'trace')}-{at}",
            "content_hash": f"hash-{at}",
            "prompt_id": f"prompt-{at}",
            "source": "test",
            "task": "support",
            "messages": json.dumps([{"role": "user", "content": prompt}]),
            "tools": None,
            "parameters": json.dumps({"temperature": 0.2, "user": "customer-7", "stream": True}),
            "response": json.dumps(answers.get(prompt, logged(f"answer to {prompt}"))),
            "synthetic": False,
            "redactions": "{}" if stripped else None,
        }
        for at, prompt in enumerate(prompts)
    ]
    with workspace.database.transaction() as cursor:
        if not traces.hashes(cursor, pa.table({"trace_id": [rows[0]["trace_id"]]})):
            traces.add(cursor, pa.Table.from_pylist(rows, traces.SCHEMA), NOW)
        cursor.execute(
            "INSERT INTO sample VALUES (?, ?, 1, '{}', ?, ?, ?, 'h', '[]', [], 'Lea', ?)",
            [sample, number, NOW, NOW, 2 * len(rows), NOW],
        )
        cursor.executemany(
            "INSERT INTO sampled VALUES (?, ?, 'replay', ?, ?, ?)",
            [[sample, row["trace_id"], at, f"cluster-{at % 2}", pi] for at, row in enumerate(rows)],
        )


def configure(
    folder: Path, old: dict[str, Any], new: dict[str, Any] | None = None, *, strip_pii: bool = True
) -> settings.Settings:
    """Settings with these endpoints, also as folder/config.yaml for commands."""
    common = {"model": "m", "concurrency": 4, "timeout_seconds": 20.0}
    block = {
        "replay": {"strip_pii": strip_pii},
        "endpoints": {"old": common | old, "new": common | {"model": "n"} | (new or old)},
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"eval_config": block}))
    return settings.load(folder / "review.duckdb", {"REVIEW_CONFIG": str(file)})


def replay(workspace: Workspace, made: settings.Settings, **ask: Any) -> service.Report:
    """Replay on a thread of its own, because Playwright may keep a loop running in this one."""
    desk = LocalDesk(Workspace(workspace.database, made, workspace.key), "Lea")
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(service.replay, desk, service.Ask(**ask), environ={}).result()


def everything(workspace: Workspace) -> dict[str, list[tuple[Any, ...]]]:
    """All rows that replaying writes."""
    cursor = workspace.database.cursor()
    return {
        table: cursor.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()
        for table in ("response", "replay_failure", "replay_noise", "pair", "pair_origin")
    }


def opened(folder: Path) -> Workspace:
    return open_workspace(settings.load(folder / "review.duckdb"))
