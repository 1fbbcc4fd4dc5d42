"""Slices, stability, reviewers and two judges on the Agreement page; each figure opens the pairs behind it."""

from __future__ import annotations

import numpy as np
import streamlit as st

from review.services import reviewers, slices, stability, two_judges
from review.services.reviewers import Drift, Reviewer, Reviewers
from review.services.slices import By, Slice, Slicing
from review.services.stability import Figure, Stability
from review.services.two_judges import TwoJudges
from review.stats.estimate import Estimate, NotEstimable, Result
from review.stats.intervals import Ints
from review.ui import charts, shell
from review.ui.agreement_view import DIMENSION_WORDS, View, between, percent, points, remember, spoken, unclear
from review.ui.pair_list import pair_list
from review.ui.text import line, plain

BY_WORDS: dict[By, str] = {
    "task": "Task",
    "margin": "Vote margin",
    "length": "Length difference",
    "reviewer": "Reviewer",
    "round": "Round",
    "cluster": "Cluster",
}

BEHIND = (
    "labels faster than reading",
    "repeats answered differently",
    "later labels against the others' majority",
    "the answer shown as A won",
)


def _judge(names: tuple[str, ...], where: str) -> str:
    """The judge that is looked at; asked only where there are several."""
    if len(names) == 1:
        return names[0]
    return st.selectbox("Judge", names, key=f"{where}_judge", format_func=lambda each: line(each, 80))


def slice_section(view: View, judges: dict[str, tuple[str, ...]]) -> None:
    """The raw agreement by one property of the pairs; `judges` are names with the questions each answers."""
    properties: tuple[By, ...] = view.once(
        ("properties",), "Looking for clusters …", lambda: slices.properties(view.workspace)
    )
    remember({"slice_by": properties[0]})
    by: By = (
        st.segmented_control("By", properties, format_func=BY_WORDS.__getitem__, key="slice_by", required=True)
        or properties[0]
    )
    columns = st.columns(2, gap="medium")
    with columns[0]:
        judge = _judge(tuple(judges), "slice")
    dimension = "preference"
    if len(judges[judge]) > 1:
        dimension = columns[1].selectbox(
            "Question", judges[judge], key="slice_dimension", format_func=DIMENSION_WORDS.__getitem__
        )
    with shell.errors():
        found = view.once(
            ("slices", judge, by, dimension),
            f"Comparing by {BY_WORDS[by].lower()} …",
            lambda: slices.slices(
                view.workspace, judge, by, dimension=dimension, round_id=view.round_id, rules=view.rules
            ),
        )
    if not found.slices:
        st.text("No pair that can be sliced this way has both a label and a verdict of this judge.")
    else:
        _slice_picture(view, judge, dimension, found)
    if found.empty:
        st.caption(plain("Without any pair: " + ", ".join(found.empty[:20]), 600) + ".")
    if found.left:
        st.caption(f"{found.left:,} smaller ones are not shown.")
    if found.without:
        st.caption(f"{found.without:,} compared pairs or labels belong to none of these.")
    if found.note:
        st.caption(plain(found.note))


def _slice_picture(view: View, judge: str, dimension: str, found: Slicing) -> None:
    """Best and worst in a sentence, the forest or the trend, and the pairs of the chosen slice."""
    ordered = slices.by_value(found.slices)
    whole = slices.whole(found)
    if whole is not None and len(found.slices) > 1 and found.by != "round":
        st.markdown(_standing_out(ordered, whole))
    lines = [charts.Line(each.name, each.raw, each.n) for each in (found.slices if found.by == "round" else ordered)]
    told = "Raw agreement by " + BY_WORDS[found.by].lower() + ": " + spoken({each.name: each.raw for each in ordered})
    key, name = view.key("slices", judge, dimension, found.by), f"slice_{found.by}_{dimension}_{judge}"
    if found.by == "round":
        pilot = round(100 * slices.PILOT_AGREEMENT)
        goal = st.slider("Compare with", 0, 100, pilot, format="%d %%", key="slice_reference", width=320) / 100
        chosen = charts.pick((*key, goal), lambda: charts.trend(lines, goal), told, [x.name for x in lines], name=name)
        st.caption(f"The dashed line is at {percent(goal)}; {pilot} % is what the pilot's judge reached.")
    else:
        chosen = charts.pick(
            key, lambda: charts.forest(lines, reference=whole), told, [x.name for x in lines], name=name
        )
    unclear({each.name: each.raw for each in ordered})
    for each in ordered:
        if each.name == chosen:
            coefficients = {"kappa": each.kappa, "AC1": each.ac1}
            told = ", ".join(
                f"{title} {result.value:.2f} ({result.low:.2f} to {result.high:.2f})"
                for title, result in coefficients.items()
                if isinstance(result, Estimate)
            )
            st.caption(told or plain(f"kappa and AC1: {getattr(each.kappa, 'reason', '')}"))
            pair_list(view.workspace, each.rows, each.name, f"{name}_{each.name}", view.round_id)


def _standing_out(ordered: list[Slice], whole: float) -> str:
    """Which slices lie clearly above or below all of them together."""
    parts: list[str] = []
    for word, side in (("lower", -1), ("higher", 1)):
        named = [
            each
            for each in ordered
            if isinstance(each.raw, Estimate) and (each.raw.high < whole if side < 0 else each.raw.low > whole)
        ]
        if named:
            listed = ", ".join(f"**{plain(each.name, 60)}** {between(each.raw)}" for each in named[:4])
            more = f" and {len(named) - 4} more" if len(named) > 4 else ""
            parts.append(f"Clearly {word}: {listed}{more}.")
    return f"All together {percent(whole)}. " + (" ".join(parts) or "No slice differs clearly from that.")


def stability_section(view: View, names: tuple[str, ...]) -> None:
    """One judge against itself."""
    judge = _judge(names, "stability")
    with shell.errors():
        found = view.once(
            ("stability", judge),
            "Comparing votes with each other …",
            lambda: stability.stability(view.workspace, judge, round_id=view.round_id, rules=view.rules),
        )
    figures = {
        "same vote when asked again": found.repeated,
        "votes not unanimous": found.split,
        "votes without a majority": found.no_majority,
        "verdict changes with the order": found.changed,
        "picks whichever is first": found.to_first,
        "picks whichever is second": found.to_second,
    }
    st.markdown("**With itself**")
    for told in _steady_words(found):
        st.markdown(told)
    _figures(view, figures, f"steady_{judge}")
    st.caption(
        "Votes: of pairs with three or more readable ones. Asked again: two votes in the same order are the same; its "
        "list shows the pairs where they differ. Order: of pairs judged in both orders."
    )
    st.markdown("**A taste for the longer answer**")
    judged, people = found.both_decided
    if isinstance(judged.share, Estimate) and isinstance(people.share, Estimate):
        st.markdown(
            f"On the {judged.of:,} pairs that both decided, the longer answer won with the judge in "
            f"**{between(judged.share)}** and with people in **{between(people.share)}**."
        )
    _figures(
        view,
        {
            "judge, same pairs": judged,
            "people, same pairs": people,
            "judge, all it decided": found.judge_longer,
            "people, all they decided": found.people_longer,
        },
        f"longer_{judge}",
        reference=0.5,
    )
    st.caption("Longer by characters; pairs with equally long answers, ties and undecided ones do not count.")


def _steady_words(found: Stability) -> list[str]:
    """What stands out, in sentences."""
    told: list[str] = []
    if isinstance(found.repeated.share, Estimate):
        told.append(f"Asked again in the same order, it says the same in **{between(found.repeated.share)}** of cases.")
    if not isinstance(found.side, NotEstimable):
        first, second, p = found.to_first.count, found.to_second.count, found.side.p
        which = "first" if first > second else "second"
        verdict = f"it favours what is shown {which}" if p < 0.05 else "no side is favoured beyond chance"
        told.append(
            f"When the order flips its verdict, it picks the first answer on {first:,} pairs and the second on "
            f"{second:,}: **{verdict}** (exact binomial p {_p(p)})."
        )
    return told


def _p(value: float) -> str:
    """A p value as people write it."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _figures(view: View, figures: dict[str, Figure], name: str, reference: float | None = None) -> None:
    """Shares as a forest in the order given, and the pairs behind the chosen one."""
    lines = [charts.Line(title, each.share, each.of) for title, each in figures.items()]
    shown = [title for title, each in figures.items() if each.of]
    results: dict[str, Result] = {title: each.share for title, each in figures.items()}
    chosen = None
    if shown:
        chosen = charts.pick(
            view.key(name),
            lambda: charts.forest(lines, reference=reference, order=False),
            spoken(results),
            shown,
            name=name,
        )
    unclear(results)
    if chosen is not None:
        pair_list(view.workspace, figures[chosen].rows, chosen, f"{name}_{chosen}", view.round_id)


def reviewer_section(view: View) -> None:
    """Each person by themselves."""
    with shell.errors():
        found = view.once(
            ("reviewers",),
            "Reading every showing …",
            lambda: reviewers.reviewers(view.workspace, round_id=view.round_id, rules=view.rules),
        )
    st.subheader("Each person", anchor=False)
    if not found.people:
        st.text("Nobody has labelled a pair.")
        return
    _repeats(found)
    st.markdown("**Did the answer shown as A win half the time?**")
    sides: dict[str, Result] = {
        each.name: each.shown_a if isinstance(each.shown_a, NotEstimable) else each.shown_a.rate
        for each in found.people
    }
    charts.draw(
        view.key("sides"),
        lambda: charts.forest(
            [charts.Line(name, each, getattr(each, "n", 0)) for name, each in sides.items()], reference=0.5
        ),
        spoken(sides),
    )
    for each in found.people:
        if not isinstance(each.shown_a, NotEstimable) and each.shown_a.p < 0.05:
            st.caption(
                f"{plain(each.name, 60)}: A won {between(each.shown_a.rate)} of decided pairs, exact binomial p "
                f"{_p(each.shown_a.p)}. Among many people one in twenty looks like this by chance."
            )
    unclear({name: each for name, each in sides.items() if isinstance(each, NotEstimable)})
    _table(view, found)


def _repeats(found: Reviewers) -> None:
    """Everybody's hidden repeats together."""
    repeats = found.repeats
    st.markdown("**The same pair shown again, sides swapped**")
    if repeats.n == 0:
        st.caption("No hidden repeat has been answered yet. Rounds drawn with a repeat share bring them.")
        return
    if isinstance(repeats.raw, Estimate):
        told = f"People repeat their own answer in **{between(repeats.raw)}** of {repeats.n:,} hidden repeats."
        if isinstance(repeats.kappa, Estimate):
            kappa = repeats.kappa
            told += f" Kappa {kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f})."
        st.markdown(told)
    else:
        unclear({"Agreement with oneself": repeats.raw})
    if not repeats.enough:
        st.caption(
            f"{repeats.n} {'repeat' if repeats.n == 1 else 'repeats'} of all people and rounds together; below "
            f"{reviewers.ENOUGH_REPEATS} this is a hint and no measurement."
        )


def _table(view: View, found: Reviewers) -> None:
    """One line a person, and what is behind the chosen person's figures."""
    st.markdown("**Speed, repeats, drift**")
    st.dataframe([_row(each) for each in found.people], hide_index=True)
    st.caption(
        f"Too fast: less time than it takes to read the words that differ at {reviewers.WORDS_A_SECOND:.0f} a second. "
        "Such labels count like all others; look at them before you talk to anybody. Drift: agreement with the "
        "majority of the others, later half of the labels against the earlier."
    )
    columns = st.columns(2, gap="medium")
    names = {each.name: each for each in found.people}
    who = columns[0].selectbox(
        "Show the pairs of", list(names), None, key="who", format_func=lambda each: line(each, 60)
    )
    what = columns[1].selectbox("Which pairs", BEHIND, key="which")
    if who is None:
        return
    rows = _behind(names[who], what)
    if not len(rows):
        st.caption("There are none.")
    else:
        pair_list(view.workspace, rows, f"{who}: {what}", f"person_{who}_{what}", view.round_id)


def _behind(person: Reviewer, what: str) -> Ints:
    """The pairs of one of the lists in BEHIND."""
    if what == BEHIND[0]:
        return person.fast_rows
    if what == BEHIND[1]:
        return person.repeats.rows
    if what == BEHIND[2]:
        return person.drift.rows if isinstance(person.drift, Drift) else np.empty(0, dtype=np.int64)
    return person.a_won


def _row(each: Reviewer) -> dict[str, object]:
    """One person as a line of the table."""
    drift, repeats = each.drift, each.repeats
    change = "too few labels"
    seconds = ""
    if isinstance(drift, Drift):
        if isinstance(drift.difference, Estimate):
            moved = drift.difference
            change = f"{points(moved.value)} points ({points(moved.low)} to {points(moved.high)})"
        if drift.first.seconds is not None and drift.second.seconds is not None:
            seconds = f"{drift.first.seconds:.0f} → {drift.second.seconds:.0f} s"
    return {
        "Reviewer": each.name,
        "Labels": each.labels,
        "Median seconds": None if each.median_seconds is None else round(each.median_seconds, 1),
        "Too fast": f"{each.fast:,} of {each.timed:,}" if each.timed else "not timed",
        "Own repeats": f"{repeats.n - len(repeats.rows)} of {repeats.n} the same" if repeats.n else "none",
        "Drift": change,
        "Early → late": seconds,
    }


def two_judges_section(view: View, names: tuple[str, ...]) -> None:
    """Two judges on the same pairs."""
    if len(names) < 2:
        st.text("There is one judge only. Import verdicts of another one on the same pairs to compare them.")
        return
    columns = st.columns(2, gap="medium")
    one = columns[0].selectbox("One judge", names, key="judge_one", format_func=lambda each: line(each, 80))
    rest = [each for each in names if each != one]
    two = columns[1].selectbox("The other", rest, key="judge_two", format_func=lambda each: line(each, 80))
    with shell.errors():
        found = view.once(
            ("two", one, two),
            "Comparing both judges …",
            lambda: two_judges.two_judges(view.workspace, one, two, round_id=view.round_id, rules=view.rules),
        )
    if isinstance(found, NotEstimable):
        st.text(f"Cannot be estimated: {found.reason}.")
        return
    _two_words(found)
    titles = {
        "one_only": f"only {line(one, 40)} is right",
        "two_only": f"only {line(two, 40)} is right",
        "both": "both are right",
        "neither": "neither is right",
    }
    counts = {title: len(found.cells[cell]) for cell, title in titles.items()}
    chosen = charts.pick(
        view.key("two", one, two),
        lambda: charts.counts(counts),
        ", ".join(f"{title}: {count}" for title, count in counts.items()),
        list(counts),
        name=f"two_{one}_{two}",
    )
    for cell, title in titles.items():
        if title == chosen:
            pair_list(view.workspace, found.cells[cell], title, f"two_{one}_{two}_{cell}", view.round_id)


def _two_words(found: TwoJudges) -> None:
    """Which is right more often, and how sure that is."""
    one, two = plain(found.one, 60), plain(found.two, 60)
    st.markdown(
        f"On the {found.n:,} pairs that people and both judges decided, **{one}** agrees with people on "
        f"**{percent(found.rates[0])}** and **{two}** on **{percent(found.rates[1])}**."
    )
    if isinstance(found.difference, Estimate):
        difference = found.difference
        st.markdown(
            f"Difference **{points(difference.value)} points** ({points(difference.low)} to "
            f"{points(difference.high)} at {percent(difference.level)}, Tango)."
        )
    if isinstance(found.test, NotEstimable):
        st.caption(plain(found.test.reason).capitalize() + ".")
    else:
        test = found.test
        st.caption(f"McNemar: exact p {_p(test.p_exact)}, mid-p {_p(test.p_midp)}; pairs taken as independent.")
    if found.clustered is not None and not isinstance(found.clustered, NotEstimable):
        wider = found.clustered.difference
        if isinstance(wider, Estimate):
            st.caption(
                f"Prompts repeat here ({found.prompts:,} for {found.n:,} pairs). Taking whole prompts together: "
                f"{points(wider.low)} to {points(wider.high)} points, p {_p(found.clustered.p)}. Go by these."
            )
