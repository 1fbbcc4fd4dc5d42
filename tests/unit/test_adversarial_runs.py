"""The permanent set replayed into runs: each entry by its criterion, as it stood before the run; checks; history."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from review import settings
from review.adapters.cache import Cache
from review.errors import BadInput, BadSettings, Conflict, NotFound
from review.services import adversarial_replay, adversarial_runs, flag, runs
from review.services.desk import LocalDesk
from review.services.workspace import Actor, Workspace, open_workspace
from review.store.runs import RunRow
from tests.adversarial import a_report, add_pairs
from tests.conftest import NOW, ROOT
from tests.faults import FaultServer, prompt_of
from tests.judging import PART

LATER = NOW + timedelta(hours=1)
AFTER = NOW + timedelta(hours=2)
CALL = '{"name": "refund", "arguments": {"order": 7}}'


def judge(document: dict[str, Any]) -> str:
    """An answer meets a criterion that ends with a word that stands in it."""
    parts = {name: json.loads(text) for name, _, text in PART.findall(prompt_of(document))}
    met = parts["criterion"].split()[-1].lower() in json.dumps(parts["answer"]).lower()
    return json.dumps({"rationale": "r", "met": "yes" if met else "no"})


def good(document: dict[str, Any]) -> str | dict[str, Any]:
    """Asks for the order; calls the tool where the conversation is about p3."""
    if "p3" in prompt_of(document):
        return {"tool_calls": [{"id": "1", "name": "refund", "arguments": {"order": 7}}]}
    return "What is your order number?"


def bad(document: dict[str, Any]) -> str | dict[str, Any]:
    if "p3" in prompt_of(document):
        return {"tool_calls": [{"id": "1", "name": "refund", "arguments": {"order": 8}}]}
    return "Wait."


class Stage:
    """A workspace with three confirmed entries, an unconfirmed one, and servers for old, new and the judge."""

    def __init__(self, workspace: Workspace, folder: Path, new: Any = good, plan: Any = None) -> None:
        self.old = FaultServer(answer=good).start()
        self.new = FaultServer(plan or (lambda prompt, nth: None), answer=new).start()
        self.judge = FaultServer(answer=judge).start()
        common = {"concurrency": 4, "retries": 0}
        block = {
            "replay": {"strip_pii": False},
            "endpoints": {
                "old": common | {"base_url": self.old.url, "model": "m"},
                "new": common | {"base_url": self.new.url, "model": "n"},
            },
            "judges": {
                "providers": [{"name": "near", "model": "j", "base_url": self.judge.url, "retries": 0}],
                "votes": 3,
            },
        }
        (folder / "config.yaml").write_text(yaml.safe_dump({"eval_config": block}))
        made = settings.load(folder / "review.duckdb", {"REVIEW_CONFIG": str(folder / "config.yaml")})
        self.workspace = Workspace(workspace.database, made, workspace.key)
        self.desk = LocalDesk(self.workspace, "Lea")

    def close(self) -> None:
        for server in (self.old, self.new, self.judge):
            server.close()

    def run(self, name: str = "first", at: Any = LATER, candidate: str | None = None) -> RunRow:
        spec = runs.configured(self.workspace.settings, name, "quantization")
        if candidate:
            spec = spec.model_copy(update={"candidate": spec.candidate.model_copy(update={"name": candidate})})
        return runs.start(self.workspace, spec, "Lea", at)

    @property
    def asked(self) -> tuple[int, int, int]:
        return self.old.good.total(), self.new.good.total(), self.judge.good.total()


@pytest.fixture
def stage(workspace: Workspace, tmp_path: Path) -> Any:
    made: list[Stage] = []

    def make(**more: Any) -> Stage:
        made.append(Stage(workspace, tmp_path, **more))
        fill(made[0].workspace)
        return made[0]

    yield make
    for each in made:
        each.close()


def fill(workspace: Workspace) -> None:
    """A-1: in words; A-2: by its category; A-3: a tool call; A-4: nobody confirmed it."""
    add_pairs(workspace, "p1", "p2", "p3", "p4")
    for number, expected in enumerate(["It asks for the order", "", CALL, "It asks for the order"], start=1):
        flag.report(workspace, a_report(pair_id=f"p{number}", expected=expected), "Rob", NOW)
        if number < 4:
            flag.confirm(workspace, f"A-0000{number}", "Lea", NOW)


def rows(workspace: Workspace, run: RunRow) -> dict[tuple[str, int], dict[str, Any]]:
    table = runs.outcomes(workspace, run.run_id, "adversarial").to_pylist()
    return {(each["example_id"], each["repeat"]): each for each in table}


def test_the_whole_set_is_asked_and_each_entry_decided_by_its_own_criterion(stage: Any) -> None:
    made = stage(new=bad)
    run = made.run()
    report = adversarial_replay.replay(made.desk, "first", repeats=2)
    assert (report.recorded, report.before, report.entries, report.confirmed) == (True, False, 4, 3)
    found = rows(made.workspace, run)
    assert sorted(found) == [(f"A-0000{number}", repeat) for number in (1, 2, 3, 4) for repeat in (0, 1)]
    assert (found["A-00001", 0]["old"], found["A-00001", 0]["new"]) == (1.0, 0.0)
    # The fault of its category ends with "… can do.": neither answer says so.
    assert (found["A-00002", 0]["old"], found["A-00002", 0]["new"]) == (0.0, 0.0)
    assert (found["A-00003", 1]["old"], found["A-00003", 1]["new"]) == (1.0, 0.0)
    assert [found[f"A-0000{number}", 0]["decided_by"] for number in (1, 2, 3)] == [
        "judge j-served",
        "judge j-served",
        "structured",
    ]
    assert {(each["metric"], each["prompt_id"][0], each["task"]) for each in found.values()} == {
        ("passed", "p", "refunds")
    }
    # No judge is asked about tool calls: 3 entries in words, 2 sides, 3 votes; the repeats say the same.
    assert made.asked == (8, 8, 18)
    # Nothing but the conversation is sent: not what failed, nor what a pass is.
    assert "refusal" not in json.dumps(made.new.requests)
    again = adversarial_replay.replay(made.desk, "1", repeats=2)
    assert (again.recorded, again.before, again.outcomes, again.cost_usd) == (
        True,
        True,
        report.outcomes,
        report.cost_usd,
    )
    assert made.asked == (8, 8, 18)
    with pytest.raises(Conflict, match="--repeats 2 of old and new"):
        adversarial_replay.replay(made.desk, "first", repeats=3)


def test_a_second_run_pays_only_for_the_new_stack(stage: Any) -> None:
    made = stage()
    made.run()
    adversarial_replay.replay(made.desk, "first")
    before = made.asked
    made.run("second")
    report = adversarial_replay.replay(made.desk, "second")
    assert report.recorded
    assert report.asked == 0
    assert made.asked == before
    assert report.cost_usd == adversarial_replay.replay(made.desk, "first").cost_usd


def test_the_set_counts_as_it_stood_when_the_run_began(stage: Any) -> None:
    made = stage()
    run = made.run()
    add_pairs(made.workspace, "p5")
    flag.report(made.workspace, a_report(pair_id="p5"), "Rob", AFTER)
    flag.confirm(made.workspace, "A-00004", "Lea", AFTER)
    flag.correct(made.workspace, "A-00001", "Rob", AFTER, expected="It sings")
    flag.confirm(made.workspace, "A-00001", "Lea", AFTER)
    report = adversarial_replay.replay(made.desk, "first")
    assert (report.entries, report.confirmed, report.later) == (4, 3, 1)
    found = adversarial_runs.standing(made.workspace, run)
    assert [each.entry_id for each in found.entries] == ["A-00001", "A-00002", "A-00003"]
    assert (found.unconfirmed, found.later, found.size, found.missing) == (1, 1, 5, ())
    # By the criterion of the time, not by the later one.
    assert found.entries[0].new == (True,)
    assert found.chain.ok
    assert json.loads(json.dumps(found.to_json()))["chain"]["entries"] == 5


def test_erased_entries_are_counted_and_left_out_and_their_answers_go(stage: Any) -> None:
    made = stage()
    made.run()
    flag.erase(made.workspace, "A-00002", Actor("Lea", "lead"), "asked to", NOW)
    report = adversarial_replay.replay(made.desk, "first")
    assert (report.entries, report.confirmed, report.erased) == (3, 2, 1)
    cache = Cache(made.workspace.settings.cache_file)
    assert adversarial_runs.answer(made.workspace, runs.get(made.workspace, "first").run_id, "A-00001", "new", 0)
    flag.erase(made.workspace, "A-00001", Actor("Lea", "lead"), "asked to", AFTER)
    assert cache.forget(["A-00001"]) == 0
    cache.close()
    # What it came to stays, without its text.
    assert adversarial_runs.history(made.workspace, "A-00001")[0].state == "passes"
    assert (
        adversarial_runs.answer(made.workspace, runs.get(made.workspace, "first").run_id, "A-00001", "new", 0) is None
    )
    standing = adversarial_runs.standing(made.workspace, runs.get(made.workspace, "first"))
    assert "A-00001" in [each.entry_id for each in standing.entries]


def test_an_entry_that_passed_before_and_fails_now_is_named(stage: Any) -> None:
    worse = False

    def new(document: dict[str, Any]) -> str | dict[str, Any]:
        return bad(document) if worse else good(document)

    made = stage(new=new)
    made.run()
    adversarial_replay.replay(made.desk, "first", sides=["new"])
    worse = True
    # What the stack answered is kept for ever, so a worse one is another stack.
    endpoints = made.workspace.settings.config.endpoints
    changed = endpoints.model_copy(update={"new": endpoints.new.model_copy(update={"quantization": "awq"})})
    config = made.workspace.settings.config.model_copy(update={"endpoints": changed})
    made.workspace = Workspace(
        made.workspace.database, made.workspace.settings.model_copy(update={"config": config}), made.workspace.key
    )
    run = made.run("second", AFTER)
    adversarial_replay.replay(LocalDesk(made.workspace, "Lea"), "second")
    found = adversarial_runs.standing(made.workspace, run)
    assert found.previous is not None
    assert found.previous.name == "first"
    assert found.lost == ("A-00001", "A-00003")
    assert [each.before for each in found.entries] == [True, False, True]
    points = adversarial_runs.history(made.workspace, "A-00001")
    assert [(each.name, each.state, len(each.old)) for each in points] == [
        ("first", "passes", 0),
        ("second", "fails", 1),
    ]
    assert adversarial_runs.states(made.workspace)["A-00001"] == ("fails", "passes")
    assert adversarial_runs.states(made.workspace)["A-00002"] == ("fails", "fails")


def test_a_person_puts_a_verdict_right_and_only_random_checks_say_how_often_the_judge_errs(stage: Any) -> None:
    made = stage()
    run = made.run()
    adversarial_replay.replay(made.desk, "first")
    say = [made.workspace, "check-1", run.run_id, "A-00002", "new", 0, True, "Rob", AFTER]
    adversarial_runs.check(*say)
    adversarial_runs.check(*say)
    found = adversarial_runs.standing(made.workspace, run)
    assert (found.entries[1].new, found.entries[1].new_by) == ((True,), ("label",))
    assert (found.entries[1].old, found.entries[1].old_by) == ((False,), ("judge j-served",))
    assert (found.judge.positives, found.judge.negatives) == (0, 0)
    with pytest.raises(Conflict):
        adversarial_runs.check(*say[:7], "Eve", AFTER)
    with pytest.raises(NotFound):
        adversarial_runs.check(*say[:1], "check-2", *say[2:5], 7, True, "Rob", AFTER)
    told: list[tuple[str, str]] = []
    while (drawn := adversarial_runs.to_check(made.workspace)) is not None:
        told.append((drawn.entry_id, drawn.side))
        # People say: A-2 passes, the others as the judge said.
        adversarial_runs.check(
            made.workspace,
            f"drawn-{len(told)}",
            drawn.run_id,
            drawn.entry_id,
            drawn.side,
            0,
            True,
            "Rob",
            AFTER,
            drawn=True,
        )
    assert sorted(told) == [
        ("A-00001", "new"), ("A-00001", "old"), ("A-00002", "old"), ("A-00004", "new"), ("A-00004", "old"),
    ]  # fmt: skip
    errors = adversarial_runs.standing(made.workspace, run).judge
    assert (errors.true_positive, errors.positives, errors.true_negative, errors.negatives) == (4, 5, 0, 0)
    assert errors.judges == ("judge j-served",)
    assert "value" in errors.sensitivity.to_json()
    assert "not_estimable" in errors.specificity.to_json()
    for statement in ("DELETE FROM adversarial_check", "UPDATE adversarial_check SET passes = false"):
        with pytest.raises(Exception, match="append-only"):
            made.workspace.database.cursor().execute(statement)


def test_what_is_missing_is_said_nothing_is_recorded_and_the_next_try_goes_on(stage: Any) -> None:
    broken = True

    def plan(prompt: str, nth: int) -> str | None:
        if "p4" in prompt:
            return "filter"
        return "500" if broken and "p2" in prompt else None

    made = stage(plan=plan)
    run = made.run()
    report = adversarial_replay.replay(made.desk, "first")
    assert not report.recorded
    assert report.stopped
    assert "server_error" in report.stopped[0]
    assert rows(made.workspace, run) == {}
    with pytest.raises(NotFound, match="review adversarial replay"):
        adversarial_runs.standing(made.workspace, run)
    broken = False
    report = adversarial_replay.replay(made.desk, "first")
    assert (report.recorded, report.asked) == (True, 1)
    # What a server refuses to answer is no pass.
    found = rows(made.workspace, run)["A-00004", 0]
    assert (found["old"], found["new"], found["decided_by"]) == (1.0, 0.0, "judge j-served")


def test_a_silent_judge_leaves_the_run_without_the_set(stage: Any) -> None:
    made = stage()
    run = made.run()
    made.judge.plan = lambda prompt, nth: "401"
    report = adversarial_replay.replay(made.desk, "first")
    assert not report.recorded
    assert "no_provider" in report.stopped[0]
    assert rows(made.workspace, run) == {}


def test_it_says_what_is_not_configured_before_anything_is_paid_for(stage: Any, tmp_path: Path) -> None:
    made = stage()
    made.run("other", candidate="else")
    runs.start(
        made.workspace,
        runs.described_by(["name=a"], ["name=b"], "in words", "other", runs.config_hash(made.workspace.settings)),
        "Lea",
        NOW - timedelta(days=1),
    )
    with pytest.raises(NotFound):
        adversarial_replay.replay(made.desk, "none")
    with pytest.raises(BadInput, match="nothing to replay"):
        adversarial_replay.replay(made.desk, "in words")
    bare = made.workspace.settings.config.model_copy(update={"endpoints": None})
    other = Workspace(
        made.workspace.database, made.workspace.settings.model_copy(update={"config": bare}), made.workspace.key
    )
    with pytest.raises(BadSettings, match="endpoints"):
        adversarial_replay.replay(LocalDesk(other, "Lea"), "other")
    endpoints = made.workspace.settings.config.endpoints
    changed = endpoints.model_copy(update={"new": endpoints.new.model_copy(update={"model": "z"})})
    for update, error in (
        ({"endpoints": changed}, "another new stack"),
        ({"judges": made.workspace.settings.config.judges.model_copy(update={"providers": ()})}, "judges.providers"),
    ):
        config = made.workspace.settings.config.model_copy(update=update)
        other = Workspace(
            made.workspace.database, made.workspace.settings.model_copy(update={"config": config}), made.workspace.key
        )
        with pytest.raises((BadInput, BadSettings), match=error):
            adversarial_replay.replay(LocalDesk(other, "Lea"), "other")
    assert made.asked == (0, 0, 0)


def test_by_the_command_line(tmp_path: Path) -> None:
    workspace = open_workspace(settings.load(tmp_path / "review.duckdb"))
    made = Stage(workspace, tmp_path)
    try:
        fill(made.workspace)
        made.run()
        workspace.close()
        environ = os.environ | {
            "REVIEW_CONFIG": str(tmp_path / "config.yaml"),
            "REVIEW_DB": str(tmp_path / "review.duckdb"),
        }
        line = [sys.executable, "-m", "review.cli", "adversarial", "replay", "--run", "first", "--side", "new"]
        done = subprocess.run(line, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "adversarial set in run first: 4 entries, 3 confirmed" in done.stdout
        assert "new: 3 passed, 1 failed" in done.stdout
        done = subprocess.run([*line, "--json"], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
        document = json.loads(done.stdout)
        assert (document["recorded"], document["before"], document["asked"]) == (True, True, 0)
        assert made.asked[0] == 0
    finally:
        made.close()
