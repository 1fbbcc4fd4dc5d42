"""The parts of the Coverage page: results computed once, tiles, what is untouched, one cluster's traces."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import streamlit as st

from review.services import coverage
from review.services.coverage import Cluster, Report
from review.services.workspace import Workspace
from review.ui import charts, coverage_charts, shell
from review.ui.text import plain

_LISTED = 12
_TRACES = 8
_CHARACTERS = 600


@st.cache_resource(ttl=3600, max_entries=16, show_spinner="Counting traffic …")
def _computed(key: tuple[Hashable, ...], _work: Callable[[], Report]) -> Report:  # noqa: ARG001 the cache's key
    return _work()


def report(workspace: Workspace) -> tuple[tuple[Hashable, ...], Report]:
    """The report, computed once for all visits until data change, and the key that says which one it is."""
    key = (workspace.settings.db, "coverage", coverage.data_version(workspace))
    return key, _computed(key, lambda: coverage.report(workspace))


def tiles(found: Report) -> None:
    """Coverage in numbers."""
    fresh = sum(each.new for each in found.clusters)
    untouched = (f"{len(found.untouched):,}", f"of {len(found.clusters):,} clusters")
    near = found.noise / found.traces if found.traces else 0.0
    numbers = {
        "Traces": (f"{found.traces:,}", f"in {found.days} days"),
        "Clusters": (f"{len(found.clusters):,}", f"{fresh:,} new" if fresh else None),
        "Not in the suite": untouched if found.suite.items else ("—", "no suite yet"),
        "Fits nowhere": (f"{near:.1%}", "of the traces"),
        "Grow": (f"{sum(each.grows for each in found.clusters):,}" if found.before else "—", "clusters"),
    }
    with st.container(key="tiles"):
        columns = st.columns(len(numbers))
    for column, (name, (value, beside)) in zip(columns, numbers.items(), strict=True):
        column.metric(name, value, beside, delta_color="off", delta_arrow="off", border=True, height="stretch")


def cluster_list(clusters: tuple[Cluster, ...], key: str) -> None:
    """Clusters by name, with the way to their traces; many are folded away."""
    for each in clusters[:_LISTED]:
        _line(each, key)
    if len(clusters) > _LISTED:
        with st.expander(f"{len(clusters) - _LISTED:,} more"):
            for each in clusters[_LISTED : _LISTED + 100]:
                _line(each, key)


def _line(each: Cluster, key: str) -> None:
    told = f"{plain(each.name, 70)} · {each.share:.1%} of traffic"
    st.button(
        told,
        key=f"{key}_{each.cluster_id}",
        type="tertiary",
        icon=":material/bubble_chart:",
        on_click=lambda: st.session_state.update(coverage_map_box=each.name),
    )


def one_cluster(workspace: Workspace, each: Cluster) -> None:
    """A cluster's numbers, its traces as plain text, and the way to a round of it."""
    st.subheader(plain(each.name, 120), anchor=False)
    st.text("Terms: " + (", ".join(each.terms) or "none that set it apart"))
    st.text(
        f"{each.traces:,} traces in the window ({each.share:.1%} of traffic), {each.before:,} in the one before · "
        f"eval suite {each.suite:,} · golden set {each.golden:,} · adversarial set {each.adversarial:,} · "
        f"in rounds {each.rounds:,}"
    )
    shell.link("rounds.py", "Draw from here", query={"cluster": each.cluster_id}, icon=":material/casino:")
    box = f"coverage_page_{each.cluster_id}"
    page = int(st.session_state.get(box, 1))
    total, lines = coverage.traces(workspace, each.cluster_id, limit=_TRACES, offset=(page - 1) * _TRACES)
    st.caption(f"{total:,} traces of all times, those nearest to the middle first: what each says of its intent.")
    for one in lines:
        with st.container(border=True):
            st.text(one.text[:_CHARACTERS] + (" …" if len(one.text) > _CHARACTERS else "") or "(no text)")
            told = f"{one.trace_id} · {one.happened_at:%Y-%m-%d %H:%M} · similarity {one.similarity:.2f}"
            st.caption(plain(told + (" · synthetic" if one.synthetic else "")))
    pages = -(-total // _TRACES)
    if pages > 1:
        st.number_input("Page", 1, pages, key=box, width=160)


def map_and_choice(key: tuple[Hashable, ...], found: Report) -> Cluster | None:
    """The map, and the cluster that was chosen on it or from the list below."""
    by_name = {each.name: each for each in found.clusters}
    told = "; ".join(f"{each.name}: {each.share:.0%}" for each in found.clusters[:8])
    name = charts.pick(
        (*key, "map"),
        lambda: coverage_charts.cluster_map(found),
        f"A map of {len(by_name)} clusters; the largest are {told}",
        list(by_name),
        name="coverage_map",
        label="Show the traces of a cluster",
        hint="click a bubble, or choose a cluster here",
    )
    return by_name.get(name) if name else None
