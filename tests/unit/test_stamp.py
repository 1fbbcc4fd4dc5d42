"""Several numbers about the database in one statement."""

from __future__ import annotations

from review.services.workspace import Workspace
from review.store.stamp import count, stamp, values
from tests.adversarial import add_pairs


def test_values_come_in_the_order_they_were_asked_and_the_stamp_changes_with_any_of_them(workspace: Workspace) -> None:
    asked = [*count("pair", "label"), "SELECT max(number) FROM golden_event", "SELECT 7", *count("run")] * 4
    cursor = workspace.database.cursor()
    assert values(cursor, *asked) == ["0", "0", None, "7", "0"] * 4
    before = stamp(cursor, *asked)
    assert before == stamp(cursor, *asked)
    add_pairs(workspace, "p1")
    assert stamp(cursor, *asked) == before.replace("0-0-None", "1-0-None")
