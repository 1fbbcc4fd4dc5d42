"""Rounds: draw one, see how far each is, decide what people contradict each other on."""

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from review.domain.frame import StratifyBy
from review.errors import BadInput, NotAllowed
from review.services import agreement, rounds
from review.services.rounds import DrawnStratum, DrawSpec, Preview, RoundSummary
from review.stats import design
from review.stats.estimate import NotEstimable
from review.ui import replay_section, shell
from review.ui.adjudication import adjudication
from review.ui.text import line, plain

if TYPE_CHECKING:
    import altair as alt

VIEWS = {"rounds": "Rounds", "draw": "Draw a round", "adjudicate": "Adjudicate"}
STATE_WORDS = {"open": "open", "finished": "finished", "ended": "ended by a lead"}
STRATA_WORDS: dict[StratifyBy, str] = {"task": "by task", "cluster": "by cluster", "none": "one"}
LEAKS_SHOWN = 20

session = shell.page("rounds.py")
workspace, actor = session.workspace, session.actor


@st.cache_data(ttl=600, show_spinner="Looking at the frame …", max_entries=32)
def previewed(db: Path, version: str, spec: DrawSpec) -> Preview | str:  # noqa: ARG001 the cache's key
    """What the draw would take, or why there is none; `db` and `version` change with the data."""
    try:
        return rounds.preview(workspace, spec)
    except BadInput as error:
        return str(error)


def strata_chart(strata: tuple[DrawnStratum, ...]) -> "alt.LayerChart":
    """What the frame holds and what is drawn of it, one bar a stratum."""
    import altair as alt  # imported here: the list of rounds has no chart until somebody opens one
    import pandas as pd

    data = pd.DataFrame(
        {
            "stratum": each.stratum.removeprefix("disagreement: "),
            "frame": each.frame,
            "drawn": each.drawn,
            "pi": each.pi,
            "text": f"{each.drawn} of {each.frame}",
        }
        for each in strata
    )
    base = alt.Chart(data).encode(
        y=alt.Y("stratum:N", title=None, sort=None, axis=alt.Axis(labelLimit=260, ticks=False, domain=False)),
        tooltip=["stratum:N", "frame:Q", "drawn:Q", alt.Tooltip("pi:Q", title="inclusion probability", format=".3f")],
    )
    bars = base.mark_bar(color="#9fb8b6", opacity=0.55, height=16, cornerRadiusEnd=3).encode(
        x=alt.X("frame:Q", title="pairs", axis=alt.Axis(tickMinStep=1, grid=False))
    )
    drawn = base.mark_bar(color="#2f6f73", height=16, cornerRadiusEnd=3).encode(x="drawn:Q")
    text = base.mark_text(align="left", dx=6, color="#7d8588").encode(x="frame:Q", text="text:N")
    return alt.LayerChart(layer=[bars, drawn, text]).properties(height=26 * len(strata) + 50)


def overview(drawn: list[RoundSummary]) -> None:
    """Every round, newest first."""
    if not drawn:
        shell.empty(
            "No round is drawn yet",
            "A round is 50–100 pairs on which the two stacks differ, drawn at random by task, so that what reviewers "
            "say about it can be carried over to all disagreements. Choose “Draw a round” above.",
        )
    for each in drawn:
        with st.container(border=True):
            one_round(each)
    replay_section.show(workspace)


def one_round(each: RoundSummary) -> None:
    done = each.progress
    st.subheader(plain(each.title, 90), anchor=False)
    st.progress(min(1.0, done.done / done.places) if done.places else 0.0)
    facts = [
        STATE_WORDS.get(done.state, done.state),
        f"{done.done} of {done.places} labels",
        f"{each.size} pairs, {each.overlap} reviewer{'s' if each.overlap > 1 else ''} each",
    ]
    facts += [f"{done.skips} skipped"] if done.skips else []
    facts += [f"{done.surplus} surplus"] if done.surplus else []
    facts += [f"median {done.median_seconds:.0f} s"] if done.median_seconds is not None else []
    st.caption(" · ".join(facts))
    if done.stuck and done.state == "open":
        st.warning(
            f"{done.stuck} pairs wait for somebody else: everybody who takes part has answered or skipped them.",
            icon=":material/person_add:",
        )
    details(each)
    if done.state == "open" and st.button(
        "End this round", key=f"end_{each.round_id}", type="tertiary", help="Nothing more is handed out; labels stay."
    ):
        with shell.errors():
            rounds.end(workspace, each.round_id, actor.name, datetime.now(UTC))
        st.rerun()


@st.fragment
def details(each: RoundSummary) -> None:
    """The story of a round, made when somebody opens it: most visitors look at one round or none."""
    box = st.expander("Who, what from, and how it was drawn", key=f"details_{each.round_id}", on_change="rerun")
    if not box.open:
        return
    with box:
        st.text(
            "\n".join(f"{name}: {count} labels" for name, count in each.progress.reviewers.items()) or "Nobody yet."
        )
        st.altair_chart(strata_chart(each.strata), key=f"strata_{each.round_id}")
        for note in each.notes:
            st.text(note)
        st.text(f"Drawn by {each.drawn_by} on {each.drawn_at:%d %b %Y, %H:%M} UTC · {each.round_id}")
        st.text(f"Frame {each.frame_hash[:16]}: {_kinds(each.counts)}")
        st.text(seed_words(each.round_id))


def seed_words(round_id: str) -> str:
    try:
        return f"Seed {rounds.seed_of(workspace, round_id, actor.name)}"
    except NotAllowed as error:
        return str(error)


def _kinds(counts: rounds.Counts) -> str:
    return (
        f"{counts.disagreement:,} disagreements, {counts.judged_tie:,} judged ties, "
        f"{counts.identical:,} identical (never drawn)"
    )


def draw() -> None:
    """The draw's settings with a live preview."""
    with st.container(key="halves"):
        left, right = st.columns([2, 3], gap="large")
    with left:
        spec = asked_for()
    with right:
        preview = previewed(workspace.settings.db, agreement.data_version(workspace), spec)
        if isinstance(preview, str):
            st.info(plain(preview), icon=":material/info:")
            return
        show(preview)
        if st.button("Draw this round", type="primary", icon=":material/casino:", width="stretch"):
            with shell.errors():
                rounds.draw(workspace, spec, actor.name, datetime.now(UTC))
            st.session_state.pop("seed", None)
            st.session_state["drawn"] = True
            st.rerun()


def asked_for() -> DrawSpec:
    name = st.text_input("Name", placeholder="Optional, as in: Week 12, after the quantization", max_chars=80)
    size = st.slider("Pairs", 10, 200, 80, 5, help="50 to 100 fit an hour or two of one reviewer.")
    overlap = st.segmented_control("Reviewers a pair", [1, 2, 3], default=1, required=True)
    share = None
    if overlap == 1 and st.checkbox("A second one for a quarter of them", help="Shows how far people agree."):
        share = 0.25
    clusters = rounds.clusters(workspace)
    cluster = from_cluster(clusters)
    kinds: list[StratifyBy] = [each for each in STRATA_WORDS if each != "cluster" or clusters]
    with st.expander("More"):
        by = st.segmented_control(
            "Strata",
            kinds,
            default="task",
            format_func=STRATA_WORDS.__getitem__,
            required=True,
            help="By cluster: what people want, as the clusters of traffic have it." if clusters else None,
        )
        audit = st.slider("Judged ties, as an audit", 0, 50, 10, 5, format="%d %%", help="A judge's misses hide there.")
        repeat = st.slider("Shown again, unannounced, sides swapped", 0, 30, 5, 5, format="%d %%")
        sources = rounds.sources(workspace)
        source = st.selectbox(
            "Pairs from", sources, index=None, placeholder="all imports", format_func=lambda each: line(each, 60)
        )
        seed = st.number_input(
            "Seed",
            0,
            2**53 - 1,
            int(st.session_state.setdefault("seed", secrets.randbelow(10_000))),
            help="Repeats the draw.",
        )
    return DrawSpec(
        size=size,
        seed=seed,
        overlap=overlap or 1,
        overlap_share=share,
        repeat=repeat / 100,
        by=next(each for each in kinds if each == by),
        audit=audit / 100,
        name=name.strip() or None if name else None,
        source=source,
        cluster=cluster,
    )


def from_cluster(clusters: dict[str, str]) -> str | None:
    """The one cluster to draw from, or None for all; the address may name it."""
    asked = st.query_params.get("cluster")
    if asked and asked not in clusters:
        st.caption("No pair comes from this cluster yet: sample and replay its traces first. Drawn from all pairs.")
    if not clusters:
        return None
    return st.selectbox(
        "Cluster",
        list(clusters),
        index=list(clusters).index(asked) if asked in clusters else None,
        placeholder="all clusters",
        format_func=lambda each: line(clusters[each], 60),
    )


def show(preview: Preview) -> None:
    """What the draw would take, and what it could show."""
    kinds = preview.counts
    tiles = {"Disagreements": kinds.disagreement, "Judged ties": kinds.judged_tie, "Identical": kinds.identical}
    with st.container(key="tiles"):
        columns = st.columns(len(tiles))
    for column, (name, value) in zip(columns, tiles.items(), strict=True):
        column.metric(name, f"{value:,}", border=True)
    st.text(what_it_shows(preview))
    for note in preview.notes:
        st.caption(plain(note))
    if preview.leaks:
        noun = "answer in this draw names its" if len(preview.leaks) == 1 else "answers in this draw name their"
        with st.expander(f"{len(preview.leaks)} {noun} own model or maker", icon=":material/visibility:"):
            st.caption("Reviewers could tell the sides apart. Redact them before import, or accept it knowingly.")
            st.text("\n".join(f"{leak.pair_id}: {leak.word}" for leak in preview.leaks[:LEAKS_SHOWN]))
    st.altair_chart(strata_chart(preview.strata), key="preview_strata")


def what_it_shows(preview: Preview) -> str:
    """The size in terms of what a lead wants to know, for the disagreements it is drawn from."""
    half = design.half_width(preview.size)
    said = f"{preview.size} labels give an agreement rate to within ±{100 * half:.0f} points (at 50 %, 95 % level). "
    share = preview.frame / max(1, preview.counts.total)
    shift = design.smallest_visible_shift(preview.size, discordant=0.3, frame_share=share)
    if isinstance(shift, NotEstimable):
        return said + "They are too few to show a shift from old to new."
    return said + (
        f"The smallest shift from old to new they would show (power 80 %, 30 % of pairs one-sided) is "
        f"{100 * shift:.1f} points of all {preview.counts.total:,} pairs."
    )


st.title("Rounds", anchor=False)
if st.session_state.pop("drawn", False):
    st.session_state["view"] = "rounds"
    st.toast("The round is drawn. Reviewers find it on Label.", icon=":material/check_circle:")
start = "adjudicate" if "round" in st.query_params else "draw" if "cluster" in st.query_params else "rounds"
view = st.segmented_control(
    "View",
    list(VIEWS),
    default=None if "view" in st.session_state else start,
    key="view",
    format_func=VIEWS.__getitem__,
    label_visibility="collapsed",
    required=True,
)
with shell.errors():
    every = rounds.list_rounds(workspace)
if view == "draw":
    draw()
elif view == "adjudicate":
    adjudication(session, every)
else:
    overview(every)
