"""Synthetic traces: what the model gets to see, one trace once, unusable answers, who writes and what is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from review import settings
from review.domain.pipeline import Endpoint, Endpoints, Judges, Price, Provider
from review.errors import BadInput, BadSettings
from review.services.desk import LocalDesk
from review.services.sample import SampleSpec, sample
from review.services.synthesize import Synthesized, synthesize, turns_of, writer
from review.services.workspace import Workspace, open_workspace
from review.settings import EvalConfig
from tests.traffic import Traffic, add_clusters, add_traces

SECRET = "Where is my parcel?"
OLD = Endpoint(base_url="http://model.test/v1", model="writer", price=Price(input=1.0, output=2.0))


class Model:
    """A model server that writes two turns, or nothing usable now and then."""

    def __init__(self, bad: int = 0) -> None:
        self.bodies: list[str] = []
        self.bad = bad

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.content.decode())
        number = len(self.bodies)
        content = (
            "no JSON" if number <= self.bad else json.dumps({"turns": [f"My {number}th refund?", "Still nothing"]})
        )
        message = {"role": "assistant", "content": content}
        body = {"model": "writer-1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        return httpx.Response(200, json=body | {"usage": {"prompt_tokens": 100, "completion_tokens": 50}})


@pytest.fixture
def clustered(tmp_path: Path) -> Iterator[Workspace]:
    loaded = settings.load(tmp_path / "review.duckdb")
    config = loaded.config.model_copy(update={"endpoints": Endpoints(old=OLD, new=OLD)})
    opened = open_workspace(loaded.model_copy(update={"config": config}))
    add_clusters(opened, ["Refunds", "Billing", "Empty"])
    add_traces(opened, [Traffic(12, "refunds"), Traffic(5, "billing"), Traffic(4)])
    with opened.database.transaction() as cursor:
        tools = '[{"type": "function", "function": {"name": "find_order"}}]'
        cursor.execute("UPDATE trace SET tools = ? WHERE trace_id < 't2'", [tools])
    yield opened
    opened.close()


def run(workspace: Workspace, model: Model, count: int = 3) -> Synthesized:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        work = thread.submit(synthesize, LocalDesk(workspace, "lead"), count, transport=httpx.MockTransport(model))
        return work.result()


def test_the_model_sees_terms_and_shape_and_no_text(clustered: Workspace) -> None:
    model = Model()
    made = run(clustered, model)
    assert (made.wanted, made.new, made.present, made.failed) == (6, 6, 0, 0)
    assert made.cost_usd == pytest.approx(6 * (100 * 1 + 50 * 2) / 1e6)
    everything = "\n".join(model.bodies)
    assert "parcel, late" in everything
    assert "Turns of the person: 1." in everything
    assert SECRET not in everything
    assert "It comes on Monday" not in everything
    rows = (
        clustered.database.cursor()
        .execute("SELECT synthetic, source, response, customer, metadata ->> 'cluster' FROM trace WHERE synthetic")
        .fetchall()
    )
    assert sorted(row[4] for row in rows) == ["billing"] * 3 + ["refunds"] * 3
    assert {row[:4] for row in rows} == {(True, "synthetic", None, None)}
    assert "find_order" in "".join(run_bodies(clustered))


def run_bodies(workspace: Workspace) -> list[str]:
    """What a larger run asks."""
    model = Model()
    run(workspace, model, 30)
    return model.bodies


def test_twice_is_once_and_costs_nothing(clustered: Workspace) -> None:
    first, again = Model(), Model()
    run(clustered, first)
    made = run(clustered, again)
    assert (made.new, made.present, made.cost_usd) == (0, 6, 0.0)
    assert again.bodies == []
    with clustered.database.transaction() as cursor:  # what was paid for but not handed in
        cursor.execute("DELETE FROM trace WHERE synthetic")
    made = run(clustered, again)
    assert (made.new, made.cost_usd, again.bodies) == (6, 0.0, [])
    assert run(clustered, again, 4).new == 2


def test_unusable_answers_are_counted_and_asked_again_by_the_next_run(clustered: Workspace) -> None:
    made = run(clustered, Model(bad=2))
    assert (made.new, made.failed) == (4, 2)
    made = run(clustered, Model())
    assert (made.new, made.present, made.failed) == (2, 4, 0)


def test_samples_and_rates_of_synthetic_traces_say_so(clustered: Workspace) -> None:
    run(clustered, Model())
    drawn = sample(LocalDesk(clustered, "lead"), SampleSpec(size=4, seed=1, audit_size=0, synthetic=True))
    assert (drawn.frame, drawn.synthetic) == (6, True)
    assert sample(LocalDesk(clustered, "lead"), SampleSpec(size=4, seed=1)).frame == 21


@pytest.mark.parametrize(
    ("answer", "turns"),
    [
        (b'{"turns": ["a", " b "]}', ["a", "b"]),
        (b'{"turns": ["a", ""]}', []),
        (b'{"turns": ["a", 3]}', []),
        (b'{"turns": "a"}', []),
        (b'["a"]', []),
        (b"\xff{", []),
    ],
)
def test_an_answer_is_read_strictly(answer: bytes, turns: list[str]) -> None:
    assert turns_of(answer) == turns


def test_who_writes() -> None:
    cheap, dear = (
        Provider(name=name, base_url="http://judge.test", model=name, price=Price(input=price))
        for name, price in (("cheap", 1.0), ("dear", 5.0))
    )
    config = EvalConfig(judges=Judges(providers=(dear, cheap)), endpoints=Endpoints(old=OLD, new=OLD))
    assert writer(config).model == "cheap"
    assert writer(config.model_copy(update={"judges": Judges()})) is OLD
    with pytest.raises(BadSettings, match="endpoints"):
        writer(EvalConfig())


def test_without_clusters_it_says_what_to_do(workspace: Workspace) -> None:
    config = workspace.settings.config.model_copy(update={"endpoints": Endpoints(old=OLD, new=OLD)})
    bound = replace(workspace, settings=workspace.settings.model_copy(update={"config": config}))
    with pytest.raises(BadInput, match="review cluster"):
        synthesize(LocalDesk(bound, "lead"), 3)
