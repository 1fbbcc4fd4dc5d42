"""Runs for tests: a sample of traces that two stacks answered as pairs, and a run of those stacks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from review.domain.stack import stack_id
from review.services import runs
from review.services.desk import LocalDesk
from review.services.workspace import Workspace
from tests.conftest import NOW
from tests.replaying import configure

OLD, NEW = {"base_url": "http://localhost:1/v1"}, {"base_url": "http://localhost:2/v1"}


@dataclass
class Asked:
    """One trace, and what both stacks answered: text, or a whole Output."""

    old: str | Mapping[str, Any]
    new: str | Mapping[str, Any]
    prompt: str = "What now?"
    pi: float = 0.5
    stratum: str = "cluster-0"
    paired: bool = True
    called: int = 0
    conversation: str | None = None
    log: Sequence[Mapping[str, Any]] = ()
    reference: str | None = None
    task: str = "support"
    prompt_id: str | None = None
    messages: Sequence[Mapping[str, Any]] | None = None


def call(name: str, arguments: Mapping[str, Any] | str = "{}") -> dict[str, Any]:
    """A tool call in OpenAI's format."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"type": "function", "function": {"name": name, "arguments": text}}


def desk_of(workspace: Workspace, folder: Path, *, strip_pii: bool = True) -> LocalDesk:
    """A desk with two configured endpoints, whose configuration also lies in folder/config.yaml."""
    made = configure(folder, OLD, NEW, strip_pii=strip_pii)
    return LocalDesk(Workspace(workspace.database, made, workspace.key), "Lea")


def stacks_of(desk: LocalDesk, *, logged: bool = False) -> tuple[str, str]:
    """The ids of the configured stacks."""
    endpoints = desk.settings.config.endpoints
    assert endpoints is not None
    return stack_id(endpoints.old, logged=logged), stack_id(endpoints.new)


def add_pairs(
    desk: LocalDesk, asked: Sequence[Asked], *, sample: str = "sample-1", number: int = 1, logged: bool = False
) -> None:
    """Traces t0, t1 … of a sample, with the answers of both stacks as pairs."""
    old, new = stacks_of(desk, logged=logged)
    with desk.workspace.database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO sample VALUES (?, ?, 1, '{}', ?, ?, ?, 'h', '[]', [], 'Lea', ?)",
            [sample, number, NOW, NOW, len(asked), NOW],
        )
        for at, each in enumerate(asked):
            _add(cursor, f"{sample}-t{at}", at, each, sample, (old, new))
    scope = {"sample": sample, "stripped": False, "limit": None, "old": old, "new": new}
    places = desk.ask("replay.places", {**scope, "what": "pair", "after": -1}).table
    desk.ask("replay.pair", scope, places)


def _add(cursor: Any, trace: str, at: int, each: Asked, sample: str, stacks: tuple[str, str]) -> None:
    before = [{"role": "assistant", "tool_calls": [call("before")]}] * each.called
    messages = json.dumps(each.messages or [{"role": "user", "content": each.prompt}, *before])
    log = json.dumps({"content": None, "tool_calls": list(each.log)} if each.log else {"content": "logged"})
    cursor.execute(
        """
        INSERT INTO trace (trace_id, content_hash, prompt_id, source, task, messages, response, reference, conversation,
                           happened_at, synthetic, redactions, imported_at)
        VALUES ($trace, $trace, $prompt, 'test', $task, $messages, $log, $reference, $conversation, $now, false, '{}',
                $now)
        """,
        {
            "trace": trace,
            "prompt": each.prompt_id or f"prompt-{at}",
            "task": each.task,
            "messages": messages,
            "log": log,
            "reference": each.reference,
            "conversation": each.conversation,
            "now": NOW,
        },
    )
    cursor.execute("INSERT INTO sampled VALUES (?, ?, 'replay', ?, ?, ?)", [sample, trace, at, each.stratum, each.pi])
    for stack, answer in zip(stacks, (each.old, each.new), strict=True):
        if each.paired:
            output = json.dumps({"content": answer} if isinstance(answer, str) else dict(answer))
            cursor.execute("INSERT INTO response VALUES (?, ?, ?, NULL, 1, 0.001, ?)", [trace, stack, output, NOW])


def pair_of(workspace: Workspace, trace: str) -> str:
    """The pair that a trace became."""
    found = workspace.database.cursor().execute("SELECT pair_id FROM pair_origin WHERE trace_id = ?", [trace])
    return str(found.fetchall()[0][0])


def label(
    workspace: Workspace, pair: str, old: str | None, new: str | None, *, reviewer: str = "Mara", kind: str = "label"
) -> None:
    """What a person says is wrong with either side."""
    with workspace.database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO label (label_id, pair_id, reviewer, kind, error_old, error_new, received_at, source)
            VALUES ($id, $pair, $reviewer, $kind, $old, $new, $now, 'test')
            """,
            {
                "id": f"{pair}-{reviewer}-{kind}",
                "pair": pair,
                "reviewer": reviewer,
                "kind": kind,
                "old": old,
                "new": new,
                "now": NOW,
            },
        )


def vote(workspace: Workspace, pair: str, winner: str | None, judge: str = "judge-1", **said: str) -> None:
    """A judge's vote in each order."""
    with workspace.database.transaction() as cursor:
        for number, first in ((1, "old"), (2, "new")):
            cursor.execute(
                """
                INSERT INTO verdict (pair_id, judge, vote, shown_first, winner, error_old, error_new, imported_at)
                VALUES ($pair, $judge, $vote, $first, $winner, $old, $new, $now)
                """,
                {
                    "pair": pair,
                    "judge": judge,
                    "vote": number,
                    "first": first,
                    "winner": winner,
                    "old": said.get("old"),
                    "new": said.get("new"),
                    "now": NOW,
                },
            )


def begin(desk: LocalDesk, name: str = "awq", **sides: Sequence[str]) -> str:
    """A run of the configured stacks, or of what `old` and `new` say; returns its id."""
    if sides:
        spec = runs.described_by(sides["old"], sides["new"], name, "quantization", "a" * 64)
    else:
        spec = runs.configured(desk.settings, name, "quantization")
    return str(desk.ask("runs.begin", spec.model_dump()).document["run_id"])
