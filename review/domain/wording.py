"""Traits of an answer's wording that can be counted: length, hedges, apologies, address, formality. English only.

An answer is measured by its prose: code (fenced or inline), tool calls written into the text, JSON and addresses are
left out first. The counts are additive: an answer of several prose paragraphs has the sum of what they have alone.
Every pattern runs in linear time, so a text of several megabytes or one made to hurt costs no more than its length.

The word lists are our own and short on purpose: a list says what it counts. The ideas are from the literature: hedges
and boosters from Hyland 1998 (Hedging in Scientific Research Articles) and 2005 (Metadiscourse); apologies and direct
address as strategies of politeness from Brown & Levinson 1987 and Danescu-Niculescu-Mizil et al. 2013 (ACL);
contractions against linking adverbs as marks of an informal or formal register from Biber 1988 (Variation across Speech
and Writing) and Heylighen & Dewaele 2002 (Foundations of Science 7:293).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Scale = Literal["log", "root"]


@dataclass(frozen=True)
class Wording:
    """How often each thing occurs in the prose of one answer.

    Attributes:
        words: Runs of letters and digits, joined by inner apostrophes and hyphens.
        sentences: Ended by . ! ? or …, or by the end of a paragraph or list item; none without a word.
        hedges: Words and phrases that hold back from full commitment ("may", "probably", "as far as I know").
        boosters: Words and phrases that claim certainty ("certainly", "of course").
        apologies: "sorry", "apologies" and their forms.
        second_person: "you", "your" and their forms.
        contractions: "don't", "it's", "we'll".
        connectives: Formal linking words ("however", "therefore", "in accordance with").
        greetings: Paragraphs that open with a greeting.
        sign_offs: Lines that close a letter ("Kind regards").
        exclamations: Exclamation marks, several in a row counted once.
    """

    words: int = 0
    sentences: int = 0
    hedges: int = 0
    boosters: int = 0
    apologies: int = 0
    second_person: int = 0
    contractions: int = 0
    connectives: int = 0
    greetings: int = 0
    sign_offs: int = 0
    exclamations: int = 0

    def per_hundred_words(self, count: int) -> float:
        """A count as a rate per 100 words.

        Raises:
            ValueError: There are no words, so there is no rate.
        """
        if self.words == 0:
            raise ValueError("an answer without words has no rate per 100 words")
        return 100 * count / self.words


@dataclass(frozen=True)
class Trait:
    """One trait that is compared between old and new answers.

    Attributes:
        key: A stable name.
        name: For people.
        unit: What its value counts.
        scale: Where its differences are roughly symmetric: the logarithm for lengths, the root for rates.
        more, less: How an answer with a higher or lower value is described.
    """

    key: str
    name: str
    unit: str
    scale: Scale
    more: str
    less: str

    def value(self, wording: Wording) -> float:
        """The trait of an answer that has at least one word."""
        if self.key == "sentence_length":
            return wording.words / wording.sentences
        count = int(getattr(wording, self.key))
        return float(count) if self.scale == "log" else wording.per_hundred_words(count)


def _rate(key: str, name: str) -> Trait:
    return Trait(key, name, "per 100 words", "root", f"more {name.lower()}", f"fewer {name.lower()}")


TRAITS: tuple[Trait, ...] = (
    Trait("words", "Words", "words", "log", "more words", "fewer words"),
    Trait("sentences", "Sentences", "sentences", "log", "more sentences", "fewer sentences"),
    Trait("sentence_length", "Sentence length", "words a sentence", "log", "longer sentences", "shorter sentences"),
    _rate("hedges", "Hedges"),
    _rate("boosters", "Boosters"),
    _rate("apologies", "Apologies"),
    Trait("second_person", "Second person", "per 100 words", "root", "more “you”", "less “you”"),
    _rate("contractions", "Contractions"),
    _rate("connectives", "Formal connectives"),
    _rate("greetings", "Greetings"),
    _rate("sign_offs", "Sign-offs"),
    _rate("exclamations", "Exclamation marks"),
)


def measure(text: str) -> Wording:
    """Count the traits of one answer's text; never raises, whatever the text."""
    prose = prose_of(text)
    lowered = prose.lower()
    found = Counter[str](_WORD.findall(lowered))
    # A phrase may run over the end of a line, but not of a paragraph.
    flat = lowered.replace("\n", " ")
    lines = [line for line in map(str.strip, lowered.split("\n")) if line]
    return Wording(
        words=found.total(),
        sentences=_sentences(prose),
        # "May" with a capital is a month or asks leave; "could you" asks.
        hedges=_count(flat, found, HEDGES, _HEDGING) + (len(_MAY.findall(prose)) if "may" in found else 0),
        boosters=_count(flat, found, BOOSTERS, _BOOSTING),
        apologies=_sum(found, APOLOGIES),
        second_person=_sum(found, SECOND_PERSON),
        contractions=sum(count for word, count in found.items() if "'" in word and _CONTRACTED.fullmatch(word)),
        connectives=_count(flat, found, CONNECTIVES, _CONNECTING),
        greetings=len(_GREETING.findall("\n\n" + lowered)),
        sign_offs=sum(1 for line in lines if line[0] in _SIGN_OFF_STARTS and _SIGN_OFF.fullmatch(line)),
        exclamations=len(_EXCLAIMED.findall(prose)),
    )


def prose_of(text: str) -> str:
    """The text without code, tool calls, JSON and addresses; apostrophes straight, invisible marks gone."""
    if _is_json(text):
        return ""
    plain = text
    if not plain.isascii():
        plain = _INVISIBLE.sub("", plain).replace("’", "'").replace("ʼ", "'")
    if "\r" in plain:
        plain = plain.replace("\r\n", "\n").replace("\r", "\n")
    # Most answers have none of these, and looking for a character costs nothing.
    if "```" in plain or "~~~" in plain:
        plain = _without_fences(plain)
    if "<" in plain:
        plain = _without_calls(plain)
    if "`" in plain:
        plain = _INLINE_CODE.sub(" ", plain)
    if "@" in plain or "://" in plain or "www." in plain:
        plain = _ADDRESS.sub(" ", plain)
    # The number of a list item is no word, and its full stop ends no sentence.
    return _NUMBER.sub("-", plain)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HEDGES = _words(
    "might maybe perhaps possibly probably presumably apparently seemingly supposedly arguably likely unlikely "
    "seem seems seemed appears roughly approximately generally usually typically normally often sometimes "
    "occasionally potentially somewhat fairly uncertain unsure unclear estimated conceivably tentatively"
)
BOOSTERS = _words(
    "certainly definitely clearly obviously absolutely undoubtedly surely always never guaranteed undeniably "
    "unquestionably indeed evidently plainly completely totally entirely"
)
APOLOGIES = _words(
    "sorry apologise apologize apologises apologizes apologised apologized apologising apologizing apology "
    "apologies regret regrets regretted regrettably"
)
SECOND_PERSON = _words("you your yours yourself yourselves you're you'll you've you'd y'all")
CONNECTIVES = _words(
    "however therefore furthermore moreover consequently additionally nevertheless nonetheless thus hence "
    "accordingly regarding concerning pursuant whereas thereby hereby herein notwithstanding subsequently "
    "likewise conversely aforementioned"
)
HEDGE_PHRASES = (
    "could(?! you)",
    "i think",
    "i believe",
    "i guess",
    "i suppose",
    "i assume",
    "not sure",
    "not certain",
    "be sure that",
    "as far as i",
    "to my knowledge",
    "in my view",
    "in general",
    "in most cases",
    "it depends",
    "tend to",
    "tends to",
    "more or less",
    "kind of",
    "sort of",
    "appear to",
)
BOOSTER_PHRASES = ("of course", "no doubt", "without a doubt", "without doubt", "in fact", "for sure", "by all means")
CONNECTIVE_PHRASES = (
    "in addition",
    "in accordance with",
    "in order to",
    "in this regard",
    "with regard to",
    "with regards to",
    "with respect to",
    "as a result",
    "as a consequence",
    "due to the fact",
    "please note",
    "please be advised",
    "prior to",
)


_WORD = re.compile(r"[^\W_]++(?:['-][^\W_]++|(?<=[0-9])[.,:][0-9][^\W_]*+)*+")


def _phrases(phrases: Iterable[str]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Each phrase as whole words, behind its longest word: only where that occurs is the phrase looked for."""
    found: list[tuple[str, re.Pattern[str]]] = []
    for phrase in phrases:
        plain, _, unless = phrase.partition("(")
        longest = max(_WORD.findall(plain), key=len)
        # Literal first, so that the search is as quick as str.find; what must not stand before it is looked at last.
        found.append((longest, re.compile(rf"{plain}\b{'(' + unless if unless else ''}(?<!\w{plain})")))
    return tuple(found)


def _count(
    text: str, found: Counter[str], words: frozenset[str], phrases: tuple[tuple[str, re.Pattern[str]], ...]
) -> int:
    """How often the words and the phrases of one list occur."""
    return _sum(found, words) + sum(len(phrase.findall(text)) for key, phrase in phrases if key in found)


_HEDGING, _BOOSTING, _CONNECTING = _phrases(HEDGE_PHRASES), _phrases(BOOSTER_PHRASES), _phrases(CONNECTIVE_PHRASES)
_MAY = re.compile(r"\bmay\b")
_CONTRACTED = re.compile(
    r".+n't|.+'(?:re|ve|ll|m|d)|(?:it|that|there|here|what|who|where|when|how|why|let|he|she|everything|something)'s|'twas"
)
_EXCLAIMED = re.compile(r"!++")
_GREETING = re.compile(
    r"\n[ \t]*+\n[ \t]*+(?:hi|hello|hey|dear|greetings|welcome|good (?:morning|afternoon|evening|day))\b"
)
_SIGN_OFF = re.compile(
    r"(?:(?:with )?(?:kind|kindest|best|warm|warmest) (?:regards|wishes)|regards|best|cheers|all the best|take care"
    r"|(?:yours )?(?:sincerely|faithfully|truly)|sincerely yours|respectfully)[ \t]*+[,.!]?"
)
_SIGN_OFF_STARTS = frozenset("wkbractyfs")
# A sentence ends where something other than a small letter follows ("e.g. this" goes on), and not behind a title.
_END = re.compile(
    r"(?=[.!?…])(?<![.!?…])(?<!\b[Mm]r)(?<!\b[Mm]rs)(?<!\b[Mm]s)(?<!\b[Dd]r)(?<!\b[Pp]rof)(?<!\bvs)"
    r"(?<!\be\.g)(?<!\bi\.e)[.!?…]++[\"'”’)\]*_]*+(?=\s++[^a-z\s]|\s*+\Z)"
)
# Paragraphs, list items and headings each stand alone.
_BLOCK = re.compile(r"\n[ \t]*+\n\s*+|\n(?=[ \t]*+[-*+•#>|][ \t])")
_NUMBER = re.compile(r"^[ \t]*+[0-9]{1,3}[.)](?=[ \t])", re.MULTILINE)
_LETTER = re.compile(r"[^\W_]")
# Combining marks, soft hyphens, zero-width and direction marks: they part words or hide them.
_INVISIBLE = re.compile("[\u00ad\u0300-\u036f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]++")
_FENCE = re.compile(r"^[ ]{0,3}(`{3,}+|~{3,}+)", re.MULTILINE)
_INLINE_CODE = re.compile(r"`[^`\n]*+`")
_CALL = re.compile(r"<(/?)(?:tool_call|function_call|tool_use|function_calls)\b[^>\n]{0,200}>")
_ADDRESS = re.compile(r"\b(?:https?://|www\.)\S++|(?<![\w.+@-])[\w.+-]{1,64}+@[\w.-]{1,255}+")


def _sum(found: Counter[str], words: frozenset[str]) -> int:
    return sum(found[word] for word in words.intersection(found))


def _sentences(prose: str) -> int:
    """Sentences of all blocks; what stands between two ends counts when it has a word."""
    total = 0
    for block in _BLOCK.split(prose):
        total += sum(1 for part in _END.split(block) if _LETTER.search(part))
    return total


def _without_fences(text: str) -> str:
    """The text without fenced code; a fence that is never closed reaches to the end, as Markdown has it."""
    kept: list[str] = []
    start, opened = 0, ""
    for fence in _FENCE.finditer(text):
        mark = fence.group(1)
        if not opened:
            kept.append(text[start : fence.start()])
            opened = mark
        elif mark[0] == opened[0] and len(mark) >= len(opened):
            opened, start = "", fence.end()
    return "\n".join([*kept, text[start:]]) if not opened else "\n".join(kept)


def _without_calls(text: str) -> str:
    """The text without what stands between an opening and a closing tag of a tool call."""
    kept: list[str] = []
    start, depth = 0, 0
    for tag in _CALL.finditer(text):
        if tag.group(1):
            depth = max(0, depth - 1)
        else:
            if depth == 0:
                kept.append(text[start : tag.start()])
            depth += 1
        start = tag.end()
    return "\n".join([*kept, text[start:]]) if depth == 0 else "\n".join(kept)


def _is_json(text: str) -> bool:
    """Whether the whole text is a JSON object or array, as structured outputs are."""
    trimmed = text.strip()
    if not (trimmed[:1] in ("{", "[") and trimmed[-1:] in ("}", "]")):
        return False
    try:
        json.loads(trimmed)
    except (ValueError, RecursionError):
        return False
    return True
