"""Evaluation runs: begin one, put evidence in, read what it holds. Nothing of a run is ever overwritten."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute

from review.domain.identity import canonical
from review.domain.run import Evidence, Part, RunSpec, StackCard, Step
from review.errors import BadInput, Conflict, NotFound
from review.services import digests
from review.services.desk import Answer, Call, Desk
from review.services.workspace import Workspace
from review.settings import Settings
from review.stats.intervals import Bools, Floats
from review.store import runs as store
from review.store.runs import OUTCOMES, PartRow, RunRow

pa: Any = pyarrow  # it carries no types
compute: Any = pyarrow.compute
BATCH = 5000
# How decided_by begins where a judge decided, before its name.
JUDGED = "judge "
# What decided_by says where nothing tells who is right.
NOBODY = "nobody"


def config_hash(settings: Settings) -> str:
    """SHA-256 of the configuration in force, so that a run says under which it was made."""
    return hashlib.sha256(settings.config.model_dump_json().encode()).hexdigest()


def start(workspace: Workspace, spec: RunSpec, by: str, now: datetime) -> RunRow:
    """Begin a run. Beginning the same again is the same run.

    Raises:
        Conflict: Another run has this name.
    """
    if not store.insert_run(workspace.database, spec, by, now):
        standing = next((each for each in list_runs(workspace) if each.name == spec.name), None)
        if standing is not None and standing.run_id != spec.run_id:
            raise Conflict(
                f"A run named {spec.name!r} stands already, with other stacks, step or configuration. "
                "Runs are never overwritten: choose another name."
            )
    return get(workspace, spec.run_id)


def list_runs(workspace: Workspace) -> list[RunRow]:
    """All runs, oldest first."""
    return store.runs(workspace.database.cursor())


def get(workspace: Workspace, asked: str) -> RunRow:
    """A run by its id, name or number.

    Raises:
        NotFound: There is none.
    """
    listed = list_runs(workspace)
    for names in ([each.run_id for each in listed], [each.name for each in listed], [str(e.number) for e in listed]):
        if asked in names:
            return listed[names.index(asked)]
    raise NotFound(f"There is no run {asked!r}. See them with: review run list")


def parts(workspace: Workspace, run_id: str | None = None) -> list[PartRow]:
    """What evidence a run has, or all runs."""
    return store.parts(workspace.database.cursor(), run_id)


def outcomes(workspace: Workspace, run_id: str, evidence: Evidence | None = None) -> Any:
    """A pyarrow.Table of evidence, part and store.runs.OUTCOMES, finished parts alone, repeats among them."""
    return store.outcomes(workspace.database.cursor(), run_id, evidence)


def version(workspace: Workspace) -> str:
    """A text that changes whenever anything a run holds changes."""
    return store.version(workspace.database.cursor())


def differences(table: Any) -> tuple[Floats, Bools]:
    """New minus old of each outcome, from -1 to 1, and where it is known; 0 where it is not.

    It is 0 where both answers are the same, whatever the values, and where a judge called a tie, which leaves both
    values open: left out, the decided ones alone would make a small difference look large.
    """
    old, new = (table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in ("old", "new"))
    told = ~np.isnan(old) & ~np.isnan(new)
    same = table["same"].to_numpy(zero_copy_only=False).astype(np.bool_)
    tie = compute.starts_with(table["decided_by"], JUDGED).to_numpy(zero_copy_only=False).astype(np.bool_)
    values = np.where(told & ~same, np.nan_to_num(new) - np.nan_to_num(old), 0.0)
    return values, told | same | (tie & np.isnan(old) & np.isnan(new))


def superseded(recorded: Sequence[PartRow]) -> dict[tuple[str, Evidence, str], str]:
    """Which of these parts count no longer, by (run, evidence, part), and the part that counts in their place."""
    return {
        (later.run_id, later.evidence, name): later.part
        for later in recorded
        for name in later.detail.get("supersedes", ())
    }


def traffic_sources(workspace: Workspace, run_id: str) -> tuple[str, ...]:
    """The sources of the run's pairs from traffic: what its parity is judged on."""
    found = {each.source for each in parts(workspace, run_id) if each.evidence in ("replay", "shadow") and each.source}
    return tuple(sorted(found))


def data_hash(table: Any) -> str:
    """SHA-256 of outcomes, whatever order they come in: for parts whose data are no file."""
    rows = sorted(canonical(row) for row in table.to_pylist())
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def record(desk: Desk, run_id: str, part: Part, table: Any) -> int:
    """Put a whole part into a run, in batches, through whatever desk. The same part again changes nothing.

    Args:
        table: pyarrow.Table with columns of domain.run.Outcome; what is absent has its default.

    Returns:
        How many outcomes the part has.

    Raises:
        Conflict: The run has a part of this name from other data.
        BadInput: Two outcomes have the same example, metric and repeat.
    """
    whole = conform(table)
    keys = list(zip(*(whole[name].to_pylist() for name in ("example_id", "metric", "repeat")), strict=True))
    if len(set(keys)) < len(keys):
        raise BadInput(f"Part {part.part!r}: two outcomes have the same example, metric and repeat.")
    said = {"run_id": run_id, "part": part.model_dump()}
    if desk.ask("runs.begin_part", said).document["stands"]:
        return int(desk.ask("runs.end_part", said).document["examples"])
    for start_at in range(0, whole.num_rows, BATCH):
        desk.ask("runs.put", said, whole.slice(start_at, BATCH))
    return int(desk.ask("runs.end_part", {**said, "examples": whole.num_rows}).document["examples"])


def conform(table: Any) -> Any:
    """Outcomes in the schema OUTCOMES, with the defaults of domain.run.Outcome where a column is absent.

    Raises:
        BadInput: A column that is needed is absent, or one is unknown.
    """
    defaults: dict[str, object] = {"repeat": 0, "same": False, "decided_by": "metric", "weight": 1.0}
    if unknown := set(table.column_names) - set(OUTCOMES.names):
        raise BadInput(f"Outcomes have no column {', '.join(sorted(unknown))}; they are {', '.join(OUTCOMES.names)}.")
    columns: list[Any] = []
    for field in OUTCOMES:
        if field.name in table.column_names:
            columns.append(table[field.name].cast(field.type))
        elif field.name in ("example_id", "metric", "prompt_id"):
            raise BadInput(f"Outcomes need the column {field.name}.")
        else:
            columns.append(pa.array([defaults.get(field.name)] * table.num_rows, field.type))
    return pa.table(columns, schema=OUTCOMES)


# What follows is asked through a desk.


def begin(workspace: Workspace, call: Call) -> Answer:
    """Begin a run; the arguments are those of RunSpec."""
    return Answer(described(start(workspace, RunSpec.model_validate(dict(call.arguments)), call.by, call.now)))


def begin_part(workspace: Workspace, call: Call) -> Answer:
    """Make room for a part, or say that it stands. Arguments: run_id, part."""
    run, part = _asked(workspace, call)
    standing = _standing(workspace, run, part)
    if standing is None:
        with workspace.database.transaction() as cursor:
            store.drop_unfinished(cursor, run.run_id, part.evidence, part.part)
    return Answer({"stands": standing is not None})


def put_outcomes(workspace: Workspace, call: Call) -> Answer:
    """A batch of outcomes: the table. Arguments: run_id, part."""
    run, part = _asked(workspace, call)
    if call.table is None:
        raise BadInput("Outcomes come as a table.")
    if _standing(workspace, run, part) is not None:
        return Answer({"new": 0})
    with workspace.database.transaction() as cursor:
        added = store.put(cursor, run.run_id, part.evidence, part.part, conform(call.table))
    return Answer({"new": added})


def end_part(workspace: Workspace, call: Call) -> Answer:
    """The part is whole. Arguments: run_id, part, examples (how many outcomes must be there)."""
    run, part = _asked(workspace, call)
    standing = _standing(workspace, run, part)
    if standing is not None:
        return Answer({"examples": standing.examples})
    with workspace.database.transaction() as cursor:
        count = store.finish(cursor, run.run_id, part, call.by, call.now)
        if count != int(call.arguments["examples"]):
            raise Conflict(
                f"Part {part.part!r} has {count} outcomes and not the {call.arguments['examples']} that were handed "
                "in: another command records it at this moment. Wait until it is done, and try again."
            )
    return Answer({"examples": count})


def read(workspace: Workspace, call: Call) -> Answer:
    """Runs with their parts. Argument: run (id, name or number; None: all)."""
    asked = call.arguments.get("run")
    chosen = list_runs(workspace) if asked is None else [get(workspace, str(asked))]
    return Answer({"runs": [described(each, parts(workspace, each.run_id)) for each in chosen]})


def page_of_outcomes(workspace: Workspace, call: Call) -> Answer:
    """The next outcomes of a run's counted parts, as a table. Arguments: run_id, after."""
    run_id, after = str(call.arguments["run_id"]), int(call.arguments["after"])
    return Answer({}, store.page_of_outcomes(workspace.database.cursor(), run_id, after, BATCH))


def all_outcomes(desk: Desk, run_id: str) -> Any:
    """What `outcomes` gives, through a desk, in the order it was recorded in."""
    pages: list[Any] = []
    while not pages or pages[-1].num_rows:
        after = pages[-1]["row"][-1].as_py() if pages else -1
        pages.append(desk.ask("runs.outcomes", {"run_id": run_id, "after": after}).table)
    return pa.concat_tables(pages).drop_columns(["row"])


def described(run: RunRow, recorded: Sequence[PartRow] = ()) -> dict[str, Any]:
    """A run and its parts as plain JSON values. The cost leaves out parts that others supersede: they share it."""
    replaced = superseded(recorded)
    return {
        "run_id": run.run_id,
        "number": run.number,
        "name": run.name,
        "step": run.step,
        "baseline": run.baseline.model_dump(exclude_none=True),
        "candidate": run.candidate.model_dump(exclude_none=True),
        "config_hash": run.config_hash,
        "started_by": run.started_by,
        "started_at": run.started_at.isoformat(),
        "cost_usd": round(
            sum(each.cost_usd for each in recorded if (each.run_id, each.evidence, each.part) not in replaced), 6
        ),
        "parts": [
            {
                "evidence": each.evidence,
                "part": each.part,
                "source": each.source,
                "data_hash": each.data_hash,
                "examples": each.examples,
                "detail": each.detail,
                "cost_usd": each.cost_usd,
                "recorded_by": each.recorded_by,
                "recorded_at": each.recorded_at.isoformat(),
                "superseded_by": replaced.get((each.run_id, each.evidence, each.part)),
            }
            for each in recorded
        ],
    }


def configured(settings: Settings, name: str, step: Step) -> RunSpec:
    """A run of the two stacks that the configuration names.

    Raises:
        BadInput: The configuration names none.
    """
    from review.domain.stack import stack_id

    endpoints = settings.config.endpoints
    if endpoints is None:
        raise BadInput("The configuration names no endpoints. Say endpoints.old and endpoints.new, or --old and --new.")
    old, new = (
        StackCard(
            name=each.model,
            model=each.model,
            revision=each.revision,
            quantization=each.quantization,
            runtime=each.runtime or each.api,
            config_hash=stack_id(each),
        )
        for each in (endpoints.old, endpoints.new)
    )
    return RunSpec(name=name, step=step, baseline=old, candidate=new, config_hash=config_hash(settings))


def described_by(old: Sequence[str], new: Sequence[str], name: str, step: Step, config: str) -> RunSpec:
    """A run of stacks that are described in words, as in name=llama-3 quantization=awq.

    Raises:
        BadInput: A word is no KEY=VALUE, a key is unknown, or a side has no name or model.
    """
    sides: list[StackCard] = []
    for side, words in (("old", old), ("new", new)):
        said: dict[str, str] = {}
        for word in words:
            key, _, value = word.partition("=")
            if key not in ("name", "model", "revision", "quantization", "runtime") or not value:
                raise BadInput(
                    f"--{side} {word!r}: say KEY=VALUE with one of name, model, revision, quantization, runtime."
                )
            said[key] = value
        if "name" not in said and "model" not in said:
            raise BadInput(f"--{side} needs a name or a model, as in --{side} name=llama-3")
        sides.append(StackCard.model_validate({"name": said.get("name") or said["model"], **said}))
    return RunSpec(name=name, step=step, baseline=sides[0], candidate=sides[1], config_hash=config)


def _asked(workspace: Workspace, call: Call) -> tuple[RunRow, Part]:
    return get(workspace, str(call.arguments["run_id"])), Part.model_validate(call.arguments["part"])


def _standing(workspace: Workspace, run: RunRow, part: Part) -> PartRow | None:
    """The part of this name.

    Raises:
        Conflict: It was made from other data.
    """
    found = next(
        (each for each in parts(workspace, run.run_id) if (each.evidence, each.part) == (part.evidence, part.part)),
        None,
    )
    if found is not None and not digests.same(workspace.key, found.data_hash, part.data_hash):
        raise Conflict(
            f"Run {run.name!r} has {part.evidence} {part.part!r} already, from other data. "
            "Runs are never overwritten: begin another run."
        )
    return found
