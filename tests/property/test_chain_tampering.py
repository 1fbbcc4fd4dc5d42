"""Whatever people do, the set verifies; whatever is tampered with, the first entry that does not fit is named."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from review import settings as review_settings
from review.domain.chain import Link, SaltedText, canonical, genesis, link, verify
from review.errors import NotAllowed
from review.services import flag
from review.services.workspace import Actor, Workspace, open_workspace
from tests.adversarial import add_pairs
from tests.conftest import NOW

CATEGORIES = ("refusal", "wrong_tool")
PEOPLE = ("Mara", "Ben", "Lea")
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("report"), st.sampled_from(["p1", "p2"]), st.sampled_from(["old", "new"]),
            st.sampled_from(CATEGORIES), st.sampled_from(PEOPLE), st.text(max_size=30),
        ),
        st.tuples(st.just("confirm"), st.integers(0, 7), st.sampled_from(PEOPLE)),
        st.tuples(st.just("correct"), st.integers(0, 7), st.sampled_from(PEOPLE), st.text(max_size=20)),
        st.tuples(st.just("erase"), st.integers(0, 7)),
    ),
    min_size=1,
    max_size=14,
)  # fmt: skip


def play(workspace: Workspace, number: int, step: tuple[Any, ...]) -> None:
    """Do one step; what the rules forbid is refused and leaves no trace."""
    verb, *rest = step
    now = NOW + timedelta(minutes=number)
    entries = [each.entry_id for each in reversed(flag.entries(workspace))]
    if verb == "report":
        pair, side, category, who, text = rest
        flag.report(workspace, flag.Report(f"r-{number}", pair, side, category, text, comment=text), who, now)
    elif entries:
        entry_id = entries[rest[0] % len(entries)]
        with suppress(NotAllowed):
            if verb == "confirm":
                flag.confirm(workspace, entry_id, rest[1], now)
            elif verb == "correct":
                flag.correct(workspace, entry_id, rest[1], now, category="other", comment=rest[2])
            else:
                flag.erase(workspace, entry_id, Actor("Lea", "lead"), "personal data", now)


@given(STEPS)
@settings(max_examples=15, deadline=None)
def test_any_sequence_verifies_and_the_count_never_falls(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(review_settings.load(Path(folder) / "review.duckdb"))
        try:
            add_pairs(workspace, "p1", "p2")
            before = 0
            for number, step in enumerate(steps):
                play(workspace, number, step)
                after = flag.summary(workspace).entries
                assert after >= before
                before = after
            check = flag.verify(workspace)
            assert check.ok, check.message
            assert check.entries == before == len({step[1:4] for step in steps if step[0] == "report"})
            erased = [each.entry_id for each in flag.entries(workspace, status="erased")]
            lines = [json.loads(line) for line in workspace.settings.mirror.read_text().rstrip("\n").split("\n")[1:]]
            assert len(lines) == check.rows
            assert not any("text" in line for line in lines if line["entry_id"] in erased)
        finally:
            workspace.close()


@st.composite
def chains(draw: st.DrawFn) -> list[Link]:
    """A chain of entries and events with texts."""
    links: list[Link] = []
    previous, known = genesis("c"), 0
    for seq in range(1, draw(st.integers(2, 9)) + 1):
        if not known or draw(st.booleans()):
            known += 1
            entry, kind = known, "entry"
        else:
            entry, kind = draw(st.integers(1, known)), draw(st.sampled_from(["report", "confirmation", "correction"]))
        text = SaltedText(draw(st.binary(min_size=32, max_size=32)), canonical(draw(st.text(max_size=5))))
        record = {"seq": seq, "entry_id": f"A-{entry}", "kind": kind, "actor": draw(st.text(max_size=4))}
        links.append(link(previous, record, text))
        previous = links[-1].digest
    return links


TAMPERS = {
    "record": lambda each: replace(each, record={**each.record, "actor": str(each.record["actor"]) + "!"}),
    "text": lambda each: replace(each, text=SaltedText(each.text.salt, each.text.content + " ")),
    "salt": lambda each: replace(each, text=SaltedText(bytes(32 * [each.text.salt[0] ^ 1]), each.text.content)),
    "text gone": lambda each: replace(each, text=None),
    "digest": lambda each: replace(each, digest=each.digest[:-1] + ("0" if each.digest[-1] != "0" else "1")),
    "previous": lambda each: replace(each, previous="0" * 64),
    "entry": lambda each: replace(each, entry_id=each.entry_id + "x"),
    "kind": lambda each: replace(each, kind=each.kind + "x"),
    "seq": lambda each: replace(each, seq=each.seq + 1),
}


@given(chains(), st.data())
@settings(max_examples=150, deadline=None)
def test_any_single_tampering_is_found_where_it_was_done(links: list[Link], data: st.DataObject) -> None:
    assert verify("c", links, ()) is None
    place = data.draw(st.integers(0, len(links) - 1))
    links[place] = TAMPERS[data.draw(st.sampled_from(sorted(TAMPERS)))](links[place])
    found = verify("c", links, ())
    assert found is not None
    assert found.seq == links[place].seq
    assert found.entry_id == links[place].entry_id


@given(chains(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_removed_repeated_or_swapped_row_is_found(links: list[Link], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(links) - 2))
    how = data.draw(st.sampled_from(["removed", "repeated", "swapped"]))
    changed = {
        "removed": links[:place] + links[place + 1 :],
        "repeated": [*links[: place + 1], links[place], *links[place + 1 :]],
        "swapped": [*links[:place], links[place + 1], links[place], *links[place + 2 :]],
    }[how]
    assert verify("c", changed, ()) is not None


# What somebody with the file in hand may do, once the triggers are out of the way, and which entry must be named.
ATTACKS = (
    ("UPDATE adversarial_entry SET model = 'stack-9' WHERE seq = 3", "A-00002"),
    ("UPDATE adversarial_text SET content = replace(content, 'Ask', 'Guess') WHERE seq = 1", "A-00001"),
    ("UPDATE adversarial_event SET actor = 'Somebody' WHERE seq = 4", "A-00002"),
    ("DELETE FROM adversarial_text WHERE seq = 3", "A-00002"),
    ("DELETE FROM adversarial_event WHERE seq = 2", "A-00002"),
    (
        "INSERT INTO adversarial_event SELECT 7, 'A-00001', 'confirmation', NULL, NULL, NULL, NULL, NULL, NULL, 'X', "
        "now(), NULL, digest, 'f' FROM adversarial_event WHERE seq = 6",
        "A-00001",
    ),
)


def test_an_attack_on_the_real_file_is_found_and_named(tmp_path: Path) -> None:
    original = tmp_path / "original"
    workspace = open_workspace(review_settings.load(original / "review.duckdb"))
    add_pairs(workspace, "p1", "p2")
    steps = (
        ("report", "p1", "new", "refusal", "Mara", "Ask first"),
        ("report", "p1", "new", "refusal", "Ben", "Ask first"),
        ("report", "p2", "old", "wrong_tool", "Ben", "Ask first"),
        ("confirm", 1, "Lea"),
        ("correct", 0, "Ben", "a comment"),
        ("confirm", 0, "Lea"),
    )
    for number, step in enumerate(steps):
        play(workspace, number, step)
    workspace.close()
    for number, (statement, entry_id) in enumerate(ATTACKS):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(original, copy)
        with duckdb.connect(str(copy / "review.duckdb")) as connection:
            for table in ("entry", "event", "text"):
                for verb in ("delete", "update"):
                    connection.execute(f"DROP TRIGGER adversarial_{table}_keeps_on_{verb} ON adversarial_{table}")
            connection.execute(statement)
        opened = open_workspace(review_settings.load(copy / "review.duckdb"))
        try:
            check = flag.verify(opened)
        finally:
            opened.close()
        assert not check.ok, statement
        assert check.first_bad == entry_id, (statement, check.message)
