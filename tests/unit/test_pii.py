"""Personal data is found, replaced consistently, once and for all, without a network; measured on marked sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from review.adapters.pii import Stripper
from review.services import pii_evaluation
from tests.conftest import ROOT, shared


@pytest.fixture(scope="module")
def stripper() -> Stripper:
    return Stripper(b"k" * 32)


RECORD: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant of Acme."},
        {
            "role": "user",
            "content": "Hi, I'm Anna Schmidt, anna.schmidt@web.de. My order 4711-8812 is lost, ticket ZD-99812.",
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {
                        "name": "find_order",
                        "arguments": json.dumps({"name": "Anna Schmidt", "order_id": "4711-8812", "limit": 2}),
                    },
                },
                {
                    "id": "call_2",
                    "type": "function",
                    "function": {"name": "x", "arguments": '{"email": "ANNA.schmidt@web.de", "no'},
                },
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "call_1",
            "content": json.dumps({"phone": 4915112345678, "iban": "DE89370400440532013000"}),
        },
    ],
    "old": {"model": "m", "content": "Dear Ms Schmidt, we mailed anna.schmidt@web.de."},
    "new": {"model": "m", "content": "Anna, your card 4111 1111 1111 1111 was charged for 4711-8812."},
    "metadata": {"ticket": "ZD-99812", "customer_id": 55012, "plan": "gold", "note": "Anna called"},
    "reference": "Ask Anna for her number.",
}


def test_a_value_has_one_placeholder_in_the_whole_record(stripper: Stripper) -> None:
    stripped, counts = stripper.strip([RECORD])[0]
    text = json.dumps(stripped, ensure_ascii=False)
    for secret in ("Anna", "Schmidt", "web.de", "4711", "ZD-99812", "55012", "4915112345678", "DE8937", "4111"):
        assert secret not in text, secret
    assert stripped["old"]["content"] == "Dear Ms <PERSON_1>, we mailed <EMAIL_1>."
    assert stripped["reference"] == "Ask <PERSON_1> for her number."
    calls = stripped["messages"][2]["tool_calls"]
    assert json.loads(calls[0]["function"]["arguments"]) == {"name": "<PERSON_1>", "order_id": "<ORDER_1>", "limit": 2}
    assert calls[1]["function"]["arguments"] == '{"email": "<EMAIL_1>", "no'
    assert json.loads(stripped["messages"][3]["content"])["iban"] == "<IBAN_1>"
    assert stripped["metadata"]["ticket"].startswith("ticket-")
    assert stripped["metadata"]["plan"] == "gold"
    assert [call["id"] for call in calls] == ["call_1", "call_2"]
    assert calls[0]["function"]["name"] == "find_order"
    assert counts["PERSON"] >= 4
    assert stripped["messages"][0] == RECORD["messages"][0]


def test_stripping_what_is_stripped_changes_nothing(stripper: Stripper) -> None:
    sentences = pii_evaluation.read(shared("data/pii/sentences.jsonl"))
    records = [RECORD, *({"reference": each.text} for each in sentences[::3])]
    once = [stripped for stripped, _ in stripper.strip(records)]
    again = stripper.strip(once)
    assert [stripped for stripped, _ in again] == once
    assert all(counts == {} for _, counts in again)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdEFGH1234ijklMNOP5678",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "AKIAIOSFODNN7EXAMPLE",
        "xoxb-123456789012-abcdefABCDEF",
        "hunter2!x",
        "2001:db8:85a3::8a2e:370:7334",
        "078-05-1120",
        "+49 (0)30 1234 567",
        "(555) 234-9876",
        "GB82 WEST 1234 5698 7654 32",
        "Hauptstraße 12, 10115 Berlin",
        "742 Evergreen Terrace, Springfield, IL 62704",
        "00:1B:44:11:3A:B7",
    ],
)
def test_secrets_and_numbers_of_each_kind_go(stripper: Stripper, secret: str) -> None:
    text = f"My password is {secret} as I said." if secret.startswith("hunter") else f"Please note: {secret} as I said."
    stripped = stripper.strip([{"reference": text}])[0][0]["reference"]
    assert secret not in stripped
    assert stripped.startswith(("Please note: <", "My password is <"))


def test_what_is_not_personal_stays(stripper: Stripper) -> None:
    texts = [
        "I waited 45 minutes and paid 1,299.00 dollars on 2024-03-01 at 10:30.",
        "Use version 3.11.7 of Python, or 127 requests a minute.",
        "Please help me with my delivery, thank you very much!",
        "def add(a, b):\n    return a + b",
    ]
    stripped = [record["reference"] for record, _ in stripper.strip([{"reference": text} for text in texts])]
    assert stripped == texts


def test_the_shared_sentences_reach_what_was_asked_for(stripper: Stripper) -> None:
    found = pii_evaluation.evaluate(pii_evaluation.read(shared("data/pii/sentences.jsonl")), stripper, lambda: 0.0)
    covered = {each.kind: pii_evaluation.result_of(each.covered)["value"] for each in found.kinds}
    assert covered["PERSON"] >= 0.95
    assert covered["PHONE"] >= 0.98
    assert covered["ADDRESS"] >= 0.85
    assert all(covered[kind] == 1.0 for kind in ("EMAIL", "CARD", "IBAN", "IP"))
    assert pii_evaluation.result_of(found.precision)["value"] >= 0.85


NO_NETWORK = """
import socket, sys
def refuse(*_):
    raise AssertionError("a look at the network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from review.adapters.pii import Stripper
stripped, counts = Stripper().strip([{"reference": "I am Anna Schmidt, anna@example.org, https://u:pw1234@example.org/x"}])[0]
assert "Schmidt" not in stripped["reference"] and "example.org," not in stripped["reference"], stripped
assert "torch" not in sys.modules and "transformers" not in sys.modules
"""


def test_nothing_is_fetched_and_torch_is_not_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", NO_NETWORK], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
