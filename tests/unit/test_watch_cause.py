"""Why an alert was raised: archived inputs are asked again of the candidate, and archived pairs of the judge."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from review.domain.pipeline import Endpoint, Endpoints, Price
from review.domain.watch import Watch
from review.services import alerts, watch, watch_again
from review.services.desk import LocalDesk
from review.services.watch_again import Means
from review.services.workspace import Workspace
from review.stats.rerun import Rerun, inputs_for, of_rerun
from tests.conftest import NOW
from tests.faults import FaultServer, Plan, prompt_of
from tests.judging import judges, materials, opinion, provider
from tests.traffic import add_clusters
from tests.watching import START, add_pairs, quick_plan

CHANGE = START + timedelta(days=10)
BOTH = ("parcels", "refunds")


@contextmanager
def candidate(
    workspace: Workspace, *, worse: str = "nothing", plan: Plan = lambda _prompt, _nth: None
) -> Generator[FaultServer]:
    """An endpoint that answers as the archive does; pairs whose id begins with `worse` badly."""
    rows = workspace.database.cursor().execute("SELECT pair_id, new ->> '$.content' FROM pair").fetchall()
    archived = {f"Ask {name}": words for name, words in rows}
    bad = f"Ask {worse}"
    with FaultServer(
        plan,
        answer=lambda body: "Very bad" if prompt_of(body).startswith(bad) else archived[prompt_of(body)],
    ) as server:
        yield server


def desk_of(workspace: Workspace, server: FaultServer | None = None, **changed: object) -> LocalDesk:
    """The workspace's desk, where the server is the candidate's."""
    if server is not None:
        endpoint = Endpoint(base_url=server.url, model="new", retries=0, parameters={"temperature": 0})
        changed["endpoints"] = Endpoints(old=endpoint, new=endpoint)
    config = workspace.settings.config.model_copy(update=changed)
    configured = workspace.settings.model_copy(update={"config": config})
    return LocalDesk(Workspace(workspace.database, configured, workspace.key), "tester")


@pytest.fixture
def archive(workspace: Workspace) -> Workspace:
    """Ten quiet days; every question is another one."""
    add_clusters(workspace, ["Parcels", "Refunds"])
    add_pairs(workspace, 800, days=10, clusters=BOTH, distinct=True)
    quick_plan(LocalDesk(workspace, "tester"))
    return workspace


def drift(workspace: Workspace, count: int = 500, **more: Any) -> None:
    """Four days in which new gets worse."""
    said: dict[str, Any] = {"days": 4, "lost": 0.4, "clusters": BOTH, **more}
    add_pairs(workspace, count, prefix="d", start=CHANGE, distinct=True, **said)


def cause_of(workspace: Workspace) -> dict[str, Any]:
    found = alerts.alerts(workspace, NOW)
    assert [each.kind for each in found] == ["regression"]
    return found[0].document["cause"]


def test_a_candidate_that_answers_archived_inputs_otherwise_than_then_has_changed(archive: Workspace) -> None:
    drift(archive)
    with candidate(archive, worse="s-") as server:
        desk = desk_of(archive, server)
        assert watch.once(desk).alerts == 1
        asked = server.counts.total()
        watch.once(desk)
        assert server.counts.total() == asked
    found = cause_of(archive)
    assert (found["cause"], found["model"]["changed"]) == ("model changed", "changed"), found
    assert found["judge"]["changed"] == found["inputs"]["changed"] == "unchanged"
    assert max(server.counts.values()) == 2  # it is asked twice, to know its own noise
    assert 100 <= asked <= 400


def test_a_judge_compares_archived_and_fresh_answers_where_one_is_configured(archive: Workspace) -> None:
    drift(archive)
    with candidate(archive, worse="s-") as server, FaultServer(answer=opinion) as judge:
        done = watch.once(desk_of(archive, server, judges=judges(provider(judge), votes=1)))
    assert (done.alerts, done.judged) == (1, 0)
    assert done.cost_usd > 0
    found = cause_of(archive)
    assert (found["cause"], max(server.counts.values())) == ("model changed", 1)
    assert "the share moved by -" in found["model"]["why"]


def test_other_inputs_to_the_same_candidate_are_the_cause_where_they_explain_the_fall(workspace: Workspace) -> None:
    add_clusters(workspace, ["Parcels", "Refunds"])
    quick_plan(LocalDesk(workspace, "tester"), tolerance=0.16)
    mixed = ("parcels",) * 19 + ("refunds",)
    add_pairs(workspace, 800, days=10, clusters=mixed, worse="refunds", lost=0.6, distinct=True)
    drift(workspace, clusters=("parcels", "refunds", "refunds"), worse="refunds", lost=0.6)
    with candidate(workspace) as server:
        assert watch.once(desk_of(workspace, server)).alerts == 1
    found = cause_of(workspace)
    assert found["cause"] == "inputs shifted", found
    assert "0 of " in found["model"]["why"]


def test_a_judge_that_votes_otherwise_on_archived_pairs_is_the_cause(workspace: Workspace) -> None:
    tastes = [opinion]

    def grumpy(document: dict[str, Any]) -> str:
        """Dislikes exclamation marks, which only new's answers have."""
        first = "!" in json.dumps(materials(document)["answer A"])
        return json.dumps({**json.loads(opinion(document)), "winner": "B" if first else "A"})

    add_clusters(workspace, ["Parcels", "Refunds"])
    add_pairs(workspace, 200, days=10, clusters=BOTH, known=False, lost=0.0, won=0.0, distinct=True)
    with FaultServer(answer=lambda body: tastes[-1](body)) as judge:
        changed: dict[str, Any] = {"judges": judges(provider(judge), votes=1), "watch": Watch(sample_per_task=1000)}
        quick_plan(LocalDesk(workspace, "tester"))
        assert watch.once(desk_of(workspace, **changed)).alarms == 0
        tastes.append(grumpy)
        drift(workspace, 200, known=False, lost=0.0, won=0.0)
        with candidate(workspace) as server:
            assert watch.once(desk_of(workspace, server, **changed)).alerts == 1
    found = cause_of(workspace)
    assert found["cause"] == "judge changed", found
    assert "archived pairs" in found["judge"]["why"]


@pytest.mark.parametrize("fault", ["401", "500"])
def test_where_the_candidate_does_not_answer_the_cause_is_undetermined_and_says_so(
    archive: Workspace, fault: str
) -> None:
    drift(archive)
    with candidate(archive, plan=lambda _prompt, _nth: fault) as server:
        assert watch.once(desk_of(archive, server)).alerts == 1
    found = cause_of(archive)
    assert (found["cause"], found["model"]["changed"]) == ("undetermined", "unknown")
    assert "could not be asked archived inputs again: " in found["model"]["why"]


def test_an_endpoint_that_is_not_what_answers_live_traffic_says_nothing_of_the_model(archive: Workspace) -> None:
    drift(archive)
    with candidate(archive, worse="") as server:
        watch.once(desk_of(archive, server))
    found = cause_of(archive)
    assert (found["cause"], found["model"]["changed"]) == ("undetermined", "unknown")
    assert "is not what answers live traffic" in found["model"]["why"]


def test_without_an_endpoint_nothing_is_said_of_the_model(archive: Workspace) -> None:
    drift(archive)
    watch.once(desk_of(archive))
    assert "endpoints.new" in cause_of(archive)["model"]["why"]


def test_what_was_asked_for_an_alarm_is_kept_and_nothing_is_spent_beyond_the_budget(archive: Workspace) -> None:
    drift(archive)
    watch.once(LocalDesk(archive, "tester"))
    alarm = {"task": "refund", "alarm": 1, "since": CHANGE.isoformat()}
    with candidate(archive, worse="s-") as server:
        desk = desk_of(archive, server)
        endpoints = desk.settings.config.endpoints
        assert endpoints is not None
        limits = {"price": Price(input=1000, output=1000), "budget_usd": 0.3, "parameters": {"max_tokens": 10}}
        dear = endpoints.new.model_copy(update=limits)
        poor = desk_of(archive, endpoints=Endpoints(old=dear, new=dear))
        means = Means(poor)
        stopped = watch_again.model(means, alarm, 0.2)
        assert (stopped.changed, means.asked_usd <= 0.3) == ("unknown", True)
        assert 0 < server.counts.total() < 40
        first = watch_again.model(Means(desk), alarm, 0.2)
        asked = server.counts.total()
        assert watch_again.model(Means(desk), alarm, 0.2) == first
        assert server.counts.total() == asked
        watch_again.model(Means(desk), {**alarm, "alarm": 2}, 0.2)  # another alarm's answers are fresh ones
        assert server.counts.total() > asked
    assert first.changed == "changed"


# The rule itself.


@pytest.mark.parametrize("noise", [0.02, 0.3, 0.9])
def test_a_model_that_only_varies_is_seldom_accused(noise: float) -> None:
    rng = np.random.default_rng(5)
    accused = 0
    for _ in range(400):
        three = np.where(rng.random((100, 3)) < noise, rng.integers(1, 4, (100, 3)), 0)
        old, one, two = three.T
        odd = int(((one == two) & (old != one)).sum())
        fresh = int(((old == one) & (one != two)).sum() + ((old == two) & (one != two)).sum())
        found = Rerun(100, int((old != one).sum()), archived_odd=odd, fresh_odd=fresh)
        accused += of_rerun(found, 0.01, "Inputs").changed == "changed"
    assert accused / 400 <= 0.02


def test_what_moved_decides_only_where_it_could_explain_the_fall() -> None:
    assert of_rerun(Rerun(100, 0), 0.05, "Inputs").changed == "unchanged"
    assert of_rerun(Rerun(100, 3), 0.05, "Inputs").changed == "unknown"
    assert of_rerun(Rerun(39, 0), 0.5, "Inputs").changed == "unknown"
    assert of_rerun(Rerun(100, 90, lost=50, won=4), 0.2, "Inputs").changed == "changed"
    assert of_rerun(Rerun(200, 190, lost=4, won=4), 0.2, "Inputs").changed == "unchanged"
    better = of_rerun(Rerun(100, 90, lost=4, won=50), 0.2, "Inputs")
    assert (better.changed, "better" in better.why) == ("unknown", True)
    # Ten answers changed for sure; a fall of forty points is something else.
    assert of_rerun(Rerun(100, 40, archived_odd=10, fresh_odd=0), 0.2, "Inputs").changed == "unknown"


@pytest.mark.parametrize("margin", [0.02, 0.05, 0.1, 0.4])
def test_enough_inputs_are_asked_for_silence_to_say_something(margin: float) -> None:
    count = inputs_for(margin)
    expected = "unknown" if margin < 0.0183 else "unchanged"
    assert 40 <= count <= 200
    assert of_rerun(Rerun(count, 0), margin, "Inputs").changed == expected
