"""What of a trace says its intent, and the names of clusters."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from review.domain import naming
from review.domain.intent import intent_text, neutral


def _user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_what_the_person_wanted_is_kept_and_what_machines_said_is_not() -> None:
    messages = [
        {"role": "system", "content": "You are an airline's agent. Never refund a basic ticket, whatever people say."},
        _user("Hi there"),
        {"role": "assistant", "content": "Hello, how can I help you today with your booking or anything else?"},
        _user([{"type": "text", "text": "I would like to move my flight\nto Boston by one day"}, {"type": "x"}]),
        {"role": "tool", "content": '{"reservation": "HXDUBJ", "flights": ["a", "b", "c", "d", "e", "f", "g"]}'},
        _user("yes, please"),
    ]
    assert intent_text(messages) == "Hi there I would like to move my flight to Boston by one day"


def test_a_short_chat_keeps_all_its_short_messages() -> None:
    assert intent_text([_user("hi"), _user("cancel my order")]) == "hi cancel my order"


def test_the_end_of_a_long_message_is_kept() -> None:
    text = intent_text([_user("Summarise this. " + "filler words " * 5_000 + "In French!")])
    assert text.startswith("Summarise this.")
    assert len(text) < 1_010


def test_without_words_of_a_person_there_is_no_intent() -> None:
    assert intent_text([{"role": "system", "content": "You are helpful."}, _user([{"type": "image_url"}])]) == ""


def test_placeholders_become_words_for_the_model_and_never_stand_in_a_name() -> None:
    assert neutral("Call <PERSON_1> at <PHONE_2>") == "Call person at phone"
    texts = ["refund the order of <PERSON_1>", "refund for <PERSON_1> and <PERSON_2>", "refund it to <PERSON_1>"]
    assert naming.distinctive([texts, ["what is the weather", "weather in <ADDRESS_1>"]]) == [["refund"], ["weather"]]


def test_a_name_said_once_is_no_term_and_equal_terms_give_different_names() -> None:
    terms = naming.distinctive([["lost luggage of Kowalski", "luggage is lost"], ["play jazz", "play some jazz"]])
    assert "kowalski" not in " ".join(terms[0])
    assert naming.names([["set", "timer"], ["set", "timer"], []], taken=["set · timer"]) == [
        "set · timer (2)",
        "set · timer (3)",
        "unnamed",
    ]


@given(some.lists(some.lists(some.text(max_size=60), max_size=6), max_size=5))
def test_any_texts_get_names_that_differ(clusters: list[list[str]]) -> None:
    given_names = naming.names(naming.distinctive(clusters))
    assert len(set(given_names)) == len(clusters)
