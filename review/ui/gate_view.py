"""The parts of the Gate page: the contract, the ladder of steps, one step's verdict and its evidence part by part."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from review.domain.failure import Provenance
from review.domain.run import Evidence
from review.services import gate, run_slices
from review.services.contracts import Held
from review.services.gate import Standing
from review.services.gate_report import unit, unproven
from review.services.run_slices import Example
from review.services.workspace import Actor, Workspace
from review.store.runs import RunRow
from review.ui import charts, gate_charts, shell, verbatim
from review.ui.parity_sections import ICONS, WORDS
from review.ui.runs_view import examples
from review.ui.text import line, plain

Document = Mapping[str, Any]
_LISTED = 30
_FEW = 4
# Which kinds of evidence hold the examples that a part rests on.
_EXAMPLES: dict[str, tuple[Evidence, ...]] = {
    "tolerance": ("replay", "shadow"),
    "benchmark": ("benchmark",),
    "golden": ("golden",),
}


@st.cache_resource(ttl=3600, max_entries=32, show_spinner="Seeing what there is …")
def standing_of(key: tuple[Hashable, ...], _workspace: Workspace, _run: RunRow) -> Standing:  # noqa: ARG001 the cache's key
    """Where a run stands; `key` changes with the data, the contract, the run and the verdicts on it."""
    return gate.standing(_workspace, _run)


def contract_strip(held: Held) -> None:
    """Which contract holds, and who signed it."""
    if held.version is None:
        with st.container(border=True):
            st.text(held.notes[0] if held.notes else "Nobody has signed this contract.")
            verbatim.show(
                "review contract init -o contract.yaml\nreview contract check contract.yaml\n"
                'review contract sign contract.yaml --name "Your Name"',
                "sign",
            )
        return
    names = ", ".join(f"{each.name} ({each.signed_at:%d %b %Y})" for each in held.version.signatures)
    st.caption(plain(f"Contract version {held.version.version}, {held.digest[:12]}, signed by {names}."))
    for note in held.notes:
        st.caption(plain(note))


def ladder(key: tuple[Hashable, ...], steps: Sequence[tuple[RunRow, Document | None]], opened: str) -> str | None:
    """The picture of all steps; returns the name of the one that was chosen."""
    rows = [(line(run.name), document) for run, document in steps]
    said = "; ".join(f"{name}: {document['verdict'] if document else 'not gated'}" for name, document in rows)
    return charts.pick(
        (*key, "ladder", opened),
        lambda: gate_charts.ladder(rows, opened),
        f"Steps and their verdicts. {said}",
        [name for name, _ in rows],
        name="gate_ladder",
        label="Open a step",
        hint="click a step above, or choose one here; the newest is open",
    )


def verdict(workspace: Workspace, run: RunRow, found: Standing, actor: str) -> None:
    """The verdict that stands, what a further one would use, and the button."""
    said, done = st.columns([3, 2], gap="medium", vertical_alignment="center")
    last = found.last
    with said:
        st.caption(plain(f"{run.step.capitalize()}: {run.candidate.name} against {run.baseline.name}"))
        if last is None:
            st.subheader("Not gated yet", anchor=False)
            st.text("Gating reads every part of the contract once, and puts the verdict on record.")
        else:
            st.subheader(f"{ICONS[last['verdict']]} {WORDS[last['verdict']]}", anchor=False)
            said_of_it = last["line"].partition(": ")[2]
            short, _, missing = said_of_it.partition(" Missing: ")
            st.text(short[:1].upper() + short[1:])
            if missing:
                st.caption(plain(f"Missing: {missing}", 600))
            st.caption(plain(f"Verdict {last['number']} of this step, {last['gated_at'][:16].replace('T', ' ')} UTC."))
    with done:
        _button(workspace, run, found, actor)


def _button(workspace: Workspace, run: RunRow, found: Standing, actor: str) -> None:
    """Gate now, with the look that it costs."""
    look, looks = found.look, found.held.terms.looks
    if look is not None:
        share = min(1.0, look.labelled / look.planned)
        st.progress(share, text=f"{look.labelled:,} of {look.planned:,} planned pairs are labelled")
    if not found.changed:
        st.caption("Nothing has changed since; that verdict stands.")
        return
    named = "Gate again" if found.last else "Gate now"
    if st.button(named, type="primary", icon=":material/gavel:", width="stretch"):
        with shell.errors():
            gate.gate(workspace, run, None, actor, datetime.now(UTC))
        st.rerun()
    if look is None:
        st.caption("No label of its traffic is read, so no look is used up.")
    elif look.refusal:
        st.caption(plain(f"Labels stay as they were last read: {look.refusal}"))
    elif found.last is not None and found.last["look"] == look.number:
        st.caption(f"The labels are the same: still look {look.number} of {looks}.")
    else:
        st.caption(
            f"Uses look {look.number} of {looks}, at a one-sided alpha of {look.alpha:.3g}; it is recorded and cannot "
            "be taken back."
        )


def evidence(workspace: Workspace, actor: Actor, key: tuple[Hashable, ...], document: Document) -> None:
    """All parts against what was agreed, then one opened."""
    parts: list[Document] = document["parts"]
    drawn = charts.draw(
        (*key, "room"),
        lambda: gate_charts.room(parts),
        "; ".join(f"{each['title']}: {each['verdict']}, {each['why']}" for each in parts),
    )
    if drawn:
        st.caption(
            "Each bar is an interval, turned so that better is right. Right of the line all of it holds; a bar across "
            "the line is undecided."
        )
    if any(unproven(each) for each in parts):
        st.caption(
            f"{gate_charts.UNPROVEN} No harm is shown, and the contract does not ask for proof that there is none."
        )
    for each in parts:
        if "not_estimable" in each["estimate"]:
            st.text(f"? {each['title']}: {each['why']}")
    titles = {each["id"]: each for each in parts}
    worst = next((each["id"] for each in parts if each["verdict"] == "regression"), parts[0]["id"])
    chosen = st.segmented_control(
        "Part",
        list(titles),
        default=worst,
        format_func=lambda id: f"{gate_charts.sign(titles[id])} {titles[id]['title']}",
        required=True,
        key=f"gate_part_{document['run']['run_id']}",
        label_visibility="collapsed",
    )
    _part(key, titles[chosen])
    _failing(workspace, actor, key, document["run"]["run_id"], titles[chosen])


@st.cache_resource(ttl=3600, max_entries=32, show_spinner=False)
def _worse(
    key: tuple[Hashable, ...],  # noqa: ARG001 the cache's key
    _workspace: Workspace,
    run_id: str,
    kinds: tuple[Evidence, ...],
) -> list[Example]:
    return [each for kind in kinds for each in run_slices.worse(_workspace, run_id, kind)]


def _failing(workspace: Workspace, actor: Actor, key: tuple[Hashable, ...], run_id: str, part: Document) -> None:
    """The examples of a part that new does worse on, each a click away from the adversarial set."""
    kinds = _EXAMPLES.get(part["id"])
    found = _worse((*key, "worse"), workspace, run_id, kinds) if kinds else []
    if not found:
        return
    st.markdown("**Examples that got worse**")
    seen = Provenance("gate", run_id)
    examples(workspace, actor, found, len(found), seen, f"gate_worse_{run_id}_{part['id']}")


def _part(key: tuple[Hashable, ...], part: Document) -> None:
    """One part: why, what is missing, and its rows."""
    st.text(part["why"])
    if part["missing"] is not None:
        st.text(f"About {part['missing']:,} more {unit(part['id'])} would decide it, were old and new equally good.")
    rows: list[Document] = part["rows"][:_LISTED]
    if not rows:
        return
    charts.draw(
        (*key, "rows", part["id"]),
        lambda: gate_charts.room(rows),
        "; ".join(f"{row['title']}: {row['verdict']}" for row in rows),
    )
    said = [
        f"{gate_charts.sign(row)} {line(row['title'], 60)}: {row['why']}" for row in rows if row["verdict"] != "parity"
    ]
    with st.expander(f"{len(said)} in words") if len(said) > _FEW else st.container():
        for each in said:
            st.text(each)
    if len(part["rows"]) > _LISTED:
        st.caption(f"{len(part['rows']) - _LISTED} more are in: review gate --json")


def beside(document: Document) -> None:
    """What to know beside the parts: the adversarial set, notes, and the same for a CI job."""
    found = document["adversarial"]
    if found.get("entries"):
        sides = ", ".join(f"{count} flagged on {side}" for side, count in found["flagged"].items())
        st.text(f"Adversarial set: {found['entries']} entries ({sides}), {found['size']} in the set.")
        st.text(found["chain"]["message"])
        if found["lost"]:
            st.text(f"Passed before and fail now: {', '.join(found['lost'][:_LISTED])}")
            shell.link("adversarial.py", "Open the adversarial set")
    for note in document["notes"]:
        st.text(f"· {note}")
    st.caption("The same on the command line and in CI (exit 0 parity, 3 regression, 4 inconclusive):")
    verbatim.show(f"review gate --candidate {document['run']['number']} --junit gate.xml", "ci")


def earlier(documents: Sequence[Document]) -> None:
    """The verdicts before the last one."""
    for each in reversed(documents[:-1]):
        st.text(f"{gate_charts.SIGNS[each['verdict']]} {each['gated_at'][:16].replace('T', ' ')} UTC  {each['line']}")
