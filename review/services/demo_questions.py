"""Write the demo's traffic: made-up questions of three weeks, with answers, from seeded phrasings.

The phrasings stand in data/demo/traffic.json. The same file and moment give the same traces on every machine and run.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

_SLOT = re.compile(r"\{(\w+)\}")
_WEEK = timedelta(days=7)
_CUSTOMERS = 90
# Shares of the traces: of one chatty customer, of texts with personal data, of conversations with a second message.
_CHATTY, _PERSONAL, _LONGER = 0.09, 0.2, 0.1
_MODELS = {"old": "aspen-32b-chat-2025-11", "new": "aspen-32b-chat-2026-08-w4"}
_PLAIN_ANSWER = "That is a lovely thought, though I only know about bikes, orders and Care. What can I look up?"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Intent(_Part):
    """Something people want: how they ask, how often in each week, and what right and wrong answers say."""

    id: str
    task: str
    weeks: tuple[int, int, int]
    asks: tuple[str, ...]
    more: tuple[str, ...]
    right: tuple[str, ...]
    wrong: tuple[str, ...] = ()


class People(_Part):
    """Made-up people: their names, and what they add to a question."""

    names: tuple[str, ...]
    tails: tuple[str, ...]


class Worse(_Part):
    """What gets worse: the answers to one intent, in the last days, of which only the share `right` is right."""

    intent: str
    days: float
    right: float


class Old(_Part):
    """How good the old stack is: the share of right answers."""

    right: float


class New(_Part):
    """What the new stack answers: some tasks, in the last days; how good it is, and where it gets worse."""

    task: tuple[str, ...]
    days: float
    right: float
    worse: Worse


class Phrasings(_Part):
    """Everything that the traffic is made of. Odd questions (`odd`) belong to no intent."""

    about: str
    seed: int
    lists: dict[str, tuple[str, ...]]
    people: People
    intents: tuple[Intent, ...]
    odd: tuple[str, ...]
    new: New
    old: Old


@dataclass(frozen=True)
class Question:
    """One question: who wants what, when; None for an odd one, which wants nothing that others want."""

    intent: Intent | None
    text: str
    happened_at: datetime
    words: Mapping[str, str]
    personal: bool


@dataclass(frozen=True)
class Made:
    """A trace of import format v1, and whether made-up personal data stand in it."""

    document: dict[str, Any]
    personal: bool


def read_phrasings(path: Path) -> Phrasings:
    """The phrasings of `path`."""
    return Phrasings.model_validate_json(path.read_bytes())


def write_traces(phrasings: Phrasings, until: datetime) -> list[Made]:
    """Traces of the three weeks that end at `until`, in order of time, no two questions alike."""
    rng = random.Random(phrasings.seed)  # noqa: S311 - text for a demo, no secret
    asked = sorted(_questions(phrasings, until, rng), key=lambda each: each.happened_at)
    return [Made(_trace(phrasings, number, each, until, rng), each.personal) for number, each in enumerate(asked, 1)]


def _questions(phrasings: Phrasings, until: datetime, rng: random.Random) -> Iterator[Question]:
    seen: set[str] = set()
    for intent in phrasings.intents:
        for week, count in enumerate(intent.weeks):
            for _ in range(count):
                yield _question(phrasings, intent, _moment(week, until, rng), rng, seen)
    for place, text in enumerate(phrasings.odd):
        yield Question(None, text, _moment(place % 3, until, rng), {}, personal=False)


def _moment(week: int, until: datetime, rng: random.Random) -> datetime:
    """Some moment of the first (0), second or last (2) week."""
    return (until - (2 - week + rng.random()) * _WEEK).replace(microsecond=0)


def _question(phrasings: Phrasings, intent: Intent, when: datetime, rng: random.Random, seen: set[str]) -> Question:
    """A question that nobody has asked in these words."""
    while True:
        words = _words(phrasings, rng)
        parts = [rng.choice(intent.asks), rng.choice(("", rng.choice(intent.more)))]
        text = _fill(" ".join(filter(None, parts)), words)
        if text not in seen:
            break
    seen.add(text)
    personal = rng.random() < _PERSONAL
    ending = _fill(rng.choice(phrasings.people.tails), words) if personal else words["bye"]
    return Question(intent, words["hello"] + text + ending, when, words, personal)


def _words(phrasings: Phrasings, rng: random.Random) -> dict[str, str]:
    """What fills the slots of one question and its answers."""
    name = rng.choice(phrasings.people.names)
    return {
        **{each: rng.choice(options) for each, options in phrasings.lists.items()},
        "order": f"TV-{rng.randint(46000, 49999)}",
        "name": name,
        "mail": f"{name.lower().replace(' ', '.')}@example.org",
        "phone_number": f"+32 470 55 {rng.randint(10, 99)} {rng.randint(10, 99)}",
    }


def _fill(template: str, words: Mapping[str, str]) -> str:
    return _SLOT.sub(lambda found: words[found[1]], template)


def _trace(phrasings: Phrasings, number: int, asked: Question, until: datetime, rng: random.Random) -> dict[str, Any]:
    served, right, content = _answer(phrasings, asked, until, rng)
    messages = [{"role": "user", "content": asked.text}]
    if asked.intent is not None and rng.random() < _LONGER:
        more = _fill(rng.choice(asked.intent.more), asked.words)
        messages += [
            {"role": "assistant", "content": "Let me look. Is there anything else I should know?"},
            {"role": "user", "content": more},
        ]
    chatty = rng.random() < _CHATTY
    customer = "chatty" if chatty else f"{rng.randrange(_CUSTOMERS):02}"
    response: dict[str, Any] = {
        "content": content,
        "model": _MODELS[served],
        "finish_reason": "stop",
        "latency_ms": round(rng.gauss(1900 if served == "old" else 1250, 240), 1),
        "usage": {"prompt_tokens": 60 + len(asked.text) // 4, "completion_tokens": len(content) // 4},
    }
    if right is not None:
        response["correct"] = right
    return {
        "trace_id": f"demo-trace-{number:04}",
        "task": asked.intent.task if asked.intent else "small_talk",
        "messages": messages,
        "response": response,
        "served": served,
        "customer": f"demo-customer-{customer}",
        "conversation": f"demo-conversation-{number:04}",
        "ticket": f"demo-ticket-{70000 + number}",
        "metadata": {"made_up": True},
        "happened_at": asked.happened_at.isoformat(),
    }


def _answer(phrasings: Phrasings, asked: Question, until: datetime, rng: random.Random) -> tuple[str, bool | None, str]:
    """Who answers, whether it is right (None: nobody knows), and the answer."""
    if asked.intent is None:
        return "old", None, _PLAIN_ANSWER
    ago, new = (until - asked.happened_at) / timedelta(days=1), phrasings.new
    watched = asked.intent.task in new.task
    served = "new" if watched and ago < new.days else "old"
    share = new.right if served == "new" else phrasings.old.right
    if served == "new" and asked.intent.id == new.worse.intent and ago < new.worse.days:
        share = new.worse.right
    right = not watched or rng.random() < share
    content = _fill(rng.choice(asked.intent.right if right else asked.intent.wrong), asked.words)
    return served, right if watched else None, content
