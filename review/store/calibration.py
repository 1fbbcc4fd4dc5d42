"""What calibration is made of: confidences, given correctness and people's answers, read in one query."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt

from review.domain.types import CALIBRATIONS, ERROR_DIRECTIONS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# The questions that matter here, with their answers in code order. The keys are column names.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "error_old": ERROR_DIRECTIONS,
    "error_new": ERROR_DIRECTIONS,
    "calibration_old": CALIBRATIONS,
    "calibration_new": CALIBRATIONS,
}


@dataclass(frozen=True)
class ConfidenceRows:
    """Pairs with a confidence or a label, and the labels on them.

    Attributes:
        prompt: Per pair, the prompt as a code from 0.
        confidence: Per side and pair, -1 where there is none.
        correct: Per side and pair, 1 or 0 as given with the pair, -1 where it was not.
        label_pair: Per label, the pair's place in the arrays above.
        adjudication: Per label, True for an adjudication.
        answers: Per question and label, the code of the answer, -1 where it was not given.
    """

    prompt: Ints
    confidence: dict[str, Floats]
    correct: dict[str, Ints]
    label_pair: Ints
    adjudication: Bools
    answers: dict[str, Ints]


def confidence_rows(
    cursor: duckdb.DuckDBPyConnection, round_id: str | None, sources: tuple[str, ...] | None = None
) -> ConfidenceRows:
    """The pairs of one round, or all of them; with `sources`, those from there alone.

    Labels are those that count for a rate: not superseded, a person's newest, no skips, hidden repeats or surplus; and
    the newest adjudication.
    """
    codes = ", ".join(f"'{name}': coalesce(list_position(${name}, {name}) - 1, -1)" for name in QUESTIONS)
    columns = cursor.execute(
        f"""
        WITH facts AS (
            SELECT rowid AS pair, pair_id, hash(prompt_id) AS prompt,
                   -- Most pairs of most files have no such field; looking for its name is quicker than parsing.
                   CASE WHEN contains(old, '"confidence"') THEN json_extract_string(old, $fields) END AS old,
                   CASE WHEN contains(new, '"confidence"') THEN json_extract_string(new, $fields) END AS new
            FROM pair
            WHERE ($round IS NULL OR pair_id IN (SELECT pair_id FROM slot WHERE round_id = $round))
              AND ($sources IS NULL OR list_contains($sources::VARCHAR[], source))
        ), answered AS (
            -- arg_max is several times quicker here than a window.
            SELECT pair_id, kind = 'adjudication' AS adjudication,
                   arg_max({{{codes}, 'surplus': surplus}},
                           (coalesce(labelled_at, received_at), received_at, label_id)) AS answer
            FROM current_label
            WHERE kind <> 'skip' AND ($round IS NULL OR round_id = $round)
              AND (kind = 'adjudication' OR occurrence = 0)
            GROUP BY pair_id, kind, CASE kind WHEN 'adjudication' THEN '' ELSE reviewer END
        ), counted AS (
            SELECT pair_id, adjudication, answer FROM answered WHERE adjudication OR NOT answer.surplus
        )
        SELECT pair, prompt,
               coalesce(try_cast(old[1] AS DOUBLE), -1) AS confidence_old,
               coalesce(try_cast(new[1] AS DOUBLE), -1) AS confidence_new,
               coalesce(try_cast(old[2] AS BOOLEAN)::INTEGER, -1) AS correct_old,
               coalesce(try_cast(new[2] AS BOOLEAN)::INTEGER, -1) AS correct_new,
               coalesce(adjudication, false) AS adjudication,
               adjudication IS NOT NULL AS labelled,
               {", ".join(f"coalesce(answer.{name}, -1) AS {name}" for name in QUESTIONS)}
        FROM facts LEFT JOIN counted USING (pair_id)
        WHERE adjudication IS NOT NULL OR old[1] IS NOT NULL OR new[1] IS NOT NULL
        """,  # noqa: S608 - only names of this module are inserted
        {
            "round": round_id,
            "sources": None if sources is None else list(sources),
            "fields": ["$.confidence", "$.correct"],
            **{name: list(answers) for name, answers in QUESTIONS.items()},
        },
    ).fetchnumpy()
    _, first, place = np.unique(columns["pair"], return_index=True, return_inverse=True)
    labelled = columns["labelled"].astype(np.bool_)
    return ConfidenceRows(
        prompt=np.unique(columns["prompt"][first], return_inverse=True)[1].astype(np.int64),
        confidence={side: columns[f"confidence_{side}"][first].astype(np.float64) for side in ("old", "new")},
        correct={side: columns[f"correct_{side}"][first].astype(np.int64) for side in ("old", "new")},
        label_pair=place[labelled].astype(np.int64),
        adjudication=columns["adjudication"][labelled].astype(np.bool_),
        answers={name: columns[name][labelled].astype(np.int64) for name in QUESTIONS},
    )
