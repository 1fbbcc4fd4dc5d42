"""The calibration section of a page: what the confidences are worth, in words first, then in pictures."""

from __future__ import annotations

import streamlit as st

from review.services.calibration import CalibrationReport, CertaintyShift, SystemCalibration
from review.stats.calibration import BAND_RULE, Corp, MeanChange
from review.stats.estimate import Estimate, NotEstimable, Result
from review.ui import calibration_charts, charts
from review.ui.text import plain

# What was left out, in words; a trailing side is told as such.
EXCLUDED = {
    "not_labelled": "not labelled, nor given as correct or wrong",
    "people_unresolved": "on which people found no majority",
    "people_cannot_tell": "where people could not tell",
    "only_usable_on": "usable on this side only",
    "only_one_side_answered": "with an answer for one side only",
    "only_in": "in this file only",
}
NO_CONFIDENCE = (
    "No answer carries a confidence. Import pairs whose old and new have the field “confidence” (0 to 1, the stated "
    "or token probability of being right), with “correct” where it is known; or compare plain files: "
    "review calibration --old FILE --new FILE"
)
NO_CORRECTNESS = (
    "There are confidences, but nothing yet says which of these answers are right: label their pairs (the direction of "
    "error), or import the field “correct”."
)


def show(report: CalibrationReport) -> None:
    """Draw the section; call it inside a container. `key`s begin with "calibration"."""
    charts.style()
    st.subheader("Calibration", anchor=False)
    st.caption("Whether a stated confidence means what it says, and whether the wording is as sure as it may be.")
    measured = {side: system for side, system in report.systems.items() if system.n}
    if measured:
        _confidences(report, measured)
    else:
        st.text(NO_CORRECTNESS if report.systems else NO_CONFIDENCE)
        _left_out({name: count for name, count in report.exclusions.items() if count})
    if report.shift is not None:
        _shift(report.shift)
    with st.expander("How calibration is measured"):
        for rule in (*report.in_words, f"{BAND_RULE}."):
            st.text(rule)


def _confidences(report: CalibrationReport, measured: dict[str, SystemCalibration]) -> None:
    st.markdown(_verdict(report, measured))
    for side, system in measured.items():
        st.markdown(_system(side, system))
    _sources(report)
    _left_out({name: count for name, count in report.exclusions.items() if count})
    if len(measured) == 2:
        with charts.beside("calibration_reliability") as columns:
            for column, (side, system) in zip(columns, measured.items(), strict=True):
                with column:
                    _reliability(side, system)
    else:
        for side, system in measured.items():
            _reliability(side, system)
    st.caption(
        "Solid: share correct at each confidence (isotonic). Dashed: what the confidence promises. Shaded: where the "
        "line of a calibrated system would lie; below it the answers are surer than they may be. Bars: answers."
    )
    _thresholds(report)


def _reliability(side: str, system: SystemCalibration) -> None:
    st.markdown(f"**Reliability of {side}**")
    charts.show(calibration_charts.reliability(side, system))
    charts.show(calibration_charts.counts(side, system))


def _verdict(report: CalibrationReport, measured: dict[str, SystemCalibration]) -> str:
    """What the paired Brier difference says."""
    change = report.brier_difference
    if change is None:
        return f"Only **{next(iter(measured))}** has confidences, so nothing can be compared with it."
    if isinstance(change, NotEstimable):
        return f"Whether calibration changed cannot be said: {plain(change.reason)}."
    moved = change.estimate
    if moved.low <= 0 <= moved.high:
        told = "**No clear change of the confidences' quality.**"
    else:
        told = f"**New's confidences are {'worse' if moved.value > 0 else 'better'} than old's.**"
    told += f" Brier score {_signed(moved)} on the same {moved.n:,} answers ({_p(change.p)}; lower is better)."
    right = report.accuracy_difference
    if isinstance(right, MeanChange):
        told += f" The share correct changed by {_points(right.estimate)} ({_p(right.p)})."
    return told


def _system(side: str, system: SystemCalibration) -> str:
    """One system in a sentence: sure, right, Brier and its parts, ECE."""
    says, right = (_percent(result) for result in (system.confidence, system.accuracy))
    told = f"**{side.capitalize()}** says {says} and is right {right} of the time"
    if isinstance(system.brier, Estimate):
        told += f"; Brier {system.brier.value:.3f} ({system.brier.low:.3f} to {system.brier.high:.3f})"
    if isinstance(system.corp, Corp):
        told += (
            f", of which {system.corp.miscalibration:.3f} is miscalibration "
            f"(discrimination {system.corp.discrimination:.3f})"
        )
    if not isinstance(system.ece, NotEstimable):
        told += f"; ECE {system.ece.value:.3f}"
    return f"{told}. {system.n:,} answers, {system.prompts:,} prompts."


def _thresholds(report: CalibrationReport) -> None:
    coverage, error = (calibration_charts.thresholds(report, what) for what in ("coverage", "error"))
    st.markdown("**If answers below a confidence go to a person**")
    if len(report.systems) == 2:
        at = st.select_slider(
            "From this confidence on, the machine answers",
            [each.at for each in report.thresholds],
            0.8,
            format_func=lambda share: f"{share:.0%}",
            key="calibration_threshold",
        )
        row = next(each for each in report.thresholds if each.at == at)
        st.markdown(
            f"From {at:.0%} on, the share answered by the machine changes by {_change(row.coverage_change)}, the share "
            f"wrong among those by {_change(row.error_change)}."
        )
    with charts.beside("calibration_thresholds") as (left, right):
        for column, picture in ((left, coverage), (right, error)):
            with column:
                if picture is None:
                    st.caption("Nothing can be estimated here yet.")
                else:
                    charts.show(picture)


def _shift(found: CertaintyShift) -> None:
    st.markdown("**How sure people find the wording**")
    if not found.n:
        st.text("Nobody has judged the certainty of both answers of a pair yet. The card asks for it on every pair.")
        return
    net = found.net
    if isinstance(net, NotEstimable):
        told = f"Whether it moved cannot be said: {plain(net.reason)}."
    else:
        moved = net.estimate
        if moved.low <= 0 <= moved.high:
            told = "**No clear move of the certainty.**"
        else:
            told = f"**New is {'surer' if moved.value > 0 else 'less sure'} than old, against what it may be.**"
        told += f" Too high minus too low changed by {_points(moved)} on {found.n:,} pairs ({_p(net.p)})."
    st.markdown(told)
    _left_out({name: count for name, count in found.excluded.items() if count})
    with charts.beside("calibration_shift") as (left, right):
        with left:
            charts.show(calibration_charts.shift(found))
        with right:
            charts.show(calibration_charts.shift_matrix(found))


def _sources(report: CalibrationReport) -> None:
    if report.sources:
        given, labels = report.sources["given"], report.sources["labels"]
        st.caption(
            f"Right or wrong as given with the pair: {given:,} answers; as people's final answer says: {labels:,}."
        )


def _left_out(counts: dict[str, int]) -> None:
    parts: list[str] = []
    for name, count in counts.items():
        side = next((side for side in ("old", "new") if name.endswith(f"_{side}")), "")
        reason = name.removesuffix(f"_{side}") if side else name
        parts.append(f"{count:,} {f'of {side} ' if side else ''}{EXCLUDED.get(reason, reason)}")
    if parts:
        st.caption(plain("Left out: " + "; ".join(parts) + "."))


def _signed(moved: Estimate) -> str:
    return f"{moved.value:+.3f} ({moved.low:+.3f} to {moved.high:+.3f})"


def _points(moved: Estimate) -> str:
    """A change of a share, in points."""
    return f"{100 * moved.value:+.1f} points ({100 * moved.low:+.1f} to {100 * moved.high:+.1f})"


def _change(result: Result | None) -> str:
    if isinstance(result, Estimate):
        return _points(result)
    return "an unknown amount" + (f" ({plain(result.reason)})" if result is not None else "")


def _percent(result: Result) -> str:
    """A rate with its interval, or why there is none."""
    if isinstance(result, NotEstimable):
        return f"an unknown share ({plain(result.reason)})"
    return f"{100 * result.value:.0f} % ({100 * result.low:.0f} to {100 * result.high:.0f} %)"


def _p(value: float) -> str:
    return "p < .001" if value < 0.001 else f"p = {value:.3f}".replace("0.", ".", 1)
