"""What judging reads from the database and hands in to it: the operations of `review judge`, each short."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from review.domain import judge_prompt
from review.errors import NotFound
from review.services.desk import Answer, Call
from review.services.workspace import Workspace
from review.settings import EvalConfig
from review.stats.consensus import VERDICTS, combine_votes
from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import wilson
from review.stats.paired import newcombe_difference
from review.store import judging as store

WINNERS = ("old", "new", "tie", None)
# Originals that near-duplicates are compared with.
MOST_ORIGINALS = 20_000
EXACT = "exact"


def ways(config: EvalConfig) -> dict[str, Any]:
    """The configured way of judging: model, rubric version, way, recipe, and the version of structured comparison.

    Whoever judges says it with every operation: the app beside may have been started with another configuration.
    """
    judges = config.judges
    rubric = judge_prompt.rubric_version(config.rubric)
    way = judge_prompt.way(rubric, judges.votes, judges.temperature)
    asks = judges.structured == "exact_match_with_arg_judge" and judges.providers
    return {
        "model": judges.judge_model,
        "rubric": rubric,
        "way": way,
        "recipe": judge_prompt.recipe(judges.judge_model, way),
        "version": f"arguments {rubric}" if asks else EXACT,
        "semantic": judges.cache.semantic,
        "ceiling": judges.cache.ceiling,
        "anchors": judges.anchors,
    }


def look(workspace: Workspace, call: Call) -> Answer:
    """What there is to judge, without changing anything: the sample, counts, the state of the semantic cache.

    Arguments: ways(), sample (an id, or None for the newest), all (every pair).

    Raises:
        NotFound: there is no such sample.
    """
    cursor, known = workspace.database.cursor(), call.arguments
    sample = call.arguments.get("sample")
    if sample is not None and not store.has_sample(cursor, sample):
        raise NotFound(f"There is no sample {str(sample)[:60]!r}. Draw one: review sample")
    if sample is None and not call.arguments.get("all"):
        sample = store.newest_sample(cursor)
    counts = store.counts(cursor, sample, known["recipe"], known["version"])
    semantic = semantic_state(workspace, known["recipe"], on=known["semantic"], ceiling=known["ceiling"])
    return Answer({**counts, "sample": sample, "semantic": semantic})


def begin(workspace: Workspace, call: Call) -> Answer:
    """Begin a run, or go on with one that was killed; the anchor set is filled up by then. Arguments: ways()."""
    known = call.arguments
    with workspace.database.transaction() as cursor:
        run = store.open_run(cursor, known["recipe"])
        if run is None:
            named = hashlib.sha256(f"{known['recipe']} {call.now.isoformat()}".encode()).hexdigest()[:12]
            run = {"run_id": f"judge-{named}", "spent_usd": 0.0}
            store.insert_run(
                cursor,
                {
                    "run_id": run["run_id"],
                    **{name: known[name] for name in ("recipe", "model", "rubric")},
                    "started_by": call.by,
                    "started_at": call.now,
                },
            )
        seed = hashlib.sha256(workspace.key + b"anchors").hexdigest()
        store.choose_anchors(cursor, seed, int(known["anchors"]), call.now)
        anchors = store.anchors(cursor)[: int(known["anchors"])]
        judged = {row["pair_id"] for row in store.votes_of(cursor, known["recipe"], anchors)}
    return Answer({**run, "anchors": anchors, "anchors_judged": sorted(judged)})


def todo(workspace: Workspace, call: Call) -> Answer:
    """The next pairs, as a table. Arguments: ways(), sample, after (the last id), limit."""
    asked = call.arguments
    return Answer(
        table=store.todo(
            workspace.database.cursor(),
            asked.get("sample"),
            asked["recipe"],
            asked["version"],
            asked["after"],
            min(int(asked["limit"]), 500),
        )
    )


def documents(workspace: Workspace, call: Call) -> Answer:
    """Pairs as JSON text, by id. Arguments: pair_ids."""
    return Answer(store.documents(workspace.database.cursor(), call.arguments["pair_ids"]))


def originals(workspace: Workspace, call: Call) -> Answer:
    """The next pairs whose verdicts may answer for near-duplicates. Arguments: recipe, after, limit."""
    asked, cursor = call.arguments, workspace.database.cursor()
    found = store.originals(cursor, asked["recipe"], asked["after"], min(int(asked["limit"]), 500))
    return Answer({"documents": store.documents(cursor, found), "last": found[-1] if found else None})


def votes(workspace: Workspace, call: Call) -> Answer:
    """The votes of these pairs by a recipe. Arguments: recipe, pair_ids."""
    rows = store.votes_of(workspace.database.cursor(), call.arguments["recipe"], call.arguments["pair_ids"])
    return Answer({"votes": rows})


def record(workspace: Workspace, call: Call) -> Answer:
    """Write a batch of what was found. Facts that stand already stay as they are.

    Arguments: ways(), run_id, and lists of rows: votes, comparisons, calls, structured, anchor_votes, audits, failures.
    Rows name the model that served; its judge's name is given here.
    """
    asked = known = call.arguments
    with workspace.database.transaction() as cursor:
        names: dict[str, str] = {}

        def named(row: Mapping[str, Any]) -> dict[str, Any]:
            served: str | None = row["served"]
            if served is not None and served not in names:
                names[served] = store.judge_name(cursor, served, known["way"])
            said = {key: value for key, value in row.items() if key != "served"}
            return {**said, "judge": None if served is None else names[served]}

        def rows(name: str, **more: Any) -> list[dict[str, Any]]:
            return [{**named(row), **more} for row in asked.get(name, ())]

        at: dict[str, datetime] = {"made_at": call.now}
        run = {"run_id": asked["run_id"]}
        store.insert(cursor, "verdict", rows("votes", imported_at=call.now))
        store.insert(cursor, "structured_outcome", rows("structured", **at))
        store.insert(cursor, "judge_comparison", rows("comparisons", recipe=known["recipe"], **run, **at))
        store.insert(cursor, "anchor_vote", rows("anchor_votes", **run, **at))
        store.insert(cursor, "judge_audit", rows("audits", recipe=known["recipe"], **run, **at))
        store.insert(cursor, "judge_call", list(asked.get("calls", ())))
        store.insert(cursor, "judge_failure", [{**row, **run} for row in asked.get("failures", ())])
    return Answer({"judges": names})


def end(workspace: Workspace, call: Call) -> Answer:
    """End a run. Arguments: run_id, reason, semantic."""
    row = {name: call.arguments[name] for name in ("run_id", "reason", "semantic")}
    with workspace.database.transaction() as cursor:
        store.end_run(cursor, {**row, "ended_at": call.now})
    return Answer({"run_id": row["run_id"]})


def totals(workspace: Workspace, call: Call) -> Answer:
    """Structured outcomes so far, costs of the newest runs and weeks. Arguments: sample."""
    cursor = workspace.database.cursor()
    from review.services import judge_watch  # a cycle at import: it reads what this module writes

    return Answer(
        {
            "structured": store.outcomes(cursor, call.arguments.get("sample")),
            "runs": _plain(store.costs_by_run(cursor, 20)),
            "weeks": _plain(store.costs_by_week(cursor, 12)),
            "warnings": judge_watch.warnings(workspace),
        }
    )


def verdict_word(winners: list[tuple[str, str | None]]) -> str:
    """One verdict of votes, each the side that stood first and the winner: old, new, tie, inconsistent, unresolved …"""
    counts = np.zeros((1, 3, 4), dtype=np.int64)
    for side, winner in winners:
        counts[0, ("old", "new").index(side), WINNERS.index(winner)] += 1
    return VERDICTS[int(combine_votes(counts).verdict[0])]


def semantic_state(workspace: Workspace, recipe: str, *, on: bool, ceiling: float) -> dict[str, Any]:
    """Whether the semantic cache may answer now, and what its audit found; `why` is a sentence for people."""
    audits = store.audits(workspace.database.cursor(), recipe)
    differed = sum(row["cached"] != row["fresh"] for row in audits)
    again = [row for row in audits if row["again"] is not None]
    flipped = sum(row["cached"] != row["again"] for row in again)
    excess = excess_flips(differed, len(audits), flipped, len(again))
    # Without an audit everything is possible.
    upper = excess.high if isinstance(excess, Estimate) else 1.0
    told = (
        f"{differed} of {len(audits)} audited near-duplicates have another verdict when judged by themselves; asked "
        f"again, {flipped} of {len(again)} originals have. The excess may be {100 * upper:.1f} points"
    )
    if not audits:
        told = "no near-duplicate has been audited yet"
    wanted, on = on, on and upper <= ceiling
    if not wanted:
        why = "off by judges.cache.semantic"
    else:
        why = f"{'on' if on else 'off'}: {told}; up to {100 * ceiling:g} are allowed (judges.cache.ceiling)"
    return {
        "on": on,
        "why": why,
        "audited": len(audits),
        "differed": differed,
        "asked_again": len(again),
        "flipped": flipped,
        "excess": excess.to_json(),
    }


def excess_flips(differed: int, audited: int, flipped: int, again: int) -> Result:
    """How much oftener a cached verdict differs than one that is simply asked for again, with Newcombe's interval.

    Both shares come from the same originals, which makes them alike and the interval too wide rather than too narrow.
    Without any verdict asked for again none is taken to flip: then all differences are the cache's.
    """
    if audited == 0:
        return NotEstimable("no near-duplicate has been audited yet")
    if again == 0:
        return wilson(differed, audited)
    return newcombe_difference(differed, audited, flipped, again)


def _plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Times as text."""
    return [
        {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
        for row in rows
    ]


@dataclass(frozen=True)
class Costs:
    """What judging cost.

    Attributes:
        weeks: Newest first: week, verdicts, calls, cost_usd, checks_usd (anchors and audits), saved_usd.
        runs: Newest first: run_id, started_at, model, reason, verdicts, calls, exact_hits, semantic_hits, cost_usd …
        semantic: Whether the configured judge's cache answers for near-duplicates, and why not.
    """

    weeks: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    semantic: str


def costs(workspace: Workspace) -> Costs:
    """Costs of the newest weeks and runs."""
    cursor, known = workspace.database.cursor(), ways(workspace.settings.config)
    state = semantic_state(workspace, known["recipe"], on=known["semantic"], ceiling=known["ceiling"])
    return Costs(store.costs_by_week(cursor, 12), store.costs_by_run(cursor, 20), state["why"])
