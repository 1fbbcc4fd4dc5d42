"""Placeholders in place of personal data: typed, numbered, the same for the same value within a record."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

PLACEHOLDER = re.compile(r"<([A-Z]{2,20})_([1-9][0-9]{0,5})>")
# Where findings overlap, the earlier kind keeps the letters they share. LEAK: what a lead's rule finds.
KINDS = (
    *("LEAK", "SECRET", "EMAIL", "IBAN", "CARD", "SSN", "IP", "MAC", "CRYPTO", "ADDRESS", "PHONE", "ACCOUNT", "ORDER"),
    *("ID", "BIRTHDATE", "PERSON"),
)
_RANK = {kind: rank for rank, kind in enumerate(KINDS)}
_TITLES = """
    mr mrs ms miss mx dr prof professor sir madam herr frau monsieur madame mme mlle señor señora sr sra dhr mevr
"""
TITLES = frozenset(_TITLES.split())
_LETTERS = re.compile(r"[^\W\d_]+", re.UNICODE)
_NOT_ALNUM = re.compile(r"[\W_]+", re.UNICODE)


class Finding(NamedTuple):
    """Personal data from `start` up to `end` (code points), of one of `KINDS`."""

    start: int
    end: int
    kind: str


def settle(text: str, findings: Iterable[Finding]) -> list[Finding]:
    """Findings in order, without overlap, edges without white space; no letter that was found is lost.

    Placeholders that stand in the text already are never part of a finding.
    """
    taken: list[tuple[int, int]] = [match.span() for match in PLACEHOLDER.finditer(text)]
    settled: list[Finding] = []
    for found in sorted(findings, key=lambda each: (_RANK[each.kind], each.start - each.end, each.start)):
        for start, end in _free(found.start, found.end, taken):
            while start < end and not _worth(text[start]):
                start += 1
            while start < end and text[end - 1].isspace():
                end -= 1
            if any(letter.isalnum() for letter in text[start:end]):
                settled.append(Finding(start, end, found.kind))
                taken.append((start, end))
    return sorted(settled)


def _worth(letter: str) -> bool:
    return not (letter.isspace() or letter in ",;:")


def _free(start: int, end: int, taken: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of a stretch is not taken yet."""
    parts = [(start, end)]
    for low, high in taken:
        if low < end and start < high:
            cut = [(left, min(right, low)) for left, right in parts] + [
                (max(left, high), right) for left, right in parts
            ]
            parts = [(left, right) for left, right in dict.fromkeys(cut) if left < right]
    return parts


class Placeholders:
    """The placeholders of one record. Numbers go on from those that its texts hold already."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._last: Counter[str] = Counter()
        for text in texts:
            if "<" in text:
                for match in PLACEHOLDER.finditer(text):
                    self._last[match.group(1)] = max(self._last[match.group(1)], int(match.group(2)))
        self._by_value: dict[tuple[str, str], str] = {}
        self._people: list[tuple[frozenset[str], str]] = []
        self.values: dict[str, set[str]] = {}

    def name(self, found: Sequence[tuple[str, str]]) -> None:
        """Give each value of (kind, value), in order of appearance, its placeholder.

        "Anna Schmidt", "Anna" and "Ms Schmidt" are one person where only one person of the record has that name.
        """
        for kind, value in found:
            self.values.setdefault(kind, set()).add(value)
        people = list(dict.fromkeys(value for kind, value in found if kind == "PERSON"))
        homes = self._homes(people)
        for kind, value in found:
            if (kind, value) in self._by_value:
                continue
            normal = (kind, normalised(kind, value))
            if kind == "PERSON":
                home = homes.get(value, name_tokens(value))
                known = next((each for tokens, each in self._people if tokens == home), None)
                if known is None:
                    known = self._next(kind)
                    self._people.append((home, known))
                self._by_value[kind, value] = known
            else:
                same = self._by_value.get(normal) or self._next(kind)
                self._by_value[normal] = self._by_value[kind, value] = same

    def _homes(self, people: Sequence[str]) -> dict[str, frozenset[str]]:
        """Of each name the fullest name that it may be short for."""
        full = [tokens for tokens, _ in self._people]
        homes: dict[str, frozenset[str]] = {}
        for value in sorted(people, key=lambda each: -len(name_tokens(each))):
            tokens = name_tokens(value)
            fitting = [each for each in full if _short_for(tokens, each)]
            home = fitting[0] if len(fitting) == 1 or (fitting and fitting[0] == tokens) else tokens
            homes[value] = home
            if home not in full:
                full.append(home)
        return homes

    def _next(self, kind: str) -> str:
        self._last[kind] += 1
        return f"<{kind}_{self._last[kind]}>"

    def placeholder(self, kind: str, value: str) -> str:
        """The placeholder of a value that was given to `name`."""
        return self._by_value[kind, value]

    def apply(self, text: str, findings: Sequence[Finding]) -> str:
        """The text with every settled finding replaced; each value was given to `name` before."""
        parts: list[str] = []
        last = 0
        for found in findings:
            parts += [text[last : found.start], self._by_value[found.kind, text[found.start : found.end]]]
            last = found.end
        return "".join([*parts, text[last:]])


def name_tokens(name: str) -> frozenset[str]:
    """The words of a name that tell people apart: no titles, no case."""
    words = [word.casefold() for word in _LETTERS.findall(name)]
    return frozenset(word for word in words if word not in TITLES) or frozenset(words)


def _short_for(tokens: frozenset[str], full: frozenset[str]) -> bool:
    """Every word is one of the full name's, or the initial of one."""
    return all(word in full or (len(word) == 1 and any(each.startswith(word) for each in full)) for word in tokens)


def normalised(kind: str, value: str) -> str:
    """Equal for the ways in which one value is written."""
    if kind in ("CARD", "IBAN", "SSN", "ACCOUNT", "ORDER", "ID", "MAC"):
        return _NOT_ALNUM.sub("", value).upper()
    if kind == "PHONE":
        digits = "".join(letter for letter in value if letter.isdigit())
        return digits.lstrip("0")[-9:]
    return " ".join(value.casefold().split())
