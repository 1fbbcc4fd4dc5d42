"""Flag: find a pair and say in under a minute what went wrong."""

import uuid
from datetime import UTC, datetime

import streamlit as st

from review.domain.card import Place
from review.services import flag
from review.ui import failure, shell
from review.ui.text import plain

LETTERS: dict[Place, str] = {"left": "A", "right": "B"}
session = shell.page("flag.py")
workspace, actor = session.workspace, session.actor
failure.style()


def find() -> None:
    """The search box and what it found."""
    with st.form("find", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Find the pair",
            key="query",
            placeholder="Ticket, conversation, customer, pair id, or words that were said",
            max_chars=flag.MAX_QUERY,
        )
        st.form_submit_button("Search", icon=":material/search:", type="primary")
    if not text or not text.strip():
        failure.focus(".st-key-query input", "search")
        st.caption("Pick the pair, say which answer failed and what should have happened. That takes under a minute.")
        return
    with shell.errors():
        found = flag.search(workspace, text)
    if not found and (waiting := flag.unpaired(workspace, text)):
        failure.focus(".st-key-query input", f"nothing for {text}")
        shell.empty(
            "Known, but not replayed",
            f"{waiting} logged conversation{'s' if waiting > 1 else ''} of it came in, but none was in a sample that "
            "went through old and new, so there is no pair of answers to flag yet.",
        )
        return
    if not found:
        failure.focus(".st-key-query input", f"nothing for {text}")
        shell.empty(
            "Nothing found",
            "All of the words must occur. Try fewer or other words, the ticket's number, or part of what the customer "
            "wrote. Pairs get here by import, so a conversation of today may not be here yet.",
        )
        return
    st.caption("The first 25 matches." if len(found) == 25 else f"{len(found)} found.")
    for index, each in enumerate(found):
        parts = [*list(each.keys.values())[:3], each.task or ""]
        head = " · ".join(part for part in parts if part) or each.pair_id
        seen = "  (in the set)" if each.flagged else ""
        if st.button(
            f"**{plain(head, 90)}**{seen}  \n{plain(each.asked, 150)}", key=f"hit_{index}", width="stretch", wrap=True
        ):
            st.session_state["report_id"] = str(uuid.uuid4())
            st.query_params["pair"] = each.pair_id
            st.rerun()
    failure.focus(".st-key-hit_0 button", f"found {text}")


def say(pair_id: str) -> None:
    """The pair, both answers without their sides, and the form."""
    if st.button("Back to the search", icon=":material/arrow_back:", type="tertiary"):
        leave()
    with shell.errors():
        pair = flag.blind(workspace, pair_id, actor.name)
    st.caption(plain(" · ".join(part for part in (pair.task, pair.pair_id) if part), 160))
    with st.container(border=True):
        failure.conversation([message.model_dump(exclude_none=True) for message in pair.messages], "asked")
    columns = st.columns(2)
    for column, letter, output in zip(columns, "AB", pair.answers, strict=True):
        with column, st.container(border=True):
            st.markdown(f"**Answer {letter}**")
            failure.answer(output.model_dump(exclude_none=True), f"answer_{letter}")
    if pair.reference:
        with st.expander("What a right answer says"):
            failure.said(pair.reference, "reference")
    ask(pair)


def ask(pair: flag.Blind) -> None:
    """Which answer, which failure, what should have happened."""
    categories = {each.id: each for each in workspace.settings.config.failure_categories}
    with st.form("failure", enter_to_submit=False):
        place = st.radio(
            "Which answer failed?", list(LETTERS), index=None, horizontal=True, key="failed",
            format_func=lambda each: f"Answer {LETTERS[each]}",
        )  # fmt: skip
        category = st.radio(
            "What went wrong?", list(categories), index=None, key="category",
            format_func=lambda each: plain(categories[each].name),
            captions=[plain(each.help) for each in categories.values()],
        )  # fmt: skip
        expected = st.text_area(
            "What should have happened?", key="expected", height=100, max_chars=flag.MAX_TEXT,
            placeholder="A later answer passes when it does this, for example: asks for the order number first",
        )  # fmt: skip
        left, right = st.columns(2)
        ticket = left.text_input("Ticket", key="ticket", placeholder="Number or link", max_chars=flag.MAX_TICKET)
        comment = right.text_input("Comment", key="comment", placeholder="Optional", max_chars=flag.MAX_TEXT)
        sent = st.form_submit_button(
            "Add to the adversarial set", type="primary", icon=":material/flag:", shortcut="Ctrl+Enter"
        )
    failure.focus(".st-key-failed input", pair.pair_id)
    if not sent:
        return
    missing = [
        name
        for name, value in (
            ("which answer failed", place),
            ("what went wrong", category),
            ("what should have happened", (expected or "").strip()),
        )
        if not value
    ]
    if missing or place is None or category is None:
        st.error(f"Please say {' and '.join(missing)}.", icon=":material/edit:")
        return
    with shell.errors():
        st.session_state["reported"] = flag.report(
            workspace,
            flag.Report(
                report_id=st.session_state.setdefault("report_id", str(uuid.uuid4())),
                pair_id=pair.pair_id,
                failed=flag.side_of(workspace, pair.pair_id, actor.name, place),
                category=category,
                expected=expected or "",
                comment=comment,
                ticket=ticket,
                source="flag_page",
            ),
            actor.name,
            datetime.now(UTC),
        )
    leave()


def leave() -> None:
    """Back to the search, with a fresh report."""
    st.query_params.clear()
    for key in ("report_id", "query"):
        st.session_state.pop(key, None)
    st.rerun()


def thank(reported: flag.Reported) -> None:
    """What became of the report, and how to mend it."""
    became = "is a new entry" if reported.new else "has your report too: it was in the set already"
    st.success(f"**{plain(reported.entry_id)}** {became}. It counts once a second person confirms it.",
               icon=":material/check_circle:")  # fmt: skip
    if not reported.mirror.ok:
        st.warning(plain(reported.mirror.message), icon=":material/warning:")
    with st.container(horizontal=True):
        shell.link("adversarial.py", f"Open {reported.entry_id}", query={"entry": reported.entry_id})
        st.caption("Something wrong in it? Add a correction there. Nothing is overwritten.")


st.title("Flag a failure")
if reported := st.session_state.pop("reported", None):
    thank(reported)
if asked := st.query_params.get("pair"):
    say(asked)
else:
    find()
