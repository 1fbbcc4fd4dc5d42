"""Judging over real HTTP: votes, structured outcomes, idempotence, fallback, budgets, the cache, anchors."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from review.cli import main
from review.domain.judge_prompt import read_preference
from review.domain.pipeline import Embedding, Price
from review.domain.rubric import Rubric
from review.services import ingest, judge_watch
from review.services.desk import LocalDesk
from review.services.engine import run_stage
from review.services.judge import Report, judge
from review.services.judge_calls import JudgeSettings, judge_stage
from review.services.workspace import Workspace
from review.store.rounds import read_frame
from tests.conftest import NOW
from tests.faults import FaultServer
from tests.judging import bring, called, desk, judges, materials, opinion, pair, provider


def rows(workspace: Workspace, query: str) -> list[tuple[Any, ...]]:
    return workspace.database.cursor().execute(query).fetchall()


def kinds(workspace: Workspace) -> dict[str, str]:
    groups = read_frame(workspace.database, None, None, None).groups
    return {pair_id: group.kind for group in groups for pair_id in group.pair_ids}


def run(
    workspace: Workspace, *providers: Any, everything: bool = True, limit: int | None = None, **more: Any
) -> Report:
    return judge(desk(workspace, judges(*providers, **more)), everything=everything, limit=limit)


def test_three_votes_in_both_orders_become_verdicts_and_a_second_run_calls_nobody(
    workspace: Workspace, tmp_path: Path
) -> None:
    bring(
        workspace,
        tmp_path,
        [
            pair("p-old"),
            pair("p-new", "bad", "good"),
            pair("p-tie", "good", "good too"),
            pair("p-first", "first", "second"),
            pair("p-babble", "babble", "more"),
            pair("p-same", "equal", "equal"),
        ],
    )
    with FaultServer(answer=opinion) as server:
        report = run(workspace, provider(server))
        assert (report.pairs, report.identical, report.judged, report.calls) == (5, 1, 5, 15)
        votes = rows(
            workspace,
            "SELECT pair_id, judge, list(winner ORDER BY vote), count(DISTINCT shown_first) FROM verdict GROUP BY ALL",
        )
        by_pair = {pair_id: (judge_name, winners, orders) for pair_id, judge_name, winners, orders in votes}
        assert {each[0] for each in by_pair.values()} == {"judge-1-served"}
        assert {each[2] for each in by_pair.values()} == {2}
        assert by_pair["p-old"][1] == ["old"] * 3
        assert by_pair["p-new"][1] == ["new"] * 3
        assert by_pair["p-tie"][1] == ["tie"] * 3
        assert sorted(by_pair["p-first"][1]) in (["new", "new", "old"], ["new", "old", "old"])
        assert by_pair["p-babble"][1] == [None] * 3
        assert rows(workspace, "SELECT DISTINCT raw FROM verdict WHERE pair_id = 'p-babble'") == [("I like both.",)]
        found = rows(
            workspace,
            "SELECT DISTINCT error_old, error_new, tone, calibration_new FROM verdict "
            "WHERE pair_id = 'p-new' AND shown_first = 'new'",
        )
        assert found == [("cautious", "none", "new", "right")]
        assert kinds(workspace) == {
            "p-old": "disagreement",
            "p-new": "disagreement",
            "p-tie": "judged_tie",
            "p-first": "disagreement",
            "p-babble": "disagreement",
            "p-same": "identical",
        }
        before = len(server.requests)
        again = run(workspace, provider(server))
        assert (len(server.requests), again.calls, again.judged, again.already) == (before, 0, 0, 5)
    sent = server.requests[0]
    assert sent["temperature"] == 0.3
    assert sent["response_format"]["json_schema"]["schema"]["required"][-1] == "winner"
    cost = rows(workspace, "SELECT sum(cost_usd), count(*) FROM judge_call")[0]
    assert cost[1] == 15
    assert abs(cost[0] - report.cost_usd) < 1e-9
    assert report.totals["runs"][0]["calls"] == 15


def test_structured_outcomes_enter_the_frame_and_only_differing_arguments_are_asked_about(
    workspace: Workspace, tmp_path: Path
) -> None:
    bring(
        workspace,
        tmp_path,
        [
            pair("s-equal", called('{"a": 1}'), called('{"a": 1.0}')),
            pair("s-spelling", called('{"city": "nyc"}'), called('{"city": "NYC"}')),
            pair("s-amount", called('{"a": 1}'), called('{"a": 2}')),
            pair("s-tool", called("{}"), called("{}", "refund")),
            pair("s-missing", called("{}"), "I cannot."),
            pair("s-extra", "I cannot.", called("{}")),
            pair("s-broken", called('{"a": 1}'), called('{"a": ')),
            pair("s-json", '{"a": 1}', '{"a": 1.0}'),
            pair("s-correct", called('{"a": 1}', correct=True), called('{"a": 1.0}', correct=False)),
            pair("s-text", called('{"a": 1}', content="good"), called('{"a": 1.0}', content="bad")),
        ],
    )
    with FaultServer(answer=opinion) as server:
        report = run(workspace, provider(server))
        # Two orders for each of the two that differ in arguments, three votes for the one whose text differs.
        assert (report.calls, report.structured, report.judged) == (7, 9, 1)
        assert run(workspace, provider(server)).calls == 0
    assert dict(rows(workspace, "SELECT pair_id, outcome FROM structured_outcome")) == {
        "s-equal": "same",
        "s-spelling": "other_arguments",
        "s-amount": "other_arguments",
        "s-tool": "other_tool",
        "s-missing": "missing",
        "s-extra": "extra",
        "s-broken": "broken",
        "s-json": "same",
        "s-correct": "same",
        "s-text": "same",
    }
    found = rows(
        workspace, "SELECT pair_id, judge, arguments_same FROM structured_outcome WHERE judge IS NOT NULL ORDER BY 1"
    )
    assert found == [("s-amount", "judge-1-served", False), ("s-spelling", "judge-1-served", True)]
    tied = {pair_id for pair_id, kind in kinds(workspace).items() if kind == "judged_tie"}
    assert tied == {"s-equal", "s-spelling", "s-json"}
    assert report.totals["structured"] == {
        "same": 5,
        "other_arguments": 1,
        "other_tool": 1,
        "missing": 1,
        "extra": 1,
        "broken": 1,
    }


def test_without_a_provider_structure_is_compared_and_the_rest_is_left(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, [pair("a", called("{}"), called("{}", "b")), pair("b")])
    report = run(workspace)
    assert (report.structured, report.left, report.reason, report.calls) == (1, 1, "no_provider", 0)
    with FaultServer(answer=opinion) as server:
        assert run(workspace, provider(server)).judged == 1


def test_the_dearer_provider_takes_over_and_no_verdict_mixes_models(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, [pair(f"p{n:02}") for n in range(20)])
    # The first answers a while, then its connections break, in the middle of comparisons.
    with FaultServer(answer=opinion) as dear:
        count = [0]

        def dies(prompt: str, nth: int) -> str | None:
            count[0] += 1
            return "reset" if count[0] > 10 else None

        with FaultServer(dies, answer=opinion) as cheap:
            report = run(
                workspace,
                provider(dear, "far", model="judge-2", price=Price(input=3, output=15)),
                provider(cheap, "near", retries=0),
            )
    assert report.judged == 20
    assert report.left == 0
    mixed = rows(workspace, "SELECT pair_id FROM verdict GROUP BY 1 HAVING count(DISTINCT judge) > 1 OR count(*) <> 3")
    assert mixed == []
    assert set(report.verdicts) == {"judge-1-served", "judge-2-served"}
    # Every paid answer is booked, also those of the cheap one that were of no use any more.
    assert rows(workspace, "SELECT count(*) FROM judge_call") == [(sum(cheap.good.values()) + sum(dear.good.values()),)]


def test_a_gateway_that_answers_with_two_models_is_asked_again_until_one_gave_all(
    workspace: Workspace, tmp_path: Path
) -> None:
    bring(workspace, tmp_path, [pair("p1"), pair("p2")])
    asked: list[int] = []

    class Gateway(FaultServer):
        def _reply(self, writer: Any, document: dict[str, Any], fault: Any, prompt: str) -> Any:
            asked.append(1)
            model = "fallback" if len(asked) in (2, 5) else document["model"]
            return super()._reply(writer, {**document, "model": model}, fault, prompt)

    with Gateway(answer=opinion) as server:
        report = run(workspace, provider(server, concurrency=1))
    assert report.judged == 2
    assert rows(workspace, "SELECT count(DISTINCT judge), count(*) FROM verdict GROUP BY pair_id") == [(1, 3), (1, 3)]
    assert rows(workspace, "SELECT count(*) FROM judge_call") == [(report.calls,)]
    assert report.calls > 6


def test_a_budget_stops_the_run_before_it_is_overspent_and_the_next_goes_on(
    workspace: Workspace, tmp_path: Path
) -> None:
    bring(workspace, tmp_path, [pair(f"p{n:02}") for n in range(12)])
    with FaultServer(answer=opinion) as server:
        budget = 0.007
        report = run(workspace, provider(server, concurrency=1), budget_usd=budget)
        assert report.reason == "budget"
        assert 0 < report.judged < 12
        assert report.cost_usd <= budget
        # The same run goes on, and its money is spent.
        assert run(workspace, provider(server, concurrency=1), budget_usd=budget).calls == 0
        rest = run(workspace, provider(server, concurrency=1), budget_usd=10.0)
        assert rest.left == 0
        assert len(server.requests) == 36


def test_an_outage_ends_the_run_and_loses_nothing(workspace: Workspace, tmp_path: Path, monkeypatch: Any) -> None:
    bring(workspace, tmp_path, [pair(f"p{n}") for n in range(6)])
    monkeypatch.setattr("review.services.judge_calls.PATIENCE", 0.2)
    count = [0]

    def dies(prompt: str, nth: int) -> str | None:
        count[0] += 1
        return "reset" if count[0] > 7 else None

    with FaultServer(dies, answer=opinion) as server:
        report = run(workspace, provider(server, retries=0, concurrency=2))
        assert report.reason == "no_provider"
        assert report.left > 0
        paid = sum(server.good.values())
        server.plan = lambda prompt, nth: None
        again = run(workspace, provider(server, retries=0))
        assert again.left == 0
        assert again.calls == 18 - paid  # every answer of the first run is used


def test_one_pair_that_no_provider_answers_is_noted_and_tried_again(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, [pair("p1"), pair("p2", "poison", "bad"), pair("p3")])

    def plan(prompt: str, nth: int) -> str | None:
        return "context_400" if "poison" in prompt else None

    with FaultServer(plan, answer=opinion) as server:
        report = run(workspace, provider(server))
        assert report.judged == 2
        assert report.failed == {"context_length": 1}
        assert rows(workspace, "SELECT pair_id, kind FROM judge_failure") == [("p2", "context_length")]
        server.plan = lambda prompt, nth: None
        assert run(workspace, provider(server)).judged == 1


def test_exactly_the_same_pair_under_another_id_costs_less_or_nothing(workspace: Workspace, tmp_path: Path) -> None:
    same = {"messages": [{"role": "user", "content": "Same?"}]}
    bring(workspace, tmp_path, [pair(f"p{n}", **same) for n in range(8)])
    with FaultServer(answer=opinion) as server:
        report = run(workspace, provider(server))
    assert report.judged == 8
    assert report.calls == 4  # two votes in each of the two orders serve all
    assert report.exact_hits >= 1
    assert report.saved_usd > 0
    assert rows(workspace, "SELECT count(DISTINCT judge), count(*) FROM verdict GROUP BY pair_id") == [(1, 3)] * 8


def test_another_rubric_is_another_judge(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, [pair("p1")])
    with FaultServer(answer=opinion) as server:
        run(workspace, provider(server))
        run(workspace, provider(server), temperature=0.0)
        third = run(workspace, provider(server), temperature=0.0)
    names = [row[0] for row in rows(workspace, "SELECT judge FROM judge_name ORDER BY length(judge)")]
    assert names[0] == "judge-1-served"
    assert names[1].startswith("judge-1-served (")
    assert third.calls == 0
    assert rows(workspace, "SELECT count(*) FROM verdict") == [(6,)]


NEAR = "Please tell me how I can change the address that my parcel goes to, it is on its way already"


def near(number: int) -> dict[str, Any]:
    """Pairs that differ in a letter or two."""
    tail = "!" * (number % 5 + 1)
    more = {"messages": [{"role": "user", "content": NEAR + tail}]}
    return pair(f"n{number:02}", "That is good, you can change it in your account" + tail, "No" + tail, **more)


def test_near_duplicates_are_served_only_while_the_audit_allows_it(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, [near(n) for n in range(5)])
    strict = {"semantic": True, "threshold": 0.6, "audit_share": 0.0}
    with FaultServer(answer=opinion) as server:
        first = run(workspace, provider(server), cache=strict)
        # Nothing is proven yet: everything is judged, and each near-duplicate is a free audit.
        assert (first.judged, first.semantic_hits, first.calls >= 15) == (5, 0, True)
        assert "no near-duplicate has been audited yet" in first.semantic
        audits = rows(workspace, "SELECT original, cached, fresh FROM judge_audit")
        assert len(audits) == 4
        assert {each[0] for each in audits} == {"n00"}
        bring(workspace, tmp_path, [near(n) for n in range(5, 9)])
        second = run(workspace, provider(server), cache=strict)
        assert second.semantic_hits == 0
        assert "0 of 1 audited near-duplicates" in second.semantic
        # A ceiling that allows anything lets the cache answer, but for the audited share.
        bring(workspace, tmp_path, [near(n) for n in range(9, 15)])
        before = len(server.requests)
        loose = strict | {"ceiling": 1.0}
        third = run(workspace, provider(server), cache=loose)
        assert (third.semantic_hits, third.calls, len(server.requests)) == (6, 0, before)
        assert third.saved_usd > 0
        assert rows(workspace, "SELECT count(*) FROM verdict") == [(45,)]
        assert run(workspace, provider(server), cache=loose).judged == 0
        # All audited: each is judged anew, and so is its original.
        bring(workspace, tmp_path, [near(n) for n in range(15, 18)])
        fourth = run(workspace, provider(server), cache=loose | {"audit_share": 1.0})
        assert (fourth.semantic_hits, fourth.judged) == (0, 3)
        assert rows(workspace, "SELECT count(*) FROM judge_audit WHERE again IS NOT NULL") == [(3,)]


def test_what_vectors_of_near_duplicates_cost_is_said(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, [near(n) for n in range(2)])
    with FaultServer(answer=opinion) as server, FaultServer(api="embeddings") as vectors:
        asked = desk(workspace, judges(provider(server), cache={"semantic": True}))
        paid = Embedding(base_url=vectors.url, model="words", price=Price(input=1000.0))
        config = asked.settings.config.model_copy(update={"embedding": paid})
        settings = asked.settings.model_copy(update={"config": config})
        report = judge(LocalDesk(Workspace(workspace.database, settings, workspace.key), "tester"), everything=True)
        spent = sum(len(text.split()) for each in vectors.requests for text in each["input"])
    assert spent > 0
    assert report.vectors_usd == pytest.approx(spent / 1000)


def test_other_numbers_labels_and_structure_are_never_near_duplicates(workspace: Workspace, tmp_path: Path) -> None:
    other = near(2) | {"pair_id": "other"}
    other["old"] = {"content": other["old"]["content"] + " for 5 dollars"}
    dearer = json.loads(json.dumps(other).replace("5 dollars", "50 dollars")) | {"pair_id": "dearer"}
    bring(workspace, tmp_path, [near(0), near(1), other, dearer])
    label = {"pair_id": "n01", "reviewer": "ann", "preference": "old"}
    file = tmp_path / "labels.jsonl"
    file.write_text(json.dumps(label) + "\n", encoding="utf-8")
    ingest.import_files(workspace, "labels", [file], now=NOW)
    loose = {"semantic": True, "threshold": 0.5, "ceiling": 1.0, "audit_share": 0.0}
    with FaultServer(answer=opinion) as server:
        report = run(workspace, provider(server), cache=loose)
    assert (report.semantic_hits, report.judged) == (0, 4)


def test_anchors_are_judged_in_every_run_and_a_changed_judge_is_warned_about(
    workspace: Workspace, tmp_path: Path
) -> None:
    bring(workspace, tmp_path, [pair(f"p{n:02}") for n in range(14)])

    def turned(document: dict[str, Any]) -> str:
        shown = materials(document)
        swapped = {"answer A": shown["answer B"], "answer B": shown["answer A"]}
        reply = json.loads(opinion(document))
        return json.dumps(reply | {"winner": "A" if "good" in json.dumps(swapped["answer A"]) else "B"})

    with FaultServer(answer=opinion) as server:
        first = run(workspace, provider(server), anchors=10)
        assert first.calls == 42  # anchors are among them
        bring(workspace, tmp_path, [pair("q1")])
        second = run(workspace, provider(server), anchors=10)
        assert second.calls == 33  # one new pair, ten anchors
        assert second.totals["warnings"] == []
        assert run(workspace, provider(server), anchors=10).calls == 0  # nothing new: no run, no anchors
        bring(workspace, tmp_path, [pair("q2")])
        server.answer = turned
        third = run(workspace, provider(server), anchors=10)
    drift = judge_watch.drifts(workspace)
    assert [(each.judge, each.anchors, each.runs, each.changed) for each in drift] == [("judge-1-served", 10, 3, True)]
    assert "otherwise than in its first run" in third.totals["warnings"][0]
    # Anchors are facts beside the verdicts, which stay three a pair.
    assert rows(workspace, "SELECT max(c) FROM (SELECT count(*) c FROM verdict GROUP BY pair_id)") == [(3,)]


def test_a_judge_with_one_vote_that_turned_is_warned_about(workspace: Workspace, tmp_path: Path) -> None:
    bring(workspace, tmp_path, [pair(f"p{n:02}") for n in range(14)])

    def turned(document: dict[str, Any]) -> str:
        reply = json.loads(opinion(document))
        return json.dumps(reply | {"winner": {"A": "B", "B": "A"}[reply["winner"]]})

    with FaultServer(answer=opinion) as server:
        assert run(workspace, provider(server), anchors=12, votes=1).calls == 14
        bring(workspace, tmp_path, [pair("q1")])
        server.answer = turned
        second = run(workspace, provider(server), anchors=12, votes=1)
    assert "100 % of its votes moved, more of them one way" in second.totals["warnings"][0]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"votes": 1}, "at least 9 of 20 (45 %)"),
        ({"votes": 2}, "at least 9 of 40 (22 %)"),
        ({"votes": 1, "anchors": 8}, "judges.anchors 8 has 8: it never shows"),
        ({"votes": 3}, None),
        ({"votes": 1, "anchors": 0}, None),
    ],
)
def test_what_few_votes_on_the_anchors_cannot_show_is_said_when_the_configuration_is_checked(
    tmp_path: Path, said: dict[str, Any], words: str | None
) -> None:
    file = tmp_path / "config.yaml"
    near = {"name": "near", "base_url": "http://127.0.0.1:9/v1", "model": "j"}
    file.write_text(json.dumps({"eval_config": {"judges": {"providers": [near], **said}}}))
    done = CliRunner().invoke(main, ["config", "check", str(file), "--json"])
    notes = " ".join(json.loads(done.stdout)["notes"])
    assert (words in notes) if words else ("judges.votes" not in notes)


def test_a_judge_of_the_same_family_is_warned_about(workspace: Workspace, tmp_path: Path) -> None:
    bring(
        workspace,
        tmp_path,
        [pair("p1", {"content": "good", "model": "openai/gpt-4o"}, {"content": "bad", "model": "llama-3.1-8b"})],
    )
    with FaultServer(answer=opinion) as server:
        report = run(workspace, provider(server, model="gpt-4o-mini"))
    assert len(report.totals["warnings"]) == 1
    assert "same family (gpt) as the old model" in report.totals["warnings"][0]


def test_the_stage_takes_arrow_gives_arrow_and_finds_its_replies_again(tmp_path: Path) -> None:
    documents = [pair("p1"), pair("p2", "bad", "good"), pair("p3", "poison", "x")]
    batch = pa.table(
        {
            "pair_id": [each["pair_id"] for each in documents],
            "document": [json.dumps(each) for each in documents],
            "purpose": ["vote"] * 3,
            "salt": [""] * 3,
        }
    )

    def plan(prompt: str, nth: int) -> str | None:
        return "context_400" if "poison" in prompt else None

    with FaultServer(plan, answer=opinion) as server:
        configured = JudgeSettings(judges(provider(server)), Rubric(), tmp_path / "cache", "run")
        settings = pickle.loads(pickle.dumps(configured))
        made = next(iter(run_stage(judge_stage, [batch], settings, workers=0)))
        good = sum(server.good.values())
        again = judge_stage(batch, settings)
        assert sum(server.good.values()) == good == 6
    assert made.schema == again.schema
    assert made.column("pair_id").to_pylist() == ["p1", "p2", "p3"]
    assert made.column("failed").to_pylist() == [None, None, "context_length"]
    assert again.column("votes").to_pylist() == made.column("votes").to_pylist()
    said = [read_preference(each["text"], each["shown_first"]) for each in json.loads(made.column("votes")[1].as_py())]
    assert [each and each.winner for each in said] == ["new"] * 3
