"""Agreement: how far each judge may be trusted, and how far people agree with each other."""

from pathlib import Path
from typing import get_args

import streamlit as st

from review.services import agreement
from review.services.agreement import AgreementReport, BothBad, Comparison, JudgeAgreement, PeopleAgreement, Rules, Unit
from review.stats.consensus import Inconsistent, Unparsable
from review.stats.estimate import Estimate, NotEstimable, Result
from review.ui import charts, shell
from review.ui.text import line, plain

SHOWN = 200
DIMENSION_WORDS = {
    "preference": "Better overall",
    "error_old": "Error in old",
    "error_new": "Error in new",
    "tone": "Tone",
    "calibration_old": "Confidence of old",
    "calibration_new": "Confidence of new",
}
UNIT_WORDS: dict[Unit, str] = {"majority": "final answer a pair", "each": "each label"}
UNPARSABLE_WORDS: dict[Unparsable, str] = {"tie": "a tie", "wrong": "wrong", "dropped": "left out"}
INCONSISTENT_WORDS: dict[Inconsistent, str] = {"own": "its own state", "tie": "a tie"}
BOTH_BAD_WORDS: dict[BothBad, str] = {"own": "its own answer", "tie": "a tie"}
EXCLUDED_WORDS = {
    "not_answered": "labels without this answer",
    "people_unresolved": "pairs on which people found no majority",
    "people_cannot_tell": "where people could not tell",
    "no_verdict": "without a verdict of this judge",
    "unparsable": "with an unparsable verdict",
}
LABEL_WORDS = {
    "adjudications": "adjudications",
    "surplus": "surplus",
    "hidden_repeats": "hidden repeats",
    "older_of_the_same_person": "older ones of the same person and pair",
    "pair_not_imported": "on pairs that were never imported",
    "skips": "skips",
    "replaced": "replaced by a correction",
}

session = shell.page("agreement.py")
workspace, actor = session.workspace, session.actor


@st.cache_data(ttl=3600, show_spinner="Comparing labels with verdicts …", max_entries=16)
def computed(db: Path, version: str, round_id: str | None, rules: Rules) -> AgreementReport:  # noqa: ARG001 the cache's key
    """The report; `db` and `version` change with the data."""
    return agreement.agreement(
        workspace,
        round_id=round_id,
        unit=rules.unit,
        unparsable=rules.unparsable,
        inconsistent=rules.inconsistent,
        both_bad=rules.both_bad,
    )


def chosen_rules() -> tuple[str | None, Rules]:
    """The round and the rules, as the person sets them."""
    names = agreement.round_names(workspace)
    with st.container(border=True, key="rules"):
        first, second = st.columns([2, 3], gap="medium")
        round_id = first.selectbox(
            "Labels of",
            list(names),
            None,
            format_func=lambda each: line(names[each], 80),
            placeholder="all rounds and imports",
        )
        unit = second.segmented_control(
            "People count as", get_args(Unit), default="majority", format_func=UNIT_WORDS.__getitem__, required=True
        )
        columns = st.columns(3, gap="medium")
        unparsable = columns[0].segmented_control(
            "An unparsable verdict is",
            get_args(Unparsable),
            default="tie",
            format_func=UNPARSABLE_WORDS.__getitem__,
            required=True,
        )
        inconsistent = columns[1].segmented_control(
            "One that changes with the order is",
            get_args(Inconsistent),
            default="own",
            format_func=INCONSISTENT_WORDS.__getitem__,
            required=True,
        )
        both_bad = columns[2].segmented_control(
            "People's “both bad” is",
            get_args(BothBad),
            default="own",
            format_func=BOTH_BAD_WORDS.__getitem__,
            required=True,
        )
    return round_id, Rules(unit, unparsable, inconsistent, both_bad)


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def sentence(comparison: Comparison, rules: Rules) -> str:
    """What the raw agreement says, in words of ours only."""
    what = "pairs" if rules.unit == "majority" else "labels"
    if isinstance(comparison.raw, NotEstimable):
        return f"Cannot be estimated: {comparison.raw.reason}."
    raw = comparison.raw
    told = (
        f"Agrees with people on **{percent(raw.value)}** of {comparison.n:,} {what} from "
        f"{comparison.prompts:,} prompts ({100 * raw.low:.0f} to {percent(raw.high)} at {percent(raw.level)})."
    )
    if isinstance(comparison.chance, float):
        told += f" By chance it would be {percent(comparison.chance)}."
    return told


def unclear(results: dict[str, Result]) -> None:
    """Say which numbers the data cannot give, and why."""
    for name, result in results.items():
        if isinstance(result, NotEstimable):
            st.caption(f"{plain(name)}: cannot be estimated, {plain(result.reason)}.")


def skew(comparison: Comparison) -> str | None:
    """A warning where one answer is so common that kappa says little."""
    people = comparison.base_rates()["people"]
    most = max(people, key=people.__getitem__)
    if comparison.n and people[most] > 0.8 * comparison.n:
        return (
            f"People said “{charts.words(most)}” in {percent(people[most] / comparison.n)} of cases. With answers this "
            "skewed kappa is low even for a good judge and its interval too narrow; go by raw agreement and AC1."
        )
    return None


def excluded(comparison: Comparison) -> None:
    """What was left out, with counts."""
    parts = [f"{count:,} {EXCLUDED_WORDS[reason]}" for reason, count in comparison.excluded.items() if count]
    st.caption("Left out: " + ("; ".join(parts) if parts else "nothing") + ".")


def behind(judge: str, comparison: Comparison, cell: dict[str, str], round_id: str | None, rules: Rules) -> None:
    """The pairs in the clicked cell; a selected row opens its pair."""
    human, verdict = cell["human"], cell["verdict"]
    with shell.errors():
        count, lines = agreement.pairs_behind(
            workspace,
            judge=judge,
            human=human,
            verdict=verdict,
            dimension=comparison.dimension,
            round_id=round_id,
            rules=rules,
            limit=SHOWN,
        )
    people, said = charts.words(human), charts.words(verdict)
    st.markdown(f"**People say “{people}”, the judge says “{said}”: {count:,} {'pair' if count == 1 else 'pairs'}**")
    if not lines:
        return
    picked = st.dataframe(
        [{"Pair": line.pair_id, "Task": line.task or "", "Last message": line.ask} for line in lines],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"pairs_{judge}_{comparison.dimension}_{human}_{verdict}",
    )
    st.caption(
        f"The first {len(lines)} of {count:,}. Select a row to open its pair."
        if count > len(lines)
        else "Select a row to open its pair."
    )
    if picked.selection.rows:
        chosen = lines[picked.selection.rows[0]].pair_id
        st.switch_page(shell.PAGES_FOLDER / "pair.py", query_params={"pair": chosen})


def confusion(judge: str, comparison: Comparison, round_id: str | None, rules: Rules) -> None:
    """The matrix, and the pairs behind the cell that was clicked."""
    st.markdown("**Who says what**")
    event = st.altair_chart(
        charts.matrix(comparison),
        width="stretch",
        on_select="rerun",
        selection_mode="cell",
        key=f"matrix_{judge}_{comparison.dimension}_{round_id}_{rules}",
    )
    st.caption("Shade: share of the row. Green agrees, orange does not. Click a cell for its pairs.")
    cells: list[dict[str, str]] = event.selection.get("cell") or []
    if cells:
        behind(judge, comparison, cells[0], round_id, rules)


def measures(comparison: Comparison) -> dict[str, Result]:
    found: dict[str, Result] = {"Raw agreement": comparison.raw, "Cohen's kappa": comparison.kappa}
    if comparison.weighted_kappa is not None:
        found["Weighted kappa"] = comparison.weighted_kappa
    return found | {"Gwet's AC1": comparison.ac1}


def numbers(comparison: Comparison) -> None:
    """The coefficients with their intervals."""
    results = measures(comparison)
    picture = charts.intervals(results)
    if picture is not None:
        st.markdown("**How much, and how sure**")
        st.altair_chart(picture, width="stretch")
        sure = comparison.raw
        if isinstance(sure, Estimate):
            st.caption(f"0 is chance for kappa and AC1. Bars: {percent(sure.level)} intervals; {sure.method}.")
    unclear(results)
    if warning := skew(comparison):
        st.caption(warning)


def judge_section(number: int, judge: JudgeAgreement, round_id: str | None, rules: Rules) -> None:
    """One judge: a sentence, the coefficients, the matrix, base rates, the effect of the order."""
    st.subheader(plain(judge.judge, 80), anchor=False)
    preference = judge.preference
    st.markdown(sentence(preference, rules))
    if preference.n:
        with charts.beside(f"{number}_preference") as (left, right):
            with left:
                numbers(preference)
                st.markdown("**How often each answer is given**")
                st.altair_chart(charts.base_rates(preference), width="stretch")
            with right:
                confusion(judge.judge, preference, round_id, rules)
        excluded(preference)
    else:
        st.caption(
            "All its verdicts: " + ", ".join(f"{n:,} {charts.words(state)}" for state, n in judge.verdicts.items() if n)
        )
    order_section(judge)
    for comparison in judge.dimensions:
        with st.expander(f"{DIMENSION_WORDS[comparison.dimension]}: {headline(comparison)}"):
            if comparison.n:
                with charts.beside(f"{number}_{comparison.dimension}") as (left, right):
                    with left:
                        numbers(comparison)
                    with right:
                        confusion(judge.judge, comparison, round_id, rules)
            else:
                st.markdown(sentence(comparison, rules))
            excluded(comparison)


def headline(comparison: Comparison) -> str:
    """The raw agreement in a few words."""
    if isinstance(comparison.raw, NotEstimable):
        return "cannot be estimated"
    return f"{percent(comparison.raw.value)} agree ({comparison.n:,})"


def order_section(judge: JudgeAgreement) -> None:
    """How the verdicts change with the order."""
    if isinstance(judge.order, NotEstimable):
        st.caption(f"Effect of the order: cannot be estimated, {plain(judge.order.reason)}.")
        return
    order = judge.order
    st.markdown("**When the two answers change places**")
    st.altair_chart(charts.order_effect(order), width="stretch")
    told = f"{order.usable:,} pairs were judged in both orders."
    if isinstance(order.changed, Estimate):
        changed = order.changed
        told += f" {percent(changed.value)} of them change ({100 * changed.low:.0f} to {percent(changed.high)})."
    if order.unparsable or order.unresolved:
        told += f" Besides, {order.unparsable:,} have an unparsable verdict and {order.unresolved:,} split votes."
    st.caption(told)


def people_section(people: PeopleAgreement) -> None:
    """How far people agree with each other: the ceiling for any judge."""
    st.subheader("Between people", anchor=False)
    if people.pairs == 0:
        st.text("No pair has labels of two people yet, so how far they agree is unknown. Draw a round with overlap 2.")
        shell.link("rounds.py", "Draw a round")
        return
    alpha = people.alpha
    if isinstance(alpha, Estimate):
        st.markdown(
            f"{len(people.names)} people, {people.pairs:,} pairs with two or more labels. Krippendorff's alpha "
            f"**{alpha.value:.2f}** ({alpha.low:.2f} to {alpha.high:.2f}); 1 is perfect, 0 is chance. "
            "A judge cannot be expected to agree with people more than people do."
        )
    results: dict[str, Result] = {"Krippendorff's alpha": people.alpha, "Gwet's AC1": people.ac1}
    results |= {f"alpha: {DIMENSION_WORDS[name].lower()}": each for name, each in people.dimensions.items()}
    together, between = charts.intervals(results), charts.people_matrix(people.pairwise, people.names)
    with charts.beside("people") as (left, right):
        with left:
            if together is not None:
                st.markdown("**All together**")
                st.altair_chart(together, width="stretch")
            unclear(results)
        with right:
            if between is not None:
                st.markdown("**Kappa between every two**")
                st.altair_chart(between, width="stretch")
            unclear({f"{each.a} and {each.b}": each.kappa for each in people.pairwise})


def what_counts(report: AgreementReport) -> None:
    """The rules and the rows that were not counted, in words."""
    used = report.labels
    told = f"{used['counted']:,} labels count"
    if used["of_them_simulated"]:
        told += f", {used['of_them_simulated']:,} of them simulated"
    rest = [f"{used[key]:,} {text}" for key, text in LABEL_WORDS.items() if used[key]]
    st.caption(plain(told + (". Not counted: " + ", ".join(rest) if rest else "") + "."))
    with st.expander("What these numbers count, and what they do not"):
        for rule in report.rules.in_words():
            st.text(rule)


charts.style()
st.title("Agreement", anchor=False)
st.caption("How far each judge agrees with people, and people with each other.")
with shell.errors():
    round_id, rules = chosen_rules()
    agreement.require_sight(workspace, actor.name, round_id=round_id)
    report = computed(workspace.settings.db, agreement.data_version(workspace), round_id, rules)
if not report.judges and not report.labels["counted"]:
    shell.empty(
        "Nothing to compare yet",
        "Agreement needs two things on the same pairs: verdicts of a judge (review import verdicts) and labels of "
        "people (draw a round and label it, or review import labels).",
        [("rounds.py", "Draw a round")],
    )
    st.stop()
what_counts(report)
for number, each in enumerate(report.judges):
    with st.container(border=True):
        judge_section(number, each, round_id, rules)
if not report.judges:
    shell.empty("No judge yet", "There are labels, but no verdicts on their pairs. Import them: review import verdicts")
with st.container(border=True):
    people_section(report.people)
