"""Replaying a sample: every trace through both stacks once, failures kept and tried again, pairs by the usual rules."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from review.adapters.cache import Cache
from review.domain.pipeline import Endpoint
from review.domain.stack import stack_id
from review.errors import BadSettings, NotFound
from review.services import replay as service
from review.services import replay_desk
from review.services.workspace import Workspace
from tests.faults import FaultServer, prompt_of
from tests.replaying import add_sample, configure, everything, logged, replay

PROMPTS = [f"question {number}" for number in range(12)]


def test_both_stacks_answer_every_trace_once_and_their_answers_are_pairs(workspace: Workspace, tmp_path: Path) -> None:
    add_sample(workspace, PROMPTS)
    with FaultServer() as old, FaultServer(answer=lambda document: prompt_of(document).upper()) as new:
        made = configure(tmp_path, {"base_url": old.url}, {"base_url": new.url, "parameters": {"temperature": 0}})
        report = replay(workspace, made)
        assert (report.sampled, report.chosen, report.old, report.new) == (12, 12, 12, 12)
        assert (report.pairs, report.made, report.unpairable) == (12, 12, 0)
        assert (old.counts, new.counts) == (dict.fromkeys(PROMPTS, 1), dict.fromkeys(PROMPTS, 1))
        # Streaming is off, who asked is nobody's business, and the endpoint's own parameters win.
        assert all("user" not in each and each["stream"] is False for each in (*old.requests, *new.requests))
        assert {each["temperature"] for each in old.requests} == {0.2}
        assert {each["temperature"] for each in new.requests} == {0}
        before = everything(workspace)
        again = replay(workspace, made)
        assert (again.made, again.pairs, [each.answered for each in again.sides.values()]) == (0, 12, [0, 0])
        assert everything(workspace) == before
        assert set(old.counts.values()) | set(new.counts.values()) == {1}
    pairs = (
        workspace.database.cursor()
        .execute(
            "SELECT p.prompt_id, p.task, p.source, p.identical, p.metadata, p.old, p.new, o.trace_id, o.sample_id "
            "FROM pair p JOIN pair_origin o USING (pair_id) ORDER BY o.trace_id"
        )
        .fetchall()
    )
    assert all(each[2].startswith("replay:sample-1:") for each in pairs)
    prompt_id, task, _, identical, metadata, old_side, new_side, trace_id, sample_id = pairs[0]
    assert (prompt_id, task, identical, metadata, trace_id, sample_id) == (
        "prompt-0",
        "support",
        False,
        None,
        "trace-0",
        "sample-1",
    )
    old_side = json.loads(old_side)
    assert (old_side["content"], old_side["model"]) == ("answer to question 0", "m-served")
    assert json.loads(new_side)["content"] == "QUESTION 0"
    # answer · to · question · 0, with logprobs 0, -0.1, -0.2, -0.3
    assert old_side["confidence"] == pytest.approx((1 + 0.904837418 + 0.818730753 + 0.740818221) / 4)
    assert old_side["usage"]["completion_tokens"] == 4
    assert old_side["latency_ms"] > 0


def test_identical_answers_are_pairs_of_the_frame_too(workspace: Workspace, tmp_path: Path) -> None:
    add_sample(workspace, PROMPTS)
    with FaultServer() as server:
        report = replay(workspace, configure(tmp_path, {"base_url": server.url}))
    assert report.made == 12
    assert workspace.database.cursor().execute("SELECT count(*) FROM pair WHERE identical").fetchone() == (12,)


def test_what_failed_is_recorded_and_tried_again_by_the_next_run(workspace: Workspace, tmp_path: Path) -> None:
    add_sample(workspace, PROMPTS)
    broken = True

    def plan(prompt: str, nth: int) -> str | None:
        faults = {"question 1": "500", "question 2": "context_400", "question 3": "truncated", "question 4": "filter"}
        return faults.get(prompt) if broken else None

    with FaultServer() as old, FaultServer(plan) as new:
        made = configure(tmp_path, {"base_url": old.url, "retries": 0}, {"base_url": new.url, "retries": 0})
        report = replay(workspace, made)
        kinds = {"server_error": 1, "context_length": 1, "bad_body": 1, "refused": 1}
        assert (report.old, report.new, report.pairs) == (12, 8, 8)
        assert (dict(report.sides["new"].failed), report.sides["new"].failing) == (kinds, kinds)
        assert report.sides["new"].stopped is None
        failures = workspace.database.cursor().execute("SELECT trace_id, kind, attempts FROM replay_failure").fetchall()
        assert sorted(failures) == [
            ("trace-1", "server_error", 1),
            ("trace-2", "context_length", 1),
            ("trace-3", "bad_body", 1),
            ("trace-4", "refused", 1),
        ]
        broken = False
        mended = replay(workspace, made)
        assert (mended.new, mended.pairs, mended.made, mended.sides["new"].failing) == (12, 12, 4, {})
        assert mended.sides["new"].answered == 4
        assert new.counts == dict.fromkeys(PROMPTS, 1) | {f"question {at}": 2 for at in (1, 2, 3, 4)}
        assert set(old.counts.values()) == {1}


@pytest.mark.parametrize(("fault", "words"), [("401", "api_key_env"), ("404", "base_url"), ("429_quota", "credit")])
def test_an_endpoint_that_answers_nobody_is_not_asked_a_thousand_times(
    workspace: Workspace, tmp_path: Path, fault: str, words: str
) -> None:
    add_sample(workspace, [f"question {number}" for number in range(60)])
    with FaultServer() as old, FaultServer(lambda prompt, nth: fault) as new:
        report = replay(workspace, configure(tmp_path, {"base_url": old.url}, {"base_url": new.url}))
    # Those that were under way when the first answer came.
    assert sum(new.counts.values()) <= 4
    stopped = report.sides["new"].stopped
    assert stopped is not None
    assert words in stopped
    assert "question" not in stopped
    assert report.old == 60


def test_a_server_that_only_fails_is_given_up_for_this_run(workspace: Workspace, tmp_path: Path) -> None:
    add_sample(workspace, [f"question {number}" for number in range(100)])
    with FaultServer(lambda prompt, nth: "500") as server:
        made = configure(tmp_path, {"base_url": server.url, "retries": 0})
        report = replay(workspace, made, sides=("new",))
    assert service.GIVE_UP <= sum(server.counts.values()) <= service.GIVE_UP + 4
    assert "in a row" in (report.sides["new"].stopped or "")


def test_a_budget_ends_a_run_before_it_is_exceeded_and_the_next_goes_on(workspace: Workspace, tmp_path: Path) -> None:
    add_sample(workspace, PROMPTS)
    with FaultServer() as server:
        old = {
            "base_url": server.url,
            "price": {"input": 0.0, "output": 1000.0},
            "budget_usd": 0.02,
            "parameters": {"max_tokens": 5},
        }
        made = configure(tmp_path, old)
        runs = [replay(workspace, made, sides=("old",)) for _ in range(4)]
    # An answer costs 0.4 cents and may cost half a cent.
    assert [each.sides["old"].answered for each in runs] == [4, 4, 4, 0]
    assert all(each.sides["old"].cost_usd <= 0.02 for each in runs)
    assert [each.sides["old"].stopped is not None for each in runs] == [True, True, False, False]
    assert set(server.counts.values()) == {1}


def test_only_stripped_traces_are_sent_and_the_rest_are_counted(workspace: Workspace, tmp_path: Path) -> None:
    add_sample(workspace, PROMPTS)
    workspace.database.cursor().execute("UPDATE trace SET redactions = NULL WHERE trace_id IN ('trace-0', 'trace-5')")
    with FaultServer() as server:
        report = replay(workspace, configure(tmp_path, {"base_url": server.url}))
    assert (report.sampled, report.chosen, report.pairs) == (12, 10, 10)
    assert not {"question 0", "question 5"} & set(server.counts)


def test_without_stripping_the_logged_answers_are_old_and_only_what_lacks_one_is_asked(
    workspace: Workspace, tmp_path: Path
) -> None:
    add_sample(workspace, PROMPTS, stripped=False)
    workspace.database.cursor().execute("UPDATE trace SET response = NULL WHERE trace_id = 'trace-3'")
    with FaultServer() as old, FaultServer(answer=lambda document: "new") as new:
        made = configure(tmp_path, {"base_url": old.url}, {"base_url": new.url}, strip_pii=False)
        report = replay(workspace, made)
        again = replay(workspace, made)
    assert (report.sides["old"].adopted, report.sides["old"].answered, report.pairs) == (11, 1, 12)
    assert (again.sides["old"].adopted, again.sides["old"].answered, again.made) == (0, 0, 0)
    assert report.noise is None
    assert old.counts == {"question 3": 1}
    models = workspace.database.cursor().execute("SELECT DISTINCT old->>'model' FROM pair ORDER BY 1").fetchall()
    assert models == [("gpt-logged",), ("m-served",)]


def test_the_noise_floor_is_old_against_its_own_log(workspace: Workspace, tmp_path: Path) -> None:
    call = {"function": {"name": "refund", "arguments": '{"order": 7}'}}
    logs = {prompt: logged("another text") for prompt in PROMPTS[:3]} | {
        "question 3": {"model": "x", "tool_calls": [call], "finish_reason": "tool_calls"},
        "question 4": {"model": "x", "tool_calls": [call], "finish_reason": "stop"},
    }
    add_sample(workspace, PROMPTS, responses=logs)
    workspace.database.cursor().execute("UPDATE trace SET response = NULL WHERE trace_id = 'trace-11'")

    def answer(document: dict) -> str | dict:
        prompt = prompt_of(document)
        if prompt in ("question 3", "question 4"):
            order = 7 if prompt == "question 4" else 8
            return {"content": None, "tool_calls": [{"id": "c", "name": "refund", "arguments": {"order": order}}]}
        return f"answer to {prompt}"

    with FaultServer(answer=answer) as server:
        made = configure(tmp_path, {"base_url": server.url})
        noise = replay(workspace, made, sides=("old",)).noise
    assert noise is not None
    assert (noise["compared"], noise["without_log"]) == (11, 1)
    # Three texts and one call with another argument, of eleven drawn with equal probability.
    assert noise["text"]["value"] == pytest.approx(4 / 11)
    assert noise["structured"]["value"] == pytest.approx(1 / 11)
    assert noise["text"]["low"] < 4 / 11 < noise["text"]["high"]
    assert noise["text"]["exclusions"] == {"no logged answer": 1}


def test_design_weights_carry_the_noise_floor_over_to_all_traffic(workspace: Workspace, tmp_path: Path) -> None:
    add_sample(workspace, PROMPTS[:4], responses={"question 0": logged("other"), "question 2": logged("other")})
    # Stratum cluster-0 (question 0 and 2, both differ) stands for 2 of 10 traces, cluster-1 for 8 of 10.
    cursor = workspace.database.cursor()
    cursor.execute("UPDATE sampled SET pi = CASE stratum WHEN 'cluster-0' THEN 1.0 ELSE 0.25 END")
    with FaultServer() as server:
        noise = replay(workspace, configure(tmp_path, {"base_url": server.url}), sides=("old",)).noise
    assert noise is not None
    assert noise["text"]["value"] == pytest.approx(0.2)


def test_a_limit_takes_the_first_traces_and_is_idempotent_too(workspace: Workspace, tmp_path: Path) -> None:
    add_sample(workspace, PROMPTS)
    with FaultServer() as server:
        made = configure(tmp_path, {"base_url": server.url})
        assert [replay(workspace, made, limit=5).made for _ in range(2)] == [5, 0]
        assert set(server.counts) == set(PROMPTS[:5])
        assert replay(workspace, made).made == 7
    assert set(server.counts.values()) == {2}  # both stacks stand on this server


def test_a_trace_in_two_samples_is_asked_once_and_is_one_pair(workspace: Workspace, tmp_path: Path) -> None:
    add_sample(workspace, PROMPTS)
    add_sample(workspace, PROMPTS[:6], sample="sample-2", number=2)
    with FaultServer() as server:
        made = configure(tmp_path, {"base_url": server.url})
        first = replay(workspace, made)
        other = replay(workspace, made, sample="sample-1")
    assert (first.sample, first.made, first.pairs) == ("sample-2", 6, 6)
    assert (other.sample, other.made, other.pairs) == ("sample-1", 6, 12)
    assert set(server.counts.values()) == {2}


def test_an_answer_that_waited_in_the_cache_is_handed_in_and_not_asked_for(
    workspace: Workspace, tmp_path: Path
) -> None:
    add_sample(workspace, PROMPTS)
    with FaultServer() as server:
        made = configure(tmp_path, {"base_url": server.url})
        assert made.config.endpoints is not None
        stack = stack_id(made.config.endpoints.old)
        cache = Cache(made.cache_file)
        value = {
            "output": logged("kept"),
            "served": "s",
            "attempts": 2,
            "cost_usd": 0.1,
            "at": "2026-03-01T00:00:00+00:00",
        }
        cache.put(service.KIND, {service.cache_key(stack, "trace-7"): json.dumps(value).encode()})
        cache.close()
        report = replay(workspace, made, sides=("old",))
    assert (report.old, report.sides["old"].kept, report.sides["old"].answered) == (12, 1, 11)
    assert "question 7" not in server.counts
    found = workspace.database.cursor().execute("SELECT output->>'content', attempts FROM response WHERE attempts = 2")
    assert found.fetchall() == [("kept", 2)]


def test_another_model_is_another_stack_and_a_faster_pace_is_not() -> None:
    one = Endpoint(base_url="http://h/v1", model="m")
    assert stack_id(one) == stack_id(one.model_copy(update={"base_url": "http://h/v1/", "concurrency": 99}))
    for change in ({"model": "n"}, {"parameters": {"temperature": 0}}, {"base_url": "http://i/v1"}, {"api": "vllm"}):
        assert stack_id(one) != stack_id(one.model_copy(update=change))
    assert stack_id(one) != stack_id(one, logged=True)


def test_what_is_missing_is_said_with_a_remedy(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"endpoints.old and endpoints.new"):
        replay(workspace, workspace.settings)
    made = configure(tmp_path, {"base_url": "http://127.0.0.1:9/v1", "api_key_env": "NO_SUCH_KEY"})
    with pytest.raises(NotFound, match="review sample"):
        replay(workspace, made)
    add_sample(workspace, PROMPTS)
    with pytest.raises(NotFound, match="no sample 'x'"):
        replay(workspace, made, sample="x")
    with pytest.raises(BadSettings, match="NO_SUCH_KEY"):
        replay(workspace, made)


def test_the_stage_answers_a_batch_and_knows_nothing_of_where_it_runs(tmp_path: Path) -> None:
    rows = {
        "trace_id": ["a", "b", "c"],
        "messages": [json.dumps([{"role": "user", "content": name}]) for name in ("one", "two", "three")],
        "tools": [None] * 3,
        "parameters": [None] * 3,
    }
    batch = pa.RecordBatch.from_pydict(rows, pa.schema([(name, pa.string()) for name in rows]))
    with FaultServer(lambda prompt, nth: "context_400" if prompt == "two" else None) as server:
        endpoint = Endpoint(base_url=server.url, model="m")
        stage = service.StageSettings(endpoint, stack_id(endpoint), cache_file=tmp_path / "cache")
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as thread:
            answered, again = (thread.submit(service.answer_batch, batch, stage).result() for _ in range(2))
    assert answered["error"].to_pylist() == [None, "context_length", None]
    assert [json.loads(each)["content"] for each in answered["output"].drop_null().to_pylist()] == [
        "answer to one",
        "answer to three",
    ]
    assert again.equals(answered)
    assert server.counts == {"one": 1, "two": 2, "three": 1}


def test_everything_is_done_in_batches(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "PAGE", 5)
    monkeypatch.setattr(replay_desk, "LISTED", 7)
    add_sample(workspace, PROMPTS)
    with FaultServer() as server:
        assert replay(workspace, configure(tmp_path, {"base_url": server.url})).made == 12
