"""What can be told by its form: Presidio's recognisers and our own for mail, phones, cards, keys, account numbers."""

from __future__ import annotations

import functools
import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import phonenumbers

from review.domain import identity
from review.domain.redaction import Finding

# Regions whose own way of writing a number is tried where no country code stands.
_REGIONS = (
    *("US", "GB", "DE", "FR", "IT", "ES", "NL", "BE", "CH", "AT", "SE", "NO", "DK", "FI", "PL", "CZ", "HU", "PT"),
    *("IE", "AU", "NZ", "IN", "IL", "BR", "MX", "ZA", "JP", "SG", "GR", "RO", "TR", "EE", "IS", "SI", "HR", "CY"),
)
_PHONE_CUE = re.compile(
    r"(?i)(?<![a-z])(?:phone|telephone|tel|mobile|cell|cellphone|fax|whatsapp|sms|text|call|calling|called|ring|dial"
    r"|reach"
    r"|contact|number|hotline|answering|voicemail|landline|handy|telefon|tél|registered|callback"
    r"|pager)(?![a-z])[^0-9\n]{0,40}"
    r"(?:\n[^0-9\n]{0,10})?$"
)
_PHONE_AFTER = re.compile(
    r"(?i)[ \t]*(?:is|was|are|as|\()?[ \t]*(?:my|the|his|her|our|your|their|a)?[ \t]*(?:new|old|own|direct|private"
    r"|work|home|other|only)?[ \t]*"
    r"(?:phone|mobile|cell|telephone|landline|number|fax|whatsapp|office|direct|desk|switchboard|home|work)\b"
    r"|[^.!?\n]{0,25}\b(?:picks? up|answer(?:s|ed|ing)?|voicemail|ringing|call(?:ed|ing)? (?:me|him|her|us|back)"
    r"|text(?:ed)? me|hung up)\b"
)
_NOT_PHONE_CUE = re.compile(
    r"(?i)(?:order|invoice|ticket|case|tracking|reference|ref|account|acct|booking|reservation|confirmation|version"
    r"|isbn|sku"
    r"|serial|zip|card|iban|amount|total|price|\$|€|£|usd|eur|id|#)[^0-9]{0,12}$"
)
_PHONE = re.compile(
    r"(?<![\w.,/:=@#&%-])(?<!\d[ \t])(?:\+|00|\()?\d(?:[ \t\u00a0().\-/\u2010-\u2013]{0,3}\d){5,16}"
    r"(?:[ ,]{0,2}(?:x|ext\.?|extension)[ .:]{0,2}\d{1,6})?(?![\w@%]|[-:/,.]\d)",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"^(?:(?:19|20)\d\d[-./ ][01]?\d[-./ ][0-3]?\d(?:[ T]\d{1,2})?|[0-3]?\d[-./ ][0-3]?\d[-./ ](?:19|20)?\d\d"
    r"|(?:19|20)\d\d\s?[-–/]\s?(?:19|20)\d\d)$"
)
_THOUSANDS = re.compile(r"^\d{1,3}(?:[ .]\d{3})+$")
_NORTH_AMERICAN = re.compile(r"^(?:\+?1[-. ]?)?(?:\(\d{3}\)|\d{3})[-. ]{1,2}\d{3}[-. ]\d{4}$")

# Groups of two to four digits, all parted in one way; of two groups only with a leading nought, or as 555-0123.
_LIKE_A_PHONE = re.compile(
    r"^(?:\(?0\d{1,4}\)?([ .\-/])\d{2,8}(?:[ .\-]\d{2,4}){0,4}|\(?\d{2,4}\)?([ .\-])\d{2,4}(?:\2\d{2,4}){1,4}"
    r"|\d{3}-\d{4})$"
)

_EMAIL = re.compile(
    r"[\w.+%'!#$&*=?^`{|}~-]{1,64}(?<![.'])@(?:[^\W_](?:[\w-]{0,62}\.)){1,8}[^\W\d_][\w-]{1,23}"
    r"|[\w.+%-]{1,64}\s?(?:\(at\)|\[at\]|\{at\}| at )\s?[\w-]{1,63}(?:\s?(?:\(dot\)|\[dot\]|\{dot\}"
    r"| dot )\s?[\w-]{2,63}){1,3}"
    r"|[\w.+%-]{1,64}\s?(?:\(at\)|\[at\]|\{at\})\s?[\w-]{1,63}(?:\.[\w-]{2,63}){1,3}",
    re.IGNORECASE,
)
_SPELT_AT = re.compile(r"(?i)[(\[{]at[)\]}]| at \S{1,63} dot ")
_EMAIL_PLAIN = re.compile(r"[\w.+%'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,5}")
_CARD = re.compile(r"(?<![\w.,+-])\d(?:[ \-]?\d){11,18}(?![\w]|[.,]\d)")
_CARD_CUE = re.compile(r"(?i)(?:card|visa|mastercard|amex|american express|cc|credit|debit)\b[^\n]{0,30}$")
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \-]?[A-Za-z0-9]{2,4}){2,8}(?:[ \-]?[A-Za-z0-9]{1,3})?(?![A-Za-z0-9])"
)
_IBAN_CUE = re.compile(r"(?i)iban[^\n]{0,20}$")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{0,4}|(?:\d{1,3}\.){3}\d{1,3})(?![\w:])")
_VERSION = re.compile(r"(?i)(?:version|v|release|build|section|chapter)[ .:]{0,2}$")
_SSN = re.compile(r"(?<![\w.-])\d{3}([- .])\d{2}\1\d{4}(?![\w]|[-.]\d)")
_SSN_CUED = re.compile(
    r"(?i)(?:\bssn\b|\bssns\b|social[ -]?security(?: number| no\.?| #)?|\bitin\b|tax(?:payer)? id)[^0-9\n]{0,25}"
    r"(\d{3}[- .]?\d{2}[- .]?\d{4})(?!\d)"
)
_BIRTH = re.compile(
    r"(?i)(?:\bdob\b|d\.o\.b\.?|date of birth|birth ?date|birthday|\bborn(?: on| in)?)[^0-9a-z\n]{0,6}(?:is|was|on|:"
    r"|=)?\s{0,2}"
    r"(\d{1,4}[-./ ]\d{1,2}[-./ ]\d{1,4}|\d{1,2}(?:st|nd|rd|th)?(?: of)? [A-Za-z]{3,9},? \d{4}"
    r"|[A-Za-z]{3,9} \d{1,2}(?:st|nd|rd|th)?,? \d{4})"
)
_URL_LOGIN = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://([^\s/@:\"'<>]{0,128}:[^\s/@\"'<>]{1,256})@", re.IGNORECASE)
_URL_SECRET = re.compile(
    r"(?i)[?&](?:access_?token|token|api_?key|key|sig|signature|secret|password|pwd|auth|code|session(?:id)?"
    r"|jwt)=([^\s&#\"'<>]{4,2048})"
)
_URL_PERSON = re.compile(r"(?i)[?&](?:email|mail|phone|user(?:name)?|name|customer)=([^\s&#\"'<>]{2,256})")
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]{0,10000}?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|$)"
    r"|(?<![A-Za-z0-9])(?:"
    r"sk-(?:ant-|proj-|or-|svcacct-|live-|test-)?[A-Za-z0-9_\-]{16,200}"
    r"|[sprk]k_(?:live|test)_[A-Za-z0-9]{10,200}|whsec_[A-Za-z0-9+/=]{16,100}"
    r"|gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255}|glpat-[A-Za-z0-9_\-]{16,64}"
    r"|(?:AKIA|ASIA|AGPA|AIDA|AROA|ABIA|ACCA)[A-Z0-9]{16}|AIza[A-Za-z0-9_\-]{30,45}|ya29\.[A-Za-z0-9_\-.]{20,300}"
    r"|GOCSPX-[A-Za-z0-9_\-]{20,40}|xox[abeoprs]-[A-Za-z0-9\-]{10,250}|xapp-[A-Za-z0-9\-]{10,250}"
    r"|hf_[A-Za-z0-9]{20,60}|npm_[A-Za-z0-9]{30,60}|pypi-[A-Za-z0-9_\-]{40,250}|dop_v1_[a-f0-9]{64}"
    r"|dckr_pat_[A-Za-z0-9_\-]{20,60}"
    r"|SG\.[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{16,64}|key-[a-f0-9]{32}|AC[a-f0-9]{32}|SK[a-f0-9]{32}"
    r"|sq0[a-z]{3}-[A-Za-z0-9_\-]{20,60}"
    r"|EAACEdEose0cBA[A-Za-z0-9]{10,200}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|lin_api_[A-Za-z0-9]{20,60}"
    r"|gsk_[A-Za-z0-9]{20,80}"
    r"|r8_[A-Za-z0-9]{20,60}|nvapi-[A-Za-z0-9_\-]{20,100}|pk\.eyJ[A-Za-z0-9_\-.]{20,200}"
    r"|lsv2_[a-z]{2}_[A-Za-z0-9_]{20,80}"
    r"|eyJ[A-Za-z0-9_\-]{8,4000}\.[A-Za-z0-9_\-]{8,8000}(?:\.[A-Za-z0-9_\-]{0,2000})?"
    r")(?![A-Za-z0-9])"
)
_SECRET_CUED = re.compile(
    r"(?i)(?:pass(?:word|phrase|wd|code)?|pwd|secret|api[ _-]?key|access[ _-]?key|auth(?:entication)?[ _-]?token"
    r"|token|bearer"
    r"|client[ _-]?secret|private[ _-]?key|credentials?|\bpin\b|one[- ]time code|otp|verification code|security code"
    r"|cvv2?|cvc2?|csc)"
    r"(?: (?:code|number|key|value|for [a-z ]{1,30}))?[\"']?(?:\s{0,2}(?:is|was|are|:|=|=>|:=)|\s)\s{0,2}(?:now "
    r"|set to )?[\"'`(]?"
    r"([^\s\"'`,;<>()]{3,4000})"
)
_ENTROPIC = re.compile(r"(?<![A-Za-z0-9+/=_\-.@])[A-Za-z0-9+/_\-]{24,512}={0,2}(?![A-Za-z0-9+/_\-])")
_UUID = re.compile(r"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$")
_ACCOUNT_WORDS = (
    r"(?:account|acct|a/c|acc|customer|client|member(?:ship)?|policy|loyalty|frequent[ -]flyer|subscriber|user"
    r"|patient|employee|student"
    r"|routing|sort[ -]?code|iban|bank[ -]?account|konto|kundennummer|contract|licen[sc]e|insurance|claim|meter|case"
    r"|ticket)"
)
_ORDER_WORDS = (
    r"(?:order|purchase(?: order)?|invoice|booking|reservation|confirmation|tracking|shipment|parcel|receipt"
    r"|transaction|payment"
    r"|reference|ref|return|rma|bestellung|bestellnummer|pnr|record locator|refund|delivery)"
)
_NUMBERED = (
    r"(?<![A-Za-z])(?:{words})(?:[ _-]?(?:number|numbers|no\.?|nr\.?|num\.?|id|code|reference|ref|#))?"
    r"(?:\s{{0,2}}(?:is|was|:|=|#|№|-|\(|ending in))?[ \t]{{0,2}}[\"'#(]{{0,2}}"
    r"((?=[A-Za-z0-9\-_/]{{0,30}}\d)[A-Za-z0-9](?:[A-Za-z0-9\-_/]{{2,38}})[A-Za-z0-9])(?![A-Za-z0-9])"
)
_ACCOUNT = re.compile(_NUMBERED.format(words=_ACCOUNT_WORDS), re.IGNORECASE)
_ORDER = re.compile(_NUMBERED.format(words=_ORDER_WORDS), re.IGNORECASE)
_ID = re.compile(
    _NUMBERED.format(
        words=r"passport|driver'?s? licen[sc]e|driving licen[sc]e|national id|identity card|id card|tax id|nhs|vat"
        r"|national insurance|nino|medicare|aadhaar|pan card|social insurance|sin"
    ),
    re.IGNORECASE,
)
# Account-like numbers by their form alone: ACC-123456, CUST_00123, ORD-2024-88123, #W1234567.
_CODED_ACCOUNT = re.compile(
    r"(?<![A-Za-z0-9])(?:ACC(?:T|OUNT)?|CUST(?:OMER)?|CLIENT|MEM(?:BER)?|USR|USER"
    r"|POL(?:ICY)?)[-_#]?\d[\d\-]{3,20}(?![A-Za-z0-9])"
)
_CODED_ORDER = re.compile(
    r"(?<![A-Za-z0-9])(?:ORD(?:ER)?|INV(?:OICE)?|PO|RMA|SO|TRK|BKG|RES|TXN|REF|TKT"
    r"|CASE)[-_#]\d[\dA-Z\-]{3,20}(?![A-Za-z0-9])"
    r"|(?<![A-Za-z0-9])1Z[0-9A-Z]{16}(?![A-Za-z0-9])|(?<![\w&/])#[A-Z]{0,3}\d{5,14}(?![A-Za-z0-9])"
)
_LONG_NUMBER = re.compile(r"\d(?:[ .-]?\d){5}|\b(?=[A-Za-z]{0,30}\d)[A-Za-z0-9]{8}")
_MAC = re.compile(r"(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:])")


def find(text: str) -> Iterator[Finding]:
    """Everything of a text that its form or the word before it gives away. Names and addresses are found elsewhere."""
    if "@" in text or _SPELT_AT.search(text):
        yield from _all(_EMAIL, text, "EMAIL")
        yield from _all(_EMAIL_PLAIN, text, "EMAIL")
    yield from _secrets(text)
    if not _has_digit(text):
        return
    yield from _cards(text)
    yield from _ibans(text)
    yield from _addresses_of_machines(text)
    yield from _all(_SSN, text, "SSN")
    yield from _all(_SSN_CUED, text, "SSN", group=1)
    yield from _all(_BIRTH, text, "BIRTHDATE", group=1)
    yield from _phones(text)
    yield from _all(_ACCOUNT, text, "ACCOUNT", group=1)
    yield from _all(_CODED_ACCOUNT, text, "ACCOUNT")
    yield from _all(_ORDER, text, "ORDER", group=1)
    yield from _all(_CODED_ORDER, text, "ORDER")
    yield from _all(_ID, text, "ID", group=1)
    yield from _by_presidio(text)


def _has_digit(text: str) -> bool:
    return re.search(r"\d", text) is not None


def _all(pattern: re.Pattern[str], text: str, kind: str, group: int = 0) -> Iterator[Finding]:
    for match in pattern.finditer(text):
        yield Finding(*match.span(group), kind)


def _before(text: str, start: int, length: int = 60) -> str:
    return text[max(0, start - length) : start]


def _cards(text: str) -> Iterator[Finding]:
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if (luhn(digits) and digits[0] in "123456") or _CARD_CUE.search(_before(text, match.start(), 40)):
            yield Finding(*match.span(), "CARD")


def luhn(digits: str) -> bool:
    """Whether the last digit fits the others (ISO/IEC 7812-1)."""
    total = sum(int(digit) for digit in digits[-1::-2])
    total += sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return total % 10 == 0 and len(set(digits)) > 1


def _ibans(text: str) -> Iterator[Finding]:
    for match in _IBAN.finditer(text):
        value = re.sub(r"[ \-]", "", match.group())
        # Words may follow after a space: the longest beginning whose checksum fits is the number.
        ends = [match.start() + end for end in _ends_of_groups(match.group())]
        fitting = next((end for end in reversed(ends) if iban(text[match.start() : end])), None)
        if fitting is not None:
            yield Finding(match.start(), fitting, "IBAN")
        elif _IBAN_CUE.search(_before(text, match.start(), 30)) and sum(map(str.isdigit, value)) >= 8:
            yield Finding(*match.span(), "IBAN")


def _ends_of_groups(text: str) -> list[int]:
    return [match.end() for match in re.finditer(r"[A-Za-z0-9]+", text)]


def iban(value: str) -> bool:
    """Whether the check digits fit (ISO 13616)."""
    plain = re.sub(r"[ \-]", "", value).upper()
    if not (15 <= len(plain) <= 34 and plain[:2].isalpha() and plain[2:4].isdigit() and plain.isascii()):
        return False
    return int("".join(str(int(letter, 36)) for letter in plain[4:] + plain[:4])) % 97 == 1


def _addresses_of_machines(text: str) -> Iterator[Finding]:
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            if _is_ip(match.group()) and not _VERSION.search(_before(text, match.start(), 12)):
                yield Finding(*match.span(), "IP")
    yield from _all(_MAC, text, "MAC")


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return len(value) > 3


def _phones(text: str) -> Iterator[Finding]:
    for match in _PHONE.finditer(text):
        value = match.group()
        if _is_phone(value, _before(text, match.start(), 70), text[match.end() : match.end() + 50]):
            yield Finding(*match.span(), "PHONE")


def _is_phone(value: str, before: str, after: str) -> bool:
    number = re.split(r"(?i)[ ,]{0,2}(?:x|ext)", value)[0].strip()
    digits = re.sub(r"\D", "", number)
    cued = _PHONE_CUE.search(before) is not None or _PHONE_AFTER.match(after) is not None
    if not (6 if cued else 7) <= len(digits) <= 15 or _DATE.match(number) or len(set(digits)) == 1:
        return False
    if number.startswith(("+", "00")):
        grouped = len(re.findall(r"\d+", number)) > 1
        return "+" in number or grouped or _plausible("+" + digits.removeprefix("00"), ("US",))
    if cued and not re.match(r"^\d{12,}$", number):
        return True
    if _NOT_PHONE_CUE.search(before):
        return False
    if _NORTH_AMERICAN.match(number):
        return True
    separated = number != digits
    if not separated:
        return len(digits) in (10, 11) and (digits[0] == "0" or _plausible(number, ("US",)))
    if _THOUSANDS.match(number) and not number.startswith("0"):
        return False
    groups = re.findall(r"\d+", number)
    if len(groups) > 6:
        return False
    return _plausible(number, _REGIONS) or (_LIKE_A_PHONE.match(number) is not None and min(map(len, groups)) >= 2)


@functools.lru_cache(maxsize=4096)
def _plausible(number: str, regions: tuple[str, ...]) -> bool:
    for region in regions:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(number, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False


def _secrets(text: str) -> Iterator[Finding]:
    if "://" in text:
        yield from _all(_URL_LOGIN, text, "SECRET", group=1)
    if "=" in text:
        yield from _all(_URL_SECRET, text, "SECRET", group=1)
        yield from _all(_URL_PERSON, text, "PERSON", group=1)
    yield from _all(_SECRET, text, "SECRET")
    for match in _SECRET_CUED.finditer(text):
        start, end = match.span(1)
        value = text[start:end].rstrip(".!?")
        if _looks_secret(value):
            yield Finding(start, start + len(value), "SECRET")
    for match in _ENTROPIC.finditer(text):
        if _is_random(match.group()):
            yield Finding(*match.span(), "SECRET")


def _looks_secret(value: str) -> bool:
    """After a word like "password": has a digit or a sign inside, as ordinary words have not."""
    return any(letter.isdigit() for letter in value) or (bool(re.search(r"\w[^\w\s.'’/:-]", value)) and len(value) >= 6)


def _is_random(value: str) -> bool:
    """Letters and digits in a disorder that no word, path or plain number has."""
    plain = value.rstrip("=")
    if (
        _UUID.match(plain)
        or identity.DERIVED.fullmatch(plain)
        or plain.isdigit()
        or (plain.isalpha() and plain.islower())
    ):
        return False
    letters, digits = sum(map(str.isalpha, plain)), sum(map(str.isdigit, plain))
    if not letters or digits < 2 or plain.count("-") + plain.count("_") + plain.count("/") > len(plain) / 6:
        return False
    if re.fullmatch(r"[0-9a-fA-F]+", plain):
        return len(plain) >= 32 and entropy(plain.lower()) >= 3.0
    return entropy(plain) >= 3.8


def entropy(text: str) -> float:
    """Bits a letter."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


class _Recogniser(NamedTuple):
    kind: str
    # What must stand shortly before, where the form alone says too little.
    cue: re.Pattern[str] | None
    analyse: Callable[[str], list[Any]]


# Presidio's own: name, our kind, whether its checksum or form is enough.
_PRESIDIO = (
    ("CreditCardRecognizer", "CARD", True),
    ("IbanRecognizer", "IBAN", True),
    ("UsSsnRecognizer", "SSN", False),
    ("CryptoRecognizer", "CRYPTO", True),
    ("NhsRecognizer", "ID", False),
    ("UkNinoRecognizer", "ID", True),
    ("UsPassportRecognizer", "ID", False),
    ("UsItinRecognizer", "SSN", False),
    ("InAadhaarRecognizer", "ID", False),
    ("AuTfnRecognizer", "ID", False),
    ("CaSinRecognizer", "ID", False),
    ("EsNifRecognizer", "ID", True),
    ("ItFiscalCodeRecognizer", "ID", True),
    ("PlPeselRecognizer", "ID", False),
    ("SgFinRecognizer", "ID", False),
    ("FiPersonalIdentityCodeRecognizer", "ID", True),
    ("SePersonnummerRecognizer", "ID", False),
    ("UsMbiRecognizer", "ID", True),
    ("MedicalLicenseRecognizer", "ID", False),
)


@functools.cache
def presidio() -> list[_Recogniser]:
    """Presidio's pattern recognisers, asked one by one: its engine would parse each text as a whole besides."""
    from presidio_analyzer import predefined_recognizers

    made: list[_Recogniser] = []
    for name, kind, enough in _PRESIDIO:
        recogniser: Any = getattr(predefined_recognizers, name)()
        words = [re.escape(word) for word in recogniser.context or ()]
        cue = None if enough else re.compile(rf"(?i)(?<![a-z])(?:{'|'.join(words)})(?![a-z])")
        made.append(_Recogniser(kind, cue, functools.partial(_analyse, recogniser)))
    return made


def _analyse(recogniser: Any, text: str) -> list[Any]:
    return recogniser.analyze(text, recogniser.supported_entities, None) or []


def _by_presidio(text: str) -> Iterator[Finding]:
    # The shortest of these numbers has six signs; most texts have none so long.
    if not _LONG_NUMBER.search(text):
        return
    for each in presidio():
        if each.cue is not None and not each.cue.search(text):
            continue
        for found in each.analyse(text):
            if found.score >= 0.5 if each.cue is None else each.cue.search(_before(text, found.start, 50)):
                yield Finding(found.start, found.end, each.kind)
