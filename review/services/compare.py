"""The stage that compares tool calls and JSON answers: pairs in, structured outcomes out."""

from __future__ import annotations

import json
from typing import Any

import pyarrow

from review.domain import sameness, structured
from review.domain.types import Pair

pa: Any = pyarrow  # it carries no types

SCHEMA = pa.schema(
    [
        ("pair_id", pa.string()),
        ("outcome", pa.string()),  # null: neither answer has a structured part
        ("text_differs", pa.bool_()),
        ("otherwise", pa.bool_()),  # known correctness or the reason for stopping differ
        ("detail", pa.string()),
    ]
)


def compare_stage(batch: Any, settings: object = None) -> Any:
    """One row a pair, in their order.

    Args:
        batch: Columns pair_id and document (domain.types.Pair as JSON).
        settings: None; the comparison has none.
    """
    del settings
    rows: list[dict[str, object]] = []
    for pair_id, document in zip(
        batch.column("pair_id").to_pylist(), batch.column("document").to_pylist(), strict=True
    ):
        pair = Pair.model_validate_json(document)
        found = structured.compare(pair.old, pair.new)
        # Without their calls, what is left of the difference is correctness and the reason for stopping.
        bare = [output.model_copy(update={"tool_calls": None}) for output in (pair.old, pair.new)]
        rows.append(
            {
                "pair_id": pair_id,
                "outcome": found.outcome if found else None,
                "text_differs": found.text_differs if found else True,
                "otherwise": sameness.structured_differs(bare[0], bare[1]),
                "detail": json.dumps(found.detail()) if found else None,
            }
        )
    return pa.Table.from_pylist(rows, SCHEMA)
