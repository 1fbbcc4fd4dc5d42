"""Coverage: what people ask for, and which of it rounds, golden set, adversarial set and eval suite touch."""

import streamlit as st

from review.services.coverage import Report
from review.ui import charts, coverage_charts, coverage_view, shell, verbatim
from review.ui.text import plain

SHOWN = 20

session = shell.page("coverage.py")
workspace = session.workspace


def what_counts(report: Report) -> None:
    """Which traffic is counted, and when it was clustered."""
    if report.window_from is None or report.window_to is None:
        return
    told = f"Traffic from {report.window_from:%d %b %Y} to {report.window_to:%d %b %Y}"
    if report.last_run is not None:
        told += f", clustered on {report.last_run:%d %b %Y at %H:%M} UTC"
    st.caption(plain(told + "."))
    if report.unclustered:
        st.warning(f"{report.unclustered:,} traces are in no cluster yet. Run: review cluster", icon=":material/info:")


def suite_section(report: Report) -> None:
    """Which clusters the eval suite does not touch."""
    st.subheader("What the eval suite does not touch", anchor=False)
    suite = report.suite
    if not suite.items:
        st.text("No eval suite is imported yet. Bring yours in as plain prompts (text lines, JSONL or CSV):")
        verbatim.show("review import suite prompts.txt", "suite")
        return
    untouched = report.untouched
    share = sum(each.share for each in untouched)
    if untouched:
        st.text(
            f"{len(untouched)} of {len(report.clusters)} clusters have no prompt in the suite of {suite.items:,}; "
            f"they are {share:.0%} of traffic."
        )
    else:
        st.text(f"Every one of the {len(report.clusters)} clusters has a prompt in the suite of {suite.items:,}.")
    if suite.noise:
        noun = "prompt of the suite is" if suite.noise == 1 else "prompts of the suite are"
        st.caption(f"{suite.noise:,} {noun} near no cluster: nobody asks for that at present.")
    if suite.unplaced:
        st.caption(f"{suite.unplaced:,} prompts of the suite are not placed yet. Run: review cluster")
    coverage_view.cluster_list(untouched, "untouched")


def change_section(report: Report) -> None:
    """New clusters, and those that grow."""
    st.subheader("New and growing", anchor=False)
    fresh = tuple(each for each in report.clusters if each.new)
    if fresh:
        noun = "new cluster" if len(fresh) == 1 else "new clusters"
        st.text(f"{len(fresh)} {noun}: what fitted no older one.")
        coverage_view.cluster_list(fresh, "fresh")
    else:
        st.text("No new cluster came up in the last runs.")
    if not report.before:
        st.caption(f"Growth needs clustered traffic of the {report.days} days before this window, too.")
        return
    growing = sorted((each for each in report.clusters if each.grows), key=lambda each: -each.share)
    if not growing:
        st.text("No cluster's share of traffic grew beyond chance.")
        return
    noun = "cluster has" if len(growing) == 1 else "clusters have"
    st.text(f"{len(growing)} {noun} a larger share of traffic than in the {report.days} days before.")
    charts.draw(
        (*key, "growth"),
        lambda: coverage_charts.growth(growing[:SHOWN]),
        "; ".join(f"{each.name}: {each.before} to {each.traces} traces" for each in growing[:SHOWN]),
    )
    st.caption("95 % intervals, widened because many clusters are looked at; each trace counts as independent.")


charts.style()
st.title("Coverage", anchor=False)
st.caption("What people ask for, and which of it is tested.")
with shell.errors():
    key, report = coverage_view.report(workspace)
if not report.traces or not report.clusters:
    command = "review cluster" if report.traces else "review import traces traces.jsonl\nreview cluster"
    shell.empty(
        "No clusters yet" if report.traces else "No traffic yet",
        "Coverage groups production traces by what people want. On the command line, beside this app:",
    )
    verbatim.show(command, "begin")
    st.stop()
what_counts(report)
coverage_view.tiles(report)
st.subheader("Map of what people ask for", anchor=False)
st.caption("A bubble is a cluster, as large as its traffic; what is alike stands close. Select one to read its traces.")
chosen = coverage_view.map_and_choice(key, report)
if chosen is not None:
    with st.container(border=True):
        coverage_view.one_cluster(workspace, chosen)
with charts.beside("change") as (left, right):
    with left:
        suite_section(report)
    with right:
        change_section(report)
st.subheader("Share of traffic and share of what is tested", anchor=False)
whole = len(report.clusters) > SHOWN and st.toggle(f"All {len(report.clusters)} clusters", key="coverage_all")
listed = report.clusters if whole else report.clusters[:SHOWN]
charts.draw(
    (*key, "shares", whole),
    lambda: coverage_charts.shares(report, listed),
    "; ".join(f"{each.name}: {each.share:.1%} of traffic" for each in listed),
)
charts.downloads()
