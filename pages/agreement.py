"""Agreement: how far each judge may be trusted, and how far people agree with each other."""

from typing import get_args

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from review.services import agreement
from review.services.agreement import AgreementReport
from review.services.facts import BothBad, Rules, Unit
from review.stats.consensus import Inconsistent, Unparsable
from review.ui import agreement_details, agreement_sections, charts, judging_section, shell
from review.ui.agreement_view import View, remember
from review.ui.text import line, plain

SECTIONS = ("Judges", "Slices", "Stability", "People", "Two judges")
UNIT_WORDS: dict[Unit, str] = {"majority": "final answer a pair", "each": "each label"}
UNPARSABLE_WORDS: dict[Unparsable, str] = {"tie": "a tie", "wrong": "wrong", "dropped": "left out"}
INCONSISTENT_WORDS: dict[Inconsistent, str] = {"own": "its own state", "tie": "a tie"}
BOTH_BAD_WORDS: dict[BothBad, str] = {"own": "its own answer", "tie": "a tie"}
LABEL_WORDS = {
    "adjudications": "adjudications",
    "surplus": "surplus",
    "hidden_repeats": "hidden repeats",
    "older_of_the_same_person": "older ones of the same person and pair",
    "pair_not_imported": "on pairs that were never imported",
    "skips": "skips",
    "replaced": "replaced by a correction",
}

# What is chosen here, and at first. Streamlit forgets a page's widgets; whoever comes back from a pair wants them kept.
CHOSEN: dict[str, object] = {
    "agreement_section": SECTIONS[0],
    "agreement_round": None,
    "agreement_unit": "majority",
    "agreement_unparsable": "tie",
    "agreement_inconsistent": "own",
    "agreement_both_bad": "own",
}

session = shell.page("agreement.py")
workspace, actor = session.workspace, session.actor


def chosen_rules() -> tuple[str | None, Rules, DeltaGenerator]:
    """The round and the rules, as the person sets them, and where to say what they mean."""
    names = agreement.round_names(workspace)
    with st.container(key="rules"):
        first, second = st.columns([2, 3], gap="medium")
        round_id = first.selectbox(
            "Labels of",
            list(names),
            None,
            key="agreement_round",
            format_func=lambda each: line(names[each], 80),
            placeholder="all rounds and imports",
        )
        unit = second.segmented_control(
            "People count as",
            get_args(Unit),
            key="agreement_unit",
            format_func=UNIT_WORDS.__getitem__,
            required=True,
        )
        more = st.expander("What these numbers count, and what they do not")
        columns = more.columns(3, gap="medium")
        unparsable = columns[0].segmented_control(
            "An unparsable verdict is",
            get_args(Unparsable),
            key="agreement_unparsable",
            format_func=UNPARSABLE_WORDS.__getitem__,
            required=True,
        )
        inconsistent = columns[1].segmented_control(
            "One that changes with the order is",
            get_args(Inconsistent),
            key="agreement_inconsistent",
            format_func=INCONSISTENT_WORDS.__getitem__,
            required=True,
        )
        both_bad = columns[2].segmented_control(
            "People's “both bad” is",
            get_args(BothBad),
            key="agreement_both_bad",
            format_func=BOTH_BAD_WORDS.__getitem__,
            required=True,
        )
    rules = Rules(unit or "majority", unparsable or "tie", inconsistent or "own", both_bad or "own")
    return round_id, rules, more


def what_counts(report: AgreementReport, place: DeltaGenerator) -> None:
    """The rows that were not counted and, at `place`, the rules in words."""
    used = report.labels
    told = f"{used['counted']:,} labels count"
    if used["of_them_simulated"]:
        told += f", {used['of_them_simulated']:,} of them simulated"
    rest = [f"{used[key]:,} {text}" for key, text in LABEL_WORDS.items() if used[key]]
    st.caption(plain(told + (". Not counted: " + ", ".join(rest) if rest else "") + "."))
    for rule in report.rules.in_words():
        place.text(rule)


charts.style()
remember(CHOSEN)
st.title("Agreement", anchor=False)
st.caption("How far each judge agrees with people, and people with each other.")
with shell.errors():
    round_id, rules, explained = chosen_rules()
    agreement.require_sight(workspace, actor.name, round_id=round_id)
    view = View(workspace, agreement.data_version(workspace), round_id, rules)
    report = view.report()
if not report.judges and not report.labels["counted"]:
    shell.empty(
        "Nothing to compare yet",
        "Agreement needs two things on the same pairs: verdicts of a judge (review import verdicts) and labels of "
        "people (draw a round and label it, or review import labels).",
        [("rounds.py", "Draw a round")],
    )
    st.stop()
what_counts(report, explained)
judging_section.warnings(view)
questions = {each.judge: tuple(one.dimension for one in (each.preference, *each.dimensions)) for each in report.judges}
section = st.segmented_control(
    "Look at", SECTIONS, key="agreement_section", label_visibility="collapsed", required=True
)
with st.container(border=len(report.judges) < 2 or section != "Judges"):
    if section == "People":
        agreement_sections.people(view, report.people)
        agreement_details.reviewer_section(view)
    elif section == "Judges" or not questions:
        agreement_sections.judges(view, report)
        judging_section.costs(view)
    elif section == "Slices":
        agreement_details.slice_section(view, questions)
    elif section == "Stability":
        agreement_details.stability_section(view, tuple(questions))
    else:
        agreement_details.two_judges_section(view, tuple(questions))
charts.downloads()
