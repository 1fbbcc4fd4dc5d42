"""Traces and clusters written straight into a database, for tests of what comes after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from review.services.workspace import Workspace

NEWEST = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Traffic:
    """Some traces alike."""

    count: int
    cluster: str | None = None
    customer: str | None = None
    days_ago: float = 0.0
    synthetic: bool = False


def add_clusters(workspace: Workspace, names: Sequence[str]) -> None:
    """Clusters whose id is their name in lower case, with two terms."""
    with workspace.database.transaction() as cursor:
        cursor.executemany(
            "INSERT INTO cluster VALUES (?, 'first', ?, ['parcel', 'late'], [], 'model', [1.0, 0.0], 0, 0)",
            [[name.lower(), name] for name in names],
        )


def add_traces(workspace: Workspace, parts: Sequence[Traffic], prefix: str = "t") -> list[str]:
    """Traces with a logged answer; the newest one happened at NEWEST. Returns their ids, in order."""
    rows = [
        (f"{prefix}{number}", part) for number, part in enumerate(part for part in parts for _ in range(part.count))
    ]
    with workspace.database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO trace BY NAME
            SELECT unnest($ids::VARCHAR[]) AS trace_id, unnest($ids::VARCHAR[]) AS content_hash,
                   unnest($ids::VARCHAR[]) AS prompt_id, 'test' AS source,
                   '[{"role":"user","content":"Where is my parcel?"}]' AS messages,
                   '{"content":"It comes on Monday.","model":"stack-one"}' AS response,
                   unnest($customers::VARCHAR[]) AS customer, unnest($times::TIMESTAMPTZ[]) AS happened_at,
                   unnest($synthetic::BOOLEAN[]) AS synthetic, $now::TIMESTAMPTZ AS imported_at
            """,
            {
                "ids": [name for name, _ in rows],
                "customers": [part.customer for _, part in rows],
                "times": [NEWEST - timedelta(days=part.days_ago) for _, part in rows],
                "synthetic": [part.synthetic for _, part in rows],
                "now": NEWEST,
            },
        )
        placed = [(name, part.cluster) for name, part in rows if part.cluster]
        if placed:
            cursor.execute(
                """
                INSERT INTO assignment BY NAME
                SELECT unnest($ids::VARCHAR[]) AS trace_id, unnest($clusters::VARCHAR[]) AS cluster_id,
                       0.9 AS similarity, 'first' AS clustering_id, $now::TIMESTAMPTZ AS assigned_at
                """,
                {"ids": [name for name, _ in placed], "clusters": [c for _, c in placed], "now": NEWEST},
            )
    return [name for name, _ in rows]


def add_pairs(workspace: Workspace, traces: Sequence[str], sample_id: str = "none") -> None:
    """A pair of each trace on which old and new differ."""
    with workspace.database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO pair SELECT 'pair-' || n, 'prompt-' || n, NULL, '[{"role":"user","content":"Ask"}]', NULL, NULL,
                   '{"content":"old"}', '{"content":"new"}', NULL, false, false, 'replay', $now
            FROM (SELECT unnest($names::VARCHAR[]) AS n)
            """,
            {"names": list(traces), "now": NEWEST},
        )
        cursor.execute(
            """
            INSERT INTO pair_origin
            SELECT 'pair-' || n, n, $sample, 'o', 'n' FROM (SELECT unnest($names::VARCHAR[]) AS n)
            """,
            {"names": list(traces), "sample": sample_id},
        )
