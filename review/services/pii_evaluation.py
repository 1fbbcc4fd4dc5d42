"""How well personal data is found: recall and precision by kind, on sentences whose personal data somebody marked.

A marked stretch is fully covered when every letter and digit of it would be replaced, by whatever placeholders: what
stays readable is a leak, what kind it was called is not. Precision is the share of replaced characters (without white
space) that lie in a marked stretch of a kind that is aimed at; the places and postcodes of an address count as right.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from review.domain.redaction import Finding
from review.errors import BadInput
from review.stats.estimate import NotEstimable, Result
from review.stats.intervals import wilson

# What markings are called elsewhere, and our kinds.
AIMED = {
    "PERSON": "PERSON",
    "STREET_ADDRESS": "ADDRESS",
    "ADDRESS": "ADDRESS",
    "ZIP_CODE": "ADDRESS",
    "PHONE_NUMBER": "PHONE",
    "EMAIL_ADDRESS": "EMAIL",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP",
    "US_SSN": "SSN",
    "DATE_OF_BIRTH": "BIRTHDATE",
    **{kind: kind for kind in ("PHONE", "EMAIL", "CARD", "IBAN", "IP", "SSN", "SECRET", "ACCOUNT", "ORDER", "ID")},
}
# Not looked for by itself, right where an address has it.
_PLACES = frozenset({"GPE", "LOCATION", "LOC"})
_BATCH = 200
_LEVEL = 0.95


class Span(NamedTuple):
    """A marked stretch, in code points."""

    start: int
    end: int
    kind: str


class Sentence(NamedTuple):
    """A text with what is personal in it; `template` tells sentences apart that were made from one pattern."""

    text: str
    spans: tuple[Span, ...]
    template: str | None


@dataclass(frozen=True)
class Kind:
    """One kind of marked data.

    Attributes:
        covered: share of its stretches of which nothing stays readable, with Wilson's interval.
        characters: share of its letters and digits that are replaced.
        precision: share of the characters replaced as this kind that are right; None where none was replaced so.
    """

    kind: str
    stretches: int
    covered: Result
    characters: float
    precision: float | None


@dataclass(frozen=True)
class Evaluation:
    """What was found in a file. `precision` over all kinds; `passed_over`: marked kinds that are not aimed at."""

    sentences: int
    characters: int
    seconds: float
    precision: Result
    kinds: tuple[Kind, ...]
    passed_over: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "sentences": self.sentences,
            "characters": self.characters,
            "kilobytes_per_second": round(self.characters / 1000 / self.seconds, 1) if self.seconds else None,
            "precision": result_of(self.precision),
            "kinds": {
                each.kind: {
                    "stretches": each.stretches,
                    "covered": result_of(each.covered),
                    "characters": each.characters,
                    "precision": each.precision,
                }
                for each in self.kinds
            },
            "not_aimed_at": self.passed_over,
        }


def result_of(result: Result) -> dict[str, Any]:
    """A result as JSON values."""
    if isinstance(result, NotEstimable):
        return {"not_estimable": result.reason}
    return {"value": result.value, "low": result.low, "high": result.high}


class Finder(Protocol):
    """What finds personal data: adapters.pii.Stripper."""

    def find(self, texts: Sequence[str]) -> list[list[Finding]]: ...


def read(path: Path, half: str | None = None) -> list[Sentence]:
    """Sentences of JSONL: full_text, spans of entity_type, start_position, end_position; template_id if there is one.

    Args:
        path: the file.
        half: "even" or "odd" templates only, to look at one half and measure on the other.

    Raises:
        BadInput: the file is missing or a line is not of that form.
    """
    sentences: list[Sentence] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path}: cannot be read ({type(error).__name__}). Name a JSONL file of marked sentences."
        ) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            sentences.append(_sentence(line, f"{path} line {number}"))
    if half is not None:
        rest = 0 if half == "even" else 1
        sentences = [
            each for each in sentences if (each.template or "").isdigit() and int(each.template or 0) % 2 == rest
        ]
    if not sentences:
        raise BadInput(f"{path}: holds no sentences{' of that half' if half else ''}.")
    return sentences


def _sentence(line: str, place: str) -> Sentence:
    try:
        document: Any = json.loads(line)
        text = document["full_text"]
        spans = tuple(
            Span(int(each["start_position"]), int(each["end_position"]), str(each["entity_type"]))
            for each in document["spans"]
        )
        template = document.get("template_id")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = "a line holds full_text and spans of entity_type, start_position and end_position"
        raise BadInput(f"{place}: is not of the form ({type(error).__name__}): {reason}.") from error
    if not isinstance(text, str) or any(not 0 <= each.start <= each.end <= len(text) for each in spans):
        raise BadInput(f"{place}: full_text is no text, or a span lies outside of it.")
    return Sentence(text, spans, None if template is None else str(template))


def evaluate(
    sentences: Sequence[Sentence],
    finder: Finder,
    clock: Callable[[], float],
    watch: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Find personal data in each sentence and compare with its markings.

    Args:
        sentences: at least one.
        finder: finds.
        clock: seconds, for the throughput.
        watch: told sentences done and in all.
    """
    totals, covered = Counter[str](), Counter[str]()
    letters, hidden = Counter[str](), Counter[str]()
    replaced, right = Counter[str](), Counter[str]()
    passed_over: defaultdict[str, int] = defaultdict(int)
    started = clock()
    for done, (sentence, findings) in enumerate(_found(sentences, finder), 1):
        text = sentence.text
        found = {place for each in findings for place in range(each.start, each.end)}
        good: set[int] = set()
        for span in sentence.spans:
            kind = AIMED.get(span.kind)
            if kind or span.kind in _PLACES:
                good.update(range(span.start, span.end))
            if kind is None:
                passed_over[span.kind] += 1
                continue
            places = [place for place in range(span.start, span.end) if text[place].isalnum()]
            seen = sum(place in found for place in places)
            totals[kind] += 1
            covered[kind] += seen == len(places)
            letters[kind] += len(places)
            hidden[kind] += seen
        for each in findings:
            places = [place for place in range(each.start, each.end) if not text[place].isspace()]
            replaced[each.kind] += len(places)
            right[each.kind] += sum(place in good for place in places)
        if watch is not None:
            watch(done, len(sentences))
    kinds = tuple(
        Kind(
            kind,
            totals[kind],
            wilson(covered[kind], totals[kind], _LEVEL),
            hidden[kind] / letters[kind] if letters[kind] else 1.0,
            right[kind] / replaced[kind] if replaced[kind] else None,
        )
        for kind in sorted(totals)
    )
    return Evaluation(
        len(sentences),
        sum(len(each.text) for each in sentences),
        clock() - started,
        wilson(right.total(), replaced.total(), _LEVEL),
        kinds,
        dict(sorted(passed_over.items())),
    )


def _found(sentences: Sequence[Sentence], finder: Finder) -> Iterator[tuple[Sentence, list[Finding]]]:
    for start in range(0, len(sentences), _BATCH):
        some = sentences[start : start + _BATCH]
        yield from zip(some, finder.find([each.text for each in some]), strict=True)


def stripper() -> Finder:
    """The stripper as it comes, without a workspace's rules."""
    from review.adapters.pii import Stripper

    return cast(Finder, Stripper())
