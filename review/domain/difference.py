"""What differs between two outputs: the words of two texts, the arguments of two lists of tool calls."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from typing import cast

from review.domain.types import Json, ToolCall

# A word with inner apostrophes or hyphens, one East Asian character, or one sign. White space never differs.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+(?:['’\-][^\W_]+)*|_+|[^\w\s]")

_PLAIN = re.compile(r"[\w-]+")

# Above this a comparison would cost seconds and nobody would read its marks.
MAX_TOKENS = 150_000
MAX_ARGUMENTS = 200
_ANCHOR_LENGTHS = (1, 4, 10)
_SMALL = 10_000  # cells of a gap that is compared exactly
_BUDGET = 1_500_000  # cells of all such gaps together
_DEPTH = 6

Block = tuple[int, int, int]
"""`n` equal tokens that start at `i` on the left and at `j` on the right."""


@dataclass(frozen=True)
class Segment:
    """A run of text; `differs` says that the other text does not have it here."""

    text: str
    differs: bool


@dataclass(frozen=True)
class TextDifference:
    """Two texts as segments that join to the texts again.

    Attributes:
        left, right: the segments.
        shared: the share of words in common, from 0 (nothing) to 1 (the same words); None where the texts are too long
            to compare, and then nothing is marked.
    """

    left: tuple[Segment, ...]
    right: tuple[Segment, ...]
    shared: float | None


@dataclass(frozen=True)
class ArgumentRow:
    """One argument of two aligned calls. `path` is dotted; a side without the argument has None."""

    path: str
    left: str | None
    right: str | None
    differs: bool


@dataclass(frozen=True)
class CallComparison:
    """Two aligned tool calls. A side without a call has the name None.

    Attributes:
        left, right: the names of the functions.
        left_broken, right_broken: the arguments are no JSON object, as when a call was cut off; its text is one row.
        rows: the arguments, in the order of the left call, then what only the right one has.
        hidden: how many rows were left out beyond MAX_ARGUMENTS.
    """

    left: str | None
    right: str | None
    left_broken: bool
    right_broken: bool
    rows: tuple[ArgumentRow, ...]
    hidden: int = 0

    @property
    def differs(self) -> bool:
        """Whether anything about the two calls is not the same."""
        return self.left != self.right or self.hidden > 0 or any(row.differs for row in self.rows)


def compare_texts(left: str, right: str) -> TextDifference:
    """Mark the words that differ.

    Patience diff: words that occur once in both texts anchor the alignment, what lies between is compared in turn.
    Common runs shorter than the changes on both their sides are marked too, because stray matches only distract.
    """
    tokens_left = _tokens(left, MAX_TOKENS + 1)
    tokens_right = _tokens(right, MAX_TOKENS + 1 - len(tokens_left))
    total = len(tokens_left) + len(tokens_right)
    if total > MAX_TOKENS:
        return TextDifference(_whole(left), _whole(right), None)
    numbers: dict[str, int] = {}
    coded_left = [numbers.setdefault(left[start:end], len(numbers)) for start, end in tokens_left]
    coded_right = [numbers.setdefault(right[start:end], len(numbers)) for start, end in tokens_right]
    blocks = _without_stray(_merge(_blocks(coded_left, coded_right)), len(coded_left), len(coded_right))
    same_left = [False] * len(coded_left)
    same_right = [False] * len(coded_right)
    for i, j, n in blocks:
        same_left[i : i + n] = [True] * n
        same_right[j : j + n] = [True] * n
    common = sum(n for _, _, n in blocks)
    return TextDifference(
        _segments(left, tokens_left, same_left),
        _segments(right, tokens_right, same_right),
        2 * common / total if total else 1.0,
    )


def compare_calls(left: Sequence[ToolCall], right: Sequence[ToolCall]) -> tuple[CallComparison, ...]:
    """Align calls by name and order, and their arguments by path. Calls without a counterpart stand alone."""
    names = SequenceMatcher(
        None, [call.function.name for call in left], [call.function.name for call in right], autojunk=False
    )
    compared: list[CallComparison] = []
    for _, i1, i2, j1, j2 in names.get_opcodes():
        for step in range(max(i2 - i1, j2 - j1)):
            compared.append(
                _compare_call(left[i1 + step] if i1 + step < i2 else None, right[j1 + step] if j1 + step < j2 else None)
            )
    return tuple(compared)


def _tokens(text: str, most: int) -> list[tuple[int, int]]:
    """Where the first `most` words of `text` begin and end: all of a giant would take seconds and be thrown away."""
    return [match.span() for match in islice(_TOKEN.finditer(text), most)]


def _whole(text: str) -> tuple[Segment, ...]:
    return (Segment(text, False),) if text else ()


def _segments(text: str, tokens: list[tuple[int, int]], same: list[bool]) -> tuple[Segment, ...]:
    """Cut `text` where the state changes; white space between goes with the unmarked side."""
    segments: list[Segment] = []
    start = 0  # of the segment in hand, in characters
    differs = False
    for index, (token_start, _) in enumerate(tokens):
        if differs == (not same[index]):
            continue
        cut = token_start if not same[index] else tokens[index - 1][1]
        if cut > start:
            segments.append(Segment(text[start:cut], differs))
        start, differs = cut, not differs
    if differs and tokens and tokens[-1][1] < len(text):
        segments.append(Segment(text[start : tokens[-1][1]], True))
        start, differs = tokens[-1][1], False
    if start < len(text):
        segments.append(Segment(text[start:], differs))
    return tuple(segments)


def _blocks(a: list[int], b: list[int]) -> list[Block]:
    """Equal runs of `a` and `b`, in order and without overlap."""
    found: list[Block] = []
    budget = _BUDGET
    waiting = [(0, len(a), 0, len(b))]
    while waiting:
        a1, a2, b1, b2 = waiting.pop()
        start = a1
        while a1 < a2 and b1 < b2 and a[a1] == b[b1]:
            a1, b1 = a1 + 1, b1 + 1
        if a1 > start:
            found.append((start, b1 - (a1 - start), a1 - start))
        end = a2
        while a1 < a2 and b1 < b2 and a[a2 - 1] == b[b2 - 1]:
            a2, b2 = a2 - 1, b2 - 1
        if end > a2:
            found.append((a2, b2, end - a2))
        if a1 == a2 or b1 == b2:
            continue
        anchors = _anchors(a, a1, a2, b, b1, b2)
        if anchors:
            left, right = a1, b1
            for i, j in anchors:
                waiting.append((left, i, right, j))
                left, right = i, j  # the next gap begins with the anchor, which its prefix takes in
            waiting.append((left, a2, right, b2))
        elif (cells := (a2 - a1) * (b2 - b1)) <= min(_SMALL, budget):
            budget -= cells
            matcher = SequenceMatcher(None, a[a1:a2], b[b1:b2], autojunk=False)
            found.extend((a1 + m.a, b1 + m.b, m.size) for m in matcher.get_matching_blocks() if m.size)
    return sorted(found)


def _anchors(a: list[int], a1: int, a2: int, b: list[int], b1: int, b2: int) -> list[tuple[int, int]]:
    """The longest chain, rising on both sides, of words that occur once in a[a1:a2] and once in b[b1:b2].

    Where no word does (logs, tables), runs of words serve instead.
    """
    for length in _ANCHOR_LENGTHS:
        if min(a2 - a1, b2 - b1) < length:
            break
        place_a, place_b = _once(a, a1, a2, length), _once(b, b1, b2, length)
        if pairs := sorted((i, place_b[run]) for run, i in place_a.items() if run in place_b):
            return _rising(pairs)
    return []


def _once(tokens: list[int], start: int, end: int, length: int) -> dict[tuple[int, ...], int]:
    """Where each run of `length` tokens that occurs once begins."""
    runs = list(zip(*(tokens[start + shift : end - length + 1 + shift] for shift in range(length)), strict=True))
    counts = Counter(runs)
    return {run: start + index for index, run in enumerate(runs) if counts[run] == 1}


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of `pairs`, sorted by i, in which j rises too."""
    tails: list[int] = []  # the smallest last j of a chain of each length
    holders: list[int] = []
    before: list[int] = []
    for index, (_, j) in enumerate(pairs):
        at = bisect_left(tails, j)
        before.append(holders[at - 1] if at else -1)
        if at == len(tails):
            tails.append(j)
            holders.append(index)
        else:
            tails[at], holders[at] = j, index
    chain: list[tuple[int, int]] = []
    index = holders[-1]
    while index >= 0:
        chain.append(pairs[index])
        index = before[index]
    return chain[::-1]


def _merge(blocks: list[Block]) -> list[Block]:
    """Join blocks that touch on both sides."""
    merged: list[Block] = []
    for i, j, n in blocks:
        if merged and merged[-1][0] + merged[-1][2] == i and merged[-1][1] + merged[-1][2] == j:
            merged[-1] = (merged[-1][0], merged[-1][1], merged[-1][2] + n)
        else:
            merged.append((i, j, n))
    return merged


def _without_stray(blocks: list[Block], length_a: int, length_b: int) -> list[Block]:
    """Drop common runs that are no longer than the changes before and after them."""
    kept: list[Block] = []
    for position, (i, j, n) in enumerate(blocks):
        after_i, after_j = blocks[position + 1][:2] if position + 1 < len(blocks) else (length_a, length_b)
        after = max(after_i - i - n, after_j - j - n)
        before_i, before_j = (kept[-1][0] + kept[-1][2], kept[-1][1] + kept[-1][2]) if kept else (0, 0)
        before = max(i - before_i, j - before_j)
        if before and after and n <= 6 and n < before and n < after:
            continue
        kept.append((i, j, n))
    return kept


def _compare_call(left: ToolCall | None, right: ToolCall | None) -> CallComparison:
    of_left, left_broken = _arguments(left)
    of_right, right_broken = _arguments(right)
    rows: list[ArgumentRow] = []
    for path in dict.fromkeys([*of_left, *of_right]):
        a, b = of_left.get(path), of_right.get(path)
        rows.append(ArgumentRow(path, a, b, differs=a != b))
    hidden = max(0, len(rows) - MAX_ARGUMENTS)
    if hidden:  # what differs stays
        kept = sorted(range(len(rows)), key=lambda index: not rows[index].differs)[:MAX_ARGUMENTS]
        rows = [rows[index] for index in sorted(kept)]
    return CallComparison(
        left.function.name if left else None,
        right.function.name if right else None,
        left_broken,
        right_broken,
        tuple(rows),
        hidden,
    )


def _arguments(call: ToolCall | None) -> tuple[dict[str, str], bool]:
    """Arguments by dotted path, and whether they could not be read; then the one path "" holds the call's text."""
    if call is None or call.function.arguments is None:
        return {}, False
    arguments: Json = call.function.arguments
    if isinstance(arguments, str):
        if not arguments.strip():
            return {}, False
        try:
            parsed: Json = json.loads(arguments)
        except (ValueError, RecursionError):
            return {"": arguments}, True
        if not isinstance(parsed, dict):
            return {"": arguments}, True
        arguments = cast(dict[str, Json], parsed)
    return dict(_flat(arguments, "", 0)), False


def _flat(value: Json, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value and depth < _DEPTH:
        for key, inner in cast(dict[str, Json], value).items():
            yield from _flat(inner, _step(path, str(key)), depth + 1)
    elif isinstance(value, list) and depth < _DEPTH and _is_nested(cast(list[Json], value)):
        for index, inner in enumerate(cast(list[Json], value)):
            yield from _flat(inner, f"{path}[{index}]", depth + 1)
    else:
        yield path, _shown(value)


def _is_nested(values: list[Json]) -> bool:
    return any(isinstance(each, dict | list) for each in values)


def _step(path: str, key: str) -> str:
    """`path` and one key more; a key that is no plain word stands in brackets, so that no two paths look the same."""
    if not _PLAIN.fullmatch(key):
        return f"{path}[{json.dumps(key, ensure_ascii=False)}]"
    return f"{path}.{key}" if path else key


def _shown(value: Json) -> str:
    """A value for the eye: text bare, all else as JSON; a text that reads like a number or a word of JSON in quotes."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False, default=str)
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return value
    return json.dumps(value, ensure_ascii=False)
