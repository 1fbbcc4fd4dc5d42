"""What a run's replay part is made of: pairs of a sample or an import, their labels, votes, structured outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from review.domain.types import ERROR_DIRECTIONS
from review.store.agreement import ORDERS, WINNERS

Cursor = duckdb.DuckDBPyConnection


@dataclass(frozen=True)
class Replayed:
    """Pairs that two stacks made of a sample."""

    sample_id: str
    number: int
    old_stack: str
    new_stack: str


@dataclass(frozen=True)
class Scope:
    """Which pairs: of a sample and two stacks, or of an imported source."""

    sample: str | None = None
    old: str | None = None
    new: str | None = None
    source: str | None = None

    @property
    def arguments(self) -> dict[str, str | None]:
        return {"sample": self.sample, "old": self.old, "new": self.new, "source": self.source}


# Each pair with its trace and the examples of traffic it stands for. A pair of a sample stands for 1 / (how likely the
# sample drew its trace x the share of the stratum's drawn traces that these two stacks made pairs of). A pair that an
# earlier sample made of the same trace is a pair of this sample too.
_SCOPE = """
    drawn AS (
        SELECT s.trace_id, s.stratum, s.pi, o.pair_id
        FROM sampled s LEFT JOIN pair_origin o
             ON o.trace_id = s.trace_id AND o.old_stack = $old AND o.new_stack = $new
        WHERE s.sample_id = $sample AND s.purpose = 'replay'
    ), scope AS (
        SELECT pair_id, trace_id, 1 / (pi * paired) AS weight FROM (
            SELECT *, avg((pair_id IS NOT NULL)::INTEGER) OVER (PARTITION BY stratum) AS paired FROM drawn
        ) WHERE pair_id IS NOT NULL
        UNION ALL
        SELECT p.pair_id, o.trace_id, 1.0 FROM pair p LEFT JOIN pair_origin o USING (pair_id) WHERE p.source = $source
    )
"""


def replayed(cursor: Cursor, sample: str | None) -> list[Replayed]:
    """Which stacks made pairs of which samples (or of this one), the newest sample first."""
    rows = cursor.execute(
        """
        SELECT DISTINCT s.sample_id, s.number, o.old_stack, o.new_stack
        FROM pair_origin o JOIN sample s USING (sample_id)
        WHERE $sample IS NULL OR s.sample_id = $sample ORDER BY s.number DESC, o.old_stack, o.new_stack
        """,
        {"sample": sample},
    ).fetchall()
    return [Replayed(*row) for row in rows]


def sources(cursor: Cursor) -> list[str]:
    """Where imported pairs came from, samples left out."""
    rows = cursor.execute(
        """
        SELECT DISTINCT source FROM pair
        ANTI JOIN (SELECT pair_id FROM pair_origin SEMI JOIN sample USING (sample_id)) USING (pair_id) ORDER BY source
        """
    ).fetchall()
    return [row[0] for row in rows]


def counts(cursor: Cursor, scope: Scope) -> dict[str, Any]:
    """How many traces were drawn, how many pairs there are, and what their answers and verdicts cost in USD."""
    row = cursor.execute(
        f"""
        WITH {_SCOPE}
        SELECT (SELECT count(*) FROM drawn), (SELECT count(*) FROM scope),
               (SELECT coalesce(sum(r.cost_usd), 0) FROM response r JOIN scope s USING (trace_id)
                WHERE r.stack IN ($old, $new)),
               (SELECT coalesce(sum(c.cost_usd), 0) FROM judge_call c JOIN scope s USING (pair_id)),
               (SELECT coalesce(bool_or(t.synthetic), false) FROM trace t JOIN scope s USING (trace_id))
        """,  # noqa: S608 (a constant of this module)
        scope.arguments,
    ).fetchone()
    assert row is not None
    drawn, pairs, answers, verdicts, synthetic = row
    return {"drawn": drawn, "pairs": pairs, "cost_usd": float(answers) + float(verdicts), "synthetic": synthetic}


def judges(cursor: Cursor, scope: Scope) -> list[tuple[str, int]]:
    """The judges of these pairs and how many each judged, the most first."""
    return cursor.execute(
        f"""
        WITH {_SCOPE}
        SELECT v.judge, count(DISTINCT v.pair_id) AS pairs FROM verdict v SEMI JOIN scope USING (pair_id)
        GROUP BY v.judge ORDER BY pairs DESC, v.judge
        """,  # noqa: S608 (a constant of this module)
        scope.arguments,
    ).fetchall()


def places(cursor: Cursor, scope: Scope) -> Any:
    """Where the pairs of a scope stand, in order: a pyarrow.Table of row, trace_id and weight."""
    untyped: Any = cursor
    found: Any = untyped.sql(
        f"""
        WITH {_SCOPE}
        SELECT p.rowid AS row, s.trace_id, s.weight FROM scope s JOIN pair p USING (pair_id) ORDER BY p.rowid
        """,  # noqa: S608 (a constant of this module)
        params=scope.arguments,
    )
    return found.to_arrow_table()


def material(cursor: Cursor, listed: Any, judge: str | None) -> Any:
    """The pairs at some places, with everything that says what became of them, as a pyarrow.Table.

    Columns: row, pair_id, prompt_id, task, identical, reference, old and new (Output as JSON), characters (of the
    input as JSON), turns (messages of the input), called (messages of the input that call tools), trace_id, weight,
    conversation, logged (the log's tool calls as JSON), served (of live traffic, whose answer the log is), moment
    (microseconds), settled (by the newest structured
    outcome), labels and votes (lists of structs of codes, -1 where nothing was said).
    """
    untyped: Any = cursor
    found: Any = untyped.sql(
        _MATERIAL,
        params={
            "rows": listed["row"].to_pylist(),
            "traces": listed["trace_id"].to_pylist(),
            "weights": listed["weight"].to_pylist(),
            "errors": list(ERROR_DIRECTIONS),
            "judge": judge,
            "orders": list(ORDERS),
            "winners": list(WINNERS),
        },
    )
    return found.to_arrow_table()


# The rules for labels are those of store.agreement.label_rows and services.facts: first showings that no later row
# replaced, a person's newest, none beyond the overlap; the newest adjudication of all.
_MATERIAL = """
    WITH place AS (
        SELECT unnest($rows::BIGINT[]) AS row, unnest($traces::VARCHAR[]) AS trace_id,
               unnest($weights::DOUBLE[]) AS weight
    ), chosen AS MATERIALIZED (
        SELECT rowid AS row, pair_id, prompt_id, task, identical, reference, old::VARCHAR AS old, new::VARCHAR AS new,
               length(messages::VARCHAR) + coalesce(length(tools::VARCHAR), 0) AS characters,
               json_array_length(messages)::BIGINT AS turns,
               len(list_filter(json_extract(messages, '$[*].tool_calls'), lambda c: json_array_length(c) > 0)) AS called
        FROM pair WHERE rowid IN (SELECT unnest($rows::BIGINT[]))
    ), outcome AS (
        SELECT pair_id, arg_max(settled, made_at) AS settled FROM structured_outcome SEMI JOIN chosen USING (pair_id)
        GROUP BY pair_id
    ), label_row AS (
        SELECT pair_id, kind = 'adjudication' AS ruling, surplus,
               coalesce(list_position($errors, error_old) - 1, -1) AS old,
               coalesce(list_position($errors, error_new) - 1, -1) AS new
        FROM current_label SEMI JOIN chosen USING (pair_id)
        WHERE kind <> 'skip' AND (kind = 'adjudication' OR occurrence = 0)
        QUALIFY row_number() OVER (
            PARTITION BY pair_id, kind, CASE kind WHEN 'adjudication' THEN '' ELSE reviewer END
            ORDER BY coalesce(labelled_at, received_at) DESC, received_at DESC, label_id DESC
        ) = 1
    ), people AS (
        SELECT pair_id, list({ruling: ruling, old: old, new: new}) AS labels FROM label_row
        WHERE ruling OR NOT surplus GROUP BY pair_id
    ), judged AS (
        SELECT pair_id, list({
                   first: coalesce(list_position($orders, shown_first) - 1, 2),
                   winner: coalesce(list_position($winners, winner) - 1, 3),
                   old: coalesce(list_position($errors, error_old) - 1, -1),
                   new: coalesce(list_position($errors, error_new) - 1, -1)
               }) AS votes
        FROM verdict SEMI JOIN chosen USING (pair_id) WHERE judge = $judge GROUP BY pair_id
    ), traced AS (
        SELECT t.trace_id, t.conversation, (t.response -> '$.tool_calls')::VARCHAR AS logged, l.served,
               epoch_us(coalesce(t.happened_at, t.imported_at)) AS moment
        FROM trace t SEMI JOIN place USING (trace_id) LEFT JOIN live_trace l USING (trace_id)
    )
    SELECT c.*, p.trace_id, p.weight, t.conversation, t.logged, t.served, t.moment, o.settled, l.labels, j.votes
    FROM chosen c JOIN place p USING (row) LEFT JOIN traced t USING (trace_id) LEFT JOIN outcome o USING (pair_id)
         LEFT JOIN people l USING (pair_id) LEFT JOIN judged j USING (pair_id)
    ORDER BY c.row
"""
