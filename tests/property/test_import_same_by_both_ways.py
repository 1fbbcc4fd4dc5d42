"""What DuckDB checks by itself and what the types check: the same pairs accepted, the same rows stored."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from review.adapters import files
from review.services import ingest
from review.store import plain_pairs, staging

KEY = bytes(range(32))
JSON_COLUMNS = staging.TABLES["pairs"].json
TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "a  b",
        "a b",
        " a\u00a0b\n",
        "a\u2028b",
        "\x1c",
        "null",
        "true",
        '"',
        "\\",
        "\x00",
        "\x1b[31m",
        "=1",
        "é",
        "😀",
    ]
)
IDS = st.sampled_from(["p1", "p2", "p3", "x" * 200, "é" * 90, " "])
BAD_IDS = TEXTS | st.sampled_from(["x" * 201, "é" * 201, "a\x7f", "a\n"])
NUMBERS = st.sampled_from(
    [
        "0",
        "1",
        "0.5",
        "-0",
        "-0.0",
        "1.0",
        "1e-7",
        "1e5",
        "1e400",
        "NaN",
        "Infinity",
        "-Infinity",
        "9" * 25,
        "9" * 400,
        "2",
        "-1",
    ]
)
RAW = NUMBERS | st.sampled_from(
    ["null", "true", "false", '"1"', "[]", "{}", "[1,]", '{"a":1,}', '{"a":1,"a":2}', '"\\ud800"']
)
ANYTHING = st.recursive(
    RAW | TEXTS.map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda parts: f"[{','.join(parts)}]")
        | st.lists(st.tuples(st.sampled_from(["a", "b", "name"]), inner), max_size=2).map(lambda parts: braces(parts))
    ),
    max_leaves=4,
)


def braces(parts: Any) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in parts) + "}"


def text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def now_and_then(draw: st.DrawFn) -> bool:
    """True once in 64 draws: most pairs shall be good, or nothing would be compared."""
    return draw(st.integers(0, 63)) == 40


@st.composite
def objects(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[str]], required: tuple[str, ...] = ()) -> str:
    """JSON text of an object: optional fields, sometimes an unknown or a repeated one."""
    names = [name for name in fields if name in required or draw(st.booleans())]
    parts = [
        (name, draw(ANYTHING | BAD_IDS.map(json.dumps) if now_and_then(draw) else fields[name]))
        for name in draw(st.permutations(names))
    ]
    if now_and_then(draw):
        name = draw(st.sampled_from(["extra", *fields]))
        parts.append((name, draw(ANYTHING)))
    return braces(parts)


def lists(item: st.SearchStrategy[str], least: int = 0) -> st.SearchStrategy[str]:
    return st.lists(item, min_size=least, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")


ARGUMENTS = st.sampled_from(
    ['{"a":1}', '{"a": 1}', '{"a":2}', '{"b":1,"a":2}', '{"a":2,"b":1}', '{"a":', "", "[1,]", "NaN"]
)
FUNCTIONS = objects({"name": st.sampled_from(["f", "g"]).map(text), "arguments": ARGUMENTS.map(text)}, ("name",))
CALLS = lists(
    objects({"id": TEXTS.map(text), "type": st.just('"function"'), "function": FUNCTIONS}, ("function",)), least=0
)
MESSAGES = lists(
    objects(
        {
            "role": st.sampled_from(["user", "assistant", "system", "tool", "user", "critic"]).map(text),
            "content": TEXTS.map(text)
            | TEXTS.map(json.dumps)
            | st.sampled_from(["null", '[{"type": "text", "text": "x"}]']),
            "tool_calls": CALLS | st.just("null"),
            "tool_call_id": TEXTS.map(text),
            "name": TEXTS.map(text),
        },
        ("role", "content"),
    ),
    least=1,
)
OUTPUTS = objects(
    {
        "model": TEXTS.map(text),
        "content": st.sampled_from(["one two", "one  two", "two one", "one\u00a0two", ""]).map(text) | TEXTS.map(text),
        "tool_calls": CALLS,
        "confidence": st.sampled_from(["0.5", "1", "0"]),
        "correct": st.sampled_from(["true", "false", "null"]),
        "outcomes": st.sampled_from(['{"clicked": true}', "{}", "null"]),
        "finish_reason": st.sampled_from(['"stop"', '"length"', "null"]),
        "latency_ms": st.sampled_from(["812", "1e3", "0.25"]),
        "usage": st.sampled_from(['{"total_tokens": 12}', "null"]),
    },
    ("content",),
)
PAIRS = objects(
    {
        "pair_id": IDS.map(text),
        "prompt_id": IDS.map(text),
        "task": IDS.map(text),
        "messages": MESSAGES,
        "tools": st.sampled_from(["null", "[]", '[{"type": "function", "function": {"name": "f"}}]']),
        "reference": TEXTS.map(text),
        "old": OUTPUTS,
        "new": OUTPUTS,
        "metadata": st.sampled_from(['{"ticket": 7}', "{}", "null", '{"a": 1.50}'])
        | ANYTHING.map(lambda x: f'{{"a": {x}}}'),
    },
    ("messages", "old", "new"),
)


@pytest.fixture(scope="module")
def cursor() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def as_values(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: json.loads(value) if name in JSON_COLUMNS and value is not None else value for name, value in row.items()
    }


def by_duckdb(cursor: duckdb.DuckDBPyConnection, lines: files.Lines) -> dict[int, dict[str, Any]]:
    table = lines.table()
    assert table is not None
    return {row.pop("line"): as_values(row) for row in plain_pairs.read(cursor, table, KEY).to_pylist()}


def by_types(lines: files.Lines) -> dict[int, dict[str, Any]]:
    batch = ingest.check_rows(KEY, "pairs", lines.rows(without=()), {})
    return {row.pop("line"): as_values(row) for row in batch.staged.to_pylist()}


def lines_of(*documents: str) -> files.Lines:
    return files.to_lines(1, "".join(document + "\n" for document in documents).encode())


@given(st.lists(PAIRS, min_size=12, max_size=12))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_duckdb_takes_the_types_take_and_store_alike(
    cursor: duckdb.DuckDBPyConnection, documents: list[str]
) -> None:
    lines = lines_of(*documents)
    authority = by_types(lines)
    event(f"{len(authority) // 4 * 4} or more of 12 are good")
    for line, row in by_duckdb(cursor, lines).items():
        assert line in authority, documents[line - 1]
        assert row == authority[line], documents[line - 1]


PLAIN = '"messages": [{"role": "user", "content": "hi"}], "old": {"content": "a"}, "new": {"content": "b"}'


@pytest.mark.parametrize(
    "document",
    [
        f'{{"pair_id": "p", {PLAIN}}}',
        f"{{{PLAIN}}}",
        f'{{"pair_id": null, "tools": null, "metadata": {{"a": [1, 2.5]}}, {PLAIN}}}',
        '{"messages": [{"role": "user", "content": "ü\\n"}, {"role": "assistant", "content": null, "tool_calls": '
        '[{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", '
        '"tool_call_id": "1", "content": "x"}], "old": {"content": null, "tool_calls": [{"function": {"name": "g"}}]}, '
        '"new": {"content": "b", "confidence": 1, "latency_ms": 12, "usage": {"total": 3}, "correct": true}}',
    ],
)
def test_ordinary_pairs_do_not_pass_through_python(cursor: duckdb.DuckDBPyConnection, document: str) -> None:
    lines = lines_of(document)
    assert by_duckdb(cursor, lines) == by_types(lines) != {}


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        '{"pair_id": "p"}',
        f'{{"pair_id": "p", {PLAIN},}}',
        f'{{"pair_id": "p", "metadata": {{"x": NaN}}, {PLAIN}}}',
        f'{{"pair_id": "p", "metadata": {{"x": 1e999}}, {PLAIN}}}',
        f'{{"pair_id": "p", "metadata": {{"x": {"[" * 600}{"]" * 600}}}, {PLAIN}}}',
        f'{{"pair_id": "p", "surprise": 1, {PLAIN}}}',
        f'{{"pair_id": "p", "pair_id": "q", {PLAIN}}}',
        f'{{"pair_id": 7, {PLAIN}}}',
        f'{{"pair_id": "a\\u0000b", {PLAIN}}}',
        '{"messages": [], "old": {"content": "a"}, "new": {"content": "b"}}',
        '{"messages": [{"role": "user", "content": "hi"}], "old": {"content": true}, "new": {"content": "b"}}',
        '{"messages": [{"role": "user", "content": "hi"}], "old": {"content": "a"}, "new": {"content": "b", '
        '"confidence": 2}}',
    ],
)
def test_whatever_is_in_doubt_is_left_to_the_types(cursor: duckdb.DuckDBPyConnection, document: str) -> None:
    assert by_duckdb(cursor, lines_of(document)) == {}
