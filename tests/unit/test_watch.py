"""Watching live traffic: files taken in once, pairs counted once, alerts raised, delivered and answered once."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from review import settings
from review.cli import main
from review.domain.types import Output
from review.domain.watch import Watch, Webhook, refuses, signs
from review.services import alerts, rounds, watch
from review.services.desk import LocalDesk
from review.services.rounds import DrawSpec
from review.services.workspace import Workspace, open_workspace
from review.store import watch as store
from tests.conftest import NOW
from tests.faults import FaultServer
from tests.judging import judges, opinion, provider
from tests.traffic import add_clusters
from tests.unit.test_delivery import hook
from tests.watching import START, add_pairs, configure, quick_plan, write_file


def desk_of(workspace: Workspace, **changed: object) -> LocalDesk:
    """The workspace's desk under another configuration."""
    config = workspace.settings.config.model_copy(update=changed)
    configured = workspace.settings.model_copy(update={"config": config})
    return LocalDesk(Workspace(workspace.database, configured, workspace.key), "tester")


@pytest.fixture
def drifting(workspace: Workspace) -> LocalDesk:
    """Ten quiet days, then refunds get worse."""
    add_clusters(workspace, ["Parcels", "Refunds"])
    both = ("parcels", "refunds")
    add_pairs(workspace, 800, days=10, clusters=both)
    add_pairs(
        workspace, 500, prefix="d", start=START + timedelta(days=10), days=4, lost=0.4, clusters=both, worse="refunds"
    )
    desk = LocalDesk(workspace, "tester")
    quick_plan(desk)
    return desk


def test_an_alert_says_since_when_which_cluster_and_which_pairs_and_is_raised_once(drifting: LocalDesk) -> None:
    first, second = watch.once(drifting), watch.once(drifting)
    assert (first.observed, first.scored, first.alerts) == (1300, 1300, 1)
    assert (second.observed, second.scored, second.alerts, second.alarms) == (0, 0, 0, 0)
    found = alerts.alerts(drifting.workspace, NOW)[0]
    change = START + timedelta(days=10)
    assert found.since is not None
    assert abs(found.since - change) < timedelta(days=2)
    assert found.document["clusters"][0]["name"] == "Refunds"
    assert found.document["clusters"][0]["part"] > 0.8
    assert len(found.document["pairs"]) == 10
    lost = store.scored(drifting.workspace.database.cursor(), "refund", change - timedelta(days=2), None).to_pylist()
    worse = {row["pair_id"] for row in lost if row["difference"] < 0}
    assert set(found.document["pairs"]) <= worse
    assert found.document["cause"]["cause"] == "undetermined"
    assert found.document["cause"]["judge"]["changed"] == "unchanged"
    said = json.dumps(alerts.message(alerts.described(found), "https://x.example"))
    assert "https://x.example/drift?alert=" in said
    assert "It is" not in said  # no answer's text


def test_a_round_is_drawn_from_the_pairs_of_an_alert_and_no_others(drifting: LocalDesk) -> None:
    watch.once(drifting)
    found = alerts.alerts(drifting.workspace, NOW)[0]
    drawn = rounds.draw(drifting.workspace, DrawSpec(size=500, seed=1, alert=found.alert_id), "ada", NOW)
    assert found.since is not None
    times = drifting.workspace.database.cursor().execute(
        "SELECT min(happened_at) FROM slot JOIN observation USING (pair_id) WHERE round_id = ?", [drawn.round_id]
    )
    assert times.fetchall()[0][0] >= found.since
    from review.services.population import population

    assert int(population(drifting.workspace, drawn.round_id).inside.sum()) == drawn.counts.total


def test_an_acknowledged_alert_makes_room_for_the_next_one(drifting: LocalDesk) -> None:
    watch.once(drifting)
    workspace = drifting.workspace
    more = {"lost": 0.4, "clusters": ("parcels", "refunds"), "worse": "refunds", "days": 4.0}
    add_pairs(workspace, 500, prefix="f", start=START + timedelta(days=14), seed=7, **more)
    assert watch.once(drifting).alerts == 0  # it is open
    first = alerts.alerts(workspace, NOW)[0]
    alerts.acknowledge(workspace, first.alert_id, "rolled back", "ada", datetime.now(UTC))
    add_pairs(workspace, 500, prefix="g", start=START + timedelta(days=18), seed=8, **more)
    assert watch.once(drifting).alerts == 1
    assert [each.state for each in alerts.alerts(workspace, datetime.now(UTC))] == ["open", "acknowledged"]


def test_an_alert_goes_out_once_a_channel_after_failures_and_a_death_and_not_while_silenced(
    drifting: LocalDesk, tmp_path: Path
) -> None:
    workspace, file = drifting.workspace, tmp_path / "alerts.jsonl"
    now = datetime.now(UTC)
    alerts.silence(workspace, "refund", now + timedelta(days=1), "deploying", "ada", now)
    with hook(500, 200) as (url, got):
        desk = desk_of(workspace, watch=Watch(webhook=Webhook(url=url), file=str(file)))
        assert watch.once(desk).alerts == 1
        assert not got
        alerts.silence(workspace, "refund", now, "", "ada", datetime.now(UTC))  # it has ended
        tried = watch.once(desk)
        assert (tried.delivered, tried.failed) == ({"file": 1}, {"webhook": 1})
        assert watch.once(desk).failed == {}  # it waits before it tries again
        alert_id = alerts.alerts(workspace, now)[0].alert_id
        with workspace.database.transaction() as cursor:  # somebody began an attempt and died, long ago
            row = {"alert_id": alert_id, "channel": "webhook", "attempt": 2, "claimed_at": NOW}
            store.claim(cursor, row)
        assert watch.once(desk).delivered == {"webhook": 1}
        assert watch.once(desk).delivered == {}
    assert len(got) == 2
    assert len(file.read_text().splitlines()) == 1


def test_a_judge_scores_a_sample_that_holds_same_answers_in_their_share(workspace: Workspace) -> None:
    add_pairs(workspace, 300, lost=0.5, won=0.0, known=False)
    with FaultServer(answer=opinion) as server:
        desk = desk_of(workspace, judges=judges(provider(server), votes=1), watch=Watch(sample_per_task=40))
        done = watch.once(desk)
        again = watch.once(desk)
    assert 20 <= done.chosen <= 60
    assert done.judged == done.chosen == done.scored
    assert again.judged == 0
    scores = store.scored(workspace.database.cursor(), "refund", None, None).to_pylist()
    assert {row["decided_by"] for row in scores} == {"judge judge-1-served"}
    assert {row["difference"] for row in scores} == {-1.0, 0.0}


def test_without_a_judge_unknown_pairs_are_counted_and_not_scored(workspace: Workspace) -> None:
    add_pairs(workspace, 50, known=False)
    done = watch.once(LocalDesk(workspace, "tester"))
    assert (done.observed, done.scored) == (50, 0)
    assert any("no judge is configured" in note for note in done.notes)
    day = store.windows(workspace.database.cursor(), "day", None, 10)[0]
    assert (day["new_latency_ms"], day["old_latency_ms"], day["scored"]) == (300, 400, 0)


def test_the_command_takes_each_file_in_once_and_plans_and_says_what_to_expect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVIEW_CONFIG", str(configure(tmp_path)))
    db = ["--db", str(tmp_path / "r.duckdb"), "--json"]
    write_file(tmp_path / "traffic", "monday", 60, every=20)
    (tmp_path / "traffic" / "half.jsonl.part").write_text("{")
    (tmp_path / "traffic" / "odd.jsonl").write_text("what is this")
    cli = CliRunner()
    first = json.loads(cli.invoke(main, ["watch", "--once", *db]).stdout.splitlines()[-1])
    assert (first["files"], first["new"], first["observed"], first["scored"]) == (2, 60, 60, 60)
    second = json.loads(cli.invoke(main, ["watch", "--once", *db]).stdout.splitlines()[-1])
    assert (second["files"], second["observed"], second["scored"]) == (0, 0, 0)
    said = json.loads(cli.invoke(main, ["watch", "setup", *db]).stdout)
    assert said["tasks"][0]["task"] == "refund"
    assert "one tolerance" in said["tasks"][0]["words"]
    listed = cli.invoke(main, ["watch", "alerts", "--db", str(tmp_path / "r.duckdb")])
    assert "No alert" in listed.output
    with closing(open_workspace(settings.load(tmp_path / "r.duckdb"))) as opened:
        problems = opened.database.cursor().execute(
            "SELECT file FROM watch_file WHERE problem IS NOT NULL OR rejected > 0"
        )
        assert problems.fetchall() == [("odd.jsonl",)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I’m unable to share that.", True),
        ("Unfortunately, I cannot process this refund.", True),
        ("I can help with that: your parcel comes on Monday.", False),
        ("Sorry for the delay! Your refund is on its way.", False),
        ("", False),
    ],
)
def test_what_declines(text: str, expected: bool) -> None:
    assert refuses(Output(content=text)) is expected


def test_a_finish_reason_that_is_a_text_is_not_kept() -> None:
    assert signs(Output(content="x", finish_reason="the customer said: hello"))["finish"] == "other"
