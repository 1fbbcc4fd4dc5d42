"""The shell around every page: the workspace, who is there and in which role, navigation, errors as one line.

Until real sign-in comes, a person says who they are. That is asked here and nowhere else.
"""

from __future__ import annotations

import functools
import json
import urllib.parse
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.components.v2 import component
from streamlit.errors import StreamlitPageNotFoundError

from review import settings
from review.errors import ReviewError
from review.services.workspace import ROLES, Actor, Role, Workspace, open_workspace
from review.ui.text import plain

PAGES_FOLDER = settings.ROOT / "pages"
ROLE_HELP: dict[Role, str] = {
    "reviewer": "labels pairs, blind",
    "support": "flags failures from tickets",
    "lead": "draws rounds, reads the numbers",
}
_COOKIE = "review_actor"

# Streamlit leaves a hand's breadth above a title; the first screen is worth more. Columns inside a container whose key
# begins with "tiles" or "halves" go below each other before their texts are cut. A narrow field has no room for its
# text and for Streamlit's hint upon it.
_ROOM = """<style>
.stMainBlockContainer { padding-top: 3.5rem; }
@media (max-width: 1100px) {
    .stMainBlockContainer { padding-left: 1.5rem; padding-right: 1.5rem; }
    [data-testid="stTextInput"] [data-testid="InputInstructions"] { display: none; }
}
[class*="st-key-tiles"] [data-testid="stColumn"] { min-width: 9.5rem; }
[class*="st-key-halves"] [data-testid="stColumn"] { min-width: 19rem; }
[class*="st-key-halves"] [class*="st-key-tiles"] [data-testid="stColumn"] { min-width: 7.5rem; }
</style>"""

# A cookie outlives reloads and restarts of the server; Streamlit itself can only read one.
_remember = component(
    "review_remember",
    js="""export default function ({ data }) {
        document.cookie = `${data.name}=${data.value}; path=/; max-age=${data.seconds}; samesite=strict`;
    }""",
)


@dataclass(frozen=True)
class PageInfo:
    """One page: its file in pages/, title, icon, the roles that see it, and where in the navigation it stands."""

    file: str
    title: str
    icon: str
    roles: tuple[Role, ...] = ROLES
    listed: bool = True
    section: str = ""


PAGES: tuple[PageInfo, ...] = (
    PageInfo("home.py", "Home", ":material/home:"),
    PageInfo("label.py", "Label", ":material/rate_review:", ("reviewer", "lead"), section="Review"),
    PageInfo("audit.py", "Weekly audit", ":material/fact_check:", ("reviewer", "lead"), section="Review"),
    PageInfo("flag.py", "Flag", ":material/flag:", section="Review"),
    PageInfo("adversarial.py", "Adversarial set", ":material/shield:", section="Review"),
    PageInfo("coverage.py", "Coverage", ":material/bubble_chart:", ("lead",), section="Evidence"),
    PageInfo("golden.py", "Golden set", ":material/verified:", ("reviewer", "lead"), section="Evidence"),
    PageInfo("rounds.py", "Rounds", ":material/stacks:", ("lead",), section="Evidence"),
    PageInfo("pii_audit.py", "Privacy", ":material/shield_person:", ("lead",), section="Evidence"),
    PageInfo("runs.py", "Runs", ":material/conversion_path:", ("lead",), section="Verdict"),
    PageInfo("gate.py", "Gate", ":material/gavel:", ("lead",), section="Verdict"),
    PageInfo("agreement.py", "Agreement", ":material/handshake:", ("lead",), section="Verdict"),
    PageInfo("parity.py", "Parity", ":material/balance:", ("lead",), section="Verdict"),
    PageInfo("drift.py", "Drift", ":material/monitor_heart:", ("lead",), section="Verdict"),
    PageInfo("pair.py", "Pair", ":material/compare:", ("lead",), listed=False),
)


@dataclass(frozen=True)
class Session:
    """What a page needs: the workspace and who looks at it."""

    workspace: Workspace
    actor: Actor


def workspace() -> Workspace:
    """The process's one workspace for the configured database, opened at first use."""
    return _workspace(settings.database())


@functools.cache
def _workspace(db: Path) -> Workspace:
    # A command has the file for moments only.
    return open_workspace(settings.load(db), patience=5.0)


def page(file: str) -> Session:
    """Begin a page: title, sign-in when nobody is there, the role check. Call it first, with the page's file name.

    Stops the script when the person must sign in or may not see the page.
    """
    info = next(each for each in PAGES if each.file == file)
    with errors():
        session = Session(workspace(), _actor() or _sign_in())
    if session.actor.role not in info.roles:
        allowed = " or ".join(info.roles)
        st.title(info.title)
        st.info(f"This page is for the role {allowed}. You are here as {session.actor.role}; change it in the sidebar.")
        st.stop()
    return session


@contextmanager
def errors() -> Generator[None]:
    """Show an error of ours as one line, and stop the page there."""
    try:
        yield
    except ReviewError as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.stop()


def link(file: str, label: str, *, query: dict[str, str] | None = None, icon: str | None = None) -> None:
    """A link to another page of the app."""
    info = next(each for each in PAGES if each.file == file)
    try:
        st.page_link(PAGES_FOLDER / file, label=label, icon=icon or info.icon, query_params=query)
    except StreamlitPageNotFoundError:
        st.caption(label)  # the page runs alone, without navigation


def navigate() -> None:
    """The navigation for the person's role, and the page that was asked for."""
    st.set_page_config(page_title="Parity review", page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide")
    actor = _actor()
    shown: dict[str, list[st.Page]] = {}
    for info in PAGES:
        listed = info.listed and actor is not None and actor.role in info.roles
        shown.setdefault(info.section, []).append(
            st.Page(
                PAGES_FOLDER / info.file,
                title=info.title,
                icon=info.icon,
                default=info.file == "home.py",
                visibility="visible" if listed else "hidden",
            )
        )
    chosen = st.navigation(shown, expanded=True)
    st.html(_ROOM)
    if actor is not None:
        _who(actor)
    chosen.run()


def _actor() -> Actor | None:
    """Who is there: this session's answer, else the cookie's."""
    if "actor" in st.session_state:
        return st.session_state["actor"]
    try:
        name, role = json.loads(urllib.parse.unquote(st.context.cookies.get(_COOKIE, "")))
    except (ValueError, TypeError):
        return None
    if not isinstance(name, str) or role not in ROLES or not _is_name(name):
        return None
    st.session_state["actor"] = Actor(name, role)
    return st.session_state["actor"]


def _is_name(name: str) -> bool:
    return 1 <= len(name) <= 60 and name.isprintable() and name == name.strip()


def _sign_in() -> Actor:
    """Ask who is there; stops the script until it is answered."""
    _, middle, _ = st.columns([1, 2, 1])
    with middle, st.container(border=True):
        st.subheader("Who is reviewing?")
        with st.form("sign_in", border=False):
            name = st.text_input("Your name", placeholder="as colleagues know you", autocomplete="name")
            role = st.radio(
                "Your role", ROLES, captions=[ROLE_HELP[each] for each in ROLES], format_func=str.capitalize
            )
            sent = st.form_submit_button("Continue", type="primary", width="stretch")
        st.caption("Labels carry this name, so use the same one each time.")
        if sent:
            if _is_name(name.strip()):
                _become(Actor(name.strip(), role))
                st.rerun()
            st.error("A name has 1 to 60 printable characters.")
    st.stop()


def _become(actor: Actor) -> None:
    st.session_state["actor"] = actor
    st.session_state["remember"] = actor


def _who(actor: Actor) -> None:
    """The sidebar's foot: who, role, sign out; and the cookie that remembers it."""
    label = plain(f"{actor.name} · {actor.role}")
    with st.sidebar, st.popover(label, icon=":material/person:", width="stretch"):
        role = st.radio("Role", ROLES, index=ROLES.index(actor.role), captions=[ROLE_HELP[each] for each in ROLES])
        if role != actor.role:
            _become(Actor(actor.name, role))
            st.rerun()
        if st.button("Sign out", width="stretch"):
            del st.session_state["actor"]
            st.session_state["remember"] = None
            st.rerun()
    if "remember" in st.session_state:
        _keep_cookie(st.session_state["remember"])


def _keep_cookie(actor: Actor | None) -> None:
    value = urllib.parse.quote(json.dumps([actor.name, actor.role])) if actor else ""
    _remember(data={"name": _COOKIE, "value": value, "seconds": 30 * 86400 if actor else 0}, key="remember_component")


def empty(title: str, body: str, links: Sequence[tuple[str, str]] = ()) -> None:
    """An empty state: what is not there yet, and what to do next (pairs of page file and link text)."""
    with st.container(border=True):
        st.subheader(title)
        st.write(body)
        for file, label in links:
            link(file, label)
