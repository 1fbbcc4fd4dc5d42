"""Planted secrets go in through every door and are in no byte of what stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.applications import Starlette
from starlette.testclient import TestClient

from review import api, settings
from review.adapters import door
from review.services import flag, ingest
from review.services.export import export
from review.services.workspace import Workspace, open_workspace
from tests.adversarial import a_report
from tests.conftest import NOW, ROOT

SECRETS = {
    "person": "Wilhelmina Featherstone",
    "mail": "w.featherstone@quixmail.example",
    "phone": "+44 20 7946 0991",
    "card": "4539 1488 0343 6467",
    "iban": "GB33BUKB20201555555555",
    "ip": "203.0.113.77",
    "ssn": "536-22-8745",
    "key": "sk-live-9aB8cD7eF6gH5iJ4kL3mN2",
    "address": "1847 Thornbury Crescent",
    "account": "ACC-8830021",
    "order": "ORD-2024-771203",
    "ticket": "ZD-5590177",
    "customer": "CUST-6601948",
}
SAID = (
    "Hello, my name is {person}, I live at {address}, Portland, OR 97201. Mail {mail} or call {phone}. My card {card}, "
    "IBAN {iban}, SSN {ssn}. I logged in from {ip} with {key}. Account {account}, order {order}, ticket {ticket}."
).format(**SECRETS)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"eval_config": {"replay": {"strip_pii": True}}}))
    return os.environ | {"REVIEW_CONFIG": str(config), "REVIEW_DB": str(tmp_path / "kept" / "review.duckdb")}


def review(environment: dict[str, str], *arguments: object) -> str:
    """What a command printed, on both channels."""
    command = [sys.executable, "-m", "review.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def through_the_api(workspace: Workspace, pair: dict[str, Any], trace: dict[str, Any]) -> None:
    """What a helpdesk would send: a trace, a pair, and a flag on the pair, each of them new."""
    http = TestClient(Starlette(routes=api.routes(lambda: workspace)))
    headers = {"authorization": f"Bearer {door.token_of(workspace.key)}"}
    flagged = {"pair_id": "by-api", "failed": "new", "category": "refusal", "expected": SAID, "comment": SAID}
    records = {"traces": trace | {"messages": [*trace["messages"], {"role": "user", "content": "And now?"}]}}
    records |= {"pairs": pair, "flags": flagged | {"ticket": SECRETS["ticket"]}}
    for kind, record in records.items():
        answer = http.post(f"{door.PREFIX}/{kind}", json=record, headers=headers)
        assert (answer.status_code, answer.json()["new"]) == (200, 1), answer.text
        wrong = {"category": SAID} if kind == "flags" else {"messages": SAID}
        refused = http.post(f"{door.PREFIX}/{kind}", json=record | wrong, headers=headers)
        assert refused.json()["rejected"]
        assert not any(secret in refused.text for secret in SECRETS.values())


def test_planted_secrets_are_in_no_byte(tmp_path: Path, environment: dict[str, str]) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    messages = [{"role": "user", "content": SAID}]
    metadata = {"ticket": SECRETS["ticket"], "customer": SECRETS["customer"], "text": SAID}
    pair = {
        "messages": messages,
        "old": {"content": f"Dear you: {SAID}"},
        "new": {"content": "ok"},
        "metadata": metadata,
    }
    trace = {"messages": messages, "response": {"content": SAID}, "metadata": {"text": SAID}}
    trace |= {"shadow": {"content": f"Dear you: {SAID}"}, "served": "old"}
    trace |= {"ticket": SECRETS["ticket"], "customer": SECRETS["customer"]}
    call = {"function": {"name": "f", "arguments": json.dumps({"text": SAID, "email": SECRETS["mail"]})}}
    with_call = {**pair, "pair_id": "p1", "new": {"tool_calls": [call]}}
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, (with_call, pair))) + "\n")
    (tmp_path / "traces.jsonl").write_text(json.dumps(trace) + "\n")
    verdict = {"pair_id": "p1", "judge": "j", "winner": "old", "rationale": SAID, "raw": json.dumps({"why": SAID})}
    (tmp_path / "verdicts.jsonl").write_text(json.dumps(verdict) + "\n")

    printed = review(environment, "import", "pairs", tmp_path / "pairs.jsonl")
    printed += review(environment, "import", "traces", tmp_path / "traces.jsonl", "--format", "own")
    (tmp_path / "suite.jsonl").write_text(json.dumps({"prompt": SAID}) + "\n")
    printed += review(environment, "import", "suite", tmp_path / "suite.jsonl")
    place = settings.load(environ=environment)
    with closing(open_workspace(place)) as workspace:
        again = ingest.import_pairs(workspace, [tmp_path / "pairs.jsonl"], now=NOW)
        assert (again.new, again.present) == (0, 2)
        assert ingest.import_verdicts(workspace, [tmp_path / "verdicts.jsonl"], now=NOW).new == 1
        assert ingest.import_verdicts(workspace, [tmp_path / "verdicts.jsonl"], now=NOW).present == 1
        report = a_report(expected=f"Say: {SAID}", comment=SAID, ticket=SECRETS["ticket"])
        made = flag.report(workspace, report, "ann", NOW)
        flag.correct(workspace, made.entry_id, "ann", NOW, ticket=f"{SAID} and {SECRETS['ticket']}")
        assert [each.pair_id for each in flag.search(workspace, SECRETS["ticket"])] != []
        through_the_api(workspace, pair | {"pair_id": "by-api"}, trace)
        for what in ("pairs", "verdicts", "adversarial"):
            assert export(workspace, what, kept / f"{what}.export.jsonl") > 0

    bytes_kept = {path.name: path.read_bytes() for path in kept.iterdir()} | {"printed": printed.encode()}
    assert "review.duckdb" in bytes_kept
    found = {
        (name, where)
        for name, secret in SECRETS.items()
        for form in {secret, secret.upper(), secret.lower(), *(part for part in secret.split() if name == "person")}
        for where, content in bytes_kept.items()
        if form.encode() in content
    }
    assert found == set()
