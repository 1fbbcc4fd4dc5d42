"""Asking one endpoint a list of prompts over real HTTP: each once, repeats apart, failures named, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from review.adapters.cache import Cache
from review.domain.pipeline import Endpoint, Price
from review.errors import BadInput, BadSettings
from review.services import ask
from review.services.ask import Prompt
from review.services.desk import LocalDesk
from review.services.replay import GIVE_UP, Progress
from review.services.workspace import Workspace
from tests.conftest import ROOT
from tests.faults import FaultServer, prompt_of


def prompts(count: int, **more: Any) -> list[Prompt]:
    return [Prompt(f"p{at}", [{"role": "user", "content": f"question {at}"}], **more) for at in range(count)]


def endpoint(server: FaultServer, **more: Any) -> Endpoint:
    return Endpoint(base_url=server.url, **{"model": "m", "concurrency": 4, "retries": 0, **more})


def test_each_prompt_is_answered_once_in_its_place_and_a_second_call_asks_nobody(workspace: Workspace) -> None:
    desk = LocalDesk(workspace, "Lea")
    told: list[Progress] = []
    with FaultServer() as server:
        stack = endpoint(server, price=Price(input=1, output=5))
        found = ask.answers(desk, stack, prompts(10), told.append)
        assert [each.output.content for each in found if each.output] == [
            f"answer to question {at}" for at in range(10)
        ]
        assert (found.asked, found.kept, found.whole, found.stopped) == (10, 0, True, None)
        assert (told[-1].done, told[-1].total) == (10, 10)
        # 12 tokens in and 4 out, by the price table
        assert found.cost_usd == pytest.approx(10 * (12 * 1 + 4 * 5) / 1e6)
        assert 1 <= server.most_under_way <= 4
        again = ask.answers(desk, stack, prompts(10))
        assert (again.asked, again.kept, again.cost_usd) == (0, 10, 0)
        assert all(each.kept for each in again)
        assert sum(each.cost_usd for each in again) == pytest.approx(found.cost_usd)
        assert server.good.total() == 10
        # Another stack is another answer.
        ask.answers(desk, endpoint(server, parameters={"temperature": 0}), prompts(10))
        assert server.good.total() == 20


def test_a_repeat_is_another_answer_and_the_same_words_are_asked_once(workspace: Workspace) -> None:
    desk = LocalDesk(workspace, "Lea")
    number = 0

    def counting(document: dict[str, Any]) -> str:
        nonlocal number
        number += 1
        return f"answer {number} to {prompt_of(document)}"

    wanted = [Prompt("a", [{"role": "user", "content": "same"}], repeat=each) for each in range(3)]
    wanted.append(Prompt("b", [{"role": "user", "content": "same"}]))
    with FaultServer(answer=counting) as server:
        found = ask.answers(desk, endpoint(server), wanted)
        said = [each.output.content for each in found if each.output]
        assert len(set(said)) == 3
        assert said[0] == said[3]
        assert found.asked == 3
        assert [each.output.content for each in ask.answers(desk, endpoint(server), wanted) if each.output] == said
    with pytest.raises(BadInput, match="comes 2 times"):
        ask.answers(desk, endpoint(server), [*wanted, wanted[0]])


def test_what_failed_is_named_and_asked_again_and_the_rest_is_answered(workspace: Workspace) -> None:
    desk = LocalDesk(workspace, "Lea")
    broken = True

    def plan(prompt: str, nth: int) -> str | None:
        if prompt == "question 3":
            return "context_400"
        return "500" if broken and prompt == "question 1" else None

    with FaultServer(plan) as server:
        found = ask.answers(desk, endpoint(server), prompts(5))
        assert [each.failed for each in found] == [None, "server_error", None, "context_length", None]
        assert (dict(found.failed), found.whole) == ({"server_error": 1, "context_length": 1}, False)
        broken = False
        found = ask.answers(desk, endpoint(server), prompts(5))
        assert [each.failed for each in found] == [None, None, None, "context_length", None]
        # What is the prompt's own fault will not become better.
        assert (found.asked, found.whole) == (1, True)


@pytest.mark.parametrize("fault", ["401", "500"])
def test_a_dead_endpoint_is_given_up_and_says_why(workspace: Workspace, fault: str) -> None:
    with FaultServer(lambda prompt, nth: fault) as server:
        found = ask.answers(LocalDesk(workspace, "Lea"), endpoint(server), prompts(100), name="endpoints.new")
    assert found.stopped
    assert "endpoints.new" in found.stopped
    assert "question" not in found.stopped
    assert server.counts.total() <= GIVE_UP + 4
    assert [each.failed for each in found][-1] == "not_asked"
    assert not found.whole


def test_a_budget_stops_it_and_the_next_call_goes_on(workspace: Workspace) -> None:
    desk = LocalDesk(workspace, "Lea")
    with FaultServer() as server:
        # The worst case of one call is some 10 thousandths of a dollar by these prices.
        dear = endpoint(server, price=Price(input=1, output=100), parameters={"max_tokens": 10}, budget_usd=0.003)
        found = ask.answers(desk, dear, prompts(20))
        assert found.stopped
        assert 0 < found.asked < 20
        assert found.cost_usd <= 0.003
        assert ask.answers(desk, dear.model_copy(update={"budget_usd": None}), prompts(20)).whole
        assert server.good.total() == 20


def test_a_missing_key_is_said_before_anything_is_asked(workspace: Workspace) -> None:
    with FaultServer() as server, pytest.raises(BadSettings, match="NO_SUCH_KEY"):
        ask.answers(LocalDesk(workspace, "Lea"), endpoint(server, api_key_env="NO_SUCH_KEY"), prompts(3), environ={})
    assert server.counts.total() == 0


def test_answers_are_erased_with_their_owner(workspace: Workspace) -> None:
    desk = LocalDesk(workspace, "Lea")
    with FaultServer() as server:
        ask.answers(desk, endpoint(server), prompts(2, owner="A-00001"))
        cache = Cache(workspace.settings.cache_file)
        assert cache.forget(["A-00001"]) == 2
        cache.close()
        assert ask.answers(desk, endpoint(server), prompts(2)).asked == 2


_ASK = """
import sys
from pathlib import Path
from types import SimpleNamespace
from review.domain.pipeline import Endpoint
from review.services import ask
desk = SimpleNamespace(settings=SimpleNamespace(cache_file=Path(sys.argv[1])))
prompts = [ask.Prompt(f"p{at}", [{"role": "user", "content": f"question {at}"}]) for at in range(40)]
print(ask.answers(desk, Endpoint(base_url=sys.argv[2], model="m", concurrency=4), prompts).kept)
"""


def test_killed_it_loses_no_answer_that_arrived(tmp_path: Path) -> None:
    reached, stuck = threading.Event(), True

    def plan(prompt: str, nth: int) -> str | None:
        if server.good.total() >= 15 and stuck:
            reached.set()
            return "silent"
        return None

    with FaultServer(plan) as server:
        line = [sys.executable, "-c", _ASK, str(tmp_path / "cache"), server.url]
        process = subprocess.Popen(line, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True)
        assert reached.wait(60)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        stuck = False
        paid = server.good.total()
        done = subprocess.run(line, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=60, check=True)
        # Those that were on their way at the kill may be lost, no others.
        assert paid - 4 <= int(done.stdout) <= paid
        assert server.good.total() - paid == 40 - int(done.stdout)
