"""Pair: the conversation, both answers with their sides revealed, every label and every verdict."""

from typing import Any

import streamlit as st

from review.domain.failure import Provenance
from review.services import agreement
from review.services.agreement import PairStory
from review.services.final_label import final_labels
from review.ui import charts, failure, promote, shell, verbatim
from review.ui.text import plain

QUESTIONS = {
    "preference": "Better overall",
    "error_old": "Error in old",
    "error_new": "Error in new",
    "calibration_old": "Confidence of old",
    "calibration_new": "Confidence of new",
    "tone": "Tone fits better",
}

session = shell.page("pair.py")
failure.style()
charts.style()


def answers(story: PairStory) -> None:
    """Old and new side by side, with what is known about each."""
    with charts.beside("answers") as columns:
        for column, side, output in zip(columns, ("old", "new"), (story.old, story.new), strict=True):
            with column, st.container(border=True):
                st.subheader(side.capitalize(), anchor=False)
                st.caption(plain(" · ".join(facts_of(output)), 200) or "nothing else is known")
                failure.answer(output, f"answer_{side}")


def facts_of(output: dict[str, Any]) -> list[str]:
    """Model, confidence, correctness and how it ended."""
    facts = [str(output["model"])] if output.get("model") else []
    if output.get("confidence") is not None:
        facts.append(f"confidence {output['confidence']:.2f}")
    if output.get("correct") is not None:
        facts.append("correct" if output["correct"] else "not correct")
    if output.get("finish_reason"):
        facts.append(f"ended: {output['finish_reason']}")
    if output.get("latency_ms") is not None:
        facts.append(f"{output['latency_ms']:,.0f} ms")
    return facts


def final(story: PairStory) -> None:
    """What counts in the end, and how it came about."""
    for name, found in final_labels(story).items():
        if name == "preference" or found.how != "unlabelled":
            answer = "no final answer" if found.answer is None else charts.words(found.answer)
            st.markdown(f"{QUESTIONS[name]}: **{plain(answer)}** · {plain(found.in_words(), 300)}")


def label_row(row: dict[str, Any]) -> dict[str, object]:
    """One label as a line of the table."""
    notes = [
        row["kind"] if row["kind"] != "label" else None,
        "replaced" if row["superseded"] else None,
        f"repeat {row['occurrence']}" if row["occurrence"] else None,
        "surplus" if row["surplus"] else None,
        "simulated" if row["simulated"] else None,
    ]
    return {
        "Reviewer": row["reviewer"],
        "What": ", ".join(note for note in notes if note) or "label",
        **{question: row[name] or "" for name, question in QUESTIONS.items()},
        "Shown as A": row["shown_first"] or "",
        "Failures of old": ", ".join(row["categories_old"] or ()),
        "Failures of new": ", ".join(row["categories_new"] or ()),
        "Comment": row["comment"] or "",
        "Seconds": row["seconds"],
        "When": row["labelled_at"] or row["received_at"],
    }


def votes(story: PairStory) -> None:
    """Every vote with its rationale."""
    st.subheader("Verdicts", anchor=False)
    if not story.votes:
        st.caption("No judge has seen this pair.")
    for index, vote in enumerate(story.votes):
        said = {"tie": "a tie", None: "unparsable"}.get(vote["winner"], f"{vote['winner']} is better")
        first = f"{vote['shown_first']} shown first" if vote["shown_first"] else "order unknown"
        with st.container(border=True):
            st.text(f"{vote['judge']}, vote {vote['vote']}: {said} ({first})")
            others = [f"{QUESTIONS[name].lower()}: {vote[name]}" for name in QUESTIONS if vote.get(name)]
            if others:
                st.caption(plain(" · ".join(others)))
            if vote["rationale"]:
                failure.said(vote["rationale"], f"rationale_{index}")
            elif vote["raw"]:
                verbatim.show(vote["raw"], f"raw_{index}", wrapped=True)


pair_id = st.query_params.get("pair", "")
if not pair_id:
    st.title("Pair", anchor=False)
    shell.empty(
        "Which pair?",
        "Pairs open from the Agreement page: click a cell of a matrix or a line of a picture, then a row.",
        [("agreement.py", "Agreement")],
    )
    st.stop()
shell.link("agreement.py", "Back to Agreement", icon=":material/arrow_back:")
st.title(plain(f"Pair {pair_id}", 120), anchor=False)
with shell.errors():
    agreement.require_sight(session.workspace, session.actor.name, pair_id=pair_id)
    found = agreement.pair_story(session.workspace, pair_id)
st.caption(
    plain(" · ".join(part for part in (found.task, f"prompt {found.prompt_id}", f"from {found.source}") if part), 300)
)
with st.container(border=True):
    failure.conversation(found.messages, "pair")
if found.reference:
    with st.container(border=True):
        st.caption("What a right answer says")
        failure.said(found.reference, "reference")
answers(found)
come_from = Provenance.read(st.query_params.get("from")) or Provenance("source", found.source)
promote.button(session.workspace, session.actor, pair_id, come_from)
st.subheader("Labels", anchor=False)
final(found)
if found.labels:
    st.dataframe([label_row(row) for row in found.labels], hide_index=True)
else:
    st.caption("Nobody has labelled this pair.")
votes(found)
if found.metadata:
    with st.expander("Metadata"):
        st.json(found.metadata, expanded=1)
