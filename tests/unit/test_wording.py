"""Traits counted by hand on small answers, additive over paragraphs, and quick on texts made to hurt."""

from __future__ import annotations

import time
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.domain import wording
from review.domain.wording import TRAITS, Wording, measure, prose_of

LETTER = """Dear Ms. Okafor,

I'm sorry about the delay; we apologise. Your refund may take 3.5 days, and it usually arrives sooner! However, \
please note that you could wait until Monday.

Kind regards,
The team"""


def test_a_letter_counted_by_hand() -> None:
    # Dear Ms Okafor (3) + I'm … apologise (7) + Your … sooner (11) + However … Monday (9) + Kind regards The team (4).
    # Sentences: the salutation, three of the body, the close.
    # Hedges: may, usually, could. Connectives: however, please note. Second person: your, you.
    assert measure(LETTER) == Wording(
        words=34,
        sentences=5,
        hedges=3,
        boosters=0,
        apologies=2,
        second_person=2,
        contractions=1,
        connectives=2,
        greetings=1,
        sign_offs=1,
        exclamations=1,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Wording()),
        ("!!! … ?", Wording(exclamations=1)),
        ("Yes. It is certainly so, of course!", Wording(words=7, sentences=2, boosters=2, exclamations=1)),
        ("Don’t worry, it's fine", Wording(words=4, sentences=1, contractions=2)),
        ("John's dog isn't theirs", Wording(words=4, sentences=1, contractions=1)),
        ("In May you may go.", Wording(words=5, sentences=1, hedges=1, second_person=1)),
        ("Could you wait? It could rain.", Wording(words=6, sentences=2, hedges=1, second_person=1)),
        ("I think it depends, as far as I know", Wording(words=9, sentences=1, hedges=3)),
        ("Use e.g. the app. Ask Dr. Lee.", Wording(words=8, sentences=2)),
        ("Steps:\n1. Open it.\n2. Close it\n- Done", Wording(words=6, sentences=4)),
        ("# Title\n\nA line\nthat goes on.", Wording(words=6, sentences=2)),
        ("s\u200borry, re\u0301sume\u0301 so\u00adrry", Wording(words=3, sentences=1, apologies=2)),
        ("State-of-the-art, 10,000 of them at 12:30", Wording(words=6, sentences=1)),
        ("Best,\nAna", Wording(words=2, sentences=1, sign_offs=1)),
        ("Best of all\nhi there", Wording(words=5, sentences=1)),
        ("In order\nto see\n\nit. In\n\nfact, no.", Wording(words=8, sentences=4, connectives=1)),
    ],
)
def test_small_answers(text: str, expected: Wording) -> None:
    assert measure(text) == expected


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        ("Run `pip install x` now", "Run   now"),
        ("Before\n```python\nsorry = 1\n```\nafter", "Before\n\n\nafter"),
        ("Before\n~~~~\n```\nsorry\n~~~~\nafter", "Before\n\n\nafter"),
        ("Before\n```\nnever closed, sorry", "Before\n"),
        ('Look <tool_call>{"name": "sorry"}</tool_call> here', "Look \n here"),
        ("Look <tool_call>sorry", "Look "),
        ('{"reply": "sorry"}', ""),
        ("[sorry", "[sorry"),
        ("see https://example.org/sorry?x=1 or mail sorry@example.org", "see   or mail  "),
        ("a\r\nb\rc", "a\nb\nc"),
    ],
)
def test_only_prose_is_measured(text: str, prose: str) -> None:
    assert prose_of(text) == prose


def test_every_trait_has_a_value_and_a_rate_needs_words() -> None:
    found = measure(LETTER)
    values = {trait.key: trait.value(found) for trait in TRAITS}
    assert values["words"] == 34
    assert values["sentence_length"] == pytest.approx(6.8)
    assert values["hedges"] == pytest.approx(100 * 3 / 34)
    assert len(values) == len(TRAITS) == 12
    with pytest.raises(ValueError, match="no rate"):
        TRAITS[3].value(measure("```\nonly code\n```"))


def test_the_lists_do_not_overlap_so_that_nothing_counts_twice() -> None:
    lists = [wording.HEDGES, wording.BOOSTERS, wording.APOLOGIES, wording.SECOND_PERSON, wording.CONNECTIVES]
    assert sum(map(len, lists)) == len(frozenset[str]().union(*lists))
    for words, phrases in (
        (wording.HEDGES, wording.HEDGE_PHRASES),
        (wording.BOOSTERS, wording.BOOSTER_PHRASES),
        (wording.CONNECTIVES, wording.CONNECTIVE_PHRASES),
    ):
        assert not words & {word for phrase in phrases for word in phrase.split()}


@given(st.text(st.characters(codec=None), max_size=300))
def test_any_text_is_measured(text: str) -> None:
    found = measure(text)
    assert all(count >= 0 for count in astuple(found))
    assert found.sentences <= found.words
    assert (found.sentences == 0) == (found.words == 0)
    for part in (found.hedges, found.apologies, found.second_person, found.contractions, found.greetings):
        assert part <= found.words


# fmt: off
PIECES = st.sampled_from([
    "sorry", "You", "don't", "may.", "May", "I", "could", "you", "think!", "However", "in", "fact", "of", "course",
    "e.g.", "Dr.", "Lee", "3.5", "-", "1.", "2)", "#", "Hi", "Dear", "Best,", "!", "…", "?", "kind", "regards", "'s",
    "s\u200borry", "\u202e", "it’s", "İ", "\n", "\n1. ", "\n- ",
])
HURTING = [
    ". ", ".", "\n", "\n ", "```\n", "`a", "<tool_call>", "<tool_call ", "a@", "a'", "a.", "\n- ", "1.", "\n\nhi", "[",
    "e\u0301\u0316", "www.", "best \n", "İ", "! ", "\ud800", ' ."', "a" + " " * 200 + ".",
]
# fmt: on
PARAGRAPH = st.one_of(
    st.lists(PIECES, max_size=30).map(" ".join),
    # Prose: no code, no markup of calls, no brackets that could make the whole a JSON value.
    st.text(st.characters(codec="utf-8", exclude_characters="`~<{[@/\r"), max_size=80),
).filter(lambda text: "www." not in text)


@given(st.lists(PARAGRAPH, max_size=5))
def test_paragraphs_add_up(paragraphs: list[str]) -> None:
    whole = astuple(measure("\n\n".join(paragraphs)))
    parts = [astuple(measure(paragraph)) for paragraph in paragraphs]
    assert whole == tuple(sum(part[index] for part in parts) for index in range(len(whole)))


@pytest.mark.parametrize("unit", HURTING, ids=ascii)
def test_a_text_made_to_hurt_costs_no_more_than_its_length(unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        start = time.process_time()
        measure(text)
        return time.process_time() - start

    # Processor time, sixteen times the length; a quadratic pattern would take 256 times as long.
    short, long = min(seconds(12_500) for _ in range(3)), seconds(200_000)
    assert long < 80 * short + 0.05
