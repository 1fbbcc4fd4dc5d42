"""The demo's traffic: the same every time, legal, no question twice, personal data only where it is said to be."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from review.domain.trace import Trace
from review.services import demo
from review.services.demo_questions import Made, read_phrasings, write_traces
from tests.conftest import NOW

PHRASINGS = read_phrasings(demo.FOLDER / "traffic.json")
CONTACT = re.compile(r"@|\+32")


@pytest.fixture(scope="module")
def made() -> list[Made]:
    return write_traces(PHRASINGS, NOW)


@pytest.fixture(scope="module")
def traces(made: list[Made]) -> list[dict[str, Any]]:
    return [each.document for each in made]


def said(trace: dict[str, Any]) -> str:
    return " ".join([each["content"] for each in trace["messages"]] + [trace["response"]["content"]])


def when(trace: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(trace["happened_at"])


def test_the_same_moment_gives_the_same_traces_and_another_one_moves_them(
    made: list[Made], traces: list[dict[str, Any]]
) -> None:
    assert write_traces(PHRASINGS, NOW) == made
    later = [each.document for each in write_traces(PHRASINGS, NOW + timedelta(days=1))]
    assert [said(each) for each in later] == [said(each) for each in traces]
    assert [when(each) - timedelta(days=1) for each in later] == [when(each) for each in traces]


def test_they_are_legal_whole_in_order_and_of_the_last_three_weeks(traces: list[dict[str, Any]]) -> None:
    assert 400 <= len(traces) <= 500
    for each in traces:
        Trace.model_validate(each)
        assert "{" not in said(each)
        assert NOW - timedelta(days=21) <= when(each) <= NOW
        assert each["metadata"]["made_up"] is True
        assert each["trace_id"].startswith("demo-")
    assert [when(each) for each in traces] == sorted(when(each) for each in traces)
    customers = Counter(each["customer"] for each in traces)
    (first, most), (_, second) = customers.most_common(2)
    assert "chatty" in first
    assert most > 2 * second


def test_no_two_ask_the_same(traces: list[dict[str, Any]]) -> None:
    asked = [each["messages"][0]["content"] for each in traces]
    assert len(set(asked)) == len(asked)


def test_personal_data_stand_only_where_they_are_said_to_stand(made: list[Made]) -> None:
    assert 0.1 < sum(each.personal for each in made) / len(made) < 0.4
    for each in made:
        text = said(each.document)
        found = CONTACT.search(text) or any(name in text for name in PHRASINGS.people.names)
        assert bool(found) == each.personal


def test_one_stack_answers_each_and_only_the_watched_tasks_have_outcomes(traces: list[dict[str, Any]]) -> None:
    new = PHRASINGS.new
    for each in traces:
        assert ("correct" in each["response"]) == (each["task"] in new.task)
        after = NOW - when(each) < timedelta(days=new.days)
        assert each["served"] == ("new" if after and each["task"] in new.task else "old")
    worse = NOW - timedelta(days=new.worse.days)
    right = {
        late: [
            each["response"]["correct"]
            for each in traces
            if each["task"] == "shipping" and (when(each) > worse) == late
        ]
        for late in (False, True)
    }
    assert sum(right[False]) / len(right[False]) > 0.9
    assert sum(right[True]) / len(right[True]) < 0.6
