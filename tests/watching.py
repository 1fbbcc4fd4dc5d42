"""Live traffic for tests of watching: pairs that both stacks answered, hour after hour, with or without a drift."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from review.services.desk import Desk
from review.services.workspace import Workspace
from review.stats.edetector import Plan
from tests.conftest import NOW

START = NOW - timedelta(days=60)


def add_pairs(
    workspace: Workspace,
    count: int,
    *,
    task: str | None = "refund",
    days: float = 20.0,
    start: datetime = START,
    lost: float = 0.02,
    won: float = 0.02,
    known: bool = True,
    source: str = "shadow:test",
    prefix: str = "s",
    clusters: tuple[str, ...] = (),
    worse: str | None = None,
    seed: int = 1,
    distinct: bool = False,
) -> list[str]:
    """Pairs spread evenly over days; of `lost` old alone is right, of `won` new alone. Returns their ids.

    Without `known` the answers tell nothing of correctness: the worse one says "bad", the better one "good".
    With `worse`, only this cluster loses; with `distinct`, every question names its pair.
    """
    rng = np.random.default_rng(seed)
    draws = rng.random(count)
    ids = [f"{prefix}-{at:06}" for at in range(count)]
    groups = [clusters[at % len(clusters)] if clusters else None for at in range(count)]
    rows: list[dict[str, object]] = []
    for at, name in enumerate(ids):
        may_lose = worse is None or groups[at] == worse
        old = not (lost <= draws[at] < lost + won)
        new = not (may_lose and draws[at] < lost)
        words = {side: "good" if right else "bad" for side, right in (("old", old), ("new", new))}
        said = {
            side: f',"correct":{str(right).lower()}' if known else "" for side, right in (("old", old), ("new", new))
        }
        rows.append(
            {
                "id": name,
                "old": f'{{"content":"It is {words["old"]}.","model":"one","latency_ms":400{said["old"]}}}',
                "new": f'{{"content":"It is {words["new"]}!","model":"two","latency_ms":300{said["new"]}}}',
                "at": start + timedelta(days=days * at / count),
                "cluster": groups[at],
                "differs": known and old != new,
                "asked": f'[{{"role":"user","content":"Ask{f" {name}" if distinct else ""}"}}]',
            }
        )
    staged = pa.Table.from_pylist(
        rows,
        pa.schema(
            [
                *((n, pa.string()) for n in ("id", "old", "new", "cluster", "asked")),
                ("at", pa.timestamp("us", tz="UTC")),
                ("differs", pa.bool_()),
            ]
        ),
    )
    with workspace.database.transaction() as cursor:
        cursor.register("live", staged)
        given = {"task": task, "source": source, "now": NOW}
        cursor.execute(
            """
            INSERT INTO pair SELECT id, 'prompt-' || id, $task, asked, NULL, NULL,
                   old, new, NULL, false, differs, $source, $now FROM live
            """,
            given,
        )
        cursor.execute(
            """
            INSERT INTO trace BY NAME
            SELECT 't-' || id AS trace_id, id AS content_hash, 'prompt-' || id AS prompt_id, $source AS source,
                   $task AS task, asked AS messages, live."at" AS happened_at,
                   false AS synthetic, $now AS imported_at FROM live
            """,
            given,
        )
        cursor.execute("INSERT INTO pair_origin SELECT id, 't-' || id, 'shadow', 'o', 'n' FROM live")
        cursor.execute(
            "INSERT INTO assignment BY NAME SELECT 't-' || id AS trace_id, cluster AS cluster_id, 0.9 AS similarity, "
            "'first' AS clustering_id, $now AS assigned_at FROM live WHERE cluster IS NOT NULL",
            {"now": NOW},
        )
        cursor.unregister("live")
    return ids


def add_alone(
    workspace: Workspace,
    count: int,
    *,
    task: str = "refund",
    days: float = 20.0,
    start: datetime = START,
    wrong: float = 0.02,
    known: bool = True,
    served: str | None = "new",
    source: str = "production:test",
    prefix: str = "n",
    clusters: tuple[str, ...] = (),
    worse: str | None = None,
    seed: int = 1,
) -> list[str]:
    """Live traces that one stack alone answered, spread evenly over days; `wrong` of them are. Returns their ids.

    With `worse` only this cluster is wrong so often, the others in a tenth. Answers say "good" or "bad".
    """
    rng = np.random.default_rng(seed)
    draws = rng.random(count)
    rows: list[dict[str, object]] = []
    for at in range(count):
        group = clusters[at % len(clusters)] if clusters else None
        right = bool(draws[at] >= (wrong if worse is None or group == worse else 0.1))
        answer: dict[str, object] = {"content": f"It is {'good' if right else 'bad'}!", "model": "two"}
        rows.append(
            {
                "id": f"{prefix}-{at:06}",
                "answer": json.dumps(answer | ({"correct": right} if known else {})),
                "at": start + timedelta(days=days * at / count),
                "cluster": group,
            }
        )
    staged = pa.Table.from_pylist(
        rows,
        pa.schema([*((n, pa.string()) for n in ("id", "answer", "cluster")), ("at", pa.timestamp("us", tz="UTC"))]),
    )
    with workspace.database.transaction() as cursor:
        cursor.register("alone", staged)
        cursor.execute(
            """
            INSERT INTO trace BY NAME
            SELECT id AS trace_id, id AS content_hash, 'prompt-' || id AS prompt_id, $source AS source,
                   $task AS task, json_array(json_object('role', 'user', 'content', 'Ask ' || id)) AS messages,
                   answer AS response, alone."at" AS happened_at, false AS synthetic, $now AS imported_at FROM alone
            """,
            {"source": source, "task": task, "now": NOW},
        )
        cursor.execute(
            "INSERT INTO live_trace SELECT id, $source, $served, NULL FROM alone", {"source": source, "served": served}
        )
        cursor.execute(
            "INSERT INTO assignment BY NAME SELECT id AS trace_id, cluster AS cluster_id, 0.9 AS similarity, "
            "'first' AS clustering_id, $now AS assigned_at FROM alone WHERE cluster IS NOT NULL",
            {"now": NOW},
        )
        cursor.unregister("alone")
    return [str(row["id"]) for row in rows]


def quick_plan(desk: Desk, task: str = "refund", tolerance: float = 0.015) -> None:
    """A plan made by hand, where a test is not about planning, which simulates years."""
    plan = Plan(-tolerance / 2, (0.05, 0.2, 0.6), 1, 0.0125, 0.0125, 9.0)
    row = {"task": task, "tolerance": tolerance, "discordance": 0.1, "per_day": 1e6, "plan": plan.to_json()}
    batch = desk.ask("watch.stands").document["batch"]
    desk.ask("watch.plan", {"batch": batch, "plans": [{**row, "delay": {"median_days": 9.0, "late_days": None}}]})


def record(name: str, at: datetime, *, old: bool = True, new: bool = True) -> dict[str, object]:
    """A line of shadow traffic with known correctness."""
    return {
        "trace_id": name,
        "task": "refund",
        "messages": [{"role": "user", "content": f"Question {name}"}],
        "happened_at": at.isoformat(),
        "response": {"content": f"Old says {old}.", "correct": old},
        "shadow": {"content": f"New says {new}.", "correct": new},
    }


def write_file(folder: Path, name: str, count: int, *, start: datetime = START, every: int = 0) -> None:
    """A file of shadow traffic, a record a minute; new is wrong in each `every`th, never with 0."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        record(f"{name}-{at}", start + timedelta(minutes=at), new=not (every and at % every == 0))
        for at in range(count)
    ]
    part = folder / f"{name}.part"
    part.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    part.rename(folder / f"{name}.jsonl")


def configure(folder: Path, **watch: object) -> Path:
    """A configuration that watches `folder`/traffic."""
    document = {"eval_config": {"replay": {"strip_pii": False}, "watch": {"folder": "traffic", **watch}}}
    path = folder / "eval_config.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path
