"""Privacy: a lead reads stripped traces drawn at random, marks what leaked, and has it erased everywhere."""

from datetime import UTC, datetime

import streamlit as st

from review.domain.redaction import KINDS
from review.errors import ReviewError
from review.services import privacy
from review.ui import failure, pii_audit, question, shell
from review.ui.text import plain

session = shell.page("pii_audit.py")
workspace, actor = session.workspace, session.actor
st.title("Privacy")
left, right = st.columns(2)
seed = int(left.number_input("Seed", min_value=0, max_value=10**9, value=1, help="Repeats the sample."))
size = int(right.number_input("Traces", min_value=1, max_value=1000, value=50))
with shell.errors():
    audit = privacy.audit(workspace, seed, size)


def read(trace_id: str) -> None:
    """One trace as plain text, and the two answers about it."""
    question.ask(
        "privacy_question",
        trace_id,
        f"Is there still somebody's data in it? {len(audit.marked)} of {len(audit.traces)} read.",
        list(pii_audit.parts(privacy.texts(workspace, trace_id))),
        [question.Option("clean", "1", "Clean"), question.Option("leak", "2", "Leak")],
        lambda answer: answered(trace_id, answer),
        back=bool(trail()),
    )
    if st.session_state.get("leaking") == trace_id:
        say(trace_id)


def trail() -> list[str]:
    """The traces of this sample that this session has called clean, the last one last."""
    found: dict[str, list[str]] = st.session_state.setdefault("privacy_trail", {})
    return found.setdefault(audit.audit, [])


def answered(trace_id: str, answer: str) -> None:
    """Store that a trace is clean, ask for what leaked, or show the last one again."""
    st.session_state.pop("leaking", None)
    if answer == question.BACK:
        again()
    elif answer == "leak":
        st.session_state["leaking"] = trace_id
    else:
        note(trace_id)


def note(trace_id: str) -> None:
    """Store that a trace is clean."""
    try:
        privacy.mark_clean(workspace, audit.audit, trace_id, actor, datetime.now(UTC))
    except ReviewError as error:
        st.session_state["privacy_problem"] = str(error)
        return
    st.session_state.pop("privacy_again", None)
    if trail()[-1:] != [trace_id]:
        trail().append(trace_id)


def again() -> None:
    """Show the last trace that was called clean once more; what is said now replaces it."""
    st.session_state["privacy_again"] = trail().pop()


def say(trace_id: str) -> None:
    """What leaked: its kind and its words. They are erased everywhere and kept only as keyed hashes."""
    with st.form("leaked", clear_on_submit=True):
        kind = st.selectbox("What leaked", [each for each in KINDS if each != "LEAK"], index=len(KINDS) - 2)
        words = st.text_input("The leaked words, as they stand above", key="words", max_chars=privacy.MAX_TEXT)
        sent = st.form_submit_button("Erase everywhere", type="primary")
    failure.focus(".st-key-words input", f"leak {trace_id}")
    if sent:
        with shell.errors():
            done = privacy.mark_leak(workspace, audit.audit, trace_id, kind, words, actor, datetime.now(UTC))
        st.session_state["erased"] = pii_audit.told(done.places)
        del st.session_state["leaking"]
        st.session_state.pop("privacy_again", None)
        st.rerun()


if (told := st.session_state.pop("erased", None)) is not None:
    st.success(plain(told))
if (problem := st.session_state.pop("privacy_problem", None)) is not None:
    st.error(plain(problem), icon=":material/error:")
shown_again = st.session_state.get("privacy_again")
if not audit.traces:
    shell.empty("No stripped traces", "Traces get here with `review import traces`, stripped when `strip_pii` is true.")
elif shown_again in audit.traces:
    read(shown_again)
elif audit.open:
    read(audit.open[0])
else:
    st.success("All of this sample are read. Another seed draws others.")
    if trail():
        st.button("Back", icon=":material/undo:", shortcut="Backspace", on_click=again)
st.metric("Traces with a leak", pii_audit.rate(audit.rate))
with st.expander("Take out a structure"):
    with st.form("pattern", clear_on_submit=True):
        pattern = st.text_input("A regular expression", placeholder=r"ACC-\d{6}", max_chars=200)
        added = st.form_submit_button("Add the rule")
    if added:
        with shell.errors():
            privacy.add_pattern(workspace, pattern, actor, datetime.now(UTC))
        st.success("From now on this is taken out of everything that comes in.")
