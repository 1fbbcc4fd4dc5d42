"""Postal addresses: a line with a street or a box is found first, then what belongs to it before and after."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from review.domain.redaction import PLACEHOLDER, Finding

# Letters before and after a digit in which its address lies.
_REACH = 120
_W = r"[^\W\d_](?:[^\W\d_]|['’.\-](?=[^\W\d_]))*\.?"
_CAP = rf"(?=[^\W\d_a-zß-öø-ÿ]){_W}"
_SMALL = (
    r"(?:of|the|de|da|do|dos|das|del|della|dei|degli|delle|di|la|las|los|le|les|el|du|des|der|den|van|von|y|e|og|och"
    r"|am|an|im|in|zum|zur|auf|and|na|nad|pod|ob|upon|under|sur|sous|près|u|v|ved|på|i|s)"
)
_NAME = rf"(?:{_CAP}|(?:d|l|dell|dall|all|nell|sant|s)['’]{_CAP}|{_SMALL}|\d{{1,3}}(?:st|nd|rd|th))"
# English words after the name of a street; in any case, because people type as they like.
_SUFFIX = (
    r"(?:street|st|avenue|ave|av|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|place|pl|square|sq|terrace|ter"
    r"|terr|trail|trl|parkway|pkwy|circle|cir"
    r"|highway|hwy|way|close|crescent|cres|grove|gardens|gdns|mews|row|walk|alley|aly|plaza|plz|path|pike|turnpike"
    r"|loop|bend|cove|crossing|xing|expressway"
    r"|expy|freeway|fwy|route|rte|ridge|run|hill|hills|heights|hts|park|point|pt|green|quay|wharf|esplanade|parade"
    r"|pde|broadway|bypass|causeway|centre|center"
    r"|isle|island|islands|keys?|knolls?|landing|manor|meadows?|mills?|mount|mountain|oval|pass|passage|pines|plain"
    r"|plains|port|rapids?|rest|shoals?|shores?"
    r"|skyway|spring|springs|spur|station|stravenue|stream|summit|throughway|trace|track|tunnel|union|unions|valley"
    r"|vale|viaduct|village|ville|vista|via|rue|walks|wall"
    r"|wells?|estates?|extension|falls|ferry|field|fields|flats?|fords?|forest|forge|forges|fork|forks|fort|garden"
    r"|gateway|glen|glens|harbors?|haven|hollow|inlet"
    r"|junctions?|lakes?|lights?|locks?|lodge|coves|courts|streets|roads|drives|corners?|cliffs?|canyon|camp|burgs?"
    r"|brooks?|bridge|branch|bottom|bluffs?|beach|bayou|creek|divide|dam|dale|course|common|club)"
)
# Street words of other languages: before the name, after it, or the end of one word.
_BEFORE = (
    r"(?:rua|r\.|avenida|av\.|avda\.|alameda|travessa|praça|praca|largo|estrada|calle|c/|carrera|carretera|paseo"
    r"|plaza|camino|ronda|rambla|via|viale|v\.le|piazza"
    r"|piazzale|corso|vicolo|largo|strada|contrada|rue|boulevard|bd|impasse|allée|allee|chemin|quai|place|cours"
    r"|route|square|ul\.|ulica|al\.|aleja|aleje|plac|pl\."
    r"|os\.|osiedle|str\.|strada|bulevardul|calea|šetalište|trg|naselje|nám\.|náměstí|nábřeží|třída|am|an der"
    r"|auf der|im|in der|zum|zur|unter den|ulitsa|улица|ул\.|проспект|пр\.|jalan|jl\.)"
)
_AFTER = (
    r"(?:utca|u\.|út|útja|ut|tér|tere|körút|krt\.|rakpart|sétány|köz|sor|tie|katu|gata|gatan|vägen|veien|vegen|vej"
    r"|gade|allé|alle|torg|torget|plads|plass|pst|tn|mnt|puiestee|maantee|tänav|ulica|cesta|trg|ulice|iela|gatvė"
    r"|caddesi|cad\.|sokak|sok\.|sokağı|straße|strasse|str\.|straat|laan|weg|plein|gasse|platz)"
)
_ENDING = (
    r"(?:stra(?:ß|ss)e|str\.|stra(?:ß|ss)en|gasse|weg|platz|allee|ufer|damm|ring|gürtel|steig|chaussee|hof|straat"
    r"|laan|plein|gracht|kade|dijk|singel|dreef|steeg|gata|gatan|vägen"
    r"|väg|veien|vegen|vej|gade|gränd|backen|stigen|torget|torg|allén|tie|katu|kuja|polku|tori|utca|útja|körút|ulica"
    r"|iela|gatvė|braut|stræti|vegur|holt|gerði|hlíð|stígur|vogur)"
)
_HOUSE = r"\d{1,6}(?:[ \t]?[A-Za-z](?![A-Za-z]))?(?:[-/–]\d{1,5}[A-Za-z]?)?"
_UNIT = (
    r"(?:apt|apartment|apto?|suite|ste|unit|flat|floor|fl|room|rm|#|door|dept|bldg|building|block|lot|top|piso"
    r"|wohnung|whg|bte|box|boks|lejl|lgh)\.?[ \t]{0,2}(?:no\.? ?|nr\.? ?|#)?"
    r"(?:\d{1,6}[A-Za-z]?|[A-Z])(?![A-Za-z0-9])|\d{1,3}(?:st|nd|rd|th) floor"
)
_LEAD = r"(?:(?<![\w.,-])\d{1,6}[A-Za-z]?,?[ \t]+)?"
# The street lines. Each needs a number, or a word that only streets have.
_STREETS = (
    # 12 Main Street; 66029 138 Consul Place; 3911 fourth avenue; 1668 Glyn St
    rf"{_LEAD}(?<![\w.,$€£-]){_HOUSE},?[ \t]+(?:(?:[NSEW]|NE|NW|SE|SW|North|South|East|West|Old"
    rf"|New)\.?[ \t]+)?(?:{_NAME}[ \t]+){{1,5}}(?i:{_SUFFIX})\b\.?(?:[ \t]+(?:[NSEW]|NE|NW|SE|SW|North|South|East"
    rf"|West)\b\.?)?",
    rf"{_LEAD}(?<![\w.,$€£-]){_HOUSE}[ \t]+(?:[a-zà-ž'’]+[ \t]+){{1,3}}(?:street|avenue|ave|road|rd|boulevard|blvd"
    rf"|lane|ln|drive|court|terrace|parkway|crescent|highway)\b\.?",
    # Hauptstraße 5, Brucker Bundesstrasse 31, Árpád fejedelem útja 3., Søndergade 52
    rf"{_LEAD}(?:{_CAP}[ \t]+){{0,3}}(?:(?!(?:Sp|St|D|B|Bo)(?:t?r|u?r|o?r)ing)(?=[^\W\d_a-zß-öø-ÿ])(?:[^\W\d_]"
    rf"|-){{2,}}{_ENDING}"
    rf"|[a-zß-öø-ÿ-]{{2,}}(?:stra(?:ß|ss)e|straat|str\.))[ \t]+{_HOUSE}\b\.?(?![.,]?\d)",
    rf"{_LEAD}{_CAP}[ \t]+(?:[a-zà-ž]+[ \t]+){{1,2}}{_AFTER}[ \t]+{_HOUSE}\b\.?(?![.,]?\d)",
    rf"{_LEAD}(?:{_NAME}[ \t]+){{1,4}}{_AFTER}[ \t]+{_HOUSE}\b\.?(?![.,]?\d)",
    # Rua Diadema 1903, Via dei Fiorentini 17, ul. Miła 53, 12 rue de la Paix
    rf"{_LEAD}(?<!\w)(?i:{_BEFORE})[ \t]+(?:{_NAME}[ \t]+){{0,5}}{_CAP},?[ \t]+"
    rf"(?:n[.º°o]{{0,2}}[ \t]?)?{_HOUSE}\b\.?(?![.,]?\d)",
    rf"(?<![\w.,$€£-]){_HOUSE},?[ \t]+(?:bis[ \t]+|ter[ \t]+)?(?i:rue|avenue|boulevard|place|impasse|allée|chemin"
    rf"|quai|cours|route|square)[ \t]+(?:{_NAME}[ \t]+){{0,5}}{_CAP}",
    # P.O. Box 12; PSC 0272, Box 1651; Unit 4719 Box 7394; HC 1 Box 3; RR 2 Box 9
    rf"{_LEAD}(?i:\bp\.?[ \t]?o\.?[ \t]?box|\bpost(?:al)?[ \t]?(?:office[ \t])?box|\bpostfach|\bpostboks"
    rf"|\bapartado(?:[ \t]postal)?|\bcasilla|\bboîte postale|\bb\.?p\.|\bcaixa postal|\bpostbus|\bprivate bag"
    rf"|\bgpo box)[ \t]*#?[ \t]*\d{{1,8}}",
    r"\b(?:PSC|CMR|Unit|UNIT|unit|psc|cmr|HC|RR|USS|USNS|USCGC|uss)[ \t]+[\w]{1,12},?[ \t]+(?:Box|BOX"
    r"|box)[ \t]+\d{1,6}",
    rf"\b(?:USS|USNS|USCGC|uss)[ \t]+{_CAP},?[ \t\n]+(?:FPO|APO|DPO)[ \t]+(?:AA|AE|AP)[ \t]+\d{{5}}(?:-\d{{4}})?",
)
_STREET = re.compile("|".join(f"(?:{each})" for each in _STREETS))
# A number, capitalised words and a number: "28245 Puruntie 82", "0138 Brisas 6802". Only postcode and house look so.
_FRAMED = re.compile(
    rf"(?<![\w.,$€£#/-])\d{{3,6}}[ \t]+(?:{_NAME}[ \t]+){{0,5}}{_CAP}[ \t]+{_HOUSE}(?![\w/]|[.,]?\d)\.?"
)
# Words and a number, or a number and words: an address only after a cue or beside a unit.
_LOOSE = re.compile(
    rf"(?<![\w.,$€£#/-])(?:\d{{1,6}}[ \t]+)?(?:(?:{_NAME}[ \t]+){{0,4}}{_CAP}[ \t]+{_HOUSE}\b\.?"
    rf"|{_HOUSE}[ \t]+(?:{_NAME}[ \t]+){{0,4}}{_CAP})(?![\w/]|[.,]\d)"
)
_PLACE_CUE = re.compile(
    r"(?i)(?:\b(?:liv(?:e|es|ed|ing)|resid(?:e|es|ed|ing)|stay(?:s|ed|ing)?|located|situated|based|headquartered"
    r"|born|office|store|shop|house|home|apartment|warehouse|branch|property)"
    r"[ \t](?:[a-z]{1,8}[ \t]){0,2}(?:at|on|in|is at|is on|is in|by|near)|\b(?:mov(?:e|es|ed|ing)|relocat(?:e|ed"
    r"|ing)|ship(?:ped|ping)?|deliver(?:ed|y)?|sen[dt]|mail(?:ed)?|return(?:ed)?|taxi|ride|cab|drive|come"
    r"|uber|pick (?:me|us|it) up|drop (?:me|us|it) off|forward(?:ed)?"
    r"|redirect(?:ed)?)(?:[ \t][a-z]{1,12}){0,4}[ \t](?:to|at|from|on)"
    r"|\b(?:on the (?:north|south|east|west|left|right|other) side of|the corner of|corner of|intersection of"
    r"|across from|next to|near|off|outside|in front of|opposite|meet (?:me|us) at|is at|are at|it'?s at|am at)"
    r"|address(?:es)?(?:[ \t]+[a-z]{1,10}){0,4}[ \t]*(?:with|to|is|was|as|at|:|=|,|-)?)[ \t:\"']{0,3}(?:the[ \t])?$"
)
# What says "an address follows", up to the end of its sentence or block.
_ADDRESS_CUE = re.compile(
    r"(?i)(?:\b(?:(?:my|his|her|our|their|your|the|new|old|current|previous|home|mailing|postal|billing|shipping"
    r"|delivery|street|work|office|residential|permanent|contact)[ \t]+)*"
    r"address(?:es)?(?:[ \t]+(?:on file|of record|now))?[ \t]*(?:is|was|are|:|=|\?|to|with|as)+"
    r"|\b[a-z]+'s address(?: is|:)?)"
    r"[ \t:\n]*(?:it'?s|it is|that'?s|that is|now)?[ \t]*[:\-]?[ \t\n]*"
)
_UNIT_RE = re.compile(rf"(?i:{_UNIT})")
_AFTER_UNIT = re.compile(rf"(?:(?i:{_UNIT}))$")
_CORNER = re.compile(
    r"(?i:(?:the )?corner of )[^\n.!?;]{3,80}?(?:(?= (?:please|for|when|by|at|in|on)\b)|(?=[\n!?;])|(?=\.(?:\s|$))|$)"
)
_STATE = (
    r"(?:A[LKZR]|C[AOT]|D[EC]|FL|GA|HI|I[DLNA]|K[SY]|LA|M[EDAINSOT]|N[EVHJMYCD]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[TA]"
    r"|W[AVIY]|AB|BC|MB|NB|NL|NS|ON|PE|QC|SK|YT|NT|NU"
    r"|NSW|QLD|VIC|TAS|WA|ACT|AA|AE|AP|PR|GU|VI|nan)"
)
_ZIP = (
    r"(?:\d{5}-\d{4}|\d{5}|[A-Z]\d[A-Z][ \t]?\d[A-Z]\d|[A-Z]{1,2}\d[A-Z\d]?[ \t]?\d[A-Z]{2}"
    r"|(?:[A-Z]{1,2}-)?\d{4,6}(?:[ \t][A-Z]{2})?|\d{3}[ \t]\d{2}|\d{2}-\d{3}|\d{5}-\d{3})"
)
_CITY_ZIP = re.compile(
    rf"(?<!\w){_CAP}(?:[ \t]+{_CAP}){{0,3}},?[ \t\n]+{_STATE},?[ \t\n]+\d{{5}}(?:-\d{{4}})?(?!\w)"
    rf"|(?<!\w)(?:FPO|APO|DPO)[ \t]+(?:AA|AE|AP)[ \t]+\d{{5}}(?:-\d{{4}})?"
    rf"|(?<![\w])[A-Z]{{1,2}}\d[A-Z\d]?[ \t]\d[A-Z]{{2}}(?!\w)"
    rf"|(?<![\w])[A-Z]\d[A-Z][ \t]\d[A-Z]\d(?!\w)"
)
# What may follow a street line, piece by piece: unit, city, state, postcode, country.
_PIECE = re.compile(
    rf"[ \t]*(?P<gap>,[ \t]*\n?[ \t?>*|]*|[ \t]*\n[ \t?>*|]*,?[ \t]*|[ \t]*\n[ \t]*\n[ \t]*"
    rf"|[ \t]+)(?P<piece>(?i:{_UNIT})|{_STATE}(?![\w])"
    rf"|{_ZIP}(?!\w)|\d{{1,3}}(?=[ \t]*\n)|(?:{_CAP}|St\.?)(?:[ \t]+(?:{_CAP}"
    rf"|{_SMALL}(?=[ \t])))*(?:[ \t]?\([^\n()]{{1,30}}\))?(?:[ \t]+\d{{1,2}}(?=[ \t,\n]))?)"
)
_STOP_WORDS = re.compile(
    r"(?i)^(?:please|thanks|thank|the|this|that|i|i'm|we|my|it|it's|is|he|she|they|you|your|and|but|or|so|if|when"
    r"|what|can|could|would|will|how|also|for|on|at|in|to|from|by|with|phone|tel|telephone|mobile"
    r"|fax|email|e-mail|mail|web|website|www|name|order|best|regards|sincerely|cheers|hi|hello|dear|yes|no|not|let"
    r"|do|does|did|call|contact|url|http|https|date|am|pm|there|here|has|have|was|were|are|payment|card)$"
)


# From a number to a unit that follows on its line or the next, whatever stands between.
_TO_UNIT = re.compile(
    r"(?<![\w.,$€£#/-])\d{1,6}[ \t]+(?:[^\W\d_][^\s,;:!?()<>\"]*[ \t]+){1,6}(?:\d{1,5}[A-Za-z]?)?[ \t]*,?"
    r"(?:\n[ \t?>*|]*|[ \t]*)"
    r"(?=(?i:apt|apartment|suite|ste|flat|unit)\b\.?[ \t]*#?\d)"
)
_BLOCK_END = re.compile(
    r"(?<![A-Z0-9])(?<![Aa]pt)(?<!St)(?<!Ste)(?<!N[or])(?<!No)(?<! ul)(?<! u)(?<!str)(?<!Str)(?<!Av)(?<!Ave)(?<!Rd)"
    r"[.!?;](?=\s|$)"
    r"|[.!?;](?=[ \t]+[A-Z][a-z]+[ \t]+[a-z])"
    r"|\b(?:and my|and the|for this|for my|please|because|so that|but|when|instead|thanks)\b|[\"<>{}|]|\w+:[ \t]"
)
# A street by its name alone, where somebody or something is.
_NAMED_STREET = re.compile(
    rf"(?<=[ \t])(?:(?<=on )|(?<=at )|(?<=off )|(?<=near )|(?<=of )|(?<=from )|(?<=to )"
    rf"|(?<=and ))(?:{_CAP}[ \t]){{1,3}}"
    r"(?:Street|Avenue|Road|Lane|Drive|Boulevard|Court|Crescent|Terrace|Parkway)\b"
)


def find(text: str) -> Iterator[Finding]:
    """Addresses of a text, each with its unit, city, state, postcode and country where they follow."""
    for match in _NAMED_STREET.finditer(text):
        yield Finding(*match.span(), "ADDRESS")
    for match in _CORNER.finditer(text):
        yield Finding(*match.span(), "ADDRESS")
    if not re.search(r"\d", text):
        return
    for start, end in _merged(list(_stretches(text)), text):
        if any(map(str.isdigit, text[start:end])):
            yield Finding(start, end, "ADDRESS")


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    # Who types all in lower case types the town so too.
    titled = text.title() if text.islower() else text
    shape = titled if len(titled) == len(text) else text
    for match in _near_digits(_STREET, text):
        yield match.start(), _extended(shape, match.end())
    for match in _near_digits(_TO_UNIT, text):
        yield match.start(), _extended(shape, match.end())
    for match in _near_digits(_FRAMED, text):
        if not _is_date(match.group()):
            yield match.start(), _extended(shape, match.end())
    for match in _near_digits(_LOOSE, text):
        if _is_date(match.group()):
            continue
        after = _extended(shape, match.end())
        if _PLACE_CUE.search(text[max(0, match.start() - 60) : match.start()]) or _has_unit(text[match.end() : after]):
            yield match.start(), after
    for match in _near_digits(_CITY_ZIP, text):
        yield match.start(), _extended(shape, match.end())
    for match in _near_digits(_UNIT_RE, text):
        word = match.group().casefold()
        if (
            word.startswith(("apt", "apartment", "suite", "ste", "flat", "lgh", "lejl"))
            and word[0].isalpha()
            and any(map(str.isdigit, word))
        ):
            before = text[max(0, match.start() - 1) : match.start()]
            if not before or not before.isalnum():
                yield match.start(), _extended(shape, match.end())
    for match in _ADDRESS_CUE.finditer(text):
        yield from _block(text, match.end())


def _near_digits(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Matches in the parts of a text that have digits near: nothing else holds an address."""
    for start, end in _windows(text):
        yield from pattern.finditer(text, start, end)


@functools.lru_cache(maxsize=8)
def _windows(text: str) -> tuple[tuple[int, int], ...]:
    windows: list[tuple[int, int]] = []
    for digits in re.finditer(r"\d+", text):
        start, end = max(0, digits.start() - _REACH), min(len(text), digits.end() + _REACH)
        if windows and start <= windows[-1][1]:
            start = windows.pop()[0]
        windows.append((start, end))
    return tuple(windows)


def _is_date(text: str) -> bool:
    return bool(
        re.search(
            r"(?i)\b(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
            r"|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
            r"|monday|tuesday|wednesday|thursday|friday|saturday|sunday|order|invoice|card|flight|version|page|step"
            r"|item|am|pm|option|chapter)\b",
            text,
        )
    )


def _has_unit(text: str) -> bool:
    return _UNIT_RE.search(text) is not None


def _extended(text: str, end: int) -> int:
    """Where the address ends whose street line ends at `end`."""
    pieces = 0
    while pieces < 8 and (match := _PIECE.match(text, end)):
        piece, gap = match.group("piece"), match.group("gap")
        words = piece.split()
        kept = 0
        for word in words:
            if _STOP_WORDS.match(word.strip(",.")) and not re.fullmatch(_STATE, word):
                break
            kept += 1
        if kept == 0 or ("\n" in gap and kept < len(words)):
            break
        joined = gap.strip(" \t") == ""
        numeric = piece[:1].isdigit()
        # After a mere space only a unit, a state, a postcode or the words of a city before one of these go on.
        if joined and _AFTER_UNIT.search(text[max(0, end - 20) : end]):
            pass
        elif joined and not numeric and not _UNIT_RE.match(piece) and not re.fullmatch(_STATE, piece):
            tail = text[match.end("piece") : match.end("piece") + 25]
            if kept < len(words) or not (
                pieces or re.match(rf",?[ \t\n]*(?:,[ \t\n]*{_CAP}|{_STATE}\b|{_ZIP}(?!\w))", tail)
            ):
                break
        if "\n" in gap and not _is_address_line(text, match.start("piece")):
            break
        if gap.count("\n") > 1 and not re.match(rf"(?:{_CAP}[ \t]+){{1,3}}\d{{4,6}}\b", text[match.start("piece") :]):
            break
        end = match.start("piece") + (len(piece) if kept == len(words) else _length_of(piece, kept))
        pieces += 1
        if kept < len(words):
            break
    return end


def _length_of(piece: str, words: int) -> int:
    ends = [match.end() for match in re.finditer(r"\S+", piece)]
    return ends[words - 1]


def _is_address_line(text: str, start: int) -> bool:
    """A line of an address is short and is no sentence."""
    line = re.split(r"\n|[.!?;](?=\s|$)", text[start : start + 200], maxsplit=1)[0].strip()
    if re.match(
        rf"(?:(?i:{_UNIT})|{_STATE}\b|{_ZIP}(?!\w)|(?:{_CAP}[ \t]+){{1,3}}(?:\([^\n()]{{1,30}}\)[ \t]+)?\d{{4,6}}\b)",
        line,
    ):
        return True
    # A name alone on the next line is a city only where the address goes on, or ends with it.
    words = line.split(",")[0].split()
    return len(words) <= 4 and len(line) <= 60


def _block(text: str, start: int) -> Iterator[tuple[int, int]]:
    """The rest of the sentence, or the lines up to an empty one, after "address:"; only with a number near."""
    if PLACEHOLDER.match(text, start):
        return
    lines: list[str] = text[start : start + 300].split("\n")
    end = start
    for index, line in enumerate(lines[:7]):
        stop = _BLOCK_END.search(line)
        piece = line[: stop.start()] if stop else line
        if not piece.strip() or (index and (len(piece) > 60 or _STOP_WORDS.match(piece.split()[0].strip(",.:")))):
            break
        end = start + sum(len(each) + 1 for each in lines[:index]) + len(piece.rstrip())
        if stop:
            break
    found = text[start:end]
    digits = re.search(r"\d", found)
    capital = re.match(r"(?:the corner of |corner of |at |on )?[\W]*(?:[^\W\d_a-zß-öø-ÿ]|\d)", found)
    if (
        digits
        and digits.start() < 80
        and capital
        and "@" not in found
        and "://" not in found
        and not re.match(r"[\d.]+$", found)
    ):
        yield start, end


def _merged(stretches: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Stretches that touch, or that only a comma, "and" or a line end parts, as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if merged and (
            start <= merged[-1][1] or re.fullmatch(r"[ \t]*,?[ \t]*\n?[ \t?>*|]*,?[ \t]*", text[merged[-1][1] : start])
        ):
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
