"""Evaluation runs: the runs, their parts, and what each example came to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow

from review.domain.run import Evidence, Part, RunSpec, StackCard, Step
from review.store.database import Database

pa: Any = pyarrow  # it carries no types

# Outcomes as they travel: domain.run.Outcome, a column a field.
OUTCOMES = pa.schema(
    [
        ("example_id", pa.string()),
        ("metric", pa.string()),
        ("repeat", pa.int32()),
        ("prompt_id", pa.string()),
        ("task", pa.string()),
        ("pair_id", pa.string()),
        ("old", pa.float64()),
        ("new", pa.float64()),
        ("same", pa.bool_()),
        ("decided_by", pa.string()),
        ("weight", pa.float64()),
        ("prompt_tokens", pa.int64()),
        ("steps", pa.int32()),
        ("old_steps", pa.int32()),
        ("new_steps", pa.int32()),
        ("old_cut", pa.bool_()),
        ("new_cut", pa.bool_()),
    ]
)
_KEY = ("example_id", "metric", "repeat")


@dataclass(frozen=True)
class RunRow:
    """A run, as stored."""

    run_id: str
    number: int
    name: str
    step: Step
    baseline: StackCard
    candidate: StackCard
    config_hash: str
    started_by: str
    started_at: datetime


@dataclass(frozen=True)
class PartRow:
    """A body of evidence that stands."""

    run_id: str
    evidence: Evidence
    part: str
    source: str | None
    data_hash: str
    examples: int
    detail: dict[str, Any]
    cost_usd: float
    recorded_by: str
    recorded_at: datetime


def insert_run(database: Database, spec: RunSpec, by: str, now: datetime) -> bool:
    """Append a run; False when its name or content stands already."""
    try:
        with database.transaction() as cursor:
            cursor.execute(
                """
                INSERT INTO run SELECT $run_id, coalesce(max(number), 0) + 1, $name, $step, $baseline, $candidate,
                                       $config_hash, $by, $now FROM run
                """,
                {
                    "run_id": spec.run_id,
                    "name": spec.name,
                    "step": spec.step,
                    "baseline": spec.baseline.model_dump_json(exclude_none=True),
                    "candidate": spec.candidate.model_dump_json(exclude_none=True),
                    "config_hash": spec.config_hash,
                    "by": by,
                    "now": now,
                },
            )
    except duckdb.ConstraintException:
        return False
    return True


def runs(cursor: duckdb.DuckDBPyConnection) -> list[RunRow]:
    """All runs, oldest first."""
    rows = cursor.execute(
        """
        SELECT run_id, number, name, step, baseline, candidate, config_hash, started_by, started_at
        FROM run ORDER BY number
        """
    ).fetchall()
    cards = StackCard.model_validate_json
    found: list[RunRow] = []
    for run_id, number, name, step, baseline, candidate, *rest in rows:
        found.append(RunRow(run_id, number, name, step, cards(baseline), cards(candidate), *rest))
    return found


def parts(cursor: duckdb.DuckDBPyConnection, run_id: str | None = None) -> list[PartRow]:
    """The parts of a run, or of all, in the order they were recorded."""
    rows = cursor.execute(
        """
        SELECT run_id, evidence, part, source, data_hash, examples, detail, cost_usd, recorded_by, recorded_at
        FROM run_part WHERE $run IS NULL OR run_id = $run ORDER BY recorded_at, evidence, part
        """,
        {"run": run_id},
    ).fetchall()
    found: list[PartRow] = []
    for run, evidence, part, source, digest, examples, detail, *rest in rows:
        found.append(PartRow(run, evidence, part, source, digest, examples, json.loads(detail), *rest))
    return found


def put(cursor: duckdb.DuckDBPyConnection, run_id: str, evidence: str, part: str, table: Any) -> int:
    """Append outcomes of a part (schema OUTCOMES) that do not stand yet. Returns how many came new."""
    cursor.register("incoming", table)
    named = ", ".join(OUTCOMES.names)
    keys = " AND ".join(f"o.{each} = i.{each}" for each in _KEY)
    try:
        found = cursor.execute(
            f"""
            INSERT INTO outcome (run_id, evidence, part, {named})
            SELECT $run, $evidence, $part, {named} FROM incoming i
            WHERE NOT EXISTS (
                SELECT 1 FROM outcome o
                WHERE o.run_id = $run AND o.evidence = $evidence AND o.part = $part AND {keys}
            )
            """,  # noqa: S608 (names of ours)
            {"run": run_id, "evidence": evidence, "part": part},
        ).fetchone()
    finally:
        cursor.unregister("incoming")
    return int(found[0]) if found else 0


def drop_unfinished(cursor: duckdb.DuckDBPyConnection, run_id: str, evidence: str, part: str) -> None:
    """Outcomes of a part that never got to its end."""
    cursor.execute(
        """
        DELETE FROM outcome WHERE run_id = $run AND evidence = $evidence AND part = $part
        AND NOT EXISTS (SELECT 1 FROM run_part p WHERE p.run_id = $run AND p.evidence = $evidence AND p.part = $part)
        """,
        {"run": run_id, "evidence": evidence, "part": part},
    )


def finish(cursor: duckdb.DuckDBPyConnection, run_id: str, part: Part, by: str, now: datetime) -> int:
    """Write the part's row, with the number of its outcomes, which is returned."""
    key = {"run": run_id, "evidence": part.evidence, "part": part.part}
    counted = cursor.execute(
        "SELECT count(*) FROM outcome WHERE run_id = $run AND evidence = $evidence AND part = $part", key
    ).fetchone()
    count = int(counted[0]) if counted else 0
    cursor.execute(
        """
        INSERT INTO run_part VALUES ($run, $evidence, $part, $source, $hash, $examples, $detail, $cost, $by, $now)
        """,
        {
            **key,
            "source": part.source,
            "hash": part.data_hash,
            "examples": count,
            "detail": json.dumps(part.detail, allow_nan=False, sort_keys=True),
            "cost": part.cost_usd,
            "by": by,
            "now": now,
        },
    )
    return count


# A part that a later recording of the same pairs supersedes stays to be seen, and counts no longer.
_COUNTED = """
    SELECT p.run_id, p.evidence, p.part FROM run_part p
    WHERE NOT EXISTS (
        SELECT 1 FROM run_part later
        WHERE later.run_id = p.run_id AND later.evidence = p.evidence
          AND list_contains((later.detail -> '$.supersedes')::VARCHAR[], p.part)
    )
"""


def outcomes(cursor: duckdb.DuckDBPyConnection, run_id: str, evidence: str | None = None) -> Any:
    """The outcomes of a run's finished parts: a pyarrow.Table of evidence, part and the columns of OUTCOMES.

    Parts that a later one supersedes are left out.
    """
    named = ", ".join(f"o.{each}" for each in OUTCOMES.names)
    untyped: Any = cursor
    found: Any = untyped.sql(
        f"""
        SELECT o.evidence, o.part, {named}
        FROM outcome o SEMI JOIN ({_COUNTED}) p
             ON p.run_id = o.run_id AND p.evidence = o.evidence AND p.part = o.part
        WHERE o.run_id = $run AND ($evidence IS NULL OR o.evidence = $evidence)
        ORDER BY o.evidence, o.part, o.example_id, o.metric, o.repeat
        """,  # noqa: S608 (names of ours)
        params={"run": run_id, "evidence": evidence},
    )
    return found.to_arrow_table()


def page_of_outcomes(cursor: duckdb.DuckDBPyConnection, run_id: str, after: int, limit: int) -> Any:
    """The same, some at a time, with the column `row` to go on after."""
    named = ", ".join(f"o.{each}" for each in OUTCOMES.names)
    untyped: Any = cursor
    found: Any = untyped.sql(
        f"""
        SELECT o.rowid AS row, o.evidence, o.part, {named}
        FROM outcome o SEMI JOIN ({_COUNTED}) p
             ON p.run_id = o.run_id AND p.evidence = o.evidence AND p.part = o.part
        WHERE o.run_id = $run AND o.rowid > $after ORDER BY o.rowid LIMIT $limit
        """,  # noqa: S608 (names of ours)
        params={"run": run_id, "after": after, "limit": limit},
    )
    return found.to_arrow_table()


def version(cursor: duckdb.DuckDBPyConnection) -> str:
    """A text that changes whenever a run begins or a part is finished."""
    row = cursor.execute("SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM run_part)").fetchone()
    return "-".join(str(count) for count in row or ())
