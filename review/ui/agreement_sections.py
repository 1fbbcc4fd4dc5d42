"""Judges and people on the Agreement page: a sentence, the coefficients, who says what, the pairs behind a cell."""

from __future__ import annotations

import streamlit as st

from review.services import agreement
from review.services.agreement import AgreementReport, Comparison, JudgeAgreement, PeopleAgreement
from review.services.facts import Rules
from review.stats.estimate import Estimate, NotEstimable, Result
from review.ui import charts, shell
from review.ui.agreement_view import DIMENSION_WORDS, View, between, percent, spoken, unclear
from review.ui.pair_list import SHOWN, show_lines
from review.ui.text import line, plain

EXCLUDED_WORDS = {
    "not_answered": "labels without this answer",
    "people_unresolved": "pairs on which people found no majority",
    "people_cannot_tell": "where people could not tell",
    "no_verdict": "without a verdict of this judge",
    "unparsable": "with an unparsable verdict",
}


def judges(view: View, report: AgreementReport) -> None:
    """Every judge in a sentence, and one of them in full."""
    if not report.judges:
        shell.empty(
            "No judge yet", "There are labels, but no verdicts on their pairs. Import them: review import verdicts"
        )
        return
    if len(report.judges) == 1:
        _judge(view, 0, report.judges[0])
        return
    ordered = sorted(report.judges, key=lambda each: (-getattr(each.preference.raw, "value", -1.0), each.judge))
    for each in ordered:
        st.markdown(f"**{plain(each.judge, 80)}** · {_headline(each, view.rules)}")
    charts.draw(
        view.key("judges"),
        lambda: charts.forest([charts.Line(each.judge, each.preference.raw, each.preference.n) for each in ordered]),
        "Raw agreement by judge: " + spoken({each.judge: each.preference.raw for each in ordered}),
    )
    names = [each.judge for each in ordered]
    chosen = st.selectbox("In full", names, key="full_judge", format_func=lambda name: line(name, 80))
    with st.container(border=True):
        _judge(view, names.index(chosen), ordered[names.index(chosen)])


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


def _judge(view: View, number: int, judge: JudgeAgreement) -> None:
    """One judge: a sentence, the coefficients, the matrix, base rates, the effect of the order."""
    st.subheader(plain(judge.judge, 80), anchor=False)
    comparisons = {each.dimension: each for each in (judge.preference, *judge.dimensions)}
    chosen = "preference"
    if judge.dimensions:
        chosen = st.segmented_control(
            "Question",
            list(comparisons),
            default="preference",
            format_func=lambda name: f"{DIMENSION_WORDS[name]}: {_short(judge, comparisons[name])}",
            key=f"dimension_{judge.judge}",
            label_visibility="collapsed",
            required=True,
        )
    comparison = comparisons[chosen]
    if chosen == "preference":
        st.markdown(_headline(judge, view.rules))
        if comparison.n:
            _beside_headline(judge, view.rules)
    else:
        st.markdown(sentence(comparison, view.rules))
    if comparison.n:
        with charts.beside(f"{number}_{chosen}") as (left, right):
            with left:
                _numbers(view, judge.judge, comparison)
                st.markdown("**How often each answer is given**")
                charts.draw(
                    view.key("rates", judge.judge, chosen),
                    lambda: charts.base_rates(comparison),
                    "How often people and the judge gave each answer",
                )
            with right:
                _confusion(view, judge.judge, comparison)
        _excluded(comparison)
    else:
        st.caption(
            "All its verdicts: " + ", ".join(f"{n:,} {charts.words(state)}" for state, n in judge.verdicts.items() if n)
        )
    if chosen == "preference":
        _order(view, judge)


def _headline(judge: JudgeAgreement, rules: Rules) -> str:
    """How far the judge agrees with people: over the whole frame where that is known, else on the labelled pairs."""
    whole = judge.population
    if isinstance(whole.rate, NotEstimable):
        return sentence(judge.preference, rules)
    rate, chance = whole.rate, judge.preference.chance
    told = (
        f"Agrees with people on **{percent(rate.value)}** of {whole.of} ({100 * rate.low:.0f} to "
        f"{percent(rate.high)} at {percent(rate.level)})"
    )
    return told + (f"; by chance it would be {percent(chance)}." if isinstance(chance, float) else ".")


def _beside_headline(judge: JudgeAgreement, rules: Rules) -> None:
    """The unweighted figure, small, and why both differ or why there is one only."""
    whole = judge.population
    if isinstance(whole.rate, NotEstimable):
        st.caption(f"Not weighted: {plain(whole.reason)}.")
        return
    uncovered = (
        f" {whole.uncovered:,} of the {whole.pairs:,} pairs lie in strata without a label; they are not spoken for."
        if whole.uncovered
        else ""
    )
    what = "pairs" if rules.unit == "majority" else "labels"
    st.caption(
        f"Weighted to {whole.pairs:,} pairs. Unweighted: {between(judge.preference.raw)} of {judge.preference.n:,} "
        f"{what} from {judge.preference.prompts:,} prompts. Why they differ: {plain(whole.reason)}.{uncovered}"
    )


def _short(judge: JudgeAgreement, comparison: Comparison) -> str:
    """The share of the headline in a word."""
    weighted = comparison.dimension == "preference" and isinstance(judge.population.rate, Estimate)
    share = judge.population.rate if weighted else comparison.raw
    return "not estimable" if isinstance(share, NotEstimable) else percent(share.value)


def _numbers(view: View, judge: str, comparison: Comparison) -> None:
    """The coefficients with their intervals."""
    results: dict[str, Result] = {"Raw agreement": comparison.raw, "Cohen's kappa": comparison.kappa}
    if comparison.weighted_kappa is not None:
        results["Weighted kappa"] = comparison.weighted_kappa
    results |= {"Gwet's AC1": comparison.ac1, "Krippendorff's alpha": comparison.alpha}
    st.markdown("**How much, and how sure**")
    drawn = charts.draw(
        view.key("numbers", judge, comparison.dimension), lambda: charts.intervals(results), spoken(results)
    )
    if drawn and isinstance(comparison.raw, Estimate):
        sure = comparison.raw
        st.caption(f"0 is chance for kappa, AC1 and alpha. Bars: {percent(sure.level)} intervals; {sure.method}.")
    unclear(results)
    if warning := _skew(comparison):
        st.caption(warning)


def _skew(comparison: Comparison) -> str | None:
    """A warning where one answer is so common that kappa says little."""
    people = comparison.base_rates()["people"]
    most = max(people, key=people.__getitem__)
    if comparison.n and people[most] > 0.8 * comparison.n:
        return (
            f"People said “{charts.words(most)}” in {percent(people[most] / comparison.n)} of cases. With answers this "
            "skewed kappa is low even for a good judge and its interval too narrow; go by raw agreement and AC1."
        )
    return None


def _excluded(comparison: Comparison) -> None:
    """What was left out, with counts."""
    parts = [f"{count:,} {EXCLUDED_WORDS[reason]}" for reason, count in comparison.excluded.items() if count]
    st.caption("Left out: " + ("; ".join(parts) if parts else "nothing") + ".")


def _confusion(view: View, judge: str, comparison: Comparison) -> None:
    """The matrix, and the pairs behind the cell that was clicked."""
    st.markdown("**Who says what**")
    cell = charts.cell(
        view.key("matrix", judge, comparison.dimension),
        lambda: charts.matrix(comparison),
        f"Answers of people by answers of {judge}",
        name=f"matrix_{judge}_{comparison.dimension}_{view.round_id}_{view.rules}",
    )
    st.caption("Shade: share of the row. Green agrees, orange does not. Click a cell for its pairs.")
    if cell is None:
        return
    human, verdict = cell["human"], cell["verdict"]
    with shell.errors():
        count, lines = agreement.pairs_behind(
            view.workspace,
            judge=judge,
            human=human,
            verdict=verdict,
            dimension=comparison.dimension,
            round_id=view.round_id,
            rules=view.rules,
            limit=SHOWN,
        )
    people, said = charts.words(human), charts.words(verdict)
    st.markdown(f"**People say “{people}”, the judge says “{said}”: {count:,} {'pair' if count == 1 else 'pairs'}**")
    if lines:
        show_lines(count, lines, f"{judge}_{comparison.dimension}_{human}_{verdict}", view.round_id)


def _order(view: View, judge: JudgeAgreement) -> None:
    """How the verdicts change with the order."""
    if isinstance(judge.order, NotEstimable):
        st.caption(f"Effect of the order: cannot be estimated, {plain(judge.order.reason)}.")
        return
    order = judge.order
    st.markdown("**When the two answers change places**")
    charts.draw(
        view.key("order", judge.judge), lambda: charts.order_effect(order), "What swapping the answers does to verdicts"
    )
    told = f"{order.usable:,} pairs were judged in both orders."
    if isinstance(order.changed, Estimate):
        told += f" {between(order.changed)} of them change."
    if order.unparsable or order.unresolved:
        told += f" Besides, {order.unparsable:,} have an unparsable verdict and {order.unresolved:,} split votes."
    st.caption(told + " The pairs are listed under Stability.")


def people(view: View, found: PeopleAgreement) -> None:
    """How far people agree with each other: the ceiling for any judge."""
    st.subheader("Between people", anchor=False)
    if found.pairs == 0:
        st.text("No pair has labels of two people yet, so how far they agree is unknown. Draw a round with overlap 2.")
        shell.link("rounds.py", "Draw a round")
        return
    alpha = found.alpha
    if isinstance(alpha, Estimate):
        st.markdown(
            f"{len(found.names)} people, {found.pairs:,} pairs with two or more labels. Krippendorff's alpha "
            f"**{alpha.value:.2f}** ({alpha.low:.2f} to {alpha.high:.2f}); 1 is perfect, 0 is chance. "
            "A judge cannot be expected to agree with people more than people do."
        )
    results: dict[str, Result] = {"Krippendorff's alpha": found.alpha, "Gwet's AC1": found.ac1}
    results |= {f"alpha: {DIMENSION_WORDS[name].lower()}": each for name, each in found.dimensions.items()}
    with charts.beside("people") as (left, right):
        with left:
            st.markdown("**All together**")
            charts.draw(view.key("people"), lambda: charts.intervals(results), spoken(results))
            unclear(results)
        with right:
            st.markdown("**Kappa between every two**")
            charts.draw(
                view.key("pairwise"),
                lambda: charts.people_matrix(found.pairwise, found.names),
                spoken({f"{each.a} and {each.b}": each.kappa for each in found.pairwise}),
            )
            unclear({f"{each.a} and {each.b}": each.kappa for each in found.pairwise})
