"""Pairs that are plainly valid, checked and staged by DuckDB itself, many at a time; all others are left to the caller.

The authority on what is valid is `domain.types`. Whatever is in doubt here is not staged, so the checks below may be
narrower than the authority's, never wider. A row that is staged is stored as `services.ingest` would store it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as _compute

from review.store import staging
from review.store.staging import Cursor

pa: Any = pyarrow  # they carry no types
compute: Any = _compute
_SLICE = 1 << 20
_PAIR = ("pair_id", "prompt_id", "task", "messages", "tools", "reference", "old", "new", "metadata")
_OUTPUT = (
    *("model", "content", "tool_calls", "confidence", "correct", "outcomes"),
    *("finish_reason", "latency_ms", "usage"),
)
_ROLES = "['\"system\"', '\"user\"', '\"assistant\"', '\"tool\"', '\"developer\"']"
# DuckDB lets NaN, infinities and a comma before a closing bracket pass as JSON.
_LOOSE_COMMA = r"',[ \t\r\n]*[\]}]'"
_LOOSE_NUMBER = r"'NaN|Infinity|[eE][+-]?[0-9]{3}|[0-9]{300}'"
_DEEPEST = 90
# What str.split() takes for white space.
_SPACE = r"\x09-\x0d\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"


def read(cursor: Cursor, chunk: Any, key: bytes) -> Any:
    """The plain ones among the documents of a chunk, ready to be staged.

    Args:
        cursor: any.
        chunk: a pyarrow.Table with the columns `line` (int32) and `document` (text).
        key: derives ids that are missing.

    Returns:
        A pyarrow.Table as `staging.to_table` makes it, in no order.
    """
    cursor.register("chunk", _in_slices(chunk))
    try:
        return cursor.sql(_PLAIN, params=_pads(key)).to_arrow_table().cast(staging.schema("pairs"))
    finally:
        cursor.unregister("chunk")


def to_documents(cursor: Cursor, cells: Any, kinds: Sequence[tuple[str, str]]) -> Any:
    """Rows of columns as documents, for `read`; a row of which only Python can tell the document has NULL.

    Args:
        cursor: any.
        cells: a pyarrow.Table with the columns `line`, `c0`, `c1`, …
        kinds: of each column its name in the format, which must be one of ours, and its kind as in adapters.files.
    """
    members = [_member(name, kind, place) for place, (name, kind) in enumerate(kinds) if "." not in name]
    for side in ("old", "new"):
        fields = [
            _member(name.removeprefix(side + "."), kind, place)
            for place, (name, kind) in enumerate(kinds)
            if name.startswith(side + ".")
        ]
        if fields:
            members.append(f"',\"{side}\":' || {_braces(fields)}")
    cursor.register("cells", cells)
    try:
        return cursor.sql(f"SELECT line, {_braces(members)} AS document FROM cells").to_arrow_table()  # noqa: S608 (names of ours)
    finally:
        cursor.unregister("cells")


def _braces(members: list[str]) -> str:
    """An object of members that each begin with a comma, or are empty where their cell is."""
    return f"('{{' || ltrim({' || '.join(members)}, ',') || '}}')"


def _member(name: str, kind: str, place: int) -> str:
    """A cell as the member of an object, with its comma; NULL where only Python can tell what it is."""
    cell = f"c{place}"
    number = r"'-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?'"
    as_text = f"to_json({cell})::VARCHAR"
    value = {
        "json": f"CASE WHEN json_valid({cell}) THEN {cell} END",
        "number": f"CASE WHEN regexp_full_match({cell}, {number}) THEN {cell} END",
        "flag": f"CASE WHEN lower({cell}) IN ('true', 'false') THEN lower({cell}) END",
        # An apostrophe in front is our CSV's guard against formulas and its sign of an empty text.
        "csv text": f"CASE WHEN starts_with({cell}, '''') THEN NULL ELSE {as_text} END",
        "text": as_text,
        "value": f"json_strip_nulls(to_json({cell}))::VARCHAR",
    }[kind]
    return f"CASE WHEN {cell} IS NULL THEN '' ELSE ',\"{name}\":' || {value} END"


def _in_slices(chunk: Any) -> Any:
    """The same rows in batches of about a megabyte.

    DuckDB works batch by batch: several keep all cores busy, and small ones keep the memory of its JSON trees small.
    """
    lengths = compute.fill_null(compute.binary_length(chunk["document"]), 0)
    ends = np.cumsum(lengths.to_numpy(), dtype=np.int64)
    cuts = [0, *(np.flatnonzero(np.diff(ends // _SLICE)) + 1).tolist(), len(chunk)]
    return pa.concat_tables([chunk.slice(start, end - start) for start, end in itertools.pairwise(cuts)])


def _pads(key: bytes) -> dict[str, bytes]:
    """The two prefixes of HMAC-SHA256 (RFC 2104)."""
    block = (key if len(key) <= 64 else hashlib.sha256(key).digest()).ljust(64, b"\0")
    return {"inner": bytes(byte ^ 0x36 for byte in block), "outer": bytes(byte ^ 0x5C for byte in block)}


def _hmac(text: str) -> str:
    return f"left(sha256($outer::BLOB || unhex(sha256($inner::BLOB || encode({text})))), 32)"


def _paths(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'$.{name}'" for name in names) + "]"


def _absent(value: str) -> str:
    return f"({value} IS NULL OR {value} = 'null')"


def _is_text(value: str) -> str:
    return f"starts_with({value}, '\"')"


def _text(value: str) -> str:
    return f"({_absent(value)} OR {_is_text(value)})"


def _identifier(value: str) -> str:
    unquoted = f"({value}::JSON->>'$')"
    printable = rf"NOT regexp_matches({unquoted}, '[\x00-\x1f\x7f]')"
    return f"({_absent(value)} OR ({_is_text(value)} AND strlen({unquoted}) BETWEEN 1 AND 200 AND {printable}))"


def _nested(value: str, opening: str) -> str:
    """An object or a list of anything: no number that JSON does not know, not too deep."""
    openings = f"(length({value}) - length(replace(replace({value}, '[', ''), '{{', '')))"
    return (
        f"({_absent(value)} OR (starts_with({value}, '{opening}') AND openings_of({value}) <= {_DEEPEST} "
        f"AND NOT regexp_matches({value}, {_LOOSE_NUMBER})))"
    ).replace(f"openings_of({value})", openings)


def _number(value: str, largest: str) -> str:
    return f"({_absent(value)} OR (regexp_matches({value}, '^[0-9]') AND try_cast({value} AS DOUBLE) <= {largest}))"


def _all(types: str, *accepted: str) -> str:
    return f"list_has_all([{', '.join(repr(each) for each in accepted)}], {types})"


def _calls(value: str, place: str) -> str:
    """Tool calls of known keys only, each once: as many keys as known ones were found."""

    def kinds(path: str = "") -> str:
        return f"json_type({value}, '{place}{path}')"

    def keys(path: str = "") -> str:
        return f"len(flatten(json_keys({value}, '{place}{path}')))"

    def count(path: str) -> str:
        return f"len({kinds(path)})"

    return " AND ".join(
        (
            _all(kinds(), "OBJECT"),
            _all(kinds(".function"), "OBJECT"),
            f"{count('.function')} = {count('')}",
            f"{keys()} = {count('.function')} + {count('.id')} + {count('.type')}",
            _all(kinds(".id"), "VARCHAR", "NULL"),
            _all(kinds(".type"), "VARCHAR", "NULL"),
            f"{count('.function.name')} = {count('')}",
            _all(kinds(".function.name"), "VARCHAR"),
            f"{keys('.function')} = {count('.function.name')} + {count('.function.arguments')}",
            _all(kinds(".function.arguments"), "VARCHAR", "NULL"),
        )
    )


def _messages(value: str) -> str:
    def kinds(field: str) -> str:
        return f"json_type({value}, '$[*].{field}')"

    others = ("tool_calls", "tool_call_id", "name")
    keys = f"len(flatten(json_keys({value}, '$[*]')))"
    roles = f"json_extract({value}, '$[*].role')::VARCHAR[]"
    plain = f"{keys} = len({roles}) + len({kinds('content')})"
    with_tools = " AND ".join(
        (
            f"{keys} = " + " + ".join(f"len({kinds(name)})" for name in ("role", "content", *others)),
            _all(kinds("tool_calls"), "ARRAY", "NULL"),
            _all(kinds("tool_call_id"), "VARCHAR", "NULL"),
            _all(kinds("name"), "VARCHAR", "NULL"),
            _calls(value, "$[*].tool_calls[*]"),
        )
    )
    return (
        f"starts_with({value}, '[') AND json_array_length({value}) > 0 "
        f"AND list_has_all({_ROLES}, {roles}) AND len({roles}) = json_array_length({value}) "
        f"AND {_all(kinds('content'), 'VARCHAR', 'NULL')} "
        f"AND CASE WHEN {plain} THEN true ELSE {with_tools} END"
    )


def _output(side: str) -> str:
    field = {name: f"{side}[{place}]" for place, name in enumerate(_OUTPUT, start=1)}
    calls = field["tool_calls"]
    return " AND ".join(
        (
            f"{side}_keys = list_count({side})",
            _text(field["model"]),
            _text(field["content"]),
            f"CASE WHEN {_absent(calls)} OR {calls} = '[]' THEN {_is_text(field['content'])} "
            f"ELSE starts_with({calls}, '[') AND {_calls(calls, '$[*]')} END",
            _number(field["confidence"], "1"),
            f"({_absent(field['correct'])} OR {field['correct']} IN ('true', 'false'))",
            _nested(field["outcomes"], "{"),
            _text(field["finish_reason"]),
            _number(field["latency_ms"], "1e300"),
            _nested(field["usage"], "{"),
        )
    )


def _stored(side: str) -> str:
    """An output without its nulls, its fields in the order of the format."""

    def value(place: int, name: str) -> str:
        given = f"nullif({side}[{place}], 'null')"
        return f"to_json({given}::DOUBLE)::VARCHAR" if name in ("confidence", "latency_ms") else given

    parts = ", ".join(f"'\"{name}\":' || {value(place, name)}" for place, name in enumerate(_OUTPUT, start=1))
    return f"('{{' || concat_ws(',', {parts}) || '}}')"


def _said(side: str) -> str:
    """What of an output its pair's derived id is made of."""
    parts = ", ".join(
        f"'\"{name}\":' || nullif({side}[{_OUTPUT.index(name) + 1}], 'null')"
        for name in ("content", "model", "tool_calls")
    )
    return f"'{{' || concat_ws(',', {parts}) || '}}'"


def _differ(field: str) -> str:
    place = _OUTPUT.index(field) + 1
    return f"coalesce(nullif(old[{place}], 'null') <> nullif(new[{place}], 'null'), false)"


_FIELD = {name: f"f[{place}]" for place, name in enumerate(_PAIR, start=1)}
_TOOL_KINDS = f"json_type({_FIELD['tools']}, '$[*]')"
_IDS_GIVEN = f"(NOT {_absent(_FIELD['pair_id'])} AND NOT {_absent(_FIELD['prompt_id'])})"
_VALID = " AND ".join(
    (
        "f_keys = list_count(f)",
        _identifier(_FIELD["pair_id"]),
        _identifier(_FIELD["prompt_id"]),
        _identifier(_FIELD["task"]),
        _messages(_FIELD["messages"]),
        _nested(_FIELD["tools"], "["),
        f"({_absent(_FIELD['tools'])} OR {_all(_TOOL_KINDS, 'OBJECT')})",
        _text(_FIELD["reference"]),
        _output("old"),
        _output("new"),
        _nested(_FIELD["metadata"], "{"),
        # Ids are derived here only where the canonical text is beyond doubt: no numbers, no escaped control characters.
        rf"({_IDS_GIVEN} OR ({_absent(_FIELD['tools'])} AND NOT contains(f::VARCHAR, '\u')))",
    )
)
# True, false, or NULL where arguments that differ as text may still mean the same.
_SAME_CALLS = """
    CASE WHEN old_calls = new_calls THEN true
         WHEN json_extract(old_calls, '$[*].function.name')::VARCHAR[]
              <> json_extract(new_calls, '$[*].function.name')::VARCHAR[] THEN false
    END
"""
_SAME_TEXT = f"""
    CASE WHEN old_text = new_text THEN true
         WHEN regexp_extract(old_text, '[^{_SPACE}]+') <> regexp_extract(new_text, '[^{_SPACE}]+') THEN false
         ELSE trim(regexp_replace(old_text, '[{_SPACE}]+', ' ', 'g'), ' ')
              = trim(regexp_replace(new_text, '[{_SPACE}]+', ' ', 'g'), ' ')
    END
"""
_PROMPT = f"json_normalize('{{\"messages\":' || {_FIELD['messages']} || ',\"tools\":null}}')"
_BOTH = (
    f"json_normalize('{{\"messages\":' || {_FIELD['messages']} || ',\"new\":' || {_said('new')} "
    f"|| ',\"old\":' || {_said('old')} || ',\"tools\":null}}')"
)
_PLAIN = f"""
    WITH read AS (
        SELECT line, json_extract(document, {_paths(_PAIR)})::VARCHAR[] AS f, len(json_keys(document)) AS f_keys
        FROM chunk WHERE json_valid(document) AND NOT regexp_matches(document, {_LOOSE_COMMA})
    ), opened AS MATERIALIZED (
        SELECT *, json_extract({_FIELD["old"]}, {_paths(_OUTPUT)})::VARCHAR[] AS old,
               json_extract({_FIELD["new"]}, {_paths(_OUTPUT)})::VARCHAR[] AS new,
               len(json_keys({_FIELD["old"]})) AS old_keys, len(json_keys({_FIELD["new"]})) AS new_keys
        FROM read
    ), checked AS MATERIALIZED (
        SELECT *, coalesce({_VALID}, false) AS valid FROM opened
    ), taken AS (
        SELECT * EXCLUDE (valid),
               coalesce(old[2]::JSON->>'$', '') AS old_text, coalesce(new[2]::JSON->>'$', '') AS new_text,
               coalesce(nullif(old[3], 'null'), '[]') AS old_calls, coalesce(nullif(new[3], 'null'), '[]') AS new_calls
        FROM checked WHERE valid
    ), compared AS (
        SELECT *, {_SAME_CALLS} AS same_calls FROM taken
    )
    SELECT line,
           CASE WHEN {_absent(_FIELD["pair_id"])} THEN 'pair-' || {_hmac(_BOTH)}
                ELSE {_FIELD["pair_id"]}::JSON->>'$' END AS pair_id,
           CASE WHEN {_absent(_FIELD["prompt_id"])} THEN 'prompt-' || {_hmac(_PROMPT)}
                ELSE {_FIELD["prompt_id"]}::JSON->>'$' END AS prompt_id,
           {_FIELD["task"]}::JSON->>'$' AS task,
           {_FIELD["messages"]} AS messages,
           nullif({_FIELD["tools"]}, 'null') AS tools,
           {_FIELD["reference"]}::JSON->>'$' AS reference,
           {_stored("old")} AS old,
           {_stored("new")} AS new,
           nullif({_FIELD["metadata"]}, 'null') AS metadata,
           same_calls AND {_SAME_TEXT} AS identical,
           NOT same_calls OR {_differ("correct")} OR {_differ("finish_reason")} AS structured_differs
    FROM compared WHERE same_calls IS NOT NULL
"""  # noqa: S608 (built of names of ours only; no value enters its text)
