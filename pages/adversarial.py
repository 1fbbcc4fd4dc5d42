"""Adversarial set: how it grows, whether it verifies, and each entry's whole story."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import streamlit as st

from review.domain.failure import SOURCES, STATUSES, Source, Status
from review.services import adversarial_runs, flag, missed, rounds
from review.services.adversarial_runs import State
from review.ui import adversarial_runs as in_runs
from review.ui import failure, shell
from review.ui.text import line, plain

SHOWN = 200
COLUMNS = (
    *("Entry", "Status", "In runs", "Now", "Category", "A pass is", "Failed", "Reports", "Task", "Source", "By"),
    "Reported",
)
# Where a failure can be come upon: the page, what it is called, and how its address names the one that is meant.
FOUND_IN = {
    "gate": ("gate.py", "at the gate", "run"),
    "run": ("runs.py", "in a run", "run"),
    "alert": ("drift.py", "in a drift alert", "alert"),
    "audit": ("audit.py", "in a weekly audit", "audit"),
    "round": ("rounds.py", "in a round", None),
}
session = shell.page("adversarial.py")
workspace, actor, config = session.workspace, session.actor, session.workspace.settings.config
failure.style()


@st.cache_data(ttl=600, show_spinner=False, max_entries=4)
def verified(db: Path, head: str) -> tuple[flag.Verification, datetime]:  # noqa: ARG001 they are the cache's key
    """The last check of the database `db`; every new row moves the chain's `head` and makes a new one due."""
    return flag.verify(workspace), datetime.now(UTC)


@st.cache_data(ttl=600, show_spinner=False, max_entries=4)
def states(db: Path, version: str) -> dict[str, tuple[State, State | None]]:  # noqa: ARG001 they are the cache's key
    """How each entry stands in the newest run, and how in the one before."""
    return adversarial_runs.states(workspace)


@st.cache_data(ttl=600, show_spinner=False, max_entries=4)
def summed(db: Path, head: str) -> flag.Summary:  # noqa: ARG001 they are the cache's key
    """The set in numbers."""
    return flag.summary(workspace)


@st.cache_data(ttl=600, show_spinner=False, max_entries=20)
def listed(
    db: Path,  # noqa: ARG001 it and the version are the cache's key
    version: str,
    text: str,
    status: Status | None,
    category: str | None,
    source: Source | None,
    wanted: str | None,
) -> list[flag.Entry]:
    """The entries that fit, newest first, one more than are shown."""
    ids = None if wanted is None else only(states(workspace.settings.db, version), wanted)
    return flag.entries(
        workspace, text=text, status=status, category=category, source=source, only=ids, limit=SHOWN + 1
    )


def badge() -> None:
    """Whether chain, mirror and count fit, and a button to check again."""
    with shell.errors():
        check, when = verified(workspace.settings.db, flag.head(workspace))
    with st.container(horizontal=True, vertical_alignment="center"):
        if check.ok:
            st.badge("Chain, mirror and count fit", icon=":material/verified:", color="green")
        else:
            st.badge("Does not verify", icon=":material/gpp_bad:", color="red")
        st.caption(f"Checked {when:%H:%M:%S} UTC")
        if st.button("Check again", type="tertiary", icon=":material/refresh:"):
            verified.clear()
            st.rerun()
    if not check.ok:
        st.error(plain(check.message), icon=":material/gpp_bad:")
    elif check.mirror and check.mirror.state != "current":
        st.info(plain(check.mirror.message), icon=":material/sync:")


def overview(hidden: frozenset[str]) -> None:
    """Size, growth, and the table to search in."""
    with shell.errors():
        summary = summed(workspace.settings.db, flag.head(workspace))
    # The check reads every row, so it comes last and fills its place when it is done.
    verdict = st.container(key="verdict")
    if not summary.entries:
        shell.empty(
            "No failure has been flagged yet",
            "What is flagged here stays for ever, and every later system is tested against it. "
            "Flag from a ticket on the Flag page, or with the key f on the review card.",
            [("flag.py", "Flag a failure")],
        )
        with verdict:
            badge()
        return
    with st.container(key="numbers"):
        numbers(summary)
    with st.container(key="pictures"):
        left, right = st.columns([3, 2])
        with left, st.container(border=True):
            st.markdown("**Growth**")
            st.altair_chart(failure.growth_chart(summary.growth, datetime.now(UTC)), width="stretch")
        with right, st.container(border=True):
            st.markdown("**What went wrong**")
            st.altair_chart(failure.category_chart(summary.categories, config), width="stretch")
    bias()
    table(hidden)
    if adversarial_runs.replayed(workspace):
        in_runs.check(workspace, actor, hidden)
    with verdict:
        badge()


@st.cache_data(ttl=60, show_spinner=False, max_entries=4)
def unnoticed(db: Path, version: str) -> missed.Report:  # noqa: ARG001 they are the cache's key
    """What the audits say about the flags; a label in an audit shows within a minute."""
    return missed.report(workspace)


def bias() -> None:
    """What the set does not hold: failures that nobody flagged, by the weekly audits."""
    with shell.errors():
        found = unnoticed(workspace.settings.db, adversarial_runs.version(workspace))
    if not found.read:
        return
    with st.container(border=True):
        st.markdown("**What nobody flagged**")
        st.text(found.line)
        for note in found.notes:
            st.caption(plain(note))


def numbers(summary: flag.Summary) -> None:
    """The set in four numbers."""
    for column, (name, value, help) in zip(
        st.columns(4),
        (
            ("Entries", summary.entries, "Only ever added. Erased ones stay and count."),
            ("Confirmed", summary.confirmed, "By a second person. These are what the gate tests."),
            (
                "To be confirmed",
                summary.waiting,
                "New reports, and corrections of confirmed entries, wait for a second person.",
            ),
            ("Erased", summary.erased, "The text is gone; who, when and why stay."),
        ),
        strict=True,
    ):
        column.metric(name, value, help=help, border=True)


def table(hidden: frozenset[str]) -> None:
    """Filters, and the entries that fit them; a chosen row opens its story."""
    names = {each.id: each.name for each in config.failure_categories}
    runs, version = adversarial_runs.replayed(workspace), adversarial_runs.version(workspace)
    now = states(workspace.settings.db, version) if runs else {}
    if runs:
        in_runs.newest(now, runs[-1].name)
    with st.container(key="filters"):
        search, status, category, source, *more = st.columns([3, 2, 2, 2, 2] if runs else [3, 2, 2, 2])
    wanted = None
    for column in more:
        wanted = column.selectbox(
            "In runs", list(in_runs.FILTERS), None, format_func=lambda each: in_runs.FILTERS[each], placeholder="All"
        )
    text = search.text_input("Search", placeholder="Entry, pair, or words in any text", key="text")
    with shell.errors():
        found = listed(
            workspace.settings.db,
            version,
            text or "",
            status.selectbox(
                "Status", STATUSES, None, format_func=lambda each: failure.STATUS_WORDS[each], placeholder="All"
            ),
            category.selectbox(
                "Category", list(names), None, format_func=lambda each: line(names[each]), placeholder="All"
            ),
            source.selectbox(
                "Source", SOURCES, None, format_func=lambda each: failure.SOURCE_WORDS[each], placeholder="All"
            ),
            wanted,
        )
    if not found:
        st.info("No entry fits. Clear a filter, or search for fewer words.", icon=":material/search_off:")
        return
    rows = [row(each, each.pair_id in hidden) for each in found[:SHOWN]]
    if runs:
        last = runs[-in_runs.RUNS :]
        points = adversarial_runs.histories(workspace, [each.entry_id for each in found[:SHOWN]], in_runs.RUNS)
        for each, shown in zip(found[:SHOWN], rows, strict=True):
            ours = () if each.pair_id in hidden else points.get(each.entry_id, ())
            shown |= {"In runs": in_runs.strip(ours, [run.run_id for run in last])}
            state = now.get(each.entry_id)
            shown["Now"] = "" if state is None or each.pair_id in hidden else in_runs.STATE_WORDS[state[0]]
    chosen = st.dataframe(
        rows,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        column_order=COLUMNS,
        column_config={
            "Reported": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm"),
            "In runs": st.column_config.ImageColumn(
                width=9 * in_runs.RUNS + 22,  # a strip, and the cell's own margins
                help=f"The last {in_runs.RUNS} runs, oldest first: up is a pass of the candidate, down a fail",
            ),
        },
        key="entries",
    )
    st.caption(
        f"The newest {SHOWN}; search for older ones. Select a row to open its story."
        if len(found) > SHOWN
        else f"{len(found)} shown. Select a row to open its story."
    )
    if picked := chosen.selection.rows:
        st.query_params["entry"] = found[picked[0]].entry_id
        st.rerun()


def only(now: dict[str, tuple[State, State | None]], wanted: str) -> set[str]:
    """The entries that the filter "In runs" leaves."""
    everything = {each.entry_id for each in flag.entries(workspace)} if wanted == "never" else set[str]()
    return in_runs.chosen(now, wanted, everything)


def row(each: flag.Entry, hidden: bool) -> dict[str, object]:
    """One line of the table; what would unblind its reader is left out."""
    status = failure.STATUS_WORDS[each.status] + (" (correction waits)" if each.standing.pending else "")
    return {
        "Entry": each.entry_id,
        "Status": status,
        "Category": "in your round" if hidden else failure.category_name(config, each.category),
        "A pass is": "" if hidden else (each.passes_when or "erased")[:160],
        "Failed": "" if hidden else each.failed,
        "Reports": each.standing.reports,
        "Task": each.task or "",
        "Source": failure.SOURCE_WORDS[each.source],
        "By": each.reported_by,
        "Reported": each.reported_at,
    }


def tell(entry_id: str, hidden: frozenset[str]) -> None:
    """One entry: what failed, what a pass is, what happened to it since, and what can be done."""
    if st.button("All entries", icon=":material/arrow_back:", type="tertiary"):
        st.query_params.clear()
        st.rerun()
    with shell.errors():
        story = flag.story(workspace, entry_id)
    entry = story.entry
    if entry.pair_id in hidden:
        shell.empty(
            f"{plain(entry.entry_id)} is closed for you now",
            "Its pair belongs to a round in which you still have pairs to label, and its story says which side failed. "
            "It opens when your part of the round is done.",
            [("label.py", "Go on labelling")],
        )
        return
    heading(entry)
    with st.container(key="story"):
        left, right = st.columns([3, 2], gap="large")
    with left:
        failed(story)
        in_runs.entry(workspace, actor, entry.entry_id)
    with right:
        events(story)
        act(entry)


def heading(entry: flag.Entry) -> None:
    """Id, status and the public facts."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(plain(entry.entry_id), width="content", anchor=False)
        st.badge(failure.STATUS_WORDS[entry.status], color=failure.BADGES[entry.status])
        if entry.standing.pending:
            st.badge("A correction waits for a second person", color="orange", icon=":material/hourglass_top:")
    model = f" ({entry.model})" if entry.model else ""
    facts = [
        failure.category_name(config, entry.category),
        f"the {entry.failed} side failed{model}",
        entry.task,
        f"pair {entry.pair_id}",
    ]
    st.caption(plain(" · ".join(fact for fact in facts if fact), 300))


def failed(story: flag.Story) -> None:
    """The snapshot, or what is left of it."""
    if story.snapshot is None:
        standing = story.entry.standing
        with st.container(border=True):
            st.markdown("**Erased**")
            failure.said(standing.erased_reason or "", "reason")
            if standing.erased_at:
                st.caption(plain(f"{failure.moment(standing.erased_at)} by {standing.erased_by}"))
        return
    with st.container(border=True):
        st.markdown("**A pass is**")
        failure.said(story.entry.passes_when or "", "pass")
    with st.container(border=True):
        st.markdown("**The answer that failed**")
        failure.answer(story.snapshot["output"], "failed")
    with st.container(border=True):
        st.markdown("**The conversation**")
        failure.conversation(story.snapshot["messages"], "conversation")
    if story.snapshot.get("reference"):
        with st.expander("What a right answer says"):
            failure.said(story.snapshot["reference"], "reference")


def events(story: flag.Story) -> None:
    """Everything that happened to the entry, oldest first."""
    st.markdown("**Its story**")
    first = story.entry
    words = {key: (story.snapshot or {}).get(key) for key in ("expected", "comment", "ticket", "provenance")}
    event(":material/flag:", "Reported", first.reported_by, first.reported_at, failure.SOURCE_WORDS[first.source])
    said(words, f"{first.seq}")
    for chapter in story.chapters:
        each = chapter.event
        icon, what, more = {
            "report": (":material/flag:", "Reported again", failure.SOURCE_WORDS[each.source] if each.source else ""),
            "confirmation": (":material/verified_user:", "Confirmed", ""),
            "correction": (
                ":material/edit:",
                "Corrected",
                f"category: {failure.category_name(config, each.category)}" if each.category else "",
            ),
            "erasure": (":material/ink_eraser:", "Text erased", each.reason or ""),
        }[each.kind]
        event(icon, what, each.actor, each.acted_at, more)
        said(chapter.text or {}, f"{each.seq}")


def event(icon: str, what: str, who: str, when: datetime, more: str) -> None:
    """One line of the story."""
    st.markdown(f"{icon} **{what}** by {plain(who)}")
    st.caption(plain(" · ".join(part for part in (failure.moment(when), more) if part), 600))


def said(words: dict[str, Any], key: str) -> None:
    """What somebody wrote, as text; a ticket that is a web address can be opened."""
    if provenance := words.get("provenance"):
        come_upon(provenance["kind"], provenance["id"])
    for name, title in (("expected", "Should have happened"), ("comment", "Comment"), ("ticket", "Ticket")):
        if text := words.get(name):
            st.caption(title)
            failure.said(text, f"{key}_{name}")
            if name == "ticket" and text.startswith(("https://", "http://")) and text.isprintable():
                st.link_button("Open the ticket", text, icon=":material/open_in_new:", key=f"open_{key}")


def come_upon(kind: str, name: str) -> None:
    """Where a failure was found; leads are led there."""
    if kind not in FOUND_IN:
        st.caption(plain(f"Come upon in {name}", 240))
        return
    file, words, key = FOUND_IN[kind]
    if actor.role == "lead":
        shell.link(file, f"Come upon {words}", query={key: name} if key else None)
    else:
        st.caption(f"Come upon {words}")


def act(entry: flag.Entry) -> None:
    """Confirm, correct, erase."""
    if entry.status == "erased":
        return
    st.divider()
    now = datetime.now(UTC)
    open_for = entry.status == "reported" or entry.standing.pending
    if open_for and flag.may_confirm(entry, actor.name):
        what = "Confirm the correction" if entry.standing.pending else "Confirm this failure"
        if st.button(what, type="primary", icon=":material/verified_user:", width="stretch"):
            with shell.errors():
                flag.confirm(workspace, entry.entry_id, actor.name, now)
            st.rerun()
    elif open_for:
        st.info("A second person has to confirm it, because you reported or corrected it.", icon=":material/group:")
    with st.expander("Correct it", icon=":material/edit:"):
        correction(entry, now)
    if actor.role == "lead":
        with st.expander("Erase its text", icon=":material/ink_eraser:"):
            erasure(entry, now)


def correction(entry: flag.Entry, now: datetime) -> None:
    """A correction is one more row; nothing is overwritten."""
    st.caption(
        "The entry stays as it was confirmed until a second person confirms the correction."
        if entry.status == "confirmed"
        else "It holds at once and stands in the story. Flagged by mistake? Say so in the comment; unconfirmed entries "
        "count nowhere."
    )
    names = {each.id: each.name for each in config.failure_categories if each.id != entry.category}
    with st.form("correct", clear_on_submit=True, border=False):
        category = st.selectbox(
            "Another category", list(names), None, format_func=lambda each: line(names[each]), placeholder="Unchanged"
        )
        expected = st.text_area("What should have happened", height=90, max_chars=flag.MAX_TEXT, key="new_expected")
        ticket = st.text_input("Ticket", max_chars=flag.MAX_TICKET, key="new_ticket")
        comment = st.text_input("Comment", max_chars=flag.MAX_TEXT, key="new_comment")
        if st.form_submit_button("Add the correction"):
            with shell.errors():
                flag.correct(
                    workspace, entry.entry_id, actor.name, now,
                    category=category, expected=expected, comment=comment, ticket=ticket,
                )  # fmt: skip
            st.rerun()


def erasure(entry: flag.Entry, now: datetime) -> None:
    """A lead removes personal data; a tombstone stays."""
    st.caption(
        "Conversation, answer, comments and ticket go for ever, here and in the mirror file. Who, when and why stay, "
        "and the entry still counts. The pair itself is not changed."
    )
    with st.form("erase", border=False):
        reason = st.text_input("Reason (kept for ever: do not repeat the personal data)", max_chars=500)
        typed = st.text_input(f"Type {plain(entry.entry_id)} to confirm")
        if st.form_submit_button("Erase its text", icon=":material/ink_eraser:"):
            if (typed or "").strip() != entry.entry_id:
                st.error(f"Type {plain(entry.entry_id)} exactly.")
                return
            with shell.errors():
                flag.erase(workspace, entry.entry_id, actor, reason or "", now)
            st.rerun()


st.title("Adversarial set")
with shell.errors():
    in_round = rounds.open_pairs_of(workspace, actor.name)
if wanted := st.query_params.get("entry"):
    tell(wanted, in_round)
else:
    overview(in_round)
