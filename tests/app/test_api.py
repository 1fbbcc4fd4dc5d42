"""The API for other systems: records of a helpdesk or CI come in once, each by itself, and nothing makes it stumble."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from review import api
from review.adapters import door
from review.services import flag, overview
from review.services.receive import KINDS, MOST_RECORDS
from review.services.workspace import Workspace

ASKED = [{"role": "user", "content": "Where is my order?"}]
PAIR: dict[str, Any] = {"pair_id": "p1", "messages": ASKED, "old": {"content": "a"}, "new": {"content": "b"}}
TRACE: dict[str, Any] = {"messages": ASKED, "response": {"content": "On its way."}, "ticket": "ZD-4711"}
FLAG: dict[str, Any] = {"pair_id": "p1", "failed": "new", "category": "refusal", "expected": "Say where it is."}


class Client:
    """Sends records with the token."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.http = TestClient(Starlette(routes=api.routes(lambda: workspace)), raise_server_exceptions=True)
        self.token = door.token_of(workspace.key)

    def post(self, kind: str, body: Any, media: str = "application/json") -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.token}", "content-type": media}
        return self.http.post(f"{door.PREFIX}/{kind}", content=content, headers=headers)


@pytest.fixture
def client(workspace: Workspace) -> Client:
    return Client(workspace)


def counts(answer: Any) -> tuple[int, int, int, int, int]:
    found = answer.json()
    return (answer.status_code, found["read"], found["new"], found["present"], len(found["rejected"]))


def test_records_come_in_once_however_they_are_sent(client: Client) -> None:
    assert counts(client.post("pairs", PAIR)) == (200, 1, 1, 0, 0)
    assert counts(client.post("pairs", [PAIR, PAIR | {"pair_id": "p2"}])) == (200, 2, 1, 1, 0)
    lines = json.dumps(PAIR | {"pair_id": "p3"}).encode() + b"\n\n" + json.dumps(PAIR).encode()
    assert counts(client.post("pairs", lines, "application/x-ndjson; charset=utf-8")) == (200, 2, 1, 1, 0)
    assert counts(client.post("traces", [TRACE])) == (200, 1, 1, 0, 0)
    assert counts(client.post("traces", [TRACE])) == (200, 1, 0, 1, 0)
    assert overview.facts(client.workspace).pairs == 3


def test_each_bad_record_is_named_by_place_and_field_without_its_text(client: Client) -> None:
    secret = "zq7canary"
    bad = [PAIR, PAIR | {"old": {"text": secret}}, PAIR | {"task": secret}, [secret], PAIR | {"pair_id": "p9"}]
    answer = client.post("pairs", bad)
    assert counts(answer) == (200, 5, 2, 0, 3)
    rejected = [(each["record"], each["field"]) for each in answer.json()["rejected"]]
    assert rejected == [(2, "old.content"), (3, "pair_id"), (4, "")]
    assert secret not in answer.text
    only_bad = client.post("traces", {"messages": secret})
    assert counts(only_bad) == (422, 1, 0, 0, 1)
    assert secret not in only_bad.text


def test_a_flag_makes_one_entry_however_often_it_is_sent(client: Client) -> None:
    client.post("pairs", PAIR)
    first = client.post("flags", FLAG | {"reported_by": "helpdesk", "ticket": "ZD-4711"})
    assert counts(first) == (200, 1, 1, 0, 0)
    assert first.json()["entries"] == [{"record": 1, "entry_id": "A-00001"}]
    assert counts(client.post("flags", FLAG | {"reported_by": "helpdesk", "ticket": "ZD-4711"})) == (200, 1, 0, 1, 0)
    unknown = [FLAG | {"pair_id": "none"}, FLAG | {"category": "bad luck"}, FLAG | {"failed": "left"}, FLAG | {"x": 1}]
    assert counts(client.post("flags", unknown)) == (422, 4, 0, 0, 4)
    entry = flag.entry(client.workspace, "A-00001")
    assert (entry.source, entry.reported_by, entry.standing.reports) == ("api", "helpdesk", 1)
    assert flag.verify(client.workspace).ok


def test_a_request_that_cannot_be_read_is_refused(client: Client) -> None:
    assert client.http.post(door.PREFIX + "/pairs", json=PAIR).status_code == 401
    assert client.post("pairs", b"{", "application/json").json()["error"] == "BadInput"
    assert client.post("pairs", PAIR, "text/csv").status_code == 415
    assert client.post("pairs", b" " * (api.MAX_RECORDS + 1)).status_code == 413
    many = client.post("traces", b"{}\n" * (MOST_RECORDS + 1), "application/jsonl")
    assert (many.status_code, many.json()["message"][:13]) == (422, "5,001 records")
    assert client.http.get(door.PREFIX + "/pairs").status_code == 405


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    kind=st.sampled_from(KINDS),
    changed=st.dictionaries(
        st.sampled_from([*PAIR, *TRACE, *FLAG, "report_id", "metadata", "tools"]), JSON, max_size=3
    ),
    raw=st.none() | st.binary(max_size=40),
    media=st.sampled_from(["application/json", "application/x-ndjson"]),
)
@example(kind="pairs", changed={"reference": "\ud800"}, raw=None, media="application/json")
@example(kind="flags", changed={"expected": "\ud800", "report_id": None}, raw=None, media="application/json")
@example(kind="traces", changed={}, raw=b"\xff\n\x00", media="application/x-ndjson")
@examples(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_that_is_sent_makes_it_stumble(
    client: Client, kind: str, changed: dict[str, Any], raw: bytes | None, media: str
) -> None:
    record = {"traces": TRACE, "pairs": PAIR, "flags": FLAG}[kind] | changed
    answer = client.post(kind, raw if raw is not None else json.dumps(record).encode(), media)
    assert answer.status_code in (200, 422), answer.text
    if "read" in answer.json():
        found = answer.json()
        assert found["read"] == found["new"] + found["present"] + len(found["rejected"])


def test_it_is_described_for_machines(client: Client) -> None:
    document = client.http.get(door.PREFIX + "/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {f"{door.PREFIX}/{kind}" for kind in KINDS}
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
        assert name in document["components"]["schemas"]
    assert {"Pair", "Trace", "Flag", "Received", "Error"} <= set(document["components"]["schemas"])
    assert set(document["components"]["schemas"]["Pair"]["required"]) == {"messages", "old", "new"}
