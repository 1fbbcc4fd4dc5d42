"""The hash chain: what fits, and that whatever was tampered with is named."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from review.domain.chain import Link, SaltedText, canonical, digest, genesis, link, verify

CHAIN = "chain-1"


def build(*kinds: tuple[str, str]) -> list[Link]:
    """A chain of (kind, entry id), each with a text unless it is an erasure or a confirmation."""
    links: list[Link] = []
    previous = genesis(CHAIN)
    for seq, (kind, entry_id) in enumerate(kinds, start=1):
        text = None if kind in ("erasure", "confirmation") else SaltedText(bytes([seq]) * 32, canonical({"seq": seq}))
        links.append(link(previous, {"seq": seq, "entry_id": entry_id, "kind": kind}, text))
        previous = links[-1].digest
    return links


@pytest.fixture
def whole() -> list[Link]:
    return build(("entry", "A"), ("report", "A"), ("entry", "B"), ("confirmation", "A"), ("correction", "B"))


def test_a_digest_can_be_recomputed_with_nothing_but_sha256() -> None:
    first = build(("entry", "A"))[0]
    start = hashlib.sha256(b"review adversarial set chain-1").hexdigest()
    text = hashlib.sha256(b"\x01" * 32 + b'{"seq":1}').hexdigest()
    record = f'{{"entry_id":"A","kind":"entry","seq":1,"text_digest":"{text}"}}'
    assert first.digest == hashlib.sha256(f"{start}\n{record}".encode()).hexdigest()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": "ä"}, '{"a":"ä","b":1}'),
        ("a\ud800b", '"a\\ud800b"'),
        ("\x00\n", '"\\u0000\\n"'),
        ([None, True, 0.5], "[null,true,0.5]"),
    ],
)
def test_canonical_json_is_one_text_that_utf8_can_hold(value: object, text: str) -> None:
    assert canonical(value) == text
    assert canonical(value).encode("utf-8")


def test_canonical_json_refuses_what_json_has_no_word_for() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"x": float("nan")})


def test_a_whole_chain_fits(whole: list[Link]) -> None:
    assert verify(CHAIN, whole, ()) is None
    assert verify(CHAIN, [], ()) is None


def test_a_chain_of_another_database_does_not_fit(whole: list[Link]) -> None:
    found = verify("chain-2", whole, ())
    assert found is not None
    assert (found.seq, found.entry_id) == (1, "A")


def test_a_removed_row_is_missed_at_the_row_after_it(whole: list[Link]) -> None:
    found = verify(CHAIN, whole[:2] + whole[3:], ())
    assert found is not None
    assert (found.seq, found.entry_id) == (4, "A")
    assert "row 3 is missing" in found.reason


def test_an_altered_record_is_named(whole: list[Link]) -> None:
    whole[2] = replace(whole[2], record={**whole[2].record, "kind": "entry", "actor": "somebody"})
    found = verify(CHAIN, whole, ())
    assert found is not None
    assert (found.seq, found.entry_id) == (3, "B")
    assert "altered" in found.reason


def test_a_record_altered_together_with_its_digest_shows_at_the_next_row(whole: list[Link]) -> None:
    record = {**whole[2].record, "actor": "somebody"}
    whole[2] = replace(whole[2], record=record, digest=digest(whole[2].previous, record))
    found = verify(CHAIN, whole, ())
    assert found is not None
    assert found.seq == 4


def test_an_altered_text_is_named(whole: list[Link]) -> None:
    whole[4] = replace(whole[4], text=SaltedText(b"\x05" * 32, '{"seq":6}'))
    found = verify(CHAIN, whole, ())
    assert found is not None
    assert (found.seq, "text does not match" in found.reason) == (5, True)


def test_a_text_may_be_absent_only_where_it_was_erased(whole: list[Link]) -> None:
    gone = [replace(each, text=None) if each.entry_id == "A" else each for each in whole]
    found = verify(CHAIN, gone, ())
    assert found is not None
    assert "no erasure explains it" in found.reason
    assert verify(CHAIN, gone, {"A"}) is None
    kept = verify(CHAIN, whole, {"A"})
    assert kept is not None
    assert "still there" in kept.reason


def test_an_event_of_an_unknown_entry_does_not_fit() -> None:
    found = verify(CHAIN, build(("entry", "A"), ("confirmation", "B")), ())
    assert found is not None
    assert "not in the set" in found.reason
