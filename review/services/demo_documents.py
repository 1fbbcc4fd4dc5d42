"""Write the demo set's long documents: 20,000 words from seeded material, with the needles where a question aims.

The material stands in data/demo/long_contexts.json. The same file gives the same text on every machine and run, so the
reference answers and verdicts that were written for it stay true.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

_SLOT = re.compile(r"\{([A-Za-z]+)(\d?)_?\}")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Needle(_Part):
    """A passage that a question aims at: at a share of the document (0–1), as a numbered section, or on a date."""

    heading: str
    text: str
    at: float | None = None
    section: int | None = None
    day: date | None = None
    clauses_before: int = 0


class Meetings(_Part):
    """Minutes carry the date of a meeting every `items` sections, `days` apart."""

    start: date
    days: int
    items: int


class Log(_Part):
    """A log has dated entries about `bikes` bikes instead of sections."""

    start: date
    end: date
    bikes: int


class Document(_Part):
    """One long document: how its sections look, its sentence templates and what fills their slots.

    `paragraphs` and `sentences` are smallest and largest counts, a section and a paragraph. Lists named in `linked`
    share one index within an entry, so that a finding fits its complaint.
    """

    title: str
    seed: int
    words: int
    needles: tuple[Needle, ...]
    lists: dict[str, tuple[str, ...]]
    templates: tuple[str, ...]
    number: str = "{n}. "
    subject: str = "{topic}"
    paragraphs: tuple[int, int] = (1, 1)
    sentences: tuple[int, int] = (1, 1)
    clauses: bool = False
    meetings: Meetings | None = None
    log: Log | None = None
    linked: tuple[str, ...] = ()


def read_documents(path: Path) -> dict[str, Document]:
    """The documents of `path`, by name."""
    return TypeAdapter(dict[str, Document]).validate_json(path.read_bytes())


def write_document(document: Document) -> str:
    """The whole text, about `document.words` words; the same on every call."""
    rng = random.Random(document.seed)  # noqa: S311 - text for a demo, no secret
    blocks = _log(document, document.log, rng) if document.log else _sections(document, rng)
    return "\n\n".join([document.title, *blocks])


def _sections(document: Document, rng: random.Random) -> Iterator[str]:
    """Numbered sections until the words are reached; each needle becomes a section of its own at its place."""
    waiting = list(document.needles)
    headings = _headings(document, rng)
    number = words = 0
    while words < document.words or waiting:
        number += 1
        if document.meetings and number % document.meetings.items == 1:
            held = document.meetings.start + timedelta(
                days=document.meetings.days * (number // document.meetings.items)
            )
            yield f"MEETING OF {held:%d %B %Y}"
        needle = next((n for n in waiting if _is_due(n, number, words / document.words)), None)
        if needle:
            waiting.remove(needle)
            paragraphs = [_paragraph(document, rng) for _ in range(needle.clauses_before)] + [needle.text]
        else:
            paragraphs = [_paragraph(document, rng) for _ in range(rng.randint(*document.paragraphs))]
        heading = document.number.format(n=number) + (needle.heading if needle else next(headings))
        if document.clauses:
            paragraphs = [f"{number}.{clause} {text}" for clause, text in enumerate(paragraphs, 1)]
        block = "\n".join([heading, *paragraphs])
        words += len(block.split())
        yield block


def _is_due(needle: Needle, number: int, share: float) -> bool:
    if needle.section is not None:
        return number == needle.section
    return needle.at is not None and share >= needle.at


def _headings(document: Document, rng: random.Random) -> Iterator[str]:
    """Headings without repetition, as long as the material allows; after that they count their continuations."""
    seen: dict[str, int] = {}
    while True:
        tries = (_fill(document.subject, document, rng, {}) for _ in range(60))
        heading = next((text for text in tries if text not in seen), None)
        if heading is None:
            heading = min(seen, key=lambda text: seen[text])
        seen[heading] = seen.get(heading, 0) + 1
        yield heading if seen[heading] == 1 else f"{heading} ({seen[heading]})"


def _paragraph(document: Document, rng: random.Random) -> str:
    count = min(rng.randint(*document.sentences), len(document.templates))
    return " ".join(_fill(template, document, rng, {}) for template in rng.sample(document.templates, count))


def _log(document: Document, log: Log, rng: random.Random) -> Iterator[str]:
    """Dated entries of a workshop, in order of date; kilometres of a bike only grow."""
    needles = {needle.day: needle for needle in document.needles}
    days = [log.start + timedelta(days=n) for n in range((log.end - log.start).days + 1)]
    days = [day for day in days if day.weekday() < 6]
    bikes = [f"TV{rng.choice('RTSLK')}{rng.choice((24, 25))}-{rng.randint(1000, 104999):06d}" for _ in range(log.bikes)]
    kilometres = {bike: rng.randint(40, 3000) for bike in bikes}
    words = 0
    for passed, day in enumerate(days, 1):
        if needle := needles.get(day):
            yield f"{needle.heading}\n{needle.text}"
        # As many entries a day as keep the words in step with the calendar.
        while words < document.words * passed / len(days):
            bike = rng.choice(bikes)
            kilometres[bike] += rng.randint(15, 420)
            case = rng.randrange(min(len(document.lists[name]) for name in document.linked))
            linked = dict.fromkeys(document.linked, case)
            text = " ".join(_fill(template, document, rng, linked) for template in document.templates)
            block = f"{day.isoformat()} · {bike} · {kilometres[bike]:,} km\n{text}"
            words += len(block.split())
            yield block


def _fill(template: str, document: Document, rng: random.Random, linked: dict[str, int]) -> str:
    """Fill `{who}` from the list "who"; `{Who}` starts with a capital; `{who2}` differs from `{who}`."""
    used: dict[str, set[str]] = {}

    def choose(match: re.Match[str]) -> str:
        name = match.group(1)
        options = document.lists[name.lower()]
        if name in linked:
            return options[linked[name]]
        taken = used.setdefault(name.lower(), set())
        word = rng.choice([option for option in options if option not in taken] or options)
        taken.add(word)
        return word[0].upper() + word[1:] if name[0].isupper() else word

    text = _SLOT.sub(choose, template)
    return text[0].upper() + text[1:]
