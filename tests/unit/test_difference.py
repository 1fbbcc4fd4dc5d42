"""What differs between two outputs: marked words, aligned arguments."""

from __future__ import annotations

import random
import time

from review.domain.difference import MAX_ARGUMENTS, Segment, compare_calls, compare_texts
from review.domain.types import FunctionCall, ToolCall


def marked(segments: tuple[Segment, ...]) -> list[str]:
    return [segment.text for segment in segments if segment.differs]


def call(name: str, arguments: object) -> ToolCall:
    return ToolCall.model_validate({"function": FunctionCall.model_validate({"name": name, "arguments": arguments})})


def test_only_the_changed_words_are_marked() -> None:
    found = compare_texts("The refund takes five days, at most.", "The refund takes ten days, at most.")
    assert marked(found.left) == ["five"]
    assert marked(found.right) == ["ten"]
    assert found.shared is not None
    assert 0.8 < found.shared < 1


def test_an_added_sentence_is_one_mark() -> None:
    found = compare_texts("Your bike is ready.", "Your bike is ready. Bring the receipt with you!")
    assert marked(found.left) == []
    assert marked(found.right) == ["Bring the receipt with you!"]


def test_white_space_alone_differs_nowhere() -> None:
    found = compare_texts("one  two\nthree", "one two three ")
    assert marked(found.left) == marked(found.right) == []
    assert found.shared == 1


def test_stray_words_between_large_changes_are_marked_too() -> None:
    found = compare_texts("alpha beta gamma the delta epsilon zeta", "one two three the four five six")
    assert marked(found.left) == ["alpha beta gamma the delta epsilon zeta"]
    assert found.shared == 0


def test_empty_texts_compare() -> None:
    assert compare_texts("", "").shared == 1
    found = compare_texts("", "words")
    assert (found.left, marked(found.right), found.shared) == ((), ["words"], 0)


def test_texts_without_spaces_are_compared_by_character() -> None:
    found = compare_texts("退款需要五天。", "退款需要十天。")
    assert (marked(found.left), marked(found.right)) == (["五"], ["十"])


def test_thirty_thousand_words_in_a_few_words_of_vocabulary_are_aligned_within_two_seconds() -> None:
    source = random.Random(5)
    words = [source.choice(["refund", "order", "parcel", "bike", "the", "and", "day", "policy"]) for _ in range(30_000)]
    changed = [f"changed{index}" if index % 101 == 0 else word for index, word in enumerate(words)]
    began = time.perf_counter()
    found = compare_texts(" ".join(words), " ".join(changed))
    assert time.perf_counter() - began < 2
    assert found.shared is not None
    assert found.shared > 0.95


def test_texts_too_long_to_compare_are_left_unmarked() -> None:
    found = compare_texts("a " * 100_000, "b " * 100_000)
    assert found.shared is None
    assert marked(found.left) == marked(found.right) == []


def test_arguments_stand_beside_each_other_by_path() -> None:
    left = call("refund", '{"order": {"id": "A1", "items": [{"sku": "x", "n": 1}]}, "reason": "late"}')
    right = call("refund", {"order": {"id": "A1", "items": [{"sku": "x", "n": 2}]}, "amount": 5})
    (compared,) = compare_calls([left], [right])
    assert [(row.path, row.left, row.right, row.differs) for row in compared.rows] == [
        ("order.id", "A1", "A1", False),
        ("order.items[0].sku", "x", "x", False),
        ("order.items[0].n", "1", "2", True),
        ("reason", "late", None, True),
        ("amount", None, "5", True),
    ]


def test_a_number_and_its_text_are_told_apart() -> None:
    (compared,) = compare_calls([call("f", {"n": 5})], [call("f", {"n": "5"})])
    assert [(row.left, row.right, row.differs) for row in compared.rows] == [("5", '"5"', True)]


def test_a_dotted_key_is_not_a_path() -> None:
    (compared,) = compare_calls([call("f", {"a.b": 1})], [call("f", {"a": {"b": 1}})])
    assert [(row.path, row.differs) for row in compared.rows] == [('["a.b"]', True), ("a.b", True)]


def test_a_call_that_was_cut_off_shows_its_text_and_says_so() -> None:
    (compared,) = compare_calls([call("book", '{"slot": "10:00"}')], [call("book", '{"slot": "10:')])
    assert (compared.left_broken, compared.right_broken) == (False, True)
    assert [(row.path, row.left, row.right) for row in compared.rows] == [
        ("slot", "10:00", None),
        ("", None, '{"slot": "10:'),
    ]


def test_calls_align_by_name_and_an_extra_call_stands_alone() -> None:
    left = [call("search", {"q": "a"}), call("refund", {"id": 1})]
    right = [call("refund", {"id": 1})]
    compared = compare_calls(left, right)
    assert [(each.left, each.right, each.differs) for each in compared] == [
        ("search", None, True),
        ("refund", "refund", False),
    ]


def test_of_very_many_arguments_the_differing_ones_stay() -> None:
    many = {f"key{index}": index for index in range(1000)}
    (compared,) = compare_calls([call("f", many)], [call("f", many | {"key999": 0})])
    assert len(compared.rows) == MAX_ARGUMENTS
    assert compared.hidden == 1000 - MAX_ARGUMENTS
    assert [row.path for row in compared.rows if row.differs] == ["key999"]
