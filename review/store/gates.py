"""Contracts, their signatures, the gate's verdicts, and how far a baseline differs from itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from review.store.database import Database

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Signature:
    """One person's name under a contract, and who wrote it there."""

    name: str
    signed_by: str
    signed_at: datetime

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return {"name": self.name, "signed_by": self.signed_by, "signed_at": self.signed_at.isoformat()}


@dataclass(frozen=True)
class VersionRow:
    """A contract as it was agreed; `content` is the document of domain.contract.signed_text."""

    version: int
    digest: str
    content: dict[str, Any]
    made_by: str
    made_at: datetime
    signatures: tuple[Signature, ...]


@dataclass(frozen=True)
class GateRow:
    """A verdict of the gate as it was read; `labels` and `look` are None where no labels were looked at."""

    gate_id: str
    run_id: str
    number: int
    contract: str
    evidence: str
    labels: str | None
    look: int | None
    labelled: int
    planned: int
    alpha: float
    adversarial_size: int
    verdict: str
    document: dict[str, Any]
    gated_by: str
    gated_at: datetime


_COLUMNS = tuple(each.name for each in fields(GateRow))


def versions(cursor: duckdb.DuckDBPyConnection) -> list[VersionRow]:
    """All contracts, oldest first, with who signed each."""
    signed: dict[int, list[Signature]] = {}
    for version, *rest in cursor.execute(
        "SELECT version, name, signed_by, signed_at FROM contract_signature ORDER BY signed_at, name"
    ).fetchall():
        signed.setdefault(version, []).append(Signature(*rest))
    rows = cursor.execute(
        "SELECT version, digest, content, made_by, made_at FROM contract_version ORDER BY version"
    ).fetchall()
    return [
        VersionRow(version, digest, json.loads(content), by, at, tuple(signed.get(version, ())))
        for version, digest, content, by, at in rows
    ]


def sign(database: Database, digest: str, content: str, name: str, by: str, now: datetime) -> tuple[int, bool]:
    """Put a name under a contract: the newest version where it is the same, else a new one.

    Returns:
        The version, and whether the name came new.
    """
    with database.transaction() as cursor:
        newest = cursor.execute("SELECT version, digest FROM contract_version ORDER BY version DESC LIMIT 1").fetchone()
        if newest is None or newest[1] != digest:
            version = newest[0] + 1 if newest else 1
            cursor.execute(
                "INSERT INTO contract_version VALUES ($version, $digest, $content, $by, $now)",
                {"version": version, "digest": digest, "content": content, "by": by, "now": now},
            )
        else:
            version = newest[0]
        stands = cursor.execute(
            "SELECT 1 FROM contract_signature WHERE version = $version AND name = $name",
            {"version": version, "name": name},
        ).fetchone()
        if stands is None:
            cursor.execute(
                "INSERT INTO contract_signature VALUES ($version, $name, $by, $now)",
                {"version": version, "name": name, "by": by, "now": now},
            )
    return int(version), stands is None


def gates(cursor: duckdb.DuckDBPyConnection, run_id: str | None = None) -> list[GateRow]:
    """The verdicts of a run, or of all runs, oldest first."""
    rows = cursor.execute(
        f"""
        SELECT {", ".join(_COLUMNS)} FROM gate WHERE $run IS NULL OR run_id = $run ORDER BY gated_at, number
        """,  # noqa: S608 - field names of ours
        {"run": run_id},
    ).fetchall()
    found: list[GateRow] = []
    for row in rows:
        values: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
        found.append(GateRow(**{**values, "document": json.loads(values["document"])}))
    return found


def insert_gate(database: Database, row: GateRow) -> bool:
    """Record a verdict; False when somebody else recorded one of the same number at the same moment."""
    values = {**row.__dict__, "document": json.dumps(row.document, allow_nan=False)}
    marks = ", ".join("$" + name for name in _COLUMNS)
    try:
        with database.transaction() as cursor:
            cursor.execute(f"INSERT INTO gate ({', '.join(_COLUMNS)}) VALUES ({marks})", values)  # noqa: S608 - ours
    except duckdb.ConstraintException:
        return False
    return True


def places(cursor: duckdb.DuckDBPyConnection, sources: tuple[str, ...]) -> int:
    """Different pairs from these sources that rounds ask people to label."""
    row = cursor.execute(
        """
        SELECT count(DISTINCT s.pair_id) FROM slot s JOIN pair p USING (pair_id)
        WHERE list_contains($sources::VARCHAR[], p.source)
        """,
        {"sources": list(sources)},
    ).fetchone()
    return int(row[0]) if row else 0


def rounds_of(cursor: duckdb.DuckDBPyConnection, sources: tuple[str, ...]) -> set[str]:
    """The rounds that ask about pairs from these sources."""
    rows = cursor.execute(
        """
        SELECT DISTINCT s.round_id FROM slot s JOIN pair p USING (pair_id)
        WHERE list_contains($sources::VARCHAR[], p.source)
        """,
        {"sources": list(sources)},
    ).fetchall()
    return {str(row[0]) for row in rows}


def tasks(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """Tasks of traffic, the commonest first."""
    rows = cursor.execute(
        "SELECT task FROM pair WHERE task IS NOT NULL AND of_traffic(source) GROUP BY 1 ORDER BY count(*) DESC, 1"
    ).fetchall()
    return [str(row[0]) for row in rows]


@dataclass(frozen=True)
class Repeats:
    """What a baseline that was asked again differs from itself, by evidence and task (a benchmark's part).

    Each prompt's sum of (again - first) and how many such differences there were; arrays of shape (prompts,).
    """

    evidence: str
    task: str | None
    sums: Floats
    counts: Ints


def repeats(cursor: duckdb.DuckDBPyConnection) -> list[Repeats]:
    """Of all runs, by evidence and task."""
    rows = cursor.execute(
        """
        SELECT again.evidence,
               CASE WHEN again.evidence = 'benchmark' THEN again.part ELSE again.task END AS task,
               sum(again.old - base.old) AS differs, count(*) AS counted
        FROM outcome again JOIN outcome base
             ON base.run_id = again.run_id AND base.evidence = again.evidence AND base.part = again.part
                AND base.example_id = again.example_id AND base.metric = again.metric AND base.repeat = 0
        WHERE again.repeat > 0 AND again.evidence <> 'adversarial'
              AND again.old IS NOT NULL AND base.old IS NOT NULL
        GROUP BY again.run_id, again.evidence, again.part, again.task, again.prompt_id
        ORDER BY again.evidence, task, again.run_id, again.prompt_id
        """
    ).fetchall()
    grouped: dict[tuple[str, str | None], list[tuple[float, int]]] = {}
    for evidence, task, differs, counted in rows:
        grouped.setdefault((evidence, task), []).append((float(differs), int(counted)))
    return [
        Repeats(evidence, task, np.array([each[0] for each in found]), np.array([each[1] for each in found]))
        for (evidence, task), found in grouped.items()
    ]
