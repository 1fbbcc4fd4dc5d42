"""The demo set: legal records, whole conversations, no side that gives itself away, facts that fit each other."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import date
from typing import Any

import pytest

from review import settings
from review.domain.frame import kind_of, names_itself
from review.domain.types import Output, Pair, Verdict
from review.services import demo
from review.services.demo_documents import read_documents, write_document

PAIRS = [Pair.model_validate_json(line) for line in (demo.FOLDER / "pairs.jsonl").read_text().splitlines()]
WHOLE = [Pair.model_validate_json(line) for line in demo.whole_pairs()]
VERDICTS = [Verdict.model_validate_json(line) for line in (demo.FOLDER / "verdicts.jsonl").read_text().splitlines()]
OPINIONS = demo.read_opinions()
DOCUMENTS = read_documents(demo.FOLDER / "long_contexts.json")
BY_ID = {str(pair.pair_id): pair for pair in PAIRS}

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WEEKDAY_AND_DATE = re.compile(
    rf"\b({'|'.join(WEEKDAYS)})[a-z]*,? (?:the )?(\d{{1,2}})(?:st|nd|rd|th)? ({'|'.join(MONTHS)})"
)


def sides(pair: Pair) -> tuple[Output, Output]:
    return pair.old, pair.new


def calls(output: Output) -> list[tuple[str, Any]]:
    return [(call.function.name, call.function.arguments) for call in output.tool_calls or []]


def identical(pair: Pair) -> bool:
    old, new = sides(pair)
    return (old.content or "").split() == (new.content or "").split() and calls(old) == calls(new)


def structured_differs(pair: Pair) -> bool:
    old, new = sides(pair)
    return calls(old) != calls(new) or old.correct != new.correct or old.finish_reason != new.finish_reason


def text_of(message: Any) -> str:
    return message.content or ""


def test_it_is_about_a_hundred_pairs_in_eleven_intents() -> None:
    assert 100 <= len(PAIRS) <= 130
    assert len(BY_ID) == len(PAIRS)
    per_task = Counter(pair.task for pair in PAIRS)
    assert len(per_task) == 11
    assert min(per_task.values()) >= 5


def test_only_the_same_messages_share_a_prompt_id() -> None:
    by_prompt: dict[str, set[str]] = defaultdict(set)
    by_messages: dict[str, set[str]] = defaultdict(set)
    for pair in PAIRS:
        text = json.dumps([message.model_dump(exclude_none=True) for message in pair.messages])
        by_prompt[str(pair.prompt_id)].add(text)
        by_messages[text].add(str(pair.prompt_id))
    assert all(len(texts) == 1 for texts in by_prompt.values())
    assert all(len(prompts) == 1 for prompts in by_messages.values())
    assert len(by_prompt) < len(PAIRS)


def test_conversations_end_where_the_answer_belongs_and_tool_results_answer_calls() -> None:
    for pair in PAIRS:
        assert pair.messages[0].role == "system"
        assert pair.messages[-1].role in ("user", "tool"), pair.pair_id
        asked = [call.id for message in pair.messages for call in message.tool_calls or []]
        answered = [message.tool_call_id for message in pair.messages if message.role == "tool"]
        assert asked == answered, pair.pair_id
    assert sum(len([m for m in pair.messages if m.role == "user"]) > 1 for pair in PAIRS) >= 6


def test_tool_calls_parse_unless_cut_off_and_name_an_offered_tool() -> None:
    cut = 0
    for pair in PAIRS:
        offered = {tool["function"]["name"]: tool["function"]["parameters"] for tool in pair.tools or []}
        for output in sides(pair):
            for name, arguments in calls(output):
                assert name in offered, pair.pair_id
                assert isinstance(arguments, str)
                if output.finish_reason == "length":
                    cut += 1
                    with pytest.raises(json.JSONDecodeError):
                        json.loads(arguments)
                    continue
                given = json.loads(arguments)
                assert set(offered[name]["required"]) <= set(given) <= set(offered[name]["properties"]), pair.pair_id
    assert cut == 2


def test_no_answer_names_a_model_or_a_side() -> None:
    for pair in PAIRS:
        for output in sides(pair):
            assert names_itself(output) is None, pair.pair_id
            said = (output.content or "").lower()
            assert not re.search(r"\b(old|new|previous|latest) (model|version of me|assistant|stack)\b", said), (
                pair.pair_id
            )
    assert {pair.old.model for pair in PAIRS}.isdisjoint(pair.new.model for pair in PAIRS)


def test_length_alone_does_not_give_the_side_away() -> None:
    lengths = [tuple(len((output.content or "").split()) for output in sides(pair)) for pair in PAIRS]
    shorter = sum(new < old for old, new in lengths) / len(lengths)
    assert 0.5 < shorter < 0.7  # terser, as migrations are, but no sure sign


def test_weekdays_in_the_texts_fit_the_calendar() -> None:
    checked = 0
    for pair in PAIRS:
        texts = [text_of(message) for message in pair.messages] + [output.content or "" for output in sides(pair)]
        for weekday, day, month in WEEKDAY_AND_DATE.findall("\n".join(texts)):
            checked += 1
            assert WEEKDAYS[date(2026, MONTHS.index(month) + 1, int(day)).weekday()] == weekday, (pair.pair_id, day)
    assert checked > 100


def test_every_pair_has_three_votes_and_both_orders() -> None:
    votes: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in VERDICTS:
        votes[verdict.pair_id].append(verdict)
    assert votes.keys() == BY_ID.keys()
    for pair_id, given in votes.items():
        assert [verdict.vote for verdict in given] == [1, 2, 3], pair_id
        assert {given[0].shown_first, given[1].shown_first} == {"old", "new"}, pair_id
    assert len({verdict.judge for verdict in VERDICTS}) == 1
    assert 1 <= sum(verdict.winner is None for verdict in VERDICTS) <= 6


def test_what_the_judge_wrote_fits_what_was_recorded() -> None:
    for verdict in VERDICTS:
        if verdict.winner is None:
            assert verdict.raw not in ("[[A]]", "[[B]]", "[[C]]")
            continue
        first = verdict.winner == verdict.shown_first
        assert verdict.raw == ("[[C]]" if verdict.winner == "tie" else "[[A]]" if first else "[[B]]")
        assert verdict.rationale
        assert "{" not in verdict.rationale


def test_all_three_kinds_of_pairs_are_there() -> None:
    winners: dict[str, list[Any]] = defaultdict(list)
    for verdict in VERDICTS:
        winners[verdict.pair_id].append(verdict.winner)
    kinds = Counter(kind_of(identical(pair), structured_differs(pair), winners[str(pair.pair_id)]) for pair in PAIRS)
    assert 3 <= kinds["identical"] <= 8
    assert 15 <= kinds["judged_tie"] <= 20
    assert kinds["disagreement"] >= 80


def test_every_pair_that_can_be_drawn_has_three_simulated_opinions() -> None:
    drawable = {pair_id for pair_id, pair in BY_ID.items() if not identical(pair)}
    assert OPINIONS.keys() == {(reviewer, pair_id) for reviewer in demo.REVIEWERS for pair_id in drawable}
    assert all(reviewer.startswith("sim-") for reviewer in demo.REVIEWERS)
    categories = {category.id for category in settings.load().config.failure_categories}
    for opinion in OPINIONS.values():
        used = {*(opinion.categories_old or []), *(opinion.categories_new or [])}
        assert used <= categories
        if opinion.kind == "skip":
            assert opinion.preference is None
            continue
        for error, named in ((opinion.error_old, opinion.categories_old), (opinion.error_new, opinion.categories_new)):
            assert bool(named) == (error not in ("none", "cannot_tell")), opinion.pair_id
        if opinion.flag:
            assert opinion.flag.category in categories
            assert opinion.flag.expected


def test_errors_move_from_cautious_to_confident_and_reviewers_do_not_always_agree() -> None:
    old, new = (
        Counter(error for opinion in OPINIONS.values() if (error := getattr(opinion, name)))
        for name in ("error_old", "error_new")
    )
    assert new["confident"] > 1.5 * old["confident"]
    assert old["cautious"] > 2 * new["cautious"]
    preferences: dict[str, set[Any]] = defaultdict(set)
    for (_, pair_id), opinion in OPINIONS.items():
        if opinion.preference:
            preferences[pair_id].add(opinion.preference)
    split = sum(len(found) > 1 for found in preferences.values()) / len(preferences)
    assert 0.2 < split < 0.6


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_long_document_has_20000_words_and_each_needle_once(name: str) -> None:
    document = DOCUMENTS[name]
    text = write_document(document)
    assert 20_000 <= len(text.split()) <= 21_000
    assert text == write_document(document)
    assert "{" not in text
    for needle in document.needles:
        assert text.count(needle.text) == 1
        assert needle.heading in text
    lines = [line for line in text.splitlines() if line]
    assert len(set(lines)) > 0.99 * len(lines)


def test_the_contract_clause_stands_where_the_reference_says() -> None:
    text = write_document(DOCUMENTS["frame_contract"])
    assert re.search(r"^63\.4 Where availability of a depot stays under 96\.5 %", text, re.MULTILINE)


def test_long_documents_stand_in_the_pairs_only_when_built() -> None:
    marks = [pair for pair in PAIRS if any("{{long:" in text_of(message) for message in pair.messages)]
    assert len(marks) == len(DOCUMENTS) == 4
    assert not any("{{" in text_of(message) for pair in WHOLE for message in pair.messages)
    long = [pair for pair in WHOLE if any(len(text_of(message).split()) > 20_000 for message in pair.messages)]
    assert [pair.pair_id for pair in long] == [pair.pair_id for pair in marks]
