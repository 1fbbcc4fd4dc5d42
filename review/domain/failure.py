"""A failure in the adversarial set: what is reported, and what an entry's rows amount to."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from review.domain.types import Side

Source = Literal["label", "flag_page", "api"]
Status = Literal["reported", "confirmed", "erased"]
EventKind = Literal["report", "confirmation", "correction", "erasure"]

SOURCES: tuple[Source, ...] = ("label", "flag_page", "api")
STATUSES: tuple[Status, ...] = ("reported", "confirmed", "erased")


ProvenanceKind = Literal["gate", "run", "alert", "round", "audit", "source"]
PROVENANCE: tuple[ProvenanceKind, ...] = ("gate", "run", "alert", "round", "audit", "source")


@dataclass(frozen=True)
class Provenance:
    """Where a failure was come upon: the kind of thing, and its id; "source" is where its pair came from."""

    kind: ProvenanceKind
    id: str

    @staticmethod
    def read(said: str | None) -> Provenance | None:
        """Out of KIND:ID, as pages' addresses carry it; None where it is none."""
        kind, _, name = (said or "").partition(":")
        return Provenance(kind, name[:200]) if kind in PROVENANCE and name else None


@dataclass(frozen=True)
class Report:
    """What one person says went wrong.

    Attributes:
        report_id: made by the reporter's client (a UUID), so that sending twice stores once.
        failed: the side whose answer failed.
        category: the id of a failure category of the configuration.
        expected: what should have happened; a later answer passes when it does this. When empty, the pass criterion is
            that the category's fault is absent.
        ticket: number or link of a ticket.
        round_id: the round in which it was noticed, when it came from a review card.
        provenance: where it was come upon, when it came from a gate, a run, an alert and the like.
    """

    report_id: str
    pair_id: str
    failed: Side
    category: str
    expected: str = ""
    comment: str | None = None
    ticket: str | None = None
    source: Source = "flag_page"
    round_id: str | None = None
    provenance: Provenance | None = None


@dataclass(frozen=True)
class Event:
    """The public part of one row after the entry itself. `category` and `changes_pass` belong to corrections."""

    seq: int
    entry_id: str
    kind: EventKind
    actor: str
    acted_at: datetime
    source: Source | None = None
    round_id: str | None = None
    category: str | None = None
    changes_pass: bool = False
    reason: str | None = None


@dataclass(frozen=True)
class Standing:
    """What an entry's rows amount to.

    A correction of an unconfirmed entry holds at once. A correction of a confirmed one waits: until a second person
    confirms it, the entry stays as it was confirmed, so that nobody alone can bend or drop what the gate tests.

    Attributes:
        category: as confirmed, or as corrected when nothing was confirmed yet.
        pass_seq: the row whose text says what a pass is.
        reports: how many people's reports there are, the first included.
        pending: a correction waits for a second person.
        writers: who wrote what is not confirmed yet; none of them can confirm it.
    """

    status: Status
    category: str
    pass_seq: int
    reports: int
    pending: bool
    writers: frozenset[str]
    confirmed_by: str | None = None
    confirmed_at: datetime | None = None
    erased_by: str | None = None
    erased_at: datetime | None = None
    erased_reason: str | None = None


def person(name: str) -> str:
    """A name as it counts for telling two people apart: case, width and spaces do not make a second person."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def standing(seq: int, category: str, actor: str, events: Sequence[Event]) -> Standing:
    """What the entry at `seq`, reported by `actor` in `category`, amounts to after its `events`, in order."""
    shown = proposed = (category, seq)
    writers = {person(actor)}
    reports = 1
    confirmation: Event | None = None
    erasure: Event | None = None
    for event in events:
        match event.kind:
            case "report":
                reports += 1
                # After a confirmation a further report adds weight, and nothing that would need confirming.
                if confirmation is None:
                    writers.add(person(event.actor))
            case "correction":
                proposed = (event.category or proposed[0], event.seq if event.changes_pass else proposed[1])
                writers.add(person(event.actor))
                if confirmation is None:
                    shown = proposed
            case "confirmation":
                confirmation, shown, writers = event, proposed, set[str]()
            case "erasure":
                erasure = event
    status: Status = "erased" if erasure else "confirmed" if confirmation else "reported"
    return Standing(
        status=status,
        category=shown[0],
        pass_seq=shown[1],
        reports=reports,
        pending=status == "confirmed" and bool(writers),
        writers=frozenset(writers),
        confirmed_by=confirmation.actor if confirmation else None,
        confirmed_at=confirmation.acted_at if confirmation else None,
        erased_by=erasure.actor if erasure else None,
        erased_at=erasure.acted_at if erasure else None,
        erased_reason=erasure.reason if erasure else None,
    )
