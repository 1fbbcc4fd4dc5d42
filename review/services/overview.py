"""Where a person stands: what there is, what happened lately, and what is next for their role."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from review.domain.failure import person
from review.services import adjudicate, alerts, flag, gate, label, rounds, runs
from review.services.rounds import RoundSummary
from review.services.workspace import Actor, Workspace
from review.store import counts
from review.store.counts import Counts

_LATELY = 6
_FLAGS = 200  # of the newest entries, which ones wait for somebody


@dataclass(frozen=True)
class Step:
    """One thing to do next: what and why, the page that does it, and how far it is (0–1) where that makes sense."""

    text: str
    action: str
    page: str
    query: dict[str, str] | None = None
    share: float | None = None


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    when: datetime
    text: str


@dataclass(frozen=True)
class Standing:
    """What Home shows to one person."""

    facts: Counts
    next_steps: tuple[Step, ...]
    lately: tuple[Event, ...]


def facts(workspace: Workspace) -> Counts:
    """How much there is of everything."""
    return counts.read(workspace.database)


def standing(workspace: Workspace, actor: Actor, now: datetime) -> Standing:
    """Where `actor` stands at `now`."""
    drawn = rounds.list_rounds(workspace)
    entries = flag.entries(workspace, limit=_FLAGS)
    found = facts(workspace)
    steps = {
        "reviewer": lambda: [*_to_label(workspace, actor, drawn), *_to_confirm(entries, actor)],
        "support": lambda: [*_to_flag(), *_to_confirm(entries, actor)],
        "lead": lambda: [
            *_to_look_after(workspace, now),
            *_to_draw(found, drawn),
            *_to_adjudicate(workspace, actor, drawn),
            *_to_watch(drawn),
            *_to_confirm(entries, actor),
            *_to_decide(workspace, actor, drawn),
            *_to_read(found),
        ],
    }[actor.role]()
    return Standing(found, tuple(steps), tuple(_lately(workspace, drawn, entries)))


def _to_label(workspace: Workspace, actor: Actor, drawn: list[RoundSummary]) -> Iterator[Step]:
    waiting = False
    for each in drawn:
        mine = label.progress(workspace, actor.name, each.round_id)
        if mine.ended or not mine.mine_open:
            continue
        waiting = True
        done = mine.mine_done + mine.mine_skipped
        text = f"{each.title}: {mine.mine_open} pairs wait for you" + (f", {done} done." if done else ".")
        yield Step(
            text,
            "Go on labelling" if done else "Start labelling",
            "label.py",
            {"round": each.round_id},
            mine.all_done / mine.all_total if mine.all_total else None,
        )
    if not waiting:
        yield Step("Nothing waits for you: every open round is labelled. A lead draws the next one.", "Flag", "flag.py")


def _to_flag() -> Iterator[Step]:
    yield Step(
        "Find the answer by ticket, id or words, and say what should have happened.", "Flag a failure", "flag.py"
    )


def _to_draw(found: Counts, drawn: list[RoundSummary]) -> Iterator[Step]:
    if not found.verdicts:
        yield Step("No judge has spoken yet. Verdicts make Agreement possible.", "See Agreement", "agreement.py")
    if all(each.progress.state != "open" for each in drawn):
        text = "Every round is finished." if drawn else "No round is drawn yet."
        yield Step(f"{text} A round of 50–100 disagreements gives reviewers work.", "Draw a round", "rounds.py")


def _to_adjudicate(workspace: Workspace, actor: Actor, drawn: list[RoundSummary]) -> Iterator[Step]:
    for each in drawn:
        if each.overlap > 1 and (open_ones := len(adjudicate.conflicts(workspace, each.round_id, actor.name))):
            noun = "pair" if open_ones == 1 else "pairs"
            text = f"{each.title}: people disagree on {open_ones} {noun}. One blind look settles each."
            yield Step(text, "Adjudicate", "rounds.py", {"round": each.round_id})


def _to_watch(drawn: list[RoundSummary]) -> Iterator[Step]:
    for each in drawn:
        if each.progress.state == "open":
            done, places = each.progress.done, each.progress.places
            text = f"{each.title}: {done} of {places} labels, {len(each.progress.reviewers)} reviewers."
            yield Step(text, "See the round", "rounds.py", None, done / places if places else None)


def _to_confirm(entries: list[flag.Entry], actor: Actor) -> Iterator[Step]:
    """Entries whose texts somebody else wrote: this person can be the second one."""
    mine = person(actor.name)
    open_ones = [
        each
        for each in entries
        if (each.status == "reported" or each.standing.pending) and mine not in each.standing.writers
    ]
    if open_ones:
        noun = "failure waits" if len(open_ones) == 1 else "failures wait"
        text = f"{len(open_ones)} reported {noun} for a second person."
        yield Step(text, "Look and confirm", "adversarial.py")


def _to_look_after(workspace: Workspace, now: datetime) -> Iterator[Step]:
    """Alerts that nobody has acknowledged or silenced."""
    found = [each for each in alerts.alerts(workspace, now) if each.state == "open"]
    if found:
        noun = "1 drift alert is" if len(found) == 1 else f"{len(found):,} drift alerts are"
        newest = found[0]
        text = f"{noun} open. The newest: {alerts.title(alerts.described(newest))}."
        yield Step(text, "See what drifts", "drift.py", {"alert": newest.alert_id})


def _to_decide(workspace: Workspace, actor: Actor, drawn: list[RoundSummary]) -> Iterator[Step]:
    """From labels to a verdict: a run, its evidence, the gate, the report."""
    listed = runs.list_runs(workspace)
    if not listed:
        if any(each.progress.state != "open" and each.progress.done for each in drawn):
            text = "A round is labelled. A run records what is compared with what, so that the gate can decide on it."
            yield Step(text, "Begin a run", "runs.py")
        return
    run = listed[-1]
    asked = {"run": run.run_id}
    if not runs.parts(workspace, run.run_id):
        yield Step(f"Run {run.number}, {run.name}, has no evidence yet.", "See what it can hold", "runs.py", asked)
    elif (document := gate.last(workspace, run.run_id)) is None:
        text = f"Run {run.number}, {run.name}, has evidence and no verdict yet. The gate decides on it."
        yield Step(text, "Gate it", "gate.py", asked)
    else:
        # Who still labels must not learn here what the labels so far amount to.
        closed = rounds.has_open_slots(workspace, actor.name, None)
        said = "its verdict is on record" if closed else f"the gate says {document['verdict']}"
        text = f"Run {run.number}, {run.name}: {said}."
        yield Step(text, "See why", "gate.py", asked)


def _to_read(found: Counts) -> Iterator[Step]:
    if found.verdicts and (found.labels or found.simulated):
        yield Step("People and judge have spoken about the same pairs.", "See how far they agree", "agreement.py")
    if found.labels or found.simulated:
        yield Step(
            "Labels say what went wrong, before and after.",
            "See whether new is as good as old, and save the report",
            "parity.py",
        )


def _lately(workspace: Workspace, drawn: list[RoundSummary], entries: list[flag.Entry]) -> list[Event]:
    """The newest events of all kinds. No side and no verdict, because blind people read this too."""
    events = [Event(each.drawn_at, f"{each.title} drawn by {each.drawn_by}") for each in drawn]
    events += [Event(each.reported_at, f"{each.reported_by} flagged a failure") for each in entries[:_LATELY]]
    for day in counts.labelling_days(workspace.database, _LATELY):
        who = f"{day.reviewer} (simulated)" if day.simulated else day.reviewer
        noun = "pair" if day.labels == 1 else "pairs"
        events.append(Event(day.when, f"{who} labelled {day.labels} {noun}"))
    return sorted(events, key=lambda event: event.when, reverse=True)[:_LATELY]
