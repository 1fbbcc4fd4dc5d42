"""The section about tone: what people said, how the wording changed, which change goes with what they said."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from review.services.tone import Measured, ToneReport, TraitChange
from review.stats.effects import Association
from review.stats.estimate import Estimate, NotEstimable, Result
from review.ui import charts
from review.ui.text import plain

EXPLAINED = (
    "Words and sentences are those of the prose: code, tool calls, JSON and addresses are left out, and a pair in "
    "which an answer has no prose is not measured. The word lists are English; in another language only lengths mean "
    "something.",
    "Hedges hold back (may, probably, I think), boosters claim certainty (certainly, of course, always). Contractions, "
    "exclamation marks and greetings are marks of an informal or personal tone, formal connectives (however, "
    "therefore, in accordance with) of a formal one. A count says how often a word occurs, not how it was meant.",
    "How many words fewer is a geometric mean of new / old over the pairs, so that one long answer does not decide it.",
    "The effect is d_z: the mean difference in standard deviations of the pairs' differences, on the logarithm of "
    "lengths and the root of rates. About 0.2 is small, 0.5 medium, 0.8 large.",
    "The right-hand picture is the rank-biserial correlation: at +0.5, a pair where old's tone fitted better shows the "
    "larger rise in three comparisons of four with a pair where new's did. What goes together need not be the cause.",
    "All intervals take the pairs of one prompt together. Nothing is weighted: the shares are those of the labelled "
    "pairs.",
)


def show(report: ToneReport) -> None:
    """Draw the section; the page has called charts.style()."""
    st.subheader("Tone", anchor=False)
    for sentence in sentences(report):
        st.markdown(sentence)
    if report.n:
        st.caption(counted(report))
    if report.disagreements.n:
        with charts.beside("tone") as (left, right):
            with left:
                _effects(report)
            with right:
                _goes_with(report)
        with st.expander("Every trait in numbers"):
            wide = {name: st.column_config.Column(width=150) for name in ("Ratio", "With “old fits better”")}
            st.dataframe(_table(report.traits), hide_index=True, height="content", column_config=wide)
            st.caption(f"{_measured(report.disagreements, 'disagreements')}. Brackets: {_level(report)} intervals.")
    with st.expander("What is measured, and what it can say"):
        for paragraph in EXPLAINED:
            st.text(paragraph)


def sentences(report: ToneReport) -> list[str]:
    """What the numbers say, in Markdown of our own words: people, length, what goes together."""
    return [_people(report), *_length(report), *_together(report)]


def counted(report: ToneReport) -> str:
    """Which labels the shares rest on."""
    told = f"{report.labels['counted']:,} labels count"
    if report.labels["of_them_simulated"]:
        told += f", {report.labels['of_them_simulated']:,} of them simulated"
    told += "; one answer a pair: adjudicated, else the majority."
    if unresolved := report.excluded.get("people_unresolved", 0):
        told += f" {unresolved:,} {'pair' if unresolved == 1 else 'pairs'} without a majority left out."
    return plain(told)


def _people(report: ToneReport) -> str:
    if not report.n:
        return (
            "Nobody has said yet whose tone fits better. Reviewers answer it on the card; the wording below is "
            "measured without them."
            if report.disagreements.n
            else "Nothing to compare yet: tone needs pairs whose answers differ, and reviewers' answers to the card's "
            "question about tone."
        )
    told = (
        f"People found the old answer's tone fitter in **{_percent(report.counts['old'] / report.n)}** and the new "
        f"one's in **{_percent(report.counts['new'] / report.n)}** of {report.n:,} "
        f"{'pair' if report.n == 1 else 'pairs'}; in the rest they found no difference."
    )
    if isinstance(report.balance, NotEstimable) or isinstance(report.preferred, NotEstimable):
        reason = report.balance.reason if isinstance(report.balance, NotEstimable) else "nothing was observed"
        return f"{told} How sure that is cannot be estimated: {plain(reason)}."
    balance = report.balance
    between = f"{_points(balance.low)} to {_points(balance.high)} points for old at {_percent(balance.level)}"
    if balance.low > 0:
        verdict = "**The old tone is preferred**"
    elif balance.high < 0:
        verdict = "**The new tone is preferred**"
    else:
        verdict = "Which tone is preferred **cannot be said yet**"
    return f"{told} {verdict} (difference {_points(balance.value)}, {between}; sign test {_p(report.preferred.p)})."


def _length(report: ToneReport) -> list[str]:
    words = next((each for each in report.traits if each.trait.key == "words"), None)
    if words is None or not report.disagreements.n:
        return []
    measured = _measured(report.disagreements, "disagreements")
    if not isinstance(words.ratio, Estimate):
        reason = words.ratio.reason if words.ratio is not None else "nothing was measured"
        return [f"Whether new answers are shorter cannot be estimated: {plain(reason)}. {measured}."]
    change = words.ratio
    if change.low <= 1 <= change.high:
        told = "New answers are about as long as old ones"
        between = f"{_signed(change.low - 1)} to {_signed(change.high - 1)} words"
    else:
        told = f"New answers have **{_percent(abs(change.value - 1))} {'fewer' if change.value < 1 else 'more'} words**"
        near, far = sorted((abs(change.low - 1), abs(change.high - 1)))
        between = f"{_percent(near)} to {_percent(far)}"
    return [f"{told} ({between} at {_percent(change.level)}). {measured}."]


def _together(report: ToneReport) -> list[str]:
    if not min(report.counts["old"], report.counts["new"]):
        return []
    found = report.strongest()
    if not found:
        tested = [each for each in report.traits if isinstance(each.goes_with, Association)]
        if not tested:
            return ["With so few pairs on either side, no trait can be compared with what people said."]
        return [
            f"No measured trait goes with “old fits better” beyond chance ({len(tested)} tried, "
            f"{report.labelled.n:,} labelled pairs)."
        ]
    traits = " and ".join(
        [", ".join(_turn(each) for each in found[:-1]), _turn(found[-1])] if found[1:] else [_turn(found[0])]
    )
    return [
        f"Where people found old's tone fitter, the new answer more often had **{traits}** "
        f"({len(found)} of {sum(isinstance(each.goes_with, Association) for each in report.traits)} traits stand "
        f"after Holm's adjustment, {report.labelled.n:,} labelled pairs)."
    ]


def _turn(change: TraitChange) -> str:
    """What the new answer had where old was preferred."""
    assert isinstance(change.goes_with, Association)
    return change.trait.more if change.goes_with.value.value > 0 else change.trait.less


def _effects(report: ToneReport) -> None:
    st.markdown("**How the wording changed**")
    results = {each.trait.name: each.effect for each in report.traits}
    picture = forest(results, "lower in new  ←  standard deviations  →  higher in new", 1.0)
    if picture is not None:
        charts.show(picture)
    st.caption(f"Bars: {_level(report)} intervals; {_measured(report.disagreements, 'disagreements').lower()}.")
    _unclear(results)


def _goes_with(report: ToneReport) -> None:
    st.markdown("**Which change goes with “old fits better”**")
    results: dict[str, Result] = {
        each.trait.name: each.goes_with.value if isinstance(each.goes_with, Association) else each.goes_with
        for each in report.traits
    }
    clear = {each.trait.name for each in report.strongest()}
    picture = forest(results, "new has less  ←  where old fits better  →  new has more", 1.0, clear)
    if picture is None:
        st.text(
            "Not enough labelled pairs on both sides yet: at least 5 for old and 5 for new, with differing wording."
        )
        return
    charts.show(picture)
    st.caption(
        f"Bars: {_level(report)} intervals, each on its own; filled points stand after Holm's adjustment. "
        f"{_measured(report.labelled, 'labelled pairs with a side')}."
    )
    _unclear(results)


def _unclear(results: dict[str, Result]) -> None:
    """Say which traits the data cannot give, and why."""
    missing = [f"{name} ({each.reason})" for name, each in results.items() if isinstance(each, NotEstimable)]
    if missing:
        st.caption(plain(f"No bar for {'; '.join(missing)}."))


def forest(
    results: dict[str, Result], title: str, least: float, filled: set[str] | None = None
) -> alt.LayerChart | None:
    """One line an estimate, sorted by value, around 0; None when nothing can be estimated.

    Args:
        results: Name to estimate; those that cannot be given are left to the text.
        title: What the two directions of the axis mean.
        least: The axis reaches at least this far to both sides.
        filled: The names whose points are filled; all by default.
    """
    given = {name: each for name, each in results.items() if isinstance(each, Estimate)}
    if not given:
        return None
    data = pd.DataFrame(
        {
            "name": name,
            "value": each.value,
            "low": each.low,
            "high": each.high,
            "text": f"{each.value:+.2f}  ({each.low:+.2f} to {each.high:+.2f})",
            "method": each.method,
            "n": each.n,
            "prompts": each.clusters,
            "filled": filled is None or name in filled,
        }
        for name, each in given.items()
    )
    reach = max([least, *(max(abs(each.low), abs(each.high)) for each in given.values())])
    order = sorted(given, key=lambda name: given[name].value)
    colour, ink, paper = ("#6fb7b4", "#e4e7e8", "#15191c") if charts.dark() else ("#2f6f73", "#1f2529", "#fbfbf9")
    base = alt.Chart(data).encode(
        y=alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=150, ticks=False, domain=False)),
        tooltip=[
            alt.Tooltip("name:N", title="trait"),
            alt.Tooltip("text:N", title="value and interval"),
            alt.Tooltip("n:Q", title="pairs"),
            alt.Tooltip("prompts:Q", title="prompts"),
            alt.Tooltip("method:N", title="interval"),
        ],
    )
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    label = "datum.value == 0 ? '0' : format(datum.value, '+.1f')"
    axis = alt.Axis(labelExpr=label, tickCount=5, title=title, titleFontWeight="normal", titleLimit=400, grid=True)
    bars = base.mark_bar(height=8, cornerRadius=4, color=colour, opacity=0.35).encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"
    )
    points = base.mark_point(size=90, opacity=1, filled=True, stroke=colour, strokeWidth=2).encode(
        x=alt.X("value:Q", scale=scale), fill=alt.condition("datum.filled", alt.value(colour), alt.value(paper))
    )
    zero = (
        alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color=ink, opacity=0.6).encode(x=alt.X("zero:Q", scale=scale))
    )
    return alt.LayerChart(layer=[zero, bars, points]).properties(height=30 * len(order) + 60)


def _table(traits: Sequence[TraitChange]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Trait": f"{each.trait.name} ({each.trait.unit})" if each.trait.scale == "root" else each.trait.name,
            "Old": _number(each.old),
            "New": _number(each.new),
            "Mean difference": _interval(each.difference),
            "Median difference": _interval(each.median),
            "Ratio": "" if each.ratio is None else _interval(each.ratio, sign=False),
            "Effect d_z": _interval(each.effect),
            "With “old fits better”": _interval(each.goes_with.value)
            if isinstance(each.goes_with, Association)
            else "–",
            "p after Holm": _p(each.goes_with.adjusted) if isinstance(each.goes_with, Association) else "–",
        }
        for each in traits
    )


def _interval(result: Result, *, sign: bool = True) -> str:
    if isinstance(result, NotEstimable):
        return "–"
    value, low, high = (_decimal(number, sign) for number in (result.value, result.low, result.high))
    return f"{value}  ({low} to {high})"


def _decimal(number: float, sign: bool) -> str:
    told = f"{number:{'+' if sign else ''}.2f}".replace("-", "−")
    return "0" if float(f"{number:.2f}") == 0 else told


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _measured(measured: Measured, what: str) -> str:
    told = f"Measured on {measured.n:,} {what}"
    if measured.of > measured.sampled:
        told += f", a fixed sample of {measured.of:,}"
    if measured.without_prose:
        told += f" ({measured.without_prose:,} without prose left out)"
    return told


def _level(report: ToneReport) -> str:
    return _percent(report.level)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _signed(value: float) -> str:
    return f"{100 * value:+.0f} %".replace("-", "−")


def _points(value: float) -> str:
    return f"{100 * value:+.0f}".replace("-", "−")


def _p(p: float) -> str:
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")
