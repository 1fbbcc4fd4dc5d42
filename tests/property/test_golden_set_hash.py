"""A golden item's hash depends on what it says and on nothing else; sets and decisions likewise."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from review.domain import golden
from review.domain.golden import Event, EventKind, Item

words = st.text("ab ß中2×*.-", min_size=1, max_size=12).filter(str.strip)
rubrics = st.lists(
    st.fixed_dictionaries({"item": words}, optional={"weight": st.sampled_from([0.25, 1, 2, 2.0, 7.5])}),
    min_size=1,
    max_size=4,
)
documents = st.fixed_dictionaries(
    {"item_id": st.sampled_from(["one", "two"]), "prompt": words, "reference": words, "rubric": rubrics},
    optional={"task": st.sampled_from(["billing", "travel"])},
)


def item(document: dict[str, Any]) -> Item:
    return Item.model_validate(golden.written(document))


@settings(max_examples=40, deadline=None)
@given(documents, st.integers(0, 4))
def test_order_of_keys_spelling_and_a_round_trip_change_no_hash(document: dict[str, Any], turn: int) -> None:
    one = item(document)
    pairs = list(document.items())
    spelled = dict(pairs[turn:] + pairs[:turn]) | {"rubric": json.dumps(document["rubric"])}
    assert item(spelled).item_hash == one.item_hash
    assert item(json.loads(json.dumps(one.form()))).item_hash == one.item_hash


@settings(max_examples=40, deadline=None)
@given(documents, st.sampled_from(["item_id", "reference", "prompt", "rubric", "task"]))
def test_any_other_word_is_another_hash(document: dict[str, Any], field: str) -> None:
    changed = dict(document)
    if field == "rubric":
        changed["rubric"] = [*document["rubric"], {"item": "one more"}]
    else:
        changed[field] = f"{document.get(field, '')}x"
    assert item(changed).item_hash != item(document).item_hash


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(min_size=32, max_size=32).map(bytes.hex), min_size=1, max_size=6, unique=True))
def test_a_set_is_the_same_in_any_order_and_another_with_one_less(hashes: list[str]) -> None:
    assert golden.set_hash(hashes) == golden.set_hash(reversed(hashes))
    assert golden.set_hash(hashes) != golden.set_hash(hashes[1:])


@settings(max_examples=40, deadline=None)
@given(rubrics)
def test_a_rubric_survives_being_shown_as_text(rubric: list[dict[str, Any]]) -> None:
    made = item({"item_id": "a", "prompt": "p", "reference": "r", "rubric": rubric}).rubric
    plain = [each for each in made if " ".join(each.item.split()) == each.item and each.weight == round(each.weight, 2)]
    text = golden.rubric_text(plain)
    again = [golden.RubricItem.model_validate(each) for each in golden.rubric_lines(text)]
    assert again == plain


KINDS: tuple[EventKind, ...] = ("edited", "accepted", "rejected", "undone")


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(("imported", "drafted")), st.lists(st.sampled_from(KINDS), max_size=12))
def test_undoing_as_often_as_something_was_done_leads_back_to_how_the_item_came_in(
    first: EventKind, kinds: list[EventKind]
) -> None:
    everything = [first, *kinds]
    events = [
        Event(at, "i", f"hash-{at}" if kind == "edited" else "hash-0", kind, "Lea")
        for at, kind in enumerate(everything)
    ]
    now = golden.fold(events)["i"]
    assert 1 <= now.steps <= len(everything)
    undone = [Event(len(events) + at, "i", "hash-0", "undone", "Lea") for at in range(now.steps - 1)]
    before = golden.fold([*events, *undone])["i"]
    assert (before.state, before.steps) == ("accepted" if first == "imported" else "draft", 1)
    if now.state == "accepted" and first == "drafted":
        assert "accepted" in kinds
