"""The privacy audit: stripped traces read by a lead, the leakage rate, rules from leaks, and their erasure everywhere.

Erasing rewrites every row in which the words stand, in whatever table, forgets what models answered about these traces
and pairs, erases adversarial entries by the chain's own rule, renames the digests by which a guess at the words could
be tested (services.digests), removes benchmark outputs in which the words stand, and leaves a tombstone that says how
many places there were and never what it was. DuckDB keeps freed blocks: the file is written anew at its next opening.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from review.adapters import leaks
from review.adapters.cache import Cache
from review.domain.redaction import KINDS, Placeholders
from review.errors import BadInput, NotAllowed, NotFound
from review.services import bench, digests, flag
from review.services.workspace import Actor, Workspace
from review.stats.estimate import Result
from review.stats.intervals import wilson
from review.store import compact, golden
from review.store import pii as store

MAX_WORDS = 12
MAX_TEXT = 300
# The ids under which a row's texts stand in the cache: answers, what judges said of them, and vectors.
_OWNERS = ("trace_id", "pair_id", "prompt_id", "suite_prompt_id", "item_id")


@dataclass(frozen=True)
class Audit:
    """One audit: its sample, what was marked so far, and the rate of traces with a leak among those marked."""

    audit: str
    traces: tuple[str, ...]
    marked: dict[str, bool]
    rate: Result

    @property
    def open(self) -> tuple[str, ...]:
        """What is not marked yet, in order."""
        return tuple(each for each in self.traces if each not in self.marked)


@dataclass(frozen=True)
class Erased:
    """What an erasure did: `places` counts rows by table, adversarial and cache entries, and outputs of benchmarks."""

    erasure_id: str
    places: dict[str, int]


def audit(workspace: Workspace, seed: int, size: int) -> Audit:
    """An audit of `size` stripped traces drawn at random by `seed`."""
    name = f"{seed}:{size}"
    cursor = workspace.database.cursor()
    marked = {each.trace_id: each.leak for each in store.marks(cursor, name)}
    drawn = tuple(store.drawn(cursor, str(seed), size))
    return Audit(name, drawn, marked, wilson(sum(marked.values()), len(marked)))


def texts(workspace: Workspace, trace_id: str) -> dict[str, Any]:
    """What of a trace people wrote, as it is stored.

    Raises:
        NotFound: no such trace.
    """
    found = store.texts(workspace.database.cursor(), trace_id)
    if found is None:
        raise NotFound(f"There is no trace {trace_id[:40]!r}.")
    return found


def mark_clean(workspace: Workspace, audit_name: str, trace_id: str, actor: Actor, now: datetime) -> None:
    """Note that a trace shows nobody's data.

    Raises:
        NotAllowed: not a lead.
    """
    _lead(actor)
    with workspace.database.transaction() as cursor:
        store.mark(cursor, audit_name, store.MarkRow(trace_id, False, None), actor.name, now)


def mark_leak(
    workspace: Workspace, audit_name: str, trace_id: str, kind: str, words: str, actor: Actor, now: datetime
) -> Erased:
    """Note a leak, have the stripper take these words out from now on, and erase them everywhere.

    Raises:
        NotAllowed: not a lead. BadInput: no such kind, or no words, or too many. Conflict: a benchmark runs.
    """
    _lead(actor)
    tokens = _tokens(kind, words)
    outputs = bench.outputs_with(workspace.settings, leaks.expression(tokens))
    with workspace.database.transaction() as cursor:
        store.mark(cursor, audit_name, store.MarkRow(trace_id, True, kind), actor.name, now)
    return _erase(workspace, kind, tokens, outputs, actor, now)


def erase(workspace: Workspace, kind: str, words: str, actor: Actor, now: datetime) -> Erased:
    """Have the stripper take these words out from now on, and erase them everywhere.

    Raises:
        NotAllowed: not a lead. BadInput: no such kind, or no words, or too many. Conflict: a benchmark runs.
    """
    _lead(actor)
    tokens = _tokens(kind, words)
    outputs = bench.outputs_with(workspace.settings, leaks.expression(tokens))
    return _erase(workspace, kind, tokens, outputs, actor, now)


def add_pattern(workspace: Workspace, pattern: str, actor: Actor, now: datetime) -> None:
    """Have the stripper take out what an expression for a structure finds, as in ACC-\\d{6}.

    Raises:
        NotAllowed: not a lead. BadInput: the expression is not one, finds nearly everything, or may take for ever.
    """
    _lead(actor)
    leaks.check_pattern(pattern)
    name = "pattern-" + hashlib.sha256(pattern.encode()).hexdigest()[:32]
    with workspace.database.transaction() as cursor:
        store.add_rule(cursor, store.RuleRow(name, "pattern", None, pattern), actor.name, now)


def _lead(actor: Actor) -> None:
    if actor.role != "lead":
        raise NotAllowed("Only a lead audits privacy and erases. Ask one.")


def _tokens(kind: str, words: str) -> list[str]:
    tokens = leaks.tokens(words)
    if kind not in KINDS:
        raise BadInput(f"A leak is of one of these kinds: {', '.join(KINDS)}.")
    if not 1 <= len(tokens) <= MAX_WORDS or len(words) > MAX_TEXT or sum(map(len, tokens)) < 3:
        raise BadInput(f"Give the leaked words: 1 to {MAX_WORDS} of them, at least 3 letters together.")
    return tokens


def _erase(
    workspace: Workspace, kind: str, tokens: Sequence[str], outputs: Sequence[Path], actor: Actor, now: datetime
) -> Erased:
    """Erase everywhere, and remove `outputs` of benchmarks, in which the words stand."""
    digest = leaks.digest(workspace.key, tokens)
    expression, needles = leaks.expression(tokens), leaks.needles(tokens)
    places, owners, items, hashed = Counter[str](), set[str](), set[str](), list[str]()
    with workspace.database.transaction() as cursor:
        # The rule first: what comes in from now on is stripped.
        store.add_rule(cursor, store.RuleRow(f"words-{digest}", "words", len(tokens), digest), actor.name, now)
        for table, columns in store.text_columns(cursor).items():
            triggers: list[str] | None = None
            for row, values in list(store.rows_with(cursor, table, columns, needles)):
                changed = _without(values, {each.name: each.kind for each in columns}, expression, kind)
                if not changed:
                    continue
                if triggers is None:
                    triggers = store.lift(cursor, table)
                store.rewrite(cursor, table, row, changed)
                places[table] += 1
                ids = [str(values[name]) for name in ("trace_id", "pair_id") if values.get(name)]
                owners.update(str(values[name]) for name in _OWNERS if values.get(name))
                if table == "golden_item":
                    items.add(str(values["item_hash"]))
                elif table == "golden_answers":
                    owners.update(golden.item_ids(cursor, str(values["item_hash"])))
                hashed += [_hidden(workspace.key, table, each) for each in ids]
            for statement in triggers or ():
                cursor.execute(statement)
        digests.hide(cursor, workspace.key, items=items, pairs=owners)
        entries = list(dict.fromkeys(entry for entry, text in store.entries_with(cursor) if expression.search(text)))
        erasure_id = "erasure-" + secrets.token_hex(8)
    for entry in entries:
        flag.erase(workspace, entry, actor, f"personal data found in the privacy audit ({erasure_id})", now)
        places["adversarial"] += 1
    places["cache"] += _forget(workspace, owners, expression)
    places["bench"] += bench.remove(outputs)
    with workspace.database.transaction() as cursor:
        store.bury(
            cursor,
            {
                "erasure_id": erasure_id,
                "kind": kind,
                "value": digest,
                "places": json.dumps({name: count for name, count in sorted(places.items()) if count}),
                "rows": sorted(set(hashed)),
                "erased_by": actor.name,
                "erased_at": now,
            },
        )
    compact.due(workspace.settings.db).touch(mode=0o600)
    return Erased(erasure_id, {name: count for name, count in sorted(places.items()) if count})


def _without(values: dict[str, Any], kinds: dict[str, str], expression: re.Pattern[str], kind: str) -> dict[str, Any]:
    """The columns of a row in which the words stand, with a placeholder instead; ids are left alone."""
    whole = [str(value) for value in values.values() if value is not None]
    names = Placeholders(whole)
    names.name([(kind, "")])
    placeholder = names.placeholder(kind, "")
    changed: dict[str, Any] = {}
    for name, value in values.items():
        if value is None or name.endswith("_id"):
            continue
        if kinds[name] == "JSON":
            document = json.loads(value)
            rest = leaks.replaced(document, expression, placeholder)
            if rest != document:
                changed[name] = json.dumps(rest, ensure_ascii=False, separators=(",", ":"))
        elif isinstance(value, list):
            items = cast("list[str]", value)
            rest = [expression.sub(placeholder, each) for each in items]
            if rest != items:
                changed[name] = rest
        elif (rest := expression.sub(placeholder, str(value))) != value:
            changed[name] = rest
    return changed


def _hidden(key: bytes, table: str, row: str) -> str:
    return hmac.new(key, f"erased\0{table}\0{row}".encode(), hashlib.sha256).hexdigest()[:32]


def _forget(workspace: Workspace, owners: Iterable[str], expression: re.Pattern[str]) -> int:
    """Everything models answered about these traces and pairs, and whatever else in the cache has the words."""
    if not workspace.settings.cache_file.exists():
        return 0
    with closing(Cache(workspace.settings.cache_file)) as cache:
        return cache.forget(owners) + cache.forget_with(lambda value: leaks.stands_in(value, expression))
