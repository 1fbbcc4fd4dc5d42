"""The frame: kinds of pairs, strata, allocation, inclusion probabilities, answers that name their model."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from review.domain import frame
from review.domain.frame import FrameGroup, FramePair
from review.domain.types import Output
from review.errors import BadInput
from review.services import rounds
from review.services.rounds import DrawSpec
from review.services.workspace import Workspace
from review.stats.allocation import allocate, choose, too_small
from review.store.population import pair_columns
from review.store.rounds import read_frame
from review.store.wording import disagreements
from tests.conftest import NOW

WINNERS = (None, "old", "new", "tie")
# What comparing structured outcomes since the import found: differs, settled.
COMPARED = (None, (True, False), (False, False), (False, True))


def add(
    workspace: Workspace, pair_id: str, task: str | None, kind: str, *, source: str = "s", model: str = "m"
) -> None:
    """One pair of the wanted kind, as an import would leave it."""
    workspace.database.cursor().execute(
        """
        INSERT INTO pair BY NAME SELECT $id AS pair_id, $id AS prompt_id, $task AS task,
            '[{"role":"user","content":"Hi"}]' AS messages, $old AS old, '{"content":"b"}' AS new,
            $same AS identical, false AS structured_differs, $source AS source, $now AS imported_at
        """,
        {
            "id": pair_id,
            "task": task,
            "old": json.dumps({"model": model, "content": "a"}),
            "same": kind == "identical",
            "source": source,
            "now": NOW,
        },
    )
    if kind == "judged_tie":
        workspace.database.cursor().execute(
            """
            INSERT INTO verdict BY NAME
            SELECT $id AS pair_id, 'j' AS judge, 1 AS vote, 'tie' AS winner, $now AS imported_at
            """,
            {"id": pair_id, "now": NOW},
        )


def test_sql_and_rule_agree_on_every_combination(workspace: Workspace) -> None:
    """All verdict lists up to length 2 by identical, structured difference at import, and what was compared since."""
    cursor = workspace.database.cursor()
    expected: dict[str, str] = {}
    lists = [[], *([a] for a in WINNERS), *([a, b] for a in WINNERS for b in WINNERS)]
    for identical, differs, compared, winners in product((False, True), (False, True), COMPARED, lists):
        pair_id = f"{identical}-{differs}-{compared}-{winners}"
        add(workspace, pair_id, "t", "identical" if identical else "disagreement")
        if differs:
            cursor.execute("UPDATE pair SET structured_differs = true WHERE pair_id = ?", [pair_id])
        cursor.executemany(
            "INSERT INTO verdict (pair_id, judge, vote, winner, imported_at) VALUES (?, 'j', ?, ?, ?)",
            [[pair_id, vote, winner, NOW] for vote, winner in enumerate(winners, 1)],
        ) if winners else None
        found_differs, settled = differs, False
        if compared is not None:
            found_differs, settled = compared
            # The newest comparison counts: an older one said the opposite.
            cursor.executemany(
                """
                INSERT INTO structured_outcome (pair_id, version, outcome, differs, settled, detail, made_at)
                VALUES (?, ?, 'same', ?, ?, '{}', ?)
                """,
                [
                    [pair_id, "exact", not found_differs, not settled, NOW],
                    [pair_id, "judge", found_differs, settled, NOW + timedelta(days=1)],
                ],
            )
        expected[pair_id] = frame.kind_of(identical, found_differs, winners, settled)
    groups = read_frame(workspace.database, None, None, None).groups
    found = {pair_id: group.kind for group in groups for pair_id in group.pair_ids}
    assert found == expected
    assert Counter(found.values()) == {"identical": 168, "judged_tie": 12, "disagreement": 156}
    columns = pair_columns(cursor)
    assert Counter(columns.kind.tolist()) == {0: 168, 1: 12, 2: 156}
    assert disagreements(cursor, 10).of == 156


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(1, 200))
def test_allocation_is_proportional_whole_and_never_empties_a_stratum(counts: list[int], size: int) -> None:
    merged = too_small(counts, size)
    if merged:
        counts = [n for at, n in enumerate(counts) if at not in merged] + [sum(counts[at] for at in merged)]
    drawn = allocate(counts, size)
    size = min(size, sum(counts))
    assert sum(drawn) == size
    assert all(0 <= n <= count for n, count in zip(drawn, counts, strict=True))
    if len(counts) > 1:
        assert all(n >= 2 for n in drawn)
    # Within one of the proportional share wherever the minimum of two does not bind.
    if all(size * count / sum(counts) >= 2 for count in counts):
        assert all(abs(n - size * count / sum(counts)) < 1 for n, count in zip(drawn, counts, strict=True))


def test_each_pair_is_drawn_as_often_as_its_inclusion_probability_says() -> None:
    hits = Counter(at for seed in range(4000) for at in choose(np.random.default_rng(seed), 10, 3))
    # 4,000 draws at 0.3: a standard deviation of 29.
    assert all(abs(hits[at] - 1200) < 5 * 29 for at in range(10))


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), min_size=1, max_size=6)
PAIRS = st.lists(
    st.tuples(TEXTS, st.none() | TEXTS, st.sampled_from(["identical", "disagreement"])), unique_by=lambda row: row[0]
)


@given(PAIRS)
@example([("a", "t", "identical"), ("a!", None, "disagreement"), ("\U00010000", "t", "identical")])
@example([("\uffff", "t", "identical"), ("Z", None, "identical"), ("z", "\U0001f600", "disagreement")])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_sql_sorts_and_hashes_the_frame_as_the_rule_does(
    workspace: Workspace, rows: list[tuple[str, str | None, frame.Kind]]
) -> None:
    workspace.database.cursor().execute("DELETE FROM pair")
    for pair_id, task, kind in rows:
        add(workspace, pair_id, task, kind)
    found = read_frame(workspace.database, None, None, None)
    assert found.hash == frame.frame_hash(FramePair(*row) for row in rows)
    wanted: dict[tuple[frame.Kind, str | None], list[str]] = {}
    for pair_id, task, kind in sorted(rows, key=lambda row: row[0]):
        wanted.setdefault((kind, task), []).append(pair_id)
    assert {(group.kind, group.task): group.pair_ids for group in found.groups} == wanted


def test_strata_partition_what_can_be_drawn_and_the_hash_ignores_order() -> None:
    pairs = [FramePair(f"p{n}", (None, "a", "b")[n % 3], frame.KINDS[n % 4 % 3]) for n in range(60)]
    groups = [
        FrameGroup(kind, task, sorted(pair.pair_id for pair in pairs if (pair.kind, pair.task) == (kind, task)))
        for kind in frame.KINDS
        for task in (None, "a", "b")
    ]
    for by in ("task", "none"):
        strata = frame.strata(groups, by)
        ids = [pair_id for stratum in strata for pair_id in stratum.pair_ids]
        assert sorted(ids) == sorted(pair.pair_id for pair in pairs if pair.kind != "identical")
        assert all(stratum.pair_ids == tuple(sorted(stratum.pair_ids)) for stratum in strata)
    assert frame.frame_hash(pairs) == frame.frame_hash(pairs[::-1])
    assert frame.frame_hash(pairs) != frame.frame_hash([pairs[0]._replace(kind="disagreement"), *pairs[1:]])


@pytest.fixture
def mixed(workspace: Workspace) -> Workspace:
    """100 disagreements in three large tasks and three of one pair, 30 judged ties, 20 identical."""
    for n in range(97):
        add(workspace, f"d{n}", ("billing", "refunds", None)[n % 3], "disagreement")
    for n in range(3):
        add(workspace, f"rare{n}", f"rare-{n}", "disagreement")
    for n in range(30):
        add(workspace, f"t{n}", "billing", "judged_tie")
    for n in range(20):
        add(workspace, f"i{n}", "billing", "identical")
    return workspace


def test_a_draw_takes_an_audit_of_ties_merges_small_strata_and_weights_add_up(mixed: Workspace) -> None:
    spec = DrawSpec(size=80, seed=7)
    preview = rounds.preview(mixed, spec)
    drawn = rounds.draw(mixed, spec, "lead", NOW)
    assert (preview.strata, preview.notes, preview.frame) == (drawn.strata, drawn.notes, drawn.frame)
    assert (drawn.counts.identical, drawn.counts.judged_tie, drawn.counts.disagreement) == (20, 30, 100)
    assert (drawn.frame, drawn.size) == (130, 80)
    by_name = {each.stratum: each for each in drawn.strata}
    assert (by_name["judged tie"].frame, by_name["judged tie"].drawn) == (30, 8)
    assert by_name["disagreement: rare-0 + rare-1 + rare-2"].drawn == 2
    assert any("3 small strata are merged" in note for note in drawn.notes)
    assert all(each.drawn >= 2 and each.pi == each.drawn / each.frame for each in drawn.strata)
    slots = mixed.database.cursor().execute("SELECT pair_id, stratum, pi FROM slot").fetchall()
    assert Counter(stratum for _, stratum, _ in slots) == {each.stratum: each.drawn for each in drawn.strata}
    assert sum(1 / pi for _, _, pi in slots) == pytest.approx(130)
    assert not any(pair_id.startswith("i") for pair_id, _, _ in slots)


def test_what_a_draw_was_made_of_is_stored(mixed: Workspace) -> None:
    drawn = rounds.draw(mixed, DrawSpec(size=20, seed=7, name="Week 12"), "Lea", NOW)
    found = rounds.get(mixed, drawn.round_id)
    assert (found.title, found.drawn_by, found.drawn_at, found.size) == ("Week 12", "Lea", NOW, 20)
    assert (found.counts, found.notes) == (drawn.counts, drawn.notes)
    assert set(found.strata) == set(drawn.strata)
    assert found.frame_hash == rounds.preview(mixed, DrawSpec(size=5, seed=1)).frame_hash
    assert rounds.seed_of(mixed, drawn.round_id, "Lea") == 7


def test_a_size_above_the_frame_draws_all_of_it_and_says_so(mixed: Workspace) -> None:
    drawn = rounds.draw(mixed, DrawSpec(size=500, seed=7), "lead", NOW)
    assert drawn.size == drawn.frame == 130
    assert all(each.pi == 1 for each in drawn.strata)
    assert any("500 pairs were asked for and the frame has 130" in note for note in drawn.notes)


def test_without_an_audit_the_ties_are_no_part_of_the_frame(mixed: Workspace) -> None:
    drawn = rounds.draw(mixed, DrawSpec(size=40, seed=7, audit=0, by="none"), "lead", NOW)
    assert [(each.stratum, each.frame, each.drawn) for each in drawn.strata] == [("disagreement", 100, 40)]


def test_other_seeds_draw_other_pairs(mixed: Workspace) -> None:
    first, second = (rounds.draw(mixed, DrawSpec(size=40, seed=seed), "lead", NOW).round_id for seed in (1, 2))
    cursor = mixed.database.cursor()
    ids = [
        set(cursor.execute("SELECT pair_id FROM slot WHERE round_id = ?", [each]).fetchall())
        for each in (first, second)
    ]
    assert ids[0] != ids[1]


def test_only_the_share_gets_a_second_reviewer(mixed: Workspace) -> None:
    rounds.draw(mixed, DrawSpec(size=80, seed=7, overlap_share=0.25), "lead", NOW)
    places = mixed.database.cursor().execute("SELECT places, count(*) FROM slot GROUP BY places ORDER BY 1").fetchall()
    assert places == [(1, 60), (2, 20)]


def test_source_and_time_restrict_the_frame(mixed: Workspace) -> None:
    for n in range(5):
        add(mixed, f"other{n}", "billing", "disagreement", source="elsewhere")
    assert rounds.sources(mixed) == ["elsewhere", "s"]
    assert rounds.preview(mixed, DrawSpec(size=80, seed=7, source="elsewhere")).counts.total == 5
    later = DrawSpec(size=80, seed=7, imported_from=NOW + timedelta(seconds=1))
    with pytest.raises(BadInput, match="no pairs of this source and time"):
        rounds.preview(mixed, later)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (DrawSpec(size=0, seed=1), "size"),
        (DrawSpec(size=5, seed=-1), "seed"),
        (DrawSpec(size=5, seed=1, overlap=0), "overlap"),
        (DrawSpec(size=5, seed=1, repeat=1.5), "repeat share"),
        (DrawSpec(size=5, seed=1, overlap_share=float("nan")), "overlap share"),
    ],
)
def test_a_spec_out_of_range_is_refused_by_name(mixed: Workspace, spec: DrawSpec, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        rounds.draw(mixed, spec, "lead", NOW)


@pytest.mark.parametrize(
    ("model", "content", "word"),
    [
        ("gpt-4o-mini", "As ChatGPT, I cannot.", "as chatgpt"),
        (None, "I am an AI trained by OpenAI.", "trained by openai"),
        ("claude-3-haiku", "Anthropic made me careful.", "anthropic"),
        ("microsoft/phi-3-mini", "Served by phi-3-mini today.", "phi-3-mini"),
        ("m", "I am an assistant of the shop.", None),
        ("gpt-4", "Egpting is no word.", None),
        ("stack-2", None, None),
    ],
)
def test_answers_that_name_their_model_are_found(model: str | None, content: str | None, word: str | None) -> None:
    calls = [{"function": {"name": "look_up"}}] if content is None else None
    assert frame.names_itself(Output.model_validate({"model": model, "content": content, "tool_calls": calls})) == word
