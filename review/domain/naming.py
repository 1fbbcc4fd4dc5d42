"""Names of clusters: the terms that set one apart from the others, by class-based TF-IDF."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from review.domain.redaction import PLACEHOLDER

# Letters only: numbers and codes name a customer's case, not an intent.
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SHORTEST, _LONGEST = 3, 30
_IN_NAME = 3
_TERMS = 8

_SAID_OFTEN = """
    a about above actually after again against ain all also already always am an and another any anybody anyone
    anything are aren around as ask asking at back be because been before being below between both but by bye
    can cannot could couldn couldnt d did didn do does doesn doing don dont done down during each either else
    ever every everyone everything few find first for from further get gets getting give gives go goes going
    gonna got great had hadn has hasn have haven having he hello help helping her here hers herself hey hi him
    himself his how however i i'd i'll i'm i've if im in instead into is isn it its itself ive just kind know
    last least let lets like likely ll look looking lot make makes many may maybe me mean might mine more most
    much must my myself need needed needing needs neither never new next no nor not nothing now of off okay on
    once one only onto or other others our ours ourselves out over own please possible pretty quite rather re
    really right s said same say see several shall shan she should shouldn show since so some somebody someone
    something soon still such sure t take tell tells than thank thanks that the their theirs them themselves
    then there these they thing things think this those though through to today together told too toward trying
    try two under unless until up upon us use using ve very via wanna want wanted wants was wasn way we well
    were weren what whatever when where whether which while who whom whose why will with within without won
    wonder wondering would wouldn yeah yes yet you your yours yourself yourselves
"""
_STOP_WORDS = frozenset(_SAID_OFTEN.split())


def terms_of(text: str) -> Iterator[str]:
    """The words of a text that could name it, and pairs of such words that follow each other."""
    before: str | None = None
    for found in _WORD.finditer(PLACEHOLDER.sub(" . ", text)):
        word = found[0].lower().replace("’", "'").removesuffix("'s")
        if not _SHORTEST <= len(word) <= _LONGEST or word.replace("'", "") in _STOP_WORDS:
            before = None
            continue
        yield word
        if before is not None and before != word:
            yield f"{before} {word}"
        before = word


def distinctive(clusters: Sequence[Sequence[str]], background: Sequence[str] = ()) -> list[list[str]]:
    """The terms of each cluster that set it apart, most distinctive first, at most eight.

    A term stands in two texts of its cluster at least, and in one in fifty, so that one customer's name is none.

    Args:
        clusters: the texts of each.
        background: texts of other clusters, against which new ones are named.

    Source: Grootendorst 2022, arXiv:2203.05794, eq. 2; counting texts, not occurrences.
    """
    counts = [Counter(term for text in texts for term in set(terms_of(text))) for texts in clusters]
    everywhere: Counter[str] = Counter(term for text in background for term in set(terms_of(text)))
    for each in counts:
        everywhere.update(each)
    average = sum(everywhere.values()) / max(len(clusters) + bool(background), 1)
    found: list[list[str]] = []
    for texts, count in zip(clusters, counts, strict=True):
        least = max(min(2, len(texts)), len(texts) / 50)
        weights = {
            term: number * math.log1p(average / everywhere[term]) * (1.2 if " " in term else 1.0)
            for term, number in count.items()
            if number >= least
        }
        found.append(_apart(sorted(weights, key=lambda term: (-weights[term], term))))
    return found


def names(terms: Sequence[Sequence[str]], taken: Collection[str] = ()) -> list[str]:
    """One name for each cluster, no two alike: its first terms; with a number where terms do not tell them apart."""
    used, given = set(taken), list[str]()
    for each in terms:
        name = " · ".join(each[:_IN_NAME]) or "unnamed"
        for more in range(_IN_NAME + 1, len(each) + 1):
            if name not in used:
                break
            name = " · ".join(each[:more])
        number, base = 2, name
        while name in used:
            name, number = f"{base} ({number})", number + 1
        used.add(name)
        given.append(name)
    return given


def _apart(ordered: Sequence[str]) -> list[str]:
    """The first terms of which none says again what an earlier one said."""
    chosen: list[str] = []
    for term in ordered:
        words = set(term.split())
        if any(words & set(earlier.split()) for earlier in chosen):
            continue
        chosen.append(term)
        if len(chosen) == _TERMS:
            break
    return chosen
