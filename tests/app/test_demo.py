"""The demo database: built through the services, marked as simulated, resumed when interrupted, reset only if ours."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from review import settings
from review.errors import Conflict
from review.services import agreement, demo, flag, gate, label, rounds, runs
from review.services.workspace import Workspace, open_workspace
from tests.conftest import NOW


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo database, built once and closed; tests work in copies."""
    folder = tmp_path_factory.mktemp("demo")
    workspace = open_workspace(settings.load(folder / "review.duckdb"))
    summary = demo.build(workspace, NOW)
    workspace.close()
    assert summary.built
    return folder


@pytest.fixture
def workspace(built: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the demo database, opened."""
    opened = open_workspace(settings.load(shutil.copytree(built, tmp_path / "copy") / "review.duckdb"))
    yield opened
    opened.close()


def rows(workspace: Workspace, query: str) -> list[tuple[Any, ...]]:
    return workspace.database.cursor().execute(query).fetchall()


def counts(workspace: Workspace) -> list[int]:
    tables = (
        "pair",
        "verdict",
        "round",
        "label",
        "lease",
        "adversarial_entry",
        "run",
        "outcome",
        "gate",
        "contract_signature",
    )
    present = {name for (name,) in rows(workspace, "SELECT table_name FROM duckdb_tables()")}
    return [rows(workspace, f"SELECT count(*) FROM {table}")[0][0] for table in tables if table in present]


def test_one_round_is_finished_and_one_waits_for_the_visitor(workspace: Workspace) -> None:
    finished, waiting = sorted(rounds.list_rounds(workspace), key=lambda each: each.number)
    assert "simulated" in (finished.name or "")
    assert finished.overlap == 3
    assert finished.progress.state == "ended"  # two skips leave two places that no fourth person fills
    assert finished.progress.done >= finished.progress.places - 5
    assert finished.progress.skips >= 1
    assert set(finished.progress.reviewers) == set(demo.REVIEWERS)
    assert waiting.progress.state == "open"
    assert 30 <= waiting.size <= 50
    assert any(stratum.kind == "judged_tie" and stratum.drawn >= 3 for stratum in waiting.strata)


def test_no_simulated_row_can_be_taken_for_a_persons(workspace: Workspace) -> None:
    assert rows(workspace, "SELECT count(*) FROM label WHERE NOT simulated OR reviewer NOT LIKE 'sim-%'") == [(0,)]
    assert rows(workspace, "SELECT count(*) > 100 FROM label") == [(True,)]


def test_labels_arrive_as_the_file_has_them_whichever_side_stood_left(workspace: Workspace) -> None:
    opinions = demo.read_opinions()
    stored = rows(
        workspace,
        "SELECT reviewer, pair_id, shown_first, preference, error_old, error_new, tone FROM current_label "
        "WHERE occurrence = 0 AND kind = 'label'",
    )
    assert {row[2] for row in stored} == {"old", "new"}
    for reviewer, pair_id, _, *said in stored:
        opinion = opinions[reviewer, pair_id]
        assert said == [opinion.preference, opinion.error_old, opinion.error_new, opinion.tone]


def test_the_finished_round_shows_corrections_repeats_conflicts_and_comments(workspace: Workspace) -> None:
    assert rows(workspace, "SELECT count(*) FROM label WHERE supersedes IS NOT NULL")[0][0] >= 1
    assert rows(workspace, "SELECT count(*) FROM label WHERE occurrence > 0")[0][0] >= 3
    assert rows(workspace, "SELECT count(*) FROM label WHERE comment IS NOT NULL AND kind = 'label'")[0][0] >= 10
    split = rows(
        workspace,
        "SELECT pair_id FROM current_label WHERE occurrence = 0 GROUP BY pair_id HAVING count(DISTINCT preference) = 3",
    )
    assert split
    assert rows(workspace, "SELECT count(*) FROM adjudication") == [(0,)]


def test_the_week_lies_before_the_visit(workspace: Workspace) -> None:
    first, last = rows(workspace, "SELECT min(labelled_at), max(labelled_at) FROM label")[0]
    assert NOW - timedelta(days=8) < first < last < NOW


def test_the_adversarial_set_has_reported_and_confirmed_failures(workspace: Workspace) -> None:
    status = Counter(entry.status for entry in flag.entries(workspace))
    assert 3 <= sum(status.values()) <= 5
    assert status["confirmed"] >= 1
    assert status["reported"] >= 1
    assert flag.verify(workspace).ok


def test_agreement_has_something_to_show(workspace: Workspace) -> None:
    shown = agreement.agreement(workspace).to_json()
    judge, people = shown["judges"][0], shown["humans"]
    assert judge["n"] >= 35
    assert 0.4 < judge["kappa"]["value"] < 0.95
    assert 0.4 < people["alpha"]["value"] < 0.95
    assert people["reviewers"] == len(demo.REVIEWERS)


def test_a_run_is_gated_by_a_contract_that_says_it_is_simulated_and_leaves_looks_for_the_visitor(
    workspace: Workspace,
) -> None:
    (run,) = runs.list_runs(workspace)
    (part,) = runs.parts(workspace, run.run_id)
    assert (part.evidence, part.examples > 100) == ("replay", True)
    document = gate.last(workspace, run.run_id)
    assert document is not None
    assert document["contract"]["signed"][0]["name"] == demo.SIGNED_BY
    assert "simulated" in demo.SIGNED_BY
    assert any("simulated" in note for note in document["notes"])
    assert sum("not_estimable" not in each["estimate"] for each in document["parts"]) >= 4
    found = gate.standing(workspace, run)
    assert not found.changed
    assert found.looks_left >= 1
    assert found.look is not None
    assert found.look.planned > found.look.labelled


def test_a_second_build_changes_nothing_and_keeps_the_visitors_labels(workspace: Workspace) -> None:
    waiting = demo.build(workspace, NOW).open_round
    label.queue(workspace, "visitor", waiting, 3, NOW)
    before = counts(workspace)
    again = demo.build(workspace, NOW + timedelta(days=1))
    assert not again.built
    assert counts(workspace) == before


def test_an_interrupted_build_is_completed_without_doubling_anything(workspace: Workspace) -> None:
    before = counts(workspace)
    workspace.database.cursor().execute("DELETE FROM meta WHERE key = 'demo_built_at'")
    assert demo.build(workspace, NOW).built
    assert counts(workspace) == before


def test_the_visitor_can_label_the_open_round_at_once(workspace: Workspace) -> None:
    summary = demo.build(workspace, NOW)
    cards = label.queue(workspace, "visitor", summary.open_round, 50, NOW)
    assert len(cards) >= 30
    assert len({card.pair.task for card in cards}) == 11


def test_the_demo_is_not_built_among_other_peoples_pairs(workspace: Workspace) -> None:
    workspace.database.cursor().execute("DELETE FROM meta WHERE key = 'built_by'")
    with pytest.raises(Conflict, match="not the demo's"):
        demo.build(workspace, NOW)


def test_reset_deletes_the_demo_and_what_belongs_to_it(built: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built, tmp_path / "copy")
    demo.reset(settings.load(folder / "review.duckdb"))
    assert list(folder.iterdir()) == []
    demo.reset(settings.load(folder / "review.duckdb"))  # nothing there: nothing to do


def test_reset_refuses_a_database_that_the_demo_did_not_build(tmp_path: Path) -> None:
    own = settings.load(tmp_path / "review.duckdb")
    open_workspace(own).close()
    with pytest.raises(Conflict, match="not built by the demo"):
        demo.reset(own)
    assert own.db.exists()
    assert own.key_file.exists()


def test_reset_leaves_another_databases_mirror_alone(built: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built, tmp_path / "copy")
    theirs = settings.load(folder / "theirs.duckdb")
    theirs.mirror.unlink()
    other = open_workspace(theirs)
    assert flag.verify(other).ok
    other.close()
    written = theirs.mirror.read_bytes() if theirs.mirror.exists() else None
    demo.reset(settings.load(folder / "review.duckdb"))
    assert not (folder / "review.duckdb").exists()
    assert (theirs.mirror.read_bytes() if theirs.mirror.exists() else None) == written
    assert theirs.db.exists()
