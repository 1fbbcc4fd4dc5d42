"""The weekly audit: who reads what, what is refused, corrections, rates by week, flags of single answers."""

from __future__ import annotations

from datetime import timedelta

import duckdb
import pytest

from review.domain.single import SingleAnswers
from review.errors import NotFound
from review.services import audit, flag
from review.services.desk import LocalDesk
from review.services.sample import SampleSpec, sample
from review.services.workspace import Workspace
from review.stats.estimate import Estimate
from tests.conftest import NOW
from tests.traffic import Traffic, add_traces


@pytest.fixture
def drawn(workspace: Workspace) -> str:
    add_traces(workspace, [Traffic(30, "refunds")])
    return sample(LocalDesk(workspace, "lead"), SampleSpec(size=5, seed=1, audit_size=12)).sample_id


def said(card: str, label: str, error: str = "none", **more: object) -> SingleAnswers:
    values = {"label_id": label, "card_id": card, "error_left": error, "calibration_left": "right", "tone": "good"}
    return SingleAnswers.model_validate({**values, **more})


def test_each_answer_is_read_once_by_somebody(workspace: Workspace, drawn: str) -> None:
    first = audit.queue(workspace, "Mara", drawn, 5)
    assert len({card.card_id for card in first}) == 5
    assert all(card.trace.response is not None for card in first)
    for number, card in enumerate(first):
        (receipt,) = audit.submit(workspace, "Mara", drawn, [said(card.card_id, f"label-{number}-x")], NOW)
        assert receipt.status == "stored"
    again = audit.submit(workspace, "Mara", drawn, [said(first[0].card_id, "label-0-x")], NOW)
    assert again[0].status == "duplicate"
    rest = audit.queue(workspace, "Ben", drawn, 99)
    assert len(rest) == 7
    assert not {card.card_id for card in rest} & {card.card_id for card in first}
    assert audit.progress(workspace, "Ben", drawn).done == 5
    (listed,) = audit.audits(workspace)
    assert (listed.wanted, listed.done, listed.unreadable) == (12, 5, 0)


def test_what_cannot_be_stored_is_refused_with_a_reason(workspace: Workspace, drawn: str) -> None:
    card, other = (each.card_id for each in audit.queue(workspace, "Mara", drawn, 2))
    bad = {
        "belongs to another audit": said("audit-nothing", "label-a-x"),
        "a label says error": said(card, "label-b-x", tone=None),
        "a skip says nothing": said(card, "label-c-x", kind="skip"),
        "no failure category 'nonsense'": said(card, "label-d-x", "other", categories_left=["nonsense"]),
        "without an error has no": said(card, "label-e-x", categories_left=["refusal"]),
        "not yours": said(card, "label-f-x", supersedes="label-none"),
    }
    for reason, answers in bad.items():
        (receipt,) = audit.submit(workspace, "Mara", drawn, [answers], NOW)
        assert receipt.status == "refused"
        assert reason in (receipt.reason or "")
    assert audit.submit(workspace, "Mara", drawn, [said(other, "label-g-x")], NOW)[0].status == "stored"
    assert audit.submit(workspace, "Ben", drawn, [said(other, "label-g-x")], NOW)[0].status == "refused"
    fixed = said(other, "label-h-x", "cautious", supersedes="label-g-x")
    assert audit.submit(workspace, "Mara", drawn, [fixed], NOW)[0].status == "stored"
    late = said(other, "label-i-x", supersedes="label-g-x")
    assert "another tab" in (audit.submit(workspace, "Mara", drawn, [late], NOW)[0].reason or "")
    reopened = audit.last(workspace, "Mara", drawn)
    assert reopened is not None
    assert (reopened[1].error_left, reopened[0].card_id) == ("cautious", other)
    with pytest.raises(duckdb.Error, match="append-only"):
        workspace.database.cursor().execute("DELETE FROM trace_label")
    with pytest.raises(NotFound, match="review sample"):
        audit.queue(workspace, "Mara", "sample-none", 1)


def test_rates_by_week(workspace: Workspace, drawn: str) -> None:
    cards = audit.queue(workspace, "Mara", drawn, 12)
    errors = ["confident"] * 2 + ["cautious"] + ["none"] * 7 + ["cannot_tell"] * 2
    for number, (card, error) in enumerate(zip(cards, errors, strict=True)):
        audit.submit(workspace, "Mara", drawn, [said(card.card_id, f"label-{number}-x", error)], NOW)
    # A second reading of an answer, and one that its author corrected, count once.
    audit.submit(workspace, "Ben", drawn, [said(cards[0].card_id, "label-ben-x")], NOW + timedelta(minutes=1))
    (week,) = audit.weeks(workspace)
    assert (week.read, week.unclear) == (10, 2)
    found = {name: rate.value for name, rate in week.rates.items() if isinstance(rate, Estimate)}
    assert found == {"error": 0.3, "cautious": 0.1, "confident": 0.2, "other": 0.0}


def test_a_flag_of_a_single_answer_lands_in_the_permanent_set(workspace: Workspace, drawn: str) -> None:
    card = audit.queue(workspace, "Mara", drawn, 1)[0]
    made = audit.report(workspace, "Mara", drawn, card.card_id, "flag-1-xxxx", "refusal", "It helps.", NOW)
    again = audit.report(workspace, "Mara", drawn, card.card_id, "flag-1-xxxx", "refusal", "It helps.", NOW)
    assert made.new
    assert (again.entry_id, again.new) == (made.entry_id, False)
    (entry,) = flag.entries(workspace)
    assert (entry.pair_id, entry.failed, entry.source) == (card.trace_id, "old", "label")
    story = flag.story(workspace, entry.entry_id)
    assert story.snapshot is not None
    assert story.snapshot["output"]["content"] == "It comes on Monday."
    assert flag.verify(workspace).ok
