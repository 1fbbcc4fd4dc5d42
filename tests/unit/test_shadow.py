"""Live traffic: both answers become a pair at once, metrics carry no text, twice is once, nothing is overwritten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

from review import settings
from review.cli import main
from review.domain import live
from review.domain.run import RunSpec, StackCard, is_traffic, source_of
from review.errors import BadInput, NotFound, RejectedRecords
from review.services import receive, runs, shadow, trace_import, traces
from review.services.desk import LocalDesk
from review.services.trace_import import Imported, Options
from review.services.workspace import open_workspace
from review.settings import EvalConfig
from review.store import population

NOW = datetime(2026, 3, 2, tzinfo=UTC)
PLAIN = EvalConfig.model_validate({"replay": {"strip_pii": False}})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[LocalDesk]:
    """A desk on a new database whose configuration does not strip."""
    found = settings.load(tmp_path / "db" / "review.duckdb").model_copy(update={"config": PLAIN})
    opened = LocalDesk(open_workspace(found), "tester")
    yield opened
    opened.close()


def exchange(number: int, **more: Any) -> dict[str, Any]:
    return {
        "trace_id": f"t{number}",
        "task": "support",
        "messages": [{"role": "user", "content": f"Where is parcel {number}?"}],
        "response": {"content": "On its way.", "correct": True},
        "shadow": {"content": f"No idea, {number}.", "correct": False, "latency_ms": 9.0},
        "happened_at": "2026-03-01T10:00:00+00:00",
    } | more


def measured(number: int, **more: Any) -> dict[str, Any]:
    values = {"latency_ms": 100.0 * number, "finish_reason": "length" if number % 2 else "stop", "timed_out": False}
    return {
        "trace_id": f"m{number}",
        "task": "support",
        "happened_at": "2026-03-01T10:00:00+00:00",
        "new": values,
    } | more


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return path


def bring(desk: LocalDesk, path: Path, source: str | None = None, served: Any = None, **options: Any) -> Imported:
    came = None if source is None else live.parse(source, served)
    place = trace_import.places([str(path)])[0]
    if came is not None and came.kind == "metrics":
        return shadow.import_metrics(desk, place, came, options.get("skip_invalid", False), lambda *_: None)
    return trace_import.import_file(desk, place, Options(live=came, **options), lambda *_: None)


def rows(desk: LocalDesk, query: str) -> list[tuple[Any, ...]]:
    return desk.workspace.database.cursor().execute(query).fetchall()


def test_both_answers_become_a_pair_of_the_right_sides_once(desk: LocalDesk, tmp_path: Path) -> None:
    file = write(
        tmp_path / "x.jsonl",
        [exchange(1), exchange(2, served="new"), {**exchange(3), "shadow": None}, exchange(4, shadow="On its way.")],
    )
    done = bring(desk, file, "shadow:gateway")
    assert (done.read, done.new, done.bad, dict(done.unknown)) == (4, 4, 0, {})
    again = bring(desk, file, "shadow:gateway")
    assert (again.new, again.present) == (0, 4)
    found = rows(
        desk,
        """
        SELECT l.trace_id, l.source, l.served, p.source, p.old ->> '$.content', p.new ->> '$.content', p.identical,
               p.prompt_id = t.prompt_id
        FROM live_trace l JOIN trace t USING (trace_id) LEFT JOIN pair p USING (pair_id) ORDER BY 1
        """,
    )
    name = source_of("shadow", "gateway")
    assert found == [
        ("t1", name, "old", name, "On its way.", "No idea, 1.", False, True),
        ("t2", name, "new", name, "No idea, 2.", "On its way.", False, True),
        ("t3", name, "old", None, None, None, None, None),
        ("t4", name, "old", name, "On its way.", "On its way.", True, True),
    ]
    assert is_traffic(name)
    # The other answer stands in the pair and nowhere else, so that erasing it there erases it.
    assert "No idea" not in json.dumps(desk.ask("traces.read", {"ids": ["t1"]}).table.to_pylist(), default=str)  # type: ignore[union-attr]  # it was asked for
    assert [len(each["pairs"]) for each in traces.find_by(desk, ticket=None, customer="nobody")] == []
    listed = desk.ask("shadow.sources").document
    assert [(each["source"], each["exchanges"], each["pairs"]) for each in listed["sources"]] == [(name, 4, 3)]


def test_who_served_has_to_be_said_where_both_answered(desk: LocalDesk, tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", [exchange(1), exchange(2, served="new")])
    with pytest.raises(RejectedRecords) as caught:
        bring(desk, file)
    assert [(each.line, each.field) for each in caught.value.rejected] == [(1, "served")]
    assert rows(desk, "SELECT count(*) FROM trace") == [(0,)]
    assert bring(desk, file, "production", served="old").new == 2
    assert rows(desk, "SELECT served, source FROM live_trace ORDER BY trace_id") == [
        ("old", "production:live"),
        ("new", "production:live"),
    ]
    alone = {key: value for key, value in exchange(3).items() if key != "response"}
    with pytest.raises(RejectedRecords) as caught:
        bring(desk, write(tmp_path / "y.jsonl", [alone]), "shadow")
    assert "response" in caught.value.rejected[0].reason
    # Without a source, what says nothing of two stacks is logged traffic as ever.
    plain = {key: value for key, value in exchange(5).items() if key != "shadow"}
    bring(desk, write(tmp_path / "z.jsonl", [plain]))
    assert rows(desk, "SELECT count(*) FROM live_trace WHERE trace_id = 't5'") == [(0,)]


def test_live_facts_are_never_overwritten(desk: LocalDesk, tmp_path: Path) -> None:
    bring(desk, write(tmp_path / "x.jsonl", [exchange(1)]), "shadow")
    bring(desk, write(tmp_path / "m.jsonl", [measured(1)]), "metrics")
    with pytest.raises(RejectedRecords) as caught:
        bring(desk, write(tmp_path / "y.jsonl", [exchange(1, shadow={"content": "Other."})]), "shadow")
    assert caught.value.rejected[0].field == "trace_id"
    for table in ("live_trace", "live_metric"):
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET source = 'x'"):
            with pytest.raises(duckdb.Error, match="append-only"):
                rows(desk, statement)


def test_live_pairs_stand_for_themselves_beside_a_sample_of_the_same_days(desk: LocalDesk, tmp_path: Path) -> None:
    bring(desk, write(tmp_path / "x.jsonl", [exchange(number) for number in range(20)]), "shadow")
    cursor = desk.workspace.database.cursor()
    cursor.execute(
        """
        INSERT INTO sample VALUES ('s', 1, 7, '{"rates": {"unclustered": 0.1}}', '2026-02-01T00:00:00Z',
            '2026-04-01T00:00:00Z', 20, 'h', '[]', [], 'tester', now());
        INSERT INTO sampled VALUES ('s', 't1', 'replay', 1, 'unclustered', 0.1),
            ('s', 't2', 'replay', 2, 'unclustered', 0.1);
        """
    )
    columns = population.pair_columns(cursor)
    assert columns.traffic.tolist() == [1.0] * 20
    assert not columns.sampled.any()
    # The trace that the sample has replayed as well is another pair, which stands for ten.
    cursor.execute(
        """
        INSERT INTO pair BY NAME SELECT * REPLACE ('replayed' AS pair_id, 'replay:s:x' AS source) FROM pair LIMIT 1;
        INSERT INTO pair_origin VALUES ('replayed', 't1', 's', 'one', 'two');
        """
    )
    columns = population.pair_columns(cursor)
    # One of its two traces is a pair by now: each of those stands for 1 / (.1 x .5).
    assert sorted(columns.traffic.tolist()) == pytest.approx([1.0] * 20 + [20.0])


def test_metrics_have_no_text_and_come_once(desk: LocalDesk, tmp_path: Path) -> None:
    both = measured(9, old={"latency_ms": 50, "failed": True})
    file = write(tmp_path / "m.jsonl", [*(measured(number) for number in range(1, 5)), both, both])
    done = bring(desk, file, "metrics:gateway")
    assert (done.read, done.new, done.present, done.bad) == (6, 5, 1, 0)
    assert bring(desk, file, "metrics:gateway").present == 6
    day = shadow.metrics(desk.workspace)
    assert [(each["side"], each["exchanges"]) for each in day] == [("new", 5), ("old", 1)]
    assert (day[0]["latency_p50"], day[0]["cut"], day[0]["timed_out"]) == (300.0, 0.6, 0.0)
    assert day[0]["refused"] is None
    assert day[1]["failed"] == 1.0
    assert shadow.metrics(desk.workspace, start=NOW) == []
    columns = dict(rows(desk, "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'live_metric'"))
    assert {name for name, kind in columns.items() if kind == "VARCHAR"} == {
        *("metric_id", "side", "content_hash", "source", "task", "finish_reason")
    }


NO_METRICS: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "user", "content": "secret"}]}, "messages"),
    ({"new": {"latency_ms": 5.0, "content": "secret"}}, "new.content"),
    ({"new": {"finish_reason": "The secret is long."}}, "new.finish_reason"),
    ({"new": {"latency_ms": -1.0}}, "new.latency_ms"),
    ({"new": {"latency": 5.0}}, "new.latency"),
    ({"new": {}}, "new"),
    ({"new": None}, ""),
    ({"happened_at": "2026-03-01T10:00:00"}, "happened_at"),
    ({"trace_id": "m0", "new": {"latency_ms": 7.0}}, "trace_id"),
]


def test_a_record_that_is_no_metric_is_refused_without_its_text(desk: LocalDesk, tmp_path: Path) -> None:
    bad = [measured(number, **record) for number, (record, _) in enumerate(NO_METRICS, 1)]
    file = write(tmp_path / "m.jsonl", [measured(0), *bad])
    with pytest.raises(RejectedRecords) as caught:
        bring(desk, file, "metrics")
    expected = [(line, field) for line, (_, field) in enumerate(NO_METRICS, 2)]
    assert [(each.line, each.field) for each in caught.value.rejected] == expected
    assert "secret" not in str(caught.value.rejected)
    assert rows(desk, "SELECT count(*) FROM live_metric") == [(0,)]
    done = bring(desk, file, "metrics", skip_invalid=True)
    assert (done.new, done.bad) == (1, len(NO_METRICS))


def test_live_traffic_is_a_part_of_a_run(desk: LocalDesk, tmp_path: Path) -> None:
    card = StackCard(name="stack")
    spec = RunSpec(name="cutover", step="model", baseline=card, candidate=card, config_hash="0" * 64)
    run = runs.start(desk.workspace, spec, "tester", NOW)
    with pytest.raises(NotFound, match="No live traffic"):
        shadow.record(desk, "cutover")
    bring(desk, write(tmp_path / "x.jsonl", [exchange(number) for number in range(4)]), "shadow:gateway")
    with pytest.raises(NotFound, match="shadow:gateway"):
        shadow.record(desk, "cutover", "shadow:other")
    for new in (True, False):
        [part] = shadow.record(desk, "cutover")
        assert (part.evidence, part.source, part.examples, part.new) == ("shadow", "shadow:gateway", 4, new)
    assert runs.traffic_sources(desk.workspace, run.run_id) == ("shadow:gateway",)
    outcomes = runs.outcomes(desk.workspace, run.run_id, "shadow").to_pylist()
    assert {(each["old"], each["new"], each["decided_by"]) for each in outcomes} == {(1.0, 0.0, "known")}


def test_another_system_hands_live_traffic_in(desk: LocalDesk) -> None:
    body = json.dumps([exchange(1, served="new"), exchange(2)]).encode()
    done = receive.receive(desk.workspace, "traces", receive.parse(body, lines=False), "helpdesk", NOW)
    assert (done.new, [each.field for each in done.rejected]) == (1, ["served"])
    assert rows(desk, "SELECT source, served, pair_id IS NOT NULL FROM live_trace") == [
        ("production:live", "new", True)
    ]


def test_the_command_line_takes_live_traffic_and_says_what_a_source_is(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", [exchange(1)])

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["--db", str(tmp_path / "review.duckdb"), *arguments])

    bad = run("import", "traces", str(file), "--source", "mirror")
    assert bad.exit_code == 2
    assert "production, shadow, metrics" in bad.output
    assert run("import", "pairs", str(file), "--source", "shadow").exit_code == 2
    assert "No live traffic yet" in run("shadow", "list").output
    assert run("import", "traces", str(file), "--source", "shadow:gateway").exit_code == 0
    assert (
        run("import", "traces", str(write(tmp_path / "m.jsonl", [measured(1)])), "--source", "metrics").exit_code == 0
    )
    listed = run("shadow", "list").output.splitlines()
    assert listed[0].startswith("metrics:live: 1 exchanges, 0 pairs")
    assert listed[1].startswith("shadow:gateway: 1 exchanges, 1 pairs")
    assert run("run", "start", "cutover", "--step", "model", "--old", "name=a", "--new", "name=b").exit_code == 0
    recorded = run("shadow", "record", "cutover")
    assert recorded.exit_code == 0, recorded.output
    assert "shadow:gateway: 1 outcomes" in recorded.output


@pytest.mark.parametrize("text", ["mirror", "shadow:", "shadow:a b", "shadow:" + "x" * 61, "", "metrics:ü"])
def test_a_source_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="source"):
        live.parse(text)
    assert live.parse("shadow").source == "shadow:live"
    assert live.parse("shadow").served == "old"
    assert live.parse("shadow:x", "new").served == "new"


def test_metrics_are_no_parquet(desk: LocalDesk, tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadInput, match="JSON lines"):
        bring(desk, tmp_path / "m.parquet", "metrics")
