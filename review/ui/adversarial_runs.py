"""The adversarial set in runs, as its page shows it: strips of passes and fails, one entry's answers, and checks."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import streamlit as st

from review.domain.types import Side
from review.services import adversarial_runs, flag
from review.services.adversarial_runs import Point, State
from review.services.workspace import Actor, Workspace
from review.stats.estimate import NotEstimable, Result
from review.ui import failure, shell
from review.ui.text import line, plain

# The last runs that a strip shows.
RUNS = 12
FILTERS: dict[str, str] = {
    "fails": "Fails now",
    "lost": "Passed before and fails now",
    "undecided": "Undecided now",
    "never": "In no run yet",
}
STATE_WORDS: dict[State, str] = {"passes": "passes", "fails": "fails", "undecided": "undecided"}
# Up and teal is a pass, down and red a fail: position says it without the colour.
_BARS: dict[State, tuple[int, int, str]] = {
    "passes": (2, 9, "#2f8f83"),
    "fails": (13, 9, "#d0533f"),
    "undecided": (11, 2, "#9aa3a8"),
}


def strip(points: Sequence[Point], runs: Sequence[str]) -> str:
    """What an entry came to in these runs, oldest first, as the address of a small picture; a gap where it was not."""
    of_run: dict[str, State] = {each.run_id: each.state for each in points}
    bars: list[str] = []
    for at, run_id in enumerate(runs):
        if run_id in of_run:
            top, height, colour = _BARS[of_run[run_id]]
            bars.append(f'<rect x="{at * 9 + 1}" y="{top}" width="7" height="{height}" rx="1" fill="{colour}"/>')
    width = 9 * max(1, len(runs)) + 2
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="24" viewBox="0 0 {width} 24">'
        f'<line x1="0" y1="12" x2="{width}" y2="12" stroke="#9aa3a8" stroke-opacity=".5"/>{"".join(bars)}</svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()


def chosen(states: dict[str, tuple[State, State | None]], wanted: str | None, entries: Collection[str]) -> set[str]:
    """The entries that a filter leaves."""
    if wanted == "never":
        return set(entries) - set(states)
    return {
        entry
        for entry, (now, before) in states.items()
        if (wanted == now) or (wanted == "lost" and (now, before) == ("fails", "passes"))
    }


def newest(states: dict[str, tuple[State, State | None]], name: str) -> None:
    """The newest run in a line."""
    now = [each for each, _ in states.values()]
    lost = sum(each == ("fails", "passes") for each in states.values())
    words = [f"{now.count('passes'):,} pass", f"{now.count('fails'):,} fail"]
    words += [f"{count:,} undecided" for count in [now.count("undecided")] if count]
    words += [f"{lost:,} passed before and fail now"] if lost else []
    st.caption(plain(f"Newest run that replayed the set, {line(name, 60)}: {', '.join(words)}."))


def entry(workspace: Workspace, actor: Actor, entry_id: str) -> None:
    """One entry's outcomes over runs, the answers themselves, and putting a verdict right."""
    points = adversarial_runs.history(workspace, entry_id)
    with st.container(border=True):
        st.markdown("**In runs**")
        if not points:
            st.caption("No run has replayed it yet: review adversarial replay")
            return
        st.image(strip(points[-RUNS:], [each.run_id for each in points[-RUNS:]]), width="content")
        st.caption("Oldest first; up is a pass of the candidate, down a fail.")
        newest_first: list[Point] = list(reversed(points))
        at = st.selectbox(
            "Run",
            range(len(newest_first)),
            format_func=lambda index: _told(newest_first[int(index)]),
            key="run_of_entry",
        )
        _point(workspace, actor, entry_id, newest_first[at])


def _told(point: Point) -> str:
    return line(f"{point.number} {point.name}: {STATE_WORDS[point.state]}", 120)


def _point(workspace: Workspace, actor: Actor, entry_id: str, point: Point) -> None:
    """What each side answered in one run."""
    sides = [side for side, values in (("new", point.new), ("old", point.old)) if values]
    picked = st.segmented_control("Side", sides, default=sides[0], key=f"side_{point.run_id}")
    side: Side = "old" if "old" in (picked or sides[0]) else "new"
    said, by = (point.new, point.new_by) if side == "new" else (point.old, point.old_by)
    repeat = 0
    if len(said) > 1:
        repeat = st.selectbox("Asked", range(len(said)), format_func=lambda each: f"{each + 1}", key="repeat_of_entry")
    words = {True: "passed", False: "failed", None: "undecided"}[said[repeat]]
    st.markdown(f"It {words}, decided by {plain(_who(by[repeat]), 120)}.")
    with shell.errors():
        output = adversarial_runs.answer(workspace, point.run_id, entry_id, side, repeat)
    if output is None:
        st.caption("There was no answer, or it is not kept any more.")
    else:
        failure.answer(output.model_dump(mode="json", exclude_none=True), f"ran_{side}")
    if said[repeat] is None:
        return
    other = not said[repeat]
    label = "Wrong: it passes" if other else "Wrong: it fails"
    if st.button(label, icon=":material/gavel:", key=f"wrong_{point.run_id}_{side}_{repeat}"):
        _check(workspace, actor, point.run_id, entry_id, side, repeat, other, drawn=False)


def _who(by: str) -> str:
    return {
        adversarial_runs.LABEL: "a person",
        "structured": "exact comparison",
        "known": "the server's refusal to answer",
        adversarial_runs.NOBODY: "nobody",
    }.get(by, by)


def check(workspace: Workspace, actor: Actor, hidden: frozenset[str]) -> None:
    """How often the judge errs, and the next answer drawn at random for a person to say."""
    errors = adversarial_runs.judge_errors(workspace)
    told = errors.positives + errors.negatives
    with st.expander(f"Check the judge ({told:,} checked)", icon=":material/gavel:", key="check_judge"):
        st.caption(
            "Answers of the newest run, drawn at random. Say whether each passes; you do not see what the judge said. "
            "How often it errs goes into the gate's interval."
        )
        st.text(f"Lets a passing answer pass: {_rate(errors.sensitivity, errors.true_positive, errors.positives)}")
        st.text(f"Fails a failing answer: {_rate(errors.specificity, errors.true_negative, errors.negatives)}")
        if not st.toggle("Check answers", key="checking"):
            return
        found = adversarial_runs.to_check(workspace, hidden)
        if found is None:
            st.info("Nothing is left to check in the newest run.", icon=":material/check_circle:")
            return
        with shell.errors():
            story = flag.story(workspace, found.entry_id)
        if story.snapshot is None:
            return
        st.markdown("**A pass is**")
        failure.said(story.entry.passes_when or "", "check_pass")
        failure.conversation(story.snapshot["messages"], "check_conversation")
        st.markdown("**The answer**")
        failure.answer(found.output.model_dump(mode="json", exclude_none=True), "check_answer")
        what: tuple[tuple[str, bool | None], ...] = (("It passes", True), ("It fails", False), ("Cannot tell", None))
        with st.container(horizontal=True):
            for label, passes in what:
                if st.button(label, key=f"check_{label}"):
                    _check(workspace, actor, found.run_id, found.entry_id, found.side, found.repeat, passes, drawn=True)


def _rate(rate: Result, count: int, of: int) -> str:
    if isinstance(rate, NotEstimable):
        return "not known yet"
    return f"{count} of {of} ({rate.low:.0%} to {rate.high:.0%})"


def _check(
    workspace: Workspace,
    actor: Actor,
    run_id: str,
    entry_id: str,
    side: Side,
    repeat: int,
    passes: bool | None,
    *,
    drawn: bool,
) -> None:
    check_id = f"check-{uuid.uuid4()}"
    with shell.errors():
        adversarial_runs.check(
            workspace, check_id, run_id, entry_id, side, repeat, passes, actor.name, datetime.now(UTC), drawn=drawn
        )
    st.rerun()
