"""What recording a run's part asks of the database: which pairs belong to it, and the pairs with what decides them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from review.domain.run import is_traffic
from review.domain.stack import source_of
from review.errors import BadInput, NotFound
from review.services import contracts
from review.services.desk import Answer, Call
from review.services.workspace import Workspace
from review.store import run_pairs as store
from review.store.run_pairs import Scope


def look(workspace: Workspace, call: Call) -> Answer:
    """Which pairs a part is to be made of.

    Arguments: source; or sample (None: the newest that fits), old and new (lists of stacks, None: any), logged (which
    of them are the log's) and run (its name, for errors).

    The answer's `judge` is whose verdicts decide: by the contract in force, the signed one before the configuration's.

    Raises:
        NotFound: There is no such sample or source.
        BadInput: No such pairs belong to the run.
    """
    cursor, said = workspace.database.cursor(), call.arguments
    if said.get("source") is not None:
        scope, told = _imported(cursor, str(said["source"])), {}
        name = title = source = str(scope.source)
        notes, adopted = ["Each of these pairs stands for itself: no sample says how likely it was drawn."], False
    else:
        chosen = _chosen(store.replayed(cursor, said.get("sample")), said)
        scope = Scope(chosen.sample_id, chosen.old_stack, chosen.new_stack)
        told = {"sample": chosen.sample_id, "old_stack": chosen.old_stack, "new_stack": chosen.new_stack}
        name, title = chosen.sample_id, f"Sample {chosen.number} ({chosen.sample_id})"
        source, notes = source_of(chosen.sample_id, chosen.old_stack, chosen.new_stack), _unsaid(said)
        adopted = chosen.old_stack in (said.get("logged") or ())
    counts = store.counts(cursor, scope)
    if scope.sample is not None and counts["pairs"] < counts["drawn"]:
        notes.append(
            f"{counts['pairs']:,} of {counts['drawn']:,} traces of the sample are pairs; within a cluster they stand "
            "for those that are not."
        )
    judges, agreed = store.judges(cursor, scope), contracts.in_force(workspace).judge
    judge = _judge([str(name) for name, *_ in judges], agreed)
    if agreed is not None and judge is None and judges:
        notes.append(
            f"The contract in force takes the verdicts of {agreed}, which judged none of these pairs; other judges' "
            "verdicts decide nothing."
        )
    if counts["synthetic"]:
        notes.append("Some pairs come from synthetic traces; they stand for no real traffic.")
    return Answer(
        {
            "scope": asdict(scope),
            "name": name,
            "title": title,
            "source": source,
            "adopted": adopted,
            "pairs": counts["pairs"],
            "cost_usd": counts["cost_usd"],
            "detail": {**told, "drawn": counts["drawn"], "synthetic": counts["synthetic"]} if told else {},
            "judge": judge,
            "notes": notes,
        }
    )


def _judge(listed: Sequence[str], agreed: str | None) -> str | None:
    """The judge of the contract in force if it judged any, else the one that judged most of these pairs."""
    if agreed is not None:
        return agreed if agreed in listed else None
    return listed[0] if listed else None


def _imported(cursor: store.Cursor, source: str) -> Scope:
    if not is_traffic(source):
        raise BadInput(
            f"The pairs of {source[:80]!r} are no traffic. Benchmarks, golden sets and the adversarial set have verbs "
            "of their own."
        )
    known = store.sources(cursor)
    if source not in known:
        listed = ", ".join(each for each in known if is_traffic(each))[:400] or "none"
        raise NotFound(f"No imported pairs come from {source[:80]!r}. There are: {listed}. Pairs of a sample: --sample")
    return Scope(source=source)


def _chosen(found: Sequence[store.Replayed], said: Mapping[str, Any]) -> store.Replayed:
    """The newest sample's pairs of the run's two stacks."""
    sample = said.get("sample")
    if not found:
        what = f"Sample {str(sample)[:60]!r} has" if sample else "No sample has"
        raise NotFound(f"{what} no pairs yet. Make them: review sample, then review replay; or --source for imports.")
    fitting = [each for each in found if _fits(each.old_stack, said["old"]) and _fits(each.new_stack, said["new"])]
    if not fitting:
        newest = found[0]
        raise BadInput(
            f"Run {said['run']!r} compares stacks {_short(said['old'])} and {_short(said['new'])}; "
            f"{'the sample' if sample else 'the newest sample'} {newest.sample_id} has pairs of "
            f"{newest.old_stack[:12]} and {newest.new_stack[:12]}. Record a sample that the run's stacks answered, or "
            "begin a run of these stacks with the configuration that replayed them: review run start"
        )
    of_sample = [each for each in fitting if each.sample_id == fitting[0].sample_id]
    if len(of_sample) > 1:
        raise BadInput(
            f"Sample {of_sample[0].sample_id} has pairs of {len(of_sample)} different pairs of stacks, and run "
            f"{said['run']!r} does not say which are its own. Begin a run from the configuration that replayed them: "
            "review run start without --old and --new"
        )
    return of_sample[0]


def _fits(stack: str, wanted: Sequence[str] | None) -> bool:
    return wanted is None or stack in wanted


def _short(wanted: Sequence[str] | None) -> str:
    return "any" if wanted is None else wanted[0][:12]


def _unsaid(said: Mapping[str, Any]) -> list[str]:
    """That the run names its stacks in words alone."""
    sides = [side for side, key in (("baseline", "old"), ("candidate", "new")) if said[key] is None]
    if not sides:
        return []
    return [
        f"The run does not say of which configuration its {' and '.join(sides)} came; the sample's is taken for it."
    ]


def places(workspace: Workspace, call: Call) -> Answer:
    """Where the pairs of a part stand, as a table for `pairs`, some rows at a time. Arguments: those of Scope."""
    scope = Scope(*(call.arguments.get(name) for name in ("sample", "old", "new", "source")))
    return Answer({}, store.places(workspace.database.cursor(), scope))


def pairs(workspace: Workspace, call: Call) -> Answer:
    """The pairs at these places and what says who is right, as a table. Argument: judge."""
    if call.table is None:
        raise BadInput("The places of pairs come as a table.")
    return Answer({}, store.material(workspace.database.cursor(), call.table, call.arguments.get("judge")))
