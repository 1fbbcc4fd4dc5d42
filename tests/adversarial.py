"""What the tests of the adversarial set share: pairs to flag, and a report of one of them."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from review.services import flag
from review.services.workspace import Workspace

_number = count(1)


def add_pairs(workspace: Workspace, *pair_ids: str, **fields: Any) -> None:
    """Pairs with a short conversation, two answers and a ticket; `fields` replaces columns."""
    for pair_id in pair_ids:
        values = {
            "messages": [{"role": "user", "content": f"Where is my refund for {pair_id}?"}],
            "old": {"model": "stack-1", "content": "Let me look that up."},
            "new": {"model": "stack-2", "content": "It is on its way."},
            "metadata": {"customer": "c-7", "ticket": f"T-{pair_id}"},
        } | fields
        workspace.database.cursor().execute(
            "INSERT INTO pair (pair_id, prompt_id, task, messages, old, new, metadata, reference, identical, "
            "structured_differs, source, imported_at) "
            "VALUES ($id, $id, 'refunds', $messages, $old, $new, $metadata, NULL, false, false, 'test', now())",
            {"id": pair_id, **{key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}},
        )


def a_report(**fields: Any) -> flag.Report:
    """A report of pair p1, with an id of its own."""
    values = {"pair_id": "p1", "failed": "new", "category": "refusal", "expected": "Asks for the order number"}
    return flag.Report(**({"report_id": f"report-{next(_number)}"} | values | fields))
