"""The operations behind the command line's plain verbs: draw, rounds, status, agreement, parity, adversarial verify."""

from __future__ import annotations

from typing import Any

from review.errors import BadInput
from review.services.desk import Answer, Call
from review.services.workspace import Workspace


def draw(workspace: Workspace, call: Call) -> Answer:
    """Draw a round; the arguments are those of DrawSpec."""
    from review.services import rounds

    try:
        spec = rounds.DrawSpec(**call.arguments)
    except TypeError as error:
        raise BadInput(
            f"A draw takes {', '.join(rounds.DrawSpec.__annotations__)}, and size and seed must be there."
        ) from error
    drawn = rounds.draw(workspace, spec, call.by, call.now)
    strata = [
        {"stratum": each.stratum, "frame": each.frame, "drawn": each.drawn, "pi": each.pi} for each in drawn.strata
    ]
    return Answer(
        {
            "round": {"round_id": drawn.round_id, "frame": drawn.frame, "size": drawn.size, "strata": strata},
            "notes": list(drawn.notes),
            "leaks": len(drawn.leaks),
        }
    )


def list_rounds(workspace: Workspace, _call: Call) -> Answer:
    """The rounds and how far they are."""
    from review.services import rounds

    listed = [
        {
            "round_id": each.round_id,
            "name": each.title,
            "size": each.size,
            "overlap": each.overlap,
            "state": each.progress.state,
            "labels": each.progress.done,
            "places": each.progress.places,
            "surplus": each.progress.surplus,
            "skips": each.progress.skips,
            "reviewers": each.progress.reviewers,
            "drawn_at": each.drawn_at.isoformat(),
        }
        for each in rounds.list_rounds(workspace)
    ]
    return Answer({"rounds": listed})


def status(workspace: Workspace, _call: Call) -> Answer:
    """How much there is of everything."""
    from review.services import overview

    return Answer(overview.facts(workspace)._asdict())


def agreement(workspace: Workspace, call: Call) -> Answer:
    """The judges compared with people; the arguments are the rules, and run: only its own traffic.

    Raises:
        BadInput: A run and a round are named.
    """
    from review.services import runs
    from review.services.agreement import agreement as compare

    asked = dict(call.arguments)
    run = asked.pop("run", None)
    if run is not None and asked.get("round_id") is not None:
        raise BadInput("Agreement is about a run's traffic or about a round, not both. Leave out --run or --round.")
    sources = None if run is None else runs.traffic_sources(workspace, runs.get(workspace, str(run)).run_id)
    return Answer(_plain(compare(workspace, sources=sources, **asked).to_json()))


def parity(workspace: Workspace, call: Call) -> Answer:
    """Take a look where one is due, else tell the last one."""
    from review.services import looks
    from review.services.parity import parity as judge

    round_id = call.arguments.get("round_id")
    look, plan = looks.take(workspace, round_id, call.by, call.now)
    report = look.report if look else judge(workspace, round_id=round_id).to_json()
    taken = {"looks_taken": len(plan.looks), "looks_planned": plan.planned_looks, "another": plan.refusal or "possible"}
    document = _plain({**report, "look": look.to_json() if look else None, "plan": taken})
    return Answer({"report": document, "refusal": plan.refusal})


def verify(workspace: Workspace, _call: Call) -> Answer:
    """The adversarial set's chain, mirror and count."""
    from review.services import flag

    found = flag.verify(workspace)
    return Answer(
        {
            "ok": found.ok,
            "entries": found.entries,
            "rows": found.rows,
            "head": found.head,
            "first_bad": found.first_bad,
            "mirror": found.mirror.state if found.mirror else None,
            "message": found.message,
        }
    )


def _plain(document: Any) -> dict[str, Any]:
    """A report as JSON has it, the same beside the app and without one."""
    import json

    return json.loads(json.dumps(document, allow_nan=False, default=str))
