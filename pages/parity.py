"""Parity: is new as good as old under the contract, and if that cannot be said yet, what is missing."""

from pathlib import Path

import streamlit as st

from review.services import agreement, calibration, contracts, looks, parity, tone
from review.services import report as report_service
from review.services.parity_report import ParityReport
from review.ui import calibration_section, charts, parity_sections, report_button, shell, tone_section
from review.ui.text import line

DETAILS = {
    "tolerance": "Right answers",
    "failures": "Ways to fail",
    "direction": "Direction of error",
    "tone": "Tone",
    "calibration": "Calibration",
    "contract": "Contract and looks",
}

session = shell.page("parity.py")
workspace, actor = session.workspace, session.actor
version = agreement.data_version(workspace)
contract = contracts.agreed(workspace)


@st.cache_resource(ttl=3600, max_entries=16, show_spinner="Weighing labels and verdicts …")
def judged(db: Path, version: str, contract: str, round_id: str | None, alpha: float | None) -> ParityReport:  # noqa: ARG001 the cache's key
    """The report; `db`, `version` and `contract` change with the data and what was agreed."""
    return parity.parity(workspace, round_id=round_id, alpha=alpha)


@st.cache_resource(ttl=3600, max_entries=8, show_spinner="Measuring the wording …")
def toned(db: Path, version: str, round_id: str | None) -> tone.ToneReport:  # noqa: ARG001 the cache's key
    """What tone people preferred, and what changed in the wording."""
    return tone.tone_of(workspace, round_id)


@st.cache_resource(ttl=3600, max_entries=8, show_spinner="Comparing confidence with correctness …")
def calibrated(db: Path, version: str, round_id: str | None) -> calibration.CalibrationReport:  # noqa: ARG001 the cache's key
    """Whether confidence fits correctness, old and new."""
    return calibration.calibration_of(workspace, round_id)


charts.style()
with st.container(key="parts_title"):
    heading, choice = st.columns([3, 2], gap="medium", vertical_alignment="bottom")
heading.title("Parity", anchor=False)
heading.caption("Is the new stack as good as the old one, within what was agreed?")
with shell.errors():
    names = agreement.round_names(workspace)
    round_id = choice.selectbox(
        "Labels of",
        list(names),
        None,
        format_func=lambda each: line(names[each], 80),
        placeholder="all rounds and imports",
    )
    agreement.require_sight(workspace, actor.name, round_id=round_id)
    report = judged(workspace.settings.db, version, contract.digest, round_id, None)
    plan = looks.plan(workspace, report)
if report.labelled == 0:
    shell.empty(
        "Nothing to judge yet",
        "Parity needs labels that say of both answers whether something is wrong and which way, or pairs that came "
        "with their correctness. Draw a round and label it, or import labels.",
        [("rounds.py", "Draw a round")],
    )
    st.stop()
read = parity_sections.verdict_banner(workspace, report, plan, actor.name)
if read and plan.last is not None:
    report = judged(workspace.settings.db, version, contract.digest, round_id, plan.last.alpha)
parity_sections.part_tiles(report, read=read)
detail = st.segmented_control(
    "Evidence", list(DETAILS), default="tolerance", format_func=DETAILS.__getitem__, required=True
)
key = ("parity", workspace.settings.db, version, contract.digest, round_id, report.alpha)
with st.container(border=True), shell.errors():
    if detail == "tolerance":
        parity_sections.tolerance_section(report, key, read=read)
    elif detail == "failures":
        named = {each.id: each.name for each in workspace.settings.config.failure_categories}
        parity_sections.failures_section(report, key, lambda each: named.get(each, each), read=read)
    elif detail == "direction":
        parity_sections.direction_section(report, key, read=read)
    elif detail == "tone":
        tone_section.show(toned(workspace.settings.db, version, round_id))
    elif detail == "calibration":
        calibration_section.show(calibrated(workspace.settings.db, version, round_id))
    else:
        parity_sections.contract_section(report, plan)
if detail != "contract":
    charts.downloads()
report_button.show(workspace, actor.name, report_service.Asked(round_id=round_id))
