"""Reporting, confirming, correcting, erasing and reading the adversarial set, on a real database file."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from review import settings
from review.errors import BadInput, ChainBroken, Conflict, NotAllowed, NotFound
from review.services import flag, trace_import
from review.services.desk import LocalDesk
from review.services.workspace import Actor, Workspace, open_workspace
from tests.adversarial import a_report, add_pairs
from tests.conftest import NOW

LEAD = Actor("Lea", "lead")


@pytest.fixture
def stocked(workspace: Workspace) -> Workspace:
    add_pairs(workspace, "p1", "p2")
    return workspace


def test_a_report_makes_an_entry_that_says_what_a_pass_is(stocked: Workspace) -> None:
    made = flag.report(
        stocked, a_report(comment="said twice", ticket="T-9", source="label", round_id="r1"), "Mara", NOW
    )
    assert made.new
    story = flag.story(stocked, made.entry_id)
    assert (story.entry.status, story.entry.failed, story.entry.model) == ("reported", "new", "stack-2")
    assert (story.entry.reported_by, story.entry.reported_at, story.entry.source) == ("Mara", NOW, "label")
    assert story.entry.passes_when == "Asks for the order number"
    assert story.snapshot is not None
    assert story.snapshot["output"] == {"model": "stack-2", "content": "It is on its way."}
    assert story.snapshot["messages"][0]["content"] == "Where is my refund for p1?"
    assert (story.snapshot["comment"], story.snapshot["ticket"]) == ("said twice", "T-9")


def test_without_an_expected_behaviour_a_pass_is_the_absence_of_the_fault(stocked: Workspace) -> None:
    made = flag.report(stocked, a_report(expected="  "), "Mara", NOW)
    passes = flag.entry(stocked, made.entry_id).passes_when
    assert passes is not None
    assert "Refusal" in passes


def test_the_same_failure_twice_is_one_entry_with_two_reports(stocked: Workspace) -> None:
    first = flag.report(stocked, a_report(), "Mara", NOW)
    second = flag.report(stocked, a_report(expected="Says it cannot know"), "Ben", NOW)
    assert (second.entry_id, second.new) == (first.entry_id, False)
    story = flag.story(stocked, first.entry_id)
    assert story.entry.standing.reports == 2
    assert [(each.event.actor, each.text) for each in story.chapters] == [("Ben", {"expected": "Says it cannot know"})]


@pytest.mark.parametrize("other", [{"pair_id": "p2"}, {"failed": "old"}, {"category": "wrong_tool"}])
def test_another_pair_side_or_category_is_another_entry(stocked: Workspace, other: dict[str, str]) -> None:
    first = flag.report(stocked, a_report(), "Mara", NOW)
    assert flag.report(stocked, a_report(**other), "Mara", NOW).entry_id != first.entry_id


def test_sending_a_report_again_changes_nothing(stocked: Workspace) -> None:
    one = a_report()
    first, again = (flag.report(stocked, one, "Mara", NOW) for _ in range(2))
    assert (again.entry_id, again.new) == (first.entry_id, False)
    assert flag.verify(stocked).rows == 1
    with pytest.raises(Conflict, match="another person"):
        flag.report(stocked, one, "Ben", NOW)


def test_eight_people_flagging_at_once_make_one_chain(stocked: Workspace) -> None:
    reports = [a_report(pair_id=f"p{1 + number % 2}") for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda pair: flag.report(stocked, pair[1], f"person {pair[0]}", NOW), enumerate(reports)))
    assert len({each.entry_id for each in made}) == sum(each.new for each in made) == 2
    check = flag.verify(stocked)
    assert (check.ok, check.entries, check.rows) == (True, 2, 40)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("category", "nonsense", "truncated_tool_call"),
        ("failed", "left", "old or new"),
        ("source", "fax", "flag_page"),
        ("report_id", "", "1 to 200"),
        ("expected", "x" * 20_001, "20,001"),
    ],
)
def test_a_bad_field_is_named_with_what_is_legal(stocked: Workspace, field: str, value: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        flag.report(stocked, a_report(**{field: value}), "Mara", NOW)
    assert flag.verify(stocked).rows == 0


def test_a_failure_of_no_pair_is_refused(stocked: Workspace) -> None:
    with pytest.raises(NotFound, match="p9"):
        flag.report(stocked, a_report(pair_id="p9"), "Mara", NOW)


def test_only_a_second_person_confirms(stocked: Workspace) -> None:
    entry_id = flag.report(stocked, a_report(), "Mara Holm", NOW).entry_id
    flag.report(stocked, a_report(), "Ben", NOW)
    for name in ("Mara Holm", " mara  HOLM", "Ｍara Holm", "Ben"):
        with pytest.raises(NotAllowed, match="second person"):
            flag.confirm(stocked, entry_id, name, NOW)
    assert flag.confirm(stocked, entry_id, "Lea", NOW)
    entry = flag.entry(stocked, entry_id)
    assert (entry.status, entry.standing.confirmed_by) == ("confirmed", "Lea")
    assert not flag.confirm(stocked, entry_id, "Zoe", NOW)


def test_a_correction_before_the_confirmation_holds_at_once(stocked: Workspace) -> None:
    entry_id = flag.report(stocked, a_report(), "Mara", NOW).entry_id
    flag.correct(stocked, entry_id, "Ben", NOW, category="invented_fact", expected="Says it cannot know")
    entry = flag.entry(stocked, entry_id)
    assert (entry.category, entry.passes_when, entry.status) == ("invented_fact", "Says it cannot know", "reported")
    with pytest.raises(NotAllowed):
        flag.confirm(stocked, entry_id, "Ben", NOW)


def test_a_confirmed_entry_stays_as_confirmed_until_its_correction_is_confirmed_too(stocked: Workspace) -> None:
    entry_id = flag.report(stocked, a_report(), "Mara", NOW).entry_id
    flag.confirm(stocked, entry_id, "Lea", NOW)
    flag.correct(stocked, entry_id, "Zoe", NOW, expected="Anything goes")
    waits = flag.entry(stocked, entry_id)
    assert (waits.status, waits.passes_when, waits.standing.pending) == ("confirmed", "Asks for the order number", True)
    with pytest.raises(NotAllowed):
        flag.confirm(stocked, entry_id, "Zoe", NOW)
    assert flag.confirm(stocked, entry_id, "Mara", NOW)
    holds = flag.entry(stocked, entry_id)
    assert (holds.passes_when, holds.standing.pending) == ("Anything goes", False)


def test_a_correction_that_says_nothing_is_refused(stocked: Workspace) -> None:
    entry_id = flag.report(stocked, a_report(), "Mara", NOW).entry_id
    with pytest.raises(BadInput, match="needs"):
        flag.correct(stocked, entry_id, "Ben", NOW, comment="  ")


def test_erasing_leaves_a_tombstone_that_verifies_and_counts(stocked: Workspace) -> None:
    entry_id = flag.report(stocked, a_report(expected="Call Jane Doe", comment="Jane Doe again"), "Mara", NOW).entry_id
    flag.report(stocked, a_report(comment="Jane Doe wrote"), "Ben", NOW)
    flag.report(stocked, a_report(pair_id="p2"), "Ben", NOW)
    flag.correct(stocked, entry_id, "Ben", NOW, comment="Jane Doe, once more")
    with pytest.raises(NotAllowed, match="lead"):
        flag.erase(stocked, entry_id, Actor("Ben", "support"), "personal data", NOW)
    flag.erase(stocked, entry_id, LEAD, "personal data", NOW + timedelta(days=1))

    story = flag.story(stocked, entry_id)
    assert (story.entry.status, story.entry.passes_when, story.snapshot) == ("erased", None, None)
    assert story.entry.standing.erased_reason == "personal data"
    assert all(chapter.text is None for chapter in story.chapters)
    check = flag.verify(stocked)
    assert (check.ok, check.entries) == (True, 2)
    assert "Jane" not in stocked.settings.mirror.read_text()
    rows = stocked.database.cursor().execute("SELECT content FROM adversarial_text").fetchall()
    assert len(rows) == 1
    assert flag.summary(stocked).growth[-1].entries == 2


def test_what_was_erased_does_not_come_back(stocked: Workspace) -> None:
    entry_id = flag.report(stocked, a_report(), "Mara", NOW).entry_id
    flag.erase(stocked, entry_id, LEAD, "personal data", NOW)
    again = flag.report(stocked, a_report(comment="Jane Doe"), "Ben", NOW)
    assert (again.entry_id, again.new) == (entry_id, False)
    assert "Jane" not in stocked.settings.mirror.read_text()
    for act in (
        lambda: flag.confirm(stocked, entry_id, "Zoe", NOW),
        lambda: flag.correct(stocked, entry_id, "Zoe", NOW, comment="Jane"),
        lambda: flag.erase(stocked, entry_id, LEAD, "again", NOW),
    ):
        with pytest.raises(NotAllowed, match="erased on 2026-03-02"):
            act()
    assert flag.verify(stocked).ok


@pytest.mark.parametrize("table", ["adversarial_entry", "adversarial_event", "adversarial_text"])
@pytest.mark.parametrize("verb", ["DELETE FROM {}", "UPDATE {} SET seq = seq + 1", "TRUNCATE {}"])
def test_the_database_itself_refuses_to_forget(stocked: Workspace, table: str, verb: str) -> None:
    entry_id = flag.report(stocked, a_report(), "Mara", NOW).entry_id
    flag.confirm(stocked, entry_id, "Lea", NOW)
    flag.report(stocked, a_report(), "Ben", NOW)
    with pytest.raises(duckdb.Error, match=r"refused|foreign key"):
        stocked.database.cursor().execute(verb.format(table))
    check = flag.verify(stocked)
    assert (check.ok, check.rows) == (True, 3)


def test_a_dropped_table_is_reported_in_one_line(stocked: Workspace) -> None:
    flag.report(stocked, a_report(), "Mara", NOW)
    stocked.database.cursor().execute("DROP TABLE adversarial_text")
    check = flag.verify(stocked)
    assert not check.ok
    assert "backup" in check.message
    with pytest.raises(ChainBroken):
        flag.report(stocked, a_report(pair_id="p2"), "Mara", NOW)


def test_rows_lost_by_the_database_are_seen_in_the_mirror(stocked: Workspace) -> None:
    flag.report(stocked, a_report(), "Mara", NOW)
    cursor = stocked.database.cursor()
    for table in ("adversarial_text", "adversarial_event", "adversarial_entry"):
        cursor.execute(f"CREATE TABLE kept AS FROM {table}")
        cursor.execute(f"DROP TABLE {table}")
        cursor.execute(f"CREATE TABLE {table} AS FROM kept LIMIT 0")
        cursor.execute("DROP TABLE kept")
    before = stocked.settings.mirror.read_bytes()
    check = flag.verify(stocked)
    assert (check.ok, check.first_bad, check.mirror and check.mirror.state) == (False, "A-00001", "ahead")
    again = flag.report(stocked, a_report(pair_id="p2"), "Mara", NOW)
    assert not again.mirror.ok
    assert stocked.settings.mirror.read_bytes() == before


def test_filters_and_search_find_entries(stocked: Workspace) -> None:
    first = flag.report(stocked, a_report(expected="Nennt die ÄNDERUNG"), "Mara", NOW).entry_id
    second = flag.report(stocked, a_report(pair_id="p2", category="unsafe", source="api"), "Ben", NOW).entry_id
    flag.confirm(stocked, second, "Mara", NOW)

    def ids(**filters: object) -> list[str]:
        return [each.entry_id for each in flag.entries(stocked, **filters)]

    assert ids() == [second, first]
    assert ids(limit=1) == [second]
    assert ids(status="confirmed") == ids(category="unsafe") == ids(source="api") == ids(text="P2") == [second]
    assert ids(text="änderung") == ids(text="a-00001") == [first]
    assert ids(text='" OR 1=1 --') == []


def test_the_summary_counts_by_day_category_and_source(stocked: Workspace) -> None:
    first = flag.report(stocked, a_report(), "Mara", NOW).entry_id
    flag.report(stocked, a_report(pair_id="p2", source="api"), "Mara", NOW + timedelta(days=2))
    flag.confirm(stocked, first, "Ben", NOW + timedelta(days=1))
    flag.correct(stocked, first, "Ben", NOW + timedelta(days=2), comment="a typo")
    summary = flag.summary(stocked)
    assert (summary.entries, summary.confirmed, summary.waiting, summary.erased) == (2, 1, 2, 0)
    assert summary.categories == {("refusal", "flag_page"): 1, ("refusal", "api"): 1}
    assert [(each.day.day, each.entries, each.confirmed) for each in summary.growth] == [
        (2, 1, 0),
        (3, 1, 1),
        (4, 2, 1),
    ]


def test_export_rows_are_json_with_snapshot_and_story(stocked: Workspace) -> None:
    first = flag.report(stocked, a_report(), "Mara", NOW).entry_id
    flag.confirm(stocked, first, "Ben", NOW)
    flag.report(stocked, a_report(pair_id="p2"), "Mara", NOW)
    rows = [json.loads(json.dumps(row)) for row in flag.export_rows(stocked)]
    assert [(row["entry_id"], row["status"]) for row in rows] == [("A-00001", "confirmed"), ("A-00002", "reported")]
    assert rows[0]["output"]["content"] == "It is on its way."
    assert [event["kind"] for event in rows[0]["events"]] == ["confirmation"]


HOSTILE = "<script>x</script>\x00\x1b[31m\u202e \ud800 ![a](http://x) =cmd|'/c'!A0 '; DROP TABLE pair; --"


def test_hostile_texts_are_kept_as_they_are(stocked: Workspace) -> None:
    add_pairs(stocked, "p3", messages=[{"role": "user", "content": HOSTILE.replace("\ud800", "")}])
    made = flag.report(stocked, a_report(pair_id="p3", expected=HOSTILE, comment=HOSTILE, ticket=HOSTILE), "Mara", NOW)
    snapshot = flag.story(stocked, made.entry_id).snapshot
    assert snapshot is not None
    assert snapshot["expected"] == HOSTILE.replace("\ud800", "\ufffd")
    assert snapshot["messages"][0]["content"] == HOSTILE.replace("\ud800", "")
    assert flag.verify(stocked).ok
    assert [each.entry_id for each in flag.entries(stocked, text=HOSTILE)] == [made.entry_id]


def test_search_finds_pairs_by_id_metadata_and_words(stocked: Workspace) -> None:
    add_pairs(
        stocked,
        "q-77",
        messages=[{"role": "user", "content": 'He said "No Refund" für ÖL, 100%'}],
        metadata={"ticket": "HD-4711", "customer": "Ada"},
    )

    def found(text: str) -> list[tuple[str, str]]:
        return [(each.pair_id, each.matched) for each in flag.search(stocked, text)]

    assert found("Q-77") == [("q-77", "id")]
    assert found("q-") == [("q-77", "id")]
    assert found("hd-4711") == [("q-77", "metadata")]
    assert found("4711") == [("q-77", "metadata")]
    assert found('refund "no öl 100%') == [("q-77", "text")]
    assert {pair for pair, _ in found("refund")} == {"p1", "p2", "q-77"}
    for nothing in ("", "  ", "role", "content", "stack-1", "refund zebra", "'; DROP TABLE pair; --", "100_", "\ud800"):
        assert found(nothing) == [], nothing
    row = flag.search(stocked, "ada")[0]
    assert row.keys == {"ticket": "HD-4711", "customer": "Ada"}
    assert row.asked == 'He said "No Refund" für ÖL, 100%'


def test_support_finds_a_pair_by_the_ticket_of_its_trace_which_is_not_stored(
    stocked: Workspace, tmp_path: Path
) -> None:
    said = {"messages": [{"role": "user", "content": "Hello?"}]}
    records = [said | {"trace_id": f"t{n}", "ticket": f"ZD-{n}", "customer": "ada"} for n in (1, 2)]
    file = tmp_path / "traces.json"
    file.write_text(json.dumps(records))
    desk = LocalDesk(stocked, "tester")
    trace_import.import_file(desk, trace_import.places([str(file)])[0], trace_import.Options(), lambda *_: None)
    cursor = stocked.database.cursor()
    (pair_id,) = cursor.execute("SELECT min(pair_id) FROM pair").fetchall()[0]
    cursor.execute("INSERT INTO pair_origin VALUES ($pair, 't1', 's', 'o', 'n')", {"pair": pair_id})
    assert [each.pair_id for each in flag.search(stocked, " ZD-1 ")] == [pair_id]
    assert [each.pair_id for each in flag.search(stocked, "ada")] == [pair_id]
    assert (flag.search(stocked, "ZD-2"), flag.unpaired(stocked, "ZD-2"), flag.unpaired(stocked, "ZD-3")) == ([], 1, 0)


def test_a_blind_pair_tells_no_side_and_the_order_differs_between_people(stocked: Workspace) -> None:
    people = [f"person {number}" for number in range(40)]
    texts = {"old": "Let me look that up.", "new": "It is on its way."}
    first = []
    for person in people:
        shown = flag.blind(stocked, "p1", person)
        assert "stack" not in str(shown)
        first.append(flag.side_of(stocked, "p1", person, "left"))
        assert shown.answers[0].content == texts[first[-1]]
        assert flag.side_of(stocked, "p1", person, "right") != first[-1]
    assert {"old", "new"} == set(first)


def test_the_set_survives_reopening(stocked: Workspace) -> None:
    flag.report(stocked, a_report(), "Mara", NOW)
    path = stocked.settings.db
    stocked.close()
    again = open_workspace(settings.load(path))
    try:
        assert flag.verify(again).ok
        assert not flag.report(again, a_report(), "Ben", NOW).new
    finally:
        again.close()
