"""Finds personal data in texts and puts typed placeholders in its place.

Covered, with the kind of placeholder:

- PERSON: names that spaCy's small English model sees, given and family names of the lists of some seventy countries,
  what follows greetings, titles, self-introductions and "name:" in any case, signatures; other spellings of a name that
  the record holds in full.
- EMAIL, PHONE (international and national forms of 36 regions, short numbers after "call", "phone" and the like),
  ADDRESS (streets of English and some twenty other languages, boxes, units, with the city and postcode beside them),
  CARD (Luhn, or any long number after "card"), IBAN (checksum, or after "IBAN"), SSN, IP (v4 and v6), MAC, CRYPTO,
  BIRTHDATE (only where the text says so), ID (passports and national numbers with a checksum or a word before them).
- SECRET: keys of known providers, tokens, private keys, passwords after a word that names them, logins in an address,
  and long random strings. ACCOUNT and ORDER: numbers after a word that names them, or of a known form.
- LEAK: what a lead marked as leaked before.

Not covered: names in scripts without capitals, and lower-case names outside of self-introductions; names that are
common words ("Will", "Rose") where nothing around them tells; a town, country, employer, age or date by itself; numbers
without a word or form that gives them away; nicknames; what several harmless facts give away together; text in pictures
and files. Names of tools, JSON keys, ids of tool calls and the structure of tools stand as they are.

Everything is found without a network. `Stripper` is for one thread of one process; it holds no text between calls.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import regex

from review.adapters import pii_address, pii_patterns
from review.adapters.pii_names import ORDINARY, Names
from review.adapters.pii_rules import word_digest, words_of
from review.domain import identity
from review.domain.redaction import PLACEHOLDER, Finding, Placeholders, settle

_ROUNDS = 6
# Seconds that a lead's expression may take for one text.
_PATIENCE = 5.0
# Keys whose values say what a part of a record is, not what somebody said.
_STRUCTURE = frozenset({"role", "type", "id", "tool_call_id", "finish_reason", "model", "usage", "object", "mime_type"})
_SCHEMA = frozenset({"name", "type", "required", "format", "pattern", "$ref", "enum", "const", "title"})
_MANY_DIGITS = 7
# Values of `metadata` by which support finds a trace again: kept as keyed hashes, of the kinds that traces have too.
_IDS = {
    **dict.fromkeys(("ticket", "ticket_id", "ticket_number", "case", "case_id", "issue"), "ticket"),
    **dict.fromkeys(("customer", "customer_id", "user", "user_id", "client_id", "account_id", "end_user"), "customer"),
    **dict.fromkeys(
        ("conversation", "conversation_id", "session", "session_id", "thread", "thread_id"), "conversation"
    ),
}


class Rules(NamedTuple):
    """What leads added: keyed hashes of leaked words (by their number of words), and expressions for structures."""

    words: frozenset[tuple[int, str]] = frozenset()
    patterns: tuple[str, ...] = ()


@dataclass
class _Leaf:
    """One text of a record and where it stands. `kind`: its field says that all of it is of this kind."""

    home: Any
    place: Any
    text: str
    kind: str | None = None
    # A short value of a document, in which a model would see names everywhere.
    bare: bool = False
    changed: bool = False


@dataclass
class _Record:
    leaves: list[_Leaf] = field(default_factory=list[_Leaf])
    # Documents inside of texts, innermost first: where the text stands, and the document.
    inner: list[tuple[Any, Any, Any]] = field(default_factory=list[tuple[Any, Any, Any]])
    counts: Counter[str] = field(default_factory=Counter[str])
    names: Placeholders | None = None
    searched: frozenset[str] = frozenset()


@functools.cache
def _names() -> Names:
    """Loaded once a process, whatever rules there are. Presidio's recognisers come along: they import spaCy too."""
    names = Names()
    pii_patterns.presidio()
    return names


class Stripper:
    """Strips records. Made once a process; loading takes some seconds."""

    def __init__(self, key: bytes = b"", rules: Rules | None = None) -> None:
        self._names = _names()
        self._key, self._rules = key, rules or Rules()
        self._sizes = sorted({size for size, _ in self._rules.words}, reverse=True)
        self._expressions = [regex.compile(each) for each in self._rules.patterns]

    def find(self, texts: Sequence[str]) -> list[list[Finding]]:
        """Personal data of each text by itself, settled."""
        settled: list[list[Finding]] = []
        for text, found in zip(texts, self._find(texts, {}), strict=True):
            names = Placeholders([text])
            names.name([(each.kind, text[each.start : each.end]) for each in settle(text, found)])
            settled.append(settle(text, [*found, *_repeated(text, _known_values(names), names)]))
        return settled

    def strip(self, records: Sequence[Mapping[str, Any]]) -> list[tuple[dict[str, Any], dict[str, int]]]:
        """Each record stripped, with counts of what was replaced, by kind.

        A record is a mapping of names to JSON values (a text, messages, an output, metadata, tools). One value has one
        placeholder in the whole record. Stripping what is stripped changes nothing.
        """
        prepared: list[_Record] = []
        stripped: list[dict[str, Any]] = []
        for each in records:
            copy: dict[str, Any] = json.loads(json.dumps(each))
            record = _Record()
            hidden = [each for name in ("metadata", "parameters") for each in _hide_ids(copy.get(name), self._key)]
            for name in copy:
                _walk(record, copy, name, tools=name == "tools", document=name in ("metadata", "parameters"))
            record.names = Placeholders(leaf.text for leaf in record.leaves)
            # Where else an id stands, a placeholder takes its place.
            record.names.name([("ACCOUNT", value) for value in hidden if any(map(str.isdigit, value))])
            record.counts.update(["ACCOUNT"] * len(hidden))
            prepared.append(record)
            stripped.append(copy)
        self._settle_all(prepared)
        for record in prepared:
            _put_back(record)
        return [(copy, dict(sorted(record.counts.items()))) for copy, record in zip(stripped, prepared, strict=True)]

    def _settle_all(self, records: Sequence[_Record]) -> None:
        """Replace until nothing more is found, so that a second time finds nothing either."""
        parsed: dict[str, list[Finding]] = {}
        open_leaves = [[leaf for leaf in record.leaves if leaf.text] for record in records]
        for _ in range(_ROUNDS):
            texts = list(
                dict.fromkeys(leaf.text for leaves in open_leaves for leaf in leaves if not leaf.kind and not leaf.bare)
            )
            found = dict(zip(texts, self._find(texts, parsed), strict=True))
            changed = False
            for index, record in enumerate(records):
                open_leaves[index] = self._replace(record, open_leaves[index], found)
                changed = changed or bool(open_leaves[index])
            if not changed:
                return

    def _replace(self, record: _Record, leaves: Sequence[_Leaf], found: Mapping[str, list[Finding]]) -> list[_Leaf]:
        """Replace what was found in the leaves, and the same values in all others; returns what to look at again."""
        names = cast(Placeholders, record.names)
        own = {id(leaf): self._of_leaf(leaf, found) for leaf in leaves}
        for leaf in leaves:
            names.name([(each.kind, leaf.text[each.start : each.end]) for each in settle(leaf.text, own[id(leaf)])])
        known = _known_values(names)
        again = known.pattern if known else ""
        everywhere = record.leaves if again not in record.searched else leaves
        record.searched = frozenset({again})
        rest: list[_Leaf] = []
        for leaf in everywhere:
            findings = settle(leaf.text, [*own.get(id(leaf), ()), *_repeated(leaf.text, known, names)])
            if findings:
                values = [(each.kind, leaf.text[each.start : each.end]) for each in findings]
                names.name(values)
                leaf.text = names.apply(leaf.text, findings)
                leaf.changed = True
                record.counts.update(kind for kind, _ in values)
                rest.append(leaf)
        return rest

    def _of_leaf(self, leaf: _Leaf, found: Mapping[str, list[Finding]]) -> list[Finding]:
        if leaf.kind and (leaf.kind != "NAME" or self._names.is_name(leaf.text)):
            kind = "PERSON" if leaf.kind == "NAME" else leaf.kind
            return [] if PLACEHOLDER.search(leaf.text) else [Finding(0, len(leaf.text), kind)]
        if leaf.kind or leaf.bare:
            return self._without_model(leaf.text)
        return found[leaf.text]

    def _find(self, texts: Sequence[str], parsed: dict[str, list[Finding]]) -> list[list[Finding]]:
        """What is found in each text; `parsed` keeps the model's answers by segment."""
        pieces = [list(self._names.segments(text)) for text in texts]
        wanted = {
            piece for each in pieces for _, piece in each if piece not in parsed and self._names.worth_parsing(piece)
        }
        ordered = sorted(wanted, key=len)
        parsed.update(zip(ordered, self._names.parse(ordered), strict=True))
        return [
            [
                *self._without_model(text),
                *(
                    Finding(start + each.start, start + each.end, each.kind)
                    for start, piece in mine
                    for each in parsed.get(piece, ())
                ),
            ]
            for text, mine in zip(texts, pieces, strict=True)
        ]

    def _without_model(self, text: str) -> list[Finding]:
        return [*pii_patterns.find(text), *pii_address.find(text), *self._names.cued(text), *self._by_rules(text)]

    def _by_rules(self, text: str) -> Iterator[Finding]:
        for expression in self._expressions:
            for match in expression.finditer(text, timeout=_PATIENCE):
                yield Finding(*match.span(), "LEAK")
        if not self._sizes:
            return
        words = words_of(text)
        folded = [word.group().casefold() for word in words]
        for size in self._sizes:
            for start in range(len(words) - size + 1):
                if (size, word_digest(self._key, folded[start : start + size])) in self._rules.words:
                    yield Finding(words[start].start(), words[start + size - 1].end(), "LEAK")


# What a field's name says about its value, as a whole word of the name.
_HINTS: tuple[tuple[str, str], ...] = (
    (
        "PERSON",
        r"(?:first|last|full|given|family|middle|sur|maiden|legal|customer|client|passenger|guest|patient|contact"
        r"|recipient|sender|holder|card_?holder|account_?holder|display|real|employee|agent|owner|beneficiary"
        r"|emergency_contact)_?name|firstname|lastname|fullname|surname|cardholder",
    ),
    ("EMAIL", r"e_?mail(?:_?address)?"),
    ("PHONE", r"(?:phone|telephone|mobile|cell|fax|tel)(?:_?(?:number|no))?|msisdn"),
    (
        "ADDRESS",
        r"(?:street|home|mailing|postal|billing|shipping|delivery)?_?address(?:_?line)?_?\d?|street(?:_?name)?"
        r"|address[12]|zip(?:_?code)?|post_?code|postal_?code",
    ),
    ("BIRTHDATE", r"dob|(?:date_?of_?birth|birth_?date|birthday)"),
    ("SSN", r"ssn|social_?security(?:_?number)?"),
    ("CARD", r"(?:credit_?|debit_?)?card_?(?:number|no)|pan"),
    ("IBAN", r"iban"),
    ("IP", r"(?:client_?|remote_?|user_?)?ip(?:_?address|_?addr)?"),
    (
        "SECRET",
        r"pass(?:word|wd|phrase|code)?|pwd|secret|api_?key|access_?key|(?:access|auth|refresh|id|session"
        r"|bearer)_?token|token|client_?secret|private_?key|authorization|cvv2?|cvc2?|pin(?:_?code)?|otp|cookie",
    ),
    (
        "ACCOUNT",
        r"(?:account|acct|customer|client|member(?:ship)?|user|policy|loyalty|patient|employee|frequent_?flyer"
        r"|subscriber|contract|profile|ticket|case|conversation)_?(?:id|number|no|num|nr|ref)|user_?name|login"
        r"|account|ticket",
    ),
    (
        "ORDER",
        r"(?:order|invoice|booking|reservation|confirmation|tracking|shipment|transaction|payment|refund|purchase"
        r"|return|receipt|rma)_?(?:id|number|no|num|nr|code|ref(?:erence)?)",
    ),
    (
        "ID",
        r"passport(?:_?(?:id|number|no))?|(?:driver_?)?licen[sc]e_?(?:number|no)|national_?id|tax_?id|vat_?(?:id"
        r"|number)",
    ),
    (
        "NAME",
        r"name|customer|client|passenger|recipient|sender|author|assignee|contact|agent|owner|user|guest|employee"
        r"|manager",
    ),
)
_HINT = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _HINTS))


@functools.lru_cache(maxsize=4096)
def _hint(field_name: str) -> str | None:
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field_name).replace("-", "_").replace(" ", "_").casefold()
    match = _HINT.fullmatch(plain)
    return match.lastgroup if match else None


def _hide_ids(metadata: Any, key: bytes) -> list[str]:
    """Puts keyed hashes for the ids at the top of the metadata; returns the ids."""
    hidden: list[str] = []
    for name, value in list(cast("dict[str, Any]", metadata).items()) if isinstance(metadata, dict) else ():
        kind = _IDS.get(name.casefold().replace("-", "_"))
        plain = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
        if kind and 0 < len(plain) <= 200 and not identity.PSEUDONYM.fullmatch(plain):
            metadata[name] = identity.pseudonym(key, kind, plain)
            hidden.append(plain)
    return hidden


def _walk(record: _Record, home: Any, place: Any, *, tools: bool, document: bool, hint: str | None = None) -> None:
    """Collect the texts at `home[place]`. `document`: inside of JSON whose keys say what its values are."""
    value = home[place]
    if isinstance(value, dict):
        for key in list(cast("dict[str, Any]", value)):
            if not document and (key in _STRUCTURE or (key == "name" and "arguments" in value)):
                continue
            if tools and key in _SCHEMA and not isinstance(value[key], dict):
                continue
            inside = document or key in ("arguments", "outcomes", "parameters", "input")
            _walk(record, value, key, tools=tools, document=inside, hint=_hint(key) if document else None)
    elif isinstance(value, list):
        for index in range(len(cast("list[Any]", value))):
            _walk(record, value, index, tools=tools, document=document, hint=hint)
    elif isinstance(value, str):
        _walk_text(record, home, place, value, tools=tools, document=document, hint=hint)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        text = repr(value)
        if document and (
            hint in ("PHONE", "CARD", "SSN", "ACCOUNT", "ORDER", "ID", "SECRET", "BIRTHDATE", "ADDRESS")
            or _long_number(text)
        ):
            record.leaves.append(_Leaf(home, place, text, hint if hint != "NAME" else None, bare=True))


def _long_number(text: str) -> bool:
    return len(text) >= _MANY_DIGITS and text.isdigit()


def _walk_text(
    record: _Record, home: Any, place: Any, text: str, *, tools: bool, document: bool, hint: str | None
) -> None:
    if identity.PSEUDONYM.fullmatch(text):
        return
    if text[:1] in ("{", "[") and (inner := _parsed(text)) is not None:
        box = [inner]
        _walk(record, box, 0, tools=False, document=True)
        record.inner.append((home, place, box))
        return
    if hint and (len(text) > 200 or "\n" in text) and hint != "SECRET":
        hint = None
    record.leaves.append(_Leaf(home, place, text, hint, bare=tools or (document and len(text.split()) <= 3)))


def _parsed(text: str) -> Any:
    """The document that a text is, if it is one and can be written again without loss."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return cast(Any, value) if isinstance(value, dict | list) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice")
    return document


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _put_back(record: _Record) -> None:
    """Write changed texts into the record; documents inside of texts are written again only if something changed."""
    for leaf in record.leaves:
        if leaf.changed:
            leaf.home[leaf.place] = leaf.text
    for home, place, box in record.inner:
        if json.loads(home[place]) != box[0]:
            home[place] = json.dumps(box[0], ensure_ascii=False)


def _known_values(names: Placeholders) -> re.Pattern[str] | None:
    """What finds the values of a record wherever else they stand."""
    wholes: set[str] = set()
    for kind, values in names.values.items():
        for value in values:
            if (
                len(value) >= 4
                and (kind != "PERSON" or " " in value)
                and (kind == "PERSON" or any(map(str.isdigit, value)) or kind == "SECRET")
            ):
                wholes.add(re.escape(value))
    single = {re.escape(part) for value in names.values.get("PERSON", ()) for part in _parts(value)}
    if not wholes and not single:
        return None
    options = [rf"(?P<whole>(?i:{'|'.join(sorted(wholes, key=lambda each: (-len(each), each)))}))"] if wholes else []
    options += [rf"(?P<part>{'|'.join(sorted(single, key=lambda each: (-len(each), each)))})"] if single else []
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(options)})(?![^\W_])")


def _parts(name: str) -> Iterable[str]:
    """The parts of a name by which people are called: capitalised, three letters and more, no common word."""
    for word in re.findall(r"[^\W\d_]{3,}", name):
        if word[0].isupper() and word.casefold() not in ORDINARY:
            yield word


def _repeated(text: str, known: re.Pattern[str] | None, names: Placeholders) -> Iterator[Finding]:
    if known is None:
        return
    for match in known.finditer(text):
        if match.lastgroup == "part":
            yield Finding(*match.span(), "PERSON")
        else:
            yield Finding(*match.span(), _kind_of(match.group(), names))


def _kind_of(value: str, names: Placeholders) -> str:
    folded = value.casefold()
    return next(kind for kind, values in names.values.items() if any(each.casefold() == folded for each in values))
