"""A frozen golden set is scored in a run: both stacks and the judge asked once, people's word before the judge's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from review import settings
from review.cli import main
from review.services import golden_people, runs
from review.services.workspace import Actor, Workspace, open_workspace
from review.stats.estimate import Estimate
from tests.conftest import NOW
from tests.faults import FaultServer, prompt_of
from tests.judging import materials

Run = Callable[..., Any]
ITEMS = 6
LATER = NOW + timedelta(hours=1)
RUBRIC = ["Mentions good things", {"item": "Mentions anything", "weight": 3}]


def judge(document: dict[str, Any]) -> str:
    """The first rubric item is met by answers that say good, the second by all; of "odd" nobody can tell."""
    shown = materials(document)
    met = "yes" if "anything" in shown["criterion"] or "good" in str(shown["answer"]) else "no"
    return json.dumps({"rationale": "it says so", "met": "cannot_tell" if "odd" in str(shown["answer"]) else met})


class Stage:
    """Two stacks, a judge, and a workspace that is configured for them."""

    def __init__(self, folder: Path, old: FaultServer, new: FaultServer, judging: FaultServer) -> None:
        self.folder, self.old, self.new, self.judging = folder, old, new, judging
        price = {"input": 1.0, "output": 2.0}
        common = {"concurrency": 4, "timeout_seconds": 20.0, "retries": 0, "price": price}
        self.block: dict[str, Any] = {
            "replay": {"strip_pii": False},
            "endpoints": {
                "old": {**common, "base_url": old.url, "model": "old-model"},
                "new": {**common, "base_url": new.url, "model": "new-model"},
            },
            "judges": {"votes": 1, "providers": [{**common, "name": "near", "base_url": judging.url, "model": "j"}]},
        }
        self.write()
        lines = [
            {"item_id": f"i{at}", "task": "t", "prompt": f"question {at}", "reference": "good", "rubric": RUBRIC}
            for at in range(ITEMS)
        ]
        (folder / "items.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")

    def write(self) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump({"eval_config": self.block}), encoding="utf-8")

    def __call__(self, *words: object, code: int = 0) -> Any:
        db = ["--db", str(self.folder / "r.duckdb"), "--json"]
        done = CliRunner().invoke(main, [*map(str, words), *db])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.stderr

    def begin(self, name: str) -> None:
        self("run", "start", name, "--step", "quantization")

    def asked(self) -> int:
        return sum(sum(each.counts.values()) for each in (self.old, self.new, self.judging))

    def workspace(self) -> Workspace:
        return open_workspace(settings.load(self.folder / "r.duckdb"))


def new_answer(document: dict[str, Any]) -> str:
    """The new stack is bad at question 0 and odd at question 1."""
    prompt = prompt_of(document)
    return "bad" if prompt.endswith("0") else "odd" if prompt.endswith("1") else "good"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("REVIEW_CONFIG", str(tmp_path / "config.yaml"))
    old, new = FaultServer(answer=lambda _: "all good"), FaultServer(answer=new_answer)
    with old, new, FaultServer(answer=judge) as judging:
        made = Stage(tmp_path, old, new, judging)
        made("golden", "import", tmp_path / "items.jsonl")
        made("golden", "freeze", "--name", "first")
        yield made


def test_a_run_gets_one_outcome_a_rubric_item_and_nothing_is_asked_twice(stage: Stage) -> None:
    stage.begin("awq")
    done = stage("golden", "score", "--run", "awq")
    assert (done["recorded"], done["undecided"], done["differ"], done["pairs"]) == (2 * ITEMS, 2, 1, 1)
    # Identical answers to the same question would be one job; here old and new differ everywhere.
    assert stage.asked() == ITEMS + ITEMS + 4 * ITEMS
    assert done["spent_usd"] == pytest.approx(done["cost_usd"])
    again = stage("golden", "score", "--run", "awq")
    assert again["stood"]
    assert again["spent_usd"] == 0
    stage.begin("awq 2")
    other = stage("golden", "score", "--run", "awq 2")
    assert (other["recorded"], other["spent_usd"]) == (2 * ITEMS, 0)
    assert other["cost_usd"] == pytest.approx(done["cost_usd"])
    assert stage.asked() == 6 * ITEMS
    with closing(stage.workspace()) as workspace:
        run = runs.get(workspace, "awq")
        rows = runs.outcomes(workspace, run.run_id, "golden").to_pylist()
        by_key = {(row["example_id"], row["metric"]): row for row in rows}
        assert {row["part"] for row in rows} == {done["version"][:12]}
        assert {row["decided_by"] for row in rows} == {"judge j-served"}
        bad = by_key["i0", "rubric 1"]
        assert (bad["old"], bad["new"], bad["prompt_id"], bad["weight"]) == (1.0, 0.0, "i0", 0.25)
        assert by_key["i1", "rubric 2"]["new"] is None
        assert by_key["i0", "rubric 2"]["weight"] == 0.75
        pairs = workspace.database.cursor().execute("SELECT pair_id, source FROM pair").fetchall()
        assert pairs == [(bad["pair_id"], f"golden:{done['version'][:12]}")]
        assert runs.traffic_sources(workspace, run.run_id) == ()


def some_answers(workspace: Workspace) -> str:
    """One item's kept answers."""
    return min(golden_people.store.answered_items(workspace.database.cursor()))


def test_people_score_blind_and_their_word_counts_in_the_next_recording(stage: Stage) -> None:
    stage.begin("awq")
    waiting = stage("golden", "score", "--run", "awq", "--no-record")
    assert waiting["recorded"] == 0
    with closing(stage.workspace()) as workspace:
        asking = golden_people.askings(workspace)[0]
        firsts: set[str] = set()
        for at in range(ITEMS):
            sheet = golden_people.sheet(workspace, "Mara", asking)
            assert sheet is not None
            assert sheet.done == at
            good = ["good" in (each.content or "") for each in sheet.shown]
            firsts.add("new" if sheet.shown[0].content != "all good" else "old")
            choice = {(True, True): "both", (True, False): "a", (False, True): "b"}[good[0], good[1]]
            golden_people.say(workspace, Actor("Mara", "reviewer"), sheet.answers_id, 1, choice, NOW)  # pyright: ignore[reportArgumentType] (one of the choices)
            golden_people.say(workspace, Actor("Mara", "reviewer"), sheet.answers_id, 2, "neither", NOW)
        assert golden_people.sheet(workspace, "Mara", asking) is None
        assert firsts == {"old", "new"}
        found = golden_people.agreements(workspace)[0]
        assert isinstance(found.overall, Estimate)
        # The judge agrees on the first rubric item and never on the second; of "odd" it cannot tell.
        assert found.overall.n == 4 * ITEMS - 2
        assert found.undecided == 2
        assert found.items[0].place == 2
    done = stage("golden", "score", "--run", "awq")
    assert (done["by_people"], done["recorded"], done["undecided"]) == (2 * ITEMS, 2 * ITEMS, 0)
    with closing(stage.workspace()) as workspace:
        rows = runs.outcomes(workspace, runs.get(workspace, "awq").run_id).to_pylist()
        assert {row["decided_by"] for row in rows} == {"label"}
        assert {(row["old"], row["new"]) for row in rows if row["metric"] == "rubric 2"} == {(0.0, 0.0)}
        odd = next(row for row in rows if (row["example_id"], row["metric"]) == ("i1", "rubric 1"))
        assert (odd["old"], odd["new"]) == (1.0, 0.0)
        golden_people.say(workspace, Actor("Mara", "reviewer"), some_answers(workspace), 2, "both", LATER)
    assert stage("golden", "score", "--run", "awq")["stood"]
    again = stage("golden", "score", "--run", "awq", "--as", "after reading")
    assert (again["recorded"], again["stood"]) == (2 * ITEMS, False)
    with closing(stage.workspace()) as workspace:
        rows = runs.outcomes(workspace, runs.get(workspace, "awq").run_id).to_pylist()
        assert len(rows) == 2 * ITEMS
        assert [(row["old"], row["new"]) for row in rows if row["metric"] == "rubric 2"].count((1.0, 1.0)) == 1


def test_a_limit_and_a_failing_stack_leave_the_run_as_it_was_until_all_is_there(stage: Stage) -> None:
    stage.begin("awq")
    some = stage("golden", "score", "--run", "awq", "--limit", "2")
    assert (some["asked"], some["rubric"], some["recorded"]) == (2, 4, 0)
    left = next(f"question {at}" for at in range(2, ITEMS) if not stage.new.counts[f"question {at}"])

    def plan(prompt: str, _nth: int) -> str | None:
        return "context_400" if prompt == left else None

    stage.new.plan = plan
    failing = stage("golden", "score", "--run", "awq", code=1)
    assert failing["without_answer"] == {"context_length": 1}
    assert failing["recorded"] == 0
    whole = stage("golden", "score", "--run", "awq", "--with-gaps")
    assert whole["recorded"] == 2 * ITEMS
    assert whole["undecided"] == 2 + 2


def test_a_budget_ends_a_scoring_that_goes_on_later(stage: Stage) -> None:
    stage.begin("awq")
    stage.block["judges"]["budget_usd"] = 0.00001
    stage.write()
    stopped = stage("golden", "score", "--run", "awq", code=1)
    assert "budget" in stopped["stopped"]
    assert stopped["recorded"] == 0
    assert stage.asked() == 2 * ITEMS
    del stage.block["judges"]["budget_usd"]
    stage.write()
    assert stage("golden", "score", "--run", "awq")["recorded"] == 2 * ITEMS
    assert stage.asked() == 6 * ITEMS


def test_a_run_of_other_stacks_is_refused(stage: Stage) -> None:
    stage.begin("awq")
    stage.block["endpoints"]["new"]["model"] = "another"
    stage.write()
    assert "review run start" in stage("golden", "score", "--run", "awq", code=1)
    assert stage.asked() == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], None), ([None], None), ([True], True), ([True, False], None), ([True, False, False, None], False)],
)
def test_people_decide_by_majority_of_those_who_can_tell(values: list[bool | None], expected: bool | None) -> None:
    assert golden_people.majority(values) is expected
