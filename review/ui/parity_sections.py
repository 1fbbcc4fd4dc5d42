"""The parts of the Parity page: verdict, looks, and the evidence of each part."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime

import streamlit as st

from review.services import looks
from review.services.looks import Look, LookPlan
from review.services.parity_report import (
    OVERALL,
    CategoryGrowth,
    ErrorDirection,
    FailureModes,
    Missing,
    ParityReport,
    TaskParity,
)
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable, Result
from review.ui import charts, parity_charts, shell
from review.ui.parity_charts import Against
from review.ui.text import line, plain

WORDS = {"parity": "Parity", "regression": "Regression", "inconclusive": "Inconclusive"}
ICONS = {
    "parity": ":material/check_circle:",
    "regression": ":material/error:",
    "inconclusive": ":material/hourglass_empty:",
}
MEANS = {
    "parity": "Every part of the contract holds: new is as good as old within its margins.",
    "regression": "At least one part of the contract is broken beyond chance.",
    "inconclusive": "Nothing is broken beyond chance, and not everything is shown to hold. Labels are missing.",
}
PARTS = {
    "tolerance": "Right answers within tolerance",
    "failure_modes": "No new ways to fail",
    "direction": "Direction of error preserved",
}
DIRECTIONS = {
    "preserved": "preserved",
    "towards_confident": "moved towards confident",
    "towards_cautious": "moved towards cautious",
    "inconclusive": "cannot be told yet",
}


def points(value: float) -> str:
    return f"{100 * value:+.1f}"


def told(result: Result) -> str:
    """An estimate in points of all traffic, or why there is none."""
    if isinstance(result, NotEstimable):
        return f"cannot be estimated: {result.reason}"
    return f"{points(result.value)} points ({points(result.low)} to {points(result.high)})"


def name_of(task: str | None) -> str:
    return "All traffic" if task == OVERALL else line(task or "(no task)", 60)


def verdict_banner(workspace: Workspace, report: ParityReport, plan: LookPlan, actor: str) -> bool:
    """The verdict that counts, or where labels stand without one; returns whether verdicts of parts may be shown."""
    last = plan.last
    current = last is not None and last.evidence == report.evidence
    with st.container(border=True, key="parts_verdict"):
        said, done = st.columns([3, 2], gap="medium", vertical_alignment="center")
    with said:
        if last is None:
            st.subheader("No verdict yet", anchor=False)
            st.text("A verdict is read off at a look. Looks are few, because reading until it says “parity” misleads.")
        else:
            st.subheader(f"{ICONS[last.verdict]} {WORDS[last.verdict]}", anchor=False)
            st.text(MEANS[last.verdict])
            st.caption(_looked(last, plan))
        if not current and last is not None:
            since = report.labelled - last.labelled
            more = f"{since:,} more labelled pairs" if since > 0 else "other labels or verdicts"
            st.caption(f"Since then there are {more}. Below are estimates of now; the verdict is that of the look.")
        if plan.refusal and not current:
            st.caption(plain(plan.refusal))
        if plan.other_contracts:
            st.caption(f"{plan.other_contracts} looks were taken at these labels under other contracts.")
    with done:
        share = min(1.0, plan.labelled / plan.planned)
        st.progress(share, text=f"{plan.labelled:,} of {max(plan.planned, plan.labelled):,} planned pairs are labelled")
        if plan.alpha is not None:
            _look_button(workspace, report, plan, actor, share)
    return current


def _look_button(workspace: Workspace, report: ParityReport, plan: LookPlan, actor: str, share: float) -> None:
    """Take a look, and what it may use."""
    number = len(plan.looks) + 1
    if st.button(
        f"Look now ({number} of {plan.planned_looks})",
        type="primary",
        icon=":material/visibility:",
        width="stretch",
        help=f"Uses a one-sided alpha of {plan.alpha:.3g}; it is recorded and cannot be taken back.",
    ):
        with shell.errors():
            looks.take(workspace, report.round_id, actor, datetime.now(UTC))
        st.rerun()
    if share < 1 and number < plan.planned_looks:
        st.caption(
            f"At {100 * share:.0f} % of the plan a look may use an alpha of {plan.alpha:.2g} of "
            f"{report.contract.alpha:.2g}: it decides only what is very clear."
        )


def _looked(look: Look, plan: LookPlan) -> str:
    return plain(
        f"Look {look.number} of {plan.planned_looks}, {look.taken_at:%d %b %Y %H:%M} UTC by {look.taken_by}, on "
        f"{look.labelled:,} labelled pairs, at a one-sided alpha of {look.alpha:.3g}."
    )


def part_tiles(report: ParityReport, *, read: bool) -> None:
    """The three parts side by side: verdict, number, margin."""
    verdicts = report.part_verdicts()
    numbers = {
        "tolerance": _tolerance_tile(report.tolerance),
        "failure_modes": _failures_tile(report.failure_modes),
        "direction": _direction_tile(report.direction),
    }
    with st.container(key="parts"):
        columns = st.columns(3, gap="small")
    for column, (part, title) in zip(columns, PARTS.items(), strict=True):
        with column, st.container(border=True, height="stretch"):
            st.markdown(f"**{title}**")
            if read:
                verdict = verdicts[part]
                st.markdown(f"{ICONS[verdict]} {WORDS[verdict]}")
            for each in numbers[part]:
                st.text(each)


def _tolerance_tile(rows: Sequence[TaskParity]) -> list[str]:
    overall = rows[0]
    said = [f"{told(overall.difference)}; tolerance −{100 * overall.tolerance:.1f}."]
    if len(rows) > 1:
        counts = {verdict: sum(row.verdict == verdict for row in rows[1:]) for verdict in WORDS}
        said.append(
            ", ".join(f"{count} {WORDS[verdict].lower()}" for verdict, count in counts.items() if count) + " by task."
        )
    return said


def _failures_tile(part: FailureModes) -> list[str]:
    new = [each for each in part.categories if each.new_only]
    said = [f"{len(part.categories)} categories seen, {len(new)} of them on new only."]
    if isinstance(part.missed, float):
        said.append(f"A way to fail in up to {100 * part.missed:.1f} % of traffic could have been missed.")
    return said


def _direction_tile(part: ErrorDirection) -> list[str]:
    return [f"{DIRECTIONS[part.direction].capitalize()}.", f"D {told(part.balance)}; margin ±{100 * part.margin:.0f}."]


def missing_words(missing: Missing | None, traffic: int) -> str | None:
    """How many labels are missing, in one or two sentences; `traffic` is how many pairs there are at all."""
    if missing is None:
        return None
    if isinstance(missing.labels, NotEstimable):
        return f"How many labels are missing cannot be said: {missing.labels.reason}."
    said = f"About {missing.labels:,} more labelled pairs would decide it if old and new are equally good"
    least = missing.labels
    if isinstance(missing.with_judge, int):
        said += f", or {missing.with_judge:,} together with this judge's verdicts on all pairs"
        least = min(least, missing.with_judge)
    if least > traffic:
        said += f". There are only {traffic:,} pairs: import more traffic, or agree on a wider tolerance before looking"
    return said + "."


def tolerance_section(report: ParityReport, key: tuple[Hashable, ...], *, read: bool) -> None:
    """Part 1: right answers, overall and by task, the arithmetic and what is missing."""
    overall = report.overall
    st.markdown(
        "Share of right answers (error “none”, or the correctness that came with the pair), **new minus old, of all "
        "traffic of the frame**."
    )
    for sentence in arithmetic(overall):
        st.text(sentence)
    if words := missing_words(overall.missing, overall.shares.pairs):
        st.info(plain(words), icon=":material/add_task:")
    lines = [
        Against(name_of(row.task), row.difference, row.tolerance, row.verdict if read else "inconclusive")
        for row in _sorted(report.tolerance)
    ]
    charts.draw(
        (*key, "tolerance", read),
        lambda: parity_charts.differences(lines, both=False, title="points of all traffic of the task"),
        "Differences of right answers by task with their tolerances",
    )
    st.caption(f"Bars: intervals at {100 * (1 - 2 * report.alpha):.0f} %. The red tick is the tolerance.")
    _tolerance_table(report, read=read)
    if report.next_round is not None:
        st.markdown(f"**Where the next {report.next_round.size} labels would tell most**")
        st.dataframe(
            [
                {"Stratum": line(name, 80), "Left to draw": left, "Draw": draw}
                for name, left, draw in report.next_round.strata
                if draw
            ],
            hide_index=True,
        )
        shell.link("rounds.py", "Draw a round")


def _sorted(rows: Sequence[TaskParity]) -> list[TaskParity]:
    """Overall on top, then the worst first."""
    return [*rows[:1], *sorted(rows[1:], key=lambda row: (_value(row.difference), row.task or ""))]


def _value(result: Result) -> float:
    return result.value if isinstance(result, Estimate) else 9.0


def _tolerance_table(report: ParityReport, *, read: bool) -> None:
    rows: list[dict[str, object]] = []
    for row in _sorted(report.tolerance):
        shown: dict[str, object] = {"Task": name_of(row.task)}
        if read:
            shown["Verdict"] = WORDS[row.verdict]
        shown |= {
            "Difference": told(row.difference),
            "Tolerance": f"−{100 * row.tolerance:.1f}",
            "Labelled pairs": row.pairs,
            "Missing": _missing_short(row.missing),
            "Without the judge": told(row.labels_only) if row.judge else "the same",
        }
        rows.append(shown)
    st.dataframe(rows, hide_index=True)


def _missing_short(missing: Missing | None) -> str:
    if missing is None:
        return "none"
    return f"{missing.labels:,}" if isinstance(missing.labels, int) else "cannot be said"


def arithmetic(row: TaskParity) -> list[str]:
    """How the difference over all traffic comes about, in sentences."""
    shares = row.shares
    parts = [f"{100 * shares.identical:.1f} % of traffic has identical outputs and contributes zero"]
    if shares.known:
        parts.append(f"{100 * shares.known:.1f} % came with its correctness")
    if shares.judged_tie:
        parts.append(f"{100 * shares.judged_tie:.1f} % are judged ties, known through the audit")
    parts.append(f"{100 * shares.disagreement:.1f} % are disagreements, known through labels")
    said = ["; ".join(parts) + "."]
    open_share = 1 - shares.identical
    if isinstance(row.difference, Estimate) and 0 < open_share < 0.999:
        half = 100 * (row.difference.high - row.difference.low) / 2
        said.append(
            f"So ±{half / open_share:.1f} points on the pairs that can differ become ±{half:.1f} points of all traffic."
        )
    if row.judge:
        said.append(
            f"Labels on {row.pairs:,} pairs are carried over to all others by the verdicts of {row.judge} (PPI++)."
        )
    return said


def failures_section(
    report: ParityReport, key: tuple[Hashable, ...], words: Callable[[str], str], *, read: bool
) -> None:
    """Part 2: categories on old and new, and the pairs behind those that are new."""
    part = report.failure_modes
    st.text(
        f"A category may grow by at most {100 * part.ceiling:.1f} points of all traffic. {part.pairs:,} labelled pairs "
        "say what went wrong."
    )
    if isinstance(part.missed, float):
        st.text(f"A category that nobody saw could still stand in up to {100 * part.missed:.2f} % of traffic on new.")
    else:
        st.text("What could have been missed cannot be said yet.")
    rows = [
        (words(each.category), each.old, each.new, each.verdict if read else "inconclusive") for each in part.categories
    ]
    drawn = charts.draw(
        (*key, "failures", read), lambda: parity_charts.categories(rows), "Failure categories on old and on new"
    )
    if not drawn:
        st.caption("No label names a failure category.")
        return
    st.caption("Ring: old. Dot: new.")
    st.dataframe([_category_row(each, words, read=read) for each in part.categories], hide_index=True)
    behind = {each.category: each for each in part.categories if each.pairs}
    if behind:
        chosen = st.selectbox(
            "Show the pairs on which new has it", list(behind), None, format_func=lambda each: line(words(each), 60)
        )
        if chosen:
            pairs_behind(behind[chosen].pairs)


def _category_row(each: CategoryGrowth, words: Callable[[str], str], *, read: bool) -> dict[str, object]:
    shown: dict[str, object] = {"Category": line(words(each.category), 60)}
    if read:
        shown["Verdict"] = WORDS[each.verdict]
    shown |= {
        "On old": each.old,
        "On new": each.new,
        "Growth": told(each.growth),
        "p, adjusted": f"{each.p_adjusted:.2g}",
    }
    return shown


def pairs_behind(pair_ids: Sequence[str]) -> None:
    """Links to pairs."""
    st.caption(f"The first {len(pair_ids)} pairs." if len(pair_ids) > 1 else "One pair.")
    for pair_id in pair_ids:
        shell.link("pair.py", plain(pair_id, 60), query={"pair": pair_id})


def direction_section(report: ParityReport, key: tuple[Hashable, ...], *, read: bool) -> None:
    """Part 3: where errors went, D against its margin, tasks, and the tests that accompany it."""
    part = report.direction
    st.markdown(
        "**D** is the share of confident errors minus that of cautious ones, on new, minus the same on old: above "
        "zero, errors became more confident."
    )
    st.text(f"D {told(part.balance)}. Margin ±{100 * part.margin:.1f}.")
    if isinstance(part.shift, NotEstimable):
        return
    table = part.shift.table
    with charts.beside("direction") as (left, right):
        with left:
            st.markdown("**Where errors went**")
            if not charts.draw(
                (*key, "flow"), lambda: parity_charts.flow(table), "Flow of error kinds from old to new"
            ):
                st.caption("No label finds an error on either side.")
            else:
                st.caption("Old on the left, new on the right; pairs without an error on either side are left out.")
        with right:
            st.markdown("**D, overall and by task**")
            verdict = part.verdict if read else "inconclusive"
            lines = [Against("All traffic", part.balance, part.margin, verdict)]
            lines += [
                Against(name_of(each.task), each.balance, part.margin, each.verdict if read else "inconclusive")
                for each in part.tasks
            ]
            charts.draw(
                (*key, "balance", read),
                lambda: parity_charts.differences(lines, both=True, title="D, points of all traffic"),
                "The balance D with its interval and margin",
            )
    if isinstance(part.tests, NotEstimable):
        st.caption(plain(f"Tests on plain counts are left out: {part.tests.reason}."))
    else:
        found = {"Bowker": part.tests.symmetry, "Stuart–Maxwell": part.tests.margins}
        said = [
            f"{name} p = {each.p:.2g}" if not isinstance(each, NotEstimable) else f"{name}: {each.reason}"
            for name, each in found.items()
        ]
        if not isinstance(part.tests.correct, NotEstimable):
            said.append(f"McNemar (right or wrong, blind to direction) p = {part.tests.correct.p_exact:.2g}")
        st.caption(plain("On plain counts: " + "; ".join(said) + "."))
    if part.cannot_tell:
        st.caption(f"Left out: {part.cannot_tell:,} labels that could not tell.")


def contract_section(report: ParityReport, plan: LookPlan) -> None:
    """What was agreed, and every look."""
    contract = report.contract
    st.dataframe(
        [
            {"Agreed": "Tolerance", "Value": f"{100 * contract.tolerance:.1f} points of all traffic"},
            *(
                {"Agreed": f"Tolerance of {line(task, 60)}", "Value": f"{100 * value:.1f} points"}
                for task, value in contract.task_tolerance.items()
            ),
            {"Agreed": "Direction margin", "Value": f"±{100 * contract.direction_margin:.1f} points"},
            {"Agreed": "Growth of a failure category", "Value": f"below {100 * contract.category_ceiling:.1f} points"},
            {
                "Agreed": "Confidence of each claim",
                "Value": f"{100 * contract.confidence:.0f} %, one-sided, over all looks",
            },
            {"Agreed": "Looks", "Value": str(contract.looks)},
        ],
        hide_index=True,
    )
    st.caption(f"From eval_config.yaml, contract; SHA-256 {contract.digest[:16]}.")
    if plan.looks:
        st.dataframe(
            [
                {
                    "Look": look.number,
                    "When": f"{look.taken_at:%d %b %Y %H:%M} UTC",
                    "By": line(look.taken_by, 60),
                    "Labelled pairs": look.labelled,
                    "Planned": look.planned,
                    "Alpha": f"{look.alpha:.3g}",
                    "Verdict": WORDS[look.verdict],
                }
                for look in plan.looks
            ],
            hide_index=True,
        )
    for note in report.notes:
        st.caption(plain(note))
