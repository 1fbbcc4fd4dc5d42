"""What the weekly audit read, whether somebody had flagged it, and how much was flagged in the audited traffic."""

from __future__ import annotations

from dataclasses import dataclass

from duckdb import DuckDBPyConnection as Cursor

# Flags of logged answers by trace: of the trace itself or of a pair made of it. The audit's own flags are of traces, on
# a review card without a round; they are what the audit found, not what was noticed.
_FLAGS = """
    WITH report AS (
        SELECT entry_id, pair_id, source, round_id FROM adversarial_entry WHERE failed = 'old'
        UNION ALL
        SELECT e.entry_id, a.pair_id, e.source, e.round_id
        FROM adversarial_event e JOIN adversarial_entry a USING (entry_id)
        WHERE e.kind = 'report' AND a.failed = 'old'
    ), flag AS (
        SELECT coalesce(o.trace_id, r.pair_id) AS trace_id,
               bool_or(EXISTS (
                   SELECT 1 FROM adversarial_event c WHERE c.entry_id = r.entry_id AND c.kind = 'confirmation'
               )) AS confirmed
        FROM report r LEFT JOIN pair_origin o USING (pair_id)
        WHERE NOT (r.source = 'label' AND r.round_id IS NULL AND o.trace_id IS NULL)
        GROUP BY ALL
    )"""


@dataclass(frozen=True)
class ReadRow:
    """One audited trace that a person has read; `wrong` None: the person could not tell."""

    sample_id: str
    trace_id: str
    cluster: str
    pi: float
    wrong: bool | None
    flagged: bool
    confirmed: bool


def read(cursor: Cursor) -> list[ReadRow]:
    """Every audited trace with a label, once, in the first audit that read it; the first label counts."""
    rows = cursor.execute(
        _FLAGS  # noqa: S608 - a constant of this module
        + """
        SELECT l.sample_id, l.trace_id, coalesce('customer ' || t.customer, 'prompt ' || t.prompt_id, l.trace_id), s.pi,
               CASE WHEN l.error IN ('cautious', 'confident', 'other') THEN true WHEN l.error = 'none' THEN false END,
               f.trace_id IS NOT NULL, coalesce(f.confirmed, false)
        FROM trace_label l
        JOIN sampled s ON s.sample_id = l.sample_id AND s.trace_id = l.trace_id AND s.purpose = 'audit'
        LEFT JOIN trace t ON t.trace_id = l.trace_id
        LEFT JOIN flag f ON f.trace_id = l.trace_id
        WHERE l.kind = 'label'
          -- What was drawn for an alert is no random part of the traffic.
          AND l.sample_id NOT IN (SELECT sample_id FROM sample WHERE spec ->> '$.alert' IS NOT NULL)
          AND NOT EXISTS (SELECT 1 FROM trace_label later WHERE later.supersedes = l.label_id)
        QUALIFY row_number() OVER (PARTITION BY l.trace_id ORDER BY l.received_at, l.label_id) = 1
        ORDER BY l.sample_id, l.trace_id
        """
    )
    return [ReadRow(*row) for row in rows.fetchall()]


def flagged_traces(cursor: Cursor, sample_ids: list[str]) -> int:
    """How many traces in the windows of these audits have a confirmed flag of their logged answer."""
    row = cursor.execute(
        _FLAGS  # noqa: S608 - a constant of this module
        + """
        SELECT count(*) FROM flag f JOIN trace t USING (trace_id)
        WHERE f.confirmed AND EXISTS (
            SELECT 1 FROM sample s WHERE s.sample_id IN (SELECT unnest($samples::VARCHAR[]))
              AND coalesce(t.happened_at, t.imported_at) BETWEEN s.window_from AND s.window_to
              AND t.synthetic = coalesce((s.spec->>'synthetic')::BOOLEAN, false)
        )
        """,
        {"samples": sample_ids},
    ).fetchone()
    assert row is not None
    return int(row[0])
