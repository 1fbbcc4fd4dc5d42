"""The noise floor: how often old, asked again, answers otherwise than it did in the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from review.domain.stack import stack_id
from review.services.workspace import Workspace
from review.stats.estimate import NotEstimable, Result
from review.stats.weighted import hajek
from review.store import replays as store
from review.store.replays import Scope


@dataclass(frozen=True)
class NoiseFloor:
    """Shares of the window's traffic whose answer differs from the logged one, by the sample's design weights.

    Both answers are old's: what new differs from old by less than this is no difference between the stacks. Only the
    personal data taken out of the input, and a stack changed since, can raise it otherwise.

    Attributes:
        text: the text differs after whitespace, or the tool calls.
        structured: tool calls or JSON fields differ in value.
        compared: traces with both answers.
        without_log: replayed traces whose log has no answer.
    """

    text: Result
    structured: Result
    compared: int
    without_log: int

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        counts = {"compared": self.compared, "without_log": self.without_log}
        return {"text": self.text.to_json(), "structured": self.structured.to_json(), **counts}


def noise_floor(workspace: Workspace, scope: Scope, stack: str) -> NoiseFloor:
    """How far `stack` is from itself in a sample, by what was compared so far."""
    table = store.noise(workspace.database.cursor(), scope, stack)
    there = np.array([each is not None for each in table["identical"].to_pylist()], dtype=np.bool_)
    missing = int(len(there) - there.sum())
    if not there.any():
        reason = NotEstimable("no trace of the sample has both a logged and a replayed answer")
        return NoiseFloor(reason, reason, 0, missing)
    kept = table.filter(there)
    codes = [kept[name].dictionary_encode().combine_chunks().indices.to_numpy() for name in ("prompt_id", "stratum")]
    prompts, strata = (each.astype(np.int64) for each in codes)
    weights = 1.0 / kept["pi"].to_numpy()
    exclusions = {"no logged answer": missing} if missing else {}

    def share(differs: Any) -> Result:
        values = np.asarray(differs, dtype=np.float64)
        return hajek(values, weights, prompts, strata=strata, exclusions=exclusions)

    identical = kept["identical"].to_numpy(zero_copy_only=False)
    structured = kept["structured_differs"].to_numpy(zero_copy_only=False)
    return NoiseFloor(share(~identical.astype(bool)), share(structured), int(there.sum()), missing)


@dataclass(frozen=True)
class Replayed:
    """One sample's replay as a page shows it: its number, counts by `store.replays.state`, and the noise floor.

    `noise` is None where nothing is stripped: then the log itself is old.
    """

    number: int
    counts: dict[str, int]
    noise: NoiseFloor | None


def anything_replayed(workspace: Workspace) -> bool:
    """There is something to show."""
    return workspace.settings.config.endpoints is not None and store.anything(workspace.database.cursor())


def replayed(workspace: Workspace, limit: int = 3) -> list[Replayed]:
    """The newest samples that were replayed through the configured stacks."""
    config = workspace.settings.config
    if config.endpoints is None:
        return []
    cursor, stripped = workspace.database.cursor(), config.replay.strip_pii
    old, new = stack_id(config.endpoints.old, logged=not stripped), stack_id(config.endpoints.new)
    found: list[Replayed] = []
    for sample, number in store.samples(cursor, limit):
        scope = Scope(sample, stripped)
        floor = noise_floor(workspace, scope, old) if stripped else None
        found.append(Replayed(number, store.state(cursor, scope, old, new), floor))
    return found


def in_words(floor: dict[str, Any]) -> list[str]:
    """The noise floor for people, out of its JSON."""

    def shown(name: str) -> str:
        found = floor[name]
        if "not_estimable" in found:
            return f"not estimable: {found['not_estimable']}"
        return f"{found['value']:.1%} ({found['low']:.1%} to {found['high']:.1%})"

    if not floor["compared"]:
        return [f"noise floor: {shown('text')}"]
    without = f", {floor['without_log']:,} without a logged answer" if floor["without_log"] else ""
    return [
        f"noise floor: old, asked again, differs from its own logged answer ({floor['compared']:,} traces{without})",
        f"  in its text             {shown('text')}",
        f"  in tool calls or JSON   {shown('structured')}",
    ]
